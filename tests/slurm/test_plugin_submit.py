"""Submitting once: whatever becomes of sbatch's answer, there is one job."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters import Slurm as Cluster
from clusters import wait_until
from plugin_tools import Scripted, Site, info, job_list, result, site_of

from pavilion.errors import SchedulerPluginError
from pavilion.jobs import JobInfo
from pavilion.schedulers.batch import submitting
from pavilion.schedulers.batch.recent_jobs import RecentJobs
from pavilion.schedulers.lifecycle.handover import Handover, HandoverStopped
from pavilion.schedulers.lifecycle.job_table import JobRecord, QueryFailed
from pavilion.schedulers.plugins.slurm import submit
from pavilion.schedulers.plugins.slurm.client import SlurmClient
from pavilion.schedulers.plugins.slurm.submit import Submission, Submitter

FULL = submitting.full_note("Slurm")
SILENT = submitting.silent_note(["sbatch"])
UNCLEAR = submitting.unclear_note("Slurm", ["sbatch"])


@pytest.fixture
def site(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with site_of(slurm, monkeypatch) as made:
        yield made


# --- On a cluster ---


def test_a_job_taken_by_a_frozen_controller_is_adopted(site: Site) -> None:
    site.usable()  # the nodes are known before
    test = site.test({"tasks_per_node": "2"}, work="sleep 0.2")
    test_dir = site.pav_cfg.working_dir
    with site.cluster.frozen():
        starting = threading.Thread(target=site.try_start, args=[test])
        starting.start()
        log = wait_until(lambda: next(test_dir.glob("jobs/*/sbatch.log"), None), "sbatch ran")
        wait_until(lambda: "timed out" in log.read_text(), "sbatch gave up")
    starting.join(60)
    assert not starting.is_alive() and not test.complete
    # There is one job with our token, and it is the one that the test has.
    jobs = site.jobs_of(test)
    assert [job.job_id for job in jobs] == [info(test)["id"]]
    site.wait_status(test, "SCHED_ERROR", "ended normally")
    assert log.read_text().count("sbatch --parsable") == 1


def test_a_job_that_nobody_can_be_asked_about_is_found_later(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submitting, "LOOK_PAUSES", ())
    site.usable()
    test = site.test(work=site.long)
    with site.cluster.frozen():
        assert site.try_start(test) == []
        assert info(test)["id"] == info(test)["token"] and info(test)["token"].startswith("pav-")
        status = site.status(test)
        assert status.state == "SCHED_WARNING" and not test.complete
    status = site.wait_status(test, "SCHED_STARTUP", "is running")
    [job] = site.jobs_of(test)
    assert status.note.startswith(f"Job {job.job_id} is running")
    # Its record and its status have the id from now on.
    assert info(test)["id"] == job.job_id
    assert test.fake_accepted == [f"Accepted by slurm as job {job.job_id}."]
    # It can be cancelled by that record, too.
    assert site.plugin.cancel(info(test)) is None
    assert site.wait_status(test, "SCHED_CANCELLED")


def test_without_a_controller_nothing_is_submitted(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submitting, "LOOK_PAUSES", ())
    site.usable()
    test = site.test()
    with site.cluster.down():
        assert site.try_start(test) == []
        assert "could not be queried" in site.status(test).note
    # Nobody knows of that token, and it is said to be so only after a while.
    site.wait_status(test, "SCHEDULED", "does not list it yet")
    assert site.jobs_of(test) == [] and not test.complete
    # Whether it may come into being is not sure, so it cannot be called cancelled.
    message = site.plugin.cancel(info(test))
    assert message is not None and info(test)["token"] in message


def test_two_jobs_with_one_token_become_one(site: Site) -> None:
    test = site.start(work=site.long)
    token = info(test)["token"]
    twin = site.cluster.submit(site.long, f"--comment={token}", "--output=/dev/null")
    record = JobInfo(info(test), id="")

    def runs() -> bool:
        status = site.plugin._job_status(site.pav_cfg, record)
        return status is not None and f"Job {info(test)['id']} is running" in status.note

    wait_until(runs, "the older one is found")
    wait_until(lambda: site.jobs()[twin].state == "CANCELLED", "the younger one is cancelled")
    assert site.jobs()[info(test)["id"]].state == "RUNNING"


def test_a_users_own_comment_is_kept(site: Site) -> None:
    test = site.start({"slurm": {"sbatch_extra": ["--comment=for_the_boss"]}}, work=site.long)
    recorded = site.recorded(test)
    assert recorded["comment"] == "for_the_boss"
    # The token is in the name then, and the job is found by it.
    assert recorded["name"] == f"pav_{test.name}-{info(test)['token']}"
    status = site.plugin._job_status(site.pav_cfg, JobInfo(info(test), id=""))
    assert status is not None and f"Job {info(test)['id']} " in status.note


@pytest.mark.parametrize(
    ("fault", "settings"),
    [
        ("accepted_but_error", {"times": 1}),
        ("garbage", {"commands": ["sbatch"]}),
        ("banner", {"commands": ["sbatch"], "where": "both"}),
        ("transient", {"commands": ["sbatch"], "at": [1]}),
        ("transient", {"commands": ["sbatch"], "at": [1, 2]}),
    ],
    ids=str,
)
def test_whatever_sbatch_says_there_is_one_job(
    site: Site, monkeypatch: pytest.MonkeyPatch, fault: str, settings: dict[str, Any]
) -> None:
    if site.cluster.is_real:
        pytest.skip("a real Slurm does not do that on demand")
    monkeypatch.setattr(submitting, "CONFIRM_PAUSE", 0.1)
    before = set(site.jobs())
    site.cluster.set_fault(fault, **settings)
    test = site.start(work=site.long)
    site.cluster.clear_fault(fault)
    assert set(site.jobs()) - before == {info(test)["id"]}
    assert [job.job_id for job in site.jobs_of(test)] == [info(test)["id"]]
    site.wait_status(test, "SCHED_STARTUP", "is running")


@pytest.mark.parametrize("name", ["other", ""])
def test_a_job_on_a_cluster_that_sbatch_names(site: Site, name: str) -> None:
    """Later commands name it too, unless it is the one of this host."""
    if site.cluster.is_real:
        pytest.skip("several clusters need a slurmdbd")
    name = name or site.cluster.name
    site.cluster.set_fault("cluster", name=name)
    test = site.start(work=site.long)
    job_id, _, cluster = info(test)["id"].partition(";")
    assert cluster == name
    if name != "other":
        # As where a wrapper prints it, and no slurmdbd knows it.
        site.cluster.clear_fault("cluster")
    site.wait_status(test, "SCHED_STARTUP", f"Job {job_id} is running")
    assert site.plugin.cancel(info(test)) is None
    wait_until(lambda: site.jobs()[job_id].state == "CANCELLED", "it is cancelled")
    ours = [
        call.args
        for call in site.cluster.calls()
        if call.command == "scancel" and job_id in call.args
    ]
    assert len(ours) == 1 and ("--clusters=other" in ours[0]) == (name == "other")


def test_a_cluster_that_cannot_be_reached(site: Site) -> None:
    test = site.start(work=site.long)
    elsewhere = JobInfo(info(test), cluster="nosuch")
    status = site.plugin._job_status(site.pav_cfg, elsewhere)
    assert status is not None and status.state == "SCHED_WARNING"
    assert "'nosuch' can't be reached now" in status.note
    message = site.plugin.cancel(elsewhere)
    assert message is not None and "'nosuch' can't be reached now" in message
    damaged = JobInfo(info(test), id=info(test)["id"] + ";--name=x y")
    assert "damaged" in str(site.plugin.cancel(damaged))


def test_an_unclear_submission_to_another_cluster(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    if site.cluster.is_real:
        pytest.skip("several clusters need a slurmdbd")
    site.cluster.set_fault("cluster", name="other")
    site.cluster.set_fault("accepted_but_error", times=1)
    test = site.start({"slurm": {"sbatch_extra": ["--clusters=other"]}}, work=site.long)
    [job] = site.jobs_of(test)
    assert info(test)["id"] == f"{job.job_id};other"
    site.wait_status(test, "SCHED_STARTUP", "is running")


@pytest.mark.parametrize(
    ("options", "clusters"),
    [
        ([], [""]),
        (["--mem=1G"], [""]),
        (["-M a"], ["a"]),
        (["-Ma,b"], ["a", "b"]),
        (["--clusters=a", "--clusters b"], ["b"]),
        (["--clusters='a'"], ["a"]),
        (["--cluster-constraint=x"], [""]),
    ],
)
def test_clusters_in_a_users_options(options: list[str], clusters: list[str]) -> None:
    assert submit.named_clusters(options) == clusters


# --- With answers that are given beforehand ---

QUEUE_FULL = result(
    stderr="sbatch: error: Batch job submission failed: Slurm temporarily unable to accept job",
    returncode=1,
)
TIMED_OUT = result(
    stderr="sbatch: error: Batch job submission failed: Socket timed out on send/recv operation",
    returncode=1,
)
REFUSED = result(
    stderr="sbatch: error: Batch job submission failed: Invalid qos specification", returncode=1
)
NO_CONTACT = result(
    stderr="slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
    returncode=1,
    argv=("squeue",),
)


class Way(Handover):
    """The way of a job on which time flies.  It is to be given up after so many seconds."""

    def __init__(self, sleep: Callable[[float], None]) -> None:
        super().__init__()
        self._sleep = sleep
        self.left = float("inf")
        self.reports: list[str] = []

    def report(self, text: str) -> None:
        self.reports += [text] if text not in self.reports[-1:] else []

    @property
    def stopped(self) -> bool:
        return self.left <= 0

    def pause(self, seconds: float) -> bool:
        waited = min(seconds, max(self.left, 0.0))
        self._sleep(waited)
        self.left -= waited
        return not self.stopped


class Bench:
    """A submitter with scripted commands, and a clock that moves when it sleeps."""

    def __init__(self, folder: Path, sbatch: list[Any], query: list[Any] = ()) -> None:  # type: ignore[assignment]
        self.folder = folder
        self.time = 0.0
        self.client = SlurmClient(sleep=lambda seconds: None)
        self.sbatch, self.query = Scripted(*sbatch), Scripted(*query)
        self.client.submitting = self.sbatch  # type: ignore[assignment]
        self.client.querying = self.query  # type: ignore[assignment]
        self.way = Way(self._sleep)
        self.submitter = Submitter(
            self.client, self.way, sleep=self._sleep, clock=lambda: self.time
        )

    def _sleep(self, seconds: float) -> None:
        self.time += seconds

    @property
    def token(self) -> str:
        """As handed over."""
        return self.sbatch.argvs[0][2].partition("--comment=")[2]

    def listed(self, *ids: str) -> Any:
        """squeue's answer with jobs that have our token."""
        return lambda argv: job_list(
            {"id": "1", "state": "RUNNING", "comment": "another"},
            *({"id": job_id, "state": "PENDING", "comment": self.token} for job_id in ids),
        )

    def submit(self, *extra: str) -> Submission:
        made = self.submitter.submit(
            self.folder, self.folder / "script", self.folder / "log", "name", extra
        )
        assert (self.sbatch.left, self.query.left) == (0, 0)
        return made


