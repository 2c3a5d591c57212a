"""Which nodes tests may use, and why not the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters import Slurm as Cluster
from clusters import wait_until
from plugin_tools import Scripted, Site, job_list, result, site_of

from pavilion.errors import SchedulerPluginError
from pavilion.schedulers.plugins.slurm.client import SlurmClient
from pavilion.schedulers.plugins.slurm.parsing import parse_scontrol_nodes
from pavilion.schedulers.plugins.slurm.queries import FIELD_END, NODE_FIELDS, ROW_END

DATA = Path(__file__).parents[1] / "data" / "slurm"
MAIN = [f"node0{number}" for number in range(1, 7)]


@pytest.fixture
def site(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with site_of(slurm, monkeypatch) as made:
        yield made


def test_what_is_known_of_a_node(site: Site) -> None:
    nodes = site.nodes()
    assert sorted(nodes) == [f"node0{number}" for number in range(1, 9)]
    first = nodes["node01"]
    assert (first["cpus"], first["mem"]) == (4, 2000 * 1024**2)
    assert (first["up"], first["available"], first["why"]) == (True, True, "")
    assert first["partitions"] == ["main"] and first["reservations"] == []
    assert first["features"] == ["a", "odd"] and first["states"] == ["IDLE"]
    assert nodes["node05"]["partitions"] == ["main", "alt"]
    # Hidden partitions count as well.
    assert nodes["node08"]["partitions"] == ["alt", "secret"]


def test_partitions(site: Site) -> None:
    assert site.usable() == MAIN
    assert site.usable({"partition": "alt"}) == ["node05", "node06", "node07", "node08"]
    assert site.usable({"partition": "secret"}) == ["node07", "node08"]
    assert site.usable({"partition": "nosuch"}) == []
    test = site.start({"partition": "secret", "nodes": "all"}, work=site.long)
    site.wait_status(test, "SCHED_STARTUP", "node[07-08]")


def test_features(site: Site) -> None:
    assert site.usable({"slurm": {"features": ["odd"]}}) == ["node01", "node03", "node05"]
    assert site.usable({"slurm": {"features": ["odd|a"]}}) == MAIN
    assert site.usable({"slurm": {"features": ["a", "odd"]}}) == ["node01", "node03", "node05"]
    assert "no feature 'nosuch'" in site.refused({"slurm": {"features": ["nosuch"]}})
    test = site.start({"slurm": {"features": ["odd"]}, "nodes": "all"}, work=site.long)
    site.wait_status(test, "SCHED_STARTUP", " on node[01,03,05]")


def test_a_reason_that_looks_like_a_state(site: Site) -> None:
    site.cluster.drain("node01", "x State=IDLE foo")
    site.cluster.drain("node02", "down?\tno | yes")
    nodes = site.nodes()
    assert not nodes["node01"]["up"] and not nodes["node02"]["up"]
    assert set(nodes["node01"]["states"]) == {"IDLE", "DRAIN"}
    assert nodes["node01"]["why"] == "drained by an administrator (DRAIN): x State=IDLE foo"
    assert site.usable() == MAIN[2:]
    text = site.refused({"nodes": "5"})
    assert "not up: 2 (node[01-02])" in text


def test_a_node_that_went_down(site: Site) -> None:
    site.cluster.ok("scontrol", "update", "nodename=node03", "state=down", "reason=smoke")
    assert site.nodes()["node03"]["why"] == "down (DOWN): smoke"
    assert "node03" not in site.usable()


def test_a_node_that_does_not_answer(site: Site) -> None:
    if site.cluster.is_real:
        # A job for a node whose daemon hangs shows it, sooner than the ping each minute.
        site.cluster.freeze_node("node04")
        try:
            site.start({"include_nodes": "node04", "nodes": "1"})
            wait_until(
                lambda: "NOT_RESPONDING" in site.cluster.node_state("node04"),
                "node04 does not respond",
                60.0,
            )
            site.plugin.refresh()
            node = site.nodes()["node04"]
        finally:
            site.cluster.thaw_node("node04")
        site.cluster.wait_until(
            lambda: site.cluster.node_state("node04").startswith(("IDLE", "MIXED"))
            and "NOT_RESPONDING" not in site.cluster.node_state("node04"),
            "it is back",
            90.0,
        )
    else:
        site.cluster.freeze_node("node04")
        node = site.nodes()["node04"]
        site.cluster.set_node_state("node04", "IDLE")
    assert not node["up"] and "not responding (NOT_RESPONDING)" in node["why"]


def test_nodes_in_use_are_up_and_not_available(site: Site) -> None:
    site.cluster.wait_idle()
    test = site.start({"nodes": "2", "tasks_per_node": "all"}, work=site.long)
    part = site.start({"nodes": "1", "exclude_nodes": "node[01-05]"}, work=site.long)
    for each in (test, part):
        site.wait_status(each, "SCHED_STARTUP")
    site.plugin.refresh()
    nodes = site.nodes()
    assert (nodes["node01"]["up"], nodes["node01"]["available"]) == (True, False)
    assert nodes["node06"]["states"] == ["MIXED"]
    assert site.usable() == MAIN
    assert site.usable({"node_state": "available"}) == ["node03", "node04", "node05"]


def test_reservations(site: Site) -> None:
    site.cluster.reserve("plain", ["node01", "node02"])
    site.cluster.reserve("service", ["node03"], flags=["maint"])
    site.cluster.reserve("later", ["node04"], start="now+2hours")
    wait_until(
        lambda: "RES" in site.cluster.node_state("node01")
        and "MAINT" in site.cluster.node_state("node03"),
        "the reservations hold",
    )
    nodes = site.nodes()
    assert nodes["node01"]["reservations"] == ["plain"]
    assert nodes["node04"]["reservations"] == []
    # Without a reservation, reserved nodes are left out.
    assert site.usable() == ["node04", "node05", "node06"]
    assert site.usable({"reservation": "plain"}) == ["node01", "node02"]
    # Nodes in maintenance can be used in just that reservation.
    assert site.usable({"reservation": "service"}) == ["node03"]
    assert site.usable({"reservation": "any"}) == ["node01", "node02", "node03"]
    assert "There is no reservation 'plan' (any more). Did you mean 'plain'?" in site.refused(
        {"reservation": "plan"}
    )
    # One that has not begun has its nodes; jobs wait for it.
    assert site.usable({"reservation": "later"}) == ["node04"]
    test = site.start({"reservation": "service"}, work=site.long)
    site.wait_status(test, "SCHED_STARTUP", " on node03")


def test_a_wrong_reservation_concerns_no_other_test(site: Site) -> None:
    wrong, right = site.test({"reservation": "nosuch"}), site.test()
    errors = site.try_start(wrong, right)
    assert [error.tests for error in errors] == [[wrong]]
    assert "There is no reservation 'nosuch' (any more). There are none." in errors[0].pformat()


def test_two_reservations_at_a_time_keep_apart(site: Site) -> None:
    """One plugin serves tests with other reservations, in any order."""
    site.cluster.reserve("one", ["node01"])
    site.cluster.reserve("two", ["node02"])
    wait_until(lambda: "RES" in site.cluster.node_state("node02"), "the reservations hold")
    tests = [site.start({"reservation": name}, work=site.long) for name in ("one", "two", "one")]
    assert [site.recorded(test)["reservation"] for test in tests] == ["one", "two", "one"]


# --- How often Slurm is asked ---


def test_nothing_is_asked_before_it_is_needed(site: Site) -> None:
    runner = site.plugin._client.querying
    variables = site.plugin.get_initial_vars({"nodes": "2", "partition": "main"})
    assert variables["partition"] == "main"
    assert runner.count() == 0
    assert variables["nodes"] == "6"
    asked = runner.calls
    assert asked == {"sinfo": 1, "scontrol": 1}
    site.plugin.get_initial_vars({"nodes": "3", "partition": "main"})["node_list"]
    site.usable({"slurm": {"features": ["odd"]}})
    site.start({"nodes": "2"})
    assert {name: runner.count(name) for name in asked} == asked
    site.plugin.refresh()
    site.usable()
    assert runner.count("sinfo") == 2


def test_availability_is_asked_once(site: Site) -> None:
    assert [site.plugin.available() for _ in range(3)] == [True] * 3
    assert site.plugin._client.querying.calls == {"scontrol": 1}
    site.plugin.refresh()
    with site.cluster.down():
        assert not site.plugin.available()
    assert "Slurm's controller does not answer" in str(site.plugin.unavailable_reason)


def test_without_commands_it_is_not_available(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(site.cluster.folder))
        assert not site.plugin.available()
    assert site.plugin.unavailable_reason == (
        "Slurm's commands were not found in PATH: sbatch, squeue, scancel, scontrol, sinfo."
    )


def test_a_controller_that_cannot_be_asked_for_nodes(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pavilion.schedulers.talk.commands.CommandRunner._random", lambda self: 0.0)
    before = set(site.jobs())
    with site.cluster.down():
        tests = [site.test() for _ in range(20)]
        errors = site.try_start(*tests)
    assert sorted(str(test.id) for error in errors for test in error.tests) == sorted(
        str(test.id) for test in tests
    )
    assert all(
        "Slurm could not be queried" in error.pformat() and "sinfo" in error.pformat()
        for error in errors
    )
    # Three tries for all of them.
    assert site.plugin._client.querying.count("sinfo") == 3
    assert set(site.jobs()) <= before


# --- With answers that are given beforehand ---


def asked(*answers: Any) -> tuple[SlurmClient, Scripted]:
    client = SlurmClient()
    runner = Scripted(*answers)
    client.querying = runner  # type: ignore[assignment]
    return client, runner


@pytest.mark.parametrize("text", ["", "garbage\n", "\x1b[31m", "slurm is sleeping"], ids=ascii)
def test_an_answer_that_is_none(text: str) -> None:
    client, _ = asked(result(text), result("No reservations in the system\n"))
    with pytest.raises(SchedulerPluginError, match="Slurm's answer about its nodes cannot be"):
        client.inventory()


def test_a_sinfo_that_lacks_a_field() -> None:
    """Before 21.08: asked for in full instead.  The message is 22.05.8's for a made-up field."""
    old = (DATA / "written" / "nodes_scontrol_20.11.txt").read_text()
    partitions = "".join(
        f"PartitionName={name} AllowGroups=ALL AllocNodes=ALL Default={default} QoS=N/A\n"
        for name, default in (("a", "NO"), ("main", "YES"), ("b", "NO"))
    )
    client, runner = asked(
        result("|\n", "sinfo: error: Invalid job format specification: StateComplete\n"),
        result(old),
        result(partitions),
        result("No reservations in the system\n"),
    )
    nodes, reservations, default = client.inventory()
    assert (nodes, reservations, default) == (parse_scontrol_nodes(old)[0], [], "main")
    assert [argv[-1] for argv in runner.argvs[1:]] == ["node", "partition", "reservation"]


