"""The entry point of ``pav-sched``: reads the command line and calls a command."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

from pavilion.errors import PavilionError, quoted
from pavilion.near import did_you_mean

from . import base, doctor
from .base import PROGRAM, Command, Session
from .output import align_tables, prepare_streams, show_error, stdout_for_results, tell

try:
    from . import (
        cancel,
        clean,
        completion,
        internal,
        junit,
        link,
        log,
        machine_map,
        nodes,
        plan,
        run,
        show,
        status,
        wait,
    )
except ImportError as exc:
    # A module that is installed with this program is missing or broken.
    sys.exit(doctor.start_without(exc))

# The modules of commands, in the order of the help text.  A new command is a module with a list
# COMMANDS, and a place in here.
MODULES = [
    run,
    status,
    nodes,
    wait,
    cancel,
    log,
    plan,
    machine_map,
    show,
    clean,
    link,
    doctor,
    completion,
    internal,
]

DESCRIPTION = """\
Run tests through the schedulers of a cluster, and see what came of them.

A test is a few lines of YAML in a suite file. 'run' hands tests to a scheduler and waits for
their results; each run is a series ('s1'), each test in it has an id ('s1.1')."""

EPILOG = f"""\
examples:
  {PROGRAM} run mytests.yaml              run all tests of a file
  {PROGRAM} run mytests.yaml.hello        run one of them
  {PROGRAM} run nightly --detach          run a suite of a config directory, do not wait
  {PROGRAM} status                        the tests of the latest series
  {PROGRAM} log s1.1                      what a test printed

exit codes:
  0    all tests passed, or the command did what it should
  1    some tests failed, could not be run, or were cancelled
  2    the command line, the configuration or a suite is wrong
  3    the time given with --timeout was up before all tests had ended
  130  interrupted with Ctrl-C (jobs keep running)

'{PROGRAM} COMMAND --help' explains a command."""


class _Parser(argparse.ArgumentParser):
    """Reports wrong command lines in the same way as all other errors."""

    def error(self, message: str) -> NoReturn:
        tell(f"{PROGRAM}: error: {message}\nSee '{self.prog} --help'.")
        sys.exit(base.USAGE)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Name what may have been meant, and only what users may type."""
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices if not str(choice).startswith("_")]
        raise argparse.ArgumentError(
            action,
            f"invalid choice: {quoted(value)}{did_you_mean(value, choices, start='; did')} "
            f"(choose from {', '.join(choices)})",
        )

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, but with the help of the command that does not know an argument."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            command = self._command_of(found)
            options = [word for word in unknown if word.startswith("--")]
            near = did_you_mean(
                options[0].partition("=")[0] if options else "",
                command._option_string_actions,
                start="; did",
            )
            command.error(f"unrecognized arguments: {' '.join(unknown)}{near}")
        return found

    def _command_of(self, found: argparse.Namespace) -> argparse.ArgumentParser:
        """The parser of the command that was given."""
        parser: argparse.ArgumentParser = self
        for dest in ("command", "topic"):
            for action in parser._actions:
                if isinstance(action, argparse._SubParsersAction) and action.dest == dest:
                    parser = action.choices.get(str(getattr(found, dest, "")), parser)
        return parser


def _path(text: str) -> Path:
    if not text:
        # Path("") is the current directory, which an unset variable of a script does not mean.
        raise argparse.ArgumentTypeError("the path is empty")
    return Path(text)


class _AddTo(argparse.Action):
    """Appends to the same list wherever the option is on the command line."""

    def __init__(self, option_strings: Sequence[str], dest: str, **kwargs: Any) -> None:
        super().__init__(option_strings, dest, **kwargs)
        self._values: list[Any] = []

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        self._values.append(values)
        setattr(namespace, self.dest, list(self._values))


