"""Finding plugins: broken ones are reported and stop no other (issue 2, item 6)."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fakes import FakePavConfig

from pavilion.plugins import load_plugins
from pavilion.schedulers import (
    Raw,
    SchedulerPlugin,
    get_plugin,
    list_plugins,
    plugins,
    scheduler,
    validate_config,
)
from pavilion.schedulers.finding import registry
from pavilion.schedulers.finding.discovery import PluginFinder, RefusedPlugin
from pavilion.schedulers.finding.yapsy_compat import PluginManager

GOOD = """
from pavilion.schedulers import SchedulerPluginBasic


class {cls}(SchedulerPluginBasic):
    def __init__(self):
        super().__init__("{name}", "A plugin.")

    def _available(self):
        return True
"""


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    modules = set(sys.modules)
    path = list(sys.path)
    yield
    registry.reset()
    assert sys.path == path
    for name in set(sys.modules) - modules:
        if name.startswith(("yapsy_loaded_plugin", "fakepkg")):
            del sys.modules[name]


class Folder:
    """A folder with plugins."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    def module(self, name: str, code: str) -> Path:
        path = self.path / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code))
        return path

    def info(self, name: str, module: str | None = None, text: str | None = None) -> Path:
        path = self.path / f"{name}.yapsy-plugin"
        path.write_text(
            text if text is not None else f"[Core]\nName = {name}\nModule = {module or name}\n"
        )
        return path

    def plugin(self, name: str, code: str | None = None) -> Path:
        """A plugin of this name; a good one when no code is given.  Gives its info file."""
        self.module(name, GOOD.format(cls=name.title(), name=name) if code is None else code)
        return self.info(name)

    def find(self) -> PluginFinder:
        return PluginFinder([self.path], {"sched": SchedulerPlugin}).find()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "plugins")


def names(finder: PluginFinder) -> list[str]:
    return [found.plugin.name for found in finder.loaded]


def refusal(folder: Folder, file: Path) -> str:
    """Why the one broken plugin was refused.  Good ones around it are loaded."""
    folder.plugin("aaa")
    folder.plugin("zzz")
    finder = folder.find()
    assert names(finder) == ["aaa", "zzz"]
    assert [refused.file for refused in finder.refused] == [file]
    assert isinstance(finder.refused[0], RefusedPlugin)
    return finder.refused[0].reason


# --------------------------------------------------------------------------------- broken plugins

INIT_FAILS = """
    from pavilion.schedulers import SchedulerPluginBasic
    class Broken(SchedulerPluginBasic):
        def __init__(self{args}):
            {body}
"""


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        ("def broken(:\n", ["Syntax error in line 1 of", "broken.py"]),
        ("x = 1\n  y = 2\n", ["Syntax error in line 2 of", "broken.py"]),
        ("import no_such_module_at_all\n", ["Importing", "broken.py", "no_such_module_at_all"]),
        ("from pavilion.schedulers import Nothing\n", ["Importing", "Nothing"]),
        ("from ..basic import SchedulerPluginBasic\n", ["Importing", "broken.py"]),
        ("raise RuntimeError('boom')\n", ["Running", "broken.py", "RuntimeError: boom"]),
        ("import sys\nsys.exit('no licence')\n", ["Running", "SystemExit: no licence"]),
        ("raise OSError(13, 'Permission denied')\n", ["broken.py", "Permission denied"]),
        ("def f(): f()\nf()\n", ["Running", "RecursionError"]),
        ("x = 5\n", ["No plugin class in", "broken.py", "SchedulerPlugin"]),
        ("", ["No plugin class in"]),
        (
            "from pavilion.schedulers import SchedulerPlugin, SchedulerPluginBasic\n"
            "from pavilion.schedulers.advanced import SchedulerPluginAdvanced\n",
            ["No plugin class in"],
        ),
        (
            """
     from pavilion.schedulers import SchedulerPluginBasic
     class One(SchedulerPluginBasic): pass
     class Two(SchedulerPluginBasic): pass
     """,
            ["More than one plugin class in", "broken.py", "One, Two"],
        ),
        (
            INIT_FAILS.format(args="", body="raise ValueError('no config')"),
            ["its class Broken failed", "ValueError: no config"],
        ),
        (
            INIT_FAILS.format(args="", body="raise SystemExit(3)"),
            ["its class Broken failed", "SystemExit: 3"],
        ),
        (
            INIT_FAILS.format(args=", name", body="pass"),
            ["its class Broken failed", "takes no arguments"],
        ),
    ],
)
def test_a_broken_module_is_refused_with_its_reason(
    folder: Folder, code: str, parts: list[str]
) -> None:
    reason = refusal(folder, folder.plugin("broken", code))
    for part in parts:
        assert part in reason


