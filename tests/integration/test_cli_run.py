"""``pav-sched run``: from a suite to results."""

from __future__ import annotations

import json
import re
import shlex
import subprocess

import pytest
from cli_tools import PATIENCE, REFUSING_PLUGIN, SLEEPER, Cli, finish

TWO = """
    good:
      run: {cmds: ["true"]}
    bad:
      run: {cmds: ["exit 3"]}
    """


def test_all_pass(cli: Cli) -> None:
    cli.suite(TWO)
    done = cli("run", "suite.good")
    assert done.code == 0
    assert done.rows[0][:4] == ["s1.1", "suite.good", "raw", "PASS"]
    assert re.fullmatch(r"\d+\.\ds", done.rows[0][4])
    assert done.out.splitlines()[-1] == "1 test: 1 passed, 0 failed, 0 errors. Series s1."


def test_some_fail(cli: Cli) -> None:
    cli.suite(TWO)
    done = cli("run", cli.config / "suites" / "suite.yaml")
    assert done.code == 1
    assert [row[3] for row in done.rows] == ["PASS", "FAIL"]
    assert [row[-1] for row in done.rows] == ["", "Exit code 3."]
    assert done.out.splitlines()[-1] == "2 tests: 1 passed, 1 failed, 0 errors. Series s1."
    # Piped output is plain text.
    assert "\x1b" not in done.out + done.err


def test_one_test_of_a_file(cli: Cli) -> None:
    path = cli.suite(TWO)
    done = cli("run", f"{path}.good", f"{path}.bad")
    assert [row[1] for row in done.rows] == ["suite.good", "suite.bad"]


def test_json(cli: Cli) -> None:
    cli.suite(TWO)
    done = cli("run", "suite", "--json")
    assert done.code == 1
    data = done.json
    assert data["series"] == "s1"
    assert data["summary"] == {
        "tests": 2,
        "passed": 1,
        "failed": 1,
        "errors": 0,
        "cancelled": 0,
        "unfinished": 0,
    }
    good, bad = data["tests"]
    assert (good["id"], good["result"], good["return_value"]) == ("s1.1", "PASS", 0)
    assert (bad["state"], bad["result"], bad["return_value"]) == ("COMPLETE", "FAIL", 3)
    assert good["finished"] >= good["started"]
    assert set(good) == set(bad)


def test_overrides(cli: Cli) -> None:
    cli.suite("""
        test:
          run: {cmds: ["sleep 20"], timeout: "30"}
        """)
    done = cli("run", "suite", "-c", "run.timeout=0.2", "-c", "schedule.nodes=4")
    assert done.code == 1
    assert done.rows[0][3] == "FAIL"
    assert "0.2 seconds" in done.rows[0][-1]
    record = json.loads((cli.test_path("s1.1") / "test.json").read_text())
    assert record["config"]["schedule"]["nodes"] == "4"


def test_scheduler_option_goes_before_the_suite(cli: Cli) -> None:
    cli.suite("test: {scheduler: none_such, run: {cmds: ['true']}}")
    assert cli("run", "suite").code == 2
    assert cli("run", "suite", "--scheduler", "raw").code == 0


def test_detach_then_wait(cli: Cli) -> None:
    cli.suite("test: {run: {cmds: ['touch started', 'sleep 0.3']}}")
    done = cli("run", "suite", "--detach")
    assert done.code == 0
    assert done.out.startswith("Series s1: 1 test handed over.")
    # The command that is printed works as it stands, from any folder.
    line = next(line for line in done.out.splitlines() if line.strip().startswith("wait:"))
    assert line.endswith(" wait s1")
    assert f"'{cli.work}'" in line
    waited = cli("wait", "s1")
    assert waited.code == 0
    assert waited.rows[0][3] == "PASS"


def test_detach_json(cli: Cli) -> None:
    cli.suite("test: {run: {cmds: ['true']}}")
    done = cli("run", "suite", "--detach", "--json")
    assert done.code == 0
    assert done.json["series"] == "s1"
    assert cli("wait", done.json["series"]).code == 0


def test_timeout(cli: Cli) -> None:
    cli.suite(SLEEPER)
    done = cli("run", "suite", "--timeout", "0.2")
    assert done.code == 3
    assert "2 tests have not ended and are left running." in done.err
    assert "cancel s1" in done.err
    assert re.search(r"0 errors(, \d (running|waiting))+\. Series s1", done.out)
    again = cli("wait", "--timeout", "0", "--json")
    assert again.code == 3
    assert again.json["summary"]["unfinished"] == 2
    assert [test["result"] for test in again.json["tests"]] == [None, None]


