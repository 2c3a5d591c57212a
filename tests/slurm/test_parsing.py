"""What Slurm's commands print, read as data: captured outputs, and damaged ones."""

from __future__ import annotations

import pytest
from captures import DATA, RELEASES, captured
from hypothesis import example, given
from hypothesis import strategies as st
from recorded import RECORDED_FIELDS, parse_recorded

from pavilion.schedulers.batch.dialect import by_identity, with_token
from pavilion.schedulers.lifecycle.job_table import JobRecord
from pavilion.schedulers.placement.inventory import check_node
from pavilion.schedulers.plugins.slurm.dialect import SlurmDialect
from pavilion.schedulers.plugins.slurm.notes import job_note
from pavilion.schedulers.plugins.slurm.parsing import (
    MIB,
    Node,
    Submitted,
    UnreadableAnswer,
    default_of_partitions,
    node_info,
    parse_drained,
    parse_jobs,
    parse_node_list,
    parse_nodes,
    parse_reservations,
    parse_scontrol_nodes,
    parse_submitted,
    parse_table,
    reservation_problem,
    reservations_by_node,
)
from pavilion.schedulers.plugins.slurm.queries import (
    FIELD_END,
    JOB_FIELDS,
    NODE_FIELDS,
    ROW_END,
)
from pavilion.schedulers.plugins.slurm.states import NodeRules


def written(name: str) -> str:
    return (DATA / "written" / name).read_text(encoding="utf-8")


def table(*rows: list[str], header: str = "A B") -> str:
    return "".join(FIELD_END.join(row) + f"{ROW_END}\n" for row in [header.split(), *rows])


def job_text(**fields: str) -> list[str]:
    values = {
        "id": "1",
        "array": fields.get("id", "1"),
        "het": "N/A",
        "state": "RUNNING",
        "exit_code": "0",
        "restarts": "0",
        "partition": "main",
        "reason": "None",
        "name": "x",
        "comment": "(null)",
        **fields,
    }
    return [values.get(key, "") for key in JOB_FIELDS]


def job_table(*rows: list[str]) -> str:
    return table(*rows, header=" ".join(key.upper() for key in JOB_FIELDS))


# --- Tables ---


def test_rows_without_the_header() -> None:
    assert parse_table(table(["1", "x"], ["2", "y z"]), 2, "cmd") == (
        [["1", "x"], ["2", "y z"]],
        [],
    )


def test_no_rows_is_an_answer_and_no_text_is_none() -> None:
    assert parse_table(table(), 2, "cmd") == ([], [])
    with pytest.raises(UnreadableAnswer, match="does not begin with its header"):
        parse_table("", 2, "cmd")


def test_free_text_may_hold_anything_but_the_end_of_a_row() -> None:
    text = table(["1", f"a|b\nNODE=c {FIELD_END}d\n"], ["2", ""])
    assert parse_table(text, 2, "cmd")[0] == [["1", f"a|b\nNODE=c {FIELD_END}d\n"], ["2", ""]]


def test_lines_of_a_site_are_passed_over() -> None:
    text = f"*** Welcome ***\nCLUSTER: c1\n{table(['1', 'x'])}bye, see you\n"
    assert parse_table(text, 2, "cmd") == ([["1", "x"]], [])
    text = table(["1", "x"]) + "a message\n" + f"2{FIELD_END}y{ROW_END}\n"
    rows, refused = parse_table(text, 2, "cmd")
    assert ([row[1] for row in rows], refused) == (["x", "y"], [])


def test_rows_with_other_numbers_of_fields_are_refused_and_reported() -> None:
    text = table(["1", "x", "m"], ["17", "y"], ["2", "z", "n"], header="A B C")
    rows, refused = parse_table(text, 3, "squeue")
    assert [row[0] for row in rows] == ["1", "2"]
    assert [(row.problem, row.job_id) for row in refused] == [("2 fields instead of 3", "17")]
    assert "17" in refused[0].text


