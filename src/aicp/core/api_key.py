"""API keys: the credential of applications that call the gateway."""

from __future__ import annotations

from enum import StrEnum

from pydantic import AwareDatetime, Field

from aicp.core.value import Request, Value


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


class ApiKeyUpdate(Request):
    """What may change on a key."""

    name: str | None = Field(default=None, min_length=1, max_length=100)
    models: list[str] | None = None
    expires_at: AwareDatetime | None = None


class ApiKeyCreated(Value):
    """A new key with its secret, shown once."""

    key: ApiKey
    secret: str
