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


def _tag(text: str) -> str:
    """A tag without the space around it."""
    tag = text.strip()
    if not tag or not tag.isprintable():
        raise ValueError(f"{text!r} is no tag; write a word or NAME=VALUE, such as team=shop")
    return tag


Network = Annotated[str, AfterValidator(_network)]
Tag = Annotated[str, Field(max_length=100), AfterValidator(_tag)]
_WEIGHT = Field(default=1.0, gt=0, le=1000, description="share among keys of the same priority when replicas are busy")
_NETWORKS = Field(default=None, max_length=100, description="networks it may be used from, as CIDR; None: anywhere")
_MAX_OUTPUT = Field(
    default=None, ge=1, le=10**9, description="most output tokens a request may ask for; it is set where it names none"
)

_TAGS = Field(
    default=[], max_length=20, description="words to find it and its use by, such as `team=shop`; for people alone"
)


class KeyState(StrEnum):
    """Whether gateways take a key: `expired` ended by its date, `revoked` for good."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class Defaults(Request):
    """Parameters that a key's requests get where they name none. None leaves the engine's own."""

    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    seed: int | None = Field(default=None, ge=0, le=2**63 - 1)


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
    max_output_tokens: int | None = _MAX_OUTPUT
    defaults: Defaults = Defaults()
    tags: list[Tag] = _TAGS
    rotated_at: AwareDatetime | None = None
    previous_until: AwareDatetime | None = Field(
        default=None, description="until when the secret before the last rotation is taken too"
    )
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
    max_output_tokens: int | None = _MAX_OUTPUT
    defaults: Defaults = Defaults()
    tags: list[Tag] = _TAGS


class ApiKeyUpdate(Request):
    """What may change on a key."""

    name: str | None = Field(default=None, min_length=1, max_length=100)
    models: list[str] | None = None
    expires_at: AwareDatetime | None = None
    limits: Limits | None = Field(default=None, description="all of them anew; null lifts every limit")
    priority: Priority | None = None
    weight: float | None = Field(default=None, gt=0, le=1000)
    networks: list[Network] | None = _NETWORKS
    max_output_tokens: int | None = _MAX_OUTPUT
    defaults: Defaults | None = Field(default=None, description="all of them anew; null lifts every one")
    tags: list[Tag] | None = Field(default=None, max_length=20, description="all of them anew; null takes all away")


class ApiKeyRotate(Request):
    """A new secret for a key."""

    overlap_seconds: int = Field(
        default=86_400,
        ge=0,
        le=90 * 86_400,
        description="the old secret is taken for so long; 0 ends it at once",
    )


class ApiKeyCreated(Value):
    """A new key with its secret, shown once."""

    key: ApiKey
    secret: str
