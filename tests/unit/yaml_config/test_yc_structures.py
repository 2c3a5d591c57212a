"""Sections, categories, lists, and `ConfigDict`."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

import yaml_config as yc


@pytest.fixture
def schedule():
    return yc.KeyedElem(
        "schedule",
        elements=[
            yc.StrElem("nodes", default="1"),
            yc.StrElem("account"),
            yc.ListElem("cmds", defaults=["a"]),
            yc.KeyedElem("chunking", elements=[yc.StrElem("size", default="0")]),
            yc.CategoryElem("variables", sub_elem=yc.ListElem()),
        ],
    )


class TestKeyed:
    def test_defaults_fill_what_is_not_given(self, schedule):
        config = schedule.validate({"account": 7})
        assert config == {
            "nodes": "1",
            "account": "7",
            "cmds": ["a"],
            "chunking": {"size": "0"},
            "variables": {},
        }
        assert config.chunking.size == "0"
        assert json.loads(json.dumps(config)) == config

    def test_validation_is_idempotent(self, schedule):
        config = schedule.validate({"cmds": [], "variables": {"v": "x"}})
        assert schedule.validate(config) == config
        assert schedule.validate(schedule.normalize(config)) == config

    def test_none_is_not_given(self, schedule):
        assert schedule.validate({"nodes": None, "cmds": None, "chunking": None}) == (
            schedule.validate({})
        )
        assert schedule.validate(None) == schedule.validate({})

    def test_defaults_are_not_shared(self, schedule):
        schedule.validate({}).cmds.append("b")
        assert schedule.validate({}).cmds == ["a"]

    def test_partial_requires_nothing_and_fills_in_defaults(self):
        section = yc.KeyedElem(
            elements=[
                yc.StrElem("name", required=True),
                yc.IntElem("count", default=3),
                yc.ListElem("steps", required=True, defaults=["go"]),
                yc.CategoryElem("env", required=True),
                yc.KeyedElem("sec", required=True, elements=[yc.IntElem("n", required=True)]),
            ]
        )
        assert section.validate({"sec": {}}, partial=True) == {
            "name": None, "count": 3, "steps": ["go"], "env": {}, "sec": {"n": None},
        }  # fmt: skip
        with pytest.raises(yc.ConfigError, match=r"^count: 'x' is not a whole number"):
            section.validate({"count": "x"}, partial=True)

    def test_unknown_keys(self, schedule):
        with pytest.raises(yc.UnknownKeyError) as info:
            schedule.validate({"chunking": {"siez": 1}})
        assert str(info.value) == (
            "chunking.siez: unknown key 'siez'; expected one of: size; did you mean 'size'?"
        )

    def test_a_scalar_is_no_section(self, schedule):
        with pytest.raises(yc.ConfigError, match="chunking: '5' where a mapping"):
            schedule.validate({"chunking": "5"})

    def test_required_keys_and_sections(self):
        section = yc.KeyedElem(
            elements=[
                yc.KeyedElem("sec", elements=[yc.StrElem("key", required=True)]),
                yc.ListElem("items", required=True),
            ]
        )
        with pytest.raises(yc.RequiredError, match=r"^sec\.key: a value is required"):
            section.validate({"items": []})
        with pytest.raises(yc.RequiredError, match=r"^items: a value is required"):
            section.validate({"sec": {"key": "x"}})
        assert section.validate({}, partial=True) == {"sec": {"key": None}, "items": []}

    def test_a_default_mapping_stands_in_for_the_whole_section(self):
        section = yc.KeyedElem(
            "s", elements=[yc.StrElem("a"), yc.StrElem("b", default="z")], default={"a": "x"}
        )
        assert section.validate(None) == {"a": "x", "b": "z"}
        assert section.validate({}) == {"a": None, "b": "z"}

    def test_elements_can_come_and_go(self, schedule):
        schedule.config_elems["slurm"] = yc.KeyedElem("slurm", elements=[yc.StrElem("qos")])
        assert schedule.validate({"slurm": {"qos": "high"}}).slurm.qos == "high"
        del schedule.config_elems["slurm"]
        with pytest.raises(yc.UnknownKeyError):
            schedule.validate({"slurm": {}})

    def test_a_class_lists_its_elements(self):
        class Section(yc.KeyedElem):
            ELEMENTS = [yc.StrElem("a")]

        Section.ELEMENTS.append(yc.StrElem("b"))
        assert list(Section("s").config_elems) == ["a", "b"]
        assert list(Section("s", elements=Section.ELEMENTS).config_elems) == ["a", "b"]
        assert list(yc.KeyedElem("s").config_elems) == []

    def test_keys_in_any_case_of_letters(self):
        section = yc.KeyedElem("s", elements=[yc.StrElem("a")], key_case=yc.KeyedElem.KC_LOWER)
        assert section.validate({"A": "x"}) == {"a": "x"}
        with pytest.raises(yc.ConfigError, match="'A' is given twice"):
            section.validate({"a": "x", "A": "y"})

    def test_hidden_keys_work_and_are_not_listed(self):
        section = yc.KeyedElem("s", elements=[yc.StrElem("a"), yc.StrElem("debug", hidden=True)])
        assert section.validate({"debug": "x"}).debug == "x"
        with pytest.raises(yc.UnknownKeyError) as info:
            section.validate({"debgu": "x"})
        assert "'debug'" not in str(info.value)

    def test_an_overridden_validate_of_a_child_is_used(self):
        class Shouting(yc.StrElem):
            def validate(self, value, partial=False):
                return super().validate(value, partial).upper()

        section = yc.KeyedElem("s", elements=[Shouting("a")])
        assert section.validate({"a": "x"}).a == "X"


class TestPostValidators:
    def test_it_sees_siblings_and_changes_the_value(self):
        section = yc.KeyedElem(
            elements=[
                yc.StrElem("dir", post_validator=lambda conf, val: val or f"{conf['root']}/runs"),
                yc.StrElem("root", default="/r"),
            ]
        )
        assert section.validate({}).dir == "/r/runs"
        assert section.validate({"dir": "x"}).dir == "x"
        assert section.validate({}, partial=True) == {"dir": None, "root": "/r"}

    def test_its_error_names_the_key(self):
        def refuse(_siblings, _value):
            raise ValueError("no such thing")

        item = yc.KeyedElem(elements=[yc.StrElem("a", post_validator=refuse)])
        section = yc.KeyedElem(elements=[yc.ListElem("items", sub_elem=item)])
        with pytest.raises(yc.ConfigError, match=r"^items\[0\]\.a: no such thing$"):
            section.validate({"items": [{}]})

    def test_items_and_category_values_have_them_too(self):
        double = yc.IntElem(post_validator=lambda siblings, value: value * len(siblings))
        assert yc.ListElem(sub_elem=double).validate([1, 2]) == [2, 4]
        assert yc.CategoryElem(sub_elem=double).validate({"a": 1, "b": 2}) == {"a": 2, "b": 4}


class TestDerived:
    def make(self, resolver):
        inner = yc.KeyedElem("inner", elements=[yc.DerivedElem("sum", resolver=resolver)])
        return yc.KeyedElem(elements=[yc.IntElem("a", default=1), inner])

    def test_it_sees_the_whole_configuration(self):
        section = self.make(lambda config: config["a"] + 1)
        config = section.validate({})
        assert config.inner.sum == 2
        assert section.validate({**config, "a": 5}).inner.sum == 6

    def test_users_cannot_set_it(self):
        with pytest.raises(yc.ConfigError, match=r"^inner\.sum: the value is computed"):
            self.make(None).normalize({"inner": {"sum": 5}})

    def test_without_a_resolver_it_is_none(self):
        assert self.make(None).validate({}).inner.sum is None

    def test_an_error_of_the_resolver_names_the_key(self):
        def fail(_config):
            raise ValueError("cannot tell")

        with pytest.raises(yc.ConfigError, match=r"^inner\.sum: cannot tell$"):
            self.make(fail).validate({})

    def test_within_lists(self):
        item = yc.KeyedElem(elements=[yc.DerivedElem("count", resolver=len)])
        assert yc.ListElem(sub_elem=item).validate([{}, {}]) == [{"count": 2}, {"count": 2}]

    def test_a_post_validator_may_validate_with_another_element(self):
        other = yc.KeyedElem(elements=[yc.DerivedElem("d", resolver=lambda config: "computed")])
        section = yc.KeyedElem(
            elements=[yc.StrElem("a", post_validator=lambda conf, val: other.validate({}).d)]
        )
        assert yc.KeyedElem(elements=[section_named(section)]).validate({}).s.a == "computed"


def section_named(section):
    return yc.KeyedElem("s", elements=list(section.config_elems.values()))


class TestCategory:
    def test_free_keys(self):
        category = yc.CategoryElem("c", sub_elem=yc.IntElem())
        assert category.validate({"any-key_1": "5", "Ü": 6, "a:b": 1}) == {
            "any-key_1": 5, "Ü": 6, "a:b": 1,
        }  # fmt: skip
        assert category.validate(None) == {}

    @pytest.mark.parametrize("key", ["", "a b", "a.b", "a\n", "+"])
    def test_bad_keys(self, key):
        with pytest.raises(yc.ConfigError, match="cannot be a key here"):
            yc.CategoryElem("c", sub_elem=yc.ListElem()).validate({key: "x"})

    def test_key_case(self):
        upper = yc.CategoryElem("c", key_case=yc.CategoryElem.KC_UPPER)
        assert upper.validate({"path": "x"}) == {"PATH": "x"}
        lower = yc.CategoryElem("c", key_case=yc.CategoryElem.KC_LOWER)
        assert lower.validate({"PaTh": "x"}) == {"path": "x"}

    def test_choices_are_keys(self):
        category = yc.CategoryElem("c", choices=["gpu", "cpu"])
        with pytest.raises(yc.UnknownKeyError, match="one of: gpu, cpu; did you mean 'gpu'"):
            category.validate({"gpus": "1"})

    def test_defaults_only_where_nothing_is_given(self):
        category = yc.CategoryElem("c", defaults={"a": "1"})
        assert category.validate(None) == {"a": "1"}
        assert category.validate({}) == {}

    def test_defaulted_category_always_has_its_keys(self):
        category = yc.DefaultedCategoryElem("c", defaults={"a": "1", "b": "2"})
        assert category.validate(None) == {"a": "1", "b": "2"}
        assert category.validate({"b": "9", "z": "3"}) == {"a": "1", "b": "9", "z": "3"}
        assert category.validate({"a": None}) == {"a": "1", "b": "2"}
        assert category.validate({"z": "3"}, partial=True) == {"a": "1", "b": "2", "z": "3"}


class TestList:
    @pytest.mark.parametrize(
        ("given", "result"),
        [(None, []), ([None], []), ((None,), []), ("a", ["a"]), (5, ["5"]), (["a", 5], ["a", "5"]),
         (("a",), ["a"]), ([], [])],
    )  # fmt: skip
    def test_single_values_are_lists(self, given, result):
        elem = yc.ListElem("x", sub_elem=yc.StrElem())
        assert elem.validate(given) == result
        assert elem.normalize(given) == result
        assert type(elem.validate(given)) is list

    def test_a_single_mapping_is_a_list_of_one(self):
        elem = yc.ListElem("x", sub_elem=yc.KeyedElem(elements=[yc.StrElem("a")]))
        assert elem.validate({"a": 1}) == [{"a": "1"}]

    def test_lengths(self):
        elem = yc.ListElem("x", min_length=1, max_length=2)
        assert elem.validate(None) == []
        with pytest.raises(yc.ConfigError, match="has 0 items; expected a list of 1 to 2 items"):
            elem.validate([])
        with pytest.raises(yc.ConfigError, match="has 3 items"):
            elem.validate(["a", "b", "c"])

    def test_choices_are_items(self):
        with pytest.raises(yc.ConfigError, match=r"^\[1\]: 'c' is not allowed here"):
            yc.ListElem("x", choices=["a", "b"]).validate(["a", "c"])

    def test_an_explicit_empty_list_beats_the_defaults(self):
        elem = yc.ListElem("x", defaults=["a"])
        assert elem.validate([]) == []
        assert elem.validate(None) == ["a"]
        assert yc.ListElem("x", default="a").validate(None) == ["a"]


class TestFind:
    def test_dotted_keys(self, schedule):
        assert schedule.find("chunking.size").name == "size"
        assert schedule.find("variables.any").type is list
        assert schedule.find("variables.any.0").type is str
        assert schedule.find("variables.*.*").type is str
        assert schedule.find("") is schedule

    @pytest.mark.parametrize("key", ["chunkin", "chunking.siz", "nodes.x", "cmds.first"])
    def test_unknown(self, schedule, key):
        with pytest.raises(yc.UnknownKeyError):
            schedule.find(key)
        with pytest.raises(KeyError):
            schedule.find(key)


class TestConfigDict:
    def test_keys_are_attributes(self):
        config = yc.ConfigDict(a=1)
        config.b = 2
        assert (config.a, config["b"]) == (1, 2)
        del config.a
        assert config == {"b": 2}

    def test_unknown_attributes_name_near_keys(self):
        config = yc.ConfigDict(working_dir="x")
        with pytest.raises(AttributeError, match="no key 'workin_dir'; did you mean 'working_dir'"):
            _ = config.workin_dir
        with pytest.raises(AttributeError, match="no key 'x'"):
            del config.x
        assert getattr(config, "other", None) is None

    def test_methods_are_not_keys(self):
        config = yc.ConfigDict({"items": 5})
        with pytest.raises(AttributeError, match=r"use config\['items'\]"):
            config.items = 6
        assert dict(config.items()) == {"items": 5}

    @pytest.mark.parametrize(
        "duplicate", [copy.copy, copy.deepcopy, yc.ConfigDict.copy, lambda c: pickle.loads(pickle.dumps(c))]  # noqa: S301
    )  # fmt: skip
    def test_copies_keep_the_class(self, duplicate):
        config = yc.ConfigDict(a=yc.ConfigDict(b=[1]))
        copied = duplicate(config)
        assert copied == config
        assert type(copied) is yc.ConfigDict
        assert copied.a.b == [1]
