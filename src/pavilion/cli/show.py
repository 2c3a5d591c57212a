"""``pav-sched show``: what there is to work with."""

from __future__ import annotations

from . import show_config, show_nodes, show_plugins, show_sched, show_suites
from .base import Command

# The modules of topics.  A new topic is a module with a list COMMANDS, and a place in here.
TOPICS = [show_sched, show_nodes, show_plugins, show_config, show_suites]

COMMANDS = [
    Command(
        name="show",
        summary="show schedulers, nodes, plugins, settings, suites",
        description="Show what there is to work with: schedulers, nodes, plugins, settings,\nsuites.",
        examples=[
            "show sched",
            "show sched --config raw",
            "show plugins",
            "show config",
            "show suites",
        ],
        topics=[command for module in TOPICS for command in module.COMMANDS],
    )
]
