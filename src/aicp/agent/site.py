"""What a node offers to every replica on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from aicp.accelerators.base import AcceleratorDriver
from aicp.agent.engine_user import EngineUser
from aicp.agent.model_copies import ModelCopies, Progress
from aicp.core.clock import Clock
from aicp.core.registry import Registry
from aicp.enforcers.base import Enforcer


class InstalledEngines(Protocol):
    """The engine environments of this node, as a start needs them."""

    async def ensure(self, engine: str, version: str, variant: str, progress: Progress) -> Path:
        """The interpreter of the environment, built first when absent. Raises AicpError when it cannot be built."""
        ...

    def directory(self, engine: str, version: str, variant: str) -> Path:
        """Where the environment is, or will be."""
        ...

    def phase(self, engine: str, version: str, variant: str) -> str | None:
        """What its build does now, for people."""
        ...


@dataclass(frozen=True, slots=True)
class Site:
    """The node's directories, its drivers, and the user that engines run as (None: the platform's own).

    `namespaces` says whether engines can get a private view of the file system. `inherited` are the few variables of
    the platform's own environment that engines may see. `reached` says by what address other machines reach a replica,
    None where they do not.
    """

    node_id: str
    data_dir: Path
    replicas_dir: Path
    copies: ModelCopies
    engines: InstalledEngines
    accelerators: Registry[AcceleratorDriver]
    enforcers: Registry[Enforcer]
    clock: Clock
    engine_user: EngineUser | None = None
    namespaces: bool = False
    inherited: Mapping[str, str] | None = None
    reached: Callable[[str], str] | None = None

    def shown_address(self, replica_id: str, own: str | None) -> str | None:
        """How the gateway reaches an engine that listens at `own`."""
        return own if own is None or self.reached is None else self.reached(replica_id)
