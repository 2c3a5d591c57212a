"""Merging configurations, and keys that end in '+'."""

from __future__ import annotations

import copy
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import yaml_config as yc


def make_loader() -> yc.YamlConfigLoader:
    return yc.YamlConfigLoader(
        elements=[
            yc.StrElem("account"),
            yc.ListElem("cmds", defaults=["default"]),
            yc.KeyedElem("run", elements=[yc.ListElem("cmds"), yc.StrElem("cwd")]),
            yc.CategoryElem("vars", sub_elem=yc.ListElem()),
        ]
    )


@pytest.fixture
def loader():
    return make_loader()


def test_mappings_merge_lists_and_scalars_replace(loader):
    old = {"account": "a", "cmds": ["x"], "run": {"cwd": "/", "cmds": ["r"]}, "vars": {"a": ["1"]}}
    new = {"cmds": ["y"], "run": {"cwd": "/tmp"}, "vars": {"b": ["2"]}}
    before = copy.deepcopy((old, new))
    merged = loader.merge(old, new)
    assert merged == {
        "account": "a",
        "cmds": ["y"],
        "run": {"cwd": "/tmp", "cmds": ["r"]},
        "vars": {"a": ["1"], "b": ["2"]},
    }
    merged["run"]["cmds"].append("changed")
    merged["vars"]["b"].append("changed")
    assert (old, new) == before


def test_null_is_not_given_and_keeps_what_is_there(loader):
    old = {"account": "a", "cmds": ["x"], "run": {"cwd": "/"}, "vars": {"v": ["1"]}}
    new = {"account": None, "cmds": None, "run": None, "vars": {"v": None, "w": None}}
    config = loader.validate(loader.merge(old, new))
    assert (config.account, config.cmds, config.run.cwd) == ("a", ["x"], "/")
    assert config.vars == {"v": ["1"], "w": []}
    config = loader.validate(loader.merge({}, new))
    assert (config.account, config.cmds, config.run.cwd) == (None, ["default"], None)


def test_a_null_does_not_take_the_blame_for_what_it_keeps(loader):
    from_file = loader.load_raw(io.StringIO("account: [bad]\n"))
    null = loader.load_raw(io.StringIO("\n\naccount:\n"))
    with pytest.raises(yc.ConfigError) as info:
        loader.validate(loader.merge(from_file, null))
    assert (info.value.key, info.value.line) == ("account", 1)


def test_normalized_data_gets_its_defaults_after_a_merge():
    loader = yc.YamlConfigLoader(
        elements=[
            yc.StrElem("queue", default="batch"),
            yc.StrElem("account"),
            yc.ListElem("dirs", defaults=["here"]),
            yc.ListElem("flags"),
            yc.KeyedElem("run", elements=[yc.StrElem("shell", default="sh"), yc.StrElem("cwd")]),
        ]
    )
    one, two = {"flags": None, "run": {"cwd": "/"}}, {"run": {}}
    before = copy.deepcopy((one, two))
    merged = loader.merge(loader.normalize(one), loader.normalize(two))
    assert merged == {
        "queue": "batch",
        "dirs": ["here"],
        "flags": [],
        "run": {"shell": "sh", "cwd": "/"},
    }
    merged["dirs"].append("changed")
    assert loader.find("dirs").default == ["here"]
    # Layers as they are written stay sparse: a default of one must not hide a value of another.
    layer = loader.merge(one, two)
    assert layer == {"flags": None, "run": {"cwd": "/"}}
    assert loader.merge({"queue": "fast"}, layer)["queue"] == "fast"
    assert (one, two) == before


def test_plus_extends_an_inherited_list(loader):
    old = {"cmds": ["a"], "run": {"cmds": ["r"]}, "vars": {"v": "1"}}
    new = {"cmds+": ["b"], "run": {"cmds+": "s"}, "vars": {"v+": ["2"], "w+": "3"}}
    assert loader.merge(old, new) == {
        "cmds": ["a", "b"],
        "run": {"cmds": ["r", "s"]},
        "vars": {"v": ["1", "2"], "w": ["3"]},
    }


