"""Reservations: accelerators that only one project may have for a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta

from aicp.core.access import Caller
from aicp.core.bell import Bell
from aicp.core.clock import Clock
from aicp.core.errors import ConflictError, InvalidError
from aicp.core.identity import Permission
from aicp.core.ids import new_id
from aicp.core.pool_change import Reservation, ReservationCreate, ReservedAccelerator
from aicp.core.value import Page
from aicp.scheduler.placement import CPU, Device, NodeCapacity, Snapshot
from aicp.store.database import Database, Transaction
from aicp.store.events import Events
from aicp.store.pools import Pools, with_priorities
from aicp.store.projects import Projects
from aicp.store.reservations import Reservations as StoredReservations
from aicp.store.reservations import StoredReservation
from aicp.store.services import Services

_KEPT = timedelta(days=30)
_Key = tuple[str, str, str]


class Reservations:
    """Use cases over reservations."""

    def __init__(self, database: Database, clock: Clock, bell: Bell) -> None:
        self._database = database
        self._clock = clock
        self._bell = bell

    async def list(self, caller: Caller, pool: str | None = None) -> Page[Reservation]:
        """Reservations that have not ended, of projects that the caller may see."""
        caller.require(Permission.NODE_READ)
        now = self._clock.now()
        visible = caller.visible_projects(Permission.SERVICE_READ)
        async with self._database.snapshot() as tx:
            snapshot = await _snapshot(tx)
            found = [
                _shown(item, snapshot, now)
                for item in await StoredReservations(tx).list(now)
                if pool in (None, item.pool) and (visible is None or item.project in visible)
            ]
        return Page(items=found, total=len(found), limit=max(len(found), 1))

    async def create(self, caller: Caller, wanted: ReservationCreate) -> Reservation:
        """Chooses accelerators and keeps them for the project.

        Raises NotFoundError for an unknown pool, InvalidError for what can never be, ConflictError when there are not
        as many at that time.
        """
        caller.require(Permission.NODE_WRITE)
        now = self._clock.now()
        starts_at = wanted.starts_at or now
        if wanted.ends_at <= max(now, starts_at):
            raise InvalidError(
                f"The reservation would end at {_say(wanted.ends_at)}, which is over.",
                hint="Give an end that lies after its start and after now.",
            )
        if wanted.vendor == CPU:
            raise InvalidError(
                "Processors are shared in time and cannot be reserved.", hint="Reserve accelerators of another vendor."
            )
        async with self._database.transaction() as tx:
            await Pools(tx).lock(wanted.pool)
            if await Projects(tx).find(wanted.project) is None:
                raise InvalidError(
                    f"There is no project {wanted.project!r}.", hint="`aicp project list` shows those that exist."
                )
            await StoredReservations(tx).forget(now - _KEPT)
            others = await StoredReservations(tx).list(now)
            snapshot = await _snapshot(tx)
            taken = {device for item in others if item.overlaps(starts_at, wanted.ends_at) for device in item.devices}
            devices = _choose(wanted, snapshot, taken, at_once=starts_at <= now)
            item = StoredReservation(
                id=new_id("rsv"),
                pool=wanted.pool,
                project=wanted.project,
                devices=tuple(devices),
                starts_at=starts_at,
                ends_at=wanted.ends_at,
                created_by=caller.user,
                created_at=now,
                note=wanted.note,
            )
            await StoredReservations(tx).add(item)
            count, project, start, end = len(devices), item.project, _say(starts_at), _say(item.ends_at)
            message = f"{count} accelerators for project {project} from {start} to {end}."
            await Events(tx).audit(caller, now, "reservation.create", "pool", item.pool, message=message)
        self._bell.ring("pool", item.pool)
        self._bell.ring("node")
        return _shown(item, snapshot, now)

    async def remove(self, caller: Caller, reservation_id: str) -> None:
        """Ends a reservation; what runs there goes on. Raises NotFoundError."""
        caller.require(Permission.NODE_WRITE)
        now = self._clock.now()
        async with self._database.transaction() as tx:
            item = await StoredReservations(tx).get(reservation_id)
            await StoredReservations(tx).remove(item.id)
            project = item.project
            message = f"The reservation {reservation_id} of project {project} is taken away."
            await Events(tx).audit(caller, now, "reservation.delete", "pool", item.pool, message=message)
        self._bell.ring("pool", item.pool)
        self._bell.ring("node")


def _say(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


async def _snapshot(tx: Transaction) -> Snapshot:
    return with_priorities(await Pools(tx).snapshot(), await Services(tx).all())


def _choose(wanted: ReservationCreate, snapshot: Snapshot, taken: Collection[_Key], *, at_once: bool) -> Sequence[_Key]:
    """Free accelerators first, then the project's own, then, for a later time, those of others."""
    holders = _holders(snapshot)
    fitting: list[tuple[bool, int, str, int, _Key]] = []
    reserved = held = away = 0
    for node, device in _devices(wanted, snapshot):
        key = (node.id, device.vendor, device.device_id)
        others = len(holders.get(key, set()) - {wanted.project})
        if key in taken:
            reserved += 1
        elif at_once and node.unschedulable is not None:
            away += 1
        elif at_once and others:
            held += 1
        else:
            order = 2 if others else 1 if key in holders else 0
            fitting.append((node.unschedulable is not None, order, node.name, device.index, key))
    pool, asked, found = wanted.pool, wanted.accelerators, len(fitting)
    if not (fitting or reserved or held or away) and (wanted.vendor or wanted.product):
        kinds = {f"{device.product} ({device.vendor})" for node in snapshot.nodes if node.pool == pool
                 for device in node.devices if device.vendor != CPU}  # fmt: skip
        kind = " ".join(word for word in (wanted.vendor, wanted.product) if word)
        raise InvalidError(
            f"Pool {pool!r} has no accelerator {kind}.", hint=f"It has: {', '.join(sorted(kinds)) or 'none'}."
        )
    if found < asked:
        raise ConflictError(
            f"Pool {pool!r} has {found} accelerators that fit and can be reserved then,"
            f" {asked} were asked; {reserved} are reserved already, {held} are held by others now and {away} are on"
            " nodes that take no replicas.",
            hint="Ask for fewer, or for a later time: what others run there can move until then.",
            code="not_enough",
        )
    return [key for *_, key in sorted(fitting)[:asked]]


