"""The record of a run, also of one that was killed, as its report needs it."""

from dataclasses import replace

from pytest_resilience.soak.criteria import judge, limits_of, switched_off
from pytest_resilience.soak.memory_evidence import leaks
from pytest_resilience.soak.stored_settings import stored_settings
from pytest_resilience.store.run_data import RunData


def judged(data: RunData) -> RunData:
    """Return the record with its verdicts; a run that was killed is judged by what it has.

    Raise SettingsError if another version recorded it.
    """
    if data.verdicts:
        return data
    settings = stored_settings(data.run.settings)
    verdicts = judge(data, limits_of(settings), switched_off(settings))
    return replace(data, verdicts=verdicts, leaks=tuple(leaks(data)))
