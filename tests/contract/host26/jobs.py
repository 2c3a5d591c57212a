"""Jobs.  Their records are pickled, but for what identifies them."""

from __future__ import annotations

import json
import pickle
import uuid

from pavilion.errors import PavilionError


class JobError(PavilionError):
    """A job's record cannot be read or written."""


class JobInfo(dict):
    """What identifies a job.  It is made of a dictionary."""

    def __init__(self, info):
        if not isinstance(info, dict):
            raise TypeError(f"a JobInfo is made of a dict, not {info!r}")
        super().__init__(info)


class Job:
    """A job's folder."""

    NODE_INFO_FN = "node_info.pkl"
    __slots__ = ("_kickoff_fn", "name", "path")

    @classmethod
    def new(cls, pav_cfg, tests, kickoff_fn=None):
        """Make the folder of a job for these tests."""
        if not isinstance(tests, list) or not tests:
            raise TypeError(f"a job has a list of tests, not {tests!r}")
        job = cls.host_at(pav_cfg["working_dir"] / "jobs" / uuid.uuid4().hex)
        job.path.mkdir()
        job.host_write("kickoff_fn", kickoff_fn or "kickoff.sh")
        job._kickoff_fn = job.host_read("kickoff_fn")
        pairs = [(pav_cfg["working_dir"], str(test.id)) for test in tests]
        job.tests_path.write_bytes(pickle.dumps(pairs))
        return job

    @classmethod
    def host_at(cls, path):
        """A job that was made before."""
        job = cls.__new__(cls)
        job.path, job.name = path, path.name
        job._kickoff_fn = job.host_read("kickoff_fn") if path.exists() else None
        return job

    def host_write(self, name, value):
        (self.path / f"{name}.pkl").write_bytes(pickle.dumps(value))

    def host_read(self, name):
        # Written by this program, in a folder of the test's own.
        return pickle.loads((self.path / f"{name}.pkl").read_bytes())  # noqa: S301

    @property
    def kickoff_path(self):
        return self.path / self._kickoff_fn

    @property
    def kickoff_log(self):
        return self.path / "kickoff.log"

    @property
    def sched_log(self):
        return self.path / "sched.log"

    @property
    def tests_path(self):
        return self.path / "tests.pkl"

    @property
    def info(self):
        """What identifies the job; an error while it has none."""
        try:
            return JobInfo(json.loads((self.path / "info.json").read_text()))
        except (OSError, ValueError) as exc:
            raise JobError(f"Could not read {self.path / 'info.json'}", exc) from exc

    @info.setter
    def info(self, info):
        (self.path / "info.json").write_text(json.dumps(info))

    def save_node_data(self, nodes):
        """Keep what is known of the nodes."""
        if not all(isinstance(node, dict) for node in nodes.values()):
            raise TypeError(f"no node data: {nodes!r}")
        (self.path / self.NODE_INFO_FN).write_bytes(pickle.dumps(dict(nodes)))

    def load_sched_data(self):
        """What was kept; an error when nothing was."""
        try:
            return pickle.loads((self.path / self.NODE_INFO_FN).read_bytes())  # noqa: S301
        except OSError as exc:
            raise JobError("Could not read the node data", exc) from exc

    def get_test_id_pairs(self):
        """(working folder, id as text) of each test."""
        return pickle.loads(self.tests_path.read_bytes())  # noqa: S301
