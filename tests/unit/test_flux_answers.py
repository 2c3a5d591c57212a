"""What the flux plugin makes of captured answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flux_answers import DATA, answer

from pavilion.schedulers import Flux, validate_config
from pavilion.schedulers.batch import CommandResult, Failure, JobState, UnreadableAnswer
from pavilion.schedulers.batch.notes import job_note
from pavilion.schedulers.plugins.flux import decimal_id, parse_cores, parse_reasons


@pytest.fixture
def plugin() -> Flux:
    return Flux()


def notes(plugin: Flux, name: str) -> dict[str, str]:
    """The note about each job of a list, by the job's name."""
    records = {
        row["name"]: plugin.record(job)
        for row, job in zip(
            json.loads(answer(name).stdout)["jobs"], plugin.parse_jobs(answer(name).stdout)
        )
    }
    return {job: job_note(plugin, record) for job, record in records.items()}


# --- What failures mean ---


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("batch_taken", None),
        ("cancel_running", None),
        ("jobs_none", None),
        ("jobs_two_ids", None),
        ("uptime", None),
        ("batch_orphan", Failure.PERMANENT),
        ("batch_no_shebang", Failure.PERMANENT),
        ("batch_not_utf8", Failure.PERMANENT),
        ("batch_not_utf8_environment", Failure.PERMANENT),
        ("batch_no_script", Failure.PERMANENT),
        ("batch_no_size", Failure.PERMANENT),
        ("batch_fewer_tasks", Failure.PERMANENT),
        ("batch_exclusive_without_nodes", Failure.PERMANENT),
        ("batch_no_queues", Failure.PERMANENT),
        ("batch_unknown_queue", Failure.PERMANENT),
        ("batch_bad_time", Failure.PERMANENT),
        ("batch_unknown_host", Failure.PERMANENT),
        ("batch_unknown_host_validated", Failure.PERMANENT),
        ("batch_unknown_property", Failure.PERMANENT),
        ("batch_bad_hostlist", Failure.PERMANENT),
        ("batch_bad_dependency", Failure.PERMANENT),
        ("batch_bad_urgency", Failure.PERMANENT),
        ("batch_bad_option", Failure.PERMANENT),
        ("batch_bad_value", Failure.PERMANENT),
        ("batch_over_limit", Failure.PERMANENT),
        ("batch_unsatisfiable", Failure.PERMANENT),
        ("batch_queue_disabled", Failure.PERMANENT),
        ("batch_guest", Failure.PERMANENT),
        ("jobs_bad_option", Failure.PERMANENT),
        # No answer is never a refusal, and never 'no jobs': whatever is submitted is looked up.
        ("no_instance_jobs", Failure.TRANSIENT),
        ("no_instance_uptime", Failure.TRANSIENT),
        ("no_instance_batch", Failure.TRANSIENT),
        ("no_instance_resource", Failure.TRANSIENT),
        ("no_instance_cancel", Failure.TRANSIENT),
        ("no_instance_queue", Failure.TRANSIENT),
        ("run_missing_instance", Failure.TRANSIENT),
        ("not_mine_jobs", Failure.TRANSIENT),
        ("not_mine_batch", Failure.TRANSIENT),
        ("gone_jobs", Failure.TRANSIENT),
        ("gone_uptime", Failure.TRANSIENT),
        ("gone_batch", Failure.TRANSIENT),
        ("frozen_jobs", Failure.TRANSIENT),
        ("frozen_uptime", Failure.TRANSIENT),
        ("frozen_batch", Failure.TRANSIENT),
        ("frozen_cancel", Failure.TRANSIENT),
        ("cancel_unknown", Failure.UNKNOWN_JOB),
        ("cancel_one_unknown", Failure.UNKNOWN_JOB),
        ("cancel_inactive", Failure.UNKNOWN_JOB),
        ("cancel_both_inactive", Failure.UNKNOWN_JOB),
        ("jobs_unknown_id", Failure.UNKNOWN_JOB),
        ("cancel_not_mine", Failure.DENIED),
    ],
)
def test_what_failures_mean(plugin: Flux, name: str, kind: Failure | None) -> None:
    assert plugin.classify(answer(name)) is kind


