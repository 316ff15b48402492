"""Limits of keys, projects and organizations; networks, defaults and rotation of keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from aicp.store.database import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("api_keys", "organizations", "projects"):
        _add(table, sa.Column("limits", sa.JSON(), nullable=False, server_default="{}"))
    _add("api_keys", sa.Column("defaults", sa.JSON(), nullable=False, server_default="{}"))
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        batch_op.add_column(sa.Column("networks", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("max_output_tokens", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("rotated_at", UtcDateTime(timezone=True), nullable=True))
        batch_op.add_column(sa.Column("previous_digest", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("previous_until", UtcDateTime(timezone=True), nullable=True))


def _add(table: str, column: sa.Column[object]) -> None:
    """A column with a value for the rows that are there; later rows bring their own."""
    with op.batch_alter_table(table, schema=None) as batch_op:
        batch_op.add_column(column)
    with op.batch_alter_table(table, schema=None) as batch_op:
        batch_op.alter_column(column.name, server_default=None)
