"""What this process has outside of itself: the supervisor, one proxy per endpoint, and one small disk."""

import itertools
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import get_ident

from pytest_resilience.chaos.host.specs import DiskSpec, PauseSpec
from pytest_resilience.chaos.network.specs import ProxySpec
from pytest_resilience.chaos.release import Release
from pytest_resilience.chaos.supervisor.client import START_SECONDS, Death, Supervisor
from pytest_resilience.chaos.supervisor.effects import Info
from pytest_resilience.chaos.supervisor.launch import Launcher
from pytest_resilience.endpoints import Endpoint
from pytest_resilience.errors import ScenarioError, did_you_mean
from pytest_resilience.services import Service

DISK = "disk"
DISK_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Address:
    """Where the code under test connects to, so that faults can reach its connections.

    A host and a port (IPv4, so that it fits every client), the port on `::1` (0 if the machine has no IPv6),
    and the path of a Unix socket; all three lead to the service. As a string it is `host:port`.
    """

    host: str
    port: int
    port6: int
    path: str

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(slots=True)
class _Shared:
    """An effect that many use; `info` is what it told, None while it starts or if it could not."""

    effect_id: str
    info: Info | None = None
    tried: Release = field(default_factory=Release)
    starter: int = field(default_factory=get_ident)


class Outside:
    """Shared by all engines of a process, as its proxies are; nothing is started before it is needed.

    In the folder `notes`, if it is given, stands what it holds, for `--resilience-cleanup`.
    """

    def __init__(self, notes: Path | None = None) -> None:
        launcher = Launcher(notes="" if notes is None else str(notes.absolute()))
        self.supervisor = Supervisor(on_death=self._forget, launcher=launcher)
        self._shared: dict[str, _Shared] = {}
        self._numbers = itertools.count(1)

    def new_id(self, name: str) -> str:
        """Return an id for an effect that no other effect has had: an id that was stopped stays stopped."""
        return f"{next(self._numbers)} {name}"

    def address(self, endpoint: Endpoint) -> Address:
        """Return where to connect to instead of `endpoint`; raise ScenarioError if no proxy can start."""
        _, info = self._use(str(endpoint), ProxySpec(endpoint))
        return Address(str(info["host"]), int(info["port"]), int(info["port6"]), str(info["path"]))

    def proxy(self, endpoint: Endpoint) -> str:
        """Return the id of the proxy in front of `endpoint`, running."""
        return self._use(str(endpoint), ProxySpec(endpoint))[0]

    def has_proxy(self, endpoint: Endpoint) -> bool:
        """Tell whether somebody asked for its address."""
        return str(endpoint) in self._shared

    def disk(self) -> tuple[str, Path]:
        """Return the id and the folder of a disk of 16 MiB; raise ScenarioError if there can be none."""
        effect_id, info = self._use(DISK, DiskSpec(DISK_BYTES))
        return effect_id, Path(str(info["path"]))

    @property
    def has_disk(self) -> bool:
        """Tell whether somebody asked for the disk."""
        return DISK in self._shared

    def close(self) -> None:
        """End everything; doing it again changes nothing."""
        self._shared.clear()
        self.supervisor.close()

    def _use(self, name: str, spec: ProxySpec | DiskSpec) -> tuple[str, Info]:
        """Start an effect once, whoever asks first; no lock, as an interrupt could leave it held."""
        while True:
            mine = _Shared(self.new_id(name))
            shared = self._shared.setdefault(name, mine)
            if shared is mine:
                self._start(name, mine, spec)
            if shared.starter != get_ident():  # else it was interrupted before it could tell
                shared.tried.wait(START_SECONDS)
            if shared.info is not None:
                return shared.effect_id, shared.info
            if self._shared.get(name) is shared:  # who began was interrupted
                del self._shared[name]

    def _start(self, name: str, mine: _Shared, spec: ProxySpec | DiskSpec) -> None:
        try:
            mine.info = self.supervisor.start(mine.effect_id, spec)
        except BaseException:
            self._shared.pop(name, None)
            self.supervisor.stop(mine.effect_id)
            raise
        finally:
            mine.tried.set()

    def _forget(self, death: Death) -> None:
        """The supervisor was killed, and all in it is gone: what it had stopped goes on."""
        self._shared.clear()
        for spec in death.lost.values():
            if isinstance(spec, PauseSpec):
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(spec.pid, signal.SIGCONT)


def address_of(name: str, services: Mapping[str, Service], outside: Outside) -> Address:
    """Return where to connect to instead of a service's endpoint.

    Raise ScenarioError for a service that is unknown or has no endpoint.
    """
    if name not in services:
        hint = did_you_mean(name, services)
        raise ScenarioError(f"There is no service {name!r} in resilience_services. {hint}")
    endpoint = services[name].listens_at
    if endpoint is None:
        raise ScenarioError(
            f"Service {name!r} declares no endpoint. "
            f'Add it in resilience_services: Service({name!r}, endpoint="127.0.0.1:5432", …).'
        )
    return outside.address(endpoint)
