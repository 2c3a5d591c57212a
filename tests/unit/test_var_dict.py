"""Lazy sets of variables, the marker for deferred ones, and the shapes of values."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pavilion.deferred import DeferredVariable
from pavilion.errors import PavilionError, VariableError
from pavilion.var_dict import VarDict, dfr_var_method, normalize_value, var_method

# A busy machine is no failure.
RELAXED = settings(deadline=None)


class Base(VarDict):
    """A set with a bit of everything."""

    def __init__(self, deferred: bool = True) -> None:
        super().__init__("things", deferred=deferred)
        self.calls: list[str] = []

    @var_method
    def count(self) -> Any:
        """How many things.

        There may be none.
        """
        self.calls.append("count")
        return 4

    @dfr_var_method
    def hosts(self) -> Any:
        """The names of the hosts."""
        self.calls.append("hosts")
        return ("b", "a")

    @var_method()
    def account(self) -> Any:
        self.calls.append("account")

    @dfr_var_method()
    def first(self) -> Any:
        return self.hosts()[0]

    @dfr_var_method("name", "cpus")
    def old_style(self) -> Any:
        return {"name": "x", "cpus": 2}

    def helper(self) -> str:
        return "not a variable"


def test_value_is_worked_out_once_by_key_and_by_call() -> None:
    things = Base(deferred=False)
    assert things["count"] == "4"
    assert things.count() == "4"
    assert things["hosts"] is things.hosts()
    assert things.hosts() == ["b", "a"]
    assert things["account"] == ""
    assert things["first"] == "b"
    assert things["old_style"] == {"name": "x", "cpus": "2"}
    assert things.calls == ["count", "hosts", "account"]


def test_each_object_has_its_own_values() -> None:
    one, two = Base(), Base()
    assert one["count"] == two["count"]
    assert one.calls == two.calls == ["count"]


def test_deferred_values_are_not_worked_out() -> None:
    things = Base()
    assert things["hosts"] == DeferredVariable()
    assert isinstance(things.hosts(), DeferredVariable)
    assert isinstance(things["old_style"], DeferredVariable)
    assert things["count"] == "4"
    assert things.calls == ["count"]


def test_a_variable_that_gives_a_deferred_one_is_deferred() -> None:
    class Wrapping(Base):
        @var_method
        def alias(self) -> Any:
            return self.hosts()

    assert isinstance(Wrapping()["alias"], DeferredVariable)
    assert Wrapping(deferred=False)["alias"] == ["b", "a"]


def test_it_is_a_read_only_dict_and_asking_for_keys_calls_nothing() -> None:
    things = Base(deferred=False)
    names = ["count", "hosts", "account", "first", "old_style"]
    assert list(things) == list(things.keys()) == names
    assert len(things) == 5
    assert "hosts" in things
    for other in ("helper", "calls", "keys", "__doc__", "nope", 3, None):
        assert other not in things
    assert "count" in repr(things)
    assert things.info("count") == {
        "name": "count",
        "deferred": False,
        "help": "How many things.\n\nThere may be none.",
    }
    assert things.info("hosts")["deferred"] is True
    assert things.info("account")["help"] == ""
    assert things.calls == []
    assert dict(things) == dict(things.items())
    assert dict(things) == {
        "count": "4",
        "hosts": ["b", "a"],
        "account": "",
        "first": "b",
        "old_style": {"name": "x", "cpus": "2"},
    }
    assert next(iter(things.values())) == "4"
    assert things.get("count") == "4"
    assert things.get("nope") is None
    assert things.get("nope", "x") == "x"


def test_unknown_key_names_near_matches() -> None:
    things = Base()
    with pytest.raises(KeyError) as caught:
        things["cont"]
    assert isinstance(caught.value, VariableError)
    assert str(caught.value) == (
        "There is no variable 'things.cont'. Did you mean 'count', 'account'?"
    )
    with pytest.raises(KeyError, match="There are: 'count', 'hosts'"):
        things["zzz"]
    with pytest.raises(KeyError, match=r"'things\.helper'"):
        things.info("helper")


def test_subclass_overrides_adds_and_calls_what_it_overrides() -> None:
    class Sub(Base):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.extra = "early"
            super().__init__(*args, **kwargs)

        @var_method
        def added(self) -> Any:
            return self.extra

        @var_method
        def count(self) -> Any:
            return super().count() + "0"

    sub = Sub(deferred=False)
    assert (sub["count"], sub.count(), sub["added"]) == ("40", "40", "early")
    assert sub.calls == ["count"]
    assert list(sub) == [*Base(), "added"]
    # The docstring of the overridden method still helps.
    assert sub.info("count")["help"].startswith("How many things.")
    assert Base()["count"] == "4"


def test_override_without_a_mark_stays_a_variable() -> None:
    class Sub(Base):
        def hosts(self) -> Any:
            return {"z", "y"}

    assert isinstance(Sub()["hosts"], DeferredVariable)
    assert Sub(deferred=False)["hosts"] == ["y", "z"]
    assert Sub().info("hosts")["deferred"] is True


def test_override_may_change_what_is_deferred() -> None:
    class Sub(Base):
        @dfr_var_method
        def count(self) -> Any:
            return 5

        @var_method
        def hosts(self) -> Any:
            return ["known"]

    assert isinstance(Sub()["count"], DeferredVariable)
    assert Sub()["hosts"] == ["known"]


def test_variables_of_a_mixin_count_and_none_removes_one() -> None:
    class Mixin:
        @var_method
        def mixed(self) -> Any:
            return "in"

    class Sub(Mixin, Base):
        count = None  # type: ignore[assignment]

    assert Sub()["mixed"] == "in"
    assert "count" not in Sub()
    assert "count" not in list(Sub())


def test_an_attribute_of_the_same_name_does_not_hide_a_variable() -> None:
    class Sub(Base):
        def __init__(self) -> None:
            self.count = 12  # type: ignore[assignment]
            super().__init__()

    assert Sub()["count"] == "4"


@pytest.mark.parametrize("name", ["keys", "values", "items", "get", "info"])
def test_a_variable_cannot_take_the_name_of_a_method(name: str) -> None:
    def method(self: VarDict) -> str:
        return "x"

    with pytest.raises(TypeError, match=f"Bad.{name} cannot be a variable"):
        type("Bad", (VarDict,), {name: var_method(method)})


def test_a_variable_method_takes_only_self() -> None:
    def needs_more(self: VarDict, other: str) -> str:
        return other

    for decorate in (var_method, var_method(), dfr_var_method, dfr_var_method()):
        with pytest.raises(TypeError, match=r"needs_more cannot be a variable"):
            decorate(needs_more)
    with pytest.raises(TypeError, match="takes 'self'"):
        var_method(lambda: "x")


class Failing(VarDict):
    @var_method
    def broken(self) -> Any:
        return {}["missing"]

    @var_method
    def nested(self) -> Any:
        return [["too deep"]]

    @var_method
    def uses_broken(self) -> Any:
        return f"{self.broken()}!"


def test_a_failing_variable_names_set_key_and_cause() -> None:
    failing = Failing("bad")
    with pytest.raises(VariableError, match=r"'bad\.broken' cannot be worked out") as caught:
        failing["broken"]
    assert isinstance(caught.value.prior_error, KeyError)
    assert caught.value.__cause__ is caught.value.prior_error
    # A KeyError inside is neither 'no such variable' nor a default.
    assert not isinstance(caught.value, KeyError)
    with pytest.raises(VariableError):
        failing.get("broken", "default")
    with pytest.raises(VariableError) as nested:
        failing.nested()
    assert "['too deep'] (list)" in nested.value.pformat()
    with pytest.raises(VariableError) as outer:
        failing["uses_broken"]
    lines = outer.value.pformat().splitlines()
    assert "bad.uses_broken" in lines[0]
    assert "bad.broken" in lines[1]


def test_a_subclass_may_handle_failures() -> None:
    class Handled(Failing):
        def __init__(self) -> None:
            super().__init__("bad")
            self.failures: list[str] = []

        def _value_failed(self, key: str, exc: Exception) -> Any:
            self.failures.append(f"{key}: {type(exc).__name__}")
            return ["<", 0, ">"] if key != "nested" else object()

    handled = Handled()
    assert handled["broken"] == ["<", "0", ">"]
    assert handled.broken() == ["<", "0", ">"]
    assert handled.failures == ["broken: KeyError"]
    with pytest.raises(VariableError, match=r"in place of 'bad\.nested'"):
        handled["nested"]


def test_variables_that_need_each_other_end_in_an_error() -> None:
    class Looping(VarDict):
        @var_method
        def one(self) -> Any:
            return self.two()

        @var_method
        def two(self) -> Any:
            return self.one()

    with pytest.raises(RecursionError):
        Looping("loop")["one"]


class Colour(str, enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@pytest.mark.parametrize(
    ("value", "normal"),
    [
        ("text", "text"),
        ("", ""),
        (None, ""),
        (7, "7"),
        (-1.5, "-1.5"),
        (True, "True"),
        (False, "False"),
        (Path("/a/b"), "/a/b"),
        (Colour.RED, "red"),
        (Level.HIGH, "3"),
        ([], []),
        (["a", 1, None], ["a", "1", ""]),
        (("a", "b"), ["a", "b"]),
        ({3, 20, 1}, ["1", "3", "20"]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ({1, "a"}, ["1", "a"]),
        ({}, {}),
        ({"a": 1, 2: None}, {"a": "1", "2": ""}),
        ([{"a": 1}, {}], [{"a": "1"}, {}]),
        (({"a": "b"},), [{"a": "b"}]),
    ],
)
def test_normalized_values(value: Any, normal: Any) -> None:
    assert normalize_value(value) == normal


@pytest.mark.parametrize(
    ("value", "given_text"),
    [
        ([["a"]], r"\['a'\] \(list\)"),
        ({"a": {"b": "c"}}, r"\{'b': 'c'\} \(dict\)"),
        ({"a": ["b"]}, r"\['b'\] \(list\)"),
        ([{"a": ["b"]}], r"\(list\)"),
        (b"bytes", "bytes"),
        (object(), "object"),
        (1 + 2j, "complex"),
        ([{"a": "b"}, "c"], r"both dicts and 'c'"),
        ({(1, 2): "a"}, "tuple"),
        ({1: "a", "1": "b"}, "the same as strings"),
        ((x for x in "ab"), "generator"),
        (["x" * 500, b"y"], "bytes"),
    ],
)
def test_values_that_are_not_allowed(value: Any, given_text: str) -> None:
    with pytest.raises(ValueError, match=given_text):
        normalize_value(value)


def test_the_message_says_what_is_allowed_and_stays_short() -> None:
    with pytest.raises(ValueError) as caught:
        normalize_value([list(range(10_000))])
    assert "a list of such dicts" in str(caught.value)
    assert len(str(caught.value)) < 300


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())
DICTS = st.dictionaries(st.text(), SCALARS)


@RELAXED
@given(st.one_of(SCALARS, st.lists(SCALARS), DICTS, st.lists(DICTS), st.frozensets(SCALARS)))
def test_normalizing_gives_text_and_twice_is_the_same(value: Any) -> None:
    normal = normalize_value(value)
    assert normalize_value(normal) == normal
    items = normal if isinstance(normal, list) else [normal]
    for item in items:
        texts = [*item.keys(), *item.values()] if isinstance(item, dict) else [item]
        assert all(type(text) is str for text in texts)


ANYTHING = st.recursive(
    st.one_of(SCALARS, st.binary(), st.complex_numbers()),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=8,
)


@RELAXED
@given(ANYTHING)
def test_normalizing_raises_nothing_but_value_error(value: Any) -> None:
    try:
        normalize_value(value)
    except ValueError as exc:
        assert "may be" in str(exc)


def test_deferred_markers_are_equal_and_readable() -> None:
    assert DeferredVariable() == DeferredVariable()
    assert DeferredVariable() != "x"
    assert len({DeferredVariable(), DeferredVariable()}) == 1
    assert repr(DeferredVariable()) == "DeferredVariable()"
    assert "inside the allocation" in str(DeferredVariable())


def test_variable_errors_are_pavilion_errors() -> None:
    assert issubclass(VariableError, PavilionError)
