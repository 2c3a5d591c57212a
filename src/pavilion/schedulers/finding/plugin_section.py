"""The part of the schedule section that a plugin adds: assembled and checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Optional

import yaml_config as yc
from pavilion.errors import PavilionError, SchedConfigError, SchedulerPluginError

from ..config import ScheduleConfig, validate_config, validate_list

if TYPE_CHECKING:
    from ..scheduler import SchedulerPlugin

# (element or None, validators, defaults)
Section = tuple[Optional[yc.KeyedElem], dict[str, Any], dict[str, Any]]


def plugin_section(plugin: SchedulerPlugin) -> Section:
    """A plugin's own section: (element or None, validators, defaults).

    :raises SchedulerPluginError: When it is not valid; the message names the key.
    """
    try:
        elems, validators, defaults = plugin._get_config_elems()
        if not elems:
            return None, {}, {}
        elems, defaults = list(elems), dict(defaults or {})
        validators = _completed(elems, validators or {})
        section = yc.KeyedElem(
            plugin.name,
            elements=elems,
            help_text=f"Options of the {plugin.name} scheduler only.",
        )
        ScheduleConfig.check_leaves(section)
    except PavilionError as exc:
        raise section_error(plugin, "", exc) from exc
    except (Exception, SystemExit) as exc:
        raise section_error(
            plugin,
            "_get_config_elems() must return (list of yaml_config elements, validators, defaults). ",
            exc,
        ) from exc
    _check_tables(plugin, elems, validators, defaults)
    try:
        validate_config({}, validators, defaults)
    except SchedConfigError as exc:
        raise section_error(plugin, "A default is not valid. ", exc) from exc
    return section, validators, defaults


def _completed(elems: Iterable[yc.ConfigElement], validators: Mapping[str, Any]) -> dict[str, Any]:
    """The validators of a section, with an entry for every key: a plugin may leave out any."""
    found = dict(validators)
    for elem in elems:
        name = str(elem.name)
        if isinstance(elem, yc.KeyedElem):
            given = found.setdefault(name, {})
            if isinstance(given, Mapping):
                found[name] = _completed(elem.config_elems.values(), given)
        else:
            found.setdefault(name, validate_list if isinstance(elem, yc.ListElem) else None)
    return found


def _check_tables(
    plugin: SchedulerPlugin,
    elems: Iterable[yc.ConfigElement],
    validators: Mapping[str, Any],
    defaults: Mapping[str, Any],
    where: str = "",
) -> None:
    """Check that both tables have entries for the keys of the section, and of its sub-sections,
    only."""
    known = {str(elem.name): elem for elem in elems}
    for table, keys in (("validator", validators), ("default", defaults)):
        for key in keys:
            if key not in known:
                raise section_error(
                    plugin,
                    f"There is a {table} for {f'{where}{key}'!r}, which is not one of its keys "
                    f"({', '.join(known)}).",
                )
    for key, elem in known.items():
        if isinstance(elem, yc.KeyedElem):
            inner = elem.config_elems.values()
            validators_of, defaults_of = _table(validators.get(key)), _table(defaults.get(key))
            _check_tables(plugin, inner, validators_of, defaults_of, f"{where}{key}.")


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def section_error(
    plugin: SchedulerPlugin, why: str, exc: BaseException | None = None
) -> SchedulerPluginError:
    """The error that says that a plugin's section cannot be used, and why."""
    return SchedulerPluginError(
        f"The config section of scheduler plugin {plugin.name!r} ({plugin.path}) cannot be used. "
        f"{why}".rstrip(),
        prior_error=exc,
    )
