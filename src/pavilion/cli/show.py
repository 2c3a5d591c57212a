"""``pav-sched show``: what is available."""

from __future__ import annotations

from . import show_config, show_nodes, show_plugins, show_sched, show_series, show_suites
from .base import Command

# The modules of topics.  A new topic is a module with a list COMMANDS, and a place in here.
TOPICS = [show_sched, show_nodes, show_plugins, show_config, show_suites, show_series]

COMMANDS = [
    Command(
        name="show",
        summary="show schedulers, nodes, plugins, settings, suites, series",
        description=(
            "Show what is available: schedulers, nodes, plugins, settings,\nsuites, series."
        ),
        examples=[
            "show sched",
            "show sched --config raw",
            "show plugins",
            "show config",
            "show suites",
            "show series",
        ],
        topics=[command for module in TOPICS for command in module.COMMANDS],
    )
]
