"""Results that depend on a configuration, computed once for all configurations that agree in the
keys that matter.

A plugin's inventory may depend on the schedule section: on the states that count as up, or on the
reservation.  Only the plugin's code knows which keys matter, so the keys that it reads are recorded.
A result is used again for every configuration that has the same values for these keys.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any, Callable, Generic, TypeVar

from .inventory import frozen

T = TypeVar("T")


class WatchedConfig(dict[str, Any]):
    """A schedule section that records which of its keys are read, in ``read``."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        # Copying a section that is itself watched must not count as reading it.
        super().__init__(dict.items(config) if isinstance(config, dict) else config)
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """As for any dictionary."""
        self.read.add(key)
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self.read.add(str(key))
        return super().__contains__(key)

    # Code that iterates over the keys depends on all of them.
    def _read_all(self) -> None:
        self.read.update(super().keys())

    def __iter__(self) -> Iterator[str]:
        self._read_all()
        return super().__iter__()

    def keys(self) -> Any:
        """As for any dictionary."""
        self._read_all()
        return super().keys()

    def values(self) -> Any:
        """As for any dictionary."""
        self._read_all()
        return super().values()

    def items(self) -> Any:
        """As for any dictionary."""
        self._read_all()
        return super().items()

    def copy(self) -> dict[str, Any]:
        """As for any dictionary."""
        return dict(self.items())

    def pop(self, key: str, *default: Any) -> Any:
        """As for any dictionary."""
        self.read.add(key)
        return super().pop(key, *default)

    def popitem(self) -> tuple[str, Any]:
        """As for any dictionary."""
        self._read_all()
        return super().popitem()

    def setdefault(self, key: str, default: Any = None) -> Any:
        """As for any dictionary."""
        self.read.add(key)
        return super().setdefault(key, default)

    def __eq__(self, other: object) -> bool:
        self._read_all()
        return super().__eq__(other)

    __hash__ = None

    def __repr__(self) -> str:
        self._read_all()
        return super().__repr__()


class ConfigCache(Generic[T]):
    """Results of one function of a configuration.

    The cost of looking up a result is linear in the size of the values that matter.
    """

    def __init__(self) -> None:
        # The sets of keys on which results were found to depend, oldest first.
        self._reads: list[tuple[str, ...]] = []
        self._results: dict[tuple[Hashable, ...], T] = {}

    def get(
        self,
        config: Mapping[str, Any],
        work_out: Callable[[dict[str, Any]], T],
        holds: Callable[[T], bool] = lambda _: True,
    ) -> T:
        """The result for a configuration.

        :param work_out: Computes the result from the configuration, if it is not known yet.
        :param holds: Says whether a known result can still be used.
        """
        for reads in self._reads:
            key = _key(config, reads)
            if key in self._results and holds(self._results[key]):
                return self._results[key]
        watched = WatchedConfig(config)
        result = work_out(watched)
        reads = tuple(sorted(watched.read))
        if reads not in self._reads:
            self._reads.append(reads)
        self._results[_key(config, reads)] = result
        return result

    def clear(self) -> None:
        """Forget all results."""
        self._reads.clear()
        self._results.clear()


class Sections:
    """The validated schedule sections of a plan's tests: most tests have the section of another one."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, Any]] = {}

    def get(
        self, raw: Mapping[str, Any], validate: Callable[[Mapping[str, Any]], dict[str, Any]]
    ) -> dict[str, Any]:
        """A test's validated section, which is its own: a plugin may change it."""
        text = repr(raw)
        found = self._known.get(text)
        if found is None:
            found = validate(raw)
            try:
                self._known[text] = _copy(found)
            except TypeError:
                # A plugin's own validator returned something that may not be shared.
                pass
            return found
        copied: dict[str, Any] = _copy(found)
        return copied


def _copy(value: Any) -> Any:
    """A copy of plain data, many times as fast as copy.deepcopy.

    :raises TypeError: When it is something else.
    """
    if isinstance(value, (str, int, float, type(None))):
        return value
    if type(value) is dict:
        return {key: _copy(member) for key, member in value.items()}
    if type(value) is list:
        return [_copy(member) for member in value]
    raise TypeError(f"{type(value).__name__} is not copied")


def _key(config: Mapping[str, Any], reads: tuple[str, ...]) -> tuple[Hashable, ...]:
    return (reads, *(frozen(config.get(key)) for key in reads))