def test_the_usual_case_asks_nothing_more(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [result("17\n")])
    assert bench.submit() == Submission("17", "", bench.token)
    assert bench.sbatch.argvs == [
        [
            "sbatch",
            "--parsable",
            f"--comment={bench.token}",
            f"--output={tmp_path / 'log'}",
            str(tmp_path / "script"),
        ]
    ]


@pytest.mark.parametrize("extra", [[], ["--comment=mine"]])
@pytest.mark.parametrize("name", ["name", "it's; $(odd) pav-0123456789abcdef", "n" * 3000])
def test_the_token_is_recorded_before_anything_is_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, extra: list[str]
) -> None:
    folder = tmp_path / "it's a --comment=pav-0123456789abcdef"
    folder.mkdir()
    command = tmp_path / "bin" / "sbatch"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\ncp "{folder}/{submit.LOG_FN}" "{tmp_path}"\necho "17;east"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}:{os.environ['PATH']}")
    before = time.time()
    made = Submitter(SlurmClient()).submit(folder, folder / "script", folder / "log", name, extra)
    assert (made.job_id, made.cluster) == ("17", "east")
    for place in (tmp_path, folder):
        token, when = submit.read_token(place)
        # The times of files are a little coarser.
        assert token == made.token and before - 1 < when < time.time() + 1


