"""Errors that engines answer, as the caller should see them."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from aicp.gateway.errors import ApiError, engine_failed, invalid, not_supported, unavailable

_TOO_LONG = re.compile(
    r"context (length|window|size)|maximum (context|model) length|max_model_len|too large to process|physical batch",
    re.IGNORECASE,
)
_CANNOT = re.compile(r"(image|audio|video|input|feature) .{0,40}(is|are) not supported", re.IGNORECASE)
"""What engines say, some of them with 500, of input that their model does not take."""
BUSY = (429, 503)
"""Statuses of an engine that would answer at another time."""
BROKEN = (500, 502, 504)
_OURS = frozenset({401, 403, 407})
_LONGEST_MESSAGE = 2000
_LONGEST_LINE = 300


def engine_error(status: int, body: bytes, retry_after: bytes | None = None) -> ApiError:
    """The error for an engine's answer `status` that is not 2xx."""
    message, param, code, shaped = _read(body)
    if message and _TOO_LONG.search(message) and status != 429:
        return invalid(message, param=param or "messages", code="context_length_exceeded")
    if status == 501 or (status >= 500 and message and _CANNOT.search(message)):
        return not_supported(message or "The engine does not serve this.", param=param)
    if status in _OURS or status < 400:
        return engine_failed(f"The engine answered {status} to the gateway itself.")
    if status in (404, 405) and not shaped:
        return not_supported("The engine does not serve this path.")
    if status == 503:
        return unavailable("The engine is too busy or still loading; try again.", retry_after=_seconds(retry_after))
    if status >= 500:
        return engine_failed()
    if status == 429:
        return ApiError(429, message or "The engine is busy.", code=code, retry_after=_seconds(retry_after))
    known = status if status in (400, 404, 408, 409, 413) else 400
    return ApiError(known, message or "The engine refused the request.", param=param, code=code)


def event_error(data: bytes) -> ApiError:
    """The error for an event of an engine's stream that says one: the status is its code, or 500."""
    try:
        content: Any = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return engine_failed()  # what is read of every event was sound, and the rest is not
    error = content.get("error") if isinstance(content, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return engine_error(code if isinstance(code, int) and 400 <= code < 600 else 500, data)


def _read(body: bytes) -> tuple[str, str | None, str | None, bool]:
    """Message, param, code, and whether it has OpenAI's shape."""
    try:
        content: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _plain(body), None, None, False
    if not isinstance(content, dict):
        return "", None, None, False
    error = content.get("error")
    fields = error if isinstance(error, dict) else content
    message = fields.get("message") or (error if isinstance(error, str) else None)
    if isinstance(message, str):
        param, code = fields.get("param"), fields.get("code")
        return (
            message[:_LONGEST_MESSAGE],
            param if isinstance(param, str) else None,
            code if isinstance(code, str) else None,
            True,
        )
    return *_validation(content.get("detail")), None, False


def _plain(body: bytes) -> str:
    """A line of text is a reason; a page or a dump is none."""
    text = body[: _LONGEST_LINE + 1].decode("utf-8", "replace").strip()
    return text if len(text) <= _LONGEST_LINE and text.isprintable() and not text.startswith("<") else ""


def _validation(detail: Any) -> tuple[str, str | None]:
    """What FastAPI says of a request it cannot read."""
    if isinstance(detail, str):
        return detail[:_LONGEST_MESSAGE], None
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        where = [str(part) for part in detail[0].get("loc", []) if part != "body"]
        text = str(detail[0].get("msg", "is wrong"))[:_LONGEST_MESSAGE]
        return (f"{'.'.join(where)}: {text}" if where else text), where[0] if where else None
    return "", None


def _seconds(retry_after: bytes | None) -> int:
    return int(retry_after) if retry_after is not None and retry_after.isdigit() and len(retry_after) < 5 else 1


def no_answer(name: str) -> ApiError:
    """503: every replica that may be tried was."""
    return unavailable(f"No replica of {name!r} answers at the moment; try again.", retry_after=2)


def replica_lost(*, twice: bool) -> ApiError:
    """503: the replica at work has ended, or `twice` one after the other."""
    message = "The replica that worked on this request ended; try again."
    if twice:
        message = (
            "Two replicas, one after the other, failed or ended on this request, so it is not given to a third. "
            "Try again; if that ends the same way, the request itself is the reason: see `aicp logs`."
        )
    return unavailable(message, retry_after=1)
