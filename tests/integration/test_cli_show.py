"""``pav-sched show``, help texts, ``_run``."""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path

import pytest
from cli_tools import Cli

from pavilion.schedulers import SchedulerVariables


def test_list_of_schedulers(finished: Cli) -> None:
    data = finished("show", "sched", "--json").json["schedulers"]
    raw = next(item for item in data if item["name"] == "raw")
    assert raw["available"] is True
    assert raw["reason"] is None
    assert raw["file"].endswith("raw/plugin.py")
    assert finished("show", "sched").out == finished("show", "sched", "--list").out


def test_scheduler_that_is_not_available(cli: Cli) -> None:
    cli.plugin(
        "away",
        """
        from pavilion.schedulers import Raw

        class Away(Raw):
            def __init__(self):
                super().__init__()
                self.name = "away"

            def _available(self):
                self.unavailable_reason = "The command awaysub was not found."
                return False
        """,
    )
    row = next(row for row in cli("show", "sched").rows if row[0] == "away")
    assert row[1] == "no: The command awaysub was not found."


def test_config_example_can_be_used(cli: Cli) -> None:
    """As it stands below a test, and with a comment taken away."""
    example = cli("show", "sched", "--config", "raw").out
    assert "# " in example
    assert re.search(r"^  raw:$", example, re.MULTILINE)
    example = example.replace("    # concurrent:", "    concurrent: 1")
    cli.suite("test:\n" + textwrap.indent(example, "  ") + "  run: {cmds: ['true']}\n")
    done = cli("run", "suite")
    assert done.code == 0, done.err


def test_config_example_has_no_section_of_others(cli: Cli) -> None:
    cli.plugin(
        "other",
        """
        from pavilion.schedulers import Raw

        class Other(Raw):
            def __init__(self):
                super().__init__()
                self.name = "other"
        """,
    )
    assert "\n  other:" not in cli("show", "sched", "--config", "raw").out
    example = cli("show", "sched", "--config", "other", "--json").json["example"]
    assert "\n  other:" in example
    assert "\n  raw:" not in example


def test_variables(finished: Cli) -> None:
    data = finished("show", "sched", "--vars", "raw", "--json").json["variables"]
    assert {item["name"] for item in data} == set(SchedulerVariables.EXAMPLE)
    nodes = next(item for item in data if item["name"] == "test_nodes")
    assert nodes["deferred"] is True
    assert nodes["example"] == "1"
    assert nodes["help"]
    assert len(finished("show", "sched", "--vars", "raw").rows) == len(data)


@pytest.mark.parametrize("option", ["--config", "--vars"])
def test_unknown_scheduler(finished: Cli, option: str) -> None:
    done = finished("show", "sched", option, "rwa")
    assert done.code == 2
    assert "Did you mean 'raw'?" in done.err


def test_plugins(cli: Cli) -> None:
    broken = cli.plugin("broken", "import no_such_module_anywhere")
    mine = cli.plugin(
        "mine",
        """
        from pavilion.schedulers import Raw

        class Mine(Raw):
            def __init__(self):
                super().__init__()
                self.priority = self.PRIO_USER
        """,
    )
    plugins = {item["file"]: item for item in cli("show", "plugins", "--json").json["plugins"]}
    assert plugins[str(mine)]["state"] == "loaded"
    assert plugins[str(broken)]["state"] == "refused"
    assert "no_such_module_anywhere" in plugins[str(broken)]["reason"]
    overridden = next(item for item in plugins.values() if item["state"] == "overridden")
    assert overridden["name"] == "raw"
    assert "mine.py" in overridden["reason"]
    assert "refused" in [row[0] for row in cli("show", "plugins").rows]


def test_plugins_whose_commands_are_missing(cli: Cli, tmp_path: Path) -> None:
    commands = tmp_path / "commands"
    commands.mkdir()
    # It only has to be there: nothing is run.
    (commands / "flux").write_text("#!/bin/sh\necho called >&2; exec sleep 600\n")
    (commands / "flux").chmod(0o755)
    found = cli("show", "plugins", "--json", env={"PATH": str(commands)}).json["plugins"]
    plugins = {item["name"]: item for item in found}
    assert set(plugins) == {"flux", "gridengine", "pbs", "raw", "slurm"}
    for name, item in plugins.items():
        assert (item["state"], item["origin"]) == ("loaded", "bundled"), name
    missing = {name: item["reason"] for name, item in plugins.items() if item["reason"]}
    assert set(missing) == {"gridengine", "pbs", "slurm"}
    assert missing["pbs"] == (
        "Not available here: PBS's commands were not found in PATH: qsub, qstat, qselect, qdel, "
        "pbsnodes."
    )
    assert [plugins[name]["available"] for name in ("pbs", "flux", "raw")] == [False, None, None]


