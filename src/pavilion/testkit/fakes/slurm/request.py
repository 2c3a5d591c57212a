"""From options to the row of a job: the checks that sbatch and srun make before they submit."""

# A command starts in less time without pathlib.
# ruff: noqa: PTH109, PTH118

from __future__ import annotations

import os
import re

from ..engine import hostlist
from ..engine.options import Option, Unsupported, Usage
from ..engine.store import Row
from . import errors, gres, times
from .context import Context
from .releases import MODERN, Release

REQUEST_OPTIONS = (
    Option("account", "A", "needed"),
    Option("begin", "b", "needed"),
    Option("comment", "", "needed"),
    Option("constraint", "C", "needed"),
    Option("core-spec", "S", "needed"),
    Option("cpus-per-task", "c", "needed"),
    Option("dependency", "d", "needed"),
    Option("exclude", "x", "needed"),
    Option("exclusive", "", "optional"),
    Option("hold", "H"),
    Option("job-name", "J", "needed"),
    Option("mem", "", "needed"),
    Option("nice", "", "optional"),
    Option("nodelist", "w", "needed"),
    Option("nodes", "N", "needed"),
    Option("ntasks", "n", "needed"),
    Option("ntasks-per-node", "", "needed"),
    Option("oversubscribe", "s"),
    Option("partition", "p", "needed"),
    Option("qos", "q", "needed"),
    Option("quiet", "Q"),
    Option("reservation", "", "needed"),
    Option("time", "t", "needed"),
    Option("verbose", "v"),
    Option("wckey", "", "needed"),
    Option("chdir", "D", "needed"),
    Option("no-requeue", ""),
    Option("requeue", ""),
    Option("test-only", ""),
    Option("thread-spec", "", "needed"),
    *gres.OPTIONS,
)
_EXCLUSIVE = ("", "exclusive")
_OPPOSITES = (("exclusive", "oversubscribe"), ("requeue", "no-requeue"))


