"""A column, filled from the rows that are there."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.add_column("measurements", sa.Column("value", sa.Float))
    op.execute("UPDATE measurements SET value = id * 1.5")
    op.alter_column("measurements", "value", nullable=False)


def downgrade():
    op.drop_column("measurements", "value")
