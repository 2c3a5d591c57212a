"""Where OpenPBS is installed here, and whether a private one can be started.

The installation is the one that the variable ``PBS_EXEC`` names, otherwise that of ``qsub`` in
PATH.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

_COMMANDS = ("qsub", "qstat", "qdel", "qselect", "pbsnodes", "qmgr", "qhold", "qrls")
_DAEMONS = ("pbs_server.bin", "pbs_sched", "pbs_comm", "pbs_mom")
SCHEMA = "libexec/pbs_db_schema.sql"
# Where Debian and Red Hat have PostgreSQL's own programs; elsewhere they are in PATH.
_POSTGRES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
# Either has the database of a PBS at a site; it cannot be root's.
_DATABASE_USERS = ("pbsdata", "postgres")


def installation() -> Path | None:
    """Where PBS is installed, as its PBS_EXEC is; None when that is not found."""
    named = os.environ.get("PBS_EXEC")
    if named:
        return Path(named)
    qsub = shutil.which("qsub")
    return Path(qsub).resolve().parents[1] if qsub else None


def postgres() -> Path | None:
    """The directory with PostgreSQL's programs."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    for pattern in _POSTGRES:
        places = sorted(Path("/").glob(pattern.lstrip("/")))
        if places and (places[-1] / "initdb").exists():
            return places[-1]
    return None


def database_user() -> str:
    """A user who can have the database; '' when there is none."""
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in _DATABASE_USERS if name in known), "")


def why_not_available() -> str:
    """Why a real PBS cannot be started here; '' when it can."""
    place = installation()
    if place is None:
        return "OpenPBS is not installed: no PBS_EXEC is set, and there is no qsub in PATH"
    missing = [
        name
        for name in (
            *(f"bin/{name}" for name in _COMMANDS),
            *(f"sbin/{name}" for name in _DAEMONS),
            SCHEMA,
        )
        if not (place / name).exists()
    ]
    if missing:
        first = ", ".join(missing[:3]) + (" and others" if len(missing) > 3 else "")
        return f"OpenPBS with its server is not installed in {place} (PBS_EXEC): no {first}"
    if postgres() is None:
        return "PostgreSQL's initdb is not installed, which the server of PBS needs"
    if not database_user():
        return f"there is no user for its database: {' or '.join(_DATABASE_USERS)}"
    if os.geteuid() != 0:
        return "a private PBS is started as root only"
    tools = [name for name in ("unshare", "nsenter", "ip", "mount") if shutil.which(name) is None]
    if tools:
        return f"not installed, for a network of its own: {', '.join(tools)}"
    tried = subprocess.run(["unshare", "-m", "-n", "-u", "true"], capture_output=True, text=True)
    return f"no network of its own: {tried.stderr.strip()}" if tried.returncode else ""


if __name__ == "__main__":
    # For tools/test.py: whether one can be started here.
    if why_not := why_not_available():
        print(why_not, file=sys.stderr)
    sys.exit(bool(why_not))
