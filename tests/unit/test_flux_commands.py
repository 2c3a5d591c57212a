"""The commands and lines that the flux plugin makes, and its section of the configuration."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from contract.fakes import active
from pavilion.errors import PavilionError
from pavilion.schedulers import Flux, ScheduleConfig, validate_config
from pavilion.schedulers.batch import Request, Submission
from pavilion.schedulers.batch.directives import render
from pavilion.schedulers.plugins.flux import FluxVars

TOKEN = "pav-0123456789abcdef"


@pytest.fixture
def plugin() -> Any:
    with active(Flux()) as made:
        yield made


def header(plugin: Flux, least: int = 1, most: int | None = 1, **more: Any) -> list[str]:
    """The lines for a job of this section."""
    names = {key: tuple(more.pop(key, ())) for key in ("include_nodes", "exclude_nodes")}
    config = plugin._settled(validate_config(more))
    request = Request("pav_a b", config, least, most, **names)
    return render(plugin.DIRECTIVE_PREFIX, plugin.DIRECTIVES, request)


def test_the_header(plugin: Flux) -> None:
    assert header(plugin) == [
        "#flux: --job-name=pav_a__b",
        "#flux: --nodes=1",
        "#flux: --exclusive",
        "#flux: -t 3600s",
    ]


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ({"time_limit": "90m"}, "-t 5400s"),
        # Not HH:MM:SS, which Flux refuses.
        ({"time_limit": "0:00:30"}, "-t 30s"),
        ({"partition": "batch"}, "-q batch"),
        ({"flux": {"queue": "debug"}}, "-q debug"),
        ({"partition": "batch", "flux": {"queue": "debug"}}, "-q debug"),
        ({"account": "science"}, "-B science"),
        ({"flux": {"features": ["big"]}}, "--requires=big"),
        ({"flux": {"features": ["big", "a|b"]}}, "--requires=big&(a|b)"),
        ({"exclude_nodes": ["node2", "node3"]}, "--requires=-host:node[2-3]"),
        ({"flux": {"fluxbatch_extra": ["--urgency=20"]}}, "--urgency=20"),
        ({"flux": {"fluxbatch_extra": ["-o mpi=none", "-c 2"]}}, "-c 2"),
    ],
)
def test_keys_in_the_header(plugin: Flux, section: dict[str, Any], line: str) -> None:
    lines = header(plugin, **section)
    assert f"#flux: {line}" in lines
    assert len([each for each in lines if each.startswith(f"#flux: {line.split()[0]}")]) == 1


def test_nodes_that_were_chosen(plugin: Flux) -> None:
    lines = header(
        plugin, 3, 3, include_nodes=["node1", "node2", "node3"], flux={"features": ["big"]}
    )
    assert "#flux: --nodes=3" in lines
    assert "#flux: --requires=big&host:node[1-3]" in lines
    # Within these limits there may be fewer.
    lines = header(plugin, 1, 3, include_nodes=["node1", "node2"])
    assert "#flux: --nodes=2" in lines
    with pytest.raises(PavilionError, match=r"schedule\.include_nodes: .* all nodes of the job"):
        header(plugin, 3, 3, include_nodes=["node1"])


def test_a_range_and_a_number_of_tasks(plugin: Flux) -> None:
    # Flux takes no range.
    assert "#flux: --nodes=2" in header(plugin, 2, 4)
    assert "#flux: --nodes=2" in header(plugin, 2, 2, tasks="7")
    alone = header(plugin, 1, None, tasks="7")
    assert "#flux: --nslots=7" in alone
    assert not any("--nodes" in line or "--exclusive" in line for line in alone)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"flux": {"features": ["a b"]}}, "flux.features"),
        ({"flux": {"queue": "a;b"}}, "flux.queue"),
        ({"partition": "a b"}, "partition"),
        ({"account": "a'b"}, "account"),
        ({"flux": {"fluxbatch_extra": ["--dry-run"]}}, "--dry-run cannot be used here"),
        ({"flux": {"fluxbatch_extra": ["--exclusive --dry-run"]}}, "--dry-run cannot be used"),
        ({"flux": {"fluxbatch_extra": ["--setattr='a b"]}}, "No closing quotation"),
        ({"flux": {"fluxbatch_extra": ["-N1\ntouch hacked"]}}, "flux.fluxbatch_extra"),
    ],
)
def test_values_that_flux_must_not_get(plugin: Flux, section: dict[str, Any], words: str) -> None:
    with pytest.raises(PavilionError, match=re.escape(words)):
        header(plugin, **section)


# --- Submitting ---


def test_the_submit_command(plugin: Flux) -> None:
    place = Path("/a b/ünï")
    argv = plugin.submit_command(
        Submission(place / "kickoff.sh", place / "sched.log", TOKEN, "pav_a:b c")
    )
    assert argv == [
        *("flux", "batch", f"--job-name=pav_a:b__c-{TOKEN}", "--cwd=/a b/ünï"),
        *("--output=/a b/ünï/sched.log", "/a b/ünï/kickoff.sh"),
    ]


def test_braces_in_a_path_are_not_expanded(plugin: Flux) -> None:
    place = Path("/a/{{id}}")
    argv = plugin.submit_command(Submission(place / "kickoff.sh", place / "sched.log", TOKEN))
    assert "--output=sched.log" in argv and "--cwd=/a/{{id}}" in argv


# --- The section ---


def test_the_section_is_that_of_pavilions_own_plugin(plugin: Flux) -> None:
    states = ["DEPEND", "SCHED", "RUN", "CLEANUP", "INACTIVE"]
    assert validate_config({})["flux"] == {
        **{"up_states": states, "avail_states": states, "queue": None},
        **{"features": [], "fluxrun_extra": [], "fluxbatch_extra": []},
    }
    given = {"flux": {"features": "big", "fluxrun_extra": ["-o x", "-v"], "queue": "pbatch"}}
    assert validate_config(given)["flux"]["features"] == ["big"]
    assert "flux" in {elem.name for elem in ScheduleConfig.ELEMENTS}


def test_jobs_that_differ_in_the_section_are_not_shared(plugin: Flux) -> None:
    def key(**section: Any) -> Any:
        return plugin.gen_job_share_key(plugin._settled(validate_config({"flux": section})), 1, 1)

    plain = key()
    for section in ({"queue": "a"}, {"features": ["a"]}, {"fluxbatch_extra": ["-c2"]}):
        assert key(**section) != plain
    # Only how tasks are started differs.
    assert key(fluxrun_extra=["-v"]) == plain


@pytest.mark.parametrize(
    ("section", "nodes", "command"),
    [
        ({}, 1, "flux run -x -N 1 -n 1"),
        ({"tasks_per_node": "2"}, 3, "flux run -x -N 3 -n 6"),
        # Flux refuses fewer tasks than nodes.
        ({"tasks": "2"}, 3, "flux run -x -N 2 -n 2"),
        ({"flux": {"fluxrun_extra": ["-o", "cpu-affinity=off"]}}, 1, None),
        ({"wrapper": "gdb"}, 1, "flux run -x -N 1 -n 1 gdb"),
    ],
)
def test_test_cmd(plugin: Flux, section: dict[str, Any], nodes: int, command: str | None) -> None:
    found = FluxVars(
        validate_config(section),
        nodes={f"n{number}": {"name": f"n{number}", "cpus": 4} for number in range(nodes)},
        deferred=False,
    )["test_cmd"]
    assert found.strip() == (command or "flux run -x -N 1 -n 1 -o cpu-affinity=off")
