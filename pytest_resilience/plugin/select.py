"""Which of the collected tests are soaked."""

import pytest

from pytest_resilience.settings import Settings

NO_SOAK_TESTS = (
    "No soak test is selected. Mark tests with @pytest.mark.soak, "
    "or add --soak-all to soak every selected test."
)


def select(config: pytest.Config, settings: Settings, items: list[pytest.Item]) -> None:
    """Keep the soak tests in `items`, and tell pytest which others it does not run."""

    def is_chosen(item: pytest.Item) -> bool:
        return settings.soak_all or item.get_closest_marker("soak") is not None

    rest = [item for item in items if not is_chosen(item)]
    items[:] = [item for item in items if is_chosen(item)]
    if rest:
        config.hook.pytest_deselected(items=rest)
