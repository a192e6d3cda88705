"""allure-pytest in a soak: it would write some files for every iteration, until the disk is full."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

LISTENER = "allure_listener"


@contextmanager
def allure_paused(config: pytest.Config) -> Iterator[None]:
    """Keep the listener, which writes them, out of the block; steps and attachments then do nothing."""
    listener = config.pluginmanager.get_plugin(LISTENER)
    with ExitStack() as undo:
        if listener is not None:
            _pause(config.pluginmanager, listener, undo)
            _pause(sys.modules["allure_commons"].plugin_manager, listener, undo)
        yield


def _pause(manager: Any, plugin: object, undo: ExitStack) -> None:
    undo.callback(manager.register, plugin, manager.get_name(plugin))
    manager.unregister(plugin)
