"""Users, projects, memberships, logins, keys and gateways in the store."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from tests.support.clock import FakeClock

from aicp.core.api_key import ApiKey, KeyState
from aicp.core.errors import ConflictError
from aicp.core.gateway import GatewayStatus
from aicp.core.identity import Role, User
from aicp.store.api_keys import ApiKeys
from aicp.store.database import Database, Transaction
from aicp.store.gateways import Gateways
from aicp.store.members import Members
from aicp.store.organizations import Organizations
from aicp.store.projects import Projects
from aicp.store.sessions import Sessions
from aicp.store.users import Users


def user(name: str, clock: FakeClock, **changes: object) -> User:
    return User.model_validate({"id": f"usr_{name}", "name": name, "created_at": clock.now(), **changes})


async def fill(tx: Transaction, clock: FakeClock) -> None:
    await Organizations(tx).create("default", clock.now())
    for name in ("default", "other_100%"):
        await Projects(tx).create(name, "default", f"about {name}", clock.now())
    await Users(tx).create(user("ann", clock, email="Ann@example.com"), "hash-of-ann")
    await Users(tx).create(user("bob", clock, platform_roles=[Role.AUDITOR]), "hash-of-bob")
    await Members(tx).set("default", "ann", Role.DEVELOPER)


async def test_users_come_with_their_roles(database: Database, clock: FakeClock):
    async with database.transaction() as tx:
        await fill(tx, clock)
        await Members(tx).set("default", "ann", Role.PROJECT_ADMIN)
        await Members(tx).set("other_100%", "ann", Role.VIEWER)
        await Users(tx).update("bob", {"platform_roles": [Role.PLATFORM_ADMIN], "disabled": True})
    async with database.snapshot() as tx:
        users = Users(tx)
        ann, bob = (await users.list()).items
        assert ann.projects == {"default": Role.PROJECT_ADMIN, "other_100%": Role.VIEWER}
        assert (bob.platform_roles, bob.disabled, bob.projects) == ([Role.PLATFORM_ADMIN], True, {})
        assert await users.find("ann") == ann
        assert await users.find("eve") is None
        assert await users.password_hash("ann") == "hash-of-ann"
        assert await users.active_with_platform_role(Role.PLATFORM_ADMIN) == []
        assert [found.name for found in (await users.list(search="ANN@")).items] == ["ann"]
        assert (await users.list(search="%")).total == 0


async def test_two_admins_who_demote_each_other_at_once_leave_one(database: Database, clock: FakeClock):
    async with database.transaction() as tx:
        for name in ("ann", "bob"):
            await Users(tx).create(user(name, clock, platform_roles=[Role.PLATFORM_ADMIN]), "hash")

    async def take_away(name: str) -> None:
        async with database.transaction() as tx:
            if name == "ann":
                await Users(tx).update(name, {"platform_roles": []})
            else:
                await Users(tx).delete(name)
            await asyncio.sleep(0.2)  # where nothing keeps the other one out, it comes in between
            left = await Users(tx).active_with_platform_role(Role.PLATFORM_ADMIN)
            await asyncio.sleep(0.2)
            if not left:
                raise ConflictError("the last one")

    results = await asyncio.gather(take_away("ann"), take_away("bob"), return_exceptions=True)
    assert [type(result) for result in results if result is not None] == [ConflictError]
    async with database.snapshot() as tx:
        assert len(await Users(tx).active_with_platform_role(Role.PLATFORM_ADMIN)) == 1


async def test_a_removed_user_or_project_takes_its_memberships_and_logins_along(database: Database, clock: FakeClock):
    async with database.transaction() as tx:
        await fill(tx, clock)
        await Members(tx).set("other_100%", "bob", Role.VIEWER)
        await Sessions(tx).create("d1", "ann", "login", clock.now(), clock.now() + timedelta(hours=1))
        await Users(tx).delete("ann")
        await Projects(tx).delete("other_100%")
    async with database.snapshot() as tx:
        assert (await Members(tx).of_project("default")).items == []
        assert await Members(tx).of_users(["ann", "bob"]) == {}
        assert await Sessions(tx).find("d1", clock.now()) is None


async def test_projects_are_found_by_name_and_search(database: Database, clock: FakeClock):
    async with database.transaction() as tx:
        await fill(tx, clock)
        await Projects(tx).describe("default", "the first one")
    async with database.snapshot() as tx:
        projects = Projects(tx)
        assert [p.name for p in (await projects.list()).items] == ["default", "other_100%"]
        assert [p.name for p in (await projects.list(search="100%")).items] == ["other_100%"]
        assert (await projects.list(names=[])).total == 0
        assert await projects.missing(["default", "gone"]) == {"gone"}
        found = await projects.find("default")
        assert found is not None
        assert found.description == "the first one"


async def test_a_login_ends_by_time_or_by_word(database: Database, clock: FakeClock):
    async with database.transaction() as tx:
        await fill(tx, clock)
        sessions, soon = Sessions(tx), clock.now() + timedelta(hours=1)
        await sessions.create("d1", "ann", "login", clock.now(), soon)
        await sessions.create("d2", "ann", "login", clock.now(), soon)
        await sessions.create("d3", "ann", "local", clock.now(), soon)
        assert await sessions.find("d1", soon) is None
        await sessions.end("d1")
        await sessions.end("d1")
        assert sorted(await sessions.digests("ann")) == ["d2", "d3"]
        await sessions.end_all("ann")
        assert await sessions.digests("ann") == ["d3"]
        await sessions.end_kind("local")
        assert await sessions.digests("ann") == []


def key(name: str, clock: FakeClock, **changes: object) -> ApiKey:
    values = {
        "id": f"key_{name}",
        "name": name,
        "project": "default",
        "prefix": f"sk-{name}",
        "created_at": clock.now(),
    }
    return ApiKey.model_validate(values | changes)


async def test_only_keys_that_hold_reach_the_gateway(database: Database, clock: FakeClock):
    async with database.transaction() as tx:
        keys, now = ApiKeys(tx), clock.now()
        await keys.create(key("all", clock), "digest-1")
        await keys.create(key("none", clock, models=[]), "digest-2")
        await keys.create(key("old", clock, expires_at=now), "digest-3")
        await keys.create(key("soon", clock, expires_at=now + timedelta(seconds=1), models=["demo"]), "digest-4")
        await keys.create(key("gone", clock, project="other"), "digest-5")
        await keys.create(key("play", clock, created_by="ann"), "digest-6", "playground")
        await keys.revoke_project("other", now)
        entries = {entry.id: entry for entry in await keys.entries(now)}
        assert set(entries) == {"key_all", "key_none", "key_soon", "key_play"}
        assert (entries["key_all"].models, entries["key_none"].models) == (None, [])
        assert entries["key_soon"].expires_at == (now + timedelta(seconds=1)).timestamp()
        assert await keys.revoke_playground(now, "bob") == 0
        assert await keys.revoke_playground(now, "ann") == 1
        assert "key_play" not in {entry.id for entry in await keys.entries(now)}


async def test_keys_are_listed_by_project_and_in_order(database: Database, clock: FakeClock):
    async with database.transaction() as tx:
        keys = ApiKeys(tx)
        for name, project in (("b", "default"), ("a", "other"), ("c", "default")):
            clock.advance(1)
            await keys.create(key(name, clock, project=project), name)
        await keys.create(key("play", clock), "p", "playground")
        await keys.touch({"key_a": clock.now(), "key_missing": clock.now()})
        await keys.touch({"key_a": clock.now() - timedelta(hours=1)})
        await keys.update("key_c", {"revoked_at": clock.now(), "models": None})
        assert [item.name for item in (await keys.list()).items] == ["c", "a", "b"]
        assert [item.name for item in (await keys.list(sort="name", limit=1, offset=1)).items] == ["b"]
        assert (await keys.list(sort="-last_used_at")).items[0].name == "a"
        assert [item.name for item in (await keys.list(projects=["other"])).items] == ["a"]
        assert [item.name for item in (await keys.list(state=KeyState.REVOKED, now=clock.now())).items] == ["c"]
        await keys.update("key_a", {"models": ["demo-2", "de_mo"]})
        limited = [(await keys.list(model=model)).total for model in ("demo-2", "demo", "de_mo", "d%", "null")]
        assert limited == [1, 0, 1, 0, 0]
        assert (await keys.list(search="sk-b")).total == 1
        assert await keys.find("key_play") is None
        found = await keys.find("key_a")
        assert found is not None
        assert found.last_used_at == clock.now()


async def test_a_silent_gateway_no_longer_counts(database: Database, clock: FakeClock):
    status = GatewayStatus(id="gw_1", etag="e1", inflight={"rep_1": 2}, started_at=clock.now(), seen_at=clock.now())
    async with database.transaction() as tx:
        gateways = Gateways(tx)
        await gateways.save(status)
        await gateways.save(status.model_copy(update={"etag": "e2"}))
        assert [(item.etag, item.inflight) for item in await gateways.live(clock.now())] == [("e2", {"rep_1": 2})]
        clock.advance(6)
        assert await gateways.live(clock.now()) == []
        await gateways.forget(clock.now())
        clock.advance(-6)
        assert await gateways.live(clock.now()) == []
