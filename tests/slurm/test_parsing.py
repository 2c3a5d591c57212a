"""What Slurm's commands print, read as data: captured outputs, and damaged ones."""

from __future__ import annotations

import pytest
from captures import DATA, RELEASES, captured
from hypothesis import given
from hypothesis import strategies as st

from pavilion.schedulers.inventory import check_node
from pavilion.schedulers.job_table import JobRecord
from pavilion.schedulers.plugins.slurm.notes import job_note
from pavilion.schedulers.plugins.slurm.parsing import (
    MIB,
    Node,
    Reservation,
    Submitted,
    UnreadableAnswer,
    node_info,
    parse_jobs,
    parse_node_list,
    parse_nodes,
    parse_recorded,
    parse_reservations,
    parse_scontrol_nodes,
    parse_submitted,
    parse_table,
    reservation_problem,
    reservations_by_node,
    with_token,
)
from pavilion.schedulers.plugins.slurm.queries import (
    FIELD_END,
    JOB_FIELDS,
    NODE_FIELDS,
    RECORDED_FIELDS,
    ROW_END,
)
from pavilion.schedulers.plugins.slurm.states import NodeRules, parse_node_state

def written(name: str) -> str:
    return (DATA / "written" / name).read_text(encoding="utf-8")


def table(*rows: list[str], header: str = "A B") -> str:
    return "".join(FIELD_END.join(row) + f"{ROW_END}\n" for row in [header.split(), *rows])


def job_text(**fields: str) -> list[str]:
    values = {"id": "1", "array": fields.get("id", "1"), "het": "N/A", "state": "RUNNING",
              "exit_code": "0", "restarts": "0", "partition": "main", "reason": "None",
              "name": "x", "comment": "(null)", **fields}
    return [values.get(key, "") for key in JOB_FIELDS]


def job_table(*rows: list[str]) -> str:
    return table(*rows, header=" ".join(key.upper() for key in JOB_FIELDS))


# --- Tables ---


def test_rows_without_the_header() -> None:
    assert parse_table(table(["1", "x"], ["2", "y z"]), 2, "cmd") == (
        [["1", "x"], ["2", "y z"]], [])


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
    assert [(row.problem, row.job_id) for row in refused] == [
        ("2 fields where 3 were asked for", "17")]
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
def test_a_cut_at_any_place_is_noticed_unless_it_leaves_whole_rows(name: str,
                                                                   release: str) -> None:
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
        assert rows == whole[:len(rows)]


@given(st.text(max_size=200))
def test_garbage_gives_no_rows(text: str) -> None:
    with pytest.raises(UnreadableAnswer):
        parse_table(text.replace(ROW_END, ""), 3, "squeue")


plain = st.text(st.characters(exclude_characters=FIELD_END + ROW_END, exclude_categories=["Cs"]),
                max_size=8)


@given(st.lists(st.tuples(st.integers(1, 10**6).map(str), plain, plain).map(list), max_size=6))
def test_what_is_printed_is_read(rows: list[list[str]]) -> None:
    assert parse_table(table(*rows, header="A B C"), 3, "cmd") == (rows, [])


# --- Nodes ---


def test_a_reason_cannot_change_a_state() -> None:
    for nodes in (parse_nodes(captured("nodes_mixed"))[0],
                  parse_scontrol_nodes(captured("nodes_scontrol_mixed"))[0]):
        node03 = next(node for node in nodes if node.name == "node03")
        assert (node03.state.upper(), node03.reason) == ("IDLE+DRAIN", "x State=IDLE foo")


def test_nodes_of_other_releases() -> None:
    old, refused = parse_scontrol_nodes(written("nodes_scontrol_20.11.txt"))
    assert refused == []
    assert old == [
        Node("n01", "IDLE+DRAIN", 32, 192000 * MIB, ("knl", "cache"), ("batch", "debug"),
             "bad RealMemory=1 State=IDLE dimm"),
        Node("n02", "DOWN*+CLOUD", 32, 192000 * MIB, (), ("batch",), "Not responding"),
        Node("n03", "MIXED#", 32, 192000 * MIB, ("a",), (), ""),
    ]
    new, refused = parse_scontrol_nodes(written("nodes_scontrol_25.05.txt"))
    assert refused == []
    assert [(node.name, node.state, node.partitions) for node in new] == [
        ("c1", "IDLE+MAINTENANCE+RESERVED+DYNAMIC_NORM", ("batch",)),
        ("c2", "IDLE+CLOUD+POWERED_DOWN", ("batch", "long"))]


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
    bad = [["idle", "many", "2000", "a", "main", "n3", "none"],
           ["idle", "4", "2000", "a", "main", "n[3-", "none"]]
    nodes, refused = parse_nodes(table(good, *bad, header=header))
    assert [node.name for node in nodes] == ["n1", "n2"]
    assert len(refused) == 2 and "never closed" in refused[1].problem


