"""Job folders: text only, whole or not there, and readable whatever happened to them."""

from __future__ import annotations

import json
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable

import pytest

import pavilion.jobs
from pavilion.config import PavConfig
from pavilion.errors import JobError
from pavilion.jobs import Job, JobInfo

NODES = {
    "n1": {
        "name": "n1",
        "up": True,
        "available": False,
        "cpus": 4,
        "mem": 1 << 34,
        "partitions": ["a", "b"],
    },
    "n2": {"name": "n2", "up": False, "available": False},
}


@pytest.fixture
def cfg(tmp_path: Path) -> PavConfig:
    config = PavConfig(working_dir=tmp_path / "working dir", pav_cfg_file=None)
    config.make_working_dir()
    return config


def _tests(*ids: str) -> Any:
    return [SimpleNamespace(id=test_id) for test_id in ids]


@pytest.fixture
def job(cfg: PavConfig) -> Job:
    return Job.new(cfg, _tests("s1.1", "s1.2"))


def test_a_new_job_has_a_folder_and_its_tests(cfg: PavConfig, job: Job) -> None:
    assert job.path.parent == cfg.working_dir / "jobs"
    assert job.name == job.path.name
    assert job.get_test_id_pairs() == [(cfg.working_dir, "s1.1"), (cfg.working_dir, "s1.2")]
    assert job.info == {}
    assert job.load_sched_data() == {}
    paths = [job.kickoff_path, job.kickoff_log, job.sched_log, job.tests_path]
    assert len(set(paths)) == 4
    assert {path.parent for path in paths} == {job.path}


def test_a_scheduler_may_choose_the_name_of_the_kickoff_script(cfg: PavConfig) -> None:
    job = Job.new(cfg, _tests("s1.1"), "go.sbatch")
    assert job.kickoff_path == job.path / "go.sbatch"
    assert Job(job.path).kickoff_path == job.path / "go.sbatch"
    assert Job(Job.new(cfg, _tests("s1.1")).path).kickoff_path.name == Job.KICKOFF_FN


def test_identity_and_node_data_come_back_in_another_process(job: Job) -> None:
    job.info = JobInfo(id="17", sys_name="tall", note="é €\udc80")
    job.save_node_data(NODES)
    other = Job(job.path)
    assert other.info == {"id": "17", "sys_name": "tall", "note": "é €\udc80"}
    assert isinstance(other.info, JobInfo)
    assert other.load_sched_data() == NODES


def test_all_files_are_json(job: Job) -> None:
    job.info = JobInfo(id="17")
    job.save_node_data(NODES)
    # The script has its place already, and its mode.
    files = [file for file in job.path.iterdir() if file != job.kickoff_path]
    assert {file.name for file in files} == {Job.TESTS_FN, Job.INFO_FN, Job.NODE_INFO_FN}
    for file in files:
        json.loads(file.read_text(encoding="utf-8"))


READERS: list[tuple[str, Callable[[Job], Any]]] = [
    (Job.INFO_FN, lambda job: job.info),
    (Job.NODE_INFO_FN, lambda job: job.load_sched_data()),
    (Job.TESTS_FN, lambda job: job.get_test_id_pairs()),
]


