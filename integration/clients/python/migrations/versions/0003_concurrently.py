"""An index that cannot be made in a transaction."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade():
    with op.get_context().autocommit_block():
        op.execute("CREATE INDEX CONCURRENTLY measurements_value ON measurements (value)")


def downgrade():
    op.execute("DROP INDEX measurements_value")
