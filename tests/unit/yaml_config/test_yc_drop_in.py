"""What a Pavilion asks of the `yaml_config` that it starts with."""

from __future__ import annotations

import importlib
import io
import re
import subprocess
import sys
from collections import OrderedDict

import pytest
import yaml

import yaml_config as yc


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("elements", ["ConfigElement", "DiscontinuedElem"]),
        ("scalars", ["BoolElem", "FloatElem", "FloatRangeElem", "IntElem", "IntRangeElem",
                     "PathElem", "RangeElem", "RegexElem", "ScalarElem", "StrElem"]),
        ("structures", ["AnyElem", "CategoryElem", "DefaultedCategoryElem", "DerivedElem",
                        "KeyedElem", "ListElem"]),
        ("loaders", ["CatYamlConfigLoader", "ListYamlConfigLoader", "YamlConfigLoader",
                     "YamlConfigLoaderMixin"]),
    ],
)  # fmt: skip
def test_each_module_is_an_attribute_and_the_home_of_its_names(module, names):
    found = importlib.import_module(f"yaml_config.{module}")
    assert getattr(yc, module) is found
    for name in names:
        assert getattr(found, name) is getattr(yc, name)
        assert getattr(yc, name).__module__ == f"yaml_config.{module}"


class TestErrors:
    def test_the_first_argument_is_the_whole_text(self):
        """Pavilion shows that, not the text of the error."""
        loader = yc.YamlConfigLoader(elements=[yc.KeyedElem("run", elements=[yc.IntElem("n")])])
        for text in ("run: {m: 1}\n", "run: {n: x}\n", "run: [\n", "- a\n"):
            file = io.StringIO(text)
            file.name = "c.yaml"
            with pytest.raises(yc.ConfigError) as info:
                loader.load(file)
            assert info.value.args == (str(info.value),)
            assert "c.yaml" in info.value.args[0]

    def test_bad_yaml_has_the_original_name_too(self):
        assert yc.YAMLError is yc.YamlError

    def test_root_name_says_what_the_data_is_where_no_file_is_known(self):
        loader = yc.YamlConfigLoader(elements=[yc.StrElem("queue")])
        with pytest.raises(yc.UnknownKeyError, match=r"^the overrides: queu: unknown key"):
            loader.normalize({"queu": "x"}, root_name="the overrides")
        raw = loader.load_raw(io.StringIO("queu: x\n"))
        with pytest.raises(yc.UnknownKeyError, match=r"^line 1: queu: unknown key"):
            loader.normalize(raw, root_name="the overrides")
        assert loader.normalize({"queue": 5}, root_name="the overrides") == {"queue": "5"}


class TestLoaders:
    class Loader(yc.YamlConfigLoader):
        ELEMENTS = [yc.StrElem("name", required=True), yc.StrElem("queue", default="batch")]

    def test_partial_files(self):
        part = self.Loader().load(io.StringIO("queue:\n"), partial=True)
        assert part == {"name": None, "queue": "batch"}
        assert self.Loader().load_empty(partial=True) == part
        with pytest.raises(yc.RequiredError):
            self.Loader().load(io.StringIO("queue:\n"))
        with pytest.raises(yc.RequiredError):
            self.Loader().load_empty()

    def test_a_loader_has_any_name(self):
        assert self.Loader(name="<test config>").name == "<test config>"

    def test_of_one_name_in_a_class_the_last_element_counts(self):
        class Longer(self.Loader):
            ELEMENTS = [*self.Loader.ELEMENTS, yc.StrElem("extra"), yc.IntElem("name", default=5)]

        assert Longer().load_empty() == {"name": 5, "queue": "batch", "extra": None}
        with pytest.raises(yc.ConfigError, match="two elements with the name 'name'"):
            yc.KeyedElem("s", elements=Longer.ELEMENTS)


