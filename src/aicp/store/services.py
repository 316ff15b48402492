"""Services: what users asked for, and what the reconcile loop says of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import String, Text, case, delete, func, literal, or_, select, update
from sqlalchemy.orm import Mapped, aliased, mapped_column

from aicp.core.errors import ConflictError, NotFoundError
from aicp.core.ids import new_id
from aicp.core.model import ModelType
from aicp.core.service import Condition, Service, ServiceSpec, ServiceState
from aicp.core.value import Page
from aicp.store.database import Base, Transaction
from aicp.store.revisions import RevisionRow
from aicp.store.scales import Scale, Scales


class ServiceRow(Base):
    """A published model. Intent columns are written by use cases, status columns by the reconcile loop alone."""

    __tablename__ = "services"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    project: Mapped[str] = mapped_column(String(63), index=True)
    description: Mapped[str] = mapped_column(Text, default="")
    type: Mapped[str] = mapped_column(String(20))
    visibility: Mapped[str] = mapped_column(String(10))
    stopped: Mapped[bool] = mapped_column(default=False)
    deleted_at: Mapped[datetime | None]
    generation: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    # status
    state: Mapped[str] = mapped_column(String(20), default=ServiceState.PENDING)
    reason: Mapped[str] = mapped_column(Text, default="")
    state_since: Mapped[datetime]
    observed_generation: Mapped[int] = mapped_column(default=0)
    serving_generation: Mapped[int | None]
    replicas_ready: Mapped[int] = mapped_column(default=0)
    replicas_wanted: Mapped[int] = mapped_column(default=0)
    conditions: Mapped[list[Any]] = mapped_column(default=list)


_SORTS: dict[str, Any] = {
    "name": ServiceRow.name,
    "state": ServiceRow.state,
    "model": RevisionRow.model_version,
    "replicas": ServiceRow.replicas_ready,
    "created_at": ServiceRow.created_at,
    "updated_at": ServiceRow.updated_at,
}


class Services:
    """Queries over services."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session
        self._scales = Scales(tx)

    async def create(
        self, name: str, project: str, description: str, kind: ModelType, spec: ServiceSpec, now: datetime
    ) -> str:
        """Adds a service at generation 1 and answers its id. The caller adds the revision."""
        row = ServiceRow(
            id=new_id("svc"),
            name=name,
            project=project,
            description=description,
            type=kind,
            visibility=spec.visibility,
            created_at=now,
            updated_at=now,
            state_since=now,
            state=ServiceState.PENDING,
            reason="Waiting for a replica",
            replicas_wanted=spec.replicas,
        )
        self._session.add(row)
        await self._session.flush()
        return row.id

    async def find(self, name: str) -> Service | None:
        """The service `name`, also one that is being deleted."""
        found = await self._load(select(ServiceRow).where(ServiceRow.name == name))
        return found[0] if found else None

    async def get(self, name: str) -> Service:
        """The service `name`. Raises NotFoundError."""
        service = await self.find(name)
        if service is None:
            raise NotFoundError(f"There is no service {name!r}.", hint="`aicp service list` shows those that exist.")
        return service

    async def all(self) -> list[Service]:
        """Every service, oldest first."""
        return await self._load(select(ServiceRow).order_by(ServiceRow.created_at, ServiceRow.id))

    async def scaling(self) -> list[Service]:
        """Services that scale themselves now."""
        most = RevisionRow.spec[("autoscale", "max_replicas")].as_integer()
        ever = select(RevisionRow.service_id).where(most.is_not(None))
        found = await self._load(select(ServiceRow).where(ServiceRow.id.in_(ever)).order_by(ServiceRow.id))
        return [service for service in found if service.spec.autoscale is not None]

    async def list(
        self,
        *,
        projects: Collection[str] | None = None,
        project: str | None = None,
        state: str | None = None,
        mode: str | None = None,
        search: str | None = None,
        sort: str = "name",
        ranks: Mapping[str, float] | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> Page[Service]:
        """One page. `projects` limits to services of these projects and public ones (None: all).

        With `ranks`, values by name (others: 0), these order and `sort` says only whether they fall.
        """
        other = aliased(RevisionRow)
        current = (
            select(func.max(other.generation))
            .where(other.service_id == ServiceRow.id, other.outcome != "rolled_back")
            .correlate(ServiceRow)
            .scalar_subquery()
        )
        query = select(ServiceRow).outerjoin(
            RevisionRow, (RevisionRow.service_id == ServiceRow.id) & (RevisionRow.generation == current)
        )
        if projects is not None:
            query = query.where(ServiceRow.project.in_(projects) | (ServiceRow.visibility == "public"))
        if project is not None:
            query = query.where(ServiceRow.project == project)
        if state is not None:
            query = query.where(ServiceRow.state == state)
        if mode is not None:
            query = query.where(RevisionRow.spec["mode"].as_string() == mode)
        for word in (search or "").split():
            places = (ServiceRow.name, ServiceRow.description, RevisionRow.model_version, RevisionRow.engine)
            query = query.where(or_(*(place.icontains(word, autoescape=True) for place in places)))
        total = await self._session.scalar(select(func.count()).select_from(query.subquery()))
        column = _SORTS.get(sort.removeprefix("-"), ServiceRow.name)
        if ranks is not None:
            column = case(dict(ranks), value=ServiceRow.name, else_=0.0) if ranks else literal(0)
        order = column.desc() if sort.startswith("-") else column.asc()
        items = await self._load(query.order_by(order, ServiceRow.name).offset(offset).limit(limit))
        return Page(items=items, total=total or 0, offset=offset, limit=limit)

    async def names(self) -> dict[str, str]:
        """Service id -> name."""
        rows = await self._session.execute(select(ServiceRow.id, ServiceRow.name))
        return dict(rows.all())

    async def deleted(self) -> set[str]:
        """Ids of services that are being deleted."""
        return set(await self._session.scalars(select(ServiceRow.id).where(ServiceRow.deleted_at.is_not(None))))

    async def since(self, service_ids: Collection[str]) -> dict[str, datetime]:
        """Since when each service is in its state."""
        rows = await self._session.execute(
            select(ServiceRow.id, ServiceRow.state_since).where(ServiceRow.id.in_(service_ids))
        )
        return dict(rows.all())

    async def advance(self, service: Service, now: datetime, *, spec: ServiceSpec, stopped: bool | None = None) -> int:
        """Moves intent to the next generation and answers it. Raises ConflictError when someone else was faster."""
        values: dict[str, Any] = {"generation": service.generation + 1, "visibility": spec.visibility}
        if stopped is not None:
            values["stopped"] = stopped
        await self._guarded(service, now, values)
        return service.generation + 1

    async def change(
        self,
        service: Service,
        now: datetime,
        *,
        description: str | None = None,
        deleted: bool = False,
    ) -> None:
        """Changes what is no generation of its own. Raises ConflictError when someone else was faster."""
        values: dict[str, Any] = {} if description is None else {"description": description}
        if deleted:
            values["deleted_at"] = now
        await self._guarded(service, now, values)

    async def report(
        self,
        service_id: str,
        now: datetime,
        *,
        state: ServiceState,
        reason: str,
        ready: int,
        wanted: int,
        observed_generation: int,
        conditions: Sequence[Condition],
    ) -> None:
        """Writes the status. The reconcile loop is its one owner."""
        row = await self._session.get(ServiceRow, service_id)
        if row is None:
            return
        if row.state != state:
            row.state_since = now
        row.state, row.reason = state, reason
        row.replicas_ready, row.replicas_wanted = ready, wanted
        row.observed_generation = observed_generation
        row.conditions = [condition.model_dump(mode="json") for condition in conditions]
        await self._session.flush()

    async def set_condition(self, service_id: str, condition: Condition) -> None:
        """Replaces the condition of the same type."""
        row = await self._session.get(ServiceRow, service_id)
        if row is not None:
            others = [item for item in row.conditions if item["type"] != condition.type]
            row.conditions = [*others, condition.model_dump(mode="json")]
            await self._session.flush()

    async def set_serving(self, service_id: str, generation: int) -> None:
        """Notes the newest revision that became ready."""
        await self._session.execute(
            update(ServiceRow).where(ServiceRow.id == service_id).values(serving_generation=generation)
        )

    async def remove(self, service_id: str) -> None:
        """Forgets a service with its revisions. Replica rows stay for their logs."""
        await self._session.execute(delete(RevisionRow).where(RevisionRow.service_id == service_id))
        await self._scales.forget(service_id)
        await self._session.execute(delete(ServiceRow).where(ServiceRow.id == service_id))

    async def _guarded(self, service: Service, now: datetime, values: dict[str, Any]) -> None:
        found = await self._session.scalars(
            update(ServiceRow)
            .where(
                ServiceRow.id == service.id,
                ServiceRow.generation == service.generation,
                ServiceRow.deleted_at.is_(None),
            )
            .values(updated_at=now, **values)
            .returning(ServiceRow.id)
        )
        if found.first() is None:
            raise ConflictError(
                f"Service {service.name!r} was changed or deleted by someone else at the same moment.",
                hint="Look at it again, then repeat the change.",
            )

    async def _load(self, query: Any) -> list[Service]:
        rows: Sequence[ServiceRow] = (await self._session.scalars(query)).all()
        newest = await self._newest_revisions([row.id for row in rows])
        scales = await self._scales.all([row.id for row in rows])
        return [_service(row, newest[row.id], scales.get(row.id)) for row in rows if row.id in newest]

    async def _newest_revisions(self, service_ids: list[str]) -> dict[str, RevisionRow]:
        rows = await self._session.scalars(
            select(RevisionRow)
            .where(RevisionRow.service_id.in_(service_ids), RevisionRow.outcome != "rolled_back")
            .order_by(RevisionRow.generation)
        )
        return {row.service_id: row for row in rows}


def _service(row: ServiceRow, revision: RevisionRow, scale: Scale | None) -> Service:
    return Service(
        id=row.id,
        name=row.name,
        project=row.project,
        description=row.description,
        type=ModelType(row.type),
        spec=ServiceSpec.model_validate(revision.spec),
        model_version=revision.model_version,
        engine=revision.engine,
        engine_version=revision.engine_version,
        stopped=row.stopped,
        state=ServiceState(row.state),
        reason=row.reason,
        generation=row.generation,
        observed_generation=row.observed_generation,
        serving_generation=row.serving_generation,
        replicas_ready=row.replicas_ready,
        replicas_wanted=row.replicas_wanted,
        scale=scale.status() if scale else None,
        conditions=[Condition.model_validate(item) for item in row.conditions],
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
