"""Keeps what the agents say of their nodes: who joined, who is silent, who is back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.mutual import is_mutual
from aicp.core.node import Node, NodeState, NodeStatus
from aicp.reconcile.loop import Failure
from aicp.runners.base import AgentAddress, KnowsDeadNodes, Runner, TakesAgents
from aicp.store.database import Database
from aicp.store.events import Events
from aicp.store.nodes import Nodes
from aicp.store.pools import DEFAULT_POOL, Pools

LOST_AFTER = timedelta(seconds=15)
"""Silence after which a node counts as lost; an agent that is restarted is back within a few seconds."""
_WRITE_EVERY = timedelta(seconds=5)
NODE_LEASE = timedelta(seconds=300)
"""For so long a joined node serves without hearing from the control plane."""
_LEASE_MARGIN = timedelta(seconds=40)
"""A lease may be given this long after a node was last written down as seen: the pause between two such writes, the
time in which a call counts as answered lately, that of the call itself, and that in which engines end."""


@dataclass(frozen=True, slots=True)
class NodesSeen:
    """One observation: what agents report, what the store knows, and since when anybody looks."""

    reports: tuple[NodeStatus, ...]
    known: tuple[Node, ...]
    looking_since: datetime
    dead: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Keep:
    """Write what an agent reports."""

    node_id: str
    status: NodeStatus = field(hash=False)
    joined: bool = False
    """Whether it joined over the network: such a node is known before it reports, and not any more once removed."""


@dataclass(frozen=True, slots=True)
class MarkLost:
    """A node has been silent for too long."""

    node_id: str
    name: str
    reason: str = f"Its agent has not answered for {LOST_AFTER.total_seconds():.0f} s."


NodeAction = Keep | MarkLost


AgentOf = Callable[[str], AgentAddress]
"""How the agent at the address of a joined node is reached."""


class NodeReconciler:
    """The owner of every node's status. With `agent_of` the runner is told of nodes that joined over the network."""

    name = "nodes"
    interval_seconds = 1.0
    bells: Sequence[str] = ("runner",)

    def __init__(
        self, database: Database, runner: Runner, clock: Clock, bell: Bell, agent_of: AgentOf | None = None
    ) -> None:
        self._agent_of = agent_of
        self._database = database
        self._runner = runner
        self._clock = clock
        self._bell = bell
        self._looking_since: datetime | None = None

    async def observe(self) -> NodesSeen:
        """Asks every agent of the runner."""
        if self._looking_since is None:
            self._looking_since = self._clock.now()
            async with self._database.transaction() as tx:
                await Pools(tx).ensure_default(self._looking_since)
        await self._tell_runner()
        reports = await self._runner.nodes()
        async with self._database.snapshot() as tx:
            known = await Nodes(tx).all()
        dead = self._runner.dead() if isinstance(self._runner, KnowsDeadNodes) else {}
        return NodesSeen(tuple(reports), tuple(known), self._looking_since, dead)

    async def _tell_runner(self) -> None:
        if self._agent_of is not None and isinstance(self._runner, TakesAgents):
            async with self._database.snapshot() as tx:
                nodes = await Nodes(tx).all()
            self._runner.set_agents([self._agent_of(node.address) for node in nodes if is_mutual(node.address)])

    def decide(self, world: NodesSeen, now: datetime) -> Sequence[NodeAction]:
        """What is new is kept; a node is lost when nobody heard of it for too long while somebody looked."""
        known = {node.id: node for node in world.known}
        actions: list[NodeAction] = [
            Keep(status.node_id, status, _joined(known.get(status.node_id)))
            for status in world.reports
            if _worth_keeping(status, known.get(status.node_id), now)
        ]
        answered = {status.node_id for status in world.reports}
        for node in world.known:
            heard = max(node.seen_at or world.looking_since, world.looking_since)
            if node.id in answered or node.state == NodeState.LOST:
                continue
            if now - heard > LOST_AFTER:
                actions.append(MarkLost(node.id, node.name))
            elif node.id in world.dead:
                reason = f"Ray says that it died ({world.dead[node.id]}), and its agent does not answer."
                actions.append(MarkLost(node.id, node.name, reason))
        return actions

    async def act(self, action: NodeAction) -> None:
        """Writes it; again changes nothing."""
        now = self._clock.now()
        async with self._database.transaction() as tx:
            if isinstance(action, Keep):
                before = await Nodes(tx).seen(action.status, now, pool=DEFAULT_POOL, new=not action.joined)
                news = {None: "joined", NodeState.LOST: "back"}.get(before, "")
                name = action.status.hostname
            else:
                news = "lost" if await Nodes(tx).mark_lost(action.node_id, action.reason) else ""
                name = action.name
            if news:
                texts = {"joined": "joined the platform", "back": "answers again", "lost": "does not answer"}
                severity = "error" if news == "lost" else "info"
                text = f"Node {name} {texts[news]}."
                await Events(tx).note(now, f"node.{news}", "node", name, text, severity=severity)
        self._bell.ring("node", action.node_id)

    async def failed(self, action: NodeAction | None, failure: Failure) -> None:
        """An agent that answers nonsense is an event; one that is silent becomes lost by itself."""
        async with self._database.transaction() as tx:
            if failure.attempts == 1:
                await Events(tx).note(
                    self._clock.now(), "node.unreadable", "node", "", failure.message, severity="warning"
                )

    async def recovered(self, action: NodeAction | None) -> None:
        """Nothing to take back: the report that went through says all."""


def _joined(node: Node | None) -> bool:
    return node is not None and is_mutual(node.address)


def has_fenced_itself(node: Node, lease: timedelta, now: datetime) -> bool:
    """Whether a silent node is a joined one whose lease has surely run out."""
    return _joined(node) and node.seen_at is not None and now - node.seen_at > lease + _LEASE_MARGIN


def _worth_keeping(status: NodeStatus, node: Node | None, now: datetime) -> bool:
    """News at once; figures that always move, every few seconds."""
    if node is None or node.status is None or node.state == NodeState.LOST or node.seen_at is None:
        return True
    return now - node.seen_at >= _WRITE_EVERY or _lasting(status) != _lasting(node.status)


def _lasting(status: NodeStatus) -> tuple[object, ...]:
    devices = [(item.device_id, item.health, item.memory_bytes) for item in status.accelerators]
    return (status.hostname, status.memory_bytes, devices, status.environments, status.model_digests)
