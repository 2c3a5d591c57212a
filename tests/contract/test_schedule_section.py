"""The schedule section: keys, defaults, what is accepted and refused (the contract, section 5)."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import yaml_config as yc
from pavilion.errors import SchedConfigError
from pavilion.schedulers import config as sched_config
from pavilion.schedulers.config import (
    CONFIG_DEFAULTS,
    CONFIG_VALIDATORS,
    HostListError,
    ScheduleConfig,
    calc_node_range,
    min_int,
    parse_node_range,
    validate_config,
    validate_list,
)
from pavilion.schedulers.placement import hostlists
from pavilion.schedulers.time_limits import TimeLimit


@pytest.fixture(autouse=True)
def _tables_are_left_as_they_were() -> Iterator[None]:
    before = (
        [elem.name for elem in ScheduleConfig.ELEMENTS],
        set(CONFIG_VALIDATORS),
        copy.deepcopy(CONFIG_DEFAULTS),
    )
    yield
    assert before == (
        [elem.name for elem in ScheduleConfig.ELEMENTS],
        set(CONFIG_VALIDATORS),
        CONFIG_DEFAULTS,
    )


def nested(key: str, value: Any) -> dict[str, Any]:
    """A section with one key, given as 'chunking.size'."""
    result: Any = value
    for part in reversed(key.split(".")):
        result = {part: result}
    return result  # type: ignore[no-any-return]


def value_of(section: dict[str, Any], key: str) -> Any:
    value: Any = section
    for part in key.split("."):
        value = value[part]
    return value


# ------------------------------------------------------------------------------------ the table

# What an empty section becomes.
DEFAULTS = {
    "nodes": None,
    "min_nodes": None,
    "tasks": None,
    "min_tasks_per_node": None,
    "tasks_per_node": 1,
    "node_state": "up",
    "share_allocation": True,
    "partition": None,
    "qos": None,
    "account": None,
    "reservation": None,
    "wrapper": None,
    "core_spec": None,
    "time_limit": 1,
    "across_nodes": [],
    "include_nodes": [],
    "exclude_nodes": [],
    "chunking.size": 0,
    "chunking.node_selection": "contiguous",
    "chunking.extra": "backfill",
    "cluster_info.node_count": 1,
    "cluster_info.mem": 1000,
    "cluster_info.cpus": 4,
    "mpirun_opts.bind_to": None,
    "mpirun_opts.rank_by": None,
    "mpirun_opts.mca": [],
    "mpirun_opts.extra": [],
    "flex_scheduled": True,
}
# The same as they stand in the table of defaults: written as a user would write them.
RAW_DEFAULTS = {
    "tasks_per_node": "1",
    "time_limit": "1",
    "chunking.size": "0",
    "cluster_info.node_count": "1",
    "cluster_info.mem": "1000",
    "cluster_info.cpus": "4",
}
NODE_COUNTS = [
    ("1", 1),
    ("17", 17),
    (" 5 ", 5),
    ("50%", 0.5),
    ("100%", 1.0),
    ("12.5%", 0.125),
    ("all", 1.0),
    ("ALL", 1.0),
    (3, 3),
    (0.25, 0.25),
    (1.0, 1.0),
]
BAD_NODE_COUNTS = [
    "-1",
    "101%",
    "-5%",
    "some",
    "",
    "1.5",
    "%",
    "nan%",
    "inf%",
    1.5,
    -3,
    True,
    math.nan,
    math.inf,
    -math.inf,
    [1],
]
HOST_LISTS = [
    ("node[09-11]", ["node09", "node10", "node11"]),
    ("a,b[1-2]", ["a", "b1", "b2"]),
    (["a", "b[1-2]"], ["a", "b1", "b2"]),
    (["a,b", "b,c"], ["a", "b", "c"]),
    ([], []),
    ("n1", ["n1"]),
    (("n1", "n2"), ["n1", "n2"]),
]
BAD_HOST_LISTS = ["node[1-", "node[2-1]", "node[a-b]", ["fine", "not[fine"]]
TEXTS = [("text", "text"), ("", "")]
BINDINGS = [(option, option) for option in sched_config.MPIRUN_BIND_OPTS] + [("l2CACHE", "L2cache")]

ACCEPTED: dict[str, list[tuple[Any, Any]]] = {
    "nodes": NODE_COUNTS,
    "min_nodes": NODE_COUNTS,
    "tasks": [("1", 1), ("12", 12), (7, 7)],
    "min_tasks_per_node": [("1", 1), (3, 3)],
    "tasks_per_node": [
        ("1", 1),
        ("4", 4),
        (4, 4),
        ("all", 1.0),
        ("All", 1.0),
        ("min", 1),
        ("25%", 0.25),
        (0.25, 0.25),
    ],
    "node_state": [("up", "up"), ("available", "available"), ("Available", "available")],
    "share_allocation": [
        ("true", True),
        ("True", True),
        ("false", False),
        ("FALSE", False),
        (False, False),
        (True, True),
        ("max", "max"),
        ("MAX", "max"),
        ("whatever", True),
    ],
    "partition": TEXTS,
    "qos": TEXTS,
    "account": TEXTS,
    "reservation": TEXTS,
    "wrapper": TEXTS,
    "core_spec": TEXTS,
    "time_limit": [
        ("1", 1),
        ("48", 48),
        (2, 2),
        (2.0, 2),
        ("60m", 1),
        ("1:00:00", 1),
        ("0.5", TimeLimit(1800)),
        (0.5, TimeLimit(1800)),
        ("30m", TimeLimit(1800)),
        ("0:30:00", TimeLimit(1800)),
        ("1h30m", TimeLimit(5400)),
    ],
    "across_nodes": HOST_LISTS,
    "include_nodes": HOST_LISTS,
    "exclude_nodes": HOST_LISTS,
    "chunking.size": [*NODE_COUNTS, ("0", 0), (0, 0), ("none", 0), ("None", 0), (0.0, 0)],
    "chunking.node_selection": [
        (option, option) for option in ("contiguous", "random", "distributed", "rand_dist")
    ],
    "chunking.extra": [("backfill", "backfill"), ("DISCARD", "discard")],
    "cluster_info.node_count": [("1", 1), (12, 12)],
    "cluster_info.mem": [("64", 64)],
    "cluster_info.cpus": [("128", 128)],
    "mpirun_opts.bind_to": BINDINGS,
    "mpirun_opts.rank_by": BINDINGS,
    "mpirun_opts.mca": [("a b", ["a b"]), (["a", "b"], ["a", "b"])],
    "mpirun_opts.extra": [("-x", ["-x"]), (["-x", "-y"], ["-x", "-y"])],
}
BAD_INTS = ["0", "-1", "one", "1.5", 1.5, True, "", math.nan, math.inf, [1]]
REFUSED: dict[str, list[Any]] = {
    "nodes": [*BAD_NODE_COUNTS, "0", 0, "0%", 0.0],
    "min_nodes": [*BAD_NODE_COUNTS, "0", 0],
    "tasks": BAD_INTS,
    "min_tasks_per_node": BAD_INTS,
    "tasks_per_node": ["0", 0, "-1", "101%", "0%", "most", 1.5, True, math.nan],
    "node_state": ["down", "", 1],
    "time_limit": ["0", "-1", "one", True, "", math.nan, math.inf, [1], "0m", "1:30", "30x", "m30"],
    "across_nodes": BAD_HOST_LISTS,
    "include_nodes": BAD_HOST_LISTS,
    "exclude_nodes": BAD_HOST_LISTS,
    "chunking.size": BAD_NODE_COUNTS,
    "chunking.node_selection": ["nearest", ""],
    "chunking.extra": ["keep"],
    "cluster_info.node_count": BAD_INTS,
    "cluster_info.mem": BAD_INTS,
    "cluster_info.cpus": BAD_INTS,
    "mpirun_opts.bind_to": ["chair"],
    "mpirun_opts.rank_by": ["L4cache"],
}


def flat(section: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A section with dotted keys."""
    result: dict[str, Any] = {}
    for key, value in section.items():
        if isinstance(value, dict):
            result.update(flat(value, f"{prefix}{key}."))
        else:
            result[prefix + key] = value
    return result


