"""What a fake cluster is made of: from a small YAML file, or from a number of nodes.

::

    name: t
    release: '22.05'
    nodes:
      - {names: 'node[01-62]', cpus: 4, memory: 2000, features: [a, odd]}
      - {names: 'node[63-64]', gres: 'gpu:2'}
    partitions:
      - {name: main, nodes: 'node[01-60]', default: true, max_time: 60}
      - {name: secret, nodes: 'node[61-64]', hidden: true}
    reservations:
      - {name: tests, nodes: 'node[05-06]', users: [root], flags: [MAINT]}
    settings:
      min_job_age: 300

Memory is in MiB, times of partitions and reservations are in minutes, all others in seconds.

Power saving, by group of nodes: ``power: down`` for nodes that are powered down at first, ``power:
up`` for those that are not. They are woken up for jobs, which takes ``resume_time``, and powered
down again when nothing ran there for ``suspend_time`` (a setting; 0: never), which takes
``suspend_timeout``; one that takes longer than ``resume_timeout`` to wake up is marked DOWN.
``cloud: true`` makes them CLOUD nodes, which Slurm before 23.02 does not list while they are
powered down, unless ``private_data`` has ``cloud``.

``accounting: true``: there is a slurmdbd, and ``sacct`` knows all jobs.

``private_data: [nodes]`` keeps nodes from common users. ``switches`` make a tree, which ``scontrol
show topology`` shows::

    switches:
      - {name: s1, nodes: 'node[01-32]'}
      - {name: s2, nodes: 'node[33-64]', speed: 2}
      - {name: top, switches: 's[1-2]'}
"""

from __future__ import annotations

import difflib
import getpass
import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .fakes.engine import hostlist
from .fakes.slurm import gres, releases

Row = dict[str, Any]

# Setting -> default. All but max_job_count in seconds.
SETTINGS: dict[str, float] = {
    "min_job_age": 300.0,  # an ended job is forgotten after this; 0: never
    "message_timeout": 5.0,  # a frozen controller: until a command gives up; 0: never
    "connect_seconds": 4.0,  # no controller: until a command gives up
    "kill_wait": 30.0,  # from SIGTERM to SIGKILL
    "minute": 60.0,  # how long a minute of a job's time limit lasts
    "requeue_seconds": 121.0,  # until a requeued job may start again
    "retry_seconds": 1.0,  # sbatch with a full queue: it tries after 1, 2, ... 15 of these
    "max_job_count": 10000,
    "suspend_time": 0.0,  # a node without jobs is powered down after this; 0: never
    "suspend_timeout": 1.0,  # how long that takes
    "resume_timeout": 60.0,  # a node that has not woken up until then is marked DOWN
}
_PRIVATE = ("cloud", "nodes")
_KEYS: dict[str, dict[str, Any]] = {
    "cluster": {
        "name": "fake",
        "release": releases.DEFAULT,
        "nodes": [],
        "partitions": [],
        "reservations": [],
        "settings": {},
        "private_data": [],
        "switches": [],
        "accounting": False,
    },
    "nodes": {
        "names": "",
        "cpus": 4,
        "memory": 2000,
        "features": [],
        "gres": "",
        "state": "IDLE",
        "reason": "",
        "power": "",
        "cloud": False,
        "resume_time": 2.0,
    },
    "partitions": {
        "name": "",
        "nodes": "",
        "default": False,
        "hidden": False,
        "max_time": 0,
        "default_time": 0,
        "max_nodes": 0,
        "state": "UP",
    },
    "reservations": {
        "name": "",
        "nodes": "",
        "users": [],
        "accounts": [],
        "flags": [],
        "minutes": 60,
    },
    "switches": {"name": "", "nodes": "", "switches": "", "speed": 1},
}


class DescriptionError(ValueError):
    """A description of a cluster that makes no sense; the message says where."""


class Description:
    """A checked description: settings and partitions, nodes, reservations, as rows."""

    def __init__(self, cluster: Row, nodes: list[Row], reservations: list[Row]) -> None:
        self.cluster = cluster
        self.nodes = nodes
        self.reservations = reservations