def test_without_a_record_of_the_token_nothing_is_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "sbatch"
    command.write_text(f'#!/bin/sh\ntouch "{tmp_path}/submitted"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    missing = tmp_path / "missing"
    with pytest.raises(SchedulerPluginError, match=r"its log .*sbatch\.log cannot be written"):
        Submitter(SlurmClient()).submit(missing, missing / "script", missing / "log", "name")
    assert not (tmp_path / "submitted").exists()


@pytest.mark.parametrize(
    "unclear",
    [
        TIMED_OUT,
        result("Welcome!\n"),
        result(""),
        result(returncode=None, timed_out=True),
        result(returncode=-9),
        result("1e7\n"),
        result(returncode=1),
    ],
    ids=str,
)
def test_an_unclear_answer_and_the_job_is_there(tmp_path: Path, unclear: Any) -> None:
    bench = Bench(tmp_path, [unclear])
    bench.query._results.append(bench.listed("17"))
    assert bench.submit() == Submission("17", "", bench.token)


def test_only_two_answers_without_the_job_allow_another_try(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [TIMED_OUT, result("18\n")])
    bench.query._results += [
        NO_CONTACT,
        bench.listed(),
        NO_CONTACT,
        bench.listed(),
        bench.listed(),
        bench.listed("18"),
    ]
    assert bench.submit().job_id == "18"


def test_the_list_may_overtake_the_job(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [TIMED_OUT])
    bench.query._results += [bench.listed(), bench.listed("17")]
    assert bench.submit().job_id == "17"
    assert bench.time == submitting.CONFIRM_PAUSE


def test_a_job_that_comes_up_after_all_wins(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [TIMED_OUT, result("18\n")])
    bench.query._results += [bench.listed(), bench.listed(), bench.listed("17", "18"), result()]
    assert bench.submit().job_id == "17"
    assert bench.query.argvs[-1] == ["scancel", "18"]


def test_nobody_answers(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [TIMED_OUT], [NO_CONTACT] * (len(submitting.LOOK_PAUSES) + 1))
    assert bench.submit() == Submission("", "", bench.token)
    assert bench.time == sum(submitting.LOOK_PAUSES)


def test_it_does_not_try_for_ever(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [TIMED_OUT] * submitting.ATTEMPTS)
    bench.query._results += [bench.listed()] * (2 * submitting.ATTEMPTS)
    with pytest.raises(
        SchedulerPluginError,
        match=r"did not accept the job in 3 tries.*Socket "
        r"timed out",
    ):
        bench.submit()


def test_a_refusal_is_final(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [REFUSED])
    with pytest.raises(SchedulerPluginError) as caught:
        bench.submit()
    assert str(caught.value) == (
        f"Slurm did not accept the job ({tmp_path / 'script'}): Invalid "
        "qos specification. Hint: see schedule.qos."
    )


def test_a_missing_sbatch_is_final(tmp_path: Path) -> None:
    missing = result(stderr="sbatch: command not found", returncode=None)
    with pytest.raises(SchedulerPluginError, match="command not found"):
        Bench(tmp_path, [missing]).submit()


def test_a_full_queue_is_waited_for(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [QUEUE_FULL, QUEUE_FULL, result("19\n")])
    assert bench.submit().job_id == "19"
    assert bench.time == 2 * submitting.FULL_PAUSE


def test_what_is_waited_for_is_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [QUEUE_FULL, QUEUE_FULL, TIMED_OUT])
    bench.query._results += [bench.listed("19")]
    assert bench.submit().job_id == "19"
    assert bench.way.reports == [FULL, UNCLEAR]


