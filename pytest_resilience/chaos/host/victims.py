"""A process that chaos may stop or kill: which never may be, and never another that got its number."""

import os
from collections.abc import Sequence
from contextlib import suppress

import psutil

from pytest_resilience.errors import ScenarioError
from pytest_resilience.units import counted


class Victim:
    """A process, known by its number and its start time; raises ScenarioError where it must be left alone."""

    def __init__(self, pid: int) -> None:
        _require_foreign(pid)
        try:
            self._process = psutil.Process(pid)
            user = self._process.uids().effective
        except psutil.Error:
            raise _no_process(pid) from None
        if user != os.geteuid():
            raise ScenarioError(
                f"Process {self} belongs to user {user}, the tests run as user {os.geteuid()}. "
                "Start it as the user of the tests."
            )
        if self.dead:
            raise _no_process(pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def dead(self) -> bool:
        """Whether it has ended; a zombie has."""
        try:
            return not self._process.is_running() or self._process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    @property
    def stopped(self) -> bool:
        """Whether the kernel does not run it, because of a SIGSTOP."""
        try:
            return self._process.is_running() and self._process.status() == psutil.STATUS_STOPPED
        except psutil.NoSuchProcess:
            return False

    def send(self, number: int) -> None:
        """Send it a signal; raise ScenarioError when it has ended."""
        try:
            self._process.send_signal(number)
        except psutil.NoSuchProcess:
            raise _no_process(self.pid) from None
        except psutil.AccessDenied:
            raise ScenarioError(
                f"Process {self} takes no signals from us. Start it within the tests."
            ) from None

    def send_unless_dead(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        try:
            self.send(number)
        except ScenarioError:
            if not self.dead:
                raise

    def __str__(self) -> str:
        try:
            return f"{self.pid} ({self._process.name()})"
        except psutil.Error:
            return str(self.pid)


def family_of(pid: int) -> tuple[Victim, ...]:
    """Return a process and its descendants, parents first; raise ScenarioError for one that is left alone.

    A server forks workers, and a shell starts the server: the service is all of them.
    """
    family = [Victim(pid)]
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(pid).children(recursive=True):
            try:
                family.append(Victim(child.pid))
            except ScenarioError:
                if child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
                    raise
    return tuple(family)


def named(victims: Sequence[Victim]) -> str:
    """Say which processes: `process 12`, `process 12 and 3 descendants`."""
    first, *others = victims
    more = f" and {counted(len(others), 'descendant')}" if others else ""
    return f"process {first.pid}{more}"


def _require_foreign(pid: int) -> None:
    """Refuse numbers that mean no single process, and those whose end would be ours."""
    if pid <= 1:
        raise ScenarioError(f"Process {pid} must not be touched: give the number of a service's own process.")
    own = psutil.Process()
    if pid == own.pid:
        raise ScenarioError(f"Process {pid} is the one that injects the faults: give that of a service.")
    if any(parent.pid == pid for parent in own.parents()):
        raise ScenarioError(
            f"Process {pid} runs the tests, or started what does: it cannot be stopped or killed. "
            "Give the process of a service."
        )


def _no_process(pid: int) -> ScenarioError:
    return ScenarioError(
        f"There is no process {pid} (any more). Give one that runs while the fault is active."
    )
