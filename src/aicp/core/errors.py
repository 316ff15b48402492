"""Errors that know their HTTP status and speak to the user: what happened, why, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast


class AicpError(Exception):
    """Base of every error shown to a user.

    `message` says what happened and why; `hint` says what to do; `details` holds machine-readable facts.
    """

    status: int = 500
    code: str = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        code: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = _writable(message)
        self.hint = _writable(hint)
        self.details: dict[str, Any] = _writable(dict(details or {}))
        if code is not None:
            self.code = code


def _writable(value: Any) -> Any:
    """`value` with escapes for what no JSON text or database takes: file names need not be UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
    if isinstance(value, Mapping):
        return {name: _writable(item) for name, item in cast(Mapping[str, Any], value).items()}
    if isinstance(value, list | tuple):
        return [_writable(item) for item in cast(list[Any], value)]
    return value


class InvalidError(AicpError):
    """The request is understood and wrong."""

    status = 422
    code = "invalid"


class MalformedError(AicpError):
    """The request cannot be understood."""

    status = 400
    code = "malformed"


class UnauthorizedError(AicpError):
    """No valid credential."""

    status = 401
    code = "unauthorized"


class ForbiddenError(AicpError):
    """A valid credential without the permission."""

    status = 403
    code = "forbidden"


class NotFoundError(AicpError):
    """It does not exist, or the caller may not know that it does."""

    status = 404
    code = "not_found"


class ConflictError(AicpError):
    """The present state does not allow it."""

    status = 409
    code = "conflict"


class TooLargeError(AicpError):
    """A body, file or archive beyond its limit."""

    status = 413
    code = "too_large"


class TooManyRequestsError(AicpError):
    """Too many attempts; `details["retry_after_seconds"]` says how long to wait."""

    status = 429
    code = "too_many_requests"


class UnavailableError(AicpError):
    """A part that is needed does not answer; try again."""

    status = 503
    code = "unavailable"


class NoSpaceError(AicpError):
    """The disk is full."""

    status = 507
    code = "no_space"
