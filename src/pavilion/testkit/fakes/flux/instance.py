"""What there is to know about an instance: ``flux uptime``, ``getattr``, ``kvs``; and ``flux job``."""

from __future__ import annotations

import json
import time

from ..engine import hostlist
from ..engine.options import Unsupported
from ..engine.store import Row
from . import ids, times
from .context import SOCKET, Context, FluxError
from .resource import is_down, nodes, resources


def run(context: Context) -> int:
    """Run one of these commands; its exit code."""
    if context.name == "job":
        return _job(context)
    context.connect()
    if context.name == "uptime":
        _uptime(context)
    elif context.name == "getattr" and len(context.words) == 1:
        found = _attributes(context).get(context.words[0])
        if found is None:
            raise FluxError(f"flux-getattr: {context.words[0]}: No such file or directory")
        context.line(found)
    elif context.words == ["get", "resource.R"]:
        context.line(json.dumps(resources(context), separators=(",", ":")))
    elif context.name == "kvs" and context.words[:1] == ["get"] and len(context.words) == 2:
        # Nothing else is kept, which a real instance has as well.
        if not context.words[1].startswith("resource."):
            raise Unsupported(f"flux kvs get {context.words[1]}")
        raise FluxError(f"flux-kvs: {context.words[1]}: No such file or directory")
    else:
        raise Unsupported(f"flux {context.name} {' '.join(context.words)}")
    return 0


def _uptime(context: Context) -> None:
    job = context.job_of_instance()
    began = context.description["started"] if job is None else job["start"]
    own = nodes(context)
    parts = [
        f"run {times.short(max(0.1, context.now - began))}",
        f"  owner {context.description['owner']}",
        f"  depth {int(job is not None)}",
        f"  size {len(own)}",
    ]
    drained = sum(is_down(node) and node.base != "DOWN" for node in own)
    if drained:
        parts.append(f"  {drained} drained")
    clock = time.strftime("%H:%M:%S", time.localtime(context.now))
    context.line(f" {clock} {','.join(parts)}")


def _attributes(context: Context) -> dict[str, str]:
    job: Row | None = context.job_of_instance()
    found = {
        "instance-level": str(int(job is not None)),
        "size": str(len(nodes(context))),
        "hostlist": hostlist.fold(node.name for node in nodes(context)),
        "local-uri": f"local://{context.socket}",
    }
    if job is not None:
        found["jobid"] = ids.f58(job["flux_id"])
        found["parent-uri"] = f"local://{context.folder}/{SOCKET}"
    return found


def _job(context: Context) -> int:
    """``flux job id --to=dec ID`` and ``flux job urgency ID N``."""
    what, *rest = context.words or [""]
    numbers = [word for word in rest if not word.startswith("--")]
    if what == "id" and "--to=dec" in rest and len(numbers) == 1:
        number = ids.parse(numbers[0])
        if number is None:
            raise FluxError(f"flux-job: {numbers[0]}: malformed input")
        context.line(str(number))
        return 0
    if what != "urgency" or len(rest) != 2 or not rest[1].isdigit():
        raise Unsupported(f"flux job {' '.join(context.words)}")
    context.connect()
    with context.change("urgency"):
        job = context.find(ids.parse(rest[0]) or 0)
        if job is None:
            raise FluxError(f"flux-job: {rest[0]}: unknown job id")
        urgency = int(rest[1])
        job.update(urgency=urgency, priority=urgency, hold="" if urgency else "user")
        context.store.save_job(job)
    return 0
