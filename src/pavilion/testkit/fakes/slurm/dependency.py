"""``sbatch --dependency``: whether a job may start, or never will."""

from __future__ import annotations

import re

from ..engine.options import Unsupported
from ..engine.store import Row, Store
from . import arrays, errors
from .errors import SlurmError

_KINDS = {"after", "afterany", "afterok", "afternotok", "aftercorr"}
_GOOD = {"COMPLETED"}
_WAITING = {"PENDING", "RUNNING", "SUSPENDED"}
_NEVER = "DependencyNeverSatisfied"


def parse(store: Store, text: str) -> str:
    """A dependency in Slurm's own form: one part for each job, arrays marked with '_*'.

    :raises SlurmError: for what the controller refuses.
    :raises Unsupported: for kinds that the fake does not have.
    """
    mark = "?" if "?" in text else ","
    found: dict[str, None] = {}
    for part in re.split(r"[,?]", text):
        kind, *ids = part.strip().split(":")
        kind = kind.lower()
        if kind == "singleton" and not ids:
            found[kind] = None
            continue
        if kind == "expand":
            raise SlurmError(errors.NOT_SUPPORTED)
        if kind == "afterburstbuffer" or kind.isdigit() or any("+" in word for word in ids):
            raise Unsupported(f"sbatch: dependency {part}")
        if kind not in _KINDS or not ids:
            raise SlurmError(errors.BAD_DEPENDENCY)
        for word in ids:
            found.update(dict.fromkeys(f"{kind}:{each}" for each in _names(store, word)))
    return mark.join(found)


def _names(store: Store, word: str) -> list[str]:
    target = arrays.parse_target(word)
    if target is None or not target.number:
        raise SlurmError(errors.BAD_DEPENDENCY)
    if target.tasks is not None:
        return [f"{target.number}_{task}" for task in target.tasks]
    whole = any(each["array_job"] == target.number for each in arrays.records(store, target.number))
    return [f"{target.number}_*" if whole else str(target.number)]


def reason(store: Store, job: Row) -> str:
    """'' (it may start), 'Dependency', or 'DependencyNeverSatisfied'. What is satisfied is
    dropped from the job."""
    text = job["dependency"]
    any_of = "?" in text
    results = {part: _one(store, job, part) for part in re.split(r"[,?]", text)}
    if any_of and "" in results.values():
        results = {}
    left = {part: result for part, result in results.items() if result}
    job["dependency"] = ("?" if any_of else ",").join(left)
    job["dependency_failed"] = [part for part, result in left.items() if result == _NEVER]
    if not left:
        return ""
    never = [result == _NEVER for result in left.values()]
    return _NEVER if (all(never) if any_of else any(never)) else "Dependency"


def shown(job: Row, none: str = "(null)") -> str:
    """As the commands write it: each part with what has become of it."""

    def mark(match: re.Match[str]) -> str:
        failed = match[0] in job["dependency_failed"]
        return f"{match[0]}({'failed' if failed else 'unfulfilled'})"

    return re.sub(r"[^,?]+", mark, job["dependency"]) or none


def _one(store: Store, job: Row, part: str) -> str:
    kind, _, name = part.partition(":")
    if kind == "singleton":
        earlier = (each for each in store.jobs(active_only=True) if each["id"] < job["id"])
        return (
            "Dependency"
            if any(each["name"] == job["name"] and each["user"] == job["user"] for each in earlier)
            else ""
        )
    number, _, task = name.partition("_")
    others = arrays.records(store, int(number))
    if task.isdigit():
        others = [each for each in others if int(task) in arrays.tasks_of(each)]
    # A job that is unknown or forgotten is not waited for.
    answers = {_of_job(kind, each) for each in others}
    return _NEVER if _NEVER in answers else "Dependency" if "Dependency" in answers else ""


def _of_job(kind: str, other: Row) -> str:
    if kind == "after":
        return "Dependency" if other["state"] == "PENDING" else ""
    if other["state"] in _WAITING or other["completing"]:
        return "Dependency"
    good = other["state"] in _GOOD
    met = kind == "afterany" or good == (kind in ("afterok", "aftercorr"))
    return "" if met else _NEVER
