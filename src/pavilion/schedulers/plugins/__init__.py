"""The bundled scheduler plugins, each with its ``.yapsy-plugin`` file; and how they, and those
that were installed with pip, are found and activated."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from pavilion.errors import PavilionError, SchedulerPluginError

from ..finding.discovery import LoadedPlugin, PluginFinder, RefusedPlugin
from ..finding.installed import InstalledPluginFinder
from ..finding.trusted_code import TrustedCode

FOLDER = Path(__file__).parent
# Where 'pav-sched link' keeps the built-in schedulers of a checkout that are not bundled here.  The
# location as imported, not resolved: beside the link, not beside what it leads to.
KEPT = FOLDER.parent.with_name(f".{FOLDER.parent.name}.pavilion-schedulers.kept")
if KEPT.is_dir():
    # They import what they need as they did before: '..advanced', '...errors'.
    __path__.append(os.fspath(KEPT))


def find_core_plugins() -> PluginFinder:
    """Find and make the bundled plugins, and those that were kept of a checkout's own.

    A module that was put beside ours is one of them, and is imported as part of this package.  A
    bundled plugin takes precedence over a kept one of the same name.
    """
    from ..scheduler import SchedulerPlugin

    finder = PluginFinder(
        [FOLDER, KEPT],
        {"sched": SchedulerPlugin},
        packages={FOLDER: __name__, KEPT: __name__},
        origin=lambda file: "bundled" if file.parent != KEPT else "kept from Pavilion",
    ).find()
    kept = [found for found in finder.loaded if found.file.parent == KEPT]
    bundled = {found.plugin.name for found in finder.loaded if found not in kept}
    finder.loaded = [
        found for found in finder.loaded if found not in kept or found.plugin.name not in bundled
    ]
    return finder


def find_installed_plugins(
    categories: Mapping[str, type] | None = None,
    roots: Iterable[Path] = (),
    group: str | None = None,
) -> PluginFinder:
    """Find and make the plugins of packages that were installed with pip.  Never raises.

    The parameters are those of :func:`installed_finder`.
    """
    return installed_finder(categories, roots, group).find()


def installed_finder(
    categories: Mapping[str, type] | None = None,
    roots: Iterable[Path] = (),
    group: str | None = None,
) -> InstalledPluginFinder:
    """What finds the plugins of packages that were installed with pip.

    Their code must be as safe from others as that of config directories.  Whoever may change the
    Python or the Pavilion that is running is trusted, too.

    :param categories: Category name -> the base class of its plugins; by default schedulers only.
    :param roots: The config directories, whose owners are trusted.
    :param group: The name of a group whose members are trusted.
    """
    from ..scheduler import SchedulerPlugin

    # The last two are the host and this directory, which may be a link to elsewhere.
    running = [Path(sys.prefix), Path(sys.base_prefix), Path(os.__file__).parent]
    running += [FOLDER.parents[1], FOLDER]
    trusted = TrustedCode(roots, group, running)
    return InstalledPluginFinder(categories or {"sched": SchedulerPlugin}, trusted.problem)


def activate_plugins(finder: PluginFinder) -> list[LoadedPlugin]:
    """Activate what was found; what cannot be is moved to ``finder.refused``.

    :returns: The active plugins, and those that are inactive only because a plugin of the same
        name has a higher priority.
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
    """Find and activate the bundled plugins, and those that were installed with pip.

    :returns: Those that could not be used, and why: one that a site put beside ours, say.
    :raises SchedulerPluginError: When none of the bundled ones could.
    """
    finder = find_core_plugins()
    if not activate_plugins(finder):
        reasons = "\n".join(f"{refused.file}: {refused.reason}" for refused in finder.refused)
        raise SchedulerPluginError(
            f"No bundled scheduler plugin in {FOLDER} could be loaded. {reasons}"
        )
    installed = find_installed_plugins()
    activate_plugins(installed)
    return finder.refused + installed.refused
