"""``sacct``: what became of jobs, those that the controller has forgotten too."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..engine.options import Option, Parser, Unsupported, Usage
from ..engine.store import Row
from . import arrays, jobtext
from .context import Context
from .sacct_fields import FIELDS, LEFT, Record, records
from .times import parse_when, stamp

_OPTIONS = (
    Option("allocations", "X"),
    Option("allusers", "a"),
    Option("accounts", "A", "needed"),
    Option("brief", "b"),
    Option("clusters", "M", "needed"),
    Option("delimiter", "", "needed"),
    Option("duplicates", "D"),
    Option("endtime", "E", "needed"),
    Option("format", "o", "needed"),
    Option("jobs", "j", "needed"),
    Option("name", "", "needed"),
    Option("noheader", "n"),
    Option("noconvert", ""),
    Option("nodelist", "N", "needed"),
    Option("parsable", "p"),
    Option("parsable2", "P"),
    Option("partition", "r", "needed"),
    Option("starttime", "S", "needed"),
    Option("state", "s", "needed"),
    Option("uid", "u", "needed"),
    Option("user", "", "needed"),
    Option("verbose", "v"),
)
_KNOWN = """allclusters L array associations x batch-script B completion c env-vars federation f
    file flags F gid g group helpformat e help h json k timelimit-min K timelimit-max local long
    l ncpus I nnodes i q qos reason R T truncate units U use-local-uid W wckeys yaml usage"""
_DEFAULT = "jobid,jobname,partition,account,alloccpus,state,exitcode"
_BRIEF = "jobid,state,exitcode"


class Column(NamedTuple):
    """A column of the output."""

    key: str
    width: int
    left: bool

    def text(self, value: str, *, cut_mark: str) -> str:
        """A value in this column: padded, and cut with a mark at its end."""
        if len(value) > self.width:
            value = value[: self.width - len(cut_mark)] + cut_mark
        return value.ljust(self.width) if self.left else value.rjust(self.width)


class Window(NamedTuple):
    """What part of the past is looked at, in seconds since the epoch."""

    start: float
    end: float


def run(context: Context) -> int:
    """Run ``sacct``; its exit code."""
    try:
        options, operands = Parser("sacct", _OPTIONS, _KNOWN).parse(context.words)
    except Usage as error:
        raise Usage(error.text.split("\n")[0] + "\n", 1) from None  # with no further hint
    if operands:
        lines = "".join(f"sacct: error:  {word}\n" for word in operands)
        raise Usage(f"sacct: error: Unknown arguments:\n{lines}", 1)
    if not context.description["accounting"]:
        context.err("Slurm accounting storage is disabled")
        return 1
    columns = _columns(options)
    window = _window(context, options)
    chosen = [job for job in records(context) if _matches(context, job, options, window)]
    if "duplicates" not in options:
        newest = {job["id"]: job for job in chosen}
        chosen = [job for job in chosen if newest[job["id"]] is job]
    rows = [Record(context, job, step) for job in chosen for step in _parts(job, options)]
    _print(context, rows, columns, options)
    return 0


def _parts(job: Row, options: dict[str, str]) -> list[bool]:
    """Whether each of the job's rows is that of a step."""
    if "allocations" in options or not job["alloc"] or job["kind"] != "batch":
        return [False]
    words = [word for word in options.get("jobs", "").split(",") if _names(word, job)]
    if words and all("." in word for word in words):
        return [True]
    return [False, True]


def _columns(options: dict[str, str]) -> list[Column]:
    form = options.get("format", _BRIEF if "brief" in options else _DEFAULT)
    columns = []
    for word in form.split(","):
        name, _, width = word.strip().partition("%")
        key = name.lower()
        if key not in FIELDS:
            if key in _OTHER_FIELDS:
                raise Unsupported(f"sacct: field '{name}'")
            raise Usage(f'sacct: error: Invalid field requested: "{name}"\n', 1)
        left = key in LEFT if not width else width.startswith("-")
        columns.append(Column(key, abs(int(width)) if width else FIELDS[key][1], left))
    return columns


# Fields of 22.05.8 that the fake has nothing to say about.
_OTHER_FIELDS = frozenset(
    """admincomment associd avecpu avecpufreq avediskread avediskwrite avepages
    averss avevmsize blockid consumedenergy consumedenergyraw container dbindex flags layout
    maxdiskread maxdiskreadnode maxdiskreadtask maxdiskwrite maxdiskwritenode maxdiskwritetask
    maxpages maxpagesnode maxpagestask maxrss maxrssnode maxrsstask maxvmsize maxvmsizenode
    maxvmsizetask mcslabel mincpu mincpunode mincputask qosraw reqcpufreq reqcpufreqgov
    reqcpufreqmax reqcpufreqmin reqmem reqtres reservationid reserved resvcpu resvcpuraw
    systemcomment systemcpu totalcpu tresusageinave tresusageinmax tresusageinmaxnode
    tresusageinmaxtask tresusageinmin tresusageinminnode tresusageinmintask tresusageintot
    tresusageoutave tresusageoutmax tresusageoutmaxnode tresusageoutmaxtask tresusageoutmin
    tresusageoutminnode tresusageoutmintask tresusageouttot usercpu wckey wckeyid all""".split()
)


