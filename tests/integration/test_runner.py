"""``pav _run`` and real raw jobs: whatever happens to a test, the others go on and all end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable

import pytest
from series_tools import (
    PATIENCE,
    create,
    finish,
    kick_off,
    kill_all,
    pav_argv,
    pav_env,
    pav_run,
    processes,
    sleepers,
    states,
)

import pavilion.runner
from pavilion.cancelling import cancel_tests
from pavilion.config import PavConfig
from pavilion.plugins import load_plugins
from pavilion.runner import Runner
from pavilion.schedulers.lifecycle import guard
from pavilion.series import Series
from pavilion.status_file import STATES
from pavilion.test_run import TestRun
from polling import until


@pytest.fixture(autouse=True)
def _leave_nothing_behind(pav_cfg: PavConfig) -> Iterator[None]:
    yield
    kill_all()


@pytest.fixture
def run_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Series], int]]:
    """Run a series' tests in this process, with short patience; gives the exit code."""
    kept = {
        number: signal.getsignal(number)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    }
    monkeypatch.setattr(pavilion.runner, "STOP_WAIT", 0.3)
    monkeypatch.setattr(pavilion.runner, "CANCEL_PAUSE", 0.05)
    yield lambda series: Runner(series.pav_cfg).run(series.tests)
    for number, handler in kept.items():
        signal.signal(number, handler)


# ---------------------------------------------------------------------------------- plain running


def test_a_real_job(pav_cfg: PavConfig) -> None:
    series = kick_off(
        pav_cfg,
        """
        good:
          variables: {text: "it's $HOME \\"quoted\\" `x`"}
          run:
            env: {TEXT: 'a b; $(touch pwned) "c" ''d''', GONE: , LATER: '$TEXT!'}
            cmds:
              - printf '%s\\n' "$TEXT" "$LATER" "${GONE-unset}" "$PAV_TEST_ID"
              - pwd; ls -A; cat; echo '{{text}}' {{sched.test_nodes}} {{host_name}} >&2
        bad: {run: {cmds: ['true', '(exit 3)']}}
        killed: {run: {cmds: ['kill -9 $$']}}
        """.replace("it's", "its"),
    )
    assert finish(series) == ["PASS", "FAIL", "FAIL"]
    good, bad, killed = series.tests
    lines = good.run_log.read_text().splitlines()
    assert lines[:5] == [
        "a b; $(touch pwned) \"c\" 'd'",
        "a b; $(touch pwned) \"c\" 'd'!",
        "unset",
        "s1.1",
        str(good.path / "work"),
    ]
    assert lines[5].startswith('its $HOME "quoted" `x` 1 ')
    assert len(lines) == 6
    # That it was accepted is one more line, wherever that comes.
    assert list(dict.fromkeys(states(good))) == [
        "CREATED",
        "SCHEDULED",
        "PREPPING_RUN",
        "RUNNING",
        "RUN_DONE",
        "COMPLETE",
    ]
    results = good.results
    assert results["return_value"] == 0
    assert 0 <= results["duration"] < PATIENCE
    assert results["finished"] == pytest.approx(results["started"] + results["duration"])
    assert (bad.results["return_value"], killed.results["return_value"]) == (3, -9)
    assert "Exit code 3." in bad.status.current().note
    assert "SIGKILL" in killed.status.current().note
    assert len({test.job.name for test in series.tests if test.job is not None}) == 1


def test_folders_with_odd_names_and_the_sites_environment(
    pav_cfg: PavConfig, tmp_path: Path
) -> None:
    pav_cfg.working_dir = tmp_path / 'it\'s $HOME `touch pwned` "q" é'
    pav_cfg.make_working_dir()
    pav_cfg.env_setup = [*pav_cfg.env_setup, "export SITE='from env_setup'"]
    series = kick_off(pav_cfg, "a: {run: {cmds: ['echo $SITE; pwd']}}")
    assert finish(series) == ["PASS"]
    assert series.tests[0].run_log.read_text() == (
        f"from env_setup\n{series.tests[0].path / 'work'}\n"
    )


