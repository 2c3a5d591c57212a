"""A test run: one test of a suite with all of its choices made, and the directory that keeps it.

``<working_dir>/series/s1/s1.1`` holds::

    test.json      what it is: name, config, variables, what its permutation chose; and, from its
                   start on, the scheduler's id of its job and the nodes that it runs on
    status         its states (see pavilion.status_file)
    job            a link to the directory of its job
    run.sh         the script, with every variable filled in; made on the allocation
    run.log        what the script printed
    work/          the directory that the script runs in
    results.json   its result
    RUN_COMPLETE   exists as soon as nothing more will be added
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pavilion.config import PavConfig
from pavilion.errors import ConfigError, PavilionError, TestRunError, quoted
from pavilion.files import is_mine, make_directory, make_mark, read_json, write_own_json
from pavilion.jobs import Job
from pavilion.scriptcomposer import ScriptComposer, ScriptHeader
from pavilion.status_file import STATES, StatusFile
from pavilion.variables import VariableSetManager

PASS = "PASS"
FAIL = "FAIL"
# The test gave no result of its own: its job was lost, it was cancelled, its script is wrong.
ERROR = "ERROR"

_SHEBANG = "#!/bin/bash"
# A bash, with options or without: '#!/usr/bin/env -S bash -l'.
_BASH = re.compile(r"#!\s*(?:\S*/)?(?:env\s+(?:-S\s+)?(?:\S*/)?)?bash(?:\s|\Z)")
# A shell that knows 'export'.
_SHELL = re.compile(r"[/\s!](?:ba|da|k|mk|z|a)?sh(?:\s|\Z)")
# Where the link to a job leads.
_JOB_LINK = re.compile(r"\.\./\.\./\.\./jobs/([^/.][^/]*)\Z")
# As long as any id that is given out; see pavilion.series.
_ID_RE = re.compile(r"(s[1-9][0-9]{0,8})\.([1-9][0-9]{0,8})\Z")


class Where(NamedTuple):
    """Where a test runs or ran, as far as that is known.

    - ``job_id``: the scheduler's own id of its job, '58'
    - ``nodes``: the names of its nodes
    - ``chunk``: the number of its chunk; None without chunks
    - ``chunk_nodes``: all nodes of that chunk, which may be more than those of the test

    Lists are in natural order, and empty where nothing is known.  They are not to be changed.
    """

    job_id: str | None = None
    nodes: list[str] = []
    chunk: int | None = None
    chunk_nodes: list[str] = []

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Where:
        """What a record says, without values of other types: it may be another user's."""
        from pavilion.schedulers.lifecycle.whereabouts import chunk_number, node_names

        job_id = record.get("job_id")
        return cls(
            job_id if job_id and isinstance(job_id, str) else None,
            node_names(record.get("nodes")),
            chunk_number(record.get("chunk")),
            node_names(record.get("chunk_nodes")),
        )

    def or_else(self, other: Where) -> Where:
        """This place, with what is not known taken from another."""
        chunk = self if self.chunk is not None else other
        return Where(
            self.job_id or other.job_id, self.nodes or other.nodes, chunk.chunk, chunk.chunk_nodes
        )


