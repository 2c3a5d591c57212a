"""``pav-sched show sched``."""

from __future__ import annotations

import argparse
import io
from typing import TYPE_CHECKING, Any

import yaml_config as yc
from pavilion import schedulers
from pavilion.schedulers.config import CONFIG_DEFAULTS, ScheduleConfig, validate_config
from pavilion.schedulers.finding.registry import require_plugin

from . import base
from .base import Command, Session
from .output import Column, print_json, print_table

if TYPE_CHECKING:
    from pavilion.plugins import PluginReport


def _arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--list", action="store_true", help="all schedulers (the default)")
    group.add_argument(
        "--config",
        metavar="NAME",
        help=("an example of the schedule section, with the keys of that scheduler"),
    )
    group.add_argument(
        "--vars", metavar="NAME", help="the variables that the scheduler gives to tests"
    )


def _show(session: Session) -> int:
    report = session.plugins
    args = session.args
    if args.config is not None:
        _show_config(args.config, args.json)
    elif args.vars is not None:
        _show_vars(args.vars, args.json)
    else:
        _show_list(report, args.json)
    return base.OK


def _show_list(report: PluginReport, as_json: bool) -> None:
    origins = {id(found.plugin): found.origin for found in report.loaded}
    found: list[dict[str, Any]] = []
    for name in schedulers.list_plugins():
        plugin = require_plugin(name)
        available = plugin.available()
        found.append(
            {
                "name": name,
                "available": available,
                "reason": None if available else plugin.unavailable_reason,
                "priority": plugin.priority,
                "description": plugin.description,
                "origin": origins.get(id(plugin), ""),
                "file": str(plugin.path),
            }
        )
    if as_json:
        print_json({"schedulers": found})
        return
    columns = [
        Column("NAME"),
        Column("AVAILABLE", wrap=True),
        Column("PRIORITY", right=True),
        Column("DESCRIPTION", wrap=True),
        Column("ORIGIN", wrap=True),
        Column("FILE", wrap=True),
    ]
    print_table(
        columns,
        [
            [
                item["name"],
                "yes" if item["available"] else f"no: {item['reason']}",
                str(item["priority"]),
                item["description"],
                item["origin"],
                item["file"],
            ]
            for item in found
        ],
    )


def example_config(name: str) -> str:
    """An example of the schedule section, with the section of one scheduler, as YAML.

    :raises SchedulerPluginError: When there is no such scheduler.
    """
    require_plugin(name)
    others = set(schedulers.list_plugins()) - {name}
    elements = [elem for elem in ScheduleConfig.ELEMENTS if elem.name not in others]

    class Example(yc.YamlConfigLoader):
        """The section alone, as it would be in a test."""

        ELEMENTS = [
            yc.KeyedElem(
                "schedule", elements=elements, help_text="What to request from the scheduler."
            )
        ]

    defaults = {key: value for key, value in _as_text(CONFIG_DEFAULTS).items() if key not in others}
    file = io.StringIO()
    Example().dump(file, {"schedule": defaults})
    return file.getvalue()


def _as_text(value: Any) -> Any:
    """A default as a user would write it."""
    if isinstance(value, dict):
        return {key: _as_text(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_text(item) for item in value]
    if isinstance(value, bool):
        return str(value).lower()
    return None if value is None else str(value)


def _show_config(name: str, as_json: bool) -> None:
    text = example_config(name)
    if as_json:
        print_json({"scheduler": name, "example": text})
    else:
        print(text, end="")


def _show_vars(name: str, as_json: bool) -> None:
    plugin = require_plugin(name)
    variables = plugin.VAR_CLASS(validate_config({}))
    found = [dict(variables.info(key)) for key in sorted(variables.keys())]
    if as_json:
        print_json({"scheduler": name, "variables": found})
        return
    columns = [
        Column("NAME"),
        Column("DEFERRED"),
        Column("EXAMPLE", wrap=True),
        Column("HELP", wrap=True),
    ]
    print_table(
        columns,
        [
            [
                item["name"],
                "yes" if item["deferred"] else "no",
                _example(item["example"]),
                item["help"] or "",
            ]
            for item in found
        ],
    )


def _example(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_example, value)) + "]"
    return str(value)


COMMANDS = [
    Command(
        name="sched",
        summary="schedulers, their config and their variables",
        description=(
            "Show the schedulers; or an example of the schedule section for one of them; or\n"
            "the variables that it gives to tests. Deferred variables are known only inside\n"
            "the allocation."
        ),
        examples=["show sched", "show sched --config raw", "show sched --vars raw --json"],
        run=_show,
        arguments=_arguments,
        json=True,
    )
]