def of_size(nodes: int, cpus: int = 4, **settings: float) -> Description:
    """A cluster of identical nodes node01, node02, ...: partitions ``main`` (default, 60 minutes) on
    all but the last two, ``alt`` on the last four, ``secret`` (hidden) on the last two.

    :raises DescriptionError: for fewer than four nodes.
    """
    if nodes < 4:
        raise DescriptionError(f"a fake cluster has 4 nodes or more, not {nodes}")
    width = max(2, len(str(nodes)))

    def names(first: int, last: int) -> str:
        return f"node[{first:0{width}d}-{last:0{width}d}]"

    return parse(
        {
            "name": "t",
            "nodes": [
                {
                    "names": f"node{number:0{width}d}",
                    "cpus": cpus,
                    "features": ["a", "odd"] if number % 2 else ["a"],
                }
                for number in range(1, nodes + 1)
            ],
            "partitions": [
                {"name": "main", "nodes": names(1, nodes - 2), "default": True, "max_time": 60},
                {"name": "alt", "nodes": names(nodes - 3, nodes)},
                {"name": "secret", "nodes": names(nodes - 1, nodes), "hidden": True},
            ],
            "settings": settings,
        }
    )


def load(path: Path) -> Description:
    """Read a YAML file.

    :raises DescriptionError: naming the file, for what is wrong in it.
    """
    try:
        import yaml
    except ImportError as error:
        raise DescriptionError(
            f"{path}: PyYAML, which reads such files, is not installed. "
            "Install it with 'pip install PyYAML'."
        ) from error
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DescriptionError(f"{path}: {error}") from error
    try:
        return parse(data)
    except DescriptionError as error:
        raise DescriptionError(f"{path}: {error}") from None


def parse(data: object) -> Description:
    """Check a description and fill in defaults.

    :raises DescriptionError: for an unknown key, a wrong type, a node that is not there.
    """
    cluster = _section(data, "cluster", "the file")
    nodes = _nodes(cluster["nodes"])
    if not nodes:
        raise DescriptionError("nodes: there must be at least one")
    known = {node["name"] for node in nodes}
    partitions = [
        _partition(each, number, known)
        for number, each in enumerate(cluster["partitions"], start=1)
    ]
    if not partitions:
        partitions = [
            {
                **_KEYS["partitions"],
                "name": "main",
                "default": True,
                "nodes": [node["name"] for node in nodes],
            }
        ]
    settings = _checked_keys(cluster["settings"], SETTINGS, "settings")
    for key, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            raise DescriptionError(f"settings: {key} is a number from 0 on, not {value!r}")
    reservations = [
        _reservation(each, number, known)
        for number, each in enumerate(cluster["reservations"], start=1)
    ]
    return Description(
        {
            "name": cluster["name"],
            "release": _release(cluster["release"]),
            "partitions": partitions,
            "accounting": cluster["accounting"],
            "private_data": _private(cluster["private_data"]),
            "switches": _switches(cluster["switches"], known),
            "saves_power": any(node["power"] for node in nodes),
            "owner": _own_name(),
            "settings": {**SETTINGS, **settings},
            "started": time.time(),
            "host": socket.gethostname().split(".")[0] or "localhost",
            "uid": os.getuid(),
        },
        nodes,
        reservations,
    )


