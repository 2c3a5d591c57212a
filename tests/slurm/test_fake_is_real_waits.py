"""What takes long to come about, and was begun when the first test of these files ran."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clusters import Early, FakeForTests, Slurm, wait_until
from real_slurm import RealSlurm

from open_directory import open_directory


@pytest.fixture
def forgetful(slurm_cluster: FakeForTests | RealSlurm) -> Iterator[Slurm]:
    """A cluster of its own that forgets jobs soon. In the others that makes tests miss an end."""
    made = RealSlurm if slurm_cluster.kind == "real" else FakeForTests
    with open_directory("forgetful-") as path, made(path, nodes=4, min_job_age=2) as cluster:
        yield Slurm(cluster, path)


def test_a_job_that_ended_is_forgotten(forgetful: Slurm) -> None:
    """After MinJobAge, and what a common query says then."""
    slurm = forgetful
    job_id, other = slurm.submit("true"), slurm.submit("true")

    def forgotten() -> bool:
        return all(
            slurm.run("scontrol", "show", "job", each).returncode == 1 for each in (job_id, other)
        )

    wait_until(forgotten, "the job is forgotten")
    alone = slurm.run("squeue", "-h", "-t", "all", "-j", job_id)
    assert (alone.returncode, alone.stderr) == (
        1,
        "slurm_load_jobs error: Invalid job id specified\n",
    )
    both = slurm.run("squeue", "-h", "-t", "all", "-j", f"{job_id},{other}")
    assert (both.returncode, both.stdout, both.stderr) == (0, "", "")
    assert slurm.run("scancel", job_id).returncode == 0


def test_a_job_that_takes_too_long(slurm: Slurm, early: Early) -> None:
    wait_until(lambda: early.shown or not early.watcher.is_alive(), "the time is over", 240)
    job_id, shown = early.limited, early.shown
    assert (shown["JobState"], shown["Reason"]) == ("TIMEOUT", "TimeLimit")
    # The shell ends by the signal, or sees its child end by it first.
    assert shown["ExitCode"] in ("0:15", "143:0")
    assert early.last_column == "(TimeLimit)"
    text = (early.slurm.folder / f"slurm-{job_id}.out").read_text()
    assert text.startswith("begun\n")
    assert f"error: *** JOB {job_id} ON {shown['NodeList']} CANCELLED AT " in text
    assert " DUE TO TIME LIMIT ***" in text
