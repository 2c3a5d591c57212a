"""The faults of the fake PBS: those that every fake has, and its own."""

from __future__ import annotations

from ..engine import faults

FAULTS: faults.Table = {
    **faults.FAULTS,
    "transient": (
        faults.FAULTS["transient"][0],
        {"commands": [], "at": [1], "text": "Batch protocol error"},
    ),
    "queue_full": ("the limit of queued jobs is reached: qsub refuses jobs, with exit code 38", {}),
    "no_history": ("job_history_enable is False: jobs that ended are forgotten at once", {}),
    "one_of_several": (
        "as with a client of later releases: 'qstat -f -F json' shows the first of several jobs",
        {},
    ),
    "accepted_but_error": (
        "qsub fails though its job was accepted",
        {"times": 0, "text": "qsub: Batch protocol error"},
    ),
}
