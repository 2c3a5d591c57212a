"""Nodes, partitions and reservations: states and words."""

from __future__ import annotations

import re

import pytest
from clusters import OTHER_USER, Slurm, wait_until

pytestmark = pytest.mark.usefixtures("early")


def rows(slurm: Slurm, form: str, *options: str) -> list[str]:
    everything = [] if "-p" in options else ["-a"]
    return slurm.ok("sinfo", *everything, "-h", "-o", form, *options).splitlines()


def test_all_and_one_partition_are_not_asked_for_together(slurm: Slurm) -> None:
    result = slurm.run("sinfo", "-a", "-p", "main")
    assert (result.returncode, result.stdout, result.stderr) == (
        1,
        "",
        "sinfo: error: Conflicting options, -a and -p, specified. Please choose one or "
        "the other.\n",
    )


def test_nodes_in_partitions(slurm: Slurm) -> None:
    slurm.wait_idle()
    assert slurm.ok("sinfo") == (
        "PARTITION AVAIL  TIMELIMIT  NODES  STATE NODELIST\n"
        "main*        up    1:00:00      6   idle node[01-06]\n"
        "alt          up   infinite      4   idle node[05-08]\n"
        "secret       up   infinite      2   idle node[07-08]\n"
    )
    assert rows(slurm, "%R|%F|%a|%l") == [
        "main|0/6/0/6|up|1:00:00",
        "alt|0/4/0/4|up|infinite",
        "secret|0/2/0/2|up|infinite",
    ]
    assert rows(slurm, "%N|%c|%m|%f|%G|%z|%B", "-p", "secret") == [
        "node07|4|2000|a,odd|(null)|4:1:1|UNLIMITED",
        "node08|4|2000|a|(null)|4:1:1|UNLIMITED",
    ]
    assert sorted(rows(slurm, "%N %P", "-N", "-n", "node06,node08")) == [
        "node06 alt",
        "node06 main*",
        "node08 alt",
        "node08 secret",
    ]
    assert rows(slurm, "%P %D %t", "-n", "nosuch") == ["main* 0 n/a", "alt 0 n/a", "secret 0 n/a"]
    wide = slurm.ok("sinfo", "-N", "-n", "node01").splitlines()
    assert wide == ["NODELIST   NODES PARTITION STATE ", "node01         1     main* idle  "]


def test_named_columns(slurm: Slurm) -> None:
    slurm.wait_idle()
    if slurm.words["a resumed node keeps its reason"]:
        # Nodes are listed together where they have the same one.
        slurm.ok("scontrol", "update", "nodename=node[01-08]", "reason=none")
    text = slurm.ok(
        "sinfo",
        "-a",
        "-O",
        "StateComplete:|,CPUs:|,Memory:|,Features:|,PartitionName:|,NodeList:|,Reason:|",
    )
    header, *lines = text.splitlines()
    assert header == ("STATECOMPLETE|CPUS|MEMORY|AVAIL_FEATURES|PARTITION|NODELIST|REASON|")
    assert lines == [
        "idle|4|2000|a,odd|main|node[01,03,05]|none|",
        "idle|4|2000|a|main|node[02,04,06]|none|",
        "idle|4|2000|a,odd|alt|node[05,07]|none|",
        "idle|4|2000|a|alt|node[06,08]|none|",
        "idle|4|2000|a,odd|secret|node07|none|",
        "idle|4|2000|a|secret|node08|none|",
    ]
    assert slurm.ok("sinfo", "-h", "-p", "secret", "-O", "nodelist,statelong:10") == (
        "node[07-08]         idle      \n"
    )


def test_a_partition(slurm: Slurm) -> None:
    text = slurm.ok("scontrol", "-o", "show", "partition", "main")
    for words in (
        "PartitionName=main AllowGroups=ALL ",
        " Default=YES ",
        " Hidden=NO ",
        " MaxTime=01:00:00 ",
        " Nodes=node[01-06] ",
        " State=UP TotalCPUs=24 TotalNodes=6 ",
        " TRES=cpu=24,mem=12000M,node=6,billing=24",
    ):
        assert words in text
    assert len(slurm.ok("scontrol", "-a", "-o", "show", "partition").splitlines()) == 3


