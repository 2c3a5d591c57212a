"""The error classes of the embedded host.

Every error that Pavilion code raises on purpose is a :class:`PavilionError`: a message about
the local context, and the exception that led to it.  :meth:`PavilionError.pformat` is what a
user reads.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pavilion.test_run import TestRun


# Longer than any path in practice; and how much of a longer word is shown.
_LONGEST_WORD = 500
_SHOWN = 80
_LONG_WORD = re.compile(rf"\S{{{_LONGEST_WORD},}}")


class PavilionError(RuntimeError):
    """The base class: a message, the prior error, and optional data for whoever catches it.

    :param msg: What went wrong, where, and what is allowed or what to do.
    :param prior_error: The exception that led to this one.
    :param data: Anything a caller may want to look at.
    """

    def __init__(
        self, msg: str, prior_error: BaseException | None = None, data: Any = None
    ) -> None:
        super().__init__(msg)
        self.msg = msg
        self.prior_error = prior_error
        self.data = data

    def __str__(self) -> str:
        if self.prior_error is None:
            return _readable(self.msg)
        return f"{_readable(self.msg)}: {_one_line(self.prior_error)}"

    def __reduce__(self) -> Any:
        # The default would call the class with the message alone and lose the rest.
        return _rebuild, (type(self), self.args, self.__dict__)

    def pformat(self) -> str:
        """The message, then each prior error, a line each and indented by depth."""
        lines: list[str] = []
        error: BaseException | None = self
        depth = 0
        while error is not None:
            text = error.msg if isinstance(error, PavilionError) else _describe(error)
            lines += ["  " * depth + line for line in _readable(text).splitlines() or [""]]
            error = error.prior_error if isinstance(error, PavilionError) else None
            depth += 1
        return "\n".join(lines)


class SchedulerPluginError(PavilionError):
    """A scheduler, or a plugin for one, could not do what was requested.

    :param tests: The tests that were not started because of it.

    The second position is ``tests`` in Pavilion and the prior error in Pavilion's guide for
    plugin authors.  Both work here: an exception in that place is taken as the prior error.
    """

    def __init__(
        self,
        msg: str,
        tests: Sequence[TestRun] | BaseException | None = None,
        prior_error: BaseException | None = None,
        data: Any = None,
    ) -> None:
        if isinstance(tests, BaseException):
            tests, prior_error = None, (prior_error or tests)
        super().__init__(msg, prior_error=prior_error, data=data)
        self.tests: list[TestRun] = list(tests or [])


class SchedConfigError(PavilionError, ValueError):
    """The ``schedule`` section of a test has something in it that is not allowed."""


class JobError(PavilionError):
    """A job's directory could not be made, read or written."""


class VariableError(PavilionError):
    """A variable does not exist, or its value cannot be determined."""


class DeferredError(VariableError):
    """A value was requested that is known only inside the allocation."""


class PluginError(PavilionError):
    """A plugin cannot be loaded, or no plugin has that name."""


class ConfigError(PavilionError):
    """A configuration or suite file is missing, unreadable or wrong."""


class TestRunError(PavilionError):
    """A test run could not be made, found or read."""

    __test__ = False  # not a test class, whatever pytest may think of the name


def quoted(value: object, limit: int = 80) -> str:
    """A value for a message: as Python writes it, and cut if it is long."""
    # Of a long string only what is shown is converted; a long number is not converted at all.
    if isinstance(value, (str, bytes)):
        value = value[: limit + 1]
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"a long {type(value).__name__}"
    return text if len(text) <= limit else f"{text[:limit]}..."


def _readable(text: str) -> str:
    """A message without words that nobody reads: a number of 4,000 digits, say."""
    if len(text) < _LONGEST_WORD:
        return text
    return _LONG_WORD.sub(lambda word: f"{word[0][:_SHOWN]}... ({len(word[0])} characters)", text)


def _one_line(error: BaseException) -> str:
    return str(error) if isinstance(error, PavilionError) else _readable(_describe(error))


def _describe(error: BaseException) -> str:
    """An exception's message; its class where there is none, or where it says too little."""
    text = str(error).strip()
    if type(error) is KeyError:
        return f"KeyError: {text}"
    return text or type(error).__name__


def _rebuild(cls: Any, args: Any, state: Any) -> PavilionError:
    error: PavilionError = cls(*args)
    error.__dict__.update(state)
    return error
