"""Submitting through the plugin: what reaches Slurm, and what never does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from clusters import Slurm as Cluster
from clusters import wait_until
from plugin_tools import Site, header, info, script, site_of

from pavilion.schedulers.plugins.slurm.submit import LOG_FN, TOKEN_FN


@pytest.fixture
def site(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with site_of(slurm, monkeypatch) as made:
        yield made


# --- Every option reaches the job ---


@pytest.mark.parametrize(("schedule", "recorded"), [
    ({}, {"num_nodes": "1", "num_tasks": "1", "ntasks_per_node": "1", "partition": "main",
          "time_limit": "1:00:00"}),
    ({"nodes": "2", "tasks_per_node": "3"},
     {"num_nodes": "2-2", "ntasks_per_node": "3", "num_tasks": "6"}),
    ({"nodes": "3", "tasks_per_node": "all"}, {"ntasks_per_node": "4", "num_nodes": "3-3"}),
    ({"nodes": "2", "tasks_per_node": "50%"}, {"ntasks_per_node": "2"}),
    ({"nodes": "2", "tasks_per_node": "25%", "min_tasks_per_node": "3"}, {"ntasks_per_node": "3"}),
    ({"nodes": "2", "tasks_per_node": "2", "min_tasks_per_node": "1"}, {"ntasks_per_node": "2"}),
    ({"nodes": "4", "min_nodes": "2"}, {"num_nodes": "2-4"}),
    ({"nodes": "all", "partition": "alt"}, {"num_nodes": "4-4", "partition": "alt"}),
    ({"nodes": "2", "tasks": "5"}, {"num_nodes": "2-2", "num_tasks": "5"}),
    ({"time_limit": "2", "partition": "alt"}, {"time_limit": "2:00:00"}),
    ({"qos": "high", "account": "science"}, {"qos": "high", "account": "science"}),
    ({"slurm": {"features": ["a", "odd|nosuch"]}, "partition": "alt"}, None),
    ({"slurm": {"features": ["odd"]}}, {"features": "odd"}),
    ({"slurm": {"features": ["odd|a", "a"]}}, {"features": "(odd|a)&a"}),
    ({"include_nodes": "node[02-03]", "nodes": "3"},
     {"include_nodes": "node[02-03]", "num_nodes": "3-3"}),
    ({"slurm": {"sbatch_extra": ["--time-min=5", "-D /tmp"]}}, {"time_limit": "1:00:00"}),
], ids=str)
def test_options_are_what_slurm_recorded(site: Site, schedule: dict[str, Any],
                                         recorded: dict[str, str] | None) -> None:
    # The list of options is that of the documentation; 'odd|nosuch' is refused by Slurm.
    if recorded is None:
        assert "Invalid feature specification" in site.refused(schedule)
        return
    test = site.start(schedule, pav="sleep 60")
    found = site.recorded(test)
    ranges = {"num_nodes"}
    for key, value in recorded.items():
        shown = found[key]
        if key in ranges:
            # '2-2' while it waits, '2' while it runs.
            assert shown in (value, value.split("-")[-1]), (key, found)
        else:
            assert shown == value, (key, found)
    assert found["comment"] == info(test)["token"]
    assert found["name"] == "pav_suite.test1"


def test_a_reservation_reaches_the_job(site: Site) -> None:
    site.cluster.reserve("weekly", ["node01", "node02"])
    test = site.start({"nodes": "2", "reservation": "weekly"}, pav="sleep 60")
    assert site.recorded(test)["reservation"] == "weekly"
    assert site.wait_status(test, "SCHED_STARTUP", "node[01-02]")


def test_excluded_nodes_are_not_used(site: Site) -> None:
    site.host.pav("echo ran; sleep 60")
    tests = [site.start({"nodes": "1", "tasks_per_node": "all", "exclude_nodes": "node[01-04]"})
             for _ in range(2)]
    for test in tests:
        site.wait_status(test, "SCHED_STARTUP", " on ")
    assert {site.jobs()[info(test)["id"]].data["nodes"] for test in tests} == {"node05", "node06"}


def test_core_spec_reaches_sbatch(site: Site) -> None:
    # Clusters without reserved cores record none, so this is the last place to see it.
    assert "--core-spec 1" in header(site.start({"core_spec": "1"}))


def test_the_users_own_options_come_last_and_count(site: Site) -> None:
    test = site.start({"time_limit": "1", "slurm": {"sbatch_extra": ["--time=0:30:00"]}},
                      pav="sleep 60")
    assert header(test)[-1] == "--time=0:30:00"
    assert site.recorded(test)["time_limit"] == "30:00"


# --- Nodes are only named where somebody chose them ---


@pytest.mark.parametrize(("schedule", "given"), [
    ({"nodes": "2"}, None),
    ({"nodes": "2", "partition": "alt"}, None),
    ({"nodes": "2", "exclude_nodes": "node01"}, None),
    ({"nodes": "2", "include_nodes": "node03"}, "-w node03"),
    ({"nodes": "2", "across_nodes": "node[02-05]"}, "-w node[02-03]"),
    ({"nodes": "2", "chunking": {"size": "3"}}, "-w node[01-02]"),
], ids=str)
def test_nodes_are_given_only_where_they_were_chosen(
        site: Site, schedule: dict[str, Any], given: str | None) -> None:
    lines = header(site.start(schedule))
    assert [line for line in lines if line.startswith("-w")] == ([given] if given else [])


def test_a_chunk_is_where_the_job_runs(site: Site) -> None:
    test = site.test({"nodes": "all", "chunking": {"size": "2"}})
    test.config["chunk"] = "1"
    site.host.pav("sleep 60")
    assert site.try_start(test) == []
    site.wait_status(test, "SCHED_STARTUP", "node[03-04]")


# --- What a job's folder holds ---


def test_the_jobs_output_and_what_sbatch_said_are_in_its_folder(site: Site) -> None:
    test = site.start(pav='echo "to the kickoff log: $*"')
    job = test.job
    assert job is not None
    wait_until(lambda: job.kickoff_log.exists() and "kickoff log: _run s1.1"
               in job.kickoff_log.read_text(), "the job ran")
    log = (job.path / LOG_FN).read_text()
    assert "sbatch --parsable" in log and log.rstrip().endswith(info(test)["id"])
    assert info(test)["token"] in (job.path / TOKEN_FN).read_text()
    assert job.sched_log.exists()
    assert set(info(test)) == {"id", "sys_name", "token", "user"}
    assert all(isinstance(value, str) for value in info(test).values())


def test_several_tests_share_one_job(site: Site) -> None:
    tests = site.host.tests(3, {"nodes": "all"})
    for test in tests:
        test.scheduler = "slurm"
    site.host.pav('echo "$*"')
    assert site.try_start(*tests) == []
    assert {info(test)["id"] for test in tests} == {info(tests[0])["id"]}
    assert "pav _run s1.1 s1.2 s1.3" in script(tests[0])
    assert site.recorded(tests[0])["name"] == "pav_suite.test1,suite.test2,suite.test3"


# --- What Slurm refuses ---


@pytest.mark.parametrize(("schedule", "said", "hint"), [
    ({"slurm": {"sbatch_extra": ["-p nosuch"]}}, "invalid partition specified: nosuch",
     "'sinfo -a' lists the partitions (schedule.partition)"),
    ({"slurm": {"sbatch_extra": ["--reservation=nosuch"]}}, "Requested reservation is invalid",
     "'scontrol show reservation' lists the reservations (schedule.reservation)"),
    ({"slurm": {"sbatch_extra": ["-C nosuch"]}}, "Invalid feature specification",
     "'sinfo -a -O Features' lists the features (schedule.slurm.features)"),
    ({"slurm": {"sbatch_extra": ["-w nosuch"]}}, "Invalid node name specified",
     "see include_nodes and exclude_nodes"),
    ({"slurm": {"sbatch_extra": ["--time=soon"]}}, "Invalid --time specification", ""),
    ({"slurm": {"sbatch_extra": ["--no-such-option"]}},
     "unrecognized option '--no-such-option'", "see schedule.slurm.sbatch_extra"),
    ({"slurm": {"sbatch_extra": ["--ntasks-per-node=99"]}},
     "Requested node configuration is not available", "as many CPUs or tasks"),
], ids=str)
def test_an_error_of_sbatch_is_told_word_for_word(site: Site, schedule: dict[str, Any],
                                                  said: str, hint: str) -> None:
    before = set(site.jobs())
    test = site.test(schedule)
    errors = site.try_start(test)
    assert [error.tests for error in errors] == [[test]]
    text = str(errors[0])
    job = test.job
    assert job is not None
    assert said in text and str(job.kickoff_path) in text
    assert (f"Hint: {hint}" in text) or hint in text
    assert test.status.current().state == "SCHED_ERROR" and test.complete
    # All that sbatch said is in the job's folder, with the command.
    log = (job.path / LOG_FN).read_text()
    assert said in log and str(job.kickoff_path) in log
    assert set(site.jobs()) == before


def test_one_job_that_is_refused_does_not_stop_the_others(site: Site) -> None:
    good, bad = site.test(), site.test({"slurm": {"sbatch_extra": ["-p nosuch"]}})
    errors = site.try_start(bad, good)
    assert [error.tests for error in errors] == [[bad]]
    assert info(good)["id"] and good.fake_states == ["SCHEDULED"]


# --- Hostile text ---

EVIL = ["blank name", "a'quote", 'a "double"', "$(touch MARK)", "`touch MARK`", "; touch MARK",
        "ünïcödé-☃", "#SBATCH -p nosuch", "-p nosuch", "100%j", "back\\slash", "new\nline\ntouch",
        "a\n#SBATCH -p nosuch", "tab\there", "* ? [x]", "x" * 3000]


@pytest.mark.parametrize("name", EVIL, ids=lambda name: ascii(name[:20]))
def test_a_tests_name_cannot_do_harm(site: Site, name: str) -> None:
    mark = site.cluster.folder / "MARK"
    name = name.replace("MARK", str(mark))
    test = site.start(pav="true", name=name)
    recorded = site.recorded(test)["name"]
    assert re.fullmatch(r"pav_[A-Za-z0-9_.,:;+@=-]{1,200}", recorded)
    site.wait_status(test, "SCHED_ERROR", "ended in order")
    assert not mark.exists()


@pytest.mark.parametrize("key", ["partition", "qos", "account", "core_spec", "features", "extra"])
@pytest.mark.parametrize("value", [
    'x" -w node01', "x\n#SBATCH -p alt", "x\ntouch MARK", "x\\", "x\x00", "x\r", "x\x1b[2J"],
    ids=ascii)
def test_a_value_that_cannot_be_handed_over_is_refused(
        site: Site, key: str, value: str) -> None:
    mark = site.cluster.folder / "MARK"
    value = value.replace("MARK", str(mark))
    schedule: dict[str, Any] = {key: value}
    if key == "features":
        schedule = {"slurm": {"features": [value]}}
    if key == "extra":
        schedule = {"slurm": {"sbatch_extra": [f"--comment={value}"]}}
        key = "sbatch_extra"
    before = set(site.jobs())
    text = site.refused(schedule)
    assert key in text or "Insufficient nodes" in text, text
    assert set(site.jobs()) == before
    assert not mark.exists()


@pytest.mark.parametrize("key", ["qos", "account"])
@pytest.mark.parametrize("value", ["$(touch MARK)", "`touch MARK`", "; touch MARK #", "a b",
                                   "grün-☃", "a & b | c", "{} > MARK"], ids=ascii)
def test_odd_values_are_recorded_as_they_are(site: Site, key: str, value: str) -> None:
    mark = site.cluster.folder / "MARK"
    value = value.replace("MARK", str(mark))
    test = site.start({key: value}, pav="true")
    assert site.recorded(test)[key] == value.lower() or site.recorded(test)[key] == value
    site.wait_status(test, "SCHED_ERROR", "ended in order")
    assert not mark.exists()


@pytest.mark.parametrize("folder", [
    "with blanks", "it's", 'a "b"', "$(touch MARK)", "`touch MARK`", "; touch MARK", "grün-☃",
    "100%j%A", "back\\slash", "-p", "#x", "*?[a]", "$HOME", "a&b|c>d", "~", "!x"], ids=ascii)
def test_odd_folders(slurm: Cluster, monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    marks = [slurm.folder / "MARK", slurm.folder / folder / "MARK"]
    monkeypatch.chdir(slurm.folder)
    with site_of(slurm, monkeypatch, folder) as site:
        test = site.start(pav='echo "runs $*"')
        job = test.job
        assert job is not None
        site.wait_status(test, "SCHED_ERROR", "ended in order")
        assert "runs _run s1.1" in job.kickoff_log.read_text()
        assert job.sched_log.exists()
        assert not any(mark.exists() for mark in marks)


def test_a_folder_with_a_line_end(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """It works, or it is refused with a clear error: never half of it."""
    with site_of(slurm, monkeypatch, "a\ntouch MARK\n") as site:
        monkeypatch.chdir(slurm.folder)
        test = site.test()
        errors = site.try_start(test)
        if errors:
            assert "line end" in str(errors[0])
        else:
            site.wait_status(test, "SCHED_ERROR", "ended in order")
            assert test.job is not None and test.job.kickoff_log.exists()
        assert not (slurm.folder / "MARK").exists()
