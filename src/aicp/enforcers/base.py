"""What an enforcer is: one mechanism that confines the processes of a replica to its allocation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from aicp.core.launch import Allocation


@dataclass(frozen=True, slots=True)
class Applied:
    """What an enforcer does for one replica.

    `join` are files into which the process writes its own pid before it becomes the engine, `env` variables it gets;
    LD_PRELOAD is put before what the engine preloads itself. `readable` and `writable` are paths of this machine that
    the engine needs; the writable ones become its user's.
    `note` says to people what is enforced and with what rounding, or why nothing is.
    """

    enforced: bool
    note: str
    join: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Consumption:
    """What the group holds now; None where the mechanism does not say. `out_of_memory_kills` counts since it exists.

    `accelerator_memory_bytes` is what its slices hold, over all devices.
    """

    memory_bytes: int | None = None
    memory_peak_bytes: int | None = None
    cpu_seconds: float | None = None
    out_of_memory_kills: int | None = None
    accelerator_memory_bytes: int | None = None


class Enforcer(Protocol):
    """The required part. A driver's module ends in `driver = ...`. `group` is a replica's id, unique on the node.

    Every method is idempotent and none raises because the mechanism is absent or not writable. The engine joins its
    group by itself before it becomes the engine, so no moment exists in which it runs outside its limits.
    """

    def unavailable(self) -> str | None:
        """Why this machine cannot enforce by it, in words; None where it can."""
        ...

    def apply(self, group: str, allocation: Allocation) -> Applied:
        """Makes the group, or brings the limits of an existing one to `allocation`."""
        ...

    def usage(self, group: str) -> Consumption:
        """What the group consumes; all None when there is no group."""
        ...

    def pids(self, group: str) -> list[int]:
        """Every process in the group; empty when there is no group."""
        ...

    def release(self, group: str) -> bool:
        """Removes the group. False while processes are still in it; True also when there was none."""
        ...


@runtime_checkable
class LiveResize(Protocol):
    """An enforcer whose limits can change under a running process: calling `apply` again does it."""

    def can_resize(self) -> bool:
        """Whether it can on this machine."""
        ...


@runtime_checkable
class KeepsFiles(Protocol):
    """An enforcer with files of its own. Those of running replicas must outlive the agent."""

    def keep_in(self, directory: Path) -> None:
        """Where they belong, before anything else is asked of it; the directory may not exist yet."""
        ...
