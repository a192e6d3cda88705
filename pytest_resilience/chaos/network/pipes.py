"""Pipes: on Linux, data goes from socket to socket inside the kernel, which saves copying it twice."""

import fcntl
import os
import socket
import sys
from contextlib import suppress

PIPE_BYTES = 256 * 1024

MOST_PIPES = 64
"""A system lets a user have 64 MiB in pipes; beyond its share, a proxy copies."""

CAN_SPLICE = sys.platform == "linux"


class Pipe:
    """Holds data between two sockets."""

    __slots__ = ("_reading", "_writing", "size")

    def __init__(self) -> None:
        """Raise OSError where no descriptor is left."""
        self._reading, self._writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.size = 0
        with suppress(OSError):  # the user has too many: it stays smaller
            fcntl.fcntl(self._writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def fill(self, source: socket.socket) -> int:
        """Take what a socket has; return how much, 0 at its end. Raise BlockingIOError for nothing yet."""
        self.size = os.splice(source.fileno(), self._writing, PIPE_BYTES, flags=os.SPLICE_F_NONBLOCK)
        return self.size

    def empty(self, sink: socket.socket) -> None:
        """Give a socket what it takes. Raise BlockingIOError if that is nothing."""
        self.size -= os.splice(self._reading, sink.fileno(), self.size, flags=os.SPLICE_F_NONBLOCK)

    def close(self) -> None:
        os.close(self._reading)
        os.close(self._writing)


class Pipes:
    """Pipes that nobody uses at the moment; they are empty."""

    def __init__(self) -> None:
        self._idle: list[Pipe] = []
        self._left = MOST_PIPES if CAN_SPLICE else 0

    def take(self) -> Pipe | None:
        """Return a pipe, which goes back by `give` or `discard`; None if there is none left."""
        if self._idle:
            return self._idle.pop()
        if not self._left:
            return None
        with suppress(OSError):
            pipe = Pipe()
            self._left -= 1
            return pipe
        return None

    def give(self, pipe: Pipe) -> None:
        """Give an empty pipe back."""
        self._idle.append(pipe)

    def discard(self, pipe: Pipe) -> None:
        """Throw a pipe away, with what is in it."""
        pipe.close()
        self._left += 1

    def close(self) -> None:
        """Close all pipes; doing it again changes nothing."""
        while self._idle:
            self.discard(self._idle.pop())
