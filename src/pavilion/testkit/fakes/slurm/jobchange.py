"""``scontrol update jobid=``, ``requeue``, ``requeuehold``, ``hold`` and ``release``."""

from __future__ import annotations

from collections.abc import Callable

from ..engine import hostlist
from ..engine.machine import Machine, is_purged
from ..engine.options import Unsupported
from ..engine.store import Row
from . import arrays, dependency, errors, placement
from .context import Context
from .controller import put_back
from .errors import SlurmError
from .releases import first_priority
from .times import parse_limit, parse_when

Change = Callable[[Row], None]
_HELD = {"user": "JobHeldUser", "admin": "JobHeldAdmin"}


# -- one job, or the records of an array ---------------------------------------------------------


def _change_job(
    context: Context, text: str, rpc: str, change: Change, denied: errors.Error = errors.BAD_USER
) -> tuple[int, str]:
    """Change a job, or what a word like '17_[1-2]' names of an array.

    The return code, and the error of a job that is not an array.
    """
    target = arrays.parse_target(text)
    try:
        with context.change(rpc):
            records = (
                []
                if target is None
                else [
                    job
                    for job in arrays.records(context.store, target.number)
                    if not context.hidden_by_fault(job)
                    and not is_purged(job, context.setting("min_job_age"), context.now)
                ]
            )
            if target is not None and (
                target.tasks is not None or len(records) > 1 or any(map(arrays.waiting, records))
            ):
                outcome = _change_tasks(context, target, records, change, denied)
                lines = _outcome_lines(target, outcome)
            else:
                if not records:
                    raise SlurmError(errors.BAD_JOB)
                _change_record(context, records[0], change, denied)
                lines = []
    except SlurmError as error:
        # Without an answer the client has nothing to print but that it did not understand it.
        unclear = error.number in (errors.TIMED_OUT.number, errors.NO_CONTACT.number)
        told = errors.UNEXPECTED.text if unclear else error.text
        context.err(f"{told} for job {text}")
        return 1, told
    for line in lines:
        context.err(line)
    return int(bool(lines)), ""


def _change_record(context: Context, job: Row, change: Change, denied: errors.Error) -> None:
    if job["user"] != context.user[0] and not context.is_administrator:
        raise SlurmError(denied)
    changed = dict(job)
    change(changed)
    job.update(changed)
    context.store.save_job(job)


def _change_tasks(
    context: Context,
    target: arrays.Target,
    records: list[Row],
    change: Change,
    denied: errors.Error,
) -> dict[int, str]:
    """Change tasks of an array; the error by task. Tasks that wait get records of their own when
    they are named."""
    outcome: dict[int, str] = {}
    for job in records:
        tasks = arrays.tasks_of(job)
        if target.tasks is not None:
            tasks = [task for task in tasks if task in target.tasks]
        together = [tasks] if target.tasks is None else [[task] for task in tasks]
        for some in filter(None, together):
            own = job
            if target.tasks is not None and arrays.waiting(job):
                own = arrays.split(context.store, job, some[0])
            try:
                _change_record(context, own, change, denied)
                error = errors.NO_ERROR.text
            except SlurmError as refusal:
                error = refusal.text
            outcome.update(dict.fromkeys(some, error))
    for task in target.tasks or ():
        outcome.setdefault(task, errors.BAD_JOB.text)
    return outcome


def _outcome_lines(target: arrays.Target, outcome: dict[int, str]) -> list[str]:
    """The tasks by what became of them, when something went wrong with one."""
    if set(outcome.values()) <= {errors.NO_ERROR.text}:
        return []
    by_text: dict[str, list[int]] = {}
    for task in sorted(outcome):
        by_text.setdefault(outcome[task], []).append(task)
    return [
        f"{arrays.name_of({'array_job': target.number}, tasks)}: {text}"
        for text, tasks in by_text.items()
    ]


def _each(
    context: Context,
    keyword: str,
    words: list[str],
    function: Callable[[str], tuple[int, str]],
    also: str = "",
) -> int:
    """Go through the ids of all words. ``also``: the call that one more line for each word names,
    with the last error."""
    if not words:
        context.err(f"too few arguments for keyword:{keyword}")
        return 1
    worst = 0
    for word in words:
        if "=" in word or word.lower() == "incomplete":
            raise Unsupported(f"scontrol: {keyword} {word}")
        last = ""
        for text in filter(None, hostlist.split(word)):
            code, error = function(text)
            worst, last = max(worst, code), error or last
        if also and last:
            context.err(f"{also} error:{context.gap}{last}")
    return worst


# -- update --------------------------------------------------------------------------------------


