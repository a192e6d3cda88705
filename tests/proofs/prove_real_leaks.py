"""Leaks of real, released packages: found in the version that has them, silent in the one that mends them.

Each case installs one version of one package from the registry into a folder of its own, and soaks a suite of
one test that uses it, in a process of its own. The report must name the kind of the leak, and who holds it.

Run: python tests/proofs/prove_real_leaks.py [package ...] [--duration 45s] [--at-once 2] [--keep FOLDER]
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INI = """
[pytest]
resilience_enable_chaos_testing = false
resilience_enable_circuit_breaker_testing = false
resilience_enable_cascading_failure_testing = false
soak_phases =
    MEMORY_SOAK_TESTING = 75%
"""

AIOHTTP = """
import asyncio
import pytest
from aiohttp import ClientSession, web

@web.middleware
async def nothing(request, handler):
    return await handler(request)

@pytest.fixture(scope="session")
def loop():
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()

@pytest.fixture(scope="session")
def site(loop):
    async def start():
        runner = web.AppRunner(web.Application(middlewares=[nothing]))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner, ClientSession()
    runner, session = loop.run_until_complete(start())
    yield session, f"http://127.0.0.1:{runner.addresses[0][1]}/nowhere"
    loop.run_until_complete(session.close())
    loop.run_until_complete(runner.cleanup())

@pytest.mark.soak
def test_unknown_page(site, loop):
    session, address = site
    async def ask():
        async with session.get(address) as answer:
            return answer.status
    assert loop.run_until_complete(ask()) == 404
"""

ASGIREF = """
import threading
import pytest
from asgiref.local import Local

local = Local()

@pytest.mark.soak
def test_each_thread_has_its_own():
    def work():
        local.name = "mine"
    for _ in range(10):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert not hasattr(local, "name")
"""

FLAKE8 = """
import argparse
import pytest
from flake8.style_guide import StyleGuideManager

LISTS = ("select", "ignore", "extended_default_select", "extended_default_ignore", "enable_extensions",
         "extend_select", "extend_ignore", "per_file_ignores")

@pytest.mark.soak
def test_a_style_guide_for_a_file():
    options = argparse.Namespace(disable_noqa=False, show_source=False, **{name: [] for name in LISTS})
    assert StyleGuideManager(options, None).style_guide_for("shop.py")
"""

MULTIDICT = """
from itertools import count
import pytest
from multidict import MultiDict

numbers = count()

@pytest.mark.soak
def test_deleted_headers():
    for _ in range(20):
        name = f"header-{next(numbers)}"
        headers = MultiDict({name: "value"})
        del headers[name]
        assert not headers
"""

GENSHI = """
from itertools import count
import pytest
from genshi.core import Markup

numbers = count()

@pytest.mark.soak
def test_values_are_escaped():
    for _ in range(20):
        assert "&lt;" in Markup("<b>%(name)s</b>") % {"name": f"<{next(numbers)}"}
"""

GITPYTHON = """
import pathlib, tempfile, time
import pytest
from git import IndexFile, Repo

@pytest.fixture(scope="session")
def repository():
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "a.txt").write_text("a")
        repository = Repo.init(folder)
        repository.index.add(["a.txt"])
        yield repository

@pytest.mark.soak
def test_index(repository):
    assert len(IndexFile(repository).entries) == 1
    time.sleep(0.01)  # or the descriptors run out
"""

SLACK = """
import time
import pytest
from slack_sdk.socket_mode.builtin.client import SocketModeClient

class Client(SocketModeClient):
    def process_messages(self):  # the original waits a second for a message
        pass

@pytest.mark.soak
def test_a_client_that_is_closed():
    Client(app_token="xapp-1", concurrency=1).close()
    time.sleep(0.1)  # each thread that stays wakes ten times a second
"""

PENDULUM = """
import pendulum
import pytest

@pytest.mark.soak
def test_no_date():
    with pytest.raises(ValueError):
        pendulum.parse("not a date")
