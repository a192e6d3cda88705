"""Which run is to be soaked: one that goes on, as --soak-resume asks, or a new one."""

import secrets
from dataclasses import dataclass, replace

import pytest

from pytest_resilience.errors import SettingsError
from pytest_resilience.option_values import AUTO
from pytest_resilience.plugin.options import given
from pytest_resilience.plugin.runs import newest_run, unfinished_run
from pytest_resilience.plugin.xdist_role import SETTINGS_OF_THE_RUN, workerinput
from pytest_resilience.settings import Settings
from pytest_resilience.soak.resume import UNFINISHED, next_attempt
from pytest_resilience.soak.stored_settings import (
    difference,
    resumed_settings,
    stored_settings,
)
from pytest_resilience.store.layout import RUNS, RunFolder
from pytest_resilience.store.run_data import RunData

OPTION = "--soak-resume"


@dataclass(frozen=True)
class Resumed:
    """A run that is to go on, as its last process left it.

    Args:
        attempt: the number of the one that begins now.
        elapsed: the run's time at which it goes on, in seconds.
        prefix: begins the names of its workers, so that none has the name of an earlier one.
    """

    folder: RunFolder
    attempt: int
    elapsed: float
    prefix: str

    @property
    def test_id(self) -> str:
        return self.folder.test_id


@dataclass(frozen=True)
class Course:
    """What is soaked: with these settings, a run that goes on or a new one.

    `why_new` says why none goes on, where one might have.
    """

    settings: Settings
    resumed: Resumed | None = None
    why_new: str = ""


def course_of(config: pytest.Config, settings: Settings) -> Course:
    """Choose the run, and complete the settings; raise ResilienceError if the named one cannot go on."""
    if handed := workerinput(config).get(SETTINGS_OF_THE_RUN):
        return Course(stored_settings(handed))
    course = _chosen(config, settings)
    seed = course.settings.seed
    seed = secrets.randbelow(2**32) if seed is None else seed
    return replace(course, settings=replace(course.settings, seed=seed))


def _chosen(config: pytest.Config, settings: Settings) -> Course:
    root = config.rootpath / settings.directory
    if settings.resume is None:
        return Course(settings)
    if settings.resume != AUTO:
        folder, data = unfinished_run(root, OPTION, settings.resume)
        stored = stored_settings(data.run.settings)
        return Course(resumed_settings(stored, given(config), data.run.test_id), _resumed(folder, data))
    newest = newest_run(root)
    if newest is None:
        return Course(settings, why_new=f"there is none in {root / RUNS}")
    return _continued(settings, *newest)


def _continued(settings: Settings, folder: RunFolder, data: RunData) -> Course:
    """Go on with the newest run if it is the one that this command line would begin, and not over."""
    if data.run.status not in UNFINISHED:
        return Course(settings, why_new=f"the newest, {folder.test_id}, is {data.run.status}")
    try:
        stored = stored_settings(data.run.settings)
    except SettingsError as other_version:
        return Course(settings, why_new=f"of the newest, {folder.test_id}: {other_version}")
    if differs := difference(stored, settings):
        return Course(settings, why_new=f"the newest, {folder.test_id}, was begun with {differs}")
    return Course(replace(settings, seed=stored.seed), _resumed(folder, data))


def _resumed(folder: RunFolder, data: RunData) -> Resumed:
    return Resumed(folder, next_attempt(data), data.elapsed, _prefix(data))


def _prefix(data: RunData) -> str:
    number = next_attempt(data)
    while any(worker.name.startswith(f"a{number}-") for worker in data.workers):
        number += 1
    return f"a{number}-"
