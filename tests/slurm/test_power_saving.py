"""Nodes that power saving has shut down: which tests may use them, and what is said of others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from contract.fakes import active
from pavilion.schedulers import Slurm, validate_config
from pavilion.schedulers.finding.registry import require_plugin
from pavilion.schedulers.plugins.slurm.queries import FIELD_END, ROW_END
from pavilion.schedulers.plugins.slurm.states import node_usable, parse_node_state

UP = ["ALLOCATED", "COMPLETING", "PLANNED", "MAINTENANCE", "IDLE", "MAINT", "MIXED"]
AVAILABLE = ["IDLE", "MAINT", "MAINTENANCE", "PLANNED"]


def usable(text: str, wakes: bool) -> tuple[bool, bool]:
    found = node_usable(parse_node_state(text), UP, AVAILABLE, ["RESERVED"], wakes=wakes)
    return found.up, found.available


# (state, whether it is available where Slurm picks the nodes); all are up there.
@pytest.mark.parametrize(
    ("text", "available"),
    [
        # scontrol and sinfo's StateComplete from 20.11 on.
        ("IDLE+CLOUD+POWERED_DOWN", True),
        ("idle+cloud+powered_down", True),
        ("IDLE+POWERED_DOWN", True),
        ("IDLE+CLOUD+POWERING_DOWN", False),
        ("IDLE+CLOUD+POWER_DOWN", False),
        ("IDLE+CLOUD+POWERING_UP", True),
        ("IDLE+CLOUD+POWER_UP", True),
        ("ALLOCATED+CLOUD+POWERING_UP", False),
        ("MIXED+CLOUD+POWERING_UP", False),
        ("IDLE+CLOUD+DYNAMIC_NORM+POWERED_DOWN", True),
        # A node that boots does not answer yet (ParallelCluster).
        ("ALLOCATED+CLOUD+NOT_RESPONDING+POWERING_UP", False),
        ("IDLE+CLOUD+NOT_RESPONDING+POWERING_UP", True),
        ("IDLE+CLOUD+NOT_RESPONDING+POWERING_DOWN", False),
        # Up to 20.11, and sinfo's words and marks.
        ("IDLE+CLOUD+POWER", True),
        ("IDLE+POWER", True),
        ("idle~", True),
        ("idle#", True),
        ("idle%", False),
        ("idle!", False),
        ("IDLE#", True),
        ("alloc#", False),
        ("mix#", False),
        ("MIXED#+CLOUD", False),
        ("powered_down", True),
        ("powering_up", True),
        ("powering_down", False),
        ("powered_dn", True),
        ("powring_dn", False),
        ("pow_up", True),
    ],
)
def test_slurm_wakes_the_nodes_that_it_picks(text: str, available: bool) -> None:
    assert usable(text, wakes=True) == (True, available)
    assert usable(text, wakes=False) == (False, False)


@pytest.mark.parametrize(
    "text",
    [
        "DOWN+CLOUD+POWERED_DOWN",
        "DOWN+CLOUD+POWERED_DOWN+NOT_RESPONDING",
        "down~",
        "DOWN*+CLOUD",
        "IDLE+CLOUD+POWERED_DOWN+NOT_RESPONDING",
        "IDLE+CLOUD+DRAIN+POWERED_DOWN",
        "drain~",
        "DOWN+CLOUD+POWERING_UP",
        "down#",
        "IDLE+FAIL+POWERED_DOWN",
        "DOWN+CLOUD+POWERING_DOWN",
    ],
)
def test_a_broken_node_is_not_woken(text: str) -> None:
    for wakes in (True, False):
        assert usable(text, wakes) == (False, False)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("IDLE+CLOUD+POWERED_DOWN", "powered down"),
        ("idle%", "powering down"),
        ("IDLE+POWER", "powered down"),
        ("idle#", "powering up"),
        ("DOWN+CLOUD+POWERED_DOWN", "down"),
        ("DOWN+POWERED_DOWN+NOT_RESPONDING", "not responding"),
        ("IDLE+DRAIN+POWERED_DOWN", "drained by an administrator"),
    ],
)
def test_the_cause_is_the_one_that_counts(text: str, why: str) -> None:
    assert node_usable(parse_node_state(text), UP, AVAILABLE, []).cause == why


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("IDLE+REBOOT_REQUESTED", (True, False)),
        ("idle@", (True, False)),
        ("mix@", (True, False)),
        ("ALLOCATED+REBOOT_REQUESTED", (True, False)),
        ("IDLE+DRAIN+REBOOT_REQUESTED", (False, False)),
        ("drain@", (False, False)),
        ("IDLE+BLOCKED", (True, False)),
        ("MIXED+BLOCKED", (True, False)),
        ("blocked", (True, False)),
        ("DOWN+REBOOT_REQUESTED", (False, False)),
    ],
)
def test_busy_is_not_gone(text: str, expected: tuple[bool, bool]) -> None:
    assert usable(text, wakes=False) == usable(text, wakes=True) == expected


def test_the_states_that_are_listed_count_where_nodes_are_picked() -> None:
    state = parse_node_state("IDLE+CLOUD+POWERED_DOWN")
    assert node_usable(state, [*UP, "POWERED_DOWN"], [*AVAILABLE, "powered_down"], []) == (
        True,
        True,
        "",
    )
    assert node_usable(state, [*UP, "POWERED_DOWN"], AVAILABLE, []) == (
        True,
        False,
        "powered down (POWERED_DOWN)",
    )


@pytest.mark.parametrize("text", ["MIXED+CLOUD+POWER_DOWN", "idle!", "IDLE+CLOUD+POWER_UP"])
def test_states_on_the_way_include_those_about_to_be(text: str) -> None:
    # What the advice of an error says to list.
    listed = [*UP, "POWERED_DOWN", "POWERING_DOWN", "POWERING_UP"]
    assert usable(text, wakes=False) == (False, False)
    assert node_usable(parse_node_state(text), listed, AVAILABLE, []).up


# --- As tests see it ---


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A Slurm with nodes q-[1-6], powered down, q-7, broken, and q-8, up; all in partition q."""
    rows = [
        ("STATECOMPLETE", "CPUS", "MEMORY", "AVAIL_FEATURES", "PARTITION", "NODELIST", "REASON")
    ]
    rows += [
        (state, "4", "2000", "dynamic", "q*", names, reason)
        for state, names, reason in (
            ("idle+cloud+powered_down", "q-[1-5]", "none"),
            ("idle+cloud+powering_up", "q-6", "none"),
            ("down+cloud+powered_down", "q-7", "ResumeTimeout reached"),
            ("idle+cloud", "q-8", "none"),
        )
    ]
    (tmp_path / "nodes").write_text("".join(f"{FIELD_END.join(row)}{ROW_END}\n" for row in rows))
    for name, text in {
        "sinfo": f"cat {tmp_path}/nodes",
        "squeue": "exit 1",
        "sbatch": "exit 1",
        "scancel": "exit 1",
        "scontrol": 'case "$*" in *reservation*) echo "No reservations in the system";; esac',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with active(Slurm()):
        yield require_plugin("slurm")


def names(plugin: Slurm, **schedule: Any) -> list[str]:
    return plugin._filter_nodes(validate_config(schedule))[0]


def test_tests_whose_nodes_slurm_picks(cloud: Slurm) -> None:
    usable_now = [f"q-{number}" for number in (1, 2, 3, 4, 5, 6, 8)]
    assert names(cloud) == usable_now
    assert names(cloud, node_state="available") == usable_now
    assert cloud.get_initial_vars({"nodes": "all"})["requested_nodes"] == "7"


def test_tests_whose_nodes_are_picked_here(cloud: Slurm) -> None:
    assert names(cloud, chunking={"size": "1"}) == ["q-8"]
    assert names(cloud, across_nodes="q-[1-8]") == ["q-8"]
    wake = {"up_states": [*UP, "POWERED_DOWN", "POWERING_UP"]}
    assert len(names(cloud, chunking={"size": "1"}, slurm=wake)) == 7


def test_the_error_counts_the_causes_and_names_the_key(cloud: Slurm) -> None:
    text = str(cloud.get_initial_vars({"nodes": "2", "across_nodes": "q-[1-8]"})["errors"])
    assert ("not up: 7 (q-[1-7]): powered down: 5, powering up: 1, down: 1") in text
    assert "schedule.slurm.up_states lists POWERED_DOWN" in text
    text = str(cloud.get_initial_vars({"nodes": "8"})["errors"])
    assert "not up: 1 (q-7): down: 1" in text
    # Nothing lets a broken node in.
    assert "up_states" not in text
