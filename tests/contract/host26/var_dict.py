"""Dictionaries whose values are worked out by marked methods."""

from __future__ import annotations

import collections
import functools
import inspect
import traceback

from pavilion.deferred import DeferredVariable


def normalize_value(value, level=0):
    """A string, a list of strings, a dictionary of strings or a list of those; None where a value
    is something else, also as an item of a list."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float, bool, bytes)):
        return str(value)
    if isinstance(value, (list, tuple)) and level == 0:
        return [normalize_value(item, 1) for item in value]
    if isinstance(value, dict) and level < 2:
        return {str(key): normalize_value(item, 2) for key, item in value.items()}
    return None


def _mark(func, deferable):
    func._is_var_method = True
    func._is_deferable = deferable

    @functools.wraps(func)
    def variable(self):
        if deferable and self._deferred:
            return DeferredVariable()
        value = func(self)
        normal = normalize_value(value)
        if normal is None:
            raise ValueError(f"Invalid variable value returned by {func.__name__}: {value}.")
        return normal

    return variable


def var_method(func):
    """Mark a variable; without parentheses."""
    return _mark(func, False)


def dfr_var_method(*sub_keys):
    """Mark a variable that is known on the allocation only; with and without parentheses."""
    if sub_keys and callable(sub_keys[0]):
        return _mark(sub_keys[0], True)
    return functools.partial(_mark, deferable=True)


class VarDict(collections.UserDict):
    """Its keys are its marked methods; what was read is in ``data``."""

    DEFER_ERRORS = False

    def __init__(self, name, deferred=True):
        super().__init__(self)
        self._name = name
        self._deferred = deferred
        # This reads every attribute, properties included.
        self._keys = {
            key
            for key, member in inspect.getmembers(self)
            if not key.startswith("_")
            and callable(member)
            and getattr(member, "_is_var_method", False)
        }
        self._errors = []

    def __getitem__(self, key):
        if key not in self._keys:
            raise KeyError(f"Invalid {self._name} variable '{key}'")
        if key not in self.data:
            try:
                self.data[key] = getattr(self, key)()
            except Exception as err:
                if not self.DEFER_ERRORS:
                    raise
                text = f"Error getting key '{key}': {err}"
                self.data[key] = f"<{text}>"
                self._errors.append(f"{text}\n{traceback.format_exc()}")
        return self.data[key]

    @var_method
    def errors(self):
        """What went wrong."""
        return self._errors

    def add_errors(self, errors):
        self._errors.extend(errors)

    # Iterating, 'in' and len() are those of UserDict: they know what is in ``data``.

    def keys(self):
        return (key for key in self._keys)

    def get(self, key, default=None):
        return self[key] if key in self._keys else default

    def values(self):
        return (self[key] for key in self.keys())

    def items(self):
        return ((key, self[key]) for key in self.keys())

    def info(self, key):
        """Name, whether it is deferred, and the docstring."""
        if key not in self._keys:
            raise KeyError(f"Key '{key}' does not exist in vardict '{self._name}'")
        func = getattr(self, key)
        return {
            "name": key,
            "deferred": func._is_deferable,
            "help": " ".join((func.__doc__ or "").split()),
        }
