"""Models and versions on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aicp.artifacts.digest import version_digest
from aicp.core.errors import ConflictError, NotFoundError
from aicp.core.ids import new_id
from aicp.core.model import (
    Architecture,
    ModelCreate,
    ModelFile,
    ModelFormat,
    ModelType,
    ModelUpdate,
    ModelVersion,
    Visibility,
)
from aicp.store.database import Database, Transaction
from aicp.store.models import Models

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def make_version(model: str, version: str, *, content: str = "a", age: int = 0) -> ModelVersion:
    files = [ModelFile(path="config.json", sha256=content * 64, size_bytes=2**40)]
    return ModelVersion(
        id=new_id("ver"),
        model=model,
        version=version,
        digest=version_digest(files),
        format=ModelFormat.SAFETENSORS,
        files=files,
        size_bytes=2**40,
        weight_bytes=2**40,
        architecture=Architecture(name="Qwen3ForCausalLM", config={"a": [1, {"b": None}]}),
        parameters=671_025_000_000,
        source="directory:/models/x",
        lineage={"job": "job_1"},
        notes=["left out x.py: code"],
        created_at=NOW + timedelta(seconds=age),
        created_by="admin",
    )


async def add(tx: Transaction, model: str, *versions: ModelVersion, found: ModelType = ModelType.CHAT) -> None:
    if await Models(tx).find(model) is None:
        await Models(tx).create(ModelCreate(name=model), NOW)
    for version in versions:
        await Models(tx).add_version(version, found)


async def test_version_comes_back_as_it_was(database: Database) -> None:
    version = make_version("m", "v1")
    async with database.transaction() as tx:
        await add(tx, "m", version)
    async with database.snapshot() as tx:
        model, found = await Models(tx).resolve("m")
        assert found == version
        assert model.latest == version
        assert (model.versions, model.aliases) == (1, {"latest": "v1"})
        assert await Models(tx).version_by_id(version.id) == version


async def test_latest_follows_the_newest_and_steps_back_on_delete(database: Database) -> None:
    async with database.transaction() as tx:
        await add(tx, "m", make_version("m", "v1"), make_version("m", "v2", content="b", age=1))
        await Models(tx).set_alias("m", "prod", "v2", NOW)
        await Models(tx).set_alias("m", "old", "v1", NOW)
    async with database.transaction() as tx:
        assert (await Models(tx).version("m", "latest")).version == "v2"
        assert (await Models(tx).version("m", "prod")).version == "v2"
        await Models(tx).delete_version("m", "prod", NOW)
    async with database.snapshot() as tx:
        model = await Models(tx).get("m")
        assert model.aliases == {"latest": "v1", "old": "v1"}
        assert await Models(tx).referenced() == {"a" * 64}


async def test_version_names_are_never_used_twice(database: Database) -> None:
    async with database.transaction() as tx:
        await add(tx, "m")
        assert await Models(tx).next_version("m") == "v1"
        await add(tx, "m", make_version("m", "v1"), make_version("m", "v2", age=1))
        await Models(tx).delete_version("m", "v2", NOW)
        assert await Models(tx).next_version("m") == "v3"


async def test_named_versions_are_skipped_in_numbering(database: Database) -> None:
    async with database.transaction() as tx:
        await add(tx, "m", make_version("m", "v1"), make_version("m", "release", age=1), make_version("m", "v3", age=2))
        assert await Models(tx).next_version("m") == "v2"


async def test_second_version_of_a_name_is_refused(database: Database) -> None:
    with pytest.raises(ConflictError, match="never change"):
        async with database.transaction() as tx:
            await add(tx, "m", make_version("m", "v1"), make_version("m", "v1", content="b"))
    async with database.snapshot() as tx:
        assert await Models(tx).find("m") is None


async def test_second_model_of_a_name_is_refused(database: Database) -> None:
    async with database.transaction() as tx:
        await add(tx, "m")
        with pytest.raises(ConflictError):
            await Models(tx).create(ModelCreate(name="m"), NOW)


async def test_type_comes_from_the_first_version_unless_given(database: Database) -> None:
    async with database.transaction() as tx:
        await Models(tx).create(ModelCreate(name="given", type=ModelType.OCR), NOW)
        await add(tx, "given", make_version("given", "v1"), found=ModelType.VISION)
        await add(tx, "found", make_version("found", "v1"), found=ModelType.RERANK)
        await add(tx, "found", make_version("found", "v2", age=1), found=ModelType.CHAT)
        assert (await Models(tx).get("given")).type == "ocr"
        assert (await Models(tx).get("found")).type == "rerank"


async def test_list_is_limited_to_what_may_be_seen(database: Database) -> None:
    async with database.transaction() as tx:
        models = Models(tx)
        await models.create(ModelCreate(name="public"), NOW)
        await models.create(ModelCreate(name="mine", visibility=Visibility.PROJECT, project="a"), NOW)
        await models.create(ModelCreate(name="theirs", visibility=Visibility.PROJECT, project="b"), NOW)
        await models.create(ModelCreate(name="other", description="100% mine"), NOW)

        async def names(**query: object) -> list[str]:
            return [model.name for model in (await models.list(**query)).items]  # pyright: ignore

        assert await names() == ["mine", "other", "public", "theirs"]
        assert await names(projects={"a"}) == ["mine", "other", "public"]
        assert await names(projects=set()) == ["other", "public"]
        assert await names(search="IN") == ["mine", "other"]
        assert await names(search="100%") == ["other"]
        assert await names(search="_") == []
        assert await names(sort="-name", limit=2) == ["theirs", "public"]
        assert (await models.list(limit=1)).total == 4


async def test_update_changes_only_what_is_given(database: Database) -> None:
    async with database.transaction() as tx:
        await Models(tx).create(ModelCreate(name="m", description="d"), NOW)
        model = await Models(tx).update("m", ModelUpdate(visibility=Visibility.PROJECT), NOW + timedelta(seconds=5))
        assert (model.description, model.visibility) == ("d", "project")
        assert model.updated_at == NOW + timedelta(seconds=5)


async def test_same_content_is_found_by_digest(database: Database) -> None:
    version = make_version("m", "v1")
    async with database.transaction() as tx:
        await add(tx, "m", version)
        assert await Models(tx).version_with_digest("m", version.digest) == version
        assert await Models(tx).version_with_digest("m", "0" * 64) is None
        assert await Models(tx).version_with_digest("unknown", version.digest) is None


@pytest.mark.parametrize("reference", ["unknown", "m:v9", "m:", "m:prod"])
async def test_unknown_references_are_not_found(database: Database, reference: str) -> None:
    async with database.transaction() as tx:
        await add(tx, "m")
        with pytest.raises(NotFoundError):
            await Models(tx).resolve(reference)
