"""System variables: ``{{sys.sys_name}}``, ``{{sys.host_name}}``, ...

Each is a small plugin that is asked for its value when, and only when, somebody wants it.
``get_vars(defer)['sys_name']`` is what schedulers use.
"""

from __future__ import annotations

from .base_classes import SystemPlugin, SysVars, get_vars, reset

__all__ = ["SystemPlugin", "SysVars", "get_vars", "reset"]
