"""The user's environment changes nothing: neither what is asked, nor what is submitted."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import Slurm as Cluster
from clusters import wait_until
from plugin_tools import Site, info, site_of

from pavilion.schedulers.plugins.slurm.client import SlurmClient

# Each of these changes what some command asks, prints or submits.
HOSTILE = {
    "SQUEUE_STATES": "FAILED",
    "SQUEUE_USERS": "daemon",
    "SQUEUE_PARTITION": "secret",
    "SQUEUE_FORMAT": "%i",
    "SQUEUE_FORMAT2": "JobID",
    "SQUEUE_SORT": "U",
    "SQUEUE_ACCOUNT": "x",
    "SQUEUE_NAMES": "x",
    "SQUEUE_LICENSES": "x",
    "SINFO_FORMAT": "%N",
    "SINFO_PARTITION": "secret",
    "SINFO_SORT": "N",
    "SBATCH_PARTITION": "alt",
    "SBATCH_TIMELIMIT": "7",
    "SBATCH_ACCOUNT": "evil",
    "SBATCH_JOB_NAME": "evil",
    "SBATCH_REQUEUE": "1",
    "SBATCH_EXCLUSIVE": "1",
    "SBATCH_CONSTRAINT": "nosuch",
    "SBATCH_RESERVATION": "nosuch",
    "SBATCH_QOS": "nosuch",
    "SLURM_TIME_FORMAT": "relative",
    "SLURM_BITSTR_LEN": "8",
    "SLURM_CLUSTERS": "nosuch",
    "SLURM_JOB_ID": "999",
    "SLURM_JOBID": "999",
    "SLURM_JOB_NODELIST": "node[97-99]",
    "SLURM_NNODES": "3",
    "SLURM_NTASKS": "9",
    "SLURM_JOB_NAME": "evil",
    "SCANCEL_STATE": "PENDING",
    "SCANCEL_NAME": "evil",
    "SCANCEL_PARTITION": "secret",
    "SCANCEL_INTERACTIVE": "1",
    "SCONTROL_ALL": "",
    "SLURM_CONF_SERVER_X": "x",
}


@pytest.fixture
def site(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with site_of(slurm, monkeypatch) as made:
        yield made


def test_hostile_variables_change_nothing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.cluster.wait_idle()  # the first two nodes are free
    with monkeypatch.context() as patch:
        for name, value in HOSTILE.items():
            patch.setenv(name, value)
        assert site.plugin.available()

        def usable() -> bool:
            # On a loaded machine a daemon may answer late for a moment.
            site.plugin.refresh()
            return site.usable() == [f"node0{number}" for number in range(1, 7)]

        wait_until(usable, "all nodes are usable")
        assert len(site.nodes()) == 8
        test = site.start({"nodes": "2"}, work="env; " + site.long)
        running = site.wait_status(
            test, "SCHED_STARTUP", "is running (RUNNING) on node[01-02], started 20"
        )
    found = site.recorded(test)
    assert {
        key: found[key]
        for key in ("partition", "time_limit", "account", "name", "features", "reservation")
    } == {
        "partition": "main",
        "time_limit": "1:00:00",
        "account": "",
        "features": "",
        "name": "pav_suite.test1",
        "reservation": "",
    }
    assert "T" in running.note.rpartition("started ")[2]
    # Nor do they reach the job, which has its own values.
    job = test.job
    assert job is not None
    log = wait_until(
        lambda: job.kickoff_log.exists()
        and "SLURM_JOB_ID=" in job.kickoff_log.read_text()
        and job.kickoff_log.read_text(),
        "its log",
    )
    lines = log.splitlines()
    assert f"SLURM_JOB_ID={info(test)['id']}" in lines
    assert "SLURM_JOB_NODELIST=node[01-02]" in lines
    assert not [line for line in lines if line.startswith(("SQUEUE_", "SBATCH_", "SCANCEL_"))]
    assert not [line for line in lines if "evil" in line]
    with monkeypatch.context() as patch:
        for name, value in HOSTILE.items():
            patch.setenv(name, value)
        assert site.plugin.cancel(info(test)) is None
    wait_until(lambda: site.jobs()[info(test)["id"]].state == "CANCELLED", "it is cancelled")


def test_the_users_own_variables_reach_the_job(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_OWN", "a value; with $(blanks)")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    test = site.start(work='echo "mine: $MY_OWN, $LC_ALL"')
    site.wait_status(test, "SCHED_ERROR", "ended normally")
    assert test.job is not None
    assert "mine: a value; with $(blanks), C.UTF-8" in test.job.kickoff_log.read_text()


INSIDE = """
    import os, sys
    from pathlib import Path
    sys.path[:0] = {path!r}
    from contract.fakes import FakeHost, active
    from pavilion.schedulers import Slurm

    plugin = Slurm()
    with active(plugin):
        host = FakeHost(Path({folder!r}))
        host.pav('echo "job $SLURM_JOB_ID has $SLURM_JOB_NODELIST"')
        test = host.test({{"nodes": "2"}}, scheduler="slurm")
        errors = plugin.schedule_tests(host.pav_cfg, [test])
        assert not errors, errors
        print("inner", test.job.info["id"], os.environ["SLURM_JOB_ID"],
              plugin.job_status(host.pav_cfg, test).state, flush=True)
    """


def test_inside_an_allocation(site: Site) -> None:
    """A job that starts jobs: theirs are not steps of its own, and ask for what they ask."""
    tests = Path(__file__).parents[1]
    code = textwrap.dedent(INSIDE).format(
        path=[str(tests)], folder=str(site.cluster.folder / "inner")
    )
    program = site.cluster.folder / "inner.py"
    program.write_text(code)
    outer = site.start({"nodes": "1"}, work=f"exec {sys.executable} {program}")
    job = outer.job
    assert job is not None

    def inner() -> list[str]:
        text = job.kickoff_log.read_text() if job.kickoff_log.exists() else ""
        assert "Traceback" not in text, text
        return next((line.split() for line in text.splitlines() if line.startswith("inner ")), [])

    _, inner_id, outer_id, state = wait_until(inner, "the inner job is started")
    assert outer_id == info(outer)["id"] and inner_id != outer_id
    assert state in ("SCHEDULED", "SCHED_STARTUP", "SCHED_ERROR")
    log = wait_until(
        lambda: next(
            (
                path
                for path in (site.cluster.folder / "inner").glob("working_dir/jobs/*/kickoff.log")
                if "job " in path.read_text()
            ),
            None,
        ),
        "it ran",
    )
    assert f"job {inner_id} has node[0" in log.read_text()


def test_what_is_kept_and_what_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    kept = {
        "SLURM_CONF": "/somewhere/slurm.conf",
        "SLURM_JWT": "x",
        "PATH": "/bin",
        "HOME": "/",
        "LANG": "de_DE.UTF-8",
    }
    for name, value in kept.items():
        monkeypatch.setenv(name, value)
    client = SlurmClient()
    query, submit = client.querying.environment(), client.submitting.environment()
    for environment in (query, submit):
        assert {name: environment[name] for name in kept} == kept
        assert not {name for name in environment if environment[name] == HOSTILE.get(name)}
    # Queries speak one language; jobs inherit what the user has.
    assert query["LC_ALL"] == "C" and "LC_ALL" not in submit