class TestRun:
    """A test run.  Made by :meth:`create`, found again by :meth:`load`.

    - ``id``: 's1.1'; ``series``: 's1'; ``path``: its directory
    - ``name``: suite, test and subtitle, 'suite.test.subtitle'
    - ``config``: its config; strings that need the allocation are not filled in yet
    - ``scheduler``: the name of its scheduler
    - ``var_man``: its variables
    - ``permutation``: what its permutation chose: variable -> value, a mapping for an item that
      is one
    - ``source``: the suite file, the test in it and the overrides that it was made from, for
      :mod:`pavilion.again`; None where that is not recorded
    - ``repeats``: the id of the test run that it repeats; None for others
    - ``status``: its status file
    """

    __test__ = False

    def __init__(self, path: Path, record: Mapping[str, Any], var_man: VariableSetManager) -> None:
        self.path = path
        self.id: str = path.name
        self.series: str = path.name.partition(".")[0]
        self.name: str = record["name"]
        self.config: dict[str, Any] = record["config"]
        self.scheduler: str = self.config["scheduler"]
        self.created: float = record["created"]
        self.var_man = var_man
        self.status = StatusFile(path / "status")
        self.permutation: dict[str, Any] = _checked_choices(record.get("permutation"))
        source = record.get("source")
        self.source: dict[str, Any] | None = source if isinstance(source, dict) else None
        repeats = record.get("repeats")
        is_id = isinstance(repeats, str) and _ID_RE.match(repeats)
        self.repeats: str | None = repeats if is_id else None
        self._deferred_paths: list[list[Any]] = record["deferred_paths"]
        # What its start recorded.
        self._where = Where.of_record(record)

    @classmethod
    def create(
        cls,
        series_path: Path,
        number: int,
        name: str,
        config: Mapping[str, Any],
        var_man: VariableSetManager,
        deferred_paths: Sequence[Sequence[str | int]] = (),
        permutation: Mapping[str, Any] | None = None,
        source: Mapping[str, Any] | None = None,
        repeats: str | None = None,
    ) -> TestRun:
        """Make the directory of a new test run.

        :param config: The test's config, variables filled in
        :param deferred_paths: but for the strings at these places, which need the allocation.
        :param permutation: What its permutation chose: variable -> value.
        :param source: What it was made from, see :mod:`pavilion.again`.
        :param repeats: The id of the test run that it repeats.
        :raises VariableError: When a reference in the config is wrong.
        :raises TestRunError: When the directory cannot be made.
        """
        record = {
            "name": name,
            "config": config,
            "created": time.time(),
            "deferred_paths": [list(path) for path in deferred_paths],
            "permutation": dict(permutation or {}),
            "source": None if source is None else dict(source),
            "repeats": repeats,
        }
        references = var_man.references(config, deferred_paths)
        path = series_path / f"{series_path.name}.{number}"
        try:
            make_directory(path)
            write_own_json(path / "test.json", dict(record, variables=var_man.export(references)))
        except OSError as exc:
            raise TestRunError(
                f"The test run {path.name} ({name}) cannot be written to {path}", prior_error=exc
            ) from exc
        test = cls(path, record, var_man)
        test.status.set(STATES.CREATED, "Created.")
        return test

    @classmethod
    def load(cls, pav_cfg: PavConfig, test_id: str) -> TestRun:
        """Find a test run by its id.

        :raises TestRunError: When there is none, or its record is damaged.
        """
        match = _ID_RE.match(str(test_id))
        if match is None:
            raise TestRunError(f"{quoted(test_id)} is not a test id. Ids look like 's1.1'.")
        path = pav_cfg.working_dir / "series" / match[1] / match[0]
        return cls.load_path(path)

    @classmethod
    def load_path(cls, path: Path) -> TestRun:
        """The test run of a directory.  :raises TestRunError: as load."""
        try:
            record = _checked(read_json(path / "test.json"))
            return cls(path, record, VariableSetManager.load(record["variables"]))
        except FileNotFoundError as exc:
            raise TestRunError(
                f"There is no test run {path.name} in {path.parent.parent}.", prior_error=None
            ) from exc
        except (OSError, ValueError, KeyError, TypeError, PavilionError) as exc:
            raise TestRunError(
                f"The record of test run {path.name} ({path / 'test.json'}) cannot be read",
                prior_error=exc,
            ) from exc

    # --------------------------------------------------------------------------------- its job

    @property
    def job(self) -> Job | None:
        """The job it belongs to; None while it has none.  Can be set once."""
        return job_of(self.path)

    @job.setter
    def job(self, job: Job) -> None:
        link = self.path / "job"
        try:
            link.symlink_to(os.path.relpath(job.path, self.path))
        except FileExistsError as exc:
            raise TestRunError(f"Test {self.id} already has a job: {link}.") from exc
        except OSError as exc:
            raise TestRunError(
                f"The job of test {self.id} cannot be recorded in {link}", prior_error=exc
            ) from exc

    # ------------------------------------------------------------------------------- its place

    def where(self, results: Mapping[str, Any] | None = None) -> Where:
        """Where it ran or, before that is known, where its job was placed.  Never raises.

        :param results: Its results, if they were already read.
        """
        from pavilion.schedulers.lifecycle.identity import known_id
        from pavilion.schedulers.lifecycle.whereabouts import load_placement

        found = Where.of_record(self.results if results is None else results)
        found = found.or_else(self._where)
        # Results that have nodes have everything.
        job = None if found.job_id and found.nodes else self.job
        if job is not None:
            placed = load_placement(job)
            found = found.or_else(
                Where(known_id(job), placed.nodes, placed.chunk, placed.chunk_nodes)
            )
        elif found == Where():
            # It requests a chunk, and was not placed.
            asked = str(self.config.get("chunk"))
            is_number = asked.isascii() and asked.isdigit() and len(asked) < 10
            found = Where(chunk=int(asked) if is_number else None)
        return found

    @property
    def job_id(self) -> str | None:
        """The scheduler's own id of its job, '58'; None before the scheduler accepted it."""
        return self.where().job_id

    @property
    def nodes(self) -> list[str]:
        """The nodes that it ran on; before that is known, those that its job was placed on; []
        while neither is known.  In natural order."""
        return list(self.where().nodes)

    @property
    def chunk(self) -> int | None:
        """The number of its chunk; None without chunks."""
        return self.where().chunk

    @property
    def chunk_nodes(self) -> list[str]:
        """All nodes of its chunk, in natural order; [] without chunks."""
        return list(self.where().chunk_nodes)

    def started_on(self, where: Where) -> None:
        """Take note of where it runs.  Only :meth:`record_start` records that on disk."""
        self._where = where

    def record_start(self) -> None:
        """Add where it runs to its record.  Only for the process that runs it.

        :raises OSError, ValueError: When the record cannot be read or written.
        """
        from pavilion.schedulers.lifecycle.whereabouts import stored

        path = self.path / "test.json"
        write_own_json(path, {**_checked(read_json(path)), **stored(self._where._asdict())})

    # ---------------------------------------------------------------------------------- its end

    @property
    def complete(self) -> bool:
        """Whether it has ended, in whatever way."""
        # Whatever the mark is; a link is not followed.
        return os.path.lexists(f"{self.path}/RUN_COMPLETE")

    def set_run_complete(self) -> None:
        """Mark it as ended.  :raises TestRunError: When that cannot be written."""
        path = self.path / "RUN_COMPLETE"
        try:
            make_mark(path)
        except OSError as exc:
            raise TestRunError(
                f"The end of test {self.id} cannot be recorded in {path}", prior_error=exc
            ) from exc

    @property
    def results(self) -> dict[str, Any]:
        """Its results: 'result', 'return_value', 'started', 'finished', 'duration' (seconds),
        ...; empty when there are none (yet)."""
        try:
            data = read_json(self.path / "results.json")
        except (OSError, ValueError):
            return {}
        return _checked_results(data) if isinstance(data, dict) else {}

    @property
    def result(self) -> str | None:
        """PASS, FAIL or ERROR; None while it has not ended."""
        if not self.complete:
            return None
        return str(self.results.get("result", ERROR))

    def save_results(self, results: Mapping[str, Any]) -> None:
        """Store the results, with what they are of: the test, its scheduler, what its permutation
        chose and where it ran.

        :raises TestRunError: When they cannot be written.
        """
        from pavilion.schedulers.lifecycle.whereabouts import stored

        path = self.path / "results.json"
        about = {
            "id": self.id,
            "name": self.name,
            "scheduler": self.scheduler,
            "permutation": self.permutation,
            **stored(self.where({})._asdict()),
        }
        try:
            write_own_json(path, {**results, **about})
        except OSError as exc:
            raise TestRunError(
                f"The results of test {self.id} cannot be written to {path}", prior_error=exc
            ) from exc

    def cancel(self, reason: str) -> bool:
        """Mark it as cancelled.  False when it had already ended.

        Its job keeps running; whoever knows the job's other tests may cancel it.
        """
        if self.complete:
            return False
        if not is_mine(self.path):
            raise TestRunError(f"Test {self.id} belongs to another user, who alone can cancel it.")
        self.status.set(STATES.CANCELLED, reason)
        self.set_run_complete()
        return True

    # ------------------------------------------------------------------------------- its script

    @property
    def shebang(self) -> str:
        """The interpreter line of its kickoff script.  Its own script may have another one."""
        return kickoff_shebang(self.config)

    @property
    def run_log(self) -> Path:
        """What its script prints."""
        return self.path / "run.log"

    @property
    def run_script(self) -> Path:
        """Its script."""
        return self.path / "run.sh"

    def finalize(self, sets: Mapping[str, Mapping[str, Any]]) -> None:
        """Fill in what could only be known on the allocation.

        :param sets: The sets of variables that have deferred ones, which are known now.
        :raises VariableError: When one cannot be worked out.
        """
        if not self._deferred_paths:
            return
        for name, values in sets.items():
            self.var_man.add_set(name, values)
        self.config = self.var_man.resolve_config(self.config, paths=self._deferred_paths)
        self._deferred_paths = []

    @property
    def needs_allocation(self) -> bool:
        """Whether something in its config must still be filled in on the allocation."""
        return bool(self._deferred_paths)

    def make_script(
        self, script: ScriptComposer | None = None, kind: str = "run", isolate: bool = False
    ) -> ScriptComposer:
        """Add what the test does to a script.

        :param script: The script so far; a new one when left out.
        :param kind: 'run', the only kind there is.
        :param isolate: The script is to run without Pavilion, from any directory.
        """
        if kind != "run":
            raise TestRunError(f"There is no script {kind!r} for a test, only 'run'.")
        run = self.config["run"]
        shebang = str(run.get("shebang") or _SHEBANG)
        script = script or ScriptComposer(header=ScriptHeader(shebang))
        script.comment(f"Test {self.name} ({self.id})")
        if run["env"]:
            script.env_change(run["env"])
        if not isolate and _SHELL.search(shebang):
            # For whoever runs the script by hand; the runner sets it for all kinds of scripts.
            script.env_change({"PAV_TEST_ID": self.id})
        script.newline()
        for command in run["cmds"]:
            script.command(command)
        return script