def test_there_are_exactly_these_keys_with_these_defaults() -> None:
    for empty in ({}, None, {"chunking": None}, {"chunking": {}, "nodes": None}):
        assert flat(validate_config(empty)) == DEFAULTS


def test_defaults_are_written_as_a_user_would_write_them() -> None:
    raw = {
        key: RAW_DEFAULTS.get(key, value)
        for key, value in DEFAULTS.items()
        if key != "flex_scheduled"
    }
    assert flat(CONFIG_DEFAULTS) == raw
    assert set(flat(CONFIG_VALIDATORS)) == set(raw)


def test_the_tables_of_this_file_cover_every_key() -> None:
    assert set(ACCEPTED) == set(DEFAULTS) - {"flex_scheduled"}


def identical(left: Any, right: Any) -> bool:
    """Equal, and of one type: 1, 1.0 and True mean different things here."""
    return type(left) is type(right) and left == right


@pytest.mark.parametrize(
    ("key", "given", "expected"),
    [(key, given, expected) for key, pairs in ACCEPTED.items() for given, expected in pairs],
)
def test_accepted(key: str, given: Any, expected: Any) -> None:
    section = validate_config(nested(key, given))
    assert identical(value_of(section, key), expected)
    # Nothing else changes.
    others = {
        name: value for name, value in flat(section).items() if name not in (key, "flex_scheduled")
    }
    assert others == {
        name: value for name, value in DEFAULTS.items() if name not in (key, "flex_scheduled")
    }


