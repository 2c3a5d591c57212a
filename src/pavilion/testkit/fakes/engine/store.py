"""The state of a fake cluster: an sqlite file that many processes read and write at once.

Rows are plain dictionaries. What a job is asked to be and what became of it is one JSON text; its
script and environment lie apart, so that listing jobs does not read them.
"""

# A command starts in less time without pathlib.
# ruff: noqa: PTH100, PTH105, PTH118, PTH123

from __future__ import annotations

import json
import marshal
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

Row = dict[str, Any]
NodeValues = tuple[Any, ...]

STATE_FILE = "state.db"
NODE_FILE = "nodes.marshal"
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE nodes (position INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, cpus INTEGER,
    memory INTEGER, features TEXT, gpus TEXT, base TEXT, flags TEXT, reason TEXT, reason_user TEXT,
    reason_time REAL, power TEXT, cloud INTEGER, resume_time REAL, changed REAL,
    booted REAL, busy REAL);
CREATE TABLE jobs (id INTEGER PRIMARY KEY, over INTEGER NOT NULL, data TEXT NOT NULL);
CREATE INDEX jobs_over ON jobs (over);
CREATE TABLE scripts (job INTEGER PRIMARY KEY, script BLOB, environment TEXT, arguments TEXT);
CREATE TABLE reservations (name TEXT PRIMARY KEY, position INTEGER, data TEXT NOT NULL);
CREATE TABLE archive (position INTEGER PRIMARY KEY, data TEXT NOT NULL);
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
NODE_COLUMNS = (
    "position",
    "name",
    "cpus",
    "memory",
    "features",
    "gpus",
    "base",
    "flags",
    "reason",
    "reason_user",
    "reason_time",
    "power",
    "cloud",
    "resume_time",
    "changed",
    "booted",
)


