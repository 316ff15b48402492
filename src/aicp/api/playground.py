"""Tries from the console, relayed to the gateway."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated, Any

import httpx
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from aicp.api.access import CallerDep, permits
from aicp.api.use_cases import use_case
from aicp.control.playground import Playground, Relayed
from aicp.core.access import Caller
from aicp.core.errors import TooLargeError
from aicp.core.identity import Permission

MAX_BODY_BYTES = 32 * 2**20
_UP = ("content-type", "accept", "anthropic-version", "x-request-id")
_DOWN = ("content-type", "cache-control", "retry-after", "x-request-id")
_CLIENT_GONE = 499
# An engine's answer must never become a page of the console's own origin.
_SAFE_TYPES = ("application/json", "text/event-stream", "text/plain")

router = APIRouter(prefix="/api/v1/playground", tags=["playground"], dependencies=[permits(Permission.PLAYGROUND_USE)])
PlaygroundUse = Annotated[Playground, use_case(Playground)]
ProjectQuery = Annotated[
    str | None, Query(description="whose use it is; else the header X-AICP-Project, else `default`")
]
_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {"description": "The gateway's own answer.", "content": {"application/json": {}}}
}


@router.get("/{path:path}", responses=_ANSWER, response_class=StreamingResponse)
async def playground_get(
    path: str, request: Request, caller: CallerDep, playground: PlaygroundUse, project: ProjectQuery = None
) -> Response:
    """Relays to the gateway, e.g. `/playground/v1/models`."""
    return await _relay(path, request, caller, playground, project)


@router.post("/{path:path}", responses=_ANSWER, response_class=StreamingResponse)
async def playground_post(
    path: str, request: Request, caller: CallerDep, playground: PlaygroundUse, project: ProjectQuery = None
) -> Response:
    """Relays to the gateway, e.g. `/playground/v1/chat/completions`, streamed if the request asks for it."""
    return await _relay(path, request, caller, playground, project)


async def _relay(path: str, request: Request, caller: Caller, playground: Playground, project: str | None) -> Response:
    owner = project or request.headers.get("x-aicp-project") or "default"
    headers = {name: request.headers[name] for name in _UP if name in request.headers}
    headers.setdefault("x-request-id", request.state.request_id)
    query = "&".join(part for part in request.url.query.split("&") if part and not part.startswith("project="))
    relayed = Relayed(request.method, path, query, headers, await _read(request))
    sending = asyncio.ensure_future(playground.send(caller, owner, relayed))
    leaving = asyncio.ensure_future(_disconnect(request))
    try:
        await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        # Also when this request itself is cancelled: the engine must not go on for nobody.
        leaving.cancel()
        if not sending.done():
            sending.cancel()
    with suppress(asyncio.CancelledError):
        return _RelayedResponse(await sending)
    return Response(status_code=_CLIENT_GONE)


class _RelayedResponse(StreamingResponse):
    """Passes bytes on as they come. Whatever ends it, the connection to the gateway ends too, and with it the work."""

    def __init__(self, upstream: httpx.Response) -> None:
        headers = {name: upstream.headers[name] for name in _DOWN if name in upstream.headers}
        if not headers.get("content-type", "").startswith(_SAFE_TYPES):
            headers["content-type"] = "application/octet-stream"
        super().__init__(upstream.aiter_raw(), status_code=upstream.status_code, headers=headers)
        self._upstream = upstream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._upstream.aclose()


async def _read(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise TooLargeError(f"The request is larger than {MAX_BODY_BYTES // 2**20} MiB.")
    return bytes(body)


async def _disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