def _window(context: Context, options: dict[str, str]) -> Window:
    """From midnight on, or of any time where jobs are named, unless something else is said."""
    given = {}
    for name in ("starttime", "endtime"):
        if name in options:
            try:
                given[name] = parse_when(options[name], context.now)
            except ValueError:
                raise Usage(f"Invalid time specification (pos=0): {options[name]}\n", 1) from None
    midnight = parse_when("00:00", context.now) - 86400
    start = given.get("starttime", 0.0 if "jobs" in options else midnight)
    if "state" in options and "starttime" not in given and "jobs" not in options:
        start = context.now
    # Without an end, those in a state are those that were in it at the start.
    end = given.get(
        "endtime", start if "state" in options and "jobs" not in options else context.now
    )
    if int(start) > int(end):
        raise Usage(
            f"sacct: error: Start time ({stamp(start, {})}) requested is after end time "
            f"({stamp(end, {})}).\n",
            1,
        )
    return Window(start, end)


def _matches(context: Context, job: Row, options: dict[str, str], window: Window) -> bool:
    if "jobs" in options and not _is_named(job, options["jobs"]):
        return False
    for option, key in (("accounts", "account"), ("name", "name"), ("partition", "partition")):
        if option in options and (job[key] or "") not in options[option].split(","):
            return False
    if "clusters" in options and context.description["name"] not in options["clusters"].split(","):
        return False
    if "nodelist" in options and not set(options["nodelist"].split(",")) & set(job["alloc"]):
        return False
    return _is_wanted_users(context, job, options) and _is_in_time(context, job, options, window)


def _is_named(job: Row, text: str) -> bool:
    ids = text.split(",")
    for word in ids:
        if not re.match(r"\d+", word):
            raise Usage(f"sacct: fatal: Bad job/step specified: {word}\n", 1)
        if re.match(r"\d+_(?!\d)", word):
            raise Usage(
                f"sacct: fatal: Bad job array element specified: {word.partition('_')[0]}\n", 1
            )
    return any(_names(word, job) for word in ids)


def _names(word: str, job: Row) -> bool:
    """Whether '17', '17_2' or '17.batch' means the job, or an array that it is a task of."""
    target = arrays.parse_target(word.partition(".")[0])
    if target is None or target.number not in (job["id"], job["array_job"]):
        return False
    return target.tasks is None or bool({*target.tasks} & {*arrays.tasks_of(job)})


def _is_wanted_users(context: Context, job: Row, options: dict[str, str]) -> bool:
    """One's own jobs, or all where jobs are named; an administrator's are all."""
    users = options.get("uid", options.get("user"))
    if users is not None:
        for word in users.split(","):
            if not context.is_user(word):
                raise Usage(f"sacct: error: Invalid user id: {word}\n", 1)
        return job["user"] in users.split(",") or str(job["uid"]) in users.split(",")
    everybody = "allusers" in options or "jobs" in options or context.user[1] == 0
    return everybody or bool(job["user"] == context.user[0])


def _is_in_time(context: Context, job: Row, options: dict[str, str], window: Window) -> bool:
    record = Record(context, job, False)
    end = record.end
    begun = job["eligible"]
    if "state" in options:
        wanted = _states(options["state"])
        if job["state"] not in wanted:
            return False
        if end is not None:
            return window.start <= int(end) <= window.end and window.start < window.end
    if end is not None and int(end) < int(window.start):
        return False
    # One that might never have started is listed only by its id, or its state.
    return "jobs" in options or "state" in options or (begun is not None and begun <= window.end)


def _states(text: str) -> set[str]:
    names = {code: name for name, code in jobtext.CODES.items()}
    found = set()
    for word in text.upper().split(","):
        name = names.get(word, word)
        if name not in jobtext.CODES:
            raise Usage(f"sacct: fatal: unrecognized job state value '{text}'\n", 1)
        found.add(name)
    return found


def _print(
    context: Context, rows: list[Record], columns: list[Column], options: dict[str, str]
) -> None:
    titles = [FIELDS[column.key][0] for column in columns]
    delimiter = options.get("delimiter", "|")
    if {"parsable", "parsable2"} & set(options):
        end = delimiter if "parsable" in options else ""
        if "noheader" not in options:
            context.line(delimiter.join(titles) + end)
        for row in rows:
            values = [FIELDS[column.key][2](row) for column in columns]
            context.line(delimiter.join(values) + end)
        return
    if "noheader" not in options:
        context.line(
            "".join(column.text(title, cut_mark="") + " " for column, title in zip(columns, titles))
        )
        context.line("".join("-" * column.width + " " for column in columns))
    for row in rows:
        context.line(
            "".join(
                column.text(FIELDS[column.key][2](row), cut_mark="+") + " " for column in columns
            )
        )
