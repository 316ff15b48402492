"""Who calls the REST API, and the permission that each route demands.

A request carries a session token: as `Authorization: Bearer` (programs) or in the session cookie (the console).
A change that is authenticated by the cookie must also carry `X-AICP-Request: 1`, which a foreign page cannot send.
"""

from __future__ import annotations

import hmac
import logging
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request, Response
from fastapi.params import Depends as DependsMarker

from aicp.control.event_log import EventLog
from aicp.core.access import Caller
from aicp.core.errors import AicpError, ForbiddenError, UnauthorizedError
from aicp.core.identity import Permission
from aicp.web.errors import on_aicp_error

log = logging.getLogger(__name__)

SESSION_COOKIE = "aicp_session"
REQUEST_HEADER = "x-aicp-request"
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Authenticator(Protocol):
    """Turns a session token into the user behind it; the composition root registers one under this type."""

    async def authenticate(self, token: str, *, address: str | None, request_id: str | None) -> Caller:
        """The caller with the permissions of this moment. Raises UnauthorizedError for any token that does not hold."""
        ...


def bearer_token(request: Request) -> str | None:
    """The token of the Authorization header, if there is one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def session_token(request: Request) -> str:
    """The session token of the request. Raises UnauthorizedError without one, ForbiddenError for a forged change."""
    token = bearer_token(request)
    if token is not None:
        return token
    token = request.cookies.get(SESSION_COOKIE)
    if not token:
        raise UnauthorizedError("You are not logged in.", hint="Log in, or send a session token as bearer.")
    if request.method not in _SAFE_METHODS and request.headers.get(REQUEST_HEADER) != "1":
        raise ForbiddenError(
            "A change with the session cookie needs the header X-AICP-Request: 1.", code="request_header_missing"
        )
    return token


async def authenticate(request: Request) -> Caller:
    """The caller of this request."""
    authenticator: Authenticator = request.app.state.use_cases[Authenticator]
    caller = await authenticator.authenticate(
        session_token(request),
        address=request.client.host if request.client else None,
        request_id=getattr(request.state, "request_id", None),
    )
    request.state.caller = caller
    return caller


CallerDep = Annotated[Caller, Depends(authenticate)]


class PermissionCheck:
    """The dependency behind `permits`: refuses callers without the permission anywhere at all."""

    def __init__(self, permission: Permission) -> None:
        self.permission = permission

    def __call__(self, caller: CallerDep) -> None:
        caller.require(self.permission)


def permits(permission: Permission) -> Any:
    """Declares what a route demands: `dependencies=[permits(Permission.MODEL_READ)]`.

    It is the outer wall (403 for a role that never has it) and the row of the role matrix (`x-permission` in OpenAPI);
    the use case still checks the project.
    """
    return Depends(PermissionCheck(permission))


def declared_permission(dependencies: list[DependsMarker]) -> Permission | None:
    """The permission that a route's dependencies declare with `permits`."""
    checks = [item.dependency for item in dependencies]
    return next((check.permission for check in checks if isinstance(check, PermissionCheck)), None)


async def on_forbidden(request: Request, error: Exception) -> Response:
    """Answers what the caller may not do; a change that was refused is written into the audit log."""
    caller: Caller | None = getattr(request.state, "caller", None)
    events: EventLog | None = request.app.state.use_cases.get(EventLog)
    if caller is not None and events is not None and request.method not in _SAFE_METHODS:
        await _note(events, caller, request, error)
    return await on_aicp_error(request, error)


async def _note(events: EventLog, caller: Caller, request: Request, error: Exception) -> None:
    path = "".join(character for character in request.url.path if character.isprintable())
    try:
        await events.refused(caller, request.method, path, str(error))
    except AicpError as problem:  # a full disk must not turn a refusal into something else
        log.warning("a refused change could not be noted: %s", problem.message)


def require_internal(request: Request) -> None:
    """Lets only processes of this platform in, by the token that they share on disk."""
    expected: str | None = request.app.state.internal_token
    given = bearer_token(request) or ""
    if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        raise UnauthorizedError("This address is for the platform's own processes.")
