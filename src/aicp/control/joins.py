"""How machines become nodes: tokens for people, certificates for those who show one, and who is still let in."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from aicp.core.access import Caller
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import ConflictError, InvalidError, TooManyRequestsError, UnauthorizedError
from aicp.core.identity import Permission
from aicp.core.join import (
    Joined,
    JoinRequest,
    JoinToken,
    JoinTokenCreate,
    JoinTokenCreated,
    JoinTokenPage,
    RayAdmission,
)
from aicp.core.join_token import JoinTokenText, make_join_token, read_join_token
from aicp.core.mutual import MutualAddress, is_mutual, node_name, parse_mutual
from aicp.core.node import Node, NodeState
from aicp.security.authority import NODE, NODE_DAYS, Authority
from aicp.store.database import Database, Transaction
from aicp.store.events import Events
from aicp.store.join_tokens import JoinTokens
from aicp.store.nodes import Nodes
from aicp.store.pools import DEFAULT_POOL
from aicp.store.pools import Pools as StoredPools

_KEPT = timedelta(days=30)
"""Ended tokens are shown for so long."""
_NEW_TOKEN = "Make a new one with `aicp node token` on the platform."
_ATTEMPTS, _WITHIN_SECONDS, _MOST_ADDRESSES = 20, 60.0, 10_000


class RayDoor(Protocol):
    """Who is a member of Ray, where Ray starts agents."""

    def admit(self, address: str) -> RayAdmission:
        """Makes the machine at an address a member. Raises InvalidError, ConflictError where Ray cannot reach it."""
        ...

    def authority(self) -> str:
        """By whose certificates (PEM) members know each other now."""
        ...

    def expect(self, *, removal: bool) -> None:
        """Notes that a member is about to be removed, so that a crash before `expel` is made up for at the next start;
        or that none is."""
        ...

    def expel(self) -> None:
        """Has all of Ray take papers of another authority, which only nodes get."""
        ...


@dataclass(frozen=True, slots=True)
class Cluster:
    """The door for nodes: who signs, by which address it is reached, how long a node may serve alone; Ray's, too."""

    authority: Authority
    address: str
    lease_seconds: float
    ray: RayDoor | None = None


