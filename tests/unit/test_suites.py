"""Suites: what their files may hold, what their tests inherit, and how they are found."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from pavilion.config import PavConfig
from pavilion.errors import ConfigError
from pavilion.pavilion_keys import INSTEAD
from pavilion.schedulers.config import CONFIG_DEFAULTS
from pavilion.suites import list_suites, load_suite, select_tests


@pytest.fixture(autouse=True)
def _plugins(pav_cfg: PavConfig) -> PavConfig:
    """The schedulers' sections are a part of what a suite may hold."""
    return pav_cfg


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "config" / "suites"


def _suite(folder: Path, text: str, name: str = "suite.yaml") -> Path:
    path = folder / name
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return path


def _error(file: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_suite(file, overrides)
    return caught.value.pformat()


def _config(folder: Path, text: str, test: str = "a", *overrides: str) -> dict[str, Any]:
    return load_suite(_suite(folder, text), overrides)[test].config


# ------------------------------------------------------------------------------------ good suites


def test_a_test_is_complete_with_defaults(folder: Path) -> None:
    file = _suite(folder, "a: {run: {cmds: [echo a]}}\nb:\n")
    tests = load_suite(file)
    assert list(tests) == ["a", "b"]
    test = tests["a"]
    assert (test.suite, test.name, test.file) == ("suite", "a", file)
    config = test.config
    assert config["scheduler"] == "raw"
    assert config["chunk"] == "any"
    assert config["run"] == {
        "env": {},
        "cmds": ["echo a"],
        "timeout": None,
        "shebang": "#!/bin/bash",
    }
    assert config["permute_on"] == []
    assert tests["b"].config["run"]["cmds"] == []


def test_values_are_text_as_they_were_typed(folder: Path) -> None:
    config = _config(
        folder,
        """
        a:
          variables:
            number: 007
            list: [1.50, yes, 1e3, null]
            map: {key: 0x1F, other: 12:30}
            maps: [{k: 1}, {k: 2}]
          schedule: {nodes: 4, share_allocation: false}
          run:
            env: {A: 1, B: , C: true}
            cmds: echo one command needs no list
        """,
    )
    assert config["variables"] == {
        "number": "007",
        "list": ["1.50", "yes", "1e3", None],
        "map": {"key": "0x1F", "other": "12:30"},
        "maps": [{"k": "1"}, {"k": "2"}],
    }
    assert config["schedule"]["nodes"] == "4"
    assert config["schedule"]["share_allocation"] == "false"
    assert config["run"]["env"] == {"A": "1", "B": None, "C": "true"}
    assert config["run"]["cmds"] == ["echo one command needs no list"]


# ------------------------------------------------------------------------------------ inheritance

FAMILY = """
    _base:
      summary: The base.
      doc: Long.
      scheduler: raw
      variables: {message: hello, names: [x]}
      schedule: {nodes: 2, time_limit: 3}
      run: {env: {A: base, B: base}, cmds: [base], timeout: 5}
    _other:
      variables: {message: other, more: yes}
      run: {cmds: [other]}
    child:
      inherits_from: _base
      schedule: {nodes: 4}
      run: {env: {B: child}, cmds+: [child]}
    grandchild:
      inherits_from: child
      variables: {names+: [y, z]}
      run: {cmds+: grandchild}
    both:
      inherits_from: [_base, _other]
    """


def test_a_test_inherits_and_overrides_key_by_key(folder: Path) -> None:
    tests = load_suite(_suite(folder, FAMILY))
    child = tests["child"].config
    assert child["schedule"]["nodes"] == "4"
    assert child["schedule"]["time_limit"] == "3"
    assert child["run"]["env"] == {"A": "base", "B": "child"}
    assert child["run"]["timeout"] == "5"
    assert child["variables"]["message"] == "hello"


def test_a_plus_adds_to_an_inherited_list(folder: Path) -> None:
    tests = load_suite(_suite(folder, FAMILY))
    assert tests["child"].config["run"]["cmds"] == ["base", "child"]
    assert tests["grandchild"].config["run"]["cmds"] == ["base", "child", "grandchild"]
    assert tests["grandchild"].config["variables"]["names"] == ["x", "y", "z"]
    # What was inherited from has not changed.
    assert tests["_base"].config["run"]["cmds"] == ["base"]
    assert tests["_base"].config["variables"]["names"] == ["x"]


@pytest.mark.parametrize(
    "parent, added, merged",
    [
        ("one", "two", ["one", "two"]),
        ("[]", "[x, y]", ["x", "y"]),
        ("", "x", ["x"]),
        ("{k: 1}", "[{k: 2}, {k: 3}]", [{"k": "1"}, {"k": "2"}, {"k": "3"}]),
    ],
)
def test_a_plus_adds_to_a_variable_of_any_shape(
    folder: Path, parent: str, added: str, merged: list[Any]
) -> None:
    config = _config(
        folder,
        f"""
        base: {{variables: {{v: {parent}}}}}
        a:
          inherits_from: base
          variables: {{v+: {added}}}
        """,
    )
    assert config["variables"]["v"] == merged


def test_of_several_parents_the_later_ones_go_first(folder: Path) -> None:
    both = load_suite(_suite(folder, FAMILY))["both"].config
    assert both["variables"] == {"message": "other", "names": ["x"], "more": "yes"}
    assert both["run"]["cmds"] == ["other"]
    assert both["run"]["timeout"] == "5"


def test_what_describes_the_parent_is_not_inherited(folder: Path) -> None:
    tests = load_suite(_suite(folder, FAMILY))
    assert tests["_base"].config["summary"] == "The base."
    assert tests["child"].config["summary"] is None
    assert tests["child"].config["doc"] is None


def test_a_plus_without_anything_inherited_is_a_list(folder: Path) -> None:
    assert _config(folder, "a: {run: {cmds+: [one]}}")["run"]["cmds"] == ["one"]


@pytest.mark.parametrize(
    "text, circle",
    [
        ("a: {inherits_from: a}", "a -> a"),
        ("a: {inherits_from: b}\nb: {inherits_from: c}\nc: {inherits_from: a}", "a -> b -> c -> a"),
    ],
)
def test_a_circle_is_an_error_that_shows_it(folder: Path, text: str, circle: str) -> None:
    file = _suite(folder, text)
    message = _error(file)
    assert circle in message
    assert str(file) in message


def test_a_common_ancestor_is_no_circle(folder: Path) -> None:
    config = _config(
        folder,
        """
        root: {run: {cmds: [root]}}
        left: {inherits_from: root}
        right: {inherits_from: root}
        a: {inherits_from: [left, right]}
        """,
    )
    assert config["run"]["cmds"] == ["root"]


def test_an_unknown_parent_gets_its_near_match(folder: Path) -> None:
    message = _error(_suite(folder, "_base: {}\na: {inherits_from: _bsae}"))
    assert "'_bsae'" in message
    assert "did you mean '_base'?" in message
    assert ":2: a.inherits_from" in message


# ----------------------------------------------------------------------------------- bad suites


@pytest.mark.parametrize(
    "text, parts",
    [
        ("a:\n  run:\n    comds: [x]", [":3", "a.run.comds", "'cmds'"]),
        ("a:\n  schedul:\n    nodes: 1", [":2", "schedul", "'schedule'"]),
        ("a:\n  run: {}\n  schedule:\n    node: 1", [":4", "schedule.node", "'nodes'"]),
        ("a:\n  schedule:\n    raw:\n      concurent: 1", [":4", "concurent", "'concurrent'"]),
        ("a:\n  schedule:\n    rwa: {concurrent: 1}", [":3", "rwa", "'raw'"]),
        ("a:\n  run: {}\n  run: {}", [":3", "run"]),
        ("a: {}\nb: {}\na: {}", [":3", "a"]),
        ("a:\n  run:\n    env: {A: 1, A: 2}", [":3", "A"]),
        ("a:\n  run:\n    cmds: {x: y}", [":3", "a.run.cmds"]),
        ("a:\n  run:\n    cmds: [[x]]", [":3", "a.run.cmds"]),
        ("a:\n  run: [x]", [":2", "a.run"]),
        ("a:\n  run:\n    env:\n      1X: y", [":4", "1X", "not starting with a digit"]),
        ("a:\n  run:\n    env:\n      A-B: y", [":4", "A-B"]),
        ("a:\n  variables:\n    x: [[1]]", [":3", "variables.x"]),
        ("a:\n  variables:\n    1x: 1", [":3", "1x", "starting with a letter"]),
        ("a b: {}", [":1", "a b", "the name of a test"]),
        ("1: {}", [":1"]),
        ("a: text", [":1", "a"]),
        ("- a", []),
        ("a: {run: {cmds: [x}}", [":1"]),
        ("a: !!python/object/apply:os.system [exit]", [":1"]),
        ("a: &x {run: *y}", [":1"]),
    ],
)
def test_mistakes_name_file_line_and_key(folder: Path, text: str, parts: list[str]) -> None:
    file = _suite(folder, text)
    message = _error(file)
    for part in [str(file), *parts]:
        assert part in message


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n", "---\n", "{}", "null"])
def test_an_empty_suite_is_an_error_with_an_example(folder: Path, text: str) -> None:
    file = _suite(folder, text)
    message = _error(file)
    assert f"The suite {file} is empty" in message
    assert "cmds" in message


def test_a_suite_that_is_no_utf8_is_an_error(folder: Path) -> None:
    file = folder / "suite.yaml"
    file.write_bytes(b"a:\n  summary: caf\xe9\n")
    message = _error(file)
    assert f"{file}:2" in message
    assert "UTF-8" in message


@pytest.mark.parametrize("make", ["folder", "gone", "loop"])
def test_a_suite_that_cannot_be_read_is_an_error(folder: Path, make: str) -> None:
    file = folder / "suite.yaml"
    if make == "folder":
        file.mkdir()
    elif make == "loop":
        file.symlink_to(file)
    message = _error(file)
    assert str(file) in message


def test_sections_of_schedulers_that_are_not_loaded_pass(folder: Path) -> None:
    config = _config(
        folder,
        """
        a:
          schedule:
            nodes: 2
            lsf: {queue: [{anything: goes}]}
            raw: {concurrent: 3}
        """,
    )
    assert "lsf" not in config["schedule"]
    assert config["schedule"]["raw"] == {"concurrent": "3"}


def test_a_foreign_section_must_be_a_section(folder: Path) -> None:
    assert "lsf" in _error(_suite(folder, "a: {schedule: {lsf: 3}}"))


def _lines(message: str) -> list[tuple[int, str]]:
    """The lines and keys of the problems that a message reports."""
    return [
        (int(line), key)
        for line, key in re.findall(
            r"^  \S+\.yaml:(\d+): (?:column \d+: )?([\w.+?-]+(?:\[\d+\])?)", message, re.MULTILINE
        )
    ]


def test_all_problems_of_a_file_are_reported_at_once(folder: Path) -> None:
    message = _error(
        _suite(
            folder,
            """
        _base:
          run:
            comds: [x]
          schedule: {node: 1}
        a:
          inherits_from: [_base, bsae]
          schedul: {}
          run: [x]
        b:
          summary: [not, text]
          variables: {1x: 2, y: [1, [2]], z: {k: [3]}}
          run:
            env: {A-B: 1, C: [2]}
            timeout+: 4
            cmds: [x, {y: z}]
            cmds: [again]
        c d: {}
        e: text
        f: {inherits_from: g}
        g: {inherits_from: f}
        """,
        )
    )
    assert "17 problems were found" in message
    assert _lines(message) == [
        (4, "_base.run.comds"),
        (5, "_base.schedule.node"),
        (7, "a.inherits_from"),
        (8, "a.schedul"),
        (9, "a.run"),
        (11, "b.summary"),
        (12, "b.variables.1x"),
        (12, "b.variables.y[1]"),
        (12, "b.variables.z.k"),
        (14, "b.run.env.A-B"),
        (14, "b.run.env.C"),
        (15, "b.run.timeout+"),
        (16, "b.run.cmds[1]"),
        (17, "the"),
        (18, "c"),
        (19, "e"),
        (20, "f.inherits_from"),
    ]


def test_of_very_many_problems_the_first_are_shown_and_the_others_counted(folder: Path) -> None:
    message = _error(_suite(folder, "a:\n" + "".join(f"  k{n}: 1\n" for n in range(2000))))
    assert "2000 problems were found" in message
    assert [line for line, _ in _lines(message)] == list(range(2, 52))
    assert message.endswith("and 1950 more problems.")


def test_what_is_wrong_is_told_where_it_stands(folder: Path) -> None:
    """In another line than its key, or at an anchor."""
    message = _error(
        _suite(
            folder,
            """
        x:
          variables: {ok: &list [[1]]}
          summary:
            [a]
        a:
          variables:
            v: *list
          doc: &d {b: c}
        c: {doc: *d}
        """,
        )
    )
    assert _lines(message) == [
        (3, "x.variables.ok[0]"),
        (3, "a.variables.v[0]"),
        (4, "x.summary"),
        (9, "a.doc"),
    ]
    # The same mistake.
    assert message.splitlines()[-1].endswith("(Also in test c: line 9.)")


@pytest.mark.parametrize("key", INSTEAD)
def test_a_key_that_only_pavilion_has_is_refused_as_that(folder: Path, key: str) -> None:
    section, _, name = key.rpartition(".")
    text = f"run: {{cmds: [x], {name}: y}}" if section else f"{name}: y\n  run: {{cmds: [x]}}"
    message = _error(_suite(folder, f"a:\n  {text}\n"))
    assert f"suite.yaml:2: a.{key}: Pavilion has this key, this host does not: " in message
    assert message.count("\n") == 1
    assert "did you mean" not in message


def test_default_values_are_refused_as_something_that_pavilion_has(folder: Path) -> None:
    message = _error(_suite(folder, "a:\n  variables:\n    scratch?: /tmp\n    needed?:\n"))
    assert _lines(message) == [(3, "a.variables.scratch?"), (4, "a.variables.needed?")]
    assert "Pavilion has default values ('scratch?'), this host does not: write" in message


def test_what_pavilion_has_elsewhere_is_taken_from_there(folder: Path) -> None:
    tests = load_suite(
        _suite(
            folder,
            """
        a: {shebang: '#!/bin/sh', run: {concurrent: 3, cmds: [x]}}
        b: {inherits_from: a}
        c: {inherits_from: a, run: {shebang: '#!/bin/ksh'}, concurrent: 4}
        d: {inherits_from: c, shebang: '#!/bin/zsh', run: {concurrent: 5}}
        e: {inherits_from: d, shebang: }
        f: {shebang: '#!/bin/sh'}
        g: {inherits_from: a, run: , shebang: '#!/bin/csh'}
        """,
        )
    )
    found = {
        name: (test.config["run"]["shebang"], test.config["concurrent"])
        for name, test in tests.items()
    }
    assert found == {
        "a": ("#!/bin/sh", "3"),
        "b": ("#!/bin/sh", "3"),
        "c": ("#!/bin/ksh", "4"),
        "d": ("#!/bin/zsh", "5"),
        "e": ("#!/bin/bash", "5"),
        "f": ("#!/bin/sh", None),
        "g": ("#!/bin/csh", "3"),
    }
    assert tests["g"].config["run"]["cmds"] == []
    assert "concurrent" not in tests["a"].config["run"]


def test_a_key_in_both_of_its_places_is_an_error(folder: Path) -> None:
    message = _error(
        _suite(
            folder,
            """
        a:
          shebang: '#!/bin/sh'
          concurrent: 1
          run:
            shebang: '#!/bin/sh'
            concurrent: 2
        """,
        )
    )
    assert _lines(message) == [(3, "a.shebang"), (7, "a.run.concurrent")]


def test_a_key_of_a_section_that_stands_in_the_test_is_told_where_it_belongs(folder: Path) -> None:
    message = _error(_suite(folder, "a:\n  cmds: [x]\n  nodes: 3\n  raw: {concurrent: 2}\n"))
    for place in ("run.cmds", "schedule.nodes", "schedule.raw"):
        assert f"did you mean '{place}'?" in message


def test_a_test_without_a_name_is_one_problem(folder: Path) -> None:
    message = _error(_suite(folder, "summary: Hi.\nrun: {cmds: [x]}\nschedule: {nodes: 2}\n"))
    assert ":1: 'summary', 'run', 'schedule': keys of a test where the name of a test" in message
    assert message.count("\n") == 1


@pytest.mark.parametrize(
    "content, parts",
    [
        (
            b"a:\n\trun: {cmds: [x]}\n",
            [":2: column 1: this line is indented with a tab", "use spaces"],
        ),
        (b'a:\n  run: {cmds: ["x \\d"]}\n', [":2: column", "single quotes"]),
        (b"\xff\xfea\x00:\x00", [":1: the file is not UTF-8"]),
        (b"a: {}\n---\nb: {}\n", [":2: column 1: a second document"]),
        (b"just text\n", ["'just text' where tests belong", "like 'hello: "]),
    ],
)
def test_what_is_not_a_suite_at_all(folder: Path, content: bytes, parts: list[str]) -> None:
    file = folder / "suite.yaml"
    file.write_bytes(content)
    message = _error(file)
    for part in parts:
        assert part in message


def test_a_byte_order_mark_is_not_a_part_of_the_first_name(folder: Path) -> None:
    file = folder / "suite.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: {run: {cmds: [x]}}\n")
    assert list(load_suite(file)) == ["a"]


