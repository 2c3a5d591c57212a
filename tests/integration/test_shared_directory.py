"""A working directory that is shared with people we do not trust, and with colleagues.

Whoever may make directories in ``series/`` and ``jobs/`` puts anything there: links, pipes, records
that lead to files and jobs of others.  Root is the victim here where files of others are needed:
root's commands must fall for none of it either.
"""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from cli_tools import OTHER, Cli, give_away, needs_root, wait_until


def plant_series(cli: Cli, name: str = "s9", **record: Any) -> Path:
    """A series as somebody may have made it by hand: its test waits for a job that is lost."""
    for folder in ("series", "jobs"):
        (cli.work / folder).mkdir(parents=True, exist_ok=True)
    test = cli.work / "series" / name / f"{name}.1"
    test.mkdir(parents=True)
    (test.parent / "series.json").write_text(
        json.dumps(
            dict(
                {
                    "id": name,
                    "tests": 1,
                    "starter": {
                        "host": os.uname().nodename,
                        "boot_id": "old",
                        "pid": 1,
                        "start_time": 1,
                    },
                },
                **record,
            )
        )
    )
    (test / "test.json").write_text(
        json.dumps(
            {
                "name": "evil.test",
                "created": 1.0,
                "deferred_paths": [],
                "config": {
                    "scheduler": "raw",
                    "run": {"cmds": ["true"], "env": {}},
                    "schedule": {},
                },
                "variables": {"format": 1, "values": {}, "sets": {}, "variables": {}},
            }
        )
    )
    return test


def plant_job(cli: Cli, test: Path, info: dict[str, Any] | None = None) -> Path:
    """A job of a planted test; of long ago, so that nobody waits for its end."""
    job = cli.work / "jobs" / "0123456789ab"
    job.mkdir()
    (job / "tests.json").write_text(
        json.dumps({"working_dir": str(cli.work), "tests": [test.name]})
    )
    if info is not None:
        (job / "info.json").write_text(json.dumps(info))
    (test / "job").symlink_to("../../../jobs/0123456789ab")
    return job


def long_ago(*paths: Path) -> None:
    for path in paths:
        os.utime(path, (1.0, 1.0), follow_symlinks=False)


# No process has so great a number.
LOST = {
    "pid": "4194300",
    "uniq_id": "0" * 32,
    "host": os.uname().nodename,
    "boot_id": "old",
    "start_time": "1",
}


@needs_root
@pytest.mark.parametrize("kind", ["forgotten", "lost job"])
def test_status_writes_nothing_into_what_another_user_planted(kind: str, cli: Cli) -> None:
    """It was appended to: 'status -> ~/.bashrc', with text of the attacker's choice."""
    bashrc = cli.home / ".bashrc"
    bashrc.write_text("# mine\n")
    test = plant_series(cli)
    (test / "status").symlink_to(bashrc)
    (test / "RUN_COMPLETE.new").symlink_to(cli.home / "made")
    if kind == "lost job":
        job = plant_job(cli, test, LOST)
        (job / "kickoff.log").write_text("$(touch /tmp/owned)\n")
        give_away(job)
    give_away(test.parent)
    done = cli("status", "s9")
    assert done.code == 0
    assert bashrc.read_text() == "# mine\n"
    assert not (test / "RUN_COMPLETE").exists()
    assert "Traceback" not in done.err


@pytest.mark.parametrize("kind", ["forgotten", "lost job"])
def test_status_appends_to_no_link_in_ones_own_directory(kind: str, cli: Cli) -> None:
    bashrc = cli.home / ".bashrc"
    bashrc.write_text("# mine\n")
    test = plant_series(cli)
    (test / "status").symlink_to(bashrc)
    if kind == "lost job":
        plant_job(cli, test, LOST)
    cli("status", "s9")
    cli("cancel", "s9")
    assert bashrc.read_text() == "# mine\n"


def test_a_mark_of_the_end_makes_no_file_elsewhere(cli: Cli) -> None:
    test = plant_series(cli)
    (test / "RUN_COMPLETE").symlink_to(cli.home / "made")
    cli("status", "s9")
    cli("cancel", "s9")
    assert not (cli.home / "made").exists()


