"""psycopg and asyncpg on a real PostgreSQL, under each fault of its endpoint: their own errors come out."""

import asyncio
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import psycopg
import pytest
from client_cases import (
    LATE,
    PATIENCE,
    Case,
    Error,
    Errors,
    Hangs,
    Outcome,
    Rig,
    check_case,
    check_error,
    check_evidence,
    each_case,
    rig_on,
    toxic,
)
from client_servers import running_postgres

from pytest_resilience.chaos.engine import Chaos
from pytest_resilience.chaos.network.toxics import (
    LimitData,
    NeverAccept,
    ResetPeer,
    SlowClose,
    Stream,
    Timeout,
)
from pytest_resilience.chaos.outside import Address

QUESTION = "SELECT repeat('x', 2048)"
ANSWER = "x" * 2048


class PsycopgClient:
    """One connection. It has no time-out of its own once it is made; nor does it connect again."""

    def __init__(self, host: str, port: int) -> None:
        self._place = {"host": host, "port": port, "user": "postgres", "dbname": "postgres"}
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    @property
    def connection(self) -> "psycopg.Connection[tuple[Any, ...]]":
        if self._connection is None:
            self._connection = psycopg.connect(**self._place, sslmode="disable", autocommit=True)  # type: ignore[arg-type]
        return self._connection

    def ask(self) -> None:
        assert self.connection.execute(QUESTION).fetchone() == (ANSWER,)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()


class AsyncpgClient:
    """One connection, in an event loop of its own, which runs while it works."""

    def __init__(self, address: Address, gives_up: float) -> None:
        self._place = place_of(address, gives_up)
        self._runner = asyncio.Runner()
        self._connection: Any = None

    def ask(self) -> None:
        self._runner.run(self._ask())

    def close(self) -> None:
        with self._runner:
            if self._connection is not None:
                self._runner.run(self._end())

    async def _ask(self) -> None:
        if self._connection is None:
            self._connection = await asyncpg.connect(**self._place)
        assert await self._connection.fetchval(QUESTION) == ANSWER

    async def _end(self) -> None:
        self._connection.terminate()


def place_of(address: Address, gives_up: float = PATIENCE) -> dict[str, Any]:
    """Return what asyncpg wants to know."""
    user = {"user": "postgres", "database": "postgres"}
    times = {"timeout": gives_up, "command_timeout": gives_up}
    return {"host": address.host, "port": address.port, "ssl": False, **user, **times}


CLOSED = Error((psycopg.OperationalError,), "server closed the connection unexpectedly")
"""So libpq calls a reset, too."""

PSYCOPG: Errors = {
    Outcome.DELAYED_WITHOUT_END: Hangs(None),
    Outcome.SWALLOWED: Hangs(CLOSED),
    Outcome.NEVER_ACCEPTED: Hangs(None),
    Outcome.REFUSED: Error((psycopg.OperationalError,), "Connection refused"),
    Outcome.RESET_AT_ONCE: Error((psycopg.OperationalError,), "connection to server at"),
    Outcome.RESET_MEANWHILE: CLOSED,
    Outcome.LOST_THEN_REFUSED: CLOSED,
    Outcome.LOST_THEN_RESET: CLOSED,
    Outcome.ENDED: CLOSED,
    Outcome.CUT_SHORT: CLOSED,
}

GONE = Error((asyncpg.ConnectionDoesNotExistError,), "connection was closed in the middle of operation")

