"""The odds shop with a leak: the one difference is below."""

from dataclasses import dataclass, field

import pytest
from shop.betting import Shop
from shop.cache import Quote
from shop.odds import Odds

pytest_plugins = ["odds_shop.conftest"]


@dataclass
class AuditedShop(Shop):
    """Keeps the odds behind every quote for the auditors, and never lets one go."""

    audit: list[Odds] = field(default_factory=list)

    def price(self, odds: Odds) -> Quote:
        self.audit.append(odds)
        return super().price(odds)


@pytest.fixture(scope="session")
def shop_type() -> type[Shop]:
    """The shop that leaks."""
    return AuditedShop