@pytest.mark.parametrize("log", ["sched.log", "kickoff.log"])
def test_a_log_that_leads_elsewhere_is_not_quoted(log: str, cli: Cli) -> None:
    """'sched.log -> id_rsa' was copied into a file that the attacker could read."""
    secret = cli.home / "id_rsa"
    secret.write_text("PRIVATE KEY\n")
    test = plant_series(cli)
    job = plant_job(cli, test, LOST)
    (test / "status").write_text("1.0 SCHEDULED Handed over.\n")
    (job / log).symlink_to(secret)
    long_ago(test / "status", test, job, secret)
    done = cli("status", "s9", "--verbose")
    assert "SCHED_ERROR" in done.out
    status = (test / "status").read_text()
    assert "PRIVATE" not in status + done.out
    assert "is not quoted: it is not a regular file but a link" in status


@needs_root
@pytest.mark.parametrize("what", ["log", "job"])
def test_a_log_of_another_is_not_quoted(what: str, cli: Cli) -> None:
    test = plant_series(cli)
    job = plant_job(cli, test, LOST)
    (test / "status").write_text("1.0 SCHEDULED Handed over.\n")
    (job / "sched.log").write_text("Believe me!\n")
    long_ago(test / "status", test, job / "sched.log", job)
    if what == "log":
        os.chown(job / "sched.log", OTHER, OTHER)
    else:
        give_away(job)
    cli("status", "s9")
    assert "Believe me" not in (test / "status").read_text()


PIPES = [
    "series.json",
    "s9.1/test.json",
    "s9.1/status",
    "s9.1/results.json",
    "s9.1/run.log",
    "s9.1/RUN_COMPLETE",
]
JOB_PIPES = [
    "info.json",
    "tests.json",
    "identity.json",
    "kickoff.log",
    "sched.log",
    "sbatch.log",
    "node_info.json",
]


@pytest.mark.parametrize(
    "commands", [("status",), ("wait", "--timeout", "0.5"), ("cancel",)], ids=lambda words: words[0]
)
@pytest.mark.parametrize("place", ["pipe", "zero"])
def test_pipes_and_devices_stop_nobody(commands: tuple[str, ...], place: str, cli: Cli) -> None:
    """Each command that hangs runs into the time limit of these tests."""
    for number, name in enumerate(PIPES + JOB_PIPES, 1):
        test = plant_series(cli, f"s{number}")
        if name in JOB_PIPES:
            plant_job(cli, test, LOST).rename(cli.work / "jobs" / f"{number:012}")
            (test / "job").unlink()
            (test / "job").symlink_to(f"../../../jobs/{number:012}")
        path = (
            test / "job" / name
            if name in JOB_PIPES
            else (test.parent / name.replace("s9.1", f"s{number}.1"))
        )
        path.unlink(missing_ok=True)
        if place == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to("/dev/zero")
    ids = [f"s{number}" for number in range(1, len(PIPES + JOB_PIPES) + 1)]
    done = cli(commands[0], *ids, *commands[1:])
    assert done.code in (0, 1, 2, 3)
    assert "Traceback" not in done.err
    assert "bug" not in done.err


@pytest.mark.parametrize("which", ["run", "kickoff", "sched"])
@pytest.mark.parametrize("kind", ["pipe", "link", "dangling"])
def test_log_prints_regular_files_only(which: str, kind: str, cli: Cli) -> None:
    (cli.home / "id_rsa").write_text("PRIVATE KEY\n")
    test = plant_series(cli)
    job = plant_job(cli, test, LOST)
    path = {"run": test / "run.log", "kickoff": job / "kickoff.log", "sched": job / "sched.log"}[
        which
    ]
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(cli.home / ("id_rsa" if kind == "link" else "none"))
    done = cli("log", which, "s9.1")
    assert done.code == 2
    assert "not a regular file" in done.err
    assert "PRIVATE" not in done.out


@pytest.mark.parametrize("name", ["s" + "9" * 254, "s" + "9" * 9, "s" + "9" * 10, "s999999998"])
def test_a_directory_of_many_nines_stops_no_run(name: str, cli: Cli) -> None:
    cli.suite("a: {run: {cmds: ['true']}}")
    (cli.work / "series" / name).mkdir(parents=True)
    for _ in range(3):
        done = cli("run", "suite")
        assert done.code == 0, done.err
    assert cli("status").code == 0
    assert len(cli("status").rows) == 1


@pytest.mark.parametrize("count", [10**12, -1, "many", 1e300, True, None, [1]])
def test_a_made_up_number_of_tests_is_an_error_soon(count: Any, cli: Cli) -> None:
    plant_series(cli, tests=count)
    done = cli("status", "s9")
    assert done.code in (0, 2)
    assert "bug" not in done.err