ASYNCPG: Errors = {
    Outcome.DELAYED_WITHOUT_END: Error((TimeoutError,)),
    Outcome.SWALLOWED: Error((TimeoutError,)),
    Outcome.NEVER_ACCEPTED: Error((TimeoutError,)),
    Outcome.REFUSED: Error((ConnectionRefusedError,)),
    Outcome.RESET_AT_ONCE: Error((ConnectionResetError, asyncpg.ConnectionDoesNotExistError)),
    Outcome.RESET_MEANWHILE: GONE,
    Outcome.LOST_THEN_REFUSED: GONE,
    Outcome.LOST_THEN_RESET: GONE,
    Outcome.ENDED: GONE,
    Outcome.CUT_SHORT: GONE,
}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a PostgreSQL with two accounts."""
    with running_postgres() as port:
        with closing(PsycopgClient("127.0.0.1", port)) as direct:
            direct.connection.execute("CREATE TABLE accounts (id int PRIMARY KEY, money int NOT NULL)")
            direct.connection.execute("INSERT INTO accounts VALUES (1, 100), (2, 100)")
        yield port


@pytest.fixture(scope="module")
def rig(port: int) -> Iterator[Rig]:
    with rig_on(("127.0.0.1", port)) as rig:
        yield rig


@pytest.fixture
def chaos(rig: Rig) -> Chaos:
    rig.wait_until_quiet()
    return rig.chaos


@pytest.fixture
def address(chaos: Chaos) -> Address:
    return chaos.address("db")


@pytest.fixture
def direct(port: int) -> Iterator[PsycopgClient]:
    """A client that no fault reaches."""
    with closing(PsycopgClient("127.0.0.1", port)) as client:
        yield client


@each_case
def test_psycopg_under_each_fault(case: Case, chaos: Chaos, address: Address) -> None:
    """Under each fault OperationalError comes out, or the right answer late."""

    def connect(_: float) -> PsycopgClient:
        return PsycopgClient(address.host, address.port)

    check_case(case, chaos, connect, PSYCOPG, reconnects=False)


@each_case
def test_asyncpg_under_each_fault(case: Case, chaos: Chaos, address: Address) -> None:
    """Under each fault asyncpg's error comes out, or the right answer late."""
    check_case(case, chaos, partial(AsyncpgClient, address), ASYNCPG, reconnects=False)


@pytest.fixture
def accounts(direct: PsycopgClient) -> "Accounts":
    """Two accounts with 100 each."""
    with direct.connection.transaction():
        direct.connection.execute("UPDATE accounts SET money = 100")
    return Accounts(direct)


class Accounts:
    """What the database holds, seen by a client that no fault reaches."""

    def __init__(self, direct: PsycopgClient) -> None:
        self._direct = direct

    def money(self) -> tuple[int, int]:
        rows = self._direct.connection.execute("SELECT money FROM accounts ORDER BY id").fetchall()
        return rows[0][0], rows[1][0]

    def wait_until_free(self) -> None:
        """Wait until no transaction holds a row: the database has learnt that its clients are gone."""
        with self._direct.connection.transaction():
            self._direct.connection.execute("SET LOCAL lock_timeout = 10000")
            self._direct.connection.execute("SELECT * FROM accounts FOR UPDATE")


def take(client: PsycopgClient) -> None:
    """Take 1 from the first account."""
    client.connection.execute("UPDATE accounts SET money = money - 1 WHERE id = 1")


def give(client: PsycopgClient) -> None:
    """Give 1 to the second account."""
    client.connection.execute("UPDATE accounts SET money = money + 1 WHERE id = 2")


def transfer(client: PsycopgClient) -> None:
    with client.connection.transaction():
        take(client)
        give(client)


def test_a_transaction_that_is_cut_in_the_middle_leaves_nothing(
    chaos: Chaos, address: Address, accounts: Accounts
) -> None:
    """A reset between two updates gives OperationalError; the database takes the first one back."""
    with closing(PsycopgClient(address.host, address.port)) as client:
        client.connection.execute("BEGIN")
        take(client)
        with chaos.inject(toxic(ResetPeer()), "db") as event:
            with pytest.raises(psycopg.OperationalError, match="server closed the connection unexpectedly"):
                give(client)
            check_evidence(event, fires=True)
    accounts.wait_until_free()
    assert accounts.money() == (100, 100)
    with closing(PsycopgClient(address.host, address.port)) as another:
        transfer(another)
    assert accounts.money() == (99, 101)


@pytest.mark.parametrize(
    ("stream", "after"), [("downstream", (99, 101)), ("upstream", (100, 100))], ids=["answer", "question"]
)
def test_a_commit_without_an_answer(
    chaos: Chaos, address: Address, accounts: Accounts, stream: Stream, after: tuple[int, int]
) -> None:
    """A swallowed answer to COMMIT leaves it done, a swallowed COMMIT undone; the error is the same."""
    with closing(PsycopgClient(address.host, address.port)) as client:
        client.connection.execute("BEGIN")
        take(client)
        give(client)
        with chaos.inject(toxic(Timeout(0.05, stream=stream)), "db") as event:
            with pytest.raises(psycopg.OperationalError, match="server closed the connection unexpectedly"):
                client.connection.execute("COMMIT")
            check_evidence(event, fires=True)
    accounts.wait_until_free()
    assert accounts.money() == after


