"""Priority and weight of keys; how long a request waited for a place at its service's replicas."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _add("api_keys", sa.Column("priority", sa.String(length=20), nullable=False, server_default="default"))
    _add("api_keys", sa.Column("weight", sa.Double(), nullable=False, server_default="1"))
    with op.batch_alter_table("usage_records", schema=None) as batch_op:
        batch_op.add_column(sa.Column("queue_ms", sa.Double(), nullable=True))


def _add(table: str, column: sa.Column[object]) -> None:
    """A column with a value for the rows that are there; later rows bring their own."""
    with op.batch_alter_table(table, schema=None) as batch_op:
        batch_op.add_column(column)
    with op.batch_alter_table(table, schema=None) as batch_op:
        batch_op.alter_column(column.name, server_default=None)
