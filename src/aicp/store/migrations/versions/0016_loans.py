"""Whether projects of a pool borrow unused quota, and how much of a quota is lent and borrowed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("pools", schema=None) as batch_op:
        batch_op.add_column(sa.Column("borrowing", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("pool_quotas", schema=None) as batch_op:
        batch_op.add_column(sa.Column("lend_percent", sa.Integer(), nullable=False, server_default="100"))
        batch_op.add_column(sa.Column("borrow_percent", sa.Integer(), nullable=True))
    with op.batch_alter_table("pools", schema=None) as batch_op:
        batch_op.alter_column("borrowing", server_default=None)
    with op.batch_alter_table("pool_quotas", schema=None) as batch_op:
        batch_op.alter_column("lend_percent", server_default=None)
