"""Replicas that span nodes: placed, started, watched and ended as one, whatever becomes of a member or a node."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.clock import FakeClock
from tests.support.runner import FakeRunner, make_node_status
from tests.support.services import Platform, SmallEngine

from aicp.core.errors import UnavailableError
from aicp.core.launch import (
    Allocation,
    LaunchSpec,
    ObservedMember,
    ObservedReplica,
    ReplicaLaunch,
    ReplicaState,
)
from aicp.core.members import merge_reports
from aicp.core.model import ModelVersion
from aicp.core.replica import Replica, ReplicaPart, check_replica_transition
from aicp.core.service import Compute, ServiceState, ServiceUpdate
from aicp.engines.base import LaunchRequest
from aicp.reconcile.groups import NodeLook, group_change
from aicp.reconcile.loop import Loop
from aicp.reconcile.observation import Change
from aicp.reconcile.services import ServiceReconciler
from aicp.store.database import Database
from aicp.store.replicas import CHARGED, Replicas, StoredReplica

NOW = datetime(2026, 5, 1, tzinfo=UTC)
ALIVE = (ReplicaState.STARTING, ReplicaState.LOADING, ReplicaState.READY, ReplicaState.DEGRADED)
ENDED = (ReplicaState.STOPPED, ReplicaState.FAILED, ReplicaState.FENCED)
LIVE = (ReplicaState.ALLOCATED, *ALIVE)


def part(rank: int, state: ReplicaState | None = None) -> ReplicaPart:
    given = Allocation(node_id=f"n{rank}", devices=[], cpu_cores=1, memory_bytes=1)
    return ReplicaPart(node_id=f"n{rank}", node=f"node-{rank}", allocation=given, state=state)


def stored(state: ReplicaState, *parts: ReplicaState | None, running: bool = True) -> StoredReplica:
    members = [part(rank, each) for rank, each in enumerate(parts)]
    replica = Replica(id="rep_1", service="s", generation=1, state=state, members=members, created_at=NOW)
    return StoredReplica(replica, "svc_1", "default", "n0", None, running, None, None, None, None)


def look(item: StoredReplica, *seen: ReplicaState | None, lost: str = "", fenced: str = "") -> Change | None:
    """The change when member k is seen in that state (None: its node does not report it)."""
    reports = [
        ObservedReplica(
            replica_id="rep_1",
            generation=1,
            state=state,
            address="unix:/s" if rank == 0 else None,
            members=[ObservedMember(node_id=f"n{rank}", state=state, reason=f"why {rank}.")],
        )
        for rank, state in enumerate(seen)
        if state is not None
    ]
    names = {f"n{rank}" for rank in range(len(item.replica.members))}
    nodes = NodeLook(reporting=names - set(lost.split()), lost=lost.split(), fenced=fenced.split(), known=names)
    change = group_change(item, merge_reports(reports) if reports else None, nodes, NOW)
    if change is not None and change.state != item.replica.state:
        check_replica_transition(item.replica.state, change.state)
    return change


@given(st.sampled_from(LIVE), st.lists(st.sampled_from(ALIVE), min_size=2, max_size=4))
def test_it_is_ready_when_every_member_is(before: ReplicaState, seen: list[ReplicaState]) -> None:
    change = look(stored(before, *[ReplicaState.STARTING] * len(seen)), *seen)
    state = before if change is None else change.state
    if before != ReplicaState.ALLOCATED or any(each != ReplicaState.DEGRADED for each in seen):
        assert (state == ReplicaState.READY) == (set(seen) == {ReplicaState.READY})


@given(
    st.sampled_from(LIVE),
    st.lists(st.sampled_from(ALIVE), min_size=1, max_size=3),
    st.sampled_from(ENDED),
    st.integers(0, 3),
)
def test_one_that_ended_is_the_end_of_all_and_is_named(
    before: ReplicaState, others: list[ReplicaState], end: ReplicaState, where: int
) -> None:
    seen = list(others)
    where = min(where, len(seen))
    seen.insert(where, end)
    change = look(stored(before, *[ReplicaState.READY] * len(seen)), *seen)
    assert change is not None
    assert change.state == ReplicaState.DRAINING
    assert f"Member {where} of {len(seen)} on node node-{where} ended: why {where}." in change.values["fault"]


def test_a_member_that_its_node_does_not_know_any_more_is_the_end_of_all() -> None:
    both = stored(ReplicaState.READY, ReplicaState.READY, ReplicaState.READY)
    change = look(both, ReplicaState.READY, None)
    assert change is not None
    assert "Member 1 of 2" in change.values["fault"]
    assert look(stored(ReplicaState.ALLOCATED, None, None, running=False)) is None, "nothing was started yet"


def test_one_whose_node_answers_late_is_not_given_up() -> None:
    item = stored(ReplicaState.READY, ReplicaState.READY, ReplicaState.READY)
    report = ObservedReplica(
        replica_id="rep_1",
        generation=1,
        state=ReplicaState.READY,
        members=[ObservedMember(node_id="n0", state=ReplicaState.READY)],
    )
    nodes = NodeLook(reporting={"n0"}, lost=(), fenced=(), known={"n0", "n1"})
    change = group_change(item, report, nodes, NOW)
    assert change is None or change.state == ReplicaState.READY


def test_with_a_lost_node_the_rest_ends_and_gives_its_places_back() -> None:
    lost = look(stored(ReplicaState.READY, ReplicaState.READY, ReplicaState.READY), ReplicaState.READY, None, lost="n1")
    assert lost is not None
    assert (lost.state, lost.values["reason"]) == (ReplicaState.LOST, "Node node-1 of member 1 does not answer.")
    item = stored(ReplicaState.LOST, ReplicaState.READY, ReplicaState.LOST)
    assert {one.allocation.node_id for one in item.holdings()} == {"n0", "n1"}
    after = look(item, ReplicaState.STOPPED, None, lost="n1")
    assert after is not None
    assert (after.state, after.values["running"]) == (ReplicaState.LOST, False)
    rest = stored(ReplicaState.LOST, ReplicaState.STOPPED, ReplicaState.LOST, running=False)
    assert [one.allocation.node_id for one in rest.holdings()] == ["n1"], "only the silent node's place stays taken"
    fenced = look(rest, ReplicaState.STOPPED, None, lost="n1", fenced="n1")
    assert fenced is not None
    assert fenced.state == ReplicaState.FENCED
    assert fenced.state not in CHARGED
    back = look(stored(ReplicaState.FENCED, ReplicaState.STOPPED, ReplicaState.FENCED), None, ReplicaState.FENCED)
    assert back is not None
    assert back.state == ReplicaState.STOPPED


def test_one_that_was_never_started_ends_when_its_silent_node_is_back() -> None:
    item = stored(ReplicaState.LOST, None, ReplicaState.LOST, running=False)
    still = look(item, None, None, lost="n1")
    assert still is None or still.state == ReplicaState.LOST
    over = look(item, None, None)
    assert over is not None
    assert over.state == ReplicaState.STOPPED, "its places are free again"


def test_a_lost_one_does_not_come_back_by_halves() -> None:
    item = stored(ReplicaState.LOST, ReplicaState.STOPPED, ReplicaState.LOST, running=False)
    change = look(item, ReplicaState.STOPPED, ReplicaState.READY)
    assert change is not None
    assert (change.state, change.values["running"]) == (ReplicaState.LOST, True), "what is left of it is stopped"
    over = look(item, ReplicaState.STOPPED, ReplicaState.STOPPED)
    assert over is not None
    assert over.state == ReplicaState.STOPPED


class WideEngine(SmallEngine):
    """One that can compute on several nodes."""

    def spans(self, version: ModelVersion, vendor: str, nodes: int) -> str | None:
        return "it has two halves" if nodes > 2 else None

    def launch(self, request: LaunchRequest) -> LaunchSpec:
        spec = super().launch(request)
        return spec.model_copy(update={"command": [*spec.command, "--rank", str(request.rank)]})


class Agents(FakeRunner):
    """Several nodes, each with its own word on its members."""

    def __init__(self) -> None:
        super().__init__(make_node_status("node_a"), make_node_status("node_b"), make_node_status("node_c"))
        self.members: dict[tuple[str, str], ObservedReplica] = {}

    async def start(self, launch: ReplicaLaunch) -> ObservedReplica:
        for member in launch.members:
            if member.node_id in self.silent:
                raise UnavailableError(f"No agent answers for node {member.node_id!r}.")
            key = (launch.replica_id, member.node_id)
            if key not in self.members:
                self.launches[launch.replica_id] = launch
                self.tell(key, ReplicaState.LOADING)
        return merge_reports([seen for key, seen in self.members.items() if key[0] == launch.replica_id])

    async def observe(self) -> list[ObservedReplica]:
        found: dict[str, list[ObservedReplica]] = {}
        for (replica_id, node_id), seen in self.members.items():
            if node_id not in self.silent:
                found.setdefault(replica_id, []).append(seen)
        return [merge_reports(reports) for reports in found.values()]

    async def stop(self, replica_id: str, generation: int, grace_seconds: float) -> None:
        for key, seen in self.members.items():
            if key[0] == replica_id and key[1] not in self.silent and seen.state in ALIVE:
                self.stops.append(key[1])
                self.tell(key, ReplicaState.STOPPED)

    def reporters(self) -> set[str]:
        return set(self.statuses) - self.silent

    def tell(self, key: tuple[str, str], state: ReplicaState, reason: str | None = None) -> None:
        leads = self.launches[key[0]].members[0].node_id == key[1]
        up = state in ALIVE
        self.members[key] = ObservedReplica(
            replica_id=key[0],
            generation=self.launches[key[0]].generation,
            state=state,
            address=f"unix:/{key[0]}" if leads and up else None,
            token="secret" if leads and up else None,
            members=[ObservedMember(node_id=key[1], pid=7 if up else None, state=state, reason=reason)],
        )

    def progress(self) -> None:
        for key, seen in list(self.members.items()):
            if seen.state == ReplicaState.LOADING and key[1] not in self.silent:
                self.tell(key, ReplicaState.READY)


@pytest.fixture
async def platform(sqlite: Database, clock: FakeClock) -> Platform:
    found = Platform(sqlite, clock, Agents(), WideEngine())
    found.reconciler = ServiceReconciler(
        sqlite, found.runner, found.engines, clock, found.bell, lease=timedelta(seconds=60), host="10.0.0.1"
    )
    found.loop = Loop(found.reconciler, found.bell, clock)
    return await found.prepare()


def agents(platform: Platform) -> Agents:
    assert isinstance(platform.runner, Agents)
    return platform.runner


async def replicas(platform: Platform) -> list[Replica]:
    """Oldest first."""
    async with platform.database.snapshot() as tx:
        return [item.replica for item in await Replicas(tx).current()]


async def state(platform: Platform) -> tuple[ServiceState, str]:
    service = await platform.services.get(platform.caller, "demo")
    return service.state, service.reason


async def test_all_members_are_bound_and_started_together_and_know_each_other(platform: Platform) -> None:
    published = await platform.publish(compute=Compute(nodes=2))
    assert any(choice.name == "nodes" and choice.value == 2 for choice in published.plan.choices)
    await platform.passes(4)
    [replica] = await replicas(platform)
    assert replica.state == ReplicaState.READY
    assert len({member.node_id for member in replica.members}) == 2
    assert replica.node == replica.members[0].node
    launch = agents(platform).launches[replica.id]
    seats = [member.seat for member in launch.members]
    assert [seat.rank for seat in seats if seat] == [0, 1]
    assert {(seat.leader, seat.port) for seat in seats if seat} == {("10.0.0.1", seats[0].port if seats[0] else 0)}
    assert [member.launch.command[-1] for member in launch.members] == ["0", "1"]
    assert replica.address == f"unix:/{replica.id}", "callers go to the leader"


async def test_it_waits_in_words_while_too_few_nodes_have_room_and_takes_none(platform: Platform) -> None:
    await platform.publish(compute=Compute(nodes=2))
    for node_id in ("node_b", "node_c"):
        agents(platform).silent.add(node_id)
    platform.clock.advance(60)
    await platform.node_loop.step()
    await platform.passes(2)
    [replica] = await replicas(platform)
    assert (replica.state, replica.members) == (ReplicaState.PENDING, [])
    said, reason = await state(platform)
    assert said == ServiceState.PENDING
    assert "2 nodes with room for one member each were asked, and 1 of 3 have it" in reason


async def test_a_member_that_dies_ends_the_others_and_another_replica_comes(platform: Platform) -> None:
    await platform.publish(compute=Compute(nodes=2))
    await platform.passes(4)
    [first] = await replicas(platform)
    follower = first.members[1]
    agents(platform).tell((first.id, follower.node_id), ReplicaState.FAILED, "The engine was ended by SIGKILL.")
    await platform.passes(3)
    ended = (await replicas(platform))[0]
    assert ended.state == ReplicaState.FAILED
    assert ended.reason == (
        f"Member 1 of 2 on node {follower.node} ended: The engine was ended by SIGKILL. All members are started anew."
    )
    assert agents(platform).stops == [first.members[0].node_id]
    assert f"Member 1 of 2 on node {follower.node}" in (await state(platform))[1]
    await platform.passes(10)
    second = (await replicas(platform))[-1]
    assert (second.id != first.id, second.state) == (True, ReplicaState.READY)


async def test_a_lost_node_ends_the_members_on_others_which_are_used_again(platform: Platform) -> None:
    await platform.publish(compute=Compute(nodes=2, memory_bytes=12 * 2**30))
    await platform.passes(4)
    [first] = await replicas(platform)
    gone = first.members[1].node_id
    agents(platform).silent.add(gone)
    platform.clock.advance(60)
    await platform.node_loop.step()
    await platform.passes(12)
    old, new = await replicas(platform)
    assert old.state == ReplicaState.LOST
    assert agents(platform).stops == [first.members[0].node_id]
    assert new.state == ReplicaState.READY
    assert {member.node_id for member in new.members} == {"node_a", "node_b", "node_c"} - {gone}


async def test_to_stop_it_is_to_stop_every_member(platform: Platform) -> None:
    await platform.publish(compute=Compute(nodes=2))
    await platform.passes(4)
    [replica] = await replicas(platform)
    await platform.services.update(platform.caller, "demo", ServiceUpdate(stopped=True))
    await platform.passes(4)
    assert sorted(agents(platform).stops) == sorted(member.node_id for member in replica.members)
    assert (await state(platform))[0] == ServiceState.STOPPED


async def test_a_start_that_reached_one_node_alone_is_done_again(platform: Platform) -> None:
    runner = agents(platform)
    await platform.publish(compute=Compute(nodes=2))
    await platform.loop.step()
    await platform.loop.step()
    [replica] = await replicas(platform)
    assert replica.state == ReplicaState.ALLOCATED
    runner.silent.add(replica.members[1].node_id)
    await platform.passes(2)
    assert set(runner.members) == {(replica.id, replica.members[0].node_id)}
    runner.silent.clear()
    await platform.passes(8)
    assert [(one.id, one.state) for one in await replicas(platform)] == [(replica.id, ReplicaState.READY)]
