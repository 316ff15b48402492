"""What services need and therefore must not be removed: their present revision, and the one before it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from aicp.store.database import Transaction
from aicp.store.revisions import Revisions
from aicp.store.services import Services

EngineUses = Mapping[tuple[str, str], list[str]]


async def engine_uses(tx: Transaction) -> EngineUses:
    """(engine, version) -> names of the services that run it or may go back to it."""
    names = await Services(tx).names()
    found: dict[tuple[str, str], set[str]] = {}
    for use in await Revisions(tx).uses():
        if use.service_id in names:
            found.setdefault((use.engine, use.engine_version), set()).add(names[use.service_id])
    return {key: sorted(value) for key, value in found.items()}


async def version_uses(tx: Transaction, version_ids: Collection[str]) -> Mapping[str, list[str]]:
    """Model version id -> names of the services that serve it or may go back to it."""
    names = await Services(tx).names()
    found: dict[str, set[str]] = {}
    for use in await Revisions(tx).uses():
        if use.version_id in version_ids and use.service_id in names:
            found.setdefault(use.version_id, set()).add(names[use.service_id])
    return {key: sorted(value) for key, value in found.items()}
