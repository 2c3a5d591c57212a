"""The example plugin and its batch system, end to end: commands, jobs and processes are real."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable

import pytest

from pavilion.config import PavConfig, load_config
from pavilion.plugins import load_plugins, reset_plugins
from pavilion.resolve import resolve_test
from pavilion.schedulers import CommandResult, SchedulerPlugin, get_plugin
from pavilion.schedulers.talk.commands import CommandRunner
from pavilion.series import Series
from pavilion.suites import select_tests
from polling import until

EXAMPLES = Path(__file__).resolve().parent.parent.parent / "examples"
WAIT = 60.0


class Site:
    """A batch system of its own for a test, and pav-sched to go with it."""

    def __init__(self, folder: Path) -> None:
        self.spool = folder / "spool"
        self.spool.mkdir()
        shutil.copy(EXAMPLES / "minibatch" / "nodes.json", self.spool / "nodes.json")
        self.working_dir = folder / "working_dir"
        self.suite = folder / "mine.yaml"

    def mb(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one of the commands."""
        return subprocess.run(
            [EXAMPLES / "minibatch" / "bin" / argv[0], *argv[1:]],
            cwd=self.spool,
            stdin=subprocess.DEVNULL,
            check=check,
            capture_output=True,
            text=True,
            timeout=WAIT,
        )

    def jobs(self) -> dict[str, dict[str, Any]]:
        """The jobs of the batch system by id."""
        return {job["id"]: job for job in json.loads(self.mb("mb-jobs", "--json").stdout)}

    def pav(self, *argv: str, code: int = 0) -> Any:
        """Run pav-sched, and give what it prints as JSON."""
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "pavilion.cli",
                "--config-dir",
                str(EXAMPLES),
                "--working-dir",
                str(self.working_dir),
                *argv,
                "--json",
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=WAIT,
        )
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    def write_suite(self, **tests: dict[str, Any]) -> str:
        """Write a suite whose tests run 'true' on one node, unless they say otherwise."""
        base = {"scheduler": "minibatch", "run": {"cmds": ["true"]}}
        self.suite.write_text(
            json.dumps({name: {**base, **config} for name, config in tests.items()})
        )
        return str(self.suite)

    def wait_for(self, what: Callable[[dict[str, dict[str, Any]]], bool]) -> None:
        """Wait until the jobs are as a test wants them."""
        deadline = time.monotonic() + WAIT
        while not what(self.jobs()):
            assert time.monotonic() < deadline, self.jobs()
            time.sleep(0.05)

    def close(self) -> None:
        """Leave no job behind."""
        for job_id in self.jobs():
            self.mb("mb-cancel", job_id)
        self.wait_for(
            lambda jobs: all(job["state"] not in ("QUEUED", "RUNNING") for job in jobs.values())
        )


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    found = Site(tmp_path)
    # The commands run with the Python of the tests.
    path = [EXAMPLES / "minibatch" / "bin", Path(sys.executable).parent, os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, path)))
    monkeypatch.setenv("MINIBATCH_SPOOL", str(found.spool))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("PAV_CONFIG_FILE", "PAV_CONFIG_DIR", "PAV_SYS_NAME"):
        monkeypatch.delenv(name, raising=False)
    yield found
    monkeypatch.setenv("MINIBATCH_SPOOL", str(found.spool))
    found.close()


@pytest.fixture
def pav_cfg(site: Site) -> Iterator[PavConfig]:
    """For tests that look at the plugin in this process."""
    pav_cfg = load_config(working_dir=site.working_dir, config_dirs=[EXAMPLES])
    pav_cfg.make_working_dir()
    report = load_plugins(pav_cfg)
    assert report.refused == []
    yield pav_cfg
    reset_plugins()


@pytest.fixture
def plugin(pav_cfg: PavConfig) -> SchedulerPlugin:
    return get_plugin("minibatch")


