"""``qsub``: submit a batch script."""

# A command starts in less time without pathlib.
# ruff: noqa: PTH123

from __future__ import annotations

import sys

from ..engine.options import Unsupported
from ..engine.store import Row
from . import request
from .context import Context, guarded, has_ended
from .errors import PbsError


@guarded
def run(context: Context) -> int:
    """Run ``qsub``; its exit code."""
    typed, operands = request.read_options(context, context.words)
    if len(operands) > 1:
        raise Unsupported("qsub: a command in place of a script")
    script, name = _script(operands)
    options = {**request.directives(context, script), **typed}
    row = request.row(context, options, name, context.words)
    lost = context.faults.get("accepted_but_error")
    with context.change("QueueJob"):
        jobs = sum(not has_ended(job) for job in context.machine_jobs())
        if "queue_full" in context.faults or jobs >= context.setting("max_job_count"):
            raise PbsError("qsub: Maximum number of jobs already in complex", 38)
        _submit(context, row, script)
        if lost is not None:
            count = context.store.count_in_transaction("accepted_but_error")
            lost = lost if not lost["times"] or count <= lost["times"] else None
    if lost is not None:
        raise PbsError(lost["text"], 183)
    context.line(context.id_of(row))
    return 0


def _script(operands: list[str]) -> tuple[bytes, str]:
    if not operands:
        return sys.stdin.buffer.read(), ""
    try:
        with open(operands[0], "rb") as file:
            return file.read(), operands[0]
    except IsADirectoryError:
        raise PbsError("qsub: script not a file", 1) from None
    except OSError as error:
        raise PbsError(f"qsub: script file:: {error.strerror}", 1) from None


def _submit(context: Context, row: Row, script: bytes) -> None:
    job_id = context.store.add_job(row, script, {}, [])
    for kind in ("output_path", "error_path"):
        row[kind] = row[kind].replace("%ID%", str(job_id))
    joined = {"oe": "output_path", "eo": "error_path"}.get(row["join"])
    out, err = joined or "output_path", joined or "error_path"
    row["paths"] = {"std_out": row[out], "std_err": row[err], "std_in": "/dev/null"}
    context.store.save_job(row)
