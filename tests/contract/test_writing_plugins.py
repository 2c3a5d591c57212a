"""The guide for plugin authors says what is true: its code is run, its excerpts are compared."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pavilion import schedulers
from pavilion.cli.main import main
from pavilion.plugins import reset_plugins
from pavilion.schedulers import (
    Failure,
    SchedulerPlugin,
    SchedulerPluginAdvanced,
    SchedulerPluginBasic,
    SchedulerPluginBatch,
    UnreadableAnswer,
)
from pavilion.status_file import STATES

ROOT = Path(__file__).resolve().parent.parent.parent
GUIDE = ROOT / "docs" / "writing-plugins.md"
TEXT = GUIDE.read_text()
EXAMPLE = ROOT / "examples" / "plugins" / "minibatch.py"
_BLOCK = re.compile(
    r"(?:<!-- from (?P<file>\S+) -->\n)?```(?P<kind>\w*)\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
BLOCKS = [(match["kind"], match["file"], match["code"]) for match in _BLOCK.finditer(TEXT)]
WHOLE = [code for kind, file, code in BLOCKS if kind == "python" and file is None]
EXCERPTS = [(file, code) for _, file, code in BLOCKS if file is not None]
STUB = WHOLE[0]
INI = next(code for kind, _, code in BLOCKS if kind == "ini")
SUITE = next(code for kind, _, code in BLOCKS if kind == "yaml")
CHECK = next(code for code in WHOLE if "def check(" in code)
# What the chapter on schedulers with commands adds to the stub, one after the other.
_CHAPTER = TEXT[: TEXT.index("\n## A scheduler without commands")]
STEPS = [match["code"] for match in _BLOCK.finditer(_CHAPTER) if match["file"]]
# Those without which nothing is submitted.
REQUIRED = next(number for number, step in enumerate(STEPS) if "FAILURES" in step)
# The guide refers to this function.
_STATES = re.search(
    r"^NODE_STATES.*?(?=^def node_count)", EXAMPLE.read_text(), re.DOTALL | re.MULTILINE
)
assert _STATES is not None
NODE_STATES = _STATES[0]


@pytest.fixture(autouse=True)
def _no_plugins_left() -> Iterator[None]:
    yield
    reset_plugins()


def test_the_guide_has_what_these_tests_look_for() -> None:
    assert len(WHOLE) >= 5
    assert len(EXCERPTS) >= 10
    assert len(STEPS) >= 9
    assert REQUIRED == 6


@pytest.mark.parametrize(
    ("file", "code"), EXCERPTS, ids=[code.split("\n")[0].strip()[:40] for _, code in EXCERPTS]
)
def test_excerpts_are_in_the_file_they_are_from(file: str, code: str) -> None:
    assert code in (ROOT / file).read_text()


@pytest.mark.parametrize("code", WHOLE, ids=[str(number) for number in range(len(WHOLE))])
def test_code_that_is_whole_runs(code: str) -> None:
    exec(compile(code, str(GUIDE), "exec"), {"__name__": "guide"})


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert (GUIDE.parent / target).exists(), target


def test_links_to_sections_lead_to_one() -> None:
    titles = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}
    for target in re.findall(r"\]\(#([^)]+)\)", TEXT):
        assert target in anchors, target


def test_what_the_guide_names_is_there() -> None:
    helpers = {"node_states", "site_classes", "request", "get_vars", "from_key", "_kickoff_lines"}
    bases = (SchedulerPluginBatch, SchedulerPluginBasic)
    for name in (
        *re.findall(r"`(_?[a-z]+(?:_[a-z]+)+)\(", TEXT),
        *re.findall(r"`([A-Z]+_[A-Z_]+[A-Z])`", TEXT),
    ):
        known = any(hasattr(base, name) for base in bases) or hasattr(schedulers, name)
        known = known or hasattr(Failure, name) or hasattr(STATES, name)
        assert known or name in helpers, name


# -------------------------------------------------------------------- from the stub to a plugin


def make_site(folder: Path, code: str, name: str = "mysched") -> Path:
    """The directory that the guide says to make."""
    for sub in ("plugins", "suites"):
        (folder / sub).mkdir(parents=True)
    (folder / "plugins" / f"{name}.py").write_text(code)
    (folder / "plugins" / f"{name}.yapsy-plugin").write_text(INI.replace("mysched", name))
    (folder / "suites" / "first.yaml").write_text(SUITE.replace("mysched", name))
    return folder


def grown(steps: int) -> str:
    """The stub with so many steps of the guide."""
    above, stub = "", STUB
    for step in STEPS[:steps]:
        if step.startswith(" "):
            stub += f"\n{step}"
        else:
            above += f"{step}\n\n"
    above += NODE_STATES
    # Written within one second, a file may look unchanged to Python's cache.
    return stub.replace("class MySched", f"{above}class MySched") + f"# {steps}" * steps + "\n"


def plugin_of(code: str, name: str) -> Any:
    """An object of the plugin class in a piece of code."""
    namespace: dict[str, Any] = {"__name__": "guide"}
    exec(compile(code, str(GUIDE), "exec"), namespace)
    return namespace[name]()


@pytest.fixture
def _minibatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of the example, with the Python of the tests."""
    path = [EXAMPLE.parents[1] / "minibatch" / "bin", Path(sys.executable).parent]
    monkeypatch.setenv("PATH", os.pathsep.join([*map(str, path), os.environ["PATH"]]))
    monkeypatch.setenv("MINIBATCH_SPOOL", str(tmp_path / "spool"))