class Store:
    """An open state file. Not shared between threads; each process opens its own."""

    def __init__(self, folder: str, *, make: bool = False) -> None:
        """Open the state file, which is there unless it is to be made.

        :raises sqlite3.OperationalError: when it is not there.
        """
        self.folder = folder
        path = os.path.join(os.path.abspath(folder), STATE_FILE)
        for char in "%?#":  # they mean something in a URI
            path = path.replace(char, f"%{ord(char):02X}")
        # Transactions are begun by hand: a writer takes the lock before it reads.
        self._db = sqlite3.connect(
            f"file:{path}?mode={'rwc' if make else 'rw'}",
            uri=True,
            timeout=60.0,
            isolation_level=None,
        )
        self._db.row_factory = sqlite3.Row
        self._nodes: tuple[int, list[NodeValues]] = (-1, [])
        self._changing_nodes = False  # in a transaction that may yet be rolled back
        self._db.execute("PRAGMA synchronous = OFF")

    def close(self) -> None:
        """Close the state file."""
        self._db.close()

    @classmethod
    def create(cls, folder: str, description: Row, nodes: Iterable[Row]) -> Store:
        """Make the state file of a new cluster."""
        store = cls(folder, make=True)
        store._db.execute("PRAGMA journal_mode = WAL")
        store._db.executescript(_SCHEMA)
        marks = ", ".join("?" * len(NODE_COLUMNS)) + ", NULL"
        with store.transaction():
            store.set_meta("description", description)
            store._db.executemany(
                f"INSERT INTO nodes VALUES ({marks})",
                (
                    (position, *(node.get(column) for column in NODE_COLUMNS[1:]))
                    for position, node in enumerate(nodes)
                ),
            )
        return store

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written in the block is written at once, or not at all."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            self._nodes = (-1, [])
            raise
        finally:
            self._changing_nodes = False
        self._db.execute("COMMIT")

    # -- the cluster -------------------------------------------------------------------------

    def description(self) -> Row:
        """Partitions and settings, as ``description.py`` makes them."""
        row = self._db.execute("SELECT value FROM meta WHERE key = 'description'").fetchone()
        loaded: Row = json.loads(row["value"])
        return loaded

    def set_meta(self, key: str, value: object) -> None:
        """Keep a value, which must be one that JSON has, under a key."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    def count(self, name: str) -> int:
        """Add one to a counter; its new value."""
        with self.transaction():
            return self.count_in_transaction(name)

    def count_in_transaction(self, name: str) -> int:
        """As ``count``, within a transaction that the caller has begun."""
        self._db.execute(
            "INSERT INTO counters VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1",
            (name,),
        )
        row = self._db.execute("SELECT value FROM counters WHERE name = ?", (name,)).fetchone()
        return int(row["value"])

    def reset_counter(self, name: str) -> None:
        """Let a counter begin at 0 again."""
        self._db.execute("DELETE FROM counters WHERE name = ?", (name,))

    # -- nodes -------------------------------------------------------------------------------

    def nodes(self) -> list[Row]:
        """All nodes, in the order of the description, without 'busy': see ``last_use``."""
        return [dict(zip(NODE_COLUMNS, values)) for values in self.node_values()]

    def node_values(self) -> list[NodeValues]:
        """As ``nodes``, each as a tuple in the order of ``NODE_COLUMNS``.

        Reading thousands of them takes most of a command's time, so they are kept in a file in
        a form that is read quickly, until one of them changes.
        """
        version = self._nodes_version()
        if version != self._nodes[0]:
            self._nodes = self._nodes_of_file(version) or self._nodes_of_table(version)
        return self._nodes[1]

    def _nodes_version(self) -> int:
        row = self._db.execute("SELECT value FROM counters WHERE name = 'nodes'").fetchone()
        return int(row["value"]) if row else 0

    def _nodes_of_file(self, version: int) -> tuple[int, list[NodeValues]] | None:
        try:
            with open(os.path.join(self.folder, NODE_FILE), "rb") as file:
                found, rows = marshal.loads(file.read())
        except (OSError, EOFError, ValueError, TypeError):
            return None
        return (version, rows) if found == version else None

    def _nodes_of_table(self, version: int) -> tuple[int, list[NodeValues]]:
        query = self._db.cursor()
        query.row_factory = None
        rows = query.execute(
            f"SELECT {', '.join(NODE_COLUMNS)} FROM nodes ORDER BY position"
        ).fetchall()
        if self._changing_nodes:
            return version, rows
        path = os.path.join(self.folder, NODE_FILE)
        temporary = f"{path}.{os.getpid()}"
        try:
            with open(temporary, "wb") as file:
                marshal.dump((version, rows), file)
            os.replace(temporary, path)
        except OSError:
            pass  # the directory is being removed
        return version, rows

    def last_use(self) -> dict[str, float]:
        """When jobs ended last, by name of node."""
        rows = self._db.execute("SELECT name, busy FROM nodes WHERE busy IS NOT NULL")
        return {row["name"]: row["busy"] for row in rows}

    def powered_nodes(self) -> list[Row]:
        """The nodes that are under power saving."""
        return [dict(row) for row in self._db.execute("SELECT * FROM nodes WHERE power != ''")]

    def note_use(self, names: Iterable[str], now: float) -> None:
        """Note that a job ended on these nodes."""
        self._db.executemany(
            "UPDATE nodes SET busy = ? WHERE name = ?", ((now, name) for name in names)
        )

    def down_nodes(self) -> set[str]:
        """Names of the nodes whose base state is DOWN."""
        rows = self._db.execute("SELECT name FROM nodes WHERE base = 'DOWN'").fetchall()
        return {row["name"] for row in rows}

    def update_node(self, name: str, **values: object) -> None:
        """Change columns of a node."""
        columns = ", ".join(f"{column} = ?" for column in values)
        self._db.execute(f"UPDATE nodes SET {columns} WHERE name = ?", (*values.values(), name))
        self.count_in_transaction("nodes")
        self._changing_nodes = True

    # -- jobs --------------------------------------------------------------------------------

    def add_job(
        self, job: Row, script: bytes, environment: dict[str, str], arguments: list[str]
    ) -> int:
        """Store a new job; its id, which is put into the row as well.

        Ids go on where they were when all jobs have been purged.
        """
        job["id"] = self.count_in_transaction("job")
        self._db.execute("INSERT INTO jobs VALUES (?, 0, '')", (job["id"],))
        self._db.execute(
            "INSERT INTO scripts VALUES (?, ?, ?, ?)",
            (job["id"], script, json.dumps(environment), json.dumps(arguments)),
        )
        self.save_job(job)
        return int(job["id"])

    def save_job(self, job: Row) -> None:
        """Keep a job that is known already."""
        over = int(
            job["state"] not in ("PENDING", "RUNNING", "SUSPENDED") and not job["completing"]
        )
        self._db.execute(
            "UPDATE jobs SET over = ?, data = ? WHERE id = ?", (over, json.dumps(job), job["id"])
        )

    def jobs(self, *, active_only: bool = False) -> list[Row]:
        """Jobs by id; with ``active_only`` those that wait, run, or are being ended."""
        where = "WHERE over = 0" if active_only else ""
        rows = self._db.execute(f"SELECT data FROM jobs {where} ORDER BY id").fetchall()
        return [json.loads(row["data"]) for row in rows]

    def job(self, job_id: int) -> Row | None:
        """The job with this id; None if there is none."""
        row = self._db.execute("SELECT data FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return None if row is None else json.loads(row["data"])

    def count_jobs(self) -> int:
        """How many jobs are known."""
        return int(self._db.execute("SELECT COUNT(*) AS n FROM jobs").fetchone()["n"])

    def delete_job(self, job_id: int) -> None:
        """Forget a job and its script."""
        self._db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
        self._db.execute("DELETE FROM scripts WHERE job = ?", (job_id,))

    def archive(self, job: Row) -> None:
        """Keep a run of a job for accounting."""
        self._db.execute("INSERT INTO archive (data) VALUES (?)", (json.dumps(job),))

    def archived(self) -> list[Row]:
        """The runs that are kept besides those of the present jobs, oldest first."""
        rows = self._db.execute("SELECT data FROM archive ORDER BY position").fetchall()
        return [json.loads(row["data"]) for row in rows]

    def script(self, job_id: int) -> tuple[bytes, dict[str, str], list[str]]:
        """The batch script, the environment to run it in, and its arguments."""
        row = self._db.execute("SELECT * FROM scripts WHERE job = ?", (job_id,)).fetchone()
        return (bytes(row["script"]), json.loads(row["environment"]), json.loads(row["arguments"]))

    # -- reservations ------------------------------------------------------------------------

    def reservations(self) -> list[Row]:
        """All reservations, in the order in which they were made."""
        rows = self._db.execute("SELECT data FROM reservations ORDER BY position").fetchall()
        return [json.loads(row["data"]) for row in rows]

    def save_reservation(self, reservation: Row) -> None:
        """Keep a reservation; one of the same name is replaced in its place."""
        self._db.execute(
            "INSERT INTO reservations VALUES (?, (SELECT COALESCE(MAX(position), 0) + 1 FROM "
            "reservations), ?) ON CONFLICT (name) DO UPDATE SET data = excluded.data",
            (reservation["name"], json.dumps(reservation)),
        )

    def delete_reservation(self, name: str) -> None:
        """Delete a reservation."""
        self._db.execute("DELETE FROM reservations WHERE name = ?", (name,))
