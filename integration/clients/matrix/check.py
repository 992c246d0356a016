"""What the Python programs of the matrix share: one line for each behaviour, exit code 0 when all held.

`ok NAME` is a behaviour that did what it must. `saw NAME => TEXT` is one whose outcome is not judged here but compared
between PostgreSQL and pgtier by the runner: it must not depend on the server's version, a process id or the time.
"""

import os
import sys
import threading
import traceback

DSN = os.environ["DSN"]
WORKERS = int(os.environ.get("WORKERS", "8"))
ROUNDS = int(os.environ.get("ROUNDS", "15"))

_failed = False


def check(name, got, want):
    if got == want:
        print(f"ok {name}")
        return
    global _failed
    _failed = True
    print(f"FAILED {name}: got {got!r}, want {want!r}")


def saw(name, text):
    print(f"saw {name} => {text}")


def version(text):
    print(f"version {text}")


def finish():
    sys.stdout.flush()
    sys.exit(1 if _failed else 0)


def workers(name, work):
    """Runs work(i) in WORKERS threads; it is one behaviour that all of them return without an exception."""
    errors = []

    def run(i):
        try:
            work(i)
        except Exception:
            errors.append(f"worker {i}: {traceback.format_exc()}")

    threads = [threading.Thread(target=run, args=(i,)) for i in range(WORKERS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    check(name, "\n".join(errors), "")
