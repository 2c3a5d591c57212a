"""The part of 'doctor' about settings, config directories, plugins and schedulers."""

from __future__ import annotations

import argparse
import os
import shutil
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

# Seconds that a scheduler gets to say whether it can be used, and a command to print its version.
SCHEDULER_PATIENCE = 8.0
VERSION_PATIENCE = 5.0
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
        for folder in entry.folders:
            files = _files(folder, (f".{INFO_EXTENSION}",), deep=True)
            section.ok(str(folder), f"{plural(len(files), 'plugin')}; {entry}")


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
    answers: dict[str, Any] = {}
    threads = {}
    for name in list_plugins():
        plugin = get_plugin(name)
        threads[name] = thread = threading.Thread(
            target=_ask, args=(name, plugin, answers), daemon=True
        )
        thread.start()
    deadline = time.monotonic() + SCHEDULER_PATIENCE
    usable = False
    for name, thread in threads.items():
        section.trying = name
        thread.join(max(0.0, deadline - time.monotonic()))
        result, text = answers.get(
            name, (PROBLEM, f"no answer within {SCHEDULER_PATIENCE:g} seconds")
        )
        usable = usable or result == OK
        advice = "" if result == OK else _advice(name)
        section.add(result, name, text, advice)
    if not usable:
        section.problem("schedulers", "none can be used", "No test can be run.")
    with section.attempt("Slurm's commands"):
        _slurm(section)
    with section.attempt("raw queue"):
        _raw_queue(section)


def _ask(name: str, plugin: Any, answers: dict[str, tuple[str, str]]) -> None:
    try:
        if plugin.available():
            answers[name] = OK, "available"
            return
        reason = str(plugin.unavailable_reason)
    except BaseException as exc:
        answers[name] = PROBLEM, describe(exc)
        return
    # It is not a fault that a scheduler is not installed here. One that is installed and fails is.
    broken = name == "slurm" and not _slurm_commands()[1]
    answers[name] = PROBLEM if broken else WARNING, f"not available: {reason}"


def _advice(name: str) -> str:
    if name == "slurm" and not _slurm_commands()[0]:
        return (
            "If this host has Slurm: load its module, or add the directory of its commands to PATH."
        )
    if name == "slurm":
        return "Find out what is wrong with Slurm. Start with 'scontrol ping' and 'sinfo'."
    return f"'pav-sched show plugins' shows where the plugin {name} is."


def _slurm_commands() -> tuple[list[str], list[str]]:
    """The paths of Slurm's commands that are found, and the names of the others."""
    from pavilion.schedulers.plugins.slurm.queries import COMMANDS

    found = {name: shutil.which(name) for name in COMMANDS}
    return [path for path in found.values() if path], [name for name in found if not found[name]]


def _slurm(section: Section) -> None:
    from pavilion.schedulers.talk.commands import CommandRunner

    found, missing = _slurm_commands()
    if not found:
        return
    folders = sorted({os.path.dirname(path) for path in found})  # noqa: PTH120
    text = f"in {', '.join(folders)}"
    if missing:
        text += f"; missing: {', '.join(missing)}"
    section.ok("Slurm's commands", text)
    section.trying = "Slurm's version"
    result = CommandRunner(timeout=VERSION_PATIENCE).run([found[-1], "--version"])
    if result.ok:
        section.ok("Slurm's version", result.stdout)
    else:
        # The check of the scheduler has found what is wrong with them.
        section.ok("Slurm's version", "unknown: see above")


def _raw_queue(section: Section) -> None:
    from pavilion.schedulers.plugins.raw.job_queue import RawError, queue_folder, read_queue

    try:
        view = read_queue()
    except RawError as exc:
        section.problem(
            "raw queue", exc, "Correct the directory, or name another with $PAV_RAW_QUEUE_DIR."
        )
        return
    section.ok(
        "raw queue",
        f"{queue_folder()}: {plural(len(view.waiting), 'job')} waiting, {len(view.running)} running",
    )
