"""Endpoints: every spelling that users write, and what is said about the others."""

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_resilience.endpoints import Endpoint, EndpointSpec, parse_endpoint
from pytest_resilience.errors import ServiceError

NAME = "Service('database').endpoint"
HOST = st.from_regex(r"[a-z][a-z0-9-]{0,20}(\.[a-z0-9-]{1,10}){0,2}", fullmatch=True)
IPV4 = st.ip_addresses(v=4).map(str)
IPV6 = st.ip_addresses(v=6).map(str)
PORT = st.integers(1, 65535)
PATH = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1)
ENDPOINTS = st.builds(Endpoint, HOST | IPV4 | IPV6, PORT) | st.builds(lambda path: Endpoint(path=path), PATH)


@pytest.mark.parametrize(
    ("written", "endpoint", "shown"),
    [
        ("127.0.0.1:5432", Endpoint("127.0.0.1", 5432), "127.0.0.1:5432"),
        ("localhost:1", Endpoint("localhost", 1), "localhost:1"),
        ("db.internal:65535", Endpoint("db.internal", 65535), "db.internal:65535"),
        (("127.0.0.1", 6379), Endpoint("127.0.0.1", 6379), "127.0.0.1:6379"),
        ("[::1]:80", Endpoint("::1", 80), "[::1]:80"),
        (("::1", 80), Endpoint("::1", 80), "[::1]:80"),
        (("[::1]", 80), Endpoint("::1", 80), "[::1]:80"),
        ("::1:80", Endpoint("::1", 80), "[::1]:80"),
        ("[fe80::1%eth0]:80", Endpoint("fe80::1%eth0", 80), "[fe80::1%eth0]:80"),
        ("unix:/run/redis.sock", Endpoint(path="/run/redis.sock"), "unix:/run/redis.sock"),
        ("unix:a b:1", Endpoint(path="a b:1"), "unix:a b:1"),
        (Endpoint("cache", 11211), Endpoint("cache", 11211), "cache:11211"),
    ],
)
def test_every_spelling_is_read(written: EndpointSpec, endpoint: Endpoint, shown: str) -> None:
    """And written in one form."""
    assert parse_endpoint(written, NAME) == endpoint
    assert str(endpoint) == shown


@pytest.mark.parametrize(
    "written",
    [
        "",
        "5432",
        "localhost",
        "localhost:",
        ":5432",
        "[]:5432",
        "::1",
        "[::1]",
        "[::1:80",
        "redis://127.0.0.1:6379",
        "postgresql://shop@127.0.0.1/shop:5432",
        "local host:80",
        "localhost:0",
        "localhost:65536",
        "localhost:-1",
        "localhost: 5432",
        "localhost:²",
        "unix:",
        ("localhost", 0),
        ("localhost", 65536),
        ("localhost", "5432"),
        ("localhost", True),
        ("localhost", 5432, 0, 0),
        ("", 5432),
        ["127.0.0.1", None],
        5432,
        None,
        b"127.0.0.1:5432",
    ],
)
def test_what_is_no_endpoint_is_said_with_all_spellings(written: Any) -> None:
    """In one line, with the value and the field."""
    with pytest.raises(ServiceError) as wrong:
        parse_endpoint(written, NAME)
    assert str(wrong.value) == (
        f"{NAME} must be a host and a port from 1 to 65535, or a Unix socket, not {written!r}. "
        'Write "127.0.0.1:5432", ("127.0.0.1", 5432) or "unix:/path/to.sock".'
    )


@given(ENDPOINTS)
def test_an_endpoint_is_read_as_it_is_written(endpoint: Endpoint) -> None:
    """Whatever its host, port or path."""
    assert parse_endpoint(str(endpoint), NAME) == endpoint


@given(HOST | IPV4 | IPV6, PORT)
def test_a_pair_and_its_text_are_the_same_endpoint(host: str, port: int) -> None:
    """So that two services cannot name one endpoint in two ways and get two proxies."""
    pair = parse_endpoint((host, port), NAME)
    assert parse_endpoint(str(pair), NAME) == pair == Endpoint(host, port)


@given(st.one_of(st.text(), st.integers(), st.none(), st.tuples(st.text(), st.integers()), st.binary()))
def test_anything_else_is_an_endpoint_or_an_error_for_the_user(written: Any) -> None:
    """Never one of ours."""
    try:
        endpoint = parse_endpoint(written, NAME)
    except ServiceError:
        return
    assert endpoint.path or (endpoint.host and 1 <= endpoint.port <= 65535)


@pytest.mark.parametrize(
    "written",
    ["unix:/tmp/a.sock", "localhost:80", "db.localhost:80", "127.0.0.1:80", "127.9.9.9:80", "[::1]:80"],
)
def test_these_are_on_this_machine(written: str) -> None:
    """Loopback in all forms."""
    assert parse_endpoint(written, NAME).is_local


@pytest.mark.parametrize("written", ["10.0.0.1:80", "0.0.0.0:80", "localhost.example.com:80", "[fe80::1]:80"])
def test_these_are_not(written: str) -> None:
    """Whatever they may resolve to: no name is looked up."""
    assert not parse_endpoint(written, NAME).is_local


@given(st.ip_addresses(), PORT)
def test_an_address_is_local_exactly_if_it_is_loopback(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> None:
    """In both families."""
    assert Endpoint(str(address), port).is_local == address.is_loopback