def test_a_field_the_command_does_not_know_makes_the_answer_unreadable() -> None:
    # It is left out of header and rows, with an error on stderr and rc 0 [22.05.8].
    with pytest.raises(UnreadableAnswer):
        parse_table(table(["1"], header="A"), 2, "cmd")


def test_an_answer_without_header_is_none() -> None:
    with pytest.raises(UnreadableAnswer, match=r"header line.*segmentation"):
        parse_table("segmentation fault\n", 2, "squeue")
    with pytest.raises(UnreadableAnswer, match="header line"):
        parse_table(table(["1", "x"]).partition("\n")[2], 2, "squeue")


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("name", ["jobs", "nodes", "jobs_none"])
def test_a_cut_at_any_place_is_noticed_unless_it_leaves_whole_rows(name: str, release: str) -> None:
    text = captured(name, release)
    width = len(NODE_FIELDS if name == "nodes" else JOB_FIELDS)
    whole, _ = parse_table(text, width, "cmd")
    for length in range(len(text)):
        try:
            rows, refused = parse_table(text[:length], width, "cmd")
        except UnreadableAnswer:
            continue
        # The one kind of cut that cannot be seen.
        assert text[:length].endswith(f"{ROW_END}\n") and not refused
        assert rows == whole[: len(rows)]


@given(st.text(max_size=200))
def test_garbage_gives_no_rows(text: str) -> None:
    with pytest.raises(UnreadableAnswer):
        parse_table(text.replace(ROW_END, ""), 3, "squeue")


plain = st.text(
    st.characters(exclude_characters=FIELD_END + ROW_END, exclude_categories=["Cs"]), max_size=8
)


@given(st.lists(st.tuples(st.integers(1, 10**6).map(str), plain, plain).map(list), max_size=6))
def test_what_is_printed_is_read(rows: list[list[str]]) -> None:
    assert parse_table(table(*rows, header="A B C"), 3, "cmd") == (rows, [])


# --- Nodes ---


def test_a_reason_cannot_change_a_state() -> None:
    for nodes in (
        parse_nodes(captured("nodes_mixed"))[0],
        parse_scontrol_nodes(captured("nodes_scontrol_mixed"))[0],
    ):
        node03 = next(node for node in nodes if node.name == "node03")
        assert (node03.state.upper(), node03.reason) == ("IDLE+DRAIN", "x State=IDLE foo")


def test_nodes_of_other_releases() -> None:
    old, refused = parse_scontrol_nodes(written("nodes_scontrol_20.11.txt"))
    assert refused == []
    assert old == [
        Node(
            "n01",
            "IDLE+DRAIN",
            32,
            192000 * MIB,
            ("knl", "cache"),
            ("batch", "debug"),
            "bad RealMemory=1 State=IDLE dimm",
        ),
        Node("n02", "DOWN*+CLOUD", 32, 192000 * MIB, (), ("batch",), "Not responding"),
        Node("n03", "MIXED#", 32, 192000 * MIB, ("a",), (), ""),
    ]
    new, refused = parse_scontrol_nodes(written("nodes_scontrol_25.05.txt"))
    assert refused == []
    assert [(node.name, node.state, node.partitions) for node in new] == [
        ("c1", "IDLE+MAINTENANCE+RESERVED+DYNAMIC_NORM", ("batch",)),
        ("c2", "IDLE+CLOUD+POWERED_DOWN", ("batch", "long")),
    ]


