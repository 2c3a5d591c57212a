"""What becomes of exceptions from a plugin's code."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pavilion.errors import JobError, SchedConfigError, SchedulerPluginError
from pavilion.schedulers.lifecycle.blaming import blaming

PLUGIN: Any = SimpleNamespace(name="pbs", path=Path("/site/pbs.py"))
TEST: Any = object()


def raised(exc: BaseException, **kwargs: Any) -> SchedulerPluginError:
    with pytest.raises(SchedulerPluginError) as found, blaming(PLUGIN, "_ask", [TEST], **kwargs):
        raise exc
    return found.value


@pytest.mark.parametrize("exc", [KeyError("queue"), SystemExit("queue"), StopIteration("queue")])
def test_an_unexpected_exception_names_method_and_plugin(exc: BaseException) -> None:
    error = raised(exc, before="No nodes: ", after=lambda: "; for node 'n1'")
    kind = type(exc).__name__
    assert error.msg.startswith("No nodes: _ask() of scheduler plugin 'pbs' (/site/pbs.py) failed")
    assert f"with {kind}: " in error.msg
    assert "queue" in error.msg
    assert error.msg.endswith("; for node 'n1'")
    assert error.__cause__ is exc
    assert error.tests == [TEST]


def test_a_foreseen_error_stays_as_it_is() -> None:
    other: Any = object()
    exc = SchedulerPluginError("No answer.", tests=[other])
    assert raised(exc, before="No nodes: ") is exc
    assert exc.msg == "No answer."
    assert exc.tests == [other]
    assert raised(SchedulerPluginError("No answer.")).tests == [TEST]


def test_the_prior_error_in_the_place_of_the_tests_is_kept() -> None:
    cause = OSError("no such host")
    exc = SchedulerPluginError("No answer.")
    # As in a host whose second argument is the tests.
    exc.tests = cause  # type: ignore[assignment]
    found = raised(exc)
    assert found.tests == [TEST]
    assert found.prior_error is cause


def test_other_errors_of_the_host_become_the_one_that_it_catches() -> None:
    section = raised(SchedConfigError("nodes is wrong"))
    assert "nodes is wrong" in str(section)
    assert isinstance(section.prior_error, SchedConfigError)
    assert section.tests == [TEST]
    assert raised(JobError("The job is gone")).msg == "The job is gone"


def test_what_the_plugin_does_not_define_is_said_without_blame() -> None:
    assert raised(NotImplementedError("It does not define _ask().")).msg.endswith("define _ask().")


def test_an_interrupt_passes() -> None:
    with pytest.raises(KeyboardInterrupt), blaming(PLUGIN, "_ask"):
        raise KeyboardInterrupt