def test_a_node_in_several_partitions_and_groups() -> None:
    header = "STATECOMPLETE CPUS MEMORY AVAIL_FEATURES PARTITION NODELIST REASON"
    text = table(["idle", "4", "2000", "(null)", "a*", "n[1-4]", "none"],
                 ["idle", "4", "2000", "(null)", "b", "n[3-6]", "none"],
                 ["idle", "4", "2000", "(null)", "c", "n[4-5]", "none"],
                 ["idle", "4", "2000", "(null)", "c", "n4", "none"], header=header)
    nodes, _ = parse_nodes(text)
    assert {node.name: "".join(node.partitions) for node in nodes} == {
        "n1": "a", "n2": "a", "n3": "ab", "n4": "abc", "n5": "bc", "n6": "b"}


def test_node_info_passes_the_inventory_check() -> None:
    rules = NodeRules(["IDLE"], ["IDLE"], ["RESERVED"])
    nodes, _ = parse_nodes(captured("nodes"))
    held = reservations_by_node(parse_reservations(captured("reservations"))[0])
    infos = {node.name: node_info(node, rules.judge(node.state), held.get(node.name, ()))
             for node in nodes}
    for info in infos.values():
        check_node("slurm", None, info)
    assert infos["node05"] == {
        "name": "node05", "up": True, "available": True, "cpus": 8, "mem": 4000 * MIB,
        "partitions": ["main", "alt"], "reservations": ["later"], "features": ["b"],
        "states": ["IDLE"], "why": ""}
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
        reservation_problem("later", found))
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
        "het one": "PENDING", "arr": "RUNNING", "new\nline": "COMPLETED", "nodefail": "NODE_FAIL",
        "never": "PENDING", "toolong": "PENDING", "later": "PENDING", "dep": "PENDING",
        "full": "PENDING", "drained": "PENDING", "held": "PENDING", "requeued": "RUNNING",
        "susp": "SUSPENDED", "timeout": "TIMEOUT"}
    assert jobs["new\nline"].data["comment"] == "a=b\nJobState=FAKE"
    assert jobs["requeued"].data["restarts"] == "1"
    assert jobs["drained"].data["reason"] == "ReqNodeNotAvail, UnavailableNodes:node02"
    assert jobs["never"].data["start"] == "" and jobs["never"].data["nodes"] == ""


def test_notes_of_real_jobs() -> None:
    jobs, _ = parse_jobs(captured("jobs_more"))
    assert job_note("67", jobs["67"].data).startswith(
        "Job 67 was stopped at its time limit of 1:00 (TIMEOUT) on node01 at ")
    assert "could not start its script (exit 0:53)" in job_note("93", jobs["93"].data)
    assert "Expected start: 2026-11-22T18:07:01." in job_note("79", jobs["79"].data)


def test_arrays_and_heterogeneous_jobs_are_one_job() -> None:
    jobs = by_name()
    assert jobs["arr"].job_id == "78"
    assert jobs["arr"].data["tasks"] == "3 COMPLETED, 1 PENDING, 1 RUNNING"
    assert jobs["het one"].job_id == "79"
    assert jobs["het one"].data["tasks"] == "2 PENDING"


@pytest.mark.parametrize(("states", "whole"), [
    (["COMPLETED", "RUNNING", "PENDING"], "RUNNING"),
    (["COMPLETED", "PENDING", "FAILED"], "PENDING"),
    (["COMPLETED", "FAILED", "CANCELLED"], "FAILED"),
    (["COMPLETED", "CANCELLED"], "CANCELLED"),
    (["COMPLETED", "COMPLETED"], "COMPLETED"),
])
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
    text = job_table(job_text(id="9", name="pav_x-tok1"), job_text(id="5", comment="tok1"),
                     job_text(id="6", name="tok1-other", comment="tok11"))
    jobs, _ = parse_jobs(text)
    assert [job.job_id for job in with_token(jobs, "tok1")] == ["5", "9"]
    assert with_token(jobs, "nope") == []


def test_recorded_options() -> None:
    values = {"id": "95", "array": "95", "het": "N/A", "num_nodes": "2", "num_tasks": "3",
              "ntasks_per_node": "2", "time_limit": "1:00:00", "partition": "alt", "name": "r"}
    row = [values.get(key, "(null)") for key in RECORDED_FIELDS]
    found, refused = parse_recorded(
        table(row, header=" ".join(key.upper() for key in RECORDED_FIELDS)))
    assert refused == []
    assert found["95"]["ntasks_per_node"] == "2" and found["95"]["qos"] == ""


# --- Submissions ---


@pytest.mark.parametrize(("text", "result"), [
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
])
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
