"""Which job, which nodes, which permutation, which chunk: what a tester asks after a run, of the
command line and of the files, on a cluster."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters import Slurm as Cluster
from clusters import wait_until

from integration.cli_tools import Cli

SUITE = """
    _base:
      scheduler: slurm
      schedule: {nodes: all, chunking: {size: 2, extra: discard}, time_limit: 5m}
    chunks:
      inherits_from: _base
      permute_on: chunk_ids
      chunk: '{{chunk_ids}}'
      run: {cmds: ['echo {{test_node_list.*}} $SLURM_JOB_ID']}
    half:
      inherits_from: _base
      schedule: {nodes: 1}
      variables: {case: [{name: small, size: 1}, {name: large, size: 2}]}
      permute_on: case
      chunk: 1
      run: {cmds: ['echo {{test_node_list.*}} $SLURM_JOB_ID']}
    free:
      scheduler: slurm
      schedule: {nodes: 1, time_limit: 5m}
      run: {cmds: ['echo {{test_node_list.*}} $SLURM_JOB_ID', 'echo ./ping_pong: no device', 'false']}
    """


@pytest.fixture
def cli(tmp_path: Path, slurm: Cluster) -> Iterator[Cli]:
    made = Cli(tmp_path)
    made.env = slurm.env(made.env)
    yield made
    made.kill_all()


def test_what_is_known_of_tests_after_a_run(cli: Cli, slurm: Cluster) -> None:
    # A real node may not have answered for a moment, after what other tests did to the cluster.
    wait_until(
        lambda: slurm.ok("sinfo", "-h", "-N", "-o", "%t").split().count("idle") >= 6, "nodes"
    )
    cli.suite(SUITE)
    done = cli("run", "suite", "--json")
    tests = {test["name"]: test for test in done.json["tests"]}
    # Some of the nodes are down.
    chunks = {f"suite.chunks.chunk{number}" for number in range(len(tests) - 3)}
    assert len(chunks) >= 3
    assert set(tests) == {*chunks, "suite.half.small", "suite.half.large", "suite.free"}
    for test in tests.values():
        printed = Path(test["path"], "run.log").read_text().splitlines()[0].split()
        # What the test itself saw.
        assert (test["nodes"], test["job_id"]) == (sorted(printed[:-1]), printed[-1])
        for file in ("results.json", "test.json"):
            stored = json.loads(Path(test["path"], file).read_text())
            for key in ("job_id", "nodes", "permutation", "chunk", "chunk_nodes"):
                assert stored[key] == test[key], (file, key)
        assert json.loads(Path(test["path"], "results.json").read_text())["scheduler"] == "slurm"
    assert tests["suite.chunks.chunk2"]["permutation"] == {"chunk_ids": "2"}
    assert tests["suite.half.large"]["permutation"] == {"case": {"name": "large", "size": "2"}}
    # The chunk of a test that uses a part of it is known as a whole, and is the one that the
    # others mean by that number.
    assert tests["suite.half.small"]["chunk"] == 1
    assert len(tests["suite.half.small"]["nodes"]) == 1
    second = tests["suite.chunks.chunk1"]["nodes"]
    assert tests["suite.half.small"]["chunk_nodes"] == second
    assert (tests["suite.free"]["chunk"], tests["suite.free"]["chunk_nodes"]) == (None, [])
    check_what_is_shown(cli, tests)


def check_what_is_shown(cli: Cli, tests: dict[str, Any]) -> None:
    free, half = tests["suite.free"], tests["suite.half.small"]
    header, *rows = [line.split("\t") for line in cli("wait", "s1").out.splitlines()[:-1]]
    assert header == ["ID", "NAME", "SCHEDULER", "RESULT", "TIME", "JOB", "NODES", "NOTE"]
    row = next(row for row in rows if row[1] == "suite.free")
    assert row[5:7] == [free["job_id"], free["nodes"][0]]
    assert row[7].startswith("Exit code 1: ./ping_pong: no device (pav-sched --working-dir ")
    assert row[7].endswith(f" log run {free['id']})")
    whole = next(row for row in rows if row[1] == "suite.chunks.chunk1")
    assert whole[6].startswith("node") and "[" in whole[6]

    lines = cli("status", "-v", half["id"]).out.splitlines()
    assert lines[1] == f"  job {half['job_id']}, on {half['nodes'][0]}"
    assert lines[2] == f"  chunk 1: {whole[6]}"
    assert lines[3] == "  case.name=small case.size=1"
    accepted = f"Accepted by slurm as job {half['job_id']}."
    notes = [line.split(None, 3)[3] for line in lines[4:]]
    assert [note.startswith("Being handed to the slurm scheduler.") for note in notes[:3]] == [
        False,
        True,
        False,
    ]
    assert notes[2] == accepted
    # All tests of a job say so.
    for test in tests.values():
        history = cli("status", "-v", "--json", test["id"]).json["tests"][0]["history"]
        accepted = f"Accepted by slurm as job {test['job_id']}."
        assert [info["note"] for info in history].count(accepted) == 1
        assert history[-1]["state"] == "COMPLETE"

    done = cli("log", free["id"])
    assert done.err == f"{free['id']} suite.free (slurm): job {free['job_id']}, on {row[6]}\n"
    assert done.out.endswith("./ping_pong: no device\n")


def wrap_sbatch(cli: Cli, body: str) -> None:
    """Put a script in the place of sbatch where it submits; it may use $SBATCH."""
    real = shutil.which("sbatch", path=cli.env["PATH"])
    folder = cli.root / "before"
    folder.mkdir()
    path = folder / "sbatch"
    others = '[[ "$*" = *--parsable* ]] || exec "$SBATCH" "$@"'
    path.write_text(f'#!/bin/bash\nSBATCH="{real}"\n{others}\n{body}\n')
    path.chmod(0o755)
    cli.env = dict(cli.env, PATH=f"{folder}:{cli.env['PATH']}")


ONE = """
    test:
      scheduler: slurm
      schedule: {nodes: 1, time_limit: 5m}
      run: {cmds: ['echo $SLURM_JOB_ID', 'SLEEP']}
    """


@pytest.mark.parametrize("work", ["true", "sleep 2"])
def test_the_id_of_a_job_whose_run_was_killed_while_sbatch_answered(
    cli: Cli, slurm: Cluster, work: str
) -> None:
    cli.suite(ONE.replace("SLEEP", work))
    wrap_sbatch(cli, '"$SBATCH" "$@" >/dev/null; kill -9 $PPID')
    assert cli("run", "suite").code == -9
    assert cli("wait", "s1").code == 0
    (test,) = cli("status", "-v", "--json", "s1").json["tests"]
    job_id = Path(test["path"], "run.log").read_text().split()[0]
    assert test["job_id"] == job_id
    notes = [info["note"] for info in test["history"]]
    assert f"Accepted by slurm as job {job_id}." in notes
    assert test["history"][-1]["state"] == "COMPLETE"
    assert f"  job {job_id}, on {test['nodes'][0]}" in cli("status", "-v", "s1").out


def test_a_run_that_was_killed_before_sbatch_says_nothing_of_a_job(
    cli: Cli, slurm: Cluster
) -> None:
    cli.suite(ONE)
    wrap_sbatch(cli, "kill -9 $PPID")
    assert cli("run", "suite").code == -9
    (test,) = cli("status", "-v", "--json", "s1").json["tests"]
    notes = [info["note"] for info in test["history"]]
    assert notes[1].startswith("Being handed to the slurm scheduler.")
    assert not any(note.startswith("Accepted") for note in notes)
    assert test["job_id"] is None
    assert "  no job yet" in cli("status", "-v", "s1").out


def test_the_nodes_of_a_test_that_did_not_get_to_say_where_it_ran(cli: Cli, slurm: Cluster) -> None:
    # Its kickoff script dies before the runner starts: which node was bad?
    cli.suite(ONE)
    env = cli.root / "site.yaml"
    env.write_text("env_setup: ['echo no such module: gcc', 'kill -9 $$']\n")
    cli("--config-file", env, "run", "suite", "--timeout", "60")
    (test,) = cli("status", "--json", "s1").json["tests"]
    assert test["result"] == "ERROR"
    assert test["nodes"] == re.findall(r" on (node[0-9]+)\b", test["note"].splitlines()[0])
    assert (test["log"], test["log_line"]) == ("kickoff", "no such module: gcc")
    (row,) = [row for row in cli("status", "s1").rows if row[0] == "s1.1"]
    assert row[-1].endswith(f" log kickoff {test['id']})")
    assert ": no such module: gcc (pav-sched " in row[-1]
