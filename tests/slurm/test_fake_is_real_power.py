"""Power saving: nodes that are powered down, wake up and go back, on the fake as on a real one."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from clusters import FakeForTests, Slurm, TimedOut, wait_until
from machines import PoweredSlurm, fake, powered_description

from open_directory import open_directory

NEVER = ["q-dy-3"]
FRESH = (
    "NodeName=q-dy-5 CoresPerSocket=1  CPUAlloc=0 CPUEfctv=4 CPUTot=4 CPULoad=N/A "
    "AvailableFeatures=dynamic ActiveFeatures=dynamic Gres=(null) NodeAddr=127.0.0.1 "
    "NodeHostName=HOST Port=PORT  RealMemory=2000 AllocMem=0 FreeMem=N/A Sockets=4 Boards=1 "
    "State=IDLE+CLOUD+POWERED_DOWN ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A MCS_label=N/A "
    "Partitions=q  BootTime=None SlurmdStartTime=None LastBusyTime=Unknown "
    "CfgTRES=cpu=4,mem=2000M,billing=4 AllocTRES= CapWatts=n/a CurrentWatts=0 AveWatts=0 "
    "ExtSensorsJoules=n/s ExtSensorsWatts=0 ExtSensorsTemp=n/s\n"
)


@pytest.fixture(scope="session")
def slurm_cluster(request: pytest.FixtureRequest) -> Iterator[FakeForTests | PoweredSlurm]:
    """With partition q, of cloud nodes q-dy-1 to q-dy-5 that are listed."""
    if request.param == "real":
        with (
            open_directory("test-power-") as path,
            PoweredSlurm(
                path, never=NEVER, min_job_age=300, extra_conf="PrivateData=cloud\n"
            ) as real,
        ):
            yield real
    else:
        # Long enough for all that is looked at while nodes wake up.
        made = powered_description(never=NEVER, resume_time=6, private_data=["cloud"])
        with fake(made, suspend_time=3, suspend_timeout=4, resume_timeout=8) as cluster:
            yield cluster


def words(slurm: Slurm, node: str) -> str:
    """A node as sinfo shows it: word, short word, all flags."""
    return slurm.ok(
        "sinfo",
        "-h",
        "-N",
        "-p",
        "q",
        "-n",
        node,
        "-O",
        "statelong: ,statecompact: ,statecomplete:",
    ).strip()


def wait_words(slurm: Slurm, node: str, expected: str) -> None:
    """A real sinfo takes a node with a new job for a fully allocated one, now and then for long."""
    others = (
        {expected, expected.replace("mixed", "allocated").replace("mix", "alloc")}
        if slurm.is_real
        else {expected}
    )
    wait_until(lambda: words(slurm, node).startswith(tuple(others)), expected)


def lines(slurm: Slurm, *options: str) -> list[str]:
    return slurm.ok("sinfo", "-h", "-p", "q", "-o", "%D %t %N", *options).splitlines()


def wait_state(slurm: Slurm, node: str, *states: str) -> str:
    seen: dict[str, None] = {}  # in this order

    def now() -> str | None:
        state = slurm.node_state(node)
        seen.setdefault(state)
        return state if state in states else None

    try:
        return str(wait_until(now, f"{node} {' or '.join(states)}"))
    except TimedOut as exc:
        raise TimedOut(f"{exc}; it was {', '.join(seen)}") from exc


def submit(slurm: Slurm, seconds: int, *options: str) -> str:
    return slurm.ok(
        "sbatch", "--parsable", "-p", "q", "-o", "/dev/null", *options, "--wrap", f"sleep {seconds}"
    ).strip()


def test_a_node_that_was_never_up(slurm: Slurm) -> None:
    assert words(slurm, "q-dy-5") == "idle~ idle~ idle+cloud+powered_down"
    text = slurm.ok("scontrol", "-o", "show", "node", "q-dy-5")
    text = re.sub(r"NodeHostName=\S+ Port=\d+", "NodeHostName=HOST Port=PORT", text)
    assert text == FRESH
    assert "q-dy-5" in slurm.ok("sinfo", "-h", "-t", "powered_down", "-p", "q", "-N")
    assert "q-dy-5" in slurm.ok("sinfo", "-h", "-t", "idle", "-p", "q", "-N")


def test_a_job_wakes_its_nodes_and_they_go_back(slurm: Slurm) -> None:
    job_id = submit(slurm, 15, "-N2", "-w", "q-dy-[1-2]")
    slurm.wait_state(job_id, "CONFIGURING")
    wait_state(slurm, "q-dy-1", "MIXED+CLOUD+NOT_RESPONDING+POWERING_UP")
    wait_words(slurm, "q-dy-1", "mixed# mix# mixed+cloud+not_responding+powering_up")
    assert lines(slurm, "-t", "powering_up") == ["2 mix# q-dy-[1-2]"]
    form = ["squeue", "-h", "-j", job_id, "-o", "%T %t %r|%R|%N|%B"]
    assert slurm.ok(*form) == "CONFIGURING CF None|q-dy-[1-2]|q-dy-[1-2]|q-dy-1\n"
    assert slurm.ok(*form, "-t", "R") == ""
    assert slurm.ok(*form, "-t", "PD") == ""
    assert slurm.ok(*form, "-t", "CF") != ""
    shown = slurm.show(job_id)
    assert (shown["JobState"], shown["BatchHost"]) == ("CONFIGURING", "q-dy-1")
    slurm.wait_state(job_id, "RUNNING", seconds=60)  # a real one may look every 30 s only
    assert slurm.show(job_id)["StartTime"] > shown["StartTime"]  # anew, when the nodes are up
    wait_words(slurm, "q-dy-1", "mixed mix mixed+cloud")
    slurm.wait_state(job_id, "COMPLETED")
    wait_state(slurm, "q-dy-1", "IDLE+CLOUD+POWERING_DOWN")
    assert words(slurm, "q-dy-1") == "idle% idle% idle+cloud+powering_down"
    wait_state(slurm, "q-dy-1", "IDLE+CLOUD+POWERED_DOWN")
    text = slurm.ok("scontrol", "-o", "show", "node", "q-dy-1")
    assert " LastBusyTime=Unknown " in text
    assert re.search(r" BootTime=\d{4}-\S+ SlurmdStartTime=\d{4}-\S+ ", text)
    assert " Version=22.05.8 OS=Linux " in text


def test_nodes_that_do_not_wake_up(slurm: Slurm) -> None:
    lost = submit(slurm, 1, "-w", "q-dy-3", "--no-requeue")
    wait_state(slurm, "q-dy-3", "DOWN+CLOUD+POWERED_DOWN+NOT_RESPONDING")
    assert words(slurm, "q-dy-3") == "down~ down~ down+cloud+powered_down+not_responding"
    assert re.search(
        r" Reason=ResumeTimeout reached \[root@\S+\]\n",
        slurm.ok("scontrol", "-o", "show", "node", "q-dy-3"),
    )
    slurm.wait_state(lost, "NODE_FAIL")
    assert slurm.field(lost, "%r|%N") == "NodeDown|q-dy-3"
    slurm.ok("scontrol", "update", "nodename=q-dy-3", "state=resume")
    assert slurm.node_state("q-dy-3") == "IDLE+CLOUD+POWERED_DOWN+NOT_RESPONDING"
    requeued = submit(slurm, 1, "-w", "q-dy-3")
    slurm.wait_state(requeued, "CONFIGURING")
    wait_state(slurm, "q-dy-3", "DOWN+CLOUD+POWERED_DOWN+NOT_RESPONDING")
    wait_until(lambda: slurm.field(requeued, "%T|%r|%N") == "PENDING|BeginTime|", "requeued")
    assert slurm.show(requeued)["Restarts"] == "1"


def test_nodes_are_powered_up_and_down_by_hand(slurm: Slurm) -> None:
    for wish in ("power_up", "power_down"):
        refused = slurm.run("scontrol", "update", "nodename=q-dy-4", f"state={wish}", user="nobody")
        assert (refused.returncode, refused.stderr) == (1, "slurm_update error: Invalid user id\n")
    slurm.ok("scontrol", "update", "nodename=q-dy-4", "state=power_up")
    # A real one may have woken up before it is looked at.
    wait_state(slurm, "q-dy-4", "IDLE+CLOUD+NOT_RESPONDING+POWERING_UP", "IDLE+CLOUD")
    assert words(slurm, "q-dy-4").startswith(
        ("idle# idle# ", "idle idle ") if slurm.is_real else "idle# idle# "
    )
    wait_state(slurm, "q-dy-4", "IDLE+CLOUD")
    job_id = submit(slurm, 120, "-w", "q-dy-4")
    slurm.wait_state(job_id, "RUNNING")
    slurm.ok("scontrol", "update", "nodename=q-dy-4", "state=power_down")
    wait_words(slurm, "q-dy-4", "mixed! mix! mixed+cloud+power_down")
    other = submit(slurm, 0, "-w", "q-dy-4")  # it still takes jobs
    slurm.wait_state(other, "COMPLETED")
    assert slurm.state(job_id) == "RUNNING"
    slurm.ok("scancel", job_id)
    wait_state(slurm, "q-dy-4", "IDLE+CLOUD+POWERING_DOWN")
    waiting = submit(slurm, 0, "-w", "q-dy-4")
    reason = "ReqNodeNotAvail, UnavailableNodes:q-dy-4"
    wait_until(lambda: slurm.field(waiting, "%r") == reason, reason)
    slurm.ok("scancel", waiting)
    wait_state(slurm, "q-dy-4", "IDLE+CLOUD+POWERED_DOWN")
    slurm.ok("scontrol", "update", "nodename=q-dy-4", "state=power_down")  # and once more
    wait_state(slurm, "q-dy-4", "IDLE+CLOUD+POWERING_DOWN")
    wait_state(slurm, "q-dy-4", "IDLE+CLOUD+POWERED_DOWN")
    slurm.drain("q-dy-4", "x")
    assert words(slurm, "q-dy-4") == "drained~ drain~ idle+cloud+drain+powered_down"


def test_a_job_is_cancelled_while_its_node_wakes_up(slurm: Slurm) -> None:
    job_id = submit(slurm, 5, "-w", "q-dy-2")
    wait_state(slurm, "q-dy-2", "MIXED+CLOUD+NOT_RESPONDING+POWERING_UP")
    assert slurm.state(job_id) == "CONFIGURING"
    slurm.ok("scancel", job_id)
    slurm.wait_state(job_id, "CANCELLED")
    assert slurm.field(job_id, "%N %r") == "q-dy-2 None"
    wait_state(slurm, "q-dy-2", "IDLE+CLOUD")  # it wakes up all the same


def test_power_down_asap_and_force(slurm: Slurm) -> None:
    slurm.ok("scontrol", "update", "nodename=q-dy-1", "state=power_up")
    wait_state(slurm, "q-dy-1", "IDLE+CLOUD")
    job_id = submit(slurm, 120, "-w", "q-dy-1")
    slurm.wait_state(job_id, "RUNNING")
    slurm.ok("scontrol", "update", "nodename=q-dy-1", "state=power_down_asap")
    text = slurm.ok("scontrol", "-o", "show", "node", "q-dy-1")
    assert " State=MIXED+CLOUD+DRAIN+POWER_DOWN " in text
    assert " Reason=POWER_DOWN_ASAP [" in text
    wait_words(slurm, "q-dy-1", "draining! drng! ")
    slurm.ok("scancel", job_id)
    wait_state(slurm, "q-dy-1", "IDLE+CLOUD+POWERING_DOWN")
    wait_state(slurm, "q-dy-1", "IDLE+CLOUD+POWERED_DOWN")
    slurm.ok("scontrol", "update", "nodename=q-dy-1", "state=power_up")
    wait_state(slurm, "q-dy-1", "IDLE+CLOUD")
    job_id = submit(slurm, 120, "-w", "q-dy-1")
    slurm.wait_state(job_id, "RUNNING")
    slurm.ok("scontrol", "update", "nodename=q-dy-1", "state=power_down_force")
    wait_until(lambda: slurm.field(job_id, "%T %r") == "PENDING BeginTime", "requeued")
    wait_state(slurm, "q-dy-1", "IDLE+CLOUD+POWERING_DOWN")
