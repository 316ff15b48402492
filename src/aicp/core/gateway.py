"""What a gateway tells the control plane of itself, so that a replica is stopped only when nobody uses it."""

from __future__ import annotations

from pydantic import AwareDatetime, Field

from aicp.core.live import LiveReport
from aicp.core.value import Value


class Heartbeat(Value):
    """Sent every second: the route table in use, the requests in flight by replica, and what goes on where somebody
    looks at that."""

    etag: str = Field(max_length=200)
    inflight: dict[str, int] = {}
    started_at: AwareDatetime | None = None
    live: LiveReport | None = None


class GatewayStatus(Value):
    """The last word of a gateway. `seen_at` is the control plane's time."""

    id: str
    etag: str
    inflight: dict[str, int] = {}
    started_at: AwareDatetime | None = None
    seen_at: AwareDatetime
