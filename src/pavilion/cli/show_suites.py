"""``pav-sched show suites``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pavilion.errors import ConfigError
from pavilion.suites import list_suites, load_suite

from . import base
from .base import Command, Session
from .output import Column, print_json, print_table, show_error, tell


def _show(session: Session) -> int:
    # The schedulers add to what a suite may contain.
    _ = session.plugins
    found: list[dict[str, Any]] = []
    errors: list[ConfigError] = []
    for name, file in list_suites(session.pav_cfg).items():
        suite: dict[str, Any] = {"name": name, "file": str(file), "tests": [], "error": None}
        found.append(suite)
        try:
            tests = load_suite(file)
        except ConfigError as exc:
            suite["error"] = exc.pformat()
            errors.append(exc)
            continue
        suite["tests"] = [
            {
                "name": test.name,
                "summary": test.config["summary"],
                "scheduler": test.config["scheduler"],
            }
            for test in tests.values()
            if not test.name.startswith("_")
        ]
    if session.args.json:
        print_json({"suites": found})
    elif found:
        _print(found)
    else:
        folders = [str(Path(item["path"]) / "suites") for item in session.pav_cfg.configs.values()]
        tell(f"There are no suites. They are YAML files in {', '.join(folders)}.")
    for error in errors:
        show_error(error)
    return base.USAGE if errors else base.OK


def _print(found: list[dict[str, Any]]) -> None:
    columns = [
        Column("SUITE"),
        Column("TEST"),
        Column("SCHEDULER"),
        Column("SUMMARY", wrap=True),
        Column("FILE", wrap=True),
    ]
    rows = []
    for suite in found:
        if suite["error"] is not None:
            rows.append([suite["name"], "", "", "It cannot be used; see below.", suite["file"]])
        rows += [
            [suite["name"], test["name"], test["scheduler"], test["summary"] or "", suite["file"]]
            for test in suite["tests"]
        ]
    print_table(columns, rows)


COMMANDS = [
    Command(
        name="suites",
        summary="the suites in the config directories, and their tests",
        description=(
            "Show the suites in suites/ of the config directories, and their tests. The exit\n"
            "code is 2 when one of them has mistakes."
        ),
        examples=["show suites", "show suites --json"],
        run=_show,
        json=True,
    )
]
