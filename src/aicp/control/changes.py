"""What changed, as it happens, for the live views of the console."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from aicp.core.access import Caller
from aicp.core.bell import Bell, Change
from aicp.core.errors import UnauthorizedError
from aicp.core.identity import Permission

_PERMISSIONS = {
    "model": Permission.MODEL_READ,
    "job": Permission.JOB_READ,
    "batch": Permission.BATCH_READ,
    "file": Permission.BATCH_READ,
    "service": Permission.SERVICE_READ,
    "replica": Permission.SERVICE_READ,
    "route": Permission.SERVICE_READ,
    "cache_rule": Permission.SERVICE_READ,
    "provider": Permission.PROVIDER_READ,
    "node": Permission.NODE_READ,
    "pool": Permission.NODE_READ,
    "join_token": Permission.NODE_WRITE,
    "engine": Permission.ENGINE_READ,
    "key": Permission.KEY_READ,
    "price": Permission.USAGE_READ,
    "event": Permission.PROJECT_READ,
    "project": Permission.PROJECT_READ,
    "user": Permission.USER_READ,
}
_UNOWNED = frozenset({"node", "pool", "join_token", "engine", "provider"})
_GATHER_SECONDS = 0.2
_RECHECK_SECONDS = 15.0


class Changes:
    """Streams of changes."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell

    async def stream(self, authenticate: Callable[[], Awaitable[Caller]]) -> AsyncIterator[Change]:
        """Changes that the caller may see, each once in 0.2 s. Ends when the session does.

        The session is looked at again every 15 s and whenever a user changed, so that a role taken away is heard of
        no more.
        """
        with self._bell.subscription() as queue:
            caller = await authenticate()
            while True:
                changes: dict[Change, None] = {}
                recheck = True
                try:
                    changes[await asyncio.wait_for(queue.get(), _RECHECK_SECONDS)] = None
                    await asyncio.sleep(_GATHER_SECONDS)
                    while not queue.empty():
                        changes[queue.get_nowait()] = None
                    recheck = any(change.kind == "user" for change in changes)
                except TimeoutError:
                    pass
                if recheck:
                    try:
                        caller = await authenticate()
                    except UnauthorizedError:
                        return
                for change in dict.fromkeys(filter(None, (shown(change, caller) for change in changes))):
                    yield change


def shown(change: Change, caller: Caller) -> Change | None:
    """`change` as `caller` may see it. Names tell what other projects have, so they need a platform-wide permission."""
    permission = _PERMISSIONS.get(change.kind)
    if permission is None or not caller.may(permission):
        return None
    if change.kind in _UNOWNED or permission in caller.platform:
        return change
    return Change(change.kind)