def test_a_controller_that_was_just_started() -> None:
    """It is asked again until it has heard of its nodes, but not for ever."""

    def node_list(*states: str) -> Any:
        rows = [[field.upper() for field in NODE_FIELDS.values()]] + [
            [state, "4", "100", "a", "main*", f"n{number}", "none"]
            for number, state in enumerate(states)
        ]
        return result("".join(FIELD_END.join(row) + f"{ROW_END}\n" for row in rows))

    none = result("No reservations in the system\n")
    client, runner = asked(
        node_list("UNKNOWN", "UNKNOWN", "IDLE"), node_list("UNKNOWN", "IDLE", "IDLE"), none
    )
    pauses: list[float] = []
    client._sleep = pauses.append
    assert [node.state for node in client.inventory()[0]] == ["UNKNOWN", "IDLE", "IDLE"]
    assert pauses == [1.0] and runner.left == 0
    client, runner = asked(*[node_list("UNKNOWN")] * 5, none)
    client._sleep = pauses.append
    assert [node.state for node in client.inventory()[0]] == ["UNKNOWN"]
    assert pauses[1:] == [1.0, 2.0, 4.0, 8.0] and runner.left == 0


def test_jobs_of_a_row_that_cannot_be_read() -> None:
    from pavilion.schedulers.lifecycle.job_table import QueryFailed

    whole = job_list({"id": "7", "state": "RUNNING"})
    # Its id can be read: the job is there, in no known state.
    client, _ = asked(result(whole.stdout + f"8{FIELD_END}x{ROW_END}\n"))
    assert {job_id: job.state for job_id, job in client.jobs("0").items()} == {
        "7": "RUNNING",
        "8": "UNREADABLE",
    }
    # It may be any job's: nobody is absent.
    client, _ = asked(result(whole.stdout + f"?{FIELD_END}x{ROW_END}\n"))
    with pytest.raises(QueryFailed, match="a row that cannot be read"):
        client.jobs("0")