def test_a_limit_on_jobs_is_waited_for(plugin: Flux) -> None:
    said = "flux-batch: ERROR: user has max number of jobs submitted\n"
    result = CommandResult(("flux", "batch"), 1, "", said)
    assert plugin.classify(result) is Failure.QUEUE_FULL


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("batch_over_limit", "schedule.time_limit"),
        ("batch_unknown_queue", "schedule.flux.queue"),
        ("batch_unknown_host", "schedule.include_nodes"),
        ("batch_orphan", ""),
    ],
)
def test_hints(plugin: Flux, name: str, key: str) -> None:
    assert plugin.hint(answer(name)) == (key and f"see {key}")


# --- Ids ---


@pytest.mark.parametrize(
    ("text", "number"),
    [
        # As 'flux job id --to=dec' printed them.
        ("fapvGaqu", "1287718436864"),
        ("ƒapvGaqu", "1287718436864"),
        ("1287718436864", "1287718436864"),
        # Messages leave out zeros at the beginning.
        ("f1234", decimal_id("f234")),
        ("", ""),
        ("f", ""),
        ("fl0l", ""),
        ("apvGaqu", ""),
        ("12 --all", ""),
        ("f" + "z" * 12, ""),
    ],
)
def test_spellings_of_ids(text: str, number: str) -> None:
    assert decimal_id(text) == number


def test_all_ids_of_a_list_are_spelled_alike() -> None:
    for name in ("jobs_states", "jobs_ends", "jobs_exceptions", "jobs_waiting"):
        for row in json.loads(answer(name).stdout)["jobs"]:
            assert decimal_id(row["jobid"]) == str(row["id"])


def test_ids_of_submitted_jobs(plugin: Flux) -> None:
    assert plugin.parse_submission(answer("batch_taken")) == decimal_id("fZQiQQYw")
    # 'ƒ' in a locale of UTF-8.
    assert plugin.parse_submission(answer("batch_taken_utf8")) == decimal_id("fZgcYhqR")
    for text in ("fZQiQQYw", "fZQiQQYw fZgcYhqR\n", "", "\n", "welcome\n", "fZ0\n"):
        assert plugin.parse_submission(CommandResult(("flux", "batch"), 0, text)) is None, text
    greeted = CommandResult(("flux", "batch"), 0, "Welcome to flux\nfZQiQQYw\n")
    assert plugin.parse_submission(greeted) == decimal_id("fZQiQQYw")


# --- Lists of jobs ---


def test_the_whole_list_is_requested(plugin: Flux) -> None:
    """1,000 jobs otherwise, and in JSON without a word."""
    assert plugin.jobs_command("ann") == "flux jobs -a --since=-7d -c 0 --json -u ann".split()
    assert plugin.jobs_command(None) == "flux jobs -a --since=-7d -c 0 --json -A".split()


def test_one_id_gives_a_bare_object(plugin: Flux) -> None:
    [job] = plugin.parse_jobs(answer("jobs_one_id").stdout)
    assert (job.job_id, job.state) == ("1287718436864", "CANCELED")
    [same] = plugin.parse_jobs(answer("jobs_two_ids").stdout)
    assert same == job
    # None of the ids is known.
    with pytest.raises(UnreadableAnswer):
        plugin.read_jobs("parse_jobs", answer("jobs_unknown_id").stdout)


def test_no_jobs_is_not_a_part_of_an_answer(plugin: Flux) -> None:
    assert plugin.read_jobs("parse_jobs", answer("jobs_none").stdout) == []
    whole = answer("jobs_ends").stdout.rstrip()
    for length in range(0, len(whole), 61):
        with pytest.raises(UnreadableAnswer):
            plugin.read_jobs("parse_jobs", whole[:length])
    for other in ("uptime", "resource_R", "no_instance_jobs", "queue_list"):
        with pytest.raises(UnreadableAnswer):
            plugin.read_jobs("parse_jobs", answer(other).stdout)


