"""Submitting through the plugin: what reaches Slurm, and what never does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from clusters import Slurm as Cluster
from clusters import wait_until
from plugin_tools import Site, header, info, script, site_of

from pavilion.schedulers.placement import hostlists
from pavilion.schedulers.plugins.slurm.submit import LOG_FN, read_token


@pytest.fixture
def site(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with site_of(slurm, monkeypatch) as made:
        yield made


# --- Every option reaches the job ---


# Schedule section -> what Slurm recorded. Numbers of nodes: '2-4' while it waits, then '4'.
RECORDED: list[tuple[dict[str, Any], dict[str, str]]] = [
    (
        {},
        {
            "num_nodes": "1",
            "num_tasks": "1",
            "ntasks_per_node": "1",
            "partition": "main",
            "time_limit": "1:00:00",
            "reservation": "",
            "include_nodes": "",
        },
    ),
    (
        {"nodes": "2", "tasks_per_node": "3"},
        {"num_nodes": "2-2", "ntasks_per_node": "3", "num_tasks": "6"},
    ),
    ({"nodes": "3", "tasks_per_node": "all"}, {"ntasks_per_node": "4", "num_nodes": "3-3"}),
    ({"nodes": "2", "tasks_per_node": "50%"}, {"ntasks_per_node": "2"}),
    ({"nodes": "2", "tasks_per_node": "25%", "min_tasks_per_node": "3"}, {"ntasks_per_node": "3"}),
    ({"nodes": "all", "partition": "alt"}, {"num_nodes": "4-4", "partition": "alt"}),
    ({"nodes": "2", "tasks": "5"}, {"num_nodes": "2-2", "num_tasks": "5"}),
    ({"time_limit": "2", "partition": "alt"}, {"time_limit": "2:00:00"}),
    ({"account": "science"}, {"account": "science"}),
    ({"slurm": {"features": ["odd"]}}, {"features": "odd"}),
    ({"slurm": {"features": ["odd|a", "a"]}}, {"features": "(odd|a)&a"}),
    (
        {"include_nodes": "node[02-03]", "nodes": "3"},
        {"include_nodes": "node[02-03]", "num_nodes": "3-3"},
    ),
    # The user's own options come last, and count.
    ({"slurm": {"sbatch_extra": ["--time=0:30:00", "-D /tmp"]}}, {"time_limit": "30:00"}),
]


def test_options_are_what_slurm_recorded(site: Site) -> None:
    wrong = []
    for schedule, expected in RECORDED:
        test = site.start(schedule)
        found = site.recorded(test)
        assert found["comment"] == info(test)["token"]
        assert found["name"] == f"pav_{test.name}"
        for key, value in expected.items():
            allowed = {value, value.split("-")[-1]} if key == "num_nodes" else {value}
            if key == "include_nodes":
                found[key] = hostlists.fold(site.plugin.parse_node_list(found[key]))
            if found[key] not in allowed:
                wrong.append((schedule, key, found[key], value))
    assert wrong == []


def test_a_range_of_nodes_reaches_the_job(site: Site) -> None:
    # All nodes of the partition but two are busy, so the job gets fewer than it would like: two,
    # if nothing else runs there.
    site.cluster.wait_idle()
    site.start({"nodes": "4", "tasks_per_node": "all"}, work=site.long)
    test = site.start({"nodes": "4", "min_nodes": "2", "tasks_per_node": "all"}, work=site.long)
    assert "--nodes 2-4" in header(test)
    site.wait_status(test, "SCHED_STARTUP", " on node[05-06]")


def test_qos_reaches_sbatch(site: Site) -> None:
    test = site.start({"qos": "high"})
    # A cluster without accounting takes any, and records none.
    assert '--qos "high"' in header(test)


def test_a_reservation_reaches_the_job(site: Site) -> None:
    site.cluster.reserve("weekly", ["node01", "node02"])
    test = site.start({"nodes": "2", "reservation": "weekly"}, work=site.long)
    assert site.recorded(test)["reservation"] == "weekly"
    assert site.wait_status(test, "SCHED_STARTUP", "node[01-02]")


def test_excluded_nodes_are_not_used(site: Site) -> None:
    tests = [
        site.start(
            {"nodes": "1", "tasks_per_node": "all", "exclude_nodes": "node[01-04]"}, work=site.long
        )
        for _ in range(2)
    ]
    for test in tests:
        site.wait_status(test, "SCHED_STARTUP", " on ")
    assert {site.jobs()[info(test)["id"]].data["nodes"] for test in tests} == {"node05", "node06"}


def test_core_spec_reaches_sbatch(site: Site) -> None:
    # Clusters without reserved cores record none, so this is the last place to see it.
    assert "--core-spec 1" in header(site.start({"core_spec": "1"}))


# --- Nodes are only named where somebody chose them ---


def test_nodes_are_given_only_where_they_were_chosen(site: Site) -> None:
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"nodes": "2"}, []),
        ({"nodes": "2", "partition": "alt"}, []),
        ({"nodes": "2", "exclude_nodes": "node01"}, []),
        ({"nodes": "2", "include_nodes": "node03"}, ["-w node03"]),
        ({"nodes": "2", "across_nodes": "node[02-05]"}, ["-w node[02-03]"]),
        ({"nodes": "2", "chunking": {"size": "3"}}, ["-w node[01-02]"]),
    ]
    for schedule, given in cases:
        lines = header(site.start(schedule))
        assert [line for line in lines if line.startswith("-w")] == given, schedule


def test_a_chunk_is_where_the_job_runs(site: Site) -> None:
    test = site.test({"nodes": "all", "chunking": {"size": "2"}}, work=site.long)
    test.config["chunk"] = "1"
    assert site.try_start(test) == []
    site.wait_status(test, "SCHED_STARTUP", "node[03-04]")


# --- What a job's folder holds ---


def test_the_jobs_output_and_what_sbatch_said_are_in_its_folder(site: Site) -> None:
    test = site.start(work='echo "to the kickoff log: $*"')
    job = test.job
    assert job is not None
    wait_until(
        lambda: job.kickoff_log.exists()
        and "kickoff log: _run s1.1" in job.kickoff_log.read_text(),
        "the job ran",
    )
    log = (job.path / LOG_FN).read_text()
    assert "sbatch --parsable" in log and log.rstrip().endswith(info(test)["id"])
    assert info(test)["token"] == read_token(job.path)[0]
    assert job.sched_log.exists()
    assert set(info(test)) == {"id", "sys_name", "token", "user", "when", "script", "name"}
    assert all(isinstance(value, str) for value in info(test).values())


def test_several_tests_share_one_job(site: Site) -> None:
    tests = [site.test({"nodes": "all"}) for _ in range(3)]
    assert site.try_start(*tests) == []
    assert {info(test)["id"] for test in tests} == {info(tests[0])["id"]}
    assert "pav _run s1.1 s1.2 s1.3" in script(tests[0])
    assert site.recorded(tests[0])["name"] == "pav_suite.test1,suite.test2,suite.test3"


# --- What Slurm refuses ---


# Options -> what sbatch says, and the hint that goes with it.
REFUSED = [
    (
        "-p nosuch",
        "invalid partition specified: nosuch",
        "'sinfo -a' lists the partitions (schedule.partition)",
    ),
    (
        "--reservation=nosuch",
        "Requested reservation is invalid",
        "'scontrol show reservation' lists the reservations (schedule.reservation)",
    ),
    (
        "-C nosuch",
        "Invalid feature specification",
        "'sinfo -a -O Features' lists the features (schedule.slurm.features)",
    ),
    ("-w nosuch", "Invalid node name specified", "see include_nodes and exclude_nodes"),
    ("--time=soon", "Invalid --time specification", ""),
    (
        "--no-such-option",
        "unrecognized option '--no-such-option'",
        "see schedule.slurm.sbatch_extra",
    ),
]


@pytest.mark.parametrize(("option", "said", "hint"), REFUSED)
def test_an_error_of_sbatch_is_told_word_for_word(
    site: Site, option: str, said: str, hint: str
) -> None:
    test = site.test({"slurm": {"sbatch_extra": [option]}})
    errors = site.try_start(test)
    assert [error.tests for error in errors] == [[test]]
    text = str(errors[0])
    job = test.job
    assert job is not None
    assert said in text and str(job.kickoff_path) in text
    assert (f"Hint: {hint}." in text) if hint else "Hint" not in text
    assert test.status.current().state == "SCHED_ERROR" and test.complete
    # All that sbatch said is in the job's folder, with the command.
    log = (job.path / LOG_FN).read_text()
    assert said in log and str(job.kickoff_path) in log
    assert f"pav_{test.name}" not in {
        job.data["name"] for job in site.jobs().values() if job.state == "PENDING"
    }


def test_one_job_that_is_refused_does_not_stop_the_others(site: Site) -> None:
    good, bad = site.test(), site.test({"slurm": {"sbatch_extra": ["-p nosuch"]}})
    errors = site.try_start(bad, good)
    assert [error.tests for error in errors] == [[bad]]
    assert info(good)["id"] and good.fake_states == ["SCHEDULED"]


# --- Hostile text ---

EVIL = [
    "blank name",
    "a'quote",
    'a "double"',
    "$(touch MARK)",
    "`touch MARK`",
    "; touch MARK",
    "ünïcödé-☃",
    "#SBATCH -p nosuch",
    "-p nosuch",
    "100%j",
    "back\\slash",
    "a&b|c>d",
    "new\nline\ntouch MARK",
    "a\n#SBATCH -p nosuch",
    "tab\there",
    "* ? [x]",
    "$HOME",
    "~",
    "!x",
    "x" * 3000,
]


def evil(mark: Path) -> list[str]:
    """Texts that do harm where they are not quoted: the file MARK appears."""
    return [text.replace("MARK", str(mark)) for text in EVIL]


def test_names_of_tests_cannot_do_harm(site: Site) -> None:
    mark = site.cluster.folder / "MARK"
    tests = [site.start(name=name, work=site.long) for name in evil(mark)]
    for test in tests:
        name = site.recorded(test)["name"]
        assert re.fullmatch(r"pav_[A-Za-z0-9_.,:;+@=-]{1,200}", name), name
    site.release()
    for test in tests:
        site.wait_status(test, "SCHED_ERROR", "ended normally")
    assert not mark.exists()


BAD_VALUES = [
    'x" -w node01',
    "x\n#SBATCH -p alt",
    "x\ntouch MARK",
    "x\\",
    "x\x00y",
    "x\ry",
    "x\x1b[2J",
]


@pytest.mark.parametrize("key", ["partition", "qos", "account", "core_spec", "features", "extra"])
def test_values_that_cannot_be_handed_over_are_refused(site: Site, key: str) -> None:
    mark = site.cluster.folder / "MARK"
    for value in BAD_VALUES:
        value = value.replace("MARK", str(mark))
        schedule: dict[str, Any] = {key: value}
        named = f"schedule.{key}"
        if key == "features":
            schedule, named = {"slurm": {"features": [value]}}, f"no feature {value!r}"
        if key == "extra":
            schedule, named = {"slurm": {"sbatch_extra": [f"--comment={value}"]}}, "sbatch_extra"
        if key == "partition":
            named = f'partition is not "{value}"'
        text = site.refused(schedule)
        # Messages are indented.
        assert "".join(named.split()) in "".join(text.split()), (value, text)
    # sbatch was not even called.
    assert site.plugin._client.submitting.count() == 0
    assert not mark.exists()


def test_odd_values_are_recorded_as_they_are(site: Site) -> None:
    mark = site.cluster.folder / "MARK"
    tests = {
        text: site.start({"account": text}, work=site.long)
        for text in (
            f"$(touch {mark})",
            f"`touch {mark}`",
            f"; touch {mark} #",
            "a b",
            "grün-☃",
            "a & b | c",
            f"x > {mark}",
        )
    }
    for text, test in tests.items():
        # Slurm writes accounts in lower case.
        assert site.recorded(test)["account"].lower() == text.lower()
    site.release()
    for test in tests.values():
        site.wait_status(test, "SCHED_ERROR", "ended normally")
    assert not mark.exists()


def test_odd_folders(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = slurm.folder / "MARK"
    # No slashes: they are names of folders.
    names = EVIL[:-1]
    sites = ExitStack()
    started = []
    for name in names:
        site = sites.enter_context(site_of(slurm, monkeypatch, f"odd/{name}"))
        started.append((name, site, site.start(work=f'echo "runs $*"; {site.long}')))
    for name, site, test in started:
        site.release()
        site.wait_status(test, "SCHED_ERROR", "ended normally")
        job = test.job
        assert job is not None
        assert "runs _run s1.1" in job.kickoff_log.read_text(), name
        assert job.sched_log.exists(), name
    marks = [mark, *slurm.folder.rglob("MARK")]
    assert not any(path.exists() for path in marks)
    sites.close()
