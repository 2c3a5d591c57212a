"""Ids.  None of them is a string."""

from __future__ import annotations

import re


class _ID:
    def __init__(self, id_str):
        if not self.is_valid_id(id_str):
            raise ValueError(f"Invalid string {id_str} for type {type(self).__name__}.")
        self.id_str = id_str

    def __str__(self):
        return self.id_str

    def __repr__(self):
        return f"{type(self).__name__}({self.id_str})"

    def __eq__(self, other):
        return hasattr(other, "id_str") and self.id_str.lower() == other.id_str.lower()

    def __hash__(self):
        return hash(self.id_str)


class SeriesID(_ID):
    """The id of a series, 's1'."""

    @classmethod
    def is_valid_id(cls, id_str):
        return re.fullmatch("s0*[1-9][0-9]*", id_str) is not None


class TestID(_ID):
    """The id of a test run: of a series, 's1.2', or one that stands alone."""

    __test__ = False

    @classmethod
    def is_valid_id(cls, id_str):
        return re.fullmatch(r"[0-9a-f]{32}|[0-9]+|s0*[1-9][0-9]*\.[0-9]+", id_str) is not None

    def __init__(self, id_str):
        super().__init__(id_str)
        series, _, number = id_str.partition(".")
        self.series = SeriesID(series) if number else None
