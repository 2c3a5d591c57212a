"""Headers of kickoff scripts: golden files, hostile values, and that no option is lost.

After a change that is meant, write the golden files anew with
``python tests/slurm/test_header.py``, and read the difference.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pavilion.errors import SchedulerPluginError
from pavilion.schedulers.config import CONFIG_VALIDATORS, DERIVED_KEYS, validate_config
from pavilion.schedulers.kickoff import make_header
from pavilion.schedulers.placement.hostlists import expand
from pavilion.schedulers.plugins.slurm.header import (
    DIRECTIVES,
    NAME_LIMIT,
    Request,
    SbatchHeader,
    constraint,
    extra_lines,
    quoted,
    render,
    safe_job_name,
)
from pavilion.schedulers.vars import SchedulerVariables

GOLDEN = Path(__file__).parents[1] / "golden" / "slurm"

# The slurm section's keys, and a value that is not the default.
SLURM_KEYS: dict[str, Any] = {
    "up_states": ["IDLE"],
    "avail_states": ["IDLE"],
    "reserved_states": [],
    "features": ["a"],
    "srun_extra": ["-l"],
    "sbatch_extra": ["--mem=4G"],
    "mpi_cmd": "mpirun",
}


def config(slurm: dict[str, Any] | None = None, **values: Any) -> dict[str, Any]:
    return {
        **validate_config(values),
        "slurm": {"features": [], "sbatch_extra": [], **(slurm or {})},
    }


def request(
    slurm: dict[str, Any] | None = None,
    node_range: Any = (1, 1),
    name: str = "pav_x",
    include: tuple[str, ...] = (),
    exclude: tuple[str, ...] = (),
    tasks_per_node: int = 1,
    **values: Any,
) -> Request:
    return Request(name, config(slurm, **values), *node_range, include, exclude, tasks_per_node)


EXTRA_KEY = "slurm.sbatch_extra"

# The other keys of the schedule section, and who uses them. Together with those of DIRECTIVES and
# EXTRA_KEY this is all of them; a test below sees to that.
LAUNCH_KEYS = frozenset(["slurm.srun_extra", "slurm.mpi_cmd", "wrapper", "mpirun_opts"])
PLACEMENT_KEYS = frozenset(
    [
        "node_state",
        "share_allocation",
        "cluster_info",
        "flex_scheduled",
        "slurm.up_states",
        "slurm.avail_states",
        "slurm.reserved_states",
    ]
)

HOSTILE = "a;touch PWNED $(touch PWNED) `touch PWNED` && b | c > d # \u00fc \u4e2d"

CASES: dict[str, Request] = {
    "plain": request(),
    "picked_nodes": request(
        node_range=(3, 3), include=("node03", "node01", "node02"), time_limit="12", partition="main"
    ),
    "range": request(
        node_range=(2, 4),
        include=("node01",),
        exclude=("node04", "node03"),
        tasks_per_node=4,
        name="pav_a,b,c ...",
    ),
    "tasks_only": request(node_range=(1, None), tasks="6"),
    "everything": request(
        {"features": ["a|b", "fast"], "sbatch_extra": ["--mem=500M", "--mail-user 'a b@c'"]},
        node_range=(2, 2),
        include=("node01", "node02"),
        exclude=("node09",),
        tasks="8",
        partition="main",
        qos="normal",
        account="project1",
        reservation="maint day",
        core_spec="2",
        time_limit="24",
        name="pav_every thing",
    ),
    "hostile": request(
        node_range=(1, 1),
        partition="main",
        name=f"{HOSTILE}\n#SBATCH -n 99 \"'\\",
        account="$(touch PWNED); `touch PWNED`",
        qos="a # b",
    ),
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_golden(case: str) -> None:
    assert render(CASES[case]) == (GOLDEN / f"{case}.txt").read_text("utf-8").splitlines()


# --- No option is lost ---


def test_every_key_has_a_place() -> None:
    known = {key for directive in DIRECTIVES for key in directive.keys}
    known |= {EXTRA_KEY} | LAUNCH_KEYS | PLACEMENT_KEYS
    keys = {*CONFIG_VALIDATORS, *DERIVED_KEYS} | {f"slurm.{key}" for key in SLURM_KEYS}
    # Another scheduler that is loaded has a section here as well.
    keys -= {"gridengine", "raw", "slurm"}
    assert known == keys


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"core_spec": "3"}, "--core-spec 3"),
        ({"partition": "gpu"}, '-p "gpu"'),
        ({"reservation": "r1"}, '--reservation "r1"'),
        ({"qos": "high"}, '--qos "high"'),
        ({"account": "acct"}, '--account "acct"'),
        ({"slurm": {"features": ["x", "y|z"]}}, '--constraint "x&(y|z)"'),
        ({"slurm": {"sbatch_extra": ["--mem=4G"]}}, "--mem=4G"),
        ({"time_limit": "7"}, "-t 7:0:0"),
        ({"include": ("n1", "n2"), "node_range": (2, 2)}, "-w n[1-2]"),
        ({"exclude": ("n1", "n3")}, "-x n[1,3]"),
        ({"node_range": (5, 5)}, "--nodes 5"),
        ({"node_range": (2, 5)}, "--nodes 2-5"),
        ({"tasks": "9"}, "--ntasks 9"),
        ({"tasks_per_node": 16}, "--ntasks-per-node 16"),
        ({"name": "other"}, '--job-name "other"'),
    ],
)
def test_an_option_that_is_set_is_in_the_header(change: dict[str, Any], option: str) -> None:
    lines = render(request(**change))
    assert f"#SBATCH {option}" in lines
    assert f"#SBATCH {option}" not in render(request())


def test_the_default_header_does_not_requeue() -> None:
    assert "#SBATCH --no-requeue" in render(request())


def test_users_options_come_last_and_so_win() -> None:
    assert render(request({"sbatch_extra": ["--requeue", "-t 5"]}))[-2:] == [
        "#SBATCH --requeue",
        "#SBATCH -t 5",
    ]


def test_blank_values_are_left_out() -> None:
    # sbatch would take the next word for the value.
    assert render(request(partition=" ", qos="", account=None)) == render(request())
    assert not [line for line in render(request()) if '""' in line]


def test_any_reservation_is_a_filter_and_no_name() -> None:
    assert render(request(reservation="any")) == render(request())


def test_tasks_only_leaves_the_number_of_nodes_open() -> None:
    assert not [
        line for line in render(request(node_range=(1, None), tasks="4")) if "--nodes" in line
    ]
    assert "#SBATCH --nodes 2-4" in render(request(node_range=(2, None), tasks="4"))


def test_fewer_tasks_than_nodes_do_not_cost_nodes() -> None:
    # 'can't run 1 processes on 9 nodes, setting nnodes to 1' [22.05.8]
    assert "#SBATCH --ntasks 3" in render(request(node_range=(3, 3), tasks="1"))


def test_more_include_nodes_than_nodes() -> None:
    with pytest.raises(SchedulerPluginError, match=r"at most 1 nodes.*include_nodes \(n\[1-2\]\)"):
        render(request(node_range=(1, 1), include=("n1", "n2")))


# --- Values ---


@pytest.mark.parametrize("key", ["partition", "qos", "account", "reservation"])
@pytest.mark.parametrize(
    "value",
    [
        "a\nb",
        "a\r#SBATCH -n 5",
        'a" --wrap "x',
        "it's",
        "a\\b",
        "a\x00b",
        "a\x1fb",
        "a\tb",
        "a\u2028b",
        "x" * 1025,
    ],
)
def test_values_that_could_end_the_line_are_refused(key: str, value: str) -> None:
    with pytest.raises(SchedulerPluginError) as caught:
        render(request(**{key: value}))
    assert f"schedule.{key}" in caught.value.msg and repr(value) in caught.value.msg


@given(st.text(max_size=50))
def test_a_value_is_one_word_on_one_line_or_refused(value: str) -> None:
    try:
        text = quoted("qos", value)
    except SchedulerPluginError:
        return
    if text is None:
        assert not value.strip()
    else:
        assert shlex.split(text) == [value.strip()]
        assert len(text.splitlines()) == 1


@given(st.text(max_size=300), st.sampled_from(["", "tok.1", "x" * 40]))
def test_job_names_are_safe(name: str, token: str) -> None:
    safe = safe_job_name(name, token)
    assert safe and len(safe) <= NAME_LIMIT
    assert set(safe) <= set(
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.,:;+@=-"
    )
    assert not safe.startswith("-")
    assert safe.endswith(token)


@pytest.mark.parametrize(
    ("name", "token", "safe"),
    [
        ("pav_a,b ...", "", "pav_a,b__..."),
        ("a  b\tc\n", "", "a__b__c"),
        ("-x", "", "_x"),
        ("$(rm -rf)/%j", "", "__rm__-rf___j"),
        ("name", "t1", "name-t1"),
        ("", "", "pav"),
        ("n" * 300, "t1", "n" * (NAME_LIMIT - 3) + "-t1"),
    ],
)
def test_job_name(name: str, token: str, safe: str) -> None:
    assert safe_job_name(name, token) == safe


@pytest.mark.parametrize("token", ["a b", "a\n", "$(x)", "a/b", "\u00fc"])
def test_bad_tokens(token: str) -> None:
    with pytest.raises(SchedulerPluginError, match="token"):
        safe_job_name("x", token)


@pytest.mark.parametrize(
    ("features", "value"),
    [
        ([], None),
        (["a"], '"a"'),
        (["a|b"], '"a|b"'),
        (["a", "b"], '"a&b"'),
        (["a|b", "c"], '"(a|b)&c"'),
        (["c", "a|b", "d|e"], '"c&(a|b)&(d|e)"'),
        ([" a | b "], '"a|b"'),
        (["a", "a", "b|b"], '"a&b"'),
    ],
)
def test_constraint(features: list[str], value: str | None) -> None:
    assert constraint(features) == value


@pytest.mark.parametrize(
    "feature", ["", "a&b", "a|", "a b", "(a)", "[a|b]", "a*2", "a,b", 'a"', "a\n#SBATCH -n9"]
)
def test_bad_features(feature: str) -> None:
    with pytest.raises(SchedulerPluginError, match=r"slurm\.features"):
        constraint(["ok", feature])


@pytest.mark.parametrize(
    "option",
    [
        "--mem=4G",
        "-n 5",
        "--mail-user 'a b'",
        '--comment "x;y"',
        " --exclusive ",
        "--gres=gpu:2 --mem 0",
    ],
)
def test_users_options(option: str) -> None:
    assert extra_lines([option]) == [option.strip()]


@pytest.mark.parametrize(
    "option",
    [
        "mem=4G",
        "#SBATCH --mem=4G",
        "--mem=4G\n--wrap=x",
        "--mem=4G\rx",
        "--comment 'a",
        '--x "a',
        "--x \x00",
        "touch x",
        "--x \x1b[2J",
        "--qos ''",
        '--comment "" x',
        "--x a\\",
    ],
)
def test_bad_users_options(option: str) -> None:
    with pytest.raises(SchedulerPluginError, match=r"slurm\.sbatch_extra"):
        extra_lines(["--ok", option])


def test_blank_users_options_are_left_out() -> None:
    assert extra_lines(["", "  "]) == []


def test_core_spec_is_a_number() -> None:
    with pytest.raises(SchedulerPluginError, match="core_spec"):
        render(request(core_spec="two"))


def test_bad_node_names() -> None:
    with pytest.raises(SchedulerPluginError, match="exclude_nodes"):
        render(request(exclude=("n1; rm",)))


@given(st.sets(st.integers(0, 300), min_size=1, max_size=60))
def test_node_lists_are_folded_and_whole(numbers: set[int]) -> None:
    names = {f"n{number:03}" for number in numbers}
    lines = render(request(node_range=(len(names), len(names)), include=tuple(names)))
    folded = next(line.split()[-1] for line in lines if line.startswith("#SBATCH -w "))
    assert set(expand(folded)) == names


text_or_list = st.one_of(st.text(max_size=20), st.none())


@given(st.text(max_size=40), text_or_list, text_or_list, st.lists(st.text(max_size=20), max_size=2))
def test_whatever_is_asked_for_every_line_is_a_directive(
    name: str, partition: str | None, account: str | None, extra: list[str]
) -> None:
    try:
        lines = render(
            request({"sbatch_extra": extra}, name=name, partition=partition, account=account)
        )
    except SchedulerPluginError:
        return
    for line in lines:
        assert line.splitlines() == [line]
        assert line.startswith("#SBATCH -")
        shlex.split(line[len("#SBATCH ") :])


# --- As Pavilion makes it ---


def make(nodes: Any = None, node_range: Any = None, **values: Any) -> SbatchHeader:
    section = config(**values)
    info = {name: {"name": name, "up": True, "available": True, "cpus": 8} for name in ("n1", "n2")}
    header = make_header(
        SbatchHeader,
        "pav_x y",
        section,
        SchedulerVariables(section, info),
        nodes,
        node_range,
        "#!/bin/sh",
    )
    assert isinstance(header, SbatchHeader)
    return header


def test_header_class_with_picked_nodes() -> None:
    lines = make(nodes=["n2", "n1"], exclude_nodes="n9").get_lines()
    assert lines[:2] == ["#!/bin/sh", '#SBATCH --job-name "pav_x__y"']
    assert "#SBATCH -w n[1-2]" in lines and "#SBATCH --nodes 2" in lines
    assert not [line for line in lines if line.startswith("#SBATCH -x")]


def test_header_class_with_a_range_leaves_the_nodes_to_slurm() -> None:
    lines = make(node_range=(2, 3), exclude_nodes="n9").get_lines()
    assert "#SBATCH --nodes 2-3" in lines and "#SBATCH -x n9" in lines
    assert not [line for line in lines if line.startswith("#SBATCH -w")]


@pytest.mark.parametrize(
    ("given_value", "expected"), [("all", 8), ("50%", 4), ("3", 3), ("min", 1), (None, 1)]
)
def test_tasks_per_node_are_worked_out(given_value: str | None, expected: int) -> None:
    lines = make(node_range=(1, 1), tasks_per_node=given_value).get_lines()
    assert f"#SBATCH --ntasks-per-node {expected}" in lines


if __name__ == "__main__":
    for name, one in CASES.items():
        (GOLDEN / f"{name}.txt").write_text("\n".join(render(one)) + "\n", "utf-8")