def test_wherever_a_transaction_is_cut_it_is_done_or_not_done(
    chaos: Chaos, address: Address, accounts: Accounts
) -> None:
    """A connection that ends after any number of bytes never leaves half of a transfer."""
    seen = set()
    for size in range(0, 420, 20):
        with closing(PsycopgClient(address.host, address.port)) as client:
            client.ask()
            before = accounts.money()
            with (
                chaos.inject(toxic(LimitData(size, stream="upstream")), "db") as event,
                suppress(psycopg.OperationalError),
            ):
                transfer(client)
            accounts.wait_until_free()
            after = accounts.money()
        assert after in (before, (before[0] - 1, before[1] + 1)), size
        seen.add((after != before, event.fired > 0))
    assert {(False, True), (True, False)} <= seen


def test_the_server_learns_late_that_a_client_is_gone(
    chaos: Chaos, address: Address, accounts: Accounts
) -> None:
    """With the end held back on its way up, the rows of a client that left stay locked for as long."""
    with chaos.inject(toxic(SlowClose(LATE, stream="upstream")), "db") as event:
        client = PsycopgClient(address.host, address.port)
        client.connection.execute("BEGIN")
        take(client)
        with socket.socket(fileno=os.dup(client.connection.fileno())) as raw:
            raw.shutdown(socket.SHUT_WR)  # without the farewell that close() would send
        started = time.monotonic()
        accounts.wait_until_free()
        assert time.monotonic() - started >= LATE
        check_evidence(event, fires=True)
        client.close()
    assert accounts.money() == (100, 100)


def test_a_client_that_cannot_connect_gives_up(chaos: Chaos, address: Address) -> None:
    """A connection that is never accepted ends with psycopg's own time-out, 2 seconds at least."""
    place = {"host": address.host, "port": address.port, "user": "postgres", "connect_timeout": 2}
    with chaos.inject(toxic(NeverAccept()), "db") as event:
        with pytest.raises(psycopg.errors.ConnectionTimeout):
            psycopg.connect(**place)  # type: ignore[arg-type]
        check_evidence(event, fires=True)


@pytest.mark.parametrize("door", ["ipv6", "path"])
def test_the_other_doors(chaos: Chaos, address: Address, door: str, tmp_path: Path) -> None:
    """psycopg comes by IPv6, and by the Unix socket under the name that it expects."""
    if door == "path":
        tmp_path.joinpath(f".s.PGSQL.{address.port}").symlink_to(address.path)
    host = {"ipv6": "::1", "path": str(tmp_path)}[door]
    with closing(PsycopgClient(host, address.port)) as client:
        client.ask()
        with chaos.inject("network_partition", "db", seam="endpoint") as event:
            check_error(client, CLOSED)
            check_evidence(event, fires=True)
            with closing(PsycopgClient(host, address.port)) as another:
                check_error(another, Error((psycopg.OperationalError,), "Connection refused"))
    with closing(PsycopgClient(host, address.port)) as client:
        client.ask()


def test_a_pool_whose_connections_are_lost_gets_new_ones(chaos: Chaos, address: Address) -> None:
    """Idle connections of asyncpg's pool are reset: it gives one error for each at most, then answers."""

    async def main() -> None:
        async with asyncpg.create_pool(**place_of(address), min_size=4, max_size=4) as pool:

            async def ask_all() -> list[object]:
                asked = (pool.fetchval(QUESTION) for _ in range(8))
                answers: list[object] = await asyncio.gather(*asked, return_exceptions=True)
                return answers

            assert await ask_all() == [ANSWER] * 8
            with chaos.inject(toxic(ResetPeer()), "db") as event:
                assert event.fired == 4
            errors = [answer for answer in await ask_all() if answer != ANSWER]
            assert {type(error) for error in errors} <= {asyncpg.ConnectionDoesNotExistError}
            assert len(errors) <= 4
            assert await ask_all() == [ANSWER] * 8

    asyncio.run(main())
