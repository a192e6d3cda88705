"""Calls of every kind for faults to hit."""

import asyncio
import functools
import time
import types
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any

imported_sleep = SLEEP_ALIAS = time.sleep


def retrying(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except ConnectionError:
            return "retried"

    return wrapper


def fetch(
    game: str, /, market: str = "win", *extra: int, live: bool = False, **options: int
) -> tuple[Any, ...]:
    return game, market, extra, live, options


@retrying
def fetch_with_retry(game: str) -> str:
    return game


@functools.lru_cache
def fetch_cached(game: str) -> str:
    return game


def countdown(n: int) -> int:
    return 0 if n == 0 else countdown(n - 1)


class Request:
    """An awaitable that is an async context manager, too, as that of aiohttp; nothing is done before."""

    def __init__(self, game: str) -> None:
        self._game = game

    def __await__(self) -> Generator[Any, Any, str]:
        return self._send().__await__()

    async def __aenter__(self) -> str:
        return await self._send()

    async def __aexit__(self, *error: object) -> None:
        """Nothing is left to do."""

    async def _send(self) -> str:
        await asyncio.sleep(0)
        return self._game


class Base:
    def name(self) -> str:
        return "base"


class Client(Base):
    label = "client"

    def __init__(self, games: int = 2) -> None:
        self.games = games

    def fetch(self, game: str) -> str:
        return game

    def name(self) -> str:
        return f"{super().name()} {__class__.__name__}"  # type: ignore[name-defined]

    def request(self, game: str) -> Request:
        return Request(game)

    async def fetch_async(self, game: str) -> str:
        return game

    def stream(self, count: int) -> Generator[int, int | None, str]:
        total = 0
        for index in range(count):
            total += (yield index) or 0
        return f"total {total}"

    async def stream_async(self, count: int) -> AsyncIterator[int]:
        for index in range(count):
            yield index

    @types.coroutine
    def fetch_old_style(self, game: str) -> Generator[None, None, str]:
        yield
        return game

    async def echo(self) -> AsyncIterator[Any]:
        """Yield back what is sent or thrown, and what happens at the end."""
        received: Any = "started"
        while True:
            try:
                received = yield received
            except ValueError as thrown:
                received = repr(thrown)

    @classmethod
    def create(cls) -> str:
        return cls.__name__

    @staticmethod
    def parse(text: str) -> str:
        return text

    @property
    def odds(self) -> float:
        return 1.5

    @functools.cached_property
    def limit(self) -> int:
        return 7


def make_closure(price: int) -> Callable[[], int]:
    def price_of() -> int:
        return price

    return price_of


PRICE_ONE = make_closure(1)
PRICE_TWO = make_closure(2)
shared_client = Client()
fetch_alias = fetch
bound_fetch = shared_client.fetch
not_callable = 42
