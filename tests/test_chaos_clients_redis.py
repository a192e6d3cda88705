"""redis-py on a real Redis, under each fault of its endpoint: its own errors come out."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier
from typing import Any, TypeAlias

import pytest
from client_cases import (
    GIVES_UP,
    LATE,
    PATIENCE,
    Case,
    Error,
    Errors,
    Outcome,
    Rig,
    answers,
    check_case,
    check_error,
    check_evidence,
    each_case,
    eventually,
    rig_on,
    toxic,
)
from client_servers import BODY, running_redis
from redis import ConnectionError as RedisConnectionError
from redis import ConnectionPool, Redis
from redis import TimeoutError as RedisTimeoutError
from redis.backoff import NoBackoff
from redis.retry import Retry

from pytest_resilience.chaos.engine import Chaos
from pytest_resilience.chaos.network.toxics import (
    AnyToxic,
    FailFirst,
    LimitData,
    NeverAccept,
    Refuse,
    ResetPeer,
    SlowClose,
    Timeout,
    WholeConnection,
)
from pytest_resilience.chaos.outside import Address

Door: TypeAlias = str
"""Where a client comes in: by "ipv4", by "ipv6" or by the "path" of a Unix socket."""

KEY = "answer"

RESET = Error((RedisConnectionError,), says="ConnectionResetError")

ERRORS: Errors = {
    Outcome.DELAYED_WITHOUT_END: Error((RedisTimeoutError,), says="Timeout reading from socket"),
    Outcome.SWALLOWED: Error((RedisTimeoutError,), says="Timeout reading from socket"),
    Outcome.NEVER_ACCEPTED: Error((RedisTimeoutError,), says="Timeout connecting to server"),
    Outcome.REFUSED: Error((RedisConnectionError,), says="Connection refused"),
    Outcome.RESET_AT_ONCE: RESET,
    Outcome.RESET_MEANWHILE: RESET,
    Outcome.LOST_THEN_REFUSED: Error((RedisConnectionError,), says="Connection refused"),
    Outcome.LOST_THEN_RESET: RESET,
    Outcome.ENDED: Error((RedisConnectionError,), says="Connection closed by server"),
    Outcome.CUT_SHORT: Error((RedisConnectionError,), says="Connection closed by server"),
}


class RedisClient:
    """A client with a pool of its own, which connects again by itself, but asks again only if told."""

    def __init__(
        self, address: Address, door: Door = "ipv4", *, gives_up: float = PATIENCE, retries: int = 0
    ) -> None:
        places: dict[Door, dict[str, Any]] = {
            "ipv4": {"host": address.host, "port": address.port},
            "ipv6": {"host": "::1", "port": address.port6},
            "path": {"unix_socket_path": address.path},
        }
        times: dict[str, Any] = {"socket_timeout": gives_up}
        if door != "path":
            times["socket_connect_timeout"] = gives_up
        self.redis = Redis(**places[door], **times, retry=Retry(NoBackoff(), retries))

    def ask(self) -> None:
        assert self.redis.get(KEY) == BODY

    def close(self) -> None:
        self.redis.close()


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """An engine on a Redis that knows the answer."""
    with running_redis() as path, rig_on(f"unix:{path}") as rig:
        with Redis(unix_socket_path=str(path)) as direct:
            direct.set(KEY, BODY)
        yield rig


@pytest.fixture
def chaos(rig: Rig) -> Chaos:
    rig.wait_until_quiet()
    return rig.chaos


@pytest.fixture
def address(chaos: Chaos) -> Address:
    return chaos.address("db")


@each_case
def test_each_fault(case: Case, chaos: Chaos, address: Address) -> None:
    """Under each fault the client's own error comes out, or the right answer late."""
    check_case(case, chaos, lambda gives_up: RedisClient(address, gives_up=gives_up), ERRORS, reconnects=True)


DOOR_CASES = (
    ("ipv6", Refuse(), ERRORS[Outcome.REFUSED]),
    ("ipv6", NeverAccept(), ERRORS[Outcome.NEVER_ACCEPTED]),
    ("ipv6", ResetPeer(), RESET),
    ("ipv6", Timeout(), ERRORS[Outcome.SWALLOWED]),
    ("path", Refuse(), Error((RedisConnectionError,), says="Connection refused")),
    ("path", NeverAccept(), Error((RedisConnectionError,), says="Resource temporarily unavailable")),
    ("path", ResetPeer(), Error((RedisConnectionError,))),
    ("path", Timeout(), ERRORS[Outcome.SWALLOWED]),
    ("path", LimitData(0), ERRORS[Outcome.ENDED]),
)