def kick_off(pav_cfg: PavConfig, suite: str) -> Series:
    resolved = [run for test in select_tests(pav_cfg, suite) for run in resolve_test(test)]
    series = Series.create(pav_cfg, resolved)
    assert series.kick_off() == []
    return series


def sleeper(**schedule: Any) -> dict[str, Any]:
    return {"run": {"cmds": ["sleep 60"]}, "schedule": schedule}


# ------------------------------------------------------------------------------------ the suite


def test_the_suite_of_the_example_passes(site: Site) -> None:
    found = site.pav("run", "minibatch", "--timeout", str(WAIT))

    assert found["summary"]["passed"] == found["summary"]["tests"] == 8
    tests = {test["name"].partition(".")[2]: test for test in found["tests"]}
    jobs = site.jobs()
    assert all(job["state"] == "DONE" for job in jobs.values())

    def nodes(name: str) -> list[str]:
        return list(jobs[tests[name]["job_id"]]["nodes"])

    def log(name: str) -> list[str]:
        return sorted((Path(tests[name]["path"]) / "run.log").read_text().splitlines())

    # Three tests in one job of two nodes.
    assert len({tests[f"shared.{number}"]["job"] for number in (1, 2, 3)}) == 1
    assert len(nodes("shared.1")) == 2
    # A test on each chunk: all nodes that are up and not reserved.
    assert [nodes(f"chunked.chunk{number}") for number in (0, 1, 2)] == [
        ["mb1", "mb2"],
        ["mb3", "mb4"],
        ["mb5", "mb6"],
    ]
    assert log("chunked.chunk2") == ["task 0 runs on mb5", "task 1 runs on mb6"]
    assert nodes("across") == ["mb1", "mb2", "mb3"]
    # tasks_per_node 'all': as many as the smaller of its nodes has CPUs.
    first, second = nodes("own")
    assert len(log("own")) == 2 * min(
        8 if name in ("mb5", "mb6") else 4 for name in (first, second)
    )


def test_the_header_says_what_the_test_asks_for(site: Site) -> None:
    suite = site.write_suite(
        odd={
            "schedule": {
                "nodes": 3,
                "min_nodes": 2,
                "partition": "main",
                "account": "o hara; true",
                "time_limit": 5,
                "exclude_nodes": "mb[1-2]",
                "minibatch": {"priority": 7},
            }
        }
    )
    found = site.pav("run", suite)
    lines = (Path(found["tests"][0]["job"]) / "kickoff.sh").read_text().splitlines()
    assert [line for line in lines if line.startswith("#MB")] == [
        "#MB --name pav_mine.odd",
        "#MB --nodes 2-3",
        "#MB --exclude mb1,mb2",
        "#MB --partition main",
        '#MB --account "o hara; true"',
        "#MB --time 5:0:0",
        "#MB --priority 7",
    ]
    assert found["summary"]["passed"] == 1


def test_reserved_nodes_are_for_tests_that_name_the_reservation(site: Site) -> None:
    suite = site.write_suite(
        maint={"schedule": {"nodes": "all", "reservation": "maint"}},
        others={"schedule": {"nodes": "all"}},
        again={"schedule": {"nodes": "all", "reservation": "maint"}},
    )
    site.pav("run", suite)
    nodes = sorted((job["nodes"] for job in site.jobs().values()), key=len)
    assert [len(names) for names in nodes] == [1, 6]
    assert nodes[0] == ["mb8"]


# --------------------------------------------------------------------------------- what goes wrong


