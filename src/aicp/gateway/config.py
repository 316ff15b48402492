"""What a gateway process is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from aicp.security.tls_identity import TlsIdentity


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that keep one client from harming the others. Sizes are bytes, times seconds."""

    header_bytes: int = 64 * 1024
    body_bytes: int = 32 * 2**20
    header_seconds: float = 10.0
    """A request's head must be complete by then."""
    body_idle_seconds: float = 10.0
    """A body may pause for so long."""
    body_seconds: float = 300.0
    """A body must be complete by then, however steadily it trickles."""
    idle_seconds: float = 75.0
    """A connection without a request is closed then."""
    stalled_reader_seconds: float = 120.0
    """A client that takes nothing of its answer for so long is left."""
    first_byte_seconds: float = 600.0
    """An engine may be silent for so long, before its answer or within it."""
    connect_seconds: float = 3.0
    replicas_tried: int = 3
    replicas_lost: int = 2
    """A request that ends every replica it meets must not meet them all: it is tried again once."""
    stale_seconds: float = 1.0
    """An idle connection that ended before it was used is known to have ended at once, not later."""
    whole_bytes: int = 1 << 18
    """A longer answer of an engine is passed on as it comes."""
    held_bytes: int = 1 << 26
    """What must be held whole may be so long."""
    drain_seconds: float = 15.0
    """Requests in flight at a shutdown may take so long."""
    handover_seconds: float = 900.0
    """Requests in flight when another process takes over may take so long."""
    leave_idle_seconds: float = 5.0
    """Then a connection without a request is closed so soon; its next request before that is still answered."""
    connections: int = 10_000


@dataclass(frozen=True, slots=True)
class MediaRules:
    """Whether and how far media are fetched whose address a request names. Sizes are bytes, times seconds."""

    fetch: bool = True
    allowed_networks: tuple[str, ...] = ()
    """Host names, addresses and CIDR blocks that may be fetched from although they are private."""
    links: int = 16
    """Of one request."""
    bytes_each: int = 16 * 2**20
    bytes_all: int = 20 * 2**20
    """Of one request; what engines get is a third longer."""
    seconds: float = 15.0
    """All media of a request must be there by then."""
    requests: int = 8
    """So many requests are fetched for at the same time; others wait."""
    requests_of_key: int = 2
    """The same for one key."""


@dataclass(frozen=True, slots=True)
class SharingRules:
    """Whether limits hold over several gateway processes, and through whom."""

    coordinator: str = ""
    """`file:<folder>` (in the gateway's directory unless it is absolute) for the processes of one machine, `redis://`,
    `rediss://`, `valkey://` or `valkeys://` over machines. Empty: this process has its limits for itself."""
    strict: bool = False
    """Without its coordinator a gateway refuses what has limits, instead of holding to its share of them."""


@dataclass(frozen=True, slots=True)
class TraceRules:
    """Where spans go: to the collector at `endpoint`, of so large a share of the requests that bring no trace."""

    endpoint: str
    ratio: float = 1.0
    service: str = "aicp-gateway"


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Everything `serve` needs. `directory` is the gateway's own part of the data directory.

    `control_certificate` is what an https `control_url` must prove to be; it is pinned, not looked up by host name.
    `cluster` is what this gateway proves itself with to engines on other nodes.
    `shared`: other processes of this platform accept on the same port. `takes_over` is the pid of the process whose
    sockets are taken; `ready_descriptor` is written to once they are in use.
    """

    host: str
    port: int
    directory: Path
    control_url: str
    internal_token: str
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    control_certificate: Path | None = None
    cluster: TlsIdentity | None = None
    shared: bool = False
    takes_over: int | None = None
    ready_descriptor: int | None = None
    limits: Limits = field(default_factory=Limits)
    media: MediaRules = field(default_factory=MediaRules)
    sharing: SharingRules = field(default_factory=SharingRules)
    traces: TraceRules | None = None
    """None: no traces are kept."""