@pytest.mark.parametrize(
    "record",
    [
        [],
        {"name": 7},
        {"created": "x"},
        {"config": []},
        {"config": {"scheduler": ["raw"], "run": {}}},
        {"deferred_paths": "run"},
        {"variables": [1]},
    ],
)
def test_a_made_up_record_is_an_error(record: Any, cli: Cli) -> None:
    test = plant_series(cli)
    if isinstance(record, dict):
        record = {**json.loads((test / "test.json").read_text()), **record}
    (test / "test.json").write_text(json.dumps(record))
    done = cli("status", "s9")
    assert done.code == 2
    assert "cannot be read" in done.err


def test_made_up_results_are_no_bug(cli: Cli) -> None:
    test = plant_series(cli)
    (test / "status").write_text("inf COMPLETE x\nnan COMPLETE x\n")
    (test / "RUN_COMPLETE").touch()
    (test / "results.json").write_text(
        json.dumps({"result": ["PASS"], "duration": "long", "started": {}, "host": 1})
    )
    for words in (("status", "s9"), ("wait", "s9"), ("status", "s9", "--json")):
        done = cli(*words)
        assert done.code in (0, 1)
        assert "bug" not in done.err


@needs_root
def test_without_an_id_the_latest_series_of_ones_own_is_meant(cli: Cli) -> None:
    cli.suite("a: {run: {cmds: ['true']}}")
    assert cli("run", "suite").code == 0
    test = plant_series(cli)
    give_away(test.parent)
    assert [row[0] for row in cli("status").rows] == ["s1.1"]
    done = cli("cancel")
    assert "s9" not in done.out
    assert cli("status", "s9").rows[0][0] == "s9.1"


@needs_root
def test_when_all_series_are_of_others(cli: Cli) -> None:
    give_away(plant_series(cli).parent)
    done = cli("status")
    assert done.code == 0
    assert "no series" in done.out + done.err


@needs_root
def test_a_series_that_is_a_link_is_refused(cli: Cli) -> None:
    test = plant_series(cli, "s8")
    (cli.work / "series" / "s9").symlink_to(test.parent)
    os.lchown(cli.work / "series" / "s9", OTHER, OTHER)
    done = cli("status", "s9")
    assert done.code == 2
    assert "not a directory" in done.err


def start_sleeper(cli: Cli) -> None:
    """Start the series s1, whose only test runs for long."""
    cli.suite("a: {run: {cmds: ['sleep 600']}}")
    assert cli("run", "suite", "--detach").code == 0
    wait_until(lambda: cli("status", "s1").rows[0][2] == "RUNNING", "it runs")


@needs_root
def test_the_running_series_of_a_colleague_can_be_looked_at(cli: Cli) -> None:
    start_sleeper(cli)
    before = snapshot(cli.work)
    for path in (cli.work / "series" / "s1", *(cli.work / "jobs").iterdir()):
        give_away(path)
    assert cli("status", "s1").rows[0][2] == "RUNNING"
    assert cli("wait", "s1", "--timeout", "1").code == 3
    done = cli("cancel", "s1")
    assert done.code == 1
    assert "another user" in done.out + done.err
    assert cli("log", "run", "s1.1").code == 0
    assert snapshot(cli.work) == before
    assert cli.processes()


@needs_root
def test_the_lost_series_of_a_colleague_is_shown_and_left_alone(cli: Cli) -> None:
    test = plant_series(cli)
    job = plant_job(cli, test, LOST)
    (test / "status").write_text("1.0 SCHEDULED Handed over.\n")
    long_ago(test / "status", test, job)
    give_away(test.parent)
    give_away(job)
    before = snapshot(cli.work)
    done = cli("status", "s9")
    assert done.code == 0
    assert done.rows[0][2] == "SCHED_ERROR"
    assert "belongs to another user" in done.out
    assert snapshot(cli.work) == before


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """All files and what is in them."""
    return {
        str(path): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if not path.name.startswith(".")
    }


@needs_root
def test_a_planted_record_makes_no_job_of_the_victim_die(cli: Cli) -> None:
    """A series of another user whose job is said to be one of ours, by link or by record."""
    start_sleeper(cli)
    mine = next((cli.work / "jobs").iterdir())
    by_link = plant_series(cli, "s8")
    (by_link / "job").symlink_to(f"../../../jobs/{mine.name}")
    by_record = plant_series(cli, "s9")
    job = plant_job(cli, by_record, cli.job_info("s1.1"))
    for path in (by_link.parent, by_record.parent, job):
        give_away(path)
    for words in (
        ("status", "s8", "s9"),
        ("cancel", "s8", "s9"),
        ("cancel", "s8.1"),
        ("wait", "s8", "s9", "--timeout", "0.5"),
    ):
        cli(*words)
    assert cli("status", "s1").rows[0][2] == "RUNNING"
    assert cli.processes()


