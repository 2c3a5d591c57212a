"""A dictionary whose keys are attributes too."""

from __future__ import annotations

from typing import Any

from yaml_config.errors import near_matches


class ConfigDict(dict[str, Any]):
    """A configuration section: `config['nodes']` and `config.nodes` are the same value.

    A key that is the name of a dict method (`items`, `keys`, `copy`, ...) is reached by index
    only; setting it as an attribute raises `AttributeError`.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        """Called where `name` is no attribute of dict."""
        try:
            return self[name]
        except KeyError:
            raise AttributeError(self._no_key(name)) from None

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(dict, name):
            raise AttributeError(
                f"'{name}' is a method of dictionaries; write config['{name}'] for the key"
            )
        self[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self[name]
        except KeyError:
            raise AttributeError(self._no_key(name)) from None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(key for key in self if key.isidentifier())]

    def copy(self) -> ConfigDict:
        """Return a shallow copy of the same class."""
        return type(self)(self)

    def _no_key(self, name: str) -> str:
        message = f"the configuration has no key '{name}'"
        near = near_matches(name, [key for key in self if isinstance(key, str)])
        if near:
            message += "; did you mean " + " or ".join(repr(key) for key in near) + "?"
        return message