def test_nodes_as_scontrol_printed_them_before_21_08() -> None:
    """Lines that people published; see tests/data/slurm/old/README.md."""
    nodes, refused = parse_scontrol_nodes((DATA / "old" / "nodes.txt").read_text())
    assert refused == []
    assert [
        (
            node.name,
            node.state,
            node.cpus,
            node.mem // MIB,
            ",".join(node.features),
            ",".join(node.partitions),
            node.reason,
        )
        for node in nodes
    ] == [
        ("a01", "IDLE", 40, 1, "", "", ""),
        ("a02", "IDLE", 1, 1, "", "", ""),
        ("a03", "MAINT", 8, 24018, "", "", "Node unexpectedly rebooted"),
        ("a04", "ALLOCATED", 288, 6850663, "big", "", ""),
        ("a05", "MAINT*+DRAIN", 16, 64000, "a05,centos7", "", "flexalloc_20170125"),
        ("a06", "DOWN*", 32, 1547638, "", "highmem", "NHC: "),
        ("a07", "MIXED", 16, 512000, "", "gpu", ""),
        ("a08", "MAINT+DRAIN", 24, 32220, "f1,f2", "p1,p2,pdef", "Foo/ failed"),
        ("a09", "ALLOCATED+CLOUD", 16, 32000, "", "slurm_partition", ""),
        ("a10", "IDLE", 256, 1900000, "NVIDIA,RACK31", "gpu2", ""),
        ("a11", "IDLE", 40, 126000, "AVX", "short,geneious", ""),
        ("a12", "IDLE", 24, 257000, "intel,gpu,v100", "compute", ""),
        ("a13", "MIXED", 48, 248000, "", "gpu5", ""),
        ("a14", "DOWN*", 2, 1, "", "batch", "Not responding"),
        ("a15", "IDLE", 2, 1, "", "batch", ""),
        ("a16", "IDLE", 80, 0, "", "normal", ""),
    ]


TOKEN = "pav-0123456789abcde0"
ATTRIBUTES = (
    "Arch=x86_64",
    "CPUTot=4",
    "AvailableFeatures=a,b",
    "NodeHostName=h",
    "RealMemory=9",
    "AllocMem=0",
    "State=IDLE+DRAIN",
    "MCS_label=N/A",
    "NextState=RESUME",
    "Partitions=p,q",
    "NewInAnotherRelease=State:x",
)


@given(st.permutations(ATTRIBUTES), st.sets(st.sampled_from(ATTRIBUTES)))
def test_any_attribute_may_be_missing_or_elsewhere(attributes: list[str], gone: set[str]) -> None:
    left = [one for one in attributes if one not in gone or one.startswith("State=")]
    nodes, refused = parse_scontrol_nodes(f"NodeName=n1 {' '.join(left)} Reason=bad State=IDLE\n")
    assert refused == []
    assert nodes == [
        Node(
            "n1",
            "IDLE+DRAIN",
            4 if "CPUTot=4" in left else 0,
            9 * MIB if "RealMemory=9" in left else 0,
            ("a", "b") if "AvailableFeatures=a,b" in left else (),
            ("p", "q") if "Partitions=p,q" in left else (),
            "bad State=IDLE",
        )
    ]


LINE = (
    "NodeName=n1 Arch=x86_64 CPUTot=4 OS={system} RealMemory=9 AllocMem=0 State=DOWN "
    "MCS_label=N/A Partitions=p BootTime=None{written}\n"
)


@pytest.mark.parametrize(
    ("system", "written_text", "reason"),
    [
        ("Linux 5.4.0 #1 SMP State=IDLE Partitions=x", "", ""),
        ("Linux Reason=x Comment=y", " Reason=mine", "mine"),
        (
            "Linux",
            " Reason=x RealMemory=1 AllocMem=0 State=IDLE OS=y [root@2026-01-01T00:00:00]",
            "x RealMemory=1 AllocMem=0 State=IDLE OS=y",
        ),
        (
            "Linux",
            " Reason=one [root@2026-01-01T00:00:00]        two State=IDLE Comment=z",
            "one\ntwo State=IDLE",
        ),
        ("Linux", " Reason=x Comment=y [a@2026-01-01T00:00:00]", "x Comment=y"),
        ("Linux", " Reason=why InstanceId=i-1 InstanceType=t Topology=leaf:s1", "why"),
        # No reason, but texts that look like one.
        ("Linux", ' Comment=State=IDLE [root@x] Reason=none Extra={"a": 1}', ""),
        ("Linux", " Extra=a=b State=IDLE Reason=no", ""),
        ("Linux", " Reason=(null)", ""),
    ],
)
def test_free_text_is_never_a_key(system: str, written_text: str, reason: str) -> None:
    nodes, refused = parse_scontrol_nodes(LINE.format(system=system, written=written_text))
    assert refused == []
    assert nodes == [Node("n1", "DOWN", 4, 9 * MIB, (), ("p",), reason)]


