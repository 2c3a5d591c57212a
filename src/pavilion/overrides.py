"""What is set on the command line (``-c``), whatever suites say."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import yaml_config as yc
from pavilion.errors import ConfigError, quoted
from pavilion.pavilion_keys import explained
from pavilion.problems import OVERRIDE
from pavilion.suite_file import MOVED, SuiteLoader, TestElem
from yaml_config.errors import Place
from yaml_config.source import SourceDict, SourceList


def parse_overrides(overrides: Sequence[str], elem: TestElem) -> list[Any]:
    """Strings such as 'schedule.nodes=4' as nested configs.

    They are merged one by one: a 'run.cmds+' must meet the list that it adds to.
    """
    changes: list[Any] = []
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(
                f"{quoted(text)} is not an override. It should look like 'schedule.nodes=4'."
            )
        name = key.strip()
        name = MOVED.get(name, name)
        if name.rstrip("+") == "inherits_from":
            raise ConfigError(
                f"The override {quoted(text)} cannot be used: what a test inherits from can "
                "only be set in its suite. Set the keys that should differ."
            )
        try:
            elem.find(name.rstrip("+"))
            nested: Any = None
            if value.strip().startswith("#"):
                # Not a comment: a shebang.
                nested = value.strip()
            elif value.strip():
                nested = SuiteLoader().load_raw(io.StringIO(value))
            for part in reversed(name.split(".")):
                nested = {part: nested}
            changes.append(_placed(elem.normalize(nested), OVERRIDE + quoted(text)))
        except ValueError as exc:
            error = explained(exc, elem, in_suite=False) if isinstance(exc, yc.ConfigError) else exc
            raise ConfigError(
                f"The override {quoted(text)} cannot be used", prior_error=error
            ) from exc
    return changes


def _placed(value: Any, source: str) -> Any:
    """The value with this in place of a file and its lines."""
    if isinstance(value, dict):
        result = SourceDict()
        for key, sub in value.items():
            result.put(key, _placed(sub, source), Place(source, 0))
        return result
    if isinstance(value, list):
        items = SourceList()
        for item in value:
            items.add(_placed(item, source), Place(source, 0))
        return items
    return value
