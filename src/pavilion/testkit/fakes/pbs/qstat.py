"""``qstat``: show jobs and queues."""

from __future__ import annotations

from ..engine.options import Unsupported
from ..engine.store import Row
from . import attributes, errors
from .context import Context, guarded, has_ended
from .errors import PbsError
from .output import Value, as_json, as_text, clock

# Letters of states, and their names in the number of a queue's jobs.
_COUNTED = {
    **{"T": "Transit", "Q": "Queued", "H": "Held", "W": "Waiting", "R": "Running"},
    **{"E": "Exiting", "B": "Begun"},
}


@guarded
def run(context: Context) -> int:
    """Run ``qstat``; its exit code."""
    found, operands = context.options(context.words, "fxEwF:Q", "aBCD:GHiJMnpqrstTu:1")
    options = dict(found)
    if options.get("-F") not in (None, "json"):
        raise Unsupported(f"qstat: -F {options['-F']}")
    if "-F" in options and "-f" not in options:
        raise errors.usage("qstat", "qstat: conflicting options.")
    try:
        context.ask("StatusJob")
    except PbsError:
        if "-F" in options:
            context.out(as_json("Jobs", (), context.server, context.now))
        raise
    if "-Q" in options:
        return _queues(context, options, operands)
    jobs, code = _chosen(context, options, operands)
    _show(context, options, jobs)
    return code


def _chosen(context: Context, options: dict[str, str], words: list[str]) -> tuple[list[Row], int]:
    """The jobs to show, and the exit code: that of the last id that is wrong."""
    known = {job["id"]: job for job in context.jobs()}
    if "-x" in options and not context.has_history:
        names = [f" {context.named(word)}.{context.server}" for word in words]
        for name in names or [""]:
            context.err(f"qstat: {errors.NO_HISTORY}{name}")
        return [], 0
    if not words:
        return [job for job in known.values() if "-x" in options or not has_ended(job)], 0
    jobs: list[Row] = []
    wrong: list[tuple[str, int]] = []
    for word in words:
        if not word[:1].isdigit():
            wrong.append((f"qstat: Unknown queue destination {word}", errors.UNKNOWN_QUEUE))
            continue
        number = context.named(word)
        name = f"{number}.{context.server}"
        job = known.get(number)
        if job is None:
            wrong.append((f"qstat: Unknown Job Id {name}", errors.UNKNOWN_JOB))
        elif has_ended(job) and "-x" not in options:
            more = "use -x or -H to obtain historical job information"
            wrong.append((f"qstat: {name} Job has finished, {more}", errors.FINISHED))
        else:
            jobs.append(job)
    if "-E" in options:
        # One request for all: what is not known is left out, unless all of them are.
        jobs.sort(key=lambda job: int(job["id"]))
        wrong = [] if jobs else wrong[-1:]
    for text, _ in wrong:
        context.err(text)
    return jobs, wrong[-1][1] if wrong else 0


def _show(context: Context, options: dict[str, str], jobs: list[Row]) -> None:
    made = [(context.id_of(job), attributes.of_job(context, job)) for job in jobs]
    if "-F" in options:
        if "one_of_several" in context.faults and "-E" not in options:
            made = made[:1]
        context.out(as_json("Jobs", made, context.server, context.now))
    elif "-f" in options:
        for name, about in made:
            context.out(as_text(f"Job Id: {name}", about, wide="-w" in options))
    elif made:
        context.line("Job id            Name             User              Time Use S Queue")
        context.line("----------------  ---------------- ----------------  -------- - -----")
        for job in jobs:
            context.line(_line(context, job))


def _line(context: Context, job: Row) -> str:
    letter, _ = attributes.state(job)
    used = clock(0) if letter == "F" and job["start"] else "0"
    return (
        f"{context.id_of(job)[:16]:<16}  {job['name'][:15]:<16} {job['user'][:15]:<16}  "
        f"{used:>8} {letter} {job['partition']:<16}"
    )


def _queues(context: Context, options: dict[str, str], words: list[str]) -> int:
    if words or set(options) - {"-Q", "-f"}:
        raise Unsupported("qstat: -Q with other options than -f, or with names")
    jobs = [job for job in context.jobs() if not has_ended(job)]
    if "-f" not in options:
        dashes = "---------------- ----- ----- --- --- ----- ----- ----- ----- ----- ----- ----"
        context.line(
            "Queue              Max   Tot Ena Str   Que   Run   Hld   Wat   Trn   Ext Type"
        )
        context.line(dashes)
    for queue in context.machine.partitions:
        own = [attributes.state(job)[0] for job in jobs if job["partition"] == queue["name"]]
        enabled = queue["state"] not in ("INACTIVE", "DRAIN")
        started = queue["state"] not in ("INACTIVE", "DOWN")
        if "-f" in options:
            about: dict[str, Value] = {
                "queue_type": "Execution",
                "total_jobs": len(own),
                "state_count": "".join(
                    f"{name}:{own.count(letter)} " for letter, name in _COUNTED.items()
                ),
                "enabled": str(enabled),
                "started": str(started),
            }
            context.out(as_text(f"Queue: {queue['name']}", about, wide=False))
            continue
        counts = [own.count(letter) for letter in "QRHWTE"]
        context.line(
            f"{queue['name'][:15]:<16} {0:>5} {len(own):>5} {_yes(enabled):>3} {_yes(started):>3} "
            + " ".join(f"{count:>5}" for count in counts)
            + " Exe*"
        )
    return 0


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"
