"""Alembic's environment: as applications have it, with EPMT's rule for where the database is."""

import os

from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine(os.environ["EPMT_DB_URL"], poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, version_table="alembic_version_of_clients", transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