@pytest.mark.parametrize("after", [0.0, 45.0])
def test_a_full_queue_is_given_up_when_told_so(tmp_path: Path, after: float) -> None:
    bench = Bench(tmp_path, [QUEUE_FULL] * (1 + int(after / submitting.FULL_PAUSE)))
    bench.way.left = after
    with pytest.raises(HandoverStopped, match="temporarily unable to accept job"):
        bench.submit()
    assert bench.time == after and bench.sbatch.left == 0


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        (["there"], "17"),
        (["lacks it", "there"], "17"),
        # Nobody can tell: it is looked for by its token.
        (["none"], ""),
        (["lacks it", "none"], ""),
    ],
)
def test_an_unclear_submission_that_is_given_up_is_not_lost(
    tmp_path: Path, answers: list[str], found: str
) -> None:
    bench = Bench(tmp_path, [TIMED_OUT])
    bench.way.left = 0
    bench.query._results += [
        {"there": bench.listed("17"), "lacks it": bench.listed(), "none": NO_CONTACT}[answer]
        for answer in answers
    ]
    assert bench.submit() == Submission(found, "", bench.token)
    assert bench.time <= submitting.CONFIRM_PAUSE


def test_an_unclear_submission_that_is_not_there_is_not_repeated_when_given_up(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, [TIMED_OUT])
    bench.way.left = 0
    bench.query._results += [bench.listed(), bench.listed()]
    with pytest.raises(HandoverStopped):
        bench.submit()