def test_modules_in_the_current_folder_are_not_taken_for_ours(
    pav_cfg: PavConfig, tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("yaml", "signal", "types", "pavilion", "yapsy"):
        (folder / f"{name}.py").write_text("raise SystemExit('the wrong module')\n")
    series = create(pav_cfg, "a: {run: {cmds: ['true']}}")
    done = pav_run(series, cwd=folder)
    assert (done.returncode, series.tests[0].result) == (0, "PASS"), done.stdout


def test_tests_run_in_order_and_as_many_at_once_as_they_allow(
    pav_cfg: PavConfig, run_here: Any
) -> None:
    # Each leaves its mark while it runs, and looks for those of others.
    text = """
        _base:
          run:
            cmds:
              - touch ../../on.$PAV_TEST_ID; ls ../.. | grep -c '^on'
              - sleep 0.1; rm ../../on.$PAV_TEST_ID; echo $PAV_TEST_ID >>../../order
        """ + "".join(
        f"""
        t{number}: {{inherits_from: _base, concurrent: LIMIT}}"""
        for number in range(5)
    )
    one = create(pav_cfg, text.replace("LIMIT", "1"))
    assert run_here(one) == 0
    assert [test.run_log.read_text() for test in one.tests] == ["1\n"] * 5
    assert (one.path / "order").read_text().split() == [test.id for test in one.tests]
    two = create(pav_cfg, text.replace("LIMIT", "2"))
    assert run_here(two) == 0
    assert {test.run_log.read_text() for test in two.tests} <= {"1\n", "2\n"}
    assert all(test.result == "PASS" for test in [*one.tests, *two.tests])


def test_many_scripts_written_and_started_at_once(pav_cfg: PavConfig, run_here: Any) -> None:
    """A script that another thread's new process still has open is 'busy' (ETXTBSY)."""
    series = create(
        pav_cfg,
        """
        a:
          variables: {n: ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9'],
                      m: ['0', '1', '2', '3', '4', '5', '6', '7']}
          permute_on: [n, m]
          run: {cmds: ['true']}
        """,
    )
    assert run_here(series) == 0
    assert [test.result for test in series.tests] == ["PASS"] * 80


# ----------------------------------------------------------------------------------------- limits

STUBBORN = "trap '' TERM; sleep 60 & while true; do sleep 0.1; done"


def test_run_timeout_ends_the_test_and_all_it_started(pav_cfg: PavConfig) -> None:
    series = kick_off(
        pav_cfg,
        """
        slow: {run: {timeout: 0.5, cmds: ['sleep 60 & sleep 60; echo not reached']}}
        other: {run: {timeout: none, cmds: ['sleep 0.8; echo went on']}}
        """,
    )
    assert finish(series) == ["FAIL", "PASS"]
    slow, other = series.tests
    assert states(slow)[-2:] == ["RUN_TIMEOUT", "COMPLETE"]
    assert "0.5 seconds" in slow.status.current().note
    assert slow.run_log.read_text() == ""
    assert 0.5 <= slow.results["duration"] < 5
    assert other.run_log.read_text() == "went on\n"
    until(lambda: not processes(), "the end of all processes")


def test_a_test_that_does_not_listen_is_killed(pav_cfg: PavConfig, run_here: Any) -> None:
    series = create(
        pav_cfg,
        f"""
        a: {{run: {{timeout: 0.2, cmds: ["{STUBBORN}"]}}}}
        """,
    )
    assert run_here(series) == 0
    assert series.tests[0].result == "FAIL"
    assert states(series.tests[0])[-2:] == ["RUN_TIMEOUT", "COMPLETE"]
    until(lambda: not sleepers(), "the end of the killed processes")


# What a script may do to get out of reach; each notes a pid when it is.
ESCAPES = """
            - setsid sh -c 'echo $$ >>../pids; exec sleep 60' &
            - (setsid sh -c 'echo $$ >>../pids; exec sleep 60' &)
            - (env -u PAV_TEST_ID sh -c 'echo $$ >>../pids; exec sleep 60' &)
            - echo $$ >>../pids
            - while [ ! -e ../go ]; do sleep 0.05; done"""


def pids_of(test: TestRun, count: int = 4) -> list[int]:
    path = test.path / "pids"
    until(lambda: path.exists() and path.read_text().count("\n") == count, "all pids")
    return [int(pid) for pid in path.read_text().split()]


def living(pids: Sequence[int]) -> set[int]:
    return guard.all_processes().keys() & set(pids)


@pytest.mark.parametrize("how", ["cancelled", "timed out"])
def test_what_left_a_tests_session_ends_with_it(pav_cfg: PavConfig, how: str) -> None:
    timeout = "1.5" if how == "timed out" else "none"
    series = kick_off(
        pav_cfg,
        f"""
        first:
          run:
            timeout: {timeout}
            cmds:{ESCAPES}
        second:
          run:
            cmds:{ESCAPES}
        """,
    )
    first, second = series.tests
    pids, others = pids_of(first), pids_of(second)
    if how == "cancelled":
        cancel_tests(pav_cfg, [first], "Enough.")
        until(lambda: not living(pids), "the end of all its processes")
    else:
        until(lambda: first.complete, "the end of the test")
        assert living(pids) == set()
    # The other test's go on until the job ends.
    assert living(others) == set(others)
    (second.path / "go").touch()
    assert finish(series)[1] == "PASS"
    until(lambda: not processes(), "the end of all processes")
    assert living(others) == set()
    assert second.job is not None
    assert "ending processes that the tests left running" in second.job.kickoff_log.read_text()


def test_the_log_of_a_test_that_left_something_running_keeps_its_limit(
    pav_cfg: PavConfig,
) -> None:
    """Its script has ended long before the job, and so had the look at its log."""
    pav_cfg["log_limit"] = "64k"
    series = kick_off(
        pav_cfg,
        """
        _base: {concurrent: 2, schedule: {share_allocation: true}}
        first: {inherits_from: _base, run: {cmds: ['yes left & sleep 0.1']}}
        second:
          inherits_from: _base
          run: {cmds: ['while [ ! -e ../go ]; do sleep 0.05; done']}
        """,
    )
    first, second = series.tests
    until(lambda: first.complete, "the end of the first test")
    until(lambda: b"[pav-sched: " in first.run_log.read_bytes()[:70_000], "the cut of its log")
    # It is cut again and again.
    seen = first.run_log.stat().st_size
    until(lambda: first.run_log.stat().st_size < seen or seen < 64 * 1024, "another cut")
    (second.path / "go").touch()
    assert finish(series) == ["PASS", "PASS"]
    until(lambda: not processes(), "the end of all processes")
    assert first.run_log.stat().st_size <= 64 * 1024
    assert second.job is not None
    assert f"left running: {first.id}" in second.job.kickoff_log.read_text()


def test_a_job_that_a_test_started_is_not_ended_with_it(pav_cfg: PavConfig, run_here: Any) -> None:
    series = create(
        pav_cfg,
        """
        a:
          run:
            timeout: 0.5
            cmds:
              - (PAV_RAW_JOB=other setsid sh -c 'echo $$ >>../pids; exec sleep 60' &)
              - sleep 60
        """,
    )
    assert run_here(series) == 0
    assert series.tests[0].result == "FAIL"
    assert len(living(pids_of(series.tests[0], 1))) == 1


def test_a_runner_whose_guard_is_killed_ends_its_tests(pav_cfg: PavConfig) -> None:
    """Leader and keeper at once: then there is nobody else."""
    series = kick_off(
        pav_cfg,
        f"""
        a:
          run:
            cmds:{ESCAPES}
        """,
    )
    pids = pids_of(series.tests[0])
    assert series.tests[0].job is not None
    leader = int(series.tests[0].job.info["pid"])
    keeper = next(found.pid for found in guard.all_processes().values() if found.ppid == leader)
    os.kill(leader, signal.SIGSTOP)
    os.kill(keeper, signal.SIGKILL)
    os.kill(leader, signal.SIGKILL)
    assert finish(series) == ["ERROR"]
    assert living(pids) == set()
    assert processes() == []


# ------------------------------------------------------------------------------------- cancelling


def test_a_running_test_is_cancelled_and_the_others_go_on(pav_cfg: PavConfig) -> None:
    series = kick_off(
        pav_cfg,
        """
        first: {run: {cmds: ['touch started; sleep 60 & sleep 60']}}
        second: {run: {cmds: ['while [ ! -e ../go ]; do sleep 0.05; done']}}
        """,
    )
    first, second = series.tests
    until((first.path / "work" / "started").exists, "the start of the test")
    assert cancel_tests(pav_cfg, [first], "Enough.") == [
        (first, "cancelled; its job is kept for s1.2", False)
    ]
    until(lambda: not sleepers(), "the end of the cancelled test's processes")
    assert not second.complete
    (second.path / "go").touch()
    assert finish(series) == ["ERROR", "PASS"]
    # The runner has had its say by now.
    until(lambda: not processes(), "the end of the job")
    assert first.status.current().state == STATES.CANCELLED
    assert first.status.current().note == "Enough."
    assert first.results == {}


def test_cancelling_all_tests_ends_the_job(pav_cfg: PavConfig) -> None:
    series = kick_off(
        pav_cfg,
        """
        first: {run: {cmds: ['touch started; sleep 60']}}
        second: {run: {cmds: ['sleep 60']}}
        """,
    )
    until((series.tests[0].path / "work" / "started").exists, "the start of the test")
    assert [text for _, text, _ in cancel_tests(pav_cfg, series.tests, "Enough.")] == [
        "cancelled"
    ] * 2
    assert finish(series) == ["ERROR", "ERROR"]
    until(lambda: not processes(), "the end of all processes")
    assert [test.status.current().state for test in series.tests] == [STATES.CANCELLED] * 2


def test_what_was_cancelled_before_its_turn_is_not_started(pav_cfg: PavConfig) -> None:
    series = create(pav_cfg, "a: {run: {cmds: ['true']}}\nb: {run: {cmds: ['true']}}")
    cancel_tests(pav_cfg, series.tests[:1], "Enough.")
    done = pav_run(series)
    assert done.returncode == 0
    assert "s1.1 has already ended (CANCELLED); not started" in done.stdout
    assert not series.tests[0].run_log.exists()
    assert [test.result for test in series.tests] == ["ERROR", "PASS"]


# ---------------------------------------------------------------------------------- second starts


def test_a_second_start_runs_nothing_again(pav_cfg: PavConfig) -> None:
    """Some schedulers start a job again after a node failed."""
    series = create(
        pav_cfg,
        """
        a: {run: {cmds: ['echo ran >>../count', 'touch started', 'sleep 60']}}
        b: {run: {cmds: ['echo ran >>../count']}}
        """,
    )
    first, second = series.tests
    runner = subprocess.Popen(
        pav_argv(series, "s1.1"), env=pav_env(series), stdout=subprocess.DEVNULL
    )
    until((first.path / "work" / "started").exists, "the start of the test")
    # While it runs, and after it was killed in mid-run.
    for kill in (False, True):
        if kill:
            runner.kill()
            runner.wait(PATIENCE)
        done = pav_run(series)
        assert done.returncode == 0
        assert "s1.1 was started before; it is not run a second time" in done.stdout
    assert (first.path / "count").read_text() == "ran\n"
    assert (second.path / "count").read_text() == "ran\n"
    assert second.result == "PASS"


# ---------------------------------------------------------------------------------------- signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_runner_that_is_told_to_stop_ends_its_tests(pav_cfg: PavConfig, number: int) -> None:
    series = create(
        pav_cfg,
        """
        a: {concurrent: 1, run: {cmds: ['touch started; sleep 60 & sleep 60']}}
        b: {concurrent: 1, run: {cmds: ['echo never']}}
        """,
    )
    runner = subprocess.Popen(
        pav_argv(series), env=pav_env(series), text=True, stdout=subprocess.PIPE
    )
    until((series.tests[0].path / "work" / "started").exists, "the start of the test")
    runner.send_signal(number)
    out, _ = runner.communicate(timeout=PATIENCE)
    assert runner.returncode == 128 + number
    assert f"told to stop by {signal.Signals(number).name}" in out
    assert "Test s1.1 was running for" in out
    until(lambda: not sleepers(), "the end of the killed processes")
    # Why is for the scheduler to tell: nothing is claimed here.
    assert [test.status.current().state for test in series.tests] == ["RUNNING", "CREATED"]
    assert not any(test.complete for test in series.tests)
    assert not series.tests[1].run_log.exists()


def test_a_stubborn_test_does_not_keep_a_runner_from_stopping(
    pav_cfg: PavConfig, run_here: Any
) -> None:
    series = create(
        pav_cfg,
        f"""
        a: {{run: {{cmds: ["(sleep 0.3; kill -TERM $PPID) & {STUBBORN}"]}}}}
        """,
    )
    assert run_here(series) == 128 + signal.SIGTERM
    until(lambda: not sleepers(), "the end of the killed processes")


def test_a_kickoff_script_that_is_killed_leaves_final_states(pav_cfg: PavConfig) -> None:
    series = kick_off(
        pav_cfg,
        """
        a: {concurrent: 1, run: {cmds: ['touch started; sleep 60']}}
        b: {concurrent: 1, run: {cmds: ['true']}}
        """,
    )
    first, second = series.tests
    until((first.path / "work" / "started").exists, "the start of the test")
    assert first.job is not None
    os.killpg(int(first.job.info["pid"]), signal.SIGKILL)
    assert finish(series) == ["ERROR", "ERROR"]
    assert "state RUNNING" in first.status.current().note
    for test in (first, second):
        assert test.status.current().state == STATES.SCHED_ERROR
        assert "signal 9" in test.status.current().note


# -------------------------------------------------------------------------- tests that cannot run


def test_a_variable_that_fails_on_the_allocation_fails_its_test_only(
    pav_cfg: PavConfig, tmp_path: Path
) -> None:
    plugins = tmp_path / "config" / "plugins"
    (plugins / "licence.py").write_text(
        textwrap.dedent("""
        from pavilion.sys_vars import SystemPlugin

        class Licence(SystemPlugin):
            def __init__(self):
                super().__init__("licence", "Fails.", is_deferable=True)

            def _get(self):
                raise OSError("no licence server")
        """)
    )
    (plugins / "licence.yapsy-plugin").write_text("[Core]\nName = licence\nModule = licence\n")
    (plugins / "odd.py").write_text(
        textwrap.dedent("""
        from pavilion.schedulers import Raw, SchedulerVariables, dfr_var_method

        class OddVars(SchedulerVariables):
            @dfr_var_method
            def rack(self):
                "Fails."
                raise LookupError("no such rack")

        class Odd(Raw):
            VAR_CLASS = OddVars

            def __init__(self):
                super().__init__()
                self.name = "odd"
        """)
    )
    (plugins / "odd.yapsy-plugin").write_text("[Core]\nName = odd\nModule = odd\n")
    assert load_plugins(pav_cfg).refused == []
    series = kick_off(
        pav_cfg,
        """
        a: {run: {cmds: ['touch ../ran', 'echo {{licence}}']}}
        b: {run: {cmds: ['echo {{host_name}}']}}
        c: {scheduler: odd, run: {cmds: ['touch ../ran', 'echo {{rack}}']}}
        d: {scheduler: odd, run: {cmds: ['echo {{test_nodes}}']}}
        """,
    )
    assert finish(series) == ["ERROR", "PASS", "ERROR", "PASS"]
    for number, text in ((0, "no licence server"), (2, "no such rack")):
        test = series.tests[number]
        assert text in test.status.current().note
        assert states(test)[-2:] == ["RUN_ERROR", "COMPLETE"]
        assert not (test.path / "ran").exists()


def test_each_test_that_cannot_be_run_says_why_and_the_others_go_on(pav_cfg: PavConfig) -> None:
    series = create(
        pav_cfg,
        """
        shell: {run: {shebang: '#!/no/such/shell', cmds: [x]}}
        late: {run: {timeout: '{{host_name}}', cmds: [x]}}
        folder: {run: {cmds: [x]}}
        good: {run: {cmds: ['true']}}
        """,
    )
    (series.tests[2].path / "run.sh").mkdir()
    done = pav_run(series)
    assert done.returncode == 0
    assert "Traceback" not in done.stdout
    assert [test.result for test in series.tests] == ["ERROR"] * 3 + ["PASS"]
    for test, part in zip(series.tests, ["No such file", "run.timeout", "run.sh"]):
        assert part in test.status.current().note
        assert part in test.results["note"]
        assert "RUN_ERROR" in states(test)


def test_a_damaged_record_does_not_keep_the_others_from_running(pav_cfg: PavConfig) -> None:
    series = create(pav_cfg, "a: {run: {cmds: ['true']}}\nb: {run: {cmds: ['true']}}")
    (series.tests[0].path / "test.json").write_text("{")
    assert series.kick_off() == []
    assert finish(series) == ["ERROR", "PASS"]
    # Its job is over, and its log says what was wrong.
    assert "test.json" in series.tests[0].status.current().note


def test_a_job_that_cannot_start_its_tests_tells_why(pav_cfg: PavConfig) -> None:
    pav_cfg.env_setup = [*pav_cfg.env_setup, "echo module: not found >&2; exit 7"]
    series = kick_off(pav_cfg, "a: {run: {cmds: ['true']}}")
    assert finish(series) == ["ERROR"]
    note = series.tests[0].status.current().note
    assert "module: not found" in note
    assert "exit code was 7" in note


def test_unknown_ids_are_told_and_the_others_run(pav_cfg: PavConfig) -> None:
    series = create(pav_cfg, "a: {run: {cmds: ['true']}}")
    done = pav_run(series, "s1.7", "s1.1", "nonsense")
    assert done.returncode == 2
    assert "no test run s1.7" in done.stdout
    assert "'nonsense' is not a test id" in done.stdout
    assert series.tests[0].result == "PASS"


@pytest.mark.parametrize("argv", [[], ["_run"], ["run", "suite"], ["--help"]])
def test_a_wrong_call_names_the_right_command(pav_cfg: PavConfig, argv: Sequence[str]) -> None:
    done = subprocess.run(
        [str(pav_cfg.pav_root / "bin" / "pav"), *argv],
        text=True,
        env=dict(os.environ, PAV_SCHED_PYTHON=sys.executable),
        capture_output=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 2
    assert "pav-sched" in done.stderr


def test_settings_that_are_gone_are_an_error(pav_cfg: PavConfig, tmp_path: Path) -> None:
    series = create(pav_cfg, "a: {run: {cmds: ['true']}}")
    (series.path / "pavilion.yaml").unlink()
    done = pav_run(series)
    assert done.returncode == 2
    assert "PAV_CONFIG_FILE" in done.stdout
    assert "Traceback" not in done.stdout