def test_draining_a_node_with_a_hostile_reason(slurm: Slurm) -> None:
    slurm.wait_idle("node01", "node02")
    slurm.drain("node01", "x State=IDLE y")
    text = slurm.ok("scontrol", "-o", "show", "node", "node01")
    assert re.findall(r" State=(\S+)", text) == ["IDLE+DRAIN", "IDLE"]  # the last is a lie
    assert re.search(r" Reason=x State=IDLE y \[root@\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\]\n", text)
    assert rows(slurm, "%T|%t|%E|%u", "-N", "-n", "node01") == ["drained|drain|x State=IDLE y|root"]
    listed = slurm.ok("sinfo", "-R").splitlines()
    assert listed[0] == "REASON               USER      TIMESTAMP           NODELIST"
    assert listed[1].startswith("x State=IDLE y       root      ")
    slurm.resume("node01")
    text = slurm.ok("scontrol", "-o", "show", "node", "node01")
    assert ("Reason=" in text) == slurm.words["a resumed node keeps its reason"]
    assert "DRAIN" not in re.findall(r" State=(\S+)", text)[0]


def test_a_node_that_drains_while_a_job_runs(slurm: Slurm) -> None:
    job_id = slurm.submit("sleep 300", "-w", "node03")
    slurm.wait_state(job_id, "RUNNING")
    slurm.drain("node03")
    assert slurm.node_state("node03") == "MIXED+DRAIN"
    assert rows(slurm, "%T|%t", "-n", "node03", "-p", "main") == ["draining|drng"]
    waiting = slurm.submit("true", "-w", "node03")
    reason = slurm.words["requested nodes are drained"].format("node03")
    wait_until(lambda: slurm.field(waiting, "%r") == reason, reason)
    assert slurm.field(waiting, "%R") == f"({reason})"
    assert slurm.show(waiting)["Reason"] == reason.replace(" ", "_")


def test_too_few_nodes_are_up(slurm: Slurm) -> None:
    slurm.wait_idle("node07", "node08")
    slurm.drain("node07")
    job_id = slurm.submit("true", "-p", "secret", "-N2")
    reason = slurm.words["requested nodes are drained"].format("node07")
    wait_until(lambda: slurm.field(job_id, "%r") == reason, reason)
    assert slurm.show(job_id)["NumNodes"] == "2-2"


def test_changes_that_are_refused(slurm: Slurm) -> None:
    slurm.wait_idle("node01")
    for words, text in (
        (
            ["nodename=node01", "state=drain"],
            "You must specify a reason when DOWNING or DRAINING a node. Request denied\n",
        ),
        (
            ["nodename=nosuch", "state=drain", "reason=x"],
            "slurm_update error: Invalid node name specified\n",
        ),
        (["nodename=node01", "state=resume"], "slurm_update error: Invalid node state specified\n"),
        (
            ["nodename=node01", "state=foo"],
            "Invalid input: state=foo\nRequest aborted\n"
            "Valid states are: NoResp DRAIN FAIL FUTURE RESUME POWER_DOWN POWER_UP UNDRAIN\n"
            "Not all states are valid given a node's prior state\n",
        ),
    ):
        result = slurm.run("scontrol", "update", *words)
        assert (result.returncode, result.stderr) == slurm.words.of(1, text)
    result = slurm.run(
        "scontrol", "update", "nodename=node01", "state=drain", "reason=x", user=OTHER_USER
    )
    assert (result.returncode, result.stderr) == (1, "slurm_update error: Invalid user id\n")


def test_reservations(slurm: Slurm) -> None:
    slurm.wait_idle("node03", "node04", "node05")
    slurm.reserve("plain", ["node03"])
    slurm.reserve("works", ["node04", "node05"], flags=["maint"])
    wait_until(lambda: slurm.node_state("node03") == "IDLE+RESERVED", "reserved")
    wait_until(lambda: slurm.node_state("node04") == "IDLE+MAINTENANCE+RESERVED", "maintenance")
    assert sorted(rows(slurm, "%N|%T|%t", "-N", "-p", "main", "-n", "node[03-05]")) == [
        "node03|reserved|resv",
        "node04|maint|maint",
        "node05|maint|maint",
    ]
    text = slurm.ok("scontrol", "-o", "show", "reservation", "works")
    for words in (
        "ReservationName=works StartTime=",
        " Duration=01:00:00 Nodes=node[04-05] "
        "NodeCnt=2 CoreCnt=8 Features=(null) PartitionName=(null) "
        "Flags=MAINT,SPEC_NODES"
        + slurm.words["lists of a reservation"]
        + " Groups=(null) Accounts=(null) Licenses=(null) State=ACTIVE "
        "BurstBuffer=(null)" + slurm.words["watts of a reservation"] + " MaxStartDelay=(null)\n",
    ):
        assert words in text
    slurm.drain("node04")
    assert slurm.node_state("node04") == "IDLE+DRAIN+MAINTENANCE+RESERVED"
    assert rows(slurm, "%T|%t", "-p", "main", "-n", "node04") == ["drained$|drain$"]


