"""Dictionaries whose values are worked out by marked methods."""

from __future__ import annotations

import collections
import functools

from pavilion.deferred import DeferredVariable


def normalize_value(value, level=0):
    """Text, lists of it, dictionaries of it, or lists of those; None is an error."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float, bool)):
        return str(value)
    if isinstance(value, (list, tuple)) and level == 0:
        return [normalize_value(item, 1) for item in value]
    if isinstance(value, dict) and level < 2:
        return {str(key): normalize_value(item, 2) for key, item in value.items()}
    if isinstance(value, DeferredVariable):
        return value
    raise ValueError(f"Invalid variable value: {value!r}")


def _mark(func, deferable):
    @functools.wraps(func)
    def variable(self):
        if deferable and self._deferred:
            return DeferredVariable()
        return normalize_value(func(self))

    variable._is_var = True
    variable._is_deferable = deferable
    return variable


def _decorator(args, deferable):
    if len(args) == 1 and callable(args[0]):
        return _mark(args[0], deferable)
    return functools.partial(_mark, deferable=deferable)


def var_method(*args):
    """Mark a variable; with and without parentheses."""
    return _decorator(args, False)


def dfr_var_method(*args):
    """Mark a variable that is known on the allocation only."""
    return _decorator(args, True)


class VarDict(collections.UserDict):
    """Its keys are its marked methods.  What a method raises is raised."""

    def __init__(self, name, deferred=True):
        super().__init__()
        self._name = name
        self._deferred = deferred
        self._keys = [key for key in dir(type(self))
                      if getattr(getattr(type(self), key), "_is_var", False)]

    def __getitem__(self, key):
        if key not in self._keys:
            raise KeyError(f"Invalid variable '{self._name}.{key}'")
        if key not in self.data:
            self.data[key] = getattr(self, key)()
        return self.data[key]

    def __contains__(self, key):
        return key in self._keys

    def __iter__(self):
        return iter(self._keys)

    def __len__(self):
        return len(self._keys)

    def __setitem__(self, key, value):
        raise RuntimeError("Variables cannot be set.")

    def info(self, key):
        """Name, whether it is deferred, and the docstring."""
        func = getattr(type(self), key)
        return {"name": key, "deferred": func._is_deferable,
                "help": " ".join((func.__doc__ or "").split())}
