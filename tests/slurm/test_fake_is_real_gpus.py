"""GPUs: who gets which, what the job is told, and what is refused.

The clusters here have two GPUs on node03 and on node04, and on node05 one of each of two types.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from clusters import FakeForTests, Slurm, wait_until
from machines import NODES, PARTITIONS
from real_slurm import RealSlurm

from open_directory import open_directory
from pavilion.testkit import description

GRES = {"node03": "gpu:2", "node04": "gpu:2", "node05": "gpu:a100:1,gpu:k80:1"}
# A device has to be a device; the number is that at the end of its name.
_DEVICES = ("/dev/zero", "/dev/null")

REFUSED = "sbatch: error: Batch job submission failed: "
UNAVAILABLE = REFUSED + "Requested node configuration is not available\n"
INVALID = "sbatch: error: Invalid generic resource (gres) specification\n"
SHOW = "env | grep -E 'GPU|CUDA|^SLURM_(NTASKS|CPUS)' | grep -v TASK_PID | sort"
JOB = ["CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "SLURM_JOB_GPUS"]


class RealGpuSlurm(RealSlurm):
    """A real Slurm with the GPUs of this module."""

    def _write_conf(self) -> None:
        super()._write_conf()
        for number, device in enumerate(_DEVICES):
            (self.folder / f"gpu{number}").symlink_to(device)
        (self.folder / "gres.conf").write_text(
            f"NodeName=node[03-04] Name=gpu File={self.folder}/gpu[0-1]\n"
            f"NodeName=node05 Name=gpu Type=a100 File={self.folder}/gpu0\n"
            f"NodeName=node05 Name=gpu Type=k80 File={self.folder}/gpu1\n"
        )
        lines = self.conf.read_text().splitlines()
        for number, line in enumerate(lines):
            name = line.partition("NodeName=")[2].partition(" ")[0]
            if name in GRES:
                lines[number] = f"{line} Gres={GRES[name]}"
        self.conf.write_text("\n".join([*lines, "GresTypes=gpu", ""]))


def fake_description() -> description.Description:
    return description.parse(
        {
            "name": "t",
            "nodes": [{**node, "gres": GRES.get(node["names"], "")} for node in NODES],
            "partitions": PARTITIONS,
        }
    )


@pytest.fixture(scope="session")
def slurm_cluster(request: pytest.FixtureRequest) -> Iterator[FakeForTests | RealSlurm]:
    with open_directory("test-gpus-") as path:
        cluster: FakeForTests | RealSlurm
        if request.param == "real":
            cluster = RealGpuSlurm(path, min_job_age=60)
        else:
            cluster = FakeForTests(
                path, description=fake_description(), min_job_age=60, kill_wait=2
            )
        with cluster:
            yield cluster


@pytest.fixture(autouse=True)
def _all_free(slurm: Slurm) -> None:
    slurm.wait_idle("node03", "node04", "node05")


def environment(slurm: Slurm, *options: str, body: str = SHOW) -> tuple[str, dict[str, str]]:
    """The nodes and the variables of a job that has run."""
    job_id, shown = slurm.finish(body, *options)
    text = (slurm.folder / f"slurm-{job_id}.out").read_text()
    values = dict(line.split("=", 1) for line in text.splitlines())
    return shown["NodeList"], {
        key: value for key, value in values.items() if not key.startswith("SLURM_CONF")
    }


def with_gpus(numbers: str, **more: str) -> dict[str, str]:
    return {
        **dict.fromkeys(JOB, numbers),
        "SLURM_GPUS_ON_NODE": str(numbers.count(",") + 1),
        **more,
    }


@pytest.mark.parametrize(
    ("options", "nodes", "values"),
    [
        (["--gres=gpu:1"], "node03", with_gpus("0", SLURM_CPUS_ON_NODE="1")),
        (["--gres=gpu"], "node03", with_gpus("0", SLURM_CPUS_ON_NODE="1")),
        (["--gres=gpu:2"], "node03", with_gpus("0,1", SLURM_CPUS_ON_NODE="1")),
        (["--gres=gpu:1,gpu:1"], "node03", with_gpus("0", SLURM_CPUS_ON_NODE="1")),
        (["--gres=gpu:0"], "node01", {"SLURM_CPUS_ON_NODE": "1"}),
        (["--gres=none"], "node01", {"SLURM_CPUS_ON_NODE": "1"}),
        (["--gpus=2"], "node03", with_gpus("0,1", SLURM_GPUS="2", SLURM_CPUS_ON_NODE="1")),
        (["-G1"], "node03", with_gpus("0", SLURM_GPUS="1", SLURM_CPUS_ON_NODE="1")),
        (["--gpus=3"], "node[03-04]", with_gpus("0,1", SLURM_GPUS="3", SLURM_CPUS_ON_NODE="1")),
        (
            ["-N2", "--gpus=2"],
            "node[03-04]",
            with_gpus("0", SLURM_GPUS="2", SLURM_CPUS_ON_NODE="1"),
        ),
        (
            ["--gpus-per-node=1"],
            "node03",
            with_gpus("0", SLURM_GPUS_PER_NODE="1", SLURM_CPUS_ON_NODE="1"),
        ),
        (
            ["-n2", "--gpus-per-task=1"],
            "node03",
            with_gpus("0,1", SLURM_GPUS_PER_TASK="1", SLURM_NTASKS="2", SLURM_CPUS_ON_NODE="2"),
        ),
        (
            ["-n2", "--gpus-per-task=2"],
            "node[03-04]",
            with_gpus("0,1", SLURM_GPUS_PER_TASK="2", SLURM_NTASKS="2", SLURM_CPUS_ON_NODE="1"),
        ),
        (
            ["--gpus-per-task=1", "--gpus=2"],
            "node03",
            with_gpus(
                "0,1",
                SLURM_GPUS_PER_TASK="1",
                SLURM_GPUS="2",
                SLURM_NTASKS="2",
                SLURM_CPUS_ON_NODE="2",
            ),
        ),
        (
            ["--cpus-per-gpu=2", "--gpus=1"],
            "node03",
            with_gpus("0", SLURM_CPUS_PER_GPU="2", SLURM_GPUS="1", SLURM_CPUS_ON_NODE="2"),
        ),
        (["--gres=gpu:1", "--exclusive"], "node03", with_gpus("0,1", SLURM_CPUS_ON_NODE="4")),
        (["--gres=gpu:a100:1"], "node05", with_gpus("0", SLURM_CPUS_ON_NODE="1")),
        (["--gres=gpu:k80"], "node05", with_gpus("1", SLURM_CPUS_ON_NODE="1")),
        (["--gpus=k80:1"], "node05", with_gpus("1", SLURM_GPUS="k80:1", SLURM_CPUS_ON_NODE="1")),
        (["-N3", "--gres=gpu:2"], "node[03-05]", with_gpus("0,1", SLURM_CPUS_ON_NODE="1")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_a_job_gets_and_is_told(
    slurm: Slurm, options: list[str], nodes: str, values: dict[str, str]
) -> None:
    found, told = environment(slurm, *options)
    told.pop("SLURM_NTASKS_PER_NODE", None)
    assert (found, told) == (nodes, values)


def test_all_vendors_variables(slurm: Slurm) -> None:
    _, told = environment(slurm, "--gres=gpu:2", body="env | grep -E '^(ROCR|ZE_)'")
    assert told == {"ROCR_VISIBLE_DEVICES": "0,1", "ZE_AFFINITY_MASK": "0,1"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--gres=gpu:3"], UNAVAILABLE),
        (["--gres=gpu:v100:1"], UNAVAILABLE),
        (["--gres=gpu:a100:2"], UNAVAILABLE),
        (["--gpus=7"], UNAVAILABLE),
        (["--gpus-per-node=3"], UNAVAILABLE),
        (["-N4", "--gres=gpu:1"], UNAVAILABLE),
        (["-n4", "--gpus-per-task=2"], UNAVAILABLE),
        (["-w", "node01", "--gres=gpu:1"], UNAVAILABLE),
        (["--gres=foo:1"], INVALID),
        (["--gres=gpu:x:y:1"], INVALID),
        (["--gres="], REFUSED + "Invalid Trackable RESource (TRES) specification\n"),
        (
            ["--gpus-per-task=1"],
            "sbatch: error: Failed to validate job spec. --gpus-per-task used without either --gpus or "
            "-n/--ntasks is not allowed.\n" + INVALID,
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_refused(slurm: Slurm, options: list[str], text: str) -> None:
    result = slurm.run("sbatch", *options, "--wrap", "true")
    assert (result.returncode, result.stdout, result.stderr) == (1, "", text)


def test_jobs_share_a_node_until_its_gpus_are_gone(slurm: Slurm) -> None:
    body = "echo $CUDA_VISIBLE_DEVICES; sleep 300"
    first, second = (slurm.submit(body, "--gres=gpu:1", "-w", "node03") for _ in range(2))
    for job_id, number in ((first, "0\n"), (second, "1\n")):
        slurm.wait_state(job_id, "RUNNING")
        output = slurm.folder / f"slurm-{job_id}.out"
        wait_until(
            lambda output=output, number=number: output.exists() and output.read_text() == number,
            f"the number {number}",
        )
    third = slurm.submit(body, "--gres=gpu:1", "-w", "node03")
    wait_until(lambda: slurm.field(third, "%r") == "Resources", "the third one waits")
    assert slurm.ok(
        "sinfo", "-h", "-N", "-n", "node[02-04]", "-O", "nodelist:|,gres:|,gresused:|"
    ).splitlines() == ["node02|(null)|gpu:0|", "node03|gpu:2|gpu:2|", "node04|gpu:2|gpu:0|"]
    assert slurm.node_state("node03") == "MIXED"
    slurm.ok("scancel", first)
    slurm.wait_state(third, "RUNNING")
    output = slurm.folder / f"slurm-{third}.out"
    wait_until(lambda: output.exists() and output.read_text() == "0\n", "the number 0")


def test_gpus_in_json(slurm: Slurm) -> None:
    def rows(key: str, name: str, *argv: str) -> dict[str, dict[str, object]]:
        return {str(row[name]): row for row in json.loads(slurm.ok(*argv, "--json"))[key]}

    ids = [
        slurm.submit("sleep 300", *options.split())
        for options in (
            "--gres=gpu:2 -w node03",
            "--gpus=1 --cpus-per-gpu=2 -w node04",
            "--gres=gpu:k80:1",
            "-n2 --gpus-per-task=1 --gpus-per-node=2 -H",
        )
    ]
    for job_id in ids[:3]:
        slurm.wait_state(job_id, "RUNNING")
    found = rows("jobs", "job_id", "squeue")
    keys = ("gres_detail", "tres_per_job", "tres_per_node", "tres_per_task", "cpus_per_tres")
    assert [[found[job_id][key] for key in keys] for job_id in ids] == [
        [["gpu:2(IDX:0-1)"], "", "gres:gpu:2", "", ""],
        [["gpu:1(IDX:0)"], "gres:gpu:1", "", "", "gres:gpu:2"],
        [["gpu:k80:1(IDX:1)"], "", "gres:gpu:k80:1", "", ""],
        [[], "", "gres:gpu:2", "gres:gpu:1", ""],
    ]
    nodes = rows("nodes", "name", "sinfo")
    assert [
        (nodes[name]["gres"], nodes[name]["gres_used"])
        for name in ("node02", "node03", "node04", "node05")
    ] == [
        ("", "gpu:0"),
        ("gpu:2", "gpu:2"),
        ("gpu:2", "gpu:1"),
        ("gpu:a100:1,gpu:k80:1", "gpu:a100:0(IDX:N/A),gpu:k80:1(IDX:1)"),
    ]
    assert slurm.ok("sinfo", "-h", "-n", "node05", "-p", "main", "-O", "gresused:|").strip() == (
        "gpu:a100:0(IDX:N/A),gpu:k80:1(IDX:1)|"
    )
    slurm.ok("scancel", *ids)


def test_a_job_that_has_its_node_for_itself_has_the_gpus(slurm: Slurm) -> None:
    show = "echo $SLURM_JOB_GPUS - $CUDA_VISIBLE_DEVICES"
    body = f"{show}\nsrun sh -c '{show}'\nsrun --gres=gpu:1 sh -c '{show}'"
    for node, commands, printed in (
        ("node03", body, "0,1 - 0,1\n0,1 -\n0,1 - 0\n"),
        ("node02", show, "-\n"),
    ):
        job_id, _ = slurm.finish(commands, "--exclusive", "-w", node)
        assert (slurm.folder / f"slurm-{job_id}.out").read_text() == printed
    whole = slurm.submit("sleep 300", "--exclusive", "-w", "node03")
    slurm.wait_state(whole, "RUNNING")
    assert slurm.ok("sinfo", "-h", "-n", "node03", "-O", "gresused:|").strip() == "gpu:2|"
    slurm.ok("scancel", whole)


def test_where_gpus_are_shown(slurm: Slurm) -> None:
    assert " Gres=gpu:2 " in slurm.ok("scontrol", "-o", "show", "node", "node03")
    assert " Gres=(null) " in slurm.ok("scontrol", "-o", "show", "node", "node01")
    assert " Gres=gpu:a100:1,gpu:k80:1 " in slurm.ok("scontrol", "-o", "show", "node", "node05")
    rows = slurm.ok("sinfo", "-h", "-p", "main", "-o", "%N|%G").splitlines()
    assert sorted(rows) == [
        "node05|gpu:a100:1,gpu:k80:1",
        "node[01-02,06]|(null)",
        "node[03-04]|gpu:2",
    ]
    assert "\nGresTypes               = gpu\n" in slurm.ok("scontrol", "show", "config")


@pytest.mark.parametrize(
    ("options", "per_node", "per_job", "per_task", "lines"),
    [
        (["--gres=gpu:1"], "gres:gpu:1", "N/A", "N/A", "TresPerNode=gres:gpu:1"),
        (
            ["--gpus-per-node=1", "--gres=gpu:2"],
            "gres:gpu:1,gres:gpu:2",
            "N/A",
            "N/A",
            "TresPerNode=gres:gpu:1,gres:gpu:2",
        ),
        (["--gpus=a100:1"], "N/A", "gres:gpu:a100:1", "N/A", "TresPerJob=gres:gpu:a100:1"),
        (["-n2", "--gpus-per-task=1"], "N/A", "N/A", "gres:gpu:1", "TresPerTask=gres:gpu:1"),
        (
            ["--gpus=2", "--cpus-per-gpu=2"],
            "N/A",
            "gres:gpu:2",
            "N/A",
            "CpusPerTres=gres:gpu:2 TresPerJob=gres:gpu:2",
        ),
        ([], "N/A", "N/A", "N/A", ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_was_asked_for_is_shown(
    slurm: Slurm, options: list[str], per_node: str, per_job: str, per_task: str, lines: str
) -> None:
    job_id = slurm.submit("true", "-H", *options)
    assert slurm.field(job_id, "%b") == per_node
    named = slurm.ok(
        "squeue", "-h", "-j", job_id, "-O", "tres-per-node:|,tres-per-job:|,tres-per-task:|,gres:|"
    )
    assert named == f"{per_node}|{per_job}|{per_task}|{per_node}|\n"
    text = slurm.ok("scontrol", "-o", "show", "job", job_id)
    assert text.endswith(f" Power= {lines} \n" if lines else " Power= \n")


@pytest.mark.parametrize(
    ("variables", "per_node", "per_job", "per_task"),
    [
        ({"SBATCH_GRES": "gpu:2"}, "gres:gpu:2", "N/A", "N/A"),
        ({"SBATCH_GPUS": "1", "SBATCH_GPUS_PER_NODE": "1"}, "gres:gpu:1", "gres:gpu:1", "N/A"),
        ({"SBATCH_GPUS_PER_TASK": "1"}, "N/A", "N/A", "gres:gpu:1"),
    ],
)
def test_variables_ask_for_gpus(
    slurm: Slurm, variables: dict[str, str], per_node: str, per_job: str, per_task: str
) -> None:
    job_id = slurm.submit("true", "-H", "-n2", env=variables)
    named = slurm.ok(
        "squeue", "-h", "-j", job_id, "-O", "tres-per-node:|,tres-per-job:|,tres-per-task:|"
    )
    assert named == f"{per_node}|{per_job}|{per_task}|\n"


def lines_of(slurm: Slurm, body: str, *options: str) -> list[str]:
    job_id, _ = slurm.finish(body, *options)
    text = (slurm.folder / f"slurm-{job_id}.out").read_text()
    return text.replace(job_id, "ID").splitlines()


STEP = "bash -c 'echo $SLURM_PROCID/$CUDA_VISIBLE_DEVICES/$SLURM_STEP_GPUS/$SLURM_GPUS_ON_NODE'"


def test_gpus_of_steps(slurm: Slurm) -> None:
    assert lines_of(
        slurm,
        f"""
