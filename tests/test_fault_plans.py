"""A plan of faults is a value: it can be made active, printed as code, and leaves nothing behind."""

import errno
import gc
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import fault_plan_subjects as subjects
import pytest
from fault_plan_subjects import PROVIDER, SERVICES, STORE, OddsClosed, Unwritable, make_error
from hypothesis import given, settings
from hypothesis import strategies as st

import pytest_resilience
from pytest_resilience import Chaos, FaultPlan, Service, every, fault_plans, first, nth, window
from pytest_resilience.chaos.fault_plans import NO_FAULT, NOTE, FaultParameters, PlannedFault
from pytest_resilience.chaos.ledger import LEDGER
from pytest_resilience.chaos.triggers import share
from pytest_resilience.errors import ResilienceError, ScenarioError

CODES = (subjects.fetch.__code__, subjects.fetch_later.__code__, subjects.load.__code__)
SECOND: tuple[str, str, FaultParameters] = ("valuation_exception", "odds_provider", {"trigger": nth(2)})
LATE: tuple[str, str, FaultParameters] = ("latency_spike", "store", {"delay": 0.001, "trigger": first(3)})
EVERYWHERE = [
    *SERVICES,
    Service(
        "database",
        calls=[subjects.load],
        endpoint="127.0.0.1:5432",
        errors=[OddsClosed, make_error, OSError(errno.EIO, 'a "quoted" word'), Unwritable(1, "no"), KeyError],
        timeout=0.01,
        needs=["store"],
    ),
]
NAMES = {
    "FaultPlan": FaultPlan,
    **{one.__name__: one for one in (nth, first, every, window)},
    "fault_plan_subjects": subjects,
}


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Each test leaves every call as it was."""
    yield
    assert untouched()


def untouched() -> bool:
    """Tell whether nothing is patched."""
    now = (subjects.fetch.__code__, subjects.fetch_later.__code__, subjects.load.__code__)
    return all(one is before for one, before in zip(now, CODES, strict=True))


def failures(calls: int, call: Callable[[str], object]) -> list[str]:
    """Return the name of each call's error, "" for none."""
    names = []
    for _ in range(calls):
        try:
            call("one")
        except Exception as error:
            names.append(type(error).__name__)
        else:
            names.append("")
    return names


def use_all() -> None:
    """Call everything that faults can hit, a few times."""
    for _ in range(3):
        for call in (subjects.fetch, subjects.load):
            with suppress(Exception):
                call("one")


def raised_in(plan: FaultPlan, error: BaseException) -> list[str]:
    """Raise an error while the plan is active; return its notes."""
    with pytest.raises(type(error)), plan.active():
        raise error
    return getattr(error, "__notes__", [])


@settings(deadline=None)
@given(plan=fault_plans(EVERYWHERE, max_delay=0.001))
def test_every_plan_can_be_injected_and_leaves_nothing(plan: FaultPlan) -> None:
    """Whatever is drawn is no mistake, and is gone after the block."""
    with plan.active() as chaos:
        assert len(chaos.active()) == len(plan.faults)
        assert not any(injection.must_fire for injection in chaos.injections)
        use_all()
    assert (chaos.active(), chaos.complaints(), untouched()) == ((), (), True)


@given(plan=fault_plans(EVERYWHERE, max_faults=4, seams=("calls", "endpoint")))
def test_the_repr_of_every_plan_makes_it_again(plan: FaultPlan) -> None:
    """Also with errors that are instances, factories and classes of the user's, and with endpoints."""
    again = eval(repr(plan), dict(NAMES))
    assert (again, hash(again), repr(again)) == (plan, hash(plan), repr(plan))
    assert [dict(fault.parameters) for fault in again.faults if "errors" not in fault.parameters] == [
        dict(fault.parameters) for fault in plan.faults if "errors" not in fault.parameters
    ]


