"""A search finds whatever the case of its letters, in both databases, and `%` and `_` are plain characters."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.clock import FakeClock
from tests.support.runner import make_node_status

from aicp.core.api_key import ApiKey
from aicp.core.event import EventQuery
from aicp.core.model import ModelType
from aicp.core.service import ServiceSpec
from aicp.store.api_keys import ApiKeys
from aicp.store.database import Database, Transaction
from aicp.store.events import Events
from aicp.store.nodes import Nodes
from aicp.store.services import Services


async def fill(tx: Transaction, clock: FakeClock) -> None:
    now = clock.now()
    await Events(tx).note(now, "node.seen", "node", "Rack-One", "It Reports 5_0 %.")
    await Nodes(tx).seen(make_node_status().model_copy(update={"hostname": "Rack-One"}), now, pool="default")
    key = ApiKey(id="key_1", name="n", project="default", prefix="sk-AbCd", created_at=now)
    await ApiKeys(tx).create(key, "digest")
    await Services(tx).create("demo", "default", "For Everyone", ModelType.CHAT, ServiceSpec(model="demo"), now)


@pytest.mark.parametrize(
    ("kind", "search", "total"),
    [
        (Events, "rack-ONE", 1),
        (Events, "it reports", 1),
        (Events, "5_0 %", 1),
        (Events, "i_ r%", 0),
        (Nodes, "rack-ONE", 1),
        (Nodes, "r_ck", 0),
        (ApiKeys, "SK-abcd", 1),
        (Services, "DEMO", 1),
        (Services, "for everyone", 1),
    ],
)
async def test_search(database: Database, clock: FakeClock, kind: Any, search: str, total: int) -> None:
    async with database.transaction() as tx:
        await fill(tx, clock)
    async with database.snapshot() as tx:
        page = Events(tx).list(EventQuery(search=search)) if kind is Events else kind(tx).list(search=search)
        assert (await page).total == total
