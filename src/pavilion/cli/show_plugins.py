"""``pav-sched show plugins``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pavilion import schedulers
from pavilion.schedulers.finding.discovery import LoadedPlugin

from . import base
from .base import Command, Session
from .output import Column, print_json, print_table


def _show(session: Session) -> int:
    report = session.plugins
    found: list[dict[str, Any]] = []
    for plugin in report.loaded:
        winner = _overridden_by(plugin)
        if winner is not None:
            why = f"{winner} has the same name and a higher priority."
            found.append(_record(plugin, "overridden", why))
            continue
        missing = plugin.plugin.missing_commands() if plugin.category == "sched" else None
        reason = missing and f"Not available here: {missing}"
        found.append(_record(plugin, "loaded", reason, available=False if missing else None))
    found += [
        _record(plugin, "disabled", "disable_plugins in the settings lists it.")
        for plugin in report.disabled
    ]
    found += [_row("refused", refused.file, refused.reason) for refused in report.refused]
    found += [
        _row(
            "not used",
            foreign.file,
            f"Pavilion has {foreign.category} plugins; this host does not.",
            category=foreign.category,
        )
        for foreign in report.foreign
    ]
    if session.args.json:
        print_json({"plugins": found})
        return base.OK
    columns = [
        Column("STATE"),
        Column("CATEGORY"),
        Column("NAME"),
        Column("PRIORITY", right=True),
        Column("ORIGIN", wrap=True),
        Column("FILE", wrap=True),
        Column("REASON", wrap=True),
    ]
    print_table(
        columns, [[_text(item[column.title.lower()]) for column in columns] for item in found]
    )
    return base.OK


def _overridden_by(found: LoadedPlugin) -> Any:
    """The file of the scheduler that has this one's name; None when it is this one."""
    if found.category != "sched":
        return None
    active = schedulers.get_plugin(found.plugin.name)
    return None if active is None or active is found.plugin else active.path


def _record(
    found: LoadedPlugin, state: str, reason: Any, available: bool | None = None
) -> dict[str, Any]:
    """:param available: False when commands are missing; None when that is for 'show sched' to say."""
    return _row(
        state,
        found.file,
        reason,
        category=found.category,
        name=found.plugin.name,
        priority=found.plugin.priority,
        origin=found.origin or None,
        available=available,
    )


def _row(state: str, file: Path, reason: Any, **about: Any) -> dict[str, Any]:
    """What is shown of a file; nothing is known about a plugin that was not loaded."""
    keys = ("category", "name", "priority", "origin")
    return {
        "state": state,
        **{key: about.get(key) for key in keys},
        "file": str(file),
        "reason": reason,
        "available": about.get("available"),
    }


def _text(value: Any) -> str:
    return "" if value is None else str(value)


COMMANDS = [
    Command(
        name="plugins",
        summary="plugins: loaded, overridden, disabled, refused and not used",
        description="Show the plugins that were found, and why some of them are not used.",
        examples=["show plugins", "show plugins --json"],
        run=_show,
        json=True,
    )
]
