"""The error classes that schedulers raise."""

from __future__ import annotations


class PavilionError(RuntimeError):
    """A message, and the error that led to it."""

    def __init__(self, msg, prior_error=None, data=None):
        super().__init__(msg)
        self.msg = msg
        self.prior_error = prior_error
        self.data = data

    def __str__(self):
        return self.msg if self.prior_error is None else f"{self.msg}: {self.prior_error}"

    def pformat(self):
        """All messages, the outermost first."""
        lines, error = [], self
        while error is not None:
            lines.append("  " * len(lines) + str(getattr(error, "msg", None) or error))
            error = getattr(error, "prior_error", None)
        return "\n".join(lines)


class SchedulerPluginError(PavilionError):
    """Its second position is the tests: an exception that is given there is lost."""

    def __init__(self, msg, tests=None, prior_error=None, data=None):
        super().__init__(msg, prior_error, data)
        self.tests = [] if tests is None else tests


class SchedConfigError(PavilionError):
    """No ValueError."""
