"""The REST application: every router of this folder, in one frame of checks."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

import aicp
from aicp import api
from aicp.api.access import CallerDep, declared_permission, on_forbidden
from aicp.api.console import serve_console
from aicp.core.clock import Clock, SystemClock
from aicp.core.errors import ForbiddenError
from aicp.web.errors import ErrorResponse, install_error_handlers
from aicp.web.middleware import BodyLimit, HostCheck, RequestFrame

MAX_BODY_BYTES = 4 * 2**20
"""Limit of a request body; only the routes of STREAMED_PATHS read more, chunk by chunk, with limits of their own."""
STREAMED_PATHS = re.compile(r"^/(api/v1/(uploads/[^/]+/files/|playground/|files$)|internal/v1/files$)")
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
# A reference, not a model: a validator per route and status would double the time that a start takes.
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}},
    }
    for status, text in {
        400: "The request cannot be understood.",
        401: "No valid session.",
        403: "The role does not allow it.",
        404: "It does not exist, or not for this caller.",
        409: "The present state does not allow it.",
        413: "The body is too large.",
        422: "The request is understood and wrong.",
        429: "Too many attempts; wait as long as Retry-After says.",
        503: "A part that is needed does not answer.",
    }.items()
}


class _Application(FastAPI):
    """Its OpenAPI document also has the shape of errors, which routes refer to."""

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        if "ErrorResponse" not in schemas:
            shape = ErrorResponse.model_json_schema(ref_template="#/components/schemas/{model}")
            schemas |= shape.pop("$defs") | {"ErrorResponse": shape}
        return document


def create_app(
    use_cases: Mapping[type, object],
    *,
    console_dir: Path | None = None,
    allowed_hosts: Collection[str] | None = None,
    internal_token: str | None = None,
    lifespan: Callable[[FastAPI], AbstractAsyncContextManager[None]] | None = None,
    clock: Clock | None = None,
) -> FastAPI:
    """Builds the application from its use cases (keyed by their type, and `access.Authenticator`).

    `allowed_hosts`: host names it answers under (None: any; LOOPBACK_HOSTS when bound to loopback).
    `internal_token`: what the platform's own processes send; without one they are refused.
    """
    app = _Application(
        title="aicp",
        version=aicp.__version__,
        openapi_url=None,
        lifespan=lifespan,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.use_cases = use_cases
    app.state.internal_token = internal_token
    install_error_handlers(app)
    app.add_exception_handler(ForbiddenError, on_forbidden)
    for router in _routers():
        app.include_router(router, responses=_ERRORS)

    @app.get("/api/v1/openapi.json", include_in_schema=False)
    async def openapi(_: CallerDep) -> dict[str, Any]:
        return app.openapi()

    if console_dir is not None and (console_dir / "index.html").is_file():
        serve_console(app, console_dir)
    app.add_middleware(BodyLimit, limit_bytes=MAX_BODY_BYTES, streamed=STREAMED_PATHS)
    if allowed_hosts is not None:
        app.add_middleware(HostCheck, hosts=allowed_hosts)
    app.add_middleware(RequestFrame, clock=clock or SystemClock())
    return app


def _routers() -> Iterator[APIRouter]:
    for info in sorted(pkgutil.iter_modules(api.__path__), key=lambda info: info.name):
        router = getattr(importlib.import_module(f"{api.__name__}.{info.name}"), "router", None)
        if isinstance(router, APIRouter):
            _publish_permissions(router)
            yield router


def _publish_permissions(router: APIRouter) -> None:
    """Writes what each route demands into its OpenAPI entry; the role matrix and the docs are read from there."""
    for route in router.routes:
        if isinstance(route, APIRoute):
            permission = declared_permission(route.dependencies)
            if permission is not None:
                route.openapi_extra = {**(route.openapi_extra or {}), "x-permission": permission.value}
