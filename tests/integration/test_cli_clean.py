"""``pav-sched clean`` and ``show series``: what goes, what stays, and what nobody may touch."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_tools import OTHER, SLEEPER, Cli, give_away, needs_root, signal_all, wait_until
from grid import QuickCli

from pavilion.cli.clean import size_text

QUICK = "test: {run: {cmds: ['true']}}"


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuickCli]:
    """Four series of a test that passed, to be copied."""
    made = QuickCli(tmp_path_factory.mktemp("four"))
    made.suite(QUICK)
    for _ in range(4):
        assert made.process("run", "suite").code == 0
    yield made
    made.kill_all()


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[QuickCli]:
    made = QuickCli(tmp_path)
    made.suite(QUICK)
    yield made
    made.kill_all()


def copy(four: QuickCli, cli: QuickCli, count: int = 1) -> None:
    """Let there be so many series that have ended, each with a job."""
    for number in range(1, count + 1):
        shutil.copytree(
            four.work / "series" / f"s{number}", cli.work / "series" / f"s{number}", symlinks=True
        )
        job = (four.test_path(f"s{number}.1") / "job").resolve()
        copied = cli.work / "jobs" / job.name
        shutil.copytree(job, copied)
        record = json.loads((copied / "tests.json").read_text())
        (copied / "tests.json").write_text(json.dumps(dict(record, working_dir=str(cli.work))))


def series(cli: Cli) -> list[str]:
    """The directories of series."""
    return sorted(path.name for path in (cli.work / "series").iterdir())


def jobs(cli: Cli) -> list[str]:
    return sorted(path.name for path in (cli.work / "jobs").iterdir())


def run(cli: QuickCli, target: str = "suite") -> None:
    assert cli.process("run", target).code == 0


def make_older(cli: Cli, days: float, *names: str) -> None:
    """Let series have been started earlier."""
    for name in names:
        file = cli.work / "series" / name / "series.json"
        record = json.loads(file.read_text())
        file.write_text(json.dumps(dict(record, created=time.time() - days * 86400)))


def age(path: Path, days: float = 3) -> None:
    when = time.time() - days * 86400
    for each in [*path.rglob("*"), path]:
        os.utime(each, (when, when), follow_symlinks=False)


def snapshot(*folders: Path) -> list[str]:
    return sorted(str(path) for folder in folders for path in folder.rglob("*"))


def test_it_shows_first_and_removes_nothing(four: QuickCli, cli: QuickCli) -> None:
    copy(four, cli, 2)
    before = snapshot(cli.work)
    done = cli("clean")
    assert done.code == 0
    assert [(row[0], *row[2:4]) for row in done.rows] == [("s2", "1", "1"), ("s1", "1", "1")]
    assert "2 series with 2 tests and 2 jobs: " in done.out
    assert "Nothing was removed. --remove removes them." in done.out
    assert snapshot(cli.work) == before
    found = cli("clean", "s1", "--json").json
    assert found["removed"] is False
    assert [(each["id"], each["kept"], each["removed"]) for each in found["series"]] == [
        ("s1", None, False)
    ]
    assert found["series"][0]["jobs"] == [(cli.test_path("s1.1") / "job").resolve().name]
    on_disk = subprocess.run(
        ["du", "-sk", cli.work / "series" / "s1", (cli.test_path("s1.1") / "job").resolve()],
        capture_output=True,
        check=True,
    ).stdout
    kib = sum(int(line.split()[0]) for line in on_disk.splitlines())
    assert found["series"][0]["bytes"] == kib * 1024


def test_it_removes_a_series_with_its_jobs(four: QuickCli, cli: QuickCli) -> None:
    copy(four, cli, 3)
    mine = (cli.test_path("s2.1") / "job").resolve().name
    done = cli("clean", "s2", "--remove")
    assert done.code == 0
    assert "1 series with 1 test and 1 job: " in done.out
    assert " removed." in done.out
    assert series(cli) == ["s1", "s3"]
    assert mine not in jobs(cli)
    assert len(jobs(cli)) == 2
    assert cli("status", "s1", "s3").code == 0
    assert cli("status", "s2").code == 2


def test_removing_needs_a_choice(four: QuickCli, cli: QuickCli) -> None:
    copy(four, cli)
    done = cli("clean", "--remove")
    assert done.code == 2
    assert "--older-than" in done.err
    assert cli("clean", "--all", "--keep", "1", "--remove").code == 2
    assert series(cli) == ["s1"]


def test_ids_are_not_used_again(four: QuickCli, cli: QuickCli) -> None:
    copy(four, cli, 2)
    assert cli("clean", "--all", "--remove").code == 0
    assert jobs(cli) == []
    done = cli("status", "s2")
    assert "There is no series s2" in done.err
    assert "removed with 'clean'" in done.err
    assert cli("status").code == 0
    assert cli("show", "series").rows == []
    assert cli("clean", "--all", "--remove").out == "There is nothing to remove.\n"
    run(cli)
    assert [row[0] for row in cli("status").rows] == ["s3.1"]
    # What kept the number has no more to keep.
    cli("clean", "--keep", "1", "--remove")
    assert series(cli) == ["s3"]


def test_a_series_that_fails_while_it_is_made_gives_no_id_free(
    four: QuickCli, cli: QuickCli
) -> None:
    """The only directory of a higher number goes when the disk is full; so another has to stay."""
    copy(four, cli)
    making = cli.work / "series" / "s2"
    making.mkdir()
    assert cli("clean", "--all", "--remove").code == 0
    assert series(cli) == ["s1", "s2"]
    making.rmdir()
    run(cli)
    assert series(cli) == ["s1", "s2"]
    assert cli("status", "s1").code == 2


@pytest.mark.parametrize(
    ("args", "going"),
    [
        (["--older-than", "7d"], ["s2", "s1"]),
        (["--older-than", "2w"], ["s1"]),
        (["--keep", "1"], ["s3", "s2", "s1"]),
        (["--keep", "9"], []),
        (["--keep", "2", "--older-than", "12h"], ["s2", "s1"]),
        (["s2-s4", "--older-than", "1d"], ["s3", "s2"]),
        (["s1", "s3"], ["s3", "s1"]),
        (["--all"], ["s4", "s3", "s2", "s1"]),
    ],
)
def test_choices(four: QuickCli, cli: QuickCli, args: list[str], going: list[str]) -> None:
    copy(four, cli, 4)
    for days, name in ((20, "s1"), (10, "s2"), (2, "s3")):
        make_older(cli, days, name)
    assert [row[0] for row in cli("clean", *args).rows] == going


@pytest.mark.parametrize("text", ["7", "7y", "-1d", "d", "1.5h", ""])
def test_bad_ages(cli: QuickCli, text: str) -> None:
    done = cli("clean", f"--older-than={text}")
    assert done.code == 2
    assert "12h (hours)" in done.err


def test_what_has_not_ended_is_kept(four: QuickCli, cli: QuickCli) -> None:
    cli.suite(SLEEPER, "sleeper")
    copy(four, cli)
    assert cli.process("run", "sleeper", "--detach").code == 0
    cli.wait_for_file(cli.test_path("s2.2") / "work" / "started")
    done = cli("clean", "--all", "--remove")
    assert done.code == 0
    assert [row[-1] for row in done.rows] == ["kept: s2.1 has not ended (RUNNING) and 1 more", ""]
    assert "1 series is kept" in done.out
    assert series(cli) == ["s2"]
    # Asked for by name, it is not what was asked for.
    assert cli("clean", "s2", "--remove").code == 1
    assert cli.process("cancel", "s2").code == 0
    assert cli("clean", "s2", "--remove").code == 0
    assert jobs(cli) == []


def test_the_job_of_a_cancelled_test_may_go_on(cli: QuickCli) -> None:
    """Its scheduler is queried: the test alone was marked as cancelled."""
    cli.suite(SLEEPER, "sleeper")
    assert cli.process("run", "sleeper.first", "--detach").code == 0
    cli.wait_for_file(cli.test_path("s1.1") / "work" / "started")
    # What a cancel leaves that could not reach the scheduler.  The job would notice it, and end.
    processes = cli.processes()
    signal_all(processes, signal.SIGSTOP)
    try:
        (cli.test_path("s1.1") / "RUN_COMPLETE").touch()
        done = cli("clean", "s1", "--remove")
    finally:
        signal_all(processes, signal.SIGCONT)
    assert done.code == 1
    assert "the job of s1.1 may not have ended" in done.out
    assert series(cli) == ["s1"]


def test_a_lost_test_is_found_to_have_ended(cli: QuickCli) -> None:
    """Its process is gone without a word."""
    cli.suite(SLEEPER, "sleeper")
    assert cli.process("run", "sleeper.first", "--detach").code == 0
    cli.wait_for_file(cli.test_path("s1.1") / "work" / "started")
    signal_all(cli.processes(), signal.SIGKILL)
    wait_until(lambda: cli("clean", "s1", "--remove").code == 0, "the loss being seen")
    assert jobs(cli) == []


def test_nothing_elsewhere_is_removed(cli: QuickCli) -> None:
    precious = cli.root / "precious"
    (precious / "sub").mkdir(parents=True)
    (precious / "sub" / "file").touch()
    cli.suite(f"""
        test:
          run:
            cmds:
              - ln -s '{precious}' link
              - ln '{precious}/sub/file' hard
              - mkdir -p a/b && touch a/b/c && ln -s ../../.. a/up && chmod 0 a/b && chmod 0500 a
              - mkfifo pipe
        """)
    run(cli)
    run(cli)
    link = cli.work / "series" / "s1" / "s1.2"
    link.symlink_to(precious)
    (cli.work / "series" / "s7").symlink_to(precious)
    (cli.work / "jobs" / "linked").symlink_to(precious)
    age(cli.work / "jobs" / "linked")
    before = snapshot(precious)
    done = cli("clean", "s1", "s2", "--remove")
    assert done.code in (0, 1), done.out
    assert cli("clean", "--all", "--remove").code in (0, 1)
    assert snapshot(precious) == before
    assert (cli.work / "series" / "s7").is_symlink()
    assert (cli.work / "jobs" / "linked").is_symlink()


def test_a_test_that_leads_elsewhere_takes_no_other_job_along(
    four: QuickCli, cli: QuickCli
) -> None:
    copy(four, cli, 2)
    kept = (cli.test_path("s2.1") / "job").resolve()
    link = cli.test_path("s1.1") / "job"
    link.unlink()
    link.symlink_to(f"../../../jobs/{kept.name}")
    assert cli("clean", "s1", "--remove").code == 0
    assert kept.is_dir()
    link = cli.test_path("s2.1") / "job"
    link.unlink()
    outside = cli.root / "outside"
    outside.mkdir()
    link.symlink_to(outside)
    assert cli("clean", "s2", "--remove").code == 0
    assert outside.is_dir()


def test_a_job_of_several_series_goes_with_the_last(four: QuickCli, cli: QuickCli) -> None:
    copy(four, cli, 2)
    job = (cli.test_path("s1.1") / "job").resolve()
    record = json.loads((job / "tests.json").read_text())
    (job / "tests.json").write_text(json.dumps(dict(record, tests=["s1.1", "s2.1"])))
    link = cli.test_path("s2.1") / "job"
    link.unlink()
    link.symlink_to(f"../../../jobs/{job.name}")
    assert cli("clean", "s1", "--remove").code == 0
    assert job.is_dir()
    assert cli("clean", "s2", "--remove").code == 0
    assert not job.exists()


@needs_root
def test_what_belongs_to_others_stays(four: QuickCli, cli: QuickCli) -> None:
    copy(four, cli, 3)
    for path in (cli.work / "series" / "s2", (cli.test_path("s2.1") / "job").resolve()):
        give_away(path)
    orphan = cli.work / "jobs" / "theirs"
    orphan.mkdir()
    os.chown(orphan, OTHER, OTHER)
    age(orphan)
    before = snapshot(cli.work / "series" / "s2", orphan)
    assert [row[0] for row in cli("clean").rows] == ["s3", "s1"]
    done = cli("clean", "s2", "--remove")
    assert done.code == 1
    assert f"kept: it belongs to {OTHER}" in done.out
    assert cli("clean", "--all", "--remove").code == 0
    assert snapshot(cli.work / "series" / "s2", orphan) == before
    assert orphan.is_dir()
    assert [(row[0], row[2]) for row in cli("show", "series").rows] == [("s2", str(OTHER))]


def test_an_interrupted_removal_is_finished(four: QuickCli, cli: QuickCli) -> None:
    copy(four, cli, 3)
    # As it is after the first step.
    folder = cli.work / "series" / "s1"
    (folder / "series.json").rename(folder / "removed.json")
    assert cli("status", "s1").code == 2
    done = cli("clean", "--older-than", "1h")
    assert [(row[0], row[-1]) for row in done.rows] == [
        ("series/s1", "the rest of a removed series")
    ]
    assert cli("clean", "--older-than", "1h", "--remove").code == 0
    assert series(cli) == ["s2", "s3"]
    assert len(jobs(cli)) == 2


def test_leftovers_go_when_they_are_old(four: QuickCli, cli: QuickCli) -> None:
    copy(four, cli)
    orphan = cli.work / "jobs" / "0123456789ab"
    orphan.mkdir()
    (orphan / "tests.json").write_text(
        json.dumps({"working_dir": str(cli.work), "tests": ["s77.1"]})
    )
    half = cli.work / "series" / "s2"
    (half / "s2.1").mkdir(parents=True)
    assert [row[0] for row in cli("clean", "--keep", "1").rows] == []
    age(orphan)
    age(half)
    assert [row[0] for row in cli("clean", "--keep", "1", "--older-than", "7d").rows] == []
    done = cli("clean", "--keep", "1")
    assert [(row[0], row[-1]) for row in done.rows] == [
        ("series/s2", "a series that was not made to the end"),
        ("jobs/0123456789ab", "a job without tests"),
    ]
    assert "2 leftovers" in done.out
    # Those that are named mean no others.
    assert [row[0] for row in cli("clean", "s1").rows] == ["s1"]
    assert cli("clean", "--keep", "1", "--remove").code == 0
    assert not orphan.exists()
    # Its number was the highest.
    assert [path.name for path in half.iterdir()] == ["removed.json"]


def test_several_at_once(four: QuickCli, cli: QuickCli) -> None:
    """Runs, looks and removals do not disturb one another."""
    copy(four, cli, 4)
    started = [
        cli.start(*args)
        for args in (
            ["clean", "s1-s4", "--remove"],
            ["clean", "s1-s4", "--remove"],
            ["run", "suite"],
            ["status", "s1-s4"],
            ["show", "series"],
        )
    ]
    outputs = [process.communicate(timeout=60) for process in started]
    for process, (out, err) in zip(started, outputs):
        assert process.returncode in (0, 1, 2), out + err
        assert "Traceback" not in err
        assert "bug" not in err
    assert started[2].returncode == 0, outputs[2]
    assert cli("clean", "--keep", "1", "--remove").code == 0
    assert series(cli) == ["s5"]
    assert len(jobs(cli)) == 1


def test_a_damaged_series_can_be_removed(four: QuickCli, cli: QuickCli) -> None:
    copy(four, cli, 2)
    (cli.work / "series" / "s1" / "series.json").write_text("{")
    shown = {row[0]: row[-1] for row in cli("show", "series").rows}
    assert shown["s1"].startswith("cannot be read: ")
    assert cli("clean", "s1", "--remove").code == 0
    assert series(cli) == ["s2"]
    assert len(jobs(cli)) == 1


def test_unknown_ids(four: QuickCli, cli: QuickCli) -> None:
    copy(four, cli, 2)
    for word, says in (("s9", "no series s9"), ("s1.1", "not an id"), ("all", "not an id")):
        done = cli("clean", "s1", word, "--remove")
        assert done.code == 2
        assert says in done.err
    assert series(cli) == ["s1", "s2"]


def test_sizes() -> None:
    assert [size_text(number) for number in (0, 1023, 4096, 5 * 2**30, 3 * 2**50)] == [
        "0 B",
        "1023 B",
        "4.0 KiB",
        "5.0 GiB",
        "3072.0 TiB",
    ]


# -------------------------------------------------------------------------------- show series


def test_the_table_of_series(four: QuickCli, cli: QuickCli) -> None:
    cli.suite("a: {run: {cmds: ['true']}}\nb: {run: {cmds: ['false']}}", "two")
    copy(four, cli)
    assert cli.process("run", "two", "suite").code == 1
    assert cli("show", "series").out.splitlines()[0].split("\t")[:3] == ["ID", "STARTED", "OWNER"]
    assert [[row[0], *row[3:]] for row in cli("show", "series").rows] == [
        ["s2", "3", "2", "1", "0", "0", "two suite"],
        ["s1", "1", "1", "0", "0", "0", "suite"],
    ]
    found = cli("show", "series", "s1-s2", "--json").json["series"]
    assert [(each["id"], each["tests"], each["passed"]) for each in found] == [
        ("s2", 3, 2),
        ("s1", 1, 1),
    ]
    done = cli("show", "series", "s1", "s8")
    assert done.code == 2
    assert [row[0] for row in done.rows] == ["s1"]
    assert "no series s8" in done.err


def test_only_the_newest_series_unless_all(four: QuickCli, cli: QuickCli) -> None:
    copy(four, cli)
    for number in range(2, 31):
        shutil.copytree(cli.work / "series" / "s1", cli.work / "series" / f"s{number}")
    done = cli("show", "series")
    assert [row[0] for row in done.rows] == [f"s{number}" for number in range(30, 10, -1)]
    assert "--all" in done.err
    assert cli("show", "series", "--json").json["more"] is True
    assert len(cli("show", "series", "--all").rows) == 30


@pytest.mark.parametrize(
    "made_up",
    [
        {},
        [],
        {"tests": "many"},
        {"tests": 10**9},
        {"tests": 1, "created": "x", "targets": 5},
        {"tests": 2, "targets": ["\x1b[31m", 7], "created": 1e300},
    ],
)
def test_made_up_series_stop_nobody(four: QuickCli, cli: QuickCli, made_up: Any) -> None:
    copy(four, cli)
    (cli.work / "series" / "s2").mkdir()
    (cli.work / "series" / "s2" / "series.json").write_text(json.dumps(made_up))
    (cli.work / "series" / "s3").mkdir()
    (cli.work / "series" / "s4").write_text("")
    (cli.work / "series" / "s5").symlink_to("s1")
    done = cli("show", "series")
    assert done.code == 0
    assert "\x1b" not in done.out
    assert [row[0] for row in done.rows] == ["s5", "s4", "s2", "s1"]
    assert cli("show", "series", "--json").code == 0
    assert cli("clean").code == 0
