"""Read YAML text into plain data that keeps the written text and the places of its parts.

The data is built from parser events, never by PyYAML's constructors: no tag can make an object.
Only the scalars of YAML's core schema are special. Anything else, like `yes`, `1:30`, `1_000`
or a date, is text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NoReturn, Union

import yaml

from yaml_config.errors import ConfigError, Place, YamlError
from yaml_config.source import (
    SourceBool,
    SourceDict,
    SourceFloat,
    SourceInt,
    SourceList,
    copy_tree,
    key_place,
)

ConfigSource = Union[str, Path, IO[str], IO[bytes]]

# Nesting deeper than this is a mistake or an attack; it would exhaust Python's stack.
MAX_DEPTH = 100
# A few lines of nested aliases can stand for billions of values.
MAX_ALIASED_VALUES = 100_000

# libyaml's parser is about ten times as fast; not every PyYAML is built with it.
_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLS = {"true": 1, "True": 1, "TRUE": 1, "false": 0, "False": 0, "FALSE": 0}
_DECIMAL = r"[-+]?[0-9]+"
_OCTAL = r"0o[0-7]+"
_HEX = r"0x[0-9a-fA-F]+"
_FLOAT = r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
_INFINITY = r"[-+]?\.(inf|Inf|INF)"
_NANS = frozenset((".nan", ".NaN", ".NAN"))

_TAG_PREFIX = "tag:yaml.org,2002:"
_MERGE_KEY = "<<"

_QUOTE_HINT = "text that starts with '{' or '[' must be in quotes, like '{{name}} more'"
# As YAML and editors count: a form feed or U+2028 ends no line.
_LINE_END = re.compile(r"\r\n|\r|\n")


def parse_int(text: str) -> int | None:
    """Return the whole number that the text is in YAML's core schema, otherwise None.

    Digits with leading zeros are decimal. None too for numbers too long for Python to convert.
    """
    try:
        if re.fullmatch(_DECIMAL, text):
            return int(text, 10)
        if re.fullmatch(_OCTAL, text):
            return int(text[2:], 8)
        if re.fullmatch(_HEX, text):
            return int(text[2:], 16)
    except ValueError:  # Python limits the number of digits
        return None
    return None


def parse_float(text: str) -> float | None:
    """Return the number that the text is in YAML's core schema, otherwise None."""
    if re.fullmatch(_FLOAT, text):
        return float(text)
    if re.fullmatch(_INFINITY, text):
        return -math.inf if text.startswith("-") else math.inf
    return math.nan if text in _NANS else None


def resolve_scalar(text: str) -> Any:
    """Return what an unquoted scalar means: None, a source-keeping value, or the text itself."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return SourceBool(_BOOLS[text], text)
    as_int = parse_int(text)
    if as_int is not None:
        return SourceInt(as_int, text)
    as_float = parse_float(text)
    return text if as_float is None else SourceFloat(as_float, text)


def read_text(source: ConfigSource) -> tuple[str, str | None]:
    """Read a configuration file.

    :param source: a path (text is a path, not YAML), or an open text or binary file.
    :return: the text, and the file's name where it has one.
    :raises OSError: the file cannot be read; its text names the file.
    :raises ConfigError: the content is not UTF-8.
    """
    content: str | bytes
    name: str | None = str(source) if isinstance(source, (str, Path)) else _name_of(source)
    try:
        content = Path(source).read_bytes() if isinstance(source, (str, Path)) else source.read()
        text = content.decode("utf-8") if isinstance(content, bytes) else content
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        message = f"the file is not UTF-8 text (byte {error.start}: {error.reason})"
        raise ConfigError(message, place=Place(name, line)) from error
    return text[1:] if text.startswith("\ufeff") else text, name


def _name_of(file: object) -> str | None:
    """Return an open file's name; some have none, or a number."""
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else None


def parse_yaml(
    text: str, name: str | None = None, problems: list[ConfigError] | None = None
) -> Any:
    """Return the data of one YAML document; None where the text holds no document.

    Mappings are `SourceDict` with text keys, lists are `SourceList`.

    :param name: the file's name, for messages.
    :param problems: takes the errors about duplicate keys, of which the first counts then.
    :raises YamlError: bad syntax, duplicate keys, unknown tags, several documents, alias bombs.
    """
    try:
        return _TreeBuilder(yaml.parse(text, Loader=_PARSER), name, problems, text).document()
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, name) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"a character that YAML does not allow ({error.reason})"
        raise YamlError(message, place=Place(name, line)) from error
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        message = f"a character that YAML does not allow ({error.reason})"
        raise YamlError(message, place=Place(name, line)) from error
    except yaml.YAMLError as error:
        raise YamlError(str(error), place=Place(name, 1)) from error


