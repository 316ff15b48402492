"""Replicas that a node runs and the store does not know."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select
from tests.support.clock import FakeClock
from tests.support.services import Platform, make_version

from aicp.core.errors import UnavailableError
from aicp.core.event import EventQuery
from aicp.core.launch import ReplicaState
from aicp.reconcile.strays import GRACE, GRACE_IN_DOUBT, LOOKS
from aicp.store.database import Database
from aicp.store.events import Events
from aicp.store.replicas import ReplicaRow
from aicp.store.services import ServiceRow

TABLES: tuple[Any, ...] = (ReplicaRow.__table__, ServiceRow.__table__)


@pytest.fixture
async def platform(sqlite: Database, clock: FakeClock) -> Platform:
    """One service on a node that the store has known for longer."""
    platform = await Platform(sqlite, clock).prepare(make_version())
    clock.advance(3600)
    await platform.publish("demo:v1")
    await platform.passes()
    [replica] = platform.runner.starts
    platform.runner.say(replica, ReplicaState.READY, started_at=clock.now())
    return platform


@pytest.fixture
async def restored(platform: Platform) -> Platform:
    """The same when its database was brought back from before the service; the engine still runs."""
    await forget(platform)
    return platform


async def forget(platform: Platform) -> list[tuple[Any, list[dict[str, Any]]]]:
    """Takes the service and its replica out of the store; answers the rows."""
    taken: list[tuple[Any, list[dict[str, Any]]]] = []
    async with platform.database.transaction() as tx:
        for table in TABLES:
            found = await tx.session.execute(select(table))
            taken.append((table, [dict(row) for row in found.mappings()]))
            await tx.session.execute(delete(table))
    return taken


async def events(platform: Platform) -> list[str]:
    async with platform.database.snapshot() as tx:
        page = await Events(tx).list(EventQuery(), limit=100)
    return [item.action for item in page.items if item.action.startswith("replica.unknown")]


async def looks(platform: Platform, period: timedelta, count: int = LOOKS) -> None:
    for _ in range(count):
        await platform.loop.step()
        platform.clock.advance(period.total_seconds() / count)


async def test_an_unknown_replica_is_told_and_stopped_after_a_grace(restored: Platform):
    [replica] = restored.runner.starts
    await looks(restored, GRACE)
    assert await events(restored) == ["replica.unknown"]
    assert restored.runner.stops == []
    restored.runner.slow_stops = True
    await looks(restored, GRACE)
    assert restored.runner.stops == [replica]
    assert await events(restored) == ["replica.unknown_stopped", "replica.unknown"]


async def test_time_alone_is_not_enough(restored: Platform):
    await restored.loop.step()
    restored.clock.advance(10 * GRACE.total_seconds())
    await restored.loop.step()
    assert restored.runner.stops == []


async def test_a_store_that_cannot_be_read_begins_the_count_anew(
    restored: Platform, sqlite: Database, monkeypatch: pytest.MonkeyPatch
):
    await looks(restored, GRACE)

    def broken() -> None:
        raise OSError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "snapshot", broken)
        await looks(restored, 10 * GRACE)
    assert restored.runner.stops == []
    await looks(restored, GRACE / 2)
    assert restored.runner.stops == []


async def test_a_store_that_met_the_node_after_the_replica_began_waits_long(restored: Platform):
    [replica] = restored.runner.starts
    long_ago = restored.clock.now() - timedelta(days=1)
    restored.runner.say(replica, ReplicaState.READY, started_at=long_ago)
    await looks(restored, GRACE_IN_DOUBT / 2, 20)
    assert restored.runner.stops == []
    await looks(restored, GRACE_IN_DOUBT, 20)
    assert restored.runner.stops == [replica]


async def test_an_engine_that_restarts_gets_the_time_that_was_told(restored: Platform):
    [replica] = restored.runner.starts
    restored.runner.say(replica, ReplicaState.READY, started_at=restored.clock.now() - timedelta(days=1))
    await looks(restored, GRACE)
    restored.runner.say(replica, ReplicaState.READY, started_at=restored.clock.now())
    await looks(restored, GRACE_IN_DOUBT / 2, 20)
    assert restored.runner.stops == []


async def test_none_is_stopped_that_was_not_told(restored: Platform, monkeypatch: pytest.MonkeyPatch):
    async def full_disk(*_: object, **__: object) -> None:
        raise UnavailableError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(Events, "note", full_disk)
        await looks(restored, 3 * GRACE, 30)
    assert restored.runner.stops == []
    await looks(restored, GRACE)
    assert (await events(restored))[-1] == "replica.unknown"


async def test_one_that_a_newer_copy_knows_again_goes_on(platform: Platform):
    rows = await forget(platform)
    await looks(platform, GRACE)
    assert await events(platform) == ["replica.unknown"]
    async with platform.database.transaction() as tx:
        for table, found in rows:
            await tx.session.execute(insert(table), found)
    await looks(platform, 2 * GRACE)
    assert platform.runner.stops == []
    assert len((await platform.routes.current()).routes[0].targets) == 1
