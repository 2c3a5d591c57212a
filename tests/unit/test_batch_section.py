"""A plugin's own section by a table: keys that stand for common ones, options, states of nodes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from contract.fakes import active
from pavilion.schedulers import SchedConfigError, SchedulerPluginBatch, validate_config
from pavilion.schedulers.batch import OwnKey, UserOptions, all_nodes, flag
from pavilion.schedulers.batch.section import judged
from pavilion.schedulers.config import min_int, validate_list
from pavilion.schedulers.time_limits import clock_limit


class Own(SchedulerPluginBatch):
    """A plugin with nothing but a section."""

    OWN_KEYS = (
        OwnKey("size", "How many.", "1", min_int("own.size", 1), "nodes"),
        OwnKey("everything", "All.", "false", all_nodes, "nodes", excludes="size"),
        OwnKey("lasts", "How long.", "00:05:00", clock_limit, "time_limit", True),
        OwnKey("loud", "Whether.", "false", flag),
        OwnKey("extra", "More.", [], validate_list),
    )
    USER_OPTIONS = UserOptions(
        "own.extra", ("-l",), {"-x", "-l bad"}, {"-q": "partition", "-l t": "time_limit"}, {"-v"}
    )
    DIRECTIVE_PREFIX = "#OWN"

    def __init__(self) -> None:
        super().__init__("own", "For tests.")


@pytest.fixture
def plugin() -> Iterator[Own]:
    made = Own()
    with active(made):
        yield made


def limit(text: str) -> int:
    found: int = validate_config({"time_limit": text})["time_limit"]
    return found


@pytest.mark.parametrize(
    ("schedule", "nodes", "time_limit"),
    [
        ({}, None, "5m"),
        ({"time_limit": "1"}, None, "1h"),
        ({"own": {"lasts": "7:00"}}, None, "7m"),
        # As it is by default, but set.
        ({"own": {"lasts": "5:00", "size": "1"}}, 1, "5m"),
        ({"nodes": "3", "own": {"size": "3"}}, 3, "5m"),
        ({"own": {"everything": "true"}}, 1.0, "5m"),
        ({"own": {"extra": ["-l t=60,place=x"]}}, None, "1m"),
    ],
)
def test_what_its_keys_stand_for(
    plugin: Own, schedule: dict[str, Any], nodes: Any, time_limit: str
) -> None:
    config = plugin._validated(schedule)
    assert (config["nodes"], config["time_limit"]) == (nodes, limit(time_limit))


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ({"nodes": "3", "own": {"size": "2"}}, ["schedule.own.size", "schedule.nodes", "2", "3"]),
        # 1 is equal to 1.0 in Python, and not to all nodes.
        ({"nodes": "1", "own": {"everything": "true"}}, ["own.everything", "schedule.nodes"]),
        ({"time_limit": "30m", "own": {"lasts": "3"}}, ["own.lasts", "time_limit", "3s and 30m"]),
        ({"own": {"size": "1", "everything": "true"}}, ["own.everything", "own.size"]),
        ({"partition": "a", "own": {"extra": ["-q b"]}}, ["own.extra", "schedule.partition"]),
        ({"own": {"loud": "2"}}, ["'true' or 'false'"]),
        ({"own": {"lasts": "-5"}}, ["[[H:]M:]S"]),
        ({"own": {"extra": ["-x"]}}, ["-x cannot be used"]),
        ({"own": {"extra": ["-l a=1, bad=2"]}}, ["-l bad cannot be used"]),
        ({"own": {"extra": ["run.sh"]}}, ["'run.sh' is not an option"]),
        ({"own": {"extra": ["-m a\nrm x"]}}, ["is not an option"]),
        # Whatever comes after the first option is looked at, too.
        ({"own": {"extra": ["-m n -x"]}}, ["'-m n -x' has several options"]),
        ({"own": {"extra": ["-h -q b"]}}, ["own.extra", "each must be an item of its own"]),
        ({"own": {"extra": ["-l 'bad=2'"]}}, ["-l bad cannot be used"]),
        ({"own": {"extra": ["-v A='b"]}}, ["own.extra", "No closing quotation"]),
    ],
)
def test_contradictions_and_mistakes(
    plugin: Own, schedule: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(SchedConfigError) as raised:
        plugin._validated(schedule)
    assert all(word in str(raised.value) for word in words), raised.value


def test_a_section_may_be_validated_again(plugin: Own) -> None:
    for schedule in ({}, {"own": {"lasts": "30:00"}}, {"own": {"lasts": "2:00:00"}}):
        once = validate_config(schedule)
        assert validate_config(once) == once


def test_quotes_of_options_stay(plugin: Own) -> None:
    given = {"own": {"extra": ["-l 'a=x y'", '-m "n"']}}
    assert plugin.user_options(plugin._validated(given)).lines == ["#OWN -l 'a=x y'", '#OWN -m "n"']


def test_options_of_a_user(plugin: Own) -> None:
    items = ["#OWN -m n", "-l a=1,2,b=3", "-v X=1", "-M me,you=x", "-h"]
    options = plugin.user_options(plugin._validated({"own": {"extra": items}}))
    # Only values of options that have such a list are taken apart.
    lines = ["#OWN -m n", "#OWN -l a=1,2", "#OWN -l b=3", "#OWN -M me,you=x", "#OWN -h"]
    assert options.lines == lines
    assert set(options.given) == {"-m", "-l a", "-l b", "-v", "-M", "-h"}
    assert options.taken == ["X=1"]


OWN = {"up_states": ["free", "busy"], "avail_states": ["free"], "reserved_states": ["kept"]}


@pytest.mark.parametrize(
    ("node", "up", "available", "cause"),
    [
        ({"states": ["free"]}, True, True, ""),
        ({"states": ["busy"]}, True, False, "busy"),
        ({"states": ["busy", "free"]}, True, False, "busy,free"),
        ({"states": ["down", "free"]}, False, False, "down,free"),
        ({"states": ["brand-new"]}, False, False, "brand-new"),
        ({"states": []}, False, False, "no state"),
        ({"states": ["free"], "jobs": ["5"]}, True, False, "it has jobs"),
        ({"states": ["kept"]}, False, False, "kept"),
        ({"states": ["kept"], "reservations": ["r2"]}, False, False, "kept"),
        ({"states": ["kept"], "reservations": ["r1"]}, True, True, ""),
        ({"states": ["down", "kept"], "reservations": ["r1"]}, False, False, "down,kept"),
    ],
)
def test_nodes_by_lists_of_states(
    node: dict[str, Any], up: bool, available: bool, cause: str
) -> None:
    found = judged(node, {"reservation": "r1"}, OWN)
    assert (found["up"], found["available"], found["cause"]) == (up, available, cause)
    # Where its plugin has said so already, that counts.
    finished = {**node, "up": False}
    assert judged(finished, {"reservation": None}, OWN) == finished
    # Without such lists, a node is what its plugin says.
    assert judged({"name": "n", "up": True}, {"reservation": None}, {}) == {"name": "n", "up": True}
