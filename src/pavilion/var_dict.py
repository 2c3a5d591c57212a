"""Sets of variables whose values are determined when they are first requested.

A set is a class, and each of its variables is a method with a mark:

.. code-block:: python

    class ClockVars(VarDict):

        @var_method
        def zone(self) -> str:
            "The time zone of this host."
            return time.tzname[0]

        @dfr_var_method
        def start(self) -> float:
            "When the test began to run (seconds since the epoch)."
            return time.time()

    clock = ClockVars("clock", deferred=False)
    clock["zone"]       # calls the method once, and keeps the value
    clock.zone()        # the same value
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import PurePath
from types import FunctionType
from typing import Any, Callable, TypeVar, Union, overload

from pavilion.deferred import DeferredVariable
from pavilion.errors import VariableError
from pavilion.near import near_matches

# What a variable may hold.
VarValue = Union[str, list[str], dict[str, str], list[dict[str, str]]]

_Method = TypeVar("_Method", bound=Callable[..., Any])

# The attribute that marks a method as a variable.  Its value says whether it is deferred.
_MARK = "_pav_variable_deferred"

_ALLOWED = (
    "a string, a number, true or false, a path, a list of those, a dict of those, "
    "or a list of such dicts"
)


class UnknownVariableError(VariableError, KeyError):
    """A set has no variable of that name.  It is a KeyError, too, as for any dict."""


@overload
def var_method(func: _Method, /) -> _Method: ...
@overload
def var_method(*sub_keys: str) -> Callable[[_Method], _Method]: ...
def var_method(*args: Any) -> Any:
    """Mark a method of a :class:`VarDict` as a variable.

    Use it bare or with parentheses.  Names of sub-keys, which old plugins give, are accepted
    and have no effect.

    :raises TypeError: for a method that needs more arguments than ``self``.
    """
    return _decorate(args, deferred=False)


@overload
def dfr_var_method(func: _Method, /) -> _Method: ...
@overload
def dfr_var_method(*sub_keys: str) -> Callable[[_Method], _Method]: ...
def dfr_var_method(*args: Any) -> Any:
    """Mark a method as a variable that is only known inside the allocation.

    Its value is a :class:`DeferredVariable`, and the method is not called, as long as its object
    is a deferred one.  Otherwise it is the same as :func:`var_method`.

    :raises TypeError: for a method that needs more arguments than ``self``.
    """
    return _decorate(args, deferred=True)


class VarDict(Mapping[str, Any]):
    """A lazy, read-only dict whose keys are its marked methods.

    A method is called at most once per object, when its value is first requested by key or by a
    call.  The value is normalized (see :func:`normalize_value`) and kept.  All callers share it,
    so do not change it.  Listing the keys, counting them or checking for one calls nothing.

    A subclass adds variables and overrides those of its bases.  An override without a mark takes
    over the mark, and one without a docstring takes over the docstring.  ``name = None`` removes a
    variable.

    :param name: The name of the set, for messages.
    :param deferred: Whether the allocation does not exist yet, so that the variables marked with
        ``dfr_var_method`` cannot be known.
    """

    def __init__(self, name: str, deferred: bool = True) -> None:
        self._name = name
        self._deferred = deferred
        # By function and not by key: an override may call the method that it overrides.
        self._values: dict[Callable[..., Any], Any] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for key, attr in list(vars(cls).items()):
            if not isinstance(attr, FunctionType):
                continue
            if not _is_marked(attr):
                inherited = getattr(super(cls, cls), key, None)
                if not _is_marked(inherited):
                    continue
                attr = _mark(attr, deferred=getattr(inherited, _MARK))
                setattr(cls, key, attr)
            if key in _RESERVED:
                raise TypeError(
                    f"{cls.__name__}.{key} cannot be a variable: '{key}' is a "
                    f"method of every set of variables. Give it another name."
                )

    def __getitem__(self, key: str) -> Any:
        """The value of a variable, or a :class:`DeferredVariable`.

        :raises UnknownVariableError: (a KeyError) when there is none of that name.
        :raises VariableError: when its method fails, unless a subclass handles that.
        """
        self._check_key(key)
        # Of the class: an attribute of the same name that a subclass sets must not be taken.
        return getattr(type(self), key)(self)

    def get(self, key: str, default: Any = None) -> Any:
        """The value of a variable, or the default when there is none of that name."""
        # A KeyError from inside a variable's method must not look like 'no such variable'.
        if key not in self:
            return default
        return self[key]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and _is_marked(getattr(type(self), key, None))

    def __iter__(self) -> Iterator[str]:
        """The names of the variables: those of base classes first, each in order of definition."""
        names: dict[str, None] = {}
        for klass in reversed(type(self).__mro__):
            names.update(dict.fromkeys(vars(klass)))
        return (name for name in names if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} '{self._name}': {', '.join(self)}>"

    def info(self, key: str) -> dict[str, Any]:
        """What there is to know about a variable without its value.

        :return: 'name'; 'deferred': whether it is only known inside the allocation; 'help': the
            docstring of its method, cleaned.
        :raises UnknownVariableError: (a KeyError) when there is none of that name.
        """
        self._check_key(key)
        return {
            "name": key,
            "deferred": getattr(getattr(type(self), key), _MARK),
            "help": self._help(key),
        }

    def _value_failed(self, key: str, exc: Exception) -> Any:
        """Handle an error that a variable's method raised, or a value that is not allowed.

        Override this to give a value in its place.  That value is normalized and kept.

        :raises VariableError: always, in this class.
        """
        raise VariableError(
            f"The variable '{self._name}.{key}' cannot be worked out", prior_error=exc
        ) from exc

    def _variable_value(self, func: Callable[..., Any], deferred: bool) -> Any:
        """The value that a marked method gives for this object; worked out once."""
        if deferred and self._deferred:
            return DeferredVariable()
        if func not in self._values:
            self._values[func] = self._work_out(func)
        return self._values[func]

    def _work_out(self, func: Callable[..., Any]) -> Any:
        key = func.__name__
        try:
            return _normalize_unless_deferred(func(self))
        except RecursionError:
            # Methods that call each other: to wrap this at every level would bury the cause.
            raise
        except Exception as exc:
            value = self._value_failed(key, exc)
        try:
            return _normalize_unless_deferred(value)
        except ValueError as exc:
            raise VariableError(
                f"The value in place of '{self._name}.{key}', which failed, is not allowed",
                prior_error=exc,
            ) from exc

    def _check_key(self, key: str) -> None:
        if key in self:
            return
        near = near_matches(key, self, 3)
        hint = (
            f"Did you mean {_quoted(near)}?"
            if near
            else f"There are: {_quoted(list(self)) or 'none'}."
        )
        raise UnknownVariableError(f"There is no variable '{self._name}.{key}'. {hint}")

    def _help(self, key: str) -> str:
        for klass in type(self).__mro__:
            method = vars(klass).get(key)
            if _is_marked(method) and method.__doc__:
                import inspect

                return inspect.cleandoc(method.__doc__)
        return ""


# Names that a variable must not take: it would hide a method of the set.
_RESERVED = frozenset(name for name in dir(VarDict) if not name.startswith("_"))


def normalize_value(value: Any) -> VarValue:
    """Bring a value to one of the four shapes that a variable may have.

    Those are a string, a list of strings, a dict of strings (keys too) and a list of such dicts.
    Numbers, booleans and paths become strings; None becomes ''; tuples and sets become lists, sets
    sorted.

    :raises ValueError: for anything else, with what was given and what is allowed.
    """
    if isinstance(value, Mapping):
        return _normalize_dict(value)
    if not isinstance(value, (list, tuple, set, frozenset)):
        return _normalize_scalar(value)
    items = _sorted(value) if isinstance(value, AbstractSet) else value
    dicts = [item for item in items if isinstance(item, Mapping)]
    if not dicts:
        return [_normalize_scalar(item) for item in items]
    if len(dicts) < len(items):
        other = next(item for item in items if not isinstance(item, Mapping))
        raise ValueError(
            f"A list holds both dicts and {_described(other)}. A variable's value "
            f"may be {_ALLOWED}."
        )
    return [_normalize_dict(item) for item in dicts]


def _normalize_unless_deferred(value: Any) -> Any:
    # A variable that is nothing but another, deferred one.
    return value if isinstance(value, DeferredVariable) else normalize_value(value)


def _normalize_dict(value: Mapping[Any, Any]) -> dict[str, str]:
    normal = {_normalize_scalar(key): _normalize_scalar(item) for key, item in value.items()}
    if len(normal) < len(value):
        raise ValueError(f"Two keys of a dict are the same as strings: {_described(value)}.")
    return normal


def _normalize_scalar(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        # An enum member that is a string has another str().
        return str.__str__(value)
    if isinstance(value, (bool, PurePath)):
        return str(value)
    # The classes' own repr: those of subclasses (enums, numpy's float64) differ by version.
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return float.__repr__(value)
    raise ValueError(
        f"{_described(value)} is not allowed here. A variable's value may be {_ALLOWED}."
    )


def _sorted(items: AbstractSet[Any]) -> list[Any]:
    try:
        return sorted(items)
    except TypeError:
        return sorted(items, key=str)


def _described(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"


def _quoted(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _is_marked(method: Any) -> bool:
    return isinstance(getattr(method, _MARK, None), bool)


def _decorate(args: Any, deferred: bool) -> Any:
    if len(args) == 1 and callable(args[0]):
        return _mark(args[0], deferred)
    return functools.partial(_mark, deferred=deferred)


def _takes_self_alone(func: Callable[..., Any]) -> bool:
    """Whether a method can be called with nothing but its object."""
    code = getattr(func, "__code__", None)
    if code is not None and code.co_argcount == 1 and not code.co_kwonlyargcount:
        return True
    # Rarely needed, and importing it takes longer than importing this module.
    import inspect

    params = list(inspect.signature(func).parameters.values())
    return bool(params) and all(
        param.default is not param.empty or param.kind in (param.VAR_POSITIONAL, param.VAR_KEYWORD)
        for param in params[1:]
    )


def _mark(func: Callable[..., Any], deferred: bool) -> Callable[..., Any]:
    """Mark a function, and let calls of it go through the object's kept values."""
    if not _takes_self_alone(func):
        raise TypeError(
            f"{func.__qualname__} cannot be a variable: a variable's method takes "
            f"'self' and no more."
        )

    @functools.wraps(func)
    def variable(self: VarDict) -> Any:
        return self._variable_value(func, deferred)

    setattr(variable, _MARK, deferred)
    return variable