def update(context: Context, values: list[tuple[str, str]]) -> int:
    """``scontrol update jobid=ID[,ID...] KEY=VALUE...``."""
    given = dict(values)
    text = given.get("jobid") or given.get("job", "")
    if not text:
        raise Unsupported("scontrol: update of jobs by their name, or of none")
    changes = {key: value for key, value in values if key not in ("jobid", "job")}
    for key in changes:
        if key in _OTHER_KEYS.split():
            raise Unsupported(f"scontrol: update of a job: {key}")
        if key not in _JOB_CHANGES:
            context.err(f"Update of this parameter is not supported: {key}={changes[key]}")
            context.err("Request aborted")
            return 1
    if not changes:
        context.err("No changes specified")
        return 1
    for key, check in (("timelimit", _is_limit), ("priority", str.isdigit)):
        if key in changes and not check(changes[key]):
            wrong = "TimeLimit value" if key == "timelimit" else f"Priority value: {changes[key]}"
            context.err(f"scontrol: error: Invalid {wrong}")
            return 1

    def change(job: Row) -> None:
        if _is_over(job):
            raise SlurmError(errors.FINISHED)
        for key, value in changes.items():
            if (
                key in _ONLY_WAITING.split()
                and job["state"] != "PENDING"
                and (key != "partition" or value != job["partition"])
            ):
                raise SlurmError(errors.NOT_PENDING)
            _JOB_CHANGES[key](context, job, value)
        job["unchecked"] = job["state"] == "PENDING"

    codes = [
        _change_job(context, each, "REQUEST_UPDATE_JOB", change)[0] for each in hostlist.split(text)
    ]
    return max(codes)


def _is_over(job: Row) -> bool:
    return job["state"] not in ("PENDING", "RUNNING", "SUSPENDED")


def _is_limit(text: str) -> bool:
    try:
        parse_limit(text.lstrip("+-") if text[:1] in "+-" else text)
    except ValueError:
        return False
    return True


def _set_limit(context: Context, job: Row, value: str) -> None:
    limit = parse_limit(value.lstrip("+-")) or None
    if value[:1] in ("+", "-") and limit is not None:
        if job["limit"] is None:
            raise SlurmError(errors.BAD_TIME_LIMIT)
        limit = job["limit"] + (limit if value[0] == "+" else -limit)
        if limit <= 0:
            raise Unsupported(f"scontrol: update of a job: timelimit={value} leaves no time")
    job.update(limit=limit, end_wish=None, unlimited=limit is None)


def _set_end(context: Context, job: Row, value: str) -> None:
    try:
        when = parse_when(value, context.now)
    except ValueError:
        raise SlurmError(errors.BAD_TIME) from None
    if when < context.now - 1:
        raise SlurmError(errors.BAD_TIME)
    job["end_wish"] = when


def _set_begin(context: Context, job: Row, value: str) -> None:
    try:
        job["begin"] = parse_when(value, context.now)
    except ValueError:
        raise SlurmError(errors.BAD_TIME) from None
    job["eligible"] = job["begin"]


def _set_priority(context: Context, job: Row, value: str) -> None:
    if job["hold"] and int(value):
        raise SlurmError(errors.HELD)
    if not int(value):
        _hold(context, job, "admin")
    job["priority"] = int(value)


def _set_nice(context: Context, job: Row, value: str) -> None:
    job["nice"] = int(value)
    job["priority"] = 0 if job["hold"] else first_priority(job["id"], job["nice"], context.release)


def _set_partition(context: Context, job: Row, value: str) -> None:
    machine = Machine(context.store, context.now, context.description)
    if any(machine.partition(name) is None for name in value.split(",")):
        raise SlurmError(errors.BAD_PARTITION)
    job["partition"] = value


def _set_features(context: Context, job: Row, value: str) -> None:
    known = {
        feature for row in context.store.nodes() for feature in (row["features"] or "").split(",")
    }
    if placement.feature_names(value) - known:
        raise SlurmError(errors.BAD_FEATURE)
    job["features"] = value


def _set_nodes(key: str) -> Callable[[Context, Row, str], None]:
    def change(context: Context, job: Row, value: str) -> None:
        try:
            names = hostlist.expand(value)
        except hostlist.HostlistError:
            raise SlurmError(errors.BAD_NODE) from None
        known = {row["name"] for row in context.store.nodes()}
        if not known.issuperset(names):
            raise SlurmError(errors.BAD_NODE)
        job[key] = names

    return change


def _set_node_count(context: Context, job: Row, value: str) -> None:
    least, dash, most = value.partition("-")
    if not least.isdigit() or (dash and not most.isdigit()):
        raise Unsupported(f"scontrol: update of a job: numnodes={value}")
    if job["state"] != "PENDING":
        raise SlurmError(errors.NOT_SUPPORTED)
    job.update(min_nodes=int(least), max_nodes=int(most or least))


def _set_reservation(context: Context, job: Row, value: str) -> None:
    known = {row["name"] for row in context.store.reservations() if row["end"] > context.now}
    if not known.issuperset(filter(None, value.split(","))):
        raise SlurmError(errors.BAD_RESERVATION)
    job["reservation"] = value


def _set_dependency(context: Context, job: Row, value: str) -> None:
    job["dependency"] = dependency.parse(context.store, value) if value else ""
    job["dependency_failed"] = []


def _set_workdir(context: Context, job: Row, value: str) -> None:
    job["workdir"] = value


