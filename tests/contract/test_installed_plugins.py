"""Plugins of installed packages: found through entry points, and refused with all that is known."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from contract.alone_runner import SRC, Alone
from installed import Site, info_file, plugin_code
from pavilion.config import PavConfig, load_config
from pavilion.plugins import load_plugins, reset_plugins
from pavilion.schedulers import get_plugin, list_plugins, register_core_plugins
from pavilion.schedulers.finding.discovery import PluginFinder
from pavilion.schedulers.finding.trusted_code import TrustedCode
from pavilion.schedulers.plugins import activate_plugins, find_installed_plugins

BUNDLED = ["flux", "gridengine", "pbs", "raw", "slurm"]
OTHER = 54321
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A directory on sys.path; its modules are forgotten afterwards."""
    found = Site(tmp_path / "site")
    monkeypatch.syspath_prepend(str(found.path))
    yield found
    reset_plugins()
    ours = [name for name, module in list(sys.modules.items()) if _is_below(module, tmp_path)]
    for name in ours:
        del sys.modules[name]


def _is_below(module: object, folder: Path) -> bool:
    paths = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]
    return any(str(path).startswith(str(folder)) for path in paths)


def find() -> PluginFinder:
    """What is found and activated."""
    importlib.invalidate_caches()
    finder = find_installed_plugins()
    activate_plugins(finder)
    return finder


def names(finder: PluginFinder) -> list[str]:
    return sorted(found.plugin.name for found in finder.loaded)


# ----------------------------------------------------------------------------------------- found


def test_a_package_that_an_entry_point_names_is_searched(site: Site) -> None:
    folder = site.package("my_plugins", "mine", "yours")
    site.package("my_plugins.more", "deep")
    site.distribution("my-plugins", {"any name": "my_plugins"})
    finder = find()
    assert [refused.reason for refused in finder.refused] == []
    assert names(finder) == ["deep", "mine", "yours"] == list_plugins()
    (mine,) = (found for found in finder.loaded if found.plugin.name == "mine")
    assert mine.origin == "package my-plugins 1.0"
    assert mine.file == folder / "mine.yapsy-plugin"
    # Under its real name, so that its class exists once.
    assert type(mine.plugin) is importlib.import_module("my_plugins.mine").Mine


def test_hosts_need_nothing_more_than_register_core_plugins(site: Site) -> None:
    site.package("my_plugins", "mine")
    site.distribution("my-plugins", {"mine": "my_plugins"})
    assert register_core_plugins() == []
    assert list_plugins() == sorted(["mine", *BUNDLED])


def test_modules_of_the_package_may_import_each_other(site: Site) -> None:
    site.package("my_plugins", init="PRIORITY = 12")
    site.write("my_plugins/helper.py", "NAME = 'mine'\n")
    site.write("my_plugins/mine.yapsy-plugin", info_file("mine"))
    site.write(
        "my_plugins/mine.py",
        "from . import PRIORITY, helper\nfrom pavilion.schedulers import SchedulerPluginBasic\n"
        "class Mine(SchedulerPluginBasic):\n"
        "    def __init__(self):\n        super().__init__(helper.NAME, 'A plugin.', PRIORITY)\n",
    )
    site.distribution("my-plugins", {"mine": "my_plugins"})
    assert [found.plugin.priority for found in find().loaded] == [12]


@pytest.mark.parametrize(
    "points",
    [
        {"one": "my_plugins", "two": "my_plugins"},
        {"one": "my_plugins", "two": "my_plugins.sub"},
        {"one": "my_plugins.sub", "two": "my_plugins"},
        {"one": "my_plugins [extra]"},
    ],
)
def test_packages_that_are_named_more_than_once_are_searched_once(
    points: dict[str, str], site: Site
) -> None:
    site.package("my_plugins", "mine")
    site.package("my_plugins.sub", "deep")
    site.distribution("my-plugins", points)
    finder = find()
    assert finder.refused == []
    assert names(finder) == ["deep", "mine"]