def test_a_module_that_is_not_utf8_is_refused(folder: Folder) -> None:
    file = folder.plugin("broken")
    path = folder.path / "broken.py"
    path.write_bytes(path.read_bytes() + b"\nNAME = 'caf\xe9'\n")
    reason = refusal(folder, file)
    assert "broken.py" in reason
    assert "utf-8" in reason.lower()


def test_a_module_with_null_bytes_is_refused(folder: Folder) -> None:
    file = folder.plugin("broken")
    (folder.path / "broken.py").write_bytes(b"x = 1\n\0\n")
    assert "null bytes" in refusal(folder, file)


def test_a_syntax_error_elsewhere_names_that_file(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "broken_site_lib.py").write_text("ok = 1\ndef (:\n")
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))
    try:
        reason = refusal(folder, folder.plugin("broken", "import broken_site_lib\n"))
    finally:
        monkeypatch.undo()
    assert f"line 2 of {tmp_path / 'lib' / 'broken_site_lib.py'}" in reason


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[Core]\nName = broken\n", ["no 'Module'", "[Core]"]),
        ("[Core]\nModule = aaa\n", ["no 'Name'", "[Core]"]),
        ("[Core]\nName = \nModule = aaa\n", ["no 'Name'"]),
        ("[Cor]\nName = broken\nModule = aaa\n", ["no 'Name'", "[Core]"]),
        ("[Documentation]\nAuthor = me\n", ["[Core]"]),
        ("", ["[Core]"]),
        ("Name = broken\nModule = aaa\n", ["not a valid INI file"]),
        ("[Core\nName = broken\n", ["not a valid INI file"]),
        ("[Core]\nName = a\nName = b\nModule = aaa\n", ["not a valid INI file", "name"]),
        ("[Core]\nName = broken\nModule = no_such\n", ["'no_such' does not exist", "no_such.py"]),
        ("[Core]\nName = broken\nModule = no_such.py\n", ["does not exist", "no_such.py"]),
        ("[Core]\nName = broken\nModule = /\n", ["does not exist"]),
        ("[Core]\nName = broken\nModule = ..\n", ["does not exist"]),
    ],
)
def test_a_broken_info_file_is_refused_with_its_reason(
    folder: Folder, text: str, parts: list[str]
) -> None:
    reason = refusal(folder, folder.info("broken", text=text))
    for part in parts:
        assert part in reason


def test_an_info_file_that_is_not_utf8_is_refused(folder: Folder) -> None:
    file = folder.plugin("broken")
    file.write_bytes(b"[Core]\nName = caf\xe9\nModule = broken\n")
    assert "not UTF-8 text (byte 17)" in refusal(folder, file)


def test_an_info_file_that_leads_nowhere_is_refused(folder: Folder) -> None:
    file = folder.path / "broken.yapsy-plugin"
    file.symlink_to("no_such_file")
    assert "cannot be read: No such file" in refusal(folder, file)


def test_a_folder_called_like_an_info_file_is_refused(folder: Folder) -> None:
    file = folder.path / "broken.yapsy-plugin"
    file.mkdir()
    assert "cannot be read" in refusal(folder, file)


