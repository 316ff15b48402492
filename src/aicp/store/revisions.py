"""Revisions: every generation of a service's intent with the plan that was made for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Index, String, Text, func, select, update
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.errors import NotFoundError
from aicp.core.model import ModelType, ModelVersion
from aicp.core.service import Choice, Plan, ServiceRevision, ServiceSpec
from aicp.core.value import Page
from aicp.scheduler.placement import Requirement
from aicp.store.database import Base, Transaction

PENDING, READY, ROLLED_BACK = "pending", "ready", "rolled_back"
_REQUIREMENT = TypeAdapter(Requirement)


class RevisionRow(Base):
    """One generation. The model version is kept whole: it is immutable, and a launch needs nothing else."""

    __tablename__ = "service_revisions"
    __table_args__ = (
        Index("ix_service_revisions_model", "model"),
        Index("ix_service_revisions_engine", "engine", "engine_version"),
    )

    service_id: Mapped[str] = mapped_column(String(40), primary_key=True)
    generation: Mapped[int] = mapped_column(primary_key=True)
    template: Mapped[int]
    spec: Mapped[dict[str, Any]]
    type: Mapped[str] = mapped_column(String(20))
    model: Mapped[str] = mapped_column(String(63))
    model_version: Mapped[str] = mapped_column(String(130))
    version_id: Mapped[str] = mapped_column(String(40), index=True)
    version: Mapped[dict[str, Any]]
    engine: Mapped[str] = mapped_column(String(63))
    engine_version: Mapped[str] = mapped_column(String(63))
    requirement: Mapped[dict[str, Any]]
    plan: Mapped[dict[str, Any]]
    outcome: Mapped[str] = mapped_column(String(12), default=PENDING)
    outcome_reason: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime]
    created_by: Mapped[str | None] = mapped_column(String(100))


@dataclass(frozen=True, slots=True)
class Revision:
    """A revision with all that a launch needs. Replicas run under `template`, the first generation of this shape."""

    service_id: str
    generation: int
    template: int
    spec: ServiceSpec
    type: ModelType
    version: ModelVersion
    requirement: Requirement
    plan: Plan
    outcome: str = PENDING
    outcome_reason: str = ""
    created_by: str | None = None


def copy_revision(
    source: Revision, generation: int, template: int, spec: ServiceSpec, user: str | None, outcome: str
) -> Revision:
    """`source` again under another generation, for the same or another number of replicas."""
    choices = source.plan.choices
    if spec.replicas != source.plan.replicas:
        asked = Choice(name="replicas", value=spec.replicas, chosen_by="user", reason="asked for")
        choices = [asked if choice.name == "replicas" else choice for choice in choices]
    return Revision(
        service_id=source.service_id,
        generation=generation,
        template=template,
        spec=spec,
        type=source.type,
        version=source.version,
        requirement=source.requirement,
        plan=source.plan.model_copy(update={"replicas": spec.replicas, "choices": choices}),
        outcome=outcome,
        created_by=user,
    )


def rescaled_revision(current: Revision, given_up: Revision, generation: int, why: str) -> Revision | None:
    """`current`, which is in force again, scaled as `given_up` was; None where both scale alike.

    `why` says that the other was rolled back; it stands in the new one as its outcome's reason.
    """
    scaling = {"replicas": given_up.spec.replicas, "autoscale": given_up.spec.autoscale}
    spec = current.spec.model_copy(update=scaling)
    if spec == current.spec:
        return None
    copied = copy_revision(current, generation, current.template, spec, given_up.created_by, current.outcome)
    return replace(copied, outcome_reason=why)


@dataclass(frozen=True, slots=True)
class Use:
    """What a service runs, or ran before its last change and may go back to."""

    service_id: str
    version_id: str
    engine: str
    engine_version: str


class Revisions:
    """Queries over revisions."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def add(self, revision: Revision, now: datetime) -> None:
        """Keeps a new generation."""
        self._session.add(
            RevisionRow(
                service_id=revision.service_id,
                generation=revision.generation,
                template=revision.template,
                spec=revision.spec.model_dump(mode="json"),
                type=revision.type,
                model=revision.version.model,
                model_version=f"{revision.version.model}:{revision.version.version}",
                version_id=revision.version.id,
                version=revision.version.model_dump(mode="json"),
                engine=revision.plan.engine,
                engine_version=revision.plan.engine_version,
                requirement=_REQUIREMENT.dump_python(revision.requirement, mode="json"),
                plan=revision.plan.model_dump(mode="json"),
                outcome=revision.outcome,
                outcome_reason=revision.outcome_reason,
                created_at=now,
                created_by=revision.created_by,
            )
        )
        await self._session.flush()

    async def get(self, service_id: str, generation: int) -> Revision:
        """One generation. Raises NotFoundError."""
        row = await self._session.get(RevisionRow, (service_id, generation))
        if row is None:
            raise NotFoundError(f"There is no revision {generation}.")
        return _revision(row)

    async def newest(self, service_id: str | None = None) -> dict[str, list[Revision]]:
        """The newest revision of each template of each service, newest first, without those rolled back."""
        rank = (
            func.row_number()
            .over(partition_by=(RevisionRow.service_id, RevisionRow.template), order_by=RevisionRow.generation.desc())
            .label("rank")
        )
        ranked = select(RevisionRow.service_id, RevisionRow.generation, rank).where(RevisionRow.outcome != ROLLED_BACK)
        if service_id is not None:
            ranked = ranked.where(RevisionRow.service_id == service_id)
        newest = ranked.subquery()
        query = (
            select(RevisionRow)
            .join(
                newest,
                (RevisionRow.service_id == newest.c.service_id) & (RevisionRow.generation == newest.c.generation),
            )
            .where(newest.c.rank == 1)
            .order_by(RevisionRow.generation.desc())
        )
        found: dict[str, list[Revision]] = {}
        for row in await self._session.scalars(query):
            found.setdefault(row.service_id, []).append(_revision(row))
        return found

    async def rolled_back(self) -> dict[str, tuple[int, str]]:
        """The newest revision of each service that was rolled back: its generation and why."""
        rows = await self._session.execute(
            select(RevisionRow.service_id, RevisionRow.generation, RevisionRow.outcome_reason)
            .where(RevisionRow.outcome == ROLLED_BACK)
            .order_by(RevisionRow.generation)
        )
        return {service_id: (generation, reason) for service_id, generation, reason in rows}

    async def uses(self) -> list[Use]:
        """What the newest template and the one before it of each service need."""
        found: list[Use] = []
        for service_id, revisions in (await self.newest()).items():
            found.extend(
                Use(service_id, item.version.id, item.plan.engine, item.plan.engine_version) for item in revisions[:2]
            )
        return found

    async def list(self, service_id: str, *, offset: int = 0, limit: int = 100) -> Page[ServiceRevision]:
        """History, newest first."""
        query = select(RevisionRow).where(RevisionRow.service_id == service_id)
        total = await self._session.scalar(select(func.count()).select_from(query.subquery()))
        rows = await self._session.scalars(query.order_by(RevisionRow.generation.desc()).offset(offset).limit(limit))
        return Page(items=[_public(row) for row in rows], total=total or 0, offset=offset, limit=limit)

    async def settle(self, service_id: str, template: int, outcome: str, reason: str = "") -> int | None:
        """Ends the trial of all pending revisions of a template; answers the newest of them."""
        rows = await self._session.scalars(
            update(RevisionRow)
            .where(
                RevisionRow.service_id == service_id,
                RevisionRow.template == template,
                RevisionRow.outcome == PENDING,
            )
            .values(outcome=outcome, outcome_reason=reason)
            .returning(RevisionRow.generation)
        )
        return max(rows.all(), default=None)


def _revision(row: RevisionRow) -> Revision:
    return Revision(
        service_id=row.service_id,
        generation=row.generation,
        template=row.template,
        spec=ServiceSpec.model_validate(row.spec),
        type=ModelType(row.type),
        version=ModelVersion.model_validate(row.version),
        requirement=_REQUIREMENT.validate_python(row.requirement),
        plan=Plan.model_validate(row.plan),
        outcome=row.outcome,
        outcome_reason=row.outcome_reason,
        created_by=row.created_by,
    )


def _public(row: RevisionRow) -> ServiceRevision:
    return ServiceRevision(
        generation=row.generation,
        spec=ServiceSpec.model_validate(row.spec),
        model_version=row.model_version,
        plan=Plan.model_validate(row.plan),
        created_at=row.created_at,
        created_by=row.created_by,
        outcome=row.outcome,
    )
