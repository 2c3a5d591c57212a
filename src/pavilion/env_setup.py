"""Watching the ``env_setup`` lines of the settings, which kickoff scripts begin with.

A shell continues after a line that failed, and tests would run, and maybe pass, without what that
line was to set up.  So bash notes each command that fails, by the rules of ``set -e``: not those in
conditions, nor those before ``&&`` and ``||``, nor those in a file that is sourced, as long as the
file as a whole does not fail.  The lines themselves stay as they are: they may be parts of longer
commands.  The runner ends the tests of the job when there is a note.  Other shells have nothing
of the kind, so kickoff scripts are run by bash, whatever runs the test (see
:func:`pavilion.test_run.kickoff_shebang`).
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from pavilion.files import open_log

# What is noted: for each command a line with its exit code and its text.
VARIABLE = "PAV_ENV_SETUP_FAILED"
# The start of the line that is printed to the kickoff log, after what the command printed.
_MARK = "env_setup failed with exit code "
# How much is shown: this many lines of each command's output, and this many commands.
_SHOWN_LINES = 3
_SHOWN_LENGTH = 300
_SHOWN_COMMANDS = 5
# At most this many commands are noted: the note is in the environment of all that the script starts,
# whose size is limited, and a loop may fail very often.
_NOTED_COMMANDS = 20
# How much of a log is looked at.
_LOG_START = 256 * 1024

_TRAP = (
    # In a file that is sourced, and in a function, there are more of these.
    "_pav_code=$?; "
    'if [ "${#BASH_SOURCE[@]}" -le 1 ]; then '
    # Within a function this is the function's command: the line of the script says more.
    '_pav_command="$BASH_COMMAND"; '
    'if [[ "$_pav_command" != *$\'\\n\'* && -r "${BASH_SOURCE[0]-}" ]]; then '
    'mapfile -s "$((LINENO - 1))" -n 1 -t _pav_line <"${BASH_SOURCE[0]}"; '
    '_pav_command="${_pav_line[0]:-$_pav_command}"; fi; '
    "_pav_command=\"${_pav_command//$'\\n'/ }\"; "
    '_pav_command="${_pav_command:0:500}"; '
    f'printf \'{_MARK}%s: %s\\n\' "$_pav_code" "$_pav_command" >&2; '
    f"{VARIABLE}=\"${{{VARIABLE}-}}$_pav_code $_pav_command\"$'\\n'; export {VARIABLE}; "
    f'_pav_failed="$((${{_pav_failed:-0}} + 1))"; '
    f'[ "$_pav_failed" -lt {_NOTED_COMMANDS} ] || trap - ERR; '
    "fi"
)


class Failure(NamedTuple):
    """A command of env_setup that failed."""

    code: int
    command: str
    # What it printed, or what other commands printed since the previous failure.
    output: str = ""

    def __str__(self) -> str:
        text = f"'{self.command}' ended with exit code {self.code}"
        return f"{text} and printed: {self.output}" if self.output else text


def watched(lines: Sequence[str]) -> list[str]:
    """The lines for a kickoff script, in between those that watch for failures."""
    if not lines:
        return []
    return [
        f"unset {VARIABLE} _pav_failed",
        f'[ -z "${{BASH_VERSION-}}" ] || trap {shlex.quote(_TRAP)} ERR',
        *lines,
        '[ -z "${BASH_VERSION-}" ] || trap - ERR',
    ]


def take_failures(log: Path | None) -> list[Failure]:
    """What failed in the kickoff script that this process comes from.  The processes that it starts
    do not learn about it.

    :param log: The kickoff log.
    """
    noted = os.environ.pop(VARIABLE, "")
    found: list[Failure] = []
    for line in noted.split("\n"):
        code, _, command = line.partition(" ")
        if code.isascii() and code.isdigit():
            found.append(Failure(int(code), command.strip()))
    outputs = _outputs(log) if found and log is not None else []
    return [
        failure._replace(output=outputs[number]) if number < len(outputs) else failure
        for number, failure in enumerate(found)
    ]


def _outputs(log: Path) -> list[str]:
    """What comes before each mark in a log."""
    try:
        with open_log(log) as file:
            text = file.read(_LOG_START).decode(errors="replace")
    except OSError:
        return []
    outputs: list[str] = []
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith(_MARK):
            outputs.append(" / ".join(lines[-_SHOWN_LINES:]))
            lines = []
        elif line.strip():
            lines.append(line.strip()[:_SHOWN_LENGTH])
    return outputs


def note_of(failures: Iterable[Failure]) -> str:
    """The note for the tests of the job."""
    found = list(dict.fromkeys(failures))
    lines = [str(failure) for failure in found[:_SHOWN_COMMANDS]]
    if len(found) > _SHOWN_COMMANDS:
        lines.append(f"and {len(found) - _SHOWN_COMMANDS} more")
    return (
        f"The environment could not be set up: in env_setup of the settings {'; '.join(lines)}.\n"
        "The test was not started. If a line may fail, put '|| true' after it."
    )