def test_a_link_to_a_job_of_other_tests_does_not_cancel_that(cli: Cli) -> None:
    """As a colleague could make it, where the umask lets the group write."""
    start_sleeper(cli)
    mine = next((cli.work / "jobs").iterdir())
    test = plant_series(cli, "s8")
    (test / "job").symlink_to(f"../../../jobs/{mine.name}")
    done = cli("cancel", "s8")
    assert "does not list s8.1 as one of its tests" in done.out
    assert cli("status", "s1").rows[0][2] == "RUNNING"


def test_a_link_to_a_job_elsewhere_is_not_followed(cli: Cli) -> None:
    test = plant_series(cli)
    (cli.home / "info.json").write_text("{")
    (test / "job").symlink_to(cli.home)
    assert json.loads(cli("status", "s9", "--json").out)["tests"][0]["job"] is None


@pytest.mark.parametrize("name", ["../x.sh", "a/b", "..", 7])
def test_a_made_up_name_of_a_script_is_refused(name: Any, tmp_path: Path) -> None:
    from pavilion.jobs import Job, JobError

    (tmp_path / "tests.json").write_text(
        json.dumps({"working_dir": "/", "tests": [], "kickoff_fn": name})
    )
    with pytest.raises(JobError, match="not the name of a kickoff script"):
        _ = Job(tmp_path).kickoff_path


def test_the_script_directory_of_a_test_is_no_link(cli: Cli) -> None:
    """'work -> elsewhere', planted while the test waits for its job."""
    from pavilion.runner import _make_work_folder
    from pavilion.test_run import TestRun

    test = TestRun.load_path(plant_series(cli))
    (test.path / "work").symlink_to(cli.work / "none")
    with pytest.raises(FileExistsError):
        _make_work_folder(test)


# --- What is copied from the settings ---


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o664])
def test_copies_of_the_settings_keep_their_mode(mode: int, cli: Cli) -> None:
    """Secrets in env_setup became readable for everyone."""
    settings = cli.config / "pavilion.yaml"
    settings.write_text("env_setup: ['export TOKEN=secret']\n")
    settings.chmod(mode)
    suite = cli.suite("a: {run: {cmds: ['echo $TOKEN']}}")
    assert cli("--config-file", settings, "run", suite).code == 0
    job = next((cli.work / "jobs").iterdir())
    copies = [
        path
        for path in cli.work.rglob("*")
        if path.is_file() and not path.is_symlink() and b"TOKEN=secret" in path.read_bytes()
    ]
    assert {path.name for path in copies} == {"pavilion.yaml", "kickoff.sh"}
    for path in copies:
        assert stat.S_IMODE(path.stat().st_mode) & 0o066 == mode & 0o044, path
    assert os.access(job / "kickoff.sh", os.X_OK)


@needs_root
def test_a_copy_is_not_shown_to_another_group(cli: Cli) -> None:
    settings = cli.config / "pavilion.yaml"
    settings.write_text("env_setup: ['export TOKEN=secret']\n")
    os.chown(settings, 0, OTHER)
    settings.chmod(0o640)
    suite = cli.suite("a: {run: {cmds: ['true']}}")
    assert cli("--config-file", settings, "run", suite).code == 0
    assert stat.S_IMODE((cli.work / "series/s1/pavilion.yaml").stat().st_mode) == 0o600


def test_settings_that_everyone_may_write_are_refused(cli: Cli) -> None:
    settings = cli.config / "pavilion.yaml"
    settings.write_text("env_setup: ['touch /tmp/owned']\n")
    settings.chmod(0o666)
    done = cli("--config-file", settings, "show", "config")
    assert done.code == 2
    assert "Everyone may write" in done.err
    assert "chmod o-w" in done.err


@pytest.mark.parametrize("name", ["", "series", "jobs"])
def test_a_directory_where_everyone_may_move_things_is_refused(name: str, cli: Cli) -> None:
    cli.suite("a: {run: {cmds: ['true']}}")
    folder = cli.work / name
    for path in (cli.work / "series", cli.work / "jobs"):
        path.mkdir(parents=True)
    folder.chmod(0o777)
    done = cli("run", "suite")
    assert done.code == 2
    assert str(folder) in done.err
    assert "chmod +t" in done.err
    folder.chmod(0o1777)
    assert cli("run", "suite").code == 0


