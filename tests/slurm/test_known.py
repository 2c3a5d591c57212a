"""What a test asks for that Slurm does not have, and tests whose nodes Slurm does not list."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from clusters import wait_until
from plugin_tools import Site, header, info, site_of

from contract.fakes import active
from pavilion.schedulers import Slurm, validate_config
from pavilion.schedulers.placement.inventory import filter_nodes
from pavilion.schedulers.plugins.slurm import parsing
from pavilion.schedulers.plugins.slurm.inventory import Inventory
from pavilion.schedulers.plugins.slurm.known import (
    Partition,
    open_reservations,
    own_name,
    parse_partitions,
)
from pavilion.schedulers.plugins.slurm.parsing import Node


@pytest.fixture
def site(slurm: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with site_of(slurm, monkeypatch, "known") as made:
        yield made


# --- Names that do not exist ---


@pytest.mark.parametrize(
    ("schedule", "texts"),
    [
        (
            {"partition": "mian"},
            ["There is no partition 'mian'. Did you mean 'main'?", "There are: alt, main, secret."],
        ),
        ({"partition": "MAIN"}, ["There is no partition 'MAIN'. Did you mean 'main'?"]),
        (
            {"partition": "main,xyz"},
            ["There is no partition 'xyz'.", "There are: alt, main, secret."],
        ),
        (
            {"reservation": "nosuch"},
            ["There is no reservation 'nosuch' (any more). There are none."],
        ),
        ({"slurm": {"features": ["od"]}}, ["There is no feature 'od'. Did you mean 'odd'?"]),
        ({"slurm": {"features": ["a|xyz"]}}, ["There is no feature 'xyz'.", "There are: a, odd."]),
    ],
)
def test_a_name_that_does_not_exist(site: Site, schedule: dict[str, Any], texts: list[str]) -> None:
    problem = site.plugin.section_problem(schedule)
    assert problem is not None
    assert all(text in str(problem) for text in texts), problem
    assert str((problem.data or {})["key"]).startswith("schedule.")
    # Also where no host checked it before: the test ends with that, and others go on.
    wrong, right = site.test(schedule), site.test()
    errors = site.try_start(wrong, right)
    assert [error.tests for error in errors] == [[wrong]]
    assert texts[0] in wrong.status.current().note


@pytest.mark.parametrize(
    "schedule",
    [
        {},
        {"partition": "main"},
        {"partition": "secret"},
        {"partition": "main,alt"},
        {"slurm": {"features": ["odd", "a|odd"]}},
        {"account": "nobody_checks"},
        {"qos": "high"},
        {"reservation": "any"},
    ],
)
def test_nothing_is_said_against_what_is_there(site: Site, schedule: dict[str, Any]) -> None:
    assert site.plugin.section_problem(schedule) is None


def test_a_section_that_is_wrong_is_a_problem(site: Site) -> None:
    assert "IDEL" in str(site.plugin.section_problem({"slurm": {"up_states": ["IDEL"]}}))


def test_a_slurm_that_does_not_answer_is_nothing_against_a_name(site: Site) -> None:
    with site.cluster.down():
        assert (
            site.plugin.section_problem(
                {"partition": "nosuch", "reservation": "x", "slurm": {"features": ["y"]}}
            )
            is None
        )


def test_partitions_that_are_not_listed_are_nothing_against_a_name(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    # There may be some, or nodes of some, that sinfo does not list.
    with hidden(
        site,
        monkeypatch,
        """#!/bin/sh