def test_a_submission_that_fails_is_told_with_the_schedulers_own_words(site: Site) -> None:
    suite = site.write_suite(good={}, bad={"schedule": {"exclude_nodes": "mb99"}})

    found = site.pav("run", suite, code=1)

    good, bad = found["tests"]
    assert good["result"] == "PASS"
    assert bad["result"] == "ERROR"
    assert bad["state"] == "SCHED_ERROR"
    assert "mb-submit" in bad["note"]
    assert "there is no node 'mb99'" in bad["note"]
    assert len(site.jobs()) == 1


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        ({"include_nodes": "mb99"}, ["mb99", "not in the inventory"]),
        ({"include_nodes": "mb7"}, ["mb7", "not up"]),
        ({"across_nodes": "mb[98-99]"}, ["Insufficient nodes", "0 of 8", "not up: 2 (mb[7-8])"]),
        ({"partition": "huge"}, ["Insufficient nodes", 'partition is not "huge": 6']),
        ({"nodes": "7"}, ["Requested at least 7, but only 6 of 8 remain"]),
    ],
)
def test_nodes_that_are_not_to_be_had_are_told_before_anything_is_submitted(
    site: Site, schedule: dict[str, Any], told: list[str]
) -> None:
    found = site.pav("run", site.write_suite(bad={"schedule": schedule}), code=1)
    for text in told:
        assert text in found["tests"][0]["note"]
    assert site.jobs() == {}


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({"up_states": ["IDLE", "SLEEPY"]}, "'SLEEPY'"),
        ({"priority": "high"}, "'high'"),
        ({"prority": "1"}, "prority"),
    ],
)
def test_a_wrong_value_in_the_plugins_section_is_refused(
    site: Site, section: dict[str, Any], told: str
) -> None:
    suite = site.write_suite(bad={"schedule": {"minibatch": section}})
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pavilion.cli",
            "--config-dir",
            str(EXAMPLES),
            "--working-dir",
            str(site.working_dir),
            "run",
            suite,
        ],
        capture_output=True,
        text=True,
        timeout=WAIT,
    )
    assert done.returncode == 2
    assert told in done.stderr


def test_cancel_ends_jobs_that_run_and_jobs_that_wait(site: Site) -> None:
    suite = site.write_suite(runs=sleeper(nodes="all"), waits=sleeper(nodes="2"))
    site.pav("run", suite, "--detach")
    site.wait_for(
        lambda jobs: sorted(job["state"] for job in jobs.values()) == ["QUEUED", "RUNNING"]
    )

    outcomes = site.pav("cancel", "s1")["tests"]

    assert [test["outcome"] for test in outcomes] == ["cancelled", "cancelled"]
    # A job may see that its test is cancelled, and end in order, before its scheduler ends it.
    site.wait_for(
        lambda jobs: not {"QUEUED", "RUNNING"}.intersection(job["state"] for job in jobs.values())
    )
    states = [test["state"] for test in site.pav("status")["tests"]]
    assert states == ["CANCELLED", "CANCELLED"]


def test_a_job_that_the_scheduler_cancels_ends_its_test(site: Site) -> None:
    site.pav("run", site.write_suite(one=sleeper()), "--detach")
    site.wait_for(lambda jobs: jobs["1"]["state"] == "RUNNING")
    site.mb("mb-cancel", "1")
    found = site.pav("wait", "s1", code=1)
    assert found["tests"][0]["state"] == "SCHED_CANCELLED"
    assert "Job 1 was cancelled (CANCELLED): while it ran." in found["tests"][0]["note"]


def test_a_job_that_is_killed_ends_its_test_with_the_schedulers_reason(site: Site) -> None:
    site.pav("run", site.write_suite(one=sleeper()), "--detach")
    site.wait_for(lambda jobs: jobs["1"]["state"] == "RUNNING")
    record = json.loads((site.spool / "jobs" / "1" / "job.json").read_text())
    script = _children(record["pid"])
    os.kill(record["pid"], signal.SIGKILL)
    for pid in script:
        os.killpg(pid, signal.SIGTERM)
    found = site.pav("wait", "s1", code=1)
    assert found["tests"][0]["state"] == "SCHED_ERROR"
    assert "Job 1 has ended (FAILED): its shepherd was killed." in found["tests"][0]["note"]