def test_jobs_in_all_states(plugin: Flux) -> None:
    jobs = {job.job_id: job for job in plugin.parse_jobs(answer("jobs_states").stdout)}
    assert all(job.state in plugin.STATES for job in jobs.values())
    states = {job.state for job in jobs.values()}
    assert {"DEPEND", "SCHED", "HELD", "RUN", "FAILED"} <= states
    running = jobs[decimal_id("fZQiQQYw")]
    assert (running.state, list(running.nodes)) == ("RUN", ["vm"])


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("DEPEND", JobState.WAITING),
        ("PRIORITY", JobState.WAITING),
        ("SCHED", JobState.WAITING),
        ("HELD", JobState.STUCK),
        ("RUN", JobState.ACTIVE),
        # A job on a node that hangs may stay there: it has not ended.
        ("CLEANUP", JobState.ENDING),
        ("COMPLETED", JobState.FINISHED),
        ("FAILED", JobState.FINISHED),
        ("TIMEOUT", JobState.FINISHED),
        ("CANCELED", JobState.CANCELLED),
    ],
)
def test_states(plugin: Flux, word: str, state: JobState) -> None:
    assert plugin.STATES[word] is state


def test_the_token_is_in_the_name(plugin: Flux) -> None:
    text = answer("jobs_one_id").stdout
    token = "pav-0123456789abcdef"
    [job] = plugin.parse_jobs(text.replace('"canc"', f'"pav_pav-aaaaaaaaaaaaaaaa-{token}"'))
    assert job.token == token
    assert plugin.read_jobs("parse_jobs", text)[0].data.get("token") is None


# --- How jobs end, and why they wait ---


@pytest.mark.parametrize(("code", "signal"), [(137, "signal 9 "), (200, ""), (255, ""), (128, "")])
def test_exit_codes_that_are_no_signals(plugin: Flux, code: int, signal: str) -> None:
    text = answer("jobs_ends").stdout
    row = next(row for row in json.loads(text)["jobs"] if row["name"] == "sk")
    job = next(iter(plugin.parse_jobs(json.dumps({"jobs": [{**row, "returncode": code}]}))))
    note = job_note(plugin, plugin.record(job))
    assert f"exit code {code}" in note
    assert ("signal" in note, signal in note) == (bool(signal), True)


def test_how_jobs_ended(plugin: Flux) -> None:
    found = notes(plugin, "jobs_ends")
    for name, parts in {
        "ok2": ["has ended (COMPLETED), exit code 0"],
        "f3": ["has ended (FAILED), exit code 3"],
        "sk": ["has ended (FAILED), exit code 137", "signal 9 ended it"],
        "tmo": ["(TIMEOUT)", "resource allocation expired", "'timeout': its time limit"],
        "canc": ["was cancelled (CANCELED), exit code 143", "'cancel'"],
        "big": ["is being ended (CLEANUP"],
        "dep": ["(FAILED)", "can never be satisfied", "'dependency'"],
        "held": ["is stuck (held: its urgency is 0)", "until somebody intervenes"],
    }.items():
        assert all(part in found[name] for part in parts), found[name]
    # None of its script ran, so there is no exit code of it.
    assert "exit code" not in found["dep"]


def test_exceptions_are_told_apart(plugin: Flux) -> None:
    """A job may be taken, and be refused a moment later."""
    found = notes(plugin, "jobs_exceptions")
    assert "shell_init: No such file or directory (exception 'exec': " in found["badout"]
    assert "exit code 1" in found["badout"]
    # A missing directory is no error: it ran in /tmp.
    assert "(COMPLETED), exit code 0" in found["badcwd"]
    refused = found["ok.sh"]
    assert "unsatisfiable request: need " in refused and "only " in refused
    assert "exception 'alloc': Flux cannot give the job what it requests" in refused
    assert "exit code" not in refused
    lost = notes(plugin, "jobs_node_lost")["lost3"]
    assert "node failure on node3 (rank 2) (exception 'exec': a node was lost" in lost