@contextmanager
def as_mortal() -> Iterator[None]:
    """Act as a user whom permissions concern; root is not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_unreadable_files_and_folders_are_refused() -> None:
    # pytest's own folders are closed to others, and this may run as root.
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o755)
        folder = Folder(Path(root) / "plugins")
        closed, blind = Folder(folder.path / "closed"), Folder(folder.path / "blind")
        info, module = folder.plugin("info"), folder.plugin("module")
        closed.plugin("hidden")
        blind.plugin("seen")
        folder.plugin("good")
        info.chmod(0)
        (folder.path / "module.py").chmod(0)
        closed.path.chmod(0)
        blind.path.chmod(0o444)
        try:
            with as_mortal():
                finder = folder.find()
        finally:
            closed.path.chmod(0o755)
            blind.path.chmod(0o755)
    assert names(finder) == ["good"]
    reasons = {refused.file: refused.reason for refused in finder.refused}
    assert set(reasons) == {info, module, closed.path, blind.path}
    assert all("cannot be read: Permission denied" in reason for reason in reasons.values())
    assert "directory" in reasons[closed.path]
    assert "module.py" in reasons[module]


def test_a_folder_that_does_not_exist_is_no_error(tmp_path: Path) -> None:
    finder = PluginFinder([tmp_path / "none"], {"sched": SchedulerPlugin}).find()
    assert (finder.loaded, finder.refused) == ([], [])


def test_a_file_in_place_of_a_folder_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "plugins"
    file.write_text("")
    finder = PluginFinder([file], {"sched": SchedulerPlugin}).find()
    assert [refused.file for refused in finder.refused] == [file]
    assert "Not a directory" in finder.refused[0].reason


# ------------------------------------------------------------------------------ what is a plugin


@pytest.mark.parametrize(
    "code",
    [
        # Base classes in the module's namespace, in every way they get there.
        """
    from pavilion import schedulers
    from pavilion.schedulers import *
    from pavilion.schedulers import SchedulerPlugin, SchedulerPluginBasic, BasicSchedulerPlugin
    from pavilion.schedulers.advanced import SchedulerPluginAdvanced
    from pavilion.schedulers.plugins.raw import Raw
    Base = SchedulerPluginBasic
    class Mine(Base):
        def __init__(self):
            super().__init__("mine", "Mine.")
    Alias = Mine
    """,
        # A helper base class of its own.
        """
    from pavilion.schedulers import SchedulerPluginBasic
    class Helper(SchedulerPluginBasic):
        def __init__(self, name):
            super().__init__(name, "Mine.")
    class Mine(Helper):
        def __init__(self):
            super().__init__("mine")
    """,
        # A base class that is marked as one, with nothing derived from it here.
        """
    from pavilion.schedulers import SchedulerPluginBasic
    class Family(SchedulerPluginBasic):
        IS_PLUGIN_BASE = True
    class Mine(SchedulerPluginBasic):
        def __init__(self):
            super().__init__("mine", "Mine.")
    """,
        # Derived from a bundled plugin.
        """
    from pavilion.schedulers.plugins.raw import Raw
    class Mine(Raw):
        def __init__(self):
            super().__init__()
            self.name = "mine"
    """,
        # The base class alone, by the module.
        """
    import pavilion.schedulers as s
    class Mine(s.scheduler.SchedulerPlugin):
        def __init__(self):
            s.scheduler.SchedulerPlugin.__init__(self, name="mine", description="Mine.")
        def available(self):
            return True
    """,
    ],
)
def test_base_classes_are_not_mistaken_for_the_plugin(folder: Folder, code: str) -> None:
    folder.plugin("mine", code)
    finder = folder.find()
    assert [refused.reason for refused in finder.refused] == []
    assert names(finder) == ["mine"]
    assert type(finder.loaded[0].plugin).__name__ == "Mine"
    assert finder.loaded[0].category == "sched"
    assert finder.loaded[0].file == folder.path / "mine.yapsy-plugin"
    assert Path(finder.loaded[0].plugin.path) == folder.path / "mine.py"


def test_a_class_may_come_from_another_module(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lib = Folder(tmp_path / "lib")
    lib.module("site_sched_impl", GOOD.format(cls="Impl", name="mine"))
    monkeypatch.syspath_prepend(str(lib.path))
    folder.plugin("mine", "from site_sched_impl import Impl\n")
    finder = folder.find()
    monkeypatch.undo()
    del sys.modules["site_sched_impl"]
    assert names(finder) == ["mine"]


def test_a_plugin_may_be_a_package_with_siblings(folder: Folder) -> None:
    folder.module("pack/__init__", "from .impl import Pack\n")
    folder.module(
        "pack/impl",
        "from .base import Base\n\nclass Pack(Base):\n"
        "    def __init__(self):\n        super().__init__('pack', 'P.')\n",
    )
    folder.module(
        "pack/base",
        "from pavilion.schedulers import SchedulerPluginBasic\n\n"
        "class Base(SchedulerPluginBasic):\n    pass\n",
    )
    folder.info("pack")
    finder = folder.find()
    assert finder.refused == []
    assert names(finder) == ["pack"]


def test_a_folder_that_is_no_package_does_not_hide_a_module(folder: Folder) -> None:
    folder.plugin("mine")
    (folder.path / "mine").mkdir()
    assert names(folder.find()) == ["mine"]


def test_a_folder_that_is_no_package_is_no_plugin(folder: Folder) -> None:
    (folder.path / "empty").mkdir()
    assert "empty/__init__.py" in refusal(folder, folder.info("broken", "empty"))


def test_module_may_be_written_with_its_suffix_and_info_files_with_a_mark(folder: Folder) -> None:
    folder.plugin("mine")
    folder.info(
        "mine",
        text="\ufeff[Core]\nName = mine\nModule = mine.py\n\n"
        "[Documentation]\nAuthor = 100% me\nVersion = 1.2\n",
    )
    finder = folder.find()
    assert names(finder) == ["mine"]
    info = finder.getPluginsOfCategory("sched")[0]
    assert (info.name, info.author, str(info.version)) == ("mine", "100% me", "1.2")


def test_subfolders_are_searched_and_modules_may_lie_elsewhere(folder: Folder) -> None:
    Folder(folder.path / "deep" / "down").plugin("inner")
    folder.module("elsewhere/code", GOOD.format(cls="Outer", name="outer"))
    folder.info("outer", "elsewhere/code")
    assert sorted(names(folder.find())) == ["inner", "outer"]


def test_modules_of_one_name_in_two_folders_do_not_meet(tmp_path: Path) -> None:
    folders = [Folder(tmp_path / name) for name in ("one", "two")]
    for number, folder in enumerate(folders):
        folder.module("sched", GOOD.format(cls="Sched", name=f"sched{number}"))
        folder.info("sched")
    finder = PluginFinder([folder.path for folder in folders], {"sched": SchedulerPlugin}).find()
    assert names(finder) == ["sched0", "sched1"]
    classes = {type(found.plugin) for found in finder.loaded}
    assert len(classes) == 2


def test_links_that_lead_in_circles_are_followed_once(folder: Folder, tmp_path: Path) -> None:
    folder.plugin("mine")
    other = Folder(tmp_path / "other")
    other.plugin("linked")
    (folder.path / "a").symlink_to(folder.path)
    (folder.path / "b").symlink_to(folder.path)
    (folder.path / "other").symlink_to(other.path)
    (other.path / "back").symlink_to(folder.path)
    (folder.path / "self").symlink_to("self")
    finder = PluginFinder(
        [folder.path, folder.path / "a", other.path], {"sched": SchedulerPlugin}
    ).find()
    assert sorted(names(finder)) == ["linked", "mine"]
    assert finder.refused == []


def test_plugins_come_in_the_order_of_their_names(folder: Folder) -> None:
    for name in ("m", "z", "a", "k"):
        folder.plugin(name)
    assert names(folder.find()) == ["a", "k", "m", "z"]


def test_several_categories(folder: Folder) -> None:
    class Other:
        pass

    folder.plugin("mine")
    folder.plugin("other", "import builtins\nclass Mine(builtins.other_base):\n    name = 'o'\n")
    import builtins

    builtins.other_base = Other  # type: ignore[attr-defined]
    try:
        finder = PluginFinder([folder.path], {"sched": SchedulerPlugin, "other": Other}).find()
    finally:
        del builtins.other_base  # type: ignore[attr-defined]
    assert [(found.category, found.plugin.name) for found in finder.loaded] == [
        ("sched", "mine"),
        ("other", "o"),
    ]


# ------------------------------------------------------------------------------- bundled plugins


def test_bundled_plugins_are_found_and_are_the_imported_classes() -> None:
    finder = plugins.find_core_plugins()
    assert finder.refused == []
    found = {found.plugin.name: type(found.plugin) for found in finder.loaded}
    assert found["raw"] is Raw
    assert plugins.register_core_plugins() == []
    assert type(get_plugin("raw")) is Raw
    # Once more is no clash.
    assert plugins.register_core_plugins() == []


BESIDE = """
    from ..basic import SchedulerPluginBasic
    from ..config import min_int, validate_list
    from ..scheduler import KickoffScriptHeader, SchedulerPlugin
    from ..vars import SchedulerVariables
    from ...errors import SchedulerPluginError

    class {cls}(SchedulerPluginBasic):
        VAR_CLASS = SchedulerVariables
        def __init__(self):
            super().__init__("{name}", "Beside the bundled ones.")