class _Version(argparse.Action):
    """Prints the version.  Finding it takes time, so that is done only on demand."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"{PROGRAM} {version('pavilion-schedulers')}")
        except PackageNotFoundError:
            print(f"{PROGRAM} (not installed: run from its source)")
        parser.exit()


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    common = _common_options()
    parser = _Parser(
        prog=PROGRAM,
        description=DESCRIPTION,
        epilog=EPILOG,
        parents=[common],
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    _add_commands(parser, [command for module in MODULES for command in module.COMMANDS], common)
    return parser


def _common_options() -> argparse.ArgumentParser:
    """The options that may be given before or after the command."""
    common = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    group = common.add_argument_group("global options")
    group.add_argument(
        "--config-file",
        type=_path,
        metavar="FILE",
        help=(
            "the settings to use. Default: $PAV_CONFIG_FILE, pavilion.yaml in $PAV_CONFIG_DIR, or "
            "~/.pavilion/pavilion.yaml"
        ),
    )
    group.add_argument(
        "--config-dir",
        type=_path,
        metavar="DIR",
        action=_AddTo,
        help=(
            "a directory with suites/ and plugins/, in addition to those of the settings; may be "
            "repeated"
        ),
    )
    group.add_argument(
        "--working-dir",
        type=_path,
        metavar="DIR",
        help=("where test runs are kept; takes precedence over working_dir of the settings"),
    )
    group.add_argument("--debug", action="store_true", help="show tracebacks of errors")
    return common


def _add_commands(
    parser: argparse.ArgumentParser, commands: Sequence[Command], common: argparse.ArgumentParser
) -> None:
    title = "commands" if parser.prog == PROGRAM else "topics"
    visible = [command for command in commands if not command.hidden]
    choices = parser.add_subparsers(
        title=title, metavar=title[:-1].upper(), required=True, dest=title[:-1]
    )
    for command in commands:
        # A command without help is left out of the list.
        kwargs: Any = {"help": command.summary} if command in visible else {}
        sub = choices.add_parser(
            command.name,
            description=command.description or command.summary,
            parents=[common],
            allow_abbrev=False,
            epilog=_examples(command),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **kwargs,
        )
        if command.topics:
            _add_commands(sub, command.topics, common)
            continue
        command.arguments(sub)
        if command.json:
            _add_formats(sub)
        sub.set_defaults(execute=command.run)


def _add_formats(parser: argparse.ArgumentParser) -> None:
    """How results are printed, in place of what a terminal or a pipe gets."""
    formats = parser.add_mutually_exclusive_group()
    formats.add_argument("--json", action="store_true", help="print JSON")
    formats.add_argument(
        "--table",
        action="store_true",
        help=("align the columns of tables in a pipe, too; nothing is cut unless $COLUMNS is set"),
    )


def _examples(command: Command) -> str | None:
    if not command.examples:
        return None
    return "examples:\n" + "\n".join(f"  {PROGRAM} {line}" for line in command.examples)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    :param argv: The arguments; those of this process when left out.
    :returns: The exit code.
    """
    prepare_streams()
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == [completion.COMPLETE]:
        # Not a command for the parser: an unfinished command line follows.
        return completion.answer(words[1:], make_parser)
    args = argparse.Namespace(config_file=None, config_dir=[], working_dir=None, debug=False)
    try:
        make_parser().parse_args(words, args)
        align_tables(getattr(args, "table", False))
        with stdout_for_results() if getattr(args, "json", False) else nullcontext():
            session = Session(args)
            code: int = (
                junit.with_report(session, args.execute)
                if getattr(args, "junit", None) is not None
                else args.execute(session)
            )
        # Notice that the reader is gone, or the disk full, while that can still be reported.
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        return _reader_has_gone()
    except KeyboardInterrupt:
        tell(f"{PROGRAM}: interrupted.")
        return base.INTERRUPTED
    except (PavilionError, OSError) as exc:
        if args.debug:
            traceback.print_exc()
        show_error(exc)
        return base.USAGE
    except Exception as exc:
        if args.debug:
            traceback.print_exc()
        hint = "" if args.debug else " 'pav-sched --debug ...' shows where it comes from."
        tell(
            f"{PROGRAM}: error: {type(exc).__name__}: {exc}\nThis should not have happened: it "
            f"is a bug in pavilion-schedulers. Please report it.{hint}"
        )
        return base.INTERNAL


def _reader_has_gone() -> int:
    """``pav-sched ... | head``: end quietly, as other programs do."""
    # Python flushes stdout once more at its end.
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    return 128 + 13


def entry_point() -> None:
    """The entry point of ``pav-sched``."""
    sys.exit(main())
