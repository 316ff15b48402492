"""The accelerator catalogue, and advice on how many cards services would need."""

from __future__ import annotations

import asyncio

from aicp.core.accelerator_catalog import CatalogAccelerator, accelerator_catalog, find_catalog_accelerator
from aicp.core.access import Caller
from aicp.core.advice import Advice, AdviceRequest
from aicp.core.identity import Permission
from aicp.core.value import Page
from aicp.planner.advice import advise


class AcceleratorCatalog:
    """Published facts of accelerators. Asks and changes nothing of this platform."""

    async def list(
        self,
        caller: Caller,
        *,
        search: str | None = None,
        vendor: str | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> Page[CatalogAccelerator]:
        """Cards in the order of the catalogue; `search` looks into name and product."""
        caller.require(Permission.NODE_READ)
        wanted = (search or "").lower()
        found = [
            card
            for card in accelerator_catalog()
            if wanted in f"{card.name} {card.product}".lower() and vendor in (None, card.vendor)
        ]
        return Page(items=found[offset : offset + limit], total=len(found), offset=offset, limit=limit)

    async def get(self, caller: Caller, name: str) -> CatalogAccelerator:
        """One card, however it is spelled. Raises NotFoundError that lists the closest ones."""
        caller.require(Permission.NODE_READ)
        return find_catalog_accelerator(name)

    async def advise(self, caller: Caller, request: AdviceRequest) -> Advice:
        """How many cards of each kind the services need. Raises InvalidError for an unknown card."""
        caller.require(Permission.NODE_READ)
        # a large question computes for a second or two
        return await asyncio.to_thread(advise, request)