class Joins:
    """Use cases of joining. `cluster` is None while the platform takes no further machines."""

    def __init__(self, database: Database, clock: Clock, bell: Bell, cluster: Cluster | None) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell
        self._cluster = cluster
        self._guard = JoinGuard(clock)

    async def tokens(self, caller: Caller, *, offset: int = 0, limit: int = 100) -> JoinTokenPage:
        """Tokens without their texts, newest first, and where machines join with them."""
        caller.require_everywhere(Permission.NODE_WRITE)
        async with self._database.snapshot() as tx:
            page = await JoinTokens(tx).list(offset=offset, limit=limit)
        address = None if self._cluster is None else self._cluster.address
        return JoinTokenPage(items=page.items, total=page.total, offset=page.offset, limit=page.limit, address=address)

    async def create_token(self, caller: Caller, wanted: JoinTokenCreate) -> JoinTokenCreated:
        """A token whose text is shown this once. Raises ConflictError while no machine can join, NotFoundError for a
        pool that there is not."""
        caller.require_everywhere(Permission.NODE_WRITE)
        cluster, now = self._open(), self._clock.now()
        text = make_join_token(cluster.authority.fingerprint)
        token = JoinToken(
            id=text.id,
            created_by=caller.user,
            created_at=now,
            expires_at=now + timedelta(hours=wanted.hours),
            uses=wanted.uses,
            uses_left=wanted.uses,
            pool=wanted.pool,
            labels=wanted.labels,
        )
        async with self._database.transaction() as tx:
            if wanted.pool is not None:
                await StoredPools(tx).get(wanted.pool)
            await JoinTokens(tx).forget(now - _KEPT)
            await JoinTokens(tx).add(token, text.digest())
            said = {"uses": wanted.uses, "hours": wanted.hours, "pool": wanted.pool}
            await Events(tx).audit(caller, now, "join_token.create", "join_token", token.id, details=said)
        self._bell.ring("join_token", token.id)
        return JoinTokenCreated(join_token=token, token=str(text), address=cluster.address)

    async def remove_token(self, caller: Caller, token_id: str) -> None:
        """Takes a token away; nodes that joined with it stay."""
        caller.require_everywhere(Permission.NODE_WRITE)
        async with self._database.transaction() as tx:
            await JoinTokens(tx).remove(token_id)
            await Events(tx).audit(caller, self._clock.now(), "join_token.remove", "join_token", token_id)
        self._bell.ring("join_token", token_id)

    async def join(self, token: str | None, asked: JoinRequest | None, address: str) -> Joined:
        """Makes a machine a node. Raises UnauthorizedError for a token that does not hold, ConflictError for an id that
        another node has, TooManyRequestsError for too many attempts from one address."""
        cluster = self._open()
        self._guard.count(address)
        if not token or asked is None:
            raise UnauthorizedError(
                "A machine joins with a join token.",
                hint=_NEW_TOKEN,
                code="join_token_missing",
                details={"authority": cluster.authority.certificate_pem},
            )
        text = read_join_token(token)
        if text is None:
            raise UnauthorizedError("This is no join token; perhaps it was cut.", hint="Copy the whole of it.")
        host, now = asked.host or address, self._clock.now()
        where = str(MutualAddress(node_name(asked.node_id), host, asked.port))
        certificate = self._sign(cluster, asked.node_id, asked.request)
        async with self._database.transaction() as tx:
            granted = await self._take(tx, text)
            await _require_free(tx, asked.node_id)
            pool = granted.pool or DEFAULT_POOL
            await StoredPools(tx).ensure_default(now)
            await Nodes(tx).join(asked.node_id, asked.hostname, where, now, pool=pool, labels=granted.labels)
            ray = cluster.ray.admit(host) if cluster.ray else None  # where that is refused, the token is not used up
            said = f"Node {asked.hostname} joined the platform from {host} with token {granted.id}."
            by = {"token": granted.id, "node_id": asked.node_id}
            await Events(tx).note(now, "node.joined", "node", asked.hostname, said, details=by)
        self._bell.ring("node", asked.node_id)
        self._bell.ring("join_token", granted.id)
        return Joined(
            certificate=certificate,
            authority=cluster.authority.certificate_pem,
            node_id=asked.node_id,
            host=host,
            lease_seconds=cluster.lease_seconds,
            ray=ray,
        )

    async def renew(self, identity: str | None, request: str) -> str:
        """A new certificate for a node whose present one holds."""
        node = await self.member(identity)
        return self._sign(self._open(), node.id, request)

    async def ray_papers(self, identity: str | None, authority: str) -> RayAdmission | None:
        """New papers for a node that is a member of Ray by an authority that is so no more; None for another one."""
        node = await self.member(identity)
        ray = self._open().ray
        if ray is None or await asyncio.to_thread(ray.authority) == authority:
            return None
        papers = await asyncio.to_thread(ray.admit, parse_mutual(node.address).host)
        await self.member(identity)  # it may have been removed meanwhile, and what was made is of the new authority
        return papers

    async def member(self, identity: str | None) -> Node:
        """The node that a caller proved to be. Raises UnauthorizedError for others, and for one that was removed."""
        if identity is None or not identity.startswith(NODE):
            raise UnauthorizedError("This address is for the platform's own nodes.")
        async with self._database.snapshot() as tx:
            node = await Nodes(tx).find(identity.removeprefix(NODE))
        if node is None or not is_mutual(node.address) or node.id != identity.removeprefix(NODE):
            raise UnauthorizedError(
                "This node was removed from the platform.",
                hint="Run `aicp node leave` there, then join again with a new token.",
                code="node_removed",
            )
        return node

    def _open(self) -> Cluster:
        if self._cluster is None:
            raise ConflictError(
                "This platform takes no further machines: it does not listen for them.",
                hint="Start it with `aicp up --cluster HOST:PORT`, an address that the machines can reach.",
                code="cluster_closed",
            )
        return self._cluster

    async def _take(self, tx: Transaction, text: JoinTokenText) -> JoinToken:
        found = await JoinTokens(tx).find(text.id)
        now = self._clock.now()
        if found is None or not text.fits(found[1]):
            raise UnauthorizedError(
                "This join token is not known: it was removed, or is another platform's.", hint=_NEW_TOKEN
            )
        token, _ = found
        if now >= token.expires_at:
            raise UnauthorizedError(f"This join token ended at {token.expires_at:%Y-%m-%d %H:%M} UTC.", hint=_NEW_TOKEN)
        if not await JoinTokens(tx).use(token.id, now):
            raise UnauthorizedError(
                f"This join token was for {token.uses} machine(s), and all have joined.", hint=_NEW_TOKEN
            )
        return token

    @staticmethod
    def _sign(cluster: Cluster, node_id: str, request: str) -> str:
        name = node_name(node_id)
        try:
            return cluster.authority.sign(request, NODE + node_id, [name, f"*.{name}"], NODE_DAYS)
        except ValueError as error:
            raise InvalidError(f"The certificate request cannot be signed: {error}.") from error


async def _require_free(tx: Transaction, node_id: str) -> None:
    known = next((node for node in await Nodes(tx).all() if node.id == node_id), None)
    if known is None or (is_mutual(known.address) and known.state == NodeState.LOST):
        return
    raise ConflictError(
        f"The platform has a node of the id {node_id} already, called {known.name!r}.",
        hint="Machines that were copied have one data directory: choose an empty one with --data-dir. A node that "
        "left can join again when it is shown as lost, or removed with `aicp node rm`.",
        code="node_exists",
    )


class JoinGuard:
    """Counts attempts by address: who guesses tokens, or floods the door, has to wait."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._attempts: dict[str, deque[float]] = {}

    def count(self, address: str) -> None:
        """Raises TooManyRequestsError beyond 20 attempts within a minute."""
        now = self._clock.monotonic()
        if len(self._attempts) > _MOST_ADDRESSES:
            self._attempts = {key: times for key, times in self._attempts.items() if now - times[-1] < _WITHIN_SECONDS}
        times = self._attempts.setdefault(address, deque(maxlen=_ATTEMPTS))
        if len(times) == _ATTEMPTS and now - times[0] < _WITHIN_SECONDS:
            seconds = int(_WITHIN_SECONDS - (now - times[0])) + 1
            raise TooManyRequestsError(
                f"Too many attempts to join from this address. Try again in {seconds} s.",
                details={"retry_after_seconds": seconds},
            )
        times.append(now)
