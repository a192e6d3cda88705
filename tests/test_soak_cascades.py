"""The cascade phase: every type in every mode, over the declared services, set up by the settings."""

from collections.abc import Sequence
from dataclasses import replace

from pybreaker import CircuitBreaker

from pytest_resilience.breakers.modes import MODES
from pytest_resilience.breakers.outages import OUTAGES
from pytest_resilience.breakers.records import Cascade
from pytest_resilience.clock import ManualClock
from pytest_resilience.services import Service
from pytest_resilience.settings import Settings
from pytest_resilience.soak.tasks import soak_tasks
from pytest_resilience.soak.world import World
from pytest_resilience.store.codec import decode, encode

SERVICES = (
    Service("shop", needs=["prices", "stock"]),
    Service("prices", needs=["database"]),
    Service("stock", needs=["database"]),
    Service("database"),
)


def cascades(settings: Settings) -> Sequence[Cascade]:
    world = World({one.name: one for one in SERVICES}, {"test_circuit": lambda: CircuitBreaker(3)})
    found = list(soak_tasks(ManualClock(), 7, settings)["RunCascades"](world))
    return [one for one in found if isinstance(one, Cascade)]


def test_all_types_and_modes_are_recorded() -> None:
    """One record for each, the measures in it; a record survives the store."""
    found = cascades(Settings())
    assert {(one.kind, one.mode) for one in found} == {(kind, mode) for kind in OUTAGES for mode in MODES}
    assert {one.verdict for one in found if one.kind != "circular"} == {"passed"}
    assert [decode(encode(one)) for one in found] == found
    branched = next(one for one in found if (one.kind, one.mode) == ("branched", "outage"))
    assert (branched.opened, branched.services_down, branched.calls_wasted > 0) == (4, 4, True)


def test_the_settings_say_how_services_call_and_how_many_may_be_down() -> None:
    """In turn fewer breakers open, retries trip at once, and the limit fails a cascade."""
    settings = replace(Settings(), cascade_fan_out="in_turn", cascade_retries=2, max_services_down=2)
    branched = next(one for one in cascades(settings) if (one.kind, one.mode) == ("branched", "outage"))
    assert (branched.opened, branched.seconds_to_detect) == (2, 0.0)
    assert branched.verdict == "failed"
    assert branched.detail.endswith("more services down at once than max_services_down=2")
