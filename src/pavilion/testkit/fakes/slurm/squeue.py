"""``squeue``: list jobs."""

from __future__ import annotations

import re

from ..engine import hostlist
from ..engine.machine import visible_jobs
from ..engine.options import Option, Parser, Unsupported, Usage
from ..engine.store import Row
from . import arrays, jobtext, json_jobs, jsontext
from .columns import parse_letters, parse_names
from .context import Context
from .errors import BAD_JOB, SlurmError
from .releases import MODERN
from .squeue_fields import LETTERS, NAMES

_OPTIONS = (
    Option("account", "A", "needed"),
    Option("all", "a"),
    Option("noheader", "h"),
    Option("jobs", "j", "optional"),
    Option("name", "n", "needed"),
    Option("format", "o", "needed"),
    Option("Format", "O", "needed"),
    Option("partition", "p", "needed"),
    Option("qos", "q", "needed"),
    Option("reservation", "R", "needed"),
    Option("sort", "S", "needed"),
    Option("states", "t", "needed"),
    Option("user", "u", "needed"),
    Option("me", ""),
    Option("nodelist", "w", "needed"),
    Option("array", "r"),
    Option("verbose", "v"),
    Option("clusters", "M", "needed"),
    Option("json", ""),
)
_KNOWN = """array-unique federation help hide iterate i yaml licenses L local long
    l priority P only-job-state start sibling steps s usage"""
_DEFAULT = "%.18i %.9P %.8j %.8u %.2t %.10M %.6D %R"
# Variable -> option; an option that is typed wins.
_FROM_ENVIRONMENT = {
    "SQUEUE_ACCOUNT": "account",
    "SQUEUE_ALL": "all",
    "SQUEUE_FORMAT": "format",
    "SQUEUE_FORMAT2": "Format",
    "SQUEUE_NAMES": "name",
    "SQUEUE_PARTITION": "partition",
    "SQUEUE_QOS": "qos",
    "SQUEUE_SORT": "sort",
    "SQUEUE_STATES": "states",
    "SQUEUE_USERS": "user",
}


def run(context: Context) -> int:
    """Run ``squeue``; its exit code."""
    options, operands = Parser("squeue", _OPTIONS, _KNOWN).parse(_join_jobs(context.words))
    if operands:
        raise Usage(f"squeue: error: Unrecognized option: {operands[0]}\n", 1)
    typed = set(options)
    for variable, option in _FROM_ENVIRONMENT.items():
        other = {"format": "Format", "Format": "format"}.get(option, option)
        if variable in context.environment and option not in typed and other not in typed:
            options[option] = context.environment[variable]
    _check_formats(context, typed)
    _check_states(options)
    if "me" not in options:
        _name_unknown_users(context, options.get("user", ""))
    if not context.is_reachable("squeue", options.get("clusters", "")):
        return 1
    ids = _ids(options.get("jobs", ""))
    try:
        jobs = _load(context, ids)
    except SlurmError as error:
        context.err(f"slurm_load_jobs error: {error.text}")
        return 1
    _check_nodes(context, options)
    one_each = "array" in options or any(target.tasks is not None for target in ids)
    if "json" in options and not jsontext.is_modern(context):
        chosen = jobs  # all, as they are kept, whatever the options say
    else:
        jobs = arrays.expanded(jobs) if one_each else arrays.combined(jobs)
        chosen = _sorted([job for job in jobs if _matches(context, job, options, ids)], options)
    if "json" in options:
        jsontext.write(context, "jobs", json_jobs.jobs(context, chosen))
        return 0
    _print(context, chosen, options)
    return 0


