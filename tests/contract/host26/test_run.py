"""Test runs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from pavilion.test_ids import TestID

from pavilion import result  # noqa: F401  (before result_parsers)
from pavilion.jobs import Job
from pavilion.status_file import STATES, TestStatusFile


class _VarMan:
    """Of the variables of a test, one is used."""

    __slots__ = ()

    def get(self, key, default=None):
        return "0" if key == "sched.node_list_id" else default


class TestRun(Mapping):
    """A test run.  As an attribute there is what the contract lists, and no more."""

    __test__ = False
    __slots__ = (
        "_complete",
        "_job",
        "config",
        "id",
        "name",
        "path",
        "saved",
        "scheduler",
        "shebang",
        "status",
        "var_man",
    )

    CANCEL_FN = "cancel"
    COMPLETE_FN = "RUN_COMPLETE"
    JOB_FN = "job"

    @classmethod
    def host_new(cls, pav_cfg, number, config, name, scheduler):
        """Make one; ``number`` counts those of the series s1, or is the whole id."""
        text = f"s1.{number}" if isinstance(number, int) else number
        path = pav_cfg.working_dir / "test_runs" / text
        path.mkdir(parents=True)
        (path / "test.json").write_text(json.dumps([config, name, scheduler]))
        test = cls.host_load(pav_cfg, text)
        test.status.set(STATES.CREATED, "Created.")
        return test

    @classmethod
    def host_load(cls, pav_cfg, text):
        """Find one again."""
        test = cls.__new__(cls)
        test.path = (pav_cfg.working_dir / "test_runs" / text).resolve()
        test.config, test.name, test.scheduler = json.loads((test.path / "test.json").read_text())
        test.id = TestID(text)
        test.shebang = "#!/usr/bin/bash"
        test.status = TestStatusFile(test.path / "status")
        test.var_man = _VarMan()
        test.saved = True
        test._complete = False
        test._job = None
        return test

    @property
    def series(self):
        """The id of its series, if it is of one."""
        return self.id.series

    @property
    def job(self):
        """Its job; None while it has none."""
        if self._job is None and (self.path / self.JOB_FN).exists():
            self._job = Job(self.path / self.JOB_FN)
        return self._job

    @job.setter
    def job(self, job):
        """Can be done once."""
        path = self.path / self.JOB_FN
        if path.exists():
            raise RuntimeError("Jobs should only ever be set once per test run.")
        path.symlink_to(job.path.resolve())
        self._job = job

    @property
    def complete(self):
        """Whether nothing more is to come."""
        if not self._complete:
            if not self.path.exists():
                self.status.set(STATES.WARNING, f"Test directory at {self.path} is missing.")
                return True
            self._complete = (self.path / self.COMPLETE_FN).exists()
        return self._complete

    def set_run_complete(self):
        if self.complete:
            return
        if not self.saved:
            raise RuntimeError(f"You must call the .save() method before run {self.id}.")
        new = self.path / "RUN_COMPLETE.tmp"
        new.write_text(json.dumps({"complete": time.time()}))
        new.rename(self.path / self.COMPLETE_FN)
        self._complete = True

    def cancel(self, reason):
        """Say that a user cancelled it.  That it is complete is for whoever ends its job to say."""
        if self.cancelled or self.complete:
            return
        self.status.set(STATES.CANCELLED, reason)
        (self.path / self.CANCEL_FN).touch()

    @property
    def cancelled(self):
        return (self.path / self.CANCEL_FN).exists()

    def make_script(self, script, stype, isolate=False):
        for command in self.config[stype]["cmds"]:
            script.command(command)
        return script

    def __getitem__(self, key):
        if key not in iter(self):
            raise KeyError(key)
        return getattr(self, key)

    def __iter__(self):
        return iter(["complete", "id", "name", "path", "status"])

    def __len__(self):
        return len(list(iter(self)))

    def __eq__(self, other):
        return self.id == other.id

    def __hash__(self):
        return hash(self.id)
