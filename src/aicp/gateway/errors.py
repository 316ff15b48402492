"""Errors as OpenAI's and Anthropic's clients understand them."""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgspec

from aicp.core.errors import AicpError


class Dialect(Enum):
    """Whose schema a path speaks."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"


_OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_ANTHROPIC_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class ApiError(AicpError):
    """An answer that is an error. `param` is the field at fault, `retry_after` seconds after which to try again."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: int | None = None,
        allow: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code or ""
        self.param = param
        self.retry_after = retry_after
        self.allow = allow

    def body(self, dialect: Dialect, request_id: str) -> bytes:
        """The JSON that a client of `dialect` expects."""
        if dialect is Dialect.ANTHROPIC:
            return msgspec.json.encode(anthropic_error(self.status, self.message, request_id))
        return msgspec.json.encode(openai_error(self))

    def headers(self) -> bytes:
        """Header lines that go with it."""
        lines = b""
        if self.retry_after is not None:
            lines += b"retry-after: %d\r\n" % self.retry_after
        if self.allow is not None:
            lines += b"allow: %b\r\n" % self.allow.encode()
        if self.status == 401:
            lines += b"www-authenticate: Bearer\r\n"
        return lines


def openai_error(error: ApiError) -> dict[str, Any]:
    """`{"error": {...}}` as OpenAI answers it."""
    kind = _OPENAI_TYPES.get(error.status) or ("invalid_request_error" if error.status < 500 else "server_error")
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.code or None}}


def anthropic_error(status: int, message: str, request_id: str) -> dict[str, Any]:
    """`{"type": "error", ...}` as Anthropic answers it."""
    kind = _ANTHROPIC_TYPES.get(status) or ("invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> ApiError:
    """400: the request is wrong."""
    return ApiError(400, message, param=param, code=code)


def not_supported(message: str, *, param: str | None = None) -> ApiError:
    """400: the model's engine cannot do that."""
    return ApiError(400, message, param=param, code="not_supported_by_engine")


def wrong_key() -> ApiError:
    """401: the same for every reason, so that it tells nothing about keys."""
    return ApiError(401, "The API key is missing, wrong, expired or revoked.", code="invalid_api_key")


def wrong_network(address: str) -> ApiError:
    """403: a right key from a wrong place."""
    return ApiError(
        403,
        f"This key may not be used from {address}. Ask who manages it to add that network.",
        code="network_not_allowed",
    )


def unknown_model(name: str) -> ApiError:
    """404: not there, or not for this key."""
    shown = name if len(name) <= 100 else f"{name[:100]}..."
    return ApiError(
        404,
        f"The model {shown!r} does not exist or this key may not use it. GET /v1/models lists what it may use.",
        param="model",
        code="model_not_found",
    )


def unavailable(message: str, *, retry_after: int, code: str = "unavailable") -> ApiError:
    """503: try again."""
    return ApiError(503, message, code=code, retry_after=retry_after)


def internal_error() -> ApiError:
    """500: the gateway's own fault; its log has the traceback, the caller never."""
    return ApiError(500, "The gateway failed on this request; its log has the reason.", code="internal_error")


def engine_failed(message: str = "The engine failed to answer this request.") -> ApiError:
    """502: the engine's fault, not the caller's."""
    return ApiError(502, f"{message} Its log has the reason: `aicp logs`.", code="engine_error")