case "$*" in *"show partition"*) echo "slurm_load_partitions error: what?" >&2; exit 1;; esac
exec {real} "$@"
""",
        "scontrol",
    ):
        assert site.plugin.section_problem({"partition": "nosuch"}) is None
        assert site.plugin.section_problem({"slurm": {"features": ["nosuch"]}}) is None


def test_partitions_are_read_in_any_order() -> None:
    text = (
        "PartitionName=q AllowGroups=ALL Default=NO Nodes=q-[1-6] State=UP TotalNodes=6 x=1\n"
        "a banner\n"
        "PartitionName=main TotalNodes=2 Default=YES\n"
        "PartitionName=old State=UP\n"
    )
    assert parse_partitions(text) == {
        "q": Partition(6, False),
        "main": Partition(2, True),
        "old": Partition(None, False),
    }
    assert parse_partitions("") == {}


# Of 22.05.8, by 'scontrol -o show reservation'; other releases have more keys between.
_RESERVATION = (
    "ReservationName={name} StartTime=2026-11-27T00:22:29 EndTime=2026-11-27T01:22:29 "
    "Duration=01:00:00 Nodes=node03 NodeCnt=1 CoreCnt=4 Features=(null) PartitionName=(null) "
    "Flags=SPEC_NODES TRES=cpu=4 Users={users} Groups={groups} Accounts={accounts} "
    "Licenses=(null) State=ACTIVE BurstBuffer=(null) Watts=n/a MaxStartDelay=(null)\n"
)


@pytest.mark.parametrize(
    ("users", "groups", "accounts", "allowed"),
    [
        ("me", "(null)", "(null)", True),
        ("you,me", "(null)", "(null)", True),
        ("you", "(null)", "(null)", False),
        ("-you", "(null)", "(null)", True),
        ("-me", "(null)", "(null)", False),
        ("(null)", "team", "(null)", True),
        ("(null)", "others", "(null)", False),
        ("(null)", "(null)", "acct", False),
        ("me", "(null)", "acct", False),
    ],
)
def test_reservations_that_a_user_may_use(
    users: str, groups: str, accounts: str, allowed: bool
) -> None:
    text = _RESERVATION.format(name="r_1", users=users, groups=groups, accounts=accounts)
    assert open_reservations(text, "me", ["team"]) == ({"r_1"} if allowed else set())


# --- Reservations ---


def test_reservations_may_be_hidden(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.cluster.reserve("r1", ["node01"])
    hides = "The site shows you those alone that you may use (PrivateData)."
    assert hides not in site.refused({"reservation": "theirs"})
    monkeypatch.setattr(site.plugin._client, "_config_text", "PrivateData = jobs,reservations\n")
    monkeypatch.setattr(site.plugin._client, "_ask_config_at", float("inf"))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert hides in str(site.plugin.section_problem({"reservation": "theirs"}))


def test_a_list_of_reservations(site: Site) -> None:
    site.cluster.reserve("r1", ["node01", "node02"])
    site.cluster.reserve("r2", ["node03"])
    assert site.usable({"reservation": "r1,r2"}) == ["node01", "node02", "node03"]
    test = site.start({"reservation": "r1,r2", "nodes": "2"})
    assert '--reservation "r1,r2"' in header(test)
    site.wait_status(test, "SCHED_ERROR", "ended normally")
    # A job runs in one of them.
    assert "no more than 2 each" in site.refused({"reservation": "r1,r2", "nodes": "3"})
    assert site.usable({"reservation": "r1,r2", "chunking": {"size": "1"}}) == ["node01", "node02"]
    assert "There is no reservation 'r3'" in site.refused({"reservation": "r1,r3"})


def test_any_reservation_is_one_that_the_user_may_use(site: Site) -> None:
    site.cluster.reserve("mine", ["node01", "node02"])
    site.cluster.reserve("theirs", ["node03", "node04", "node05"], users="daemon")
    assert site.usable({"reservation": "any"}) == ["node01", "node02"]
    test = site.start({"reservation": "any", "nodes": "2"})
    assert '--reservation "mine"' in header(test)
    site.wait_status(test, "SCHED_ERROR", "ended normally")
    assert "not in a reservation that you may use: 3 (node[03-05])" in site.refused(
        {"reservation": "any", "nodes": "3"}
    )
    picked = site.start({"reservation": "any", "nodes": "1", "across_nodes": "node[02-04]"})
    assert {'--reservation "mine"', "-w node02"} <= set(header(picked))


def test_a_reservation_that_has_not_begun_is_waited_for(site: Site) -> None:
    site.cluster.reserve("later", ["node04"], start="now+2hours")
    test = site.start({"reservation": "later"}, work=site.long)
    site.wait_status(test, "SCHEDULED", "reservation")
    assert "(Reservation)" in site.status(test).note
    assert "Reservation 'later' begins at 20" in site.status(test).note


@pytest.fixture
def real_site(slurm: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    if not slurm.is_real:
        pytest.skip("the fake does not schedule by partitions and flags of reservations")
    with site_of(slurm, monkeypatch, "known") as made:
        yield made


def test_jobs_go_to_the_partition_of_their_reservation(real_site: Site) -> None:
    # Without a partition of their own [22.05.8, 25.11]; that of an unlimited one is the default.
    site = real_site
    site.cluster.ok(
        "scontrol",
        "create",
        "reservation",
        "reservationname=inalt",
        "users=root",
        "starttime=now",
        "duration=60",
        "nodes=node08",
        "partitionname=alt",
    )
    site.cluster.reserve("anywhere", ["node07"])
    assert site.usable({"reservation": "inalt"}) == ["node08"]
    test = site.start({"reservation": "inalt"})
    assert site.recorded(test)["partition"] == "alt"
    assert site.usable({"reservation": "inalt", "chunking": {"size": "1"}}) == ["node08"]
    assert 'not in the default partition "main"' in site.refused({"reservation": "anywhere"})


def test_a_flexible_reservation_is_no_limit(real_site: Site) -> None:
    site = real_site
    site.cluster.reserve("flex", ["node06"], flags=["FLEX"])
    site.cluster.reserve("others", ["node01"])
    test = site.start({"reservation": "flex", "nodes": "3"})
    site.wait_status(test, "SCHED_ERROR", "ended normally")
    assert "not in reservation" in site.refused({"reservation": "flex", "nodes": "6"})


# Of 22.05.8.
_FLEX = _RESERVATION.replace("Nodes=node03", "Nodes=node06").replace("=SPEC", "=FLEX,SPEC")
_IN_ALT = _RESERVATION.replace("Nodes=node03", "Nodes=node08").replace(
    "PartitionName=(null)", "PartitionName=alt"
)


def seen(lines: str, **schedule: Any) -> list[str]:
    """The nodes that a test may use; node01 to node06 are in main, node05 to node08 in alt."""
    nodes = [
        Node(
            f"node0{number}",
            "IDLE",
            4,
            2000,
            ("a",),
            tuple(name for name, there in (("main", number <= 6), ("alt", number >= 5)) if there),
            "",
        )
        for number in range(1, 9)
    ]
    with active(Slurm()) as plugin:
        config = validate_config(schedule)
        found = Inventory(parsing.parse_reservations(lines)[0], "main")
        infos = {node.name: found.node_info(node, config) for node in nodes}
        return filter_nodes(
            infos, config, lambda name, node: plugin._filter_custom(config, name, node)
        )[0]


def test_partitions_and_flags_of_reservations() -> None:
    who = {"users": "root", "groups": "(null)", "accounts": "(null)"}
    lines = (
        _FLEX.format(name="flex", **who)
        + _IN_ALT.format(name="inalt", **who)
        + _RESERVATION.format(name="others", **who)
    )
    assert seen(lines, reservation="inalt") == ["node08"]
    assert seen(lines, reservation="inalt", partition="main") == []
    # Where Slurm picks the nodes.
    assert seen(lines, reservation="flex") == ["node01", "node02", "node04", "node05", "node06"]
    for chosen in ({"nodes": "all"}, {"chunking": {"size": "1"}}):
        assert seen(lines, reservation="flex", **chosen) == ["node06"]
    assert seen(lines, reservation="others") == ["node03"]


def test_nodes_that_are_reserved(site: Site) -> None:
    site.cluster.reserve("new", ["node02", "node03"])
    wait_until(lambda: "RES" in site.cluster.node_state("node03"), "the reservation holds")
    assert site.usable() == ["node01", "node04", "node05", "node06"]
    assert site.usable({"reservation": "new"}) == ["node02", "node03"]
    text = site.refused({"nodes": "5"})
    assert "not up: 2 (node[02-03]): reserved: 2" in text
    assert ". schedule.reservation names the reservation to use." in text


def test_the_partition_or_reservation_with_the_most_usable_nodes_counts(site: Site) -> None:
    site.cluster.reserve("wide", ["node01", "node02", "node03"])
    site.cluster.reserve("narrow", ["node04", "node05"])
    for name in ("node01", "node02", "node03"):
        site.cluster.drain(name)
    wait_until(lambda: "RES" in site.cluster.node_state("node05"), "the reservation holds")
    try:
        chunks = {"nodes": "2", "chunking": {"size": "2"}}
        test = site.start({**chunks, "reservation": "wide,narrow"})
        assert "-w node[04-05]" in header(test)
        # Of main, node06 is left, of alt node06 to node08.
        assert site.usable({**chunks, "partition": "main,alt"}) == ["node06", "node07", "node08"]
        site.wait_status(test, "SCHED_ERROR", "ended normally")
        wait_until(lambda: not site._own_jobs(), "the job is over")
        site.cluster.unreserve("narrow")
        wait_until(lambda: "RES" not in site.cluster.node_state("node05"), "it is gone")
        site.plugin.refresh()
        reasons = site.plugin._filter_nodes(validate_config({**chunks, "partition": "main,alt"}))[1]
        assert reasons[
            'not in "alt", the partition of several that has the most usable nodes (a '
            "job runs in one of them)"
        ] == ["node04"]
    finally:
        for name in ("node01", "node02", "node03"):
            site.cluster.resume(name)


# --- Sites that hide their nodes ---

# What PrivateData=nodes prints for common users [22.05.8].
_DENIED = """#!/bin/sh
case "$(basename "$0") $*" in
    "sinfo "*) echo "slurm_load_node: Access/permission denied" >&2; exit 1;;
    *"show node"*) echo "slurm_load_node error: Access/permission denied" >&2; exit 1;;
