"""The README's jobs and its command for two machines, run as they stand: but for times and numbers."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from distributed_soaks import seconds_until_gone
from plugin_soaks import Finished, Project, wait_for
from test_distributed_resume import iterations
from test_docs import README
from test_plugin_resume import INI

from pytest_resilience.store.layout import newest_first
from pytest_resilience.store.reader import read
from pytest_resilience.store.run_data import RunData

SECTION = README.partition("## In CI and on many machines")[2].partition("\n## ")[0]
GITHUB, GITLAB = re.findall(r"```yaml\n(.*?)```", SECTION, re.DOTALL)
TWO_MACHINES = next(line for line in SECTION.splitlines() if line.startswith("pytest") and "ssh=" in line)
SOAK = "12s"
SSH = """#!/bin/sh
# Stands in for ssh: -C user@host command.
[ "$1" = -C ] && [ "$2" = ci@other ] || exit 9
shift 2
exec sh -c "$*"
"""


def commands(block: str) -> list[str]:
    """Return the shell commands of a job."""
    return re.findall(r"^ *- (?:run: )?((?:pip|timeout) .*)$", block, re.MULTILINE)


def one(pattern: str, block: str) -> str:
    """Return what stands there; all places must agree."""
    (found,) = set(re.findall(pattern, block))
    assert isinstance(found, str)
    return found


def smaller(command: str, *more: tuple[str, str]) -> list[str]:
    """Return the words of a command that soaks for seconds, with `more` of it replaced."""
    for was, now in (("--soak-hours=4", f"--soak-duration={SOAK}"), *more):
        assert was in command
        command = command.replace(was, now)
    return shlex.split(command)


def with_our_pytest(words: list[str]) -> list[str]:
    place = words.index("pytest")
    ours = ["-m", "pytest", "-p", "pytest_resilience.plugin", "-p", "xdist.plugin"]
    return [*words[:place], sys.executable, *ours, *words[place + 1 :]]


class Checkout:
    """A fresh checkout in which a job runs, with the cache of the jobs before it."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self._cache = folder, cache
        self.project = Project((), ini=INI)
        folder.mkdir()
        self.project.write(folder)
        if cache.exists():
            with tarfile.open(cache) as kept:
                kept.extractall(folder, filter="data")

    def keep(self, path: str) -> None:
        """Do what the cache does at the end of a job."""
        with tarfile.open(self._cache, "w") as kept:
            kept.add(self.folder / path, path.rstrip("/"))
        shutil.rmtree(self.folder)

    def start(self, words: list[str], **more: Any) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            with_our_pytest(words),
            cwd=self.folder,
            env={**self.project.environment, **more.pop("env", {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **more,
        )

    def run(self, words: list[str], env: Mapping[str, str] | None = None) -> Finished:
        with self.start(words, env=dict(env or {})) as process:
            output, _ = process.communicate(timeout=120)
        return Finished(self.folder, process.returncode, output)

    @property
    def data(self) -> RunData:
        return read(newest_first(self.folder / ".resilience")[0].database)


@pytest.mark.parametrize("block", [GITHUB, GITLAB], ids=["GitHub", "GitLab"])
def test_both_jobs_run_the_same_soak(block: str) -> None:
    """It may go on, it ends before the job does, and it writes what the job keeps."""
    install, soak = commands(block)
    assert install == "pip install -e . pytest-resilience"
    assert soak == "timeout 320m pytest --soak-hours=4 --soak-resume=auto -n 4 --junitxml=soak.xml"
    assert one(r"(?:timeout-minutes: |timeout: )(340|5h 40m)\b", block)
    assert "soak.xml" in block.partition("artifact")[2]
    assert ".resilience/runs/" in block.partition("artifact")[2]


def test_what_is_saved_is_what_is_restored() -> None:
    """The same path and key, each key once; another attempt of a commit finds the newest."""
    assert one(r"          path: (\S+)\n          key:", GITHUB) == ".resilience"
    key = one(r"          key: (.+)\n", GITHUB)
    prefix = one(r"          restore-keys: (.+)\n", GITHUB)
    assert key.startswith(prefix)
    assert key.endswith("${{ github.run_id }}-${{ github.run_attempt }}")
    assert GITHUB.count("if: always()") == 2
    assert one(r"    paths: \[(\S+)\]\n    when: always", GITLAB) == ".resilience/"


def test_a_job_goes_on_when_it_is_started_again(tmp_path: Path) -> None:
    """Once it was killed, once it ran out of time: a checkout each time, and the cache in between."""
    _, soak = commands(GITHUB)
    cache = tmp_path / "cache.tar"
    first = Checkout(tmp_path / "first", cache)
    words = smaller(soak, ("-n 4", "-n 2"))
    with first.start(words, start_new_session=True) as process:
        wait_for(first.folder, lambda data: iterations(data) > 50)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    seconds_until_gone([worker.pid for worker in first.data.workers], within=2)
    test_id = first.data.run.test_id
    first.keep(".resilience")
    second = Checkout(tmp_path / "second", cache)
    before = iterations(second.data)
    with second.start(words) as process:
        wait_for(second.folder, lambda data: iterations(data) > before + 50)
        process.send_signal(signal.SIGALRM)  # what tells `timeout` that the time is over
        cut = Finished(second.folder, process.wait(), process.communicate()[0])
    assert cut.code == 124, cut.output
    assert cut.report["status"] == "interrupted", "the report was written in time"
    assert (second.folder / "soak.xml").exists()
    second.keep(".resilience")
    third = Checkout(tmp_path / "third", cache)
    done = third.run(words)
    assert done.report["status"] == "complete", done.output
    assert "unmet" not in done.verdicts.values()
    assert done.report["test_id"] == test_id
    assert [row["number"] for row in done.report["attempts"]] == [1, 2, 3]
    assert [one.test_id for one in newest_first(third.folder / ".resilience")] == [test_id]
    assert (third.folder / "soak.xml").exists()


def test_two_machines_soak_and_go_on(tmp_path: Path) -> None:
    """Workers here, and behind ssh in a checkout of their own; killed here, the same command goes on."""
    other = Checkout(tmp_path / "other", tmp_path / "none")
    here = Checkout(tmp_path / "here", tmp_path / "none")
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(SSH)
    ssh.chmod(0o755)
    places = (("/srv/shop/.venv/bin/python", sys.executable), ("/srv/shop", str(other.folder)))
    words = smaller(TWO_MACHINES, ("4*", "1*"), *places)
    path = {"PATH": f"{ssh.parent}:{here.project.environment['PATH']}"}
    with here.start(words, env=path, start_new_session=True) as process:
        wait_for(here.folder, lambda data: len({one.worker for one in data.tallies}) == 2)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    seconds_until_gone([worker.pid for worker in here.data.workers], within=12)
    assert (other.folder / "torn_down").read_text() == "untouched", "faults were removed there, too"
    done = here.run(words, env=path)
    assert done.report["status"] == "complete", done.output
    assert {worker.name for worker in here.data.workers} == {"gw0", "gw1", "a2-gw0", "a2-gw1"}
    assert len({one.worker for one in here.data.tallies}) == 4
