"""Brings a database to the newest shape before anything else touches it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from aicp.core.errors import AicpError, InvalidError, UnavailableError

# PostgreSQL's classes of errors that another try does not mend: wrong user or password, no such database.
_REFUSALS = ("28", "3D")


def alembic_config(url: str) -> Config:
    """Alembic's configuration for `url`, without a file of its own."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


async def migrate(url: str, revision: str = "head") -> None:
    """Upgrades the database at `url`. Runs in a thread because Alembic opens its own event loop.

    Raises InvalidError for a database that a newer platform has upgraded and for an address that can never work,
    UnavailableError for a database that does not answer now.
    """
    try:
        await asyncio.to_thread(command.upgrade, alembic_config(url), revision)
    except Exception as error:
        explained = _explain(url, error)
        if explained is None:
            raise
        raise explained from error


def _explain(url: str, error: Exception) -> AicpError | None:
    if isinstance(error, CommandError):
        return InvalidError(
            f"The database cannot be brought to the shape of this version ({error}).",
            hint="It was probably upgraded by a newer version of the platform; start that one, or restore a backup.",
        )
    if isinstance(error, ArgumentError | ImportError):
        return InvalidError(
            "AICP_DATABASE_URL is no address of a database that the platform can use.",
            hint="Write postgresql+asyncpg://user:password@host/name, or leave it away for the embedded database.",
        )
    shown = make_url(url).render_as_string(hide_password=True)
    cause = getattr(error, "orig", error)
    if str(getattr(cause, "sqlstate", None) or "")[:2] in _REFUSALS:
        return InvalidError(f"The database {shown} refuses the platform: {cause}.", hint="Correct AICP_DATABASE_URL.")
    if isinstance(error, OSError):
        return UnavailableError(f"The database {shown} does not answer: {error}. It is tried again.")
    return None