def test_a_running_sbatch_is_watched(tmp_path: Path) -> None:
    bench = Bench(tmp_path, [])
    goes_on = bench.submitter._watch(["sbatch"])
    assert goes_on("") and bench.way.reports == []
    bench.time = submitting.SLOW
    assert goes_on("") and bench.way.reports == [SILENT]
    retrying = "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying"
    assert goes_on(retrying) and bench.way.reports == [SILENT, FULL]
    bench.way.left = 0
    # It may get its answer any moment; one that sleeps does not.
    assert goes_on("") and not goes_on(retrying)
    bench.time += submitting.STOP_PATIENCE
    assert not goes_on("")


def test_a_turn_that_does_not_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitting, "TURN_POLL", 0.01)
    bench = Bench(tmp_path, [])
    for _ in range(bench.client.dialect.SUBMIT_AT_ONCE):
        bench.client.submit_slots.acquire()

    class Later(Way):
        def report(self, text: str) -> None:
            super().report(text)
            self.left = 0

    bench.submitter._way = bench.way = Later(bench._sleep)
    times = iter([0.0, 0.0, 0.0, submitting.SLOW])
    bench.submitter._clock = lambda: next(times)
    with pytest.raises(HandoverStopped, match="other jobs were still ahead of it"):
        bench.submit()
    assert bench.way.reports == [submitting.TURN]


# --- Looks that are shared ---


def test_thirty_unclear_submissions_share_looks(site: Site) -> None:
    if site.cluster.is_real:
        pytest.skip("a real Slurm does not do that on demand")
    site.usable()
    before = site.queries()
    site.cluster.set_fault("accepted_but_error", times=0)
    tests = [site.test({"share_allocation": "false"}) for _ in range(30)]
    assert site.try_start(*tests) == []
    site.cluster.clear_fault("accepted_but_error")
    asked = site.queries() - before
    # A few are submitted at a time, and each time one look will do.
    assert asked <= 12
    assert len({info(test)["id"] for test in tests}) == 30
    assert [len(site.jobs_of(test)) for test in tests] == [1] * 30


def test_a_look_serves_all_who_need_one_as_new() -> None:
    asked: list[float] = []
    now = [0.0]

    def query(cluster: str) -> dict[str, JobRecord]:
        asked.append(now[0])
        now[0] += 1
        if len(asked) == 3:
            raise QueryFailed("no answer")
        return {cluster: JobRecord("1", "RUNNING", {})}

    recent = RecentJobs(query, sleep=lambda seconds: None, clock=lambda: now[0])
    assert list(recent.since(0.0)) == [""] and list(recent.since(0.0)) == [""]
    assert asked == [0.0]
    # One that failed while the query was under way needs another.
    recent.since(0.5)
    assert asked == [0.0, 1.0]
    assert list(recent.since(1.0)) == [""] and asked == [0.0, 1.0]
    # A failure is an answer, too.
    for _ in range(2):
        with pytest.raises(QueryFailed, match="no answer"):
            recent.since(1.5)
    assert asked == [0.0, 1.0, 2.0]
    assert list(recent.since(1.5, "other")) == ["other"]


def test_threads_that_fail_together_share_a_look() -> None:
    asked: list[str] = []

    def query(cluster: str) -> dict[str, JobRecord]:
        asked.append(cluster)
        return {}

    recent = RecentJobs(query)
    threads = [threading.Thread(target=lambda: recent.since(recent.now())) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(asked) <= 2


def test_a_queue_that_stays_full(tmp_path: Path) -> None:
    tries = int(submitting.FULL_PATIENCE / submitting.FULL_PAUSE) + 1
    bench = Bench(tmp_path, [QUEUE_FULL] * tries)
    with pytest.raises(
        SchedulerPluginError,
        match=r"after waiting for room in the queue for 10 "
        r"minutes.*temporarily unable to accept job",
    ):
        bench.submit()
    assert bench.time == submitting.FULL_PATIENCE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "$ sbatch --parsable",
        "$ sbatch --parsable --comment=mine --output=pav-01234567",
        "$ sbatch --parsable --comment=pav-0123456789abcd",
        "17\n$ sbatch --parsable --comment=pav-0123456789abcdef ",
        "\xff",
    ],
)
def test_a_damaged_record_of_a_token(tmp_path: Path, text: str) -> None:
    (tmp_path / submit.LOG_FN).write_text(text)
    assert submit.read_token(tmp_path) == ("", 0.0)
