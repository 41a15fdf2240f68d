"""Trials of a pin beside the live one, and which rows' components were seen answering."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("releases", sa.Column("share", sa.Float))
    op.create_table(
        "answering",
        sa.Column("application", sa.String(200), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("created", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["application", "number"], ["releases.application", "releases.number"]),
    )
