"""Clusters as sites set them up: accounts, QOS, private jobs, hidden partitions, a second
controller, a host that cannot reach munge.  On a real Slurm with a slurmdbd; there is no fake one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from clusters import AS_OTHER, OTHER_USER, wait_until
from clusters import Slurm as Cluster
from machines import need_accounting
from plugin_tools import Scripted, Site, info, result, site_of
from real_slurm import RealSlurm

from open_directory import open_directory
from pavilion.schedulers.plugins.slurm.client import SlurmClient

CONF = """\
AccountingStorageEnforce=associations,limits,qos
PrivateData=jobs
PartitionName=chemists Nodes=node[01-02] AllowAccounts=chemistry State=UP
PartitionName=short Nodes=node[01-02] MaxTime=30 State=UP
PartitionName=inactive Nodes=node[01-02] State=INACTIVE
PartitionName=draining Nodes=node[01-02] State=DRAIN
PartitionName=down Nodes=node[01-02] State=DOWN
"""
# Nobody is at this address (RFC 5737).
ABSENT = "192.0.2.1"


@pytest.fixture(scope="module")
def big_site(request: pytest.FixtureRequest) -> Iterator[RealSlurm]:
    """A cluster with accounts and QOS.  root may use both accounts, the other user one."""
    need_accounting(request, "needs a real Slurm; --slurm=real runs it")
    with (
        open_directory("test-sites-") as path,
        RealSlurm(
            path, min_job_age=10, message_timeout=2, accounting=True, extra_conf=CONF
        ) as cluster,
    ):
        for words in (
            "add account physics,chemistry",
            "add qos one MaxJobsPerUser=1",
            "add user root account=physics qos=normal,one",
            "add user root account=chemistry qos=normal",
            f"add user {OTHER_USER} account=physics",
        ):
            cluster.ok("sacctmgr", "-i", *words.split())
        yield cluster


@pytest.fixture
def slurm(big_site: RealSlurm) -> Iterator[Cluster]:
    path = Path(tempfile.mkdtemp(prefix="jobs-", dir=big_site.folder))
    path.chmod(0o777)
    slurm = Cluster(big_site, path)
    yield slurm
    slurm.clean()


@pytest.fixture
def site(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with site_of(slurm, monkeypatch) as made:
        yield made


# --- Accounts, QOS, partitions ---


def test_each_job_has_its_own_account_qos_and_partition(site: Site) -> None:
    wishes = [
        {"account": "physics", "qos": "one", "partition": "alt"},
        {"account": "chemistry", "qos": "normal", "partition": "chemists"},
        {
            "account": "physics",
            "qos": "normal",
            "partition": "short",
            "slurm": {"sbatch_extra": ["--time=10"]},
        },
    ]
    tests = [site.test(dict(wish), site.long) for wish in wishes]
    assert not site.try_start(*tests)
    for test, wish in zip(tests, wishes):
        found = site.recorded(test)
        assert {key: found[key] for key in ("account", "qos", "partition")} == {
            key: wish[key] for key in ("account", "qos", "partition")
        }
        site.wait_status(test, "SCHED_STARTUP")


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        (
            {"slurm": {"sbatch_extra": ["--account=nosuch"]}},
            "Invalid account or account/partition combination specified",
        ),
        ({"slurm": {"sbatch_extra": ["-q nosuch"]}}, "Invalid qos specification"),
        # It is there, but not for that account.
        ({"account": "chemistry", "qos": "one"}, "Invalid qos specification"),
        (
            {"account": "physics", "partition": "inactive"},
            "Required partition not available (inactive or drain)",
        ),
        (
            {"account": "physics", "partition": "draining"},
            "Required partition not available (inactive or drain)",
        ),
    ],
)
def test_what_a_site_refuses(site: Site, schedule: dict[str, Any], said: str) -> None:
    text = site.refused(schedule)
    assert said in text and "Hint: " in text and "schedule." in text


def test_names_that_a_site_does_not_have(site: Site) -> None:
    """Before anything is submitted, with near matches."""
    text = site.refused({"account": "phisics"})
    assert "There is no account 'phisics' that you may use. Did you mean 'physics'?" in text
    assert "There are: chemistry, physics, root." in text
    text = site.refused({"account": "physics", "qos": "ones"})
    assert "There is no QOS 'ones' that you may use. Did you mean 'one'?" in text
    assert site.plugin.section_problem({"account": "Physics", "qos": "one"}) is None


def test_what_a_site_lets_wait(site: Site) -> None:
    """Its limits may be changed while a job waits (EnforcePartLimits=NO, the default)."""
    # 60 minutes, which is the default of time_limit.
    long = site.start({"account": "physics", "partition": "short"})
    site.wait_status(long, "SCHEDULED", "can never run as it is")
    test = site.start({"account": "physics", "partition": "chemists"})
    site.wait_status(test, "SCHEDULED", site.cluster.words["account not allowed"])
    down = site.start({"account": "physics", "partition": "down"})
    site.wait_status(down, "SCHEDULED", "needs an administrator: its partition is down")
    assert not any(test.complete for test in (long, test, down))


def test_a_limit_of_a_qos(site: Site) -> None:
    schedule = {"account": "physics", "qos": "one"}
    first = site.start(schedule, work=site.long)
    site.wait_status(first, "SCHED_STARTUP")
    second = site.start(schedule, work=site.long)
    status = site.wait_status(second, "SCHEDULED", "QOS has reached a limit")
    assert "(QOSMaxJobsPerUserLimit)" in status.note and not second.complete
    site.release()
    site.wait_status(second, "SCHED_ERROR", "ended normally")


# --- A common user ---


def as_other(slurm: Cluster, schedule: dict[str, Any], other: dict[str, str] | None = None) -> Any:
    """What a common user sees of a job with this schedule section, and of another user's job."""
    place = slurm.folder / "other"
    here = Path(__file__).parent
    paths = [str(here.parent), str(here), *filter(None, sys.path)]
    env = {
        **slurm.env(),
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(slurm.folder),
    }
    done = subprocess.run(
        [
            *AS_OTHER,
            sys.executable,
            str(here / "session.py"),
            str(place),
            json.dumps(schedule),
            json.dumps(other or {}),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=slurm.folder,
        env=env,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_private_jobs(site: Site) -> None:
    """PrivateData=jobs: a job of one's own is seen from its beginning to its end."""
    mine = site.start({"account": "physics"}, work=site.long)
    site.wait_status(mine, "SCHED_STARTUP")
    # A job that was submitted just now would not be called gone anyway.
    long_ago = {**info(mine), "when": "1000"}
    seen = as_other(site.cluster, {"account": "physics"}, long_ago)
    states = [state for state, _ in seen["own"]]
    assert states[-1] == "SCHED_ERROR" and "ended normally" in seen["own"][-1][1]
    assert set(states[:-1]) <= {"SCHEDULED", "SCHED_STARTUP"}
    # Of somebody else's nothing is seen, and it is not taken for ended.
    job_id = info(mine)["id"]
    assert job_id not in site.cluster.ok("squeue", "-h", "-o", "%i", user=OTHER_USER).split()
    assert {state for state, _ in seen["others"]} <= {"SCHEDULED", "SCHED_WARNING"}
    # slurmdbd has a setting of its own for that, and another default since then.
    assert (
        f"Slurm shows job {job_id} to its owner, user 0, only" in seen["others"][-1][1]
        or "in Slurm's accounting, which may be late, it is still RUNNING" in seen["others"][-1][1]
    )
    assert site.status(mine).state == "SCHED_STARTUP"


@pytest.mark.parametrize(
    ("private", "user", "hidden"),
    [
        ("jobs", "0", True),
        ("accounts,jobs,usage", "0", True),
        ("none", "0", False),
        ("nodes,reservations", "0", False),
        ("jobs", "1000", False),
        ("jobs", None, False),
    ],
)
def test_whose_jobs_are_hidden(
    monkeypatch: pytest.MonkeyPatch, private: str, user: str | None, hidden: bool
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    client = SlurmClient()
    client.querying = runner = Scripted(
        result(  # type: ignore[assignment]
            f"PrioritySiteFactorPlugin = (null)\nPrivateData             = {private}\n"
        )
    )
    assert [client.hides_jobs_of(user) for _ in range(3)] == [hidden] * 3
    # The settings are queried once, and when they matter.
    assert len(runner.argvs) == (user == "0")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert not client.hides_jobs_of(user)


def test_hidden_partitions(slurm: Cluster) -> None:
    assert "secret" not in slurm.ok("sinfo", user=OTHER_USER)
    seen = as_other(slurm, {"account": "physics", "partition": "secret"})
    assert seen["nodes"] == ["node07", "node08"]
    assert "on node0" in seen["own"][-2][1] and "ended normally" in seen["own"][-1][1]


# --- The way to the controller ---


@contextmanager
def other_conf(site: Site, monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> Iterator[None]:
    """This host has a slurm.conf with a line in another line's place."""
    text = site.cluster.conf.read_text()
    assert old in text
    conf = site.cluster.folder / "slurm.conf"
    conf.write_text(text.replace(old, new, 1))
    with monkeypatch.context() as patch:
        patch.setenv("SLURM_CONF", str(conf))
        yield


def host_line(site: Site) -> str:
    """The line of the controller's host."""
    return next(
        line
        for line in site.cluster.conf.read_text().splitlines()
        if line.startswith("SlurmctldHost=")
    )


@pytest.mark.parametrize("order", ["backup away", "primary away"])
def test_one_of_two_controllers_is_away(
    site: Site, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    here = host_line(site)
    away = f"SlurmctldHost=elsewhere({ABSENT})"
    lines = [here, away] if order == "backup away" else [away, here]
    with other_conf(site, monkeypatch, here, "\n".join(lines)):
        assert site.plugin.available()
        test = site.start({"account": "physics"}, work=site.long)
        site.wait_status(test, "SCHED_STARTUP")
        site.release()
        site.wait_status(test, "SCHED_ERROR", "ended normally")
        assert len(site.jobs_of(test)) == 1


def test_a_site_with_a_squeue_of_its_own(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrapper that knows none of our options."""
    test = site.start({"account": "physics"}, work=site.long)
    site.wait_status(test, "SCHED_STARTUP")
    wrapper = site.cluster.folder / "bin" / "squeue"
    wrapper.parent.mkdir()
    wrapper.write_text("#!/bin/sh\necho 'usage: our-squeue [-h] [-u USER]' >&2\nexit 2\n")
    wrapper.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(wrapper.parent), prepend=os.pathsep)
        status = wait_until(
            lambda: (now := site.status(test)).state == "SCHED_WARNING" and now, "a warning"
        )
        assert "usage: our-squeue" in status.note and not test.complete
    site.wait_status(test, "SCHED_STARTUP")


def test_a_host_that_cannot_reach_munge(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    test = site.start({"account": "physics"}, work=site.long)
    site.wait_status(test, "SCHED_STARTUP")
    auth = "AuthType=auth/munge"
    with other_conf(site, monkeypatch, auth, f"{auth}\nAuthInfo=socket=/no/such/socket"):
        for table in site.plugin._tables.values():
            table.expire()
        status = wait_until(
            lambda: (now := site.status(test)).state == "SCHED_WARNING" and now, "a warning"
        )
        assert "munge" in status.note.lower() and not test.complete
        # As a process that knows nothing yet.
        site.plugin.refresh()
        assert "munge" in site.refused({"account": "physics"}).lower()
    site.wait_status(test, "SCHED_STARTUP")
    site.release()
    site.wait_status(test, "SCHED_ERROR", "ended normally")
