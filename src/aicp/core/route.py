"""The route table: all that the gateway needs to serve, pushed by the control plane.

Plain dataclasses (not pydantic) so that the data plane decodes them without loading a validation library.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A live API key. `digest` = hex HMAC-SHA256(pepper, key); `models` None allows every route that `project` sees."""

    id: str
    digest: str
    project: str
    models: list[str] | None = None
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A ready replica. `address` is `unix:/path` or `http://127.0.0.1:port`; `token` goes upstream as bearer.

    `cache_tokens` is how many tokens its KV cache holds, where that is known.
    """

    replica_id: str
    address: str
    token: str | None = None
    max_requests: int | None = None
    cache_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """A public model name. `project` None means public; `endpoints` are the paths the engine serves natively.

    `upstream_model` is the name the engine knows the model by. Targets may be empty: known, but nothing is ready (503).
    """

    name: str
    service: str
    project: str | None
    type: str
    engine: str
    upstream_model: str
    endpoints: list[str]
    refused_fields: list[str]
    targets: list[Target]
    context_length: int | None = None
    created_at: float = 0.0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RouteTable:
    """A consistent snapshot. `etag` changes with every content change."""

    etag: str
    pepper: str
    keys: list[KeyEntry] = field(default_factory=list[KeyEntry])
    routes: list[RouteEntry] = field(default_factory=list[RouteEntry])
