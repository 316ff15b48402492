"""Replicas that span nodes: their members, and the port at which these meet."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("replicas", schema=None) as batch_op:
        batch_op.add_column(sa.Column("members", sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column("group_port", sa.Integer(), nullable=True))