@given(plan=fault_plans(EVERYWHERE, seams=("calls", "endpoint")))
def test_the_decorators_of_every_plan_are_what_the_marker_takes(plan: FaultPlan) -> None:
    """With their imports they run, and carry the same faults in the same order."""
    space: dict[str, object] = {}
    exec(f"{plan.imports}\n{plan.decorators}\ndef test(): pass", space)
    marks = getattr(space["test"], "pytestmark", [])
    again = []
    for mark in reversed(marks):
        target = mark.kwargs.pop("target")
        again.append((*mark.args, target, mark.kwargs))
    assert FaultPlan(again) == plan


@settings(deadline=None)
@given(plan=fault_plans(EVERYWHERE, seams=("calls", "endpoint")))
def test_each_fault_acts_where_the_plan_says(plan: FaultPlan) -> None:
    """A fault on an endpoint says so; all others act on calls, without any help of the proxies."""
    elsewhere = [fault for fault in plan.faults if fault.parameters.get("seam") == "endpoint"]
    if elsewhere:
        with pytest.raises(ScenarioError, match=r"^This FaultPlan hits the endpoint of 'database'"):
            plan.active()
        return
    with plan.active() as chaos:
        assert {injection.seam for injection in chaos.injections} <= {"calls"}


def test_plans_are_values() -> None:
    """Equal by what they do, in this order; the services are where they do it."""
    plan = FaultPlan([SECOND, LATE])
    assert plan == FaultPlan([SECOND, LATE], SERVICES) == plan.on(SERVICES)
    assert len({plan, plan.on(SERVICES), FaultPlan([LATE, SECOND]), FaultPlan([])}) == 3
    assert plan != repr(plan)
    with pytest.raises(AttributeError):
        plan.faults = ()  # type: ignore[misc]
    with pytest.raises(TypeError):
        plan.faults[0].parameters["delay"] = 1.0


def test_a_plan_is_written_as_code() -> None:
    """The forms in which it is read: a value, decorators, and what they import."""
    plan = FaultPlan([SECOND, LATE, ("valuation_exception", "store", {"errors": [OddsClosed, KeyError]})])
    assert repr(plan) == (
        'FaultPlan([("valuation_exception", "odds_provider", {"trigger": nth(2)}), '
        '("latency_spike", "store", {"delay": 0.001, "trigger": first(3)}), '
        '("valuation_exception", "store", {"errors": [fault_plan_subjects.OddsClosed, KeyError]})])'
    )
    assert plan.decorators.splitlines() == [
        '@pytest.mark.chaos("valuation_exception", target="odds_provider", trigger=nth(2))',
        '@pytest.mark.chaos("latency_spike", target="store", delay=0.001, trigger=first(3))',
        (
            '@pytest.mark.chaos("valuation_exception", target="store", '
            "errors=[fault_plan_subjects.OddsClosed, KeyError])"
        ),
    ]
    assert plan.imports.splitlines() == [
        "import fault_plan_subjects",
        "import pytest",
        "from pytest_resilience import first, nth",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (every(2), "every(2)"),
        (every(1), "every(1)"),
        (nth(1), "nth(1)"),
        (first(1), "nth(1)"),
        (window(2, 3), "window(2, 3)"),
        (share(0.25), "share(0.25)"),
    ],
)
def test_triggers_are_written_as_what_makes_them(value: object, text: str) -> None:
    """Those that hit the same calls may be written alike."""
    (fault,) = FaultPlan([("latency_spike", "store", {"trigger": value})]).faults  # type: ignore[typeddict-item]
    assert fault.codes["trigger"].text == text


@pytest.mark.parametrize("value", [lambda: OSError(), Unwritable(1, "no"), float("nan"), object()])
def test_what_code_cannot_name_is_refused(value: object) -> None:
    """A report that cannot be pasted would be worth little."""
    with pytest.raises(ScenarioError) as caught:
        FaultPlan([("valuation_exception", "store", {"errors": [value]})])  # type: ignore[list-item]
    assert str(caught.value) == (
        "FaultPlan: errors must be a value that code can write: a literal, a trigger, or what a module "
        f"has by its name, not {[value]!r}."
    )


