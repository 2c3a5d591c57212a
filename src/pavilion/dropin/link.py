"""Linking a checkout to our directory, and undoing it."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass, field

from pavilion.errors import PavilionError

from . import inside
from .checkout import SOURCE, Checkout, DropinError, Interpreter
from .checks import (
    FAIL,
    UNLESS_LEFT_OUT,
    Finding,
    Report,
    examine,
    is_current,
    smoke_finding,
)
from .disk import Disk
from .kept import bundled, files_of, same_tree, unusable
from .swap import Swap, locked, read_state


@dataclass
class Outcome:
    """The result of a change.

    :param done: Whether the checkout is now as requested.
    :param changed: Whether anything was changed.
    :param summary: What happened.
    :param findings: The results of the checks, before and after the change.
    :param recovered: The interrupted change that was completed or undone first; None without one.
    :param unusable: The checkout's own schedulers that cannot be kept, if that is the only obstacle:
        the change is possible without them.
    """

    done: bool
    changed: bool
    summary: str
    findings: list[Finding] = field(default_factory=list)
    recovered: str | None = None
    unusable: list[str] = field(default_factory=list)


def link(
    checkout: Checkout,
    python: Interpreter,
    copy: bool = False,
    force: bool = False,
    disk: Disk | None = None,
    without: Collection[str] | None = None,
) -> Outcome:
    """Replace the checkout's directory by ours, test it in place, and undo that if it fails.

    The checkout's own schedulers that we do not bundle are kept.

    :param copy: Make a copy instead of a link.
    :param force: Also do it for another version of Pavilion.
    :param without: The names of schedulers that are not kept.  None: those that are left out now.
    :raises DropinError: When it cannot be tried.
    :raises OSError: When files cannot be changed; then everything is as before.
    """
    with locked(checkout):
        swap = Swap(checkout, disk)
        recovered = swap.recover()
        report = examine(checkout, python, copy, holds_lock=True, without=without)
        blocking = report.blocking(force)
        if blocking:
            only = all(finding.blocks == UNLESS_LEFT_OUT for finding in blocking)
            return Outcome(
                False,
                False,
                "Nothing was changed.",
                report.findings,
                recovered,
                report.unusable if only else [],
            )
        if report.state.kind == ("copy" if copy else "link") and is_current(checkout, report):
            return Outcome(
                True,
                False,
                f"It is already linked: {report.state.text}.",
                report.findings,
                recovered,
            )
        problems = _install(checkout, swap, python, report, copy)
        if problems:
            return Outcome(
                False,
                False,
                "It did not work in place. Everything was undone.",
                [*report.findings, *problems],
                recovered,
            )
        kept = ", ".join(plugin.name for plugin in report.kept)
        more = f" It keeps the checkout's own {kept}." if kept else ""
        return Outcome(
            True,
            True,
            f"{checkout.active} is now {read_state(checkout).text}.{more}",
            report.findings,
            recovered,
        )


def _install(
    checkout: Checkout, swap: Swap, python: Interpreter, report: Report, copy: bool
) -> list[Finding]:
    """Make the change, and undo it if there are problems.  Returns the problems."""
    try:
        if report.state.kind == "original" and os.path.lexists(checkout.backup):
            swap.forget_backup()
        swap.install(SOURCE, installed_version(), copy, files_of(report.kept), report.without)
        problems = _problems(checkout, python, report)
        if problems:
            swap.recover()
        else:
            swap.commit()
    except BaseException as exc:
        try:
            swap.recover()
        except (PavilionError, OSError) as second:
            raise DropinError(
                f"{checkout.active} could not be changed ({exc}), and could not be put back: "
                f"'pav-sched unlink {checkout.root}' tries again",
                prior_error=second,
            ) from exc
        raise
    return problems


def _problems(checkout: Checkout, python: Interpreter, report: Report) -> list[Finding]:
    """What does not work with our directory in its place."""
    steps, broken = inside.smoke(checkout, python, report.kept)
    problems = [smoke_finding(step) for step in steps if not step.passed]
    problems += [
        Finding(f"scheduler {name}", reason, FAIL)
        for name, reason in unusable(report.kept, broken).items()
    ]
    if problems or report.pav is None or not report.pav.shows("raw"):
        return problems
    # It must show everything that it showed before.
    names = [
        name
        for name in sorted({*bundled(), *(plugin.name for plugin in report.kept)})
        if report.pav.shows(name)
    ]
    now = inside.show_sched(checkout, python)
    if now is None or not now.shows(*names):
        text = "there is none" if now is None else f"exit code {now.code}: {now.plain}"
        problems.append(
            Finding(
                "pav show sched",
                text,
                FAIL,
                f"It showed {', '.join(names)} with the old directory.",
            )
        )
    return problems


def unlink(checkout: Checkout, disk: Disk | None = None) -> Outcome:
    """Put the checkout's own directory back.

    :raises DropinError: When there is no backup.
    :raises OSError: When files cannot be changed.
    """
    with locked(checkout):
        swap = Swap(checkout, disk)
        recovered = swap.recover()
        state = read_state(checkout)
        if not state.ours and not (state.kind == "missing" and os.path.lexists(checkout.backup)):
            note = ""
            if state.kind == "original":
                swap.forget_kept()
            if os.path.lexists(checkout.backup):
                same = same_tree(checkout.active, checkout.backup)
                note = f" {checkout.backup} is left from an earlier link; it " + (
                    "is identical, and may be removed." if same else "is different."
                )
            return Outcome(
                True,
                recovered is not None,
                f"It is not linked: {checkout.active} is {state.text}.{note}",
                recovered=recovered,
            )
        if not os.path.lexists(checkout.backup):
            raise DropinError(
                f"{checkout.active} is {state.text}, but there is no {checkout.backup.name} to "
                "restore. Nothing was changed. In a git checkout, remove "
                f"{checkout.active.relative_to(checkout.root)}; then 'git checkout -- "
                f"{checkout.active.relative_to(checkout.root)}' brings back Pavilion's own "
                "directory."
            )
        swap.restore()
        return Outcome(
            True, True, f"{checkout.active} is Pavilion's own again.", recovered=recovered
        )


def installed_version() -> str:
    """The version of this package."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pavilion-schedulers")
    except PackageNotFoundError:
        return "0 (not installed)"
