"""The bundled system variables."""

from __future__ import annotations

import os
import platform
import socket
from pathlib import Path
from typing import Any

from .base_classes import SystemPlugin


class CorePlugin(SystemPlugin):
    """A bundled system variable; the docstring is its description."""

    IS_PLUGIN_BASE = True
    NAME = ""
    DEFERABLE = False

    def __init__(self) -> None:
        super().__init__(self.NAME, (self.__doc__ or "").strip(), self.PRIO_CORE, self.DEFERABLE)


class SysName(CorePlugin):
    """The name of the cluster: $PAV_SYS_NAME, or this host's name without digits at its end."""

    NAME = "sys_name"

    def _get(self) -> str:
        host = socket.gethostname().split(".")[0]
        # The login nodes of a cluster are usually numbered.
        return os.environ.get("PAV_SYS_NAME") or host.rstrip("0123456789").rstrip("-_") or host


class SysHost(CorePlugin):
    """The name of the host that started the test."""

    NAME = "sys_host"

    def _get(self) -> str:
        return socket.gethostname().split(".")[0]


class SysArch(CorePlugin):
    """The processor architecture of the host that started the test."""

    NAME = "sys_arch"

    def _get(self) -> str:
        return platform.machine()


class SysOS(CorePlugin):
    """The operating system: a dictionary with 'name' and 'version'."""

    NAME = "sys_os"

    def _get(self) -> dict[str, str]:
        return _os_release()


class HostName(CorePlugin):
    """The name of the host that the test runs on."""

    NAME = "host_name"
    DEFERABLE = True

    def _get(self) -> str:
        return socket.gethostname().split(".")[0]


class HostArch(CorePlugin):
    """The processor architecture of the host that the test runs on."""

    NAME = "host_arch"
    DEFERABLE = True

    def _get(self) -> str:
        return platform.machine()


class HostOS(CorePlugin):
    """The operating system of the host that the test runs on: 'name' and 'version'."""

    NAME = "host_os"
    DEFERABLE = True

    def _get(self) -> dict[str, str]:
        return _os_release()


class HostCpus(CorePlugin):
    """The number of CPUs of the host that the test runs on."""

    NAME = "host_cpus"
    DEFERABLE = True

    def _get(self) -> Any:
        return os.cpu_count() or 1


def _os_release() -> dict[str, str]:
    """'name' and 'version' from /etc/os-release (see os-release(5)), or those of the kernel."""
    found: dict[str, str] = {}
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition("=")
        found[key] = value.strip().strip("\"'")
    return {
        "name": found.get("ID", platform.system().lower()),
        "version": found.get("VERSION_ID", platform.release()),
    }


CORE_PLUGINS: list[type[CorePlugin]] = [
    SysName,
    SysHost,
    SysArch,
    SysOS,
    HostName,
    HostArch,
    HostOS,
    HostCpus,
]
