"""Tokens that let machines join."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String, delete, func, select, update
from sqlalchemy.orm import Mapped, mapped_column

from aicp.core.errors import NotFoundError
from aicp.core.join import JoinToken
from aicp.core.value import Page
from aicp.store.database import Base, Transaction


class JoinTokenRow(Base):
    """One token; of its secret only a digest is here."""

    __tablename__ = "join_tokens"

    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    created_by: Mapped[str] = mapped_column(String(63))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    uses: Mapped[int]
    uses_left: Mapped[int]
    pool: Mapped[str | None] = mapped_column(String(63))
    labels: Mapped[dict[str, Any]] = mapped_column(default=dict)


class JoinTokens:
    """Queries over join tokens."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def add(self, token: JoinToken, digest: str) -> None:
        """Keeps a new token."""
        self._session.add(JoinTokenRow(**token.model_dump(), digest=digest))
        await self._session.flush()

    async def find(self, token_id: str) -> tuple[JoinToken, str] | None:
        """A token and its digest."""
        row = await self._session.get(JoinTokenRow, token_id)
        return None if row is None else (_token(row), row.digest)

    async def list(self, *, offset: int = 0, limit: int = 100) -> Page[JoinToken]:
        """Newest first, those that have ended too."""
        total = await self._session.scalar(select(func.count()).select_from(JoinTokenRow))
        newest = select(JoinTokenRow).order_by(JoinTokenRow.created_at.desc(), JoinTokenRow.id)
        rows = await self._session.scalars(newest.offset(offset).limit(limit))
        return Page(items=[_token(row) for row in rows], total=total or 0, offset=offset, limit=limit)

    async def use(self, token_id: str, now: datetime) -> bool:
        """Takes one use; False when none is left or its time is over, also when others take it at this moment."""
        taken = await self._session.scalars(
            update(JoinTokenRow)
            .where(JoinTokenRow.id == token_id, JoinTokenRow.uses_left > 0, JoinTokenRow.expires_at > now)
            .values(uses_left=JoinTokenRow.uses_left - 1)
            .returning(JoinTokenRow.id)
            .execution_options(synchronize_session=False)
        )
        return taken.first() is not None

    async def remove(self, token_id: str) -> None:
        """Takes a token away. Raises NotFoundError."""
        gone = await self._session.scalars(
            delete(JoinTokenRow).where(JoinTokenRow.id == token_id).returning(JoinTokenRow.id)
        )
        if gone.first() is None:
            raise NotFoundError(
                f"There is no join token {token_id!r}.", hint="`aicp node tokens` shows those there are."
            )

    async def forget(self, ended_before: datetime) -> None:
        """Removes those whose time was over before."""
        await self._session.execute(delete(JoinTokenRow).where(JoinTokenRow.expires_at < ended_before))


def _token(row: JoinTokenRow) -> JoinToken:
    return JoinToken.model_validate(row, from_attributes=True)