srun {STEP} | sort
srun -n1 -N1 --gpus=1 {STEP}
srun -n1 -N1 --gres=gpu:1 {STEP}
srun -n1 -N1 --gres=none {STEP}
srun -n1 -N1 --gres=gpu:0 bash -c 'echo $SLURM_JOB_GPUS'
srun -n1 -N1 --gres=gpu:3 true; echo rc $?
""",
        "-N2",
        "--gres=gpu:2",
    ) == [
        "0/0,1/0,1/2",
        "1/0,1/0,1/2",
        "0/0/0/1",
        "0/0/0/1",
        "0///",
        "0,1",
        "srun: error: Step requested gres_per_node=gpu:3 is more than the job's "
        "gres_per_node=gpu:2",
        "srun: error: Unable to create step for job ID: Invalid generic resource (gres) "
        "specification",
        "rc 1",
    ]


def test_gpus_of_tasks(slurm: Slurm) -> None:
    assert lines_of(slurm, f"srun {STEP} | sort", "-n2", "--gpus-per-task=1") == [
        "0/0/0/2",
        "1/1/1/2",
    ]


def test_gpus_of_srun_alone(slurm: Slurm) -> None:
    result = slurm.run(
        "srun",
        "--gpus=2",
        "-N2",
        "bash",
        "-c",
        "echo $CUDA_VISIBLE_DEVICES/$SLURM_STEP_GPUS/$SLURM_JOB_GPUS/$SLURM_GPUS",
    )
    assert (result.returncode, result.stdout) == (0, "0/0//\n0/0//\n")
    result = slurm.run("srun", "--gres=gpu:3", "true")
    assert (result.returncode, result.stderr) == (
        1,
        "srun: error: Unable to allocate resources: Requested node configuration is not "
        "available\n",
    )


def test_tasks_of_an_array_get_gpus_in_turn(slurm: Slurm) -> None:
    job_id = slurm.submit(
        "echo $CUDA_VISIBLE_DEVICES; until test -e go; do sleep 0.1; done",
        "--array=0-2",
        "--gres=gpu:2",
        "-x",
        "node05",
    )
    wait_until(lambda: slurm.field(job_id, "%T").split().count("RUNNING") == 2, "two run")
    assert sorted(slurm.field(job_id, "%i|%T").splitlines()) == [
        f"{job_id}_0|RUNNING",
        f"{job_id}_1|RUNNING",
        f"{job_id}_2|PENDING",
    ]
    (slurm.folder / "go").touch()
    wait_until(lambda: slurm.field(job_id, "%T").split() == ["COMPLETED"] * 3, "all are over")
    for task in range(3):
        assert (slurm.folder / f"slurm-{job_id}_{task}.out").read_text() == "0,1\n"


def test_whether_a_job_with_gpus_could_start(slurm: Slurm) -> None:
    result = slurm.run("sbatch", "--test-only", "--gpus=2", "--wrap", "true")
    assert result.returncode == 0
    assert " using 1 processors on nodes node03 in partition main" in result.stderr
    result = slurm.run("sbatch", "--test-only", "--gpus=9", "--wrap", "true")
    assert (result.returncode, result.stderr) == (
        1,
        "allocation failure: Requested node configuration is not available\n",
    )
