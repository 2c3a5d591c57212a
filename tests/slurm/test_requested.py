"""Reasons of jobs that wait for nodes which they requested and which are drained."""

from __future__ import annotations

from pathlib import Path

import pytest
from clusters import Slurm as Cluster
from plugin_tools import info, site_of

from pavilion.schedulers.plugins.slurm.notes import job_note
from pavilion.schedulers.plugins.slurm.record import SlurmRecord
from pavilion.schedulers.plugins.slurm.requested import RequestedNodes, requested_nodes

# Of 25.11.8, for a job with '-w node02' whose node is drained.
RESERVED = "ReqNodeNotAvail, May be reserved for other job"


def record(script: Path) -> SlurmRecord:
    return SlurmRecord("7", "", "", "0", 0.0, str(script))


def kickoff(folder: Path, *options: str) -> Path:
    """A kickoff script with these options in its header."""
    path = folder / "kickoff.sbatch"
    lines = ["#!/bin/bash", *(f"#SBATCH {option}" for option in options), "", "true -w node09"]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(
    ("options", "nodes"),
    [
        (["-p main", "-w node[01-02],x", "--nodes 3"], ["node01", "node02", "x"]),
        (["-w node01", "--nodelist=node02"], ["node02"]),
        (['--nodelist "node02"'], ["node02"]),
        (["-wnode02 -N1"], ["node02"]),
        (["--comment='-w node01'"], []),
        (["-p main"], []),
        ([], []),
        # What Slurm would have refused.
        (["-w node[1-"], []),
        (["-w 'node01"], []),
        (["-w"], []),
    ],
)
def test_the_nodes_that_a_script_requests(
    tmp_path: Path, options: list[str], nodes: list[str]
) -> None:
    assert requested_nodes(str(kickoff(tmp_path, *options))) == nodes


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    assert requested_nodes(str(tmp_path / "none")) == []
    assert requested_nodes("") == []


class Drained:
    """Drained nodes, and how often they were queried."""

    def __init__(self, **nodes: str) -> None:
        self.nodes = nodes
        self.clusters: list[str] = []
        self.now = 1000.0
        self.requested = RequestedNodes(self._query, lambda: self.now)

    def _query(self, cluster: str) -> dict[str, str]:
        self.clusters.append(cluster)
        return self.nodes


def test_drained_nodes_are_named_as_older_releases_do(tmp_path: Path) -> None:
    drained = Drained(node02="fan", node07="disk")
    script = kickoff(tmp_path, "-w node[01-02]")
    data = {"state": "PENDING", "reason": RESERVED, "nodes": ""}
    told = drained.requested.explained(record(script), data)
    assert told == {**data, "reason": "ReqNodeNotAvail, UnavailableNodes:node02"}
    assert "needs an administrator" in job_note("7", told)
    # Those of the script are in use, and not drained.
    other = kickoff(tmp_path, "-w node01")
    assert drained.requested.explained(record(other), data) == data


def test_one_query_serves_all_jobs_for_a_while(tmp_path: Path) -> None:
    drained = Drained(node02="")
    script = kickoff(tmp_path, "-w node02")
    data = {"state": "PENDING", "reason": RESERVED.replace(" ", "_")}
    for _ in range(5):
        assert drained.requested.explained(record(script), data) != data
    assert drained.clusters == [""]
    drained.requested.explained(record(script), data, "other")
    assert drained.clusters == ["", "other"]
    # It may be mended.
    drained.nodes, drained.now = {}, drained.now + 100
    assert drained.requested.explained(record(script), data) == data
    assert drained.clusters == ["", "other", ""]


@pytest.mark.parametrize(
    "reason",
    [
        "",
        "Resources",
        "Priority",
        "ReqNodeNotAvail, UnavailableNodes:node02",
        "ReqNodeNotAvail,_UnavailableNodes:node02",
    ],
)
def test_no_query_for_other_reasons(tmp_path: Path, reason: str) -> None:
    drained = Drained(node02="")
    data = {"state": "PENDING", "reason": reason}
    assert drained.requested.explained(record(kickoff(tmp_path, "-w node02")), data) is data
    assert drained.clusters == []


def test_reserved_nodes_need_no_administrator(
    slurm: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm.wait_idle("node02", "node03")
    with site_of(slurm, monkeypatch) as site:
        site.usable()
        slurm.reserve("mine", ["node02"])
        slurm.drain("node03")
        test = site.start({"include_nodes": "node02", "nodes": "1"})
        status = site.wait_status(test, "SCHEDULED", "reserved")
        assert "ReqNodeNotAvail" in status.note and "administrator" not in status.note
        slurm.ok("scancel", info(test)["id"])
