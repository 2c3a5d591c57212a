"""``sdiag``: how often the controller was called, by kind of call and by user."""

# A command starts in less time without pathlib.
# ruff: noqa: PTH118, PTH123

from __future__ import annotations

import json
import os
import time

from ..engine.context import RPC_FILE, append_record
from ..engine.options import Option, Parser
from .context import Context
from .errors import ACCESS_DENIED, SlurmError

_NUMBERS = {
    "REQUEST_JOB_INFO": 2003,
    "REQUEST_NODE_INFO": 2007,
    "REQUEST_PARTITION_INFO": 2009,
    "REQUEST_JOB_INFO_SINGLE": 2021,
    "REQUEST_RESERVATION_INFO": 2024,
    "REQUEST_PING": 1008,
    "REQUEST_TOPO_INFO": 2028,
    "REQUEST_STATS_INFO": 2035,
    "REQUEST_SUBMIT_BATCH_JOB": 4003,
    "REQUEST_KILL_JOB": 5032,
    "REQUEST_UPDATE_NODE": 3002,
    "REQUEST_UPDATE_JOB": 3001,
    "REQUEST_CREATE_RESERVATION": 3006,
    "REQUEST_UPDATE_RESERVATION": 3009,
    "REQUEST_DELETE_RESERVATION": 3008,
    "REQUEST_JOB_REQUEUE": 5023,
    "REQUEST_RESOURCE_ALLOCATION": 4001,
}
_OPTIONS = (
    Option("all", "a"),
    Option("reset", "r"),
    Option("sort-by-id", "i"),
    Option("sort-by-time", "t"),
)


def run(context: Context) -> int:
    """Run ``sdiag``; its exit code."""
    options, _ = Parser("sdiag", _OPTIONS, "cluster M help usage", usage_code=1).parse(
        context.words
    )
    resetting = "reset" in options
    try:
        if resetting and not context.is_administrator:
            raise SlurmError(ACCESS_DENIED)
        context.ask("REQUEST_STATS_INFO")
    except SlurmError as error:
        call = "slurm_reset_statistics" if resetting else "slurm_get_statistics"
        context.err(f"{call}: {error.text}")
        return 255
    if resetting:
        append_record(context.folder, RPC_FILE, {"rpc": "", "user": "", "time": time.time()})
        return 0
    _print(context)
    return 0


def counts(folder: str, key: str) -> dict[str, int]:
    """Calls since the last reset, by 'rpc' or by 'user'."""
    found: dict[str, int] = {}
    try:
        with open(os.path.join(folder, RPC_FILE), encoding="utf-8") as file:
            records = [json.loads(line) for line in file]
    except FileNotFoundError:
        records = []
    for record in records:
        if not record["rpc"]:
            found.clear()
            continue
        found[record[key]] = found.get(record[key], 0) + 1
    return found


def _print(context: Context) -> None:
    stars = "*" * 55
    moment = time.strftime("%a %b %d %H:%M:%S %Y", time.localtime(context.now))
    states: dict[str, int] = {}
    for job in context.store.jobs():
        states[job["state"]] = states.get(job["state"], 0) + 1
    context.line(stars)
    context.line(f"sdiag output at {moment} ({int(context.now)})")
    context.line(stars)
    context.line()
    context.line(f"Jobs pending:   {states.get('PENDING', 0)}")
    context.line(f"Jobs running:   {states.get('RUNNING', 0)}")
    context.line()
    context.line("Remote Procedure Call statistics by message type")
    by_count = sorted(counts(context.folder, "rpc").items(), key=lambda pair: -pair[1])
    for name, number in by_count:
        context.line(
            f"\t{name:<40}({_NUMBERS.get(name, 0):5d}) count:{number:<6d} "
            f"ave_time:0      total_time:0"
        )
    context.line()
    context.line("Remote Procedure Call statistics by user")
    for name, number in sorted(counts(context.folder, "user").items()):
        context.line(f"\t{name:<16}({0:8d}) count:{number:<6d} ave_time:0      total_time:0")
