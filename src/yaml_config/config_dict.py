"""A dictionary whose keys are also attributes."""

from __future__ import annotations

import importlib
from typing import Any

from yaml_config.errors import near_matches


class ConfigDict(dict[str, Any]):
    """A configuration section: `config['nodes']` and `config.nodes` are the same value.

    A key that is the name of a dict method (`items`, `keys`, `copy`, ...) can only be accessed by
    index; setting it as an attribute raises `AttributeError`.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        """The value of a key; called when `name` is not an attribute of dict.

        :raises AttributeError: there is no such key; with near matches.
        """
        try:
            return self[name]
        except KeyError:
            raise AttributeError(self._no_key(name)) from None

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(dict, name):
            raise AttributeError(
                f"'{name}' is a method of dictionaries; use config['{name}'] for the key"
            )
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(self._no_key(name)) from None

    def __dir__(self) -> list[str]:
        keys = [key for key in self if isinstance(key, str) and key.isidentifier()]
        return [*super().__dir__(), *keys]

    def copy(self) -> ConfigDict:
        """Return a shallow copy of the same class."""
        return type(self)(self)

    def _no_key(self, name: str) -> str:
        message = f"the configuration has no key '{name}'"
        near = near_matches(name, [key for key in self if isinstance(key, str)])
        if near:
            message += "; did you mean " + " or ".join(repr(key) for key in near) + "?"
        return message


def _register() -> None:
    """Make the YAML libraries write a `ConfigDict` as a mapping.

    `yc_yaml` is Pavilion's copy of PyYAML, with which it saves the configs of tests.
    """
    for library in ("yaml", "yc_yaml"):
        try:
            writer = importlib.import_module(f"{library}.representer").SafeRepresenter
        except ImportError:
            continue
        writer.add_representer(ConfigDict, writer.represent_dict)


_register()
