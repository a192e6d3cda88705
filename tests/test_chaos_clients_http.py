"""httpx, requests and aiohttp on a real HTTP server, under each fault of its endpoint: their own errors."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import product

import aiohttp
import httpx
import pytest
import requests
from client_cases import (
    BEYOND_THE_GREETING,
    CASES,
    LATE,
    PATIENCE,
    Case,
    Error,
    Errors,
    Outcome,
    Rig,
    answers,
    check_case,
    check_evidence,
    rig_on,
    toxic,
)
from client_servers import BODY, running_http_server
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from pytest_resilience.chaos.engine import Chaos
from pytest_resilience.chaos.network.toxics import FailFirst, LimitData, SlowClose

UNTIL_THE_END = "/until-the-end"


class HttpxClient:
    """Keeps its connection open, and asks each question once; certificates would only take time to load."""

    def __init__(self, url: str, gives_up: float = PATIENCE) -> None:
        self._client = httpx.Client(base_url=url, timeout=gives_up, trust_env=False, verify=False)

    def fetch(self, path: str) -> bytes:
        return self._client.get(path).content

    def ask(self) -> None:
        assert self.fetch("/") == BODY

    def close(self) -> None:
        self._client.close()


class RequestsClient:
    """A session, which keeps its connection open, and asks again only if told."""

    def __init__(self, url: str, gives_up: float = PATIENCE, *, retries: int = 0) -> None:
        self._url, self._gives_up, self._session = url, gives_up, requests.Session()
        self._session.trust_env = False
        self._adapter = HTTPAdapter(max_retries=Retry(retries) if retries else 0)
        self._session.mount("http://", self._adapter)

    def fetch(self, path: str) -> bytes:
        return bytes(self._session.get(self._url + path, timeout=self._gives_up).content)

    def ask(self) -> None:
        assert self.fetch("/") == BODY

    def close(self) -> None:
        """Close the pools too: the session leaves them to the garbage collector, and errors hold them."""
        pools = self._adapter.poolmanager.pools
        for key in pools.keys():  # noqa: SIM118 (it is no dict)
            pools[key].close()
        self._session.close()


class AiohttpClient:
    """A session in an event loop of its own; where a connection is lost it asks once more by itself."""

    def __init__(self, url: str, gives_up: float = PATIENCE) -> None:
        self._url, self._runner = url, asyncio.Runner()
        self._session = self._runner.run(self._open(gives_up))

    def fetch(self, path: str) -> bytes:
        return self._runner.run(self._fetch(path))

    def ask(self) -> None:
        assert self.fetch("/") == BODY

    def close(self) -> None:
        with self._runner:
            self._runner.run(self._session.close())

    async def _open(self, gives_up: float) -> aiohttp.ClientSession:
        limits = aiohttp.ClientTimeout(total=None, sock_connect=gives_up, sock_read=gives_up)
        return aiohttp.ClientSession(timeout=limits)

    async def _fetch(self, path: str) -> bytes:
        async with self._session.get(self._url + path) as response:
            return await response.read()


HttpClient = HttpxClient | RequestsClient | AiohttpClient


def _table(
    silent: Error, unanswered: Error, refused: Error, reset: Error, ended: Error, cut_short: Error
) -> Errors:
    """Say which errors a client has for what happens; lost connections are opened again, in vain."""
    return {
        Outcome.DELAYED_WITHOUT_END: silent,
        Outcome.SWALLOWED: silent,
        Outcome.NEVER_ACCEPTED: unanswered,
        Outcome.REFUSED: refused,
        Outcome.LOST_THEN_REFUSED: refused,
        Outcome.RESET_AT_ONCE: reset,
        Outcome.RESET_MEANWHILE: reset,
        Outcome.LOST_THEN_RESET: reset,
        Outcome.ENDED: ended,
        Outcome.CUT_SHORT: cut_short,
    }


@dataclass(frozen=True)
class Library:
    """How to make a client, and its errors."""

    client: Callable[[str, float], HttpClient]
    errors: Errors


LIBRARIES: Mapping[str, Library] = {
    "httpx": Library(
        HttpxClient,
        _table(
            silent=Error((httpx.ReadTimeout,)),
            unanswered=Error((httpx.ConnectTimeout,)),
            refused=Error((httpx.ConnectError,), says="Connection refused"),
            reset=Error(  # the last one where the question could not be sent: only the end is seen then
                (httpx.ConnectError, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
            ),
            ended=Error((httpx.RemoteProtocolError,), says="without sending a response"),
            cut_short=Error((httpx.RemoteProtocolError,), says="without sending complete message body"),
        ),
    ),
    "requests": Library(
        RequestsClient,
        _table(
            silent=Error((requests.ReadTimeout,)),
            unanswered=Error((requests.ConnectTimeout,)),
            refused=Error((requests.ConnectionError,), says="Connection refused"),
            reset=Error((requests.ConnectionError,)),
            ended=Error((requests.ConnectionError,), says="Remote end closed connection"),
            cut_short=Error((requests.exceptions.ChunkedEncodingError,), says="IncompleteRead"),
        ),
    ),
    "aiohttp": Library(
        AiohttpClient,
        _table(
            silent=Error((aiohttp.SocketTimeoutError,)),
            unanswered=Error((aiohttp.ConnectionTimeoutError,)),
            refused=Error((aiohttp.ClientConnectorError,), says="Connect call failed"),
            reset=Error(
                (aiohttp.ClientConnectorError, aiohttp.ClientOSError, aiohttp.ServerDisconnectedError)
            ),
            ended=Error((aiohttp.ServerDisconnectedError,)),
            cut_short=Error((aiohttp.ClientPayloadError,), says="ContentLengthError"),
        ),
    ),
}


def _pairs() -> Iterator[tuple[str, Case]]:
    """Put each client through each fault; aiohttp may get over a single failure, which has its own test."""
    for name, case in product(LIBRARIES, CASES):
        if (name, case.name, case.connected) != ("aiohttp", "FailFirst(connections=1)", False):
            yield name, case


each_library = pytest.mark.parametrize("library", LIBRARIES.values(), ids=LIBRARIES)


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """An engine on an HTTP server."""
    with running_http_server() as server, rig_on(server.endpoint) as rig:
        yield rig


@pytest.fixture
def chaos(rig: Rig) -> Chaos:
    """The engine, with nobody connected."""
    rig.wait_until_quiet()
    return rig.chaos


@pytest.fixture
def url(chaos: Chaos) -> str:
    address = chaos.address("db")
    return f"http://{address.host}:{address.port}"


@pytest.mark.parametrize(
    ("name", "case"),
    [
        pytest.param(name, case, id=f"{name}-{case.name}-{'connected' if case.connected else 'new'}")
        for name, case in _pairs()
    ],
)
def test_each_fault(name: str, case: Case, chaos: Chaos, url: str) -> None:
    """Under each fault the client's own error comes out, or the right answer late."""
    library = LIBRARIES[name]
    check_case(case, chaos, partial(library.client, url), library.errors, reconnects=True)


