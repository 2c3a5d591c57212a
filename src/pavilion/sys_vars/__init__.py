"""System variables: ``{{sys.sys_name}}``, ``{{sys.host_name}}``, ...

Each is a small plugin, whose value is only computed when it is used.  Schedulers use
``get_vars(defer)['sys_name']``.
"""

from __future__ import annotations

from .base_classes import SystemPlugin, SysVars, get_vars, reset

__all__ = ["SystemPlugin", "SysVars", "get_vars", "reset"]
