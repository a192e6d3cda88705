"""How pytest-xdist's options shape a soak: modes of distribution, and what runs in one process after all."""

import re
from collections import Counter
from pathlib import Path

import pytest
from distributed_soaks import CHAOS, distributed, read_of, workers
from plugin_soaks import Finished, run, run_together

MODULE = """
import os
import pytest
import shop

@pytest.mark.soak
@pytest.mark.parametrize("game", ["a", "b"])
def test_quote(game, request):
    seen = request.config.rootpath / "seen"
    seen.mkdir(exist_ok=True)
    (seen / f"{request.module.__name__}.{os.environ['PYTEST_XDIST_WORKER']}").touch()
    assert shop.quote(game) > 0
"""
GROUPED = MODULE.replace("def test_quote", '@pytest.mark.xdist_group("all")\ndef test_quote')
TWO = {"test_shop.py": MODULE, "test_more.py": MODULE}


def seen(done: Finished) -> dict[str, set[str]]:
    """Return the workers that ran the tests of each module."""
    found: dict[str, set[str]] = {}
    for path in (done.folder / "seen").iterdir():
        module, _, worker = path.name.partition(".")
        found.setdefault(module, set()).add(worker)
    return found


def test_two_workers_give_one_report(tmp_path: Path) -> None:
    """One event for all, sums of what they did, one verdict for each criterion, in JUnit too."""
    done = run(tmp_path, distributed("-n2", "--junitxml=soak.xml", ini=CHAOS, duration="16s"))
    assert done.code == 0, done.output
    assert {one.status for one in workers(tmp_path).values()} == {"ended"}
    data = read_of(tmp_path)
    by_worker = Counter({"gw0": 0, "gw1": 0})
    for tally in data.tallies:
        by_worker[tally.worker] += tally.iterations
    assert min(by_worker.values()) > 50
    assert by_worker.total() == done.report["iterations"]
    assert by_worker.total() == sum(row["iterations"] for row in done.phases.values())
    assert len({event.event_id for event in data.events}) == len(data.events) > 0
    metrics = {(one.event_id, one.worker) for one in data.event_metrics}
    assert metrics == {(event.event_id, name) for event in data.events for name in ("gw0", "gw1")}
    assert done.verdicts["worker_crashes"] == "met"
    assert done.tests.keys() == {"test_quote"}
    assert (tmp_path / "soak.xml").read_text().count("resilience.test_id") == 1
    assert done.output.count("PASSED: ") == 1
    assert done.torn_down == "untouched"


def test_modes_without_groups_let_every_worker_loop_all_tests(tmp_path: Path) -> None:
    """Under load, worksteal and each."""
    modes = ("load", "worksteal", "each")
    done = run_together(tmp_path, {mode: distributed("-n2", f"--dist={mode}", files=TWO) for mode in modes})
    for one in done.values():
        assert one.verdicts["worker_crashes"] == "met", one.output
        assert seen(one) == {"test_shop": {"gw0", "gw1"}, "test_more": {"gw0", "gw1"}}


def test_groups_stay_in_one_worker(tmp_path: Path) -> None:
    """Under loadfile and loadscope a file, under loadgroup a named group; who has none stands by."""
    done = run_together(
        tmp_path,
        {
            "loadfile": distributed("-n2", "--dist=loadfile", files=TWO),
            "loadscope": distributed("-n3", "--dist=loadscope", files=TWO),
            "loadgroup": distributed("-n2", "--dist=loadgroup", files={"test_shop.py": GROUPED}),
        },
    )
    for mode, one in done.items():
        assert one.verdicts["worker_crashes"] == "met", one.output
        assert all(len(names) == 1 for names in seen(one).values()), mode
    assert len(set.union(*seen(done["loadfile"]).values())) == 2
    assert (
        "--dist loadscope keeps a group of tests in one worker, and there are only 2 groups: "
        "1 worker of 3 will do nothing" in done["loadscope"].output
    )
    assert "will do nothing" not in done["loadfile"].output
    assert done["loadgroup"].tests.keys() >= {"test_quote[a]", "test_quote[b]"}


@pytest.mark.parametrize("arguments", [("-n0",), ("--dist=no", "--tx=2*popen")])
def test_without_workers_a_soak_runs_here(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """-n 0 and --dist no are as if nothing had been said."""
    done = run(tmp_path, distributed(*arguments, duration="2s"))
    assert done.code == 0, done.output
    assert done.report["workers"] == []
    assert done.verdicts["worker_crashes"] == "not_applicable"


def test_the_plan_is_printed_once(tmp_path: Path) -> None:
    """No worker is started for it; it says how many there would be."""
    done = run(tmp_path, distributed("-n2", "--soak-plan"))
    assert done.code == 0, done.output
    head = "soak of 4.0s, seed .* intensity medium, 2 workers of pytest-xdist"
    assert len(re.findall(head, done.output)) == 1
    assert "bringing up nodes" not in done.output
    assert not done.soaked


def test_what_runs_no_test_starts_no_worker(tmp_path: Path) -> None:
    """--collect-only and --setup-only do with -n what they do without."""
    done = run_together(
        tmp_path, {name: distributed("-n2", f"--{name}") for name in ("collect-only", "setup-only")}
    )
    for one in done.values():
        assert one.code == 0, one.output
        assert not one.soaked
