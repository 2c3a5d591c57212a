"""What a job requests: options on the command line, and in the script, as a record of the engine's."""

# A command starts in less time without pathlib.
# ruff: noqa: PTH109, PTH112, PTH118, PTH119

from __future__ import annotations

import os
import pwd
import re
import shlex
from collections.abc import Sequence
from typing import Any

from ..engine.options import Unsupported
from ..engine.records import new_job
from ..engine.store import Row
from . import errors
from .context import Context
from .errors import PbsError
from .output import clock

# Options of qsub: those that the fake follows, and the others.
SUPPORTED, OTHERS = "A:e:fhj:l:m:M:N:o:P:q:r:v:VW:", "a:c:C:IJ:k:p:R:S:u:Xz"
_PLACES = re.compile(r"(free|pack|scatter)(:(excl|exclhost|shared))?|excl|exclhost|shared")
_RESOURCES = ("ncpus", "mpiprocs", "host")
_OLD = ("nodes", "ncpus", "mpiprocs", "mem")
_NOT_AN_ID = "Illegal attribute or resource value"
Options = dict[str, Any]


def read_options(context: Context, words: Sequence[str]) -> tuple[Options, list[str]]:
    """Options by name, and operands; those with lists, -l and -W, by 'name=value'.

    :raises PbsError: for what PBS refuses.
    """
    found, operands = context.options(words, SUPPORTED, OTHERS)
    options: Options = {}
    for option, value in found:
        if option not in ("-l", "-W"):
            options[option] = value
            continue
        for part in value.split(","):
            name, _, of = part.partition("=")
            options[f"{option} {name.strip()}"] = of.strip()
    return options, operands


def directives(context: Context, script: bytes) -> Options:
    """The options in a script: before the first line of commands.

    :raises PbsError: for a line that is wrong.
    """
    options: Options = {}
    for line in script.decode("utf-8", "surrogateescape").split("\n"):
        if line.startswith("#PBS"):
            words = shlex.split(line[4:])
            try:
                read, operands = read_options(context, words)
            except PbsError as error:
                problem = error.text.partition("\n")[0]
                text = f"{problem}\nqsub: directive error: {' '.join(words)}"
                raise PbsError(text, 1) from error
            if operands:
                raise Unsupported(f"qsub: a word that is not an option in {line!r}")
            options.update(read)
        elif line.strip() and not line.startswith(("#", ":")):
            break
    return options


def row(context: Context, options: Options, script_name: str, words: Sequence[str]) -> Row:
    """The record of a job.

    :raises PbsError: for what PBS refuses.
    """
    queue = _queue(context, options.get("-q"))
    name = options.get("-N") or os.path.basename(script_name) or "STDIN"
    if not re.fullmatch(r"[A-Za-z0-9_+.-]+", name):
        raise errors.usage("qsub", "qsub: illegal -N value")
    if len(name) > 230:
        raise PbsError("qsub: Job name is too long", 2)
    user = context.user
    home = pwd.getpwnam(user[0]).pw_dir if user[1] != 99999 else "/"
    here = os.getcwd()
    chunks, select = _select(options.get("-l select", "1:ncpus=1"))
    place = options.get("-l place", "pack")
    if not _PLACES.fullmatch(place):
        raise PbsError(f"qsub: {_NOT_AN_ID} Resource_List.place", 166)
    resources = _resources(options, chunks, select, place)
    limit = _limit(options.get("-l walltime"), queue)
    if limit is not None:
        resources["walltime"] = clock(limit)
    umask = options.get("-W umask")
    if umask is not None and not re.fullmatch("[0-7]{1,4}", umask):
        raise PbsError("qsub: illegal -W value", 2)
    return new_job(
        context.now,
        user,
        name=name,
        owner=context.owner,
        partition=queue["name"],
        limit=None if limit is None else limit / 60,
        hold="u" if "-h" in options else "",
        requeue=_choice(options, "-r", "y", ("y", "n")) == "y",
        workdir=home,
        umask=int(umask or "077", 8),
        umask_shown=int(umask) if umask else 0,
        account=options.get("-A", ""),
        project=options.get("-P", "_pbs_project_default"),
        mail=_mail(options.get("-m", "a")),
        join=_choice(options, "-j", "n", ("n", "oe", "eo")),
        error_host=context.server,
        output_path=_path(options, "-o", here) or f"{here}/{name}.o%ID%",
        error_path=_path(options, "-e", here) or f"{here}/{name}.e%ID%",
        resources=resources,
        chunks=chunks,
        place=place.partition(":")[0],
        whole="excl" in place,
        variables={**_of_client(context, here), **_own_variables(context, options.get("-v", ""))},
        arguments=" ".join(words),
        **{"comment": "", "exec_host": "", "vnodes": "", "slots": {}, "cpus": {}},
        **{"exit_status": 0, "changed": 0.0},
    )


