"""The workshop: from a work (pure data) to the action that carries it out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pytest_resilience.chaos.actions import (
    NOT_CHECKED,
    Action,
    CascadeAction,
    DescriptorAction,
    SupervisedAction,
    Unfired,
    full_disk,
)
from pytest_resilience.chaos.call_action import CallAction, Normals
from pytest_resilience.chaos.network.specs import ToxicsSpec
from pytest_resilience.chaos.network.toxics import AnyToxic
from pytest_resilience.chaos.outside import Outside
from pytest_resilience.chaos.release import Release
from pytest_resilience.chaos.targets import CallSite
from pytest_resilience.chaos.triggers import share
from pytest_resilience.chaos.works import (
    CallWork,
    CascadeWork,
    DescriptorWork,
    DiskWork,
    HostWork,
    ToxicWork,
    Work,
)
from pytest_resilience.clock import Clock

NormalSeconds = Callable[[str, str], float | None]
"""Returns the normal latency in seconds of a seam: a service's name, and a call or an endpoint."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """Makes the actions of one engine."""

    sites: Mapping[str, Sequence[CallSite]]
    outside: Outside
    normal_seconds: NormalSeconds
    seed: int
    clock: Clock

    def action(self, work: Work, effect_id: str, release: Release) -> Action:
        """Return the action of `work`; nothing is touched before it is started."""
        match work:
            case CallWork(service):
                seed = self._seed(effect_id, service.name)
                return CallAction(work, self._normals(service.name), seed, release, self.clock)
            case ToxicWork():
                return self._toxics(work, effect_id)
            case HostWork(spec, afterwards):
                unfired = Unfired(NOT_CHECKED, "no effect was measured.")
                return SupervisedAction(
                    self.outside.supervisor,
                    self.outside.new_id(effect_id),
                    lambda: spec,
                    unfired,
                    afterwards,
                )
            case DescriptorWork(spare):
                return DescriptorAction(spare)
            case DiskWork():
                return full_disk(self.outside, effect_id)
            case CascadeWork(outages, delay):
                actions = [
                    self.action(outage, f"{effect_id}/{step}", release)
                    for step, outage in enumerate(outages, 1)
                ]
                return CascadeAction(actions, delay, release, self.clock)

    def _normals(self, service: str) -> Normals:
        return [(site, self.normal_seconds(service, site.label)) for site in self.sites[service]]

    def _toxics(self, work: ToxicWork, effect_id: str) -> Action:
        name, endpoint = work.service.name, work.service.listens_at
        assert endpoint is not None  # the way needs it
        toxics = work.toxics_for(self.normal_seconds(name, str(endpoint)))
        seed = self._seed(effect_id, name)
        unfired = Unfired(
            f"nothing came to {endpoint} through its proxy. Connect the code to service_address({name!r}), "
            "and use it while the fault is armed.",
            f"{_picked(toxics)}none of them was hit. "
            "Use it more often, with more data, or with probability=1.",
        )
        return SupervisedAction(
            self.outside.supervisor,
            self.outside.new_id(effect_id),
            lambda: ToxicsSpec(self.outside.proxy(endpoint), toxics, seed),
            unfired,
        )

    def _seed(self, effect_id: str, service: str) -> str:
        return f"{self.seed}/{effect_id}/{service}"


def _picked(toxics: Sequence[AnyToxic]) -> str:
    """Say which exchanges are hit, and when the first one is; nothing if all are."""
    for toxic in toxics:
        if toxic.trigger is not None or 0 < toxic.toxicity < 1:
            trigger = toxic.trigger or share(toxic.toxicity)
            return f"{trigger}: the first hit comes by number {trigger.fires_by}, "
    return ""
