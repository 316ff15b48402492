"""One request whose client reads as it comes, and may leave."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

from fastapi import FastAPI


class OpenRequest:
    """A request to `app` that stays open until it is answered or `leave` is called."""

    def __init__(self, app: FastAPI, method: str, path: str, token: str, body: bytes = b"") -> None:
        self._incoming: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]
        self._left = asyncio.Event()
        self._sent: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"authorization", f"Bearer {token}".encode()), (b"host", b"localhost")],
            "client": ("192.0.2.7", 1),
            "server": ("localhost", 80),
            "scheme": "http",
            "http_version": "1.1",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
        }
        self._running = asyncio.ensure_future(app(scope, self._receive, self._sent.put))

    async def read_until(self, wanted: bytes) -> bytes:
        """Reads on until `wanted` came; answers all that was read."""
        text = b""
        while wanted not in text:
            text += (await asyncio.wait_for(self._sent.get(), 5)).get("body", b"")
        return text

    async def leave(self) -> None:
        """Closes the connection from the client's side and waits for the application to notice."""
        self._left.set()
        await asyncio.wait_for(self._running, 5)

    async def finished(self) -> None:
        """Waits for the application to end the answer."""
        await asyncio.wait_for(self._running, 5)

    async def _receive(self) -> MutableMapping[str, Any]:
        if self._incoming:
            return self._incoming.pop()
        await self._left.wait()
        return {"type": "http.disconnect"}
