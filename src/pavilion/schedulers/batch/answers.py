"""What several schedulers' answers have in common: XML, JSON, and sizes of memory."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .words import UnreadableAnswer

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

# Names of jobs may contain what XML may not.
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4, "P": 1024**5}


def read_xml(text: str, root: str) -> Element:
    """The root element of an answer.

    :param root: What it is called.
    :raises UnreadableAnswer: For an answer that is not whole, or is another one.
    """
    # Not imported with every plugin: most have no use for it.
    from xml.etree import ElementTree as ET

    try:
        found = ET.fromstring(_NOT_XML.sub("?", text))
    except ET.ParseError as exc:
        raise UnreadableAnswer(f"it is cut off, or is not XML ({exc})") from exc
    if found.tag != root:
        raise UnreadableAnswer(f"it begins with <{found.tag}> in place of <{root}>")
    return found


def read_json(text: str) -> dict[str, Any]:
    """The object in an answer.  Numbers stay as they are written, as strings: they may be names,
    such as '005' or '1e5'.  Where a key is repeated, objects are joined, and any other value is the
    last.

    :raises UnreadableAnswer: For an answer that is not whole, or is another one.
    """
    import json

    try:
        found = json.loads(
            text,
            strict=False,
            parse_int=str,
            parse_float=str,
            parse_constant=str,
            object_pairs_hook=_joined,
        )
    except (ValueError, RecursionError) as exc:
        raise UnreadableAnswer(f"it is cut off, or is not JSON ({exc})") from exc
    if not isinstance(found, dict):
        raise UnreadableAnswer("it is not a JSON object")
    return found


def _joined(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        before = found.get(key)
        if isinstance(value, dict) and isinstance(before, dict):
            value = {**before, **value}
        found[key] = value
    return found


def read_attributes(text: str, key: str, head: str) -> dict[str, dict[str, str]]:
    """The attributes of several things, in JSON or as text: name -> attribute -> value.  Those of
    objects within objects have names such as 'resources.mem'.

    As text, each begins with a line that names it, then come lines of 'name = value', indented by
    blanks, and a blank line at last.  A long value goes on after a line end and a tab, and one with
    line ends of its own as it is.

    :param key: In JSON, the key of the object that has all of them.  Where it is missing, there are
        none.
    :param head: As text, what a line that names one looks like; its first group is the name.
    :raises UnreadableAnswer: For an answer that is not whole, or is another one.
    """
    if text.lstrip().startswith("{"):
        things = read_json(text).get(key, {})
        if not isinstance(things, dict) or not all(isinstance(it, dict) for it in things.values()):
            raise UnreadableAnswer(f"its {key!r} is not an object of objects")
        return {name: dict(_flat(about)) for name, about in things.items()}
    if not text.endswith("\n\n"):
        raise UnreadableAnswer("it is cut off, or is neither JSON nor a list of attributes")
    found: dict[str, dict[str, str]] = {}
    about, name, begins = {"": ""}, "", True
    # Not splitlines(), for which there are more line ends.
    for line in text.split("\n"):
        named = re.fullmatch(head, line) if begins else None
        attribute = re.fullmatch(r" {2,8}(\S+) = (.*)", line)
        if named:
            about, name = found.setdefault(named[1], {"": ""}), ""
        elif not found:
            raise UnreadableAnswer(f"it begins with {line[:80]!r}")
        elif attribute:
            name, about[attribute[1]] = attribute[1], attribute[2]
        else:
            about[name] += line[1:] if line.startswith("\t") else f"\n{line}"
        begins = not line
    return {thing: {k: v.rstrip("\n") for k, v in each.items()} for thing, each in found.items()}


def _flat(about: dict[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, value in about.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            yield before + name, text


def bytes_of(text: str) -> int:
    """The bytes of a size such as '23.5G', '512mb' or '1024'; 0 for one that is not known."""
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?)\s*([KMGTP]?)i?B?\s*", text, re.IGNORECASE)
    return int(float(found[1]) * _UNITS[found[2].upper()]) if found else 0
