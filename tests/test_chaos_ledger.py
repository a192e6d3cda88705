"""The ledger restores the original, whatever the order, and whoever calls meanwhile."""

import socket
import sys
import threading
import time
import types
import weakref

import chaos_subjects as subjects
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pytest_resilience.chaos.faults import Raise
from pytest_resilience.chaos.ledger import LEDGER, Ledger
from pytest_resilience.chaos.release import Release
from pytest_resilience.chaos.taps import Evidence, FaultTap
from pytest_resilience.chaos.targets import CallSite, resolve
from pytest_resilience.chaos.triggers import Trigger, nth, share
from pytest_resilience.clock import SystemClock

SLOTS = st.integers(0, 3)


def make_tap(trigger: Trigger | None = None, error: type[Exception] = KeyError) -> FaultTap:
    schedule = (trigger or nth(10**9)).schedule("seed")
    return FaultTap(Raise([error]), schedule, "seed", Evidence(), Release(), SystemClock())


class AnyOrder(RuleBasedStateMachine):
    """Attach and detach four taps on two calls, one of them native, in every order, with sweeps between."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.sites = [resolve("chaos_subjects:Client.fetch"), resolve("time:sleep")]
        self.codes = [site.function.__code__ for site in self.sites]
        self.sleep = time.sleep
        self.taps = [make_tap() for _ in range(4)]
        self.attached: dict[int, set[int]] = {0: set(), 1: set()}

    @rule(which=st.integers(0, 1), slot=SLOTS)
    def attach(self, which: int, slot: int) -> None:
        site = self.sites[which]
        self.ledger.attach(site.function, site.slot, self.taps[slot])
        self.attached[which].add(slot)

    @rule(which=st.integers(0, 1), slot=SLOTS)
    def detach(self, which: int, slot: int) -> None:
        self.ledger.detach(self.sites[which].function, self.taps[slot])
        self.attached[which].discard(slot)

    @rule()
    def sweep(self) -> None:
        assert self.ledger.sweep() == sum(map(len, self.attached.values()))
        self.attached = {0: set(), 1: set()}

    @invariant()
    def patched_while_attached(self) -> None:
        for which, site in enumerate(self.sites):
            assert (site.function.__code__ is self.codes[which]) == (not self.attached[which])
        assert (time.sleep is self.sleep) == (not self.attached[1])
        assert (subjects.imported_sleep is self.sleep) == (not self.attached[1])

    @invariant()
    def every_attached_tap_is_asked_once(self) -> None:
        before = [tap.reached.value for tap in self.taps]
        assert subjects.shared_client.fetch("g") == "g"
        asked = [tap.reached.value - count for tap, count in zip(self.taps, before, strict=True)]
        assert asked == [int(slot in self.attached[0]) for slot in range(4)]

    def teardown(self) -> None:
        self.ledger.sweep()
        assert time.sleep is self.sleep


AnyOrder.TestCase.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)
TestAnyOrder = AnyOrder.TestCase


def test_two_faults_on_one_target_come_off_in_any_order() -> None:
    """The one that was armed first may go first, and the other one still works."""
    site = resolve(subjects.fetch)
    code = site.function.__code__
    inner, outer = make_tap(share(1), KeyError), make_tap(share(1), OSError)
    LEDGER.attach(site.function, None, inner)
    LEDGER.attach(site.function, None, outer)
    with pytest.raises(OSError, match="injected"):
        subjects.fetch("g")
    LEDGER.detach(site.function, inner)
    with pytest.raises(OSError, match="injected"):
        subjects.fetch("g")
    LEDGER.detach(site.function, outer)
    assert site.function.__code__ is code


def test_a_native_function_is_reached_under_every_alias(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules that imported it by name, before or during the fault, get the fault and then the original."""
    late = types.ModuleType("late_importer")
    monkeypatch.setitem(sys.modules, "late_importer", late)
    site, original, tap = resolve("time:sleep"), time.sleep, make_tap(share(1), OSError)
    LEDGER.attach(site.function, site.slot, tap)
    try:
        late.sleep = time.sleep  # type: ignore[attr-defined]
        for call in (time.sleep, subjects.imported_sleep, subjects.SLEEP_ALIAS, late.sleep):
            with pytest.raises(OSError, match="injected"):
                call(0)
    finally:
        LEDGER.detach(site.function, tap)
    assert time.sleep is subjects.imported_sleep is subjects.SLEEP_ALIAS is late.sleep is original


def test_an_inherited_native_method_leaves_no_name_behind() -> None:
    """A method that its class inherits is set for the fault and deleted after it."""
    assert "recv" not in vars(socket.socket)
    site, tap = resolve("socket:socket.recv"), make_tap(nth(2), ConnectionResetError)
    left, right = socket.socketpair()
    with left, right:
        LEDGER.attach(site.function, site.slot, tap)
        try:
            left.sendall(b"odds")
            assert right.recv(4) == b"odds"
            with pytest.raises(ConnectionResetError):
                right.recv(4)
        finally:
            LEDGER.detach(site.function, tap)
        assert "recv" not in vars(socket.socket)


def test_a_kept_stand_in_passes_calls_on_after_the_fault() -> None:
    """Code that kept what it got during the fault goes on working."""
    site, tap = resolve("time:sleep"), make_tap(share(1))
    LEDGER.attach(site.function, site.slot, tap)
    kept = time.sleep
    LEDGER.detach(site.function, tap)
    kept(0)
    assert tap.reached.value == 0


def test_threads_call_through_many_swaps_and_miss_nothing() -> None:
    """While one thread arms and disarms, others call: no error, no wrong result, the original at the end."""
    site: CallSite = resolve(subjects.fetch)
    code, stop, wrong = site.function.__code__, threading.Event(), []

    def call() -> None:
        while not stop.is_set():
            if subjects.fetch("g", "draw", 1, live=True) != ("g", "draw", (1,), True, {}):
                wrong.append(1)

    callers = [threading.Thread(target=call) for _ in range(2)]
    for caller in callers:
        caller.start()
    for _ in range(3000):
        tap = make_tap()
        LEDGER.attach(site.function, None, tap)
        LEDGER.detach(site.function, tap)
    stop.set()
    for caller in callers:
        caller.join(10)
    assert not wrong
    assert site.function.__code__ is code


def test_threads_that_arm_and_disarm_agree_at_the_end() -> None:
    """Eight threads swap the same function; the last one leaves the original."""
    site = resolve(subjects.fetch)
    code = site.function.__code__

    def swap() -> None:
        for _ in range(300):
            tap = make_tap()
            LEDGER.attach(site.function, None, tap)
            subjects.fetch("g")
            LEDGER.detach(site.function, tap)
            assert tap.reached.value >= 1

    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            swap()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=guarded) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert site.function.__code__ is code


def test_the_ledger_keeps_no_function_alive() -> None:
    """A function that was a target is collected when its owner lets it go."""

    def make() -> "weakref.ref[types.FunctionType]":
        def local() -> int:
            return 1

        site, tap = resolve(local), make_tap()
        LEDGER.attach(site.function, None, tap)
        LEDGER.detach(site.function, tap)
        return weakref.ref(site.function)

    assert make()() is None
