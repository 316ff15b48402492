"""Listeners of models, and what gateway processes say of themselves."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from aicp.store.database import UtcDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "listeners",
        sa.Column("model", sa.String(length=200), nullable=False),
        sa.Column("address", sa.String(length=45), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("tls_certificate", sa.Text(), nullable=True),
        sa.Column("tls_key", sa.Text(), nullable=True),
        sa.Column("set_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("set_by", sa.String(length=63), nullable=True),
        sa.PrimaryKeyConstraint("model", name=op.f("pk_listeners")),
        sa.UniqueConstraint("port", name=op.f("uq_listeners_port")),
    )
    _add(sa.Column("pid", sa.Integer(), nullable=True))
    _add(sa.Column("slot", sa.Integer(), nullable=False, server_default="1"))
    _add(sa.Column("version", sa.String(length=40), nullable=False, server_default=""))
    _add(sa.Column("leaving", sa.Boolean(), nullable=False, server_default=sa.false()))
    _add(sa.Column("listeners", sa.JSON(), nullable=False, server_default="{}"))


def _add(column: sa.Column[object]) -> None:
    """A column of gateways with a value for the rows that are there; later rows bring their own."""
    with op.batch_alter_table("gateways", schema=None) as batch_op:
        batch_op.add_column(column)
    if column.server_default is not None:
        with op.batch_alter_table("gateways", schema=None) as batch_op:
            batch_op.alter_column(column.name, server_default=None)
