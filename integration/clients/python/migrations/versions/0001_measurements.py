"""A table, an index and rows."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    table = op.create_table(
        "measurements",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(40), nullable=False),
    )
    op.create_index("measurements_name", "measurements", ["name"])
    op.bulk_insert(table, [{"name": f"m{i}"} for i in range(100)])


def downgrade():
    op.drop_table("measurements")