# --------------------------------------------------------------------------- adding to a default


def _states(folder: Path, text: str, *overrides: str) -> dict[str, list[str]]:
    """The up_states of each test, '*' for the default ones."""
    default = list(CONFIG_DEFAULTS["slurm"]["up_states"])
    found = {}
    for name, test in load_suite(_suite(folder, text), overrides).items():
        states = test.config["schedule"]["slurm"]["up_states"]
        starts = states[: len(default)] == default
        found[name] = ["*", *states[len(default) :]] if starts else states
    assert list(CONFIG_DEFAULTS["slurm"]["up_states"]) == default
    return found


def test_a_plus_adds_to_the_default_where_nothing_is_inherited(folder: Path) -> None:
    found = _states(
        folder,
        """
        plain: {}
        added: {schedule: {slurm: {up_states+: [POWERED_DOWN]}}}
        twice: {inherits_from: added, schedule: {slurm: {up_states+: DRAIN}}}
        given: {schedule: {slurm: {up_states: [IDLE]}}}
        to_given: {inherits_from: given, schedule: {slurm: {up_states+: DRAIN}}}
        reset: {inherits_from: given, schedule: {slurm: {up_states: }}}
        to_reset: {inherits_from: reset, schedule: {slurm: {up_states+: DRAIN}}}
        emptied: {schedule: {slurm: {up_states: []}}}
        to_emptied: {inherits_from: emptied, schedule: {slurm: {up_states+: DRAIN}}}
        both: {schedule: {slurm: {up_states+: [B], up_states: [A]}}}
        """,
    )
    assert found == {
        "plain": [],
        "added": ["*", "POWERED_DOWN"],
        "twice": ["*", "POWERED_DOWN", "DRAIN"],
        "given": ["IDLE"],
        "to_given": ["IDLE", "DRAIN"],
        "reset": [],
        "to_reset": ["*", "DRAIN"],
        "emptied": [],
        "to_emptied": ["*", "DRAIN"],
        "both": ["A", "B"],
    }


