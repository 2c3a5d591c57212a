"""Jobs."""

from __future__ import annotations

import json
import os
import pickle
import uuid
from typing import Dict, NewType  # noqa: UP035

from pavilion.test_ids import TestID


class JobError(RuntimeError):
    """A job's directory cannot be used.  The cause is the second argument."""


JobInfo = NewType("JobInfo", Dict[str, str])  # noqa: UP006


class Job:
    """A job's directory."""

    INFO_FN = "info"
    TESTS_DIR = "tests"
    KICKOFF_FN = "kickoff"
    SCHED_LOG_FN = "sched.log"
    KICKOFF_LOG_FN = "kickoff.log"
    NODE_INFO_FN = "node_info.pkl"

    @classmethod
    def new(cls, pav_cfg, tests, kickoff_fn=None):
        """Make the directory of a job for these tests."""
        path = pav_cfg["working_dir"] / "jobs" / uuid.uuid4().hex
        try:
            path.mkdir()
            (path / cls.TESTS_DIR).mkdir()
        except OSError as err:
            raise JobError(f"Could not create job dir at '{path}'", err)  # noqa: B904  (as a real host)
        for test in tests:
            (path / cls.TESTS_DIR / str(test.id)).symlink_to(test.path)
        job = cls(path)
        if kickoff_fn is not None and path / kickoff_fn != job.kickoff_path:
            job.kickoff_path.symlink_to(path / kickoff_fn)
        return job

    def __init__(self, path):
        self.path = path.resolve()
        self.name = self.path.name
        self.kickoff_path = self.path / self.KICKOFF_FN
        # Through the link of a test, if that is where we come from.
        self.tests_path = path / self.TESTS_DIR
        self.sched_log = path / self.SCHED_LOG_FN
        self.kickoff_log = path / self.KICKOFF_LOG_FN
        self._info = None

    @property
    def info(self):
        """What identifies the job; None while it has no record.  It is read once."""
        path = self.path / self.INFO_FN
        if self._info is None and path.exists():
            try:
                with path.open() as file:
                    self._info = json.load(file)
            except OSError as err:
                raise JobError("Could not load job id", err)  # noqa: B904  (as a real host)
        return self._info

    @info.setter
    def info(self, job_info):
        path = self.path / self.INFO_FN
        new = path.with_name(f"tmp{os.getpid()}")
        try:
            with new.open("w") as file:
                json.dump(job_info, file)
            new.rename(path)
        except OSError as err:
            raise JobError("Could not save job id", err)  # noqa: B904  (as a real host)

    def __str__(self):
        """The job id as users see it: all values of the record."""
        return (
            ""
            if self.info is None
            else "_".join(str(self.info[key]) for key in sorted(self.info.keys()))
        )

    def save_node_data(self, nodes):
        """Keep what is known of the nodes."""
        try:
            with (self.path / self.NODE_INFO_FN).open("wb") as file:
                pickle.dump(nodes, file)
        except OSError as err:
            raise JobError("Could not save node data", err)  # noqa: B904  (as a real host)

    def load_sched_data(self):
        """What was kept."""
        try:
            with (self.path / self.NODE_INFO_FN).open("rb") as file:
                # Written by this program, in a directory of the test's own.
                return pickle.load(file)  # noqa: S301
        except OSError as err:
            raise JobError("Could not load node data", err)  # noqa: B904  (as a real host)

    def get_test_id_pairs(self):
        """(working directory, id) of each test that is still there."""
        return [
            (link.resolve().parents[1], TestID(link.resolve().name))
            for link in self.tests_path.iterdir()
            if link.is_symlink() and link.exists()
        ]

    # With this, and without a hash of its own, a job cannot be a key or in a set.
    def __eq__(self, other):
        return self.path == other.path