def _set_throttle(context: Context, job: Row, value: str) -> None:
    if not arrays.is_array(job) or not value.isdigit():
        raise Unsupported("scontrol: update of a job: arraytaskthrottle of a job without tasks")
    job["array_throttle"] = int(value)


_JOB_CHANGES: dict[str, Callable[[Context, Row, str], None]] = {
    "comment": lambda context, job, value: job.update(comment=value),
    "name": lambda context, job, value: job.update(name=value),
    "jobname": lambda context, job, value: job.update(name=value),
    # Without accounting neither is looked at.
    "account": lambda context, job, value: None,
    "qos": lambda context, job, value: None,
    "wckey": lambda context, job, value: job.update(wckey=value),
    "requeue": lambda context, job, value: job.update(requeue=value == "1"),
    "stdout": lambda context, job, value: job.update(std_out=value),
    "partition": _set_partition,
    "timelimit": _set_limit,
    "endtime": _set_end,
    "starttime": _set_begin,
    "eligibletime": _set_begin,
    "priority": _set_priority,
    "nice": _set_nice,
    "features": _set_features,
    "reqnodelist": _set_nodes("req_nodes"),
    "nodelist": _set_nodes("req_nodes"),
    "excnodelist": _set_nodes("exc_nodes"),
    "numnodes": _set_node_count,
    "reservation": _set_reservation,
    "dependency": _set_dependency,
    "workdir": _set_workdir,
    "arraytaskthrottle": _set_throttle,
}
_ONLY_WAITING = """partition starttime eligibletime features dependency account wckey workdir
    stdout excnodelist reqnodelist nodelist"""
# What else the real one can change.
_OTHER_KEYS = """admincomment arrayjobid burstbuffer clusterfeatures clusters contiguous corespec
    cpuspertask deadline delayboot extra gres licenses mailtype mailuser mincpusnode
    minmemorycpu minmemorynode mintmpdisknode network numcpus numtasks oversubscribe reboot
    reqcores reqnodes reqprocs reqsockets reqthreads resetaccruetime sitefactor shared switches
    systemcomment tasksperjob taskspernode threadspec timemin userid wait-for-switch
    mincpus minmemory mintmpdisk cpuspertres mempertres tresperjob trespernode tresperstep
    trespersocket trespertask requires"""


# -- requeue, hold, release ----------------------------------------------------------------------


def requeue(context: Context, words: list[str]) -> int:
    """``scontrol requeue ID[,ID...]``."""
    return _each(
        context,
        "requeue",
        words,
        lambda text: _change_job(
            context,
            text,
            "REQUEST_JOB_REQUEUE",
            lambda job: requeue_record(context, job),
            errors.ACCESS_DENIED,
        ),
    )


def requeue_hold(context: Context, words: list[str]) -> int:
    """``scontrol requeuehold ID[,ID...]``."""

    def change(job: Row) -> None:
        requeue_record(context, job)
        job.update(hold="user", priority=0, reason="job requeued in held state")

    return _each(
        context,
        "requeuehold",
        words,
        lambda text: _change_job(
            context, text, "REQUEST_JOB_REQUEUE", change, errors.ACCESS_DENIED
        ),
    )


def requeue_record(context: Context, job: Row) -> None:
    """Put a job back into the queue, once it has been ended if it runs.

    :raises SlurmError: for one that waits already, or is not to be requeued.
    """
    if job["state"] == "PENDING" or job["requeuing"]:
        raise SlurmError(errors.PENDING)
    if not job["requeue"]:
        raise SlurmError(errors.DISABLED)
    job["restarts_after"] = job["restarts"] + 1
    if job["state"] == "RUNNING":
        job.update(requeuing=True, completing=True, end=context.now)
    else:
        if context.description["accounting"]:
            context.store.archive(job)
        put_back(job, context.now, context.setting("requeue_seconds"))


def _hold(context: Context, job: Row, by: str) -> None:
    """``begin`` stays: it holds again after the release."""
    job.update(hold=by, priority=0, eligible=job["begin"], reason=_HELD[by])


def hold(context: Context, words: list[str]) -> int:
    """``scontrol hold ID[,ID...]``."""

    def change(job: Row) -> None:
        if _is_over(job):
            raise SlurmError(errors.FINISHED)
        own = job["user"] == context.user[0] and context.user[1] != 0
        _hold(context, job, "user" if own else "admin")

    return _each(
        context,
        "hold",
        words,
        lambda text: _change_job(context, text, "REQUEST_UPDATE_JOB", change),
        also="slurm_suspend",
    )


def release(context: Context, words: list[str]) -> int:
    """``scontrol release ID[,ID...]``."""

    def change(job: Row) -> None:
        if _is_over(job):
            raise SlurmError(errors.FINISHED)
        job.update(
            hold="", priority=first_priority(job["id"], job["nice"], context.release), reason="None"
        )

    return _each(
        context,
        "release",
        words,
        lambda text: _change_job(context, text, "REQUEST_UPDATE_JOB", change),
        also="slurm_suspend",
    )
