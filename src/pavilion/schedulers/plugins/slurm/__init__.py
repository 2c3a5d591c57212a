"""The Slurm scheduler plugin.

- ``plugin``: the plugin class
- ``vars``: its variables
- ``client``: the conversation with Slurm; the only module here that runs commands
- ``submit``: a submission, told apart from its ghosts
- ``output``: where a job's output goes; ``requested``: drained nodes that a job waits for
- ``header``, ``queries``: what is said to Slurm; ``parsing``, ``states``, ``notes``, ``errors``:
  what it says.  Pure functions all.
"""

from __future__ import annotations

from .plugin import Slurm

__all__ = ["Slurm"]
