"""The accelerator catalogue."""

from __future__ import annotations

import builtins

from aicp.client.transport import Transport
from aicp.core.accelerator_catalog import CatalogAccelerator


class Accelerators:
    """Published facts of accelerators; those that a platform has stand at its nodes."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def catalog(self, *, search: str | None = None, vendor: str | None = None) -> builtins.list[CatalogAccelerator]:
        """Kinds of accelerators with their figures and sources."""
        query = {"search": search, "vendor": vendor}
        return self._transport.every("/api/v1/accelerator-catalog", CatalogAccelerator, query)

    def get(self, name: str) -> CatalogAccelerator:
        """One kind of accelerator."""
        return self._transport.get(f"/api/v1/accelerator-catalog/{name}", CatalogAccelerator)
