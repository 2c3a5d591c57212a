"""Inside: the records of jobs, by which a job is shown, asked about and cancelled.
Run: records.py NAME."""

from __future__ import annotations

import json
import os
import time

from endings import Told, started, told
from host import load_plugins, run_scenario, slurm_plugin, until

from pavilion.jobs import Job, JobError, JobInfo
from pavilion.schedulers import get_plugin
from pavilion.schedulers.lifecycle.job_states import find_identity
from pavilion.status_file import STATES

BESIDE = "identity.json"


def again(site, test):
    """The same test, as another process sees it."""
    return type(test).host_load(site.pav_cfg, str(test.id))


def beside(job):
    """What is in the file beside the record; None without it."""
    path = job.path / BESIDE
    return json.loads(path.read_text()) if path.exists() else None


def quick_raw(site):
    load_plugins(site.pav_cfg)
    plugin = get_plugin("raw")
    plugin.JOB_STATUS_TIMEOUT = plugin.JOB_END_GRACE = 0.05
    plugin.TERM_WAIT = 2.0
    site.pav("echo going; sleep 60")
    return plugin


def over(site, plugin, test, state):
    until(lambda: plugin.job_status(site.pav_cfg, test).state == state, f"it is {state}", 40)


def shown_of_raw(site):
    """Hosts show all values of the record; what else identifies a job is beside it, and is used."""
    plugin = quick_raw(site)
    limited = site.test({"raw": {"concurrent": "1"}}, scheduler="raw")
    (test,) = started(site, plugin)
    assert plugin.schedule_tests(site.pav_cfg, [limited]) == []
    for one, more in ((test, set()), (limited, {"ticket", "queue"})):
        info = one.job.info
        assert set(info) == {"pid", "uniq_id", "host"}
        assert str(one.job) == f"{info['host']}_{info['pid']}_{info['uniq_id']}"
        assert set(beside(one.job)) == {"boot_id", "start_time"} | more
        over(site, plugin, again(site, one), STATES.SCHED_STARTUP)
    # A process that has the pid now, but another start time, is another one.
    file = test.job.path / BESIDE
    told_there = beside(test.job)
    file.write_text(json.dumps({**told_there, "start_time": "1"}))
    plugin.refresh()
    assert (
        "another process has its pid now"
        in plugin._job_status(site.pav_cfg, JobInfo({**test.job.info, **beside(test.job)})).note
    )
    file.write_text(json.dumps(told_there))
    # Hosts cancel by their record alone.
    for one in (test, limited):
        assert plugin.cancel(again(site, one).job.info) is None
        over(site, plugin, one, STATES.SCHED_ERROR)


def shown_of_slurm(site):
    with slurm_plugin(site) as plugin:
        site.pav("sleep 60")
        (test,) = started(site, plugin)
        info = test.job.info
        assert set(info) == {"id", "sys_name"} and info["sys_name"] == "host26"
        assert str(test.job) == f"{info['id']}_host26"
        assert {"token", "user", "when"} <= set(beside(test.job))
        over(site, plugin, again(site, test), STATES.SCHED_STARTUP)
        assert plugin.cancel(again(site, test).job.info) is None
        over(site, plugin, test, STATES.SCHED_CANCELLED)


def shown_of_plugins(site):
    """A plugin that does not say what to show has all of it in the record."""
    plugin = told(site)
    plugin._kickoff = lambda *args, **kwargs: JobInfo({"id": 7, "server": "here"})
    (test,) = started(site, plugin)
    assert test.job.info == {"id": "7", "server": "here"} and beside(test.job) is None
    assert str(test.job) == "7_here"
    asked = []
    plugin._job_status = lambda pav_cfg, info: asked.append(info)
    plugin.job_status(site.pav_cfg, test)
    plugin.JOB_INFO_KEYS = ("id",)
    (other,) = started(site, plugin)
    assert other.job.info == {"id": "7"} and beside(other.job) == {"server": "here"}
    plugin.job_status(site.pav_cfg, again(site, other))
    assert asked == [{"id": "7", "server": "here"}] * 2


def put_together(job, *keys):
    """Make the record one of the previous version, in which everything was: these keys."""
    record = {**beside(job), **job.info}
    record = {key: record[key] for key in keys}
    (job.path / BESIDE).unlink()
    job.info = JobInfo(record)
    return record


def earlier_records_of_raw(site):
    plugin = quick_raw(site)
    test = site.test({"raw": {"concurrent": "1"}}, scheduler="raw")
    waits = site.test({"raw": {"concurrent": "1"}, "share_allocation": "false"}, scheduler="raw")
    assert plugin.schedule_tests(site.pav_cfg, [test, waits]) == []
    for one in (test, waits):
        put_together(one.job, "pid", "uniq_id", "host", "boot_id", "start_time", "ticket", "queue")
    over(site, plugin, again(site, test), STATES.SCHED_STARTUP)
    over(site, plugin, again(site, waits), STATES.SCHEDULED)
    for one in (waits, test):
        found = again(site, one)
        assert plugin.cancel(found.job.info) is None
        over(site, plugin, found, STATES.SCHED_ERROR)


