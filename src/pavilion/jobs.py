"""Jobs: what is handed to a scheduler in one piece, and the directory that keeps its record.

A job's directory ``<working_dir>/jobs/<name>`` holds the kickoff script, its log, the scheduler's
output, the ids of its tests, the job's identity for the scheduler (``info.json``) and, where a
plugin stores it, the data of the nodes it may get.  All of it is text: the directory may be
shared between users, and nothing in it is ever executed by reading it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pavilion.errors import JobError, quoted
from pavilion.files import make_directory, read_json, write_new, write_own_json
from pavilion.types import Nodes

if TYPE_CHECKING:
    from pavilion.config import PavConfig
    from pavilion.test_run import TestRun

__all__ = ["Job", "JobError", "JobInfo"]


class JobInfo(dict[str, Any]):
    """What identifies a job for its scheduler: a dict that can be saved as JSON."""


class Job:
    """A job's directory.

    :param path: An existing job directory.  New ones are made by :meth:`new`.
    """

    KICKOFF_FN = "kickoff.sh"
    KICKOFF_LOG_FN = "kickoff.log"
    SCHED_LOG_FN = "sched.log"
    TESTS_FN = "tests.json"
    INFO_FN = "info.json"
    NODE_INFO_FN = "node_info.json"

    def __init__(self, path: Path, kickoff_fn: str | None = None) -> None:
        self.path = Path(path)
        self.name = self.path.name
        self._kickoff_fn = kickoff_fn

    @classmethod
    def new(
        cls, pav_cfg: PavConfig, tests: Sequence[TestRun], kickoff_fn: str | None = None
    ) -> Job:
        """Make the directory of a new job for these tests.

        :param kickoff_fn: The kickoff script's file name, where the scheduler requires one.
        :raises JobError: When the directory cannot be made.
        """
        parent = Path(pav_cfg["working_dir"]) / "jobs"
        path: Path | None = None
        try:
            path = _new_folder(parent)
            # Its script's name is known here: a job without one reads its record for it.
            job = cls(path, kickoff_fn or cls.KICKOFF_FN)
            record: dict[str, Any] = {
                "working_dir": os.fspath(pav_cfg["working_dir"]),
                "tests": [str(test.id) for test in tests],
            }
            if kickoff_fn:
                record["kickoff_fn"] = kickoff_fn
            import json

            # Nobody knows about the directory yet, so nobody can see half of it.
            write_new(job.tests_path, json.dumps(record) + "\n")
            _make_kickoff_file(job.kickoff_path, pav_cfg)
        except OSError as exc:
            if path is not None:
                # Here, because nothing else needs it at start-up.
                import shutil

                shutil.rmtree(path, ignore_errors=True)
            raise JobError(
                f"Cannot make a directory for a new job in {parent}", prior_error=exc
            ) from exc
        return job

    @property
    def kickoff_path(self) -> Path:
        """The kickoff script."""
        if self._kickoff_fn is None:
            name = self._record().get("kickoff_fn") or self.KICKOFF_FN
            if not isinstance(name, str) or "/" in name or name in (".", ".."):
                raise JobError(
                    f"The job's list of tests {self.tests_path} is damaged: "
                    f"{quoted(name)} is not the name of a kickoff script."
                )
            self._kickoff_fn = name
        return self.path / self._kickoff_fn

    @property
    def kickoff_log(self) -> Path:
        """What the kickoff script prints."""
        return self.path / self.KICKOFF_LOG_FN

    @property
    def sched_log(self) -> Path:
        """What the scheduler, or starting the script, prints."""
        return self.path / self.SCHED_LOG_FN

    @property
    def tests_path(self) -> Path:
        """The record of the job's tests."""
        return self.path / self.TESTS_FN

    @property
    def info(self) -> JobInfo:
        """The job's identity for its scheduler.  Empty when it was not kicked off (yet).

        :raises JobError: When the record cannot be read or is damaged.
        """
        path = self.path / self.INFO_FN
        try:
            data = read_json(path)
        except FileNotFoundError:
            return JobInfo()
        except (OSError, ValueError) as exc:
            raise JobError(f"Cannot read the job's record {path}", prior_error=exc) from exc
        if not isinstance(data, dict):
            raise JobError(f"The job's record {path} is damaged: expected a JSON object.")
        return JobInfo(data)

    @info.setter
    def info(self, info: Mapping[str, Any]) -> None:
        path = self.path / self.INFO_FN
        try:
            write_own_json(path, dict(info))
        except (OSError, TypeError, ValueError) as exc:
            raise JobError(f"Cannot save the job's record {path}", prior_error=exc) from exc

    def save_node_data(self, nodes: Nodes) -> None:
        """Store what is known about the nodes that the job may get.

        :raises JobError: When it cannot be written.
        """
        path = self.path / self.NODE_INFO_FN
        try:
            write_own_json(path, nodes)
        except (OSError, TypeError, ValueError) as exc:
            raise JobError(f"Cannot save the node data {path}", prior_error=exc) from exc

    def load_sched_data(self) -> Nodes:
        """The stored node data; empty when none was stored.

        :raises JobError: When it cannot be read or is damaged.
        """
        path = self.path / self.NODE_INFO_FN
        try:
            data = read_json(path)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as exc:
            raise JobError(f"Cannot read the node data {path}", prior_error=exc) from exc
        if not isinstance(data, dict) or not all(isinstance(node, dict) for node in data.values()):
            raise JobError(
                f"The node data {path} is damaged: expected a JSON object with an "
                "object for each node."
            )
        return data

    def get_test_id_pairs(self) -> list[tuple[Path, str]]:
        """The job's tests as pairs of working directory and test id.

        :raises JobError: When the record cannot be read or is damaged.
        """
        record = self._record()
        working_dir = Path(record["working_dir"])
        return [(working_dir, str(test_id)) for test_id in record["tests"]]

    def _record(self) -> dict[str, Any]:
        try:
            record = read_json(self.tests_path)
        except (OSError, ValueError) as exc:
            raise JobError(
                f"Cannot read the job's list of tests {self.tests_path}", prior_error=exc
            ) from exc
        if (
            not isinstance(record, dict)
            or not isinstance(record.get("tests"), list)
            or not isinstance(record.get("working_dir"), str)
        ):
            raise JobError(f"The job's list of tests {self.tests_path} is damaged.")
        return record

    def __repr__(self) -> str:
        return f"Job({os.fspath(self.path)!r})"


def _make_kickoff_file(path: Path, pav_cfg: PavConfig) -> None:
    """Make the file of the kickoff script, empty: when it is written, it keeps the mode.

    Nobody else may write to it, whatever the umask says.  And where others may not read the
    settings, they may not read the script that has a part of them either.
    """
    # Plugins are tested with configs that have only what they need.
    mode_of = getattr(pav_cfg, "settings_mode", None)
    mode = None if mode_of is None else mode_of(path.parent)
    write_new(path, "", mode=mode)


def _new_folder(parent: Path) -> Path:
    """A new directory with an unused name; several processes may do this at once."""
    for _ in range(100):
        path = parent / os.urandom(6).hex()
        try:
            make_directory(path)
        except FileExistsError:
            continue
        return path
    raise FileExistsError(f"no unused name found in {parent}")
