"""The paths that are served. A path is looked up whole, so no trick with slashes or escapes reaches another one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from aicp.gateway.errors import ApiError, Dialect


class Work(Enum):
    """What a path is for."""

    HEALTH = "health"
    METRICS = "metrics"
    MODELS = "models"
    CALL = "call"
    RELAY = "relay"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A path. `upstream` are the engine's paths that serve it natively, best first.

    `field` is the one that must be there; `counts_stream` says that streamed usage must be asked for. `form` says that
    it takes multipart/form-data, `json` that it takes JSON. `media` are fields of the body that hold a medium itself.
    """

    path: str
    work: Work
    method: bytes
    dialect: Dialect = Dialect.OPENAI
    upstream: tuple[str, ...] = ()
    field: str = ""
    counts_stream: bool = False
    form: bool = False
    json: bool = True
    media: tuple[str, ...] = ()


def _call(path: str, field: str, *more: str, dialect: Dialect = Dialect.OPENAI, **special: Any) -> Endpoint:
    return Endpoint(path, Work.CALL, b"POST", dialect, (path, *more), field, **special)


CHAT: Final = _call("/v1/chat/completions", "messages", counts_stream=True)
COMPLETIONS: Final = _call("/v1/completions", "prompt", counts_stream=True)
EMBEDDINGS: Final = _call("/v1/embeddings", "input")
RESPONSES: Final = _call("/v1/responses", "input")
MESSAGES: Final = _call("/v1/messages", "messages", dialect=Dialect.ANTHROPIC)
TOKENIZE: Final = _call("/v1/tokenize", "", "/tokenize")
DETOKENIZE: Final = _call("/v1/detokenize", "tokens", "/detokenize")
SPEECH: Final = _call("/v1/audio/speech", "input", media=("ref_audio",))
OCR: Final = _call("/v1/ocr", "image", form=True, media=("image",))
_ENDPOINTS = (
    Endpoint("/healthz", Work.HEALTH, b"GET"),
    Endpoint("/metrics", Work.METRICS, b"GET"),
    Endpoint("/v1/models", Work.MODELS, b"GET"),
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    _call("/v1/rerank", "query"),
    _call("/v2/rerank", "query", "/v1/rerank"),
    _call("/v1/score", ""),
    RESPONSES,
    MESSAGES,
    _call("/v1/messages/count_tokens", "messages", dialect=Dialect.ANTHROPIC),
    TOKENIZE,
    DETOKENIZE,
    _call("/v1/moderations", "input"),
    *(_call(f"/v1/audio/{name}", "file", form=True, json=False) for name in ("transcriptions", "translations")),
    SPEECH,
    OCR,
)
_BY_PATH: Final = {endpoint.path.encode(): endpoint for endpoint in _ENDPOINTS}
_MODEL: Final = b"/v1/models/"
_ONE_MODEL: Final = Endpoint("/v1/models/{id}", Work.MODELS, b"GET")
_RELAYED = (b"/v1/files", b"/v1/batches")
_RELAYED_PATHS = (
    (re.compile(rb"/v1/(files|batches)"), (b"GET", b"POST")),
    (re.compile(rb"/v1/files/[\w-]{1,64}"), (b"GET", b"DELETE")),
    (re.compile(rb"/v1/files/[\w-]{1,64}/content"), (b"GET",)),
    (re.compile(rb"/v1/batches/[\w-]{1,64}"), (b"GET",)),
    (re.compile(rb"/v1/batches/[\w-]{1,64}/cancel"), (b"POST",)),
)
"""What the control plane serves; the gateway checks the key and passes it on."""


def served_by(paths: frozenset[str]) -> str:
    """The paths that can be called here of a model whose engine serves `paths`, as words."""
    calls = (endpoint for endpoint in _ENDPOINTS if endpoint.work is Work.CALL)
    return ", ".join(sorted(call.path for call in calls if not paths.isdisjoint(call.upstream))) or "nothing"


def origin_form(target: bytes) -> bytes:
    """The path of a request's target; what is sent to a proxy names scheme and host before it."""
    if target[:1] != b"/" and target.startswith((b"http://", b"https://")):
        host, slash, path = target.partition(b"://")[2].partition(b"/")
        return slash + path if slash and not {*b"?#"} & {*host} else b"/"
    return target


def find_endpoint(method: bytes, path: bytes) -> Endpoint:
    """The endpoint of a path, whatever its query. Raises ApiError 404 or 405."""
    endpoint = _BY_PATH.get(path)
    if endpoint is not None and method == endpoint.method:
        return endpoint
    path = path.partition(b"?")[0]
    if path.startswith(_RELAYED):
        return _relayed(method, path)
    endpoint = _BY_PATH.get(path)
    if endpoint is None and path.startswith(_MODEL) and len(path) > len(_MODEL):
        endpoint = _ONE_MODEL
    if endpoint is None:
        raise _nothing_at(path)
    allowed = (endpoint.method, b"HEAD") if endpoint.method == b"GET" else (endpoint.method,)
    if method not in allowed:
        raise _wrong_method(endpoint.path, allowed)
    return endpoint


def _relayed(method: bytes, path: bytes) -> Endpoint:
    methods = next((methods for form, methods in _RELAYED_PATHS if form.fullmatch(path)), None)
    if methods is None:
        raise _nothing_at(path)
    if method not in methods:
        raise _wrong_method(path.decode(), methods)
    return Endpoint(path.decode(), Work.RELAY, method)


def _nothing_at(path: bytes) -> ApiError:
    shown = path[:100].decode("ascii", "replace")
    return ApiError(404, f"There is nothing at {shown}.", code="unknown_url")


def _wrong_method(path: str, allowed: tuple[bytes, ...]) -> ApiError:
    names = b", ".join(allowed).decode()
    return ApiError(405, f"{path} takes {names} only.", code="method_not_allowed", allow=names)
