"""Which node was bad: asked of a series that ran on a cluster with a drained node."""

from __future__ import annotations

from pathlib import Path

from clusters import Slurm as Cluster

from integration.cli_tools import Cli

SUITE = """
    each:
      scheduler: slurm
      schedule: {nodes: all, chunking: {size: 1}}
      permute_on: chunk_ids
      chunk: '{{chunk_ids}}'
      run: {cmds: ['[ "$SLURMD_NODENAME" != node03 ]']}
    """


def test_a_bad_node_and_a_drained_one(slurm: Cluster, tmp_path: Path) -> None:
    slurm.wait_idle()
    slurm.drain("node05", "bad disk")
    cli = Cli(tmp_path)
    cli.env = slurm.env(cli.env)
    cli.suite(SUITE)
    try:
        plan = cli("plan", "suite")
        assert plan.code == 0, plan.err
        line = next(line for line in plan.out.splitlines() if " left out of " in line)
        # Two are in other partitions only.
        assert line.startswith(
            "3 of 8 nodes are left out of suite.each.*: node[05,07-08] (drained by an administrator: "
            '1, not in the default partition "main": 2); '
        )
        done = cli("run", "suite", "--json")
        assert done.code == 1, done.err
        assert [item["left_out"] for item in done.json["left_out"]] == [3]
        slurm.resume("node05")
        found = cli("nodes", "--json")
        assert found.code == 1
        nodes = {node["node"]: node for node in found.json["nodes"]}
        assert list(nodes) == ["node03", "node05", *(f"node0{n}" for n in (7, 8, 1, 2, 4, 6))]
        assert nodes["node03"]["result"] == "suspect"
        assert nodes["node05"]["result"] == "not reached"
        assert "bad disk" in nodes["node05"]["why"]
        failed = next(test for test in found.json["tests"] if test["outcome"] == "failed")
        assert nodes["node03"]["failing_tests"] == [failed["id"]]
        assert failed["job_id"] == cli.job_info(failed["id"])["id"]
        drawn = cli("map", "s1", "--by", "result")
        assert " node03 F " in drawn.out and " node05 x" in drawn.out
    finally:
        cli.kill_all()
