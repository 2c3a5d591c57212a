"""sbatch's own options in sbatch_extra: how they are read, and what they change."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugin_tools import Site, header, info, site_of

from pavilion.errors import SchedConfigError, SchedulerPluginError
from pavilion.schedulers import Slurm, validate_config
from pavilion.schedulers.plugins.slurm.extra import REFUSED, slurm_seconds
from pavilion.schedulers.plugins.slurm.header import Request, render
from pavilion.schedulers.plugins.slurm.options import Option, options_of, read_options
from pavilion.schedulers.time_limits import seconds_of, short_text


@pytest.fixture
def plugin() -> Any:
    from contract.fakes import active

    with active(Slurm()) as made:
        yield made


def settled(plugin: Slurm, *options: str, **schedule: Any) -> dict[str, Any]:
    schedule["slurm"] = {"sbatch_extra": list(options), **schedule.pop("slurm", {})}
    return plugin._settled(validate_config(schedule))


def lines(config: dict[str, Any]) -> list[str]:
    """The header of a job with this section whose nodes Slurm picks."""
    nodes, least = config["nodes"], config["min_nodes"]
    if nodes is None and config["tasks"] is None:
        nodes = 1
    request = Request(
        "t",
        config,
        least or nodes or 1,
        nodes,
        tuple(config["include_nodes"]),
        tuple(config["exclude_nodes"]),
    )
    return [line[len("#SBATCH ") :] for line in render(request)]


# --- How they are read ---


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("--ntasks=12", [("ntasks", "12")]),
        ("--ntasks 12", [("ntasks", "12")]),
        ("-n 12", [("ntasks", "12")]),
        ("-n12", [("ntasks", "12")]),
        ("--mem=20G --ntasks=12", [("mem", "20G"), ("ntasks", "12")]),
        ("-Hn12", [("hold", None), ("ntasks", "12")]),
        ("--exclusive", [("exclusive", None)]),
        ("--exclusive=user -N 2", [("exclusive", "user"), ("nodes", "2")]),
        ("--nice -p gpu", [("nice", None), ("partition", "gpu")]),
        ("-k -n 2", [("no-kill", None), ("ntasks", "2")]),
        ("--comment='two words'", [("comment", "two words")]),
        ('--comment "two words" -Q', [("comment", "two words"), ("quiet", None)]),
        ("--dep=afterok:3", [("dep", "afterok:3")]),
        ("--depend=afterok:3", [("dependency", "afterok:3")]),
        ("--reserv r1,r2", [("reservation", "r1,r2")]),
        ("--tasks-per-node=4", [("ntasks-per-node", "4")]),
        # Whether a value may be in the next word was tried with sbatch 22.05.8, 25.11 and 26.05.
        ("--export ALL,X=1 -n 2", [("export", "ALL,X=1"), ("ntasks", "2")]),
        ("--wait-all-nodes 1", [("wait-all-nodes", "1")]),
        ("--context x", [("context", "x")]),
        ("--oom-kill-step -n 2", [("oom-kill-step", None), ("ntasks", "2")]),
        ("--comm x", [("comment", "x")]),
        ("--cluster=c2", [("clusters", "c2")]),
        ("--not-yet-known=7", [("not-yet-known", "7")]),
        ("--not-yet-known 7 -n 2", [("not-yet-known", "7"), ("ntasks", "2")]),
        # Ambiguous for sbatch too, which says so.
        ("--ntask=2", [("ntask", "2")]),
    ],
)
def test_every_spelling_is_read(text: str, options: list[tuple[str, str | None]]) -> None:
    found = read_options(text)
    if text.startswith("--dep="):
        # 'dep' stands for dependency only where no release has another such name.
        assert found[0].value == "afterok:3"
    else:
        assert found == [Option(*option) for option in options]


@given(st.text(max_size=30))
def test_nothing_that_a_user_writes_crashes(text: str) -> None:
    options_of([text])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 1800),
        ("0:30", 60),
        ("10:30", 660),
        ("1:00:00", 3600),
        ("1-0", 86400),
        ("1-12:30", 131400),
        ("2-0:0:1", 172860),
        ("UNLIMITED", None),
        ("x", None),
        ("0", None),
    ],
)
def test_slurms_time_limits(text: str, seconds: int | None) -> None:
    assert slurm_seconds(text) == seconds


# --- What they change ---


@pytest.mark.parametrize(
    "option", ["--ntasks=12", "-n 12", "-n12", "--ntasks 12", "--mem=20G --ntasks=12"]
)
def test_a_number_of_tasks_takes_the_place_of_ours(plugin: Slurm, option: str) -> None:
    config = settled(plugin, option, nodes="1")
    assert config["tasks"] == 12
    text = lines(config)
    assert option in text
    assert not [line for line in text if "ntasks-per-node" in line]
    assert "--nodes 1" in text


@pytest.mark.parametrize(
    ("option", "key", "value", "gone"),
    [
        ("--ntasks-per-node=4", "tasks_per_node", 4, "--ntasks-per-node 1"),
        ("--tasks-per-node 4", "tasks_per_node", 4, "--ntasks-per-node 1"),
        ("-N 3", "nodes", 3, "--nodes 2"),
        ("--nodes=2-4", "min_nodes", 2, "--nodes 2"),
        ("-p gpu", "partition", "gpu", '-p "cpu"'),
        ("-q high", "qos", "high", '--qos "low"'),
        ("-Aacct", "account", "acct", '--account "mine"'),
        ("--reservation=r1", "reservation", "r1", '--reservation "r0"'),
        ("-S 2", "core_spec", "2", "--core-spec 1"),
        ("-x n[1-2]", "exclude_nodes", ["n1", "n2"], "-x n9"),
        ("-J mine", "nodes", 2, '--job-name "t"'),
        ("--requeue", "nodes", 2, "--no-requeue"),
    ],
)
def test_each_option_takes_the_place_of_our_line(
    plugin: Slurm, option: str, key: str, value: Any, gone: str
) -> None:
    ours = {
        "nodes": "2",
        "partition": "cpu",
        "qos": "low",
        "account": "mine",
        "reservation": "r0",
        "core_spec": "1",
        "exclude_nodes": "n9",
    }
    before = lines(settled(plugin, **ours))
    assert gone in before
    config = settled(plugin, option, **ours)
    assert config[key] == value
    after = lines(config)
    assert after == [line for line in before if line != gone] + [option]


def test_a_time_limit_is_what_plans_show(plugin: Slurm) -> None:
    config = settled(plugin, "--time=30")
    assert seconds_of(config["time_limit"]) == 1800
    assert not [line for line in lines(config) if line.startswith("-t ")]


@pytest.mark.parametrize("option", ["--time=UNLIMITED", "-t 0", "-t infinite"])
def test_no_time_limit(plugin: Slurm, option: str) -> None:
    config = settled(plugin, option)
    assert short_text(config["time_limit"]) == "unlimited"
    assert config["time_limit"] > 10**6
    assert lines(config)[-1] == option


@pytest.mark.parametrize(
    ("option", "features"),
    [
        ("-C a", ["a"]),
        ("--constraint=a&b", ["a", "b"]),
        ("-C '(a|b)&c'", ["a|b", "c"]),
        ("-C a|b", ["a|b"]),
        ("-C 'a|b&c'", []),
        ("-C '[a|b]'", []),
        ("-C 'a*2'", []),
    ],
)
def test_constraints_that_are_understood_choose_nodes(
    plugin: Slurm, option: str, features: list[str]
) -> None:
    config = settled(plugin, option, slurm={"features": ["z"]})
    assert config["slurm"]["features"] == features
    assert [line for line in lines(config) if "onstraint" in line or line.startswith("-C")] in (
        [option],
        [option.replace('"', "'")],
    )


def test_a_list_of_nodes(plugin: Slurm) -> None:
    config = settled(plugin, "-w n[1-2] --mem=1G")
    assert (config["include_nodes"], config["nodes"]) == (["n1", "n2"], 2)
    assert {"-w n[1-2]", "--nodes 2", "--mem=1G"} <= set(lines(config))
    # Where nodes were chosen, they are more than the user's.
    chosen = Request("t", config, 3, 3, ("n1", "n2", "n3"))
    assert [line for line in render(chosen) if "-w" in line] == ["#SBATCH -w n[1-3]"]
    with pytest.raises(SchedConfigError, match=r"names 2 nodes, and schedule.nodes requests 1"):
        settled(plugin, "-w n[1-2]", nodes="1")


def test_what_was_not_given_stays(plugin: Slurm) -> None:
    config = validate_config({"nodes": "2", "slurm": {"sbatch_extra": ["--mem=4G"]}})
    assert plugin._settled(config) == config
    same = validate_config({"nodes": "2"})
    assert plugin._settled(same) is same


@pytest.mark.parametrize(
    "option",
    [
        "--array=0-3",
        "-a0-3",
        "-a 0-3",
        "--arr 1",
        "--mem=4G --array=0",
        "--test-only",
        "--wait",
        "-W",
        "--wrap=hostname",
        "--help",
        "-h",
        "--usage",
        "--version",
        "-V",
        "-F nodes.txt",
        "--nodefile=x",
        "-w ./nodes.txt",
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(plugin: Slurm, option: str) -> None:
    with pytest.raises(SchedConfigError) as caught:
        settled(plugin, option)
    assert "sbatch_extra" in str(caught.value)
    assert any(reason in str(caught.value) for reason in REFUSED.values())


@pytest.mark.parametrize("option", ["--mem=4G : --mem=2G", "hetjob", "packjob", ": -n 2"])
def test_heterogeneous_jobs_are_refused(plugin: Slurm, option: str) -> None:
    with pytest.raises(SchedConfigError, match="heterogeneous"):
        settled(plugin, option)


def test_an_option_in_two_items(plugin: Slurm) -> None:
    with pytest.raises(SchedConfigError, match=r"'12' is not an option.*complete options"):
        settled(plugin, "-n", "12")


@pytest.mark.parametrize(
    "schedule", [{"tasks": "2", "nodes": "4"}, {"tasks": "1", "nodes": "3", "min_nodes": "2"}]
)
def test_fewer_tasks_than_nodes_are_refused(plugin: Slurm, schedule: dict[str, Any]) -> None:
    with pytest.raises(SchedConfigError, match=r"schedule\.tasks is"):
        settled(plugin, **schedule)
    assert settled(plugin, tasks="2", nodes="4", min_nodes="1")["tasks"] == 2


@pytest.mark.parametrize(
    ("key", "option"), [("partition", "-p"), ("reservation", "--reservation"), ("qos", "--qos")]
)
def test_blanks_in_a_list_of_names(plugin: Slurm, key: str, option: str) -> None:
    assert f'{option} "a,b"' in lines(settled(plugin, **{key: "a , b"}))


# --- With a Slurm ---


@pytest.fixture
def site(slurm: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    with site_of(slurm, monkeypatch, "options") as made:
        yield made


@pytest.mark.parametrize(
    ("options", "schedule", "recorded"),
    [
        (["--ntasks=3"], {"nodes": "1"}, {"num_tasks": "3", "num_nodes": "1"}),
        (["-n4 --mem=100"], {"nodes": "2"}, {"num_tasks": "4"}),
        (["-N 2"], {"nodes": "1"}, {"num_nodes": "2"}),
        (["--ntasks-per-node 2"], {"nodes": "2"}, {"num_tasks": "4"}),
        (["--time=30"], {}, {"time_limit": "30:00"}),
        (["-p alt"], {"partition": "main"}, {"partition": "alt"}),
    ],
)
def test_slurm_gets_what_the_user_asked_for(
    site: Site, options: list[str], schedule: dict[str, Any], recorded: dict[str, str]
) -> None:
    test = site.start({**schedule, "slurm": {"sbatch_extra": options}})
    found = site.recorded(test)
    # Of a job that waits, Slurm shows a range.
    found["num_nodes"] = found["num_nodes"].partition("-")[0]
    assert {key: found[key] for key in recorded} == recorded


@pytest.mark.parametrize(
    "schedule", [{"nodes": "all"}, {"nodes": "50%"}, {"nodes": "all", "chunking": {"size": "3"}}]
)
def test_fewer_tasks_than_a_share_of_the_nodes_are_refused(
    site: Site, schedule: dict[str, Any]
) -> None:
    test = site.test({**schedule, "tasks": "2"})
    plan = site.plugin.plan_tests([test])  # type: ignore[list-item]
    assert [error.tests for error in plan.errors] == [[test]] and not plan.jobs
    text = site.refused({**schedule, "tasks": "2"})
    # In the user's words, and not as a failure of the plugin's.
    assert "schedule.tasks is 2" in text and "_kickoff_lines" not in text
    site.start({"nodes": "all", "tasks": "2", "chunking": {"size": "2"}})


def test_a_list_of_partitions_with_a_blank(site: Site) -> None:
    assert site.recorded(site.start({"partition": "main, alt"}))["partition"] in (
        "main",
        "alt",
        "main,alt",
    )


def test_a_name_of_the_users_own(site: Site) -> None:
    test = site.start({"slurm": {"sbatch_extra": ["-J mine"]}})
    assert site.recorded(test)["name"] == "mine"
    assert not [line for line in header(test) if line.startswith("--job-name")]
    assert info(test)["name"] == "mine"
    other = site.start({"slurm": {"sbatch_extra": ["-J mine --comment=x"]}})
    assert site.recorded(other)["name"] == f"mine-{info(other)['token']}"


def test_a_refused_option_starts_nothing(site: Site) -> None:
    test = site.test({"slurm": {"sbatch_extra": ["--array=0-1"]}})
    errors = site.try_start(test)
    assert isinstance(errors[0], SchedulerPluginError)
    assert "one job" in errors[0].pformat()
    assert test.complete and test.job is None
