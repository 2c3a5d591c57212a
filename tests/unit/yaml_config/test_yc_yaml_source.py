"""Reading YAML: what text becomes, and what is refused."""

from __future__ import annotations

import copy
import io
import json
import pickle
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import yaml_config as yc
from yaml_config import yaml_source
from yaml_config.yaml_source import parse_yaml


@pytest.fixture(params=["fastest", "python"], autouse=True)
def parser(request, monkeypatch):
    """Run each test with libyaml's parser, where PyYAML has it, and with the Python one."""
    if request.param == "python":
        monkeypatch.setattr(yaml_source, "_PARSER", yaml.SafeLoader)


def error_of(text: str) -> yc.YamlError:
    with pytest.raises(yc.YamlError) as info:
        parse_yaml(text, "conf.yaml")
    return info.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12", 12),
        ("-3", -3),
        ("010", 10),
        ("0x1f", 31),
        ("0o17", 15),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".inf", float("inf")),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("''", ""),
        ("'12'", "12"),
        ("yes", "yes"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01 10:00:00", "2026-01-01 10:00:00"),
        ("!!str 12", "12"),
        ("!!float 12", 12.0),
        ("! 12", "12"),
    ],
)
def test_scalars_follow_the_core_schema(text, value):
    read = parse_yaml(f"x: {text}\n")["x"]
    assert read == value
    assert isinstance(read, str) == isinstance(value, str)
    assert yc.plain(read) is value if isinstance(value, bool) else True


def test_an_empty_file_has_no_data():
    assert parse_yaml("") is None
    assert parse_yaml("# only a comment\n") is None


def test_keys_are_text_as_typed():
    assert parse_yaml("1: a\ntrue: b\n007: c\nnull: d\n") == {
        "1": "a", "true": "b", "007": "c", "null": "d",
    }  # fmt: skip


def test_raw_data_survives_copy_pickle_and_json():
    data = parse_yaml("a: 007\nb: [1.50, x]\nc: {d: ~}\n")
    for copied in (copy.deepcopy(data), pickle.loads(pickle.dumps(data))):  # noqa: S301
        assert copied == data
        assert copied["a"].source == "007"
        assert copied["b"][0].source == "1.50"
    assert json.loads(json.dumps(data)) == {"a": 7, "b": [1.5, "x"], "c": {"d": None}}


def test_plain_strips_what_keeps_the_source():
    data = yc.plain(parse_yaml("a: 007\nb: [1.5, true]\n"))
    assert json.dumps(data) == '{"a": 7, "b": [1.5, true]}'
    assert [type(value) for value in (data, data["a"], *data["b"])] == [dict, int, float, bool]


def test_anchors_and_merge_keys():
    data = parse_yaml(
        "base: &base {a: 1, b: 2}\n"
        "more: &more {b: 3, c: 4}\n"
        "one:\n  <<: *base\n  b: 9\n"
        "two:\n  <<: [*base, *more]\n"
        "three: *base\n"
    )
    assert data["one"] == {"a": 1, "b": 9}
    assert data["two"] == {"a": 1, "b": 2, "c": 4}
    data["three"]["a"] = "changed"
    assert data["base"]["a"] == 1


def test_a_quoted_merge_key_is_a_plain_key():
    assert parse_yaml("'<<': {a: 1}\n") == {"<<": {"a": 1}}


