"""How a pool is filled: spread or packed, and whether one replica may get unlike accelerators."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("pools", schema=None) as batch_op:
        batch_op.add_column(sa.Column("placing", sa.String(length=10), nullable=False, server_default="spread"))
        batch_op.add_column(sa.Column("unlike", sa.Boolean(), nullable=False, server_default=sa.true()))
    with op.batch_alter_table("pools", schema=None) as batch_op:
        batch_op.alter_column("placing", server_default=None)
        batch_op.alter_column("unlike", server_default=None)
