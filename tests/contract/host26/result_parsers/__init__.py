"""Result parsers; see ``result``."""

from .base_classes import ResultParser  # noqa: F401
