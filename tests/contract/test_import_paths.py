"""The names that a Pavilion core and plugins import (the contract, section 1)."""

from __future__ import annotations

import importlib

import pytest

from pavilion import schedulers
from pavilion.schedulers import scheduler
from pavilion.schedulers.plugins.raw import Raw

PATHS = {
    "pavilion.schedulers": [
        "SchedulerPlugin",
        "SchedulerPluginBasic",
        "SchedulerPluginAdvanced",
        "BasicSchedulerPlugin",
        "AdvancedSchedulerPlugin",
        "KickoffScriptHeader",
        "SchedulerVariables",
        "SchedulerPluginError",
        "SchedulerError",
        "SchedConfigError",
        "NodeInfo",
        "Nodes",
        "NodeList",
        "NodeSet",
        "Slurm",
        "Raw",
        "validate_config",
        "get_plugin",
        "list_plugins",
        "register_core_plugins",
    ],
    "pavilion.schedulers.scheduler": [
        "SchedulerPlugin",
        "KickoffScriptHeader",
        "_SCHEDULER_PLUGINS",
        "__reset",
    ],
    "pavilion.schedulers.basic": ["SchedulerPluginBasic"],
    "pavilion.schedulers.advanced": ["SchedulerPluginAdvanced"],
    "pavilion.schedulers.vars": ["SchedulerVariables"],
    "pavilion.schedulers.config": [
        "ScheduleConfig",
        "CONFIG_VALIDATORS",
        "CONFIG_DEFAULTS",
        "validate_config",
        "calc_node_range",
        "parse_node_range",
        "validate_list",
        "min_int",
        "SchedConfigError",
        "MPIRUN_BIND_OPTS",
        "NODE_SELECT_OPTIONS",
        "NODE_EXTRA_OPTIONS",
        "BACKFILL",
        "DISCARD",
        "UP",
        "AVAILABLE",
        "CONTIGUOUS",
        "RANDOM",
        "DISTRIBUTED",
        "RAND_DIST",
    ],
    "pavilion.schedulers.node_selection": ["contiguous", "random", "rand_dist", "distributed"],
    "pavilion.schedulers.plugins.slurm": ["Slurm"],
    "pavilion.schedulers.plugins.raw": ["Raw"],
    "pavilion.errors": ["SchedulerPluginError", "SchedConfigError", "PavilionError"],
}

# What is still to be written.  Take a line out as soon as its name is there.
NOT_YET: set[tuple[str, str]] = set()

NAMES = [(path, name) for path, names in PATHS.items() for name in names]


def is_there(path: str, name: str) -> bool:
    try:
        return hasattr(importlib.import_module(path), name)
    except ModuleNotFoundError as exc:
        # An import that fails further down is a defect, and no missing name.
        assert exc.name == path
        return False


@pytest.mark.parametrize(("path", "name"), [pair for pair in NAMES if pair not in NOT_YET])
def test_name_can_be_imported(path: str, name: str) -> None:
    assert is_there(path, name)


def test_names_that_have_come_are_no_longer_listed_as_missing() -> None:
    assert set(NAMES) >= NOT_YET
    come = [pair for pair in sorted(NOT_YET) if is_there(*pair)]
    assert come == [], "these are there now: take them out of NOT_YET"


def test_both_spellings_are_the_same_classes() -> None:
    assert schedulers.BasicSchedulerPlugin is schedulers.SchedulerPluginBasic
    assert schedulers.AdvancedSchedulerPlugin is schedulers.SchedulerPluginAdvanced
    assert schedulers.SchedulerError is schedulers.SchedulerPluginError
    assert schedulers.KickoffScriptHeader is scheduler.KickoffScriptHeader


def test_errors_are_those_of_the_host() -> None:
    import pavilion.errors as errors
    from pavilion.schedulers import config

    assert schedulers.SchedulerPluginError is errors.SchedulerPluginError
    assert schedulers.SchedConfigError is errors.SchedConfigError is config.SchedConfigError


def test_constants_have_the_values_that_users_write() -> None:
    from pavilion.schedulers import config

    assert (config.UP, config.AVAILABLE) == ("up", "available")
    assert (config.BACKFILL, config.DISCARD) == ("backfill", "discard")
    assert set(config.NODE_EXTRA_OPTIONS) == {"backfill", "discard"}
    assert (
        set(config.NODE_SELECT_OPTIONS)
        == {
            config.CONTIGUOUS,
            config.RANDOM,
            config.DISTRIBUTED,
            config.RAND_DIST,
        }
        == {"contiguous", "random", "distributed", "rand_dist"}
    )
    assert set(config.MPIRUN_BIND_OPTS) == {
        "slot",
        "hwthread",
        "core",
        "L1cache",
        "L2cache",
        "L3cache",
        "socket",
        "numa",
        "board",
        "node",
    }


def test_everything_in_all_exists() -> None:
    assert [name for name in schedulers.__all__ if not hasattr(schedulers, name)] == []


def test_the_plugin_manager_activates_the_class_that_can_be_imported() -> None:
    try:
        schedulers.SchedulerPlugin.register_core_plugins()
        assert type(schedulers.get_plugin("raw")) is Raw is schedulers.Raw
    finally:
        getattr(scheduler, "__reset")()


def test_reset_deactivates_every_plugin() -> None:
    schedulers.register_core_plugins()
    assert schedulers.list_plugins()
    reset = getattr(scheduler, "__reset")
    reset()
    assert schedulers.list_plugins() == []
    assert scheduler._SCHEDULER_PLUGINS == {}
    assert "raw" not in schedulers.config.CONFIG_VALIDATORS
