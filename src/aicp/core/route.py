"""The route table: all that the gateway needs to serve, pushed by the control plane.

Plain dataclasses (not pydantic) so that the data plane decodes them without loading a validation library.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LimitsEntry:
    """`aicp.core.limits.Limits` as the data plane reads it."""

    rpm: int | None = None
    tpm: int | None = None
    input_tpm: int | None = None
    output_tpm: int | None = None
    concurrency: int | None = None
    tokens_per_day: int | None = None
    tokens_per_month: int | None = None
    budget_per_day: int | None = None
    """Millionths of the currency, as all money here."""
    budget_per_month: int | None = None


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A live API key. `digest` = hex HMAC-SHA256(pepper, key); `models` None allows every route that `project` sees.

    `priority` is its class and `weight` its share among keys of that class; `networks` are those it may come from.
    `previous_digest` is that of the secret before the last rotation, which is taken until `previous_until`.
    """

    id: str
    digest: str
    project: str
    models: list[str] | None = None
    expires_at: float | None = None
    priority: str = "default"
    weight: float = 1.0
    networks: list[str] | None = None
    limits: LimitsEntry | None = None
    max_output_tokens: int | None = None
    defaults: dict[str, float] | None = None
    previous_digest: str | None = None
    previous_until: float = 0.0


@dataclass(frozen=True, slots=True)
class RequestLogEntry:
    """`aicp.core.request_log.RequestLogRule` as the data plane reads it; `bodies` is "errors" or "all"."""

    bodies: str
    share: float = 1.0
    redact: list[str] = field(default_factory=list[str])
    patterns: list[str] = field(default_factory=list[str])
    max_body_bytes: int = 65536


@dataclass(frozen=True, slots=True)
class ScopeEntry:
    """A project or an organization that has limits; `parent` is a project's organization.

    `log` says which bodies of a project's requests are kept; None: none, which is what most projects have.
    """

    name: str
    limits: LimitsEntry | None = None
    parent: str = ""
    log: RequestLogEntry | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A ready replica. `address` is `unix:/path` or `http://127.0.0.1:port`, on a joined node `mtls://name@host:port`;
    `token` goes upstream as bearer.

    `cache_tokens` is how many tokens its KV cache holds, where that is known, and `cache_events` the unix socket where
    it tells what it holds. `networks` is set for an outside provider: its address, which holds the version of its API
    (`https://host/v1`), must be public or in one of them.
    """

    replica_id: str
    address: str
    token: str | None = None
    max_requests: int | None = None
    cache_tokens: int | None = None
    networks: list[str] | None = None
    cache_events: str | None = None


@dataclass(frozen=True, slots=True)
class PriceEntry:
    """What a million tokens cost, in millionths of the currency; `cached_input` is what the engine had in its cache."""

    input: int
    cached_input: int
    output: int


@dataclass(frozen=True, slots=True)
class WakeEntry:
    """How a service without replicas is woken: a request waits up to `max_wait_seconds` for it. `wake_seconds` is how
    long that took lately, None where that is not known."""

    max_wait_seconds: float
    wake_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """A destination, and a public model name of its own unless `hidden`.

    `project` None means public; `endpoints` are the paths the engine serves natively; `upstream_model` is the name the
    engine knows the model by. Targets may be empty: known, but nothing is ready (503). `continues` says for some of the
    `endpoints` how a target goes on with an answer that another one began, see `Engine.continues`. `scales`: its load
    is to be told; `wake` is set where it may sleep.
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
    price: PriceEntry | None = None
    hidden: bool = False
    continues: dict[str, str] = field(default_factory=dict[str, str])
    scales: bool = False
    wake: WakeEntry | None = None


@dataclass(frozen=True, slots=True)
class ArmEntry:
    """One destination of a choice, by the name of its route. `weight` is its share of the requests; 0: none."""

    route: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class ChoiceEntry:
    """A public model name whose requests are shared among destinations; it goes before a route of the same name.

    `fallbacks` are routes that are tried, in order, where the chosen one does not answer. `sticky` says what stays with
    one arm: "session", or "key" for requests without a session, too. `price` None: that of the destination that serves.
    """

    name: str
    project: str | None
    arms: list[ArmEntry]
    fallbacks: list[str] = field(default_factory=list[str])
    sticky: str = "session"
    created_at: float = 0.0
    price: PriceEntry | None = None


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """The answers of one public model name to one project are kept for `ttl` seconds and given again.

    `generation` changes when what is kept must not be given any more. `embedding_model` is the public name whose
    vectors say which questions are alike; None: only the very same question is answered. `measure`: what would be given
    for a like question is only compared with the engine's answer.
    """

    project: str
    model: str
    ttl: float
    generation: str = ""
    measure: bool = False
    embedding_model: str | None = None
    threshold: float = 0.95
    max_entries: int = 10_000
    any_temperature: bool = False


@dataclass(frozen=True, slots=True)
class ListenerEntry:
    """An address that serves the public name `model` alone. The files of a certificate are the gateway's to read."""

    model: str
    address: str
    port: int
    tls_certificate: str | None = None
    tls_key: str | None = None


@dataclass(frozen=True, slots=True)
class RouteTable:
    """A consistent snapshot. `etag` changes with every content change."""

    etag: str
    pepper: str
    keys: list[KeyEntry] = field(default_factory=list[KeyEntry])
    routes: list[RouteEntry] = field(default_factory=list[RouteEntry])
    projects: list[ScopeEntry] = field(default_factory=list[ScopeEntry])
    organizations: list[ScopeEntry] = field(default_factory=list[ScopeEntry])
    currency: str = "USD"
    choices: list[ChoiceEntry] = field(default_factory=list[ChoiceEntry])
    caches: list[CacheEntry] = field(default_factory=list[CacheEntry])
    listeners: list[ListenerEntry] = field(default_factory=list[ListenerEntry])


@dataclass(frozen=True, slots=True)
class Total:
    """Tokens or money that one scope has used in the day and in the month of `Totals.at`."""

    day: int
    month: int


@dataclass(frozen=True, slots=True)
class Totals:
    """Use that is counted in the store, of every scope that has a limit by day or month.

    A scope is `key:<id>`, `project:<name>` or `organization:<name>`. `sequence` is the last batch of the asking gateway
    that is in it: what that gateway logged later comes on top. `at` is the time (Unix seconds) that says which day.
    `scopes` counts tokens, `spent` millionths of the currency.
    """

    at: float
    sequence: int
    scopes: dict[str, Total]
    spent: dict[str, Total] = field(default_factory=dict[str, Total])
