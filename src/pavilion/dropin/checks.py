"""Examining a checkout: what is there, and whether our directory works in it.  Changes nothing."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from pavilion.errors import PavilionError

from . import inside
from .checkout import SOURCE, Checkout, DropinError, Interpreter, find_version
from .inside import PavResult, Start, Step
from .kept import Kept, bundled, holds, kept_in, same_tree, tree_files, unusable
from .swap import State, is_locked, read_record, read_state

OK, WARN, FAIL = "ok", "warning", "FAIL"
# When a failure stops 'link': always; unless --force is given; unless --without is given; never.
ALWAYS, UNFORCED, UNLESS_LEFT_OUT, NEVER = "always", "unforced", "unless left out", "never"
OLDEST_PYTHON = (3, 9)


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    :param what: What was checked.
    :param found: What was found.
    :param verdict: 'ok', 'warning' or 'FAIL'.
    :param hint: What to do; '' for nothing.
    :param blocks: When a failure stops 'link': ALWAYS, UNFORCED, UNLESS_LEFT_OUT or NEVER.
    """

    what: str
    found: str
    verdict: str = OK
    hint: str = ""
    blocks: str = ALWAYS


@dataclass
class Report:
    """The results of all checks.

    :param state: What the schedulers directory is.
    :param findings: The results, in the order in which they are shown.
    :param pav: The result of ``pav show sched``, before anything was changed; None when there is no
        ``pav``.
    :param builtin: The checkout's own schedulers that are not bundled with ours.
    :param without: The names of those that are left out.
    :param unusable: The names of those that do not work with our directory, and are not left out.
    """

    state: State
    findings: list[Finding] = field(default_factory=list)
    pav: PavResult | None = None
    builtin: list[Kept] = field(default_factory=list)
    without: set[str] = field(default_factory=set)
    unusable: list[str] = field(default_factory=list)

    @property
    def kept(self) -> list[Kept]:
        """The checkout's own schedulers that are kept."""
        return [plugin for plugin in self.builtin if plugin.name not in self.without]

    @property
    def failures(self) -> list[Finding]:
        """The results with the verdict 'FAIL'."""
        return [finding for finding in self.findings if finding.verdict == FAIL]

    def blocked(self, force: bool) -> bool:
        """Whether something stops 'link'."""
        return bool(self.blocking(force))

    def blocking(self, force: bool) -> list[Finding]:
        """The failures that stop 'link'.

        :param force: Whether --force is given.
        """
        blocking = (ALWAYS, UNLESS_LEFT_OUT, *(() if force else (UNFORCED,)))
        return [finding for finding in self.failures if finding.blocks in blocking]


def examine(
    checkout: Checkout,
    python: Interpreter,
    copy: bool | None = None,
    holds_lock: bool = False,
    without: Collection[str] | None = None,
) -> Report:
    """Check everything, and try our directory out in a temporary copy of the checkout.

    If our directory is already in place, it is tried there.

    :param copy: Whether a copy is planned instead of a link.  None: as it is now.
    :param holds_lock: Whether the caller has locked the checkout, in order to change it.
    :param without: The names of built-in schedulers to leave out.  None: those that are left out
        now.
    :raises DropinError: When there is no such scheduler.
    """
    report = Report(read_state(checkout))
    copy = report.state.kind == "copy" if copy is None else copy
    report.findings += [
        Finding("checkout", str(checkout.root)),
        _version(checkout),
        _directory(checkout, report.state, holds_lock),
        *_backup(checkout, report.state),
        _writable(checkout),
        *_git(checkout),
    ]
    report.findings += _dependencies(checkout, python)
    if not report.blocked(force=True):
        _start(checkout, python, report, without)
    if not report.blocked(force=True):
        current = is_current(checkout, report)
        if not current and not holds_lock:
            report.findings += _outdated(report.state)
        _try_out(checkout, python, report, copy, current)
    if report.state.kind != "missing":
        report.pav = inside.show_sched(checkout, python)
        report.findings.append(_show_sched(report.pav))
    return report


