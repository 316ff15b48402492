"""Whether the control plane can do its work."""

from __future__ import annotations

from aicp.runners.base import HasHead
from aicp.store.database import Database
from aicp.store.organizations import Organizations


class Health:
    """Asks what everything else needs: the database."""

    def __init__(
        self,
        database: Database,
        *,
        runner: str = "local",
        patience_seconds: int | None = None,
        head: HasHead | None = None,
    ) -> None:
        self._database = database
        self._head = head
        self.runner = runner
        self.patience_seconds = patience_seconds
        """For how long the runner's head may be away before nodes give it up; None where it has none."""

    async def head_answers(self) -> bool | None:
        """Whether the runner's head is there; None where it has none."""
        return None if self._head is None else await self._head.head_answers()

    async def check(self) -> None:
        """Raises UnavailableError when the database does not answer."""
        async with self._database.snapshot() as tx:
            await Organizations(tx).list()
