"""Errors: what a user gets to read, and both ways to say what came before."""

from __future__ import annotations

import pickle

import pytest

from pavilion import errors
from pavilion.errors import (
    ConfigError,
    PavilionError,
    SchedConfigError,
    SchedulerPluginError,
    VariableError,
)

ALL = [
    PavilionError,
    SchedulerPluginError,
    SchedConfigError,
    errors.JobError,
    VariableError,
    errors.DeferredError,
    errors.PluginError,
    ConfigError,
    errors.TestRunError,
]


def test_the_text_is_message_and_prior_error() -> None:
    assert str(PavilionError("It broke.")) == "It broke."
    assert str(PavilionError("Cannot count", ValueError("no number"))) == "Cannot count: no number"


def test_pformat_shows_each_cause_on_a_line_of_its_own_indented() -> None:
    inner = ConfigError("Line 3 is wrong", prior_error=ValueError("first\nsecond"))
    outer = SchedulerPluginError("Cannot start", prior_error=inner)
    assert outer.pformat().splitlines() == [
        "Cannot start",
        "  Line 3 is wrong",
        "    first",
        "    second",
    ]


@pytest.mark.parametrize(
    "prior, text",
    [
        (KeyError("nodes"), "KeyError: 'nodes'"),
        (RuntimeError(), "RuntimeError"),
        (
            OSError(2, "No such file or directory", "/x"),
            "[Errno 2] No such file or directory: '/x'",
        ),
    ],
)
def test_causes_that_say_little_name_their_class(prior: Exception, text: str) -> None:
    assert PavilionError("Failed", prior).pformat() == f"Failed\n  {text}"


def test_an_empty_message_is_a_line_too() -> None:
    assert PavilionError("", ValueError("why")).pformat() == "\n  why"


def test_a_plugin_error_takes_tests_or_an_exception_in_second_place() -> None:
    prior = ValueError("x")
    as_the_guide_says = SchedulerPluginError("Invalid.", prior)
    assert as_the_guide_says.prior_error is prior
    assert as_the_guide_says.tests == []

    tests = [object(), object()]
    as_pavilion_does = SchedulerPluginError("Invalid.", tests, prior, {"a": 1})  # type: ignore
    assert as_pavilion_does.tests == tests
    assert as_pavilion_does.prior_error is prior
    assert as_pavilion_does.data == {"a": 1}


def test_the_list_of_tests_is_the_errors_own() -> None:
    tests: list[object] = [object()]
    error = SchedulerPluginError("Invalid.", tests=tests)  # type: ignore[arg-type]
    tests.clear()
    assert len(error.tests) == 1


def test_a_keyword_goes_before_an_exception_in_second_place() -> None:
    named = OSError("named")
    assert SchedulerPluginError("m", ValueError("x"), prior_error=named).prior_error is named


def test_a_bad_schedule_section_is_a_value_error_too() -> None:
    with pytest.raises(ValueError, match="nodes"):
        raise SchedConfigError("nodes must be at least 1")


@pytest.mark.parametrize("cls", ALL)
def test_all_are_pavilion_errors_and_survive_pickling(cls: type[PavilionError]) -> None:
    error = cls("What", prior_error=ValueError("why"), data={"node": "n1"})
    assert isinstance(error, PavilionError)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 (made here)
    assert type(copy) is cls
    assert (copy.msg, str(copy.prior_error), copy.data) == ("What", "why", {"node": "n1"})
    assert copy.pformat() == error.pformat()
