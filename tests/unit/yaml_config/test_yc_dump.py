"""Writing configurations: commented examples, and data that loads to the same again."""

from __future__ import annotations

import io
import textwrap
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import yaml_config as yc


def dumped(loader, values=None, **options) -> str:
    file = io.StringIO()
    loader.dump(file, values, **options)
    return file.getvalue()


def step_elem() -> yc.KeyedElem:
    return yc.KeyedElem(
        elements=[
            yc.StrElem("name", default="n", help_text="The step's name."),
            yc.ListElem("cmds"),
            yc.ListElem("grid", sub_elem=yc.ListElem(sub_elem=yc.IntElem())),
        ]
    )


def make_loader() -> yc.YamlConfigLoader:
    return yc.YamlConfigLoader(
        help_text="Settings of the example.",
        elements=[
            yc.StrElem("working_dir", default="/tmp/x", help_text="Where runs\nare kept. " * 9),
            yc.StrElem("state", choices=["up", "available"], help_text="Node state."),
            yc.StrElem("owner", required=True),
            yc.StrElem("secret", hidden=True, default="s"),
            yc.ListElem("dirs", sub_elem=yc.PathElem()),
            yc.ListElem("words", defaults=["a", "null"]),
            yc.KeyedElem(
                "schedule",
                elements=[
                    yc.IntElem("nodes", default=1),
                    yc.FloatElem("share"),
                    yc.BoolElem("wait"),
                    yc.KeyedElem("chunking", elements=[yc.StrElem("size")], default={"size": "2"}),
                ],
            ),
            yc.CategoryElem("vars", sub_elem=yc.ListElem(), defaults={"d": ["1"]}),
            yc.CategoryElem("sites", sub_elem=step_elem()),
            yc.ListElem("steps", sub_elem=step_elem()),
            yc.DerivedElem("total", resolver=lambda config: len(config["steps"])),
        ],
    )


def test_the_example_explains_itself():
    text = dumped(make_loader())
    assert text == textwrap.dedent("""\
        # Settings of the example.

        # Where runs
        # are kept. Where runs
        # are kept. Where runs
        # are kept. Where runs
        # are kept. Where runs
        # are kept. Where runs
        # are kept. Where runs
        # are kept. Where runs
        # are kept. Where runs
        # are kept.
        working_dir: /tmp/x

        # Node state.
        # Allowed: up, available
        # state:

        # Required.
        # owner:
        # dirs:
        #   -
        words:
          - a
          - "null"
        schedule:
          nodes: 1
          # share:
          # wait:
          chunking:
            size: 2
        vars:
          d:
            - 1
        # sites:
        #   <name>:
        #     # The step's name.
        #     name: "n"
        #     # cmds:
        #     #   -
        #     # grid:
        #     #   -
        #     #     -
        # steps:
        #   -
        #     # The step's name.
        #     name: "n"
        #     # cmds:
        #     #   -
        #     # grid:
        #     #   -
        #     #     -
        """)


def test_the_example_loads_to_the_defaults_once_the_required_keys_are_set():
    loader = make_loader()
    text = dumped(loader) + "owner: me\n"
    assert loader.load(io.StringIO(text)) == loader.validate({"owner": "me"})
    with pytest.raises(yc.RequiredError, match="owner"):
        loader.load(io.StringIO(dumped(loader)))


def test_uncommented_examples_are_good_yaml():
    text = dumped(make_loader())
    lines = [line[2:] for line in text.splitlines() if line.startswith("#")]
    start = lines.index("sites:")
    assert yaml.safe_load("\n".join(lines[start:]))["sites"] == {"<name>": {"name": "n"}}


def test_comments_and_choices_can_be_left_out():
    loader = make_loader()
    assert "Allowed" not in dumped(loader, show_choices=False)
    assert "Node state." in dumped(loader, show_choices=False)
    bare = dumped(loader, {"owner": "me"}, show_comments=False)
    assert "#" not in bare
    assert loader.load(io.StringIO(bare)) == loader.validate({"owner": "me"})


