"""The files of a job: as they are requested, as they are shown, and as they are written."""

from __future__ import annotations

import re

from ..engine.store import Row
from . import arrays
from .releases import MODERN, Release


def asked(row: Row, kind: str) -> str:
    """What was requested, or what sbatch puts in its place."""
    if kind == "std_err" and not row["std_err"]:
        kind = "std_out"
    default = "slurm-%A_%a.out" if arrays.is_array(row) else "slurm-%j.out"
    return str(row[kind] or default)


def _values(row: Row) -> dict[str, str]:
    whole = row["array_job"] if arrays.is_array(row) else row["id"]
    return {
        "j": str(row["id"]),
        "A": str(whole),
        "a": str(arrays.task_number(row)),
        "x": row["name"],
        "u": row["user"],
    }


def _in_workdir(row: Row, path: str) -> str:
    return path if path.startswith("/") else f"{row['workdir']}/{path}"


def shown(row: Row, kind: str, release: Release) -> str:
    """As ``scontrol show job`` writes it: it knows few of the patterns, and not '%%'. Later it
    knows all, and nothing is written for errors that go where the output goes."""
    if release >= MODERN:
        return "" if kind == "std_err" and not row["std_err"] else written(row, kind, release)
    values = _values(row)
    return _in_workdir(row, re.sub(r"%([jAaxu])", lambda match: values[match[1]], asked(row, kind)))


def listed(row: Row, kind: str) -> str:
    """As ``squeue`` writes it: it knows none of the patterns."""
    if kind == "std_err" and not row["std_err"]:
        kind = "std_out"
    return _in_workdir(row, row[kind] or f"slurm-{row['id']}.out")


def written(row: Row, kind: str, release: Release) -> str:
    """The path that is opened on the first node of a job that starts: %j, %J, %A, %a, %x, %u,
    %N, %n, %t, %s, %% and a width (%4j)."""
    values = {
        **_values(row),
        "J": str(row["id"]),
        "n": "0",
        "t": "0",
        "s": "batch",
        "N": next(iter(row["alloc"]), ""),
        "%": "%",
    }

    def value(match: re.Match[str]) -> str:
        text: str | None = values.get(match[2])
        if text is None:
            return match[0]
        return text.zfill(int(match[1])) if match[1] and text.isdigit() else text

    pattern = asked(row, kind)
    # With a backslash anywhere there are no patterns. A doubled one stands for itself, up to the
    # release that drops them all.
    kept = "" if release >= MODERN else r"\1"
    path: str = (
        re.sub(r"\\(\\?)", kept, pattern)
        if "\\" in pattern
        else re.sub(r"%(\d*)([a-zA-Z%])", value, pattern)
    )
    return _in_workdir(row, path)


def name(row: Row, release: Release) -> None:
    """Settle the paths of a job that starts."""
    row["paths"] = {kind: written(row, kind, release) for kind in ("std_out", "std_err", "std_in")}
