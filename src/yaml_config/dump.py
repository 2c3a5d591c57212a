"""Write configuration data as YAML with comments, so that it loads to the same data again."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping
from typing import Any

from yaml_config.elements import ConfigElement, kind_of
from yaml_config.errors import ConfigError, within
from yaml_config.structures import AnyElem, CategoryElem, DerivedElem, KeyedElem, ListElem

# The maximum length of lines with comments, and the length that they may have in any case.
_WIDTH = 80
_MIN_WIDTH = 24
_INDENT = "  "
_MARK = "# "

# Text that needs no quotes for any YAML 1.1 or 1.2 reader, apart from numbers and _WORDS.
_PLAIN = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./@%+=~-]*( [A-Za-z0-9_./@%+=~-]+)*")
_WORDS = frozenset(("null", "true", "false", "yes", "no", "on", "off", "y", "n"))
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}


def render(
    elem: ConfigElement,
    values: Any = None,
    *,
    show_comments: bool = True,
    show_choices: bool = True,
) -> str:
    """Return the YAML text for the data of a top-level element.

    The arguments, and the errors raised, are those of `YamlConfigLoaderMixin.dump`.
    """
    writer = _Writer(show_comments, show_choices)
    if isinstance(elem, KeyedElem) and not isinstance(values, (Mapping, type(None))):
        # A host's own class, see the elements' `type`: it may contain more than configuration.
        values = _known_part(elem, values)
    data = elem.settle(values)
    lines: list[str] = []
    if show_comments and elem.help_text:
        lines += [*_comment(elem.help_text, _WIDTH), ""]
    if isinstance(elem, KeyedElem):
        lines += writer.section(elem, data or {}, False, _WIDTH)
    elif data or (data is not None and elem.default is not None):
        inline, block = writer.value(elem, data)
        lines += block or [inline]
    elif elem.default is not None:
        inline, block = writer.value(elem, elem.settle(elem.default))
        lines += block or [inline]
    elif show_comments:
        lines += [_commented(line) for line in writer.template(elem, _WIDTH - len(_MARK))]
    return "".join(f"{line}\n" for line in lines)


def _known_part(elem: ConfigElement, value: Any) -> Any:
    """Return the value without hidden keys, and without keys that sections do not have."""
    if not (isinstance(elem, KeyedElem) and isinstance(value, (Mapping, elem.type))):
        return value
    return {
        name: _known_part(elem.config_elems[name], value[name])
        for name in elem._names(value)
        if not elem.config_elems[name].hidden
    }


def quote(text: str) -> str:
    """Return text as a YAML scalar that is read as this text, in quotes where they are necessary.

    :raises ConfigError: it contains a lone surrogate, which a UTF-8 file cannot contain.
    """
    # Numbers are not quoted: string elements return them as they were written.
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return '"' + "".join(_ESCAPES.get(char) or _escape(char) for char in text) + '"'


def _escape(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    if 0xD800 <= code <= 0xDFFF:
        raise ConfigError(f"text with the lone surrogate {char!r} cannot be written as YAML")
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _scalar_text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else (".inf" if value > 0 else "-.inf")
    if isinstance(value, (int, float)):
        return repr(value)
    return quote(str(value))


def _comment(text: str, width: int) -> list[str]:
    """Return text as comment lines; nothing in the text can end the comment.

    :param width: the maximum length of a line.
    """
    width = max(width, _MIN_WIDTH) - len(_MARK)
    lines: list[str] = []
    for paragraph in text.strip().splitlines():
        printable = "".join(char if char.isprintable() else " " for char in paragraph)
        lines += textwrap.wrap(printable, width) or [""]
    return [_commented(line) for line in lines]


def _commented(line: str) -> str:
    return f"{_MARK}{line}".rstrip()


def _indented(lines: list[str]) -> list[str]:
    return [_INDENT + line if line else line for line in lines]


class _Writer:
    """Turns elements and their data into lines.

    The `width` of its methods is the maximum length of a line with a comment, without the
    indentation of the enclosing sections.
    """

    def __init__(self, show_comments: bool, show_choices: bool) -> None:
        self._comments = show_comments
        self._choices = show_choices

    def section(
        self, elem: KeyedElem, data: Mapping[str, Any], compact: bool, width: int
    ) -> list[str]:
        """Return the lines of a section's keys.

        :param compact: write no comments, and only the keys that have a value.
        """
        lines: list[str] = []
        for name, child in elem.config_elems.items():
            if isinstance(child, DerivedElem) or (child.hidden and not _is_set(child, data, name)):
                continue
            with within(name):
                value = data.get(name)
                if value is None and not compact:
                    value = child.settle(child.default)
                if compact or not self._comments:
                    if value is not None or (isinstance(child, KeyedElem) and not compact):
                        lines += self.member(name, child, value, compact, width)
                    continue
                about = self._about(child, width)
                if lines and about:
                    lines.append("")
                lines += about
                if value is not None or isinstance(child, KeyedElem):
                    lines += self.member(name, child, value, compact, width)
                else:
                    unset = self._unset(name, child, width - len(_MARK))
                    lines += [_commented(line) for line in unset]
        return lines

    def member(
        self, name: str, elem: ConfigElement, value: Any, compact: bool, width: int
    ) -> list[str]:
        """Return the lines of a key and its value.

        :raises ConfigError: the value has no key, or cannot be written.
        """
        if not isinstance(name, str):
            raise ConfigError("a value without a key cannot be written as YAML")
        key = quote(name)
        if isinstance(elem, KeyedElem) and not compact:
            block = self.section(elem, value or {}, compact, width - len(_INDENT))
            if all(line.lstrip().startswith("#") or not line for line in block):
                # Without any value, the key would be read as null and get its default.
                if value is not None and (elem.required or elem.default is not None):
                    return [f"{key}: {{}}"]
                if not self._comments:
                    return []
            return [f"{key}:", *_indented(block)]
        inline, block = self.value(elem, value)
        return [f"{key}:", *_indented(block)] if block else [f"{key}: {inline}"]

    def value(self, elem: ConfigElement, value: Any) -> tuple[str, list[str]]:
        """Return a value as (text for the key's line, block of lines below it). If there is a block,
        the text is not used."""
        if value is None:
            return "null", []
        if isinstance(elem, KeyedElem):
            return "{}", self.section(elem, value, True, 0)
        # The parts of an AnyElem's value are also AnyElems.
        sub_elem = elem._sub_elem if isinstance(elem, (CategoryElem, ListElem)) else elem
        if isinstance(elem, CategoryElem) or (
            isinstance(elem, AnyElem) and isinstance(value, Mapping)
        ):
            block = []
            for name, sub in value.items():
                with within(name or ""):
                    block += self.member(name, sub_elem, sub, True, 0)
            return "{}", block
        if isinstance(elem, ListElem) or (
            isinstance(elem, AnyElem) and isinstance(value, (list, tuple))
        ):
            items = elem.as_list(value) if isinstance(elem, ListElem) else value
            block = []
            for index, item in enumerate(items):
                with within(index):
                    block += self._item(sub_elem, item)
            return "[]", block
        return self._scalar(elem, value), []

    def _scalar(self, elem: ConfigElement, value: Any) -> str:
        if isinstance(value, (list, tuple, Mapping)) and not value:
            # A plugin's default for a string element; its meaning is up to the plugin.
            return "[]" if not isinstance(value, Mapping) else "{}"
        normal = elem.normalize(value)
        if isinstance(normal, (dict, list)):
            raise ConfigError(f"{kind_of(normal)} cannot be written as the value of {elem!r}")
        return _scalar_text(normal)

    def _item(self, elem: ConfigElement, item: Any) -> list[str]:
        inline, block = self.value(elem, item)
        if not block:
            return [f"- {inline}"]
        return [f"- {block[0]}", *_indented(block[1:])]

    def _about(self, elem: ConfigElement, width: int) -> list[str]:
        lines = _comment(elem.help_text, width)
        if elem.choices and self._choices:
            allowed = ", ".join(str(choice) for choice in elem.choices)
            lines += _comment(f"Allowed: {allowed}", width)
        if elem.required and elem.default is None:
            lines += ["# Required."]
        return lines

    def _unset(self, name: str, elem: ConfigElement, width: int) -> list[str]:
        """Return lines that show what a user could write for a key without a value."""
        template = self.template(elem, width - len(_INDENT))
        return [f"{name}:", *_indented(template)] if template else [f"{name}:"]

    def template(self, elem: ConfigElement, width: int) -> list[str]:
        """Return lines that show the shape of a value; no lines for single values."""
        if isinstance(elem, KeyedElem):
            return self.section(elem, {}, False, width)
        if isinstance(elem, CategoryElem):
            return self._unset("<name>", elem._sub_elem, width)
        if isinstance(elem, ListElem):
            block = self.template(elem._sub_elem, width - len(_INDENT))
            return ["-", *_indented(block)] if block else ["-"]
        return []


def _is_set(elem: ConfigElement, data: Mapping[str, Any], name: str) -> bool:
    """Whether the data has a value for the element that differs from its default."""
    value = data.get(name)
    if value is None:
        return False
    try:
        return bool(elem.validate(value, partial=True) != elem.validate(None))
    except ConfigError:
        return True
