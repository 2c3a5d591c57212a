"""The base class of system variable plugins, and the set of those that are active."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from yapsy.IPlugin import IPlugin

from pavilion.deferred import DeferredVariable
from pavilion.errors import PluginError, VariableError
from pavilion.var_dict import normalize_value

_PLUGINS: dict[str, SystemPlugin] = {}
_CORE_LOADED = False
# The tests of a job are prepared by several threads, and each asks for the variables.
_LOCK = threading.RLock()


class SystemPlugin(IPlugin):  # type: ignore[misc]
    """A variable that tells something about the system.

    :param name: The variable's name.
    :param description: What it tells, for listings.
    :param priority: Of two plugins with one name the higher one is used.
    :param is_deferable: Whether the value may differ inside the allocation, so that it is only
        asked for there.
    :param sub_keys: Not used; plugins of earlier Pavilions give it.
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
        """The value: text, a list of texts, or a dictionary of texts.  May raise anything."""
        raise NotImplementedError(f"System variable {self.name!r} does not define _get().")

    def activate(self) -> None:
        """Make the variable known.

        :raises PluginError: When there is one of that name and priority already.
        """
        other = _PLUGINS.get(self.name)
        if other is not None and other is not self:
            if other.priority == self.priority and type(other) is not type(self):
                raise PluginError(
                    f"Two system variables are called {self.name!r} and have the "
                    f"same priority ({self.priority}): {_file_of(other)} and "
                    f"{_file_of(self)}. Rename one, or give the one to be used a "
                    "higher priority."
                )
            if other.priority > self.priority:
                return
        _PLUGINS[self.name] = self
        super().activate()

    def deactivate(self) -> None:
        """Take the variable out again."""
        if _PLUGINS.get(self.name) is self:
            del _PLUGINS[self.name]
        super().deactivate()


class SysVars(Mapping[str, Any]):
    """The system variables; each is worked out once, when it is asked for.

    :param defer: Whether we are outside the allocation.
    """

    def __init__(self, defer: bool) -> None:
        self._defer = defer
        self._values: dict[str, Any] = {}

    def __getitem__(self, key: str) -> Any:
        """The value, or a DeferredVariable.

        :raises KeyError: When there is no such variable.
        :raises VariableError: When it cannot be worked out.
        """
        plugin = self._plugin(key)
        if plugin is None:
            import difflib

            near = difflib.get_close_matches(str(key), list(_PLUGINS), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise KeyError(f"There is no system variable {key!r}.{hint}")
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
        """Name, whether it is deferred, and help text.  :raises KeyError: when unknown."""
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

    :param defer: Whether we are outside the allocation.
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
    """Take all system variables out; the bundled ones come back when asked for."""
    global _CORE_LOADED
    with _LOCK:
        _PLUGINS.clear()
        _CORE_LOADED = False


def _file_of(plugin: SystemPlugin) -> str:
    return str(getattr(sys.modules.get(type(plugin).__module__), "__file__", type(plugin)))
