"""Job arrays: one record for the tasks that wait, and one for each that has been started.

The record of the array has the array's id and the numbers of its waiting tasks. A task that
starts gets a record and an id of its own; the last one takes the array's record over.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..engine.store import Row, Store
from . import errors
from .errors import SlurmError

MAX_ARRAY_SIZE = 1001
_SHOWN_LIST = 64  # longer lists of tasks are cut, unless SLURM_BITSTR_LEN says otherwise
_SHOWN_ID = 31
_STEP_FROM = 7  # this many evenly spaced tasks are written as first-last:step
_NO_TASK = 4294967294  # what Slurm shows in place of a task's number
_PIECE = re.compile(r"(\d+)(?:-(\d*)(?::(\d+))?)?")


def make(row: Row, text: str) -> None:
    """Make a new job an array.

    :raises SlurmError: for a specification that the controller refuses.
    """
    if not text:
        return
    body, _, most = text.strip("[]").partition("%")
    tasks: set[int] = set()
    step = 1
    for piece in body.split(",") if body else ["0"]:
        match = _PIECE.fullmatch(piece)
        if match is None:
            raise SlurmError(errors.BAD_ARRAY)
        first, high, by = match.groups()
        last = int(first) if high is None else int(high or 0)
        if last < int(first) or last >= MAX_ARRAY_SIZE or by == "0":
            raise SlurmError(errors.BAD_ARRAY)
        step = int(by or 1)
        tasks.update(range(int(first), last + 1, step))
    ordered = sorted(tasks)
    row.update(
        array_tasks=ordered,
        array_throttle=int(most) if most.isdigit() else 0,
        array={
            "COUNT": len(ordered),
            "MAX": ordered[-1],
            "MIN": ordered[0],
            "STEP": step if "," not in body else 1,
        },
    )


def is_array(job: Row) -> bool:
    """Whether the job is an array, or a task of one."""
    return job["array_job"] is not None


def waiting(job: Row) -> list[int]:
    """The tasks that are in the array's own record; none for a task's record."""
    tasks: list[int] = job["array_tasks"]
    return tasks


def tasks_of(job: Row) -> list[int]:
    """All tasks of the record."""
    return waiting(job) or ([] if job["array_task"] is None else [job["array_task"]])


def _ranges(tasks: list[int]) -> str:
    if len(tasks) >= _STEP_FROM:
        step = tasks[1] - tasks[0]
        if step > 1 and tasks == list(range(tasks[0], tasks[-1] + 1, step)):
            return f"{tasks[0]}-{tasks[-1]}:{step}"
    runs: list[list[int]] = []
    for task in tasks:
        if runs and task == runs[-1][1] + 1:
            runs[-1][1] = task
        else:
            runs.append([task, task])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)


def task_text(job: Row, none: str, environment: Mapping[str, str]) -> str:
    """The record's tasks: '2-3%2', '7', or ``none``."""
    if waiting(job):
        text = _ranges(waiting(job))
        wish = environment.get("SLURM_BITSTR_LEN", "")
        most = int(wish) if wish.isdigit() else _SHOWN_LIST
        if most and len(text) >= most:
            text = text[: max(0, most - 4)] + "..."
        return text + (f"%{job['array_throttle']}" if job["array_throttle"] else "")
    return none if job["array_task"] is None else str(job["array_task"])


def shown_id(job: Row, environment: Mapping[str, str]) -> str:
    """The id as ``squeue`` shows it: '17', '17_0', '17_[1-2%1]'."""
    if not is_array(job) or not tasks_of(job):
        return str(job["id"])
    text = task_text(job, "", environment)
    return f"{job['array_job']}_[{text}]" if waiting(job) else f"{job['array_job']}_{text}"


def short_id(job: Row, environment: Mapping[str, str]) -> str:
    """The same, cut as for ``squeue -o %i``."""
    text = shown_id(job, environment)
    return text if "SLURM_BITSTR_LEN" in environment else text[:_SHOWN_ID]


