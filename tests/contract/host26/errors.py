"""The error classes that schedulers raise, and one that values which are not known yet raise."""

from __future__ import annotations


class PavilionError(RuntimeError):
    """A message, and the error that led to it."""

    def __init__(self, msg, prior_error=None, data=None):
        self._msg = msg
        self.prior_error = prior_error
        self.data = data
        super().__init__(msg)

    @property
    def msg(self):
        """The message without that of the prior error."""
        return self._msg

    def __str__(self):
        return f"{self.msg}: {self.prior_error}" if self.prior_error else self.msg

    def __reduce__(self):
        return type(self), (self.msg, self.prior_error, self.data)

    def pformat(self):
        """All messages, the outermost first."""
        lines = str(self.msg).splitlines() + ([repr(self.data)] if self.data else [])
        error, level = self.prior_error, 1
        while error:
            known = isinstance(error, PavilionError)
            text = str(error.msg if known else error)
            lines += ["  " * level + line for line in text.splitlines()]
            if known and error.data:
                lines.append("  " * level + repr(error.data))
            error, level = (error.prior_error if known else None), level + 1
        return "\n".join(lines)

    # With this, and without a hash of its own, an error cannot be a key or in a set.
    def __eq__(self, other):
        return isinstance(other, self.__class__) and self.__dict__ == other.__dict__


class VariableError(PavilionError):
    """A variable cannot be worked out."""

    def __init__(
        self, message="", var_set=None, var=None, index=None, sub_var=None, prior_error=None
    ):
        super().__init__(message, prior_error=prior_error)


class SchedulerPluginError(PavilionError):
    """Its second position is the tests: an exception that is given there is lost."""

    def __init__(self, msg, tests=None, prior_error=None, data=None):
        self.tests = tests if tests is not None else []
        super().__init__(msg, prior_error, data)

    def __reduce__(self):
        return type(self), (self.msg, self.tests, self.prior_error, self.data)


class SchedConfigError(PavilionError):
    """Not a ValueError."""