def load_yaml(
    source: ConfigSource, problems: list[ConfigError] | None = None
) -> tuple[Any, str | None]:
    """Read and parse a file; return its data and its name. Errors as both steps raise them."""
    text, name = read_text(source)
    return parse_yaml(text, name, problems), name


def _syntax_error(error: yaml.MarkedYAMLError, text: str, name: str | None) -> YamlError:
    """Put PyYAML's error into our form and into plain words."""
    # Few files have mistakes.
    from yaml_config.syntax_help import explain

    mark = error.problem_mark or error.context_mark
    problem, context = error.problem or "", error.context or ""
    if mark is None:
        return YamlError(f"this is not YAML: {problem or error}", place=Place(name, 1))
    lines = _LINE_END.split(text)
    begin = error.context_mark
    line, column, message = explain(
        problem,
        context,
        (mark.line, mark.column),
        (begin.line, begin.column) if begin else None,
        lines,
    )
    found = YamlError(message, place=Place(name, line + 1), column=column + 1)
    _show_line(found, lines)
    return found


def _show_line(error: YamlError, lines: list[str]) -> None:
    """Show the line that an error is about in it."""
    from yaml_config.syntax_help import excerpt

    if error.line is not None and error.column is not None and error.line <= len(lines):
        error.show(excerpt(lines[error.line - 1], error.column - 1))


def _height(value: Any) -> int:
    """Return how many levels of lists and mappings a value has."""
    if isinstance(value, dict):
        return 1 + max(map(_height, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_height, value), default=0)
    return 0