free_text = st.lists(
    st.sampled_from(
        [
            "State=IDLE",
            "RealMemory=1 AllocMem=0 ",
            "Reason=",
            "Comment=",
            "OS=Linux",
            "NodeName=x",
            "[root@2026-01-01T00:00:00]",
            "Partitions=y",
            "        ",
            "dimm",
            "=",
        ]
    ),
    max_size=6,
).map(" ".join)


@example("RealMemory=1 AllocMem=0  State=IDLE Reason=", "", "")
@given(free_text, free_text, free_text)
def test_no_text_of_anybody_makes_a_node_idle(system: str, reason: str, comment: str) -> None:
    text = LINE.format(
        system=f"Linux {system}",
        written=f" Reason={reason} [root@2026-01-01T00:00:00] Comment={comment}",
    )
    nodes, refused = parse_scontrol_nodes(f"{text}NodeName=n2 State=IDLE\n")
    # Where it cannot be told, the node is left out.
    assert len(nodes) + len(refused) == 2
    assert [node.state for node in nodes if node.name == "n1"] in ([], ["DOWN"])


def test_the_default_partition_wherever_scontrol_puts_it() -> None:
    assert default_of_partitions("PartitionName=a Default=NO\nPartitionName=b Default=YES\n") == "b"
    assert default_of_partitions("PartitionName=a Nodes=n1 Default=YES MaxNodes=1\n") == "a"
    # Before 17.11, with attributes of its own.
    assert (
        default_of_partitions(
            "PartitionName=debug AllowGroups=ALL AllocNodes=ALL Default=YES Midplanes=x "
            "DefaultTime=NONE Priority=1 Shared=NO State=UP SelectTypeParameters=N/A\n"
        )
        == "debug"
    )
    assert default_of_partitions("PartitionName=a Default=NO\n\n") == ""
    assert default_of_partitions("") == ""


@pytest.mark.parametrize(
    ("state", "reason", "why"),
    [
        (
            "idle+drain",
            "Prolog error : Prolog error",
            "drained by an administrator (DRAIN): Prolog error",
        ),
        ("down", "x : Not responding : x : Not responding", "down (DOWN): x : Not responding"),
        ("idle+drain", "a : b", "drained by an administrator (DRAIN): a : b"),
        # What was the reason once is not why these are not available.
        ("allocated", "Not responding", "in use (ALLOCATED)"),
        ("mixed", "disk", "partly in use (MIXED)"),
        ("idle+completing", "disk", "still cleaning up after a job (COMPLETING)"),
        ("idle+reserved", "disk", "reserved (RESERVED)"),
        ("idle+maintenance+reserved", "disk", "in maintenance (MAINTENANCE)"),
        ("idle+not_responding", "disk", "not responding (NOT_RESPONDING)"),
        ("unknown", "disk", "not heard of since the controller started (UNKNOWN)"),
        ("idle", "disk", ""),
        ("idle+shiny", "disk", "in a state that is not known here (SHINY): disk"),
    ],
)
def test_a_reason_is_shown_where_it_is_one(state: str, reason: str, why: str) -> None:
    rules = NodeRules(["IDLE", "ALLOCATED", "MIXED"], ["IDLE"], [])
    node = Node("n1", state, 4, MIB, (), ("p",), reason)
    assert node_info(node, rules.judge(state))["why"] == why


def test_reasons_of_drained_nodes_are_told_once() -> None:
    text = table(
        ["idle+drain", "n[1-2]", "Prolog error : Prolog error"],
        ["idle", "n3", "old"],
        header="STATECOMPLETE NODELIST REASON",
    )
    assert parse_drained(text) == {"n1": "Prolog error", "n2": "Prolog error"}


