"""Models, their immutable versions and the files these refer to."""

from __future__ import annotations

import builtins
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Select, String, Text, UniqueConstraint, func, or_, select
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.errors import ConflictError, NotFoundError
from aicp.core.ids import new_id
from aicp.core.model import Model, ModelCreate, ModelFile, ModelType, ModelUpdate, ModelVersion, Visibility
from aicp.core.value import Page
from aicp.store.database import Base, Transaction

LATEST = "latest"


class ModelRow(Base):
    """`type_found`: the type is to be taken from the first version. `next_number` names the next version."""

    __tablename__ = "models"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), unique=True)
    description: Mapped[str] = mapped_column(Text, default="")
    type: Mapped[str] = mapped_column(String(16))
    type_found: Mapped[bool] = mapped_column(default=False)
    visibility: Mapped[str] = mapped_column(String(16))
    project: Mapped[str] = mapped_column(String(63), index=True)
    aliases: Mapped[dict[str, Any]] = mapped_column(default=dict)
    latest_id: Mapped[str | None] = mapped_column(String(40))
    next_number: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ModelVersionRow(Base):
    """Never updated."""

    __tablename__ = "model_versions"
    __table_args__ = (UniqueConstraint("model_id", "version"),)

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id"), index=True)
    model: Mapped[str] = mapped_column(String(63))
    version: Mapped[str] = mapped_column(String(63))
    digest: Mapped[str] = mapped_column(String(64), index=True)
    format: Mapped[str] = mapped_column(String(16))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    weight_bytes: Mapped[int] = mapped_column(BigInteger)
    architecture: Mapped[dict[str, Any]]
    parameters: Mapped[int | None] = mapped_column(BigInteger)
    dtype: Mapped[str | None] = mapped_column(String(40))
    quantization: Mapped[str | None] = mapped_column(String(80))
    context_length: Mapped[int | None] = mapped_column(BigInteger)
    license: Mapped[str | None] = mapped_column(String(200))
    source: Mapped[str] = mapped_column(Text)
    lineage: Mapped[dict[str, Any]] = mapped_column(default=dict)
    notes: Mapped[list[Any]] = mapped_column(default=list)
    created_at: Mapped[datetime]
    created_by: Mapped[str | None] = mapped_column(String(100))


class ModelFileRow(Base):
    """A file of a version; what collection asks to know which blobs are in use."""

    __tablename__ = "model_files"

    version_id: Mapped[str] = mapped_column(ForeignKey("model_versions.id"), primary_key=True)
    path: Mapped[str] = mapped_column(String(1024), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)