def _version(checkout: Checkout) -> Finding:
    version = find_version(checkout)
    if version.text is None or version.file is None:
        return Finding(
            "version", "unknown", WARN, "No file of the checkout contains it; 2.6 is expected."
        )
    found = f"{version.text} ({version.file.relative_to(checkout.root)})"
    if version.supported:
        return Finding("version", found)
    return Finding(
        "version",
        found,
        FAIL,
        "It is not supported: our directory is made for Pavilion 2.6. Use --force to try it "
        "anyway; nothing is changed if it does not work.",
        UNFORCED,
    )


def _directory(checkout: Checkout, state: State, holds_lock: bool) -> Finding:
    what = "schedulers directory"
    if not holds_lock and is_locked(checkout):
        return Finding(
            what, "being changed by another pav-sched", WARN, "Check again when that has finished."
        )
    if state.kind == "interrupted":
        return Finding(
            what,
            state.text,
            FAIL,
            f"'pav-sched link {checkout.root}' or 'unlink' repairs it.",
            NEVER,
        )
    if state.kind == "missing":
        hint = (
            f"'pav-sched unlink {checkout.root}' restores the backup."
            if os.path.lexists(checkout.backup)
            else _restore_hint(checkout)
        )
        return Finding(what, "missing", FAIL, hint)
    if state.kind == "link" and not checkout.active.exists():
        return Finding(
            what,
            state.text,
            FAIL,
            "Pavilion does not work. 'pav-sched link' links this installation, 'pav-sched unlink' "
            "restores Pavilion's own directory.",
            NEVER,
        )
    if state.kind == "link" and not state.current:
        return Finding(
            what,
            state.text,
            WARN,
            "This is another installation; 'pav-sched link' switches to this one.",
        )
    return Finding(what, state.text)


def _backup(checkout: Checkout, state: State) -> list[Finding]:
    there = os.path.lexists(checkout.backup)
    if state.ours and not there:
        return [
            Finding(
                "backup",
                "none",
                WARN,
                "unlink cannot restore Pavilion's own directory. " + _restore_hint(checkout),
            )
        ]
    if not there:
        return []
    found = str(checkout.backup.relative_to(checkout.root))
    if state.kind != "original" or same_tree(checkout.active, checkout.backup):
        return [Finding("backup", found)]
    return [
        Finding(
            "backup",
            f"{found}, which differs from the directory",
            FAIL,
            "It is from an earlier link, and the directory was changed since, for example by git. "
            "Compare them, and remove or rename the backup.",
        )
    ]


def _restore_hint(checkout: Checkout) -> str:
    return (
        f"In a git checkout, 'git checkout -- {checkout.active.relative_to(checkout.root)}' "
        "brings back Pavilion's own directory."
    )


def _writable(checkout: Checkout) -> Finding:
    if os.access(checkout.package, os.W_OK | os.X_OK):
        return Finding("access", f"{checkout.package} can be changed")
    return Finding(
        "access",
        f"{checkout.package} cannot be written to",
        FAIL,
        "Run link and unlink as the owner of the checkout.",
    )


def _git(checkout: Checkout) -> list[Finding]:
    if not (checkout.root / ".git").exists():
        return []
    return [
        Finding(
            "git",
            "a git checkout",
            OK,
            "'git status' shows the change once it is linked; unlink before 'git pull' and similar "
            "commands. Nothing in .git is touched.",
        )
    ]


