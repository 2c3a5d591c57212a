"""``pav-sched plan``: what 'run' would start, without starting it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from pavilion.errors import ConfigError
from pavilion.preview import Preview, PreviewJob, kickoff_script, preview
from pavilion.schedulers.config_values import node_range_text
from pavilion.schedulers.placement import hostlists
from pavilion.schedulers.time_limits import HOUR, UNLIMITED, seconds_of, short_text

from . import base, left_out
from .base import PROGRAM, Command, Session
from .output import Column, plural, print_json, print_table, tell
from .targets import add_targets, resolve_targets, show_pinned, show_warnings


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_targets(parser)
    parser.add_argument(
        "--script",
        type=int,
        metavar="JOB",
        action="append",
        default=[],
        help=("print the kickoff script of a job, by its number in the plan; may be repeated"),
    )


def _run(session: Session) -> int:
    resolved, seed, _ = resolve_targets(session)
    plan = preview(resolved)
    lines, left_out_records = left_out.of_plan(session, plan)
    unknown = [number for number in session.args.script if not 0 < number <= len(plan.jobs)]
    for error in plan.errors:
        tell(f"{PROGRAM}: error: {error}")
    refused = {test.name for error in plan.errors for test in error.tests}
    show_warnings(resolved, refused)
    show_pinned(resolved, refused)
    if unknown:
        raise ConfigError(
            f"There is no job {unknown[0]} in this plan; it has {plural(len(plan.jobs), 'job')}."
        )
    if session.args.json:
        print_json(
            {
                "seed": seed,
                "jobs": [_record(session, job) for job in plan.jobs],
                "errors": [
                    {"tests": [test.name for test in error.tests], "error": error.text}
                    for error in plan.errors
                ],
                "left_out": left_out_records,
            }
        )
    elif session.args.script:
        for number in session.args.script:
            print("\n".join(kickoff_script(session.pav_cfg, plan.jobs[number - 1]).get_lines()))
    else:
        _print(plan, seed, lines)
    return base.FAILED if plan.errors else base.OK


def _print(plan: Preview, seed: int, lines: Sequence[str]) -> None:
    columns = [
        Column("JOB", right=True),
        Column("SCHEDULER"),
        Column("MODE"),
        Column("CHUNK", right=True),
        Column("SIZE", right=True),
        Column("NODES", cut=True),
        Column("LIMIT", right=True),
        Column("TESTS", right=True),
        Column("NAMES", cut=True),
    ]
    print_table(columns, [_row(job) for job in plan.jobs])
    for line in lines:
        print(line)
    left = sum(len(error.tests) for error in plan.errors)
    print(
        f"{plural(sum(len(job.tests) for job in plan.jobs), 'test')} in "
        f"{plural(len(plan.jobs), 'job')}"
        + (f", {plural(left, 'test')} in none" if left else "")
        + f". Seed {seed}. Nothing was started."
    )


def _row(job: PreviewJob) -> list[str]:
    planned = job.planned
    if planned.nodes is not None:
        size, nodes = str(len(planned.nodes)), hostlists.fold(planned.nodes)
    else:
        assert planned.node_range is not None
        size, nodes = node_range_text(planned.node_range), "any"
    return [
        str(job.number),
        job.scheduler,
        planned.mode,
        "" if planned.chunk is None else str(planned.chunk),
        size,
        nodes,
        short_text(planned.config["time_limit"]),
        str(len(planned.tests)),
        ", ".join(job.test_names),
    ]


def _record(session: Session, job: PreviewJob) -> dict[str, Any]:
    planned = job.planned
    record: dict[str, Any] = {
        "job": job.number,
        "scheduler": job.scheduler,
        "name": job.name,
        "mode": planned.mode,
        "chunk": planned.chunk,
        "nodes": planned.nodes,
        "node_list": None if planned.nodes is None else hostlists.fold(planned.nodes),
        "node_range": planned.node_range,
        "time_limit": _hours(planned.config["time_limit"]),
        "tests": job.test_names,
    }
    if job.number in session.args.script:
        record["script"] = kickoff_script(session.pav_cfg, job).get_lines()
    return record


def _hours(limit: int) -> int | float | None:
    """Hours; None for no limit."""
    if limit == UNLIMITED:
        return None
    return limit if type(limit) is int else seconds_of(limit) / HOUR


COMMANDS = [
    Command(
        name="plan",
        summary="show what 'run' would start, without starting it",
        description=(
            "Show the jobs that 'run' would start with the same arguments: which tests share a job,\n"
            "on which nodes ('any': the scheduler picks them), and for how long. Nothing is started."
        ),
        examples=[
            "plan nightly",
            "plan nightly -c schedule.chunking.size=16 --seed 7",
            "plan nightly --script 1",
            "plan s1 --failed",
        ],
        run=_run,
        arguments=_arguments,
        json=True,
    )
]
