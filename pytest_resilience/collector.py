"""Python's garbage collector, kept for a while from running by itself, or from walking what stays."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collection_paused() -> Iterator[None]:
    """Let no collection begin by itself in the block; afterwards the collector is as it was."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def start_up_frozen() -> Iterator[None]:
    """Let no collection in the block walk what is there already, which on a large heap takes long."""
    try:
        _freeze()
        yield
    finally:
        gc.unfreeze()


def refreeze() -> None:
    """Freeze what is there now instead of what was there at the start; nothing once all is thawed."""
    if gc.get_freeze_count():
        gc.unfreeze()
        _freeze()


def _freeze() -> None:
    """Freeze after collecting: garbage that is frozen too would show as a fall when it is thawed."""
    gc.collect()
    gc.freeze()