class TestCategoryKeys:
    def test_a_value_without_a_key(self):
        category = yc.CategoryElem("c", sub_elem=yc.IntElem(), allow_empty_keys=True)
        assert category.normalize({None: "5"}) == {None: 5}
        config = category.validate({None: "5", "a": 6})
        assert config == {None: 5, "a": 6}
        assert "a" in dir(config)
        assert category.merge({None: 1, "b": 2}, {None: 3}) == {None: 3, "b": 2}
        with pytest.raises(yc.ConfigError, match=r"^'x' is not a whole number"):
            category.validate({None: "x"})
        with pytest.raises(yc.ConfigError, match=r"^c: 'x' is not a whole number"):
            yc.KeyedElem(elements=[category]).validate({"c": {None: "x"}})

    def test_it_is_for_those_that_ask_for_it_and_not_for_files(self):
        loader = yc.YamlConfigLoader(elements=[yc.CategoryElem("c", allow_empty_keys=True)])
        assert loader.load(io.StringIO("c: {None: x}\n")).c == {"None": "x"}
        with pytest.raises(yc.ConfigError, match="a value without a key cannot be written"):
            loader.dump(io.StringIO(), {"c": {None: "x"}})
        with pytest.raises(yc.UnknownKeyError):
            yc.CategoryElem("c", allow_empty_keys=True).validate({"": "x"})

    def test_a_subclass_may_say_how_keys_start(self):
        class Upper(yc.CategoryElem):
            _NAME_RE = re.compile("[A-Z]+")

        assert Upper("c").validate({"A b.c": "x"}) == {"A b.c": "x"}
        with pytest.raises(KeyError, match=r"'a' cannot be a key here; expected .*\[A-Z\]\+"):
            Upper("c").validate({"a": "x"})

    def test_bad_keys_are_key_errors_as_well(self):
        with pytest.raises(KeyError, match="'a b' cannot be a key here"):
            yc.CategoryElem("c").validate({"a b": "x"})


class Tagged(dict):
    """A dict that knows more than its keys."""

    def __init__(self, *args, tag=None):
        super().__init__(*args)
        self.tag = tag

    def __copy__(self):
        return Tagged(self, tag=self.tag)

    def __deepcopy__(self, memo):
        return self.__copy__()


class Settings:
    """Has keys and items, but is not a dict; has an attribute that is not an element's key."""

    def __init__(self):
        self.__dict__.update(queue=None, run=None, made_by=None, pid=17)

    def __getitem__(self, key):
        return self.__dict__[key]

    def __setitem__(self, key, value):
        self.__dict__[key] = value

    def __iter__(self):
        return iter(self.__dict__)

    def keys(self):
        return self.__dict__.keys()

    def items(self):
        return self.__dict__.items()


class TestOwnTypes:
    class TaggedElem(yc.CategoryElem):
        type = Tagged

    def test_a_dict_class_and_what_it_holds_stay(self):
        elem = self.TaggedElem("c", sub_elem=yc.ListElem())
        value = Tagged({"a": "x"}, tag="t")
        for made in (elem.normalize(value), elem.validate(value), elem.settle(value)):
            assert (type(made), made.tag) == (Tagged, "t")
        longer = Tagged({"a+": "x", "a": "w"}, tag="t")
        for made in (elem.validate(longer), elem.settle(longer)):
            assert (made, made.tag) == ({"a": ["w", "x"]}, "t")
        assert value == {"a": "x"}
        items = yc.ListElem("l", sub_elem=elem)
        merged = yc.KeyedElem(elements=[items, yc.StrElem("s")]).merge({"l": [value]}, {"s": "x"})
        assert merged["l"][0].tag == "t"
        assert type(elem.normalize({"a": "x"})) is Tagged

    def test_plain_dict_classes_keep_their_places(self):
        class Env(yc.CategoryElem):
            type = OrderedDict

        loader = yc.YamlConfigLoader(elements=[Env("env", sub_elem=yc.IntElem())])
        config = loader.load(io.StringIO("env: {a: 1}\n"))
        assert type(config.env) is OrderedDict
        with pytest.raises(yc.ConfigError, match=r"^line 3: env\.b: 'x' is not a whole number"):
            loader.load(io.StringIO("env:\n  a: 1\n  b: x\n"))

    def test_a_class_that_is_not_a_dict(self):
        class Loader(yc.YamlConfigLoader):
            type = Settings
            ELEMENTS = [
                yc.StrElem("queue", default="batch"),
                yc.StrElem("made_by", hidden=True),
                yc.KeyedElem("run", elements=[
                    yc.DerivedElem("d", resolver=lambda root: root["queue"] + "!")]),
            ]  # fmt: skip

        config = Loader().load(io.StringIO("queue: fast\n"))
        assert type(config) is Settings
        assert (config["queue"], config["run"].d, config["pid"]) == ("fast", "fast!", 17)
        config["made_by"] = "me"
        assert Loader().validate(config)["queue"] == "fast"
        config["run"]["pid"] = 17
        text = io.StringIO()
        Loader().dump(text, config, show_comments=False)
        assert text.getvalue() == "queue: fast\n"
        with pytest.raises(yc.UnknownKeyError):
            Loader().dump(text, {"run": {"pid": 17}})

    def test_an_overridden_merge_is_not_called_with_nothing(self):
        class Counting(yc.CategoryElem):
            def merge(self, old, new):
                assert None not in (old, new)
                return {**old, **new, "merged": "yes"}

        section = yc.KeyedElem(elements=[Counting("c"), yc.ListElem("l")])
        assert section.merge({}, {"c": {"a": "1"}}) == {"c": {"a": "1"}}
        assert section.merge({"c": {"a": "1"}}, {"c": None}) == {"c": {"a": "1"}}
        assert section.validate({"c": {"a": "1"}, "l+": "x"})["c"] == {"a": "1"}
        assert section.merge({"c": {"a": "1"}}, {"c": {}})["c"] == {"a": "1", "merged": "yes"}