def test_so_does_an_override(folder: Path) -> None:
    text = "a: {}\nb: {schedule: {slurm: {up_states+: [X]}}}"
    found = _states(folder, text, "schedule.slurm.up_states+=[Y]", "schedule.slurm.up_states+=Z")
    assert found == {"a": ["*", "Y", "Z"], "b": ["*", "X", "Y", "Z"]}


# ------------------------------------------------------------------------------------- overrides


def test_overrides_go_before_what_the_tests_say(folder: Path) -> None:
    config = _config(
        folder,
        FAMILY,
        "grandchild",
        "schedule.nodes=9",
        "run.timeout=1",
        "variables.message=a: b".replace(": ", ":"),
        "scheduler=raw",
        "schedule.raw.concurrent=2",
        "variables.names=[p, q]",
        "run.env.NEW=x=y",
    )
    assert config["schedule"]["nodes"] == "9"
    assert config["schedule"]["time_limit"] == "3"
    assert config["schedule"]["raw"]["concurrent"] == "2"
    assert config["run"]["timeout"] == "1"
    assert config["run"]["env"] == {"A": "base", "B": "child", "NEW": "x=y"}
    assert config["variables"] == {"message": "a:b", "names": ["p", "q"]}


def test_the_last_of_several_overrides_counts(folder: Path) -> None:
    assert (
        _config(folder, FAMILY, "child", "schedule.nodes=1", "schedule.nodes=2")["schedule"][
            "nodes"
        ]
        == "2"
    )


