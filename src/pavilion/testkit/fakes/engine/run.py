"""Run one command of a fake scheduler, from its words to its return code."""

# A command starts in less time without pathlib.
# ruff: noqa: PTH110, PTH118

from __future__ import annotations

import importlib
import os
import sys
import time

from . import faults
from .context import Context
from .options import Unsupported, Usage
from .store import STATE_FILE

UNSUPPORTED_CODE = 2


def main(fake: str, command: str, folder: str, words: list[str]) -> int:
    """The return code of a command; of 'controller' when the controller process ends."""
    fakes = __package__.rpartition(".")[0]
    if command == "controller":
        from . import controller

        return controller.main(
            folder, importlib.import_module(f"{fakes}.{fake}.controller").Controller
        )
    made = importlib.import_module(f"{fakes}.{fake}.context").Context
    if not os.path.exists(os.path.join(folder, STATE_FILE)):
        sys.stderr.write(f"fake {made.TITLE}: there is no cluster in {folder} any more\n")
        return UNSUPPORTED_CODE
    context: Context = made(folder, command, words, dict(os.environ))
    try:
        context.note_call()
        slow = context.faults.get("slow")
        if slow is not None and faults.concerns(slow, command):
            time.sleep(slow["seconds"])
            context.now = time.time()
        version = context.version()
        if version is not None:
            context.line(version)
            code = 0
        else:
            name = command.replace("-", "_")
            code = importlib.import_module(f"{fakes}.{fake}.{name}").run(context)
    except Usage as error:
        sys.stderr.write(error.text)
        code = error.code
    except Unsupported as error:
        context.err(f"fake {made.TITLE}: {error}: not known to the fake. Teach it, or do without.")
        code = UNSUPPORTED_CODE
    context.flush()
    return code
