"""The gridengine plugin on a real Grid Engine: what becomes of jobs, and what users are told."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from engine_site import Site, header, site_of
from real_gridengine import RealGridEngine

from job_bench import info
from pavilion.jobs import JobInfo
from pavilion.schedulers.batch import submitting
from polling import until


def wrap(directory: Path, monkeypatch: pytest.MonkeyPatch, command: str, body: str) -> None:
    """Put a program of the same name before a command; in it, 'real' is the command."""
    programs = directory / "programs"
    programs.mkdir(exist_ok=True)
    real = shutil.which(command)
    (programs / command).write_text(f'#!/bin/bash\nreal() {{ {real} "$@"; }}\n{body}\n')
    (programs / command).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")


# --- A job's way ---


def test_a_job_waits_runs_and_ends(site: Site) -> None:
    test = site.start(
        {"time_limit": "10m"}, f"echo $JOB_ID $NSLOTS >{site.host.folder}/out; {site.long}"
    )
    site.wait_status(test, "SCHED_STARTUP", "localhost")
    job_id = info(test)["id"]
    assert site.jobs() == [job_id]
    assert header(test) == ["-S /bin/bash", "-r n", "-l h_rt=0:10:0"]
    site.release()
    until(lambda: site.jobs() == [], "the job has ended")
    assert (site.host.folder / "out").read_text() == f"{job_id} 1\n"
    assert site.ran(test) == 1


def test_slots_of_a_parallel_environment(site: Site) -> None:
    out = site.host.folder / "out"
    # A host may give slots of several queues, in a line each.
    work = f"awk '{{ slots += $2 }} END {{ print $1, slots, ENVIRON[\"NSLOTS\"] }}' $PE_HOSTFILE >>{out}"
    for schedule, value, slots in (
        ({"tasks": 4, "gridengine": {"pe": "smp"}}, "-pe smp 4", 4),
        ({"tasks": 3, "gridengine": {"pe": "mpi"}}, "-pe mpi 3", 3),
        ({"nodes": 1, "tasks_per_node": 2, "gridengine": {"pe": "pairs"}}, "-pe pairs 2", 2),
        ({"tasks_per_node": "all", "gridengine": {"pe": "smp"}}, "-pe smp 8", 8),
    ):
        test = site.start(schedule, work)
        assert value in header(test)
        said = f"localhost {slots} {slots}\n"
        until(lambda said=said: out.exists() and said in out.read_text(), value)


def test_queue_project_account_and_resources(site: Site) -> None:
    test = site.start(
        {
            "partition": "small.q",
            "account": "science",
            "include_nodes": ["localhost"],
            "nodes": 1,
            "gridengine": {"resources": ["mem_free=1M", "arch=lx-*"]},
        },
        f"echo $QUEUE >{site.host.folder}/out",
    )
    assert header(test)[2:] == [
        "-q small.q",
        "-A science",
        "-l h_rt=1:0:0",
        "-l hostname=(localhost)",
        "-l mem_free=1M,arch=lx-*",
    ]
    until(lambda: site.ran(test), "it ran")
    until(lambda: site.jobs() == [], "it has ended")
    assert (site.host.folder / "out").read_text() == "small.q\n"


@pytest.mark.parametrize("name", ["odd, with: @characters #1 'and' \"more\"", "ünï"])
def test_any_path_and_any_name(gridengine: RealGridEngine, name: str) -> None:
    with site_of(gridengine, name) as site:
        test = site.start({}, name="a:b@c d/é\\*?" + 300 * "x")
        until(lambda: site.ran(test) == 1, "it ran")


def test_a_path_with_a_variable_of_grid_engine(gridengine: RealGridEngine) -> None:
    with site_of(gridengine, "a$JOB_IDb") as site:
        assert "would expand a variable in" in site.refused({})


# --- What is refused ---


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        ({"tasks": 2}, "several slots need one (there are: mpi, pairs, smp)"),
        (
            {"tasks": 2, "gridengine": {"pe": "spm"}},
            "'spm' is not one (there are: mpi, pairs, smp)",
        ),
        ({"nodes": 2, "gridengine": {"pe": "smp"}}, "by the rule $pe_slots, so 1 on each of 2"),
        (
            {"nodes": 1, "tasks_per_node": 4, "gridengine": {"pe": "mpi"}},
            "the rule 4, or $pe_slots",
        ),
        ({"nodes": 2, "tasks": 6, "gridengine": {"pe": "pairs"}}, "Take one with the rule 3;"),
        ({"partition": "al.q"}, 'partition is not "al.q": 1 (localhost)'),
        ({"partition": "all.q -h"}, "partition"),
        ({"exclude_nodes": ["localhost"]}, "in exclude_nodes: 1 (localhost)"),
        ({"gridengine": {"resources": ["nosuch=1"]}}, 'unknown resource "nosuch"'),
        ({"gridengine": {"project": "nosuch"}}, 'the requested project "nosuch" does not exist'),
        ({"gridengine": {"resources": ["a=1 -q x"]}}, "gridengine.resources"),
        ({"reservation": "77"}, "the advance reservation id 77 is invalid"),
        ({"qos": "high"}, "schedule.qos is set"),
        ({"core_spec": "1"}, "schedule.core_spec is set"),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_reason(
    site: Site, schedule: dict[str, object], text: str
) -> None:
    assert text in " ".join(site.refused(schedule).split())
    assert site.jobs() == []


def test_a_full_queue_is_waited_for(
    site: Site, monkeypatch: pytest.MonkeyPatch, gridengine: RealGridEngine
) -> None:
    monkeypatch.setattr(submitting, "FULL_PAUSE", 0.5)
    first = site.start({}, site.long)
    site.wait_begun(first)
    reports: list[str] = []
    with gridengine.setting("max_u_jobs", "1"):
        second = site.test({}, "true")

        def hear(job: object, text: str) -> None:
            reports.append(text)
            site.release()

        monkeypatch.setattr("pavilion.schedulers.lifecycle.handover.Handover.report", hear)
        assert site.try_start(second) == []
    assert any("accepts no more jobs at the moment" in text for text in reports)
    until(lambda: site.ran(second) == 1, "the second ran")


# --- Answers that are not clear ---


def test_a_job_that_is_taken_with_a_warning_is_accepted(
    site: Site, gridengine: RealGridEngine
) -> None:
    """qsub ends with 1, and the job is there."""
    gridengine.ok("qconf", "-au", "daemon", "deadlineusers")
    with (
        gridengine.queue_setting("all.q", "user_lists", "deadlineusers"),
        gridengine.queue_setting("small.q", "user_lists", "deadlineusers"),
    ):
        test = site.start({})
        said = (test.job.path / "submit.log").read_text()  # type: ignore[union-attr]
        assert "is not allowed to run in any queue" in said
        assert site.jobs() == [info(test)["id"]]
        assert site.status(test).state == "SCHEDULED"
    until(lambda: site.ran(test) == 1, "it runs as soon as it may")


@pytest.mark.parametrize("work", ["sleep 8", "true"])
def test_an_answer_that_is_lost(site: Site, monkeypatch: pytest.MonkeyPatch, work: str) -> None:
    """The job is accepted, and nobody hears of it: it runs once, even where it has ended and left
    qstat before anybody looks."""
    wrap(
        site.host.folder,
        monkeypatch,
        "qsub",
        'real "$@" >/dev/null; sleep 4; echo "unable to send message to qmaster" >&2; exit 1',
    )
    test = site.start({}, work)
    until(lambda: site.jobs() == [], "no job is left")
    assert site.ran(test) == 1


def test_a_job_that_nobody_took(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """qsub fails as without a qmaster; the list of jobs shows that there is no such job."""
    wrap(
        site.host.folder,
        monkeypatch,
        "qsub",
        'echo >>"${0%/*}/tries"; echo "unable to send message to qmaster" >&2; exit 1',
    )
    assert "did not accept the job in 3 tries" in " ".join(site.refused({}).split())
    assert (site.host.folder / "programs" / "tries").read_text() == "\n\n\n"


def test_a_qmaster_that_goes_away_while_a_job_is_submitted(
    site: Site, gridengine: RealGridEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submitting, "LOOK_PAUSES", (0.5,))
    taken = site.host.folder / "taken"
    wrap(site.host.folder, monkeypatch, "qsub", f'real "$@" >/dev/null; touch {taken}; sleep 60')
    monkeypatch.setattr(site.plugin._client.submitting, "_timeout", 8.0)

    def kill() -> None:
        until(taken.exists, "qsub was called")
        gridengine.kill_qmaster()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        test = site.start({}, site.long)
    finally:
        killer.join()
        gridengine.start_qmaster()
    # It is known by its token until it is seen.
    assert info(test)["id"].startswith("pav-")
    site.wait_status(test, "SCHED_STARTUP")
    assert info(test)["id"] in site.jobs()
    site.release()
    until(lambda: site.jobs() == [], "it has ended", 120)
    assert site.ran(test) == 1


# --- Ends ---


def test_a_job_in_error_is_reported_with_its_reason_and_can_be_cancelled(
    site: Site, gridengine: RealGridEngine
) -> None:
    prolog = site.host.folder / "prolog"
    prolog.write_text("#!/bin/bash\nexit 100\n")
    prolog.chmod(0o755)
    with gridengine.queue_setting("all.q", "prolog", str(prolog)):
        test = site.start({"partition": "all.q"})
        status = site.wait_status(test, "SCHEDULED", "is stuck (in error)")
    assert "It stays in the queue until somebody intervenes, and can be cancelled." in status.note
    assert "100" in status.note
    assert site.plugin.cancel(info(test)) is None
    assert site.jobs() == []
    assert site.ran(test) == 0


def test_a_job_that_reaches_its_time_limit(site: Site, hasty: None) -> None:
    test = site.start({"time_limit": "2s"}, site.long)
    site.wait_begun(test)
    status = site.wait_status(test, "SCHED_ERROR", "h_rt")
    assert "exit code 137" in status.note and "most likely its time limit" in status.note
    assert test.complete


@pytest.mark.parametrize("work", ["exit 3", "kill -9 $PPID $$"])
def test_a_job_that_fails(site: Site, hasty: None, work: str) -> None:
    test = site.start({}, work)
    status = site.wait_status(test, "SCHED_ERROR", "accounting")
    assert f"exit code {3 if 'exit' in work else 137}" in status.note


def test_a_job_that_somebody_deleted(site: Site, hasty: None, gridengine: RealGridEngine) -> None:
    runs, waits = site.start({}, site.long), site.start({"tasks": 10, "gridengine": {"pe": "smp"}})
    site.wait_begun(runs)
    gridengine.ok("qdel", info(runs)["id"], info(waits)["id"])
    assert "a signal ended it, such as that of qdel" in site.wait_status(runs, "SCHED_ERROR").note
    # Of this one there is no record at all.
    note = site.wait_status(waits, "SCHED_ERROR").note
    assert "Grid Engine does not list" in note and "Its accounting does not know" in note


# --- Cancelling ---


def test_cancelling_jobs_that_run_wait_and_have_ended(
    site: Site, gridengine: RealGridEngine
) -> None:
    ended = site.start({})
    until(lambda: site.ran(ended), "it ran")
    until(lambda: site.jobs() == [], "it has ended")
    runs = site.start({}, site.long)
    waits = site.start({"tasks": 10, "gridengine": {"pe": "smp"}})
    site.wait_begun(runs)
    infos = [info(test) for test in (ended, runs, waits)]
    assert site.plugin.cancel_jobs([*infos, infos[1]]) == [
        "Grid Engine does not list job 1 yet. Try again in a moment.".replace(
            "job 1", f"job {infos[0]['id']}"
        ),
        None,
        None,
        None,
    ]
    until(lambda: site.jobs() == [], "all are gone")
    assert site.ran(waits) == 0
    # Its id alone is not enough: that may belong to another job.
    strange = JobInfo(
        {**infos[0], "id": gridengine.ok("qsub", "-terse", "-h", "-b", "y", "true").strip()}
    )
    site.plugin.cancel(strange)
    assert len(site.jobs()) == 1


# --- A qmaster that does not answer ---


def test_a_qmaster_that_is_killed(site: Site, gridengine: RealGridEngine) -> None:
    runs = site.start({}, site.long)
    site.wait_begun(runs)
    with gridengine.down():
        status = site.wait_status(runs, "SCHED_WARNING", "qmaster")
        assert "SCHED_ERROR" not in runs.fake_states, status
        assert "may still be running" in (site.plugin.cancel(info(runs)) or "")
    site.wait_status(runs, "SCHED_STARTUP")
    site.release()
    until(lambda: site.jobs() == [], "it has ended", 120)
    assert site.ran(runs) == 1


def test_a_qmaster_that_is_frozen(
    site: Site, gridengine: RealGridEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site.plugin._client.querying, "_timeout", 2.0)
    runs = site.start({}, site.long)
    site.wait_begun(runs)
    with gridengine.frozen():
        site.wait_status(runs, "SCHED_WARNING", "no answer within")
        assert "may still be running" in (site.plugin.cancel(info(runs)) or "")
    site.wait_status(runs, "SCHED_STARTUP")


def test_a_submission_to_a_frozen_qmaster(
    site: Site, gridengine: RealGridEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """qsub is stopped at its time-out; the qmaster may take the job all the same, later."""
    monkeypatch.setattr(site.plugin._client.submitting, "_timeout", 2.0)
    monkeypatch.setattr(site.plugin._client.querying, "_timeout", 2.0)
    monkeypatch.setattr(submitting, "LOOK_PAUSES", (0.5,))
    site.start({}, "true")  # From now on the hosts are known.
    with gridengine.frozen():
        test = site.start({}, "true")
        # It is known by its token until it is seen.
        assert info(test)["id"].startswith("pav-")
        assert site.status(test).state == "SCHED_WARNING"
    site.wait_status(test, "SCHED_ERROR")
    assert site.ran(test) == len([job for job in [info(test)["id"]] if job.isdigit()])


# --- The machine ---


def test_hosts_and_queues(site: Site, gridengine: RealGridEngine) -> None:
    def node() -> dict[str, object]:
        site.plugin.refresh()
        return dict(site.plugin._get_raw_node_data({})[0][0])

    assert node()["partitions"] == ["all.q", "small.q"]
    assert (node()["up"], node()["available"], node()["cpus"]) == (True, True, 8)
    gridengine.ok("qmod", "-d", "all.q")
    try:
        assert (node()["partitions"], node()["cpus"]) == (["small.q"], 2)
        gridengine.ok("qmod", "-d", "small.q")
        assert (node()["partitions"], node()["up"]) == ([], False)
        assert "no usable queue" in site.refused({})
    finally:
        gridengine.ok("qmod", "-e", "*")


def test_options_of_the_user_hide_no_jobs(site: Site, gridengine: RealGridEngine) -> None:
    """Like those in ~/.sge_qstat; these are for all users."""
    defaults = gridengine.root / "default" / "common" / "sge_qstat"
    test = site.start({"partition": "small.q"}, site.long)
    site.wait_begun(test)
    try:
        for options in ("-s p", "-q all.q", "-u daemon"):
            defaults.write_text(f"{options}\n")
            site.plugin.refresh()
            assert site.status(test).state == "SCHED_STARTUP", options
    finally:
        defaults.unlink()


def test_one_command_shows_a_hundred_jobs(site: Site) -> None:
    tests = [
        site.test({"gridengine": {"resources": ["hostname=localhost"]}}, site.long)
        for _ in range(20)
    ]
    assert site.try_start(*tests) == []
    site.plugin.JOB_TABLE_AGE = 60.0
    before = site.plugin._client.querying.count("qstat")
    for test in tests:
        site.status(test)
    assert site.plugin._client.querying.count("qstat") - before <= 2


def test_commands_are_missing(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert site.plugin.available()
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nonexistent")
        site.plugin.refresh()
        assert not site.plugin.available()
    reason = str(site.plugin.unavailable_reason)
    assert "Grid Engine's commands were not found in PATH: qsub" in reason