def test_kickoff_that_fails(cli: Cli) -> None:
    cli.plugin("refusing", REFUSING_PLUGIN)
    cli.suite("test: {scheduler: refusing, run: {cmds: ['true']}}\nother: {run: {cmds: ['true']}}")
    done = cli("run", "suite")
    assert done.code == 1
    assert "pav-sched: error: suite.test: The queue is closed." in done.err
    assert [row[3] for row in done.rows] == ["ERROR", "PASS"]
    assert done.rows[0][-1] == "The queue is closed."
    detached = cli("run", "suite.test", "--detach")
    assert detached.code == 1
    assert "0 tests handed over, 1 could not be." in detached.out


def test_many_jobs_that_are_refused_for_one_reason_are_one_message(cli: Cli) -> None:
    cli.plugin(
        "refusing",
        REFUSING_PLUGIN.replace(
            '"The queue is closed."', 'f"No room ({args[1].path}/kickoff.sh)."'
        ),
    )
    cli.suite(
        """
        test:
            scheduler: refusing
            variables: {number: [1, 2, 3, 4, 5]}
            permute_on: number
            subtitle: "{{number}}"
            schedule: {share_allocation: false}
            run: {cmds: ['true']}
        """
    )
    done = cli("run", "suite")
    assert done.code == 1
    errors = [line for line in done.err.splitlines() if "error:" in line]
    assert len(errors) == 1
    assert errors[0].startswith("pav-sched: error: suite.test.1, suite.test.2, ")
    assert " and 1 more: No room (" in errors[0]
    assert errors[0].endswith("/kickoff.sh). (The same for 4 more jobs.)")
    # Each test has its own.
    assert len({row[-1] for row in done.rows}) == 5


def test_refused_plugin_is_a_warning(cli: Cli) -> None:
    info = cli.plugin("broken", "import no_such_module_anywhere")
    cli.suite("test: {run: {cmds: ['true']}}")
    done = cli("run", "suite")
    assert done.code == 0
    lines = [line for line in done.err.splitlines() if "warning" in line]
    assert len(lines) == 1
    assert str(info) in lines[0]
    assert "no_such_module_anywhere" in lines[0]


def test_warnings_of_variables_are_told_once(cli: Cli) -> None:
    cli.plugin(
        "odd",
        """
        from pavilion.schedulers import Raw, SchedulerVariables
        from pavilion.schedulers.vars import var_method

        class OddVars(SchedulerVariables):
            @var_method
            def odd(self):
                '''Fails.'''
                raise RuntimeError("odd indeed")

        class Odd(Raw):
            VAR_CLASS = OddVars
            def __init__(self):
                super().__init__()
                self.name = "odd"
        """,
    )
    cli.suite("""
        test:
          scheduler: odd
          variables: {number: [1, 2, 3]}
          permute_on: number
          run: {cmds: ["echo {{number}} '{{sched.odd}}'"]}
        """)
    done = cli("run", "suite")
    lines = [line for line in done.err.splitlines() if "odd indeed" in line]
    assert len(lines) == 1
    assert "suite.test.1 (and 2 other tests)" in lines[0]


def test_two_at_the_same_instant(cli: Cli) -> None:
    cli.suite("test: {run: {cmds: ['true']}}")
    started = [cli.start("run", "suite", "--json") for _ in range(4)]
    ended = [finish(process) for process in started]
    assert [done.code for done in ended] == [0] * 4
    assert sorted(done.json["series"] for done in ended) == ["s1", "s2", "s3", "s4"]


def test_options_before_and_after_the_command(cli: Cli) -> None:
    cli.suite("test: {run: {cmds: ['true']}}")
    more = cli.root / "more"
    (more / "suites").mkdir(parents=True)
    (more / "suites" / "extra.yaml").write_text("test: {run: {cmds: ['true']}}")
    done = cli(
        "--working-dir",
        cli.work,
        "--config-dir",
        cli.config,
        "run",
        "suite",
        "extra",
        "--config-dir",
        more,
        bare=True,
    )
    assert done.code == 0
    assert [row[1] for row in done.rows] == ["suite.test", "extra.test"]
    assert (cli.work / "series" / "s1").is_dir()


