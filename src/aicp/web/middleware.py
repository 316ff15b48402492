"""What every request of a REST process passes: host check, request id, access log, headers, the last-resort error."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aicp.core.clock import Clock
from aicp.core.ids import new_id
from aicp.web.errors import error_body, unexpected_response

log = logging.getLogger(__name__)
access = logging.getLogger("aicp.access")
_REQUEST_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
_CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        # The console's component library writes its styles at run time.
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class RequestFrame:
    """Gives each request an id (the client's own if it is well-formed), logs it once it ends, and answers
    unexpected errors itself so that even these carry the id and the headers."""

    def __init__(self, app: ASGIApp, clock: Clock) -> None:
        self._app = app
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.match(given) else new_id("req")
        scope.setdefault("state", {})["request_id"] = request_id
        started = self._clock.monotonic()
        status = 0

        async def send_framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith(("/api/", "/internal/")):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive, send_framed)
        except Exception as error:
            log.exception("unexpected error in %s %s", scope["method"], scope["path"], exc_info=error)
            if status:
                raise
            await unexpected_response(request_id)(scope, receive, send_framed)
        finally:
            self._log(scope, request_id, status, self._clock.monotonic() - started)

    @staticmethod
    def _log(scope: Scope, request_id: str, status: int, seconds: float) -> None:
        client = scope.get("client")
        # The query is left out: it may hold what a user searched for.
        access.info(
            "%s %s -> %d in %.1f ms",
            scope["method"],
            scope["path"],
            status,
            seconds * 1000,
            extra={"request_id": request_id, "address": client[0] if client else None, "status": status},
        )


class HostCheck:
    """Refuses unknown Host headers with 421, so that a foreign web page cannot reach a loopback platform by
    pointing its own name at 127.0.0.1 (DNS rebinding)."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._knows(Headers(scope=scope).get("host", "")):
            await self._app(scope, receive, send)
            return
        body = error_body(
            "misdirected",
            "This platform does not answer under the host name of the request.",
            hint="Use the address that `aicp status` shows, or start with `--host` to listen under another name.",
            request_id=scope.get("state", {}).get("request_id"),
        )
        await JSONResponse(body, status_code=421)(scope, receive, send)

    def _knows(self, header: str) -> bool:
        host = re.sub(r":\d+$", "", header.lower())
        return host.removeprefix("[").removesuffix("]") in self._hosts


class BodyLimit:
    """Refuses bodies over `limit_bytes` with 413, except on `streamed` paths, whose routes read chunk by chunk."""

    def __init__(self, app: ASGIApp, limit_bytes: int, streamed: re.Pattern[str]) -> None:
        self._app = app
        self._limit = limit_bytes
        self._streamed = streamed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._streamed.match(scope["path"]):
            await self._app(scope, receive, send)
            return
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal() and int(length) > self._limit:
            # Answered before a byte of it is read.
            request_id = scope.get("state", {}).get("request_id")
            body = error_body("too_large", self._message, request_id=request_id)
            await JSONResponse(body, status_code=413, headers={"Connection": "close"})(scope, receive, send)
            return
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._limit:
                raise HTTPException(413, self._message)
            return message

        await self._app(scope, receive_counted, send)

    @property
    def _message(self) -> str:
        return f"The body is larger than {self._limit // 2**20} MiB."
