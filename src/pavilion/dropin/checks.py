"""Looking at a checkout: what there is, and whether our folder works in it.  Changes nothing."""

from __future__ import annotations

import configparser
import filecmp
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pavilion.errors import PavilionError

from . import inside
from .checkout import SOURCE, Checkout, Interpreter, find_version
from .inside import PavResult, Step
from .swap import State, is_locked, read_state

OK, WARN, FAIL = "ok", "warning", "FAIL"
# What a failure keeps 'link' from: going on at all; going on without --force; nothing.
ALWAYS, UNFORCED, NEVER = "always", "unforced", "never"
OLDEST_PYTHON = (3, 9)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    :param what: What it is.
    :param found: What was found.
    :param verdict: 'ok', 'warning' or 'FAIL'.
    :param hint: What to do; '' for nothing.
    :param blocks: When a failure keeps 'link' from going on.
    """

    what: str
    found: str
    verdict: str = OK
    hint: str = ""
    blocks: str = ALWAYS


@dataclass
class Report:
    """All that was found.

    :param pav: What ``pav show sched`` gave before anything was changed.
    :param left_out: Plugins of the checkout's own folder that ours does not have.
    """

    state: State
    findings: list[Finding] = field(default_factory=list)
    pav: PavResult | None = None
    left_out: list[Path] = field(default_factory=list)

    @property
    def failures(self) -> list[Finding]:
        """What does not allow to use our folder, or is broken."""
        return [finding for finding in self.findings if finding.verdict == FAIL]

    def blocked(self, force: bool) -> bool:
        """Whether 'link' must not go on."""
        blocking = (ALWAYS,) if force else (ALWAYS, UNFORCED)
        return any(finding.blocks in blocking for finding in self.failures)


def examine(checkout: Checkout, python: Interpreter, copy: bool | None = None,
            holds_lock: bool = False) -> Report:
    """Look at everything, and try our folder out beside the checkout.

    Where it is in its place already, it is tried there.

    :param copy: Whether a copy is planned, which keeps the checkout's own plugins.  None: as it
        is now.
    :param holds_lock: Whether we are the one who is about to change it.
    """
    report = Report(read_state(checkout))
    copy = report.state.kind == "copy" if copy is None else copy
    original = checkout.active if report.state.kind == "original" else checkout.backup
    report.left_out = other_plugins(original)
    report.findings += [Finding("checkout", str(checkout.root)), _version(checkout),
                        _folder(checkout, report.state, holds_lock),
                        *_backup(checkout, report.state), _writable(checkout),
                        *_left_out(report.left_out, copy), *_git(checkout)]
    report.findings += _dependencies(checkout, python)
    if not report.blocked(force=True):
        report.findings += _try_out(checkout, python, report.state)
    if report.state.kind != "missing":
        report.pav = inside.show_sched(checkout, python)
        report.findings.append(_show_sched(report.pav))
    return report


def _version(checkout: Checkout) -> Finding:
    version = find_version(checkout)
    if version.text is None or version.file is None:
        return Finding("version", "unknown", WARN, "No text of the checkout tells it; 2.6 is "
                       "expected.")
    found = f"{version.text} ({version.file.relative_to(checkout.root)})"
    if version.supported:
        return Finding("version", found)
    return Finding("version", found, FAIL, "The folder is made for Pavilion 2.6. --force tries "
                   "it all the same; nothing is changed if it does not work.", UNFORCED)


def _folder(checkout: Checkout, state: State, holds_lock: bool) -> Finding:
    what = "schedulers folder"
    if not holds_lock and is_locked(checkout):
        return Finding(what, "being changed by another pav-sched", WARN, "Look again when that "
                       "is done.")
    if state.kind == "interrupted":
        return Finding(what, state.text, FAIL, f"'pav-sched link {checkout.root}' or 'unlink' "
                       "puts it right.", NEVER)
    if state.kind == "missing":
        hint = (f"'pav-sched unlink {checkout.root}' puts the backup there."
                if os.path.lexists(checkout.backup) else _restore_hint(checkout))
        return Finding(what, "missing", FAIL, hint)
    if state.kind == "link" and not checkout.active.exists():
        return Finding(what, state.text, FAIL, "Pavilion does not work. 'pav-sched link' links "
                       "this installation, 'pav-sched unlink' goes back.", NEVER)
    if state.kind == "link" and not state.current:
        return Finding(what, state.text, WARN, "That is another installation; 'pav-sched link' "
                       "changes to this one.")
    if state.kind == "copy" and not copy_is_current(checkout):
        return Finding(what, state.text, WARN, "It differs from this installation; 'pav-sched "
                       "link --copy' renews it.")
    return Finding(what, state.text)


def _backup(checkout: Checkout, state: State) -> list[Finding]:
    there = os.path.lexists(checkout.backup)
    if state.ours and not there:
        return [Finding("backup", "none", WARN, "unlink cannot go back. "
                        + _restore_hint(checkout))]
    if not there:
        return []
    found = str(checkout.backup.relative_to(checkout.root))
    if state.kind != "original" or same_tree(checkout.active, checkout.backup):
        return [Finding("backup", found)]
    return [Finding("backup", f"{found}, and it differs", FAIL,
                    "It is of an earlier link, and the folder was changed since, by git for "
                    "example. Compare them, and remove or rename the backup.")]


def _restore_hint(checkout: Checkout) -> str:
    return (f"In a git checkout, 'git checkout -- {checkout.active.relative_to(checkout.root)}' "
            "brings back Pavilion's own.")


def _writable(checkout: Checkout) -> Finding:
    if os.access(checkout.package, os.W_OK | os.X_OK):
        return Finding("access", f"{checkout.package} can be changed")
    return Finding("access", f"{checkout.package} cannot be written to", FAIL,
                   "link and unlink need the owner of the checkout.")


def _left_out(plugins: Sequence[Path], copy: bool) -> list[Finding]:
    if not plugins:
        return []
    names = ", ".join(sorted({path.stem for path in plugins if path.suffix == ".yapsy-plugin"}))
    if copy:
        return [Finding("other plugins", names, OK, "The copy gets them.")]
    return [Finding("other plugins", f"{names}: only in the checkout's own folder", WARN,
                    "They are not found any more once it is linked. '--copy' keeps them, and so "
                    "does a copy of their files in the plugins/ of a config folder.")]


def _git(checkout: Checkout) -> list[Finding]:
    if not (checkout.root / ".git").exists():
        return []
    return [Finding("git", "a git checkout", OK, "'git status' shows the change once it is "
                    "linked; unlink before 'git pull' and the like. Nothing in .git is touched.")]


def _dependencies(checkout: Checkout, python: Interpreter) -> list[Finding]:
    try:
        found = inside.probe(checkout, python)
    except PavilionError as exc:
        return [Finding("Python", str(python.path), FAIL, exc.pformat())]
    version = tuple(found["python"])
    text = f"{'.'.join(map(str, version))}, {python.path}: {python.how}"
    findings = [Finding("Python", text)]
    if version[:2] < OLDEST_PYTHON:
        findings = [Finding("Python", text, FAIL, "3.9 or newer is needed. --python names "
                            "another one.")]
    modules = found["modules"]
    findings.append(_module(modules, "yapsy", FAIL, "It is needed."))
    if "manager_error" in modules["yapsy"]:
        findings[-1] = Finding(
            "yapsy", f"its PluginManager cannot be imported: {modules['yapsy']['manager_error']}",
            WARN, "This Python has no 'imp' (3.12 took it out). Our folder does without; the "
            "rest of Pavilion may not: use a Python up to 3.11, or install zombie-imp and "
            "setuptools beside yapsy.")
    findings.append(_module(modules, "yaml_config", FAIL, "It is needed. In a git checkout, 'git "
                            "submodule update --init' brings it."))
    findings.append(_module(modules, "hostlist", WARN, "Our folder does without; other parts of "
                            "Pavilion may need it (python-hostlist)."))
    findings.append(_module(modules, "yaml", OK, "Only our yaml_config needs it (PyYAML)."))
    return findings


def _module(modules: dict[str, Any], name: str, verdict: str, hint: str) -> Finding:
    found = modules[name]
    if "error" in found:
        return Finding(name, found["error"], verdict, hint)
    return Finding(name, " ".join(filter(None, (found["version"], found["file"]))))


def _try_out(checkout: Checkout, python: Interpreter, state: State) -> list[Finding]:
    in_place = state.ours and checkout.active.exists() and (
        state.current if state.kind == "link" else copy_is_current(checkout))
    try:
        steps = (inside.smoke if in_place else inside.rehearse)(checkout, python)
    except PavilionError as exc:
        return [Finding("try-out", "could not be done", FAIL, exc.pformat())]
    except OSError as exc:
        return [Finding("try-out", "could not be done", FAIL, str(exc))]
    return list(map(smoke_finding, steps))


def smoke_finding(step: Step) -> Finding:
    """A step of the smoke test as a finding."""
    return Finding(f"try-out: {step.name}", step.found, OK if step.passed else FAIL)


def _show_sched(result: PavResult | None) -> Finding:
    what = "pav show sched"
    if result is None:
        return Finding(what, "there is no bin/pav", OK)
    if result.shows("raw"):
        return Finding(what, "works as it is now")
    last = result.text.splitlines()[-1:] or ["it printed nothing"]
    return Finding(what, f"exit code {result.code}: {last[0]}", WARN, "It does not work as it is "
                   "now, so it cannot tell whether it will with our folder.")


def other_plugins(folder: Path) -> list[Path]:
    """The files of plugins in a schedulers folder that ours does not have: info files and
    modules."""
    found: list[Path] = []
    try:
        infos = sorted((folder / "plugins").glob("*.yapsy-plugin"))
    except OSError:
        return []
    for info in infos:
        if (SOURCE / "plugins" / info.name).exists():
            continue
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read_string(info.read_text(encoding="utf-8"))
            name = parser["Core"]["Module"]
        except (OSError, ValueError, KeyError, configparser.Error):
            continue
        module = info.with_name(name)
        module = module if module.is_dir() else info.with_name(f"{name.removesuffix('.py')}.py")
        if module.exists() and not (SOURCE / "plugins" / module.name).exists():
            found += [info, module]
    return found


def copy_is_current(checkout: Checkout) -> bool:
    """Whether a copy has all of our files as they are here."""
    mine = _files(SOURCE)
    theirs = _files(checkout.active)
    return all(name in theirs and filecmp.cmp(path, theirs[name], shallow=False)
               for name, path in mine.items())


def same_tree(one: Path, other: Path) -> bool:
    """Whether two folders have the same files with the same content."""
    first, second = _files(one), _files(other)
    return first.keys() == second.keys() and all(
        filecmp.cmp(path, second[name], shallow=False) for name, path in first.items())


def _files(folder: Path) -> dict[str, Path]:
    """The files below a folder, without caches."""
    return {str(path.relative_to(folder)): path for path in folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts}
