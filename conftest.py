import pytest
from hypothesis import settings

pytest_plugins = ["pytester"]

# How long an example takes says nothing on a busy machine.
settings.register_profile("unhurried", parent=settings(), deadline=None)
settings.load_profile("unhurried")

SLOW_FILES = (
    "test_distributed",
    "test_docs",
    "test_examples",
    "test_memory",
    "test_plugin",
    "test_soak",
    "test_wheel",
)
"""Those whose tests start runs of their own, or look through the whole heap."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow files: one of minutes at the end leaves the other workers nothing to do."""
    items.sort(key=lambda item: not item.path.name.startswith(SLOW_FILES))
