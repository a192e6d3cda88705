"""The shop with real servers around it, and what it depends on, told to pytest-resilience."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import redis
from pybreaker import CircuitBreaker
from shop.analysis import ValuationError
from shop.betting import QuoteUnavailableError, Shop
from shop.cache import QuoteCache
from shop.database import BetStore
from shop.odds import ODDS_TIMEOUT, OddsClient
from shop.odds_server import running_odds_server
from shop.redis_server import REDIS_TIMEOUT, RedisServer, redis_client, running_redis

if TYPE_CHECKING:
    from pytest_resilience import Address, Service


@pytest.fixture(scope="session")
def resilience_services(odds_server: tuple[str, int], redis_server: RedisServer) -> "list[Service]":
    """The services that faults may hit, and where: calls of the shop, connections, a process."""
    from pytest_resilience import Service

    return [
        Service(
            "odds_provider",
            calls=["shop.odds:OddsClient.fetch"],
            endpoint=odds_server,
            errors=[ConnectionError],
            timeout=ODDS_TIMEOUT,
            timeout_error=TimeoutError,
        ),
        Service("prop_analyzer", calls=["shop.analysis:value_prop"], errors=[ValuationError]),
        Service(
            "database_service",
            calls=["shop.database:BetStore.save", "shop.database:BetStore.settle"],
            errors=[sqlite3.OperationalError],
        ),
        Service(
            "quote_cache",
            calls=["shop.cache:QuoteCache.get", "shop.cache:QuoteCache.put"],
            endpoint=f"unix:{redis_server.socket}",
            process=redis_server.process,
            errors=[redis.ConnectionError],
            timeout=REDIS_TIMEOUT,
            timeout_error=redis.TimeoutError,
        ),
        Service(
            "betting_service",
            calls=["shop.betting:Shop.quote"],
            errors=[QuoteUnavailableError],
            needs=["odds_provider", "prop_analyzer", "database_service", "quote_cache"],
        ),
    ]


@pytest.fixture(scope="session")
def resilience_breakers(shop: Shop) -> dict[str, CircuitBreaker]:
    """The circuit breaker that the shop really uses."""
    return {"test_circuit": shop.breaker}


@pytest.fixture(scope="session")
def odds_server() -> Iterator[tuple[str, int]]:
    """Host and port of a running odds provider."""
    with running_odds_server() as address:
        yield address


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A running Redis server."""
    with running_redis() as server:
        yield server


@pytest.fixture(scope="session")
def quote_cache(service_address: "Callable[[str], Address]") -> Iterator[QuoteCache]:
    """An empty cache in Redis, reached through a proxy, so that faults can hit the connections."""
    with redis_client(service_address("quote_cache").path) as client:
        yield QuoteCache(client)


@pytest.fixture(scope="session")
def bet_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BetStore]:
    """An empty database of bets."""
    with closing(BetStore(tmp_path_factory.mktemp("database") / "bets.db")) as store:
        yield store


@pytest.fixture(scope="session")
def shop_type() -> type[Shop]:
    """The kind of shop under test."""
    return Shop


@pytest.fixture(scope="session")
def shop(
    shop_type: type[Shop],
    service_address: "Callable[[str], Address]",
    quote_cache: QuoteCache,
    bet_store: BetStore,
) -> Iterator[Shop]:
    """The shop, open for business; it reaches its provider through a proxy too."""
    provider = service_address("odds_provider")
    with closing(OddsClient((provider.host, provider.port))) as client:
        yield shop_type(client, quote_cache, bet_store)


@pytest.fixture
def customer(bet_store: BetStore) -> Iterator[str]:
    """A customer whose bets are forgotten after the test."""
    yield "Ada"
    bet_store.forget("Ada")