def job_of(test: str | os.PathLike[str]) -> Job | None:
    """The job that a test belongs to; None while it has none.

    :param test: The directory of the test.
    """
    path = os.fspath(test)
    try:
        target = os.readlink(f"{path}/job")  # noqa: PTH115 (queried very often)
    except OSError:
        return None
    match = _JOB_LINK.match(target)
    # A link that leads elsewhere was not made here; what is there is not a job.
    return Job(Path(f"{path.rsplit('/', 3)[0]}/jobs/{match[1]}")) if match else None


def kickoff_shebang(config: Mapping[str, Any]) -> str:
    """The interpreter line of the kickoff script of a test: its own if that is a bash, with its
    options; otherwise plain bash.  A kickoff script is a shell script, also for a test in Python, and
    only a bash notes which lines of ``env_setup`` fail."""
    own = str(config["run"].get("shebang") or _SHEBANG)
    return own if _BASH.match(own) else _SHEBANG


def _checked_choices(found: Any) -> dict[str, Any]:
    """What a permutation chose, without values of other types: it may be another user's."""
    choices = found if isinstance(found, dict) else {}
    return {
        name: value
        for name, value in choices.items()
        if isinstance(value, str)
        or (isinstance(value, dict) and all(isinstance(text, str) for text in value.values()))
    }