esac
exec {real} "$@"
"""


@contextmanager
def hidden(
    site: Site, monkeypatch: pytest.MonkeyPatch, script: str, *commands: str
) -> Iterator[None]:
    """Put scripts in the place of commands; {real} in them is the command's own path."""
    folder = site.pav_cfg.working_dir / "hidden"
    folder.mkdir()
    for command in commands:
        path = folder / command
        path.write_text(script.replace("{real}", str(shutil.which(command))))
        path.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        site.plugin.refresh()
        yield


NEEDS = [
    ({"nodes": "all"}, "schedule.nodes"),
    ({"nodes": "50%"}, "schedule.nodes"),
    ({"chunking": {"size": "2"}}, "schedule.chunking.size"),
    ({"across_nodes": "node[01-02]"}, "schedule.across_nodes"),
    ({"tasks_per_node": "all"}, "schedule.tasks_per_node"),
    ({"node_state": "available"}, "schedule.node_state"),
]


@pytest.mark.parametrize(
    "trouble",
    [
        _DENIED,
        '#!/bin/sh\ncase "$(basename "$0")" in sinfo) echo garbage; exit 0;; esac\nexec {real} "$@"\n',
        '#!/bin/sh\ncase "$(basename "$0")" in sinfo) echo "sinfo: error: what?" >&2; exit 1;; esac\n'
        'exec {real} "$@"\n',
    ],
    ids=["denied", "unreadable", "unclear"],
)
def test_only_tests_that_depend_on_nodes_need_an_inventory(
    site: Site, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setattr("pavilion.schedulers.talk.commands.CommandRunner._random", lambda self: 0.0)
    with hidden(site, monkeypatch, trouble, "sinfo", "scontrol"):
        check_needs(site)


def check_needs(site: Site) -> None:
    for schedule in (
        {},
        {"nodes": "2"},
        {"nodes": "3", "min_nodes": "1"},
        {"tasks": "4"},
        {"include_nodes": "node02"},
        {"exclude_nodes": "node[01-03]"},
        {"partition": "alt"},
    ):
        test = site.start(schedule)
        site.wait_status(test, "SCHED_ERROR", "ended normally")
    for schedule, key in NEEDS:
        text = site.refused(schedule)
        assert key in text, text
        # The command is named once, without its formats.
        assert "sinfo" in text and "StateComplete" not in text and text.count("-a -O") <= 1, text
        assert "Without these" in text


def test_hidden_nodes_and_a_misspelt_partition_are_told_apart(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hidden(site, monkeypatch, _DENIED, "sinfo", "scontrol"):
        assert site.plugin.section_problem({"partition": "alt"}) is None
        assert "There is no partition 'atl'. Did you mean 'alt'?" in str(
            site.plugin.section_problem({"partition": "atl"})
        )


def test_nodes_of_a_partition_that_are_not_listed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to 22.05, nodes of a cloud that are powered down are not listed."""
    with hidden(site, monkeypatch, '#!/bin/sh\n{real} "$@" | grep -av "secret"\n', "sinfo"):
        test = site.start({"partition": "secret", "nodes": "2"})
        site.wait_status(test, "SCHED_ERROR", "ended normally")
        text = site.refused({"partition": "secret", "nodes": "2", "chunking": {"size": "2"}})
        assert "The scheduler has 2 more nodes for such a job, which are not listed here" in text
        assert "Insufficient nodes" in site.refused({"partition": "main", "nodes": "7"})
        # Plans do not warn of what is handed over.
        errors = site.plugin.get_initial_vars({"partition": "secret", "nodes": "2"})["errors"]
        assert errors == []
        assert site.plugin.get_initial_vars({"partition": "main", "nodes": "7"})["errors"]


def test_some_nodes_of_a_partition_are_not_listed(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In alt there are node05 to node08, a group of nodes each for those of odd and even number.
    with hidden(site, monkeypatch, '#!/bin/sh\n{real} "$@" | grep -av "odd.*alt"\n', "sinfo"):
        assert len(site.usable({"partition": "alt"})) == 2
        for chunking in (
            {"nodes": "3", "chunking": {"size": "3"}},
            {"nodes": "3", "chunking": {"size": "2"}},
            {"nodes": "3", "node_state": "available"},
        ):
            text = site.refused({"partition": "alt", **chunking})
            assert "The scheduler has 2 more nodes" in text, text


def test_variables_of_nodes_that_are_not_known(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with hidden(site, monkeypatch, _DENIED, "sinfo", "scontrol"):
        check_values(site)


def check_values(site: Site) -> None:
    values = site.plugin.get_initial_vars({"nodes": "2", "partition": "main"})
    assert (values["partition"], values["tasks_per_node"]) == ("main", "1")
    with pytest.raises(Exception, match="PrivateData"):
        values["nodes"]


# --- Accounts ---


@pytest.mark.parametrize(
    ("enforced", "qos_too"), [("associations,limits,qos", True), ("associations,limits", False)]
)
def test_accounts_and_qos_where_they_are_enforced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enforced: str, qos_too: bool
) -> None:
    """The rows of sacctmgr are those of 22.05.8.  There, without 'qos' in the setting, Slurm takes
    any QOS, and such that do not exist (measured)."""
    for name, text in {
        "scontrol": f'case "$*" in *config*) echo "AccountingStorageEnforce = {enforced}"; '
        'echo "ClusterName             = t";; *) echo "No reservations in the '
        'system";; esac',
        "sacctmgr": 'echo "physics|normal,high"; echo "chem|normal"',
        "sinfo": "exit 1",
        "squeue": "exit 1",
        "sbatch": "exit 1",
        "scancel": "exit 1",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with active(Slurm()) as plugin:
        for schedule in (
            {"account": "physics"},
            {"account": "Chem"},
            {"qos": "high"},
            {"account": "chem", "qos": "normal"},
        ):
            assert plugin._section_problem(validate_config(schedule)) is None
        text = str(plugin._section_problem(validate_config({"account": "phisics"})))
        assert text == (
            "There is no account 'phisics' that you may use. Did you mean 'physics'? "
            "There are: chem, physics."
        )
        problem = plugin._section_problem(validate_config({"qos": "hihg"}))
        assert (
            qos_too
            == ("There is no QOS 'hihg' that you may use. Did you mean 'high'?" in str(problem))
            and (problem is not None) == qos_too
        )


# --- Users without a name, and sites that say little about jobs ---


def test_a_user_without_a_name_finds_jobs(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """For such an id squeue gives an error, or an empty list (25.11)."""
    test = site.start(work=site.long)
    site.wait_status(test, "SCHED_STARTUP", "is running")

    def no_name(uid: int) -> Any:
        raise KeyError(uid)

    refusing = (
        '#!/bin/sh\ncase "$*" in *" -u "*) echo "squeue: error: Invalid user: 54321" >&2; '
        'exit 0;; esac\nexec {real} "$@"\n'
    )
    with hidden(site, monkeypatch, refusing, "squeue"), monkeypatch.context() as patch:
        patch.setattr("pwd.getpwuid", no_name)
        assert site.status(test).state == "SCHED_STARTUP"
        assert site.plugin.cancel(info(test)) is None
    site.wait_status(test, "SCHED_CANCELLED")


def test_a_job_that_shows_neither_token_nor_script(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Comments are the site's own, and its squeue knows no 'Command': nothing speaks against the
    job, so it is shown, never ended, and never cancelled."""
    test = site.start(work=site.long)
    site.wait_status(test, "SCHED_STARTUP", "is running")
    token = info(test)["token"]
    wrapper = (
        '#!/bin/sh\ncase "$*" in *Command*) echo "squeue: error: what?" >&2; exit 1;; esac\n'
        f'{{real}} "$@" | sed "s/{token}/charged to physics/"\n'
    )
    with hidden(site, monkeypatch, wrapper, "squeue"):
        assert site.status(test).state == "SCHED_STARTUP"
        assert "shows no token of ours" in str(site.plugin.cancel(info(test)))
        assert site.status(test).state == "SCHED_STARTUP"
    assert not test.complete


# --- Lists of partitions ---


def test_a_job_runs_in_one_of_several_partitions(site: Site) -> None:
    """Partition main has node01 to node06, alt node05 to node08."""
    both = {"partition": "main,alt"}
    assert len(site.usable(both)) == 8
    test = site.start({**both, "nodes": "all"})
    site.wait_status(test, "SCHED_ERROR", "ended normally")
    assert site.recorded(test)["num_nodes"] == "6"
    assert site.usable({**both, "chunking": {"size": "2"}}) == [f"node0{n}" for n in range(1, 7)]
    assert "have no more than 6 each" in site.refused({**both, "nodes": "7"})


def test_the_user_is_the_processs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after sudo or runuser, where variables tell of somebody else."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody_else")
    assert own_name() == pwd.getpwuid(os.getuid()).pw_name
