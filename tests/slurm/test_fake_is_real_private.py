"""PrivateData=nodes, cloud nodes that are not listed, and topology/tree, on fake and real."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from clusters import FakeForTests, Slurm, wait_until
from machines import PoweredSlurm, fake, powered_description

from open_directory import open_directory

TOPOLOGY = """\
SwitchName=s1 Nodes=node[01-04]
SwitchName=s2 Nodes=node[05-08] LinkSpeed=7
SwitchName=s3 Nodes=q-dy-[1-2]
SwitchName=top Switches=s[1-3]
"""
SWITCHES = [
    {"name": "s1", "nodes": "node[01-04]"},
    {"name": "s2", "nodes": "node[05-08]", "speed": 7},
    {"name": "s3", "nodes": "q-dy-[1-2]"},
    {"name": "top", "switches": "s[1-3]"},
]


@pytest.fixture(scope="session")
def slurm_cluster(request: pytest.FixtureRequest) -> Iterator[FakeForTests | PoweredSlurm]:
    """Nodes are private, and not all of them are listed even to root."""
    if request.param == "real":
        with open_directory("test-private-") as path:
            (path / "topology.conf").write_text(TOPOLOGY)
            with PoweredSlurm(
                path,
                cloud_nodes=2,
                message_timeout=2,
                extra_conf=("PrivateData=nodes\nTopologyPlugin=topology/tree\n"),
            ) as real:
                yield real
    else:
        made = powered_description(2, private_data=["nodes"], switches=SWITCHES)
        with fake(made, suspend_time=30) as cluster:
            yield cluster


def answer(slurm: Slurm, *argv: str, user: str | None = "nobody") -> tuple[int, str, str]:
    result = slurm.run(*argv, user=user)
    return result.returncode, result.stdout, result.stderr


@pytest.mark.parametrize("options", [[], ["-a"], ["-N"], ["-R"], ["-s"], ["-h", "-o", "%P %N"]])
def test_sinfo_is_denied(slurm: Slurm, options: list[str]) -> None:
    denied = (1, "", "slurm_load_node: Access/permission denied\n")
    assert answer(slurm, "sinfo", *options) == denied
    assert answer(slurm, "sinfo", *options, user=None)[0] == 0


@pytest.mark.parametrize("names", [[], ["node01"], ["nosuch"]])
def test_scontrol_show_node_is_denied(slurm: Slurm, names: list[str]) -> None:
    denied = (1, "", "slurm_load_node error: Access/permission denied\n")
    assert answer(slurm, "scontrol", "-o", "show", "node", *names) == denied


def test_all_else_goes_on(slurm: Slurm) -> None:
    slurm.reserve("r", ["node03"])
    for words in (
        ["show", "partition"],
        ["show", "partition", "main"],
        ["-o", "show", "reservation"],
        ["show", "reservation", "r"],
        ["show", "topology"],
    ):
        code, text, error = answer(slurm, "scontrol", *words)
        assert (code, error) == (0, ""), words
        assert "node" in text, words
    assert "Nodes=node[01-06]\n" in answer(slurm, "scontrol", "show", "partition", "main")[1]
    assert answer(slurm, "squeue")[0] == 0
    assert "PrivateData             = nodes\n" in answer(slurm, "scontrol", "show", "config")[1]
    slurm.unreserve("r")
    job_id = slurm.ok(
        "sbatch", "--parsable", "-o", "/dev/null", "-w", "node01", "--wrap", "true", user="nobody"
    ).strip()
    slurm.wait_state(job_id, "COMPLETED")


def test_a_powered_down_cloud_node_is_not_listed(slurm: Slurm) -> None:
    missing = (1, "Node q-dy-1 not found\n", "")
    assert answer(slurm, "scontrol", "-a", "-o", "show", "node", "q-dy-1", user=None) == missing
    listed = slurm.ok("sinfo", "-a").splitlines()[-1]
    assert re.fullmatch(r"q +up +infinite +0 +n/a ", listed)
    assert "q-dy" not in slurm.ok("scontrol", "-a", "-o", "show", "node")
    assert "Nodes=q-dy-[1-2]\n" in slurm.ok("scontrol", "show", "partition", "q")
    # Jobs get it all the same, and then it is there.
    job_id = slurm.ok(
        "sbatch", "--parsable", "-p", "q", "-o", "/dev/null", "-w", "q-dy-1", "--wrap", "sleep 2"
    ).strip()
    slurm.wait_state(job_id, "CONFIGURING")
    wait_until(
        lambda: slurm.node_state("q-dy-1") == "MIXED+CLOUD+NOT_RESPONDING+POWERING_UP",
        "it is listed",
    )
    slurm.wait_state(job_id, "COMPLETED", seconds=60)


WHOLE = (
    "SwitchName=s1 Level=0 LinkSpeed=1 Nodes=node[01-04]\n"
    "SwitchName=s2 Level=0 LinkSpeed=7 Nodes=node[05-08]\n"
    "SwitchName=s3 Level=0 LinkSpeed=1 Nodes=q-dy-[1-2]\n"
    "SwitchName=top Level=1 LinkSpeed=1 Nodes=node[01-08],q-dy-[1-2] Switches=s[1-3]\n"
)
S1, S2, _, TOP = WHOLE.splitlines(keepends=True)
NO_SUCH = "scontrol: error: Topology information contains no switch or node named "


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("", WHOLE, ""),
        ("s1", S1, ""),
        ("top", TOP, ""),
        ("node03", S1 + TOP, ""),
        ("node08", S2 + TOP, ""),
        ("node[01-02]", S1 + TOP, ""),
        ("node[03-06]", TOP, ""),
        ("nosuch", "", NO_SUCH + "nosuch\n"),
        ("s1,s2", "", NO_SUCH + "s1,s2\n"),
    ],
)
def test_the_topology(slurm: Slurm, name: str, text: str, error: str) -> None:
    for options in ([], ["-o"]):
        words = [*options, "show", "topology", *([name] if name else [])]
        assert answer(slurm, "scontrol", *words) == (0, text, error)


def test_the_topology_of_a_job(slurm: Slurm) -> None:
    output = slurm.folder / "topology.out"
    job_id = slurm.submit("env | grep SLURM_TOPOLOGY | sort", "-w", "node02", "-o", str(output))
    slurm.wait_state(job_id, "COMPLETED")
    assert output.read_text() == (
        "SLURM_TOPOLOGY_ADDR=top.s1.node02\nSLURM_TOPOLOGY_ADDR_PATTERN=switch.switch.node\n"
    )


def test_the_topology_of_a_controller_that_does_not_answer(slurm: Slurm) -> None:
    wanted = "slurm_load_topo error: "
    with slurm.frozen():
        assert answer(slurm, "scontrol", "show", "topology") == (
            0,
            "",
            wanted + "Socket timed out on send/recv operation\n",
        )
    wait_until(lambda: answer(slurm, "scontrol", "ping")[0] == 0, "the controller is back")
    with slurm.down():
        assert answer(slurm, "scontrol", "show", "topology") == (
            0,
            "",
            wanted + "Unable to contact slurm controller (connect failure)\n",
        )