def test_namespace_packages(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Site(tmp_path / "other site")
    monkeypatch.syspath_prepend(str(other.path))
    site.package("company.pav", "mine", init=None)
    other.package("company.pav", "yours", init=None)
    site.package("company.regular", "third")
    site.distribution("company-pav", {"pav": "company.pav", "regular": "company.regular"})
    finder = find()
    assert finder.refused == []
    assert names(finder) == ["mine", "third", "yours"]
    assert {type(found.plugin).__module__ for found in finder.loaded} == {
        "company.pav.mine",
        "company.pav.yours",
        "company.regular.third",
    }


def test_what_is_installed_while_the_program_runs_is_found(site: Site) -> None:
    assert names(find()) == []
    site.package("my_plugins", "mine")
    file = site.distribution("my-plugins", {"mine": "my_plugins"})
    assert names(find()) == ["mine"]
    reset_plugins()
    file.unlink()
    file.parent.rename(site.path / "gone")
    assert names(find()) == []


@pytest.mark.parametrize("whole", [False, True])
def test_installers_may_make_links(whole: bool, site: Site, tmp_path: Path) -> None:
    store = Site(tmp_path / "store")
    package = store.package("my_plugins", "mine")
    file = store.distribution("my-plugins", {"mine": "my_plugins"})
    files = [path for path in store.path.rglob("*") if path.is_file()]
    for path in [package, file.parent] if whole else files:
        link = site.path / path.relative_to(store.path)
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(path)
    finder = find()
    assert finder.refused == []
    assert names(finder) == ["mine"]


def test_the_first_distribution_of_a_name_counts(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.package("old_plugins", "old")
    site.distribution("my-plugins", {"old": "old_plugins"})
    newer = Site(tmp_path / "newer")
    monkeypatch.syspath_prepend(str(newer.path))
    newer.package("new_plugins", "new")
    newer.distribution("My.Plugins", {"new": "new_plugins"}, version="2.0")
    assert names(find()) == ["new"]


def test_reading_agrees_with_importlib_metadata(site: Site) -> None:
    from importlib import metadata

    site.package("my_plugins", "mine")
    site.package("your_plugins", "yours")
    text = (
        "[console_scripts]\npav-mine = my_plugins.cli:main\n\n[pavilion.schedulers]\n"
        "# a comment\nMine = my_plugins\nyours=your_plugins\n\n[other.group]\nx = pavilion.schedulers\n"
    )
    site.distribution("my-plugins", text)
    site.distribution("other", "[console_scripts]\nx = pavilion.schedulers:main\n")
    dists = list(metadata.distributions(path=[str(site.path)]))
    wanted = {
        (f"package {dist.metadata['Name']} {dist.version}", point.value)
        for dist in dists
        for point in dist.entry_points
        if point.group == "pavilion.schedulers"
    }
    finder = find()
    found = {(found.origin, found.file.parent.name) for found in finder.loaded}
    assert found == wanted
    assert len(wanted) == 2
    assert finder.refused == []


# --------------------------------------------------------------------------------------- refused


def _no_such(site: Site) -> dict[str, str]:
    return {"bad": "my_plugin"}


def _a_class(site: Site) -> dict[str, str]:
    return {"bad": "my_plugins.mine:Mine"}


def _a_module(site: Site) -> dict[str, str]:
    site.write("single.py", plugin_code("single"))
    return {"bad": "single"}


def _no_sub_package(site: Site) -> dict[str, str]:
    return {"bad": "my_plugins.sub"}


def _no_info_file(site: Site) -> dict[str, str]:
    site.package("bare_plugins")
    site.write("bare_plugins/bare.py", plugin_code("bare"))
    return {"bad": "bare_plugins"}


def _broken_package(site: Site) -> dict[str, str]:
    site.package("broken_plugins", "broken", init="raise RuntimeError('boom')")
    return {"bad": "broken_plugins"}


def _missing_requirement(site: Site) -> dict[str, str]:
    site.package("needy_plugins", "needy", init="import no_such_library")
    return {"bad": "needy_plugins"}


def _exits(site: Site) -> dict[str, str]:
    site.package("exit_plugins", "leaving", init="raise SystemExit(3)")
    return {"bad": "exit_plugins"}


def _broken_outer_package(site: Site) -> dict[str, str]:
    site.package("outer", init="1 / 0")
    site.package("outer.inner", "inner")
    return {"bad": "outer.inner"}


def _exiting_outer_package(site: Site) -> dict[str, str]:
    site.package("leaver", init="raise SystemExit(4)")
    site.package("leaver.inner", "inner")
    return {"bad": "leaver.inner"}


def _broken_module(site: Site) -> dict[str, str]:
    site.package("syntax_plugins", "wrong")
    site.write("syntax_plugins/wrong.py", "def f(:\n")
    return {"bad": "syntax_plugins"}


def _broken_info_file(site: Site) -> dict[str, str]:
    site.package("info_plugins", "wrong")
    site.write("info_plugins/wrong.yapsy-plugin", "[Core]\nName = wrong\n")
    return {"bad": "info_plugins"}


def _no_plugin_class(site: Site) -> dict[str, str]:
    site.package("empty_plugins", "nothing")
    site.write("empty_plugins/nothing.py", "")
    return {"bad": "empty_plugins"}


def _bad_section(site: Site) -> dict[str, str]:
    site.package("section_plugins", "section")
    path = site.path / "section_plugins/section.py"
    path.write_text(f"{path.read_text()}\n    def _get_config_elems(self):\n        return 5\n")
    return {"bad": "section_plugins"}


BAD: dict[Callable[[Site], dict[str, str]], tuple[str, str]] = {
    _no_such: ("entry_points.txt", "There is no package 'my_plugin'. Did you mean 'my_plugins'?"),
    _a_class: ("entry_points.txt", "'my_plugins.mine:Mine' is not the name of a package."),
    _a_module: ("entry_points.txt", "'single' is a module, not a package."),
    _no_sub_package: ("entry_points.txt", "There is no package 'my_plugins.sub'."),
    _no_info_file: (
        "bare_plugins",
        "The package 'bare_plugins' has no .yapsy-plugin file. Such files have to be included when "
        "the distribution is built, as package data.",
    ),
    _broken_package: (
        "broken.yapsy-plugin",
        "Running {site}/broken_plugins/__init__.py failed: RuntimeError: boom.",
    ),
    _missing_requirement: (
        "needy.yapsy-plugin",
        "Importing {site}/needy_plugins/__init__.py failed: No module named 'no_such_library'.",
    ),
    _exits: (
        "leaving.yapsy-plugin",
        "Running {site}/exit_plugins/__init__.py failed: SystemExit: 3.",
    ),
    _broken_outer_package: (
        "entry_points.txt",
        "Running {site}/outer/__init__.py failed: ZeroDivisionError: division by zero.",
    ),
    _exiting_outer_package: (
        "entry_points.txt",
        "Running {site}/leaver/__init__.py failed: SystemExit: 4.",
    ),
    _broken_module: ("wrong.yapsy-plugin", "Syntax error in line 1 of {site}/syntax_plugins/wrong"),
    _broken_info_file: ("wrong.yapsy-plugin", "There is no 'Module' in a section [Core]."),
    _no_plugin_class: ("nothing.yapsy-plugin", "No plugin class in"),
    _bad_section: ("section.yapsy-plugin", "The config section of scheduler plugin 'section'"),
}


@pytest.mark.parametrize("make", BAD, ids=[make.__name__.strip("_") for make in BAD])
def test_a_refusal_says_all_and_stops_no_other(
    make: Callable[[Site], dict[str, str]], site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.package("my_plugins", "mine")
    # Before, in the same distribution, and after.
    site.package("a_plugins", "first")
    site.package("z_plugins", "last")
    site.distribution("a-plugins", {"first": "a_plugins"})
    site.distribution("my-plugins", {"good": "my_plugins", **make(site)}, version="2.1")
    site.distribution("z-plugins", {"last": "z_plugins"})
    (refused,) = register_core_plugins()
    file, reason = BAD[make]
    assert refused.file.name == file
    prefix = "In distribution my-plugins 2.1, entry point 'bad': "
    assert refused.reason.startswith(prefix + reason.format(site=site.path))
    assert list_plugins() == sorted(["first", "last", "mine", *BUNDLED])


@pytest.mark.parametrize(
    "text", ["[pavilion.schedulers]\nno equals sign\n", "x = 1\n[pavilion.schedulers\n"]
)
def test_a_file_that_is_not_valid_stops_no_other(text: str, site: Site) -> None:
    site.package("my_plugins", "mine")
    site.distribution("my-plugins", {"good": "my_plugins"})
    file = site.distribution("odd", text)
    finder = find()
    assert names(finder) == ["mine"]
    # Pythons differ in what they accept; none of them may fail.
    for refused in finder.refused:
        assert refused.file == file
        assert refused.reason.startswith("In distribution odd 1.0")


def test_a_distribution_without_metadata_is_called_as_its_directory(site: Site) -> None:
    file = site.distribution("odd-name", {"bad": "no_such"})
    (file.parent / "METADATA").unlink()
    (refused,) = find().refused
    assert refused.reason.startswith("In distribution odd_name-1.0, entry point 'bad': There is")


def test_two_plugins_of_one_name_and_priority(site: Site) -> None:
    one = site.package("one_plugins", "mine")
    two = site.package("two_plugins", "mine")
    site.package("two_plugins", "other")
    site.distribution("one", {"point": "one_plugins"})
    site.distribution("two", {"point": "two_plugins"})
    finder = find()
    (refused,) = finder.refused
    assert refused.file == two / "mine.yapsy-plugin"
    assert refused.reason.startswith("In distribution two 1.0, entry point 'point': Two ")
    assert f"same priority (10): {one / 'mine.py'} and {two / 'mine.py'}" in refused.reason
    assert list_plugins() == ["mine", "other"]
    assert get_plugin("mine").path == one / "mine.py"


@pytest.mark.parametrize(("priority", "wins"), [(-1, False), (10, True)])
def test_priority_decides_between_it_and_a_bundled_plugin(
    priority: int, wins: bool, site: Site
) -> None:
    folder = site.package("my_plugins", "raw")
    (folder / "raw.py").write_text(plugin_code("raw", priority))
    site.distribution("my-plugins", {"raw": "my_plugins"})
    assert register_core_plugins() == []
    assert (get_plugin("raw").path == folder / "raw.py") == wins


# --------------------------------------------------------------------------- the embedded host


@pytest.fixture
def cfg(tmp_path: Path) -> PavConfig:
    for name in ("suites", "plugins"):
        (tmp_path / "config" / name).mkdir(parents=True)
    return load_config(working_dir=tmp_path / "wd", config_dirs=[tmp_path / "config"])


def test_the_embedded_host_has_the_same_rules_for_both(
    site: Site, cfg: PavConfig, tmp_path: Path
) -> None:
    site.package("my_plugins", "mine", "same", "off")
    site.distribution("my-plugins", {"mine": "my_plugins"})
    home = tmp_path / "config" / "plugins"
    for name, priority in (("mine", 20), ("same", 10)):
        (home / f"{name}.py").write_text(plugin_code(name, priority))
        (home / f"{name}.yapsy-plugin").write_text(info_file(name))
    cfg.disable_plugins = ["sched.off"]
    report = load_plugins(cfg)
    assert get_plugin("mine").path == home / "mine.py"
    assert get_plugin("same").path == site.path / "my_plugins" / "same.py"
    assert [refused.file for refused in report.refused] == [home / "same.yapsy-plugin"]
    assert [found.plugin.name for found in report.disabled] == ["off"]
    assert report.not_found == []
    assert {found.plugin.name: found.origin for found in report.loaded if "e" in found.plugin.name}


def test_it_takes_plugins_of_its_other_categories_too(site: Site, cfg: PavConfig) -> None:
    site.package("my_plugins")
    site.write("my_plugins/rack.yapsy-plugin", info_file("rack"))
    site.write(
        "my_plugins/rack.py",
        "from pavilion.sys_vars import SystemPlugin\n"
        "class Rack(SystemPlugin):\n"
        "    def __init__(self):\n        super().__init__('rack', 'The rack.')\n"
        "    def _get(self):\n        return 'r7'\n",
    )
    site.write("my_plugins/parse.yapsy-plugin", info_file("parse"))
    site.write("my_plugins/parse.py", "from pavilion.result_parsers import ResultParser\n")
    site.distribution("my-plugins", {"mine": "my_plugins"})
    report = load_plugins(cfg)
    assert report.refused == []
    assert [foreign.category for foreign in report.foreign] == ["result"]
    assert "sys.rack" in {f"{found.category}.{found.plugin.name}" for found in report.loaded}


# ------------------------------------------------------------------------------ who is trusted


MARK = "import pathlib\npathlib.Path(__file__).parents[{up}].joinpath('{name}').touch()\n"


@pytest.mark.parametrize(
    "what",
    [
        "group/pav/mine.py",
        "group/pav/mine.yapsy-plugin",
        "group/pav/helper.py",
        "group/pav",
        "group/__init__.py",
        "group",
        "group_pav-1.0.dist-info/entry_points.txt",
        ".",
    ],
)
def test_code_that_everyone_may_write_is_neither_loaded_nor_run(what: str, site: Site) -> None:
    site.package("group", init=MARK.format(up=1, name="outer ran"))
    site.package("group.pav", "mine", init=MARK.format(up=2, name="ran"))
    site.write("group/pav/helper.py")
    site.distribution("group-pav", {"mine": "group.pav"})
    path = site.path / what
    path.chmod(path.stat().st_mode | 0o002)
    finder = find()
    assert names(finder) == []
    assert not (site.path / "ran").exists()
    assert (site.path / "outer ran").exists() == what.startswith("group/pav")
    for refused in finder.refused:
        assert refused.reason.startswith("In distribution group-pav 1.0")
        assert f"Everyone may write to {path.resolve()}" in refused.reason
    assert finder.refused
    path.chmod(path.stat().st_mode & ~0o002)
    assert names(find()) == ["mine"]
    assert (site.path / "ran").exists()


@needs_root
def test_packages_of_other_users_are_not_loaded(site: Site) -> None:
    folder = site.package("my_plugins", "mine")
    site.distribution("my-plugins", {"mine": "my_plugins"})
    os.chown(folder / "mine.py", OTHER, OTHER)
    finder = find()
    assert names(finder) == []
    (refused,) = finder.refused
    assert "neither you nor root nor the owner of a config directory, Python or Pavilion" in (
        refused.reason
    )


@needs_root
def test_those_who_may_change_the_program_are_trusted(tmp_path: Path) -> None:
    """Its owner, and the group that may write to it; but not everyone."""
    program, code = tmp_path / "program", tmp_path / "code.py"
    program.mkdir()
    code.touch()
    os.chown(program, OTHER, OTHER + 1)
    os.chown(code, OTHER, OTHER + 1)
    code.chmod(0o664)
    running = TrustedCode([], running=[program])
    assert "group" in running.problem(code)
    program.chmod(0o775)
    running = TrustedCode([], running=[program])
    assert running.problem(code) == ""
    assert TrustedCode([]).problem(code) != ""
    program.chmod(0o777)
    code.chmod(0o666)
    assert "Everyone" in TrustedCode([], running=[program]).problem(code)


# ------------------------------------------------------------------------------ what it costs


COST = """
import sys
before = set(sys.modules)
from pavilion.schedulers import register_core_plugins
register_core_plugins()
print("importlib.metadata" in set(sys.modules) - before)
"""


@pytest.mark.parametrize("there", [False, True])
def test_importlib_metadata_is_imported_where_it_is_needed(there: bool, tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.package("my_plugins", "mine")
    site.distribution("other", "[console_scripts]\nx = my_plugins:main\n")
    if there:
        site.distribution("my-plugins", {"mine": "my_plugins"})
    done = subprocess.run(
        [sys.executable, "-c", COST],
        env=dict(os.environ, PYTHONPATH=f"{SRC}{os.pathsep}{tmp_path}"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{there}\n"


# ---------------------------------------------------------------------- a host like Pavilion 2.6


REAL = """
import logging, pavilion
from pavilion import schedulers
schedulers.SchedulerPlugin.register_core_plugins()
print(*schedulers.list_plugins())
"""


def test_in_a_host_like_pavilion_2_6(tmp_path: Path) -> None:
    alone = Alone(tmp_path / "alone")
    site = Site(tmp_path / "site")
    for name in ("good", "broken"):
        site.package(f"{name}_plugins", name)
        site.distribution(f"{name}-plugins", {name: f"{name}_plugins"})
    site.write("broken_plugins/__init__.py", "raise RuntimeError('boom')\n")
    site.distribution("third", {"third": "no_such_package"})
    done = alone.python("-c", REAL, PYTHONPATH=f"{alone.lib}{os.pathsep}{site.path}")
    assert not alone.refused()
    assert (done.returncode, done.stdout) == (0, "flux good gridengine pbs raw slurm\n"), (
        done.stderr
    )
    broken, third = sorted(done.stderr.splitlines(), key=lambda line: "third-1.0" in line)
    assert "broken.yapsy-plugin cannot be used. In distribution broken-plugins 1.0" in broken
    assert "RuntimeError: boom" in broken
    assert "In distribution third 1.0, entry point 'third': There is no package" in third