def _dependencies(checkout: Checkout, python: Interpreter) -> list[Finding]:
    try:
        found = inside.probe(checkout, python)
    except PavilionError as exc:
        return [Finding("Python", str(python.path), FAIL, exc.pformat())]
    version = tuple(found["python"])
    text = f"{'.'.join(map(str, version))}, {python.path}: {python.how}"
    findings = [Finding("Python", text)]
    if version[:2] < OLDEST_PYTHON:
        findings = [
            Finding("Python", text, FAIL, "3.9 or newer is needed. Name another with --python.")
        ]
    modules = found["modules"]
    findings.append(_module(modules, "yapsy", FAIL, "It is needed."))
    if "manager_error" in modules["yapsy"]:
        findings[-1] = _manager_error(modules["yapsy"]["manager_error"])
    findings.append(
        _module(
            modules,
            "yaml_config",
            FAIL,
            "It is needed. In a git checkout, 'git submodule update --init' installs it.",
        )
    )
    findings.append(
        _module(
            modules,
            "hostlist",
            WARN,
            "Our directory does not need it, but other parts of Pavilion may (python-hostlist).",
        )
    )
    findings.append(_module(modules, "yaml", OK, "Only our yaml_config needs it (PyYAML)."))
    return findings


def _module(modules: dict[str, Any], name: str, verdict: str, hint: str) -> Finding:
    found = modules[name]
    if "error" in found:
        return Finding(name, found["error"], verdict, hint)
    return Finding(name, " ".join(filter(None, (found["version"], found["file"]))))


def _manager_error(error: str) -> Finding:
    what = f"its PluginManager cannot be imported: {error}"
    if "'imp'" in error or "'distutils" in error:
        return Finding(
            "yapsy",
            what,
            WARN,
            "Python 3.12 removed that module. Our directory does not need it, but the rest of "
            "Pavilion may: use a Python up to 3.11, or install zombie-imp and setuptools in "
            "addition to yapsy.",
        )
    return Finding("yapsy", what, WARN, "Pavilion needs it to find its plugins.")


def _start(
    checkout: Checkout, python: Interpreter, report: Report, without: Collection[str] | None
) -> None:
    """Start Pavilion with its own directory, and record which schedulers it has."""
    own = checkout.active if report.state.kind == "original" else checkout.backup
    own = own if os.path.lexists(own) else checkout.active
    try:
        found = inside.start(checkout, python, own)
    except (PavilionError, OSError) as exc:
        report.findings.append(_not_done("start", exc))
        return
    report.findings += [_host_modules(found), _started(found)]
    report.builtin = _builtin(checkout, found, report.state)
    report.findings += _replaced(found)
    names = {plugin.name for plugin in report.builtin}
    unknown = set(without or ()) - names
    if unknown:
        known = ", ".join(sorted(names)) or "none"
        raise DropinError(
            f"--without {sorted(unknown)[0]}: this Pavilion has no built-in scheduler of that name "
            f"that we do not bundle. It has these: {known}."
        )
    if without is None:
        record = read_record(checkout)
        without = [] if record is None else record["without"]
    report.without = names.intersection(without)


def _host_modules(found: Start) -> Finding:
    if not found.lacking:
        return Finding("host modules", "they have everything that our directory uses")
    return Finding(
        "host modules",
        f"this Pavilion lacks {', '.join(found.lacking)}",
        FAIL,
        "It is not supported: our directory needs these. Pavilion 2.6 has them.",
    )


def _started(found: Start) -> Finding:
    if not found.error:
        return Finding("start", f"schedulers: {', '.join(item.name for item in found.schedulers)}")
    hint = "This Pavilion does not work as it is now."
    if found.error.startswith("ModuleNotFoundError"):
        hint += " In a git checkout, 'git submodule update --init' installs what is missing in lib."
    return Finding("start", f"'import pavilion.plugins' fails: {found.error}", FAIL, hint)


def _builtin(checkout: Checkout, found: Start, state: State) -> list[Kept]:
    """The checkout's own schedulers that are not bundled with ours."""
    plugins = {}
    if state.ours:
        # Those that are already kept, and those that a site put next to ours.
        place = checkout.active / "plugins" if state.kind == "copy" else checkout.kept
        plugins = {plugin.name: plugin for plugin in kept_in(place)}
    if not state.ours or os.path.lexists(checkout.backup):
        plugins.update(
            (item.name, Kept(item.name, item.file, item.broken)) for item in found.schedulers
        )
    return [plugin for name, plugin in sorted(plugins.items()) if name not in bundled()]