@pytest.mark.parametrize(
    ("key", "given"), [(key, given) for key, values in REFUSED.items() for given in values]
)
def test_refused_with_key_and_value(key: str, given: Any) -> None:
    with pytest.raises(SchedConfigError) as caught:
        validate_config(nested(key, given))
    text = caught.value.pformat()
    assert key.rpartition(".")[2] in text
    assert repr(given) in text or repr(given[-1]) in text


@pytest.mark.parametrize("given", [[], "text", 5, ["nodes"]])
def test_a_section_must_be_a_section(given: Any) -> None:
    for section in (given, {"chunking": given}):
        with pytest.raises(SchedConfigError, match="must be a section"):
            validate_config(section)


def test_choices_are_named_with_the_nearest_one() -> None:
    with pytest.raises(SchedConfigError, match=r"schedule.chunking.extra.*'discard'.*backfill"):
        validate_config({"chunking": {"extra": "discrad"}})


@pytest.mark.parametrize(
    ("section", "flexible"),
    [
        ({}, True),
        ({"nodes": "all", "include_nodes": "a", "exclude_nodes": "b"}, True),
        ({"chunking": {"size": "0"}}, True),
        ({"chunking": {"size": "2"}}, False),
        ({"chunking": {"size": "50%"}}, False),
        ({"across_nodes": "a"}, False),
    ],
)
def test_flex_scheduled_follows_from_chunking_and_across_nodes(
    section: dict[str, Any], flexible: bool
) -> None:
    assert validate_config(section)["flex_scheduled"] is flexible
    # What a section says about it does not count.
    assert validate_config(dict(section, flex_scheduled=not flexible))["flex_scheduled"] is flexible


def choices_for(pairs: list[tuple[Any, Any]]) -> st.SearchStrategy[Any]:
    return st.sampled_from([given for given, _ in pairs] + [None])


SECTIONS = st.fixed_dictionaries(
    {}, optional={key: choices_for(pairs) for key, pairs in ACCEPTED.items()}
)


@given(SECTIONS)
def test_validation_is_idempotent(values: dict[str, Any]) -> None:
    section: dict[str, Any] = {}
    for key, value in values.items():
        first, _, last = key.rpartition(".")
        (section.setdefault(first, {}) if first else section)[last] = value
    before = copy.deepcopy(section)
    once = validate_config(section)
    assert section == before
    twice = validate_config(once)
    assert twice == once
    assert all(identical(value, flat(once)[key]) for key, value in flat(twice).items())


def test_results_share_nothing_with_the_tables_or_each_other() -> None:
    first = validate_config({})
    for key in ("across_nodes", "include_nodes", "exclude_nodes"):
        first[key].append("spoiled")
    first["mpirun_opts"]["mca"].append("spoiled")
    first["chunking"]["size"] = 99
    assert flat(validate_config({})) == DEFAULTS


def test_lists_that_are_validated_stay_those_of_the_caller() -> None:
    nodes = ["a", "b"]
    validate_config({"across_nodes": nodes})["across_nodes"].append("c")
    assert nodes == ["a", "b"]
    # Nor does a later test get what an earlier one did to its list.
    assert validate_config({"across_nodes": nodes})["across_nodes"] == ["a", "b"]


# --------------------------------------------------------------------------------- unknown keys


