"""Which event a failure belongs to."""

from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.soak.windows import EventWindows

times = st.floats(0, 100)
spans = st.tuples(times, times).map(lambda pair: (min(pair), max(pair)))


@given(
    st.lists(st.tuples(spans, st.sampled_from(["open", "closed", "forgotten"])), max_size=6).map(
        lambda events: sorted(events, key=lambda event: event[0])
    ),
    spans,
)
def test_a_failure_belongs_to_the_newest_event_that_it_overlaps(
    events: list[tuple[tuple[float, float], str]], failure: tuple[float, float]
) -> None:
    """From the instant of arming, up to but without the start of the round that shows recovery."""
    windows, owners = EventWindows(), [""]
    for number, ((opened, closed), fate) in enumerate(events):
        windows.open(f"event-{number}", opened)
        if fate == "closed":
            windows.close(f"event-{number}", closed)
        if fate == "forgotten":
            windows.forget(f"event-{number}")
            continue
        end = float("inf") if fate == "open" else closed
        if failure[1] >= opened and failure[0] < end:
            owners.append(f"event-{number}")
    assert windows.owner(*failure) == owners[-1]


def test_the_edges_of_a_window() -> None:
    """An iteration that ends as the fault is armed may have felt it; the good round is not the event's."""
    windows = EventWindows()
    windows.open("event-1", 10.0)
    windows.close("event-1", 20.0)
    assert windows.owner(9.0, 10.0) == "event-1"
    assert windows.owner(19.0, 25.0) == "event-1"
    assert windows.owner(20.0, 21.0) == ""
    assert windows.owner(8.0, 9.0) == ""


def test_an_event_that_never_was_owns_nothing() -> None:
    """Forgetting what is unknown changes nothing."""
    windows = EventWindows()
    windows.open("event-1", 10.0)
    windows.forget("event-1")
    windows.forget("event-2")
    assert windows.owner(0.0, 100.0) == ""


def test_a_failure_belongs_to_the_event_that_the_test_does_not_survive() -> None:
    """Only where all that overlap are survived does it count as one under a survived fault."""
    windows = EventWindows()
    windows.open("valuation_exception-1", 10.0, "valuation_exception")
    windows.open("latency_spike-2", 12.0, "latency_spike")
    windows.open("cpu_saturation-3", 13.0, "cpu_saturation")
    spike = ("latency_spike", "cpu_saturation")
    assert windows.owner(14.0, 15.0, spike) == "valuation_exception-1"
    windows.close("valuation_exception-1", 20.0)
    assert windows.owner(21.0, 22.0, spike) == "cpu_saturation-3"
    assert windows.owner(21.0, 22.0) == "cpu_saturation-3"
    assert windows.owner(21.0, 22.0, ["cpu_saturation"]) == "latency_spike-2"


def test_it_is_calm_once_the_last_fault_is_removed() -> None:
    """Whether the suite has recovered or not."""
    windows = EventWindows()
    assert windows.calm_since() == 0.0
    windows.open("event-1", 10.0)
    windows.open("event-2", 11.0)
    assert windows.calm_since() == float("inf")
    windows.remove("event-2", 20.0)
    assert windows.calm_since() == float("inf")
    windows.remove("event-1", 19.0)
    assert windows.calm_since() == 20.0
    windows.close("event-1", 30.0)
    assert windows.calm_since() == 20.0
