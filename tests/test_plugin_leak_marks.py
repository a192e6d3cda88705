"""The marker `leak_limit`: a test is looped, and fails with who holds what it leaves."""

from collections.abc import Mapping

import pytest
from plugin_soaks import Finished, Project, run_together

TESTS = """
import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import unittest
import pytest
import shop

log = {}

@pytest.fixture(autouse=True)
def counted(request):
    shop.count[request.node.name] = shop.count.get(request.node.name, 0) + 1
    yield

@pytest.mark.leak_limit("1 KiB per iteration", iterations=50)
def test_leaks():
    shop.kept.append({"a": os.urandom(3000)})

@pytest.mark.leak_limit("1 KiB per iteration", iterations=50)
def test_clean(tmp_path, capsys):
    (tmp_path / "file").write_text("new")
    print("x" * 1000)

@pytest.mark.leak_limit("8 KiB", iterations=50)
def test_within_its_limit():
    shop.kept.append(os.urandom(3000))

@pytest.mark.leak_limit(iterations=50)
def test_cache_that_fills():
    shop.cached[len(shop.cached) % 30] = os.urandom(3000)

@pytest.mark.leak_limit("1 KiB", iterations=30)
async def test_async_leaks():
    await asyncio.sleep(0)
    shop.kept.append([os.urandom(3000)])

@pytest.mark.leak_limit("1 KiB", iterations=30)
async def test_async_clean():
    await asyncio.sleep(0)

@pytest.mark.leak_limit(fds=0, iterations=20)
def test_descriptors():
    shop.kept.append(open("/dev/null"))

@pytest.mark.leak_limit(threads=0, iterations=20)
def test_threads():
    threading.Thread(target=shop.wait, daemon=True).start()

@pytest.mark.leak_limit(children=0, iterations=20)
def test_children():
    shop.kept.append(subprocess.Popen(["sleep", "60"]))

class TestCase(unittest.TestCase):
    @pytest.mark.leak_limit("100 B", iterations=20)
    def test_of_unittest(self):
        shop.kept.append(os.urandom(3000))

@pytest.mark.leak_limit("1 KiB", iterations=20)
@pytest.mark.parametrize("size", [3000, 10])
def test_parameters(size):
    shop.kept.append(bytearray(size))

@pytest.mark.leak_limit("1 KiB", iterations=20)
@pytest.mark.xfail(strict=True, reason="known leak")
def test_known_leak():
    shop.kept.append(os.urandom(3000))

@pytest.mark.leak_limit(iterations=20)
def test_fails_when_repeated():
    log["runs"] = log.get("runs", 0) + 1
    assert log["runs"] != 7

@pytest.mark.leak_limit(iterations=20)
def test_fails():
    assert shop.kept is None

@pytest.mark.leak_limit(iterations=20)
def test_skips():
    pytest.skip("not here")

@pytest.mark.leak_limit("1 furlong")
def test_wrong_size():
    pass

@pytest.mark.leak_limit("1 KiB", "2 KiB")
def test_wrong_arguments():
    pass

def test_unmarked():
    assert shop.count["test_clean"] >= 5 + 50 + 1
    assert shop.count["test_unmarked"] == 1
    for child in shop.kept:
        if isinstance(child, subprocess.Popen):
            child.kill()
            child.wait()
"""
SHOP = """
import time

kept = []
cached = {}
count = {}

def wait():
    time.sleep(60)
"""
FILES = {"test_shop.py": TESTS, "shop.py": SHOP, "conftest.py": ""}
INI = "asyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
ASYNCIO = ("pytest_asyncio.plugin",)
PROJECTS = {
    "alone": Project(("-rA", "-p", "no:cacheprovider"), INI, FILES, plugins=ASYNCIO),
    "xdist": Project(
        ("-rA", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadfile"),
        INI,
        FILES,
        plugins=(*ASYNCIO, "xdist.plugin"),
    ),
    "soak": Project(
        ("--soak-duration=2s", "-k", "test_soaked"),
        "resilience_enable_memory_monitoring = false\nresilience_enable_chaos_testing = false\n",
        {
            "conftest.py": "",
            "test_shop.py": """
import pytest

@pytest.mark.soak
@pytest.mark.leak_limit
def test_soaked():
    pass
""",
        },
    ),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Finished]:
    """Run the projects side by side."""
    return run_together(tmp_path_factory.mktemp("leaks"), PROJECTS)


PASSED = (
    "test_clean",
    "test_within_its_limit",
    "test_cache_that_fills",
    "test_async_clean",
    "test_parameters[10]",
    "test_unmarked",
)
AGAIN = "in each of 3 rounds of 20 iterations"
FAILED = {
    "test_leaks": "KiB/iteration of dict, held by shop.kept (limit 1.0 KiB/iteration), in each of 3 rounds",
    "test_async_leaks": "KiB/iteration of list, held by shop.kept (limit 1.0 KiB/iteration), in each of 3",
    "test_descriptors": f"leak: 20 descriptors more (limit 0), {AGAIN}: file /dev/null",
    "test_threads": f"leak: 20 threads more (limit 0), {AGAIN}: thread Thread-N (wait) running shop.wait",
    "test_children": f"leak: 20 child processes more (limit 0), {AGAIN}: process sleep 60",
    "TestCase::test_of_unittest": "of bytes, held by shop.kept (limit 100 B/iteration)",
    "test_parameters[3000]": "of bytearray, held by shop.kept (limit 1.0 KiB/iteration)",
    "test_fails_when_repeated": "failed when repeated, in iteration 7:",
    "test_fails": "assert [",
    "test_wrong_size": (
        "@pytest.mark.leak_limit: The limit must be a size in B, KiB, MiB, kB or MB, not '1 furlong'. "
        'Write "1 KiB per iteration".'
    ),
    "test_wrong_arguments": "@pytest.mark.leak_limit is wrong (",
}
WAYS = ("alone", "xdist")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", PASSED)
def test_what_leaves_nothing_passes(runs: Mapping[str, Finished], name: str, way: str) -> None:
    """Clean tests, leaks within the limit, caches that fill, tests without the marker."""
    assert f"PASSED test_shop.py::{name}\n" in runs[way].output, runs[way].output


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FAILED)
def test_what_leaves_too_much_fails_with_its_holder(
    runs: Mapping[str, Finished], name: str, way: str
) -> None:
    """The verdict with numbers and the culprit in the first line."""
    output = runs[way].output
    outcome = "ERROR" if name.startswith("test_wrong") else "FAILED"
    assert f"{outcome} test_shop.py::{name}" in output, output
    assert FAILED[name] in output


@pytest.mark.parametrize("way", WAYS)
def test_skips_and_expected_failures_stay_what_they_are(runs: Mapping[str, Finished], way: str) -> None:
    """A test that skips is skipped, and a leak that is expected is an expected failure."""
    assert "XFAIL test_shop.py::test_known_leak" in runs[way].output
    assert "1 skipped" in runs[way].output
    assert f"{len(PASSED)} passed" in runs[way].output


def test_the_allocating_line_is_named(runs: Mapping[str, Finished]) -> None:
    """Tracing knows where what stays was made."""
    assert "/iteration allocated at test_shop.py:21" in runs["alone"].output


def test_a_soak_does_not_loop_it_once_more(runs: Mapping[str, Finished]) -> None:
    """An iteration of the soak is one run of the test."""
    assert runs["soak"].tests["test_soaked"]["iterations"] > 300, runs["soak"].output