@pytest.mark.parametrize(
    ("section", "wrong", "near"),
    [
        ({"node": "1"}, "node", "nodes"),
        ({"partitoin": "x"}, "partitoin", "partition"),
        ({"time-limit": "1"}, "time-limit", "time_limit"),
        ({"chunking": {"siez": "1"}}, "siez", "size"),
        ({"cluster_info": {"cpu": "1"}}, "cpu", "cpus"),
        ({"chunkin": {"size": "1"}}, "chunkin", "chunking"),
    ],
)
def test_unknown_keys_are_refused_with_near_matches(
    section: dict[str, Any], wrong: str, near: str
) -> None:
    with pytest.raises(SchedConfigError) as caught:
        validate_config(section)
    text = str(caught.value)
    assert f"Unknown key {wrong!r}" in text
    assert f"Did you mean {near!r}" in text


def test_an_unknown_key_with_nothing_near_lists_the_known_ones() -> None:
    with pytest.raises(SchedConfigError, match=r"'zebra' in schedule\. Known keys: account, "):
        validate_config({"zebra": "1"})
    with pytest.raises(SchedConfigError, match=r"in schedule\.chunking\. .*node_selection"):
        validate_config({"chunking": {"zebra": "1"}})


@pytest.mark.parametrize("section", [{"slurm": {"features": ["a"]}}, {"pbs": {}}, {"pbs": None}])
def test_sections_of_schedulers_that_are_not_loaded_pass(section: dict[str, Any]) -> None:
    assert flat(validate_config(section)) == DEFAULTS


# --------------------------------------------------------------------------------- node numbers


@pytest.mark.parametrize(
    ("nodes", "min_nodes", "tasks", "count", "expected"),
    [
        (None, None, None, 10, (1, 1)),
        ("3", None, None, 10, (3, 3)),
        ("3", None, "8", 10, (3, 3)),
        ("5", "2", None, 10, (2, 5)),
        ("all", None, None, 10, (10, 10)),
        ("all", "1", None, 10, (1, 10)),
        ("50%", None, None, 7, (4, 4)),
        ("50%", "10%", None, 20, (2, 10)),
        ("7%", None, None, 100, (7, 7)),
        ("1%", None, None, 3, (1, 1)),
        ("all", None, None, 0, (1, 1)),
        (None, None, "8", 10, (1, None)),
        (None, "4", "8", 10, (4, None)),
        ("20", None, None, 10, (20, 20)),
    ],
)
def test_calc_node_range(
    nodes: Any, min_nodes: Any, tasks: Any, count: int, expected: tuple[int, int | None]
) -> None:
    section = validate_config({"nodes": nodes, "min_nodes": min_nodes, "tasks": tasks})
    result = calc_node_range(section, count)
    assert result == expected
    assert all(value is None or type(value) is int for value in result)


def test_more_nodes_at_least_than_at_most_is_refused() -> None:
    with pytest.raises(SchedConfigError, match=r"min_nodes is 5.*nodes, 4"):
        calc_node_range(validate_config({"nodes": "4", "min_nodes": "5"}), 10)


COUNTS = st.one_of(
    st.none(),
    st.integers(1, 200).map(str),
    st.just("all"),
    st.floats(0.01, 100).map(lambda value: f"{value:.2f}%"),
)


@given(COUNTS, COUNTS, st.one_of(st.none(), st.integers(1, 99)), st.integers(0, 5000))
def test_a_node_range_is_a_range(nodes: Any, min_nodes: Any, tasks: Any, count: int) -> None:
    section = validate_config({"nodes": nodes, "min_nodes": min_nodes, "tasks": tasks})
    try:
        least, most = calc_node_range(section, count)
    except SchedConfigError:
        assert int(min_nodes) > int(nodes)
        return
    assert least >= 1
    assert most is None or most >= least
    assert (most is None) == (nodes is None and not (min_nodes is None and tasks is None))
    for value, result in ((nodes, most), (min_nodes, least)):
        if isinstance(value, str) and value.endswith("%") and result is not None and count:
            wanted = float(value[:-1]) * count / 100
            assert result >= wanted - 1e-3
            if min_nodes is None or value is min_nodes:
                assert result < wanted + 1.01


# ---------------------------------------------------------------------------------- the helpers


def test_min_int() -> None:
    at_least_two = min_int("things", 2)
    assert identical(at_least_two("2"), 2)
    assert identical(at_least_two(" 30 "), 30)
    for bad in (None, "1", "x", 2.5, True, "", math.inf):
        with pytest.raises(SchedConfigError, match="things must be a whole number of at least 2"):
            at_least_two(bad)
    assert min_int("things", 2, required=False)(None) is None


