"""The stream of changes over HTTP."""

from __future__ import annotations

import asyncio
import json

from tests.support.api import TokenBook, serve_api
from tests.support.asgi import OpenRequest
from tests.support.identity import identity_cases

from aicp.api.access import Authenticator
from aicp.core.access import Caller
from aicp.core.identity import Role
from aicp.store.database import Database


class WatchedBook(TokenBook):
    """Says when it was asked a second time: the stream listens to the bell by then."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.listening = asyncio.Event()

    async def authenticate(self, token: str, *, address: str | None, request_id: str | None) -> Caller:
        self.asked += 1
        if self.asked == 2:
            self.listening.set()
        return await super().authenticate(token, address=address, request_id=request_id)


async def test_changes_come_as_server_sent_events_until_the_session_ends(sqlite: Database):
    book = WatchedBook()
    async with serve_api(lambda parts: {**identity_cases(parts), Authenticator: book}, database=sqlite) as api:
        api.client(Role.VIEWER)
        book.callers.update(api.book.callers)
        request = OpenRequest(api.app, "GET", "/api/v1/changes", "viewer-default")
        await asyncio.wait_for(book.listening.wait(), 5)
        api.parts.bell.ring("node", "n1")
        line = (await request.read_until(b"\n\n")).decode().strip()
        assert json.loads(line.removeprefix("data: ")) == {"kind": "node", "name": "n1"}
        book.callers.clear()
        api.parts.bell.ring("user", "viewer")
        await request.finished()
