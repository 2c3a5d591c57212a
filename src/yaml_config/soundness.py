"""Find all problems of a value at once, where `normalize` only raises the first."""

from __future__ import annotations

from typing import Any

from yaml_config.elements import ConfigElement
from yaml_config.errors import ConfigError, PathPart, Place, UnknownKeyError
from yaml_config.source import SourceDict, SourceList, item_place, key_place
from yaml_config.structures import ListElem, _MappingElem


def sound_part(elem: ConfigElement, value: Any, problems: list[ConfigError]) -> Any:
    """Return the valid part of a value, as `normalize` returns it.

    :param problems: an error is added to this list for each part that is left out; its path is that
        of the key or item. Keys with '+' are also checked.
    :raises ConfigError: no part of the value is valid.
    """
    return elem.normalize(_sifted(elem, value, problems))


def _sifted(elem: ConfigElement, value: Any, problems: list[ConfigError]) -> Any:
    if isinstance(elem, _MappingElem) and isinstance(value, dict):
        return _sifted_mapping(elem, value, problems)
    # A subclass with its own normalize() may accept values that are not lists.
    if type(elem).normalize is ListElem.normalize and isinstance(value, list):
        return _sifted_list(elem, value, problems)
    elem.normalize(value)
    return value


def _sifted_mapping(
    elem: _MappingElem, value: dict[str, Any], problems: list[ConfigError]
) -> SourceDict:
    kept = SourceDict()
    for key, sub in value.items():
        place = key_place(value, key)
        try:
            entry = elem._entry(value, key)
            child = elem.child(entry.name)
        except ConfigError as error:
            problems.append(error)
            continue
        found: list[ConfigError] = []
        try:
            if entry.extends and not isinstance(child, ListElem):
                raise UnknownKeyError(
                    f"a '+' at the end of a key extends a list, but '{entry.name}' is "
                    f"{child.describe()}",
                    place=place,
                )
            kept.put(key, None if sub is None else _sifted(child, sub, found), place)
        except ValueError as error:
            found.append(_as_config_error(error))
        _enclose(found, key, place, problems)
    return kept


def _sifted_list(elem: Any, value: list[Any], problems: list[ConfigError]) -> SourceList:
    kept = SourceList()
    for index, item in enumerate(elem.as_list(value)):
        place = item_place(value, index)
        found: list[ConfigError] = []
        try:
            kept.add(None if item is None else _sifted(elem._sub_elem, item, found), place)
        except ValueError as error:
            found.append(_as_config_error(error))
        _enclose(found, index, place, problems)
    return kept


def _as_config_error(error: ValueError) -> ConfigError:
    if isinstance(error, ConfigError):
        return error
    return ConfigError(str(error) or type(error).__name__)


def _enclose(
    found: list[ConfigError], part: PathPart, place: Place | None, problems: list[ConfigError]
) -> None:
    """Add a key or index to errors about a value, and the value's place if they have none yet."""
    for error in found:
        error.enclose(part, place.of_value if place else None)
    problems += found
