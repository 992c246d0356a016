"""Django: its own migrations, an application with models, atomic blocks, server-side cursors, persistent connections."""

import os
import sys
import threading

import django
from django.conf import settings

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from check import ROUNDS, WORKERS, check, finish, saw, version, workers  # noqa: E402

env = os.environ


def database(**options):
    return {
        "ENGINE": "django.db.backends.postgresql", "HOST": env["PGHOST"], "PORT": env["PGPORT"], "USER": env["PGUSER"],
        "PASSWORD": env["PGPASSWORD"], "NAME": env["PGDATABASE"], "CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {"sslmode": "disable", **options},
    }


settings.configure(
    DATABASES={"default": database(), "binding": database(server_side_binding=True, isolation_level=3)},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.sessions", "django.contrib.admin", "django.contrib.messages"],
    SECRET_KEY="of a test", USE_TZ=True, TIME_ZONE="Europe/Zurich", DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
)
django.setup()
version(django.__version__)

from django.contrib.auth.models import Group, Permission, User  # noqa: E402
from django.contrib.sessions.backends.db import SessionStore  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import Error, IntegrityError, connection, connections, models, transaction  # noqa: E402
from django.db.models import Count, F, Q  # noqa: E402
from django.utils import timezone  # noqa: E402


class Shelf(models.Model):
    name = models.CharField(max_length=40, unique=True)
    doc = models.JSONField(default=dict)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        app_label = "auth"
        db_table = "m_django_shelf"


everybody = threading.Barrier(WORKERS)


def worker(i):
    try:
        for n in range(ROUNDS):
            using = "binding" if n % 2 else "default"
            shelves = Shelf.objects.using(using)
            with transaction.atomic(using=using):
                s = shelves.create(name=f"w{i} {n}", doc={"n": n})
                try:
                    with transaction.atomic(using=using):
                        shelves.create(name=f"w{i} {n}")
                    raise AssertionError("no error")
                except IntegrityError:
                    pass
                assert shelves.select_for_update().get(pk=s.pk).doc == {"n": n}
            shelves.filter(pk=s.pk).update(doc={"n": n + 1})
            assert shelves.get(pk=s.pk).doc == {"n": n + 1}
            assert shelves.filter(name__startswith=f"w{i} ").count() == n + 1
            with connections[using].cursor() as c:
                c.execute("SHOW timezone")
                assert c.fetchone()[0] in ("UTC",), "time zone"
            assert sum(1 for _ in shelves.filter(name__startswith=f"w{i} ").iterator(chunk_size=3)) == n + 1  # a cursor WITH HOLD
        everybody.wait(100)
    finally:
        connections.close_all()


def tables():
    with connection.cursor() as c:
        return sorted(t for t in connection.introspection.table_names(c) if t.split("_")[0] in ("auth", "django"))


call_command("migrate", verbosity=0, interactive=False)
check("migrations of Django's own applications", len(tables()), 10)
call_command("migrate", "auth", "0011", verbosity=0)
call_command("migrate", verbosity=0)
check("a migration undone and done again", Permission.objects.count() > 0, True)
with connection.schema_editor() as editor:
    editor.create_model(Shelf)

workers("8 threads: atomic, savepoints, select_for_update, persistent connections", worker)

Shelf.objects.bulk_create([Shelf(name=f"bulk {n}") for n in range(500)], batch_size=100)
check("bulk_create gives keys", Shelf.objects.filter(name__startswith="bulk").count(), 500)
Shelf.objects.bulk_create([Shelf(name="bulk 1", doc={"u": 1})], update_conflicts=True, unique_fields=["name"], update_fields=["doc"])
check("bulk_create with update_conflicts", Shelf.objects.get(name="bulk 1").doc, {"u": 1})
check("iterator outside a transaction: a cursor WITH HOLD", sum(1 for _ in Shelf.objects.filter(name__startswith="bulk").iterator(chunk_size=50)), 500)
with transaction.atomic():
    check("iterator in a transaction", sum(1 for _ in Shelf.objects.filter(name__startswith="bulk").iterator(chunk_size=50)), 500)
half = Shelf.objects.filter(name__startswith="bulk").iterator(chunk_size=10)
next(half)
half.close()
check("iterator given up half-way", Shelf.objects.filter(name="bulk 3").count(), 1)
check("JSON operators", Shelf.objects.filter(doc__u=1).count(), 1)
check("F expressions and aggregates", Group.objects.create(name="g") and Group.objects.annotate(n=Count("permissions")).filter(Q(n=0)).values_list("name", flat=True)[0], "g")
user = User.objects.create_user("anna", password="x")
user.groups.add(Group.objects.get(name="g"))
check("many-to-many", list(user.groups.values_list("name", flat=True)), ["g"])
check("prefetch_related", [len(u.groups.all()) for u in User.objects.prefetch_related("groups")], [1])
store = SessionStore()
store["k"] = "v"
store.save()
check("sessions in the database", SessionStore(store.session_key)["k"], "v")
heard = []
try:
    with transaction.atomic():
        transaction.on_commit(lambda: heard.append(1))
        with transaction.atomic():
            transaction.on_commit(lambda: heard.append(2))
        transaction.set_rollback(True)
    with transaction.atomic():
        transaction.on_commit(lambda: heard.append(3))
except Error as e:
    heard.append(str(e))
check("on_commit", heard, [3])
for alias in ("default", "binding"):
    with transaction.atomic(using=alias), connections[alias].cursor() as c:
        c.execute("SHOW transaction_isolation")
        saw(f"isolation level of {alias}", c.fetchone()[0])
with timezone.override("Asia/Tokyo"), connection.cursor() as c:
    c.execute("SET TIME ZONE 'Asia/Tokyo'")
    c.execute("SELECT '2024-01-01 00:00'::timestamptz::text")
    saw("a time zone of the connection's", c.fetchone()[0])
    c.execute("SET TIME ZONE 'UTC'")
with connections["binding"].cursor() as c:
    c.execute("SELECT %s::text, %s::int", ["x", 5])
    check("parameters bound by the server", c.fetchone(), ("x", 5))
call_command("inspectdb", "m_django_shelf", stdout=(out := __import__("io").StringIO()))
check("inspectdb", "class MDjangoShelf" in out.getvalue(), True)
Shelf.objects.all().delete()
with connection.schema_editor() as editor:
    editor.delete_model(Shelf)
for app in ("admin", "sessions", "auth", "contenttypes"):
    call_command("migrate", app, "zero", verbosity=0)
with connection.cursor() as c:
    c.execute("DROP TABLE django_migrations")
check("all migrations undone", tables(), [])
connections.close_all()
finish()