def _devices(wanted: ReservationCreate, snapshot: Snapshot) -> list[tuple[NodeCapacity, Device]]:
    return [
        (node, device)
        for node in snapshot.nodes
        if node.pool == wanted.pool
        for device in node.devices
        if device.vendor != CPU
        and device.healthy
        and wanted.vendor in (None, device.vendor)
        and wanted.product in (None, device.product)
    ]


def _holders(snapshot: Snapshot) -> dict[_Key, set[str]]:
    """Projects that hold a part of each accelerator."""
    found: dict[_Key, set[str]] = {}
    for item in snapshot.commitments:
        for share in item.allocation.devices:
            found.setdefault((item.allocation.node_id, share.vendor, share.device_id), set()).add(item.project)
    return found


def _shown(item: StoredReservation, snapshot: Snapshot, now: datetime) -> Reservation:
    names = {node.id: node.name for node in snapshot.nodes}
    labels = {
        (node.id, device.vendor, device.device_id): device.label for node in snapshot.nodes for device in node.devices
    }
    holders: dict[_Key, int] = {}
    for held in snapshot.commitments:
        for share in held.allocation.devices if held.project != item.project else ():
            key = (held.allocation.node_id, share.vendor, share.device_id)
            holders[key] = holders.get(key, 0) + 1
    return Reservation(
        id=item.id,
        pool=item.pool,
        project=item.project,
        note=item.note,
        accelerators=[
            ReservedAccelerator(
                node_id=node,
                node=names.get(node, node),
                vendor=vendor,
                device_id=device,
                accelerator=labels.get((node, vendor, device), device),
                held_by_others=holders.get((node, vendor, device), 0),
            )
            for node, vendor, device in item.devices
        ],
        starts_at=item.starts_at,
        ends_at=item.ends_at,
        active=item.starts_at <= now < item.ends_at,
        created_by=item.created_by,
        created_at=item.created_at,
    )
