"""How a machine becomes a node: tokens that let it in, what it says of itself, and what it is given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import AwareDatetime, Field

from aicp.core.ids import NAME_PATTERN
from aicp.core.node import Labels
from aicp.core.value import Page, Request, Value

LEASE_HEADER = "X-AICP-Lease-Seconds"
"""With this the control plane says for how long a joined node may serve without hearing from it again."""


@dataclass(frozen=True, slots=True)
class JoinWish:
    """What `aicp node join` hands to the process that joins: where to, and how this machine is reached (0: any port).

    `host` is HOST or HOST:PORT, empty for the address that the platform sees.
    """

    control: str
    token: str
    host: str = ""
    engine_port: int = 0


class JoinTokenCreate(Request):
    """What a new token is to allow: how many machines within which time, and which pool and labels they get."""

    hours: float = Field(default=24, gt=0, le=24 * 366)
    uses: int = Field(default=1, ge=1, le=1000)
    pool: Annotated[str, Field(pattern=NAME_PATTERN)] | None = None
    labels: Labels = {}


class JoinToken(Value):
    """A token that lets machines join; its text is shown once and kept nowhere."""

    id: str
    created_by: str
    created_at: AwareDatetime
    expires_at: AwareDatetime
    uses: int
    uses_left: int
    pool: str | None = None
    labels: Labels = {}


class JoinTokenPage(Page[JoinToken]):
    """Tokens, and HOST:PORT by which machines join with them; None while the platform listens for none."""

    address: str | None = None


class JoinTokenCreated(Value):
    """A fresh token, its text, and the address that a machine joins with it."""

    join_token: JoinToken
    token: str
    address: str


class JoinRequest(Request):
    """What a machine says as it joins. `request` is the signing request (PEM) for the key that it made.

    `host` is by what others reach it; without it the address counts that its call came from.
    """

    request: str = Field(max_length=8192)
    node_id: str = Field(pattern=r"^node_[0-9a-z]{1,35}$")
    hostname: str = Field(min_length=1, max_length=255)
    host: str | None = Field(default=None, max_length=255, pattern=r"^[A-Za-z0-9.:_-]+$")
    port: int = Field(ge=1, le=65535)


class RayAdmission(Value):
    """What a machine needs to be a member of the platform's Ray, whose `head` is HOST:PORT; texts are PEM.

    The key is made by the platform: the way to the machine is encrypted, and Ray checks addresses, not names.
    """

    head: str
    address: str
    reconnect_seconds: int
    authority: str
    certificate: str
    key: str
    token: str


class RayPapersRequest(Request):
    """A member of Ray shows by which authority (PEM) it believes others."""

    authority: str = Field(max_length=8192)


class RayPapersAnswer(Value):
    """New papers where the platform's Ray has another authority by now; None where those of the member hold."""

    ray: RayAdmission | None = None


class Joined(Value):
    """What a node gets: its certificate, the authority that it is to believe, and for how long it may be alone."""

    certificate: str
    authority: str
    node_id: str
    host: str
    lease_seconds: float
    ray: RayAdmission | None = Field(default=None, description="set where Ray starts the node's agent")


class RenewRequest(Request):
    """A signing request (PEM) of a node whose certificate still holds."""

    request: str = Field(max_length=8192)


class Renewed(Value):
    """The new certificate (PEM)."""

    certificate: str
