"""The suite of the odds shop, on the shop that does not come back by itself."""

from odds_shop.test_odds_shop import *  # noqa: F403 - the same tests, whatever they are
