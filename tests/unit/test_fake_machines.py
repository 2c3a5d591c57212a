"""Descriptions of fake clusters with power saving, switches, accounting; large ones."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pavilion.testkit import FakeSlurm
from pavilion.testkit.description import DescriptionError, parse
from pavilion.testkit.fakes.engine.store import Store

NODES = [{"names": "n[1-4]"}]


def wait_until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"release": "new"}, "release: '22.05', '25.11' or the like, not 'new'"),
        (
            {"private_data": ["jobs"]},
            "private_data: cloud, nodes are known to the fake, not 'jobs'",
        ),
        ({"nodes": [{"names": "n1", "power": "off"}]}, "power is 'up' or 'down', not 'off'"),
        (
            {"nodes": [{"names": "n1", "resume_time": "long"}]},
            "resume_time is like 2.0, not 'long'",
        ),
        (
            {"switches": [{"name": "s1"}]},
            "switches, entry 1: it has a name, and either nodes or switches",
        ),
        ({"switches": [{"name": "s1", "nodes": "n9"}]}, "switches, entry 1: no such node: n9"),
        ({"switches": [{"name": "s1", "switches": "s0"}]}, "switches, entry 1: no such node: s0"),
        ({"settings": {"resume_timout": 1}}, "did you mean 'resume_timeout'"),
    ],
)
def test_wrong_descriptions(more: dict[str, Any], message: str) -> None:
    with pytest.raises(DescriptionError) as raised:
        parse({"nodes": NODES, **more})
    assert message in str(raised.value)


def test_nodes_that_are_on_at_first_go_to_sleep(tmp_path: Path) -> None:
    made = parse({"nodes": [{"names": "n[1-2]"}, {"names": "n[3-4]", "power": "up"}]})
    with FakeSlurm(
        tmp_path / "c", description=made, suspend_time=0.2, suspend_timeout=0.2
    ) as slurm:
        # A command starts the controller, which looks after them.
        wait_until(
            lambda: slurm.run("sinfo", "-h", "-o", "%t %N").stdout == "idle~ n[3-4]\nidle n[1-2]\n"
        )
        refused = slurm.run("scontrol", "update", "nodename=n1", "state=power_down")
        assert refused.stderr == "slurm_update error: Invalid node state specified\n"
        # Jobs go to nodes that are on, and wake others only when those are not enough.
        first = slurm.ok(
            "sbatch", "--parsable", "-N2", "-o", "/dev/null", "--wrap", "sleep 60"
        ).strip()
        second = slurm.ok(
            "sbatch", "--parsable", "-N3", "-o", "/dev/null", "--wrap", "sleep 60"
        ).strip()
        wait_until(lambda: slurm.jobs()[second]["alloc"])
        assert list(slurm.jobs()[first]["alloc"]) == ["n1", "n2"]
        assert slurm.jobs()[second]["state"] in ("CONFIGURING", "RUNNING")


def test_ids_that_are_given_out_again(tmp_path: Path) -> None:
    made = parse({"nodes": NODES, "accounting": True})
    with FakeSlurm(tmp_path / "c", description=made) as slurm:
        submit = ["sbatch", "--parsable", "-o", "/dev/null", "--wrap"]
        assert slurm.ok(*submit, "exit 3") == "1\n"
        wait_until(lambda: slurm.jobs()["1"]["state"] == "FAILED")
        slurm.lose_jobs()
        assert slurm.run("squeue", "-j", "1").returncode == 1
        assert slurm.ok(*submit, "exit 4") == "1\n"
        wait_until(lambda: slurm.jobs()["1"]["state"] == "FAILED")
        query = ["sacct", "-n", "-P", "-X", "-j", "1", "-o", "jobid,exitcode"]
        assert slurm.ok(*query, "--duplicates") == "1|3:0\n1|4:0\n"
        assert slurm.ok(*query) == "1|4:0\n"


def test_without_accounting_sacct_says_so(tmp_path: Path) -> None:
    with FakeSlurm(tmp_path / "c", nodes=4) as slurm:
        result = slurm.run("sacct", "-j", "1")
        assert (result.returncode, result.stderr) == (1, "Slurm accounting storage is disabled\n")


def test_what_was_taken_back_is_not_remembered_of_nodes(tmp_path: Path) -> None:
    """Nodes are kept in a file that is read quickly; a change that fails must not get there."""
    with FakeSlurm(tmp_path / "c", nodes=4) as slurm:
        store = Store(str(slurm.folder))

        class Failed(Exception):
            pass

        with pytest.raises(Failed), store.transaction():
            store.update_node("node01", base="DOWN")
            assert store.nodes()[0]["base"] == "DOWN"
            raise Failed
        assert store.nodes()[0]["base"] == "IDLE"
        slurm.drain("node02")  # the same number of changes again
        assert slurm.node_state("node01") == "IDLE"
        assert store.nodes()[1]["flags"] == "DRAIN"
        store.close()
        assert (
            slurm.ok("sinfo", "-h", "-N", "-n", "node01,node02", "-p", "main", "-o", "%N %t")
            == "node01 idle\nnode02 drain\n"
        )


def test_ten_thousand_nodes_run_jobs(tmp_path: Path) -> None:
    with FakeSlurm(tmp_path / "c", nodes=10_000) as slurm:
        ids = [
            slurm.ok(
                "sbatch",
                "--parsable",
                "-N3",
                "-w",
                f"node{number:05d}",
                "-o",
                "/dev/null",
                "--wrap",
                "sleep 60",
            ).strip()
            for number in (9000, 5)
        ]
        wait_until(lambda: all(slurm.jobs()[each]["state"] == "RUNNING" for each in ids))
        assert list(slurm.jobs()[ids[0]]["alloc"]) == ["node00001", "node00002", "node09000"]
        assert list(slurm.jobs()[ids[1]]["alloc"]) == ["node00001", "node00002", "node00005"]
        assert slurm.ok("sinfo", "-h", "-p", "main", "-o", "%D %t").split() == [
            "4",
            "mix",
            "9994",
            "idle",
        ]


def test_a_cluster_for_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def getuser() -> str:
        # As in a container that runs as any user id.
        raise KeyError("getpwuid(): uid not found: 54321")

    monkeypatch.setattr("getpass.getuser", getuser)
    assert parse({"nodes": NODES}).cluster["owner"] == str(os.getuid())