def test_an_element_may_make_something_of_a_null_item():
    class Wrapped(yc.StrElem):
        def normalize(self, value):
            return super().normalize("nothing" if value is None else value)

    assert yc.ListElem(sub_elem=Wrapped()).normalize(["a", None]) == ["a", "nothing"]
    lists = yc.ListElem(sub_elem=yc.ListElem(defaults=["d"]))
    assert lists.validate(lists.normalize([["a"], None])) == [["a"], ["d"]]


class TestAnyElem:
    def test_any_shape_with_text_leaves(self):
        loader = yc.YamlConfigLoader(elements=[yc.AnyElem("any", default=[1])])
        text = "any:\n  a: [007, yes, ~, {b c: 1.50}]\n  d+: {}\n"
        value = {"a": ["007", "yes", None, {"b c": "1.50"}], "d+": {}}
        config = loader.load(io.StringIO(text))
        assert config.any == value
        assert type(config.any) is dict
        assert type(config.any["a"]) is list
        assert loader.load(io.StringIO("any: 5\n")).any == "5"
        assert loader.load_empty().any == ["1"]
        file = io.StringIO()
        loader.dump(file, config)
        assert loader.load(io.StringIO(file.getvalue())) == config

    def test_merging_replaces_and_shares_nothing(self):
        section = yc.KeyedElem(elements=[yc.AnyElem("any")])
        new = {"any": {"b": ["1"]}}
        merged = section.merge({"any": {"a": ["1"]}}, new)
        assert merged == new
        merged["any"]["b"].append("changed")
        assert new == {"any": {"b": ["1"]}}
        assert section.find("any.a.b").type is str


class TestDiscontinuedElem:
    def test_a_value_is_refused_with_the_help_text(self):
        loader = yc.YamlConfigLoader(
            elements=[yc.StrElem("new"), yc.DiscontinuedElem("old", help_text="Use 'new'.")]
        )
        assert loader.load(io.StringIO("old:\n")) == {"new": None, "old": None}
        with pytest.raises(yc.DiscontinuedError, match=r"^line 1: old: .* no longer used: Use"):
            loader.load(io.StringIO("old: x\n"))
        with pytest.raises(yc.DiscontinuedError):
            loader.validate({"old": []})
        text = io.StringIO()
        loader.dump(text)
        assert "old" not in text.getvalue()


def test_choices_are_read_under_their_private_name():
    assert yc.StrElem("a")._choices is None
    assert yc.StrElem("a", choices="xy")._choices == ["x", "y"]


def test_yaml_libraries_write_configurations(tmp_path):
    config = yc.ConfigDict(a=yc.ConfigDict(b=["1"]))
    assert yaml.safe_load(yaml.safe_dump(config)) == {"a": {"b": ["1"]}}
    # Pavilion's copy of PyYAML, made up.
    library = tmp_path / "yc_yaml"
    library.mkdir()
    (library / "__init__.py").write_text("")
    (library / "representer.py").write_text(
        "class SafeRepresenter:\n"
        "    known = {}\n"
        "    def represent_dict(self, data): pass\n"
        "    @classmethod\n"
        "    def add_representer(cls, kind, function): cls.known[kind] = function\n"
    )
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import yaml_config, yc_yaml.representer as made_up\n"
        "known = made_up.SafeRepresenter.known\n"
        "assert known == {yaml_config.ConfigDict: made_up.SafeRepresenter.represent_dict}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stderr) == (0, "")
