"""What stands in for a value that is not known yet."""

from __future__ import annotations

from pavilion.errors import VariableError


class DeferredVariable:
    """Nothing can be done with it: not even its truth value can be asked for."""

    DEFERRED_PREFIX = "!deferred!"

    def get(self, index, sub_var):
        raise VariableError("A deferred variable has no value yet.")

    def __len__(self):
        raise VariableError("A deferred variable has no length yet.")

    @classmethod
    def was_deferred(cls, val):
        """Whether a string of a config stands for such a value."""
        return val.startswith(cls.DEFERRED_PREFIX)
