"""The part of the schedule section that a plugin adds: assembled and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

import yaml_config as yc
from pavilion.errors import PavilionError, SchedConfigError, SchedulerPluginError

from ..config import ScheduleConfig, validate_config

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
        validators, defaults = dict(validators or {}), dict(defaults or {})
        section = yc.KeyedElem(
            plugin.name,
            elements=list(elems),
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
    _check_tables(plugin, [str(elem.name) for elem in elems], validators, defaults)
    try:
        validate_config({}, validators, defaults)
    except SchedConfigError as exc:
        raise section_error(plugin, "A default is not valid. ", exc) from exc
    return section, validators, defaults


def _check_tables(
    plugin: SchedulerPlugin, names: list[str], validators: dict[str, Any], defaults: dict[str, Any]
) -> None:
    """Check that both tables have entries for the section's keys only, and that every key has a
    validator."""
    for name in names:
        if name not in validators:
            raise section_error(
                plugin,
                f"There is no validator for its key {name!r}; use None to accept values as they "
                "are.",
            )
    for table, keys in (("validator", validators), ("default", defaults)):
        for key in keys:
            if key not in names:
                raise section_error(
                    plugin,
                    f"There is a {table} for {key!r}, which is not one of "
                    f"its keys ({', '.join(names)}).",
                )


def section_error(
    plugin: SchedulerPlugin, why: str, exc: BaseException | None = None
) -> SchedulerPluginError:
    """The error that says that a plugin's section cannot be used, and why."""
    return SchedulerPluginError(
        f"The config section of scheduler plugin {plugin.name!r} ({plugin.path}) cannot be used. "
        f"{why}".rstrip(),
        prior_error=exc,
    )
