"""Bad input ends in a clear error, soon."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pavilion.config import PavConfig, load_config
from pavilion.errors import ConfigError, PavilionError, VariableError, quoted
from pavilion.plugins import load_plugins
from pavilion.resolve import resolve_test
from pavilion.schedulers.config import validate_config
from pavilion.schedulers.plugins.slurm import parsing
from pavilion.schedulers.plugins.slurm.notes import job_note
from pavilion.scriptcomposer import ScriptComposer
from pavilion.suites import load_suite
from pavilion.variables import MAX_PERMUTATIONS, VariableSetManager, permutations

DIGITS = "9" * 4000


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Far more than it takes, and far less than it took."""
    start = time.process_time()
    yield
    assert time.process_time() - start < seconds


@pytest.fixture(autouse=True)
def pav_cfg(tmp_path: Path) -> PavConfig:
    cfg = load_config(working_dir=tmp_path / "work", environ={"HOME": str(tmp_path)})
    load_plugins(cfg)
    return cfg


def suite(tmp_path: Path, text: str) -> Any:
    path = tmp_path / "suite.yaml"
    path.write_text(text)
    return load_suite(path)


# --- Inheritance ---


def test_a_long_chain_of_tests_takes_its_length(tmp_path: Path) -> None:
    lines = ["t0: {run: {cmds: [first], timeout: 7}}"] + [
        f"t{number}: {{inherits_from: t{number - 1}, run: {{cmds+: [c{number}]}}}}"
        for number in range(1, 400)
    ]
    with within(10):
        tests = suite(tmp_path, "\n".join(reversed(lines)))
    assert tests["t399"].config["run"]["timeout"] == "7"
    assert tests["t399"].config["run"]["cmds"] == ["first", *(f"c{n}" for n in range(1, 400))]
    assert tests["t1"].config["run"]["cmds"] == ["first", "c1"]


def test_a_chain_may_be_longer_than_pythons_stack(tmp_path: Path) -> None:
    text = "\n".join(
        [
            "t0: {run: {cmds: [a]}}",
            *(f"t{number}: {{inherits_from: t{number - 1}}}" for number in range(1, 3000)),
        ]
    )
    with within(30):
        tests = suite(tmp_path, text)
    assert tests["t2999"].config["run"]["cmds"] == ["a"]


def test_doubled_parents_do_not_double_the_time(tmp_path: Path) -> None:
    lines = ["t0: {run: {cmds: [a], env: {A: 1}}}"] + [
        f"t{number}: {{inherits_from: [t{number - 1}, t{number - 1}]}}" for number in range(1, 60)
    ]
    with within(10):
        tests = suite(tmp_path, "\n".join(lines))
    assert tests["t59"].config["run"]["env"] == {"A": "1"}


def test_tests_of_one_parent_do_not_share_what_they_change(tmp_path: Path) -> None:
    tests = suite(
        tmp_path,
        """
        base: {variables: {a: [x]}, run: {env: {A: 1}, cmds: [one]}}
        b: {inherits_from: base, variables: {a+: [y]}, run: {env: {B: 2}, cmds+: [two]}}
        c: {inherits_from: base, variables: {a+: [z]}, run: {env: {C: 3}, cmds+: [three]}}
        """,
    )
    assert tests["base"].config["run"]["cmds"] == ["one"]
    assert tests["c"].config["run"]["cmds"] == ["one", "three"]
    assert tests["c"].config["run"]["env"] == {"A": "1", "C": "3"}
    assert tests["c"].config["variables"]["a"] == ["x", "z"]
    assert tests["base"].config["variables"]["a"] == ["x"]


def test_a_long_circle_is_told_in_short(tmp_path: Path) -> None:
    text = "\n".join(
        f"t{number}: {{inherits_from: t{(number + 1) % 500}}}" for number in range(500)
    )
    with pytest.raises(ConfigError, match=r"circle: t0 -> t1 -> .* -> t499 -> t0") as caught:
        suite(tmp_path, text)
    assert len(str(caught.value)) < 400


# --- Permutations ---


def test_too_many_permutations_are_an_error_at_once() -> None:
    manager = VariableSetManager()
    manager.add_set("var", {f"v{number}": [str(item) for item in range(10)] for number in range(9)})
    with within(2), pytest.raises(VariableError) as caught:
        permutations(manager, [f"v{number}" for number in range(9)])
    assert "1000000000 combinations" in str(caught.value)
    assert f"a test may have at most {MAX_PERMUTATIONS}" in str(caught.value)
    assert len(permutations(manager, ["v0", "v1", "v2"])) == 1000


