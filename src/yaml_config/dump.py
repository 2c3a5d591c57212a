"""Write configuration data as YAML with comments, so that it loads to the same data again."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping
from typing import Any

from yaml_config.elements import ConfigElement, DerivedElem, kind_of
from yaml_config.errors import ConfigError, within
from yaml_config.lists import ListElem
from yaml_config.structures import CategoryElem, KeyedElem

_COMMENT_WIDTH = 78
_INDENT = "  "

# Text that needs no quotes, in any YAML 1.1 or 1.2 reader, as far as this package has them.
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
    """Return the YAML text for the data of a top-level element; see `loader.dump`."""
    writer = _Writer(show_comments, show_choices)
    data = elem.settle(values)
    lines: list[str] = []
    if show_comments and elem.help_text:
        lines += [*_comment(elem.help_text), ""]
    if isinstance(elem, KeyedElem):
        lines += writer.section(elem, data or {}, compact=False)
    elif data or (data is not None and elem.default is not None):
        inline, block = writer.value(elem, data)
        lines += block or [inline]
    elif elem.default is not None:
        inline, block = writer.value(elem, elem.settle(elem.default))
        lines += block or [inline]
    elif show_comments:
        lines += [_commented(line) for line in writer.template(elem)]
    return "".join(f"{line}\n" for line in lines)


def quote(text: str) -> str:
    """Return text as a YAML scalar that reads as this text, in quotes where it needs them.

    :raises ConfigError: it has a lone surrogate, which no UTF-8 file can hold.
    """
    # Numbers stay unquoted: text elements give them back as they were written.
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


def _comment(text: str) -> list[str]:
    """Return text as comment lines; nothing in it can end the comment."""
    lines: list[str] = []
    for paragraph in text.strip().splitlines():
        printable = "".join(char if char.isprintable() else " " for char in paragraph)
        lines += textwrap.wrap(printable, _COMMENT_WIDTH) or [""]
    return [f"# {line}".rstrip() for line in lines]


def _commented(line: str) -> str:
    return f"# {line}".rstrip()


def _indented(lines: list[str]) -> list[str]:
    return [_INDENT + line if line else line for line in lines]


class _Writer:
    """Turns elements and their data into lines."""

    def __init__(self, show_comments: bool, show_choices: bool) -> None:
        self._comments = show_comments
        self._choices = show_choices

    def section(self, elem: KeyedElem, data: Mapping[str, Any], compact: bool) -> list[str]:
        """Return the lines of a section's keys.

        :param compact: write no comments and only the keys that have a value.
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
                        lines += self.member(name, child, value, compact)
                    continue
                about = self._about(child)
                if lines and about:
                    lines.append("")
                lines += about
                if value is not None or isinstance(child, KeyedElem):
                    lines += self.member(name, child, value, compact)
                else:
                    lines += [_commented(line) for line in self._unset(name, child)]
        return lines

    def member(self, name: str, elem: ConfigElement, value: Any, compact: bool) -> list[str]:
        """Return the lines of a key and its value."""
        key = quote(name)
        if isinstance(elem, KeyedElem) and not compact:
            block = self.section(elem, value or {}, compact)
            if all(line.lstrip().startswith("#") or not line for line in block):
                # No value below the key reads as null. That must not bring in a default.
                if value is not None and (elem.required or elem.default is not None):
                    return [f"{key}: {{}}"]
                if not self._comments:
                    return []
            return [f"{key}:", *_indented(block)]
        inline, block = self.value(elem, value)
        return [f"{key}:", *_indented(block)] if block else [f"{key}: {inline}"]

    def value(self, elem: ConfigElement, value: Any) -> tuple[str, list[str]]:
        """Return a value as text for the key's line, or as a block of lines below it."""
        if value is None:
            return "null", []
        if isinstance(elem, KeyedElem):
            return "{}", self.section(elem, value, compact=True)
        if isinstance(elem, CategoryElem):
            block = []
            for name, sub in value.items():
                with within(name):
                    block += self.member(name, elem._sub_elem, sub, compact=True)
            return "{}", block
        if isinstance(elem, ListElem):
            block = []
            for index, item in enumerate(elem.as_list(value)):
                with within(index):
                    block += self._item(elem._sub_elem, item)
            return "[]", block
        return self._scalar(elem, value), []

    def _scalar(self, elem: ConfigElement, value: Any) -> str:
        normal = elem.normalize(value)
        if isinstance(normal, (dict, list)):
            raise ConfigError(f"{kind_of(normal)} cannot be written for {elem!r}")
        return _scalar_text(normal)

    def _item(self, elem: ConfigElement, item: Any) -> list[str]:
        inline, block = self.value(elem, item)
        if not block:
            return [f"- {inline}"]
        return [f"- {block[0]}", *_indented(block[1:])]

    def _about(self, elem: ConfigElement) -> list[str]:
        lines = _comment(elem.help_text)
        if elem.choices and self._choices:
            lines += _comment("Allowed: " + ", ".join(str(choice) for choice in elem.choices))
        if elem.required and elem.default is None:
            lines += ["# Required."]
        return lines

    def _unset(self, name: str, elem: ConfigElement) -> list[str]:
        """Return what a user could write for a key without a value."""
        template = self.template(elem)
        return [f"{name}:", *_indented(template)] if template else [f"{name}:"]

    def template(self, elem: ConfigElement) -> list[str]:
        """Return the shape of a value, as an example; nothing for single values."""
        if isinstance(elem, KeyedElem):
            return self.section(elem, {}, compact=False)
        if isinstance(elem, CategoryElem):
            return self._unset("<name>", elem._sub_elem)
        if isinstance(elem, ListElem):
            block = self.template(elem._sub_elem)
            return ["-", *_indented(block)] if block else ["-"]
        return []


def _is_set(elem: ConfigElement, data: Mapping[str, Any], name: str) -> bool:
    """Tell whether the data holds something else than the element's default."""
    value = data.get(name)
    if value is None:
        return False
    try:
        return bool(elem.validate(value, partial=True) != elem.validate(None))
    except ConfigError:
        return True
