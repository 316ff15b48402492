"""Bodies of requests that no rule keeps any more: deleted a few at a time, so that nobody waits for it."""

from __future__ import annotations

import asyncio

from aicp.store.database import Database, Transaction
from aicp.store.request_bodies import RequestBodies
from aicp.store.request_log import RequestLogRules

_AT_ONCE = 500
_BETWEEN_SECONDS = 0.05


async def forget_bodies(database: Database, project: str) -> None:
    """Deletes all bodies of a project without a rule. Where one is set meanwhile, that has deleted the older ones."""
    while True:
        async with database.transaction() as tx:
            if await RequestLogRules(tx).find(project) is not None or await forget_some(tx, project):
                return
        await asyncio.sleep(_BETWEEN_SECONDS)


async def forget_some(tx: Transaction, project: str) -> bool:
    """Deletes some bodies of a project; whether those were all."""
    return await RequestBodies(tx).forget(project, _AT_ONCE) < _AT_ONCE
