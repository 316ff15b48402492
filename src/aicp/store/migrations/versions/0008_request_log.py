"""Which bodies of requests projects keep, and those bodies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from aicp.store.database import UtcDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "request_log_rules",
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("bodies", sa.String(length=10), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("redact", sa.JSON(), nullable=False),
        sa.Column("patterns", sa.JSON(), nullable=False),
        sa.Column("max_body_bytes", sa.Integer(), nullable=False),
        sa.Column("retention_days", sa.Integer(), nullable=False),
        sa.Column("set_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("set_by", sa.String(length=63), nullable=True),
        sa.ForeignKeyConstraint(
            ["project"], ["projects.name"], name=op.f("fk_request_log_rules_project_projects"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project", name=op.f("pk_request_log_rules")),
    )
    op.create_table(
        "request_bodies",
        sa.Column("request_id", sa.String(length=128), nullable=False),
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("api_key_id", sa.String(length=40), nullable=False),
        sa.Column("service", sa.String(length=63), nullable=False),
        sa.Column("started_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("request", sa.LargeBinary(), nullable=True),
        sa.Column("request_kind", sa.String(length=100), nullable=False),
        sa.Column("request_bytes", sa.BigInteger(), nullable=False),
        sa.Column("request_cut", sa.Boolean(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("answer_kind", sa.String(length=100), nullable=False),
        sa.Column("answer_bytes", sa.BigInteger(), nullable=False),
        sa.Column("answer_cut", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_request_bodies")),
    )
    op.create_index("ix_request_bodies_project_started_at", "request_bodies", ["project", "started_at"])
