"""What several schedulers' answers have in common: XML, and sizes of memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

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


def bytes_of(text: str) -> int:
    """The bytes of a size such as '23.5G', '512mb' or '1024'; 0 for one that is not known."""
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?)\s*([KMGTP]?)i?B?\s*", text, re.IGNORECASE)
    return int(float(found[1]) * _UNITS[found[2].upper()]) if found else 0
