"""Live changes: only what the caller may see, for as long as the session holds."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.api import make_caller

from aicp.control import changes as module
from aicp.control.changes import Changes, shown
from aicp.core.access import Caller
from aicp.core.bell import Bell, Change
from aicp.core.errors import UnauthorizedError
from aicp.core.identity import Role


@pytest.mark.parametrize(
    ("role", "change", "seen"),
    [
        (Role.PLATFORM_ADMIN, Change("service", "demo"), Change("service", "demo")),
        (Role.VIEWER, Change("service", "demo"), Change("service")),
        (Role.VIEWER, Change("node", "n1"), Change("node", "n1")),
        (Role.VIEWER, Change("key", "key_a"), None),
        (Role.DEVELOPER, Change("key", "key_a"), Change("key")),
        (Role.KEY_ADMIN, Change("key", "key_a"), Change("key", "key_a")),
        (Role.KEY_ADMIN, Change("node", "n1"), None),
        (Role.PLATFORM_ADMIN, Change("gateway", "gw_1"), None),
    ],
)
def test_what_is_shown_of_a_change(role: Role, change: Change, seen: Change | None):
    assert shown(change, make_caller(role)) == seen


async def test_changes_are_gathered_and_end_with_the_session(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_GATHER_SECONDS", 0.0)
    bell, holds = Bell(), True

    async def authenticate() -> Caller:
        if not holds:
            raise UnauthorizedError("over")
        return make_caller(Role.VIEWER)

    stream = Changes(bell).stream(authenticate)
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    bell.ring("service", "a")
    bell.ring("key", "k")
    bell.ring("service", "b")
    bell.ring("job", "j")
    assert [await first, await anext(stream)] == [Change("service"), Change("job")]
    holds = False
    bell.ring("service", "a")
    assert await anext(stream) == Change("service")  # not looked at again yet
    bell.ring("user", "viewer")
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_silent_stream_looks_at_the_session_by_itself(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_RECHECK_SECONDS", 0.0)
    asked = 0

    async def authenticate() -> Caller:
        nonlocal asked
        asked += 1
        if asked > 3:
            raise UnauthorizedError("over")
        return make_caller(Role.VIEWER)

    assert [change async for change in Changes(Bell()).stream(authenticate)] == []
    assert asked == 4
