"""What a pool is for, quotas of projects in it, and what operators say of nodes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pool_quotas",
        sa.Column("pool", sa.String(length=63), nullable=False),
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("accelerators", sa.Integer(), nullable=True),
        sa.Column("compute_percent", sa.Integer(), nullable=True),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("pool", "project", name=op.f("pk_pool_quotas")),
    )
    with op.batch_alter_table("pools", schema=None) as batch_op:
        batch_op.alter_column("policy", new_column_name="purpose", existing_type=sa.String(length=20))
    _add("pools", sa.Column("windows", sa.JSON(), nullable=False, server_default="[]"))
    _add("pools", sa.Column("labels", sa.JSON(), nullable=False, server_default="{}"))
    _add("nodes", sa.Column("draining", sa.Boolean(), nullable=False, server_default=sa.false()))
    _add("nodes", sa.Column("labels", sa.JSON(), nullable=False, server_default="{}"))
    _add("nodes", sa.Column("taints", sa.JSON(), nullable=False, server_default="[]"))


def _add(table: str, column: sa.Column[object]) -> None:
    """A column with a value for the rows that are there; later rows bring their own."""
    with op.batch_alter_table(table, schema=None) as batch_op:
        batch_op.add_column(column)
    with op.batch_alter_table(table, schema=None) as batch_op:
        batch_op.alter_column(column.name, server_default=None)
