"""SQLAlchemy and Alembic: the ORM over psycopg2, psycopg and asyncpg, its pools, and migrations."""

import asyncio
import os
import sys
import tempfile

import alembic
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import orm
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import create_async_engine

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from check import DSN, ROUNDS, WORKERS, check, finish, saw, version, workers  # noqa: E402

version(f"{sa.__version__}, {alembic.__version__}")
URL = sa.make_url(DSN)


class Base(orm.DeclarativeBase):
    pass


class Author(Base):
    __tablename__ = "m_sa_author"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(sa.String(50), unique=True)
    doc: orm.Mapped[dict] = orm.mapped_column(JSONB, default=dict)
    books: orm.Mapped[list["Book"]] = orm.relationship(back_populates="author", cascade="all, delete-orphan")


class Book(Base):
    __tablename__ = "m_sa_book"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    title: orm.Mapped[str]
    author_id: orm.Mapped[int] = orm.mapped_column(sa.ForeignKey("m_sa_author.id"))
    author: orm.Mapped[Author] = orm.relationship(back_populates="books")


def unit_of_work(engine, i):
    for n in range(ROUNDS):
        with orm.Session(engine) as s, s.begin():
            a = Author(name=f"{engine.dialect.driver} {i} {n}", doc={"n": n}, books=[Book(title=f"b{k}") for k in range(3)])
            s.add(a)
            s.flush()
            assert s.scalar(sa.select(sa.func.count()).select_from(Book).where(Book.author_id == a.id)) == 3
            try:
                with s.begin_nested():
                    s.add(Author(name=a.name))
                    s.flush()
                raise AssertionError("no error")
            except sa.exc.IntegrityError:
                pass
            a.books.pop()
        with orm.Session(engine) as s:
            got = s.scalars(sa.select(Author).options(orm.selectinload(Author.books)).where(Author.name == a_name(engine, i, n))).one()
            assert (len(got.books), got.doc) == (2, {"n": n}), got


def a_name(engine, i, n):
    return f"{engine.dialect.driver} {i} {n}"


def orm_over(driver, **kw):
    engine = sa.create_engine(URL.set(drivername=f"postgresql+{driver}"), pool_size=WORKERS, pool_pre_ping=True, **kw)
    workers(f"{driver}: 8 threads: units of work, savepoints, eager loading", lambda i: unit_of_work(engine, i))
    with engine.connect() as c:
        many = [{"name": f"{driver} many {n}"} for n in range(1500)]
        ids = c.execute(sa.insert(Author).returning(Author.id, sort_by_parameter_order=True), many).scalars().all()
        check(f"{driver}: insertmanyvalues with RETURNING", (len(ids), ids == sorted(ids)), (1500, True))
        up = insert(Author).values(name=f"{driver} many 3", doc={"up": 1}).on_conflict_do_update(index_elements=["name"], set_={"doc": {"up": 1}})
        check(f"{driver}: upsert", c.execute(up.returning(Author.doc)).scalar_one(), {"up": 1})
        rows = c.execution_options(stream_results=True, max_row_buffer=50).execute(sa.select(Author.id).where(Author.name.like(f"{driver} many%")))
        check(f"{driver}: stream_results", sum(1 for _ in rows), 1500)
        c.commit()
    with engine.connect().execution_options(isolation_level="SERIALIZABLE") as c:
        check(f"{driver}: isolation level", c.scalar(sa.text("SHOW transaction_isolation")), "serializable")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as c:
        check(f"{driver}: autocommit", c.scalar(sa.text("SHOW transaction_isolation")), "read committed")
        c.execute(sa.text("VACUUM m_sa_author"))
    with engine.connect().execution_options(postgresql_readonly=True) as c:
        try:
            c.execute(sa.insert(Author).values(name="refused"))
        except sa.exc.DBAPIError as e:
            check(f"{driver}: read-only", "read-only transaction" in str(e.orig), True)
    check(f"{driver}: reflection", [c["name"] for c in sa.inspect(engine).get_columns("m_sa_book")], ["id", "title", "author_id"])
    engine.dispose()


