"""Why a release was made: the verdict it rests on, who released it, and the reason given."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("releases", sa.Column("verdict", sa.String(20)))
    op.add_column("releases", sa.Column("author", sa.String(200), nullable=False, server_default=""))
    op.add_column("releases", sa.Column("reason", sa.Text, nullable=False, server_default=""))
