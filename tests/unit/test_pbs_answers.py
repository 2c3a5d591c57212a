"""What the pbs plugin makes of captured answers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pavilion.schedulers.batch import (
    BatchJob,
    CommandResult,
    Failure,
    JobState,
    UnreadableAnswer,
    read_attributes,
)
from pavilion.schedulers.plugins.pbs import Pbs

DATA = Path(__file__).parents[1] / "data" / "pbs"
TOKEN = "pav-0123456789abcdef"
HEAD = r"Job Id: (\S+)"


def text_of(name: str, release: str = "23.06.06") -> str:
    return (DATA / release / name).read_text(encoding="utf-8", errors="backslashreplace")


def failures(release: str = "23.06.06") -> Mapping[str, CommandResult]:
    """The captured failures, by their command."""
    found = {}
    for line in text_of("errors.txt", release).splitlines():
        command, code, _, *rest = line.split("|")
        stderr, stdout = "|".join(rest).rpartition("|")[::2]
        found[command] = CommandResult(
            tuple(command.split()),
            None if code == "TIMEOUT" else int(code),
            stdout.replace("stdout: ", "").replace("<NL>", "\n").strip("-") + "\n",
            "" if stderr == "-" else stderr.replace("<NL>", "\n"),
            1.0,
            code == "TIMEOUT",
        )
    return found


@pytest.fixture
def plugin() -> Pbs:
    return Pbs()


def jobs(plugin: Pbs, name: str, release: str = "23.06.06") -> dict[str, BatchJob]:
    return {job.job_id: job for job in plugin.parse_jobs(text_of(name, release))}


# --- Jobs ---


@pytest.mark.parametrize(
    ("job_id", "state", "code", "reason"),
    [
        ("1161", "ended", "0", "^Job run at .* and finished$"),
        ("1162", "ended", "3", "^Job run at .* and failed$"),
        ("1163", "ended", "137", "^Job run at .* and failed$"),
        ("1164", "ended", "265", "^signal 9 ended it; Job run at"),
        ("1165", "ended", "-29", r"^it exceeded its time limit \(walltime\); Job run at"),
        ("1166", "deleted", "271", "^signal 15 ended it; Job run at .* terminated by user1@"),
        ("1167", "deleted", "", "^$"),
        ("1168", "never ran", "", "^$"),
        ("1169", "cannot run", "", "^Can Never Run: Insufficient amount of resource: ncpus"),
        ("1170", "held", "", "^by its user$"),
        ("1171", "waiting for its time", "", "^$"),
        # It waits for its output to be delivered, which goes wrong.
        ("1172", "ending", "", "^Job run at"),
    ],
)
def test_how_jobs_end_and_wait(
    plugin: Pbs, job_id: str, state: str, code: str, reason: str
) -> None:
    job = jobs(plugin, "qstat_xfFjson_all_ends.json")[job_id]
    assert (job.state, job.exit_code) == (state, code)
    assert re.search(reason, job.reason), job.reason
    assert job.state in plugin.STATES


def test_text_and_json_say_the_same(plugin: Pbs) -> None:
    in_json = jobs(plugin, "qstat_xfFjson_all_ends.json")
    in_text = jobs(plugin, "qstat_xf_all_ends.txt")
    assert set(in_text) == {"1161", "1165", "1166"}
    for job_id, job in in_text.items():
        assert job == in_json[job_id]


@pytest.mark.parametrize(
    ("state", "substate", "comment", "meaning"),
    [
        ("Q", "10", "", JobState.WAITING),
        ("Q", "10", "Not Running: Node is in an ineligible state: offline", JobState.WAITING),
        ("Q", "10", "Queue not started.", JobState.STUCK),
        ("Q", "10", "Not Running: Queue not started.", JobState.STUCK),
        ("Q", "10", "Can Never Run: No Select", JobState.STUCK),
        ("H", "20", "Job held by user4 on Mon Oct  3 20:16:26 2022", JobState.STUCK),
        ("H", "20", "job held, too many failed attempts to run", JobState.STUCK),
        # It waits for other jobs; PBS deletes it if they fail.
        ("H", "22", "", JobState.WAITING),
        ("W", "30", "", JobState.WAITING),
        ("T", "0", "", JobState.WAITING),
        ("R", "41", "", JobState.ACTIVE),
        ("S", "43", "", JobState.ACTIVE),
        ("U", "45", "", JobState.ACTIVE),
        ("B", "70", "", JobState.ACTIVE),
        ("R", "42", "Job run at x and terminated by user1@server1", JobState.ENDING),
        ("E", "51", "", JobState.ENDING),
        ("F", "92", "", JobState.FINISHED),
        ("F", "91", "", JobState.CANCELLED),
        ("X", "91", "", JobState.CANCELLED),
        ("X", "92", "", JobState.FINISHED),
        ("M", "92", "", JobState.FINISHED),
        # Of a release to come.
        ("Z", "99", "", JobState.ACTIVE),
    ],
)
def test_states(plugin: Pbs, state: str, substate: str, comment: str, meaning: JobState) -> None:
    about = {"job_state": state, "substate": substate, "Hold_Types": "u"}
    if comment:
        about["comment"] = comment
    [job] = plugin.parse_jobs(json.dumps({"pbs_server": "s", "Jobs": {"5.s": about}}))
    assert plugin.state_of(plugin.record(job)) is meaning
    assert comment in job.reason


def test_a_job_whose_reservation_has_not_begun_is_not_stuck(plugin: Pbs) -> None:
    """Its queue is not started, and PBS will do that."""
    about = {"job_state": "Q", "substate": 10, "comment": "Not Running: Queue not started."}
    for more, state in (
        ({}, JobState.STUCK),
        ({"reserve_ID": "R3.server1", "queue": "R3"}, JobState.WAITING),
    ):
        text = json.dumps({"pbs_server": "s", "Jobs": {"5.s": {**about, **more}}})
        [job] = plugin.parse_jobs(text)
        assert plugin.state_of(plugin.record(job)) is state


def test_only_a_job_that_has_ended_has_an_exit_code(plugin: Pbs) -> None:
    """Until then, it is that of an earlier run."""
    lost = jobs(plugin, "qstat_xfFjson_node_lost.json")
    assert (lost["53"].state, lost["53"].exit_code) == ("queued", "")
    assert (lost["1005"].state, lost["1005"].exit_code) == ("ended", "-20")
    assert lost["1005"].reason.startswith("its host was lost; ")
    again = jobs(plugin, "qstat_xfFjson_rerun_es4.json")["11"]
    assert (again.state, again.exit_code) == ("running", "")


@pytest.mark.parametrize("code", range(-29, 0))
def test_every_negative_exit_status_has_a_meaning(plugin: Pbs, code: int) -> None:
    about = {"job_state": "F", "substate": 93, "Exit_status": code}
    [job] = plugin.parse_jobs(json.dumps({"pbs_server": "s", "Jobs": {"5.s": about}}))
    assert job.exit_code == str(code) and job.reason and not job.reason.startswith(";")


def test_a_job_in_a_routing_queue_has_no_reason(plugin: Pbs) -> None:
    about = {"job_state": "Q", "substate": 10, "queue": "route"}
    [job] = plugin.parse_jobs(json.dumps({"pbs_server": "s", "Jobs": {"5.s": about}}))
    assert "route is a routing queue" in job.reason


@pytest.mark.parametrize("value", ["[true]", "[null]", "[[1,2],[3]]", '[{"a":1}]', '["x","y"]'])
def test_lists_in_a_variable_hide_no_job(plugin: Pbs, value: str) -> None:
    """Some clients show a value that looks like JSON as what it looks like."""
    text = text_of("qstat_fFjson_vars_invalid.json").replace('"Z":inf', f'"Z":{value}')
    text = text.replace('"A":"x y"', f'"A":"x y","PAV_TOKEN":"{TOKEN}"')
    assert [job.token for job in plugin.parse_jobs(text)] == [TOKEN]


@pytest.mark.parametrize("jobs_of_it", ["[]", '"x"', '{"7.server": "x"}'])
def test_json_of_another_shape_is_no_list_of_jobs(plugin: Pbs, jobs_of_it: str) -> None:
    with pytest.raises(UnreadableAnswer, match="'Jobs' is not an object of objects"):
        list(plugin.parse_jobs(f'{{"Jobs": {jobs_of_it}}}\n'))


def test_hosts_of_jobs(plugin: Pbs) -> None:
    many = jobs(plugin, "qstat_xfFjson_multivnode_job.json")
    assert list(many["51"].nodes) == ["node001", "node002"] and many["52"].nodes == []
    # A host for each of its vnodes, with '*0'.
    assert list(jobs(plugin, "qstat_xfFjson_rerun_es4.json")["11"].nodes) == ["node002"]


def test_arrays_keep_their_brackets(plugin: Pbs) -> None:
    found = jobs(plugin, "qstat_xtfFjson_array.json")
    assert set(found) == {"48[]", "48[1]", "48[2]", "48[3]", "48[4]"}
    assert all(plugin.is_job_id(job_id) for job_id in found)


def test_the_token_is_in_a_variable(plugin: Pbs) -> None:
    text = text_of("qstat_fFjson_vars_invalid.json").replace('"Z":inf', '"Z":"x"')
    for before, after in (
        ('"A":"x y"', f'"A":"x y","PAV_TOKEN":"{TOKEN}"'),
        # An empty variable swallows the next.
        ('"E":",F=1e5"', f'"E":",PAV_TOKEN={TOKEN}"'),
    ):
        assert before in text
        assert [job.token for job in plugin.parse_jobs(text.replace(before, after))] == [TOKEN]
    for other in (f'"A":"{TOKEN}"', f'"A":"NOT_PAV_TOKEN={TOKEN}0"', f'"PAV_TOKEN":"{TOKEN}0"'):
        assert [job.token for job in plugin.parse_jobs(text.replace('"A":"x y"', other))] == [""]
    as_text = text_of("qstat_f_v_odd.txt").replace(
        "CM=a\\,\n\tb", f"CM=a\\,\n\tb,PAV_TO\n\tKEN={TOKEN}"
    )
    assert [job.token for job in plugin.parse_jobs(as_text)] == [TOKEN]


def test_the_script_is_in_the_arguments(plugin: Pbs) -> None:
    text = text_of("qstat_xf_all_ends.txt").replace(
        "-N ok -j oe -l select=1:ncpus=1:host=node001 p_ok.sh",
        "-f -v PAV_TOKEN=x -o /a b/it's -o /c/sched.log /a b/it's -o /c/kickoff.sh",
    )
    found = {job.job_id: job.data for job in plugin.parse_jobs(text)}
    assert found["1161"] == {"script": "/a b/it's -o /c/kickoff.sh"} and found["1165"] == {}


# --- Answers that are broken, or lack something ---


def after(plugin: Pbs, argv: str, stdout: str, code: int = 0, stderr: str = "") -> list[str] | None:
    return plugin.next_command(CommandResult(tuple(argv.split()), code, stdout, stderr))


def test_a_list_is_of_the_jobs_that_qselect_names(plugin: Pbs) -> None:
    assert plugin.jobs_command("ann") == ["qselect", "-x", "-u", "ann"]
    assert after(plugin, "qselect -x -u ann", "0.s1\n17.s1\n48[].s1\n") == [
        *("qstat", "-f", "-F", "json", "-x", "-E", "0.s1", "17.s1", "48[].s1")
    ]
    # None at all is confirmed by an answer that would show if it was cut off.
    assert after(plugin, "qselect -x -u ann", "") == ["qstat", "-f", "-F", "json"]
    for bad in ("17.s1\n18", "Welcome!\n17.s1\n", "17\n", "\n"):
        with pytest.raises(UnreadableAnswer):
            after(plugin, "qselect -x -u ann", bad)


def test_of_a_long_history_only_jobs_that_have_not_ended_are_listed(plugin: Pbs) -> None:
    many = "".join(f"{number}.s1\n" for number in range(1001))
    assert after(plugin, "qselect -x -u ann", many) == ["qselect", "-u", "ann"]
    listed = after(plugin, "qselect -u ann", many)
    assert listed is not None and len(listed) == 1007


def test_a_server_without_a_history(plugin: Pbs) -> None:
    """It shows nothing to those who request ended jobs, not even running ones, with exit code 0."""
    for command, result in failures().items():
        if "not configured to maintain" in result.stderr:
            fresh = Pbs()
            without = [word for word in result.argv if word != "-x"]
            assert fresh.next_command(result) == without, command
            # That is remembered, until it is forgotten.
            assert "-x" not in fresh.jobs_command("ann")
            assert fresh.history_command(["5"]) is None
            fresh.refresh()
            assert "-x" in fresh.jobs_command("ann")
    said = "qselect: PBS is not configured to maintain job history\n"
    assert after(plugin, "qselect -x -u ann", "", 0, said) == ["qselect", "-u", "ann"]
    assert "-x" not in (after(plugin, "qselect -u ann", "5.s1\n") or ["-x"])


BROKEN = [
    text_of("qstat_fFjson_vars_invalid.json"),
    text_of("qstat_fFjson_v_odd.json"),
    # Several ids, 18.1.
    '{"pbs_server":"s","Jobs":{"5.s":{"job_state":"R"}"Jobs":{"6.s":{"job_state":"R"}}}',
    *(
        f'{{"pbs_server":"s","Jobs":{{"5.s":{{"job_state":"R","Variable_List":{{\n{line}\n"a":"b"}}}}}}}}'
        for line in text_of("qstat_fFjson_broken_escape.txt", "others").splitlines()[:2]
    ),
    '{"pbs_server":"s","Jobs":{"5.s":{"job_state":"R","Variable_List":{"foo":005}}}}',
    '{"pbs_server":"s","Jobs":{"5.s":{"job_state":"R","Variable_List":{"foo":nan}}}}',
    text_of("qstat_default.txt"),
    "",
]


@pytest.mark.parametrize("broken", BROKEN, ids=range(len(BROKEN)))
def test_broken_json_is_requested_as_text(plugin: Pbs, broken: str) -> None:
    if "escape" in broken:
        broken = broken.rstrip(",")
    argv = "qstat -f -F json -x -E 5.s 20.server1"
    assert after(plugin, argv, broken) == [*"qstat -x -E -f -w 5.s 20.server1".split()]
    with pytest.raises(UnreadableAnswer):
        list(plugin.parse_jobs(broken))
    assert after(plugin, "pbsnodes -av -F json", broken) == ["pbsnodes", "-av"]


def test_the_text_of_jobs_that_break_json(plugin: Pbs) -> None:
    for name in ("qstat_f_v_odd.txt", "qstat_fw_v_odd.txt"):
        [(job_id, about)] = read_attributes(text_of(name), "Jobs", HEAD).items()
        assert (job_id, about["job_state"]) == ("28.server1", "H")
        assert about["Variable_List"].endswith(
            "UNI=^\x03^\\xe9,PBS_O_QUEUE=workq,PBS_O_HOST=server1"
        )
        assert r"CM=a\,b,BS=" in about["Variable_List"]
        assert after(plugin, "qstat -x -E -f -w 28.server1", text_of(name)) is None


def test_an_answer_that_lacks_jobs_is_requested_as_text(plugin: Pbs) -> None:
    one = text_of("qstat_fFjson_two_ids.json", "main-client")
    whole = text_of("qstat_fFjson_two_ids.json")
    argv = "qstat -f -F json -x -E 67.server1 68.server1"
    assert after(plugin, argv, one) == [*"qstat -x -E -f -w 67.server1 68.server1".split()]
    assert after(plugin, "qstat -f -F json -x -E 67.server1", one) is None
    assert after(plugin, "qstat -f -F json -x -E 50.server1 49.server1", whole) is None
    # They are gone, all of them.
    none = text_of("qstat_none.json", "main-client")
    assert after(plugin, argv, none) is None
    assert list(plugin.parse_jobs(none)) == []


def test_an_old_qstat_without_json(plugin: Pbs) -> None:
    said = "qstat: invalid option -- 'F'\nusage: \nqstat [-f] ..."
    assert after(plugin, "qstat -f -F json -x -E 5.s", "", 2, said) == ["qstat", "-x", "-f", "5.s"]
    assert after(plugin, "qstat -x -f 5.s", "", 2, said) is None


def test_types_that_json_guesses(plugin: Pbs) -> None:
    text = text_of("qstat_fFjson_vars.json", "main-client")
    [(_, about)] = read_attributes(text, "Jobs", HEAD).items()
    assert (about["Variable_List.D"], about["Variable_List.C"]) == ("True", "5")
    assert (about["Variable_List.F"], about["Variable_List.H"]) == ("100000", "None")
    assert about["project"] == "true" and about["Job_Name"] == "0123"
    keep = '{"pbs_server":"s","Jobs":{"5.s":{"job_state":"R","project":1e5,"a":-0}}}'
    assert read_attributes(keep, "Jobs", HEAD)["5.s"]["project"] == "1e5"


def test_a_key_that_is_repeated(plugin: Pbs) -> None:
    text = (
        '{"pbs_server":"s","Jobs":{"5.s":{"job_state":"R","a":{"b":1},"a":{"c":2}}},'
        '"Jobs":{"6.s":{"job_state":"Q","job_state":"R"}}}'
    )
    assert read_attributes(text, "Jobs", HEAD) == {
        "5.s": {"job_state": "R", "a.b": "1", "a.c": "2"},
        "6.s": {"job_state": "R"},
    }
    # Within a string, a control character.
    [job] = plugin.parse_jobs(text_of("qstat_xf_all_ends.txt").split("Job Id: 1165")[0])
    assert job.job_id == "1161"


@pytest.mark.parametrize(
    "name", ["qstat_xfFjson_all_ends.json", "qstat_xf_all_ends.txt", "qstat_f_v_odd.txt"]
)
def test_a_part_of_an_answer_is_none(plugin: Pbs, name: str) -> None:
    whole = text_of(name)
    ends = {match.end() for match in re.finditer("\n\n", whole)} | {len(whole.rstrip()), len(whole)}
    for length in range(0, len(whole), 61):
        if length in ends:
            continue
        with pytest.raises(UnreadableAnswer):
            list(plugin.parse_jobs(whole[:length]))


def test_text_with_line_ends_in_values() -> None:
    found = read_attributes(text_of("qstat_f_newline_in_value.txt", "others") + "\n", "Jobs", HEAD)
    assert found["1.c"]["Variable_List"] == "f=() {  echo hi\n echo bye; }"
    assert found["2.c"]["comment"] == "line one\nline two"
    assert found["2.c"]["Resource_List.select"] == "1:ncpus=1:jobfs=104857600"


_VALUE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).map(str.strip)


@given(st.dictionaries(st.from_regex(r"\A[A-Za-z_.]{1,12}\Z"), _VALUE, min_size=1, max_size=5))
def test_whatever_values_are_they_are_read(attributes: dict[str, str]) -> None:
    """Wrapped after any character, as by qstat -f, and not, as by qstat -f -w."""
    attributes = {name: value for name, value in attributes.items() if value}
    for width in (3, 1000):
        lines = ["Job Id: 5.s"]
        for name, value in attributes.items():
            parts = [value[start : start + width] for start in range(0, len(value), width)]
            lines.append(f"    {name} = " + "\n\t".join(parts))
        found = read_attributes("\n".join([*lines, "", ""]), "Jobs", HEAD)
        assert found == {"5.s": {"": "", **attributes}} or found == {"5.s": attributes}


# --- Failures ---

UNKNOWN_CODES = (35, 153)


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("qsub -h -q small p_ok.sh", Failure.QUEUE_FULL),
        ("qsub -h -q acl p_ok.sh", Failure.DENIED),
        ("qsub -h -q off p_ok.sh", Failure.PERMANENT),
        ("qsub -h -N err -l select=abc p_ok.sh", Failure.PERMANENT),
        ("qsub -h -N err -l select=1:nosuch=2 p_ok.sh", Failure.PERMANENT),
        ("qsub -h -N err -l select=1:ncpus=1 -l nodes=1:ppn=1 p_ok.sh", Failure.PERMANENT),
        ("qsub -h -N err -q nosuch p_ok.sh", Failure.PERMANENT),
        ("qsub -h -N err -W nosuch=1 p_ok.sh", Failure.PERMANENT),
        ("qsub -h -q small -l walltime=1:00:00 p_ok.sh", Failure.PERMANENT),
        ("qsub -h -A bad p_ok.sh", Failure.PERMANENT),
        ("qsub -h -A crash p_ok.sh", Failure.PERMANENT),
        ("qsub -h nosuchfile.sh", Failure.PERMANENT),
        ("qsub -h p_bad.sh", Failure.PERMANENT),
        ("qsub -h -v Q2 -N w2 p_ok.sh", Failure.PERMANENT),
        ("(root) qsub -h /home/user1/p_ok.sh", Failure.TRANSIENT),
        ("qsub -h -N err -q workq@nosuch p_ok.sh", Failure.TRANSIENT),
        ("qsub -h -N frz p_ok.sh", Failure.TRANSIENT),
        ("qsub -h p_ok.sh", Failure.TRANSIENT),
        ("qdel 2", Failure.TRANSIENT),
        ("qdel 999", Failure.TRANSIENT),
        ("qdel 15", Failure.UNKNOWN_JOB),
        ("qdel '15[7]'", Failure.UNKNOWN_JOB),
        ("qdel 8", Failure.DENIED),
        ("qstat 2 8", None),
        ("qstat -f -F json 1 2", None),
        ("qstat -f -F json 999 1.server1", None),
        ("qstat -x -f -F json", Failure.TRANSIENT),
        ("qstat 2", Failure.TRANSIENT),
        ("pbsnodes -av -F json", Failure.TRANSIENT),
        ("qselect -u user1", Failure.TRANSIENT),
        ("qselect -x -N nosuch -u user1", None),
    ],
)
def test_what_failures_mean(plugin: Pbs, command: str, kind: Failure | None) -> None:
    """The last capture of a command counts: those of a server that is frozen, or down."""
    assert plugin.classify(failures()[command]) is kind


def test_some_of_several_jobs_that_are_gone_do_not_spoil_an_answer(plugin: Pbs) -> None:
    text = text_of("qstat_fFjson_two_ids.json")
    argv = ("qstat", "-f", "-F", "json", "50.server1", "999", "49.server1")
    gone = CommandResult(argv, 153, text, "qstat: Unknown Job Id 999.server1\n")
    assert plugin.classify(gone) is None
    # The last failure has the exit code, and others have more to say.
    refused = "Connection refused\nqstat: cannot connect to server server1 (errno=15010)\n"
    worse = CommandResult(argv, 153, text, f"{refused}qstat: Unknown Job Id 999.server1\n")
    assert plugin.classify(worse) is not None
    down = CommandResult(argv, 255, text_of("qstat_none.json", "main-client"), refused)
    assert plugin.classify(down) is Failure.TRANSIENT and plugin.next_command(down) is None


# --- Nodes ---


def nodes(plugin: Pbs, name: str, release: str = "23.06.06") -> dict[str, dict[str, object]]:
    return {str(node["name"]): node for node in plugin.parse_nodes(text_of(name, release))}


def test_vnodes_are_parts_of_hosts(plugin: Pbs) -> None:
    found = nodes(plugin, "pbsnodes_avFjson_multivnode.json")
    assert list(found) == ["node001", "node002"]
    # The natural vnode has no processors.
    assert (found["node002"]["cpus"], found["node002"]["mem"]) == (8, 8 * 1024**3)
    assert found["node002"]["states"] == ["job-exclusive"]
    assert found["node001"]["jobs"] and found["node001"]["mem"] == 24684092 * 1024


@pytest.mark.parametrize(
    ("name", "node", "up", "cause"),
    [
        ("pbsnodes_avFjson_busy.json", "node001", True, "it has jobs"),
        ("pbsnodes_avFjson_busy.json", "node002", True, "job-exclusive"),
        ("pbsnodes_avFjson_down.json", "node002", False, "down,job-exclusive"),
        ("pbsnodes_avFjson_down_multivnode.json", "node002", False, "down"),
        ("pbsnodes_avFjson_offline.json", "node002", False, "job-exclusive,offline"),
        ("pbsnodes_avFjson_multivnode_offline.json", "node002", False, "offline"),
        ("pbsnodes_a_busy.txt", "node001", True, "it has jobs"),
        ("pbsnodes_a_multivnode.txt", "node002", True, "job-exclusive"),
    ],
)
def test_states_of_nodes(plugin: Pbs, name: str, node: str, up: bool, cause: str) -> None:
    own = dict(plugin._get_config_elems()[2])
    section: dict[str, Any] = {"reservation": None, "pbs": own}
    about = nodes(plugin, name)[node]
    known = plugin._transform_raw_node_data(section, about, None)
    assert (known["up"], known["available"]) == (up, False)
    assert cause in str(known["cause"])


def test_reserved_nodes_are_free_for_their_reservation(plugin: Pbs) -> None:
    text = text_of("pbsnodes_avFjson_busy.json").replace('"job-exclusive"', '"resv-exclusive"')
    text = text.replace('"license":"l"', '"resv":"R1.srv, R2.srv"').replace('"11.server1"', "")
    own = dict(plugin._get_config_elems()[2])
    about = next(node for node in plugin.parse_nodes(text) if node["name"] == "node002")
    assert about["reservations"] == ["R1.srv", "R2.srv", "R1", "R2"]
    for reservation, free in (("R1", True), ("R2.srv", True), ("R3", False), (None, False)):
        section = {"reservation": reservation, "pbs": own}
        known = plugin._transform_raw_node_data(section, about, None)
        assert (known["up"], known["available"]) == (True, free)


def test_queues_of_nodes(plugin: Pbs) -> None:
    found = nodes(plugin, "pbsnodes_avFjson_queue_qlist.json")
    assert found["node001"]["partitions"] == ["small"]
    assert found["node002"]["partitions"] == ["a", "b"]
    # Any queue.
    assert "partitions" not in nodes(plugin, "pbsnodes_avFjson_busy.json")["node001"]
    other = nodes(plugin, "pbsnodes_avFjson_gpu.json", "others")["gpu1n001"]
    assert "eb_build" in str(other["partitions"])


def test_a_node_that_is_not_known_has_no_state(plugin: Pbs) -> None:
    result = failures()["pbsnodes -F json node9"]
    [node] = plugin.parse_nodes(result.stdout)
    own = dict(plugin._get_config_elems()[2])
    known = plugin._transform_raw_node_data({"reservation": None, "pbs": own}, node, None)
    assert known["up"] is False and known["cause"] == "no state"


def test_nodes_as_text(plugin: Pbs) -> None:
    in_json, in_text = (
        nodes(plugin, "pbsnodes_avFjson_busy.json"),
        nodes(plugin, "pbsnodes_a_busy.txt"),
    )
    for name, node in in_json.items():
        assert {**in_text[name], "jobs": node["jobs"]} == node
    # Published without the last line end.
    [older] = plugin.parse_nodes(text_of("pbsnodes_av_multivnode.txt", "others") + "\n")
    assert (older["name"], older["cpus"]) == ("uv", 8) and "windfall" in older["partitions"]
    [various] = plugin.parse_nodes(text_of("pbsnodes_a_various.txt", "others") + "\n")
    assert various["states"] == ["<various>"]
    with pytest.raises(UnreadableAnswer):
        list(plugin.parse_nodes("pbsnodes: Server has no node list\n"))


def test_queues(plugin: Pbs) -> None:
    queues = list(plugin.parse_queues(text_of("qstat_Qf.txt")))
    # The third was never started, and does not say so; the last is that of a reservation.
    assert [(queue.name, bool(queue.stopped)) for queue in queues] == [
        ("workq", False),
        ("stopped", True),
        ("small", True),
        ("R0", True),
    ]