"""
# What a package of this layout has in common with the real one.
PACKAGE = {
    "__init__": "",
    "errors": "from pavilion.errors import *\n",
    "schedulers/__init__": "",
    "schedulers/basic": "from pavilion.schedulers.basic import *\n",
    "schedulers/config": "from pavilion.schedulers.config import *\n",
    "schedulers/scheduler": "from pavilion.schedulers.scheduler import *\n",
    "schedulers/vars": "from pavilion.schedulers.vars import *\n",
    "schedulers/plugins/__init__": "",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    """The plugins folder of a package like pavilion.schedulers."""
    root = Folder(tmp_path / "root" / "fakepkg")
    for name, code in PACKAGE.items():
        root.module(name, code)
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(tmp_path / "root"))
        yield Folder(root.path / "schedulers" / "plugins")


def find_in_package(package: Folder) -> PluginFinder:
    return PluginFinder(
        [package.path],
        {"sched": SchedulerPlugin},
        packages={package.path: "fakepkg.schedulers.plugins"},
    ).find()


def test_a_module_put_beside_the_bundled_ones_uses_relative_imports(package: Folder) -> None:
    package.plugin("mine", BESIDE.format(cls="Mine", name="mine"))
    finder = find_in_package(package)
    assert finder.refused == []
    assert names(finder) == ["mine"]
    module = sys.modules["fakepkg.schedulers.plugins.mine"]
    assert type(finder.loaded[0].plugin) is module.Mine


def test_a_package_put_beside_the_bundled_ones_is_imported_under_its_name(package: Folder) -> None:
    package.module("pack/__init__", "from .impl import Pack\n")
    package.module(
        "pack/impl", BESIDE.format(cls="Pack", name="pack").replace("from ..", "from ...")
    )
    package.info("pack")
    # And one whose info file is inside it.
    package.module("deep/__init__", "")
    package.module(
        "deep/impl", BESIDE.format(cls="Deep", name="deep").replace("from ..", "from ...")
    )
    Folder(package.path / "deep").info("impl")
    finder = find_in_package(package)
    assert [refused.reason for refused in finder.refused] == []
    assert sorted(names(finder)) == ["deep", "pack"]
    assert not any(name.endswith("__init__") for name in sys.modules)
    for found in finder.loaded:
        cls = type(found.plugin)
        assert cls is getattr(sys.modules[cls.__module__], cls.__name__)
        assert cls.__module__.startswith("fakepkg.schedulers.plugins.")


def test_a_module_beside_the_bundled_ones_may_be_a_link(package: Folder, tmp_path: Path) -> None:
    elsewhere = Folder(tmp_path / "elsewhere")
    real = elsewhere.module("real", BESIDE.format(cls="Mine", name="mine"))
    (package.path / "mine.py").symlink_to(real)
    package.info("mine")
    finder = find_in_package(package)
    assert finder.refused == []
    assert names(finder) == ["mine"]


def test_a_package_that_is_a_link_itself(package: Folder, tmp_path: Path) -> None:
    # As lib/pavilion/schedulers is one in a checkout.
    package.plugin("mine", BESIDE.format(cls="Mine", name="mine"))
    link = tmp_path / "link"
    link.symlink_to(package.path)
    finder = PluginFinder(
        [link], {"sched": SchedulerPlugin}, packages={link: "fakepkg.schedulers.plugins"}
    ).find()
    assert finder.refused == []
    assert names(finder) == ["mine"]


def test_a_broken_module_beside_the_bundled_ones_stops_none(package: Folder) -> None:
    package.plugin("mine", BESIDE.format(cls="Mine", name="mine"))
    package.plugin("broken", "from ..nothing import X\n")
    package.plugin("worse", "def f(:\n")
    finder = find_in_package(package)
    assert names(finder) == ["mine"]
    assert [refused.file.stem for refused in finder.refused] == ["broken", "worse"]


def test_a_refused_bundled_plugin_is_logged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(plugins, "FOLDER", tmp_path)
    folder = Folder(tmp_path)
    folder.plugin("broken", "def f(:\n")
    with pytest.raises(scheduler.SchedulerPluginError, match=r"(?s)could be loaded.*broken"):
        SchedulerPlugin.register_core_plugins()
    # In the real folder, beside ours.
    monkeypatch.undo()
    finder = plugins.find_core_plugins()
    finder.refuse(tmp_path / "broken.yapsy-plugin", "Syntax error.")
    monkeypatch.setattr(plugins, "find_core_plugins", lambda: finder)
    SchedulerPlugin.register_core_plugins()
    assert "raw" in list_plugins()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "broken.yapsy-plugin cannot be used. Syntax error." in caplog.text


# --------------------------------------------------------------------------------------- activation


def test_activation_reports_clashes_naming_both_files(folder: Folder) -> None:
    for name in ("one", "two"):
        folder.module(name, GOOD.format(cls="Same", name="same"))
        folder.info(name)
    folder.plugin("other")
    finder = folder.find()
    active = plugins.activate_plugins(finder)
    assert [found.plugin.name for found in active] == ["same", "other"] or [
        found.plugin.name for found in active
    ] == ["other", "same"]
    assert list_plugins() == ["other", "same"]
    assert len(finder.refused) == 1
    for name in ("one", "two"):
        assert str(folder.path / f"{name}.py") in finder.refused[0].reason


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("def activate(self): raise KeyError('x')", "KeyError"),
        ("def activate(self): raise SystemExit('no')", "SystemExit"),
        ("def _get_config_elems(self): return 5", "_get_config_elems"),
        ("def _get_config_elems(self): raise OSError('no qmgr')", "no qmgr"),
        ("def __init__(self): pass", "does not call super().__init__"),
    ],
)
def test_a_plugin_that_cannot_be_activated_is_refused(
    folder: Folder, body: str, reason: str
) -> None:
    code = GOOD.format(cls="Broken", name="broken")
    folder.plugin("broken", f"{code}\n    {body}\n")
    folder.plugin("good")
    finder = folder.find()
    assert [found.file.stem for found in finder.loaded] == ["broken", "good"]
    plugins.activate_plugins(finder)
    assert list_plugins() == ["good"]
    assert [refused.file.stem for refused in finder.refused] == ["broken"]
    assert reason in finder.refused[0].reason


# ------------------------------------------------------------------------------------ whole hosts


def host_cfg(tmp_path: Path, *folders: Folder) -> FakePavConfig:
    cfg = FakePavConfig(tmp_path, tmp_path)
    cfg.configs = {
        f"label{number}": {"path": folder.path.parent} for number, folder in enumerate(folders)
    }
    return cfg


def test_the_host_loads_bundled_and_users_plugins_and_says_what_is_wrong(tmp_path: Path) -> None:
    one, two = Folder(tmp_path / "one" / "plugins"), Folder(tmp_path / "two" / "plugins")
    one.plugin("mine")
    one.plugin("broken", "raise RuntimeError('boom')\n")
    two.plugin("yours")
    report = load_plugins(host_cfg(tmp_path, one, two))  # type: ignore[arg-type]
    assert {"raw", "mine", "yours"} <= set(list_plugins())
    assert {found.plugin.name for found in report.loaded} >= {"raw", "mine", "yours"}
    assert [refused.file for refused in report.refused] == [one.path / "broken.yapsy-plugin"]
    assert "boom" in report.refused[0].reason


def test_disabled_plugins_are_not_activated(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "one" / "plugins")
    folder.plugin("mine")
    folder.plugin("yours")
    cfg = host_cfg(tmp_path, folder)
    cfg.disable_plugins = ["sched.raw", "sched.mine"]
    report = load_plugins(cfg)  # type: ignore[arg-type]
    assert "yours" in list_plugins()
    assert not {"raw", "mine"} & set(list_plugins())
    assert {found.plugin.name for found in report.disabled} == {"raw", "mine"}
    assert "raw" not in validate_config({})


def test_loading_again_starts_anew(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "one" / "plugins")
    info = folder.plugin("mine")
    cfg = host_cfg(tmp_path, folder)
    first = load_plugins(cfg)  # type: ignore[arg-type]
    again = load_plugins(cfg)  # type: ignore[arg-type]
    assert again.refused == first.refused == []
    info.unlink()
    load_plugins(cfg)  # type: ignore[arg-type]
    assert "mine" not in list_plugins()


def test_a_plugin_of_higher_priority_takes_the_place_of_a_bundled_one(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "one" / "plugins")
    folder.plugin(
        "site_raw",
        """
        from pavilion.schedulers.plugins.raw import Raw
        class SiteRaw(Raw):
            def __init__(self):
                super().__init__()
                self.priority = self.PRIO_USER
        """,
    )
    report = load_plugins(host_cfg(tmp_path, folder))  # type: ignore[arg-type]
    assert report.refused == []
    assert type(get_plugin("raw")).__name__ == "SiteRaw"
    assert validate_config({})["raw"] == {"concurrent": None}


def plain_host(folder: Folder) -> list[Any]:
    """Load plugins as a Pavilion core does: with yapsy's own manager."""
    manager = PluginManager(
        directories_list=[str(folder.path)], categories_filter={"sched": SchedulerPlugin}
    )
    manager.collectPlugins()
    return [info.plugin_object for info in manager.getPluginsOfCategory("sched")]