def test_a_fault_that_is_no_triple_is_refused() -> None:
    """With an example."""
    with pytest.raises(ScenarioError) as caught:
        FaultPlan(["latency_spike"])  # type: ignore[list-item]
    assert str(caught.value) == (
        "Each fault of a FaultPlan must be a scenario, a target and a dict of parameters, "
        'not \'latency_spike\'. Write ("latency_spike", "odds_provider", {"delay": 0.01}).'
    )


def test_a_rebuilt_plan_is_active_with_services_or_with_an_engine() -> None:
    """The same calls are hit; a given engine keeps what it has beside."""
    plan = FaultPlan([SECOND])
    with plan.on(SERVICES).active():
        assert failures(3, subjects.fetch) == ["", "ConnectionError", ""]
    engine = Chaos(SERVICES, seed=1)
    with engine.inject("valuation_exception", "store", trigger=every(1), must_fire=False):
        with plan.active(engine) as same:
            assert same is engine
            assert failures(3, subjects.fetch) == ["", "ConnectionError", ""]
        assert [event.service for event in engine.active()] == ["store"]
        assert failures(1, subjects.load) == ["OSError"]
    assert engine.active() == ()


def test_a_plan_without_services_needs_an_engine() -> None:
    """It says where they come from."""
    with pytest.raises(ScenarioError) as caught:
        FaultPlan([SECOND]).active()
    assert str(caught.value) == (
        "This FaultPlan knows no services. Write plan.on(SERVICES), or give active() an engine."
    )


def test_a_plan_for_an_endpoint_needs_the_engine_of_its_address() -> None:
    """A proxy of its own would be one that nobody is connected to."""
    plan = FaultPlan([("network_partition", "database", {})], EVERYWHERE)
    with pytest.raises(ScenarioError) as caught:
        plan.active()
    assert str(caught.value) == (
        "This FaultPlan hits the endpoint of 'database', at the address that another engine gave. "
        "Write plan.active(chaos) with that engine, such as the fixture chaos."
    )


def test_what_cannot_be_injected_takes_the_others_back() -> None:
    """The first fault is armed before the second one turns out to be too many."""
    plan = FaultPlan([SECOND, LATE])
    engine = Chaos(SERVICES, seed=1, max_concurrent=1)
    with pytest.raises(ScenarioError, match=r"^At most 1 scenarios may be active at once"):
        plan.active(engine).__enter__()
    assert (engine.active(), untouched()) == ((), True)


def test_an_error_in_the_block_carries_the_plan_and_takes_it_back() -> None:
    """The note is what to paste; nothing is patched after it."""
    (note,) = raised_in(FaultPlan([SECOND], SERVICES), AssertionError("broken"))
    assert note == (
        f"{NOTE}\n\nimport pytest\nfrom pytest_resilience import nth\n\n"
        '@pytest.mark.chaos("valuation_exception", target="odds_provider", trigger=nth(2))\n'
    )
    assert raised_in(FaultPlan([], SERVICES), AssertionError("broken")) == [NO_FAULT]


def test_an_error_that_is_raised_again_tells_the_last_plan_only() -> None:
    """Code may keep an exception; blocks in one another both tell theirs."""
    error = LookupError("kept")
    error.add_note("of the user")
    for plan in (FaultPlan([LATE], SERVICES), FaultPlan([SECOND], SERVICES)):
        notes = raised_in(plan, error)
        assert [note == "of the user" or plan.decorators in note for note in notes] == [True, True]
    outer, inner = FaultPlan([LATE], SERVICES), FaultPlan([SECOND], SERVICES)
    with pytest.raises(LookupError), outer.active(), inner.active():
        raise error
    assert [inner.decorators in error.__notes__[1], outer.decorators in error.__notes__[2]] == [True, True]
    assert len(error.__notes__) == 3


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # psutil's files, interrupted
@pytest.mark.timeout(method="thread")
def test_interrupts_leave_no_patch_after_a_sweep() -> None:
    """Real KeyboardInterrupts from a timer, at random instants of enter and exit, their tracebacks kept."""
    plan, rng, kept = FaultPlan([SECOND, LATE], SERVICES), random.Random(3), []
    enter_and_exit(plan)  # all imports are made
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    gc.disable()  # others' gc callbacks would swallow interrupts
    try:
        for _ in range(200):
            try:
                signal.setitimer(signal.ITIMER_REAL, rng.uniform(0.000_001, 0.002))
                enter_and_exit(plan)
            except KeyboardInterrupt as struck:
                kept.append(struck)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            LEDGER.sweep()
            assert untouched()
    finally:
        gc.enable()
        signal.signal(signal.SIGALRM, previous)
    assert len(kept) > 180


