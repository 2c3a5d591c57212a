"""The template language of test configs: references to variables, and nothing else.

- ``{{name}}`` is replaced by a variable's value.  Inside the braces there is only a reference,
  ``[set.]name[.index][.key]``, with blanks around it where one likes.  An index is a number from
  0 on, or ``*`` for all items, joined by a blank each.
- ``\\{\\{`` gives two literal braces.  Backslashes right before it are halved, as in most
  languages: ``\\\\{\\{`` gives a literal ``\\{\\{``, three of them a backslash and two braces.
- Everything else stays as it is, so single braces need no escape: ``${HOME}``, ``{a,b}``,
  ``awk '{print}'``.  Of three braces the outer one is literal: ``${{{name}}}``.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Union

from pavilion.errors import VariableError

# Backslashes before an escape only count from the first of a row; the look-behind also keeps the
# search linear in a long row of them.
_TOKEN = re.compile(
    r"(?<!\\)(?P<slashes>\\+)\{\\\{"
    r"|(?P<open>\{{2,})(?P<inner>[^{}]*)(?P<close>\}\})?"
)
_UNESCAPED = re.compile(r"(?<!\\)(?:(?P<before>\\*)\{\{|(?P<slashes>\\+)\{\\\{)")
_REFERENCE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(?:\.(?:[A-Za-z0-9_-]+|\*))*")

_ESCAPE_HINT = r"(Two literal braces are written \{\{)."


class Reference(NamedTuple):
    """A reference to a variable: its text without braces and blanks, and the parts of that."""

    text: str
    parts: tuple[str, ...]


class Place(NamedTuple):
    """Where a reference stands, for messages.

    ``where`` is a dotted config key ('run.cmds.2') or '', and ``reference`` the reference's text.
    """

    where: str
    reference: str

    def error(
        self, msg: str, prior: BaseException | None = None, cls: type[VariableError] = VariableError
    ) -> VariableError:
        """An error with this place in front of the message."""
        return cls(
            f"{_prefix(self.where)}{{{{{self.reference}}}}}: {msg}",
            prior_error=prior,
            data={"where": self.where, "reference": self.reference},
        )


# A parsed text: literal pieces and references, in order.
Template = list[Union[str, Reference]]


def is_template(text: str) -> bool:
    """Whether the text holds a reference or an escape, and so is not what it stands for."""
    return "{{" in text or "\\{\\{" in text


def parse_template(text: str, where: str = "") -> Template:
    """Split a text into literal pieces (escapes undone) and references.

    The cost is linear in the length of the text.

    :param where: The dotted config key of the text, for messages.
    :raises VariableError: for braces that are not closed, or hold no reference, and for what
        only Pavilion has.
    """
    if not is_template(text):
        return [text]
    template: Template = []
    literal = ""
    end = 0
    for match in _TOKEN.finditer(text):
        literal += text[end : match.start()]
        end = match.end()
        if match["slashes"]:
            literal += _unescape(len(match["slashes"]))
            continue
        opening = match["open"]
        if len(opening) > 3 or match["close"] is None:
            raise _bad_braces(text, match.start(), len(opening), where)
        literal += opening[2:]
        reference = parse_reference(match["inner"], where)
        template += [literal, reference] if literal else [reference]
        literal = ""
    literal += text[end:]
    if _is_iteration(text):
        raise VariableError(
            f"{_prefix(where)}Pavilion has iterations ('[~ ... ~]'), this host "
            "does not: '{{name.*}}' is all items of a variable, and 'permute_on' "
            "makes a test of each",
            data={"where": where},
        )
    return [*template, literal] if literal else template


def _is_iteration(text: str) -> bool:
    """Whether the text has what Pavilion repeats for each item: '[~ {{name}} ~]'."""
    at = 0
    for mark in ("[~", "{{", "}}", "~", "]"):
        at = text.find(mark, at)
        if at < 0:
            return False
        at += len(mark)
    return True


def parse_reference(text: str, where: str = "") -> Reference:
    """Parse what stands between the braces.

    :raises VariableError: if it is not a reference.
    """
    name = text.strip()
    if _REFERENCE.fullmatch(name) is None:
        raise Place(where, text).error(
            "only a reference to a variable, '[set.]name[.index][.key]', is allowed between "
            "the braces. Pavilion has expressions, this host does not: compute in the shell, with "
            f"'$((...))'. {_ESCAPE_HINT}"
        )
    return Reference(name, tuple(name.split(".")))


def escape(text: str) -> str:
    """The template that resolves to exactly this text.

    Escape a text as a whole: a piece that ends in a brace or a backslash may mean something else
    together with what follows it.
    """
    return _UNESCAPED.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    if match["slashes"]:
        return match["slashes"] * 2 + r"{\{"
    return match["before"] * 2 + r"\{\{"


def _unescape(slashes: int) -> str:
    return "\\" * (slashes // 2) + ("{{" if slashes % 2 else r"{\{")


def _bad_braces(text: str, start: int, count: int, where: str) -> VariableError:
    shown = text[start : start + 40].splitlines()[0]
    shown += "..." if len(shown) < len(text) - start else ""
    line = text.count("\n", 0, start) + 1
    column = start - text.rfind("\n", 0, start)
    what = "has no '}}' right after its reference" if count <= 3 else "follows other braces"
    return VariableError(
        f"{_prefix(where)}the '{{{{' at line {line}, column {column}, {what}: "
        f"{shown!r}. {_ESCAPE_HINT}",
        data={"where": where},
    )


def _prefix(where: str) -> str:
    return f"{where}: " if where else ""
