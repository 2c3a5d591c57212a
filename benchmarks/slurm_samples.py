"""What Slurm's commands print on large systems, made up; and commands that print it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

from pavilion.schedulers.placement import hostlists
from pavilion.schedulers.plugins.slurm.queries import (
    FIELD_END,
    JOB_FIELDS,
    NODE_FIELDS,
    ROW_END,
)

# State, reason, and how many of a hundred nodes are like that.
_STATES = (
    ("ALLOCATED", "none", 60),
    ("IDLE", "none", 20),
    ("MIXED", "none", 8),
    ("IDLE+PLANNED", "none", 4),
    ("ALLOCATED+COMPLETING", "none", 3),
    ("IDLE+DRAIN", "bad DIMM, ticket 4711", 2),
    ("DOWN+NOT_RESPONDING", "Not responding", 2),
    ("MIXED+DRAIN", "Kill task failed", 1),
)
# CPUs, MiB, features.
_HARDWARE = (
    ("128", "257000", "cpu,rome"),
    ("128", "515000", "cpu,rome,bigmem"),
    ("64", "515000", "gpu,a100"),
)


def node_names(count: int) -> list[str]:
    return [f"nid{number:06d}" for number in range(1, count + 1)]


def _row(*fields: str) -> str:
    return FIELD_END.join(fields) + f"{ROW_END}\n"


def sinfo(count: int, seed: int = 1) -> str:
    """The answer to queries.inventory for this many nodes: states are scattered, hardware comes
    in blocks; each node is in two of three partitions, and its row's list of nodes is folded."""
    rng = random.Random(seed)
    states = rng.choices(_STATES, [state[2] for state in _STATES], k=count)
    groups: dict[tuple[str, ...], list[str]] = {}
    for number, name in enumerate(node_names(count)):
        state, reason, _ = states[number]
        cpus, mem, features = _HARDWARE[number * 10 // count % 3]
        kind = "gpu" if features.startswith("gpu") else "cpu"
        for partition in ("standard*", kind):
            key = (state, cpus, mem, features, partition, reason)
            groups.setdefault(key, []).append(name)
    rows = [_row(*(name.upper() for name in NODE_FIELDS.values()))]
    for (state, cpus, mem, features, partition, reason), names in groups.items():
        rows.append(_row(state, cpus, mem, features, partition, hostlists.fold(names), reason))
    return "".join(rows)


def reservations(count: int, how_many: int) -> str:
    """The answer to queries.reservations: each of them holds half of the nodes."""
    if not how_many:
        return "No reservations in the system\n"
    names = node_names(count)
    lines = []
    for number in range(how_many):
        start = number * count // (2 * how_many)
        nodes = hostlists.fold(names[start : start + count // 2])
        lines.append(
            f"ReservationName=resv{number} StartTime=2026-01-01T00:00:00 EndTime=2027-01-01T"
            f"00:00:00 Duration=365-00:00:00 Nodes={nodes} NodeCnt={count // 2} "
            f"CoreCnt={count * 64} Features=(null) PartitionName=(null) "
            f"Flags={'MAINT,' if number else ''}SPEC_NODES TRES=cpu={count * 64} Users=root "
            "Groups=(null) Accounts=(null) Licenses=(null) State=ACTIVE BurstBuffer=(null) "
            "Watts=n/a MaxStartDelay=(null)\n"
        )
    return "".join(lines)


def token(number: int) -> str:
    """The token of a job."""
    return f"pav-{number:016x}"


def squeue(count: int) -> str:
    """The answer to queries.jobs: this many jobs, numbered from 1."""
    rng = random.Random(count)
    rows = [_row(*(name.upper() for name in JOB_FIELDS.values()))]
    for number in range(1, count + 1):
        state, reason, nodes, code = rng.choice(
            (
                ("RUNNING", "None", f"nid[{number:06d}-{number + 15:06d}]", "0"),
                ("PENDING", "Resources", "", "0"),
                ("PENDING", "ReqNodeNotAvail, UnavailableNodes:nid000017", "", "0"),
                ("COMPLETED", "None", f"nid{number:06d}", "0"),
                ("FAILED", "NonZeroExitCode", f"nid{number:06d}", "256"),
                ("TIMEOUT", "TimeLimit", f"nid{number:06d}", "15"),
            )
        )
        rows.append(
            _row(
                str(number),
                str(number),
                "N/A",
                state,
                code,
                nodes,
                "2026-11-22T17:00:00",
                "2026-11-22T18:00:00",
                "0",
                "1:00:00",
                "standard",
                reason,
                "pav_suite.test",
                token(number),
            )
        )
    return "".join(rows)


def write_commands(folder: Path, answers: Mapping[str, str]) -> Path:
    """Commands that print these answers, by name, and note each call in ``calls``.

    :returns: That file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    calls = folder / "calls"
    calls.touch()
    for name, text in answers.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
        script = folder / name
        script.write_text(
            f'#!/bin/sh\necho {name} >> "{calls}"\nexec cat "{folder}/{name}.txt"\n',
            encoding="ascii",
        )
        script.chmod(0o755)
    return calls
