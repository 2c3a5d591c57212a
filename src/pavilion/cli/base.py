"""What a command is, and what every command works with."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from .output import PROGRAM as PROGRAM
from .output import warn

# What these need is imported when it is used: without it, 'doctor' can still say what is missing.
if TYPE_CHECKING:
    from pavilion.config import PavConfig
    from pavilion.plugins import PluginReport
    from pavilion.test_run import TestRun

# Exit codes.  Scripts rely on them.
OK = 0
FAILED = 1
USAGE = 2
TIMED_OUT = 3
INTERNAL = 70
INTERRUPTED = 130


def absolute(path: str | Path) -> Path:
    """A path from the root, without '..'; links stay, as the settings have it, too."""
    return Path(os.path.normpath(Path(path).expanduser().absolute()))


@dataclass(frozen=True)
class Command:
    """A sub-command.

    :param name: What the user types.
    :param summary: One line for the list of commands.
    :param description: What it does, for its own --help.
    :param examples: Complete command lines, without the name of the program.
    :param run: Does it; gives the exit code.
    :param arguments: Adds its options to its parser.
    :param topics: The commands below it, in place of ``run`` ('show' has some).
    :param json: Whether it has --json, and --table.
    :param hidden: Leave it out of the list of commands.
    """

    name: str
    summary: str
    description: str = ""
    examples: list[str] = field(default_factory=list)
    run: Callable[[Session], int] | None = None
    arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    topics: list[Command] = field(default_factory=list)
    json: bool = False
    hidden: bool = False


class Session:
    """One call of the program: its arguments, and what follows from the global options.

    :param args: The parsed command line.
    :ivar tests: The tests that it is about, as soon as these are known; for ``--junit``.
    :ivar records: What was reported about them.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.tests: Sequence[TestRun] | None = None
        self.records: Sequence[dict[str, Any]] = ()

    @cached_property
    def pav_cfg(self) -> PavConfig:
        """The settings.  :raises ConfigError: When they cannot be used."""
        from pavilion.config import load_config

        pav_cfg = load_config(
            config_file=self.args.config_file,
            working_dir=self.args.working_dir,
            config_dirs=self.args.config_dir,
        )
        for text in pav_cfg.warnings:
            warn(text)
        return pav_cfg

    @cached_property
    def plugins(self) -> PluginReport:
        """Load the plugins, once.  The report says what is wrong with any of them."""
        from pavilion.plugins import load_plugins

        return load_plugins(self.pav_cfg)

    def command_line(self, *words: str) -> str:
        """A command line for the user's next step: it finds the same series from any directory."""
        options: list[str] = []
        for option, path in (
            ("--config-file", self.args.config_file),
            ("--working-dir", self.args.working_dir),
        ):
            if path is not None:
                options += [option, str(absolute(path))]
        for path in self.args.config_dir:
            options += ["--config-dir", str(absolute(path))]
        return shlex.join([PROGRAM, *options, *words])