def test_an_override_may_add_to_a_list(folder: Path) -> None:
    config = _config(folder, FAMILY, "child", "run.cmds+=[more, 'and: more']", "run.cmds+=last")
    assert config["run"]["cmds"] == ["base", "child", "more", "and: more", "last"]


@pytest.mark.parametrize("key", ["shebang", "run.shebang"])
def test_an_override_may_be_a_shebang(folder: Path, key: str) -> None:
    config = _config(folder, FAMILY, "child", f"{key}=#!/bin/sh -e", "run.concurrent=3")
    assert (config["run"]["shebang"], config["concurrent"]) == ("#!/bin/sh -e", "3")


def test_an_override_without_a_value_changes_nothing_else(folder: Path) -> None:
    config = _config(folder, FAMILY, "child", "run.timeout=none")
    assert config["run"]["timeout"] == "none"
    assert config["run"]["cmds"] == ["base", "child"]


@pytest.mark.parametrize(
    "override, parts",
    [
        ("nonsense", ["schedule.nodes=4"]),
        ("=4", ["schedule.nodes=4"]),
        ("schedule.node=4", ["schedule.node=4", "'nodes'"]),
        ("schedul.nodes=4", ["'schedule'"]),
        ("schedule..nodes=4", ["schedule..nodes"]),
        ("schedule=4", ["schedule=4"]),
        ("run.cmds=[a", ["run.cmds=[a"]),
        ("run.cmds={a: b}", ["run.cmds"]),
        ("schedule.nodes.x=4", ["schedule.nodes.x"]),
        ("run.env.1X=4", ["1X"]),
        ("variables.names.0=4", ["variables.names.0=4"]),
        ("schedule.lsf.queue=a", ["lsf"]),
        ("build.cmds=make", ["build", "Pavilion has this key, this host does not"]),
    ],
)
def test_a_bad_override_is_named(folder: Path, override: str, parts: list[str]) -> None:
    message = _error(_suite(folder, FAMILY), override)
    for part in parts:
        assert part in message


