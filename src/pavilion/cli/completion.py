"""``pav-sched completion``: scripts that make a shell complete our command lines.

The scripts know nothing about our commands.  Whenever TAB is pressed, they call ``pav-sched
_complete``.  The first line of its output holds flags for the script, and each further line a
candidate, for zsh and fish followed by a tab and a few words about it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import threading
from collections.abc import Sequence
from typing import Callable

from . import base
from .base import Command, Session
from .completing import Answer, complete, list_paths

COMPLETE = "_complete"
# Seconds after which TAB does nothing: a file server that hangs must not block the shell.
PATIENCE = 3.0

_BASH = r"""# Completion of pav-sched for bash.
# To have it in every shell:  eval "$(pav-sched completion bash)"  in ~/.bashrc
_pav_sched() {
    local program=${COMP_WORDS[0]/#\~\//$HOME/} how='' line
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ -n $how ]]; then COMPREPLY+=("$line"); fi
        if [[ -z $how ]]; then how=" $line "; fi
    done < <("$program" _complete bash "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)
    if [[ $how == *' nospace '* ]]; then compopt -o nospace; fi
    if [[ $how == *' filenames '* ]]; then compopt -o filenames; fi
    if [[ $how == *' nosort '* ]]; then compopt -o nosort 2>/dev/null; fi
    return 0
}
complete -F _pav_sched pav-sched
"""

_ZSH = r"""#compdef pav-sched
# Completion of pav-sched for zsh.
# To have it in every shell:  eval "$(pav-sched completion zsh)"  in ~/.zshrc
# or as the file _pav-sched in a directory of $fpath.
_pav_sched() {
    local program=${(Q)words[1]} how line
    local -a answer values shown space
    program=${program/#\~\//$HOME/}
    answer=("${(@f)$("$program" _complete zsh "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    how=" $answer[1] "
    shift answer
    if [[ $how == *' option-value '* ]]; then
        compset -P '*='
    fi
    for line in $answer; do
        values+=("${line%%$'\t'*}")
        shown+=("${line/$'\t'/  -- }")
    done
    if [[ $how == *' nospace '* ]]; then space=(-S ''); fi
    if (( $#values )); then
        compadd -l -V pav-sched -d shown "${space[@]}" -a values
    fi
    case $how in
        *' files '*) _files ;;
        *' directories '*) _files -/ ;;
        *' suites '*) _files -g '*.(yaml|yml)' ;;
    esac
}
if [[ $funcstack[1] == _pav-sched ]]; then
    _pav_sched "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
    compdef _pav_sched pav-sched
fi
"""

_FISH = r"""# Completion of pav-sched for fish.
# To have it in every shell:
#   pav-sched completion fish > ~/.config/fish/completions/pav-sched.fish
function __pav_sched_complete
    set -l words (commandline -opc)
    while set -q words[1]; and string match -qr '^\w+=' -- $words[1]
        set -e words[1]
    end
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    set -l answer ($program _complete fish $words[2..-1] (commandline -ct | string collect) 2>/dev/null)
    set -q answer[2]; and printf '%s\n' $answer[2..-1]
end
complete -c pav-sched -e
complete -c pav-sched -f -k -a '(__pav_sched_complete)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=list(SCRIPTS), metavar="SHELL", help="bash, zsh or fish")


def _completion(session: Session) -> int:
    print(SCRIPTS[session.args.shell], end="")
    return base.OK


# ------------------------------------------------------------------------------- answers


def answer(arguments: Sequence[str], parser: Callable[[], argparse.ArgumentParser]) -> int:
    """Print what can complete a command line; nothing when anything is wrong.

    :param arguments: The shell; then for bash the command line up to the cursor and the
        characters that separate words for it, for others the words up to the cursor.
    :param parser: Makes that of the command line.
    """
    lines: list[str] = []

    def work() -> None:
        try:
            lines.extend(_lines(arguments, parser()))
        except BaseException:
            lines.clear()

    worker = threading.Thread(target=work, daemon=True)
    # What a plugin prints while it is loaded is not a candidate, and warnings do not help here.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        worker.start()
        worker.join(PATIENCE)
    if not worker.is_alive() and lines:
        text = "\n".join(lines) + "\n"
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
        sys.stdout.flush()
    return base.OK


def _lines(arguments: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    shell, *words = arguments
    if shell == "bash":
        return _for_bash(parser, *words)
    if shell == "fish":
        # The last word is passed as it was typed.
        words[-1] = Typed(words[-1], "").value
    if shell not in SCRIPTS:
        return []
    found = complete(parser, words)
    how = ["ok"]
    if found.unfinished:
        how.append("nospace")
    if found.prefix and shell == "zsh":
        how.append("option-value")
        found.candidates = [
            item._replace(value=item.value[len(found.prefix) :]) for item in found.candidates
        ]
    candidates = [f"{item.value}\t{_shown(item.about)}".rstrip() for item in found.candidates]
    if found.paths and shell == "fish":
        # The functions of fish for paths support neither '--option=' nor quoted words.
        candidates += _paths(found)
    elif found.paths:
        how.append(found.paths)
    return [" ".join(how), *dict.fromkeys(candidates)]


def _paths(found: Answer) -> list[str]:
    """The files that can complete it, as complete words."""
    try:
        return [found.prefix + path for path in list_paths(found.word, found.paths)]
    except OSError:
        # There is no such directory.
        return []


def _shown(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)[:70]


class Typed:
    """A command line as it was typed, up to the cursor.

    :ivar words: Its words without their quotes.
    :ivar value: The last of them; empty after a blank.
    :ivar quote: The quote that is open at the end: ' or ", or nothing.
    :ivar kept: How many characters of the last word bash keeps: those before that quote, or up to
        the last character that separates words for bash.
    """

    def __init__(self, line: str, breaks: str) -> None:
        self.words: list[str] = []
        self.value, self.quote, self.kept = "", "", 0
        inside, position = False, 0
        while position < len(line):
            char = line[position]
            following = line[position + 1 : position + 2]
            position += 1
            if not self.quote and char in " \t\n":
                if inside:
                    self.words.append(self.value)
                self.value, self.kept, inside = "", 0, False
                continue
            inside = True
            if self.quote:
                if char == self.quote:
                    self.quote = ""
                elif char == "\\" and self.quote == '"' and following and following in '"\\$`!':
                    self.value += following
                    position += 1
                else:
                    self.value += char
            elif char in "'\"":
                self.quote, self.kept = char, len(self.value)
            elif char == "\\":
                self.value += following
                position += 1
            else:
                self.value += char
                if char in breaks:
                    self.kept = len(self.value)
        self.words.append(self.value)


def _for_bash(parser: argparse.ArgumentParser, line: str, breaks: str) -> list[str]:
    """The answer for bash, which replaces a part of the last word, and quotes only file names."""
    typed = Typed(line, breaks)
    found = complete(parser, typed.words[1:])
    values = [item.value for item in found.candidates]
    paths = _paths(found)
    how = ["nosort"]
    all_values = list(dict.fromkeys([*values, *paths]))
    if found.unfinished or (len(all_values) == 1 and all_values[0].endswith("/")):
        how.append("nospace")
    if paths and not values:
        # bash completes file names better by itself: it quotes them, and lists them without
        # their directories.
        how.append("filenames")
        return [" ".join(how), *(path[typed.kept :].rstrip("/") for path in all_values)]
    return [" ".join(how), *(_quoted(value[typed.kept :], typed.quote) for value in all_values)]


def _quoted(text: str, quote: str) -> str:
    """A word for bash, quoted so that it can be inserted after an open quote, or without one."""
    if quote == "'":
        return text.replace("'", "'\\''")
    special = '"\\$`!' if quote else " \t\"'\\$`!();<>|&*?[]{}#~"
    home = ""
    if not quote and text.startswith("~/"):
        # It was typed like this, and means the home directory.
        home, text = "~/", text[2:]
    return home + "".join(f"\\{char}" if char in special else char for char in text)


COMMANDS = [
    Command(
        name="completion",
        summary="print a script that makes a shell complete commands and names",
        description=(
            "Print a script that makes bash, zsh or fish complete commands, options, suites,\n"
            "tests, series and schedulers when TAB is pressed.\n\n"
            'bash:  eval "$(pav-sched completion bash)"  in ~/.bashrc\n'
            'zsh:   eval "$(pav-sched completion zsh)"  in ~/.zshrc\n'
            "fish:  pav-sched completion fish > ~/.config/fish/completions/pav-sched.fish"
        ),
        examples=["completion bash"],
        run=_completion,
        arguments=_arguments,
    )
]
