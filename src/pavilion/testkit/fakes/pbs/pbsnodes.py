"""``pbsnodes``: show nodes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..engine.options import Unsupported
from . import attributes, errors
from .context import Context, guarded
from .output import as_json, as_text, ctime

# Text has them also where they are 0.
_ASSIGNED = ("accelerator_memory", "hbmem", "mem", "naccelerators", "ncpus", "vmem")


@guarded
def run(context: Context) -> int:
    """Run ``pbsnodes``; its exit code."""
    found, names = context.options(context.words, "avF:", "orC:s:lSjLD:H")
    options = dict(found)
    if options.get("-F") not in (None, "json"):
        raise Unsupported(f"pbsnodes: -F {options['-F']}")
    if "-a" not in options and not names:
        raise errors.usage("pbsnodes", "")
    context.ask("StatusNode")
    known = dict(attributes.of_nodes(context, context.machine))
    code = 0
    if "-a" not in options:
        chosen: dict[str, Any] = {}
        for name in names:
            if name in known or "-F" in options:
                chosen[name] = known.get(name, {"Error": "Unknown node "})
            else:
                context.err(f"Node: {name},  Error: Unknown node")
                code = 1
        known = chosen
    if "-F" in options:
        rows = [(name, _in_json(about)) for name, about in known.items()]
        context.out(as_json("nodes", rows, context.server, context.now))
        return code
    for name, about in known.items():
        context.out(as_text(name, _in_text(about), indent=5, wrap=False))
    return code


def _in_json(about: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(about)
    if "jobs" in made:
        # Without the numbers of processors, each once.
        made["jobs"] = list(dict.fromkeys(job.partition("/")[0] for job in made["jobs"]))
    if "resources_assigned" in made:
        assigned = made["resources_assigned"]
        made["resources_assigned"] = {name: count for name, count in assigned.items() if count}
    return made


def _in_text(about: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(about)
    units = {name: "kb" for name in _ASSIGNED if name.endswith("mem") or "memory" in name}
    assigned = {name: f"0{units.get(name, '')}" for name in _ASSIGNED}
    assigned["ncpus"] = made["resources_assigned"]["ncpus"]
    made["resources_assigned"] = assigned
    for name in ("last_state_change_time", "last_used_time"):
        if name in made:
            made[name] = ctime(made[name])
    return made
