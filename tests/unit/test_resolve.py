"""From a suite's test to test runs: permutations, names, what may wait, and clear refusals."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pavilion import naming
from pavilion.config import PavConfig
from pavilion.errors import ConfigError, SchedulerPluginError
from pavilion.problems import Problems
from pavilion.resolve import ResolvedTest, group_by_scheduler, resolve_test
from pavilion.schedulers import (
    SchedulerPlugin,
    SchedulerPluginAdvanced,
    SchedulerPluginBasic,
    SchedulerVariables,
    dfr_var_method,
    var_method,
)
from pavilion.suites import select_tests


class GridVars(SchedulerVariables):
    """Variables of the fake scheduler; two of them fail."""

    @var_method
    def broken(self) -> str:
        """Always fails."""
        raise OSError("no licence server")

    @dfr_var_method
    def rack(self) -> str:
        """Known on the allocation only."""
        return "r1"


class Grid(SchedulerPluginAdvanced):
    """A scheduler with twelve nodes, two of them down."""

    VAR_CLASS = GridVars

    def __init__(self) -> None:
        super().__init__("grid", "A fake.")

    def _available(self) -> bool:
        return True

    def _get_raw_node_data(self, sched_config: dict[str, Any]) -> tuple[list[Any], Any]:
        return list(range(1, 13)), None

    def _transform_raw_node_data(
        self, sched_config: dict[str, Any], node_data: Any, extra: Any
    ) -> dict[str, Any]:
        return {
            "name": f"n{node_data:02}",
            "up": node_data <= 10,
            "available": True,
            "cpus": 8,
            "mem": 1 << 30,
        }


class Absent(SchedulerPluginBasic):
    """A scheduler that is not there."""

    def __init__(self) -> None:
        super().__init__("absent", "A fake.")

    def _available(self) -> bool:
        self.unavailable_reason = "The command 'asub' was not found."
        return False


class Bare(SchedulerPlugin):
    """No family, so it can do next to nothing."""

    def __init__(self) -> None:
        super().__init__("bare", "A fake.")

    def _available(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _schedulers(pav_cfg: PavConfig) -> None:
    for plugin in (Grid(), Absent(), Bare()):
        plugin.activate()


def _resolve(pav_cfg: PavConfig, text: str, target: str = "suite.a") -> list[ResolvedTest]:
    folder = Path(next(iter(pav_cfg.configs.values()))["path"]) / "suites"
    (folder / "suite.yaml").write_text(textwrap.dedent(text), encoding="utf-8")
    return [run for test in select_tests(pav_cfg, target) for run in resolve_test(test)]


def _error(pav_cfg: PavConfig, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        _resolve(pav_cfg, text)
    message: str = caught.value.pformat()
    # Whatever is wrong, the place is told.
    assert "Test 'a'" in message
    assert "suite.yaml" in message
    return message


# ------------------------------------------------------------------------------------ a single test


def test_a_test_without_permutations_is_one_run(pav_cfg: PavConfig) -> None:
    (run,) = _resolve(
        pav_cfg,
        """
        a:
          variables: {who: world}
          schedule: {raw: {concurrent: 2}}
          run:
            env: {WHO: '{{who}}'}
            cmds: ['echo {{who}} of {{suite}} by {{pav.user}} on {{sys_name}}']
        """,
    )
    assert run.name == "suite.a"
    assert run.warnings == ()
    config = run.config
    assert config["scheduler"] == "raw"
    assert (config["chunk"], config["concurrent"]) == ("any", "2")
    assert config["run"]["env"] == {"WHO": "world"}
    assert config["run"]["cmds"][0].startswith("echo world of suite by ")
    assert "{{" not in config["run"]["cmds"][0]
    for key in ("variables", "permute_on", "subtitle", "inherits_from", "summary", "doc"):
        assert key not in config


def test_the_number_of_tests_at_once_comes_from_the_scheduler(pav_cfg: PavConfig) -> None:
    runs = _resolve(
        pav_cfg,
        """
        a: {run: {cmds: [x]}}
        b: {scheduler: grid, run: {cmds: [x]}}
        c: {concurrent: '{{n}}', variables: {n: 3}, run: {cmds: [x]}}
        """,
        "suite",
    )
    assert [run.config["concurrent"] for run in runs] == ["100", "1", "3"]


def test_scheduler_and_schedule_may_use_variables(pav_cfg: PavConfig) -> None:
    (run,) = _resolve(
        pav_cfg,
        """
        a:
          variables: {where: grid, size: 3}
          scheduler: '{{where}}'
          schedule: {nodes: '{{size}}'}
          run: {cmds: ['{{sched.requested_nodes}} of {{sched.nodes}}']}
        """,
    )
    assert run.config["scheduler"] == "grid"
    assert run.config["schedule"]["nodes"] == "3"
    assert run.config["run"]["cmds"] == ["3 of 10"]


def test_a_value_that_looks_like_a_reference_stays_as_it_is(pav_cfg: PavConfig) -> None:
    (run,) = _resolve(
        pav_cfg,
        r"""
        a:
          variables: {text: '\{\{no_such}}', wrap: 'dbg \{\{x}}'}
          schedule: {wrapper: '{{wrap}}', account: '\{\{y}}'}
          run: {cmds: ['echo {{text}} {{test_cmd}}']}
        """,
    )
    config = run.config
    assert config["run"]["cmds"] == ["echo {{no_such}} dbg {{x}}"]
    assert config["schedule"]["wrapper"] == "dbg {{x}}"
    assert config["schedule"]["account"] == "{{y}}"


# ------------------------------------------------------------------------------------ permutations


def test_permutations_over_the_tests_own_variables(pav_cfg: PavConfig) -> None:
    runs = _resolve(
        pav_cfg,
        """
        a:
          variables: {size: [1, 2], comp: [gcc, icc, nvc]}
          permute_on: [size, comp]
          schedule: {nodes: '{{size}}'}
          scheduler: grid
          run: {cmds: ['{{comp}} {{var.size}} {{requested_nodes}}']}
        """,
    )
    assert [run.name for run in runs] == [
        f"suite.a.{size}-{comp}" for size in (1, 2) for comp in ("gcc", "icc", "nvc")
    ]
    assert [run.config["run"]["cmds"][0] for run in runs] == [
        f"{comp} {size} {size}" for size in (1, 2) for comp in ("gcc", "icc", "nvc")
    ]
    assert [run.config["schedule"]["nodes"] for run in runs] == ["1"] * 3 + ["2"] * 3


def test_a_test_for_each_chunk(pav_cfg: PavConfig) -> None:
    runs = _resolve(
        pav_cfg,
        """
        a:
          scheduler: grid
          schedule: {nodes: all, chunking: {size: 4, extra: discard}}
          permute_on: chunk_ids
          chunk: '{{chunk_ids}}'
          run: {cmds: ['echo {{chunk_ids}} {{sched.chunk_ids}} {{chunk_size}}']}
        """,
    )
    assert [run.name for run in runs] == ["suite.a.chunk0", "suite.a.chunk1"]
    assert [run.config["chunk"] for run in runs] == ["0", "1"]
    assert [run.config["run"]["cmds"] for run in runs] == [["echo 0 0 4"], ["echo 1 1 4"]]
    assert len({run.var_man.get("sched.node_list_id") for run in runs}) == 1


def test_early_and_late_permutations_combine(pav_cfg: PavConfig) -> None:
    runs = _resolve(
        pav_cfg,
        """
        a:
          scheduler: grid
          variables: {size: [5, 2]}
          schedule: {nodes: 1, chunking: {size: '{{size}}'}}
          permute_on: [sched.chunk_ids, size]
          chunk: '{{chunk_ids}}'
          run: {cmds: ['{{size}}:{{chunk_ids}}']}
        """,
    )
    assert [run.config["run"]["cmds"][0] for run in runs] == [
        "5:0",
        "5:1",
        "2:0",
        "2:1",
        "2:2",
        "2:3",
        "2:4",
    ]
    assert runs[0].name == "suite.a.chunk0-5"
    assert len({run.name for run in runs}) == 7


def test_permutations_over_a_variable_that_needs_the_scheduler(pav_cfg: PavConfig) -> None:
    runs = _resolve(
        pav_cfg,
        """
        a:
          scheduler: grid
          variables: {half: ['{{sched.nodes}}', plain]}
          permute_on: half
          run: {cmds: ['{{half}}']}
        """,
    )
    assert [run.config["run"]["cmds"][0] for run in runs] == ["10", "plain"]


def test_each_permutation_may_have_another_scheduler(pav_cfg: PavConfig) -> None:
    runs = _resolve(
        pav_cfg,
        """
        a:
          variables: {where: [raw, grid]}
          permute_on: where
          scheduler: '{{where}}'
          run: {cmds: [x]}
        """,
    )
    assert [run.config["scheduler"] for run in runs] == ["raw", "grid"]


def test_a_mapping_is_named_by_what_tells_it_apart(pav_cfg: PavConfig) -> None:
    runs = _resolve(
        pav_cfg,
        """
        a:
          variables: {comp: [{name: gcc, flag: -O2}, {name: icc, flag: -fast}]}
          permute_on: comp
          run: {cmds: ['{{comp.name}} {{comp.flag}}']}
        """,
    )
    assert [run.config["run"]["cmds"][0] for run in runs] == ["gcc -O2", "icc -fast"]
    assert [run.name for run in runs] == ["suite.a.gcc", "suite.a.icc"]


def test_the_subtitle_is_the_authors_choice(pav_cfg: PavConfig) -> None:
    text = """
        a:
          variables: {comp: [{name: gcc}, {name: icc}], other: x}
          SUBTITLE
          permute_on: comp
          run: {cmds: [x]}
        """
    runs = _resolve(pav_cfg, text.replace("SUBTITLE", "subtitle: 'with-{{comp.name}}'"))
    assert [run.name for run in runs] == ["suite.a.with-gcc", "suite.a.with-icc"]
    (run,) = _resolve(pav_cfg, "a: {subtitle: '{{suite}}', run: {cmds: [x]}}")
    assert run.name == "suite.a.suite"


NAMES = {
    # Eight tests used to share four names.
    "mappings": (
        "{case: [{n: small, s: 1M}, {n: large, s: 1G}], threads: [1, 2]}",
        ["case", "threads"],
        ["small-1", "small-2", "large-1", "large-2"],
    ),
    "a name that does not tell": (
        "{case: [{name: x, s: 1M}, {name: x, s: 1G}]}",
        ["case"],
        ["1M", "1G"],
    ),
    "the name goes first": ("{case: [{s: 1, name: a}, {s: 2, name: b}]}", ["case"], ["a", "b"]),
    "only several keys tell": (
        "{case: [{a: 1, b: 1, c: x}, {a: 1, b: 2, c: x}, {a: 2, b: 2, c: x}]}",
        ["case"],
        ["1-1", "1-2", "2-2"],
    ),
    "keys that some lack": ("{case: [{a: 1}, {a: 1, b: 2}]}", ["case"], ["case", "2"]),
    "equal mappings": ("{case: [{a: 1}, {a: 1}]}", ["case"], ["1", "1-2"]),
    "one mapping": ("{case: {name: x, s: 1M}}", ["case"], ["x"]),
    "duplicates": ("{n: [1, 1, 2, 1]}", ["n"], ["1", "1-2", "2", "1-3"]),
    "a duplicate whose number is taken": ("{n: [1, 1, 1-2]}", ["n"], ["1", "1-3", "1-2"]),
    "odd characters": (
        r"{n: ['a b', 'a/b', '$(rm -rf /)', '-O3', '*', '1.5']}",
        ["n"],
        ["a_b", "a_b-2", "rm_-rf", "-O3", "_", "1.5"],
    ),
    "nothing": ("{n: ['', empty]}", ["n"], ["empty", "empty-2"]),
    "long": (f"{{n: [{'x' * 100}a, {'x' * 100}b]}}", ["n"], ["x" * 40, "x" * 40 + "-2"]),
    "values that meet when they are joined": (
        "{a: [x-y, x], b: [z, y-z]}",
        ["a", "b"],
        ["x-y-z", "x-y-y-z", "x-z", "x-y-z-2"],
    ),
    "variables in values": (
        "{top: v1, case: [{path: '{{top}}/a'}, {path: '{{top}}/b'}]}",
        ["case"],
        ["v1_a", "v1_b"],
    ),
    "a variable of its own that is called as the chunks are": (
        "{chunk_ids: [0, 1]}",
        ["chunk_ids"],
        ["0", "1"],
    ),
}


@pytest.mark.parametrize("case", NAMES)
def test_every_permutation_has_a_name_of_its_own(pav_cfg: PavConfig, case: str) -> None:
    variables, permute_on, ends = NAMES[case]
    text = f"a: {{variables: {variables}, permute_on: {permute_on}, run: {{cmds: [x]}}}}"
    names = [run.name for run in _resolve(pav_cfg, text)]
    assert names == [f"suite.a.{end}" for end in ends]
    assert [run.name for run in _resolve(pav_cfg, text)] == names


values = st.one_of(
    st.text(max_size=4, alphabet="ab-_. /1"),
    st.dictionaries(st.sampled_from(["name", "a", "b"]), st.text(max_size=3, alphabet="a-1 ")),
)


@given(st.lists(st.tuples(values, values), min_size=1, max_size=8))
def test_automatic_names_are_unique_whatever_is_chosen(pairs: list[tuple[Any, Any]]) -> None:
    choices = [[("var", "x", first), ("var", "y", second)] for first, second in pairs]
    names = naming.automatic(choices)
    assert len(set(names)) == len(names) == len(pairs)
    assert all(names) and not any(set(name) & set(" /") for name in names)


def test_a_subtitle_that_gives_two_the_same_name_is_refused_with_its_line(
    pav_cfg: PavConfig,
) -> None:
    text = """
        a:
          variables: {comp: [{name: gcc}, {name: icc}], n: [1, 2]}
          subtitle: 'with-{{comp.name}}'
          permute_on: [comp, n]
          run: {cmds: [x]}
        """
    with pytest.raises(ConfigError) as caught:
        _resolve(pav_cfg, text)
    message = caught.value.pformat()
    assert "suite.yaml:4: a.subtitle: " in message
    assert "'a.with-gcc' (2 times), 'a.with-icc' (2 times)" in message
    assert "leave it out" in message
    with pytest.raises(ConfigError, match=r"'a' [(]4 times[)]"):
        _resolve(pav_cfg, text.replace("with-{{comp.name}}", ""))


def test_what_a_permutation_chose_is_known(pav_cfg: PavConfig) -> None:
    runs = _resolve(
        pav_cfg,
        """
        a:
          scheduler: grid
          variables: {top: v, comp: [{name: gcc, path: '{{top}}/gcc', odd.key: 1, bad: '{{top.9}}'}]}
          schedule: {chunking: {size: 5}}
          permute_on: [chunk_ids, comp]
          chunk: '{{chunk_ids}}'
          run: {cmds: [x]}
        """,
    )
    comp = {"name": "gcc", "path": "v/gcc", "odd.key": "1", "bad": "{{top.9}}"}
    assert [run.permutation for run in runs] == [
        {"chunk_ids": "0", "comp": comp},
        {"chunk_ids": "1", "comp": comp},
    ]
    assert list(runs[0].permutation) == ["chunk_ids", "comp"]


# --------------------------------------------------------------------------------- deferred values


def test_what_the_test_does_may_wait_for_the_allocation(pav_cfg: PavConfig) -> None:
    (run,) = _resolve(
        pav_cfg,
        """
        a:
          scheduler: grid
          variables: {where: 'on {{rack}}'}
          run:
            env: {RACK: '{{sched.rack}}', HOST: '{{host_name}}'}
            cmds: ['echo {{where}} {{nodes}}']
            timeout: '{{test_nodes}}'
        """,
    )
    config = run.config
    assert config["run"]["env"] == {"RACK": "{{sched.rack}}", "HOST": "{{host_name}}"}
    assert config["run"]["cmds"] == ["echo {{where}} {{nodes}}"]
    assert config["run"]["timeout"] == "{{test_nodes}}"


@pytest.mark.parametrize(
    "line, key",
    [
        ("schedule: {nodes: '{{host_cpus}}'}", "schedule.nodes"),
        ("schedule: {lsf: {x: y}, account: '{{sys.host_name}}'}", "schedule.account"),
        ("scheduler: '{{host_name}}'", "scheduler"),
        ("chunk: '{{test_nodes}}'", "chunk"),
        ("subtitle: '{{rack}}'", "subtitle"),
        ("concurrent: '{{host_cpus}}'", "concurrent"),
        ("permute_on: test_node_list", "permute_on"),
    ],
)
def test_nothing_else_may_wait(pav_cfg: PavConfig, line: str, key: str) -> None:
    scheduler = "" if line.startswith("scheduler:") else "scheduler: grid"
    message = _error(
        pav_cfg,
        f"""
        a:
          {scheduler}
          {line}
          run: {{cmds: [x]}}
        """,
    )
    assert key in message
    assert "allocation" in message


def test_the_shebang_may_not_wait(pav_cfg: PavConfig) -> None:
    """The kickoff script has it, too."""
    message = _error(pav_cfg, "a: {run: {cmds: [x], shebang: '#!/opt/{{host_arch}}/sh'}}")
    assert "run.shebang" in message


# --------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    "text, parts",
    [
        (
            "a: {run: {cmds: [ok, 'echo {{mesage}}']}, variables: {message: x}}",
            ["run.cmds.1", "mesage", "var.message"],
        ),
        ("a: {run: {cmds: ['{{sched.test_ndoes}}']}}", ["test_ndoes", "test_nodes"]),
        (
            "a: {run: {cmds: ['{{test_nodes}} {{mesage}}']}, variables: {message: x}}",
            ["mesage", "var.message"],
        ),
        ("a: {run: {cmds: [x], env: {A: '{{sys.sys_nam}}'}}}", ["run.env.A", "sys_name"]),
        (
            "a: {permute_on: szie, variables: {size: [1]}, run: {cmds: [x]}}",
            ["permute_on", "szie", "size"],
        ),
        (
            "a: {permute_on: size, variables: {size: []}, run: {cmds: [x]}}",
            ["permute_on", "size", "empty"],
        ),
        ("a: {run: {cmds: ['{{open']}}", ["run.cmds.0", "}}"]),
        ("a: {run: {cmds: ['{{1 + 1}}']}}", ["run.cmds.0", "Pavilion has expressions"]),
        (
            "a: {schedule: {nodes: '{{chunk_ids}}'}, run: {cmds: [x]}}",
            ["schedule.nodes", "chunk_ids"],
        ),
        ("a: {variables: {x: '{{y}}', y: '{{x}}'}, run: {cmds: ['{{x}}']}}", ["x", "y"]),
        ("a: {scheduler: rwa, run: {cmds: [x]}}", ["'rwa'", "Did you mean 'raw'?", "grid"]),
        ("a: {scheduler: absent, run: {cmds: [x]}}", ["'absent'", "not available", "asub"]),
        ("a: {scheduler: bare, run: {cmds: [x]}}", ["'bare'", "SchedulerPluginBasic"]),
        ("a: {schedule: {nodes: 0}, run: {cmds: [x]}}", ["nodes", "0"]),
        ("a: {schedule: {nodes: -1}, run: {cmds: [x]}}", ["nodes", "-1"]),
        ("a: {schedule: {nodes: 101%}, run: {cmds: [x]}}", ["nodes", "101%"]),
        ("a: {schedule: {nodes: many}, run: {cmds: [x]}}", ["nodes", "many"]),
        ("a: {schedule: {include_nodes: 'n[1-'}, run: {cmds: [x]}}", ["include_nodes", "n[1-"]),
        ("a: {schedule: {raw: {concurrent: 0}}, run: {cmds: [x]}}", ["raw.concurrent", "0"]),
        ("a: {chunk: first, run: {cmds: [x]}}", ["chunk", "'any'", "first"]),
        ("a: {chunk: -1, run: {cmds: [x]}}", ["chunk", "-1"]),
        ("a: {chunk: '²', run: {cmds: [x]}}", ["chunk"]),
        ("a: {concurrent: 0, run: {cmds: [x]}}", ["concurrent", "'0'"]),
        ("a: {concurrent: many, run: {cmds: [x]}}", ["concurrent", "'many'"]),
        ("a: {run: {cmds: [x], timeout: 0}}", ["run.timeout", "'0'"]),
        ("a: {run: {cmds: [x], timeout: soon}}", ["run.timeout", "'soon'"]),
        ("a: {run: {cmds: [x], timeout: -3}}", ["run.timeout", "'-3'"]),
        ("a: {run: {cmds: [x], timeout: nan}}", ["run.timeout", "'nan'"]),
        ("a: {run: {cmds: [x], timeout: inf}}", ["run.timeout", "'inf'"]),
        ("a: {run: {cmds: [x], shebang: bash}}", ["run.shebang", "#!", "'bash'"]),
    ],
)
def test_a_mistake_names_file_test_and_key(pav_cfg: PavConfig, text: str, parts: list[str]) -> None:
    message = _error(pav_cfg, text)
    for part in parts:
        assert part in message


def _problems(pav_cfg: PavConfig, text: str, target: str = "suite", *overrides: str) -> list[str]:
    """All that is wrong with a suite, as 'line: key: text'."""
    folder = Path(next(iter(pav_cfg.configs.values()))["path"]) / "suites"
    file = folder / "suite.yaml"
    file.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
    problems = Problems()
    for test in select_tests(pav_cfg, target, overrides, problems):
        resolve_test(test, problems)
    with pytest.raises(ConfigError) as caught:
        problems.raise_any()
    headline, *lines = caught.value.pformat().splitlines()
    assert headline.startswith((f"The suite {file} cannot be used", "The tests cannot be used"))
    return [line.strip().replace(f"{file}:", "") for line in lines]


def test_wrong_values_name_the_line_they_stand_in(pav_cfg: PavConfig) -> None:
    found = _problems(
        pav_cfg,
        """
        _base:
          scheduler: grid
          schedule:
            time_limit: 5x
            exclude_nodes: [n1, 'n[2-', 'n[3', n4]
          variables:
            limit: soon
            size:
              - 1
              - two
            both: '{{limit}}{{size}}'
          run: {cmds: [x]}
        a:
          inherits_from: _base
          schedule:
            min_nodes: '{{size.1}}'
            node_state: dwon
        b:
          inherits_from: _base
          schedule: {time_limit: 1, exclude_nodes: [], nodes: '{{size}}', tasks: '{{both}}'}
          permute_on: size
          chunk: first
          run: {timeout: '{{limit}}', shebang: sh, cmds+: ['echo {{mesage}} {{sched.nodse}}']}
        """,
    )
    assert [_start(line) for line in found] == [
        "4: _base.schedule.time_limit: Bad value '5x'",
        "5: _base.schedule.exclude_nodes.1: Bad value ['n[2-']",
        "5: _base.schedule.exclude_nodes.2: Bad value ['n[3']",
        "16: a.schedule.min_nodes: Bad value 'two'",
        "17: a.schedule.node_state: Bad value 'dwon'",
        "20: b.schedule.tasks: Bad value 'soon1'",
        "20: b.schedule.nodes: Bad value 'two'",
        "20: b.schedule.tasks: Bad value 'soontwo'",
        "22: b.chunk: chunk must be 'any' or",
        "23: b.run.cmds.1: {{mesage}}: no variable 'mesage'",
        "23: b.run.cmds.1: {{sched.nodse}}: no variable 'sched.nodse'",
        "23: b.run.shebang: run.shebang cannot be used: A",
        "23: b.run.timeout: run.timeout must be a number",
    ]
    assert found[0].endswith(" (In test a.)")
    assert found[3].endswith(" {{size.1}} is from 10 (variables.size.1).")
    assert found[5].endswith(
        " {{both}} is from 11 (variables.both); {{limit}} is from 7 "
        "(variables.limit); {{size}} is from 9 (variables.size.0)."
    )
    assert found[-1].endswith(" {{limit}} is from 7 (variables.limit).")


def _start(line: str) -> str:
    """A problem up to its first value, or a few words."""
    match = re.match(
        r"\d+: \S+: (Bad value ('[^']*'|\[[^]]*\])|\{\{\S+: no variable '[^']*'|"
        r"(\S+ ){3,4}\S+)",
        line,
    )
    return match[0].rstrip(",;:.") if match else line


def test_what_stands_in_a_variable_is_told_there(pav_cfg: PavConfig) -> None:
    found = _problems(
        pav_cfg,
        """
        _base:
          variables:
            greeting:
              - hello
              - '{{nmae}}'
              - '{{1 + 1}}'
        a:
          inherits_from: _base
          run: {cmds: ['echo {{greeting.*}}']}
        """,
    )
    assert [_start(line) for line in found] == [
        "5: _base.variables.greeting.1: {{nmae}}: no variable 'nmae'",
        "6: _base.variables.greeting.2: {{1 + 1}}: only a",
    ]
    for line in found:
        assert "(Used in run.cmds.0.)" in line
        assert line.endswith("(In test a.)")


def test_variables_that_refer_to_variables_are_looked_through(pav_cfg: PavConfig) -> None:
    found = _problems(
        pav_cfg,
        """
        a:
          variables:
            one: '{{two}} {{three.name}} {{missing}}'
            two: '{{gone}}'
            three: {name: '{{1 + 1}}', other: '{{unused}}'}
            four: '{{four}}'
          run: {cmds: ['echo {{one}}', 'echo {{four}}']}
        """,
    )
    assert [_start(line) for line in found] == [
        "3: a.variables.one: {{missing}}: no variable 'missing'",
        "4: a.variables.two: {{gone}}: no variable 'gone'",
        "5: a.variables.three.name: {{1 + 1}}: only a",
        # It is needed by no command; but a variable is known as a whole, or not.
        "5: a.variables.three.other: {{unused}}: no variable 'unused'",
        "7: a.run.cmds.1: {{four}}: the variables refer to",
    ]


def test_an_anchor_is_where_the_text_stands(pav_cfg: PavConfig) -> None:
    found = _problems(
        pav_cfg,
        """
        _x:
          variables: {t: &t 5x}
          schedule: &s
            nodes:
              many
        a: {schedule: {time_limit: *t}, run: {cmds: [x]}}
        b:
          schedule:
            <<: *s
          run: {cmds: [x]}
        """,
    )
    assert [_start(line) for line in found] == [
        "2: _x.schedule.time_limit: Bad value '5x'",
        "5: _x.schedule.nodes: Bad value 'many'",
    ]


def test_an_override_is_named_as_what_it_is(pav_cfg: PavConfig) -> None:
    text = "a: {run: {cmds: [x]}}\nb: {run: {cmds: [x]}, variables: {n: 1}}\n"
    (line,) = _problems(pav_cfg, text, "suite", "schedule.nodes=many")
    assert line.startswith("the override 'schedule.nodes=many': schedule.nodes: Bad value 'many'")
    (line,) = _problems(pav_cfg, text, "suite.b", "schedule.nodes='{{n}}'", "variables.n=x")
    assert line.endswith("{{n}} is from the override 'variables.n=x' (variables.n).")
    (line,) = _problems(pav_cfg, text, "suite", "scheduler=rwa")
    assert line.startswith("the override 'scheduler=rwa': scheduler: There is no scheduler 'rwa'")


def test_wrong_keys_and_wrong_values_are_reported_together(pav_cfg: PavConfig) -> None:
    found = _problems(
        pav_cfg,
        """
        a:
          build: {cmds: [make]}
          schedule: {nodes: 0}
          run: {cmds: ['{{mesage}}']}
        b:
          concurrent: none
        _not_run:
          schedule: {nodes: 0}
          summery: Unused.
        """,
    )
    assert [re.match(r"\d+: \S+:", line)[0] for line in found] == [  # type: ignore[index]
        "2: a.build:",
        "3: a.schedule.nodes:",
        "4: a.run.cmds.0:",
        "5: b.run.cmds:",
        "6: b.concurrent:",
        "9: _not_run.summery:",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a:\n  variables: {m: [[1]]}\n  run: {cmds: ['{{m}} {{var.m.0}}']}",
        "a:\n  variables: {m?: 1}\n  permute_on: m\n  run: {cmds: ['{{m}}']}",
        "a:\n  inherits_from: b\n  run: {cmds: ['{{from_b}}']}",
        "a:\n  scheduler: gird\n  run: {cmds: ['{{sched.rack}} {{nodes}}']}",
        "a:\n  scheduler: absent\n  permute_on: chunk_ids\n  run: {cmds: ['{{chunk_ids}}']}",
        "a:\n  run: {cmds: {x: y}}",
        "a:\n  run: {comds: [x]}",
        "a:\n  run: [x]",
        "a:\n  inherits_from: b",
        "a:\n  cmds: [x]",
        "a:\n  scheduler: grid\n  schedule: {nodes: 0}\n  permute_on: chunk_ids\n  run: {cmds: [x]}",
    ],
)
def test_what_follows_from_a_mistake_is_not_reported(pav_cfg: PavConfig, text: str) -> None:
    _, *others = _problems(pav_cfg, text + "\n")
    assert others == []


def test_an_inherited_mistake_is_one_problem(pav_cfg: PavConfig) -> None:
    text = "_b: {schedule: {nodes: 0}, run: {cmds: ['{{no_such}}']}}\n" + "".join(
        f"t{number}: {{inherits_from: _b}}\n" for number in range(8)
    )
    found = _problems(pav_cfg, text)
    assert [line.partition(" ")[2].partition(":")[0] for line in found] == [
        "_b.schedule.nodes",
        "_b.run.cmds.0",
    ]
    for line in found:
        assert line.endswith("(In tests t0, t1, t2, t3 and 4 more)") or line.endswith(
            "(In tests t0, t1, t2, t3 and 4 more.)"
        )


def test_what_each_of_many_permutations_has_wrong_is_counted(pav_cfg: PavConfig) -> None:
    items = ", ".join(f"x{number}" for number in range(1500))
    found = _problems(
        pav_cfg,
        f"""
        a:
          variables: {{n: [{items}]}}
          permute_on: n
          schedule: {{nodes: '{{{{n}}}}'}}
          run: {{cmds: [x]}}
        """,
    )
    assert len(found) == 51
    assert found[-1] == "and at least 950 more problems."


def test_the_error_of_one_test_has_its_cause(pav_cfg: PavConfig) -> None:
    with pytest.raises(ConfigError) as caught:
        _resolve(pav_cfg, "a: {scheduler: rwa, run: {cmds: [x]}}")
    assert isinstance(caught.value.__cause__, SchedulerPluginError)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{{n + 1}}", "expressions"),
        ("{{len(n)}}", "expressions"),
        ("{{n:03d}}", "expressions"),
        ("[~ {{n}} ~]", "iterations"),
        ("a [~{{n}}~,]", "iterations"),
        ("{{n-1}}", "expressions"),
    ],
)
def test_what_only_pavilion_has_between_braces_is_said(
    pav_cfg: PavConfig, text: str, word: str
) -> None:
    (line,) = _problems(pav_cfg, f"a:\n  variables: {{n: 1}}\n  run: {{cmds: ['echo {text}']}}\n")
    assert line.startswith("3: a.run.cmds.0: ")
    assert f"Pavilion has {word}" in line
    assert "this host does not" in line


@pytest.mark.parametrize("text", ["[~/{{n}}]", "x[~ ]{{n}}", "[[ ~ == {{n}}~ ]]", "[~{{n}}"])
def test_a_tilde_in_brackets_is_no_iteration(pav_cfg: PavConfig, text: str) -> None:
    (run,) = _resolve(pav_cfg, f"a:\n  variables: {{n: 1}}\n  run: {{cmds: ['echo {text}']}}\n")
    assert run.config["run"]["cmds"] == [f"echo {text}".replace("{{n}}", "1")]


@pytest.mark.parametrize("timeout", ["none", "None", "0.5", "3600", "1e3"])
def test_good_time_limits(pav_cfg: PavConfig, timeout: str) -> None:
    (run,) = _resolve(pav_cfg, f"a: {{run: {{cmds: [x], timeout: {timeout}}}}}")
    assert run.config["run"]["timeout"] == timeout


def test_a_plugin_that_fails_is_named_with_its_file(pav_cfg: PavConfig) -> None:
    class Failing(Grid):
        """Fails in a way it should not."""

        def get_initial_vars(self, raw_sched_config: Any) -> SchedulerVariables:
            raise ZeroDivisionError("division by zero")

    failing = Failing()
    failing.name = "failing"
    failing.activate()
    message = _error(pav_cfg, "a: {scheduler: failing, run: {cmds: [x]}}")
    for part in ("'failing'", __file__, "ZeroDivisionError", "division by zero"):
        assert part in message


# ---------------------------------------------------------------------------------------- warnings


def test_too_few_nodes_are_a_warning_for_now(pav_cfg: PavConfig) -> None:
    (run,) = _resolve(pav_cfg, "a: {scheduler: grid, schedule: {nodes: 11}, run: {cmds: [x]}}")
    (warning,) = run.warnings
    assert "11" in warning
    assert "10" in warning


def test_a_scheduler_variable_that_fails_is_a_warning_where_it_is_used(pav_cfg: PavConfig) -> None:
    used, unused = _resolve(
        pav_cfg,
        """
        a: {scheduler: grid, run: {cmds: ['echo {{broken}}']}}
        b: {scheduler: grid, run: {cmds: ['echo {{nodes}}']}}
        """,
        "suite",
    )
    (warning,) = used.warnings
    assert "broken" in warning
    assert "no licence server" in warning
    assert unused.warnings == ()


# ----------------------------------------------------------------------------------------- grouping


def test_tests_are_grouped_by_scheduler_in_order() -> None:
    class Test:
        def __init__(self, scheduler: str) -> None:
            self.scheduler = scheduler

    tests = [Test("b"), Test("a"), Test("b")]
    groups = group_by_scheduler(tests)
    assert list(groups) == ["b", "a"]
    assert groups["b"] == [tests[0], tests[2]]


def test_no_permutation_costs_another_question_to_the_scheduler(
    pav_cfg: PavConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    real = Grid._get_raw_node_data

    def count(self: Grid, sched_config: dict[str, Any]) -> tuple[list[Any], Any]:
        asked.append(1)
        return real(self, sched_config)

    monkeypatch.setattr(Grid, "_get_raw_node_data", count)
    text = """
        a:
          scheduler: grid
          variables: {size: [1, 2, 3, 4]}
          permute_on: size
          schedule: {nodes: '{{size}}'}
          run: {cmds: ['{{sched.nodes}}']}
        """
    assert len(_resolve(pav_cfg, text)) == 4
    assert len(asked) == 1


def test_a_scheduler_that_cannot_be_asked_is_an_error(
    pav_cfg: PavConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Grid, sched_config: dict[str, Any]) -> tuple[list[Any], Any]:
        raise SchedulerPluginError("The controller does not answer.")

    monkeypatch.setattr(Grid, "_get_raw_node_data", refuse)
    message = _error(pav_cfg, "a: {scheduler: grid, run: {cmds: ['{{sched.nodes}}']}}")
    assert "does not answer" in message
