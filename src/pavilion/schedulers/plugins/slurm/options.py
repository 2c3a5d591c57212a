"""sbatch's own options, as users write them in ``schedule.slurm.sbatch_extra``.

sbatch takes them as getopt_long() does: long names may be cut short while they are unique, a value
may follow in the same word or in the next one, short options may stand together.  The names are
those of sbatch 20.11 to 26.05 (man sbatch).
"""

from __future__ import annotations

import functools
import shlex
from collections.abc import Iterable, Sequence
from typing import NamedTuple

# Short options, and the long ones they stand for.
_SHORT = {
    "a": "array",
    "A": "account",
    "b": "begin",
    "B": "extra-node-info",
    "c": "cpus-per-task",
    "C": "constraint",
    "d": "dependency",
    "D": "chdir",
    "e": "error",
    "F": "nodefile",
    "G": "gpus",
    "h": "help",
    "H": "hold",
    "i": "input",
    "J": "job-name",
    "k": "no-kill",
    "L": "licenses",
    "m": "distribution",
    "M": "clusters",
    "n": "ntasks",
    "N": "nodes",
    "o": "output",
    "O": "overcommit",
    "p": "partition",
    "q": "qos",
    "Q": "quiet",
    "s": "oversubscribe",
    "S": "core-spec",
    "t": "time",
    "u": "usage",
    "v": "verbose",
    "V": "version",
    "w": "nodelist",
    "W": "wait",
    "x": "exclude",
}
_WITHOUT_VALUE = frozenset(
    [
        "help",
        "usage",
        "version",
        "hold",
        "overcommit",
        "quiet",
        "verbose",
        "wait",
        "parsable",
        "contiguous",
        "requeue",
        "no-requeue",
        "reboot",
        "test-only",
        "ignore-pbs",
        "spread-job",
        "use-min-nodes",
        "oversubscribe",
        "share",
        "external",
    ]
)
# The value of these comes in the same word, or not at all.
_VALUE_MAY_BE = frozenset(
    [
        "no-kill",
        "exclusive",
        "nice",
        "propagate",
        "get-user-env",
        "resv-ports",
        "oom-kill-step",
        "stepmgr",
        "consolidate-segments",
        "spread-segments",
    ]
)
_WITH_VALUE = frozenset(
    [
        "array",
        "account",
        "bb",
        "bbf",
        "begin",
        "cluster-constraint",
        "clusters",
        "cluster",
        "comment",
        "constraint",
        "container",
        "container-id",
        "container-type",
        "context",
        "cores-per-socket",
        "core-spec",
        "cpu-freq",
        "cpus-per-gpu",
        "cpus-per-task",
        "deadline",
        "delay-boot",
        "dependency",
        "chdir",
        "distribution",
        "error",
        "exclude",
        "export",
        "export-file",
        "extra",
        "extra-node-info",
        "gid",
        "gpu-bind",
        "gpu-freq",
        "gpus",
        "gpus-per-node",
        "gpus-per-socket",
        "gpus-per-task",
        "gres",
        "gres-flags",
        "hint",
        "input",
        "job-name",
        "jobid",
        "kill-on-invalid-dep",
        "licenses",
        "mail-type",
        "mail-user",
        "mcs-label",
        "mem",
        "mem-bind",
        "mem-per-cpu",
        "mem-per-gpu",
        "mincpus",
        "network",
        "nodefile",
        "nodelist",
        "nodes",
        "ntasks",
        "ntasks-per-core",
        "ntasks-per-gpu",
        "ntasks-per-node",
        "ntasks-per-socket",
        "open-mode",
        "output",
        "partition",
        "power",
        "prefer",
        "priority",
        "profile",
        "qos",
        "reservation",
        "segment",
        "signal",
        "sockets-per-node",
        "switches",
        "tasks-per-node",
        "thread-spec",
        "threads-per-core",
        "time",
        "time-min",
        "tmp",
        "tres-per-job",
        "tres-per-node",
        "tres-per-socket",
        "tres-per-task",
        "tres-bind",
        "uid",
        "wait-all-nodes",
        "wckey",
        "workdir",
        "wrap",
        "batch",
        "bcast",
    ]
)
_NAMES = sorted(_WITHOUT_VALUE | _VALUE_MAY_BE | _WITH_VALUE)
# One thing, two names.
_SAME = {
    "tasks-per-node": "ntasks-per-node",
    "cluster": "clusters",
    "workdir": "chdir",
    "share": "oversubscribe",
}


class Option(NamedTuple):
    """An option that a user gave.

    :param name: Its long name, without dashes; as it was written where it is not known here.
    :param value: Its value; None without one.
    """

    name: str
    value: str | None

    def __str__(self) -> str:
        """As an error shows it."""
        return f"--{self.name}" + ("" if self.value is None else f"={self.value}")

    def words(self) -> str:
        """As a line of a script has it."""
        return f"--{self.name}" + ("" if self.value is None else f"={shlex.quote(self.value)}")


class StrayWordError(ValueError):
    """A word that is neither an option nor the value of one."""


def read_options(text: str) -> list[Option]:
    """The options in one line, such as '-n 12 --mem=4G'.

    :raises StrayWordError: For words that are not options; sbatch would pass over what follows.
    :raises ValueError: For quotes that do not match.
    """
    words = shlex.split(text)
    options: list[Option] = []
    place = 0
    while place < len(words):
        word, after = words[place], words[place + 1 : place + 2]
        place += 1
        if word == "--" or not word.startswith("-") or word == "-":
            raise StrayWordError(word)
        found, takes_next = (
            _long(word[2:], after) if word.startswith("--") else _short(word[1:], after)
        )
        options += found
        place += takes_next
    return options


def options_of(items: Iterable[object]) -> list[Option]:
    """The options in a user's list, in order; what cannot be read is left to whoever checks the
    lines themselves."""
    return list(_options_of(tuple(map(str, items))))


@functools.lru_cache(maxsize=64)
def _options_of(items: Sequence[str]) -> tuple[Option, ...]:
    options: list[Option] = []
    for item in items:
        try:
            options += read_options(item)
        except ValueError:
            continue
    return tuple(options)


def _long(text: str, after: Sequence[str]) -> tuple[list[Option], int]:
    written, equals, value = text.partition("=")
    name = _full_name(written)
    if equals:
        return [Option(name, value)], 0
    if name in _WITHOUT_VALUE or name in _VALUE_MAY_BE:
        return [Option(name, None)], 0
    # Of an option that is not known here, a word behind it is most likely its value.
    if after and (name in _WITH_VALUE or not after[0].startswith("-")):
        return [Option(name, after[0])], 1
    return [Option(name, None)], 0


def _full_name(written: str) -> str:
    """The whole name of a long option."""
    if written not in _NAMES:
        # A name that is ambiguous stays as it is; sbatch refuses it.
        near = {_SAME.get(name, name) for name in _NAMES if name.startswith(written)}
        if len(near) == 1:
            return near.pop()
    return _SAME.get(written, written)


def _short(text: str, after: Sequence[str]) -> tuple[list[Option], int]:
    options: list[Option] = []
    for place, letter in enumerate(text):
        name = _SHORT.get(letter, letter)
        rest = text[place + 1 :]
        if name in _VALUE_MAY_BE:
            return [*options, Option(name, rest or None)], 0
        if name in _WITH_VALUE:
            if rest:
                return [*options, Option(name, rest)], 0
            return [*options, Option(name, after[0] if after else None)], len(after)
        options.append(Option(name, None))
    return options, 0
