"""The raw scheduler plugin: jobs are processes of this host.

- ``plugin``: the plugin class
- ``job_queue``: in which order jobs start, and how many run at the same time
- ``turn``: the program that waits for a job's turn
- ``processes``: which processes belong to a job, and ending them
- ``starting``: starting jobs, and waiting for those that have ended
"""

from __future__ import annotations

from .plugin import Raw

__all__ = ["Raw"]
