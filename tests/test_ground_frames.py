"""The frames of all threads: read while nothing is collected, which would hang some versions of Python."""

import gc
import sys
import threading

import pytest

from pytest_resilience.frames import running_frames


def test_each_thread_has_its_frame() -> None:
    """This one's is here."""
    assert running_frames()[threading.get_ident()].f_code.co_name == "running_frames"


@pytest.mark.parametrize("collects", [True, False])
def test_nothing_is_collected_meanwhile(monkeypatch: pytest.MonkeyPatch, collects: bool) -> None:
    """And afterwards the collector is as it was, also if that fails."""
    seen: list[bool] = []

    def frames() -> None:
        seen.append(gc.isenabled())
        raise MemoryError

    monkeypatch.setattr(sys, "_current_frames", frames)
    before = gc.isenabled()
    (gc.enable if collects else gc.disable)()
    try:
        with pytest.raises(MemoryError):
            running_frames()
        assert seen == [False]
        assert gc.isenabled() is collects
    finally:
        (gc.enable if before else gc.disable)()
