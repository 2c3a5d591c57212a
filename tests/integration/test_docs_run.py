"""Each sample suite of the documentation is run through the command line, as a reader would."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cli_tools import PATIENCE, Cli

from doc_samples import ROOT, Sample, samples

SAMPLES = {sample.name: sample for sample in samples()}
# All others pass.
RESULTS = {"hello.fail": "FAIL"}
# Names of programs that the samples take to be there, in the directory of their suite.
PROGRAM = re.compile(r"\{\{suite_dir\}\}/(\w+)(?![\w.-])")
STAND_IN = """#!/bin/sh
echo "$(basename "$0") $*" >> "$PAV_SAMPLE_CALLS"
"""
MAKEFILE = """stencil:
\tprintf '#!/bin/sh\\ntest -r "$$1" && echo converged\\n' > $@
\tchmod +x $@
"""


class Reader:
    """Somebody who copies a sample into a file and runs it."""

    def __init__(self, cli: Cli, folder: Path) -> None:
        self.cli = cli
        self.folder = folder
        self.calls_file = folder / "calls"
        self.calls_file.touch()
        cli.env["PAV_SAMPLE_CALLS"] = str(self.calls_file)

    def run(self, sample: Sample) -> dict[str, str]:
        """Run a sample's suite; results by name of test."""
        file = self.folder / f"{sample.name}.yaml"
        file.write_text(sample.text, encoding="utf-8")
        for name in PROGRAM.findall(sample.text):
            (self.folder / name).write_text(STAND_IN)
            (self.folder / name).chmod(0o755)
        argv = self.cli.argv("run", file, "--seed", "1", "--timeout", PATIENCE, "--json")
        if "scheduler: slurm" in sample.text:
            kit = [sys.executable, "-m", "pavilion.testkit"]
            # The last two of them are not in the default partition.
            argv = [*kit, "fake-slurm", "--nodes", "18", "--", *argv]
        self.done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            env=self.cli.env,
            cwd=self.folder,
            timeout=2 * PATIENCE,
            stdin=subprocess.DEVNULL,
        )
        tests = json.loads(self.done.stdout)["tests"]
        return {test["name"]: test["result"] for test in tests}

    @property
    def calls(self) -> list[str]:
        """The programs that were called, with their arguments, in order of the alphabet."""
        return sorted(self.calls_file.read_text().splitlines())


@pytest.fixture
def reader(cli: Cli, tmp_path: Path) -> Reader:
    folder = tmp_path / "suites"
    folder.mkdir()
    return Reader(cli, folder)


def stencil(folder: Path) -> None:
    """What the sample about building says is beside its suite."""
    (folder / "stencil-src").mkdir()
    (folder / "stencil-src" / "Makefile").write_text(MAKEFILE)
    (folder / "input.dat").write_text("1 2 3\n")


# What the samples' programs are called with; those of other samples have none.
CALLS = {
    "inherit": ["prepare ", "prepare ", "stream 1k 2k", "stream 1k 2k 1g"],
    "values": ["solve --size 100"],
    "sweep": [
        "io --threads 1 --size 1G",
        "io --threads 1 --size 1M",
        "io --threads 2 --size 1G",
        "io --threads 2 --size 1M",
    ],
    # On the four nodes of each of four chunks; on half the nodes of one; on all of one.
    "net": ["alltoall "] * (4 * 4 + 2 + 4),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_runs_as_it_stands(reader: Reader, name: str) -> None:
    sample = SAMPLES[name]
    if name == "stencil":
        stencil(reader.folder)
    found = reader.run(sample)
    expected = {test: RESULTS.get(test, "PASS") for test in sample.tests}
    assert found == expected, f"{reader.done.stdout}\n{reader.done.stderr}"
    assert reader.done.returncode == int(set(expected.values()) != {"PASS"})
    assert reader.calls == CALLS.get(name, [])


def test_the_described_cluster_can_be_made(tmp_path: Path) -> None:
    """That of docs/fake-slurm.md, with the nodes that it lists."""
    text = (ROOT / "docs" / "fake-slurm.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"<!-- cluster -->\n```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    file = tmp_path / "cluster.yaml"
    file.write_text(block, encoding="utf-8")
    kit = [sys.executable, "-m", "pavilion.testkit", "fake-slurm", "--cluster", file]
    done = subprocess.run(
        [*kit, "--", "sinfo", "-h", "-o", "%R %D %t %N"],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        stdin=subprocess.DEVNULL,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "cpu 2 resv n[01-02]\n" in done.stdout
    assert "cpu 1 drain n31\n" in done.stdout
    assert "gpu 4 idle g[1-4]\n" in done.stdout