class Evil:
    """Unpickling it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("name, read", READERS)
def test_a_pickle_is_never_executed(
    job: Job, tmp_path: Path, name: str, read: Callable[[Job], Any]
) -> None:
    mark = tmp_path / "executed"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (job.path / name).write_bytes(pickle.dumps(Evil(mark), protocol))
        with pytest.raises(JobError):
            read(Job(job.path))
    assert not mark.exists()
    pickle.loads(pickle.dumps(Evil(mark)))  # noqa: S301 (the bait does work)
    assert mark.exists()


@pytest.mark.parametrize("name, read", READERS)
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b'{"tests": ["s1.1"], "working_dir": "/x"',
        b"[]",
        b"null",
        b"17",
        b'"text"',
        b"\xff\xfe\0",
        b"[" * 200_000,
        b'{"a": ' * 100_000,
    ],
)
def test_damaged_files_are_errors_that_name_the_file(
    job: Job, name: str, read: Callable[[Job], Any], content: bytes
) -> None:
    (job.path / name).write_bytes(content)
    with pytest.raises(JobError) as caught:
        read(Job(job.path))
    assert str(job.path / name) in caught.value.pformat()


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"tests": "s1.1", "working_dir": "/x"},
        {"tests": ["s1.1"]},
        {"tests": ["s1.1"], "working_dir": 5},
    ],
)
def test_a_record_without_its_parts_is_damaged(job: Job, record: dict[str, Any]) -> None:
    job.tests_path.write_text(json.dumps(record))
    with pytest.raises(JobError, match="damaged"):
        job.get_test_id_pairs()


def test_node_data_must_have_an_object_for_each_node(job: Job) -> None:
    (job.path / Job.NODE_INFO_FN).write_text('{"n1": "up"}')
    with pytest.raises(JobError, match="damaged"):
        job.load_sched_data()


@pytest.mark.parametrize("name, read", READERS)
def test_files_that_cannot_be_read_are_errors(
    job: Job, name: str, read: Callable[[Job], Any]
) -> None:
    (job.path / name).unlink(missing_ok=True)
    (job.path / name).mkdir()
    with pytest.raises(JobError, match="annot read"):
        read(Job(job.path))


def test_what_is_no_json_cannot_be_saved_and_the_old_data_stays(job: Job) -> None:
    job.info = JobInfo(id="17")
    with pytest.raises(JobError, match=r"Cannot save .*info\.json"):
        job.info = JobInfo(id=object())
    assert job.info == {"id": "17"}
    with pytest.raises(JobError, match="Cannot save the node data"):
        job.save_node_data({"n1": {"name": {1, 2}}})
    assert sorted(path.name for path in job.path.iterdir()) == [
        "info.json",
        "kickoff.sh",
        "tests.json",
    ]


def test_no_folder_for_jobs_is_an_error(cfg: PavConfig) -> None:
    (cfg.working_dir / "jobs").rmdir()
    with pytest.raises(JobError, match="Cannot make a directory for a new job"):
        Job.new(cfg, _tests("s1.1"))


def test_a_job_that_cannot_be_recorded_leaves_no_folder(
    cfg: PavConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = iter([b"half"])

    def full(fd: int, data: bytes) -> int:
        for half in disk:
            return write(fd, half)
        raise OSError(28, "No space left on device")

    write = os.write
    with monkeypatch.context() as context:
        context.setattr(os, "write", full)
        with pytest.raises(JobError, match="No space left"):
            Job.new(cfg, _tests("s1.1"))
    assert list((cfg.working_dir / "jobs").iterdir()) == []


def test_jobs_made_at_the_same_time_get_folders_of_their_own(cfg: PavConfig) -> None:
    def make(number: int) -> Job:
        return Job.new(cfg, _tests(f"s{number}.1"))

    with ThreadPoolExecutor(16) as pool:
        jobs = list(pool.map(make, range(1, 201)))
    assert len({job.path for job in jobs}) == 200
    for number, job in enumerate(jobs, 1):
        assert job.get_test_id_pairs() == [(cfg.working_dir, f"s{number}.1")]


def test_a_name_that_is_taken_is_not_used(cfg: PavConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([b"aaaaaa", b"aaaaaa", b"bbbbbb"])
    real = os.urandom

    def draw(count: int) -> bytes:
        # Folder names take six bytes, other names less.
        return next(drawn) if count == 6 else real(count)

    monkeypatch.setattr(pavilion.jobs.os, "urandom", draw)
    first = Job.new(cfg, _tests("s1.1"))
    second = Job.new(cfg, _tests("s1.2"))
    assert first.path != second.path
    assert first.get_test_id_pairs()[0][1] == "s1.1"