class Models:
    """Queries over models and versions."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def create(self, body: ModelCreate, at: datetime) -> Model:
        """A new model without versions. Raises ConflictError for a name that is taken."""
        if await self._find_row(body.name) is not None:
            raise ConflictError(
                f"There is already a model {body.name!r}.", hint="Choose another name, or import a version into it."
            )
        row = ModelRow(
            id=new_id("mdl"),
            name=body.name,
            description=body.description,
            type=body.type or ModelType.CHAT,
            type_found=body.type is None,
            visibility=body.visibility,
            project=body.project,
            aliases={},
            next_number=1,
            created_at=at,
            updated_at=at,
        )
        self._session.add(row)
        await self._session.flush()
        return (await self._values([row]))[0]

    async def find(self, name: str) -> Model | None:
        """A model with its latest version, or None."""
        row = await self._find_row(name)
        return None if row is None else (await self._values([row]))[0]

    async def get(self, name: str) -> Model:
        """A model with its latest version. Raises NotFoundError."""
        return (await self._values([await self._row(name)]))[0]

    async def list(
        self,
        *,
        projects: Collection[str] | None = None,
        project: str | None = None,
        type: ModelType | None = None,
        search: str | None = None,
        sort: str = "name",
        offset: int = 0,
        limit: int = 100,
    ) -> Page[Model]:
        """Models that are public or of `projects` (None: all). `sort` is name, created_at, updated_at, `-` reverses."""
        query = select(ModelRow)
        if projects is not None:
            query = query.where(or_(ModelRow.visibility == Visibility.PUBLIC, ModelRow.project.in_(projects)))
        if project is not None:
            query = query.where(ModelRow.project == project)
        if type is not None:
            query = query.where(ModelRow.type == type)
        if search:
            found = ModelRow.name.icontains(search, autoescape=True)
            query = query.where(found | ModelRow.description.icontains(search, autoescape=True))
        total = await self._session.scalar(select(func.count()).select_from(query.subquery()))
        rows = await self._session.scalars(_sorted(query, sort).offset(offset).limit(limit))
        return Page(items=await self._values(list(rows)), total=total or 0, offset=offset, limit=limit)

    async def update(self, name: str, changes: ModelUpdate, at: datetime) -> Model:
        """Changes the given fields."""
        row = await self._row(name, lock=True)
        for field, value in changes.model_dump(exclude_none=True).items():
            setattr(row, field, value)
        if changes.type is not None:
            row.type_found = False
        row.updated_at = at
        await self._session.flush()
        return (await self._values([row]))[0]

    async def delete(self, name: str) -> None:
        """Removes a model without versions."""
        row = await self._row(name, lock=True)
        await self._session.delete(row)
        await self._session.flush()

    async def next_version(self, name: str) -> str:
        """The name that a version gets which is not named: v1, v2, ...; names are never used twice."""
        row = await self._row(name, lock=True)
        while f"v{row.next_number}" in row.aliases or await self._find_version(row, f"v{row.next_number}") is not None:
            row.next_number += 1
        return f"v{row.next_number}"

    async def add_version(self, version: ModelVersion, found_type: ModelType) -> None:
        """Adds a version and makes it the latest. Raises ConflictError for a name that is taken."""
        row = await self._row(version.model, lock=True)
        if version.version in row.aliases or await self._find_version(row, version.version) is not None:
            raise ConflictError(
                f"{version.model} already has a version or alias {version.version!r}; versions never change.",
                hint="Choose another version name.",
            )
        if version.version == f"v{row.next_number}":
            row.next_number += 1
        if row.type_found:
            row.type, row.type_found = found_type, False
        row.latest_id, row.updated_at = version.id, version.created_at
        fields = version.model_dump(exclude={"files"}) | {"architecture": version.architecture.model_dump(mode="json")}
        self._session.add(ModelVersionRow(model_id=row.id, **fields))
        await self._session.flush()
        self._session.add_all(ModelFileRow(version_id=version.id, **file.model_dump()) for file in version.files)
        await self._session.flush()

    async def versions(self, name: str, *, offset: int = 0, limit: int = 100) -> Page[ModelVersion]:
        """All versions of a model, newest first."""
        row = await self._row(name)
        query = select(ModelVersionRow).where(ModelVersionRow.model_id == row.id)
        total = await self._session.scalar(select(func.count()).select_from(query.subquery()))
        newest = query.order_by(ModelVersionRow.created_at.desc(), ModelVersionRow.id.desc())
        rows = await self._session.scalars(newest.offset(offset).limit(limit))
        return Page(items=await self._version_values(list(rows)), total=total or 0, offset=offset, limit=limit)

    async def version(self, name: str, version: str) -> ModelVersion:
        """A version by its name or an alias. Raises NotFoundError that lists what there is."""
        row = await self._row(name)
        found = await self._find_version(row, version)
        if found is None and version in row.aliases:
            found = await self._find_version(row, row.aliases[version])
        if found is None and version == LATEST and row.latest_id is not None:
            found = await self._session.get(ModelVersionRow, row.latest_id)
        if found is None:
            names = await self._session.scalars(
                select(ModelVersionRow.version).where(ModelVersionRow.model_id == row.id).limit(20)
            )
            known = ", ".join([*names, *row.aliases])
            raise NotFoundError(
                f"{name} has no version or alias {version!r}.",
                hint=f"Known: {known}." if known else "Import one first.",
            )
        return (await self._version_values([found]))[0]

    async def version_names(self, name: str) -> builtins.list[str]:
        """Names of all versions; empty for an unknown model."""
        return await self._version_column(ModelVersionRow.version, name)

    async def version_ids(self, name: str) -> builtins.list[str]:
        """Ids of all versions; empty for an unknown model."""
        return await self._version_column(ModelVersionRow.id, name)

    async def version_by_id(self, version_id: str) -> ModelVersion:
        """A version by its id. Raises NotFoundError."""
        row = await self._session.get(ModelVersionRow, version_id)
        if row is None:
            raise NotFoundError("There is no such model version.")
        return (await self._version_values([row]))[0]

    async def resolve(self, reference: str) -> tuple[Model, ModelVersion]:
        """`name`, `name:version` or `name:alias` as the model and its version (the latest when none is named)."""
        name, _, version = reference.partition(":")
        return await self.get(name), await self.version(name, version or LATEST)

    async def version_with_digest(self, name: str, digest: str) -> ModelVersion | None:
        """The newest version of a model with this content, or None."""
        row = await self._find_row(name)
        if row is None:
            return None
        query = select(ModelVersionRow).where(ModelVersionRow.model_id == row.id, ModelVersionRow.digest == digest)
        found = await self._session.scalar(query.order_by(ModelVersionRow.id.desc()).limit(1))
        return None if found is None else (await self._version_values([found]))[0]

    async def delete_version(self, name: str, version: str, at: datetime) -> ModelVersion:
        """Removes a version, aliases that point at it included; answers what it was."""
        row = await self._row(name, lock=True)
        value = await self.version(name, version)
        for file in await self._session.scalars(select(ModelFileRow).where(ModelFileRow.version_id == value.id)):
            await self._session.delete(file)
        await self._session.flush()
        await self._session.delete(await self._session.get_one(ModelVersionRow, value.id))
        await self._session.flush()
        newest = select(ModelVersionRow.id).where(ModelVersionRow.model_id == row.id)
        newest = newest.order_by(ModelVersionRow.created_at.desc(), ModelVersionRow.id.desc()).limit(1)
        row.latest_id = await self._session.scalar(newest)
        row.aliases = {alias: target for alias, target in row.aliases.items() if target != value.version}
        row.updated_at = at
        await self._session.flush()
        return value

    async def set_alias(self, name: str, alias: str, version: str | None, at: datetime) -> Model:
        """Points `alias` at a version; None removes it."""
        row = await self._row(name, lock=True)
        aliases = {key: value for key, value in row.aliases.items() if key != alias}
        if version is not None:
            aliases[alias] = version
        row.aliases, row.updated_at = aliases, at
        await self._session.flush()
        return (await self._values([row]))[0]

    async def referenced(self, digests: Collection[str] | None = None, *, visible_to: str | None = None) -> set[str]:
        """Digests of files that some version refers to; `digests` limits the answer, `visible_to` to what a project
        may see: public models and its own."""
        query = select(ModelFileRow.sha256).distinct()
        if visible_to is not None:
            query = query.join(ModelVersionRow, ModelVersionRow.id == ModelFileRow.version_id)
            query = query.join(ModelRow, ModelRow.id == ModelVersionRow.model_id)
            query = query.where(or_(ModelRow.visibility == Visibility.PUBLIC, ModelRow.project == visible_to))
        if digests is not None:
            query = query.where(ModelFileRow.sha256.in_(digests))
        return set(await self._session.scalars(query))

    async def _version_column(self, column: Any, name: str) -> builtins.list[str]:
        query = select(column).where(ModelVersionRow.model == name)
        return list(await self._session.scalars(query.order_by(ModelVersionRow.id)))

    async def _find_row(self, name: str) -> ModelRow | None:
        return await self._session.scalar(select(ModelRow).where(ModelRow.name == name))

    async def _row(self, name: str, *, lock: bool = False) -> ModelRow:
        query = select(ModelRow).where(ModelRow.name == name)
        row = await self._session.scalar(query.with_for_update() if lock else query)
        if row is None:
            raise NotFoundError(f"There is no model {name!r}.", hint="`aicp model list` shows the models.")
        return row

    async def _find_version(self, row: ModelRow, version: str) -> ModelVersionRow | None:
        query = select(ModelVersionRow).where(ModelVersionRow.model_id == row.id, ModelVersionRow.version == version)
        return await self._session.scalar(query)

    async def _values(self, rows: builtins.list[ModelRow]) -> builtins.list[Model]:
        latest_ids = [row.latest_id for row in rows if row.latest_id]
        found = await self._session.scalars(select(ModelVersionRow).where(ModelVersionRow.id.in_(latest_ids)))
        latest = {version.id: version for version in await self._version_values(list(found))}
        counts = await self._counts([row.id for row in rows])
        return [_model(row, latest.get(row.latest_id or ""), counts.get(row.id, 0)) for row in rows]

    async def _counts(self, model_ids: builtins.list[str]) -> Mapping[str, int]:
        query = select(ModelVersionRow.model_id, func.count()).where(ModelVersionRow.model_id.in_(model_ids))
        return {row[0]: row[1] for row in await self._session.execute(query.group_by(ModelVersionRow.model_id))}

    async def _version_values(self, rows: builtins.list[ModelVersionRow]) -> builtins.list[ModelVersion]:
        query = select(ModelFileRow).where(ModelFileRow.version_id.in_([row.id for row in rows]))
        files: dict[str, builtins.list[ModelFile]] = {row.id: [] for row in rows}
        for file in await self._session.scalars(query.order_by(ModelFileRow.path)):
            files[file.version_id].append(ModelFile(path=file.path, sha256=file.sha256, size_bytes=file.size_bytes))
        return [ModelVersion.model_validate({**_columns(row), "files": files[row.id]}) for row in rows]


def _columns(row: ModelVersionRow) -> dict[str, Any]:
    return {column.key: getattr(row, column.key) for column in ModelVersionRow.__table__.columns}


def _model(row: ModelRow, latest: ModelVersion | None, versions: int) -> Model:
    aliases = dict(row.aliases)
    if latest is not None:
        aliases[LATEST] = latest.version
    return Model(
        id=row.id,
        name=row.name,
        description=row.description,
        type=ModelType(row.type),
        visibility=Visibility(row.visibility),
        project=row.project,
        aliases=aliases,
        versions=versions,
        latest=latest,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _sorted(query: Select[ModelRow], sort: str) -> Select[ModelRow]:
    columns = {"name": ModelRow.name, "created_at": ModelRow.created_at, "updated_at": ModelRow.updated_at}
    column = columns.get(sort.removeprefix("-"), ModelRow.name)
    return query.order_by(column.desc() if sort.startswith("-") else column.asc(), ModelRow.id)
