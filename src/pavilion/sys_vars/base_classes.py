"""The base class of system variable plugins, and the set of those that are active."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from yapsy.IPlugin import IPlugin

from pavilion.deferred import DeferredVariable
from pavilion.errors import PluginError, VariableError
from pavilion.near import did_you_mean
from pavilion.var_dict import normalize_value

_PLUGINS: dict[str, SystemPlugin] = {}
_CORE_LOADED = False
# The tests of a job are prepared by several threads, and each of them uses the variables.
_LOCK = threading.RLock()


class SystemPlugin(IPlugin):  # type: ignore[misc]
    """A variable that describes some property of the system.

    :param name: The variable's name.
    :param description: What it describes, for listings.
    :param priority: If two plugins have the same name, the one with the higher priority is used.
    :param is_deferable: Whether the value may differ inside the allocation, so that it is only
        determined there.
    :param sub_keys: Not used; plugins for earlier versions of Pavilion pass it.
    """

    IS_PLUGIN_BASE = True

    PRIO_CORE = 0
    PRIO_COMMON = 10
    PRIO_USER = 20

    def __init__(
        self,
        name: str,
        description: str,
        priority: int = PRIO_COMMON,
        is_deferable: bool = False,
        sub_keys: Any = None,
    ) -> None:
        super().__init__()
        self.name = name
        self.description = description
        self.priority = priority
        self.is_deferable = is_deferable

    def _get(self) -> Any:
        """The value: a string, a list of strings, or a dictionary of strings.  It may raise any
        exception."""
        raise NotImplementedError(f"System variable {self.name!r} does not define _get().")

    def activate(self) -> None:
        """Make the variable known.

        :raises PluginError: When there already is one with the same name and priority.
        """
        other = _PLUGINS.get(self.name)
        if other is not None and other is not self:
            if other.priority == self.priority and type(other) is not type(self):
                raise PluginError(
                    f"Two system variables are called {self.name!r} and have the "
                    f"same priority ({self.priority}): {_file_of(other)} and "
                    f"{_file_of(self)}. Rename one of them, or give the one that is to be used a "
                    "higher priority."
                )
            if other.priority > self.priority:
                return
        _PLUGINS[self.name] = self
        super().activate()

    def deactivate(self) -> None:
        """Remove the variable again."""
        if _PLUGINS.get(self.name) is self:
            del _PLUGINS[self.name]
        super().deactivate()


class SysVars(Mapping[str, Any]):
    """The system variables; each is computed once, when it is first used.

    :param defer: Whether this is outside the allocation.
    """

    def __init__(self, defer: bool) -> None:
        self._defer = defer
        self._values: dict[str, Any] = {}

    def __getitem__(self, key: str) -> Any:
        """The value, or a DeferredVariable.

        :raises KeyError: When there is no such variable; with a near match.
        :raises VariableError: When it cannot be determined.
        """
        plugin = self._plugin(key)
        if plugin is None:
            raise KeyError(f"There is no system variable {key!r}.{did_you_mean(key, _PLUGINS)}")
        if plugin.is_deferable and self._defer:
            return DeferredVariable()
        if key not in self._values:
            try:
                self._values[key] = normalize_value(plugin._get())
            except Exception as exc:
                raise VariableError(
                    f"System variable {key!r} cannot be worked out", prior_error=exc
                ) from exc
        return self._values[key]

    def info(self, key: str) -> dict[str, Any]:
        """A description of a variable: 'name', 'deferred' (bool) and 'help'.

        :raises KeyError: When there is no such variable.
        """
        plugin = self._plugin(key)
        if plugin is None:
            raise KeyError(key)
        return {"name": key, "deferred": plugin.is_deferable, "help": plugin.description}

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(_PLUGINS))

    def __len__(self) -> int:
        return len(_PLUGINS)

    def __contains__(self, key: object) -> bool:
        return key in _PLUGINS

    @staticmethod
    def _plugin(key: str) -> SystemPlugin | None:
        return _PLUGINS.get(key)


def get_vars(defer: bool) -> SysVars:
    """The system variables.

    :param defer: Whether this is outside the allocation.
    """
    register_core_plugins()
    return SysVars(defer)


def register_core_plugins() -> None:
    """Activate the bundled system variables, once."""
    global _CORE_LOADED
    with _LOCK:
        if _CORE_LOADED:
            return
        from .core import CORE_PLUGINS

        for cls in CORE_PLUGINS:
            if cls.NAME not in _PLUGINS:
                cls().activate()
        _CORE_LOADED = True


def reset() -> None:
    """Remove all system variables; the bundled ones are added again when variables are used."""
    global _CORE_LOADED
    with _LOCK:
        _PLUGINS.clear()
        _CORE_LOADED = False


def _file_of(plugin: SystemPlugin) -> str:
    return str(getattr(sys.modules.get(type(plugin).__module__), "__file__", type(plugin)))
