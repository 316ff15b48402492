"""Every error of a REST interface in one shape, with a request id, never a traceback."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from aicp.core.errors import AicpError

log = logging.getLogger(__name__)


class ErrorDetail(BaseModel):
    """What happened and why (`message`), what to do (`hint`), and facts for programs (`code`, `details`)."""

    code: str
    message: str
    hint: str | None = None
    details: dict[str, Any] = {}
    request_id: str | None = None


class ErrorResponse(BaseModel):
    """The body of every answer that is not a success."""

    error: ErrorDetail


def error_body(
    code: str,
    message: str,
    *,
    hint: str | None = None,
    details: dict[str, Any] | None = None,
    request_id: str | None = None,
) -> dict[str, Any]:
    """`{"error": {code, message, hint, details, request_id}}`: what happened and why, and what to do."""
    return {
        "error": {
            "code": code,
            "message": message,
            "hint": hint,
            "details": details or {},
            "request_id": request_id,
        }
    }


def _request_id(request: Request) -> str | None:
    return getattr(request.state, "request_id", None)


def _where(location: tuple[Any, ...]) -> str:
    return ".".join(str(part) for part in location if part not in ("body", "query", "path")) or "body"


async def on_aicp_error(request: Request, error: Exception) -> JSONResponse:
    """The answer to an error of the platform: its status, its words, the request id."""
    assert isinstance(error, AicpError)
    body = error_body(
        error.code, error.message, hint=error.hint, details=error.details, request_id=_request_id(request)
    )
    seconds = error.details.get("retry_after_seconds", 2)
    headers = {"Retry-After": str(seconds)} if error.status in (429, 503) else None
    return JSONResponse(body, status_code=error.status, headers=headers)


async def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fields = {_where(tuple(item["loc"])): str(item["msg"]) for item in error.errors()}
    malformed = any(item["type"] == "json_invalid" for item in error.errors())
    message = "; ".join(f"{field}: {problem}" for field, problem in fields.items())
    body = error_body(
        "malformed" if malformed else "invalid",
        f"The request is not valid: {message}.",
        details={"fields": fields},
        request_id=_request_id(request),
    )
    return JSONResponse(body, status_code=400 if malformed else 422)


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    codes = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media_type"}
    codes[400] = "malformed"
    code = codes.get(error.status_code, "http_error")
    message = f"{request.method} {request.url.path}: {error.detail.rstrip('.')}."
    return JSONResponse(
        error_body(code, message, request_id=_request_id(request)),
        status_code=error.status_code,
        headers=dict(error.headers) if error.headers else None,
    )


async def _on_recursion(request: Request, _: Exception) -> JSONResponse:
    body = error_body("malformed", "The JSON is nested too deeply.", request_id=_request_id(request))
    return JSONResponse(body, status_code=400)


async def _on_unexpected(request: Request, error: Exception) -> JSONResponse:
    log.exception("unexpected error in %s %s", request.method, request.url.path, exc_info=error)
    return unexpected_response(_request_id(request))


def unexpected_response(request_id: str | None) -> JSONResponse:
    """The answer to an error that nobody foresaw: the request id, never a traceback."""
    body = error_body(
        "internal_error",
        "The platform failed at this request.",
        hint="Look for the request id in the platform's log.",
        request_id=request_id,
    )
    return JSONResponse(body, status_code=500)


def install_error_handlers(app: FastAPI) -> None:
    """Makes `app` answer every error in the platform's shape."""
    app.add_exception_handler(AicpError, on_aicp_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RecursionError, _on_recursion)
    app.add_exception_handler(Exception, _on_unexpected)
