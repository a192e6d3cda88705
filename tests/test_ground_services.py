"""Services: what is declared wrongly is said at once, with the fix."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.errors import ServiceError
from pytest_resilience.services import Service, index_services


def message(**fields: Any) -> str:
    """Return what is said about a wrong declaration."""
    with pytest.raises(ServiceError) as wrong:
        Service(**fields)
    assert "\n" not in str(wrong.value)
    return str(wrong.value)


def test_a_declaration_is_frozen_data() -> None:
    """Lists become tuples, so that nobody changes a service behind the back of the run."""
    calls = ["shop.odds:fetch"]
    service = Service("odds", calls=calls, errors=[ConnectionError], needs=["cache"])
    calls.append("shop.odds:other")
    assert service == Service("odds", ("shop.odds:fetch",), (ConnectionError,), needs=("cache",))
    assert service.timeout is None
    assert service.timeout_error is TimeoutError


@pytest.mark.parametrize("name", ["", "   ", None, 5])
def test_a_service_needs_a_name(name: object) -> None:
    """The message shows what was given instead."""
    assert message(name=name) == f"Service name must be a non-empty string, not {name!r}."


@pytest.mark.parametrize("field", ["calls", "errors", "needs"])
@pytest.mark.parametrize("value", ["shop.odds:fetch", None, 3])
def test_a_list_is_asked_for_where_one_belongs(field: str, value: object) -> None:
    """The fix shows the value in a list."""
    assert message(name="odds", **{field: value}) == (
        f"Service('odds').{field} must be a list, not {value!r}. Write {field}=[{value!r}]."
    )


@pytest.mark.parametrize(
    ("field", "value", "written"),
    [
        ("errors", ConnectionError, "errors=[ConnectionError]"),
        ("calls", Path.exists, "calls=[Path.exists]"),
        ("calls", len, "calls=[len]"),
    ],
)
def test_the_fix_for_a_lone_type_or_function_is_python(field: str, value: object, written: str) -> None:
    """It is written by its name."""
    assert message(name="odds", **{field: value}).endswith(f" Write {written}.")


@pytest.mark.parametrize("timeout", ["2", True, None.__class__, [2]])
def test_a_timeout_is_a_number(timeout: object) -> None:
    """Text and booleans are no seconds."""
    assert message(name="odds", timeout=timeout) == (
        f"Service('odds').timeout must be a number of seconds, not {timeout!r}."
    )


@pytest.mark.parametrize("timeout", [0, -1.5, float("nan"), float("inf")])
def test_a_timeout_is_finite_and_above_zero(timeout: float) -> None:
    """A call that gives up at once, or never, has no timeout."""
    assert message(name="odds", timeout=timeout) == (
        f"Service('odds').timeout must be finite and above 0, not {timeout!r}."
    )


def test_a_need_is_a_name() -> None:
    """A Service in place of its name is a mistake that is easily made."""
    cache = Service("cache")
    assert (
        message(name="odds", needs=[cache]) == f"Each of Service('odds').needs must be a name, not {cache!r}."
    )


@pytest.mark.parametrize("field", ["errors", "timeout_error"])
def test_an_error_that_cannot_be_built_is_found_at_once(field: str) -> None:
    """Not in the middle of a soak."""
    value: object = [UnicodeDecodeError] if field == "errors" else UnicodeDecodeError
    said = message(name="odds", **{field: value})
    assert said.startswith("A service's error must be a type that can be built from one message, ")
    assert said.endswith("give an instance or a factory instead.")


def test_services_are_indexed_by_name_in_their_order() -> None:
    """The same declaration seen twice, by two modules, is one service."""
    odds, cache = Service("odds", needs=["cache"]), Service("cache")
    assert list(index_services([odds, cache, Service("cache")])) == ["odds", "cache"]


@pytest.mark.parametrize(
    ("services", "text"),
    [
        (["odds"], "Each of resilience_services must be a Service, not 'odds'."),
        (
            [Service("odds"), Service("odds", timeout=1)],
            "Service 'odds' is declared twice, differently. Give each one its own name.",
        ),
        (
            [Service("odds", needs=["cashe"]), Service("cache")],
            "Service 'odds' needs 'cashe', which is not declared. Did you mean 'cache'?",
        ),
    ],
)
def test_a_wrong_list_of_services(services: Sequence[Any], text: str) -> None:
    """Each mistake has its own sentence."""
    with pytest.raises(ServiceError) as wrong:
        index_services(services)
    assert str(wrong.value) == text


@given(
    st.dictionaries(
        st.text("abcde", min_size=1), st.lists(st.text("abcde", min_size=1), max_size=3), max_size=6
    )
)
def test_an_index_is_given_exactly_when_every_need_is_declared(needs: dict[str, list[str]]) -> None:
    """Cycles and self-needs are allowed: a topology may have them."""
    services = [Service(name, needs=wanted) for name, wanted in needs.items()]
    if all(need in needs for wanted in needs.values() for need in wanted):
        assert {name: list(one.needs) for name, one in index_services(services).items()} == needs
    else:
        with pytest.raises(ServiceError, match="which is not declared"):
            index_services(services)
