"""The faults of the fake Slurm: those that every fake has, some with its own words, and its own."""

from __future__ import annotations

from ..engine import faults

_BANNER, _BANNER_SETTINGS = faults.FAULTS["banner"]

FAULTS: faults.Table = {
    **faults.FAULTS,
    "transient": (
        faults.FAULTS["transient"][0],
        {"commands": [], "at": [1], "text": "Zero Bytes were transmitted or received"},
    ),
    "accepted_but_error": (
        "sbatch fails though its job was accepted",
        {"times": 0, "text": "Socket timed out on send/recv operation"},
    ),
    "rate_limit": (
        "a user's calls are held back: a bucket of calls that fills again slowly",
        {
            "bucket": 30,
            "per_second": 2.0,
            "patience": 5.0,
            "text": "Rate limit exceeded, please retry later",
        },
    ),
    "banner": (_BANNER, {**_BANNER_SETTINGS, "commands": ["sbatch"]}),
    "cluster": (
        "there are two clusters: sbatch prints 'ID;cluster', -M is known",
        {"name": "other"},
    ),
    "release": ("words and fields of another Slurm release", {"version": "23.11"}),
    "prolog_fails": (
        "jobs cannot be started on their node: they are held, the node is drained",
        {},
    ),
    "queue_full": ("the job limit is reached: sbatch waits and tries again", {}),
}