def test_a_plain_yapsy_manager_of_a_host_works_with_our_base_class(folder: Folder) -> None:
    folder.plugin(
        "mine",
        """
        from pavilion import schedulers
        class Mine(schedulers.SchedulerPluginBasic):
            def __init__(self):
                super().__init__("mine", "Mine.", priority=10)
            def available(self):
                return True
        """,
    )
    folder.module(
        "pack/__init__",
        "from pavilion import schedulers\nfrom .impl import NAME\n"
        "class Pack(schedulers.SchedulerPlugin):\n"
        "    def __init__(self):\n"
        "        super().__init__(NAME, 'P.')\n",
    )
    folder.module("pack/impl", "NAME = 'pack'\n")
    folder.info("pack")
    found = plain_host(folder)
    assert sorted(plugin.name for plugin in found) == ["mine", "pack"]
    for plugin in found:
        plugin.activate()
    assert list_plugins() == ["mine", "pack"]
    assert get_plugin("mine").available()
    assert Path(get_plugin("mine").path) == folder.path / "mine.py"


# A process of its own: what was imported before must not matter.
NO_COMMANDS = """
import os, subprocess, sys
def refuse(*args, **kwargs):
    raise SystemExit(f"a command was run while loading: {args}")
subprocess.Popen.__init__ = refuse
os.system = os.popen = os.posix_spawn = os.fork = os.execv = os.execve = refuse
from pavilion.schedulers import SchedulerPlugin, list_plugins, get_plugin
SchedulerPlugin.register_core_plugins()
for name in list_plugins():
    get_plugin(name).get_conf()
print(*list_plugins())
"""


