"""Inside: how tests end whose job is over.  Run: endings.py NAME."""

from __future__ import annotations

import time

from host import load_plugins, run_scenario, states_of, until

from pavilion.jobs import JobInfo
from pavilion.schedulers import SchedulerPluginBasic, get_plugin
from pavilion.status_file import STATES, TestStatusInfo

# What says nothing of a test itself having started.
NOT_STARTED = {
    "CREATED",
    "SCHEDULED",
    "SCHED_STARTUP",
    "SCHED_RUNNING",
    "SCHED_WARNING",
    "UNKNOWN",
    "INVALID",
    "STATUS_ERROR",
}


class Told(SchedulerPluginBasic):
    """Says of every job what it is told to."""

    IS_CONCURRENT = False
    JOB_STATUS_TIMEOUT = JOB_END_GRACE = 0.0

    def __init__(self):
        super().__init__("told", "Says what it is told to.")
        self.says = STATES.SCHED_RUNNING

    def _available(self):
        return True

    def _kickoff(self, pav_cfg, job, sched_config, job_name, nodes=None, node_range=None):
        return JobInfo({"id": "1"})

    def _job_status(self, pav_cfg, job_info):
        return TestStatusInfo(self.says, "Says the scheduler.")

    def cancel(self, job_info):
        return None


def told(site):
    load_plugins(site.pav_cfg)
    plugin = Told()
    plugin.activate()
    return plugin


def started(site, plugin, count=1):
    tests = [site.test(scheduler=plugin.name) for _ in range(count)]
    assert plugin.schedule_tests(site.pav_cfg, tests) == []
    return tests


def cancel_as_a_host_does(site, tests):
    """Say so in each test, and then cancel the jobs of which nothing is needed any more."""
    for test in tests:
        test.cancel("Cancelled via cmdline by user 'me'")
    for test in tests:
        members = [
            type(test).host_load(site.pav_cfg, str(test_id))
            for _, test_id in test.job.get_test_id_pairs()
        ]
        if all(member.cancelled or member.complete for member in members):
            assert get_plugin(test.scheduler).cancel(test.job.info) is None


def accepted_by_the_scheduler(site):
    """The host's own status file says when a job was accepted, and a test that runs keeps its
    state."""
    plugin = told(site)
    (test,) = started(site, plugin)
    states = [(info.state, info.note) for info in test.status.history()][-2:]
    before = f"Being handed to the told scheduler. The job's directory is {test.job.name}."
    assert states == [
        (STATES.SCHEDULED, before),
        (STATES.SCHEDULED, "Accepted by told as job 1."),
    ], states
    starting = site.test(scheduler=plugin.name)
    kickoff = plugin._kickoff
    plugin._kickoff = lambda *args, **kwargs: (
        starting.status.set(STATES.RUNNING, "It runs.") and kickoff(*args, **kwargs)
    )
    assert plugin.schedule_tests(site.pav_cfg, [starting]) == []
    assert starting.status.current().state == STATES.RUNNING


def cancelled_by_the_user(site):
    """A job of two tests, as real processes: both stay CANCELLED, and are complete at the end."""
    load_plugins(site.pav_cfg)
    plugin = get_plugin("raw")
    plugin.JOB_STATUS_TIMEOUT = plugin.JOB_END_GRACE = 0.1
    site.pav("echo going; sleep 60")
    tests = started(site, plugin, 2)
    until(lambda: plugin.job_status(site.pav_cfg, tests[0]).state == STATES.SCHED_STARTUP, "runs")
    cancel_as_a_host_does(site, tests)
    for test in tests:
        assert test.cancelled and not test.complete
        until(
            lambda test=test: plugin.job_status(site.pav_cfg, test).state == STATES.CANCELLED,
            "it is seen",
        )
        assert test.complete
        assert states_of(test)[-1] == STATES.CANCELLED, states_of(test)
        assert STATES.SCHED_ERROR not in states_of(test)
        note = test.status.current().note
        # Nor does a later look change it.
        assert plugin.job_status(site.pav_cfg, test).note == note
        assert note == "Cancelled via cmdline by user 'me'"


def cancelled_while_it_waits(site):
    """Whether the scheduler calls the end of the job a cancellation or not."""
    for says in (STATES.SCHED_CANCELLED, STATES.SCHED_ERROR):
        plugin = told(site)
        (test,) = started(site, plugin)
        plugin.says = STATES.SCHEDULED
        cancel_as_a_host_does(site, [test])
        # Its job is there still.
        assert plugin.job_status(site.pav_cfg, test).state == STATES.SCHEDULED
        assert not test.complete
        plugin.says = says
        assert plugin.job_status(site.pav_cfg, test).state == STATES.CANCELLED
        assert test.complete and states_of(test)[-1] == STATES.CANCELLED


def cancelled_twice(site):
    """A grace time does not keep a cancelled test waiting."""
    plugin = told(site)
    plugin.JOB_END_GRACE = 1000.0
    (test,) = started(site, plugin)
    for _ in range(2):
        cancel_as_a_host_does(site, [test])
    plugin.says = STATES.SCHED_ERROR
    assert plugin.job_status(site.pav_cfg, test).state == STATES.CANCELLED
    assert test.complete and states_of(test).count(STATES.CANCELLED) == 1


def states_of_their_own(site):
    """What a test says of itself stays when it is its end, and a fatal state is; other states are
    followed by what the scheduler says."""
    plugin = told(site)
    kept = set()
    for own in STATES.list():
        for says in (STATES.SCHED_ERROR, STATES.SCHED_CANCELLED):
            plugin.says = STATES.SCHED_RUNNING
            (test,) = started(site, plugin)
            test.status.set(own, "Its own words.")
            # A state that is newer than the scheduler's answer is believed until the next one.
            time.sleep(0.001)
            plugin.says = says
            status = plugin.job_status(site.pav_cfg, test)
            assert test.complete, (own, says)
            assert status.state == states_of(test)[-1]
            if status.state == own and status.note == "Its own words.":
                kept.add((own, says))
            else:
                assert status.state == says, (own, says, status.state)
                assert (f"in state {own} at that time" in status.note) == (own not in NOT_STARTED)
    expected = {own for own in STATES.list() if STATES.is_fatal(own)} | {"COMPLETE"}
    assert {"ENV_FAILED", "RUN_ERROR", "CANCELLED", "BUILD_FAILED", "RESULTS_ERROR"} < expected
    assert kept == {
        (own, says) for own in expected for says in (STATES.SCHED_ERROR, STATES.SCHED_CANCELLED)
    }


def job_is_gone_without_a_word(site):
    """The logs are reached by the link of the test, and their ends are in the note."""
    plugin = told(site)
    plugin.says = STATES.SCHED_ERROR
    (test,) = started(site, plugin)
    test.job.kickoff_log.write_text("no such command: srun\n")
    again = type(test).host_load(site.pav_cfg, str(test.id))
    assert again.job.kickoff_log != test.job.kickoff_log
    status = plugin.job_status(site.pav_cfg, again)
    assert status.state == STATES.SCHED_ERROR and again.complete
    assert "no such command: srun" in status.note
    # A status file that cannot be used is no exception here, but a state of this moment.
    for damage in (lambda path: path.mkdir(), lambda path: path.touch(), lambda path: None):
        (lost,) = started(site, plugin)
        (lost.path / "status").unlink()
        damage(lost.path / "status")
        assert plugin.job_status(site.pav_cfg, lost).state in (
            STATES.SCHED_ERROR,
            STATES.STATUS_ERROR,
        )
        assert lost.complete


if __name__ == "__main__":
    run_scenario(globals())