def test_scontrol_nodes_that_are_cut_or_garbled() -> None:
    text = captured("nodes_scontrol")
    with pytest.raises(UnreadableAnswer, match="cut off"):
        parse_scontrol_nodes(text[:-30])
    with pytest.raises(UnreadableAnswer, match="no nodes"):
        parse_scontrol_nodes("slurm_load_node error\n")
    nodes, refused = parse_scontrol_nodes(text + "NodeName=x CPUTot=4\nNodeName= State=IDLE\n")
    assert len(nodes) == 9 and len(refused) == 2


def test_rows_of_nodes_that_make_no_sense_are_refused() -> None:
    good = ["idle", "4", "2000", "a", "main", "n[1-2]", "none"]
    header = "STATECOMPLETE CPUS MEMORY AVAIL_FEATURES PARTITION NODELIST REASON"
    bad = [
        ["idle", "many", "2000", "a", "main", "n3", "none"],
        ["idle", "4", "2000", "a", "main", "n[3-", "none"],
    ]
    nodes, refused = parse_nodes(table(good, *bad, header=header))
    assert [node.name for node in nodes] == ["n1", "n2"]
    assert len(refused) == 2 and "never closed" in refused[1].problem


def test_a_node_in_several_partitions_and_groups() -> None:
    header = "STATECOMPLETE CPUS MEMORY AVAIL_FEATURES PARTITION NODELIST REASON"
    text = table(
        ["idle", "4", "2000", "(null)", "a*", "n[1-4]", "none"],
        ["idle", "4", "2000", "(null)", "b", "n[3-6]", "none"],
        ["idle", "4", "2000", "(null)", "c", "n[4-5]", "none"],
        ["idle", "4", "2000", "(null)", "c", "n4", "none"],
        header=header,
    )
    nodes, _ = parse_nodes(text)
    assert {node.name: "".join(node.partitions) for node in nodes} == {
        "n1": "a",
        "n2": "a",
        "n3": "ab",
        "n4": "abc",
        "n5": "bc",
        "n6": "b",
    }


def test_node_info_passes_the_inventory_check() -> None:
    rules = NodeRules(["IDLE"], ["IDLE"], ["RESERVED"])
    nodes, _ = parse_nodes(captured("nodes"))
    held = reservations_by_node(parse_reservations(captured("reservations"))[0])
    infos = {
        node.name: node_info(node, rules.judge(node.state), held.get(node.name, ()))
        for node in nodes
    }
    for info in infos.values():
        check_node("slurm", None, info)
    assert infos["node05"] == {
        "name": "node05",
        "up": True,
        "available": True,
        "cpus": 8,
        "mem": 4000 * MIB,
        "partitions": ["main", "alt"],
        "reservations": ["later"],
        "features": ["b"],
        "states": ["IDLE"],
        "why": "",
    }
    assert infos["node02"]["why"] == "drained by an administrator (DRAIN): x State=IDLE foo"
    assert infos["node06"]["reservations"] == ["plain", "later"]
    # Nothing is shared: changing one node's data leaves the others alone.
    infos["node03"]["features"].append("new")
    assert "new" not in infos["node04"]["features"]


# --- Reservations ---


def test_a_comment_cannot_change_a_reservation() -> None:
    found, refused = parse_reservations(written("reservations_24.11.txt"))
    assert refused == []
    assert found[0].name == "window one" and found[0].nodes == ("c1", "c2", "d1")
    assert found[0].is_active and found[0].is_maintenance
    assert found[1].nodes == () and found[1].flags == frozenset()


