"""Where the output of jobs goes, whatever characters the path of their log has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import Slurm as Cluster
from clusters import wait_until
from plugin_tools import Site, info, site_of

from pavilion.errors import SchedulerPluginError
from pavilion.schedulers.plugins.slurm.output import output_options, settle_output


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/a/b c/sched.log", ["--output=/a/b c/sched.log"]),
        ("/a/100%/%j.log", ["--output=/a/100%%/%%j.log"]),
        ("/a/x\\y/sched.log", ["--chdir=/a/x\\y"]),
        ("/a/x\\y/%j/sched.log", ["--chdir=/a/x\\y/%j"]),
    ],
)
def test_paths_are_no_patterns(path: str, options: list[str]) -> None:
    assert output_options(Path(path)) == options


@pytest.mark.parametrize("option", ["-o x", "-ox", "--output=x", "--output x", "-D /", "--chdir=/"])
def test_a_place_of_the_users_own_below_a_backslash(option: str) -> None:
    with pytest.raises(SchedulerPluginError) as caught:
        output_options(Path("/a/x\\y/sched.log"), ["--hold", option])
    for text in ("/a/x\\y/sched.log", repr(option), "without a backslash"):
        assert text in str(caught.value)
    # Elsewhere it is overruled, as it always was.
    assert output_options(Path("/a/sched.log"), [option]) == ["--output=/a/sched.log"]


@pytest.mark.parametrize("option", ["--open-mode=append", "--oversubscribe", "--dependency=x"])
def test_other_options_go_with_any_path(option: str) -> None:
    assert output_options(Path("/a/x\\y/sched.log"), [option]) == ["--chdir=/a/x\\y"]


def test_a_log_gets_its_name_once(tmp_path: Path) -> None:
    folder = tmp_path / "x\\y"
    folder.mkdir()
    script, written, log = (folder / name for name in ("kickoff.sh", "slurm-7.out", "sched.log"))
    settle_output(str(script), "7")
    assert not log.exists()
    written.write_text("first")
    settle_output("", "7")
    settle_output(str(script), "")
    settle_output(str(script), "8")
    assert not log.exists()
    settle_output(str(script), "7")
    assert log.read_text() == "first" and not written.exists()
    # What comes later does not take its place.
    written.write_text("second")
    settle_output(str(script), "7")
    assert log.read_text() == "first" and written.read_text() == "second"


def test_a_log_of_another_user_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "x\\y"
    folder.mkdir()
    (folder / "slurm-7.out").write_text("")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    settle_output(str(folder / "kickoff.sh"), "7")
    assert [path.name for path in folder.iterdir()] == ["slurm-7.out"]


@pytest.fixture
def odd_site(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site below a directory that Slurm cannot write in a pattern."""
    with site_of(slurm, monkeypatch, "back\\slash %j \\\\ 100%") as site:
        yield site


def test_what_slurm_says_of_a_job_is_in_its_log(odd_site: Site) -> None:
    before = {path.name for path in odd_site.cluster.folder.iterdir()}
    test = odd_site.start(work=odd_site.long)
    job = test.job
    assert job is not None
    wait_until(lambda: odd_site.status(test) and job.sched_log.exists(), "its log has its name")
    odd_site.cluster.ok("scancel", info(test)["id"])
    odd_site.wait_status(test, "SCHED_CANCELLED", "CANCELLED AT")
    # The job had the file open while it got its name.
    assert f"*** JOB {info(test)['id']} ON " in job.sched_log.read_text()
    # And no other tree of directories was made for it.
    assert {path.name for path in odd_site.cluster.folder.iterdir()} == before


def test_what_keeps_a_job_from_its_launch_is_in_its_log(odd_site: Site) -> None:
    said = odd_site.cluster.words["log of a failing prolog"].strip()
    odd_site.cluster.wait_idle("node03")
    odd_site.cluster.fail_prolog(True)
    try:
        test = odd_site.start({"include_nodes": "node03", "nodes": "1"})
        odd_site.wait_status(
            test, "SCHED_ERROR", "could not be launched on node03" + (f": {said}" if said else "")
        )
    finally:
        odd_site.cluster.fail_prolog(False)