def test_hidden_keys_are_written_only_when_they_are_set():
    loader = make_loader()
    assert "secret" not in dumped(loader)
    assert "secret" not in dumped(loader, loader.validate({"owner": "me"}))
    assert "secret: x\n" in dumped(loader, {"secret": "x"})


@pytest.mark.parametrize("values", [None, {}, {"box": {"lid": {"clasp": "x"}}, "rows": [{}]}])
def test_comments_keep_to_the_width_however_deep_they_stand(values):
    words = "some words about it " * 12
    clasp = yc.StrElem("clasp", help_text=words, choices=["x", *["y" * 9] * 9])
    lid = yc.KeyedElem("lid", help_text=words, elements=[clasp])
    row = yc.CategoryElem(
        sub_elem=yc.ListElem(sub_elem=yc.KeyedElem(elements=[yc.IntElem("n", help_text=words)]))
    )
    loader = yc.YamlConfigLoader(
        help_text=words,
        elements=[
            yc.KeyedElem("box", help_text=words, elements=[lid]),
            yc.ListElem("rows", help_text=words, sub_elem=row),
        ],
    )
    lines = dumped(loader, values).splitlines()
    assert 70 < max(map(len, lines)) <= 80
    # Nothing is lost by it, whether the key is given or only shown.
    about = " ".join(line.lstrip(" #") for line in lines)
    assert about.count(words.strip()) == (5 if values else 6)


def test_long_help_is_wrapped_and_cannot_leave_its_comment():
    loader = yc.YamlConfigLoader(
        elements=[yc.StrElem("a", help_text="word " * 50 + "\u2028b: 1\x85c: 2\rd: 3\x07")]
    )
    text = dumped(loader)
    assert all(line.startswith("#") for line in text.splitlines())
    assert max(map(len, text.splitlines())) <= 80
    assert loader.load(io.StringIO(text)) == {"a": None}


def test_plus_keys_are_settled():
    loader = make_loader()
    text = dumped(loader, {"owner": "me", "words+": ["b"], "steps": [{"cmds+": "x"}]})
    config = loader.load(io.StringIO(text))
    assert (config.words, config.steps[0].cmds) == (["b"], ["x"])


def test_a_path_is_a_file_to_write(tmp_path: Path):
    loader = make_loader()
    for target in (tmp_path / "a.yaml", str(tmp_path / "b.yaml")):
        loader.dump(target, {"owner": "ü"})
        assert loader.load(target).owner == "ü"
    with pytest.raises(OSError, match="gone"):
        loader.dump(tmp_path / "gone" / "c.yaml")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"oner": "me"}, "oner: unknown key 'oner'"),
        ({"schedule": {"nodes": "x"}}, r"^schedule\.nodes: 'x' is not a whole number"),
        ({"steps": [{"name": {"a": 1}}]}, r"^steps\[0\]\.name: a mapping where text"),
        ({"vars": {"v": ["\ud800"]}}, r"^vars\.v\[0\]: text with the lone surrogate"),
    ],
)
def test_values_that_do_not_fit_are_errors(values, message):
    with pytest.raises(yc.ConfigError, match=message):
        dumped(make_loader(), values)


ODD = [
    "", " ", " a", "a ", "#", "a #b", "a: b", "a:", "- a", "-", "?", "a\nb", "\n", "a\n\n",
    "\ta", "{{var}}", "[[x]]", "null", "~", "true", "False", "yes", "No", "y", "1:30", "0x10",
    "0o7", "007", "1_000", "1e3", ".5", ".inf", ".nan", "+1", "<<", "=", "---", "...", "--- a",
    "&a", "*a", "!a", "!!str", "%a", "@a", "`a", "'", '"', "\\", "\\n", "a'b\"c", "|", ">",
    "\0", "\x07", "\x7f", "\x85", "\xa0", "\u2028", "\ufeff", "\ufffe", "ü", "\U0001f600",
    "a,b", "[a", "a]", "{", "2026-01-01", "\r",
]  # fmt: skip


