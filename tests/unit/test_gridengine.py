"""What the gridengine plugin makes of captured answers, and the commands and lines that it makes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from contract.fakes import active
from pavilion.errors import PavilionError
from pavilion.jobs import Job
from pavilion.schedulers import validate_config
from pavilion.schedulers.batch import (
    CommandResult,
    Failure,
    JobState,
    Request,
    Submission,
    UnreadableAnswer,
)
from pavilion.schedulers.batch.directives import render
from pavilion.schedulers.plugins.gridengine import GridEngine, GridEngineVars

DATA = Path(__file__).parents[1] / "data" / "gridengine" / "8.1.9"
TOKEN = "pav-0123456789abcdef"


def answer(name: str) -> CommandResult:
    """A captured answer."""
    text = (DATA / f"{name}.txt").read_text(encoding="utf-8")
    found = re.fullmatch(r"\$ (.*?)\nrc (.*?)\n--- stdout\n(.*?)--- stderr\n(.*)", text, re.DOTALL)
    assert found is not None, name
    command, code, stdout, stderr = found.groups()
    silent = code.startswith("none")
    return CommandResult(
        tuple(command.split(" ")), None if silent else int(code), stdout, stderr, 1.0, silent
    )


@pytest.fixture
def plugin() -> GridEngine:
    return GridEngine()


# --- Submissions ---


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("qsub_taken", None),
        ("qsub_taken_with_warning", None),
        ("qsub_taken_with_two_warnings", None),
        ("qsub_limit", Failure.QUEUE_FULL),
        ("qsub_user_limit", Failure.QUEUE_FULL),
        ("qsub_denied_user", Failure.DENIED),
        ("qsub_no_submit_host", Failure.DENIED),
        ("qsub_denied_priority", Failure.PERMANENT),
        ("qsub_unknown_pe", Failure.PERMANENT),
        ("qsub_unknown_queue", Failure.PERMANENT),
        ("qsub_unknown_resource", Failure.PERMANENT),
        ("qsub_unknown_project", Failure.PERMANENT),
        ("qsub_unknown_option", Failure.PERMANENT),
        ("qsub_bad_value", Failure.PERMANENT),
        ("qsub_bad_number", Failure.PERMANENT),
        ("qsub_bad_name", Failure.PERMANENT),
        ("qsub_bad_path", Failure.PERMANENT),
        ("qsub_bad_priority", Failure.PERMANENT),
        ("qsub_never_fits", Failure.PERMANENT),
        ("qsub_no_script", Failure.PERMANENT),
        # Whether the qmaster read the name before it failed, nobody can know.
        ("qsub_blank_in_name", Failure.TRANSIENT),
        ("down_qsub", Failure.TRANSIENT),
        ("frozen_qsub", Failure.TRANSIENT),
        ("down_qstat", Failure.TRANSIENT),
        ("frozen_qstat", Failure.TRANSIENT),
        ("down_qdel", Failure.TRANSIENT),
        ("down_qhost", Failure.TRANSIENT),
        ("down_qconf", Failure.TRANSIENT),
        ("qdel_unknown", Failure.UNKNOWN_JOB),
        ("qacct_unknown", Failure.UNKNOWN_JOB),
        ("qacct_not_yet", Failure.UNKNOWN_JOB),
        ("qstat_job_unknown", Failure.UNKNOWN_JOB),
        ("qdel_denied", Failure.DENIED),
        ("qdel_running", None),
        ("qdel_twice", None),
    ],
)
def test_what_failures_mean(plugin: GridEngine, name: str, kind: Failure | None) -> None:
    assert plugin.classify(answer(name)) is kind


def test_ids_of_submitted_jobs(plugin: GridEngine) -> None:
    assert plugin.parse_submission(answer("qsub_taken")) == "1"
    assert plugin.parse_submission(answer("qsub_taken_with_warning")) == "13"
    assert plugin.parse_submission(answer("qsub_taken_with_two_warnings")) == "14"
    # It may come after lines of a site's own.
    said = CommandResult(("qsub",), 0, "Welcome 2 our site\n17\n", "", 0.1, False)
    assert plugin.parse_submission(said) == "17"
    # We submit no arrays.
    assert plugin.parse_submission(answer("qsub_array")) is None
    assert plugin.parse_submission(answer("qsub_unknown_pe")) is None


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("pav_a:b@c d", f"pav_a_b_c__d-{TOKEN}"),
        ("1st", f"_1st-{TOKEN}"),
        ("", f"pav-{TOKEN}"),
        ("ünï/*?\\", f"_n_____-{TOKEN}"),
    ],
)
def test_names_that_grid_engine_accepts_with_the_token(
    plugin: GridEngine, name: str, shown: str
) -> None:
    place = Path("/work, of/a:b")
    argv = plugin.submit_command(Submission(place / "kickoff.sh", place / "sched.log", TOKEN, name))
    assert argv == [
        *("qsub", "-terse", "-b", "n", "-j", "y"),
        *("-wd", "/work, of/a:b", "-o", "sched.log", "-N", shown, "/work, of/a:b/kickoff.sh"),
    ]


def test_a_path_that_would_be_changed(plugin: GridEngine) -> None:
    place = Path("/home/$JOB_ID")
    with pytest.raises(PavilionError, match=r"would expand a variable in '/home/[$]JOB_ID'"):
        plugin.submit_command(Submission(place / "kickoff.sh", place / "sched.log", TOKEN))


# --- Lists of jobs ---


def test_jobs_in_all_states(plugin: GridEngine) -> None:
    jobs = {job.job_id: job for job in plugin.parse_jobs(answer("qstat_jobs").stdout)}
    assert {job_id: (job.state, list(job.nodes)) for job_id, job in jobs.items()} == {
        "20": ("running", ["localhost"]),
        "21": ("running", ["localhost"]),
        "22": ("running", ["localhost"]),
        "23": ("suspended", ["localhost"]),
        "24": ("held", []),
        "25": ("queued", []),
        "26": ("in error", []),
        "29": ("held", []),
    }
    being = {job.job_id: job for job in plugin.parse_jobs(answer("qstat_being_deleted").stdout)}
    assert plugin.STATES[being["21"].state] is JobState.ENDING
    assert all(job.state in plugin.STATES for job in jobs.values())


@pytest.mark.parametrize(
    ("letters", "state"),
    [
        ("qw", JobState.WAITING),
        ("hqw", JobState.WAITING),
        ("hRwq", JobState.WAITING),
        ("r", JobState.ACTIVE),
        ("t", JobState.ACTIVE),
        ("Rr", JobState.ACTIVE),
        ("hr", JobState.ACTIVE),
        ("S", JobState.ACTIVE),
        ("T", JobState.ACTIVE),
        ("Eqw", JobState.STUCK),
        ("Ehqw", JobState.STUCK),
        ("dr", JobState.ENDING),
        ("dt", JobState.ENDING),
        ("dEqw", JobState.ENDING),
    ],
)
def test_states(plugin: GridEngine, letters: str, state: JobState) -> None:
    text = answer("qstat_jobs").stdout.replace("<state>s<", f"<state>{letters}<")
    job = next(job for job in plugin.parse_jobs(text) if job.job_id == "23")
    assert plugin.state_of(plugin.record(job)) is state


def test_the_token_is_in_the_name(plugin: GridEngine) -> None:
    text = answer("qstat_jobs").stdout.replace(
        "pav_a.0123456789abcdef0123456789abcdef", f"pav_pav-aaaaaaaaaaaaaaaa-{TOKEN}"
    )
    jobs = {job.job_id: job.token for job in plugin.parse_jobs(text)}
    assert jobs["20"] == TOKEN
    assert set(jobs.values()) == {TOKEN, ""}


def test_no_jobs_is_not_a_part_of_an_answer(plugin: GridEngine) -> None:
    assert list(plugin.parse_jobs(answer("qstat_no_jobs").stdout)) == []
    # With '-g c' in sge_qstat, it lists queues, and no jobs whatever there is.
    queues = (
        "<?xml version='1.0'?>\n<job_info><cluster_queue_summary><name>all.q</name>"
        "</cluster_queue_summary></job_info>\n"
    )
    with pytest.raises(UnreadableAnswer, match="sge_qstat"):
        list(plugin.parse_jobs(queues))
    whole = answer("qstat_jobs").stdout.rstrip()
    for length in range(0, len(whole), 97):
        with pytest.raises(UnreadableAnswer):
            list(plugin.parse_jobs(whole[:length]))
    for other in ("qstat_job_unknown_xml", "qstat_job_error_xml", "qhost_idle", "qstat_jobs_plain"):
        with pytest.raises(UnreadableAnswer):
            list(plugin.parse_jobs(answer(other).stdout))
    # What XML may not contain, in the name of another job.
    odd = whole.replace("stubborn.sh", "stub\x1b\x00born")
    assert len(list(plugin.parse_jobs(odd))) == 9


def test_reasons_of_jobs_in_error(plugin: GridEngine) -> None:
    reason = plugin.parse_details(answer("qstat_job_error").stdout)
    assert reason == "error: can't chdir to /nonexistent: No such file or directory"
    assert plugin.parse_details(answer("qstat_job_waiting").stdout) == ""


# --- The accounting ---


@pytest.mark.parametrize(
    ("name", "exit_code", "reason"),
    [
        ("qacct_failed", "3", ""),
        ("qacct_deleted", "137", "assumedly after job"),
        ("qacct_time_limit", "137", "qmaster enforced h_rt, h_cpu, or h_vmem limit"),
        ("qacct_deleted_before_it_ran", "0", "changing into working directory"),
    ],
)
def test_how_jobs_ended(plugin: GridEngine, name: str, exit_code: str, reason: str) -> None:
    (job,) = plugin.parse_history(answer(name).stdout)
    assert (job.exit_code, job.reason, list(job.nodes)) == (exit_code, reason, ["localhost"])
    assert plugin.STATES[job.state] is JobState.FINISHED
    whole = answer(name).stdout
    for length in range(whole.index("qname"), whole.index("exit_status"), 31):
        with pytest.raises(UnreadableAnswer):
            list(plugin.parse_history(whole[:length]))


def test_jobs_that_the_accounting_does_not_know(plugin: GridEngine) -> None:
    for name in ("qacct_not_yet", "qacct_unknown", "qacct_no_file"):
        assert list(plugin.parse_history(answer(name).stdout)) == []


def test_one_command_for_many_ends(plugin: GridEngine) -> None:
    assert plugin.history_command(["7"]) == ["qacct", "-j", "7"]
    argv = plugin.history_command([str(number) for number in range(1000)])
    assert argv[0] == "qacct" and argv[-1] == "*-pav-*"


# --- Cancelling ---


def test_jobs_that_may_not_be_deleted(plugin: GridEngine) -> None:
    assert plugin.cancel_command(["1", "22"]) == ["qdel", "1,22"]
    assert plugin.parse_cancel(answer("qdel_denied")) == {
        "24": Failure.DENIED,
        "26": Failure.DENIED,
    }
    assert plugin.parse_cancel(answer("qdel_mixed")) == {}


# --- Hosts ---


def test_hosts(plugin: GridEngine) -> None:
    (host,) = plugin.parse_nodes(answer("qhost_idle").stdout)
    assert host == {
        "name": "localhost",
        "up": True,
        "available": True,
        "cause": "",
        "cpus": 8,
        "mem": host["mem"],
        "partitions": ["all.q", "small.q"],
    }
    assert 20 * 1024**3 < host["mem"] < 30 * 1024**3
    (host,) = plugin.parse_nodes(answer("qhost_disabled").stdout)
    assert (host["up"], host["partitions"], host["cpus"]) == (True, ["small.q"], 2)
    whole = answer("qhost_idle").stdout.rstrip()
    for length in range(0, len(whole), 53):
        with pytest.raises(UnreadableAnswer):
            list(plugin.parse_nodes(whole[:length]))


@pytest.mark.parametrize(
    ("state", "up", "available"),
    [
        ("", True, True),
        ("a", True, False),
        ("s", True, False),
        ("au", False, False),
        ("E", False, False),
        ("d", False, False),
        ("D", False, False),
        ("c", False, False),
        ("o", False, False),
    ],
)
def test_states_of_queues(plugin: GridEngine, state: str, up: bool, available: bool) -> None:
    empty = "name='state_string'></queuevalue>"
    text = answer("qhost_idle").stdout.replace(empty, empty.replace("><", f">{state}<"))
    (host,) = plugin.parse_nodes(text)
    assert (host["up"], host["available"]) == (up, available)


def test_hosts_that_do_not_answer_and_hosts_that_are_full(plugin: GridEngine) -> None:
    text = answer("qhost_idle").stdout
    (host,) = plugin.parse_nodes(re.sub(r"('load_avg'>)[0-9.]+<", r"\1-<", text))
    assert (host["up"], host["available"], host["cause"]) == (False, False, "no answer")
    (host,) = plugin.parse_nodes(re.sub(r"('slots_used'>)0<", r"\g<1>8<", text))
    assert (host["up"], host["available"]) == (True, False)


# --- Parallel environments ---


@pytest.mark.parametrize(
    ("name", "answer_of", "said", "commands"),
    [
        ("x", CommandResult((), 0, "allocation_rule    2\n"), "", ["-sp x"]),
        (
            "x",
            CommandResult((), 1, "", "x is not a parallel environment\n"),
            "'x' is not one (there are: mpi, smp)",
            ["-sp x", "-spl"],
        ),
        # The qmaster does not answer: nothing is known, and nobody waits for it again.
        ("x", CommandResult((), None, "", "", 60.0, True), "", ["-sp x"]),
    ],
)
def test_a_hundred_tests_cost_one_query_for_their_parallel_environment(
    plugin: GridEngine,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    answer_of: CommandResult,
    said: str,
    commands: list[str],
) -> None:
    asked: list[str] = []

    def run(argv: list[str]) -> CommandResult:
        asked.append(" ".join(argv[1:]))
        return CommandResult((), 0, "mpi\nsmp\n") if argv[1] == "-spl" else answer_of

    monkeypatch.setattr(plugin._client.querying, "run", run)
    section = {"nodes": "2", "tasks_per_node": "2", "gridengine": {"pe": name}}
    with active(plugin):
        for _ in range(100):
            problem = plugin.section_problem(section)
            assert said in str(problem) and (problem is None) is not bool(said)
        assert asked == commands
        plugin.refresh()
        plugin.section_problem(section)
        assert asked == commands * 2


# --- Headers ---


def lines(plugin: GridEngine, schedule: dict[str, Any], **more: Any) -> list[str]:
    """The lines of options for a job with this schedule section."""
    with active(plugin):
        config = validate_config({"time_limit": "90m", **schedule})
        request = Request("job", config, **{"node_min": 1, "node_max": 1, **more})
        made = render(plugin.DIRECTIVE_PREFIX, plugin.DIRECTIVES, request)
    assert made[:2] == ["#$ -S /bin/bash", "#$ -r n"]
    return [line[3:] for line in made[2:] if line != "#$ -l h_rt=1:30:0"]


@pytest.mark.parametrize(
    ("schedule", "more", "expected"),
    [
        ({}, {}, []),
        ({"partition": "a.q,b.q"}, {}, ["-q a.q,b.q"]),
        ({"reservation": "7"}, {}, ["-ar 7"]),
        ({"account": "x"}, {}, ["-A x"]),
        ({"gridengine": {"project": "p"}}, {}, ["-P p"]),
        ({"gridengine": {"pe": "smp"}, "tasks": "4"}, {"node_max": None}, ["-pe smp 4"]),
        ({"gridengine": {"pe": "x"}}, {"tasks_per_node": 4}, ["-pe x 4"]),
        ({"gridengine": {"pe": "x"}}, {"node_min": 2, "node_max": 3}, ["-pe x 2-3"]),
        (
            {"gridengine": {"pe": "x"}},
            {"node_min": 2, "node_max": 3, "tasks_per_node": 4},
            ["-pe x 8-12"],
        ),
        ({}, {"include_nodes": ("n1",)}, ["-l hostname=(n1)"]),
        ({}, {"exclude_nodes": ("n1", "n2.site")}, ["-l hostname=!(n1|n2.site)"]),
        (
            {},
            {"include_nodes": ("n1",), "exclude_nodes": ("n2",)},
            ["-l hostname=(n1)&!(n2)"],
        ),
        ({"gridengine": {"resources": ["gpu", "mem_free=4G"]}}, {}, ["-l gpu,mem_free=4G"]),
    ],
)
def test_lines_of_options(
    plugin: GridEngine, schedule: dict[str, Any], more: dict[str, Any], expected: list[str]
) -> None:
    assert lines(plugin, schedule, **more) == expected


@pytest.mark.parametrize(
    ("schedule", "more"),
    [
        ({"partition": "a b"}, {}),
        ({"partition": "a\n#$ -q b"}, {}),
        ({"partition": "-h"}, {}),
        ({"account": "a:b"}, {}),
        ({"account": "\u00e9"}, {}),
        ({"reservation": "r1"}, {}),
        ({"gridengine": {"pe": "-smp"}}, {}),
        ({"gridengine": {"pe": "smp 4"}}, {}),
        ({"gridengine": {"project": "$x"}}, {}),
        ({"gridengine": {"resources": ["a=1,b=2"]}}, {}),
        ({"gridengine": {"resources": ["a=1 -q x"]}}, {}),
        ({}, {"include_nodes": ("a|b",)}),
        ({}, {"exclude_nodes": ("a)&(b",)}),
        ({}, {"include_nodes": ("n1",), "node_max": 2}),
        ({}, {"include_nodes": ("n1",), "node_max": None}),
    ],
)
def test_values_that_could_be_more_than_a_value(
    plugin: GridEngine, schedule: dict[str, Any], more: dict[str, Any]
) -> None:
    with pytest.raises(PavilionError):
        lines(plugin, schedule, **more)


# --- Inside an allocation ---


def test_the_hosts_of_an_allocation(
    plugin: GridEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(tmp_path)
    for name in ("JOB_ID", "PE_HOSTFILE", "QUEUE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(PavilionError, match="not a job of Grid Engine"):
        plugin._get_alloc_nodes(job)
    for name, value in {"JOB_ID": "7", "QUEUE": "all.q", "HOSTNAME": "n1"}.items():
        monkeypatch.setenv(name, value)
    assert plugin._get_alloc_nodes(job) == ["n1"]
    assert plugin._get_alloc_job_id(job) == "7"
    hosts = tmp_path / "hosts"
    hosts.write_text(
        "n2 1 all.q@n2 UNDEFINED\nn2 1 small.q@n2 UNDEFINED\nn3 2 all.q@n3 UNDEFINED\n"
    )
    monkeypatch.setenv("PE_HOSTFILE", str(hosts))
    assert plugin._get_alloc_nodes(job) == ["n2", "n3"]


@pytest.mark.parametrize(
    ("schedule", "command"),
    [
        ({}, ""),
        ({"gridengine": {"pe": "mpi"}, "tasks": "6"}, "mpirun -n 6"),
        ({"gridengine": {"pe": "mpi"}, "tasks_per_node": "2"}, "mpirun -n 4"),
        ({"wrapper": "perf"}, "perf"),
    ],
)
def test_the_command_of_a_test(plugin: GridEngine, schedule: dict[str, Any], command: str) -> None:
    with active(plugin):
        config = validate_config(schedule)
    nodes: Any = {name: {"name": name} for name in ("n1", "n2")}
    assert GridEngineVars(config, nodes=nodes, deferred=False).test_cmd() == command