def _children(parent: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            # It has just ended.
            continue
        if int(fields[1]) == parent:
            found.append(int(stat.parent.name))
    return found


# ------------------------------------------------------------------------------ what is asked when


def _count_commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that are run from now on."""
    real, ran = CommandRunner.run, []

    def run(self: CommandRunner, argv: Sequence[str], *args: Any, **kwargs: Any) -> CommandResult:
        ran.append(argv[0])
        return real(self, argv, *args, **kwargs)

    monkeypatch.setattr(CommandRunner, "run", run)
    return ran


def test_loading_the_plugin_runs_no_command_and_needs_none(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError(f"a command was run: {args}")

    pav_cfg = load_config(working_dir=site.working_dir, config_dirs=[EXAMPLES])
    with monkeypatch.context() as context:
        context.setenv("PATH", "/nowhere")
        context.setattr(subprocess, "run", refuse)
        context.setattr(subprocess, "Popen", refuse)
        try:
            assert load_plugins(pav_cfg).refused == []
            assert not get_plugin("minibatch").available()
        finally:
            reset_plugins()


def test_one_query_answers_for_all_jobs(
    site: Site, pav_cfg: PavConfig, plugin: SchedulerPlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = site.write_suite(a=sleeper(nodes="2"), b=sleeper(nodes="3"), c=sleeper(nodes="4"))
    monkeypatch.setattr(type(plugin), "JOB_TABLE_AGE", 60.0)
    ran = _count_commands(monkeypatch)
    series = kick_off(pav_cfg, suite)
    assert sorted(ran) == ["mb-nodes", "mb-submit", "mb-submit", "mb-submit"]
    ran.clear()

    states = [plugin.job_status(pav_cfg, test).state for test in series.tests * 3]

    assert sorted(states[:3]) == ["SCHEDULED", "SCHED_STARTUP", "SCHED_STARTUP"]
    assert states == states[:3] * 3
    assert ran == ["mb-jobs"]


def test_no_answer_is_no_failure(
    site: Site, pav_cfg: PavConfig, plugin: SchedulerPlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    (test,) = kick_off(pav_cfg, site.write_suite(one=sleeper())).tests
    monkeypatch.delenv("MINIBATCH_SPOOL")
    status = plugin.job_status(pav_cfg, test)
    assert status.state == "SCHED_WARNING"
    assert "MINIBATCH_SPOOL is not set" in status.note
    assert not test.complete
    assert test.job is not None
    assert "MINIBATCH_SPOOL is not set" in str(plugin.cancel(test.job.info))

    monkeypatch.setenv("MINIBATCH_SPOOL", str(site.spool))
    # After a failure, there is a pause before the next query.
    until(lambda: plugin.job_status(pav_cfg, test).state == "SCHED_STARTUP", "it answers again")


def test_jobs_of_other_systems_are_left_alone(
    site: Site, pav_cfg: PavConfig, plugin: SchedulerPlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = _count_commands(monkeypatch)
    info: Any = {"id": "1", "sys_name": "elsewhere"}
    status = plugin._job_status(pav_cfg, info)
    assert status is not None
    assert (status.state, "elsewhere" in status.note) == ("SCHEDULED", True)
    assert "elsewhere" in str(plugin.cancel(info))
    assert ran == []


# ------------------------------------------------------------------------------- the batch system


def _script(site: Site, *lines: str) -> str:
    script = site.spool / f"script{len(list(site.spool.glob('script*')))}.sh"
    script.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    script.chmod(0o755)
    return str(script)


def test_a_node_never_has_two_jobs_and_all_jobs_get_their_turn(site: Site) -> None:
    trace = site.spool / "trace"
    work = [f'echo "+$MB_NODES" >> {trace}', "sleep 0.05", f'echo "-$MB_NODES" >> {trace}']
    scripts = [_script(site, f"#MB --nodes {count}", *work) for count in (1, 2, 3, 4, 6, 2, 1, 5)]
    procs = [
        subprocess.Popen(
            ["mb-submit", "--log", str(site.spool / "log"), script],
            stdout=subprocess.PIPE,
            text=True,
        )
        for script in scripts
    ]
    answers = [proc.communicate(timeout=WAIT)[0].strip() for proc in procs]
    assert sorted(answers) == [f"submitted {number}" for number in range(1, 9)]
    site.wait_for(lambda jobs: all(job["state"] == "DONE" for job in jobs.values()))

    busy: set[str] = set()
    for line in trace.read_text().splitlines():
        nodes = set(line[1:].split(","))
        if line[0] == "+":
            assert not nodes & busy
            busy |= nodes
        else:
            busy -= nodes
    assert busy == set()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("#MB --colour red", "unknown option --colour"),
        ("#MB --nodes", "expected '#MB --option"),
        ("#MB --nodes many", "must be a number"),
        ("#MB --nodes 0", "is not a range"),
        ("#MB --nodelist mb7", "'mb7' cannot be used"),
        ("#MB --nodes 7", "6 can be used"),
        ("#MB --partition x", "0 can be used"),
    ],
)
def test_what_could_never_run_is_refused(site: Site, line: str, told: str) -> None:
    done = site.mb("mb-submit", _script(site, line), check=False)
    assert done.returncode == 2
    assert told in done.stderr
    assert site.jobs() == {}


def test_higher_priority_starts_first(site: Site) -> None:
    blocker = _script(site, "#MB --nodes 6", f"while [ ! -e {site.spool}/go ]; do sleep 0.02; done")
    order = site.spool / "order"
    site.mb("mb-submit", blocker)
    for name, priority in (("low", 0), ("high", 9)):
        site.mb(
            "mb-submit",
            _script(site, f"#MB --priority {priority}", "#MB --nodes 6", f"echo {name} >> {order}"),
        )
    (site.spool / "go").touch()
    site.wait_for(lambda jobs: all(job["state"] == "DONE" for job in jobs.values()))
    assert order.read_text().split() == ["high", "low"]


def test_exit_codes_become_states(site: Site) -> None:
    site.mb("mb-submit", "--tag", "t", _script(site, "exit 3"))
    site.wait_for(lambda jobs: jobs["1"]["state"] == "FAILED")
    assert site.jobs()["1"]["exit_code"] == 3
    assert site.jobs()["1"]["tag"] == "t"
    site.mb("mb-cancel", "1")
    assert site.jobs()["1"]["state"] == "FAILED"
    done = site.mb("mb-cancel", "7", check=False)
    assert (done.returncode, "there is no job '7'" in done.stderr) == (3, True)


def test_a_job_that_is_cancelled_when_it_has_just_started_is_cancelled(site: Site) -> None:
    for number in range(1, 6):
        site.mb("mb-submit", "--tag", "t", _script(site, "sleep 60"))
        # Its shepherd does not listen yet.
        site.mb("mb-cancel", str(number))
    site.wait_for(lambda jobs: {job["state"] for job in jobs.values()} == {"CANCELLED"})


# ---------------------------------------------------------------- commands that fail, hang or lie


@pytest.fixture
def bad_commands(site: Site, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Gives a function that replaces a command by a shell script; the real one is "$REAL"."""
    folder = site.spool / "bad_bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def replace(command: str, script: str) -> None:
        real = EXAMPLES / "minibatch" / "bin" / command
        # In one step: it may be run at any moment.
        new = folder / "new"
        new.write_text(f"#!/bin/sh\nREAL={real}\nONCE={folder}/{command}-ran\n{script}\n")
        new.chmod(0o755)
        new.replace(folder / command)

    return replace


@pytest.mark.parametrize(
    "script",
    [
        # The job is taken, and the answer gets lost.
        '"$REAL" "$@" >/dev/null; exit 1',
        '"$REAL" "$@" | head -c 9',
        '"$REAL" "$@"; kill -9 $$',
        # It fails once before it is taken.
        '[ -e "$ONCE" ] || { touch "$ONCE"; echo "the server is away" >&2; exit 1; }\n'
        'exec "$REAL" "$@"',
    ],
    ids=["lost", "cut", "killed", "fails once"],
)
def test_a_job_is_submitted_once_whatever_mb_submit_answers(
    site: Site, bad_commands: Callable[[str, str], None], script: str
) -> None:
    bad_commands("mb-submit", script)
    ran = site.spool / "ran"
    found = site.pav("run", site.write_suite(one={"run": {"cmds": [f"echo ran >> {ran}"]}}))
    assert found["summary"]["passed"] == 1
    assert [found["tests"][0]["job_id"]] == list(site.jobs())
    assert ran.read_text().split() == ["ran"]


def test_a_list_of_jobs_that_is_cut_off_ends_no_test(
    site: Site, bad_commands: Callable[[str, str], None]
) -> None:
    go = site.spool / "go"
    bad_commands("mb-jobs", '"$REAL" "$@" | head -c 40')
    suite = site.write_suite(one={"run": {"cmds": [f"until [ -e {go} ]; do sleep 0.1; done"]}})
    site.pav("run", suite, "--detach")
    (test,) = site.pav("status")["tests"]
    assert not test["complete"]
    assert "cannot be used: MiniBatch.parse_jobs() failed with JSONDecodeError" in test["note"]
    (cancelled,) = site.pav("cancel", "s1", code=1)["tests"]
    assert cancelled["failed"]
    assert "may still be running" in cancelled["outcome"]
    go.touch()
    site.wait_for(lambda jobs: jobs["1"]["state"] == "DONE")


def test_a_job_that_is_held_is_reported_and_can_be_cancelled(site: Site) -> None:
    blocker = _script(site, "#MB --nodes 6", "exec sleep 600")
    site.mb("mb-submit", blocker)
    site.pav("run", site.write_suite(one={}), "--detach")
    record = json.loads((site.spool / "jobs" / "2" / "job.json").read_text())
    Path(record["script"]).chmod(0o600)
    site.mb("mb-cancel", "1")
    site.wait_for(lambda jobs: "HELD" in [job["state"] for job in jobs.values()])
    # An answer about jobs is used for a second.
    said = "is stuck (HELD): its script could not be started: "
    until(lambda: said in site.pav("status")["tests"][0]["note"], "it is reported")
    site.pav("cancel", "s1")
    site.wait_for(lambda jobs: {job["state"] for job in jobs.values()} == {"CANCELLED"})


def test_commands_that_hang_are_stopped_and_nothing_is_lost(
    site: Site,
    pav_cfg: PavConfig,
    plugin: SchedulerPlugin,
    bad_commands: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(type(plugin), "SUBMIT_TIMEOUT", 3.0)
    bad_commands("mb-submit", '"$REAL" "$@" >/dev/null; sleep 600')
    (test,) = kick_off(pav_cfg, site.write_suite(one=sleeper())).tests
    assert test.job is not None
    assert test.job.info is not None
    assert [test.job.info["id"]] == list(site.jobs())

    plugin.refresh()
    bad_commands("mb-jobs", "sleep 600")
    assert plugin._client.querying is not None  # type: ignore[attr-defined]
    plugin._client.querying._timeout = 1.0  # type: ignore[attr-defined]
    status = plugin.job_status(pav_cfg, test)
    assert status.state == "SCHED_WARNING"
    assert "gave no answer within" in status.note
    assert not test.complete


def test_a_full_queue_is_reported_and_waited_for(site: Site) -> None:
    (site.spool / "max_jobs").write_text("1\n")
    suite = site.write_suite(one=sleeper(), two=sleeper())
    found = site.pav("run", suite, "--timeout", "12", code=3)
    notes = [test["note"] for test in found["tests"]]
    assert sum("given up while minibatch did not accept it" in note for note in notes) == 1, notes
    assert len(site.jobs()) == 1
