"""An Alembic migration as admin, with a read-only application at work beside it all the time."""

import os
import pathlib
import threading

import alembic
import sqlalchemy
from alembic import command
from alembic.config import Config

import check

check.client("Alembic", f"{alembic.__version__} (SQLAlchemy {sqlalchemy.__version__}, psycopg2)")
os.environ["EPMT_DB_URL"] = check.ADMIN
config = Config()
config.set_main_option("script_location", str(pathlib.Path(__file__).parent / "migrations"))

application = sqlalchemy.create_engine(check.RO, pool_size=3)  # two readers, and what is asked below
stop, reads, failures = threading.Event(), [], []


def read():
    """Reads a table that is there all the time, as an application would: a transaction for each request."""
    while not stop.is_set():
        try:
            with application.connect() as connection:
                reads.append(connection.execute(sqlalchemy.text("SELECT count(*) FROM jobs")).scalar_one())
        except Exception as e:
            failures.append(repr(e))
            return


readers = [threading.Thread(target=read) for _ in range(2)]
for r in readers:
    r.start()
try:
    command.upgrade(config, "head")
    check.equal("upgrade to head as admin, with CREATE INDEX CONCURRENTLY", True, True)
    with application.connect() as connection:
        row = connection.execute(sqlalchemy.text("SELECT count(*), sum(value) FROM measurements")).one()
        check.equal("the read-only application reads the new table", tuple(row), (100, 5050 * 1.5))
    with application.connect() as connection:
        try:
            connection.execute(sqlalchemy.text("DELETE FROM measurements"))
            check.equal("the read-only application may not write", "it may", "permission denied")
        except sqlalchemy.exc.ProgrammingError as e:
            check.equal("the read-only application may not write", "permission denied" in str(e), True)
    command.downgrade(config, "0002")
    command.upgrade(config, "head")
    command.downgrade(config, "base")
    check.equal("down and up again", True, True)
finally:
    stop.set()
    for r in readers:
        r.join()
check.equal("the application has not noticed", (failures, len(reads) > 0, set(reads)), ([], True, {12}))
engine = sqlalchemy.create_engine(check.ADMIN)
with engine.begin() as connection:
    connection.execute(sqlalchemy.text("DROP TABLE alembic_version_of_clients"))
engine.dispose()
application.dispose()
