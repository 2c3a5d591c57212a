"""The template language of test configs: references to variables, and nothing else.

- ``{{name}}`` is replaced by a variable's value.  Inside the braces there is only a reference,
  ``[set.]name[.index][.key]``, optionally with blanks around it.  An index is a number, starting at
  0, or ``*`` for all items, separated by blanks.
- ``\\{\\{`` stands for two literal braces.  Backslashes right before it are halved, as in most
  languages: ``\\\\{\\{`` stands for a literal ``\\{\\{``, and with three backslashes for a backslash
  and two braces.
- Everything else stays as it is, so single braces need no escape: ``${HOME}``, ``{a,b}``,
  ``awk '{print}'``.  Of three braces, the outer one is literal: ``${{{name}}}``.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Union

from pavilion.errors import VariableError

# A match must start at the first of several backslashes; this look-behind also keeps the search
# linear for a long series of them.
_TOKEN = re.compile(
    r"(?<!\\)(?P<slashes>\\+)\{\\\{"
    r"|(?P<open>\{{2,})(?P<inner>[^{}]*)(?P<close>\}\})?"
)
_UNESCAPED = re.compile(r"(?<!\\)(?:(?P<before>\\*)\{\{|(?P<slashes>\\+)\{\\\{)")
_REFERENCE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(?:\.(?:[A-Za-z0-9_-]+|\*))*")

# The key that has names of variables.
PERMUTE_ON = "permute_on"

_ESCAPE_HINT = r"(Write two literal braces as \{\{)."


class Reference(NamedTuple):
    """A reference to a variable: its text without braces and blanks, and the parts of the text."""

    text: str
    parts: tuple[str, ...]


class Place(NamedTuple):
    """The place of a reference, for messages.

    ``where`` is a dotted config key ('run.cmds.2') or '', and ``reference`` the reference's text.
    """

    where: str
    reference: str

    def error(
        self, msg: str, prior: BaseException | None = None, cls: type[VariableError] = VariableError
    ) -> VariableError:
        """An error with this place in front of the message."""
        # permute_on has names, all other keys have references in braces.
        shown = repr(self.reference) if self.where == PERMUTE_ON else f"{{{{{self.reference}}}}}"
        return cls(
            f"{_prefix(self.where)}{shown}: {msg}",
            prior_error=prior,
            data={"where": self.where, "reference": self.reference},
        )


# A parsed string: literal pieces and references, in order.
Template = list[Union[str, Reference]]


def is_template(text: str) -> bool:
    """Whether the text contains a reference or an escape, and so has to be resolved."""
    return "{{" in text or "\\{\\{" in text


def parse_template(text: str, where: str = "") -> Template:
    """Split text into literal pieces (with escapes resolved) and references.

    The cost is linear in the length of the text.

    :param where: The dotted config key of the text, for messages.
    :raises VariableError: for braces that are not closed, or do not contain a reference, and for
        syntax that only Pavilion has.
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
            "does not: '{{name.*}}' stands for all items of a variable, and 'permute_on' "
            "makes a test for each item",
            data={"where": where},
        )
    return [*template, literal] if literal else template


def _is_iteration(text: str) -> bool:
    """Whether the text contains an iteration, which Pavilion repeats for each item:
    '[~ {{name}} ~]'."""
    at = 0
    for mark in ("[~", "{{", "}}", "~", "]"):
        at = text.find(mark, at)
        if at < 0:
            return False
        at += len(mark)
    return True


def parse_reference(text: str, where: str = "") -> Reference:
    """Parse the text between the braces.

    :param where: The dotted config key of the text, for messages.
    :raises VariableError: if it is not a reference.
    """
    name = text.strip()
    if _REFERENCE.fullmatch(name) is None:
        if where == PERMUTE_ON:
            names = [item for item in re.split(r"[{}\s,]+", name) if item]
            shown = names[0] if len(names) == 1 else f"[{', '.join(names or ['a', 'b'])}]"
            raise Place(where, text).error(
                "names of variables are written without braces here, and several as a list: "
                f"'permute_on: {shown}'"
            )
        raise Place(where, text).error(
            "only a reference to a variable, '[set.]name[.index][.key]', is allowed between "
            "the braces. Pavilion has expressions, this host does not: do calculations in the "
            f"shell, with '$((...))'. {_ESCAPE_HINT}"
        )
    return Reference(name, tuple(name.split(".")))


def escape(text: str) -> str:
    """The template that resolves to exactly this text.

    Escape text as a whole, not in pieces: a piece that ends in a brace or a backslash may have
    another meaning together with what follows it.
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