def _replaced(found: Start) -> list[Finding]:
    """Built-in schedulers in whose place are ours, beside those that every Pavilion has."""
    names = {item.name for item in found.schedulers}.intersection(bundled()) - {"raw", "slurm"}
    return [
        Finding(
            f"scheduler {name}",
            "built into this Pavilion, and one of ours",
            OK,
            "Ours takes its place; suites that were written for it run unchanged.",
        )
        for name in sorted(names)
    ]


def _outdated(state: State) -> list[Finding]:
    if state.kind == "copy":
        return [
            Finding(
                "copy",
                "it differs from this installation",
                WARN,
                "'pav-sched link --copy' renews it.",
            )
        ]
    if state.kind == "link" and state.current:
        return [
            Finding(
                "kept schedulers",
                "they differ from the checkout's own",
                WARN,
                "'pav-sched link' renews them.",
            )
        ]
    return []


def _try_out(
    checkout: Checkout, python: Interpreter, report: Report, copy: bool, current: bool
) -> None:
    """Try our directory with the schedulers that are kept; in place if it is *current*."""
    try:
        steps, broken = (inside.smoke if current else inside.rehearse)(
            checkout, python, report.kept
        )
    except (PavilionError, OSError) as exc:
        report.findings.append(_not_done("try-out", exc))
        return
    reasons = unusable(report.kept, broken)
    report.unusable = sorted(reasons)
    report.findings += [
        _kept_finding(plugin, report.without, reasons, copy) for plugin in report.builtin
    ]
    report.findings += map(smoke_finding, steps)


def _not_done(what: str, exc: BaseException) -> Finding:
    return Finding(
        what,
        "could not be done",
        FAIL,
        exc.pformat() if isinstance(exc, PavilionError) else str(exc),
    )


def _kept_finding(
    plugin: Kept, without: Collection[str], reasons: dict[str, str], copy: bool
) -> Finding:
    what, found = f"scheduler {plugin.name}", "built into this Pavilion, not one of ours"
    if plugin.name in without:
        return Finding(
            what, found, WARN, "Left out (--without): tests that use it do not run until 'unlink'."
        )
    if plugin.name in reasons:
        return Finding(
            what,
            f"{found}; cannot be used with our directory: {reasons[plugin.name]}",
            FAIL,
            f"'link --without {plugin.name}' leaves it out.",
            UNLESS_LEFT_OUT,
        )
    place = "A copy keeps it." if copy else "A link keeps it."
    if plugin.broken:
        return Finding(
            what,
            found,
            WARN,
            f"{place} It does not work with the checkout's own "
            f"directory either: {' '.join(plugin.broken.values())}",
        )
    return Finding(what, found, OK, place)


def smoke_finding(step: Step) -> Finding:
    """The result of a step of the smoke test."""
    return Finding(f"try-out: {step.name}", step.found, OK if step.passed else FAIL)


def _show_sched(result: PavResult | None) -> Finding:
    what = "pav show sched"
    if result is None:
        return Finding(what, "there is no bin/pav", OK)
    if result.shows("raw"):
        return Finding(what, "works as it is now")
    last = result.plain.splitlines()[-1:] or ["it printed nothing"]
    return Finding(
        what,
        f"exit code {result.code}: {last[0]}",
        WARN,
        "It does not work as it is now, so it cannot show whether it works with our directory.",
    )


def is_current(checkout: Checkout, report: Report) -> bool:
    """Whether our directory is in place, equal to this one, and with all schedulers to keep."""
    state = report.state
    if not state.ours or not state.current or not checkout.active.exists():
        return False
    if state.kind == "link":
        return holds(checkout.kept, report.kept)
    theirs = tree_files(checkout.active)
    return holds(checkout.active / "plugins", report.kept) and all(
        name in theirs and filecmp.cmp(path, theirs[name], shallow=False)
        for name, path in tree_files(SOURCE).items()
    )
