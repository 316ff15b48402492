"""Quota that is borrowed, replicas that move to another accelerator, and reservations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from aicp.store.database import UtcDateTime

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("pools", schema=None) as batch_op:
        batch_op.add_column(sa.Column("borrowing", sa.Boolean(), nullable=False, server_default=sa.false()))
        batch_op.add_column(sa.Column("memory_oversubscription", sa.Double(), nullable=False, server_default="1"))
    with op.batch_alter_table("pool_quotas", schema=None) as batch_op:
        batch_op.add_column(sa.Column("lend_percent", sa.Integer(), nullable=False, server_default="100"))
        batch_op.add_column(sa.Column("borrow_percent", sa.Integer(), nullable=True))
    with op.batch_alter_table("replicas", schema=None) as batch_op:
        batch_op.add_column(sa.Column("moving_to", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("moving_until", UtcDateTime(timezone=True), nullable=True))
    op.create_table(
        "reservations",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("pool", sa.String(length=63), nullable=False),
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("devices", sa.JSON(), nullable=False),
        sa.Column("starts_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("ends_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(length=63), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reservations")),
    )
    with op.batch_alter_table("pools", schema=None) as batch_op:
        batch_op.alter_column("borrowing", server_default=None)
        batch_op.alter_column("memory_oversubscription", server_default=None)
    with op.batch_alter_table("pool_quotas", schema=None) as batch_op:
        batch_op.alter_column("lend_percent", server_default=None)