def test_plus_with_nothing_to_inherit_is_the_plain_key(loader):
    assert loader.load(io.StringIO("cmds+: [b]\n")).cmds == ["b"]
    assert loader.merge({}, {"run": {"cmds+": ["b"]}}) == {"run": {"cmds": ["b"]}}
    assert loader.merge({"cmds+": ["a"]}, {"cmds+": ["b"]}) == {"cmds": ["a", "b"]}


def test_plus_extends_the_plain_key_beside_it(loader):
    text = "base: &base\n  cmds: [a]\n"
    for order in ("cmds+: [b]\ncmds: [a]\n", "cmds: [a]\ncmds+: [b]\n"):
        assert loader.load(io.StringIO(order)).cmds == ["a", "b"]
        assert loader.merge({"cmds": ["z"]}, loader.load_raw(io.StringIO(order))) == {
            "cmds": ["a", "b"]
        }
    loader.add_element(yc.CategoryElem("base", sub_elem=yc.ListElem()))
    merged = io.StringIO(text + "run:\n  <<: *base\n  cmds+: [b]\n")
    assert loader.load(merged).run.cmds == ["a", "b"]


@pytest.mark.parametrize("data", [{"account+": "x"}, {"run+": {}}, {"vars+": {}}])
def test_plus_on_something_else_is_an_error(loader, data):
    normalized = loader.normalize(data)  # not refused before it takes effect
    assert normalized == data
    for mapping in (data, normalized):
        for call in (loader.validate, lambda new: loader.merge({}, new)):
            with pytest.raises(yc.UnknownKeyError, match="extends a list, but"):
                call(mapping)


def test_plus_on_something_else_in_a_file_names_the_line(loader):
    with pytest.raises(KeyError, match=r"^line 2: run\.cwd: a '\+' at the end"):
        loader.load(io.StringIO("run:\n  cwd+: x\n"))


def test_unknown_keys_do_not_merge(loader):
    with pytest.raises(yc.UnknownKeyError, match="did you mean 'account'"):
        loader.merge({}, {"acount": "x"})


def test_a_value_from_elsewhere_is_not_blamed_on_the_file(loader):
    from_file = loader.load_raw(io.StringIO("account: a\nrun:\n  cwd: /\n"))
    merged = loader.merge(from_file, {"account": ["bad"]})
    with pytest.raises(yc.ConfigError) as info:
        loader.validate(merged)
    assert (info.value.key, info.value.line) == ("account", None)


def test_load_merge(loader):
    base = loader.load_raw(io.StringIO("account: 007\ncmds: [a]\n"))
    config = loader.load_merge(base, io.StringIO("cmds+: [b]\n"))
    assert (config.account, config.cmds) == ("007", ["a", "b"])
    part = loader.load_merge({}, io.StringIO("account: x\n"), partial=True)
    assert part == {"account": "x", "cmds": ["default"], "run": {"cmds": [], "cwd": None},
                    "vars": {}}  # fmt: skip


LISTS = st.lists(st.text(alphabet="xyz", min_size=1), max_size=3)
DATA = st.fixed_dictionaries(
    {},
    optional={
        "account": st.text(alphabet="abc", min_size=1),
        "cmds": LISTS,
        "cmds+": LISTS,
        "run": st.fixed_dictionaries({}, optional={"cmds": LISTS, "cmds+": LISTS}),
        "vars": st.dictionaries(st.sampled_from(["a", "b", "a+", "b+"]), LISTS),
    },
)


@settings(deadline=None)
@given(DATA, DATA)
def test_laws_of_merging(old, new):
    loader = make_loader()
    settled = loader.merge({}, old)
    assert loader.merge(settled, {}) == settled
    assert loader.merge(settled, settled) == settled
    merged = loader.merge(old, new)
    assert loader.merge(settled, new) == merged
    assert loader.validate(loader.merge({}, new)) == loader.validate(new)
    inherited = settled.get("cmds", [])
    expected = new.get("cmds", inherited) + new.get("cmds+", [])
    assert merged.get("cmds", []) == expected