def _join_jobs(words: list[str]) -> list[str]:
    """``-j ID`` has an optional value that may stand apart; getopt would not take it."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] in ("-j", "--jobs") and not word.startswith("-"):
            joined[-1] = f"--jobs={word}"
        else:
            joined.append(word)
    return joined


def _ids(text: str) -> list[arrays.Target]:
    """:raises Usage: for what is not an id."""
    ids = []
    for word in hostlist.split(text):
        match = re.match(r"(\d+)(_(\d*))?", word)
        if match is None:
            raise Usage(f"squeue: error: Invalid job id: {word}\n", 1)
        if match[2] and word != match[0]:
            raise Unsupported(f"squeue: job id {word}")
        ids.append(arrays.Target(int(match[1]), (int(match[3] or 0),) if match[2] else None))
    return ids


def _check_formats(context: Context, typed: set[str]) -> None:
    if {"format", "Format"} <= typed:
        words = [word[:2] if word[1:2] != "-" else word for word in context.words]
        last = [word for word in words if re.match(r"-o|-O|--[fF]ormat", word)][-1]
        pair = ("-o (--format)", "-O (--Format)")
        one, other = pair if re.match(r"-o|--format", last) else pair[::-1]
        raise Usage(f"squeue: error: {one} is incompatible with {other}\n", 1)


def _check_nodes(context: Context, options: dict[str, str]) -> None:
    known = {row["name"] for row in context.store.nodes()} if "nodelist" in options else set()
    for name in hostlist.expand(options.get("nodelist", "")):
        if name not in known:
            raise Usage(f"squeue: error: Invalid node name {name}\n", 1)


def _check_states(options: dict[str, str]) -> None:
    names = {*jobtext.CODES, *jobtext.CODES.values(), "ALL"}
    for word in options.get("states", "").upper().split(","):
        if word and word not in names:
            raise Usage(
                f"squeue: error: Invalid job state specified: {word}\n"
                f"squeue: error: Valid job states include: "
                f"{','.join(jobtext.CODES)}\n\n",
                1,
            )


def _name_unknown_users(context: Context, text: str) -> None:
    """Complain about users whom nobody knows; the others are looked for all the same."""
    for word in text.split(","):
        if (
            word
            and not context.is_user(word)
            and not (word.isdigit() and context.release >= MODERN)
        ):
            context.err(f"squeue: error: Invalid user: {word}\n")


def _load(context: Context, ids: list[arrays.Target]) -> list[Row]:
    context.ask("REQUEST_JOB_INFO_SINGLE" if len(ids) == 1 else "REQUEST_JOB_INFO")
    context.ask("REQUEST_PARTITION_INFO")
    jobs = [
        job
        for job in visible_jobs(context.store, context.description, context.now)
        if not context.hidden_by_fault(job)
    ]
    if len(ids) == 1 and not any(ids[0].number in (job["id"], job["array_job"]) for job in jobs):
        raise SlurmError(BAD_JOB)
    return jobs


def _matches(context: Context, job: Row, options: dict[str, str], ids: list[arrays.Target]) -> bool:
    if ids and not any(_is_meant(job, target) for target in ids):
        return False
    states = [word for word in options.get("states", "").upper().split(",") if word]
    state = jobtext.state(job)
    if not states and state not in jobtext.ACTIVE:
        return False
    if states and "ALL" not in states and not {state, jobtext.code(job)} & set(states):
        return False
    if (
        "all" not in options
        and not ids
        and not context.is_administrator
        and _is_hidden(context, job)
    ):
        return False
    return _matches_names(context, job, options)


def _is_meant(job: Row, target: arrays.Target) -> bool:
    if target.number not in (job["id"], job["array_job"]):
        return False
    return target.tasks is None or job["array_task"] in target.tasks


def _matches_names(context: Context, job: Row, options: dict[str, str]) -> bool:
    for option, key in (
        ("name", "name"),
        ("partition", "partition"),
        ("account", "account"),
        ("qos", "qos"),
        ("reservation", "reservation"),
    ):
        wanted = options[option].split(",") if option in options else []
        values = (job[key] or "").split(",") if key in ("partition", "reservation") else [job[key]]
        if option in options and not set(wanted) & set(values):
            return False
    users = options.get("user", "").split(",") if "user" in options else []
    if "me" in options:
        users = [context.user[0]]
    if users and job["user"] not in users and str(job["uid"]) not in users:
        return False
    wanted = hostlist.expand(options.get("nodelist", ""))
    return not wanted or bool(set(wanted) & set(job["alloc"]))


def _is_hidden(context: Context, job: Row) -> bool:
    return all(
        each["hidden"]
        for each in context.description["partitions"]
        if each["name"] in job["partition"].split(",")
    )


def _sorted(jobs: list[Row], options: dict[str, str]) -> list[Row]:
    """By partition, state, and priority downwards, unless -S says otherwise."""
    for key in reversed(options.get("sort", "P,t,-p").split(",")):
        letter = key.lstrip("+-#*")
        order = {
            "P": lambda job: job["partition"],
            "t": jobtext.code,
            "T": jobtext.state,
            "p": lambda job: job["priority"],
            "i": lambda job: job["id"],
            "j": lambda job: job["name"],
            "u": lambda job: job["user"],
            "V": lambda job: job["submit"],
            "S": lambda job: job["start"] or 0.0,
            "M": lambda job: job["start"] or 0.0,
        }.get(letter)
        if order is None:
            raise Usage(f"fake Slurm: squeue: sort key '{key}' is not known to the fake\n", 2)
        jobs = sorted(jobs, key=order, reverse=key.startswith("-"))
    return jobs


def _print(context: Context, jobs: list[Row], options: dict[str, str]) -> None:
    if "Format" in options:
        prefix, columns = "", parse_names(options["Format"], NAMES, "squeue")
        fields = NAMES
    else:
        prefix, columns = parse_letters(options.get("format", _DEFAULT), LETTERS, "squeue")
        fields = LETTERS
    if "noheader" not in options:
        if options.get("clusters"):
            context.line(f"CLUSTER: {options['clusters']}")
        context.line(prefix + "".join(column.text(fields[column.key][0]) for column in columns))
    for job in jobs:
        pair = (context, job)
        context.line(
            prefix + "".join(column.text(fields[column.key][1](pair)) for column in columns)
        )