def _own_name() -> str:
    """The user's name; the number where it has no name, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


def _release(text: str) -> str:
    try:
        releases.parse(text)
    except ValueError:
        raise DescriptionError(f"release: '22.05', '25.11' or the like, not {text!r}") from None
    return text


def _checked_keys(data: object, known: Mapping[str, object], where: str) -> Row:
    if not isinstance(data, Mapping):
        raise DescriptionError(f"{where}: keys and values are expected, not {data!r}")
    for key in data:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f" (did you mean '{near[0]}'?)" if near else ""
            raise DescriptionError(
                f"{where}: there is no key '{key}'{hint}; there are: {', '.join(sorted(known))}"
            )
    return dict(data)


def _section(data: object, kind: str, where: str) -> Row:
    """A mapping with the keys of its kind, each of the type of its default."""
    defaults = _KEYS[kind]
    given = _checked_keys(data, defaults, where)
    for key, value in given.items():
        default = defaults[key]
        if isinstance(default, list) and isinstance(value, str):
            given[key] = value.split(",")
        elif type(value) is not type(default) and not (
            type(value) is int and isinstance(default, float)
        ):
            raise DescriptionError(f"{where}: {key} is like {default!r}, not {value!r}")
    return {**defaults, **given}


def _expand(text: str, where: str, known: set[str] | None = None) -> list[str]:
    try:
        names = list(dict.fromkeys(hostlist.expand(text)))
    except hostlist.HostlistError as error:
        raise DescriptionError(f"{where}: {error}") from None
    missing = [name for name in names if known is not None and name not in known]
    if missing or not names:
        raise DescriptionError(f"{where}: no such node: {', '.join(missing[:5]) or repr(text)}")
    return names


def _nodes(groups: Sequence[object]) -> list[Row]:
    rows: dict[str, Row] = {}
    for number, group in enumerate(groups, start=1):
        where = f"nodes, entry {number}"
        given = _section(group, "nodes", where)
        base, *flags = given["state"].upper().split("+")
        if given["power"] not in ("", "up", "down"):
            raise DescriptionError(f"{where}: power is 'up' or 'down', not {given['power']!r}")
        flags += ["CLOUD"] * given["cloud"] + ["POWERED_DOWN"] * (given["power"] == "down")
        try:
            gpus = gres.devices(given["gres"])
        except ValueError as error:
            raise DescriptionError(f"{where}: gres: {error}") from None
        for name in _expand(given["names"], where):
            if name in rows:
                raise DescriptionError(f"{where}: {name} is there twice")
            rows[name] = {
                "name": name,
                "cpus": given["cpus"],
                "memory": given["memory"],
                "features": ",".join(given["features"]),
                "gpus": ",".join(gpus) if gpus else None,
                "base": base,
                "flags": " ".join(flags),
                "reason": given["reason"] or None,
                "reason_user": "root" if given["reason"] else None,
                "reason_time": time.time() if given["reason"] else None,
                "power": given["power"],
                "cloud": int(given["cloud"]),
                "resume_time": float(given["resume_time"]),
                "changed": time.time(),
            }
    return list(rows.values())


def _partition(data: object, number: int, known: set[str]) -> Row:
    where = f"partitions, entry {number}"
    row = _section(data, "partitions", where)
    if not row["name"]:
        raise DescriptionError(f"{where}: it has no name")
    row["nodes"] = _expand(row["nodes"], where, known)
    return row


def _reservation(data: object, number: int, known: set[str]) -> Row:
    where = f"reservations, entry {number}"
    row = _section(data, "reservations", where)
    now = time.time()
    return {
        "name": row["name"] or f"reservation{number}",
        "nodes": _expand(row["nodes"], where, known),
        "users": row["users"] or ["root"],
        "accounts": row["accounts"],
        "flags": [str(flag).upper() for flag in row["flags"]],
        "start": now,
        "end": now + 60 * row["minutes"],
    }


def _private(words: Sequence[object]) -> list[str]:
    for word in words:
        if word not in _PRIVATE:
            raise DescriptionError(
                f"private_data: {', '.join(_PRIVATE)} are known to the fake, not {word!r}"
            )
    return [str(word) for word in words]


def _switches(entries: Sequence[object], known: set[str]) -> list[Row]:
    """Switches with their level and all nodes below them, in the order of the description."""
    rows: dict[str, Row] = {}
    for number, entry in enumerate(entries, start=1):
        where = f"switches, entry {number}"
        given = _section(entry, "switches", where)
        if not given["name"] or bool(given["nodes"]) == bool(given["switches"]):
            raise DescriptionError(f"{where}: it has a name, and either nodes or switches")
        below = _expand(given["switches"], where, set(rows)) if given["switches"] else []
        nodes = (
            _expand(given["nodes"], where, known)
            if given["nodes"]
            else list(dict.fromkeys(name for switch in below for name in rows[switch]["nodes"]))
        )
        rows[given["name"]] = {
            "name": given["name"],
            "speed": given["speed"],
            "nodes": nodes,
            "switches": below,
            "level": max((rows[switch]["level"] + 1 for switch in below), default=0),
        }
    return list(rows.values())