def test_disabled_plugin(cli: Cli) -> None:
    site = cli.root / "site.yaml"
    site.write_text("disable_plugins: [sched.raw]\n")
    done = cli("show", "plugins", "--config-file", site)
    assert ["disabled", "sched", "raw"] in [row[:3] for row in done.rows]
    cli.suite("test: {run: {cmds: ['true']}}")
    assert cli("run", "suite", "--config-file", site).code == 2


def test_config(cli: Cli) -> None:
    site = cli.root / "site.yaml"
    site.write_text("working_dir: runs\nenv_setup:\n  - module load gcc\n")
    done = cli(
        "show", "config", "--config-file", site, "--config-dir", cli.config, "--json", bare=True
    )
    found = [(item["name"], item["value"], item["source"]) for item in done.json["settings"]]
    assert ("config_file", str(site), "--config-file") in found
    assert ("working_dir", str(cli.root / "runs"), f"{site}:1") in found
    assert ("config_dirs", str(cli.config), "--config-dir") in found
    assert ("config_dirs", str(cli.root), "the directory of the config file") in found
    assert ("env_setup", ["module load gcc"], f"{site}:2") in found
    assert ("disable_plugins", [], "default") in found
    plain = cli("show", "config", "--config-file", site, "--config-dir", cli.config, bare=True)
    assert ["env_setup", "module load gcc", f"{site}:2"] in plain.rows
    from_env = cli("show", "config", bare=True, env={"PAV_CONFIG_FILE": str(site)})
    assert ["config_file", str(site), "$PAV_CONFIG_FILE"] in from_env.rows


def test_suites(finished: Cli) -> None:
    data = finished("show", "suites", "--json").json["suites"]
    assert [suite["name"] for suite in data] == ["suite"]
    assert data[0]["tests"] == [
        {"name": "good", "summary": "Says hello.", "scheduler": "raw"},
        {"name": "bad", "summary": None, "scheduler": "raw"},
    ]
    assert finished("show", "suites").rows[0][:4] == ["suite", "good", "raw", "Says hello."]


def test_suite_with_a_mistake(cli: Cli) -> None:
    cli.suite("test: {rum: 1}", name="broken")
    cli.suite("test: {run: {cmds: ['true']}}", name="whole")
    done = cli("show", "suites")
    assert done.code == 2
    assert "broken.yaml:1" in done.err
    assert ["whole", "test"] in [row[:2] for row in done.rows]


def test_no_suites(cli: Cli) -> None:
    done = cli("show", "suites")
    assert done.code == 0
    assert str(cli.config / "suites") in done.err


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["run"],
        ["status"],
        ["wait"],
        ["cancel"],
        ["log"],
        ["show"],
        ["show", "sched"],
        ["show", "plugins"],
        ["show", "config"],
        ["show", "suites"],
        ["_run"],
    ],
)
def test_help(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Each has an example that starts with the program and the command."""
    from pavilion.cli.main import main

    with pytest.raises(SystemExit) as ended:
        main([*args, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    examples = text.partition("examples:\n")[2]
    assert f"pav-sched {' '.join(args)}".strip() in examples or args == ["_run"]
    assert "_run" in text or args != ["_run"]


def test_internal_command_is_not_listed(capsys: pytest.CaptureFixture[str]) -> None:
    from pavilion.cli.main import main

    with pytest.raises(SystemExit):
        main(["--help"])
    assert "_run" not in capsys.readouterr().out


def test_version(cli: Cli) -> None:
    done = cli("--version", bare=True)
    assert done.code == 0
    assert re.fullmatch(r"pav-sched \d+\.\d+.*\n", done.out)


def test_internal_run(finished: Cli) -> None:
    """It is 'pav _run', and does not run a test a second time."""
    series = finished.work / "series" / "s1" / "pavilion.yaml"
    done = finished("--config-file", series, "_run", "s1.1", bare=True)
    assert done.code == 0
    assert "s1.1 has already ended" in done.out
    assert finished("_run", "s1.1").code == 2
    env = {"PAV_CONFIG_FILE": os.fspath(series)}
    assert finished("_run", "s1.1", bare=True, env=env).code == 0