def earlier_records_of_slurm(site):
    """With the id and the cluster as keys of their own, and such that have only a token."""
    with slurm_plugin(site) as plugin:
        site.pav("sleep 60")
        tests = [site.test({"share_allocation": "false"}, scheduler="slurm") for _ in range(4)]
        assert plugin.schedule_tests(site.pav_cfg, tests) == []
        records = [
            put_together(test.job, "id", "sys_name", "token", "user", "when") for test in tests
        ]
        tests[1].job.info = JobInfo({**records[1], "cluster": ""})
        tests[2].job.info = JobInfo({**records[2], "id": ""})
        # As other programs write it, and hosts of before.
        tests[3].job.info = JobInfo({"id": records[3]["id"], "sys_name": "host26"})
        for test in tests:
            found = again(site, test)
            over(site, plugin, found, STATES.SCHED_STARTUP)
            assert plugin.cancel(found.job.info) is None
            over(site, plugin, found, STATES.SCHED_CANCELLED)


def identity_that_is_damaged(site):
    """The record alone identifies a job as well."""
    plugin = quick_raw(site)
    tests = [site.test({"share_allocation": "false"}, scheduler="raw") for _ in range(3)]
    assert plugin.schedule_tests(site.pav_cfg, tests) == []
    for test, text in zip(tests, ("", "[1, 2]", '{"start_time": 5, "boot_id": null}')):
        (test.job.path / BESIDE).write_text(text)
        over(site, plugin, again(site, test), STATES.SCHED_STARTUP)
        assert plugin.cancel(again(site, test).job.info) is None
        over(site, plugin, test, STATES.SCHED_ERROR)


def without_record(site, plugin):
    test = site.test(scheduler=plugin.name)
    test.job = Job.new(site.pav_cfg, [test])
    return test


def grown_old(plugin, test):
    """Let its job have been made long ago."""
    plugin.KICKOFF_GRACE = 100.0
    when = time.time() - 200
    os.utime(test.job.path, (when, when))


def no_record(site):
    """A host gives None for it."""
    plugin = told(site)
    test = without_record(site, plugin)
    assert test.job.info is None and str(test.job) == ""
    assert plugin.job_status(site.pav_cfg, test).state == STATES.SCHEDULED
    grown_old(plugin, test)
    status = plugin.job_status(site.pav_cfg, test)
    assert status.state == STATES.SCHED_ERROR and "never handed" in status.note
    assert test.complete

    # A host looks whether it is there, and then opens it: it may be gone by then.  What a host
    # makes of that says so in its second argument.
    def gone(job):
        raise JobError("Could not load job id", FileNotFoundError(2, "gone"))

    Job.info = property(gone)
    late = without_record(site, plugin)
    plugin.KICKOFF_GRACE = 100.0
    assert plugin.job_status(site.pav_cfg, late).state == STATES.SCHEDULED
    assert find_identity(plugin, late.job) is None


def damaged_record(site):
    """A host raises what json does."""
    plugin = told(site)
    for text in ('{"id": ', "", "[1]", "\udcff"):
        test = without_record(site, plugin)
        (test.job.path / "info").write_text(text, errors="surrogateescape")
        plugin.KICKOFF_GRACE = 100.0
        assert plugin.job_status(site.pav_cfg, test).state == STATES.SCHEDULED, text
        grown_old(plugin, test)
        status = plugin.job_status(site.pav_cfg, test)
        assert status.state == STATES.SCHED_ERROR and "damaged" in status.note, status.note
        assert test.complete


def unreadable_record(site):
    """A host raises an error of its own, with the cause as an argument: ask again later."""
    plugin = told(site)
    test = without_record(site, plugin)
    (test.job.path / "info").mkdir()
    try:
        raise AssertionError(test.job.info)
    except JobError as exc:
        assert isinstance(exc.args[1], IsADirectoryError)
    grown_old(plugin, test)
    status = plugin.job_status(site.pav_cfg, test)
    assert status.state == STATES.SCHED_WARNING and "cannot be read" in status.note
    assert not test.complete
    # One that cannot be written: the job is cancelled, and its tests say so.
    cancelled = []

    def kickoff(pav_cfg, job, *args, **kwargs):
        (job.path / "info").mkdir()
        return JobInfo({"id": "1"})

    plugin._kickoff = kickoff
    Told.cancel = lambda self, info: cancelled.append(info)
    lost = site.test(scheduler="told")
    (error,) = plugin.schedule_tests(site.pav_cfg, [lost])
    assert error.tests == [lost] and "could not be stored" in error.pformat(), error.pformat()
    assert cancelled == [{"id": "1"}] and lost.complete


def files_of_a_job(site):
    """With a name of its own for the script, the host's name is a link to it."""
    plugin = told(site)
    for name in (None, "kickoff.told"):
        plugin.KICKOFF_FN = name
        (test,) = started(site, plugin)
        job = again(site, test).job
        assert job.kickoff_path.read_text().startswith(test.shebang)
        assert job.kickoff_path.is_symlink() == (name is not None)
        assert os.access(job.kickoff_path, os.X_OK)
        if name is not None:
            assert not (job.path / name).is_symlink() and (job.path / name).is_file()
        assert f"exec >{test.job.kickoff_log} 2>&1" in job.kickoff_path.read_text().splitlines()


if __name__ == "__main__":
    run_scenario(globals())
