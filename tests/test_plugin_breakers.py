"""Circuit breakers in ordinary tests: one is handed out, verified, or given a suite of its own in a line."""

import pytest

SHOP = """
import time

class Down(ConnectionError):
    pass

class Rejected(Exception):
    pass

class ShopBreaker:
    '''Opens after 3 failures; `deaf` makes it forget to close.'''

    def __init__(self, deaf=False):
        self.failures, self.opened_at, self.deaf = 0, None, deaf

    def call(self, function):
        if self.opened_at is not None and time.monotonic() - self.opened_at < 30:
            raise Rejected
        try:
            answer = function()
        except Exception:
            self.failures += 1
            if self.failures >= 3:
                self.opened_at = time.monotonic()
            raise
        if not self.deaf:
            self.failures, self.opened_at = 0, None
        return answer

def make():
    from pytest_resilience import BreakerAdapter
    return BreakerAdapter(ShopBreaker, call=ShopBreaker.call, threshold=3, open_seconds=30, clock=__name__)

def make_deaf():
    from pytest_resilience import BreakerAdapter
    deaf = lambda: ShopBreaker(deaf=True)
    return BreakerAdapter(deaf, call=ShopBreaker.call, threshold=3, open_seconds=30, clock=__name__)
"""

CONFTEST = """
import pybreaker
import pytest
import shop_breakers

SHARED = pybreaker.CircuitBreaker(fail_max=2, name="shared")

@pytest.fixture(scope="session")
def resilience_breakers():
    return {
        "test_circuit": SHARED,
        "factory": lambda: pybreaker.CircuitBreaker(fail_max=4),
        "own": shop_breakers.make(),
    }
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(shop_breakers=SHOP)
    pytester.makeconftest(CONFTEST)
    pytester.syspathinsert()
    return pytester


def run(project: pytest.Pytester, test: str, *arguments: str) -> pytest.RunResult:
    project.makepyfile(test)
    return project.runpytest_subprocess("-p", "no:randomly", "-p", "no:cacheprovider", *arguments)


def test_a_breaker_is_handed_out_fresh_and_comes_back_as_it_was(project: pytest.Pytester) -> None:
    """An open instance is closed for a test; what the test does to it is undone, also when it fails."""
    result = run(
        project,
        """
        import pytest
        from conftest import SHARED

        def fail():
            raise OSError

        def test_open_it_for_all():
            SHARED.open()

        def test_it_is_fresh(circuit_breaker):
            breaker = circuit_breaker("test_circuit")
            assert breaker is SHARED and breaker.current_state == "closed"
            with pytest.raises(OSError):
                breaker.call(fail)
            breaker.fail_max = 77
            assert 0, "planted"

        def test_it_is_as_it_was():
            assert (SHARED.current_state, SHARED.fail_counter, SHARED.fail_max) == ("open", 0, 2)

        def test_factories_and_own_breakers(circuit_breaker):
            assert circuit_breaker("factory").fail_max == 4
            assert circuit_breaker("factory") is not circuit_breaker("factory")
            assert type(circuit_breaker("own")).__name__ == "ShopBreaker"
        """,
    )
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["*AssertionError: planted*"])


def test_the_failure_of_a_verification_is_the_verdict(project: pytest.Pytester) -> None:
    """The first line has the numbers, the next ones what was expected, observed, and the calls."""
    result = run(
        project,
        """
        def test_good(breaker_tester):
            for name in ("test_circuit", "own", "shop_breakers:make"):
                breaker_tester.verify(name).must_pass()

        def test_bad(breaker_tester):
            breaker_tester.verify("shop_breakers:make_deaf").must_pass()
        """,
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "E *AssertionError: breaker 'shop_breakers:make_deaf': 1 of 3 applicable scenarios passed, *",
            "E * half_open_recovery: failed: expected *, but *; calls: failing entered x3, *",
        ]
    )


def test_how_strict_is_an_option_or_an_argument(project: pytest.Pytester) -> None:
    """Hazards of a breaker count only where that was asked for."""
    test = """
        def test_it(breaker_tester):
            assert breaker_tester.verify("test_circuit").passed
            assert not breaker_tester.verify("test_circuit", strictness="wrong").passed
        """
    run(project, test).assert_outcomes(passed=1)
    project.makeini("[pytest]\nresilience_breaker_strictness = wrong\n")
    run(project, test).assert_outcomes(failed=1)
    project.makeini("[pytest]\nresilience_breaker_strictness = rong\n")
    refused = run(project, test)
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(
        ["*resilience_breaker_strictness must be one of scenarios, wrong, strict, not 'rong'. Did*"]
    )


SUITE = """
from pytest_resilience import breaker_suite

