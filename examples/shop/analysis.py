"""prop_analyzer: what a bet is really worth, from the odds that the provider asks for it."""

from dataclasses import dataclass

from shop.odds import Odds

_THREE_WAY = ("home", "draw", "away")


class ValuationError(Exception):
    """The odds make no sense, so the bet has no value."""


@dataclass(frozen=True, slots=True)
class Valuation:
    """The probability of a home win (0 to 1), and the decimal odds at which nobody has an edge."""

    probability: float
    fair_odds: float


def value_prop(odds: Odds) -> Valuation:
    """Value a bet on the home team with the provider's margin taken out; raise ValuationError."""
    try:
        shares = [1 / odds.markets[outcome] for outcome in _THREE_WAY]
    except (KeyError, ZeroDivisionError) as missing:
        raise ValuationError(f"{odds.game_id} has no usable three-way market.") from missing
    if not all(0 < share < 1 for share in shares):
        raise ValuationError(f"{odds.game_id} has odds of 1 or less.")
    exponent = _margin_exponent(shares)
    probability = shares[0] ** exponent
    return Valuation(probability, 1 / probability)


def _margin_exponent(shares: list[float]) -> float:
    """Find the power to which the shares must be raised to add up to 1, by bisection."""
    low, high = 0.0, 10.0
    for _ in range(40):
        middle = (low + high) / 2
        if sum(share**middle for share in shares) > 1:
            low = middle
        else:
            high = middle
    return (low + high) / 2
