"""References to variables in test configs: what they mean, what waits, what is saved."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pavilion import errors
from pavilion.deferred import DeferredVariable
from pavilion.errors import PavilionError
from pavilion.var_dict import VarDict, dfr_var_method, var_method
from pavilion.variables import (
    SET_ORDER,
    DeferredError,
    VariableError,
    VariableSetManager,
    escape,
    permutations,
)

# A busy machine is no failure.
RELAXED = settings(deadline=None)


class SchedVars(VarDict):
    """What a scheduler knows, with a record of what was asked for."""

    def __init__(self, deferred: bool = True) -> None:
        self.asked: list[str] = []
        super().__init__("sched", deferred=deferred)

    @var_method
    def nodes(self) -> Any:
        self.asked.append("nodes")
        return 3

    @var_method
    def chunk_ids(self) -> Any:
        self.asked.append("chunk_ids")
        return ["0", "1", "2"]

    @var_method
    def node_list(self) -> Any:
        self.asked.append("node_list")
        return [f"n{num:05d}" for num in range(10_000)]

    @var_method
    def errors(self) -> Any:
        return []

    @var_method
    def broken(self) -> Any:
        raise OSError("no such thing")

    @dfr_var_method
    def test_nodes(self) -> Any:
        return 2

    @dfr_var_method
    def test_node_list(self) -> Any:
        return ["n00007", "n00008"]


VARS: dict[str, Any] = {
    "name": "stream",
    "sizes": ["small", "big"],
    "dims": {"x": 4, "y": "8"},
    "cases": [{"in": "a.in", "out": "a.out"}, {"in": "b.in", "out": "b.out"}],
    "empty": [],
    "greeting": "{{name}} on {{sys.sys_name}} with {{ sizes.1 }}",
    "twice": ["{{greeting}}", "<{{greeting}}>"],
    "waits": "-N {{sched.test_nodes}} {{name}}",
    "waits_too": ["plain", "{{waits}}!"],
    "odd": r"\{\{name}}",
}
SYS = {"sys_name": "tall", "name": "the sys set's", "hostname": "t01"}


def make(deferred: bool = True, **more: Any) -> VariableSetManager:
    manager = VariableSetManager()
    manager.add_set("var", {**VARS, **more})
    manager.add_set("sys", SYS)
    manager.add_set("sched", SchedVars(deferred=deferred))
    return manager


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{{name}}", "stream"),
        ("{{var.name}}/{{sys.name}}", "stream/the sys set's"),
        ("{{ name }}{{\tsched.nodes}}", "stream3"),
        ("{{sizes}} {{sizes.0}} {{sizes.1}} {{sizes.01}}", "small small big big"),
        ("{{sizes.*}}", "small big"),
        ("{{name.0}} {{name.*}}", "stream stream"),
        ("{{dims.x}}x{{var.dims.y}} {{dims.0.x}}", "4x8 4"),
        ("{{cases.in}} {{cases.1.out}} {{cases.*.in}}", "a.in b.out a.in b.in"),
        ("[{{empty.*}}] [{{empty.*.key}}] [{{sched.errors.*}}]", "[] [] []"),
        ("{{greeting}}", "stream on tall with big"),
        (
            "{{twice.1}} {{twice.*}}",
            "<stream on tall with big> stream on tall with big <stream on tall with big>",
        ),
        # Braces that are no references.
        ("${HOME} {a,b} awk '{print}' }} {", "${HOME} {a,b} awk '{print}' }} {"),
        ("${{{name}}}", "${stream}"),
        ("{{name}}}", "stream}"),
        (r"\{{name}}", r"\stream"),
        (r"\{\{name}}", "{{name}}"),
        (r"\{\{{{name}}}}", "{{stream}}"),
        (r"\\{\{ \\\{\{ \\\\{\{", "\\{\\{ \\{{ \\\\{\\{"),
        (r"\{ \} \\ \n {\{", r"\{ \} \\ \n {\{"),
        # The text of a value is not looked at again.
        ("{{odd}}", "{{name}}"),
        ("line\n{{name}}\n", "line\nstream\n"),
    ],
)
def test_text_is_resolved(text: str, result: str) -> None:
    assert make().resolve_text(text) == result


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{sched.node}}", r"no variable 'sched\.node'. Did you mean 'sched\.nodes'"),
        ("{{node}}", r"no variable 'node'. Did you mean 'sched\.nodes'"),
        ("{{shced.nodes}}", r"no set or variable 'shced'. Did you mean 'sched\.nodes'"),
        ("{{sys.nodes}}", r"no variable 'sys\.nodes'. Did you mean 'sched\.nodes'"),
        (
            "{{sys.qqqq}}",
            r"no variable 'sys\.qqqq'. The set 'sys' has 'hostname', 'name', 'sys_name'",
        ),
        ("{{pav.qqqq}}", r"The set 'pav' has no variables here"),
        (
            "{{qqqq}}",
            r"no variable 'qqqq'. This test has 'cases', .*\. There are also, in sys: "
            r"'hostname', .*; sched: 'broken', ",
        ),
        ("{{qqqq.a}}", r"no set or variable 'qqqq'"),
        ("{{sizes.2}}", r"no item 2: the list has 2 items"),
        ("{{sizes.99999999999999999999999}}", r"the list has 2 items"),
        ("{{name.1}}", r"the list has 1 item,"),
        ("{{empty.0}}", r"no item 0: the list is empty"),
        ("{{empty}}", r"the list is empty. 'empty\.\*' would be an empty string"),
        ("{{dims}}", r"this is a mapping; add one of its keys: 'x', 'y'"),
        ("{{cases.*}}", r"this is a mapping; add one of its keys: 'in', 'out'"),
        ("{{dims.z}}", r"no key 'z'. There are: 'x', 'y'"),
        ("{{cases.*.on}}", r"no key 'on'. There are: 'in', 'out'"),
        ("{{dims.x.y}}", r"'\.y' is too much"),
        ("{{name.x}}", r"'\.x' is too much"),
        ("{{sizes.-1}}", r"An index is a number, starting at 0"),
        ("{{sizes.0.0}}", r"'\.0' is too much"),
        ("{{sched.broken}}", r"'sched\.broken' has no usable value: .*no such thing"),
        ("{{a + b}}", r"only a reference to a variable, '\[set\.\]name\[\.index\]\[\.key\]'"),
        ("{{}}", r"Write two literal braces as \\\{\\\{"),
        ("{{name|upper}}", "Pavilion has expressions, this host does not"),
        ("{{.name}}", "only a reference"),
        ("{{name.}}", "only a reference"),
        ("{{é}}", "only a reference"),
        ("ab\ncd {{name", r"line 2, column 4, has no '\}\}'.*'\{\{name'"),
        ("{{name}", r"line 1, column 1, has no"),
        ("{{na{x}me}}", r"has no '\}\}'"),
        ("{{{{name}}}}", r"line 1, column 1, follows other braces"),
    ],
)
def test_mistakes_are_explained_with_their_place(text: str, message: str) -> None:
    with pytest.raises(VariableError, match=message) as caught:
        make().resolve_text(text, where="run.cmds.2")
    assert str(caught.value).startswith("run.cmds.2: ")
    with pytest.raises(VariableError, match=message):
        make().resolve_text(text)


def test_mistakes_show_the_reference() -> None:
    with pytest.raises(VariableError) as caught:
        make().resolve_text("x {{ sched.node }}", where="run.cmds.2")
    assert str(caught.value) == (
        "run.cmds.2: {{sched.node}}: no variable 'sched.node'. Did you mean 'sched.nodes'?"
    )


def test_mistakes_inside_a_variable_name_it() -> None:
    manager = make(bad=["ok", "{{sched.node}}"], worse="{{oops", through="{{bad.0}}")
    with pytest.raises(VariableError, match=r"^run\.cmds\.0, through var\.bad\.1: \{\{sched\.node"):
        manager.resolve_text("{{through}}", where="run.cmds.0")
    with pytest.raises(VariableError, match=r"var\.worse: the '\{\{' at line 1"):
        manager.resolve_text("{{worse}}", where="run.cmds.0")
    with pytest.raises(VariableError, match=r"'var\.nested' has no usable value: .*allowed"):
        make(nested=[["a"]]).get("nested")


def test_odd_keys_and_indices() -> None:
    manager = make(digits={"0": "zero", "7": "seven"}, **{"with-dash_2": ["a"]})
    manager.add_set("pav", {1: "not a name", "ok": "yes"})  # type: ignore[dict-item]
    assert manager.resolve_text("{{digits.0}} {{digits.7}} {{with-dash_2.0}} {{pav.ok}}") == (
        "zero seven a yes"
    )
    with pytest.raises(VariableError, match=r"The set 'pav' has 'ok'$"):
        manager.get("pav.zzzzzz")
    with pytest.raises(VariableError, match="the list has 2 items"):
        manager.get("sizes." + "9" * 10_000)


def test_sets_are_searched_in_a_fixed_order() -> None:
    assert SET_ORDER == ("per", "var", "pav", "sys", "sched")
    manager = VariableSetManager()
    for name in reversed(SET_ORDER):
        manager.add_set(name, {"x": f"from {name}"})
        assert manager.get("x") == f"from {name}"
    for name in SET_ORDER:
        assert manager.get(f"{name}.x") == f"from {name}"


def test_a_set_of_another_name_is_refused() -> None:
    with pytest.raises(VariableError, match=r"'vars'. The sets are 'per', 'var'"):
        VariableSetManager().add_set("vars", {})


def test_a_replaced_set_is_used_from_then_on() -> None:
    manager = make()
    assert manager.is_deferred("waits")
    assert manager.get("greeting").endswith("big")
    manager.add_set("sched", SchedVars(deferred=False))
    manager.add_set("sys", {"sys_name": "small"})
    assert manager.get("waits") == "-N 2 stream"
    assert manager.get("greeting") == "stream on small with big"


def test_only_what_is_referred_to_is_worked_out() -> None:
    sched = SchedVars()
    manager = make(unused="{{sched.node_list}}")
    manager.add_set("sched", sched)
    assert manager.resolve_config({"a": "{{nodes}} {{nodes}}", "b": ["{{sched.nodes}}"]}) == {
        "a": "3 3",
        "b": ["3"],
    }
    assert sched.asked == ["nodes"]


def test_get_and_item_access() -> None:
    manager = make()
    assert manager.get("sched.nodes") == manager["sched.nodes"] == "3"
    assert manager["sizes.1"] == "big"
    with pytest.raises(VariableError, match="no variable"):
        manager["sched.nope"]
    for bad in ("{{name}}", "", "a b"):
        with pytest.raises(VariableError, match="only a reference"):
            manager.get(bad)


def test_deferred_values_and_what_needs_them() -> None:
    manager = make()
    for ref in ("test_nodes", "sched.test_nodes", "test_node_list.1", "waits", "waits_too.0"):
        assert manager.is_deferred(ref), ref
        with pytest.raises(DeferredError, match="is only known on the allocation") as caught:
            manager.get(ref)
        assert isinstance(caught.value, errors.DeferredError)
        assert isinstance(caught.value, PavilionError)
    for ref in ("nodes", "greeting", "cases.0.in", "sizes.*"):
        assert not manager.is_deferred(ref), ref
    with pytest.raises(VariableError, match="no variable"):
        manager.is_deferred("nope")
    with pytest.raises(
        DeferredError, match=r"'sched\.test_nodes' is only.*\(and 'waits_too' needs it"
    ):
        manager.get("waits_too")
    later = make(deferred=False)
    assert later.get("waits_too.*") == "plain -N 2 stream!"
    assert not later.is_deferred("waits_too")


def test_a_marker_in_a_plain_dict_is_deferred_too() -> None:
    manager = make(mark=DeferredVariable(), above="{{mark}}")
    assert manager.is_deferred("var.mark")
    with pytest.raises(DeferredError, match=r"'var\.mark' is only"):
        manager.get("above")
    assert manager.export(["above"]) == {
        "format": 1,
        "values": {},
        "sets": {"above": "var", "mark": "var"},
        "variables": {"above": "{{mark}}"},
    }


def test_cycles_are_shown() -> None:
    manager = make(a="{{var.b}}", b=["x", "{{c}}"], c="{{a}}", own="{{own}}", to="{{a}}")
    with pytest.raises(VariableError, match=r"var\.a -> var\.b -> var\.c -> var\.a$"):
        manager.resolve_text("{{a}}", "run.cmds.0")
    with pytest.raises(VariableError, match=r"each other: var\.a -> var\.b -> var\.c -> var\.a$"):
        manager.get("to")
    with pytest.raises(VariableError, match=r"var\.own -> var\.own"):
        manager.is_deferred("own")
    # An error is not remembered as a result.
    with pytest.raises(VariableError, match=r"var\.c -> var\.a -> var\.b -> var\.c$"):
        manager.get("c")


@pytest.mark.parametrize("warm", [False, True])
def test_levels_are_limited_whatever_was_asked_before(warm: bool) -> None:
    chain = {f"v{num}": f"{{{{v{num + 1}}}}}" for num in range(2000)}
    manager = make(**chain, v2000="end")
    if warm:
        for num in range(2000, 1900, -1):
            try:
                manager.get(f"v{num}")
            except VariableError:
                break
    assert manager.get("v1937") == "end"
    for num in (1936, 1900, 0):
        with pytest.raises(VariableError, match="more than 64 levels"):
            manager.get(f"v{num}")


def test_text_cannot_grow_without_end() -> None:
    doubling = {f"d{num}": f"{{{{d{num + 1}}}}}" * 2 for num in range(60)}
    assert make(**doubling, d60="").get("d0") == ""
    with pytest.raises(VariableError, match="more than 16777216 characters"):
        make(**doubling, d60="x").get("d0")


CONFIG: dict[str, Any] = {
    "name": "{{name}}-{{nodes}}",
    "schedule": {"nodes": "{{nodes}}", "slurm": {"features": ["{{sys_name}}", "b"]}},
    "run": {
        "cmds": ["{{sched.nodes}} of {{test_nodes}}", "echo {{sizes.*}}", "{{waits}}"],
        "{{name}}": "key",
    },
    "number": 5,
    "nothing": None,
    "flag": True,
}


def test_config_is_resolved_and_what_must_wait_is_kept() -> None:
    before = json.dumps(CONFIG)
    resolved = make().resolve_config(CONFIG, deferred_ok=["run"])
    assert resolved == {
        "name": "stream-3",
        "schedule": {"nodes": "3", "slurm": {"features": ["tall", "b"]}},
        "run": {
            "cmds": [CONFIG["run"]["cmds"][0], "echo small big", "{{waits}}"],
            "{{name}}": "key",
        },
        "number": 5,
        "nothing": None,
        "flag": True,
    }
    assert json.dumps(CONFIG) == before


@pytest.mark.parametrize(
    ("allowed", "fails"),
    [
        ((), "run.cmds.0"),
        (["schedule", "ru"], "run.cmds.0"),
        (["run.cmds.0"], "run.cmds.2"),
        (lambda key: key == "run.cmds.0", "run.cmds.2"),
        (["run.cmds"], None),
        ("run", None),
        (["run.cmds.0", "run.cmds.2"], None),
        (lambda key: True, None),
    ],
)
def test_where_strings_may_wait(allowed: Any, fails: str | None) -> None:
    if fails is None:
        assert make().resolve_config(CONFIG, allowed)["run"]["cmds"][2] == "{{waits}}"
        return
    with pytest.raises(DeferredError) as caught:
        make().resolve_config(CONFIG, allowed)
    assert str(caught.value).startswith(f"{fails}: {{{{")
    assert f"is only known on the allocation, so it cannot be used in {fails}" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "{{test_nodes}} {{sizes.7}}",
        "{{test_nodes}} {{sched.broken}}",
        "{{test_nodes}} {{dims}}",
        "{{waits.3}}",
        "{{waits_too.x}}",
        "{{test_nodes}} {{nope}}",
    ],
)
def test_mistakes_in_a_kept_string_do_not_wait_for_the_allocation(text: str) -> None:
    with pytest.raises(VariableError, match=r"^run\.cmds\.0: \{\{") as caught:
        make().resolve_config({"run": {"cmds": [text]}}, deferred_ok=["run"])
    assert not isinstance(caught.value, DeferredError)


def test_references_and_paths_of_what_remains() -> None:
    manager = make()
    paths = manager.deferred_paths(CONFIG)
    assert paths == [["run", "cmds", 0], ["run", "cmds", 2]]
    resolved = manager.resolve_config(CONFIG, deferred_ok=["run"])
    assert manager.references(resolved) == {"sched.nodes", "test_nodes", "waits"}
    assert manager.references(resolved, paths) == {"sched.nodes", "test_nodes", "waits"}
    assert manager.references({"a": [r"\{\{x}}", "{{ b.c }}"]}) == {"b.c"}
    assert manager.references({"a": ["{{b}}", "{{c}}"]}, [["a", 1]]) == {"c"}


def test_export_holds_what_is_needed_and_no_more() -> None:
    manager = make()
    data = manager.export({"sched.nodes", "waits_too.1", "test_nodes", "node_list.9999"})
    assert data == {
        "format": 1,
        "values": {"sched.nodes": "3", "name": "stream", "node_list.9999": "n09999"},
        "sets": {"test_nodes": "sched", "waits": "var", "waits_too": "var"},
        "variables": {
            "waits_too": ["plain", "{{waits}}!"],
            "waits": "-N {{sched.test_nodes}} {{name}}",
        },
    }
    assert manager.export([]) == {"format": 1, "values": {}, "sets": {}, "variables": {}}
    with pytest.raises(VariableError, match="no variable"):
        manager.export(["nope"])


def on_the_node(data: dict[str, Any]) -> VariableSetManager:
    manager = VariableSetManager.load(json.loads(json.dumps(data)))
    # A set that has gained a name since must not change what a bare name means.
    manager.add_set("sys", {**SYS, "test_nodes": "wrong", "name": "wrong"})
    manager.add_set("sched", SchedVars(deferred=False))
    return manager


def test_a_config_makes_its_way_to_the_node() -> None:
    config = {
        "run": {
            "cmds": [
                "{{name}} {{sched.nodes}} {{test_nodes}} {{waits_too.*}}",
                "{{brace}} {{odd}}",
                r"\{\{keep}} {{test_node_list.*}}",
                "{{sched.test_nodes}} {{brace}}",
            ]
        },
        "note": r"\{\{test_nodes}}",
    }
    manager = make(brace="{\\{test_nodes}}", odd=r"\{\{test_nodes}}")
    paths = manager.deferred_paths(config)
    kept = manager.resolve_config(config, deferred_ok=["run"])
    assert kept["run"]["cmds"][1] == "{\\{test_nodes}} {{test_nodes}}"
    data = manager.export(manager.references(kept, paths))
    # Both go through JSON.
    kept, paths = json.loads(json.dumps([kept, paths]))
    final = on_the_node(data).resolve_config(kept, paths=paths)
    assert final == {
        "run": {
            "cmds": [
                "stream 3 2 plain -N 2 stream!",
                "{\\{test_nodes}} {{test_nodes}}",
                "{{keep}} n00007 n00008",
                "2 {\\{test_nodes}}",
            ]
        },
        "note": "{{test_nodes}}",
    }
    assert final == make(
        deferred=False, brace="{\\{test_nodes}}", odd=r"\{\{test_nodes}}"
    ).resolve_config(config)


def test_saved_values_go_before_those_of_the_node() -> None:
    manager = on_the_node(make().export(["sys.name", "waits"]))
    manager.add_set("var", {"waits": "other", "new": "{{waits}}"})
    assert manager.get("sys.name") == "the sys set's"
    assert manager.get("waits") == "-N 2 stream"
    assert manager.get("new") == "-N 2 stream"
    assert manager.export(["sys.name"])["values"] == {"sys.name": "the sys set's"}


def test_what_the_node_lacks_is_named_with_its_set() -> None:
    manager = VariableSetManager.load(make().export(["test_nodes"]))
    with pytest.raises(VariableError, match=r"no variable 'sched\.test_nodes'"):
        manager.get("test_nodes")


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"format": 1},
        {"format": 2, "values": {}, "sets": {}, "variables": {}},
        {"format": 1, "values": [], "sets": {}, "variables": {}},
        [],
        None,
        "text",
    ],
)
def test_saved_data_of_another_kind_is_refused(data: Any) -> None:
    with pytest.raises(VariableError, match="not saved variables of format 1"):
        VariableSetManager.load(data)


def test_permutations_are_one_manager_per_combination() -> None:
    found = permutations(make(), ["sched.chunk_ids", "sizes"])
    text = "{{chunk_ids}} {{per.chunk_ids}} {{sched.chunk_ids}} {{sched.chunk_ids.*}} {{sizes}}"
    assert [manager.resolve_text(text) for manager in found] == [
        f"{chunk} {chunk} {chunk} {chunk} {size}"
        for chunk in ("0", "1", "2")
        for size in ("small", "big")
    ]
    with pytest.raises(VariableError, match=r"no item 1: the list has 1 item,"):
        found[0].get("sched.chunk_ids.1")


def test_permutations_of_dicts_single_values_and_nothing() -> None:
    assert [
        m.resolve_text("{{cases.in}} {{name}} {{var.cases.0.out}}")
        for m in permutations(make(), ["name", "cases"])
    ] == ["a.in stream a.out", "b.in stream b.out"]
    (only,) = permutations(make(), [])
    assert only.get("sizes.*") == "small big"


def test_variables_follow_the_choice_of_their_permutation() -> None:
    manager = make(
        label="{{sizes}}/{{sched.chunk_ids}}",
        flags=["-{{sizes}}", "--{{sizes}}"],
        later="{{chunk_ids}} {{test_nodes}}",
    )
    assert manager.get("label") == "small/0"
    found = permutations(manager, ["sizes", "flags", "chunk_ids"])
    assert [m.resolve_text("{{label}} {{flags}}") for m in found[::4]] == [
        "small/0 -small",
        "small/1 --small",
        "big/2 -big",
    ]
    data = found[4].export(["later", "sched.chunk_ids", "flags"])
    assert on_the_node(data).resolve_text("{{later}} {{sched.chunk_ids}} {{flags}}") == (
        "1 2 1 --small"
    )
    # The manager they came from is as before.
    assert manager.get("label") == "small/0"
    assert manager.get("sizes.*") == "small big"


def test_permutations_of_a_permutation() -> None:
    (_, big) = permutations(make(), ["sizes"])
    assert [
        m.resolve_text("{{sizes}} {{chunk_ids}}") for m in permutations(big, ["chunk_ids"])
    ] == ["big 0", "big 1", "big 2"]
    with pytest.raises(VariableError, match="permutation has already chosen"):
        permutations(big, ["var.sizes"])


def test_a_list_that_got_shorter_after_the_choice() -> None:
    last = permutations(make(), ["sched.chunk_ids"])[2]
    last.add_set("sched", {"chunk_ids": ["0"]})
    with pytest.raises(VariableError, match="a permutation has chosen item 2, but"):
        last.get("chunk_ids")
    last.add_set("sched", {})
    with pytest.raises(VariableError, match=r"'sched\.chunk_ids' has no usable value"):
        last.get("chunk_ids")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["sched.chunk_id"], r"^permute_on: .*Did you mean 'sched\.chunk_ids'"),
        (["empty"], "the list is empty, so there is nothing to permute over"),
        (
            ["sched.test_node_list"],
            "is only known on the allocation, so it cannot be used in permute_on",
        ),
        (["waits_too"], r"'sched\.test_nodes' is only known"),
        (["sizes.0"], "name a whole variable"),
        (["sizes", "var.sizes"], "another variable called 'sizes'"),
        (["var.name", "sys.name"], "another variable called 'name'"),
        (["{{sizes}}"], "without braces here, .*: 'permute_on: sizes'"),
    ],
)
def test_what_cannot_be_permuted_on(names: list[str], message: str) -> None:
    with pytest.raises(VariableError, match=message):
        permutations(make(), names)


def test_a_thousand_permutations_share_their_sets() -> None:
    sched = SchedVars()
    manager = make(many=[str(num) for num in range(1000)])
    manager.add_set("sched", sched)
    found = permutations(manager, ["many"])
    texts = [m.resolve_text("{{many}} {{sched.node_list.7}}") for m in found]
    assert texts[999] == "999 n00007"
    assert len(set(texts)) == 1000
    assert sched.asked == ["node_list"]


@pytest.mark.parametrize(
    "text",
    [
        "\\" * 100_000 + " {{name}}",
        "\\{" * 100_000 + "{",
        "{" * 3 + "name" + "}" * 200_000,
        "{ " * 100_000 + "{{name}}",
        r"\{\{" * 50_000,
        "{{name}}" * 10_000,
        "{{name}}" + "}}" * 100_000,
    ],
    ids=["backslashes", "half escapes", "closing", "single", "escapes", "references", "stray"],
)
def test_long_texts_of_braces_are_resolved_or_refused(text: str) -> None:
    """Quadratic work on any of them would take minutes."""
    try:
        assert len(make().resolve_text(text)) <= len(text)
    except VariableError as error:
        assert error.msg


# Text that is rich in what the language cares about.
TRICKY = st.lists(
    st.sampled_from(["{{", "}}", "{\\{", "\\", "{", "}", "a", " ", ".", "\n"]), max_size=12
).map("".join)
TEXT = st.one_of(TRICKY, st.text())
REFS = ["name", "sizes.1", "dims.x", "sched.nodes", "cases.*.in", "greeting", "odd", "empty.*"]
MANAGER = make()


@RELAXED
@given(TEXT)
def test_text_without_a_mark_of_the_language_is_unchanged(text: str) -> None:
    text = text.replace("{{", "{ {").replace("\\{\\{", "\\{ \\{")
    if "{{" not in text and "\\{\\{" not in text:
        assert MANAGER.resolve_text(text) == text


@RELAXED
@given(TEXT)
def test_escaped_text_resolves_to_itself(text: str) -> None:
    assert MANAGER.resolve_text(escape(text)) == text
    assert MANAGER.references(escape(text)) == set()


@RELAXED
@given(st.lists(st.tuples(TEXT, st.sampled_from(REFS)), max_size=6), TEXT)
def test_substitution_is_like_joining_pieces(pieces: list[tuple[str, str]], end: str) -> None:
    # The bars keep pieces apart that would mean something else together.
    template = "".join(f"{escape(text)}|{{{{{ref}}}}}|" for text, ref in pieces) + escape(end)
    joined = "".join(f"{text}|{MANAGER.get(ref)}|" for text, ref in pieces) + end
    assert MANAGER.resolve_text(template) == joined


@RELAXED
@given(
    st.one_of(
        TEXT,
        st.lists(
            st.sampled_from(
                [
                    "{{",
                    "}}",
                    *REFS,
                    ".",
                    "*",
                    "9",
                    " ",
                    "\\",
                    "{",
                    "sched.test_nodes",
                    "sched.",
                    "broken",
                ],
            )
        ).map("".join),
    )
)
def test_no_text_raises_anything_but_a_variable_error(text: str) -> None:
    for call in (
        MANAGER.resolve_text,
        MANAGER.get,
        MANAGER.references,
        MANAGER.deferred_paths,
        lambda t: MANAGER.resolve_config([t], ["0"]),
        lambda t: MANAGER.export([t]),
        lambda t: permutations(MANAGER, [t]),
        lambda t: make(x=t).resolve_config(["{{x}}"], ["0"]),
    ):
        try:
            call(text)
        except VariableError as exc:
            assert str(exc)


@RELAXED
@given(TEXT)
def test_values_bring_no_references_in(value: str) -> None:
    manager = make(raw=escape(value))
    manager.add_set("pav", {"value": value, "values": [value, "{{name}}"]})
    assert manager.resolve_text("<{{pav.value}}|{{raw}}>") == f"<{value}|{value}>"
    assert manager.get("pav.values.*") == f"{value} {{{{name}}}}"


@RELAXED
@given(
    st.lists(
        st.lists(
            st.one_of(
                TEXT.map(escape),
                st.sampled_from(
                    [*REFS, "test_nodes", "sched.test_node_list.*", "waits", "waits_too.1", "v.0"]
                ).map("{{{{{}}}}}".format),
            ),
            max_size=5,
        ).map("|".join),
        max_size=4,
    ),
    st.lists(
        st.sampled_from(["{{waits}}", "{{name}}x", "{{sched.test_nodes}}", "lit"]),
        min_size=1,
        max_size=3,
    ),
)
def test_what_is_saved_and_loaded_resolves_as_if_all_had_been_known(
    cmds: list[str], variable: list[str]
) -> None:
    config = {"run": cmds}
    before = make(v=variable)
    paths = before.deferred_paths(config)
    kept = before.resolve_config(config, deferred_ok=["run"])
    data = before.export(before.references(kept, paths))
    after = on_the_node(data).resolve_config(json.loads(json.dumps(kept)), paths=paths)
    assert after == make(deferred=False, v=variable).resolve_config(config)
    assert len(json.dumps(data)) < 2000 + 50 * sum(map(len, cmds))
