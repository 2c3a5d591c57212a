"""What the real Slurm can do and the fake cannot is refused, with return code 2 and the reason: a
test must never pass because the fake overlooked something."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pavilion.testkit import FakeSlurm, description


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeSlurm]:
    with FakeSlurm(tmp_path_factory.mktemp("refusals") / "cluster", nodes=4) as cluster:
        yield cluster


def refused(slurm: FakeSlurm, reason: str, *argv: str, **options: object) -> None:
    result = slurm.run(*argv, **options)  # type: ignore[arg-type]
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == (
        f"fake Slurm: {reason}: not known to the fake. Teach it, or do without.\n"
    )
    assert slurm.ok("squeue", "-h") == ""


@pytest.mark.parametrize(
    "word",
    ["hetjob", "packjob", "HetJob", "-n1 hetjob", "hetjob -n2", "  hetjob   # the second part"],
)
def test_parts_of_a_heterogeneous_job_in_a_script(
    slurm: FakeSlurm, tmp_path: Path, word: str
) -> None:
    script = tmp_path / "job.sh"
    script.write_text(f"#!/bin/bash\n#SBATCH -n1\n#SBATCH {word}\n#SBATCH -n2\ntrue\n")
    mark = next(each for each in word.split() if each.lower() in ("hetjob", "packjob"))
    refused(
        slurm, f"sbatch: heterogeneous jobs ('#SBATCH {mark}' in the script)", "sbatch", str(script)
    )


@pytest.mark.parametrize("rest", [["-n2", "--wrap", "true"], ["-n2", "job.sh"]])
def test_a_colon_on_the_command_line(slurm: FakeSlurm, rest: list[str]) -> None:
    refused(
        slurm, "sbatch: heterogeneous jobs (':' on the command line)", "sbatch", "-n1", ":", *rest
    )


def test_srun_of_several_parts(slurm: FakeSlurm) -> None:
    refused(
        slurm,
        "srun: heterogeneous jobs (':' on the command line)",
        "srun",
        "-n1",
        "true",
        ":",
        "-n2",
        "true",
    )
    refused(
        slurm,
        "srun: heterogeneous jobs (':' on the command line)",
        "srun",
        "-n1",
        ":",
        "-n2",
        "true",
    )


@pytest.mark.parametrize(
    "name",
    [
        "SBATCH_NO_KILL",
        "SBATCH_SIGNAL",
        "SBATCH_MEM_PER_CPU",
        "SBATCH_DISTRIBUTION",
        "SBATCH_HINT",
        "SBATCH_OVERCOMMIT",
        "SBATCH_DEADLINE",
        "SBATCH_CPU_FREQ_REQ",
        "SBATCH_GPU_BIND",
    ],
)
def test_variables_of_sbatch(slurm: FakeSlurm, name: str) -> None:
    refused(
        slurm, f"sbatch: the variable {name}", "sbatch", "-H", "--wrap", "true", env={name: "1"}
    )


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["sbatch", "--exclusive=user", "--wrap", "true"], "sbatch: --exclusive=user"),
        (["sbatch", "-w", "", "--wrap", "true"], "sbatch: an empty --nodelist"),
        (["sbatch", "-t", "-5", "--wrap", "true"], "sbatch: --time=-5"),
        (["sbatch", "-d", "after:1+5", "--wrap", "true"], "sbatch: dependency after:1+5"),
        (
            ["sbatch", "-d", "afterburstbuffer:1", "--wrap", "true"],
            "sbatch: dependency afterburstbuffer:1",
        ),
        (
            ["sbatch", "-a", "0-1", "-d", "aftercorr:1", "--wrap", "true"],
            "sbatch: dependency aftercorr of a job array",
        ),
        (["sbatch", "--gpu-bind=none", "--wrap", "true"], "sbatch: option --gpu-bind"),
        (["scancel", "--batch", "1"], "scancel: option --batch"),
        (["scancel", "-s", "USR1", "1"], "scancel: option -s"),
        (["scancel", "1.0"], "scancel: 1.0: a step, or part of a heterogeneous job"),
        (["scancel", "1+0"], "scancel: 1+0: a step, or part of a heterogeneous job"),
        (["scontrol", "suspend", "1"], "scontrol: suspend"),
        (["scontrol", "uhold", "1"], "scontrol: uhold"),
        (["scontrol", "hold", "jobname=x"], "scontrol: hold jobname=x"),
        (["scontrol", "requeue", "Incomplete", "1"], "scontrol: requeue Incomplete"),
        (
            ["scontrol", "requeuehold", "state=SpecialExit", "1"],
            "scontrol: requeuehold state=SpecialExit",
        ),
        (["scontrol", "update", "jobid=1", "gres=gpu:1"], "scontrol: update of a job: gres"),
        (["scontrol", "update", "jobid=1", "deadline=now"], "scontrol: update of a job: deadline"),
        (
            ["scontrol", "update", "jobname=x", "comment=y"],
            "scontrol: update of jobs by their name, or of none",
        ),
        (["scontrol", "-d", "show", "job", "1"], "scontrol: option -d"),
        (["squeue", "-j", "1_[1-2]"], "squeue: job id 1_[1-2]"),
        (["squeue", "--start"], "squeue: option --start"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_words_and_options(slurm: FakeSlurm, words: list[str], reason: str) -> None:
    refused(slurm, reason, *words)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gpu", "nodes, entry 1: gres: 'gpu' is not like gpu:2 or gpu:a100:2"),
        ("nic:1", "nodes, entry 1: gres: 'nic:1' is not like gpu:2 or gpu:a100:2"),
        ("gpu:a:b:1", "nodes, entry 1: gres: 'gpu:a:b:1' is not like gpu:2 or gpu:a100:2"),
    ],
)
def test_gpus_of_a_description(text: str, message: str) -> None:
    with pytest.raises(description.DescriptionError) as error:
        description.parse({"nodes": [{"names": "n[1-4]", "gres": text}]})
    assert str(error.value) == message
