"""The config directory of a real site: it has plugins of Pavilion that are not this host's."""

from __future__ import annotations

import pytest
from cli_tools import Cli

FOREIGN = {
    "command": "from pavilion import commands\nclass C(commands.Command):\n    pass\n",
    "module": "from pavilion import module_wrapper as mw\nclass M(mw.ModuleWrapper):\n    pass\n",
    "result_logger": "from pavilion.result_logging import ResultLogger\n",
    "result": "import pavilion.result_parsers\n",
    "function": "from pavilion.expression_functions import FunctionPlugin\n",
}


@pytest.fixture
def site(cli: Cli) -> Cli:
    for category, code in FOREIGN.items():
        cli.plugin(f"a_{category}", code)
    return cli


def test_no_command_warns_about_plugins_that_are_pavilions_business(site: Cli) -> None:
    site.suite("one: {run: {cmds: ['true']}}")
    for command in (("show", "sched"), ("plan", "suite"), ("run", "suite"), ("status",)):
        done = site(*command)
        assert done.code == 0 and "not used" not in done.err, command


def test_they_are_listed_with_their_category(site: Cli) -> None:
    found = {
        item["category"]: item
        for item in site("show", "plugins", "--json").json["plugins"]
        if item["state"] == "not used"
    }
    assert set(found) == set(FOREIGN)
    assert "this host does not" in found["module"]["reason"]


def test_a_broken_scheduler_plugin_is_still_told(site: Cli) -> None:
    site.plugin("bad", "import pavilion.no_such_module\n")
    site.suite("one: {run: {cmds: ['true']}}")
    done = site("plan", "suite")
    assert "bad.yapsy-plugin is not used" in done.err and "no_such_module" in done.err


def test_system_variables_as_sites_write_them(site: Cli) -> None:
    site.plugin(
        "where",
        """
        import pavilion.sys_vars.base_classes as system_plugins

        class Where(system_plugins.SystemPlugin):
            def __init__(self):
                super().__init__(name="where", description="Where it is.")

            def _get(self):
                return "here"
        """,
    )
    assert site("show", "sched").err == ""
    found = site("show", "plugins", "--json").json["plugins"]
    assert any(item["name"] == "where" and item["state"] == "loaded" for item in found)
