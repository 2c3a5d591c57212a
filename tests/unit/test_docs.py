"""What the documentation says is true: suites load, commands parse, links lead somewhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

import yaml_config as yc
from doc_samples import PAGES, ROOT, samples
from pavilion.cli.main import MODULES, make_parser
from pavilion.config import PavConfig, PavConfigLoader, load_config
from pavilion.pavilion_keys import INSTEAD
from pavilion.plugins import load_plugins, reset_plugins
from pavilion.resolve import ResolvedTest, resolve_test
from pavilion.schedulers.config import ScheduleConfig
from pavilion.suites import TestElem, load_suite
from pavilion.variables import SET_ORDER

HOST = ROOT / "docs" / "host.md"
COMMAND = re.compile(r"^\$ (pav-sched .*)$", re.MULTILINE)
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)

# Takes the place of the bundled plugin, on a machine without Slurm: 16 nodes.
SLURM = """
    from pavilion.schedulers import Slurm

    class AtHome(Slurm):
        def __init__(self):
            super().__init__()
            self.priority = self.PRIO_USER

        def _available(self):
            return True

        def _get_raw_node_data(self, sched_config):
            return list(range(1, 17)), None

        def _transform_raw_node_data(self, sched_config, number, extra):
            return {"name": f"node{number:02}", "up": True, "available": True, "cpus": 8,
                    "mem": 2 ** 34, "partitions": ["main"], "states": ["IDLE"]}
    """


EXAMPLES = {sample.name: sample for sample in samples()}


@pytest.fixture
def slurm(pav_cfg: PavConfig) -> None:
    """A scheduler 'slurm' that has nodes here."""
    folder = Path(next(iter(pav_cfg.configs.values()))["path"]) / "plugins"
    (folder / "at_home.py").write_text(textwrap.dedent(SLURM), encoding="utf-8")
    (folder / "at_home.yapsy-plugin").write_text(
        "[Core]\nName = at_home\nModule = at_home\n", encoding="utf-8"
    )
    assert load_plugins(pav_cfg).refused == []


def resolve(name: str, folder: Path) -> dict[str, ResolvedTest]:
    """The test runs of an example, by name."""
    file = folder / f"{name}.yaml"
    file.write_text(EXAMPLES[name].text, encoding="utf-8")
    return {
        run.name: run
        for test in load_suite(file).values()
        if not test.name.startswith("_")
        for run in resolve_test(test)
    }


@pytest.mark.usefixtures("slurm")
@pytest.mark.parametrize("name", EXAMPLES)
def test_suite(name: str, tmp_path: Path) -> None:
    runs = resolve(name, tmp_path)
    assert list(runs) == EXAMPLES[name].tests
    assert [warning for run in runs.values() for warning in run.warnings] == []
    assert all(run.config["run"]["cmds"] for run in runs.values())


def test_every_yaml_block_is_looked_at() -> None:
    """Each is marked as what it is; the guide for plugin authors has tests of its own."""
    kinds = re.compile(r"<!-- (suite|settings|cluster)\b[^>]*-->\n\Z")
    for page in PAGES:
        before, *blocks = page.read_text(encoding="utf-8").split("```yaml\n")
        for block in blocks:
            assert kinds.search(before) or page.name == "writing-plugins.md", (page, block)
            before = block
    assert len(EXAMPLES) == len(list(samples())) >= 6, "names of suites are used once"


def test_inheritance_is_as_the_comments_say(tmp_path: Path, pav_cfg: PavConfig) -> None:
    runs = resolve("inherit", tmp_path)
    short, long, plain = (runs[f"inherit.{name}"].config for name in ("short", "long", "plain"))
    assert short["run"]["cmds"] == [f"{tmp_path}/prepare", f"{tmp_path}/stream 1k 2k"]
    assert long["run"]["cmds"] == [f"{tmp_path}/stream 1k 2k 1g"]
    assert long["run"]["env"] == {"OMP_NUM_THREADS": "4", "VERBOSE": "0"}
    assert (long["schedule"]["nodes"], long["schedule"]["time_limit"]) == ("1", "8")
    assert (short["run"]["timeout"], plain["run"]["timeout"]) == ("60", None)


def test_values_are_as_the_comments_say(tmp_path: Path, pav_cfg: PavConfig) -> None:
    """Each 'echo ... # output: remark' prints that."""
    commands = resolve("values", tmp_path)["values.show"].config["run"]["cmds"]
    lines = [
        line
        for line in EXAMPLES["values"].text.splitlines()
        if line.startswith("      - ") and "{name:" not in line
    ]
    assert len(lines) == len(commands)
    checked = 0
    for line, command in zip(lines, commands):
        code, hash_mark, comment = line.partition(" # ")
        if not hash_mark or "echo" not in code:
            continue
        printed = subprocess.run(
            ["bash", "-c", command], stdout=subprocess.PIPE, text=True, check=True
        ).stdout
        assert printed.rstrip("\n") == comment.partition(":")[0]
        checked += 1
    assert checked == 7


def test_permuted_variables(tmp_path: Path, pav_cfg: PavConfig) -> None:
    runs = resolve("sweep", tmp_path)
    assert runs["sweep.io.large-2"].config["run"]["cmds"] == [
        f"{tmp_path}/io --threads 2 --size 1G"
    ]


def test_settings(tmp_path: Path) -> None:
    text = HOST.read_text(encoding="utf-8").partition("<!-- settings -->\n```yaml\n")[2]
    file = tmp_path / "pavilion.yaml"
    file.write_text(text.partition("```")[0], encoding="utf-8")
    cfg = load_config(config_file=file, check_dirs=False)
    assert cfg.working_dir == Path("/shared/tests/runs")
    assert [item["path"] for item in cfg.configs.values()] == [
        Path("/shared/tests/common"),
        tmp_path / "mine",
        tmp_path,
    ]
    assert cfg.disable_plugins == ["sched.raw"]


def commands() -> Iterator[Any]:
    for page in PAGES:
        for match in COMMAND.finditer(page.read_text(encoding="utf-8")):
            yield pytest.param(match[1], id=f"{page.name}: {match[1]}")


@pytest.mark.parametrize("line", list(commands()))
def test_command_line_is_understood(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line, comments=True)[1:]
    try:
        make_parser().parse_args(words)
    except SystemExit:
        pytest.fail(capsys.readouterr().err)


def test_every_command_is_in_the_guide() -> None:
    text = HOST.read_text(encoding="utf-8")
    names = []
    for command in (command for module in MODULES for command in module.COMMANDS):
        if not command.hidden:
            names += [f"{command.name} {topic.name}" for topic in command.topics] or [command.name]
    shown = {match[1] for match in COMMAND.finditer(text)}
    missing = [
        name
        for name in names
        if not any(f"{line} ".startswith(f"pav-sched {name} ") for line in shown)
    ]
    assert missing == []


def leaves(elem: yc.ConfigElement, path: str = "") -> Iterator[str]:
    """The dotted keys of a config that a user can set."""
    if isinstance(elem, yc.KeyedElem):
        for name, sub_elem in elem.config_elems.items():
            yield from leaves(sub_elem, f"{path}.{name}" if path else name)
    else:
        yield path


def test_every_key_is_in_the_guide() -> None:
    """As `key` in the first column of a table."""
    rows = [
        line.split("|")[1]
        for line in HOST.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    documented = {key for row in rows for key in re.findall(r"`([^`]+)`", row)}
    # Without the sections of schedulers.
    reset_plugins()
    keys = [key for key in leaves(TestElem()) if not key.startswith("schedule.")]
    keys += ["schedule"]
    keys += leaves(ScheduleConfig())
    keys += [elem.name for elem in PavConfigLoader.ELEMENTS]
    keys += SET_ORDER
    assert [key for key in keys if key not in documented] == []


def test_every_key_that_only_pavilion_has_is_in_the_guide() -> None:
    text = HOST.read_text(encoding="utf-8")
    section = text.partition("## Suites written for Pavilion")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    documented = {key for row in rows for key in re.findall(r"`([^`]+)`", row)}
    assert documented == set(INSTEAD)


def test_every_environment_variable_is_in_the_guide() -> None:
    found = {
        name
        for file in (ROOT / "src").rglob("*.py")
        for name in re.findall(r"\bPAV_[A-Z_]+\b", file.read_text(encoding="utf-8"))
    }
    assert {"PAV_CONFIG_FILE", "PAV_TEST_ID"} <= found
    text = HOST.read_text(encoding="utf-8")
    assert sorted(name for name in found if f"| `{name}` |" not in text) == []


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings get on GitHub."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in HEADING.findall(text)
    }


def links() -> Iterator[Any]:
    for page in PAGES:
        text = FENCED.sub("", page.read_text(encoding="utf-8"))
        for target in LINK.findall(text):
            if not re.match(r"[a-z]+:", target):
                yield pytest.param(page, target, id=f"{page.relative_to(ROOT)}: {target}")


@pytest.mark.parametrize(("page", "target"), list(links()))
def test_link_leads_to_something(page: Path, target: str) -> None:
    path, _, anchor = unquote(target).partition("#")
    file = page.parent / path if path else page
    assert file.exists(), f"{page.relative_to(ROOT)} links to {target}, which is not there"
    assert ROOT in file.resolve().parents
    if anchor:
        assert anchor in anchors(file)


def test_every_page_is_linked() -> None:
    """Whoever starts at the README finds each of them, or the folder it is in."""
    linked: set[Path] = set()
    for page in PAGES:
        text = FENCED.sub("", page.read_text(encoding="utf-8"))
        linked |= {
            (page.parent / unquote(target).partition("#")[0]).resolve()
            for target in LINK.findall(text)
            if not re.match(r"[a-z]+:|#", target)
        }
    lost = [page for page in PAGES[1:] if page not in linked and page.parent not in linked]
    assert lost == []
