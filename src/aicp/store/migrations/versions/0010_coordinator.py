"""What gateway processes say of the coordinator of shared limits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("gateways", schema=None) as batch_op:
        batch_op.add_column(sa.Column("coordinator", sa.String(length=20), nullable=False, server_default=""))
    with op.batch_alter_table("gateways", schema=None) as batch_op:
        batch_op.alter_column("coordinator", server_default=None)
