"""API keys: the credential of applications that call the gateway."""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field

from aicp.core.limits import Limits, Priority
from aicp.core.value import Request, Value


def _network(text: str) -> str:
    """A network, or an address as the network of it alone, as everybody writes it."""
    try:
        return str(ipaddress.ip_network(text.strip()))
    except ValueError as error:
        raise ValueError(f"{text!r} is neither an address nor a network such as 10.1.0.0/16") from error


Network = Annotated[str, AfterValidator(_network)]
_WEIGHT = Field(default=1.0, gt=0, le=1000, description="share among keys of the same priority when replicas are busy")
_NETWORKS = Field(default=None, max_length=100, description="networks it may be used from, as CIDR; None: anywhere")


class KeyState(StrEnum):
    """Whether gateways take a key: `expired` ended by its date, `revoked` for good."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class ApiKey(Value):
    """A key without its secret. `prefix` is the public part, `sk-<id>`."""

    id: str
    name: str
    project: str
    prefix: str
    models: list[str] | None = Field(default=None, description="allowed public model names; None: all of the project")
    expires_at: AwareDatetime | None = None
    limits: Limits = Limits()
    priority: Priority = Priority.DEFAULT
    weight: float = _WEIGHT
    networks: list[Network] | None = _NETWORKS
    revoked_at: AwareDatetime | None = None
    last_used_at: AwareDatetime | None = None
    created_at: AwareDatetime
    created_by: str | None = None


class ApiKeyCreate(Request):
    """A new key."""

    name: str = Field(min_length=1, max_length=100)
    project: str = "default"
    models: list[str] | None = None
    expires_at: AwareDatetime | None = None
    limits: Limits = Limits()
    priority: Priority = Priority.DEFAULT
    weight: float = _WEIGHT
    networks: list[Network] | None = _NETWORKS


class ApiKeyUpdate(Request):
    """What may change on a key."""

    name: str | None = Field(default=None, min_length=1, max_length=100)
    models: list[str] | None = None
    expires_at: AwareDatetime | None = None
    limits: Limits | None = Field(default=None, description="all of them anew; null lifts every limit")
    priority: Priority | None = None
    weight: float | None = Field(default=None, gt=0, le=1000)
    networks: list[Network] | None = _NETWORKS


class ApiKeyCreated(Value):
    """A new key with its secret, shown once."""

    key: ApiKey
    secret: str