def name_of(job: Row, tasks: Iterable[int]) -> str:
    """Array and tasks as messages write them: '17_0,2-3'."""
    return f"{job['array_job']}_{_ranges(sorted(tasks))}"


def task_number(job: Row) -> int:
    """The task that output files are named after."""
    return _NO_TASK if job["array_task"] is None else int(job["array_task"])


# -- from words to records -----------------------------------------------------------------------


class Target(NamedTuple):
    """A job as a command line names it: '17', '17_3', '17_[1-2]'; no tasks: all of it."""

    number: int
    tasks: tuple[int, ...] | None


def parse_target(text: str) -> Target | None:
    """The job that a word names, None when the word is not a job id."""
    match = re.fullmatch(r"(\d+)(?:_(?:(\d*)|\*|\[([\d,:-]+)\]))?", text)
    if match is None:
        return None
    number, task, several = match.groups()
    if several is not None:
        holder: Row = {}
        try:
            make(holder, several)
        except SlurmError:
            return None
        return Target(int(number), tuple(holder["array_tasks"]))
    return Target(int(number), None if task is None else (int(task or 0),))


def records(store: Store, number: int) -> list[Row]:
    """A job, or all records of an array: its own first, then those of its tasks, newest first.

    The id of a task gives that task alone.
    """
    job = store.job(number)
    if job is not None and job["array_job"] != number:
        return [job]
    own = [] if job is None else [job]
    others = [each for each in store.jobs() if each["array_job"] == number and each["id"] != number]
    return own + others[::-1]


# -- tasks get records of their own --------------------------------------------------------------


def split(store: Store, job: Row, task: int) -> Row:
    """Take a waiting task out of the array's record; the record that it has now.

    The array's record becomes that of the last task, when only one is left.
    """
    if waiting(job) == [task]:
        job.update(array_tasks=[], array_task=task)
        return job
    script, environment, arguments = store.script(job["id"])
    own = copy.deepcopy(job)
    own.update(array_tasks=[], array_task=task)
    left = [each for each in waiting(job) if each != task]
    last = len(left) == 1
    job.update(array_tasks=[] if last else left, array_task=left[0] if last else None)
    store.add_job(own, script, environment, arguments)
    store.save_job(job)
    return own


def expanded(jobs: Iterable[Row]) -> list[Row]:
    """Each waiting task as a row of its own, which is not a record (``squeue -r``)."""
    rows: list[Row] = []
    for job in jobs:
        rows += [{**job, "array_task": task, "array_tasks": []} for task in waiting(job)] or [job]
    return rows


def combined(jobs: Iterable[Row]) -> list[Row]:
    """Waiting tasks that have records of their own as part of the array's row again, as
    ``squeue`` lists them while there is one."""
    rows: list[Row] = []
    of_array: dict[int, Row] = {}
    for job in jobs:  # the array's own comes first: its id is the lowest
        pending = job["state"] == "PENDING" and not job["completing"]
        whole = of_array.get(job["array_job"]) if pending else None
        if whole is None:
            row = {**job}
            rows.append(row)
            if pending and waiting(job):
                of_array[job["array_job"]] = row
        else:
            whole["array_tasks"] = sorted({*waiting(whole), *tasks_of(job)})
            reasons = dict.fromkeys([*whole["reason"].split(","), job["reason"]])
            whole["reason"] = ",".join(reasons)
    return rows


def has_room(jobs: Iterable[Row], job: Row) -> bool:
    """Whether one more task of the array may run: the number behind '%'."""
    if not job["array_throttle"]:
        return True
    busy = {
        other["id"]
        for other in jobs
        if other["array_job"] == job["array_job"]
        and (other["state"] != "PENDING" or other["completing"])
    }
    return len(busy) < int(job["array_throttle"])


def environment(job: Row) -> dict[str, str]:
    """The variables of a task."""
    if not is_array(job):
        return {}
    values = {f"SLURM_ARRAY_TASK_{key}": str(value) for key, value in job["array"].items()}
    return {
        **values,
        "SLURM_ARRAY_JOB_ID": str(job["array_job"]),
        "SLURM_ARRAY_TASK_ID": str(job["array_task"]),
    }
