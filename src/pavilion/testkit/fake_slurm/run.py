"""Run one command of the fake Slurm, from its words to its return code."""

# A command starts in less time without pathlib.
# ruff: noqa: PTH110, PTH118

from __future__ import annotations

import importlib
import os
import sys
import time

from . import faults, releases
from .context import Context
from .options import Unsupported, Usage
from .store import STATE_FILE

COMMANDS = ("sbatch", "squeue", "scancel", "scontrol", "sinfo", "srun", "sacct", "sdiag")
UNSUPPORTED_CODE = 2


def main(command: str, folder: str, words: list[str]) -> int:
    """The return code of a command; of 'controller' when the controller process ends."""
    module = importlib.import_module(f".{command}", __package__)
    if command == "controller":
        code: int = module.main(folder)
        return code
    if not os.path.exists(os.path.join(folder, STATE_FILE)):
        sys.stderr.write(f"fake Slurm: there is no cluster in {folder} any more\n")
        return UNSUPPORTED_CODE
    context = Context(folder, command, words, dict(os.environ))
    try:
        context.note_call()
        slow = context.faults.get("slow")
        if slow is not None and faults.concerns(slow, command):
            time.sleep(slow["seconds"])
            context.now = time.time()
        if words in (["--version"], ["-V"]):
            context.line(releases.version_line(context.release))
            code = 0
        else:
            code = module.run(context)
    except Usage as error:
        sys.stderr.write(error.text)
        code = error.code
    except Unsupported as error:
        context.err(f"fake Slurm: {error}: not known to the fake. Teach it, or do without.")
        code = UNSUPPORTED_CODE
    context.flush()
    return code
