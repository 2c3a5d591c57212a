"""Tests and settings that have what the contract, section 2 lists, and nothing more.

Whatever else the schedulers folder asks of them is an AttributeError or a KeyError.  What begins
with ``fake_`` is for the tests that use these.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pavilion.jobs import Job, JobInfo
from pavilion.schedulers import SchedulerPlugin, SchedulerPluginBasic
from pavilion.scriptcomposer import ScriptComposer
from pavilion.status_file import STATES, TestStatusInfo


class FakeTestId:
    """A test's id: an object with a text, and no string."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


class FakeStatus:
    """A status file: the states are kept in ``fake_history``."""

    __slots__ = ("fake_delay", "fake_fail", "fake_history")

    def __init__(self) -> None:
        self.fake_history: list[TestStatusInfo] = [TestStatusInfo(STATES.CREATED, "Created.")]
        self.fake_fail: Exception | None = None
        self.fake_delay = 0.0

    def current(self) -> TestStatusInfo:
        return self.fake_history[-1]

    def set(self, state: str, note: str) -> TestStatusInfo:
        if self.fake_fail is not None:
            raise self.fake_fail
        # Some file systems are slow.
        time.sleep(self.fake_delay)
        self.fake_history.append(TestStatusInfo(state, note))
        return self.fake_history[-1]


class FakeVarMan:
    """The variables of a test: one of them can be had."""

    __slots__ = ()

    def get(self, name: str) -> str:
        assert name == "sched.node_list_id", name
        return "0"


class FakeTest:
    """A test run."""

    __slots__ = (
        "_complete",
        "_job",
        "config",
        "fake_commands",
        "fake_ended",
        "fake_job_fail",
        "id",
        "name",
        "path",
        "scheduler",
        "series",
        "shebang",
        "status",
        "var_man",
    )
    # pytest takes everything that is called a test for one.
    __test__ = False

    def __init__(
        self,
        path: Path,
        number: int,
        schedule: Mapping[str, Any] | None = None,
        name: str | None = None,
        scheduler: str = "fake",
    ) -> None:
        self.id = FakeTestId(f"s1.{number}")
        self.name = name or f"suite.test{number}"
        self.series = "s1"
        self.path = path
        self.config: dict[str, Any] = {"schedule": dict(schedule or {}), "chunk": "any"}
        self.var_man = FakeVarMan()
        self.status = FakeStatus()
        self.scheduler = scheduler
        self.shebang = "#!/bin/bash"
        self.fake_commands = [f"echo body of {name or number}"]
        self.fake_ended = 0
        self.fake_job_fail: Exception | None = None
        self._complete = False
        self._job: Job | None = None

    @property
    def job(self) -> Job | None:
        return self._job

    @job.setter
    def job(self, job: Job) -> None:
        if self.fake_job_fail is not None:
            raise self.fake_job_fail
        assert self._job is None, "a test's job can be set once"
        self._job = job

    @property
    def complete(self) -> bool:
        return self._complete

    def set_run_complete(self) -> None:
        self.fake_ended += 1
        self._complete = True

    def make_script(
        self, script: ScriptComposer, kind: str, isolate: bool = True
    ) -> ScriptComposer:
        assert (kind, isolate) == ("run", True)
        script.command(self.fake_commands)
        return script

    @property
    def fake_states(self) -> list[str]:
        """The states it went through since it was made; without the line that its job was
        accepted, which is no new state (see fake_accepted)."""
        return [
            info.state
            for info in self.status.fake_history[1:]
            if not info.note.startswith("Accepted by ")
        ]

    @property
    def fake_accepted(self) -> list[str]:
        """The notes that its job was accepted."""
        return [
            info.note for info in self.status.fake_history if info.note.startswith("Accepted by ")
        ]

    def __repr__(self) -> str:
        return f"<test {self.id}>"


class FakePavConfig:
    """The settings of a host, as attributes and as items."""

    __slots__ = (
        "configs",
        "disable_plugins",
        "env_setup",
        "pav_cfg_file",
        "pav_root",
        "working_dir",
    )

    def __init__(self, pav_root: Path, working_dir: Path) -> None:
        self.pav_root = pav_root
        self.pav_cfg_file: Path | None = pav_root / "pavilion.yaml"
        self.working_dir = working_dir
        self.env_setup: list[str] = []
        self.configs: dict[str, dict[str, Any]] = {}
        self.disable_plugins: list[str] = []

    def __getitem__(self, key: str) -> Any:
        if key not in self.__slots__:
            raise KeyError(key)
        return getattr(self, key)


