"""What a gateway tells the control plane of itself, so that a replica is stopped only when nobody uses it."""

from __future__ import annotations

from pydantic import AwareDatetime, Field

from aicp.core.live import LiveReport
from aicp.core.value import Value


class ServiceLoad(Value):
    """Requests of a service at one gateway: those that wait for a place, those under way, and those held while it
    wakes. `used_at` (Unix seconds) is when it last had one."""

    queued: int = 0
    running: int = 0
    held: int = 0
    used_at: float = 0.0


class GatewayFacts(Value):
    """What a gateway process says of itself: the route table in use, requests in flight by replica, what it is."""

    etag: str = Field(max_length=200)
    inflight: dict[str, int] = {}
    started_at: AwareDatetime | None = None
    pid: int | None = None
    slot: int = Field(default=1, ge=1, description="place of its files, which no two live processes share")
    version: str = Field(default="", max_length=40)
    leaving: bool = Field(default=False, description="another process has taken over; it ends with its requests")
    coordinator: str = Field(
        default="", max_length=20, description="of shared limits: `connected`, `lost`, or empty where none are shared"
    )
    listeners: dict[str, str] = Field(default={}, description="models with listeners; empty: open, else why not")
    loads: dict[str, ServiceLoad] = Field(default={}, description="of services that scale themselves, by name")


class Heartbeat(GatewayFacts):
    """Sent every second, with what goes on where somebody looks at that."""

    live: LiveReport | None = None


class GatewayStatus(GatewayFacts):
    """The last word of a gateway process. `seen_at` is the control plane's time."""

    id: str
    seen_at: AwareDatetime
