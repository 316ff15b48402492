"""Serving programs as users see them: what they can do, and where they are installed."""

from __future__ import annotations

from pydantic import Field

from aicp.core.model import ModelFormat
from aicp.core.node import EnvironmentStatus
from aicp.core.service import Mode
from aicp.core.value import Request, Value


class EngineFlag(Value):
    """A parameter a user may set in mode custom. `type` is bool, int, float or str."""

    name: str
    type: str
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: list[str] = []
    default: bool | None = Field(default=None, description="what the engine does when it is not set; of switches")


class InstalledEnvironment(Value):
    """An environment of an engine on a node, and the services whose replicas need it."""

    node: str = Field(description="name of the node")
    status: EnvironmentStatus
    used_by: list[str] = []


class EngineInfo(Value):
    """An engine driver with its environments."""

    name: str
    title: str
    versions: list[str] = Field(description="newest first")
    formats: list[ModelFormat]
    internal: bool = Field(default=False, description="for tests; never offered, never chosen")
    variants: list[str] = Field(default=[], description="builds that run on the accelerators of this platform")
    endpoints: dict[str, list[str]] = Field(default={}, description="model type -> paths served natively")
    modes: list[Mode] = []
    flags: list[EngineFlag] = []
    environments: list[InstalledEnvironment] = []
    used_by: list[str] = []


class EngineInstall(Request):
    """What to install; by default the newest version, in the best variant, on every node."""

    version: str | None = None
    variant: str | None = None
    node: str | None = Field(default=None, description="id or name of one node")