class FakeHost:
    """Settings and tests in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pav_cfg = FakePavConfig(folder / "pav_root", folder / "working_dir")
        (self.pav_cfg.pav_root / "bin").mkdir(parents=True)
        (self.pav_cfg.working_dir / "jobs").mkdir(parents=True)
        self._count = 0

    def test(self, schedule: Mapping[str, Any] | None = None, **kwargs: Any) -> FakeTest:
        """A new test."""
        self._count += 1
        path = self.pav_cfg.working_dir / "series" / "s1" / f"s1.{self._count}"
        path.mkdir(parents=True)
        return FakeTest(path, self._count, schedule, **kwargs)

    def tests(self, count: int, schedule: Mapping[str, Any] | None = None) -> list[FakeTest]:
        """New tests that ask for the same."""
        return [self.test(schedule) for _ in range(count)]

    def pav(self, script: str) -> None:
        """Make a ``pav`` command for kickoff scripts to call: a bash script."""
        path = self.pav_cfg.pav_root / "bin" / "pav"
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(0o755)


class FakeSched(SchedulerPluginBasic):
    """A scheduler whose every answer a test decides on.

    - ``kickoffs``: (job, config, name, nodes, node_range) of each job
    - ``on_kickoff``: called with the number of the kickoff (from 0) and its job; what it gives is
      what ``_kickoff`` gives
    - ``queries``: the job infos that were asked about
    - ``on_query``: called with the job info; what it gives is what ``_job_status`` gives
    - ``cancelled``: the job infos that were cancelled
    """

    IS_CONCURRENT = False
    JOB_STATUS_TIMEOUT = 1000.0
    JOB_END_GRACE = 0.0

    def __init__(self, name: str = "fake", priority: int = 0) -> None:
        super().__init__(name, "A fake scheduler.", priority)
        self.kickoffs: list[tuple[Job, dict[str, Any], str, Any, Any]] = []
        self.on_kickoff: Callable[[int, Job], Any] = lambda number, job: JobInfo(id=str(number))
        self.queries: list[dict[str, Any]] = []
        self.on_query: Callable[[dict[str, Any]], Any] = lambda info: TestStatusInfo(
            STATES.SCHEDULED, "Waits."
        )
        self.cancelled: list[Any] = []
        self.on_cancel: Callable[[Any], str | None] = lambda info: None
        self._count_lock = threading.Lock()

    def _available(self) -> bool:
        return True

    def _kickoff(
        self,
        pav_cfg: Any,
        job: Job,
        sched_config: dict[str, Any],
        job_name: str,
        nodes: Any = None,
        node_range: Any = None,
    ) -> Any:
        with self._count_lock:
            number = len(self.kickoffs)
            self.kickoffs.append((job, sched_config, job_name, nodes, node_range))
        return self.on_kickoff(number, job)

    def _job_status(self, pav_cfg: Any, job_info: JobInfo) -> Any:
        with self._count_lock:
            self.queries.append(dict(job_info))
        return self.on_query(job_info)

    def cancel(self, job_info: JobInfo) -> str | None:
        self.cancelled.append(job_info)
        return self.on_cancel(job_info)

    def _get_alloc_nodes(self, job: Job) -> list[str]:
        return ["host1", "host2"]


class ConcurrentSched(FakeSched):
    """The same, of a kind whose tests may share jobs."""

    IS_CONCURRENT = True


@contextmanager
def active(plugin: SchedulerPlugin) -> Iterator[Any]:
    """An activated plugin."""
    plugin.activate()
    try:
        yield plugin
    finally:
        plugin.deactivate()


class EmbeddedSite:
    """Our own host."""

    is_host26 = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._host = FakeHost(folder)
        self.pav_cfg = self._host.pav_cfg

    def test(self, schedule: Any = None, **more: Any) -> FakeTest:
        return self._host.test(schedule, **more)
