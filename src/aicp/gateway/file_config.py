"""A gateway without a platform: its routes, keys and limits from one YAML file.

`${NAME}` in a text is the environment variable of that name, so that no secret needs to stand in the file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec
import yaml

from aicp.core.errors import InvalidError
from aicp.core.money import PLACES, to_micros
from aicp.core.route import (
    ArmEntry,
    CacheEntry,
    ChoiceEntry,
    KeyEntry,
    LimitsEntry,
    PriceEntry,
    RequestLogEntry,
    RouteEntry,
    RouteTable,
    ScopeEntry,
    Target,
)
from aicp.gateway.api_keys import KeyRing
from aicp.gateway.priorities import NAMES
from aicp.gateway.upstream import UpstreamPool
from aicp.security.keys import encode_pepper, key_digest, key_id
from aicp.security.redactors import Redactor

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
RedactorName = Literal["secrets", "emails", "phone_numbers", "credit_cards", "chinese_ids", "ip_addresses"]
_ENDPOINTS = ["/v1/chat/completions", "/v1/completions"]
REDACTORS: tuple[RedactorName, ...] = get_args(RedactorName)
_Most = Annotated[int, msgspec.Meta(ge=1)] | None


class _Strict(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A misspelt name is an error."""


class Listen(_Strict):
    """Where to listen. Beyond loopback TLS is needed, or `insecure`."""

    host: str = "127.0.0.1"
    port: int = 8601
    tls_certificate: str | None = None
    tls_key: str | None = None
    insecure: bool = False


class Upstream(_Strict):
    """An engine or provider: `http://host:port`, `https://host/path` or `unix:/path`; endpoints' paths follow."""

    address: str
    token: str | None = None
    max_requests: _Most = None


class FilePrice(_Strict):
    """What a million tokens cost; input that the engine had in its cache costs as other input where nothing is said."""

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None


class FileArm(_Strict):
    """Another route of the file and its share of the requests."""

    route: str
    weight: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 1


class FileRoute(_Strict):
    """A public model name: either `upstreams`, which call it `model` (by default the same), or `arms`.

    `fallbacks` are routes that are tried in order where it does not answer. `hidden`: only other routes lead there.
    """

    name: str
    upstreams: list[Upstream] | None = None
    arms: list[FileArm] = []
    fallbacks: list[str] = []
    sticky: Literal["session", "key"] = "session"
    hidden: bool = False
    model: str | None = None
    endpoints: list[str] = msgspec.field(default_factory=lambda: list(_ENDPOINTS))
    refused_fields: list[str] = []
    continues: dict[str, Literal["prompt", "continue_final_message", "prefill"]] = {}
    project: str | None = None
    context_length: int | None = None
    price: FilePrice | None = None

    def __post_init__(self) -> None:
        """Raises ValueError, which is told with the place of the route."""
        own = self.upstreams is not None or self.model is not None or self.hidden
        if self.arms and own:
            raise ValueError("a route with `arms` has no `upstreams` and no `model` of its own and is not `hidden`")
        if self.arms and not any(arm.weight for arm in self.arms):
            raise ValueError("one of `arms` needs a weight above 0")
        if not self.arms and self.upstreams is None:
            raise ValueError("a route needs `upstreams` or `arms`")


class FileLimits(_Strict):
    """Limits of a key, a project or an organization, as in the platform."""

    rpm: _Most = None
    tpm: _Most = None
    input_tpm: _Most = None
    output_tpm: _Most = None
    concurrency: _Most = None
    tokens_per_day: _Most = None
    tokens_per_month: _Most = None
    budget_per_day: Decimal | None = None
    budget_per_month: Decimal | None = None


class FileKey(_Strict):
    """A key. `secret` is one that `aicp gateway --new-key` made."""

    secret: str
    project: str = "default"
    models: list[str] | None = None
    expires_at: float | None = None
    priority: str = "default"
    weight: float = 1.0
    networks: list[str] | None = None
    limits: FileLimits | None = None
    max_output_tokens: int | None = None
    defaults: dict[str, float] | None = None


class Scope(_Strict):
    """A project or an organization; `organization` is a project's."""

    name: str
    organization: str = ""
    limits: FileLimits | None = None


class FileMedia(_Strict):
    """Whether media that requests name by their address are fetched, and from which private networks and hosts."""

    fetch: bool = True
    allowed_networks: list[str] = []


class FileCache(_Strict):
    """Answers of `model` to keys of `project` are kept and given again, see the guide on the cache.

    Another `generation` throws away what was kept, and so does another `model` or upstream of its route.
    """

    model: str
    project: str = "default"
    ttl_seconds: Annotated[int, msgspec.Meta(ge=1)] = 3600
    mode: Literal["on", "measure", "off"] = "on"
    embedding_model: str | None = None
    threshold: Annotated[float, msgspec.Meta(ge=0.9, le=1.0)] = 0.95
    max_entries: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 10_000
    any_temperature: bool = False
    generation: int = 1


