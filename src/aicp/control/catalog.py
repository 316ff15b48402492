"""The catalogue of well-known models."""

from __future__ import annotations

from importlib.resources import files

import yaml

from aicp.core.catalog import CatalogModel
from aicp.core.model import ModelType
from aicp.core.value import Page


class Catalog:
    """Facts from `catalog.yaml` beside this file, read once."""

    def __init__(self) -> None:
        text = files("aicp.control").joinpath("catalog.yaml").read_text(encoding="utf-8")
        self._models = [CatalogModel.model_validate(entry) for entry in yaml.safe_load(text)["models"]]

    def list(
        self, *, search: str | None = None, type: ModelType | None = None, offset: int = 0, limit: int = 100
    ) -> Page[CatalogModel]:
        """Models in the order of the file; `search` looks into name, title and family."""
        wanted = (search or "").lower()
        found = [
            model
            for model in self._models
            if wanted in f"{model.name} {model.title} {model.family}".lower() and type in (None, model.type)
        ]
        return Page(items=found[offset : offset + limit], total=len(found), offset=offset, limit=limit)
