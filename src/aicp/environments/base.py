"""What an engine's environment is: the key that names it, the data that defines it, and how progress is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from aicp.core.job import JobProgress

Report = Callable[[JobProgress], None]
"""Receives every step of a build; called from the event loop, must not block."""


@dataclass(frozen=True, slots=True, order=True)
class EnvironmentKey:
    """Names one environment: engine `vllm`, version `0.32.0`, variant `cpu`."""

    engine: str
    version: str
    variant: str

    @property
    def name(self) -> str:
        """How people call it, and how its directory's name begins: `vllm-0.32.0-cpu`."""
        return f"{self.engine}-{self.version}-{self.variant}"


@dataclass(frozen=True, slots=True)
class RepairFile:
    """A file written into the environment's site-packages after the packages, with the reason for it."""

    path: str
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class TorchPin:
    """Torch is installed by exact version alone, before the lock: which wheel is right differs between machines.

    `digests` are the SHA-256 of the wheels this definition was tested with; the manifest records the one taken.
    """

    version: str
    digests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NativeBuild:
    """A program compiled once from a hashed source release.

    `package` is the source release's name, pinned in `source_lock`; `tools_lock` pins what compiles it (in an
    environment that is thrown away); `directory` is where its CMake project lies; `program` is the target that is
    built and copied to the environment's `bin`.
    """

    package: str
    source_lock: str
    tools_lock: str
    directory: str
    program: str
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """All that is needed to build one environment. Locks are names of files in the folder `locks`; none, no packages.

    `evidence` says what it was tested on. `probe` is Python code that must run in the finished environment.
    """

    key: EnvironmentKey
    title: str
    evidence: str
    pythons: tuple[str, ...]
    machines: tuple[str, ...]
    approximate_bytes: int
    probe: str
    lock: str | None = None
    torch: TorchPin | None = None
    native: NativeBuild | None = None
    repairs: tuple[RepairFile, ...] = ()
    locks: Path = field(default=Path(), repr=False, compare=False)
