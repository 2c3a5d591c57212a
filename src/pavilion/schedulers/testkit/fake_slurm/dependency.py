"""``sbatch --dependency``: whether a job may start, or never will."""

from __future__ import annotations

import re

from .store import Row, Store

_GOOD = {"COMPLETED"}
_WAITING = {"PENDING", "RUNNING", "SUSPENDED"}


def reason(store: Store, job: Row) -> str:
    """'' (it may start), 'Dependency', or 'DependencyNeverSatisfied'."""
    text = job["dependency"]
    any_of = "?" in text
    results = [_one(store, job, part) for part in re.split(r"[,?]", text)]
    if (any_of and "" in results) or (not any_of and not any(results)):
        job["dependency"] = ""
        return ""
    never = [result == "DependencyNeverSatisfied" for result in results]
    return "DependencyNeverSatisfied" if (all(never) if any_of else any(never)) else "Dependency"


def _one(store: Store, job: Row, part: str) -> str:
    kind, _, ids = part.partition(":")
    if kind == "singleton":
        earlier = (each for each in store.jobs(active_only=True) if each["id"] < job["id"])
        return "Dependency" if any(each["name"] == job["name"] and each["user"] == job["user"]
                                   for each in earlier) else ""
    answers = [_of_job(kind, store.job(int(number))) for number in ids.split(":")]
    if "DependencyNeverSatisfied" in answers:
        return "DependencyNeverSatisfied"
    return next((answer for answer in answers if answer), "")


def _of_job(kind: str, other: Row | None) -> str:
    if other is None:  # unknown or forgotten: no longer waited for, and not known to be good
        return "" if kind in ("afterany", "after") else "DependencyNeverSatisfied"
    if kind == "after":
        return "Dependency" if other["state"] == "PENDING" else ""
    if other["state"] in _WAITING or other["completing"]:
        return "Dependency"
    good = other["state"] in _GOOD
    met = kind == "afterany" or good == (kind in ("afterok", "aftercorr"))
    return "" if met else "DependencyNeverSatisfied"