def test_bad_lists_of_reservations() -> None:
    with pytest.raises(UnreadableAnswer, match="cut off"):
        parse_reservations(captured("reservations")[:-5])
    for text in ("", "garbage\n"):
        with pytest.raises(UnreadableAnswer):
            parse_reservations(text)
    bad = "ReservationName=x Oops\n" + captured("reservations").replace("node06", "n[1-", 1)
    found, refused = parse_reservations(bad)
    assert [one.name for one in found] == ["mnt", "later"] and len(refused) == 2


def test_reservation_problems() -> None:
    found, _ = parse_reservations(captured("reservations"))
    assert reservation_problem("mnt", found) is None
    assert "is not active: it holds from 2026-11-28T19:41:39" in str(
        reservation_problem("later", found)
    )
    assert "Did you mean 'plain'?" in str(reservation_problem("plane", found))
    assert "There are: later, mnt, plain." in str(reservation_problem("xyz", found))
    assert "There are none." in str(reservation_problem("xyz", []))


# --- Jobs ---


def by_name() -> dict[str, JobRecord]:
    jobs, refused = parse_jobs(captured("jobs_more"))
    assert refused == []
    return {job.data["name"]: job for job in jobs.values()}


def test_jobs_of_a_real_cluster() -> None:
    jobs = by_name()
    assert {name: job.state for name, job in jobs.items() if name not in ("wrap", "r")} == {
        "het one": "PENDING",
        "arr": "RUNNING",
        "new\nline": "COMPLETED",
        "nodefail": "NODE_FAIL",
        "never": "PENDING",
        "toolong": "PENDING",
        "later": "PENDING",
        "dep": "PENDING",
        "full": "PENDING",
        "drained": "PENDING",
        "held": "PENDING",
        "requeued": "RUNNING",
        "susp": "SUSPENDED",
        "timeout": "TIMEOUT",
    }
    assert jobs["new\nline"].data["comment"] == "a=b\nJobState=FAKE"
    assert jobs["requeued"].data["restarts"] == "1"
    assert jobs["drained"].data["reason"] == "ReqNodeNotAvail, UnavailableNodes:node02"
    assert jobs["never"].data["start"] == "" and jobs["never"].data["nodes"] == ""


def test_notes_of_real_jobs() -> None:
    jobs, _ = parse_jobs(captured("jobs_more"))
    assert job_note("67", jobs["67"].data).startswith(
        "Job 67 was stopped at its time limit of 1:00 (TIMEOUT) on node01 at "
    )
    assert "could not start its script (exit 0:53)" in job_note("93", jobs["93"].data)
    assert "Expected start: 2026-11-22T18:07:01." in job_note("79", jobs["79"].data, 0.0)


def test_arrays_and_heterogeneous_jobs_are_one_job() -> None:
    jobs = by_name()
    assert jobs["arr"].job_id == "78"
    assert jobs["arr"].data["tasks"] == "3 COMPLETED, 1 PENDING, 1 RUNNING"
    assert jobs["het one"].job_id == "79"
    assert jobs["het one"].data["tasks"] == "2 PENDING"


def test_the_first_component_says_whose_a_heterogeneous_job_is() -> None:
    """From 25.11 on, squeue lists the last one first; and only the first has sbatch's comment."""
    rows = [
        job_text(id="18", array="18", het="17", name="two", state="RUNNING"),
        job_text(id="17", array="17", het="17", name="one", comment=TOKEN, state="COMPLETED"),
    ]
    jobs, _ = parse_jobs(job_table(*rows))
    assert list(jobs) == ["17"] and jobs["17"].state == "RUNNING"
    assert (jobs["17"].data["name"], jobs["17"].data["comment"]) == ("one", TOKEN)
    assert SlurmDialect().token_of(jobs["17"]) == TOKEN


@pytest.mark.parametrize(
    ("states", "whole"),
    [
        (["COMPLETED", "RUNNING", "PENDING"], "RUNNING"),
        (["COMPLETED", "PENDING", "FAILED"], "PENDING"),
        (["COMPLETED", "FAILED", "CANCELLED"], "FAILED"),
        (["COMPLETED", "CANCELLED"], "CANCELLED"),
        (["COMPLETED", "COMPLETED"], "COMPLETED"),
    ],
)
def test_the_state_of_an_array(states: list[str], whole: str) -> None:
    rows = [job_text(id=str(20 + i), array="20", state=state) for i, state in enumerate(states)]
    jobs, _ = parse_jobs(job_table(*rows))
    assert list(jobs) == ["20"] and jobs["20"].state == whole


