"""A process that starts real effects, says so, and then ends in the way that it is told."""

import ctypes
import json
import multiprocessing
import os
import signal
import sys
import time

from supervisor_subjects import LAUNCHER, ListenSpec, SleeperSpec, StopSpec

from pytest_resilience.chaos.supervisor.client import Supervisor


def main(way: str, victim: str) -> None:
    """Start three effects, print what is there, and end; a shell's background job would ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    supervisor = Supervisor(launcher=LAUNCHER)
    sleeper = supervisor.start("sleeper", SleeperSpec())
    supervisor.start("stop", StopSpec(int(victim)))
    port = supervisor.start("listen", ListenSpec())["port"]
    forked = {"fork": fork, "raw fork": raw_fork}.get(way, int)()
    said = {"pid": supervisor.pid, "sleeper": sleeper["pid"], "port": port, "forked": forked}
    print(json.dumps(said), flush=True)
    end(way)


def fork() -> int:
    """Start a process that has a copy of all that this one has, and lives on."""
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    process.start()
    assert process.pid is not None
    return process.pid


def raw_fork() -> int:
    """Do the same as a C library may, without Python's knowledge."""
    child: int = ctypes.PyDLL(None).fork()
    if child == 0:
        time.sleep(600)
    return child


def end(way: str) -> None:
    match way:
        case "exception":
            raise ValueError("nobody catches this")
        case "_exit":
            os._exit(3)
        case "exit":
            return
    time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
