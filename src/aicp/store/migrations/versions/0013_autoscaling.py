"""What autoscaling wants of services, and the loads that gateways tell of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from aicp.store.database import UtcDateTime

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "service_scales",
        sa.Column("service_id", sa.String(length=40), nullable=False),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("min_replicas", sa.Integer(), nullable=False),
        sa.Column("max_replicas", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("changed_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("woken_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("wakes", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("service_id", name=op.f("pk_service_scales")),
    )
    with op.batch_alter_table("gateways", schema=None) as batch_op:
        batch_op.add_column(sa.Column("loads", sa.JSON(), nullable=False, server_default="{}"))
    with op.batch_alter_table("gateways", schema=None) as batch_op:
        batch_op.alter_column("loads", server_default=None)
