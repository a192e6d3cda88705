"""A process without free descriptors, and its limit restored whatever happens."""

import errno
import os
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.chaos.host.descriptors import LIMIT, Descriptors
from pytest_resilience.errors import ScenarioError

FILES = Path("/dev/fd")


def limit() -> tuple[int, int]:
    return resource.getrlimit(resource.RLIMIT_NOFILE)


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Each test leaves the limits as they were, and as many files open."""
    before, files = limit(), len(list(FILES.iterdir()))
    yield
    assert limit() == before
    assert len(list(FILES.iterdir())) == files


def openable(most: int = 20) -> int:
    """Return how many files can be opened at once, up to `most`."""
    with ExitStack() as opened:
        for number in range(most):
            try:
                opened.callback(os.close, os.open(os.devnull, os.O_RDONLY))
            except OSError as failure:
                if failure.errno != errno.EMFILE:
                    raise
                return number
    return most


@pytest.mark.parametrize("spare", [0, 1, 7])
def test_exactly_the_spared_descriptors_can_be_opened(spare: int) -> None:
    """Then comes EMFILE, the kernel's own; afterwards all is as before."""
    with Descriptors(spare) as descriptors:
        seen = openable()
        assert descriptors.touched().reached == descriptors.touched().fired == 1
    assert seen == spare
    assert openable() == 20
    assert descriptors.touched().fired == 2
    assert descriptors.touched().detail == "2 of 2 checks met EMFILE"


def test_what_another_thread_has_reserved_is_in_use() -> None:
    """A server that waits in accept() holds a number already, which no list of open files shows."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        waiting = threading.Thread(target=lambda: server.accept()[0].close())
        waiting.start()
        try:
            with Descriptors(2):
                assert openable() == 2
        finally:
            socket.create_connection(server.getsockname()).close()
            waiting.join()


def test_holes_below_the_open_files_count_too() -> None:
    """Free numbers between the open ones are neither left over nor forgotten."""
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(6)]
    for hole in files[1], files[3]:
        os.close(hole)
    try:
        with Descriptors(1):
            seen = openable()
    finally:
        for kept in files[0], files[2], *files[4:]:
            os.close(kept)
    assert seen == 1


def test_what_is_open_goes_on_working_and_sockets_fail_too() -> None:
    """It is the table of the process that is full, not a kind of file."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with Descriptors():
            ours.send(b"still here")
            received = theirs.recv(10)
            with pytest.raises(OSError) as caught:
                socket.socket()
        assert received == b"still here"
        assert caught.value.errno == errno.EMFILE


def test_a_check_does_not_claim_what_is_not_there() -> None:
    """Somebody raised the limit meanwhile, or closed files: the check counts and does not fire."""
    spares = [os.open(os.devnull, os.O_RDONLY) for _ in range(2)]
    with Descriptors() as descriptors:
        for spare in spares:
            os.close(spare)
        descriptors.check()
    assert (descriptors.touched().reached, descriptors.touched().fired) == (3, 1)


def test_the_limit_comes_back_after_an_exception() -> None:
    """The end of a test in which it was active does not matter."""
    before = limit()
    with pytest.raises(KeyboardInterrupt), Descriptors():
        raise KeyboardInterrupt
    assert limit() == before


def test_stop_may_come_twice_before_and_without_a_start() -> None:
    """It changes nothing then."""
    descriptors, before = Descriptors(), limit()
    descriptors.stop()
    assert limit() == before
    descriptors.start()
    descriptors.stop()
    descriptors.stop()
    assert limit() == before
    assert descriptors.touched().reached == 2


def test_an_interrupt_between_wish_and_limit_is_settled_by_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """At each call of setrlimit, before and after it: stop restores what was."""
    before, real = limit(), resource.setrlimit
    for acts in (False, True):
        for moment in range(2):
            calls = iter(range(100))

            def interrupted(
                kind: int, limits: tuple[int, int], calls: Iterator[int] = calls, moment: int = moment
            ) -> None:
                hit = next(calls) == moment
                if acts or not hit:
                    real(kind, limits)
                if hit:
                    raise KeyboardInterrupt

            descriptors = Descriptors()
            monkeypatch.setattr(resource, "setrlimit", interrupted)
            try:
                descriptors.start()
                descriptors.stop()
            except KeyboardInterrupt:
                pass
            finally:
                monkeypatch.setattr(resource, "setrlimit", real)
                descriptors.stop()
            assert limit() == before, (acts, moment)
            assert LIMIT.former() == before[0]


@given(
    spares=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    order=st.randoms(use_true_random=False),
)
def test_the_tightest_of_several_counts_in_any_order_of_removal(spares: list[int], order: object) -> None:
    """Each may end at any time; the limit comes back with the last."""
    before = limit()
    active = [Descriptors(spare) for spare in spares]
    for descriptors in active:
        descriptors.start()
    try:
        while active:
            assert openable() == min(each._spare for each in active)
            order.shuffle(active)  # type: ignore[attr-defined]
            active.pop().stop()
    finally:
        for descriptors in active:
            descriptors.stop()
    assert limit() == before


def test_many_threads_lower_and_restore_at_once() -> None:
    """Whoever is last restores what was before the first."""
    before, failures = limit(), []
    start = threading.Barrier(6)

    def work() -> None:
        try:
            start.wait()
            for _ in range(50):
                with Descriptors(2):
                    pass
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert limit() == before


def test_wrong_numbers_are_refused() -> None:
    """The message names the value and the constraint."""
    with pytest.raises(ScenarioError, match="spare must be 0 or more descriptors, not -1"):
        Descriptors(-1)
    soft, hard = limit()
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
    try:
        with pytest.raises(ScenarioError, match=r"spare must be below the \d+ free descriptors, not 64\."):
            Descriptors(64).start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