def _checked(record: Any) -> Any:
    """A test's record, if it has the shape of one: it may be another user's.

    :raises ValueError: When it does not.
    """
    if not isinstance(record, dict):
        raise ValueError(f"expected a JSON object, not {quoted(record)}")
    config = record["config"]
    for key, value, kind in (
        ("name", record["name"], str),
        ("config", config, dict),
        ("deferred_paths", record["deferred_paths"], list),
        ("created", record["created"], (int, float)),
    ):
        if not isinstance(value, kind):
            raise ValueError(f"'{key}' has the value {quoted(value)}")
    if not isinstance(config["scheduler"], str) or not isinstance(config["run"], dict):
        raise ValueError("'config' does not have the shape of a test's config")
    return record


# The types of those results that are used for computing or deciding something.
_RESULT_TYPES: dict[str, Any] = {
    "result": str,
    "note": str,
    "host": str,
    "return_value": int,
    "started": (int, float),
    "finished": (int, float),
    "duration": (int, float),
}


def _checked_results(data: dict[str, Any]) -> dict[str, Any]:
    """Results without values of other types: they may be another user's."""
    return {
        key: value
        for key, value in data.items()
        if value is None or isinstance(value, _RESULT_TYPES.get(key, object))
    }


def parse_timeout(text: str | None) -> float | None:
    """What ``run.timeout`` says, in seconds; None for no limit.

    :raises ConfigError: When it is neither a number above 0 nor 'none'.
    """
    if text is None or text.lower() == "none":
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigError(
            f"run.timeout must be a number of seconds above 0, or 'none'; not {quoted(text)}."
        )
    return seconds