@each_library
def test_the_end_of_an_answer_comes_late(library: Library, chaos: Chaos, url: str) -> None:
    """An answer without a length is complete only when its connection ends, which is late."""
    with (
        closing(library.client(url, PATIENCE)) as client,
        chaos.inject(toxic(SlowClose(LATE)), "db") as event,
    ):
        started = time.monotonic()
        assert client.fetch(UNTIL_THE_END) == BODY
        assert time.monotonic() - started >= LATE
        check_evidence(event, fires=True)


@each_library
def test_a_cut_answer_without_a_length_looks_whole(library: Library, chaos: Chaos, url: str) -> None:
    """No client can tell the cut from the end: the start of the answer comes, and no error."""
    with (
        closing(library.client(url, PATIENCE)) as client,
        chaos.inject(toxic(LimitData(BEYOND_THE_GREETING)), "db") as event,
    ):
        part = client.fetch(UNTIL_THE_END)
        assert 0 < len(part) < BEYOND_THE_GREETING
        assert BODY.startswith(part)
        check_evidence(event, fires=True)


def test_a_retry_gets_over_the_first_failures(chaos: Chaos, url: str) -> None:
    """The first two connections are reset; the third attempt of requests is answered under the same fault."""
    with closing(RequestsClient(url, retries=2)) as client, chaos.inject(toxic(FailFirst(2)), "db") as event:
        client.ask()
        assert event.fired == 2


def test_aiohttp_asks_once_more_by_itself(chaos: Chaos, url: str) -> None:
    """Two failures are more than it gets over: it gives one error, or two if connecting failed already."""
    errors = 0
    with closing(AiohttpClient(url)) as client, chaos.inject(toxic(FailFirst(2)), "db") as event:
        while not answers(client):
            errors += 1
            assert errors <= 2
        assert event.fired == 2
        assert errors >= 1


def test_errors_come_as_often_as_the_fault_says(chaos: Chaos, url: str) -> None:
    """With some exchanges reset, each one gives one error of the client, and all others the right answer."""
    errors = 0
    with (
        closing(HttpxClient(url)) as client,
        chaos.inject("intermittent_errors", "db", seam="endpoint", probability=0.2) as event,
    ):
        for _ in range(60):
            try:
                client.ask()
            except httpx.NetworkError:
                errors += 1
        assert 0 < errors < 60
        assert event.fired == errors