async def over_asyncpg():
    engine = create_async_engine(URL.set(drivername="postgresql+asyncpg", query={}), pool_size=WORKERS, connect_args={"ssl": False})

    async def one(i):
        for n in range(ROUNDS):
            async with engine.begin() as c:
                await c.execute(sa.insert(Author).values(name=f"async {i} {n}"))
                assert await c.scalar(sa.select(sa.func.count()).select_from(Author).where(Author.name == f"async {i} {n}")) == 1

    done = await asyncio.gather(*(one(i) for i in range(WORKERS)), return_exceptions=True)
    check("asyncpg: 8 tasks over its prepared statement cache", [repr(e) for e in done if e], [])
    async with engine.connect() as c:
        total = 0
        async for _ in await c.stream(sa.select(Author.id).limit(100)):
            total += 1
        check("asyncpg: stream", total, 100)
    await engine.dispose()


def migrate():
    """Alembic as a program uses it: a migration context with its version table, DDL in a transaction, autogenerate."""
    engine = sa.create_engine(URL.set(drivername="postgresql+psycopg2"))
    with engine.begin() as c:
        op = Operations(MigrationContext.configure(c, opts={"version_table": "m_sa_version"}))
        op.add_column("m_sa_book", sa.Column("pages", sa.Integer(), nullable=False, server_default="0"))
        op.create_index("m_sa_book_pages", "m_sa_book", ["pages"])
    with engine.connect() as c:
        diff = compare_metadata(MigrationContext.configure(c, opts={"include_name": lambda name, kind, _: kind != "table" or name in Base.metadata.tables}),
                                Base.metadata)
        check("Alembic: autogenerate finds what differs", sorted(d[0] for d in diff), ["remove_column", "remove_index"])
    with engine.connect() as c:
        with tempfile.TemporaryDirectory() as directory:
            run_scripts(directory, c)
    engine.dispose()


SCRIPT = '''
revision = "{revision}"
down_revision = {down}
from alembic import op
import sqlalchemy as sa
def upgrade():
    {up}
def downgrade():
    {down_sql}
'''


def run_scripts(directory, connection):
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    os.makedirs(os.path.join(directory, "versions"))
    steps = [("a1", None, 'op.create_table("m_sa_step", sa.Column("id", sa.Integer, primary_key=True))', 'op.drop_table("m_sa_step")'),
             ("a2", "a1", 'op.add_column("m_sa_step", sa.Column("n", sa.Integer))\n    op.execute("INSERT INTO m_sa_step VALUES (1, 2)")',
              'op.drop_column("m_sa_step", "n")')]
    for revision, down, up, down_sql in steps:
        with open(os.path.join(directory, "versions", revision + ".py"), "w") as f:
            f.write(SCRIPT.format(revision=revision, down=repr(down), up=up, down_sql=down_sql))
    config = Config()
    config.set_main_option("script_location", directory)
    scripts = ScriptDirectory.from_config(config)

    def move(to, fn):
        with EnvironmentContext(config, scripts, fn=fn, destination_rev=to) as env:
            env.configure(connection=connection, version_table="m_sa_version", transaction_per_migration=True)
            with env.begin_transaction():
                env.run_migrations()
        connection.commit()

    move("head", lambda rev, _: scripts._upgrade_revs("head", rev))
    check("Alembic: upgrade to head", connection.execute(sa.text("SELECT n, (SELECT version_num FROM m_sa_version) FROM m_sa_step")).one(), (2, "a2"))
    connection.rollback()
    move("base", lambda rev, _: scripts._downgrade_revs("base", rev))
    check("Alembic: downgrade to base", connection.scalar(sa.text("SELECT count(*) FROM m_sa_version")), 0)
    saw("Alembic: the table is gone", connection.scalar(sa.text("SELECT to_regclass('m_sa_step')")))
    connection.execute(sa.text("DROP TABLE m_sa_version"))
    connection.commit()


admin = sa.create_engine(URL.set(drivername="postgresql+psycopg2"))
Base.metadata.drop_all(admin)
Base.metadata.create_all(admin)
orm_over("psycopg2")
orm_over("psycopg", connect_args={"prepare_threshold": 0})
asyncio.run(asyncio.wait_for(over_asyncpg(), 120))
migrate()
Base.metadata.drop_all(admin)
admin.dispose()
finish()