@pytest.mark.usefixtures("_minibatch")
def test_the_stub_names_what_the_next_section_adds_until_it_runs_a_test(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = make_site(tmp_path / "site", STUB)
    plugin, suite = site / "plugins" / "mysched.py", site / "suites" / "first.yaml"
    options = ["--config-dir", str(site), "--working-dir", str(tmp_path / "work")]
    assert main([*options, "show", "plugins"]) == 0
    assert re.search(r"^loaded\tsched\tmysched\t", capsys.readouterr().out, re.MULTILINE)

    for number, step in enumerate(STEPS[:REQUIRED]):
        plugin.write_text(grown(number))
        assert main([*options, "run", "first"]) == 2
        missing = re.search(
            r"mysched.* does not (?:define|set) (\w+)(?:\(\))?, which says", capsys.readouterr().err
        )
        assert missing is not None, step
        assert re.search(rf"^    (def )?{missing[1]}\b", step, re.MULTILINE), missing[1]

    plugin.write_text(grown(REQUIRED))
    assert main([*options, "run", "first"]) == 0
    capsys.readouterr()

    suite.write_text(SUITE.replace("  run:", "  schedule: {nodes: '2'}\n  run:"))
    assert main([*options, "run", "first"]) == 2
    assert "schedule.nodes is set (2), but has no effect" in capsys.readouterr().err
    headers = next(number for number, step in enumerate(STEPS) if "DIRECTIVES" in step) + 1
    plugin.write_text(grown(headers))
    assert main([*options, "run", "first"]) == 0

    suite.write_text(SUITE.replace("  run:", "  schedule: {nodes: all}\n  run:"))
    plugin.write_text(grown(len(STEPS)))
    assert main([*options, "run", "first", "--json"]) == 0
    (test,) = json.loads(capsys.readouterr().out.partition("\n{")[2].join(["{", ""]))["tests"]
    assert test["nodes"] == [f"mb{number}" for number in range(1, 7)]


def test_the_test_of_the_guide_passes_for_its_plugin_and_the_example() -> None:
    namespace: dict[str, Any] = {"__name__": "guide"}
    exec(compile(CHECK, str(GUIDE), "exec"), namespace)
    namespace["check"](plugin_of(grown(len(STEPS)), "MySched"))
    namespace["check"](plugin_of(EXAMPLE.read_text(), "MiniBatch"))


def test_the_answer_that_was_captured_is_read() -> None:
    block = next(code for kind, _, code in BLOCKS if kind == "console" and "--json --user" in code)
    plugin = plugin_of(EXAMPLE.read_text(), "MiniBatch")
    text = block.partition("\n")[2]
    ours, other = plugin.read_jobs("parse_jobs", text)
    assert (ours.job_id, plugin.token_of(ours)) == ("1", "pav-d96f111fbe8c293a")
    assert plugin.is_over(ours)
    assert (other.job_id, plugin.token_of(other), plugin.is_over(other)) == ("2", "", False)
    for end in range(len(text.rstrip())):
        with pytest.raises(UnreadableAnswer):
            plugin.read_jobs("parse_jobs", text[:end])


BASIC = STUB.replace("SchedulerPluginBatch", "SchedulerPluginBasic")
ADDED = {
    "_available": "return True",
    "_kickoff": "return {'id': '1'}",
    "_job_status": "return None",
    "cancel": "return None",
    "_get_alloc_nodes": "return ['n1']",
}


def test_a_stub_without_commands_is_asked_for_its_methods_in_the_order_of_the_guide(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (listed,) = re.findall(r"names what is missing:\s+([^.]*)\.", TEXT)
    methods = re.findall(r"`(\w+)\(\)`", listed)
    assert methods == list(ADDED)
    monkeypatch.setattr(SchedulerPlugin, "JOB_STATUS_TIMEOUT", 0.0)
    site = make_site(tmp_path / "site", BASIC)
    options = ["--config-dir", str(site), "--working-dir", str(tmp_path / "work")]

    for method in methods[:2]:
        assert main([*options, "run", "first", "--detach"]) in (1, 2)
        assert f"does not define {method}(), which says" in capsys.readouterr().err
        with (site / "plugins" / "mysched.py").open("a") as file:
            file.write(f"\n    def {method}(self, *args, **kwargs):\n        {ADDED[method]}\n")

    assert main([*options, "run", "first", "--detach"]) == 0
    assert main([*options, "status"]) == 0
    assert "does not define _job_status(), which says" in capsys.readouterr().out
    assert main([*options, "cancel", "s2"]) == 1
    assert "does not define cancel(), which says" in capsys.readouterr().out
    with pytest.raises(NotImplementedError, match=r"_get_alloc_nodes\(\)"):
        plugin_of(BASIC, "MySched")._get_alloc_nodes(None)


def test_the_nodes_of_the_advanced_plugin_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = next(code for code in WHOLE if "class Shelf" in code)
    code += "\n    def _available(self):\n        return True\n"
    site = make_site(tmp_path / "site", code, "shelf")
    assert main(["--config-dir", str(site), "show", "nodes", "shelf"]) == 0
    assert "1 of 2 nodes can be used" in capsys.readouterr().out
    for method in ("_get_raw_node_data", "_transform_raw_node_data"):
        assert callable(getattr(SchedulerPluginAdvanced, method))


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (STUB + "\n    def broken(:\n", f"Syntax error in line {STUB.count(chr(10)) + 2}"),
        ("import no_such_module_at_all\n" + STUB.partition("\n")[2], "no_such_module_at_all"),
        (STUB.replace("def __init__(self)", "def __init__(self, host)"), "takes no arguments"),
        (
            STUB + "\n\nclass Other(SchedulerPluginBatch):\n    pass\n",
            "More than one plugin class",
        ),
        (STUB + "\n    def _get_config_elems(self):\n        return 1\n", "_get_config_elems()"),
        ("x = 1\n", "No plugin class"),
    ],
)
def test_show_plugins_says_why_a_plugin_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], code: str, told: str
) -> None:
    site = make_site(tmp_path, code)
    assert main(["--config-dir", str(site), "show", "plugins"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("refused")]
    assert len(lines) == 1
    assert told in lines[0]


@pytest.mark.parametrize(
    ("info", "told"),
    [
        (INI.replace("Module = mysched", "Module = mysqued"), "'mysqued' does not exist"),
        ("[Core]\nName = mysched\n", "'Module'"),
        ("mysched\n", "INI"),
    ],
)
def test_show_plugins_says_why_an_info_file_is_refused_and_the_others_are_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], info: str, told: str
) -> None:
    site = make_site(tmp_path, STUB)
    (site / "plugins" / "a_bad_one.yapsy-plugin").write_text(info)
    assert main(["--config-dir", str(site), "show", "plugins"]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    (refused,) = [row for row in rows if row[0] == "refused"]
    assert told in refused[-1]
    assert [row[2] for row in rows if row[0] == "loaded"] == [
        "flux",
        "gridengine",
        "pbs",
        "raw",
        "slurm",
        "mysched",
    ]


def test_texts_of_the_guide_fit_a_page() -> None:
    long = [line for line in TEXT.splitlines() if len(line) > 108 and not line.startswith("|")]
    assert long == []
