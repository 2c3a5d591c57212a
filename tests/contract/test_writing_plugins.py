"""The guide for plugin authors says what is true: its code is run, its excerpts are compared."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pavilion.cli.main import main
from pavilion.config import load_config
from pavilion.plugins import load_plugins, reset_plugins
from pavilion.resolve import resolve_test
from pavilion.schedulers import SchedulerPlugin, SchedulerPluginAdvanced, get_plugin
from pavilion.series import Series
from pavilion.suites import select_tests

ROOT = Path(__file__).resolve().parent.parent.parent
GUIDE = ROOT / "docs" / "writing-plugins.md"
TEXT = GUIDE.read_text()
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
# The methods that the guide says a user is asked for, in its order.
METHODS = re.findall(r"^\d\. `(\w+)\(\)`$", TEXT, re.MULTILINE)


@pytest.fixture(autouse=True)
def _no_plugins_left() -> Iterator[None]:
    yield
    reset_plugins()


def test_the_guide_has_what_these_tests_look_for() -> None:
    assert len(WHOLE) >= 4
    assert len(EXCERPTS) >= 9
    assert len(METHODS) == 7


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


def test_every_method_that_the_base_class_leaves_open_has_a_section() -> None:
    for method in METHODS:
        assert re.search(rf"^## .*`{method}\(\)`", TEXT, re.MULTILINE), method
        assert callable(getattr(SchedulerPluginAdvanced, method))
    for attr in (
        "KICKOFFS_AT_ONCE",
        "JOB_STATUS_TIMEOUT",
        "JOB_SHARE_KEY_ATTRS",
        "VAR_CLASS",
        "KICKOFF_SCRIPT_HEADER_CLASS",
    ):
        assert attr in TEXT
        assert hasattr(SchedulerPlugin, attr)


# -------------------------------------------------------------------- from the stub to a plugin

ADDED = {
    "_available": "return True",
    "_get_raw_node_data": "return ['n1', 'n2'], None",
    "_transform_raw_node_data": "return {'name': args[1], 'up': True, 'available': True}",
    "_kickoff": "return {'id': '1'}",
    "_job_status": "return None",
    "_get_alloc_nodes": "return ['n1']",
    "cancel": "return None",
}


def make_site(folder: Path, code: str, name: str = "mysched") -> Path:
    """The folder that the guide tells to make."""
    for sub in ("plugins", "suites"):
        (folder / sub).mkdir()
    (folder / "plugins" / f"{name}.py").write_text(code)
    (folder / "plugins" / f"{name}.yapsy-plugin").write_text(INI.replace("mysched", name))
    (folder / "suites" / "first.yaml").write_text(SUITE.replace("mysched", name))
    return folder


def test_the_stub_is_asked_for_the_methods_in_the_order_of_the_guide(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SchedulerPlugin, "JOB_STATUS_TIMEOUT", 0.0)
    site = make_site(tmp_path, STUB)
    plugin_file = site / "plugins" / "mysched.py"
    options = ["--config-dir", str(site), "--working-dir", str(tmp_path / "work")]
    assert main([*options, "show", "plugins"]) == 0
    assert re.search(r"^loaded\tsched\tmysched\t", capsys.readouterr().out, re.MULTILINE)

    for method in METHODS[:4]:
        assert main([*options, "run", "first", "--detach"]) in (1, 2)
        assert f"does not define {method}(), which says" in capsys.readouterr().err
        # Written within one second, it may look unchanged to Python's cache.
        with plugin_file.open("a") as file:
            file.write(f"\n    def {method}(self, *args, **kwargs):\n        {ADDED[method]}\n")

    assert main([*options, "run", "first", "--detach"]) == 0
    assert main([*options, "status"]) == 0
    assert "does not define _job_status(), which says" in capsys.readouterr().out
    assert main([*options, "cancel", "s4"]) == 1
    assert "does not define cancel(), which says" in capsys.readouterr().out
    assert main([*options, "show", "nodes", "mysched"]) == 0
    assert "2 of 2 nodes can be used" in capsys.readouterr().out


def test_the_node_methods_of_the_stub_are_missed_inside_the_job() -> None:
    namespace: dict[str, type[SchedulerPlugin]] = {"__name__": "guide"}  # type: ignore[dict-item]
    exec(compile(STUB, str(GUIDE), "exec"), namespace)
    with pytest.raises(NotImplementedError, match=r"_get_alloc_nodes\(\)"):
        namespace["MySched"]()._get_alloc_nodes(None)  # type: ignore[arg-type,call-arg]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (STUB + "\n    def broken(:\n", "Syntax error in line 12"),
        ("import no_such_module_at_all\n" + STUB.partition("\n")[2], "no_such_module_at_all"),
        (STUB.replace("def __init__(self)", "def __init__(self, host)"), "takes no arguments"),
        (
            STUB + "\n\nclass Other(SchedulerPluginAdvanced):\n    pass\n",
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
    assert [row[2] for row in rows if row[0] == "loaded"] == ["gridengine", "raw", "slurm", "mysched"]


def test_the_basic_plugin_of_the_guide_runs_a_test(tmp_path: Path) -> None:
    code = next(code for code in WHOLE if "SchedulerPluginBasic)" in code)
    site = make_site(tmp_path, code, "at_once")
    pav_cfg = load_config(working_dir=tmp_path / "work", config_dirs=[site])
    pav_cfg.make_working_dir()
    assert load_plugins(pav_cfg).refused == []
    suite = site / "suites" / "first.yaml"
    suite.write_text(
        suite.read_text().replace("echo hello", "echo {{test_nodes}} {{test_min_cpus}}")
    )
    tests = [run for test in select_tests(pav_cfg, "first") for run in resolve_test(test)]
    series = Series.create(pav_cfg, tests)

    assert series.kick_off() == []

    (test,) = series.tests
    assert test.result == "PASS"
    nodes, cpus = test.run_log.read_text().split()
    assert nodes == "1"
    assert int(cpus) >= 1
    assert get_plugin("at_once").job_status(pav_cfg, test).state == "COMPLETE"


def test_texts_of_the_guide_fit_a_page() -> None:
    long = [line for line in TEXT.splitlines() if len(line) > 108 and not line.startswith("|")]
    assert long == []
