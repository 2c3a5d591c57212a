"""The record of a job, as the controller and the step manager read it; a fake adds its own keys."""

from __future__ import annotations

from .store import Row


def cancel(job: Row, now: float) -> None:
    """Cancel a job that has not ended: one that runs is being ended from now on."""
    if job["state"] == "PENDING":
        job.update(state="CANCELLED", end=now)
    elif not job["completing"]:
        job.update(state="CANCELLED", completing=True, end=now)


def new_job(now: float, user: tuple[str, int, str, int], **values: object) -> Row:
    """A job that waits.

    :param now: When it was submitted, in seconds since the epoch.
    :param user: Name, id, group and group id of its user.
    :param values: What is not as in the dictionary here, and keys of the fake's own.
    """
    name, uid, group, gid = user
    return {
        "name": "",
        "user": name,
        "uid": uid,
        "group": group,
        "gid": gid,
        "kind": "batch",  # anything else is not started by the controller
        "partition": "",
        # -- its life
        "state": "PENDING",
        "reason": "None",
        "submit": now,
        "begin": None,  # not before this, in seconds since the epoch
        "hold": "",  # who holds it
        "priority": 1,
        "scheduled": None,
        "start": None,
        "end": None,
        "limit": None,  # minutes, which last as long as the setting 'minute' says
        "end_wish": None,
        "completing": False,  # it is being ended
        "cancelled_by": None,  # a user id
        "exit_code": 0,
        "exit_signal": 0,
        "failed_node": None,
        "term_sent": 0.0,
        "kill_sent": 0.0,
        "requeue": False,  # whether it runs again after its node was lost
        "requeuing": False,
        "restarts": 0,
        "restarts_after": None,
        # -- its place
        "alloc": {},  # CPUs by name of node
        "gpus": {},
        "configuring": False,
        # -- its script
        "workdir": "/",
        "umask": 0o022,
        "append": False,
        "make_directories": False,
        "paths": {"std_out": "/dev/null", "std_err": "/dev/null", "std_in": "/dev/null"},
        **values,
    }
