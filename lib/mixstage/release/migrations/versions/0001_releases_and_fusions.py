"""Releases, and what a fused retriever adds. Registries from before alembic have the tables already."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "releases",
        sa.Column("application", sa.String(200), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("action", sa.String(20), nullable=False),
        sa.Column("composition", sa.String(500), nullable=False),
        sa.Column("corpus", sa.String(64), nullable=False),
        sa.Column("generation", sa.String(64), nullable=False),
        sa.Column("retriever", sa.String(64)),
        sa.Column("reranker", sa.String(64)),
        sa.Column("report", sa.String(64), nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "fusions",
        sa.Column("application", sa.String(200), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("members", sa.JSON, nullable=False),
        sa.Column("constant", sa.Integer, nullable=False),
        sa.Column("depth", sa.Integer, nullable=False),
        sa.ForeignKeyConstraint(["application", "number"], ["releases.application", "releases.number"]),
        if_not_exists=True,
    )
