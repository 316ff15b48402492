"""Alembic's entry: every table of the store, on an async engine."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from typing import Any

from alembic import context
from sqlalchemy import Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
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
        # All or nothing: a process that is killed midway leaves the old shape, and the next start upgrades it.
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def _in_one_transaction(engine: AsyncEngine) -> None:
    """The driver for SQLite opens transactions by itself, and none before a CREATE TABLE."""

    def on_connect(connection: Any, _: object) -> None:
        connection.isolation_level = None

    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine.sync_engine, "connect", on_connect)
    event.listen(engine.sync_engine, "begin", on_begin)


async def _online() -> None:
    url = context.config.get_main_option("sqlalchemy.url") or ""
    engine = create_async_engine(url, poolclass=NullPool)
    if engine.dialect.name == "sqlite":
        _in_one_transaction(engine)
    async with engine.connect() as connection:
        await connection.run_sync(_run)
        await connection.commit()
    await engine.dispose()


_import_tables()
asyncio.run(_online())
