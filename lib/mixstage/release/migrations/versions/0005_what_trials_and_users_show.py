"""What is counted of trials, what users were shown, and what they said of it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    long = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    row = ["application", "number"], ["releases.application", "releases.number"]
    op.create_table(
        "tallies",
        sa.Column("application", sa.String(200), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("side", sa.String(10), primary_key=True),
        sa.Column("replica", sa.String(64), primary_key=True),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("errors", sa.BigInteger, nullable=False),
        sa.Column("agreement", sa.Float, nullable=False),
        sa.Column("compared", sa.BigInteger, nullable=False),
        sa.Column("dropped", sa.BigInteger, nullable=False),
        sa.Column("latencies", sa.JSON, nullable=False),
        sa.ForeignKeyConstraint(*row),
    )
    op.create_table(
        "baselines",
        sa.Column("application", sa.String(200), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("p95_ms", sa.Float, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(*row),
    )
    op.create_table(
        "impressions",
        sa.Column("id", long, primary_key=True),
        sa.Column("request_id", sa.String(200), nullable=False, index=True),
        sa.Column("application", sa.String(200), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("user", sa.String(64), nullable=False),
        sa.Column("query", sa.Text, nullable=False),
        sa.Column("documents", sa.JSON, nullable=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False, index=True),
    )
    op.create_table(
        "feedback",
        sa.Column("id", long, primary_key=True),
        sa.Column("request_id", sa.String(200), nullable=False, index=True),
        sa.Column("application", sa.String(200), nullable=False),
        sa.Column("document_id", sa.String(500), nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("user", sa.String(64)),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
    )