# ------------------------------------------------------------------------------------- selection


def _names(pav_cfg: PavConfig, target: str) -> list[str]:
    return [f"{test.suite}.{test.name}" for test in select_tests(pav_cfg, target)]


@pytest.fixture
def family(folder: Path) -> Path:
    return _suite(folder, FAMILY, "family.yaml")


def test_a_suite_is_found_by_name_or_file(
    pav_cfg: PavConfig, family: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    every = ["family.child", "family.grandchild", "family.both"]
    for target in ("family", str(family), "family.yaml", "./family.yaml", "../suites/family.yaml"):
        assert _names(pav_cfg, target) == every


def test_a_test_is_found_by_name_or_file(
    pav_cfg: PavConfig, family: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    for target in ("family.child", f"{family}.child", "family.yaml.child"):
        assert _names(pav_cfg, target) == ["family.child"]
    # One to inherit from is run when it is asked for.
    assert _names(pav_cfg, "family._base") == ["family._base"]


def test_a_home_folder_may_be_written_as_a_tilde(pav_cfg: PavConfig, tmp_path: Path) -> None:
    _suite(tmp_path / "home", FAMILY, "mine.yml")
    assert _names(pav_cfg, "~/mine.yml.both") == ["mine.both"]
    with pytest.raises(ConfigError, match="no_such_user_here"):
        select_tests(pav_cfg, "~no_such_user_here/x.yaml")


def test_names_may_hold_dots_and_both_suffixes_count(pav_cfg: PavConfig, folder: Path) -> None:
    _suite(folder, "a: {run: {cmds: [x]}}", "io.v2.yaml")
    _suite(folder, "a: {run: {cmds: [x]}}", "short.yml")
    _suite(folder, "a: {run: {cmds: [x]}}", "notes.txt")
    assert list(list_suites(pav_cfg)) == ["io.v2", "short"]
    assert _names(pav_cfg, "io.v2") == ["io.v2.a"]
    assert _names(pav_cfg, "io.v2.a") == ["io.v2.a"]


def test_the_first_config_folder_goes_first(
    pav_cfg: PavConfig, family: Path, tmp_path: Path
) -> None:
    other = tmp_path / "home" / ".pavilion" / "suites"
    other.mkdir(parents=True)
    _suite(other, "only: {run: {cmds: [x]}}", "family.yaml")
    _suite(other, "only: {run: {cmds: [x]}}", "mine.yaml")
    assert list_suites(pav_cfg) == {"family": family, "mine": other / "mine.yaml"}


@pytest.mark.parametrize(
    "target, parts",
    [
        ("famly", ["'famly'", "Did you mean 'family'?", "/config/suites"]),
        ("famly.child", ["'famly'", "Did you mean 'family.child'?"]),
        ("family.chlid", ["'chlid'", "Did you mean 'child'?", "grandchild"]),
        ("gone.yaml", ["gone.yaml does not exist"]),
        ("dir/gone", ["dir/gone does not exist"]),
        ("", ["There is no"]),
        (".", ["There is no"]),
        ("a\0b", ["There is no"]),
    ],
)
def test_an_unknown_target_gets_near_matches(
    pav_cfg: PavConfig, family: Path, target: str, parts: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        select_tests(pav_cfg, target)
    for part in parts:
        assert part in caught.value.pformat()


def test_a_folder_is_no_suite(pav_cfg: PavConfig, folder: Path) -> None:
    with pytest.raises(ConfigError, match="is a directory"):
        select_tests(pav_cfg, f"{folder}/")


def test_a_suite_with_nothing_to_run_is_an_error(pav_cfg: PavConfig, folder: Path) -> None:
    _suite(folder, "_a: {run: {cmds: [x]}}", "bases.yaml")
    with pytest.raises(ConfigError, match=r"no tests to run.*_a"):
        select_tests(pav_cfg, "bases")


def test_a_test_without_commands_is_an_error_only_when_it_is_to_run(
    pav_cfg: PavConfig, folder: Path
) -> None:
    _suite(folder, "a: {run: {cmds: [x]}}\nb: {summary: nothing}", "part.yaml")
    assert _names(pav_cfg, "part.a") == ["part.a"]
    for target in ("part", "part.b"):
        with pytest.raises(ConfigError, match=r"part.yaml:2: b.run.cmds: .*no commands"):
            select_tests(pav_cfg, target)


def test_overrides_reach_what_was_selected(pav_cfg: PavConfig, family: Path) -> None:
    (test,) = select_tests(pav_cfg, "family.child", ["schedule.nodes=7"])
    assert test.config["schedule"]["nodes"] == "7"
