"""Rules of caches, what caches did with requests, and sums of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from aicp.store.database import UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "cache_rules",
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("model", sa.String(length=63), nullable=False),
        sa.Column("mode", sa.String(length=10), nullable=False),
        sa.Column("ttl_seconds", sa.Integer(), nullable=False),
        sa.Column("embedding_model", sa.String(length=63), nullable=True),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("max_entries", sa.Integer(), nullable=False),
        sa.Column("any_temperature", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("set_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("set_by", sa.String(length=63), nullable=True),
        sa.PrimaryKeyConstraint("project", "model", name=op.f("pk_cache_rules")),
    )
    op.create_table(
        "cache_hours",
        sa.Column("hour", UtcDateTime(timezone=True), nullable=False),
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("model", sa.String(length=63), nullable=False),
        sa.Column("lookups", sa.BigInteger(), nullable=False),
        sa.Column("exact_hits", sa.BigInteger(), nullable=False),
        sa.Column("semantic_hits", sa.BigInteger(), nullable=False),
        sa.Column("saved_tokens", sa.BigInteger(), nullable=False),
        sa.Column("agreed", sa.BigInteger(), nullable=False),
        sa.Column("disagreed", sa.BigInteger(), nullable=False),
        sa.Column("gated", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "project", "model", name=op.f("pk_cache_hours")),
    )
    with op.batch_alter_table("usage_records", schema=None) as batch_op:
        batch_op.add_column(sa.Column("cache", sa.String(length=10), nullable=True))
        batch_op.add_column(sa.Column("cache_model", sa.String(length=63), nullable=True))
        batch_op.add_column(sa.Column("saved_tokens", sa.BigInteger(), nullable=True))
