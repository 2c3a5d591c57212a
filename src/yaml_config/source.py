"""Values that remember how, and where, they were written.

`load_raw` returns them. In comparisons and computations they behave like plain values. The elements
use the written text (`007` for a string, 7 for a number) and the places (for error messages).
`validate` returns only plain values.
"""

from __future__ import annotations

from typing import Any

from yaml_config.errors import Place


class SourceInt(int):
    """A whole number and its text."""

    source: str

    def __new__(cls, value: int, source: str | None = None) -> SourceInt:
        """Keep the text from the file; without it, the text that Python writes for the value."""
        self = super().__new__(cls, value)
        self.source = str(value) if source is None else source
        return self


class SourceFloat(float):
    """A number with a fraction and its text."""

    source: str

    def __new__(cls, value: float, source: str | None = None) -> SourceFloat:
        """Keep the text from the file; without it, the text that Python writes for the value."""
        self = super().__new__(cls, value)
        self.source = str(value) if source is None else source
        return self


class SourceBool(int):
    """True or false and its text. It is an int (1 or 0), because bool cannot be subclassed."""

    source: str

    def __new__(cls, value: int, source: str | None = None) -> SourceBool:
        """Keep the text from the file; without it, the text that Python writes for the value."""
        self = super().__new__(cls, bool(value))
        self.source = str(bool(value)) if source is None else source
        return self

    def __repr__(self) -> str:
        return repr(bool(self))


class SourceDict(dict[str, Any]):
    """A mapping that knows where its keys were written.

    :ivar places: key -> `Place`, for the keys that came from a file.
    :ivar is_normalized: whether it was returned by `normalize`; see `KeyedElem.merge`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.places: dict[str, Place] = {}
        self.is_normalized = False

    def put(self, key: str, value: Any, place: Place | None) -> None:
        """Set a key and its place."""
        self[key] = value
        if place is None:
            self.places.pop(key, None)
        else:
            self.places[key] = place


class SourceList(list[Any]):
    """A list that knows where its items were written.

    :ivar places: one entry per item that was read; items that were added later may have none.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.places: list[Place | None] = [None] * len(self)

    def add(self, value: Any, place: Place | None) -> None:
        """Append an item with its place."""
        # Items may have been added without places by list methods.
        self.places += [None] * (len(self) - len(self.places))
        self.append(value)
        self.places.append(place)


def key_place(container: object, key: str) -> Place | None:
    """Return where a mapping's key was written; None if that is not known."""
    return container.places.get(key) if isinstance(container, SourceDict) else None


def item_place(container: object, index: int) -> Place | None:
    """Return where a list's item was written; None if that is not known."""
    if isinstance(container, SourceList) and index < len(container.places):
        return container.places[index]
    return None


def copy_tree(value: Any) -> Any:
    """Return a copy that shares no list or mapping with `value`, but has the same places."""
    if isinstance(value, dict):
        mapping = SourceDict()
        for key, sub in value.items():
            mapping.put(key, copy_tree(sub), key_place(value, key))
        return mapping
    if isinstance(value, list):
        items = SourceList()
        for index, sub in enumerate(value):
            items.add(copy_tree(sub), item_place(value, index))
        return items
    return value


def plain(value: Any) -> Any:
    """Return the value with every part that remembers its source replaced by a plain value."""
    if isinstance(value, dict):
        return {key: plain(sub) for key, sub in value.items()}
    if isinstance(value, list):
        return [plain(sub) for sub in value]
    if isinstance(value, SourceBool):
        return bool(value)
    if isinstance(value, SourceInt):
        return int(value)
    if isinstance(value, SourceFloat):
        return float(value)
    return value
