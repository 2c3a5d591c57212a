"""Variables of the system; one of them."""

from __future__ import annotations

import collections

_PLUGINS = None


def host_register():
    """Register the plugins, as a host does when it starts."""
    global _PLUGINS
    _PLUGINS = {"sys_name": "host26"}


class _SysVarDict(collections.UserDict):
    """Variables; they are there once the plugins were registered."""

    def __init__(self, defer):
        super().__init__({})
        self.defer = defer

    def __getitem__(self, name):
        if name not in _PLUGINS:
            raise KeyError(f"No system plugin named '{name}'.")
        return _PLUGINS[name]


def get_vars(defer):
    """:param defer: Whether we are outside of the allocation."""
    return _SysVarDict(defer)