def _count(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(map(_count, value.values()))
    if isinstance(value, list):
        return 1 + sum(map(_count, value))
    return 1


class _OpenAnchor:
    """Stands for an anchor whose value is still being read."""


class _TreeBuilder:
    """Builds the data of one document from the parser's events."""

    def __init__(
        self,
        events: Iterator[Any],
        name: str | None,
        problems: list[ConfigError] | None = None,
        text: str = "",
    ) -> None:
        self._text = text
        self._events = events
        self._name = name
        self._problems = problems
        self._anchors: dict[str, Any] = {}
        self._anchor_lines: dict[str, int] = {}
        self._aliased = 0

    def document(self) -> Any:
        value: Any = None
        seen = False
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if seen:
                    self._fail("a second document starts here; the file must hold one", event)
                seen = True
                value = self._value(next(self._events), 0)
        return value

    def _place(self, event: Any) -> Place:
        return Place(self._name, event.start_mark.line + 1)

    def _value_place(self, value: Any, event: Any) -> Place:
        """Return the place of a key or an item, with that of the text of its value."""
        place = self._place(event)
        line = place.line
        if isinstance(value, yaml.AliasEvent):
            line = self._anchor_lines.get(str(value.anchor), line)
        elif isinstance(value, yaml.ScalarEvent):
            line = self._place(value).line
        return place if line == place.line else place._replace(value_line=line)

    def _error(self, message: str, event: Any) -> YamlError:
        column = event.start_mark.column + 1
        return YamlError(message, place=self._place(event), column=column)

    def _fail(self, message: str, event: Any) -> NoReturn:
        error = self._error(message, event)
        _show_line(error, _LINE_END.split(self._text))
        raise error

    def _value(self, event: Any, depth: int) -> Any:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        if depth >= MAX_DEPTH:
            self._fail(f"nested deeper than {MAX_DEPTH} levels", event)
        anchor: str | None = event.anchor
        if anchor is not None:
            self._anchors[anchor] = _OpenAnchor()
            self._anchor_lines[anchor] = event.start_mark.line + 1
        value: Any
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = self._list(event, depth)
        else:
            value = self._mapping(event, depth)
        if anchor is not None:
            self._anchors[anchor] = value
        return value

    def _alias(self, event: Any, depth: int) -> Any:
        if event.anchor not in self._anchors:
            self._fail(
                f"'*{event.anchor}' refers to an anchor that is not defined before it; "
                "text that starts with '*' must be in quotes",
                event,
            )
        value = self._anchors[event.anchor]
        if isinstance(value, _OpenAnchor):
            self._fail(f"'*{event.anchor}' is inside of what it refers to", event)
        if depth + _height(value) > MAX_DEPTH:
            self._fail(f"nested deeper than {MAX_DEPTH} levels", event)
        self._aliased += _count(value)
        if self._aliased > MAX_ALIASED_VALUES:
            self._fail(f"the aliases stand for more than {MAX_ALIASED_VALUES} values", event)
        return copy_tree(value)

    def _bad_tag(self, event: Any) -> NoReturn:
        tag = event.tag.replace(_TAG_PREFIX, "!!")
        self._fail(
            f"the tag '{tag}' is not allowed here; text that starts with '!' must be in quotes",
            event,
        )

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if event.tag is None:
            # The first flag of `implicit` says that the scalar is plain: not in quotes, no block.
            return resolve_scalar(text) if event.implicit[0] else text
        if event.tag in ("!", _TAG_PREFIX + "str"):
            return text
        value = resolve_scalar(text)
        if event.tag == _TAG_PREFIX + "null" and value is None:
            return None
        if event.tag == _TAG_PREFIX + "bool" and isinstance(value, SourceBool):
            return value
        if event.tag == _TAG_PREFIX + "int" and isinstance(value, SourceInt):
            return value
        number = parse_float(text)
        if event.tag == _TAG_PREFIX + "float" and number is not None:
            return SourceFloat(number, text)
        return self._bad_tag(event)

    def _list(self, start: Any, depth: int) -> SourceList:
        if start.tag not in (None, "!", _TAG_PREFIX + "seq"):
            self._bad_tag(start)
        items = SourceList()
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            place = self._value_place(event, event)
            self._check_item(event)
            items.add(self._value(event, depth + 1), place)
        return items

    def _check_item(self, event: Any) -> None:
        """Refuse an item in several lines, one of which was meant to be the next item.

        To YAML '- a', with '- b' below it and further right, is the one item 'a - b'.
        """
        if not isinstance(event, yaml.ScalarEvent) or not event.implicit[0]:
            return
        start: Any = event.start_mark
        end: Any = event.end_mark
        first, last = start.line, end.line
        if first == last or " - " not in f" {event.value}":
            return
        for number, line in enumerate(_LINE_END.split(self._text)[first + 1 : last + 1], first + 1):
            if line.lstrip().startswith("- "):
                error = YamlError(
                    f"this is a part of the item in line {first + 1}, because it is indented more; "
                    "items of a list must start in the same column. In quotes, that item may have "
                    "such lines",
                    place=Place(self._name, number + 1),
                    column=len(line) - len(line.lstrip()) + 1,
                )
                _show_line(error, _LINE_END.split(self._text))
                raise error

    def _mapping(self, start: Any, depth: int) -> SourceDict:
        if start.tag not in (None, "!", _TAG_PREFIX + "map"):
            self._bad_tag(start)
        mapping = SourceDict()
        inherited: SourceDict | None = None
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            key = self._key(event)
            if key == _MERGE_KEY and event.implicit[0]:
                if inherited is not None:
                    self._fail("the merge key '<<' is given twice; give it a list", event)
                inherited = self._merged(self._value(next(self._events), depth + 1), event)
                continue
            if key in mapping:
                first = mapping.places[key].line
                again = self._place(event).line
                error = self._error(
                    f"the key '{key}' is given twice, in lines {first} and {again}", event
                )
                if self._problems is None:
                    raise error
                self._problems.append(error)
                self._value(next(self._events), depth + 1)
                continue
            value = next(self._events)
            place = self._value_place(value, event)
            mapping.put(key, self._value(value, depth + 1), place)
        for key, value in (inherited or {}).items():
            if key not in mapping:
                mapping.put(key, value, key_place(inherited, key))
        return mapping

    def _key(self, event: Any) -> str:
        if isinstance(event, yaml.AliasEvent):
            self._fail("an alias cannot be a key", event)
        if not isinstance(event, yaml.ScalarEvent):
            kind = "list" if isinstance(event, yaml.SequenceStartEvent) else "mapping"
            self._fail(f"a {kind} cannot be a key; {_QUOTE_HINT}", event)
        if event.tag not in (None, "!", _TAG_PREFIX + "str"):
            self._bad_tag(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = self._scalar(event)
        text: str = event.value
        if not text:
            self._fail("a key is empty", event)
        if event.implicit[0] and text != text.strip():
            # YAML itself strips blanks.
            strange = next(char for char in text if char.isspace())
            self._fail(
                f"a character that looks like a blank and is not one (U+{ord(strange):04X}) is "
                "before or after a key; replace it with a blank",
                event,
            )
        return text

    def _merged(self, value: Any, event: Any) -> SourceDict:
        """Return the keys that '<<' brings in; of a list, the earlier mappings win."""
        sources = value if isinstance(value, list) else [value]
        merged = SourceDict()
        for source in sources:
            if not isinstance(source, SourceDict):
                self._fail("the merge key '<<' takes a mapping or a list of mappings", event)
            for key, sub in source.items():
                if key not in merged:
                    merged.put(key, sub, key_place(source, key))
        return merged
