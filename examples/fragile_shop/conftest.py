"""The odds shop without what makes it come back: the one difference is below."""

from dataclasses import dataclass

import pytest
from shop.betting import ILL_PROVIDER, QuoteUnavailableError, Shop
from shop.odds import Odds

pytest_plugins = ["odds_shop.conftest"]


@dataclass
class FragileShop(Shop):
    """Marks the provider as down at its first error; the mark has no time-out, so it stays for good."""

    provider_down: bool = False

    def fetch_odds(self, game_id: str) -> Odds:
        if self.provider_down:
            raise QuoteUnavailableError("The provider is marked as down.")
        try:
            return self.odds.fetch(game_id)
        except ILL_PROVIDER as reason:
            self.provider_down = True
            raise QuoteUnavailableError("The provider does not answer.") from reason


@pytest.fixture(scope="session")
def shop_type() -> type[Shop]:
    """The shop that does not come back by itself."""
    return FragileShop
