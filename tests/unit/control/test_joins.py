"""Who is let in as a node, with what, and who is not any more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.api import make_caller
from tests.support.clock import FakeClock

from aicp.control.joins import Cluster, JoinGuard, Joins
from aicp.control.nodes import Nodes
from aicp.core.access import PLATFORM
from aicp.core.bell import Bell
from aicp.core.clock import SystemClock
from aicp.core.errors import ConflictError, ForbiddenError, NotFoundError, TooManyRequestsError, UnauthorizedError
from aicp.core.event import EventQuery
from aicp.core.identity import Role
from aicp.core.join import Joined, JoinRequest, JoinTokenCreate, RayAdmission
from aicp.core.join_token import JoinTokenText, make_join_token, read_join_token
from aicp.security.authority import Authority, make_key, make_request
from aicp.store.database import Database
from aicp.store.events import Events
from aicp.store.nodes import Nodes as StoredNodes


class Door:
    def __init__(self, database: Database, folder: Path) -> None:
        self.clock, self.authority = FakeClock(), Authority.open(folder, SystemClock())
        cluster = Cluster(self.authority, "10.0.0.1:8609", 300)
        self.joins = Joins(database, self.clock, Bell(), cluster)
        self.database = database

    async def token(self, **wanted: object) -> str:
        return (await self.joins.create_token(PLATFORM, JoinTokenCreate.model_validate(wanted))).token

    async def join(self, token: str | None, node_id: str = "node_1", host: str | None = None) -> Joined:
        asked = JoinRequest(request=make_request(make_key()), node_id=node_id, hostname="m1", host=host, port=8610)
        return await self.joins.join(token, asked, "10.0.0.2")


@pytest.fixture
def door(database: Database, tmp_path: Path) -> Door:
    return Door(database, tmp_path / "authority")


async def test_a_token_makes_a_machine_a_node_with_its_labels(door: Door) -> None:
    joined = await door.join(await door.token(labels={"zone": "b"}))
    assert joined.authority == door.authority.certificate_pem
    page = await door.joins.tokens(PLATFORM)
    assert page.address == "10.0.0.1:8609"
    async with door.database.snapshot() as tx:
        [told] = (await Events(tx).list(EventQuery(action="node.joined", search=page.items[0].id))).items
    assert told.details == {"token": page.items[0].id, "node_id": "node_1"}
    assert joined.lease_seconds == 300
    node = await door.joins.member("aicp://node/node_1")
    assert (node.address, node.labels) == ("mtls://node-1.node.aicp@10.0.0.2:8610", {"zone": "b"})
    named = await door.join(await door.token(), "node_2", "2001:db8::7")
    assert named.host == "2001:db8::7"
    assert (await door.joins.member("aicp://node/node_2")).address == "mtls://node-2.node.aicp@[2001:db8::7]:8610"


async def test_every_token_that_does_not_hold_says_why(door: Door) -> None:
    token = read_join_token(await door.token(hours=1, uses=1))
    assert token is not None
    wrong = JoinTokenText(token.id, "0" * 64, token.fingerprint)
    for text, why in ((wrong, "not known"), (make_join_token(token.fingerprint), "not known")):
        with pytest.raises(UnauthorizedError, match=why):
            await door.join(str(text))
    with pytest.raises(UnauthorizedError, match="was cut"):
        await door.join(str(token)[:-1])
    with pytest.raises(UnauthorizedError) as without:
        await door.join(None)
    assert without.value.details["authority"] == door.authority.certificate_pem
    await door.join(str(token))
    with pytest.raises(UnauthorizedError, match="all have joined"):
        await door.join(str(token), "node_2")
    late = await door.token(hours=1)
    door.clock.advance(3600)
    with pytest.raises(UnauthorizedError, match="ended at"):
        await door.join(late, "node_3")


async def test_a_failed_join_uses_nothing_up(door: Door) -> None:
    await door.join(await door.token())
    token = await door.token()
    with pytest.raises(ConflictError, match="has a node of the id node_1 already"):
        await door.join(token)
    await door.join(token, "node_2")


async def test_the_platforms_own_node_is_nobody_elses(door: Door) -> None:
    async with door.database.transaction() as tx:
        await StoredNodes(tx).join("node_own", "first", "", door.clock.now(), pool="default", labels={})
        await StoredNodes(tx).mark_lost("node_own", "silent")
    with pytest.raises(ConflictError):
        await door.join(await door.token(), "node_own")
    with pytest.raises(UnauthorizedError):
        await door.joins.member("aicp://node/node_own")


async def test_a_removed_node_is_let_in_no_more(door: Door) -> None:
    await door.join(await door.token())
    assert "BEGIN CERTIFICATE" in await door.joins.renew("aicp://node/node_1", make_request(make_key()))
    await Nodes(door.database, door.clock, Bell()).remove(PLATFORM, "node_1")
    for identity in ("aicp://node/node_1", "aicp://node/m1", "aicp://control", None):
        with pytest.raises(UnauthorizedError):
            await door.joins.member(identity)


class RayPapers:
    """Who asked for papers of Ray; each expulsion makes another authority."""

    def __init__(self) -> None:
        self.admitted, self.expelled, self.expected = list[str](), 0, False
        self.meanwhile: Callable[[], None] = lambda: None

    def admit(self, address: str) -> RayAdmission:
        self.meanwhile()
        self.admitted.append(address)
        texts = {"certificate": "c", "key": "k", "token": "t"}
        return RayAdmission(
            head="10.0.0.1:6379", address=address, reconnect_seconds=300, authority=self.authority(), **texts
        )

    def authority(self) -> str:
        return f"authority {self.expelled}"

    def expect(self, *, removal: bool) -> None:
        self.expected = removal

    def expel(self) -> None:
        assert self.expected, "a crash before it would be made up for"
        self.expelled, self.expected = self.expelled + 1, False


async def test_who_stays_gets_new_papers_of_ray_when_a_machine_is_removed(door: Door) -> None:
    ray = RayPapers()
    door.joins = Joins(door.database, door.clock, Bell(), Cluster(door.authority, "10.0.0.1:8609", 300, ray))
    joined = await door.join(await door.token())
    assert joined.ray is not None
    await door.join(await door.token(), "node_2", "10.0.0.3")
    assert await door.joins.ray_papers("aicp://node/node_1", joined.ray.authority) is None
    await Nodes(door.database, door.clock, Bell(), ray).remove(PLATFORM, "node_2")
    assert ray.expelled == 1
    papers = await door.joins.ray_papers("aicp://node/node_1", joined.ray.authority)
    assert papers is not None
    assert (papers.authority, papers.address) == ("authority 1", "10.0.0.2")
    assert ray.admitted == ["10.0.0.2", "10.0.0.3", "10.0.0.2"]
    with pytest.raises(UnauthorizedError):
        await door.joins.ray_papers("aicp://node/node_2", joined.ray.authority)


async def test_a_machine_that_is_removed_while_it_asks_gets_no_papers(door: Door) -> None:
    ray = RayPapers()
    door.joins = Joins(door.database, door.clock, Bell(), Cluster(door.authority, "10.0.0.1:8609", 300, ray))
    await door.join(await door.token())
    nodes, loop = Nodes(door.database, door.clock, Bell(), ray), asyncio.get_running_loop()
    ray.meanwhile = lambda: asyncio.run_coroutine_threadsafe(nodes.remove(PLATFORM, "node_1"), loop).result(10)
    with pytest.raises(UnauthorizedError):
        await door.joins.ray_papers("aicp://node/node_1", "x")
    assert (ray.expelled, ray.admitted) == (1, ["10.0.0.2", "10.0.0.2"])


async def test_a_removal_that_is_refused_expects_nothing_of_ray(door: Door) -> None:
    ray = RayPapers()
    with pytest.raises(NotFoundError):
        await Nodes(door.database, door.clock, Bell(), ray).remove(PLATFORM, "node_9")
    assert (ray.expected, ray.expelled) == (False, 0)


async def test_without_ray_there_are_no_papers_of_it(door: Door) -> None:
    await door.join(await door.token())
    assert await door.joins.ray_papers("aicp://node/node_1", "x") is None


async def test_tokens_are_for_platform_admins_and_their_texts_are_not_kept(door: Door) -> None:
    for role in Role:
        if role != Role.PLATFORM_ADMIN:
            with pytest.raises(ForbiddenError):
                await door.joins.create_token(make_caller(role), JoinTokenCreate())
    text = await door.token(uses=3)
    shown = (await door.joins.tokens(PLATFORM)).items
    assert [one.uses_left for one in shown] == [3]
    secret = read_join_token(text)
    assert secret is not None
    assert secret.secret not in shown[0].model_dump_json()
    await door.joins.remove_token(PLATFORM, shown[0].id)
    with pytest.raises(UnauthorizedError, match="was removed"):
        await door.join(text)
    with pytest.raises(NotFoundError):
        await door.joins.remove_token(PLATFORM, shown[0].id)


async def test_a_closed_platform_says_how_it_is_opened(sqlite: Database) -> None:
    closed = Joins(sqlite, FakeClock(), Bell(), None)
    assert (await closed.tokens(PLATFORM)).address is None
    with pytest.raises(ConflictError) as refused:
        await closed.create_token(PLATFORM, JoinTokenCreate())
    assert "aicp up --cluster" in (refused.value.hint or "")


def test_attempts_are_counted_by_address() -> None:
    clock = FakeClock()
    guard = JoinGuard(clock)
    for _ in range(20):
        guard.count("10.0.0.2")
    with pytest.raises(TooManyRequestsError) as refused:
        guard.count("10.0.0.2")
    assert refused.value.details["retry_after_seconds"] == 61
    guard.count("10.0.0.3")
    clock.advance(61)
    guard.count("10.0.0.2")