def test_validate_list() -> None:
    given = ["a", "b"]
    assert validate_list(given) == given
    assert validate_list(given) is not given
    assert validate_list(("a",)) == ["a"]
    assert validate_list("a") == ["a"]
    assert validate_list(None) == []


def test_parse_node_range() -> None:
    assert parse_node_range("n[1-3],n2,m") == ["n1", "n2", "n3", "m"]
    assert parse_node_range(None) == []
    with pytest.raises(SchedConfigError, match=r"Bad host list 'n\[1-'"):
        parse_node_range(["a", "n[1-"])


# ------------------------------------------------------------------------------ validator kinds


def check(validators: dict[str, Any], section: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    return validate_config(section, validators, defaults)


def test_a_validator_may_be_a_function() -> None:
    validators = {"text": lambda value: value.upper(), "number": int, "real": float}
    assert check(validators, {"text": "a", "number": "5", "real": "0.5"}) == {
        "text": "A",
        "number": 5,
        "real": 0.5,
    }


@pytest.mark.parametrize(
    "validator",
    [
        int,
        lambda value: {"a": 1}[value],
        lambda value: ["a"][len(value)],
        lambda value: value.no_such_attribute,
        lambda value: 1 / 0,
    ],
)
def test_whatever_a_validator_raises_is_reported_with_its_key(validator: Any) -> None:
    with pytest.raises(SchedConfigError, match=r"Bad value 'b' for section\.key") as caught:
        check({"section": {"key": validator}}, {"section": {"key": "b"}})
    assert caught.value.prior_error is not None


def test_a_validator_may_raise_either_error() -> None:
    def refuse(value: Any) -> Any:
        raise SchedConfigError("Never.")

    with pytest.raises(SchedConfigError, match="key: Never"):
        check({"key": refuse}, {"key": "a"})


def test_without_value_and_default_no_validator_is_called() -> None:
    validators = {
        "int": int,
        "str": str,
        "lambda": lambda value: value.lower(),
        "table": {"a": 1}.__getitem__,
        "list": validate_list,
        "required": min_int("required", 1),
        "choice": ("a", "b"),
        "plain": None,
    }
    assert check(validators, {}) == {
        "int": None,
        "lambda": None,
        "table": None,
        "list": None,
        "str": None,
        "required": None,
        "choice": None,
        "plain": None,
    }


def test_defaults_are_converted_like_values() -> None:
    assert check({"number": int, "items": validate_list}, {}, number="5", items="a") == {
        "number": 5,
        "items": ["a"],
    }
    with pytest.raises(SchedConfigError, match="Bad value 'five' for number"):
        check({"number": int}, {}, number="five")


@pytest.mark.parametrize("choices", [("on", "off"), ["on", "off"]])
def test_a_validator_may_be_a_choice(choices: Any) -> None:
    assert check({"key": choices}, {"key": "ON"}) == {"key": "on"}
    assert check({"key": choices}, {"key": None}) == {"key": None}
    with pytest.raises(SchedConfigError, match=r"Bad value 'of' for key.*'off'.*on, off"):
        check({"key": choices}, {"key": "of"})


def test_a_validator_may_be_a_section() -> None:
    validators = {"outer": {"inner": {"number": int}, "text": None}}
    assert check(validators, {"outer": {"inner": {"number": "5"}}}) == {
        "outer": {"inner": {"number": 5}, "text": None}
    }
    assert check(validators, {}, outer={"inner": {"number": "7"}}) == {
        "outer": {"inner": {"number": 7}, "text": None}
    }
    with pytest.raises(SchedConfigError, match=r"Unknown key 'numbr' in outer\.inner.*'number'"):
        check(validators, {"outer": {"inner": {"numbr": "5"}}})


def test_a_validator_may_be_none() -> None:
    assert check({"key": None}, {"key": "As Is "}) == {"key": "As Is "}


def test_a_default_that_nothing_validates_is_not_shared() -> None:
    defaults: dict[str, Any] = {"key": []}
    check({"key": None}, {}, **defaults)["key"].append("spoiled")
    assert defaults == {"key": []}


@pytest.mark.parametrize("validator", [5, "text", object()])
def test_other_kinds_are_refused(validator: Any) -> None:
    with pytest.raises(SchedConfigError, match=r"validator of key cannot be used.*or None"):
        check({"key": validator}, {"key": "a"})


# ----------------------------------------------------------------------------------- the element


class Loader(yc.YamlConfigLoader):
    """A test's file."""

    ELEMENTS = [ScheduleConfig()]


def load(text: str) -> Any:
    return Loader().load(io.StringIO(text))["schedule"]


def test_the_element_is_called_schedule_and_reads_text() -> None:
    assert ScheduleConfig().name == "schedule"
    assert isinstance(ScheduleConfig(), yc.KeyedElem)
    loaded = load("schedule: {nodes: 5, across_nodes: 'n[1-2]', chunking: {size: 50%}}")
    section = validate_config(loaded)
    assert (section["nodes"], section["across_nodes"], section["chunking"]["size"]) == (
        5,
        ["n1", "n2"],
        0.5,
    )


def test_every_key_of_the_tables_can_be_written_in_yaml() -> None:
    def names(elem: Any, prefix: str = "") -> Iterator[str]:
        for name, sub_elem in elem.config_elems.items():
            if isinstance(sub_elem, yc.KeyedElem):
                yield from names(sub_elem, f"{prefix}{name}.")
            else:
                yield prefix + name

    assert set(names(ScheduleConfig())) == set(flat(CONFIG_VALIDATORS))


def test_every_key_has_a_help_text() -> None:
    def without_help(elem: Any) -> Iterator[str]:
        for name, sub_elem in elem.config_elems.items():
            if not sub_elem.help_text:
                yield name
            if isinstance(sub_elem, yc.KeyedElem):
                yield from without_help(sub_elem)

    assert list(without_help(ScheduleConfig())) == []


def test_subsections_come_and_go() -> None:
    section = yc.KeyedElem("mysched", elements=[yc.StrElem("queue")])
    ScheduleConfig.add_subsection(section)
    try:
        assert "mysched" in ScheduleConfig().config_elems
        with pytest.raises(SchedConfigError, match="already has a key 'mysched'"):
            ScheduleConfig.add_subsection(section)
    finally:
        ScheduleConfig.remove_subsection("mysched")
    assert "mysched" not in ScheduleConfig().config_elems
    ScheduleConfig.remove_subsection("mysched")


def test_a_subsection_must_not_take_a_key_and_must_be_an_element() -> None:
    with pytest.raises(SchedConfigError, match="already has a key 'nodes'"):
        ScheduleConfig.add_subsection(yc.KeyedElem("nodes", elements=[]))
    with pytest.raises(SchedConfigError, match="must be a yaml_config element, not str"):
        ScheduleConfig.add_subsection("nodes")  # type: ignore[arg-type]


def test_leaves_must_be_text() -> None:
    ScheduleConfig.check_leaves(
        yc.KeyedElem(
            "fine",
            elements=[
                yc.StrElem("a"),
                yc.ListElem("b", sub_elem=yc.StrElem()),
                yc.CategoryElem("c", sub_elem=yc.ListElem(sub_elem=yc.StrElem())),
                yc.KeyedElem("d", elements=[yc.StrElem("e")]),
            ],
        )
    )
    for wrong in (
        yc.IntElem("count"),
        yc.BoolElem("count"),
        yc.FloatElem("count"),
        yc.KeyedElem("inner", elements=[yc.IntElem("count")]),
    ):
        with pytest.raises(SchedConfigError, match=r"'count' is a \w+; only StrElem"):
            ScheduleConfig.check_leaves(yc.KeyedElem("wrong", elements=[wrong]))
    for wrong in (
        yc.ListElem("items", sub_elem=yc.IntElem()),
        yc.CategoryElem("items", sub_elem=yc.FloatElem()),
    ):
        with pytest.raises(SchedConfigError, match="only StrElem"):
            ScheduleConfig.check_leaves(wrong)


def test_leaves_are_checked_before_a_subsection_is_added() -> None:
    with pytest.raises(SchedConfigError, match="IntElem"):
        ScheduleConfig.add_subsection(yc.KeyedElem("wrong", elements=[yc.IntElem("count")]))
    assert "wrong" not in ScheduleConfig().config_elems


def test_the_names_of_all_host_lists_of_a_key_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostlists, "LIST_LIMIT", 10)
    texts = ["limit-a[1-6]", "limit-b[1-4]"]
    assert len(parse_node_range(texts)) == 10
    with pytest.raises(HostListError, match="more than 10 names"):
        parse_node_range([*texts, "limit-c"])
