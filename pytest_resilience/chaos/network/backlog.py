"""Bytes on their way, in their order."""

from collections import deque

from pytest_resilience.chaos.network.flows import Data

PIECE_WEIGHT = 256
"""Bytes of memory that a piece takes besides its data."""


class Backlog:
    """Takes pieces of any size and gives pieces of any size."""

    __slots__ = ("_pieces", "size")

    def __init__(self) -> None:
        self._pieces: deque[memoryview] = deque()
        self.size = 0

    @property
    def weight(self) -> int:
        """About how much memory it takes."""
        return self.size + PIECE_WEIGHT * len(self._pieces)

    def append(self, data: Data) -> None:
        """Keep a copy of `data`."""
        self._pieces.append(memoryview(bytes(data)))
        self.size += len(data)

    def take(self, most: int) -> Data:
        """Remove and return the next bytes: at least 1 if there are any, and at most `most`."""
        if not self._pieces:
            return b""
        piece = self._pieces[0]
        if len(piece) > most:
            self._pieces[0] = piece[most:]
            piece = piece[:most]
        else:
            self._pieces.popleft()
        self.size -= len(piece)
        return piece

    def clear(self) -> None:
        self._pieces.clear()
        self.size = 0