class Request:
    """What a user requests; ``command`` is the name that the messages begin with."""

    def __init__(self, command: str, options: dict[str, str]) -> None:
        self.command = command
        self.options = dict(options)
        for pair in _OPPOSITES:
            given = [name for name in options if name in pair]
            for name in given[:-1]:
                self.options.pop(name)

    def row(self, context: Context) -> Row:
        """The row of the job. The partition and the machine are not looked at here.

        :raises Usage: for a value that the client refuses.
        """
        options = self.options
        for empty in ("nodelist", "exclude", "partition", "gpus"):
            if options.get(empty) == "":
                raise Unsupported(f"{self.command}: an empty --{empty}")
        if re.match(r"-[^1]", options.get("time", "")):
            raise Unsupported(f"{self.command}: --time={options['time']}")
        name, uid, group, gid = context.user
        least, most = self._nodes()
        now = context.now
        row: Row = {
            "name": options.get("job-name", ""),
            "user": name,
            "uid": uid,
            "group": group,
            "gid": gid,
            "account": options.get("account"),
            "qos": options.get("qos"),
            "wckey": options.get("wckey"),
            "comment": options.get("comment"),
            "partition": options.get("partition", ""),
            "features": options.get("constraint", ""),
            "reservation": options.get("reservation", ""),
            "unchecked": False,
            "req_nodes": self._node_names("nodelist", context.release),
            "exc_nodes": self._node_names("exclude", context.release),
            "min_nodes": least,
            "max_nodes": most,
            "ntasks": self._number("ntasks"),
            "ntasks_per_node": self._number("ntasks-per-node"),
            "cpus_per_task": self._number("cpus-per-task") or 1,
            "memory": self._memory(),
            "core_spec": None,
            "limit": self._limit(),
            "limit_given": self._limit(),
            "exclusive": self._exclusive(),
            "oversubscribe": "oversubscribe" in options,
            "requeue": "no-requeue" not in options,
            "nice": self._nice(),
            "hold": "user" if "hold" in options else "",
            "begin": self._begin(now),
            "dependency": options.get("dependency", ""),
            "dependency_failed": [],
            "unlimited": "time" in options and not self._limit(),
            "reservation_used": "",
            "gres": self._gres(context),
            "gpus": {},
            "paths": {},
            "array_job": None,
            "array_task": None,
            "array_tasks": [],
            "array_throttle": 0,
            "array": {},
            "workdir": self._workdir(),
            "command": None,
            "std_out": None,
            "std_err": None,
            "std_in": "/dev/null",
            "submit": now,
            "eligible": None,
            "start": None,
            "end": None,
            "evaluated": now,
            "state": "PENDING",
            "completing": False,
            "reason": "None",
            "restarts": 0,
            "exit_code": 0,
            "exit_signal": 0,
            "alloc": {},
            "kind": "batch",
            "run": "",
            "ending": "",
            "term_sent": 0.0,
            "kill_sent": 0.0,
            "requeuing": False,
            "umask": 0o22,
            "append": False,
            "submit_line": "",
            "ntasks_default": None,
            "priority": 0,
            "scheduled": 0.0,
            "end_wish": None,
            "restarts_after": None,
            "configuring": False,
            "nodes_for_tasks": 1,
        }
        self._ignore_core_spec(context)
        row["ntasks"] = gres.tasks(row) or row["ntasks"]
        self._fit_nodes(context, row)
        return row

    # -- single values -----------------------------------------------------------------------

    def _refuse(self, text: str, code: int) -> Usage:
        return Usage(f"{self.command}: error: {text}\n", code)

    def _nodes(self) -> tuple[int, int | None]:
        """The least and the most nodes; None: as many as it takes."""
        text = self.options.get("nodes")
        if text is None:
            return 1, None
        match = re.fullmatch(r"(\d+)([kKmM]?)(?:-(\d+)([kKmM]?))?", text)
        if not match:
            raise self._refuse(f'"{text}" is not a valid node count', 255)
        units = {"": 1, "k": 1024, "m": 1024 * 1024}
        least = int(match[1]) * units[match[2].lower()]
        most = int(match[3]) * units[match[4].lower()] if match[3] else least
        if most < least:
            raise self._refuse(
                f"Maximum node count {most} is less than minimum node count {least}", 255
            )
        return least, most

    def _number(self, name: str, least: int = 1) -> int | None:
        text = self.options.get(name)
        if text is None:
            return None
        if not text.isdigit() or int(text) < least:
            raise self._refuse(f'Invalid numeric value "{text}" for --{name}.', 1)
        return int(text)

    def _memory(self) -> int:
        """MiB; 0 when it is not requested."""
        text = self.options.get("mem")
        if text is None:
            return 0
        match = re.fullmatch(r"(\d+)([KMGT]?)B?", text, re.IGNORECASE)
        if not match:
            raise self._refuse("Invalid --mem specification", 255)
        factor = {"K": 1 / 1024, "": 1, "M": 1, "G": 1024, "T": 1024 * 1024}[match[2].upper()]
        return int(int(match[1]) * factor)

    def _limit(self) -> int | None:
        text = self.options.get("time")
        if text is None:
            return None
        try:
            return times.parse_limit(text) or None
        except ValueError:
            raise self._refuse("Invalid --time specification", 255) from None

    def _begin(self, now: float) -> float | None:
        text = self.options.get("begin")
        if text is None:
            return None
        try:
            return times.parse_when(text, now)
        except ValueError:
            raise Usage(
                f"Invalid time specification (pos=0): {text}\n"
                f"{self.command}: error: Invalid --begin specification\n",
                255,
            ) from None

    def _ignore_core_spec(self, context: Context) -> None:
        """As the client does, aloud: it would need AllowSpecResourcesUsage."""
        for name, shown in (("core-spec", "-S"), ("thread-spec", "--thread-spec")):
            if self._number(name, least=0) is not None:
                context.err(
                    f"{self.command}: error: Ignoring {shown} since it's not allowed by "
                    "configuration (AllowSpecResourcesUsage = No)"
                )

    def _nice(self) -> int:
        text = self.options.get("nice")
        match = re.match(r"[-+]?\d+", text or "")
        return int(match[0]) if match else 100 if text == "" else 0

    def _exclusive(self) -> bool:
        text = self.options.get("exclusive")
        if text in ("user", "mcs"):
            raise Unsupported(f"{self.command}: --exclusive={text}")
        if text is not None and text not in _EXCLUSIVE:
            raise self._refuse("Invalid --exclusive specification", 255)
        return text is not None

    def _gres(self, context: Context) -> Row:
        found = gres.request(self.command, self.options)
        if gres.wants_any({"gres": found}) and all(
            row["gpus"] is None for row in context.store.nodes()
        ):
            raise self._refuse(errors.BAD_GRES.text, 1)
        return found

    def _node_names(self, name: str, release: Release) -> list[str]:
        try:
            return list(
                dict.fromkeys(
                    hostlist.expand(self.options.get(name, ""), suffixes=release >= MODERN)
                )
            )
        except hostlist.HostlistError:
            raise self._refuse(f"Invalid --{name} specification", 255) from None

    def _workdir(self) -> str:
        return os.path.join(os.getcwd(), self.options.get("chdir", "")).rstrip("/") or "/"

    def _fit_nodes(self, context: Context, row: Row) -> None:
        """Make number of nodes, node list and number of tasks fit, as the client does."""
        listed = len(row["req_nodes"])
        if listed > row["min_nodes"]:
            if (
                row["max_nodes"] is not None
                and listed > row["max_nodes"]
                and context.release < MODERN
            ):
                raise self._refuse(f"invalid number of nodes (-N {listed}-{row['max_nodes']})", 1)
            row["min_nodes"] = listed
            row["max_nodes"] = row["max_nodes"] and max(listed, row["max_nodes"])
        tasks = row["ntasks"]
        if self.command == "sbatch" and tasks is not None and tasks < row["min_nodes"]:
            context.err(
                f"sbatch: Warning: can't run {tasks} processes on {row['min_nodes']} "
                f"nodes, setting nnodes to {tasks}"
            )
            row["min_nodes"] = row["max_nodes"] = tasks
            row["req_nodes"] = row["req_nodes"][:tasks]
        per_node = row["ntasks_per_node"]
        if "nodes" in self.options and row["ntasks"] is None and per_node is None:
            row["ntasks_default"] = row["min_nodes"]
        if per_node and row["ntasks"] is None:
            row["ntasks_default"] = row["min_nodes"] * per_node
        elif per_node and row["ntasks"]:
            row["min_nodes"] = max(row["min_nodes"], -(-row["ntasks"] // per_node))
