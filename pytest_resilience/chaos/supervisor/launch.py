"""How the test process starts the supervisor: an isolated Python in a session of its own."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from subprocess import Popen

from pytest_resilience.errors import ScenarioError

HOME = Path(__file__).parent
PROGRAM = HOME / "__main__.py"
PACKAGES = HOME.parents[2]


@dataclass(frozen=True, slots=True)
class Launcher:
    """Starts supervisors whose effects are those of KINDS in the module `kinds`, found also in `folders`.

    In the folder `notes`, if it is given, each keeps what it holds, for `--resilience-cleanup`.
    """

    kinds: str = "pytest_resilience.chaos.supervisor.kinds"
    folders: Sequence[str] = ()
    notes: str = ""

    def launch(self, descriptor: int) -> Popen[bytes]:
        """Start one that serves the socket `descriptor`; raise OSError if the machine cannot.

        The environment and the working folder stay the test process's, for commands that restart a service.
        """
        if not sys.executable:
            raise ScenarioError("Faults outside the test process need sys.executable, the path of Python.")
        options = [str(descriptor), str(os.getpid()), self.kinds, self.notes, *self._paths()]
        # Not DEVNULL: where pyfakefs is active subprocess would open a fake of it.
        with Path(os.devnull).open("r+b") as nothing:
            return Popen(  # noqa: S603 (our own program)
                [sys.executable, "-I", "-S", str(PROGRAM), *options],
                pass_fds=[descriptor],
                start_new_session=True,
                stdin=nothing,
                stdout=nothing,
                stderr=nothing,
            )

    def _paths(self) -> list[str]:
        """Return where this package and psutil are. They come last, so that they shadow nothing."""
        psutil = find_spec("psutil")
        found = [str(PACKAGES), *self.folders]
        return (
            found
            if psutil is None or psutil.origin is None
            else [*found, str(Path(psutil.origin).parents[1])]
        )
