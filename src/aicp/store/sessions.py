"""Logins. Only the digest of a token is kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import ForeignKey, String, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from aicp.store.database import Base, Transaction

SessionKind = Literal["login", "local"]
"""`login`: by password. `local`: made at each start for whoever may read the platform's own files."""


class SessionRow(Base):
    """Deleted when it ends."""

    __tablename__ = "sessions"

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    user: Mapped[str] = mapped_column(ForeignKey("users.name", ondelete="CASCADE"), index=True)
    kind: Mapped[str] = mapped_column(String(10))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A login as stored."""

    user: str
    kind: str
    expires_at: datetime


class Sessions:
    """Queries over logins."""

    def __init__(self, tx: Transaction) -> None:
        self._session = tx.session

    async def find(self, digest: str, now: datetime) -> StoredSession | None:
        """The login that holds `now`, if there is one."""
        row = await self._session.get(SessionRow, digest)
        if row is None or row.expires_at <= now:
            return None
        return StoredSession(row.user, row.kind, row.expires_at)

    async def digests(self, user: str) -> list[str]:
        """All logins of a user."""
        return list(await self._session.scalars(select(SessionRow.digest).where(SessionRow.user == user)))

    async def create(self, digest: str, user: str, kind: SessionKind, now: datetime, expires_at: datetime) -> None:
        """Adds a login, and forgets the user's expired ones."""
        await self._session.execute(delete(SessionRow).where(SessionRow.expires_at <= now))
        self._session.add(SessionRow(digest=digest, user=user, kind=kind, created_at=now, expires_at=expires_at))
        await self._session.flush()

    async def end(self, digest: str) -> None:
        """Ends one login; none by that digest is success too."""
        await self._session.execute(delete(SessionRow).where(SessionRow.digest == digest))

    async def end_all(self, user: str, kind: SessionKind = "login") -> None:
        """Ends all logins of a user of one kind."""
        await self._session.execute(delete(SessionRow).where(SessionRow.user == user, SessionRow.kind == kind))

    async def end_kind(self, kind: SessionKind) -> None:
        """Ends all logins of one kind."""
        await self._session.execute(delete(SessionRow).where(SessionRow.kind == kind))
