"""The bundled scheduler plugins, each with its ``.yapsy-plugin`` file."""

from __future__ import annotations

from pathlib import Path

from pavilion.errors import PavilionError, SchedulerPluginError

from ..discovery import LoadedPlugin, PluginFinder, RefusedPlugin

FOLDER = Path(__file__).parent


def find_core_plugins() -> PluginFinder:
    """Find and make the bundled plugins.

    A module that was put beside ours is one of them, and is imported as part of this package.
    """
    from ..scheduler import SchedulerPlugin
    return PluginFinder([FOLDER], {"sched": SchedulerPlugin}, packages={FOLDER: __name__}).find()


def activate_plugins(finder: PluginFinder) -> list[LoadedPlugin]:
    """Activate what was found; what cannot be is moved to ``finder.refused``.

    :returns: The plugins that are active or would be, had not one of higher priority their
        name.
    """
    active: list[LoadedPlugin] = []
    for found in finder.loaded:
        try:
            found.plugin.activate()
        except (PavilionError, ValueError) as exc:
            reason = exc.pformat() if isinstance(exc, PavilionError) else str(exc)
            finder.refuse(found.file, reason, exc)
        except (Exception, SystemExit) as exc:
            finder.refuse(found.file, f"Its activate() failed: {type(exc).__name__}: {exc}", exc)
        else:
            active.append(found)
    return active


def register_core_plugins() -> list[RefusedPlugin]:
    """Find and activate the bundled plugins.

    :returns: Those that could not be used, and why: one that a site put beside ours, say.
    :raises SchedulerPluginError: When none could.
    """
    finder = find_core_plugins()
    if not activate_plugins(finder):
        reasons = "\n".join(f"{refused.file}: {refused.reason}" for refused in finder.refused)
        raise SchedulerPluginError(f"No bundled scheduler plugin in {FOLDER} could be loaded. "
                                   f"{reasons}")
    return finder.refused