def test_permutations_before_and_after_the_scheduler_is_known_count_together(
    tmp_path: Path,
) -> None:
    tests = suite(
        tmp_path,
        f"""
        a:
          permute_on: [v, sched.chunk_ids, w]
          variables: {{v: {list(range(400))}, w: {list(range(400))}}}
          run: {{cmds: [a]}}
        """,
    )
    with within(5), pytest.raises(ConfigError, match="160000 combinations"):
        resolve_test(tests["a"])


# --- Slurm's answers ---


NODE = (
    "NodeName=n1 Arch=x86_64 CPUTot=4 AvailableFeatures=a,b OS=Linux 5 RealMemory=100 "
    "AllocMem=0 State=IDLE ThreadsPerCore=1 MCS_label=N/A Partitions=p,q "
)


@pytest.mark.parametrize(
    "filler",
    [
        "CPUTot=1 ",
        " AvailableFeatures=x",
        " RealMemory=1 ",
        " State=x ",
        " MCS_label=x ",
        "CPUTot=1  AvailableFeatures=x RealMemory=1  State=x ",
        "NodeName=n ",
        "9",
        " ",
    ],
)
def test_a_line_of_20_kb_about_a_node_is_read_in_no_time(filler: str) -> None:
    line = "NodeName=n CPUTot=4 " + filler * (20_000 // len(filler))
    with within(1):
        for text in (
            line,
            NODE.replace("OS=Linux 5", f"OS={filler * 2000}"),
            NODE + "Reason=" + filler * 2000,
        ):
            try:
                parsing.parse_scontrol_nodes(text + "\n")
            except parsing.UnreadableAnswer:
                continue


@pytest.mark.parametrize("filler", [" [", "@", " [@", " [a@", " Reason=", " Comment", "]"])
def test_a_reason_of_20_kb_is_read_in_no_time(filler: str) -> None:
    line = NODE + "Reason= [" + filler * (20_000 // len(filler))
    with within(1):
        (node,), _ = parsing.parse_scontrol_nodes(line + "\n")
    assert node.reason


@pytest.mark.parametrize(
    "filler",
    [
        " StartTime=a EndTime=b ",
        " Nodes=x NodeCnt=",
        " Flags=x ",
        " StartTime=",
        " NodeCnt=",
        "a ",
        " StartTime=a EndTime=b  Nodes=x NodeCnt= Flags=x ",
    ],
)
def test_a_line_of_20_kb_about_a_reservation_is_read_in_no_time(filler: str) -> None:
    line = "ReservationName=r " + filler * (20_000 // len(filler))
    with within(1):
        found, refused = parsing.parse_reservations(line + "\n")
    assert found or refused


def test_what_is_in_such_lines_is_found_as_before() -> None:
    line = NODE + "Reason=bad disk [root@2024-01-01T00:00:00] Comment=x [a@b]"
    (node,), refused = parsing.parse_scontrol_nodes(line + "\n")
    assert node == parsing.Node(
        "n1", "IDLE", 4, 100 * parsing.MIB, ("a", "b"), ("p", "q"), "bad disk"
    )
    assert refused == []
    line = (
        "ReservationName=my res StartTime=S EndTime=E Duration=1 Nodes=n[1-2] NodeCnt=2 "
        "CoreCnt=4 Features=(null) Flags=MAINT,X TRES=cpu=4 Users=root State=ACTIVE"
    )
    (found,), refused = parsing.parse_reservations(line + "\n")
    assert (found.name, found.nodes, found.flags, found.state, found.start, found.end) == (
        "my res",
        ("n1", "n2"),
        {"MAINT", "X"},
        "ACTIVE",
        "S",
        "E",
    )


@pytest.mark.parametrize("number", ["\u00b2", "1\u00b2", "\u0663", "1_0", "9" * 5000, "-1", " 1"])
def test_a_number_that_is_none_is_a_refused_row(number: str) -> None:
    from pavilion.schedulers.plugins.slurm.queries import (
        FIELD_END,
        JOB_FIELDS,
        NODE_FIELDS,
        ROW_END,
    )

    def table(width: int, row: list[str]) -> str:
        return "".join(FIELD_END.join(cells) + f"{ROW_END}\n" for cells in (["A"] * width, row))

    rows, refused = parsing.parse_nodes(
        table(len(NODE_FIELDS), ["IDLE", number, "1", "x", "p", "n1", ""])
    )
    assert (rows, len(refused)) == ([], 1)
    assert "is not a whole number" in refused[0].problem
    fields = ["" for _ in JOB_FIELDS]
    fields[list(JOB_FIELDS).index("id")] = number
    fields[list(JOB_FIELDS).index("state")] = "RUNNING"
    jobs, refused = parsing.parse_jobs(table(len(JOB_FIELDS), fields))
    assert jobs == {} and len(refused) == 1


def test_a_superscript_is_no_number_of_restarts() -> None:
    assert "requeued" not in job_note("1", {"state": "RUNNING", "restarts": "\u00b2"})
    assert "requeued 2 times" in job_note("1", {"state": "RUNNING", "restarts": "2"})


# --- Numbers and null characters in tests ---


@pytest.mark.parametrize(
    "key",
    [
        "chunk",
        "concurrent",
        "run.timeout",
        "run.shebang",
        "scheduler",
        "permute_on",
        "schedule.nodes",
        "schedule.min_nodes",
        "schedule.tasks",
        "schedule.tasks_per_node",
        "schedule.time_limit",
        "schedule.chunking.size",
        "schedule.cluster_info.mem",
        "schedule.include_nodes",
        "schedule.node_state",
    ],
)
@pytest.mark.parametrize("digits", [4000, 5000])
def test_long_numbers_are_refused_and_not_echoed(key: str, digits: int, tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text("a: {run: {cmds: [a]}}")
    with pytest.raises(PavilionError) as caught:
        resolve_test(load_suite(tmp_path / "suite.yaml", [f"{key}={'9' * digits}"])["a"])
    assert len(caught.value.pformat()) < 1200
    assert len(str(caught.value)) < 1200


@pytest.mark.parametrize("value", ["\u00b2", "1\u00b2", "\u0663"])
@pytest.mark.parametrize("key", ["chunk", "concurrent"])
def test_digits_of_other_scripts_are_refused(key: str, value: str, tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text("a: {run: {cmds: [a]}}")
    with pytest.raises(ConfigError, match=key):
        resolve_test(load_suite(tmp_path / "suite.yaml", [f"{key}={value}"])["a"])


@pytest.mark.parametrize("value", [10**19, 1e300, DIGITS])
def test_a_schedule_has_no_astronomic_numbers(value: Any) -> None:
    with pytest.raises(PavilionError):
        validate_config({"time_limit": value})


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("run.cmds.1", r'{cmds: [a, "x\0y"]}'),
        ("run.env.A", r'{cmds: [a], env: {A: "\0"}}'),
        ("run.cmds.0", "{cmds: ['{{zero}}']}"),
    ],
)
def test_null_characters_in_commands_are_an_error(key: str, text: str, tmp_path: Path) -> None:
    tests = suite(tmp_path, 'a: {variables: {zero: "a\\0b"}, run: ' + text + "}")
    with pytest.raises(ConfigError, match=f"{key}: it contains a null character"):
        resolve_test(tests["a"])


def test_null_characters_do_not_get_into_a_script() -> None:
    with pytest.raises(ValueError, match="null character"):
        ScriptComposer().command("echo a\0b")


def test_null_characters_in_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "pavilion.yaml"
    path.write_text('env_setup: ["a\\0b"]')
    with pytest.raises(ConfigError, match="null character"):
        load_config(path, environ={})


# --- Paths ---


def test_a_working_directory_that_is_not_utf8_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/w\xff"))
    cfg = load_config(working_dir=path, environ={"HOME": str(tmp_path)})
    with pytest.raises(ConfigError, match="is not UTF-8") as caught:
        cfg.make_working_dir()
    assert r"w\xff" in str(caught.value)
    assert not path.exists()
    str(caught.value).encode()


def test_a_working_directory_in_utf8_is_none(tmp_path: Path) -> None:
    load_config(working_dir=tmp_path / "w\u00e4\U0001f600", environ={}).make_working_dir()


# --- Messages ---


@pytest.mark.parametrize(
    "value",
    ["x" * 10_000, b"x" * 10_000, 10**10_000, ["x" * 10_000], {"a": ["x" * 10_000]}],
    ids=lambda value: type(value).__name__,
)
def test_values_in_messages_are_cut(value: Any) -> None:
    assert len(quoted(value)) < 100


def test_long_words_in_messages_are_cut_and_paths_are_not() -> None:
    error = PavilionError(f"See {'/path' * 90} and {DIGITS}.", prior_error=ValueError(DIGITS))
    for text in (str(error), error.pformat()):
        assert "/path" * 90 in text
        assert "(4001 characters)" in text
        assert len(text) < 1000
    assert PavilionError("short").pformat() == "short"
