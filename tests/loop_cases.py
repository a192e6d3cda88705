"""Tests that make pytest keep something of each run, unless the loop drops it."""

from pathlib import Path

HEAD = """
import logging, sys, time, unittest, warnings
import pytest
START = time.monotonic()
"""

SHARED_BY_MODULE = """
@pytest.fixture(scope="module")
def shared():
    yield object()
def test(shared): pass
"""

CASES = {
    "nothing": "def test(): pass",
    "session fixture": """
@pytest.fixture(scope="session")
def shared(): return object()
def test(shared): pass
""",
    "module fixture": SHARED_BY_MODULE,
    "class fixture": """
class TestIt:
    @pytest.fixture(scope="class")
    def shared(self): return object()
    def test(self, shared): pass
""",
    "function fixture on session fixture": """
@pytest.fixture(scope="session")
def shared(): return object()
@pytest.fixture
def own(shared):
    yield shared
def test(own): pass
""",
    "fixture asked for by name": """
@pytest.fixture(scope="session")
def shared(): return object()
@pytest.fixture
def own(request): return request.getfixturevalue("shared")
def test(own): pass
""",
    "print": "def test(): print('x' * 80); print('y' * 80, file=sys.stderr)",
    "warning": "def test(): warnings.warn('old')",
    "warning of changing text": "def test(): warnings.warn(f'old {time.monotonic()}')",
    "failure": "def test(): assert time.monotonic() < START + 5",
    "failure of changing text": """
def test():
    if time.monotonic() > START + 5: raise ValueError(time.monotonic())
""",
    "skip": "def test(): pytest.skip('not today')",
    "expected failure": """
@pytest.mark.xfail
def test(): raise ValueError
""",
    "subtests": """
def test(subtests):
    for number in range(3):
        with subtests.test(number=number): pass
""",
    "failing subtests": """
def test(subtests):
    with subtests.test("fails later"): assert time.monotonic() < START + 5
""",
    "subtests of unittest": """
class TestIt(unittest.TestCase):
    def test(self):
        for number in range(3):
            with self.subTest(number=number): self.assertGreater(number, -1)
""",
    "tmp_path": "def test(tmp_path): (tmp_path / 'file').write_text('x')",
    "failure with tmp_path": """
def test(tmp_path):
    (tmp_path / 'file').write_text('x')
    assert time.monotonic() < START + 5
""",
    "log": "def test(): logging.getLogger('shop').warning('sold %d', 3)",
    "caplog and capsys": """
def test(caplog, capsys):
    print('x')
    logging.getLogger('shop').warning('sold')
    assert caplog.records and capsys.readouterr().out
""",
    "record_property": "def test(record_property): record_property('sold', 3)",
    "parameters": """
@pytest.mark.parametrize('number', range(10))
def test(number): pass
""",
    "parameters of a session fixture": """
@pytest.fixture(scope="session", params=range(3))
def shared(request): return request.param
def test(shared): pass
""",
    "unittest": """
class TestIt(unittest.TestCase):
    @classmethod
    def setUpClass(cls): cls.shared = object()
    def setUp(self): self.own = object()
    def test(self): self.assertTrue(self.own)
""",
    "monkeypatch": "def test(monkeypatch): monkeypatch.setenv('SOLD', '3')",
    "finalizer": "def test(request): request.addfinalizer(lambda: None)",
    "module fixture, two modules": SHARED_BY_MODULE,
}


def write_case(case: str, folder: Path) -> None:
    """Write the test modules of a case."""
    modules = ["test_it.py", "test_other.py"] if case.endswith("two modules") else ["test_it.py"]
    for module in modules:
        (folder / module).write_text(HEAD + CASES[case])
