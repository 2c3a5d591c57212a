"""Exceptions from a plugin's code, as messages and errors that name the plugin and its method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Callable

from pavilion.errors import PavilionError, SchedConfigError, SchedulerPluginError

if TYPE_CHECKING:
    from pavilion.test_run import TestRun

    from ..scheduler import SchedulerPlugin

# What a plugin's code may raise without anybody's fault but its own.  An interrupt is not among it.
CAUGHT = (Exception, SystemExit)


class blaming_code:
    """As :class:`blaming`, for code that a message calls ``place``."""

    def __init__(
        self,
        place: str,
        tests: Sequence[TestRun] = (),
        *,
        before: str = "",
        after: Callable[[], str] = str,
    ) -> None:
        self._place = place
        self._tests = tests
        self._before = before
        self._after = after

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, exc: BaseException | None, traceback: Any) -> None:
        if isinstance(exc, SchedulerPluginError):
            exc.prior_error = exc.prior_error or misplaced_prior(exc)
            known: Any = exc.tests
            exc.tests = list(
                self._tests if isinstance(known, BaseException) else known or self._tests
            )
        elif isinstance(exc, SchedConfigError):
            raise section_refused(exc, self._tests) from exc
        elif isinstance(exc, CAUGHT):
            message = f"{self._before}{_failure(self._place, exc)}{self._after()}"
            raise SchedulerPluginError(message, tests=list(self._tests)) from exc


class blaming(blaming_code):
    """Run a plugin's code: any exception from it becomes the one error that hosts catch.

    A SchedulerPluginError stays as it is, but gets the tests.  A SchedConfigError becomes the error
    about a bad schedule section.

    :param method: The method to name in the message about an unexpected exception.
    :param tests: The tests concerned.
    :param before: What the message says first.
    :param after: Returns what it says last, such as the node that the method was called for.
    :raises SchedulerPluginError: For any exception.
    """

    def __init__(
        self,
        plugin: SchedulerPlugin,
        method: str,
        tests: Sequence[TestRun] = (),
        *,
        before: str = "",
        after: Callable[[], str] = str,
    ) -> None:
        super().__init__(place_of(plugin, method), tests, before=before, after=after)


def blame(plugin: SchedulerPlugin, method: str, exc: BaseException) -> str:
    """A message about an exception from a plugin's method, for a note: the text of a foreseen
    error; otherwise it also names the method and the plugin."""
    return _failure(place_of(plugin, method), exc)


def place_of(plugin: SchedulerPlugin, method: str) -> str:
    """What messages call a plugin's method, with the file that it is in."""
    return f"{method}() of scheduler plugin {plugin.name!r} ({plugin.path})"


def _failure(place: str, exc: BaseException) -> str:
    if isinstance(exc, PavilionError):
        return describe(exc)
    if isinstance(exc, NotImplementedError) and str(exc):
        # As raised by the base class.
        return str(exc)
    return f"{place} failed with {describe(exc)}"


def describe(exc: BaseException) -> str:
    """An exception's text for a note."""
    if not isinstance(exc, PavilionError):
        return f"{type(exc).__name__}: {exc}"
    misplaced = misplaced_prior(exc)
    return str(exc) if misplaced is None else f"{exc}: {describe(misplaced)}"


def misplaced_prior(exc: PavilionError) -> BaseException | None:
    """The prior error of an error that was raised as the guide for authors says, with the prior
    error as the second argument, in a host where that argument is the tests; otherwise None."""
    tests = getattr(exc, "tests", None)
    return tests if exc.prior_error is None and isinstance(tests, BaseException) else None


def section_refused(exc: BaseException, tests: Sequence[TestRun]) -> SchedulerPluginError:
    """The error about a wrong schedule section, of the class that hosts catch."""
    return SchedulerPluginError("Bad schedule section", tests=list(tests), prior_error=exc)


def as_plugin_error(
    plugin: SchedulerPlugin, tests: Sequence[TestRun], exc: BaseException
) -> SchedulerPluginError:
    """Convert an exception to a SchedulerPluginError with the tests that it concerns."""
    if isinstance(exc, SchedulerPluginError):
        return SchedulerPluginError(
            exc.msg,
            tests=list(tests),
            data=exc.data,
            prior_error=exc.prior_error or misplaced_prior(exc),
        )
    if isinstance(exc, SchedConfigError):
        # Its message comes first, because it says what is wrong with the tests, and some hosts only
        # show one line.
        return SchedulerPluginError(
            exc.msg, tests=list(tests), data=exc.data, prior_error=exc.prior_error
        )
    more = ", ..." if len(tests) > 4 else ""
    names = ", ".join(str(test.name) for test in tests[:4]) + more
    if isinstance(exc, (PavilionError, OSError)):
        return SchedulerPluginError(
            f"Tests could not be started ({names})", tests=list(tests), prior_error=exc
        )
    return SchedulerPluginError(
        f"The scheduler plugin {plugin.name!r} ({plugin.path}) failed with "
        f"{type(exc).__name__} while it started {names}",
        tests=list(tests),
        prior_error=exc,
    )
