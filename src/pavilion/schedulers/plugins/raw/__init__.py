"""The raw scheduler plugin: jobs are processes of this host.

- ``plugin``: the plugin class
- ``job_queue``: in which order jobs start, and how many run at the same time
- ``processes``: which processes belong to a job
"""

from __future__ import annotations

from .plugin import Raw

__all__ = ["Raw"]
