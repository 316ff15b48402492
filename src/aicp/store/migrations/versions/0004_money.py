"""Prices of models, what requests cost, tags of keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from aicp.store.database import UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "prices",
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("input", sa.BigInteger(), nullable=False),
        sa.Column("cached_input", sa.BigInteger(), nullable=True),
        sa.Column("output", sa.BigInteger(), nullable=False),
        sa.Column("set_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("set_by", sa.String(length=63), nullable=True),
        sa.PrimaryKeyConstraint("model", name=op.f("pk_prices")),
    )
    with op.batch_alter_table("usage_records", schema=None) as batch_op:
        batch_op.add_column(sa.Column("cost_micros", sa.BigInteger(), nullable=True))
    _add("usage_hours", sa.Column("cost_micros", sa.BigInteger(), nullable=False, server_default="0"))
    _add("usage_hours", sa.Column("unpriced", sa.BigInteger(), nullable=False, server_default="0"))
    # Nothing had a price before: what went well had used tokens.
    op.execute("UPDATE usage_hours SET unpriced = requests - errors")
    _add("api_keys", sa.Column("tags", sa.JSON(), nullable=False, server_default="[]"))


def _add(table: str, column: sa.Column[object]) -> None:
    """A column with a value for the rows that are there; later rows bring their own."""
    with op.batch_alter_table(table, schema=None) as batch_op:
        batch_op.add_column(column)
    with op.batch_alter_table(table, schema=None) as batch_op:
        batch_op.alter_column(column.name, server_default=None)