def enter_and_exit(plan: FaultPlan) -> None:
    """Make it active again and again, for a while."""
    deadline = time.monotonic() + 0.1
    while time.monotonic() < deadline:
        with plan.active():
            pass


def test_an_exception_that_takes_no_note_gets_through() -> None:
    """As it was raised."""

    @dataclass(frozen=True)
    class Frozen(Exception):
        reason: str

    error = Frozen("broken")
    FaultPlan([SECOND], SERVICES).active().__exit__(Frozen, error, None)
    assert not hasattr(error, "__notes__")


def test_the_whole_search_is_short_by_default() -> None:
    """No call is delayed or hangs for longer than 50 ms, whatever the service's own time limit is."""
    slow = Service("slow", calls=[subjects.fetch], errors=[KeyError], timeout=30.0)
    quick = Service("quick", calls=[subjects.load], timeout=0.02)
    seen = drawn(fault_plans([slow, quick]))
    waits = {
        (fault.scenario, fault.target, fault.parameters.get("timeout"), fault.parameters.get("delay"))
        for fault in seen
        if fault.scenario in ("provider_timeout", "latency_spike")
    }
    assert waits == {
        ("provider_timeout", "slow", 0.05, None),
        ("provider_timeout", "quick", None, None),
        *(("latency_spike", name, None, delay) for name in ("slow", "quick") for delay in (0.01, 0.05)),
    }


def drawn(strategy: "st.SearchStrategy[FaultPlan]") -> list[PlannedFault]:
    """Return the faults of many plans."""
    faults: list[PlannedFault] = []

    @settings(deadline=None, database=None, derandomize=True, max_examples=200)
    @given(plan=strategy)
    def draw(plan: FaultPlan) -> None:
        faults.extend(plan.faults)

    draw()
    return faults


def test_only_what_differs_is_tried() -> None:
    """Of scenarios that come to the same with a trigger, the first stands for all; others can be named."""
    assert {fault.scenario for fault in drawn(fault_plans([STORE]))} == {
        "valuation_exception",
        "latency_spike",
    }
    named = fault_plans([STORE], scenarios=["lost_acknowledgement", "intermittent_errors"])
    assert {fault.scenario for fault in drawn(named)} == {"lost_acknowledgement", "intermittent_errors"}
    bare = Service("bare", calls=[subjects.load])
    assert {fault.scenario for fault in drawn(fault_plans([bare]))} == {"network_partition", "latency_spike"}


def test_targets_triggers_and_faults_keep_to_what_was_asked() -> None:
    """The bounds of a search."""
    strategy = fault_plans(EVERYWHERE, targets=["store"], max_call=2, max_faults=1)
    seen = drawn(strategy)
    assert {fault.target for fault in seen} == {"store"}
    assert {fault.codes["trigger"].text for fault in seen} == {
        "nth(1)",
        "nth(2)",
        "first(2)",
        "every(1)",
        "every(2)",
    }


def test_a_seam_is_named_only_where_it_has_to_be() -> None:
    """An endpoint always is; calls are, where a service has an endpoint that would be hit first."""
    seen = drawn(fault_plans(EVERYWHERE, targets=["database"], seams=("calls", "endpoint")))
    places = {(fault.scenario, fault.parameters.get("seam")) for fault in seen}
    assert ("latency_spike", None) in places
    assert ("latency_spike", "endpoint") in places
    assert ("network_partition", "endpoint") in places
    assert {seam for _, seam in places} == {None, "endpoint"}


