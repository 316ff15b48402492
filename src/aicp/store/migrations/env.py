"""Alembic's entry: every table of the store, on an async engine."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import aicp.store
from aicp.store.database import Base


def _import_tables() -> None:
    for info in pkgutil.iter_modules(aicp.store.__path__):
        if not info.ispkg and info.name != "migrate":
            importlib.import_module(f"aicp.store.{info.name}")


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def _online() -> None:
    url = context.config.get_main_option("sqlalchemy.url") or ""
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(_run)
        await connection.commit()
    await engine.dispose()


_import_tables()
asyncio.run(_online())
