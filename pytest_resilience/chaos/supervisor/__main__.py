"""Where the supervisor's process begins: an isolated Python that sees only the given paths."""

import os
import sys
import traceback


def begin(descriptor: str, parent: str, kinds: str, folder: str, *paths: str) -> None:
    """Serve the test process; tell it what goes wrong before that works."""
    sys.path += paths
    try:
        from pytest_resilience.chaos.supervisor.process import main

        main(int(descriptor), int(parent), kinds, folder)
    except Exception:
        from pytest_resilience.chaos.supervisor.messages import Trouble, to_line

        os.write(int(descriptor), to_line(0, Trouble(traceback.format_exc())))
        os._exit(1)


if __name__ == "__main__":
    begin(*sys.argv[1:])