def test_why_jobs_wait(plugin: Flux) -> None:
    found = notes(plugin, "jobs_waiting")
    assert "is stuck (held: its urgency is 0)" in found["held"]
    assert "waits (DEPEND): after-success=" in found["dep"]
    assert "waits (DEPEND): begin@" in found["later"]
    jobs = {job.job_id: job for job in plugin.parse_jobs(answer("jobs_waiting").stdout)}
    by_name = {
        row["name"]: jobs[str(row["id"])]
        for row in json.loads(answer("jobs_waiting").stdout)["jobs"]
    }
    assert by_name["stopped"].data == {"queue": "debug", "node_count": "1"}
    assert by_name["toomany"].data == {"queue": "batch", "node_count": "3"}


def test_jobs_that_were_cancelled(plugin: Flux) -> None:
    jobs = list(plugin.parse_jobs(answer("jobs_cancelled").stdout))
    rows = json.loads(answer("jobs_cancelled").stdout)["jobs"]
    codes = {
        row["name"]: (job.state, job.exit_code) for row, job in zip(rows, jobs) if not job.token
    }
    # After SIGKILL; in jobs_ends, SIGTERM was enough.
    assert codes["part"] == ("CANCELED", 137)
    # Before they started: no exit code, not -128.
    assert codes["held"] == codes["toomany"] == codes["later"] == ("CANCELED", None)


def test_whose_jobs_could_not_be_cancelled(plugin: Flux) -> None:
    assert plugin.parse_cancel(answer("cancel_running")) == {}
    # Whether these are gone is seen in the list.
    assert plugin.parse_cancel(answer("cancel_both_inactive")) == {}
    denied = answer("cancel_not_mine")
    assert plugin.parse_cancel(denied) == {decimal_id("fwe7un3R"): Failure.DENIED}


# --- Nodes and queues ---


def described(plugin: Flux, name: str, **section: Any) -> dict[str, dict[str, Any]]:
    """The nodes of a captured list, as a test with this section sees them."""
    config = validate_config({})
    config["flux"] = {"up_states": [], "avail_states": [], "features": [], "queue": None}
    config["flux"].update(section)
    reasons = parse_reasons(answer("resource_status_drained").stdout)
    return {
        node["name"]: plugin._transform_raw_node_data(config, node, ({"node3": 64}, reasons))
        for node in plugin.parse_nodes(answer(name).stdout)
    }


def test_the_worst_state_of_a_node_counts(plugin: Flux) -> None:
    """node2 is free and allocated; node1 is allocated, and down because it is being drained."""
    nodes = described(plugin, "resource_list_drained")
    states = {name: node["states"] for name, node in nodes.items()}
    assert states == {
        "node1": ["down"],
        "node2": ["allocated"],
        "node3": ["free"],
        "node4": ["down"],
    }
    assert {name: (node["up"], node["available"]) for name, node in nodes.items()} == {
        "node1": (False, False),
        "node2": (True, False),
        "node3": (True, True),
        "node4": (False, False),
    }
    assert nodes["node1"]["cause"] == "draining: busy node"
    assert nodes["node4"]["cause"] == "drained: testing | reason"
    assert nodes["node2"]["cause"] == "allocated" and nodes["node3"]["cause"] == ""
    assert nodes["node3"]["cpus"] == 64 and nodes["node4"]["cpus"] == 16
    assert nodes["node4"]["partitions"] == ["debug"]
    assert nodes["node4"]["features"] == ["big", "debug"]


