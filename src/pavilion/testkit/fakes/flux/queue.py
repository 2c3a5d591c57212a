"""``flux queue``: list queues, and whether they take and start jobs."""

from __future__ import annotations

from ..engine.options import Unsupported
from ..engine.store import Row
from . import options
from .context import Context
from .resource import formatted

_OPTIONS = {"--format": "format", "-o": "format", "--queue": "queue", "-q": "queue"}
_FLAGS = {"--no-header": "bare", "-n": "bare"}
_NO_QUEUE = {"name": "", "default": False, "state": "UP", "max_time": 0, "default_time": 0}


def run(context: Context) -> int:
    """Run ``flux queue``; its exit code."""
    what = context.words[0] if context.words else ""
    if what not in ("list", "status"):
        raise Unsupported(f"the command 'flux queue {what}'")
    given, _ = options.parse("flux-queue", context.words[1:], _OPTIONS, _FLAGS, "help h verbose v")
    context.connect()
    none = context.own_job or context.description.get("no_queues")
    for queue in [_NO_QUEUE] if none else context.description["partitions"]:
        if what == "status":
            _status(context, queue)
        elif "format" in given and "bare" in given:
            context.line(formatted(context, given["format"][-1], _values(queue)))
        else:
            raise Unsupported("flux queue list without -no FORMAT")
    return 0


def _values(queue: Row) -> dict[str, str]:
    name, state = queue["name"], queue["state"].partition(":")[0]
    return {
        "queue": name,
        "queuem": f"{name}*" if queue["default"] else name,
        "submission": "disabled" if state == "DISABLED" else "enabled",
        "scheduling": "stopped" if state == "STOPPED" else "started",
        "defaults.timelimit": str(60.0 * queue["default_time"] or float("inf")),
        "limits.timelimit": str(60.0 * queue["max_time"] or float("inf")),
    }


def _status(context: Context, queue: Row) -> None:
    values = _values(queue)
    name = f"{queue['name']}: " if queue["name"] else ""
    reason = queue["state"].partition(":")[2]
    for what, word, bad in (
        ("Job submission", values["submission"], "disabled"),
        ("Scheduling", values["scheduling"], "stopped"),
    ):
        why = f":{reason}" if reason and word == bad else ""
        context.line(f"{name}{what} is {word}{why}")
