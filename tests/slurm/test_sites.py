"""Clusters as sites set them up: accounts, QOS, private jobs, hidden partitions, a second controller,
a host that cannot reach munge.  On a real Slurm with a slurmdbd; there is no fake one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from clusters import OTHER_USER
from clusters import Slurm as Cluster
from clusters import wait_until
from plugin_tools import Site, info, site_of
from real_slurm import RealSlurm, why_no_accounting

CONF = """\
AccountingStorageEnforce=associations,limits,qos
PrivateData=jobs
PartitionName=chemists Nodes=node[01-02] AllowAccounts=chemistry State=UP
PartitionName=short Nodes=node[01-02] MaxTime=30 State=UP
"""
# Nobody is at this address (RFC 5737).
ABSENT = "192.0.2.1"


@pytest.fixture(scope="module")
def big_site(request: pytest.FixtureRequest) -> Iterator[RealSlurm]:
    """A cluster with accounts and QOS.  root may use both accounts, the other user one."""
    if request.config.getoption("--slurm") == "fake":
        pytest.skip("needs a real Slurm; --slurm=real runs it")
    reason = why_no_accounting()
    if reason:
        pytest.skip(f"needs a real slurmdbd, and that cannot be started here: {reason}")
    folder = Path(tempfile.mkdtemp(prefix="test-sites-"))
    folder.chmod(0o755)
    try:
        with RealSlurm(folder, min_job_age=10, message_timeout=2, accounting=True,
                       extra_conf=CONF) as cluster:
            for words in (
                    "add account physics,chemistry", "add qos one MaxJobsPerUser=1",
                    "add user root account=physics qos=normal,one",
                    "add user root account=chemistry qos=normal",
                    f"add user {OTHER_USER} account=physics"):
                cluster.ok("sacctmgr", "-i", *words.split())
            yield cluster
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def slurm(big_site: RealSlurm) -> Iterator[Cluster]:
    folder = Path(tempfile.mkdtemp(prefix="jobs-", dir=big_site.folder))
    folder.chmod(0o777)
    slurm = Cluster(big_site, folder)
    yield slurm
    slurm.clean()


@pytest.fixture
def site(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with site_of(slurm, monkeypatch) as made:
        yield made


# --- Accounts, QOS, partitions ---


def test_each_job_has_its_own_account_qos_and_partition(site: Site) -> None:
    wishes = [{"account": "physics", "qos": "one", "partition": "alt"},
              {"account": "chemistry", "qos": "normal", "partition": "chemists"},
              {"account": "physics", "qos": "normal", "partition": "short",
               "slurm": {"sbatch_extra": ["--time=10"]}}]
    tests = [site.test(dict(wish), site.long) for wish in wishes]
    assert not site.try_start(*tests)
    for test, wish in zip(tests, wishes):
        found = site.recorded(test)
        assert {key: found[key] for key in ("account", "qos", "partition")} == {
            key: wish[key] for key in ("account", "qos", "partition")}
        site.wait_status(test, "SCHED_STARTUP")


@pytest.mark.parametrize(("schedule", "said"), [
    ({"account": "nosuch"}, "Invalid account or account/partition combination specified"),
    ({"qos": "nosuch"}, "Invalid qos specification"),
    # It is there, but not for that account.
    ({"account": "chemistry", "qos": "one"}, "Invalid qos specification"),
    ({"account": "physics", "partition": "chemists"},
     "Invalid account or account/partition combination specified"),
    # 60 minutes, which is the default of time_limit.
    ({"partition": "short"}, "Requested time limit is invalid (missing or exceeds some limit)"),
])
def test_what_a_site_refuses(site: Site, schedule: dict[str, Any], said: str) -> None:
    # One that waits may run later, when limits were changed; see below.
    test = site.test(schedule)
    errors = site.try_start(test)
    print("PP", schedule, [e.pformat() for e in errors], site.status(test))
    if schedule.get("partition") is None or errors:
        assert said in str(errors[0]) and test.complete


def test_a_limit_of_a_qos(site: Site) -> None:
    schedule = {"account": "physics", "qos": "one"}
    first = site.start(schedule, work=site.long)
    site.wait_status(first, "SCHED_STARTUP")
    second = site.start(schedule, work=site.long)
    status = site.wait_status(second, "SCHEDULED", "QOS has reached a limit")
    assert "(QOSMaxJobsPerUserLimit)" in status.note and not second.complete
    site.release()
    site.wait_status(second, "SCHED_ERROR", "ended in order")
