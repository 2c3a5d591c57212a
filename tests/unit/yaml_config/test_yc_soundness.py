"""All problems of a value at once: sound_part()."""

from __future__ import annotations

import io
from typing import Any

import pytest

import yaml_config as yc
from yaml_config.errors import Place
from yaml_config.soundness import sound_part
from yaml_config.source import key_place
from yaml_config.yaml_source import parse_yaml


class Loader(yc.YamlConfigLoader):
    """A little of everything."""

    ELEMENTS = [
        yc.StrElem("text"),
        yc.IntElem("number"),
        yc.ListElem("list", sub_elem=yc.IntElem()),
        yc.ListElem("lists", sub_elem=yc.ListElem(sub_elem=yc.IntElem())),
        yc.KeyedElem("section", elements=[yc.IntElem("size"), yc.StrElem("name")]),
        yc.CategoryElem("free", sub_elem=yc.IntElem()),
    ]


def sound(text: str) -> tuple[Any, list[yc.ConfigError]]:
    problems: list[yc.ConfigError] = []
    loader = Loader()
    value = sound_part(loader, loader.load_raw(io.StringIO(text)), problems)
    return yc.plain(value), problems


def test_what_is_right_is_as_normalize_makes_it() -> None:
    text = "text: 007\nlist: 3\nsection: {size: 0x10}\nfree: {a: 1}\nnumber:\nlists: [[1], 2]\n"
    value, problems = sound(text)
    assert problems == []
    assert value == yc.plain(Loader().normalize(Loader().load_raw(io.StringIO(text))))


def test_each_problem_has_its_key_and_its_line_and_the_rest_is_kept() -> None:
    value, problems = sound("""\
text: [a]
number: 3
list: [1, x, 3, y]
lists: [[1, z], [2]]
section:
  size: big
  name: ok
  nmae: bad
free: {a: 1, 'b c': 2, d: e}
other: 1
""")
    assert [(error.line, error.key) for error in problems] == [
        (1, "text"),
        (3, "list[1]"),
        (3, "list[3]"),
        (4, "lists[0][1]"),
        (6, "section.size"),
        (8, "section.nmae"),
        (9, "free.b c"),
        (9, "free.d"),
        (10, "other"),
    ]
    assert value == {
        "number": 3,
        "list": [1, 3],
        "lists": [[1], [2]],
        "section": {"name": "ok"},
        "free": {"a": 1},
    }


def test_a_plus_where_there_is_no_list_is_a_problem() -> None:
    value, problems = sound("text+: a\nlist+: [1]\nsection+: {size: 1}\n")
    assert [error.key for error in problems] == ["text+", "section+"]
    assert value == {"list+": [1]}


@pytest.mark.parametrize("text", ["- a\n", "a\n"])
def test_a_value_of_which_nothing_can_be_used_is_an_error(text: str) -> None:
    with pytest.raises(yc.ConfigError):
        sound(text)


def test_a_plain_value_error_of_an_element_is_a_problem_with_its_key() -> None:
    class Odd(yc.StrElem):
        def normalize(self, value: Any) -> Any:
            raise ValueError("odd")

    problems: list[yc.ConfigError] = []
    sound_part(yc.KeyedElem("top", elements=[Odd("odd")]), {"odd": 1}, problems)
    assert [str(error) for error in problems] == ["odd: odd"]


def test_the_place_of_a_value_is_where_its_text_stands() -> None:
    data = parse_yaml("a:\n  &x many\nb: *x\nc: one\nd:\n  - *x\n", "f.yaml")
    places = {key: key_place(data, key) for key in data}
    assert {key: place and place.of_value for key, place in places.items()} == {
        "a": Place("f.yaml", 2),
        "b": Place("f.yaml", 2),
        "c": Place("f.yaml", 4),
        "d": Place("f.yaml", 5),
    }
    assert [place and place.line for place in places.values()] == [1, 3, 4, 5]
    assert data["d"].places[0].of_value.line == 2


def test_duplicate_keys_may_be_collected() -> None:
    problems: list[yc.ConfigError] = []
    data = parse_yaml("a: 1\nb: {c: 2, c: 3}\na: {d: 4}\n", "f.yaml", problems)
    assert yc.plain(data) == {"a": 1, "b": {"c": 2}}
    assert [str(error) for error in problems] == [
        "f.yaml:2:11: the key 'c' is given twice, in lines 2 and 2",
        "f.yaml:3:1: the key 'a' is given twice, in lines 1 and 3",
    ]
