"""Lists of any length: pages that neither repeat nor lose a row, in the order that was asked for."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.support.clock import FakeClock
from tests.support.runner import make_node_status

from aicp.core.api_key import ApiKey, KeyState
from aicp.core.errors import InvalidError
from aicp.core.event import EventQuery, difference
from aicp.core.identity import User
from aicp.core.launch import Allocation
from aicp.core.node import NodeState
from aicp.store.api_keys import ApiKeys
from aicp.store.database import Database
from aicp.store.events import Events
from aicp.store.nodes import Nodes
from aicp.store.replicas import Replicas
from aicp.store.users import Users


async def test_a_log_is_read_on_without_repeating_while_it_grows(database: Database, clock: FakeClock) -> None:
    async with database.transaction() as tx:
        log = Events(tx)
        for number in range(5):
            await log.note(clock.now() + timedelta(seconds=number // 2), "node.seen", "node", f"n{number}", "")
        first = await log.list(EventQuery(kind="node"), limit=2)
        await log.note(clock.now() + timedelta(seconds=9), "node.seen", "node", "new", "")
        seen, before, totals = [*first.items], first.next, [first.total]
        while before:
            page = await log.list(EventQuery(kind="node"), before=before, limit=2)
            seen, before, totals = seen + page.items, page.next, [*totals, page.total]
        assert totals == [5, 6, 6]
        assert sorted(event.object_name for event in seen) == ["n0", "n1", "n2", "n3", "n4"]
        assert [event.at for event in seen] == sorted((event.at for event in seen), reverse=True)
        with pytest.raises(InvalidError, match="no event 'evt_gone'"):
            await log.list(EventQuery(), before="evt_gone")


async def test_events_are_found_by_every_filter(database: Database, clock: FakeClock) -> None:
    now = clock.now()
    async with database.transaction() as tx:
        log = Events(tx)
        await log.note(now, "replica.failed", "service", "demo", "Out of memory.", project="default", severity="error")
        await log.note(now + timedelta(hours=1), "node.seen", "node", "n1", "")
        for which in (
            EventQuery(kind="service"),
            EventQuery(name="demo"),
            EventQuery(action="replica.failed"),
            EventQuery(severity="error"),
            EventQuery(search="replica.FAIL"),
            EventQuery(project="default"),
            EventQuery(until=now + timedelta(minutes=1)),
        ):
            assert [event.object_name for event in (await log.list(which)).items] == ["demo"], which
        assert [e.object_name for e in (await log.list(EventQuery(since=now + timedelta(seconds=1)))).items] == ["n1"]
        assert (await log.list(EventQuery(actor="platform"))).total == 2
        assert (await log.list(EventQuery(), audit=True)).total == 0
        assert (await log.list(EventQuery(), projects={"default"})).total == 1
        assert (await log.list(EventQuery(project="default"), projects={"other"})).total == 0


def test_a_difference_has_only_what_changed() -> None:
    assert difference({"a": 1, "b": 2}, {"a": 1, "b": 3}) == {"before": {"b": 2}, "after": {"b": 3}}
    assert difference({"a": 1}, {"a": 1}) == {}
    assert difference({}, {"role": "viewer"}) == {"before": {"role": None}, "after": {"role": "viewer"}}


async def test_keys_by_state_and_order(database: Database, clock: FakeClock) -> None:
    now = clock.now()
    ends = {"a": None, "b": now - timedelta(days=1), "c": now + timedelta(days=1), "d": None}
    async with database.transaction() as tx:
        keys = ApiKeys(tx)
        for name, expires_at in ends.items():
            revoked = now if name == "d" else None
            key = ApiKey(
                id=name, name=name, project="default", prefix=name, expires_at=expires_at, revoked_at=revoked,
                created_at=now,
            )  # fmt: skip
            await keys.create(key, "digest")
        found = {
            state: [key.id for key in (await keys.list(state=state, now=now, sort="name")).items] for state in KeyState
        }
        assert found == {KeyState.ACTIVE: ["a", "c"], KeyState.EXPIRED: ["b"], KeyState.REVOKED: ["d"]}
        assert [key.id for key in (await keys.list(sort="-expires_at")).items][:2] == ["c", "b"]
        # All were made at once: the id settles the order, and pages do not overlap.
        pages = [(await keys.list(sort="-created_at", offset=offset, limit=2)).items for offset in (0, 2)]
        assert [key.id for page in pages for key in page] == ["d", "c", "b", "a"]


async def test_replicas_of_a_node_are_those_of_visible_projects(database: Database, clock: FakeClock) -> None:
    async with database.transaction() as tx:
        replicas = Replicas(tx)
        for project in ("default", "other"):
            made = await replicas.create("svc_1", "demo", project, 1, clock.now())
            where = Allocation(node_id="n1", devices=[], cpu_cores=1, memory_bytes=1)
            await replicas.place(made.id, where, "rack", clock.now())
        await replicas.create("svc_1", "demo", "default", 1, clock.now())
        assert (await replicas.list(node_id="n1")).total == 2
        assert (await replicas.list(node_id="n1", projects={"default"})).total == 1
        assert (await replicas.list(node_id="n2")).total == 0


async def test_nodes_and_users_by_state_and_order(database: Database, clock: FakeClock) -> None:
    now = clock.now()
    async with database.transaction() as tx:
        for name in ("n1", "n2", "n3"):
            status = make_node_status().model_copy(update={"node_id": name, "hostname": name})
            await Nodes(tx).seen(status, now, pool="default")
        await Nodes(tx).cordon("n2", True, "by a test")
        await Nodes(tx).mark_lost("n3", "silent")
        for state, name in ((NodeState.READY, "n1"), (NodeState.CORDONED, "n2"), (NodeState.LOST, "n3")):
            assert [node.id for node in (await Nodes(tx).list(state=state)).items] == [name]
        assert [node.id for node in (await Nodes(tx).list(sort="-name", limit=2)).items] == ["n3", "n2"]
        for name in ("ann", "bob"):
            user = User(id=f"usr_{name}", name=name, disabled=name == "bob", created_at=now)
            await Users(tx).create(user, "hash")
        assert [user.name for user in (await Users(tx).list(sort="-name")).items] == ["bob", "ann"]
        assert [user.name for user in (await Users(tx).list(disabled=True)).items] == ["bob"]
        with pytest.raises(InvalidError, match="cannot be sorted by 'password_hash'"):
            await Users(tx).list(sort="password_hash")
