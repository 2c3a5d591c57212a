"""``pav-sched show nodes``."""

from __future__ import annotations

import argparse
from typing import Any

from pavilion.errors import ConfigError
from pavilion.node_plan import reason_texts
from pavilion.preview import NodeReport, name_list, node_report, state_text
from pavilion.resolve import resolve_test
from pavilion.suites import select_tests

from . import base
from .base import Command, Session
from .output import Column, plural, print_json, print_table, tell, warn


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scheduler", metavar="SCHEDULER", help="whose nodes")
    parser.add_argument(
        "--test",
        metavar="TARGET",
        help=("as this test sees them, with the filters of its schedule section ('suite.test')"),
    )
    parser.add_argument("--filtered", action="store_true", help="only those that can be used")


def _show(session: Session) -> int:
    _ = session.plugins
    args = session.args
    report = node_report(args.scheduler, _schedule(session))
    usable = set(report.usable)
    names = [name for name in report.nodes if name in usable or not args.filtered]
    _tell_unknown(report)
    if args.json:
        print_json(
            {
                "scheduler": args.scheduler,
                "usable": len(usable),
                "nodes": [_record(report, name, name in usable) for name in names],
            }
        )
        return base.OK
    columns = [
        Column("NODE"),
        Column("USABLE"),
        Column("STATE", wrap=True),
        Column("CPUS"),
        Column("PARTITIONS", wrap=True),
        Column("RESERVATIONS", wrap=True),
        Column("LEFT OUT BECAUSE", wrap=True),
    ]
    print_table(columns, [_row(report, name, name in usable) for name in names])
    print(f"{len(usable)} of {plural(len(report.nodes), 'node')} can be used.")
    return base.OK


def _tell_unknown(report: NodeReport) -> None:
    """Names in include_nodes that are not names of nodes are usually misspelt."""
    for name, reason in report.reasons.items():
        if name not in report.nodes:
            tell(f"{name}: {reason}.")


def _schedule(session: Session) -> dict[str, Any]:
    """The schedule section to filter by; the defaults without a test."""
    target = session.args.test
    if target is None:
        return {}
    tests = select_tests(session.pav_cfg, target, [f"scheduler={session.args.scheduler}"])
    if len(tests) > 1:
        raise ConfigError(
            f"{target!r} stands for {len(tests)} tests; name one of them, for example "
            f"{target}.{tests[0].name}."
        )
    runs = resolve_test(tests[0])
    schedule: dict[str, Any] = runs[0].config["schedule"]
    others = [run.name for run in runs if run.config["schedule"] != schedule]
    if others:
        warn(
            f"the schedule sections of the permutations of {target} differ. These are the nodes "
            f"of {runs[0].name}; not of {name_list(others)}."
        )
    return schedule


def _row(report: NodeReport, name: str, usable: bool) -> list[str]:
    info = report.nodes[name]
    return [
        name,
        "yes" if usable else "no",
        state_text(info)[1],
        str(info.get("cpus", "")),
        ",".join(info.get("partitions") or []),
        ",".join(info.get("reservations") or []),
        _why(report, name),
    ]


def _why(report: NodeReport, name: str) -> str:
    """Why a node is left out; '' for one that is not."""
    reason = report.reasons.get(name, "")
    return reason_texts(reason, report.nodes[name])[0] if reason else ""


def _record(report: NodeReport, name: str, usable: bool) -> dict[str, Any]:
    return dict(report.nodes[name], name=name, usable=usable, reason=report.reasons.get(name))


COMMANDS = [
    Command(
        name="nodes",
        summary="the nodes of a scheduler, and why some are left out",
        description=(
            "Show the nodes of a scheduler, their states, and which can be used: by any test,\n"
            "or with the filters of one test."
        ),
        examples=["show nodes slurm", "show nodes slurm --test nightly.stream --filtered"],
        run=_show,
        arguments=_arguments,
        json=True,
    )
]
