"""What a test shows for each fate of its job."""

from __future__ import annotations

import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters import FakeForTests, wait_until
from clusters import Slurm as Cluster
from plugin_tools import Site, info, site_of
from real_slurm import RealSlurm

from contract.fakes import FakeTest, active
from pavilion.jobs import JobInfo
from pavilion.schedulers import Slurm
from pavilion.schedulers.lifecycle.identity import IDENTITY_FN
from pavilion.schedulers.lifecycle.job_table import JobTable
from pavilion.schedulers.plugins.slurm import client
from pavilion.status_file import TestStatusInfo


@pytest.fixture
def site(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with site_of(slurm, monkeypatch) as made:
        yield made


@pytest.fixture
def forgetful(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site on a cluster of its own that can be made to forget jobs as soon as they are over, and
    whose table believes quickly that a job is gone."""

    def job_table(
        self: client.SlurmClient,
        user: str | None,
        cache_file: Path | None,
        max_age: float,
        cluster: str = "",
    ) -> JobTable:
        return JobTable(
            lambda: self.jobs(user),
            is_over=self.dialect.is_over,
            cache_file=cache_file,
            max_age=max_age,
            grace=0.0,
            absence_gap=1.0,
        )

    monkeypatch.setattr(client.SlurmClient, "job_table", job_table)
    folder = Path(tempfile.mkdtemp(prefix="forgetful-"))
    own: RealSlurm | FakeForTests = (
        RealSlurm(folder, nodes=4, min_job_age=300)
        if slurm.is_real
        else FakeForTests(folder, nodes=4, min_job_age=300)
    )
    try:
        with own, site_of(Cluster(own, folder), monkeypatch) as made:
            yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# --- Jobs that end ---

FATES: list[tuple[str, str, str, list[str]]] = [
    # work, options, state, parts of the note
    ("true", "", "SCHED_ERROR", ["ended normally (COMPLETED)", " on node0"]),
    ("exit 3", "", "SCHED_ERROR", ["failed (FAILED)", "Exit code 3"]),
    ("kill -9 $PPID", "", "SCHED_ERROR", ["failed (FAILED", "SIGKILL"]),
    ("echo its last words; exit 1", "", "SCHED_ERROR", ["Exit code 1", "its last words"]),
    ("true", "-D /nonexistent/folder", "SCHED_ERROR", ["ended normally (COMPLETED)"]),
]


def test_how_jobs_end(site: Site) -> None:
    started = [
        (site.start({"slurm": {"sbatch_extra": [option]}} if option else {}, work), state, parts)
        for work, option, state, parts in FATES
    ]
    for test, state, parts in started:
        status = site.wait_status(test, state)
        for part in [f"Job {info(test)['id']} ", *parts]:
            assert part in status.note, (part, status.note)
        # That was its end, once, with a record of it.
        assert test.complete and test.fake_ended == 1
        assert test.fake_states == ["SCHEDULED", "SCHED_ERROR"]
        assert site.status(test) == test.status.current()


def test_a_test_with_an_end_of_its_own_keeps_it(site: Site) -> None:
    test = site.start()
    test.status.set("COMPLETE", "It passed.")
    test.set_run_complete()
    wait_until(lambda: site.jobs()[info(test)["id"]].state == "COMPLETED", "its job is over")
    assert site.status(test).note == "It passed."


def test_a_running_test_whose_job_is_cancelled_from_outside(site: Site) -> None:
    test = site.start(work=site.long)
    site.wait_status(test, "SCHED_STARTUP", "is running (RUNNING) on node")
    test.status.set("RUNNING", "The test runs.")
    time.sleep(0.01)
    site.cluster.ok("scancel", info(test)["id"])
    status = site.wait_status(test, "SCHED_CANCELLED")
    assert re.match(
        rf"Job {info(test)['id']} was cancelled( by user 0)? \(CANCELLED\) on node0\d "
        r"at 20\d\d-",
        status.note,
    )
    assert "The test was in state RUNNING at that time." in status.note
    assert test.fake_states[-2:] == ["RUNNING", "SCHED_CANCELLED"] and test.fake_ended == 1


def test_the_time_limit(site: Site) -> None:
    if site.cluster.is_real:
        pytest.skip(
            "the shortest time limit of a real Slurm is a minute; a minute of this fake takes 2 s"
        )
    site.cluster.set_setting("minute", 600)
    test = site.start({"slurm": {"sbatch_extra": ["--time=1"]}}, work=site.long)
    site.wait_status(test, "SCHED_STARTUP")
    test.status.set("RUNNING", "The test runs.")
    site.cluster.set_setting("minute", 2)
    status = site.wait_status(test, "SCHED_ERROR", "was stopped at its time limit of 1:00 (TIMEOUT")
    assert "The test was in state RUNNING at that time." in status.note


# Slurm's word -> what the test shows, and a part of its note.
SHOWN = {
    "NODE_FAIL": ("SCHED_ERROR", "was lost: one of its nodes failed (NODE_FAIL"),
    "OUT_OF_MEMORY": ("SCHED_ERROR", "was killed: it ran out of memory (OUT_OF_MEMORY"),
    "PREEMPTED": ("SCHED_ERROR", "was stopped for a job with higher priority (PREEMPTED"),
    "BOOT_FAIL": ("SCHED_ERROR", "its nodes did not boot (BOOT_FAIL"),
    "DEADLINE": ("SCHED_ERROR", "was stopped at its deadline (DEADLINE"),
    "COMPLETING": ("SCHED_STARTUP", "is ending (COMPLETING"),
    "SUSPENDED": ("SCHED_STARTUP", "is suspended (SUSPENDED"),
    "CONFIGURING": ("SCHEDULED", "waits for its nodes to start (CONFIGURING"),
    "REQUEUE_HOLD": ("SCHEDULED", "needs an administrator (REQUEUE_HOLD"),
    "BRAND_NEW": ("SCHED_STARTUP", "is in a state that is not known here (BRAND_NEW"),
}


def test_states_that_a_small_cluster_never_shows(site: Site) -> None:
    if site.cluster.is_real:
        pytest.skip("only the fake shows any state that it is told to")
    tests = {state: site.start({"slurm": {"sbatch_extra": ["--hold"]}}) for state in SHOWN}
    for state, test in tests.items():
        site.cluster.change_job(info(test)["id"], state_shown=state)
    for state, (shown, words) in SHOWN.items():
        assert words in site.wait_status(tests[state], shown).note
        assert tests[state].complete == (shown == "SCHED_ERROR")
        site.cluster.change_job(info(tests[state])["id"], state_shown=None)


def test_a_job_that_slurm_cannot_start(site: Site) -> None:
    """The directory of its output is away for a moment, as a file system may be."""
    test = site.start({"slurm": {"sbatch_extra": ["--hold"]}})
    job_id, job = info(test)["id"], test.job
    assert job is not None
    away = job.path.with_name("away")
    job.path.rename(away)
    # Newer releases make a directory that is missing.
    job.path.touch()
    site.cluster.ok("scontrol", "release", job_id)
    wait_until(lambda: site.jobs()[job_id].state == "FAILED", "it failed")
    job.path.unlink()
    away.rename(job.path)
    status = site.wait_status(test, "SCHED_ERROR", "Slurm could not start its script (exit 0:53)")
    assert "Its logs in" in status.note and "are empty" in status.note


def test_a_job_is_not_run_twice(site: Site) -> None:
    test = site.start(work=site.long)
    site.wait_status(test, "SCHED_STARTUP")
    assert site.cluster.run("scontrol", "requeue", info(test)["id"]).returncode != 0
    assert site.status(test).state == "SCHED_STARTUP"
    assert site.jobs()[info(test)["id"]].state == "RUNNING"


# --- Jobs that wait ---


def test_a_job_waits_for_nodes_in_use(site: Site) -> None:
    first = site.start({"nodes": "6", "tasks_per_node": "all"}, work=site.long)
    site.wait_status(first, "SCHED_STARTUP")
    second = site.start({"nodes": "6", "tasks_per_node": "all"})
    site.wait_status(second, "SCHEDULED", "is waiting: the nodes it needs are in use (Resources).")
    assert not second.complete


def test_a_job_whose_node_was_drained_needs_an_administrator(site: Site) -> None:
    assert "node02" in site.usable()
    site.cluster.drain("node02", "being mended")
    test = site.start({"include_nodes": "node02", "nodes": "1"})
    site.wait_status(
        test,
        "SCHEDULED",
        "is waiting and needs an administrator: nodes it requests "
        "are down, drained or not responding: node02 (ReqNodeNotAvail",
    )


def test_a_held_job_needs_an_administrator(site: Site) -> None:
    test = site.start({"slurm": {"sbatch_extra": ["--hold"]}})
    site.wait_status(test, "SCHEDULED", "needs an administrator: it is held")


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        # Slurm names one or another of its reasons: PartitionTimeLimit, PartitionConfig, ...
        ("--time=300", "(Partition"),
        ("--nodes=7", "(Partition"),
    ],
)
def test_a_job_that_can_never_run(site: Site, option: str, reason: str) -> None:
    test = site.start({"slurm": {"sbatch_extra": [option]}})
    status = site.wait_status(test, "SCHEDULED", "is waiting but can never run as it is: ")
    assert reason in status.note
    assert not test.complete


def test_a_job_with_a_begin_time(site: Site) -> None:
    test = site.start({"slurm": {"sbatch_extra": ["--begin=now+1hour"]}})
    status = site.wait_status(test, "SCHEDULED", "(BeginTime). Expected start: 20")
    assert "its earliest start time has not been reached" in status.note


def test_a_job_that_could_not_be_launched(site: Site) -> None:
    """Slurm calls it cancelled, as if a user had done it."""
    site.cluster.fail_prolog(True)
    try:
        test = site.start({"include_nodes": "node04"})
        status = site.wait_status(test, "SCHED_ERROR", "could not be launched on node04")
    finally:
        site.cluster.fail_prolog(False)
        site.cluster.resume("node04")
    assert site.cluster.words["log of a failing prolog"].strip() in status.note
    assert "node04 is drained now (Prolog error)" in status.note
    assert test.complete and "--no-requeue" in status.note


def test_a_job_that_is_cancelled_before_it_begins_is_cancelled(site: Site) -> None:
    test = site.start({"slurm": {"sbatch_extra": ["--begin=now+1hour"]}})
    site.cluster.ok("scancel", info(test)["id"])
    assert "could not be launched" not in site.wait_status(test, "SCHED_CANCELLED").note


# --- What identifies a job ---


def test_an_id_that_was_given_out_again_is_another_job(site: Site) -> None:
    """As after a controller that lost its last seconds of state."""
    test, other = site.test(), site.start(work=site.long)
    assert site.try_start(test) == []
    site.wait_status(test, "SCHED_ERROR", "ended normally")
    record = JobInfo(
        info(test), id=info(other)["id"], token="pav-0123456789abcdef", when=str(time.time() - 1000)
    )
    status = site.plugin._job_status(site.pav_cfg, record)
    assert status is not None and status.state != "SCHED_RUNNING"
    assert f"Slurm's job {info(other)['id']} is a different job by now" in status.note
    # It is not cancelled, and there is nothing else to cancel.
    assert site.plugin.cancel(record) is None
    assert site.jobs()[info(other)["id"]].state == "RUNNING"


def test_a_job_whose_id_was_cut_off_is_found_by_its_token(site: Site) -> None:
    other = site.start(work=site.long)
    test = site.start(work=site.long)
    record = JobInfo(info(test), id=info(other)["id"])
    status = wait_until(lambda: _running(site, record), "it runs")
    assert status.note.startswith(f"Job {info(test)['id']} is running")
    assert site.plugin.cancel(record) is None
    wait_until(lambda: site.jobs()[info(test)["id"]].state == "CANCELLED", "it is cancelled")
    assert site.jobs()[info(other)["id"]].state == "RUNNING"


def test_a_site_that_replaces_comments_loses_no_job(site: Site) -> None:
    test = site.start(work=site.long)
    job_id = info(test)["id"]
    wait_until(lambda: _running(site, info(test)), "it runs")
    site.cluster.ok("scontrol", "update", f"jobid={job_id}", "comment=by-the-site")
    plugin = Slurm()
    status = wait_until(lambda: _running(site, info(test), plugin), "it runs")
    assert status.note.startswith(f"Job {job_id} is running")
    assert plugin.cancel(info(test)) is None
    wait_until(lambda: site.jobs()[job_id].state == "CANCELLED", "it is cancelled")


def test_a_job_of_ours_is_not_taken_for_that_of_a_record_without_a_token(site: Site) -> None:
    """Pavilion itself hands 'id' and 'sys_name' to cancel(), and no more."""
    test, mine = site.start(work=site.long), site.start(work=site.long)
    bare = JobInfo({key: info(test)[key] for key in ("id", "sys_name")})
    assert site.plugin.cancel(bare) is None
    wait_until(lambda: site.jobs()[info(test)["id"]].state == "CANCELLED", "it is cancelled")
    # One whose directory holds another record is not the one that is meant.
    assert mine.job is not None
    mine.job.info = JobInfo({"id": "4000000", "sys_name": info(mine)["sys_name"]})
    job_id = site.jobs_of(mine)[0].job_id
    message = Slurm().cancel(JobInfo(bare, id=job_id))
    assert message is not None and "Nothing was cancelled" in message
    assert site.jobs()[job_id].state in ("PENDING", "RUNNING")


def test_a_bare_record_of_a_job_whose_directory_is_gone_is_shown_and_not_cancelled(
    site: Site,
) -> None:
    test = site.start(work=site.long)
    record = JobInfo({key: info(test)[key] for key in ("id", "sys_name")})
    assert test.job is not None
    wait_until(lambda: _running(site, info(test)), "it runs")
    # Newer releases would make the directory anew for a job that is only now started.
    wait_until(test.job.kickoff_log.exists, "its script runs")
    moved = test.job.path.with_name("moved")
    test.job.path.rename(moved)
    wait_until(lambda: _running(site, record, Slurm()), "it is shown")
    message = Slurm().cancel(record)
    moved.rename(test.job.path)
    assert message is not None and "cannot be determined" in message
    assert site.jobs()[record["id"]].state == "RUNNING"


def _running(site: Site, record: JobInfo, plugin: Slurm | None = None) -> TestStatusInfo | None:
    status = (plugin or site.plugin)._job_status(site.pav_cfg, record)
    return status if status is not None and status.state == "SCHED_RUNNING" else None


# --- Jobs that Slurm forgot ---


def test_purged_jobs(forgetful: Site) -> None:
    seen, job_info = (test := forgetful.start(work="exit 3")), info(test)

    def ask(plugin: Slurm = forgetful.plugin) -> str:
        status = plugin._job_status(forgetful.pav_cfg, job_info)
        return status.note if status is not None and "Exit code 3" in status.note else ""

    end = wait_until(ask, "its end")
    forgetful.cluster.set_setting("min_job_age", 1)
    unseen = forgetful.start(work="echo its last words")
    wait_until(lambda: not forgetful.jobs(), "both are purged")
    # One that was seen at its end stays over, and nobody asks about it.
    asked = forgetful.queries()
    assert ask() == end and forgetful.queries() == asked
    # Another process learns of it through the file in the working folder.
    other = Slurm()
    assert ask(other) == end and other._client.querying.count() == 0
    assert forgetful.wait_status(seen, "SCHED_ERROR").note.startswith(end)
    # Of the other one nobody knows. A single answer without it is too little.
    status = forgetful.status(unseen)
    assert status.state == "SCHEDULED" and not unseen.complete
    assert "That is too little to call it gone." in status.note
    status = forgetful.wait_status(
        unseen, "SCHED_ERROR", f"Slurm does not list job {info(unseen)['id']} (any more)."
    )
    assert "its last words" in status.note and unseen.complete


def test_a_job_that_is_not_visible_yet(site: Site) -> None:
    if site.cluster.is_real:
        pytest.skip("a real Slurm shows a job at once")
    site.cluster.set_fault("unknown_job")
    test = site.start(work=site.long)
    for _ in range(3):
        status = site.status(test)
        assert status.state == "SCHEDULED" and "does not list it yet" in status.note
        time.sleep(0.3)
    site.cluster.clear_fault("unknown_job")
    site.wait_status(test, "SCHED_STARTUP")


# --- When Slurm cannot be asked ---


@pytest.mark.parametrize("outage", ["frozen", "down"])
def test_nothing_ends_while_the_controller_does_not_answer(site: Site, outage: str) -> None:
    end = site.pav_cfg.working_dir / "end"
    running = site.start(work=site.long)
    ending = site.start(work=f"until [ -e {shlex.quote(str(end))} ]; do sleep 0.1; done")
    for test in (running, ending):
        site.wait_status(test, "SCHED_STARTUP")
    with getattr(site.cluster, outage)():
        end.touch()
        for test in (running, ending):
            status = site.wait_status(test, "SCHED_WARNING", "could not be queried")
            assert "squeue" in status.note and not test.complete
    # It is asked again after a while.
    site.wait_status(running, "SCHED_STARTUP", "is running")
    site.wait_status(ending, "SCHED_ERROR", "ended normally")
    assert "SCHED_WARNING" not in running.fake_states


@pytest.mark.parametrize(
    ("fault", "settings", "words"),
    [
        ("garbage", {}, "does not begin with its header line"),
        ("truncated", {"keep": 0.9}, "is cut off"),
        (
            "transient",
            {
                "at": list(range(1, 50)),
                "text": "Unable to contact slurm controller (connect failure)",
            },
            "Unable to contact slurm controller",
        ),
    ],
)
def test_answers_that_are_none(
    site: Site, fault: str, settings: dict[str, Any], words: str
) -> None:
    if site.cluster.is_real:
        pytest.skip("a real Slurm does not do that on demand")
    test = site.start(work=site.long)
    site.wait_status(test, "SCHED_STARTUP")
    site.cluster.set_fault(fault, commands=["squeue"], **settings)
    status = site.wait_status(test, "SCHED_WARNING", words)
    assert "It was last seen" in status.note and not test.complete
    site.cluster.clear_fault(fault)
    site.wait_status(test, "SCHED_STARTUP", "is running")


def test_a_banner_does_not_matter(site: Site) -> None:
    if site.cluster.is_real:
        pytest.skip("a real Slurm prints no banners")
    site.cluster.set_fault("banner", commands=["sbatch", "squeue", "sinfo"], where="both")
    test = site.start(work=site.long)
    assert info(test)["id"].isdigit()
    site.wait_status(test, "SCHED_STARTUP", "is running")


# --- Records of other places and times ---


def test_a_job_of_another_system(site: Site) -> None:
    test = site.start()
    job_info = JobInfo(info(test), sys_name="elsewhere")
    asked = site.queries()
    status = site.plugin._job_status(site.pav_cfg, job_info)
    assert status is not None and status.state == "SCHEDULED"
    assert f"Job {info(test)['id']} was started on the system 'elsewhere'" in status.note
    assert site.queries() == asked


def test_a_record_of_pavilion_2_6(site: Site) -> None:
    test = site.start(work=site.long)
    job_id, name = info(test)["id"], info(test)["sys_name"]
    for record in (
        JobInfo({"id": job_id, "sys_name": name}),
        JobInfo({"id": int(job_id), "sys_name": name}),
    ):
        wait_until(
            lambda info=record: getattr(site.plugin._job_status(site.pav_cfg, info), "state", "")
            == "SCHED_RUNNING",
            "it runs",
        )
    assert site.plugin.cancel(record) is None
    wait_until(lambda: site.jobs()[job_id].state == "CANCELLED", "it is cancelled")


@pytest.mark.parametrize(
    "record",
    [{"sys_name": None}, {"id": ""}, {"id": "", "token": ""}, {"id": None, "when": "soon"}],
    ids=str,
)
def test_a_damaged_record(site: Site, record: dict[str, Any]) -> None:
    test = site.start()
    assert test.job is not None
    name = info(test)["sys_name"]
    (test.job.path / IDENTITY_FN).unlink()
    test.job.info = JobInfo({"sys_name": name, **record})
    status = site.status(test)
    assert status.state == "SCHED_WARNING" and "is damaged" in status.note
    assert not test.complete


# --- How often Slurm is asked ---


def _job_queries(site: Site) -> int:
    """How often the controller was asked about jobs, by its own count."""
    text = site.cluster.ok("sdiag")
    counts = re.findall(r"REQUEST_JOB_INFO\w* .*?count:(\d+)", text)
    return sum(map(int, counts))


def test_one_query_serves_fifty_jobs(site: Site) -> None:
    # By itself each test asks for a job of its own; they are held, and start nothing.
    options = {"share_allocation": "false", "slurm": {"sbatch_extra": ["--hold"]}}
    tests = [site.test(options) for _ in range(50)]
    assert site.try_start(*tests) == []
    assert len({info(test)["id"] for test in tests}) == 50
    site.plugin.JOB_TABLE_AGE = 5.0  # type: ignore[misc]
    site.plugin._tables.clear()
    before, counted = site.queries(), _job_queries(site)
    for _ in range(3):
        assert {site.status(test).state for test in tests} == {"SCHEDULED"}
    assert (site.queries() - before, _job_queries(site) - counted) == (1, 1)
    # Not even that, for another process.
    other = Slurm()
    with active(other):
        other.JOB_TABLE_AGE = 5.0  # type: ignore[misc]
        notes = [
            other.job_status(site.pav_cfg, test).note  # type: ignore[arg-type]
            for test in tests
        ]
    assert all("held" in note for note in notes)
    assert other._client.querying.count() == 0
    # Later polls: one query each at most.
    for table in site.plugin._tables.values():
        table.expire()
    for test in tests:
        site.status(test)
    assert (site.queries() - before, _job_queries(site) - counted) == (2, 2)
    site.cluster.ok("scancel", *[info(test)["id"] for test in tests])
    assert ended(site, tests) == {"SCHED_CANCELLED"}


def ended(site: Site, tests: list[FakeTest]) -> set[str]:
    """The states of tests, once all of them are over."""
    wait_until(
        lambda: [site.status(test) for test in tests] and all(test.complete for test in tests),
        "all over",
    )
    return {test.status.current().state for test in tests}
