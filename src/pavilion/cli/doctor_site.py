"""The part of 'doctor' about settings, config directories, plugins and schedulers."""

from __future__ import annotations

import argparse
import functools
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .base import Session
from .findings import OK, PROBLEM, WARNING, Section, describe
from .output import plural

if TYPE_CHECKING:
    from pavilion.config import PavConfig
    from pavilion.schedulers.finding.host_check import Finding

# Seconds that a scheduler gets to say whether it can be used, and what there is of it.
SCHEDULER_PATIENCE = 8.0
NO_SETTINGS = "not checked: the settings cannot be used, see above"
FIX_SETTINGS = "Fix them, or use another file with --config-file or $PAV_CONFIG_FILE."


class LenientSession(Session):
    """The session of 'doctor': it accepts settings that name directories which do not exist.

    :ivar error: What is wrong with the settings; None when nothing is.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__(args)
        self.error: Exception | None = None
        # The sections are checked in several threads, and the settings are read once.
        self._reading = threading.Lock()
        self._read: PavConfig | None = None

    @property
    def pav_cfg(self) -> PavConfig:
        """The settings.  :raises Exception: When they cannot be used at all."""
        with self._reading:
            if self._read is None:
                if self.error is not None:
                    raise self.error
                self._read = self._load()
            return self._read

    def _load(self) -> PavConfig:
        from pavilion.config import load_config

        args: dict[str, Any] = {
            "config_file": self.args.config_file,
            "working_dir": self.args.working_dir,
            "config_dirs": self.args.config_dir,
        }
        try:
            return load_config(**args)
        except Exception as exc:
            self.error = exc
        return load_config(**args, check_dirs=False)


def has_settings(section: Section, session: Session) -> bool:
    """Whether there are settings to work with; a finding if there are none."""
    try:
        _ = session.pav_cfg
    except Exception:
        section.warn(section.name.lower(), NO_SETTINGS, "")
        return False
    return True


def settings(section: Section, session: Session) -> None:
    """The settings file, and where each setting comes from.  Not the lines of env_setup: they may
    hold passwords."""
    from .show_config import effective_settings

    section.trying = "settings file"
    try:
        found = effective_settings(session)
    except Exception as exc:
        section.problem("settings file", describe(exc), FIX_SETTINGS)
        return
    error = getattr(session, "error", None)
    if error is not None:
        section.problem("settings", describe(error), FIX_SETTINGS)
    for text in session.pav_cfg.warnings:
        section.warn("settings", text, "")
    for name, value, source in found:
        if name == "env_setup":
            if isinstance(value, list):
                section.ok(name, f"{plural(len(value), 'line')}, not shown (from {source})")
        elif name == "config_file":
            section.ok(name, "none" if value is None else f"{value}{_access(value)} ({source})")
        elif name != "pav_root":
            shown = ", ".join(value) if isinstance(value, list) else value
            section.ok(name, f"{shown or 'none'} (from {source})")


def _access(path: str) -> str:
    try:
        info = Path(path).stat()
    except OSError:
        return ""
    return f", mode {info.st_mode & 0o7777:04o}, owner {info.st_uid}"


def config_dirs(section: Section, session: Session) -> None:
    """Whether the config directories are there, and what is in them; and the packages with plugins
    that are installed."""
    section.trying = "settings"
    if not has_settings(section, session):
        return
    paths = [Path(item["path"]) for item in session.pav_cfg.configs.values()]
    for path in paths:
        with section.attempt(str(path), "Check the permissions of the directory."):
            # The last one is the default directory, which need not exist.
            _config_dir(section, path, needed=path != paths[-1])
    with section.attempt("installed packages"):
        _installed_packages(section, paths, session.pav_cfg.trusted_group)


def _installed_packages(section: Section, roots: Sequence[Path], group: str | None) -> None:
    """Those that cannot be used are in the section of the plugins, with the reason."""
    from pavilion.schedulers.finding.discovery import INFO_EXTENSION
    from pavilion.schedulers.plugins import installed_finder

    finder = installed_finder(roots=roots, group=group)
    for entry in finder.read_entries():
        for directory in entry.directories:
            files = _files(directory, (f".{INFO_EXTENSION}",), deep=True)
            section.ok(str(directory), f"{plural(len(files), 'plugin')}; {entry}")


def _config_dir(section: Section, path: Path, needed: bool) -> None:
    if not path.exists():
        if needed:
            section.problem(
                str(path),
                "does not exist" if not path.is_symlink() else "is a broken link",
                "Correct its name in --config-dir, config_dirs or $PAV_CONFIG_DIR, or create it.",
            )
        else:
            section.ok(str(path), "does not exist (it is the default one, and optional)")
        return
    from pavilion.schedulers.finding.discovery import INFO_EXTENSION
    from pavilion.suites import SUFFIXES

    os.scandir(path).close()
    suites = _files(path / "suites", SUFFIXES)
    plugin_files = _files(path / "plugins", (f".{INFO_EXTENSION}",), deep=True)
    unreadable = [file for file in [*suites, *plugin_files] if not os.access(file, os.R_OK)]
    text = f"{plural(len(suites), 'suite')}, {plural(len(plugin_files), 'plugin')}"
    if unreadable:
        section.problem(
            str(path),
            f"{text}; {plural(len(unreadable), 'file')} cannot be read: {unreadable[0]}",
            "Check the owner and the permissions.",
        )
    elif needed and not suites and not plugin_files:
        section.warn(
            str(path),
            "has neither suites nor plugins",
            "Suites belong in its suites/, plugins in its plugins/.",
        )
    else:
        section.ok(str(path), text)


def _files(folder: Path, suffixes: Sequence[str], deep: bool = False) -> list[Path]:
    """The files with these suffixes.  :raises OSError: When the directory cannot be read."""
    if not folder.is_dir():
        return []
    os.scandir(folder).close()
    files = folder.rglob("*") if deep else folder.iterdir()
    return [file for file in files if file.suffix in suffixes]


def plugins(section: Section, session: Session) -> None:
    """The plugins that are loaded, and those that are not, and why."""
    section.trying = "settings"
    if not has_settings(section, session):
        return
    with section.attempt("plugins"):
        report = session.plugins
        others: dict[str, list[str]] = {}
        for found in report.loaded:
            if found.category == "sched":
                section.ok(
                    f"sched.{found.plugin.name}",
                    f"priority {found.plugin.priority}, {found.origin}: {found.file}",
                )
            else:
                others.setdefault(found.category, []).append(str(found.plugin.name))
        for category, names in others.items():
            section.ok(f"{category}.*", f"{len(names)}: {', '.join(sorted(names))}")
        for found in report.disabled:
            section.ok(f"{found.category}.{found.plugin.name}", "disabled by disable_plugins")
        for refused in report.refused:
            section.problem("refused", f"{refused.file}: {refused.reason}", "")
        if report.foreign:
            section.ok("of Pavilion", f"{plural(len(report.foreign), 'plugin')} not used here")


def schedulers(section: Section, session: Session) -> None:
    """Which schedulers can be used here, and why others cannot."""
    section.trying = "settings"
    if not has_settings(section, session):
        return
    from pavilion.schedulers import get_plugin, list_plugins

    _ = session.plugins
    # All at the same time: one that hangs does not delay the others.
    answers = {name: _Answer() for name in list_plugins()}
    for name, answer in answers.items():
        target = functools.partial(_question, get_plugin(name), answer)
        answer.thread = threading.Thread(target=target, daemon=True)
        answer.thread.start()
    deadline = time.monotonic() + SCHEDULER_PATIENCE
    for name, answer in answers.items():
        section.trying = name
        answer.thread.join(max(0.0, deadline - time.monotonic()))
        _report(section, name, answer)
    if not any(answer.available for answer in answers.values()):
        section.problem("schedulers", "none can be used", "No test can be run.")
    for name, answer in answers.items():
        for finding in answer.findings:
            result = PROBLEM if finding.advice else OK
            section.add(result, finding.name, finding.value, finding.advice)
        if answer.available is not None and answer.failure:
            section.problem(f"{name} on this host", answer.failure, _where(name))


class _Answer:
    """What a scheduler plugin says, in a thread of its own, as far as it has answered."""

    def __init__(self) -> None:
        self.thread = threading.Thread()
        self.available: bool | None = None
        self.reason = self.failure = f"no answer within {SCHEDULER_PATIENCE:g} seconds"
        # What it says about the host.
        self.findings: tuple[Finding, ...] = ()
        self.installed = False
        self.advice = ""


def _question(plugin: Any, answer: _Answer) -> None:
    from pavilion.schedulers.finding.host_check import Finding, HostCheck
    from pavilion.schedulers.lifecycle.blaming import blame

    try:
        available = bool(plugin.available())
        answer.reason = f"not available: {plugin.unavailable_reason}"
        answer.available = available
    except BaseException as exc:
        answer.reason = describe(exc)
        return
    try:
        findings, answer.installed, answer.advice = HostCheck(*plugin.check_host())
        answer.findings = tuple(Finding(*finding) for finding in findings)
        answer.failure = ""
    except BaseException as exc:
        answer.failure = blame(plugin, "check_host", exc)


def _report(section: Section, name: str, answer: _Answer) -> None:
    """Whether a scheduler can be used."""
    if answer.available:
        section.ok(name, "available")
    else:
        # It is not a fault that a scheduler is not installed here. One that is installed and fails
        # is.
        is_problem = answer.available is None or answer.installed
        advice = answer.advice or _where(name)
        section.add(PROBLEM if is_problem else WARNING, name, answer.reason, advice)


def _where(name: str) -> str:
    return f"'pav-sched show plugins' shows where the plugin {name} is."
