"""Functions for the strings in a nested config."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Callable, Union

# The keys and list indices that lead to a string.
ConfigPath = Sequence[Union[str, int]]

# Where strings may wait for the allocation: dotted prefixes of keys, or a function of the key.
DeferredOk = Union[Collection[str], Callable[[str], bool]]


def map_texts(
    config: Any, func: Callable[[str, tuple[str | int, ...]], str], path: tuple[str | int, ...] = ()
) -> Any:
    """A copy of a config in which each string is replaced by ``func(string, path)``."""
    if isinstance(config, str):
        return func(config, path)
    # dict is checked first: a check for an abstract class takes ten times as long.
    if isinstance(config, (dict, Mapping)):
        return {key: map_texts(value, func, (*path, key)) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return [map_texts(value, func, (*path, index)) for index, value in enumerate(config)]
    return config


def dotted(path: ConfigPath) -> str:
    """A path as users write it: 'run.cmds.2'."""
    return ".".join(str(part) for part in path)


def allows(deferred_ok: DeferredOk, key: str) -> bool:
    """Whether a string with this dotted key may wait for the allocation."""
    if callable(deferred_ok):
        return deferred_ok(key)
    prefixes = (deferred_ok,) if isinstance(deferred_ok, str) else deferred_ok
    return any(key == prefix or key.startswith(f"{prefix}.") for prefix in prefixes)


def path_filter(paths: Iterable[ConfigPath] | None) -> Callable[[ConfigPath], bool]:
    """A function that says whether a path is one of these.  None: it always is."""
    if paths is None:
        return lambda path: True
    wanted = {tuple(path) for path in paths}
    return lambda path: tuple(path) in wanted