def test_which_states_are_up(plugin: Flux) -> None:
    """The default, as in Pavilion's own plugin, is of states of jobs, which say nothing."""
    (elements, _, defaults) = plugin._get_config_elems()
    assert {elem.name for elem in elements} == set(defaults)
    jobs = ["DEPEND", "SCHED", "RUN", "CLEANUP", "INACTIVE"]
    assert defaults["up_states"] == defaults["avail_states"] == jobs
    plain = described(plugin, "resource_list_drained")
    assert described(plugin, "resource_list_drained", up_states=jobs, avail_states=jobs) == plain
    free = described(plugin, "resource_list_drained", up_states=["free"])
    assert [name for name, node in free.items() if node["up"]] == ["node3"]
    shared = described(plugin, "resource_list_drained", avail_states=["free", "allocated"])
    assert shared["node2"]["available"] and not shared["node1"]["available"]


def test_brokers_that_share_a_host(plugin: Flux) -> None:
    text = "all|||4|8|vm,vm,vm,vm\nfree|||4|7|vm,vm,vm,vm\nallocated|||1|1|vm\ndown|||0|0|\n"
    [node] = plugin.parse_nodes(text)
    assert (node["name"], node["state"], node["cores"]) == ("vm", "allocated", 8.0)
    assert node["partitions"] == [] == node["features"]
    assert parse_cores(answer("resource_R_one_host").stdout) == {"vm": 8}


def test_cores_and_hosts_of_an_R() -> None:
    assert parse_cores(answer("resource_R").stdout) == {f"node{n}": 4 for n in range(1, 5)}
    # Ranks of a job are not those of its instance; items of the list are host lists.
    assert parse_cores(answer("job_info_R").stdout) == {"vm": 4}
    assert list(parse_cores(answer("kvs_R_in_job").stdout).values()) == [16, 16]
    for other in ("no_instance_resource", "jobs_none", "uptime", "kvs_no_key"):
        assert parse_cores(answer(other).stdout) == {}


def test_a_list_of_nodes_that_is_cut_off(plugin: Flux) -> None:
    whole = answer("resource_list_drained").stdout
    # Without its last line end it is whole, too.
    for length in range(len(whole) - 1):
        with pytest.raises(UnreadableAnswer):
            plugin.read("parse_nodes", whole[:length])
    assert len(plugin.read("parse_nodes", whole)) == 4
    for other in ("queue_list_coloured", "jobs_none", "no_instance_resource"):
        with pytest.raises(UnreadableAnswer):
            plugin.read("parse_nodes", answer(other).stdout)


def test_lost_brokers_and_other_reasons(plugin: Flux) -> None:
    assert parse_reasons(answer("resource_status_lost").stdout) == {"node3": "offline"}
    lost = {
        node["name"]: node["state"]
        for node in plugin.parse_nodes(answer("resource_list_lost").stdout)
    }
    assert lost == {"node1": "free", "node2": "free", "node3": "down", "node4": "free"}
    assert parse_reasons(answer("resource_status_idle").stdout) == {}
    assert parse_reasons("") == {}
    assert parse_reasons("nothing of the kind\n") == {}


def test_queues(plugin: Flux) -> None:
    queues = list(plugin.parse_queues(answer("queue_list").stdout))
    assert [(queue.name, queue.stopped, queue.is_default) for queue in queues] == [
        ("batch", "", True),
        ("debug", "", False),
    ]
    stopped = list(plugin.parse_queues(answer("queue_list_stopped").stdout))
    assert [queue.stopped for queue in stopped] == ["", "stopped"]
    [only] = plugin.parse_queues("||started\n")
    assert (only.name, only.stopped, only.is_default) == ("", "", False)
    # Colours, even in a pipe.
    with pytest.raises(UnreadableAnswer):
        plugin.read("parse_queues", answer("queue_list_coloured").stdout)


def test_all_captured_answers_are_used() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("*.py"))
    unused = [path.stem for path in DATA.glob("*.txt") if f'"{path.stem}' not in text]
    assert not unused