def test_jobs_and_reservations(slurm: Slurm) -> None:
    slurm.wait_idle("node02", "node03")
    slurm.reserve("plain", ["node03"])
    inside = slurm.submit("sleep 300", "--reservation", "plain")
    slurm.wait_state(inside, "RUNNING")
    assert slurm.field(inside, "%N|%v") == "node03|plain"
    assert slurm.show(inside)["Reservation"] == "plain"
    outside = slurm.submit("true", "-w", "node03")
    reason = "ReqNodeNotAvail, May be reserved for other job"
    wait_until(lambda: slurm.field(outside, "%r") == reason, reason)
    wanted = "sbatch: error: Batch job submission failed: "
    for options, user, text in (
        (
            ["-w", "node01"],
            None,
            "sbatch: error: Problem using reservation\n"
            + wanted
            + "Requested node configuration is not available\n",
        ),
        (["-N2"], None, wanted + "Requested node configuration is not available\n"),
        ([], OTHER_USER, wanted + "Access denied to requested reservation\n"),
    ):
        result = slurm.run("sbatch", "--reservation=plain", *options, "--wrap", "true", user=user)
        assert (result.returncode, result.stderr) == (1, text)
    busy = slurm.run("scontrol", "delete", "reservationname=plain")
    assert (busy.returncode, busy.stderr) == (
        1,
        "delete_reservation reservationname=plain: Requested reservation is in use\n",
    )
    slurm.ok("scancel", inside)
    wait_until(
        lambda: slurm.run("scontrol", "delete", "reservationname=plain").returncode == 0,
        "the reservation is free",
    )


def test_reservations_that_are_refused_or_not_yet_active(slurm: Slurm) -> None:
    slurm.reserve("later", ["node01"], start="now+1hour")
    assert " State=INACTIVE " in slurm.ok("scontrol", "-o", "show", "reservation", "later")
    create = ["scontrol", "create", "reservation"]
    times = ["starttime=now+1hour", "duration=10", "users=root"]
    for words, text in (
        (
            ["reservationname=later", "nodes=node02", *times],
            "Error creating the reservation: Duplicate reservation name\n",
        ),
        (
            ["reservationname=r", "nodes=node01", *times],
            "Error creating the reservation: Requested reservation overlaps with another "
            "reservation\n",
        ),
        (
            ["reservationname=r", "nodes=node99", *times],
            "Error creating the reservation: Invalid node name specified\n",
        ),
        (
            ["reservationname=r", "nodes=node02", "duration=5", "users=root"],
            "scontrol: error: A start time must be given.  No reservation created.\n",
        ),
        (
            ["reservationname=r", "nodes=node02", "duration=5", "starttime=now"],
            "scontrol: error: Either Users/Groups and/or Accounts must be specified.  No "
            "reservation created.\n",
        ),
    ):
        result = slurm.run(*create, *words)
        assert (result.returncode, result.stderr) == slurm.words.of(1, text)
    result = slurm.run("scontrol", "delete", "reservationname=nosuch")
    assert (result.returncode, result.stderr) == (
        1,
        "delete_reservation reservationname=nosuch: Requested reservation is invalid\n",
    )
    unnamed = slurm.ok(*create, "nodes=node02", "starttime=now+2hours", "duration=5", "users=root")
    assert re.fullmatch(r"Reservation created: root_\d+\n", unnamed)


def test_a_node_that_does_not_answer(slurm: Slurm) -> None:
    slurm.wait_idle("node06")
    slurm.freeze_node("node06")
    try:
        wait_until(lambda: slurm.node_state("node06") == "IDLE+NOT_RESPONDING", "no answer")
        assert rows(slurm, "%T|%t", "-p", "main", "-n", "node06") == ["idle*|idle*"]
    finally:
        if slurm.is_real:
            slurm.thaw_node("node06")