test_shared = breaker_suite(
    "test_circuit",
    xfail={
        "interrupt_replaced": "pybreaker 1.4.1",
        "waits_for_hung_probe": "pybreaker 1.4.1",
        "closed_streams_open": "pybreaker 1.4.1",
        "kept_closed_by_raising_listener": "pybreaker 1.4.1",
        "coroutine_function_missed": "pybreaker 1.4.1",
    },
)
test_deaf = breaker_suite("shop_breakers:make_deaf", strictness="scenarios")
"""


def test_one_line_makes_a_test_of_each_check(project: pytest.Pytester) -> None:
    """Scenarios and hazards have their own ids, known defects are xfails, what does not apply is skipped."""
    result = run(project, SUITE, "-v", "-rs")
    outcomes = result.parseoutcomes()
    assert (outcomes["xfailed"], outcomes["failed"]) == (5, 2)
    assert outcomes["passed"] > 15
    result.stdout.fnmatch_lines_random(
        [
            "*::test_shared?failure_threshold? PASSED*",
            "*::test_shared?interrupt_replaced? XFAIL*",
            "*::test_deaf?half_open_recovery? FAILED*",
            "*::test_deaf?failure_threshold? FAILED*",
            "breaker 'shop_breakers:make_deaf': half_open_recovery failed: expected *",
            "calls: failing entered x3, *",
            "SKIPPED*: a sync call cannot be cancelled",
            "SKIPPED*: failed, but strictness 'wrong' leaves it out: *",
        ]
    )


def test_a_suite_is_selected_by_name_and_distributed(project: pytest.Pytester) -> None:
    """-k picks checks, and xdist spreads them over its workers."""
    result = run(project, SUITE, "-k", "test_shared and (threshold or listener_order)", "-n2")
    result.assert_outcomes(passed=2, skipped=2)


@pytest.mark.parametrize(
    ("test", "message"),
    [
        (
            "test_it = breaker_suite('test_circuit', xfail=['interupt_replaced'])",
            "breaker_suite's xfail must be the name of a scenario or hazard, not 'interupt_replaced'. Did",
        ),
        (
            "test_it = breaker_suite('test_circuit', strictness='rong')",
            "breaker_suite's strictness must be one of scenarios, wrong, strict, not 'rong'. Did you mean",
        ),
        (
            "test_it = breaker_suite('test_circus')",
            "'test_circus'. Did you mean 'test_circuit'? Or name its place: 'shop.breakers:make'.",
        ),
        (
            "test_it = breaker_suite('shop_breakers:made')",
            "A breaker under test must be 'package.module:name', not 'shop_breakers:made'. AttributeError: ",
        ),
        ("test_it = breaker_suite(3)", "Breaker 'int' must be a circuit breaker, or a function without"),
        (
            "def test_it(breaker_tester): breaker_tester.verify('test_circus')",
            "Did you mean 'test_circuit'?",
        ),
        (
            "def test_it(circuit_breaker): circuit_breaker('test_circus')",
            "Did you mean 'test_circuit'?",
        ),
        (
            "def test_it(breaker_tester): breaker_tester.verify('own', real_time=True)",
            "The open time of breaker 'own' must be at most 2 in real time, not 30",
        ),
    ],
)
def test_mistakes_are_told_in_a_line(project: pytest.Pytester, test: str, message: str) -> None:
    """What a user gets wrong names the value, what is allowed and the fix; nothing passes."""
    result = run(project, f"from pytest_resilience import breaker_suite\n{test}", "-x")
    outcomes = result.parseoutcomes()
    assert outcomes.get("passed", 0) == 0
    assert outcomes.get("failed", 0) + outcomes.get("errors", 0) == 1
    assert message in result.stdout.str().replace("\nE  ", "")


def test_real_time_is_waited_for(project: pytest.Pytester) -> None:
    """With real_time the same checks pass by the machine's clock, on an open time that is made short."""
    result = run(
        project,
        """
        import time

        def test_it(breaker_tester):
            begun = time.monotonic()
            report = breaker_tester.verify("test_circuit", real_time=True)
            report.must_pass()
            assert 0.5 < time.monotonic() - begun < 30
            skipped = {one.hazard: one.detail for one in report.hazards if one.verdict == "not_applicable"}
            assert skipped["clock_set_back"] == "the clock of the machine is not stepped"
        """,
    )
    result.assert_outcomes(passed=1)