class FileRequestLog(_Strict):
    """Which bodies of requests are kept, of `projects` (by default of all), and in which file beside the usage."""

    bodies: Literal["errors", "all"]
    projects: list[str] | None = None
    share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    redact: list[RedactorName] = msgspec.field(default_factory=lambda: list(REDACTORS))
    patterns: list[str] = []
    max_body_bytes: Annotated[int, msgspec.Meta(ge=256, le=1 << 19)] = 1 << 16
    file: str = "requests.jsonl"
    max_file_bytes: Annotated[int, msgspec.Meta(ge=1 << 16)] = 1 << 26
    files: Annotated[int, msgspec.Meta(ge=1, le=100)] = 5


class FileConfig(_Strict):
    """The whole file. `directory` (the gateway's own) is relative to the file.

    `coordinator` is where several gateways share limits, see SharingRules.
    """

    routes: list[FileRoute]
    keys: list[FileKey]
    listen: Listen = msgspec.field(default_factory=Listen)
    directory: str = "gateway-data"
    coordinator: Annotated[str, msgspec.Meta(pattern=r"^((rediss?|valkeys?)://.|(file|unix):.|$)")] = ""
    limits_without_coordinator: Literal["share", "refuse"] = "share"
    media: FileMedia = msgspec.field(default_factory=FileMedia)
    projects: list[Scope] = []
    organizations: list[Scope] = []
    caches: list[FileCache] = []
    currency: str = "USD"
    request_log: FileRequestLog | None = None