def test_short_states_become_long_ones() -> None:
    jobs, _ = parse_jobs(job_table(job_text(id="5", state="PD")))
    assert jobs["5"].state == "PENDING"


def test_a_refused_job_is_reported_with_its_id() -> None:
    text = job_table(job_text(id="5")) + f"6{FIELD_END}COMPLETININVALID{ROW_END}\n"
    jobs, refused = parse_jobs(text)
    assert list(jobs) == ["5"] and [row.job_id for row in refused] == ["6"]
    jobs, refused = parse_jobs(job_table(job_text(id="x5")))
    assert jobs == {} and [row.problem for row in refused] == ["no job id"]


def test_jobs_by_token() -> None:
    other = f"{TOKEN[:-1]}f"
    text = job_table(
        job_text(id="9", name=f"pav_x-{TOKEN}"),
        job_text(id="5", comment=TOKEN),
        job_text(id="6", name=f"{TOKEN}-other", comment=other),
    )
    jobs, _ = parse_jobs(text)
    slurm = SlurmDialect()
    found = by_identity(jobs.values(), slurm.token_of, slurm.is_over)
    assert with_token(found, TOKEN) == ["5", "9"]
    assert with_token(found, other) == ["6"]
    assert with_token(found, "nope") == []


def test_recorded_options() -> None:
    values = {
        "id": "95",
        "array": "95",
        "het": "N/A",
        "num_nodes": "2",
        "num_tasks": "3",
        "ntasks_per_node": "2",
        "time_limit": "1:00:00",
        "partition": "alt",
        "name": "r",
    }
    row = [values.get(key, "(null)") for key in RECORDED_FIELDS]
    found, refused = parse_recorded(
        table(row, header=" ".join(key.upper() for key in RECORDED_FIELDS))
    )
    assert refused == []
    assert found["95"]["ntasks_per_node"] == "2" and found["95"]["qos"] == ""


# --- Submissions ---


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("17\n", Submitted("17", "")),
        ("17;alpha\n", Submitted("17", "alpha")),
        ("Submitted batch job 17\n", Submitted("17", "")),
        ("Submitted batch job 17 on cluster alpha\n", Submitted("17", "alpha")),
        ("*** Maintenance on 2026-12-01 ***\n\n17\nHave a nice day\n", Submitted("17", "")),
        ("sbatch: using default account x\nSubmitted batch job 17\n", Submitted("17", "")),
        ("17\n17\n", Submitted("17", "")),
        ("", None),
        ("error\n", None),
        ("17\n18\n", None),
        ("Submitted batch job\n", None),
        ("-5\n", None),
        ("17 18\n", None),
    ],
)
def test_submitted(text: str, result: Submitted | None) -> None:
    assert parse_submitted(text) == result


@given(st.text(max_size=60))
def test_any_output_of_sbatch_is_read(text: str) -> None:
    result = parse_submitted(text)
    assert result is None or result.job_id.isdigit()


# --- Node lists ---


def test_node_lists() -> None:
    assert parse_node_list(None) == [] and parse_node_list("") == []
    assert parse_node_list("(null)") == []
    assert parse_node_list("b,a[2,1],b") == ["b", "a2", "a1", "b"]
    assert parse_node_list("nid00[111,169-170],x1") == ["nid00111", "nid00169", "nid00170", "x1"]


@pytest.mark.parametrize("text", ["n[1-3", "a.b", "n1,c.example.org", "a b", "n[3-1]", "]", "a,,b"])
def test_bad_node_lists(text: str) -> None:
    with pytest.raises(ValueError):
        parse_node_list(text)