# --- Plugins ---


PLUGIN = """
    from pavilion.schedulers import SchedulerPluginBasic
    from pathlib import Path
    (Path(__file__).parent.parent / "ran").touch()


    class Mine(SchedulerPluginBasic):
        def __init__(self):
            super().__init__("mine", "A plugin.")
    """


def refusal(cli: Cli) -> str:
    """Why the plugin is refused; '' when it is used."""
    ran = cli.config / "ran"
    ran.unlink(missing_ok=True)
    refused = reasons(cli)
    assert bool(refused) != ran.exists(), refused
    return refused


def reasons(cli: Cli) -> str:
    """Why plugins are refused."""
    done = cli("show", "plugins", "--json")
    assert done.code == 0, done.err
    return " ".join(item["reason"] for item in done.json["plugins"] if item["state"] == "refused")


@pytest.mark.parametrize(
    "what",
    ["mine.py", "mine.yapsy-plugin", "__pycache__", ".", "..", "__pycache__/mine.cpython-399.pyc"],
)
def test_code_that_everyone_may_write_is_not_loaded(what: str, cli: Cli) -> None:
    info = cli.plugin("mine", PLUGIN)
    cache = info.parent / "__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "mine.cpython-399.pyc").touch()
    assert refusal(cli) == ""
    path = info.parent / what
    mode = path.stat().st_mode
    path.chmod(mode | 0o002)
    assert f"Everyone may write to {path.resolve()}" in refusal(cli)
    path.chmod(mode)
    assert refusal(cli) == ""


@needs_root
@pytest.mark.parametrize("what", ["mine.py", "mine.yapsy-plugin", "."])
def test_code_of_other_users_is_not_loaded(what: str, cli: Cli) -> None:
    path = cli.plugin("mine", PLUGIN).parent / what
    os.chown(path, OTHER, OTHER)
    assert f"belongs to user number {OTHER}" in refusal(cli)


@needs_root
def test_the_owner_of_a_config_directory_is_trusted_with_it(cli: Cli) -> None:
    cli.plugin("mine", PLUGIN)
    give_away(cli.config)
    assert refusal(cli) == ""


@needs_root
def test_a_link_leads_to_no_code_of_others(cli: Cli) -> None:
    info = cli.plugin("mine", PLUGIN)
    source = info.with_name("mine.py")
    source.rename(cli.root / "theirs.py")
    source.symlink_to(cli.root / "theirs.py")
    os.chown(cli.root / "theirs.py", OTHER, OTHER)
    assert "theirs.py belongs to user" in refusal(cli)


@needs_root
def test_all_of_a_package_counts(cli: Cli) -> None:
    info = cli.plugin("mine", PLUGIN)
    package = info.with_name("mine")
    package.mkdir()
    info.with_name("mine.py").rename(package / "__init__.py")
    (package / "part.py").touch()
    (package / "part.py").chmod(0o666)
    assert "part.py" in reasons(cli)


@needs_root
def test_a_group_may_be_trusted(cli: Cli) -> None:
    import grp

    group = next(found for found in grp.getgrall() if found.gr_gid not in (0, os.getegid()))
    source = cli.plugin("mine", PLUGIN).with_name("mine.py")
    os.chown(source, 0, group.gr_gid)
    source.chmod(0o664)
    assert f"trusted_group: {group.gr_name}" in refusal(cli)
    settings = cli.home / ".pavilion" / "pavilion.yaml"
    settings.parent.mkdir()
    settings.write_text(f"trusted_group: {group.gr_name}\n")
    assert refusal(cli) == ""
    assert group.gr_name in cli("show", "config").out
    suite = cli.suite("a: {run: {cmds: ['true']}}")
    assert cli("run", suite).code == 0
    assert f"trusted_group: {group.gr_name}" in (cli.work / "series/s1/pavilion.yaml").read_text()


def test_a_plugin_file_that_is_a_pipe_stops_nobody(cli: Cli) -> None:
    os.mkfifo(cli.config / "plugins" / "bad.yapsy-plugin")
    assert "not a regular file" in reasons(cli)


def test_a_suite_that_is_a_pipe_stops_nobody(cli: Cli) -> None:
    os.mkfifo(cli.config / "suites" / "bad.yaml")
    start = time.monotonic()
    assert "not a regular file" in cli("run", "bad").err
    cli("show", "suites")
    assert time.monotonic() - start < 10