"""


@dataclass(frozen=True)
class Package:
    """A package, the version that leaks and the one that does not; `holder` is expected in the first line."""

    name: str
    leaks: str
    mended: str
    test: str
    holder: str
    kind: str = "Python objects"
    needs: tuple[str, ...] = ()
    built: bool = False


PACKAGES = (
    Package("aiohttp", "3.10.10", "3.10.11", AIOHTTP, "aiohttp.web_app._build_middlewares"),
    Package("asgiref", "3.2.7", "3.2.8", ASGIREF, "_context_refs"),
    Package("flake8", "4.0.1", "5.0.4", FLAKE8, "flake8.style_guide.StyleGuideManager.style_guide_for"),
    Package("multidict", "6.6.3", "6.6.4", MULTIDICT, "test_package.py"),
    Package("Genshi", "0.7.9", "0.7.12", GENSHI, "test_package.py", needs=("six",), built=True),
    Package(
        *("GitPython", "3.1.25", "3.1.26", GITPYTHON, "/.git/index", "descriptors"),
        needs=("gitdb==4.0.10", "smmap==5.0.0"),
    ),
    Package("slack_sdk", "3.44.1", "3.45.0", SLACK, "IntervalRunner", "threads"),
    Package(
        *("pendulum", "2.1.2", "3.0.0", PENDULUM, "pendulum/parsing", "native"),
        needs=("python-dateutil==2.9.0.post0", "pytzdata==2020.1", "tzdata", "six"),
    ),
)


@dataclass(frozen=True)
class Outcome:
    """What a soak said about memory."""

    package: Package
    version: str
    verdict: str
    line: str
    kinds: tuple[str, ...]
    iterations: int

    @property
    def leaks(self) -> bool:
        return self.version == self.package.leaks

    @property
    def found(self) -> bool:
        return self.verdict == "unmet"

    @property
    def row(self) -> str:
        kind = self.kinds[0] if self.kinds else ""
        held = "yes" if self.package.holder in self.line else "no" if self.leaks else ""
        truth = "leaks" if self.leaks else "mended"
        cells = (
            f"{self.package.name} {self.version}",
            truth,
            self.verdict,
            kind,
            held,
            f"{self.iterations:,}",
            self.line,
        )
        return f"| {' | '.join(cells)} |"


def install(package: Package, version: str, folder: Path) -> None:
    """Install one version with pip, into a folder that no other one sees."""
    binary = ["--no-binary", package.name] if package.built else []
    wanted = [f"{package.name}=={version}", *package.needs]
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", *binary, "--target", str(folder)]
    subprocess.run([*command, *wanted], check=True, capture_output=True, text=True)


def soak(package: Package, version: str, folder: Path, duration: str) -> Outcome:
    """Soak the test of a package with one of its versions."""
    libraries = folder / "libraries"
    install(package, version, libraries)
    (folder / "pytest.ini").write_text(INI)
    (folder / "test_package.py").write_text(package.test)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--soak-duration={duration}"]
    done = subprocess.run(
        [*command, "--resilience-seed=1"],
        cwd=folder,
        env={"PYTHONPATH": str(libraries), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    (folder / "output.txt").write_text(done.stdout + done.stderr)
    report: dict[str, Any] = json.loads((folder / ".resilience" / "latest" / "report.json").read_text())
    row = next(one for one in report["criteria"] if one["criterion"] == "memory_leak_detected")
    kinds = tuple(leak["kind"] for leak in report["leaks"])
    return Outcome(package, version, row["verdict"], row["detail"], kinds, report["iterations"])


def cases(names: Sequence[str]) -> Iterator[tuple[Package, str]]:
    """Yield each version of the packages."""
    for package in PACKAGES:
        if not names or package.name in names:
            yield package, package.leaks
            yield package, package.mended


def main() -> int:
    """Soak them all, print the table, and fail if a verdict is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("packages", nargs="*")
    parser.add_argument("--duration", default="45s")
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="a folder for the projects and their reports")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(given.at_once) as pool:
        root = given.keep or Path(temporary)

        def run(case: tuple[Package, str]) -> Outcome:
            package, version = case
            folder = root / f"{package.name}-{version}"
            folder.mkdir(parents=True)
            outcome = soak(package, version, folder, given.duration)
            print(outcome.row, flush=True)
            return outcome

        outcomes = list(pool.map(run, cases(given.packages)))
    wrong = [one for one in outcomes if one.found != one.leaks]
    wrong += [one for one in outcomes if one.leaks and one.package.kind not in one.kinds[:1]]
    print(f"{len(outcomes) - len(wrong)} of {len(outcomes)} verdicts are right")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(main())