@pytest.mark.parametrize("text", ODD)
def test_odd_text_survives_as_value_item_and_key(text):
    loader = yc.YamlConfigLoader(elements=[yc.StrElem("a"), yc.ListElem("b"), yc.CategoryElem("c")])
    values = {"a": text, "b": [text, text]}
    if text and not any(char.isspace() or char in ".+" for char in text):
        values["c"] = {text: text}
    assert loader.load(io.StringIO(dumped(loader, values))) == loader.validate(values)


TEXT = st.one_of(st.sampled_from(ODD), st.text(max_size=12))
KEYS = st.text(min_size=1, max_size=6).filter(
    lambda key: not any(char.isspace() or char == "." for char in key) and not key.endswith("+")
)


def some(**keys):
    """A mapping with some of the keys; values may be None too."""
    return st.fixed_dictionaries({}, optional={k: st.none() | v for k, v in keys.items()})


LIST = st.lists(st.none() | TEXT, max_size=3)
STEP = some(name=TEXT, cmds=LIST, grid=st.lists(st.lists(st.integers(), max_size=2), max_size=2))
VALUES = st.builds(
    lambda owner, rest: {"owner": owner, **rest},
    TEXT,
    some(
        working_dir=TEXT,
        state=st.sampled_from(["up", "available"]),
        secret=TEXT,
        dirs=st.lists(st.builds(Path, st.sampled_from(["/a b", "#x", "~"])), max_size=2),
        words=LIST,
        schedule=some(
            nodes=st.integers(),
            share=st.floats(allow_nan=False),
            wait=st.booleans(),
            chunking=some(size=TEXT),
        ),
        vars=st.dictionaries(KEYS, LIST, max_size=2),
        sites=st.dictionaries(KEYS, STEP, max_size=2),
        steps=st.lists(STEP, max_size=2),
    ),
)


@settings(deadline=None)
@given(VALUES, st.booleans())
def test_what_is_written_loads_to_the_same(values, show_comments):
    loader = make_loader()
    config = loader.validate(values)
    for data in (values, config):
        text = dumped(loader, data, show_comments=show_comments)
        assert loader.load(io.StringIO(text)) == config


@settings(deadline=None)
@given(st.dictionaries(KEYS, STEP, max_size=3))
def test_category_files_load_to_the_same(values):
    loader = yc.CatYamlConfigLoader(step_elem())
    assert loader.load(io.StringIO(dumped(loader, values))) == loader.validate(values)


@settings(deadline=None)
@given(st.lists(STEP, max_size=3))
def test_list_files_load_to_the_same(values):
    loader = yc.ListYamlConfigLoader(step_elem())
    assert loader.load(io.StringIO(dumped(loader, values))) == loader.validate(values)


def test_an_empty_list_is_kept_where_there_is_a_default():
    loader = yc.ListYamlConfigLoader(yc.StrElem(), defaults=["a"])
    assert loader.load(io.StringIO(dumped(loader, []))) == []
    assert loader.load(io.StringIO(dumped(loader))) == ["a"]


@pytest.mark.parametrize("options", [{"required": True}, {"default": {"size": "2"}}])
@pytest.mark.parametrize("show_comments", [True, False])
def test_an_empty_section_is_kept_where_a_missing_one_is_different(options, show_comments):
    size = yc.StrElem("size", help_text="How many.")
    section = yc.KeyedElem("chunking", elements=[size], **options)
    loader = yc.YamlConfigLoader(elements=[section])
    text = dumped(loader, {"chunking": {}}, show_comments=show_comments)
    assert loader.load(io.StringIO(text)) == {"chunking": {"size": None}}
