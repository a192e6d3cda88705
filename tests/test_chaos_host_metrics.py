"""What this process uses, as the kernel says it."""

import os
import socket
import threading
import time
from pathlib import Path

import pytest
from polling import until

from pytest_resilience.chaos.host.descriptors import Descriptors
from pytest_resilience.chaos.host.metrics import HostMetrics, Meter, measure
from pytest_resilience.clock import ManualClock
from pytest_resilience.units import MIB


def test_each_number_follows_what_the_process_does() -> None:
    """Memory, threads, descriptors and connections come and go."""
    before, release = measure(), threading.Event()
    threads = [threading.Thread(target=release.wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    block = b"x" * (64 * MIB)
    with socket.create_server(("127.0.0.1", 0)), Path(os.devnull).open():
        during = measure()
    release.set()
    for thread in threads:
        thread.join()
    after = measure()
    assert during.rss - before.rss > 32 * MIB, len(block)
    assert during.threads >= before.threads + 4, "one of an earlier test may have been about to end"
    assert until(lambda: measure().threads <= during.threads - 5), "the kernel ends them after the join"
    assert during.fds == before.fds + 2 == after.fds + 2
    assert during.connections == before.connections + 1 == after.connections + 1


def test_processor_time_is_that_since_the_reading_before() -> None:
    """In percent of one core, each reading for itself."""
    clock = ManualClock()
    meter = Meter(clock)
    used = time.process_time()
    while time.process_time() - used < 0.05:
        pass
    clock.advance(0.5)
    assert 10 <= meter.measure().cpu_percent < 30
    clock.advance(1000.0)
    assert meter.measure().cpu_percent < 1
    assert meter.measure().cpu_percent == 0, "no time passed"


def test_a_fork_reads_itself() -> None:
    """The child has one thread and its own descriptors, whatever the parent had."""
    meter = Meter()
    assert isinstance(meter.measure(), HostMetrics)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, f"{meter.measure().threads}".encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 10) == b"1"
    os.close(read)
    os.close(write)


def test_without_a_descriptor_it_cannot_be_read() -> None:
    """The error is the kernel's own; with some to spare it can."""
    with Descriptors(), pytest.raises(OSError, match="Too many open files"):
        measure()
    with Descriptors(4):
        assert measure().fds > 0