def _queue(context: Context, name: str | None) -> Row:
    if name is not None and "@" in name:
        raise Unsupported("qsub: -q queue@server")
    found = context.machine.partition(name) if name else context.machine.default_partition()
    if found is None:
        raise PbsError("qsub: Unknown queue", errors.UNKNOWN_QUEUE)
    if found["state"] in ("INACTIVE", "DRAIN"):
        raise PbsError("qsub: Queue is not enabled", 173)
    return found


def _choice(options: Options, name: str, default: str, allowed: Sequence[str]) -> str:
    value = str(options.get(name, default))
    if value not in allowed:
        raise errors.usage("qsub", f"qsub: illegal {name} value")
    return value


def _mail(text: str) -> str:
    if not re.fullmatch("n|[abej]+", text):
        raise errors.usage("qsub", "qsub: illegal -m value")
    return text


def _path(options: Options, name: str, here: str) -> str:
    given = str(options.get(name, ""))
    if given and not (given.isascii() and given.isprintable()):
        raise errors.usage("qsub", f"qsub: illegal {name} value")
    if re.match("[A-Za-z0-9._-]+:", given):
        raise Unsupported(f"qsub: {name} host:path")
    if given and os.path.isdir(os.path.join(here, given)):
        raise Unsupported(f"qsub: {name} with a directory")
    return os.path.join(here, given) if given else ""


def _select(text: str) -> tuple[list[Row], str]:
    """The chunks, each by itself."""
    bad = PbsError(f"qsub: {_NOT_AN_ID} Resource_List.select", 166)
    chunks: list[Row] = []
    for part in text.split("+"):
        first, *rest = part.split(":")
        if not first.isdigit():
            first, rest = "1", [first, *rest]
        if first == "0":
            raise PbsError(f"qsub: {_NOT_AN_ID}", 166)
        chunk: Row = {"ncpus": 1, "mpiprocs": 0, "host": ""}
        for item in rest:
            name, equals, value = item.partition("=")
            if not equals or not value:
                raise bad
            if name == "mem":
                raise Unsupported("qsub: mem in select")
            if name not in _RESOURCES:
                raise PbsError(f"qsub: Unknown resource: {name}", 187)
            if name != "host" and not value.isdigit():
                raise PbsError(f"qsub: {_NOT_AN_ID} select.{name}", 166)
            chunk[name] = value if name == "host" else int(value)
        chunks += [dict(chunk) for _ in range(int(first))]
    return chunks, text


def _resources(options: Options, chunks: list[Row], select: str, place: str) -> Row:
    for name in options:
        kind, _, resource = name.partition(" ")
        if kind == "-W" and resource != "umask":
            raise Unsupported(f"qsub: {name}")
        if kind == "-l" and resource in _OLD:
            raise Unsupported(f"qsub: {name}")
        if kind == "-l" and resource not in ("select", "place", "walltime"):
            raise PbsError(f"qsub: Unknown resource Resource_List.{resource}", 187)
    tasks = sum(chunk["mpiprocs"] for chunk in chunks)
    return {
        **({"mpiprocs": tasks} if tasks else {}),
        **{"ncpus": sum(chunk["ncpus"] for chunk in chunks), "nodect": len(chunks)},
        **{"place": place, "select": select},
    }


def _limit(text: str | None, queue: Row) -> int | None:
    if text is None:
        return None
    match = re.fullmatch(r"(?:(?:([0-9]+):)?([0-9]+):)?([0-9]+)", text)
    if match is None:
        raise PbsError(f"qsub: {_NOT_AN_ID} Resource_List.walltime", 166)
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    limit = (hours * 60 + minutes) * 60 + seconds
    if queue["max_time"] and limit > queue["max_time"] * 60:
        raise PbsError("qsub: Job violates queue and/or server resource limits", 188)
    return limit


def _of_client(context: Context, here: str) -> dict[str, str]:
    environment = context.environment
    names = ("HOME", "LANG", "LOGNAME", "PATH", "MAIL", "SHELL")
    found = {f"PBS_O_{name}": environment[name] for name in names if environment.get(name)}
    # As seen with 23.06: the home is '/' where qsub does not know it, and others are left out.
    return {"PBS_O_HOME": "/", **found, "PBS_O_WORKDIR": here, "PBS_O_SYSTEM": "Linux"}


def _own_variables(context: Context, text: str) -> dict[str, str]:
    if "'" in text or text.count('"') % 2:
        raise PbsError("qsub: cannot send environment with the job", 1)
    found = {}
    for part in re.findall(r'(?:[^,"]|"[^"]*")+', text):
        name, equals, value = part.replace('"', "").partition("=")
        if equals:
            found[name] = value
        elif name in context.environment:
            found[name] = context.environment[name]
    return found
