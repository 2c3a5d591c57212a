"""``pav-sched _run``: what kickoff scripts call as ``pav _run``."""

from __future__ import annotations

import argparse
import os

from pavilion.errors import ConfigError

from .base import Command, Session


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="+", metavar="ID", help="a test (s1.1)")


def _run(session: Session) -> int:
    if session.args.working_dir is not None or session.args.config_dir:
        raise ConfigError(
            "_run takes its settings only from --config-file or $PAV_CONFIG_FILE: "
            "it does not take --working-dir and --config-dir."
        )
    if session.args.config_file is not None:
        os.environ["PAV_CONFIG_FILE"] = str(session.args.config_file.absolute())
    # The other commands start faster without it.
    from pavilion import runner

    return runner.main(["_run", *session.args.ids])


COMMANDS = [
    Command(
        name="_run",
        summary="run tests inside their allocation; for kickoff scripts",
        description=(
            "Run tests inside their allocation, as 'pav _run' does in kickoff scripts. The\n"
            "settings are those of --config-file or $PAV_CONFIG_FILE."
        ),
        examples=["--config-file /shared/work/series/s1/pavilion.yaml _run s1.1"],
        run=_run,
        arguments=_arguments,
        hidden=True,
    )
]