NOTHING = "fault_plans: no scenario can act on"
LEAVE_OUT = "Or leave it out: fault_plans(targets=[…])."
WRONG: list[tuple[Callable[[], object], str]] = [
    (
        lambda: fault_plans([]),
        "fault_plans(services) must be a list of services, not []. Give it what resilience_services returns.",
    ),
    (
        lambda: fault_plans("store"),  # type: ignore[arg-type]
        (
            "fault_plans(services) must be a list of services, not 'store'. "
            "Give it what resilience_services returns."
        ),
    ),
    (
        lambda: fault_plans(SERVICES, seams=("process",)),
        'fault_plans(seams) must be "calls", "endpoint" or both, not (\'process\',). Write seams=("calls",).',
    ),
    (
        lambda: fault_plans(SERVICES, seams="calls"),
        'fault_plans(seams) must be "calls", "endpoint" or both, not \'calls\'. Write seams=("calls",).',
    ),
    (
        lambda: fault_plans(SERVICES, seams=()),
        'fault_plans(seams) must be "calls", "endpoint" or both, not (). Write seams=("calls",).',
    ),
    (
        lambda: fault_plans([PROVIDER, Service("cache", endpoint="127.0.0.1:6379")]),
        (
            f"{NOTHING} calls of service 'cache': service 'cache' declares no calls and no timeout. "
            "Add it in resilience_services: Service('cache', calls=[\"your.module:Client.method\"], "
            "timeout=2.0, …). "
            f"{LEAVE_OUT}"
        ),
    ),
    (
        lambda: fault_plans([STORE], scenarios=["provider_timeout"]),
        (
            f"{NOTHING} calls of service 'store': service 'store' declares no timeout. "
            f"Add it in resilience_services: Service('store', timeout=2.0, …). {LEAVE_OUT}"
        ),
    ),
    (
        lambda: fault_plans([STORE], scenarios=["cpu_saturation"]),
        "fault_plans: none of the scenarios acts on calls. Give others, or other seams.",
    ),
    (
        lambda: fault_plans([STORE], scenarios=["latency"]),
        "There is no scenario 'latency'. Did you mean 'latency_spike'?",
    ),
    (
        lambda: fault_plans([STORE], scenarios="latency_spike"),
        (
            "fault_plans(scenarios) must be a list of names, not 'latency_spike'. "
            'Write scenarios=["provider_timeout"].'
        ),
    ),
    (
        lambda: fault_plans([STORE], targets=["stoer"]),
        "fault_plans(targets): there is no service 'stoer'. Did you mean 'store'?",
    ),
    (
        lambda: fault_plans([STORE], targets=[]),
        'fault_plans(targets) must be a list of names, not []. Write targets=["store"].',
    ),
    (
        lambda: fault_plans([STORE], max_faults=0),
        "fault_plans(max_faults) must be a whole number of at least 1, not 0.",
    ),
    (
        lambda: fault_plans([STORE], max_call=1.5),  # type: ignore[arg-type]
        "fault_plans(max_call) must be a whole number of at least 1, not 1.5.",
    ),
    (
        lambda: fault_plans([STORE], max_delay=0),
        "fault_plans(max_delay) must be a number of seconds above 0, not 0.",
    ),
]


@pytest.mark.parametrize(("make", "message"), WRONG, ids=[str(number) for number in range(len(WRONG))])
def test_a_wrong_search_is_told_in_one_line(make: Callable[[], object], message: str) -> None:
    """When the strategy is made, not in each example."""
    with pytest.raises(ScenarioError) as caught:
        make()
    assert str(caught.value) == message


def test_without_hypothesis_the_fix_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an optional extra."""
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    with pytest.raises(ResilienceError) as caught:
        fault_plans(SERVICES)
    assert str(caught.value) == (
        "fault_plans needs hypothesis, which is not installed: pip install 'pytest-resilience[hypothesis]'"
    )


def test_hypothesis_is_imported_only_for_a_search() -> None:
    """Neither the names nor a plan need it."""
    code = (
        "import sys; from pytest_resilience import FaultPlan, fault_plans; "
        "repr(FaultPlan([])); print('hypothesis' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert pytest_resilience.fault_plans is fault_plans