def test_duplicate_keys_name_both_lines():
    error = error_of("a: 1\nb: 2\na: 3\n")
    assert str(error) == "conf.yaml:3:1: the key 'a' is given twice, in lines 1 and 3"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: !!python/object:os.system x\n", 1, "tag '!!python/object:os.system' is not allowed"),
        ("a: !foo x\n", 1, "tag '!foo' is not allowed"),
        ("a: !!int x\n", 1, "tag '!!int' is not allowed"),
        ("a: !!binary aGk=\n", 1, "tag '!!binary' is not allowed"),
        ("a: !!set {x}\n", 1, "tag '!!set' is not allowed"),
        ("a: 1\n---\nb: 2\n", 2, "a second document starts here"),
        ("a:\n\t- b\n", 2, "indented with a tab, which YAML does not allow; use spaces"),
        ("a: b: c\n", 1, "must be in quotes"),
        ("a: {{x}}\n", 1, "a mapping cannot be a key; text that starts with '{'"),
        ("a: {{x}} ./run\n", 1, "must be in quotes, like '{{name}} more'"),
        ("a: @x\n", 1, "a value that starts with '@' must be in quotes"),
        ("a: 1\nb: *x\n", 2, "'*x' refers to an anchor that is not defined"),
        ("a: &a [*a]\n", 1, "'*a' is inside of what it refers to"),
        ("a: 1\n? [b]\n: c\n", 2, "a list cannot be a key"),
        ("&a a: 1\n*a : 2\n", 2, "an alias cannot be a key"),
        ("a: 1\n'': b\n", 2, "a key is empty"),
        ("<<: 1\n", 1, "'<<' takes a mapping"),
        ("<<: {a: 1}\n<<: {b: 1}\n", 2, "'<<' is given twice"),
        ("a: [\n", 1, "the '[' that opens here is not closed"),
        ("a: 1\nb: \x07\n", 2, "a character that YAML does not allow"),
        ("a: 1\nb: \ud800\n", 2, "a character that YAML does not allow"),
        ("a: " + "[" * 200 + "]" * 200, 1, "nested deeper than 100 levels"),
    ],
)
def test_errors_name_the_line(text, line, words):
    error = error_of(text)
    assert (error.file, error.line) == ("conf.yaml", line)
    assert words in str(error)


def test_alias_bombs_are_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "the aliases stand for more than" in str(error_of("\n".join(lines)))


def test_chains_of_aliases_count_for_the_depth():
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 150)]
    assert "nested deeper than" in str(error_of("\n".join(lines)))


def test_a_number_too_long_for_python_stays_text():
    digits = "9" * 5000
    value = parse_yaml(f"x: {digits}\n")["x"]
    assert str(getattr(value, "source", value)) == digits


class TestFiles:
    loader = yc.YamlConfigLoader(elements=[yc.StrElem("a")])

    def test_paths_text_paths_and_open_files(self, tmp_path: Path):
        path = tmp_path / "c.yaml"
        path.write_text("a: ü\n", encoding="utf-8")
        with path.open(encoding="utf-8") as text, path.open("rb") as binary:
            streams = [io.StringIO("a: ü"), io.BytesIO(b"a: \xc3\xbc")]
            for source in (path, str(path), text, binary, *streams):
                assert self.loader.load(source) == {"a": "ü"}

    def test_a_byte_order_mark_is_skipped(self):
        assert self.loader.load(io.BytesIO(b"\xef\xbb\xbfa: 1")) == {"a": "1"}
        assert self.loader.load(io.StringIO("\ufeffa: 1")) == {"a": "1"}

    def test_a_missing_file_and_a_directory_are_named(self, tmp_path: Path):
        for path in (tmp_path / "gone.yaml", tmp_path):
            with pytest.raises(OSError, match=str(path)):
                self.loader.load(path)

    def test_bytes_that_are_not_utf8_are_named(self, tmp_path: Path):
        path = tmp_path / "latin.yaml"
        path.write_bytes(b"a: x\nb: \xfc\n")
        with pytest.raises(yc.ConfigError, match="not UTF-8 text") as info:
            self.loader.load(path)
        assert (info.value.file, info.value.line) == (str(path), 2)
        with path.open(encoding="utf-8") as file:  # noqa: SIM117
            with pytest.raises(yc.ConfigError, match="not UTF-8 text"):
                self.loader.load(file)


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-[]{}#&*!|>'\"%@`,?~<= \n\t0.1")))
def test_any_text_reads_or_gives_our_error(text):
    try:
        parse_yaml(text)
    except yc.YamlError as error:
        assert error.line is not None