SERVICES = """
import pytest

@pytest.fixture(scope="session")
def resilience_services():
    from pytest_resilience import Service
    return [Service("shop", needs=["database"]), Service("database")]
"""


def test_cascades_in_a_test(project: pytest.Pytester) -> None:
    """A topology, or the services that are declared; the failure is the verdict."""
    result = run(
        project,
        SERVICES
        + """
        def test_services(breaker_tester):
            report = breaker_tester.cascade("test_circuit", modes=["outage"])
            report.must_pass()
            assert report.cascades[0].edges == 1

        def test_topology(breaker_tester):
            report = breaker_tester.cascade(
                "factory", {"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}, fan_out="in_turn", retries=2
            )
            report.must_pass()

        def test_too_many(breaker_tester):
            breaker_tester.cascade("own", max_services_down=1).must_pass()

        def test_wrong(breaker_tester):
            breaker_tester.cascade("own", modes=["outrage"])
        """.replace("\n        ", "\n"),
    )
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*AssertionError: breaker 'own': 0 of 15 cascades contained and healed, at most 2 services down*",
            "*linear, outage: failed: outage of database: 1 of 1 breakers opened, 2 of 2 services*",
            "*Each of modes must be a failure mode, not 'outrage'. Did you mean*",
        ]
    )
    result.stdout.no_fnmatch_line("*breaker_fixtures.py*")


def test_cascades_without_services(project: pytest.Pytester) -> None:
    """Where nothing is declared the error says what to give."""
    result = run(project, "def test(breaker_tester):\n    breaker_tester.cascade('own')")
    result.stdout.fnmatch_lines(["*There is no topology to run cascades over. Give one, as {'shop': *"])


def test_the_ini_sets_up_cascades(project: pytest.Pytester) -> None:
    """Fan-out, retries and the limit come from the ini where a test does not say."""
    project.makeini(
        "[pytest]\nresilience_max_services_down = 1\nresilience_cascade_fan_out = in_turn\n"
        "resilience_cascade_retries = 1"
    )
    test = "def test(breaker_tester):\n    breaker_tester.cascade('own', {'a': ['b'], 'b': []}).must_pass()"
    run(project, test).stdout.fnmatch_lines(["*more services down at once than max_services_down=1*"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "max_services_down = 0",
            "*resilience_max_services_down must be a whole number of at least 1, not*",
        ),
        ("cascade_fan_out = turn", "*resilience_cascade_fan_out must be in_turn or parallel, not 'turn'.*"),
        ("cascade_retries = 11", "*resilience_cascade_retries must be at most 10, not '11'.*"),
    ],
)
def test_wrong_settings_of_cascades_end_with_4(project: pytest.Pytester, line: str, message: str) -> None:
    """The ini is read before anything runs."""
    project.makeini(f"[pytest]\nresilience_{line}")
    result = run(project, "def test():\n    pass")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


def test_exploring_in_a_test(project: pytest.Pytester) -> None:
    """The failure has the verdict and a script to paste."""
    result = run(
        project,
        """
        import pybreaker

        def test_right(breaker_tester):
            from pytest_resilience.breakers.reference import reference_adapter
            breaker_tester.explore(reference_adapter(), examples=10).must_pass()

        def test_found(breaker_tester):
            breaker_tester.explore("test_circuit", examples=0, seed=5).must_pass()
        """,
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*breaker 'test_circuit': 3 defects in * sequences*(seed 5)",
            "*# pybreaker 1.*, Python 3.*: the caller of b must get KeyboardInterrupt*",
        ]
    )
    result.stdout.no_fnmatch_line("*breaker_fixtures.py*")