@pytest.mark.parametrize(("door", "fault", "error"), DOOR_CASES, ids=lambda one: str(one).partition("(")[0])
def test_the_other_doors(chaos: Chaos, address: Address, door: Door, fault: AnyToxic, error: Error) -> None:
    """Clients that come by IPv6 or by the Unix socket meet the same faults."""
    if door == "ipv6" and not address.port6:
        pytest.skip("this machine has no IPv6")
    with closing(RedisClient(address, door, gives_up=GIVES_UP)) as client:
        with chaos.inject(toxic(fault), "db") as event:
            check_error(client, error)
            if door == "ipv6" or not isinstance(
                fault, WholeConnection
            ):  # nobody sees knocks at a Unix socket
                check_evidence(event, fires=True)
        client.ask()


def test_connected_clients_by_a_unix_socket_are_reset(chaos: Chaos, address: Address) -> None:
    """A partition takes the connection of a client that came by the Unix socket, and lets it come again."""
    with closing(RedisClient(address, "path")) as client:
        client.ask()
        with chaos.inject("network_partition", "db") as event:
            check_error(client, Error((RedisConnectionError,), says="Connection refused"))
            check_evidence(event, fires=True)
        client.ask()


def test_the_end_of_a_connection_comes_late(chaos: Chaos, address: Address) -> None:
    """A client that waits for an answer learns late that the server has closed its connection."""
    with (
        closing(RedisClient(address)) as waiting,
        closing(RedisClient(address)) as other,
        chaos.inject(toxic(SlowClose(LATE)), "db") as event,
    ):
        number = waiting.redis.client_id()
        other.ask()
        started = time.monotonic()
        other.redis.client_kill_filter(_id=str(number))
        with pytest.raises(RedisConnectionError, match="Connection closed by server"):
            waiting.redis.connection_pool.get_connection().read_response()
        assert time.monotonic() - started >= LATE
        check_evidence(event, fires=True)


def test_a_retry_gets_over_the_first_failures(chaos: Chaos, address: Address) -> None:
    """The first two connections are reset; the client's third attempt is answered under the same fault."""
    with (
        closing(RedisClient(address, retries=2)) as client,
        chaos.inject(toxic(FailFirst(2)), "db") as event,
    ):
        client.ask()
        assert event.fired == 2


def test_errors_come_as_often_as_the_fault_says(chaos: Chaos, address: Address) -> None:
    """With some exchanges reset, each one gives one error of the client, and all others the right answer."""
    errors = 0
    with (
        closing(RedisClient(address)) as client,
        chaos.inject("intermittent_errors", "db", seam="endpoint", probability=0.2) as event,
    ):
        for _ in range(60):
            try:
                client.ask()
            except RedisConnectionError:
                errors += 1
        assert 0 < errors < 60
        assert event.fired == errors


def test_a_pool_whose_connections_are_lost_gets_new_ones(chaos: Chaos, address: Address) -> None:
    """Half of a pool's idle connections are reset; with a retry its threads see nothing but answers."""
    threads = 4
    retry, together = Retry(NoBackoff(), 1), Barrier(threads)
    pool: ConnectionPool = ConnectionPool(host=address.host, port=address.port, retry=retry)

    def connect(_: int) -> None:
        with client.client() as one:
            together.wait(PATIENCE)
            one.get(KEY)

    with Redis.from_pool(pool) as client, ThreadPoolExecutor(threads) as workers:
        list(workers.map(connect, range(threads)))
        with chaos.inject(toxic(ResetPeer(toxicity=0.5)), "db") as event:
            lost = event.fired
            assert lost
        assert list(workers.map(client.get, [KEY] * 40)) == [BODY] * 40
        assert event.touched.detail == f"{lost} connection{'s' * (lost > 1)}, 0 bytes"


def test_slots_that_others_have_taken(chaos: Chaos, address: Address) -> None:
    """With two slots left, two clients are served; the third one's connection is reset until one goes."""
    with (
        closing(RedisClient(address)) as first,
        closing(RedisClient(address)) as second,
        closing(RedisClient(address)) as third,
        chaos.inject("resource_exhaustion", "db", seam="endpoint", connections=2) as event,
    ):
        first.ask()
        second.ask()
        check_error(third, RESET)
        assert event.fired == 1
        second.close()
        assert eventually(lambda: answers(third))
