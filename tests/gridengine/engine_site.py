"""What the tests of the gridengine plugin share: a host, the plugin, and a Grid Engine to use it on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from real_gridengine import RealGridEngine

from contract.fakes import FakeTest, active
from job_bench import JobBench
from pavilion.schedulers.plugins.gridengine import GridEngine


class Site(JobBench):
    """The plugin, a host with its directories, and the Grid Engine that they use."""

    def __init__(self, cluster: RealGridEngine, plugin: GridEngine, directory: Path) -> None:
        super().__init__(plugin, directory)
        self.cluster = cluster

    def jobs(self) -> list[str]:
        """The ids of all jobs that Grid Engine lists."""
        rows = self.cluster.run("qstat", "-u", "*").stdout.splitlines()[2:]
        return [row.split()[0] for row in rows]


def header(test: FakeTest) -> list[str]:
    """The options in the test's kickoff script."""
    assert test.job is not None
    lines = test.job.kickoff_path.read_text().splitlines()
    return [line[3:] for line in lines if line.startswith("#$ ")]


@contextmanager
def site_of(cluster: RealGridEngine, name: str = "") -> Iterator[Site]:
    """A site on a Grid Engine, whose commands are those that this process finds.

    :param name: Of another working directory.
    """
    directory = Path(tempfile.mkdtemp(prefix="host-", dir=cluster.folder))
    directory.chmod(0o755)
    plugin = GridEngine()
    # Some of what takes minutes at a site takes seconds here.
    plugin.JOB_TABLE_AGE = 0.3
    plugin.JOB_END_GRACE = 0.0
    with active(plugin):
        site = Site(cluster, plugin, directory / "site")
        if name:
            site.pav_cfg.working_dir = directory / name
            (directory / name / "jobs").mkdir(parents=True)
        yield site
        site.release()