def test_loading_runs_no_commands(tmp_path: Path) -> None:
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    for command in ("scontrol", "sinfo", "squeue", "sbatch", "srun", "scancel"):
        (bin_dir / command).write_text(f"#!/bin/sh\ntouch {tmp_path}/called\n")
        (bin_dir / command).chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", NO_COMMANDS],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, "PATH": f"{bin_dir}:{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stderr
    assert "raw" in done.stdout.split()
    assert not (tmp_path / "called").exists()


def test_imports_that_yapsy_needs_are_not_left_to_others() -> None:
    code = (
        "import pavilion.schedulers, sys\n"
        "import yapsy.PluginManager\n"
        "print('imp' in sys.modules, 'distutils' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    if sys.version_info >= (3, 12):
        assert done.stdout.split() == ["False", "False"]
    assert done.stderr == ""


def test_starting_loads_no_more_than_it_needs() -> None:
    """Every command of the host starts with this, a kickoff script's too."""
    code = (
        "import sys\n"
        # With coverage, there is much already.
        "before = set(sys.modules)\n"
        "from pavilion import schedulers\n"
        "schedulers.register_core_plugins()\n"
        "print(*set(sys.modules) - before)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    # Each of these loads much more, or is slow to load.
    unwanted = {"dataclasses", "inspect", "tempfile", "subprocess", "importlib.metadata", "asyncio"}
    if sys.version_info >= (3, 12):  # Yapsy's own imports differ before that.
        assert not unwanted & set(done.stdout.split())
    assert not {"importlib.metadata", "asyncio"} & set(done.stdout.split())
