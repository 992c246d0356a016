"""What the client programs share: where pgtier is, and one line for each behaviour that has been seen."""

import os
import sys

RO = os.environ["PGTIER_RO"]  # DSNs, one for each tier
RW = os.environ["PGTIER_RW"]
ADMIN = os.environ["PGTIER_ADMIN"]


def client(name, version):
    print("client", name, version, flush=True)


def equal(what, got, want):
    if got != want:
        sys.exit(f"FAIL {what}: got {got!r}, want {want!r}")
    print("ok", what, flush=True)


def fails(what, sqlstate, do):
    """do() must fail with this SQLSTATE."""
    try:
        do()
    except Exception as e:
        got = getattr(e, "sqlstate", None) or getattr(e, "pgcode", None)
        equal(what, (got, str(e) if got != sqlstate else ""), (sqlstate, ""))
        return e
    sys.exit(f"FAIL {what}: worked")