def read_config(path: Path, environment: Mapping[str, str]) -> FileConfig:
    """Raises InvalidError that says where in the file something is wrong."""
    try:
        raw = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InvalidError(f"{path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidError(f"{path} is no YAML: {error}.") from error
    try:
        return msgspec.convert(_filled(raw, environment), FileConfig)
    except (msgspec.ValidationError, KeyError) as error:
        where = f"the environment has no {error}" if isinstance(error, KeyError) else str(error)
        raise InvalidError(f"{path} is wrong: {where}.", hint="See the guide on the stand-alone gateway.") from error


def table_of(config: FileConfig, pepper: bytes) -> RouteTable:
    """The route table that the file means. Raises InvalidError."""
    _check_unique("route", [route.name for route in config.routes])
    for one in (config.projects, config.organizations):
        _check_unique("name", [scope.name for scope in one])
    _check_unique("cache", [f"{cache.project}/{cache.model}" for cache in config.caches])
    projects = {scope.name: scope for scope in config.projects}
    for key in config.keys:
        projects.setdefault(key.project, Scope(name=key.project))
    table = RouteTable(
        etag="",
        pepper=encode_pepper(pepper),
        keys=[_key(number, key, pepper) for number, key in enumerate(config.keys)],
        routes=[_route(route) for route in config.routes if not route.arms],
        choices=[_choice(route, config) for route in config.routes if route.arms or route.fallbacks],
        projects=[
            ScopeEntry(scope.name, _limits(scope.limits), scope.organization, _log(scope.name, config.request_log))
            for scope in projects.values()
        ],
        organizations=[ScopeEntry(scope.name, _limits(scope.limits)) for scope in config.organizations],
        currency=config.currency,
        caches=[_cache(cache, config) for cache in config.caches if cache.mode != "off"],
    )
    _check_unique("key", [key.id for key in table.keys])
    try:
        KeyRing(table.pepper, table.keys)
    except ValueError as error:  # a network that is none
        raise InvalidError(f"A key of the file is wrong: {error}.") from error
    etag = hashlib.sha256(msgspec.json.encode(table)).hexdigest()[:32]
    return replace(table, etag=etag)


def _filled(value: Any, environment: Mapping[str, str]) -> Any:
    """The value with its variables filled in. Raises KeyError with the name of one that is not set."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: environment[match[1]], value)
    if isinstance(value, list):
        return [_filled(item, environment) for item in value]
    if isinstance(value, dict):
        return {name: _filled(item, environment) for name, item in value.items()}
    return value


def _key(number: int, key: FileKey, pepper: bytes) -> KeyEntry:
    name = key_id(key.secret)
    if name is None:
        raise InvalidError(
            f"The secret of keys[{number}] is no key of this gateway.", hint="Make one with `aicp gateway --new-key`."
        )
    if key.priority not in NAMES:
        raise InvalidError(f"keys[{number}].priority is one of {', '.join(NAMES)}, not {key.priority!r}.")
    fields: dict[str, Any] = msgspec.structs.asdict(key) | {"limits": _limits(key.limits)}
    del fields["secret"]
    return KeyEntry(id=name, digest=key_digest(pepper, key.secret), **fields)


def _route(route: FileRoute) -> RouteEntry:
    targets: list[Target] = []
    for number, upstream in enumerate(route.upstreams or []):
        try:
            UpstreamPool(upstream.address, upstream.token)
        except ValueError as error:
            raise InvalidError(f"upstreams[{number}] of route {route.name!r}: {error}.") from error
        targets.append(Target(f"{route.name}#{number}", upstream.address, upstream.token, upstream.max_requests))
    return RouteEntry(
        name=route.name,
        service=route.name,
        project=route.project,
        type="chat",
        engine="upstream",
        upstream_model=route.model or route.name,
        endpoints=route.endpoints,
        refused_fields=route.refused_fields,
        continues={**route.continues},
        targets=targets,
        context_length=route.context_length,
        reason="" if targets else "it has no upstream",
        price=None if route.price is None else _price(route.name, route.price),
        hidden=route.hidden,
    )


def _price(route: str, price: FilePrice) -> PriceEntry:
    cached = price.input if price.cached_input is None else price.cached_input
    amounts = {"input": price.input, "cached_input": cached, "output": price.output}
    return PriceEntry(**{name: _money(f"price.{name} of route {route!r}", one) for name, one in amounts.items()})


def _money(what: str, amount: Decimal) -> int:
    micros = to_micros(amount) if amount.is_finite() else -1
    if micros < 0 or Decimal(micros).scaleb(-PLACES) != amount:
        raise InvalidError(f"{what} is an amount of money with at most {PLACES} digits behind the point, not {amount}.")
    return micros


def _choice(route: FileRoute, config: FileConfig) -> ChoiceEntry:
    """Only routes with upstreams are destinations: whatever leads on could lead back."""
    ends = {other.name: other for other in config.routes if not other.arms}
    named = [arm.route for arm in route.arms]
    for name in (*named, *route.fallbacks):
        if name not in ends:
            why = "has arms itself" if any(other.name == name for other in config.routes) else "is not in the file"
            raise InvalidError(f"Route {route.name!r} leads to {name!r}, which {why}; it must be one with upstreams.")
    for names in (named, route.fallbacks):
        _check_unique(f"destination of route {route.name!r}", names)
    if not route.arms and route.name in route.fallbacks:
        raise InvalidError(f"Route {route.name!r} is its own fallback.")
    arms = [ArmEntry(arm.route, arm.weight) for arm in route.arms] or [ArmEntry(route.name)]
    price = None if route.price is None else _price(route.name, route.price)
    return ChoiceEntry(route.name, route.project, arms, route.fallbacks, route.sticky, price=price)


def _cache(cache: FileCache, config: FileConfig) -> CacheEntry:
    routes = {route.name: route for route in config.routes}
    behind: list[object] = [cache.generation]
    for name in (cache.model, cache.embedding_model):
        if name is None:
            continue
        if name not in routes:
            raise InvalidError(f"The cache of {cache.model!r} names the route {name!r}, which is not in the file.")
        ends = [name, *(arm.route for arm in routes[name].arms), *routes[name].fallbacks]
        for end in (routes[one] for one in ends if one in routes):
            behind.append([end.name, end.model, [upstream.address for upstream in end.upstreams or []]])
    return CacheEntry(
        project=cache.project,
        model=cache.model,
        ttl=float(cache.ttl_seconds),
        generation=hashlib.sha256(msgspec.json.encode(behind)).hexdigest()[:16],
        measure=cache.mode == "measure",
        embedding_model=cache.embedding_model,
        threshold=cache.threshold,
        max_entries=cache.max_entries,
        any_temperature=cache.any_temperature,
    )


def _log(project: str, rule: FileRequestLog | None) -> RequestLogEntry | None:
    if rule is None:
        return None
    try:
        if Path(rule.file).name != rule.file:
            raise InvalidError("request_log.file is the name of a file; it lies in the gateway's directory.")
        Redactor(rule.redact, rule.patterns)
    except ValueError as error:
        raise InvalidError(f"One of request_log.patterns is refused: {error}.") from error
    if rule.projects is not None and project not in rule.projects:
        return None
    return RequestLogEntry(rule.bodies, rule.share, list(rule.redact), rule.patterns, rule.max_body_bytes)


def _check_unique(what: str, names: list[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidError(f"The {what} {twice!r} stands in the file twice.")


def _limits(limits: FileLimits | None) -> LimitsEntry | None:
    if limits is None:
        return None
    fields: dict[str, Any] = msgspec.structs.asdict(limits)
    for name in ("budget_per_day", "budget_per_month"):
        fields[name] = None if fields[name] is None else _money(f"The limit {name}", fields[name])
    return LimitsEntry(**fields)
