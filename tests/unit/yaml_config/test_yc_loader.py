"""Loaders: files in, checked configurations or errors with their place out."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import pytest

import yaml_config as yc


class Loader(yc.YamlConfigLoader):
    ELEMENTS = [
        yc.StrElem("working_dir", default="/tmp"),
        yc.ListElem("config_dirs", sub_elem=yc.StrElem()),
        yc.KeyedElem(
            "schedule",
            elements=[yc.IntRangeElem("nodes", vmin=1, default=1), yc.StrElem("qos")],
        ),
        yc.ListElem(
            "steps",
            sub_elem=yc.KeyedElem(
                elements=[yc.StrElem("name", required=True), yc.IntElem("count")]
            ),
        ),
    ]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def error_of(tmp_path: Path, text: str) -> str:
    """Return the text of the error that a file gives, without the folder."""
    path = write(tmp_path / "c.yaml", text)
    with pytest.raises(yc.ConfigError) as info:
        Loader().load(path)
    return str(info.value).replace(f"{tmp_path}/", "")


def test_load_gives_plain_values_with_defaults():
    config = Loader().load(io.StringIO("config_dirs: 007\nsteps:\n- {name: true, count: 0x10}\n"))
    assert config == {
        "working_dir": "/tmp",
        "config_dirs": ["007"],
        "schedule": {"nodes": 1, "qos": None},
        "steps": [{"name": "true", "count": 16}],
    }
    assert config.steps[0].count == 16
    plain_types = {dict, list, str, int, yc.ConfigDict}

    def types(value):
        inner = value.values() if isinstance(value, dict) else value
        inner = inner if isinstance(value, (dict, list)) else ()
        return {type(value)}.union(*map(types, inner))

    assert types(config) - {type(None)} <= plain_types
    json.dumps(config)


def test_an_empty_file_is_an_empty_configuration():
    assert Loader().load(io.StringIO("")) == Loader().load_empty()
    assert Loader().load_empty().working_dir == "/tmp"
    assert Loader().load_raw(io.StringIO("# nothing\n")) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nworkin_dir: x\n", "c.yaml:1: a: unknown key 'a'; expected one of: working_dir"),
        ("schedule:\n  qos: x\n  node: 5\n",
         "c.yaml:3: schedule.node: unknown key 'node'; expected one of: nodes, qos; "
         "did you mean 'nodes'?"),
        ("schedule:\n\n  nodes: 0\n", "c.yaml:3: schedule.nodes: 0 is out of range"),
        ("schedule: x\n", "c.yaml:1: schedule: 'x' where a mapping"),
        ("steps:\n- name: a\n- name: b\n  count: x\n",
         "c.yaml:4: steps[1].count: 'x' is not a whole number"),
        ("steps:\n- name: a\n- count: 1\n", "c.yaml:3: steps[1].name: a value is required"),
        ("steps:\n  count: 1\n", "c.yaml:1: steps[0].name: a value is required"),
        ("config_dirs:\n- a\n- [b]\n", "c.yaml:3: config_dirs[1]: a list where text belongs"),
        ("- a\n", "c.yaml: a list where a mapping"),
        ("just text\n", "c.yaml: 'just text' where a mapping"),
        ("x: [\n", "c.yaml:1:4: the '[' that opens here is not closed"),
        ("d: &d {qos: 1, bad: 2}\nschedule: {<<: *d}\n", "c.yaml:1: d: unknown key"),
        ("schedule: &d\n  nodes: 0\n", "c.yaml:2: schedule.nodes"),
    ],
)  # fmt: skip
def test_errors_name_file_line_and_key(tmp_path, text, message):
    assert error_of(tmp_path, text).startswith(message)


def test_missing_top_level_keys_name_the_file(tmp_path):
    loader = yc.YamlConfigLoader(elements=[yc.StrElem("a", required=True)])
    path = write(tmp_path / "c.yaml", "")
    with pytest.raises(yc.RequiredError) as info:
        loader.load(path)
    assert str(info.value).startswith(f"{path}: a: a value is required")


def test_errors_after_merging_name_the_file_that_is_wrong(tmp_path):
    loader = Loader()
    base = loader.load_raw(write(tmp_path / "base.yaml", "schedule:\n  nodes: 0\n  qos: a\n"))
    top = write(tmp_path / "top.yaml", "\nschedule:\n  qos: b\n")
    with pytest.raises(yc.ConfigError) as info:
        loader.load_merge(base, top)
    assert (info.value.file, info.value.line) == (str(tmp_path / "base.yaml"), 2)
    assert info.value.key == "schedule.nodes"
    top = write(top, "\nschedule:\n  nodes: -1\n")
    with pytest.raises(yc.ConfigError) as info:
        loader.validate(loader.merge(base, loader.load_raw(top)))
    assert (info.value.file, info.value.line) == (str(top), 3)


def test_a_merged_section_is_placed_where_it_was_written_last(tmp_path):
    step = yc.KeyedElem("step", elements=[yc.StrElem("name", required=True), yc.StrElem("dir")])
    loader = yc.YamlConfigLoader(elements=[step])
    base = loader.load_raw(write(tmp_path / "base.yaml", "step:\n  dir: a\n"))
    top = write(tmp_path / "top.yaml", "\n\nstep:\n  dir: b\n")
    with pytest.raises(yc.RequiredError) as info:
        loader.load_merge(base, top)
    assert (info.value.file, info.value.line) == (str(top), 3)
    with pytest.raises(yc.RequiredError) as info:
        loader.validate(loader.merge(base, {"step": {"dir": "c"}}))
    assert (info.value.file, info.value.line) == (str(tmp_path / "base.yaml"), 1)


def test_errors_survive_pickling():
    with pytest.raises(yc.ConfigError) as info:
        Loader().load(io.StringIO("schedule:\n  node: 5\n"))
    copied = pickle.loads(pickle.dumps(info.value))  # noqa: S301
    assert str(copied) == str(info.value)
    assert str(copied).startswith("line 2: schedule.node: unknown key")
    assert copied.path == ("schedule", "node")
    assert copied.near == ["nodes"]


def test_users_cannot_set_derived_keys_in_files():
    loader = yc.YamlConfigLoader(elements=[yc.DerivedElem("d", resolver=lambda config: "x")])
    assert loader.load(io.StringIO("")).d == "x"
    with pytest.raises(yc.ConfigError, match=r"^line 1: d: the value is computed"):
        loader.load(io.StringIO("d: y\n"))


class TestSetDefault:
    def test_it_is_for_one_loader(self):
        loader = Loader()
        loader.set_default("working_dir", "/data")
        loader.set_default("schedule.nodes", "4")
        assert loader.load_empty().working_dir == "/data"
        assert loader.load_empty().schedule.nodes == 4
        assert loader.find("schedule.nodes").default == "4"
        assert Loader().load_empty().working_dir == "/tmp"
        assert Loader().load_empty().schedule.nodes == 1

    def test_inside_of_lists_and_categories(self):
        loader = Loader()
        loader.set_default("steps.*.count", 3)
        assert loader.load(io.StringIO("steps: {name: a}")).steps == [{"name": "a", "count": 3}]
        assert Loader().find("steps.*.count").default is None

    def test_bad_ones(self):
        loader = Loader()
        with pytest.raises(yc.UnknownKeyError):
            loader.set_default("schedule.node", 1)
        with pytest.raises(yc.UnknownKeyError):
            loader.set_default("working_dir.x", 1)
        with pytest.raises(yc.ConfigError, match="0 is out of range"):
            loader.set_default("schedule.nodes", 0)
        assert loader.load_empty().schedule.nodes == 1


def test_add_element():
    loader = Loader()
    loader.add_element(yc.StrElem("extra", default="x"))
    assert loader.load_empty().extra == "x"
    with pytest.raises(yc.ConfigError, match="two elements with the name 'extra'"):
        loader.add_element(yc.StrElem("extra"))
    assert "extra" not in Loader().config_elems


def test_a_loader_inside_of_another_is_a_whole_configuration():
    section = yc.KeyedElem("s", elements=[yc.DerivedElem("d", resolver=lambda conf: conf["a"])])
    loader = yc.YamlConfigLoader(elements=[yc.StrElem("a"), section])
    suite = yc.CatYamlConfigLoader(loader).load(io.StringIO("one: {a: x}\ntwo: {a: y}\n"))
    assert (suite.one.s.d, suite.two.s.d) == ("x", "y")


class TestCategoryLoader:
    class Suite(yc.CatYamlConfigLoader):
        BASE = Loader()

    def test_names_are_free(self):
        suite = self.Suite().load(io.StringIO("one: {working_dir: 1}\ntwo:\n"))
        assert suite.one.working_dir == "1"
        assert suite.two == Loader().load_empty()
        assert self.Suite().load(io.StringIO("")) == {}
        assert self.Suite().load_empty() == {}

    def test_merging_by_name(self):
        base = {"one": {"config_dirs": ["a"], "working_dir": "x"}}
        suite = self.Suite().load_merge(base, io.StringIO("one: {config_dirs+: [b]}\n"))
        assert suite.one.config_dirs == ["a", "b"]
        assert suite.one.working_dir == "x"

    def test_errors(self):
        with pytest.raises(yc.ConfigError, match=r"^line 2: one\.schedule\.nodez: unknown key"):
            self.Suite().load(io.StringIO("one:\n  schedule: {nodez: 1}\n"))
        with pytest.raises(yc.ConfigError, match="a list where a mapping"):
            self.Suite().load(io.StringIO("[a]\n"))


class TestListLoader:
    class Steps(yc.ListYamlConfigLoader):
        BASE = yc.KeyedElem(elements=[yc.StrElem("name", required=True)])

    def test_items(self):
        steps = self.Steps().load(io.StringIO("- name: a\n- name: 007\n"))
        assert [step.name for step in steps] == ["a", "007"]
        assert self.Steps().load(io.StringIO("")) == []
        assert self.Steps().load_empty() == []
        assert self.Steps().load_merge([{"name": "z"}], io.StringIO("- name: a\n")) == [
            {"name": "a"}
        ]

    def test_errors(self):
        with pytest.raises(yc.RequiredError, match=r"^line 2: \[1\]\.name: a value is required"):
            self.Steps().load(io.StringIO("- name: a\n- {}\n"))
