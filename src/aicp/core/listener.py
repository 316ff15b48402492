"""Listeners: addresses of their own for public model names, and the ports that are used and reserved."""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from typing import Self

from pydantic import AwareDatetime, Field, field_validator, model_validator

from aicp.core.port_range import LAST
from aicp.core.value import Request, Value

_ADDRESS = Field(default="127.0.0.1", max_length=45, description="IP address of the gateway's machine; 0.0.0.0: all")
_CERTIFICATE = Field(
    default=None,
    max_length=1000,
    pattern="^/",
    description="PEM file of the certificate chain on the gateway's machine; it may be replaced while it is in use",
)
_KEY = Field(default=None, max_length=1000, pattern="^/", description="PEM file of its private key")


class ListenerState(StrEnum):
    """What the gateways say of a listener."""

    OPEN = "open"
    FAILED = "failed"
    WAITING = "waiting"


class Listener(Value):
    """An address that serves one public model name, with the same keys and limits as everywhere."""

    model: str = Field(description="public model name: of a service or a route")
    address: str
    port: int
    tls_certificate: str | None = None
    tls_key: str | None = None
    state: ListenerState = ListenerState.WAITING
    reason: str = Field(default="", description="why it is not open, in words")
    set_at: AwareDatetime
    set_by: str | None = None


class ListenerSet(Request):
    """Where a model is to be served beside the gateway's own address."""

    address: str = _ADDRESS
    port: int = Field(ge=1, le=LAST)
    tls_certificate: str | None = _CERTIFICATE
    tls_key: str | None = _KEY

    @field_validator("address")
    @classmethod
    def _is_address(cls, address: str) -> str:
        try:
            return str(ipaddress.ip_address(address))
        except ValueError as error:
            raise ValueError("an IP address such as 127.0.0.1, or 0.0.0.0 for all of the machine's") from error

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("a certificate and its key belong together; only one of them is given")
        return self


class PortUse(StrEnum):
    """Who has a port."""

    CONTROL = "control"
    GATEWAY = "gateway"
    LISTENER = "listener"
    ENGINE = "engine"
    RESERVED = "reserved"


class Port(Value):
    """A port, or a range of them, that no new listener may take."""

    first: int
    last: int
    address: str = ""
    use: PortUse
    holder: str = Field(default="", description="the model or replica that has it")