def test_home_and_config_file(cli: Cli) -> None:
    """Without options: ~/.pavilion; a config file's relative paths start at its folder."""
    (cli.home / ".pavilion" / "suites").mkdir(parents=True)
    (cli.home / ".pavilion" / "suites" / "mine.yaml").write_text("test: {run: {cmds: ['true']}}")
    assert cli("run", "mine", bare=True).code == 0
    assert (cli.home / ".pavilion" / "working_dir" / "series" / "s1").is_dir()
    site = cli.root / "site.yaml"
    site.write_text("working_dir: runs\nconfig_dirs: ['my config']\n")
    cli.suite("test: {run: {cmds: ['true']}}")
    assert cli("run", "suite", "--config-file", site, bare=True).code == 0
    assert (cli.root / "runs" / "series" / "s1").is_dir()


def test_output_of_any_bytes(cli: Cli) -> None:
    """A note or name with control characters does nothing to a terminal."""
    cli.suite("""
        test:
          subtitle: "a\\eb"
          run: {cmds: ["true"]}
        """)
    done = cli("run", "suite", env={"PYTHONIOENCODING": "ascii"})
    assert done.code == 0
    assert "\x1b" not in done.out
    assert "\\x1b" in done.out


TALKATIVE = """
    import subprocess
    from pavilion.jobs import JobInfo
    from pavilion.schedulers import SchedulerPluginBasic

    class Talkative(SchedulerPluginBasic):
        def __init__(self):
            super().__init__("talkative", "Prints.")

        def _available(self):
            print("printed by the plugin")
            subprocess.run(["echo", "printed by a command"])
            return True

        def _kickoff(self, pav_cfg, job, sched_config, job_name, nodes=None, node_range=None):
            return {}["queue"]
"""


@pytest.fixture
def talkative(cli: Cli) -> Cli:
    cli.plugin("talkative", TALKATIVE)
    cli.suite("""
        one:
          scheduler: talkative
          run: {cmds: ["true"]}
    """)
    return cli


def test_what_plugins_print_is_no_part_of_the_json(talkative: Cli) -> None:
    for command in (["run", "suite"], ["run", "suite", "--detach"], ["show", "sched"]):
        done = talkative(*command, "--json")
        assert done.json
        assert "printed by the plugin" in done.err and "printed by a command" in done.err
    assert "printed by the plugin" in talkative("show", "sched").out


@pytest.mark.parametrize("closed", ["2>&-", "<&-", "0<&- 2>&-"])
def test_json_with_closed_streams(talkative: Cli, closed: str) -> None:
    command = shlex.join(talkative.argv("show", "sched", "--json"))
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec {command} {closed}"],
        env=talkative.env,
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )
    assert json.loads(done.stdout)


@pytest.mark.parametrize("options", [["--json"], []])
def test_a_closed_stdout_is_no_error(talkative: Cli, options: list[str]) -> None:
    command = shlex.join(talkative.argv("show", "sched", *options))
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec {command} >&-"],
        env=talkative.env,
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )
    assert b"Traceback" not in done.stderr


def test_what_is_printed_to_the_first_stdout_is_no_part_of_the_json(talkative: Cli) -> None:
    talkative.plugin(
        "talkative",
        TALKATIVE.replace(
            'print("printed by the plugin")', "import sys; sys.__stdout__.write('to the first\\n')"
        ),
    )
    del talkative.env["PYTHONUNBUFFERED"]
    done = talkative("show", "sched", "--json")
    assert done.json and "to the first" in done.err


def test_a_reader_of_json_that_has_gone(talkative: Cli) -> None:
    process = talkative.start("show", "sched", "--json")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.wait(PATIENCE) == 128 + 13
    assert "Traceback" not in (err := process.stderr.read()) and "BrokenPipe" not in err
    process.stderr.close()


def test_debug_shows_where_the_error_of_a_test_comes_from(talkative: Cli) -> None:
    assert "Traceback" not in talkative("run", "suite").err
    done = talkative("run", "suite", "--debug")
    assert "Traceback" in done.err and 'return {}["queue"]' in done.err
    assert "failed with KeyError while it started suite.one" in done.err


def test_a_suite_of_a_config_folder_with_the_ending_of_its_file(talkative: Cli) -> None:
    done = talkative("run", "suite.yaml")
    assert done.code == 2
    assert "To run all of them, give its name alone: 'suite'." in done.err
