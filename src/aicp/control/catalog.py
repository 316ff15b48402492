"""The catalogue of well-known models."""

from __future__ import annotations

from importlib.resources import files

import yaml

from aicp.core.catalog import CatalogModel
from aicp.core.model import ModelType
from aicp.core.registry import Registry
from aicp.core.value import Page
from aicp.engines.base import Engine
from aicp.planner.catalog import judge_catalog
from aicp.store.database import Database
from aicp.store.pools import DEFAULT_POOL, Pools


class Catalog:
    """Facts from `catalog.yaml` beside this file, read once, and whether a pool could serve each model."""

    def __init__(self, database: Database, engines: Registry[Engine]) -> None:
        self._database = database
        text = files("aicp.control").joinpath("catalog.yaml").read_text(encoding="utf-8")
        self._models = [CatalogModel.model_validate(entry) for entry in yaml.safe_load(text)["models"]]
        known = [engines.get(name) for name in engines.names()]
        offered = [engine for engine in known if not engine.internal]
        self._served = {type for type in ModelType if any(engine.endpoints(type) for engine in offered)}

    async def list(
        self,
        *,
        search: str | None = None,
        type: ModelType | None = None,
        pool: str = DEFAULT_POOL,
        offset: int = 0,
        limit: int = 100,
    ) -> Page[CatalogModel]:
        """Models in the order of the file; `search` looks into name, title and family.

        Raises NotFoundError for an unknown pool.
        """
        wanted = (search or "").lower()
        found = [
            model
            for model in self._models
            if wanted in f"{model.name} {model.title} {model.family}".lower() and type in (None, model.type)
        ]
        async with self._database.snapshot() as tx:
            await Pools(tx).get(pool)
            snapshot = await Pools(tx).snapshot()
        items = [
            model.model_copy(update={"fit": judge_catalog(model, model.type in self._served, pool, snapshot)})
            for model in found[offset : offset + limit]
        ]
        return Page(items=items, total=len(found), offset=offset, limit=limit)
