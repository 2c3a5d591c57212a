"""``--requires``: properties and hosts, joined by '&' or ','; '|' in parentheses; '-' or '^' is not."""

from __future__ import annotations

import re

from ..engine import hostlist
from ..engine.machine import Machine, Node
from ..engine.options import Unsupported
from .context import Context


def check(context: Context, text: str, known: set[str]) -> None:
    """Check the names of hosts.

    :raises FluxError: for what Flux refuses; :raises Unsupported: for what the fake does not know.
    """
    for term in _terms(text):
        for _, kind, value in _alternatives(term):
            if kind not in ("host", "hosts"):
                continue
            if value.count("[") != value.count("]"):
                raise context.fail(f"Invalid hostlist: '{value}'")
            missing = [name for name in hostlist.expand(value) if name not in known]
            if missing:
                raise context.fail(
                    f"invalid jobspec: host constraint contains invalid hosts: host '{missing[0]}' "
                    "not found"
                )


def fits(node: Node, queues: list[str], text: str) -> bool:
    """Whether a node, which is in these queues, fulfils a constraint."""
    properties = {*queues, *node.features}

    def holds(kind: str, value: str) -> bool:
        if kind in ("host", "hosts"):
            return node.name in hostlist.expand(value)
        return value in properties

    return all(
        any(holds(kind, value) != negated for negated, kind, value in _alternatives(term))
        for term in _terms(text)
    )


def eligible(machine: Machine, queue: str, requires: str) -> list[Node]:
    """The nodes of a queue ('' for all) that fulfil a constraint, whether they are up or not."""
    queues = machine.partitions_of_nodes(hidden=True)
    return [
        node
        for node in machine.nodes
        if (not queue or queue in queues[node.name]) and fits(node, queues[node.name], requires)
    ]


def _terms(text: str) -> list[str]:
    """The terms that must all hold.  A comma separates properties, and belongs to host lists."""
    terms: list[str] = []
    for part in re.split(r"&+", text):
        terms += [part] if "host" in part else part.split(",")
    return [term.strip() for term in terms if term.strip()]


def _alternatives(term: str) -> list[tuple[bool, str, str]]:
    """(whether it must not hold, kind, value) of each of the alternatives in a term."""
    found = []
    for each in term.strip("()").split("|"):
        negated = each[:1] in ("-", "^")
        kind, colon, value = each[1 if negated else 0 :].partition(":")
        if colon and kind not in ("host", "hosts"):
            raise Unsupported(f"flux batch: --requires={kind}:")
        found.append((negated, kind if colon else "", value if colon else kind))
    return found
