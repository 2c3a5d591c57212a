"""Test runs."""

from __future__ import annotations

import json

from pavilion.jobs import Job
from pavilion.status_file import TestStatusInfo


class _TestID:
    """The id of a test run.  No string, and equal to none."""

    __slots__ = ("_text",)

    def __init__(self, text):
        self._text = text

    def __str__(self):
        return self._text


class _Status:
    """The states that a test went through, in a file."""

    __slots__ = ("_path",)

    def __init__(self, path):
        self._path = path

    def current(self):
        state, note, when = json.loads(self._path.read_text().splitlines()[-1])
        return TestStatusInfo(state, note, when)

    def set(self, state, note):
        status = TestStatusInfo(state, note)
        with self._path.open("a") as file:
            file.write(json.dumps([state, note, status.when]) + "\n")
        return status


class _VarMan:
    """Of the variables of a test, one is used."""

    __slots__ = ()

    def get(self, name):
        if name != "sched.node_list_id":
            raise KeyError(name)
        return "0"


class TestRun:
    """A test run."""

    __test__ = False
    __slots__ = ("config", "id", "name", "path", "scheduler", "series", "shebang", "status",
                 "var_man")

    @classmethod
    def host_new(cls, pav_cfg, number, config, name, scheduler):
        """Make one."""
        path = pav_cfg.working_dir / "test_runs" / f"s1.{number}"
        path.mkdir(parents=True)
        (path / "test.json").write_text(json.dumps([config, name, scheduler]))
        _Status(path / "status").set("CREATED", "Created.")
        return cls.host_load(pav_cfg, path.name)

    @classmethod
    def host_load(cls, pav_cfg, text):
        """Find one again."""
        test = cls.__new__(cls)
        test.path = pav_cfg.working_dir / "test_runs" / text
        test.config, test.name, test.scheduler = json.loads((test.path / "test.json").read_text())
        test.id = _TestID(text)
        test.series = "s1"
        test.shebang = "#!/bin/bash"
        test.status = _Status(test.path / "status")
        test.var_man = _VarMan()
        return test

    @property
    def job(self):
        link = self.path / "job"
        return Job.host_at(link.resolve()) if link.exists() else None

    @job.setter
    def job(self, job):
        """Can be done once."""
        if not isinstance(job, Job):
            raise TypeError(f"no job: {job!r}")
        (self.path / "job").symlink_to(job.path)

    @property
    def complete(self):
        return (self.path / "RUN_COMPLETE").exists()

    def set_run_complete(self):
        (self.path / "RUN_COMPLETE").touch()

    def make_script(self, script, kind, isolate=False):
        if kind != "run":
            raise ValueError(kind)
        for command in self.config["run"]["cmds"]:
            script.command(command)
        return script
