"""What the tests of the slurm plugin share: a host, the plugin, and a cluster to use it on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from clusters import Slurm as Cluster
from clusters import wait_until
from recorded import parse_recorded, recorded

from contract.fakes import FakeTest, active
from job_bench import JobBench, info
from pavilion.schedulers import Slurm
from pavilion.schedulers.lifecycle.job_table import JobRecord
from pavilion.schedulers.plugins.slurm import parsing, queries
from pavilion.schedulers.talk.commands import CommandResult

# Seconds that an answer about jobs serves in these tests.
TABLE_AGE = 0.2


class Site(JobBench):
    """The plugin, a host with its folders, and the cluster that they use."""

    until = staticmethod(wait_until)

    def __init__(self, cluster: Cluster, plugin: Slurm, folder: Path) -> None:
        super().__init__(plugin, folder)
        self.cluster = cluster

    def leave(self) -> None:
        """End all jobs, and switch faults off."""
        if not self.cluster.is_real:
            self.cluster.clear_fault()
        if list(self.pav_cfg.working_dir.glob("jobs/*/sbatch.log")):
            self.release()
            if pending := self._own_jobs("-t", "PENDING"):
                self.cluster.run("scancel", *pending)
            wait_until(lambda: not self._own_jobs(), "jobs are over")
        if self.cluster.is_real:
            # A controller that was started anew does not know its nodes for a moment.
            self.cluster.wait_until(
                lambda: "unk" not in self.cluster.run("sinfo", "-a", "-h", "-o", "%T").stdout,
                "nodes are known",
            )

    def _own_jobs(self, *options: str) -> set[str]:
        """Ids of jobs that are not over, but for those that other tests look at later."""
        listed = self.cluster.run("squeue", "-a", "-h", "-o", "%i", *options).stdout.split()
        return set(listed) - self.cluster.kept

    def recorded(self, test: FakeTest) -> dict[str, str]:
        """What Slurm recorded of a test's job."""
        text = self.cluster.ok(*recorded([info(test)["id"]]))
        rows, refused = parse_recorded(text)
        assert not refused
        return rows[info(test)["id"]]

    def jobs(self) -> dict[str, JobRecord]:
        """All jobs of the cluster, those that ended a short while ago too."""
        rows, refused = parsing.parse_jobs(self.cluster.ok(*queries.jobs(None)))
        assert not refused
        return rows

    def jobs_of(self, test: FakeTest) -> list[JobRecord]:
        """The jobs that carry the token of this test's submission."""
        token = info(test)["token"]
        return [
            job
            for job in self.jobs().values()
            if token in (job.data["comment"], job.data["name"][-len(token) :])
        ]

    def nodes(self, schedule: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The nodes as a test with this schedule section sees them."""
        from pavilion.schedulers import validate_config

        return self.plugin._get_system_inventory(validate_config(dict(schedule or {})))

    def usable(self, schedule: Mapping[str, Any] | None = None) -> list[str]:
        """The names of the nodes that a test with this schedule section may use."""
        from pavilion.schedulers import validate_config

        return self.plugin._filter_nodes(validate_config(dict(schedule or {})))[0]

    def queries(self) -> int:
        """How often the plugin asked for jobs."""
        return self.plugin._client.querying.count("squeue")


def script(test: FakeTest) -> str:
    """The text of the test's kickoff script."""
    assert test.job is not None
    return test.job.kickoff_path.read_text()


def header(test: FakeTest) -> list[str]:
    """The #SBATCH lines of the test's kickoff script, without '#SBATCH'."""
    lines = script(test).splitlines()
    return [line.split(" ", 1)[1] for line in lines if line.startswith("#SBATCH ")]


@contextmanager
def site_of(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, folder: str = "site"
) -> Iterator[Site]:
    """A site on a cluster, whose commands are those that this process finds."""
    for name, value in cluster.env().items():
        if os.environ.get(name) != value:
            monkeypatch.setenv(name, value)
    # Jobs run in the folder that they are submitted from.
    monkeypatch.chdir(cluster.folder)
    plugin = Slurm()
    # Some of what takes minutes at a site takes seconds here.
    plugin.JOB_TABLE_AGE = TABLE_AGE  # type: ignore[misc]
    plugin.JOB_END_GRACE = 0.0
    with active(plugin):
        site = Site(cluster, plugin, cluster.folder / folder)
        yield site
        site.leave()


class Scripted:
    """A CommandRunner whose results are given beforehand: each a result, or a function that makes
    one of the command.  ``argvs`` are the commands that it got."""

    def __init__(self, *results: Any) -> None:
        self._results = list(results)
        self.argvs: list[list[str]] = []

    def run(self, argv: list[str], *_: Any, **__: Any) -> CommandResult:
        self.argvs.append(list(argv))
        assert self._results, f"one command too many: {argv}"
        given = self._results.pop(0)
        made = given(argv) if callable(given) else given
        return made._replace(argv=tuple(argv))  # type: ignore[no-any-return]

    def run_retrying(
        self, argv: list[str], classify: Any, attempts: int = 4, **_: Any
    ) -> CommandResult:
        return self.run(argv)

    @property
    def left(self) -> int:
        """How many results nobody asked for."""
        return len(self._results)


def job_list(*jobs: Mapping[str, str]) -> CommandResult:
    """squeue's answer with these jobs, as the plugin asks for them."""
    rows = [
        {
            "id": "JOBID",
            "array": "ARRAY_JOB_ID",
            "het": "HET_JOB_ID",
            "state": "STATE",
            "exit_code": "EXIT_CODE",
            "nodes": "NODELIST",
            "start": "START_TIME",
            "end": "END_TIME",
            "restarts": "RESTARTCOUNT",
            "time_limit": "TIME_LIMIT",
            "partition": "PARTITION",
            "reason": "REASON",
            "name": "NAME",
            "comment": "COMMENT",
        },
        *jobs,
    ]
    return result(
        "".join(
            queries.FIELD_END.join(row.get(key, "") for key in queries.JOB_FIELDS)
            + queries.ROW_END
            + "\n"
            for row in rows
        ),
        argv=("squeue",),
    )


def result(
    stdout: str = "",
    stderr: str = "",
    returncode: int | None = 0,
    argv: tuple[str, ...] = ("sbatch",),
    timed_out: bool = False,
) -> CommandResult:
    """What came of a command."""
    return CommandResult(argv, returncode, stdout, stderr, 0.1, timed_out)
