"""System variables: worked out when asked for, deferred where they must be, and extensible."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pavilion import sys_vars
from pavilion.config import load_config
from pavilion.deferred import DeferredVariable
from pavilion.errors import PluginError, VariableError
from pavilion.plugins import load_plugins
from pavilion.sys_vars import SystemPlugin, core


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    sys_vars.reset()
    yield
    sys_vars.reset()


class Counting(SystemPlugin):
    """Counts how often it is asked."""

    def __init__(self, name: str = "counting", value: Any = "x", **kwargs: Any) -> None:
        super().__init__(name, "Counts.", **kwargs)
        self.asked = 0
        self.value = value

    def _get(self) -> Any:
        self.asked += 1
        if isinstance(self.value, Exception):
            raise self.value
        return self.value


HOST = ["host_name", "host_arch", "host_os", "host_cpus"]
SYSTEM = ["sys_name", "sys_host", "sys_arch", "sys_os"]


def test_the_name_of_the_system_is_known_early() -> None:
    assert sys_vars.get_vars(True)["sys_name"] == sys_vars.get_vars(False)["sys_name"] != ""


@pytest.mark.parametrize(
    "host, name",
    [
        ("tall", "tall"),
        ("tall12", "tall"),
        ("tall-login3.example.org", "tall-login"),
        ("fe_02", "fe"),
        ("123", "123"),
    ],
)
def test_the_name_of_the_system_is_that_of_its_hosts(
    monkeypatch: pytest.MonkeyPatch, host: str, name: str
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    assert sys_vars.get_vars(True)["sys_name"] == name
    assert sys_vars.get_vars(True)["sys_host"] == host.partition(".")[0]


def test_a_site_may_set_the_name_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAV_SYS_NAME", "cluster7")
    assert sys_vars.get_vars(True)["sys_name"] == "cluster7"


def test_what_is_about_the_tests_host_is_deferred() -> None:
    outside, inside = sys_vars.get_vars(True), sys_vars.get_vars(False)
    assert sorted(outside) == sorted(HOST + SYSTEM)
    assert len(outside) == 8
    for key in HOST:
        assert outside[key] == DeferredVariable()
        assert outside.info(key)["deferred"]
        assert inside[key] not in ("", {}, [])
    for key in SYSTEM:
        assert outside[key] == inside[key]
        assert not outside.info(key)["deferred"]
    assert set(inside["host_os"]) == {"name", "version"}
    assert int(inside["host_cpus"]) == os.cpu_count()


def test_all_have_a_help_text() -> None:
    found = sys_vars.get_vars(True)
    for key in found:
        assert found.info(key)["help"].endswith((".", "'"))
        assert found.info(key)["name"] == key


def test_a_variable_is_asked_once_per_set_and_only_when_needed() -> None:
    plugin = Counting()
    plugin.activate()
    found = sys_vars.get_vars(True)
    assert "counting" in found
    assert list(found)
    assert plugin.asked == 0
    assert (found["counting"], found["counting"]) == ("x", "x")
    assert plugin.asked == 1


@pytest.mark.parametrize(
    "value, normal", [(3, "3"), ([1, 2], ["1", "2"]), ({"a": 1}, {"a": "1"}), (Path("/x"), "/x")]
)
def test_values_become_text(value: Any, normal: Any) -> None:
    Counting(value=value).activate()
    assert sys_vars.get_vars(True)["counting"] == normal


@pytest.mark.parametrize("value", [OSError("no licence server"), object(), [[1]]])
def test_a_variable_that_fails_names_itself(value: Any) -> None:
    Counting(value=value).activate()
    with pytest.raises(VariableError, match="'counting' cannot be worked out"):
        sys_vars.get_vars(True)["counting"]


def test_an_unknown_name_gets_its_near_match() -> None:
    found = sys_vars.get_vars(True)
    with pytest.raises(KeyError, match=r"sys_nam.*Did you mean 'sys_name'"):
        found["sys_nam"]
    with pytest.raises(KeyError):
        found.info("sys_nam")
    assert found.get("sys_nam") is None


def test_the_higher_priority_wins_in_any_order() -> None:
    high = Counting("sys_name", "mine", priority=SystemPlugin.PRIO_USER)
    low = Counting("sys_name", "theirs", priority=SystemPlugin.PRIO_COMMON)
    for order in ([high, low], [low, high]):
        sys_vars.reset()
        for plugin in order:
            plugin.activate()
        assert sys_vars.get_vars(True)["sys_name"] == "mine"


def test_a_plugin_replaces_a_bundled_variable_after_it_was_used() -> None:
    before = sys_vars.get_vars(True)["sys_name"]
    plugin = Counting("sys_name", before + "!")
    plugin.activate()
    assert sys_vars.get_vars(True)["sys_name"] == before + "!"
    plugin.deactivate()
    assert "sys_name" not in sys_vars.get_vars(True)


def test_two_of_one_name_and_priority_are_an_error_that_names_both_files() -> None:
    class Other(Counting):
        pass

    Counting().activate()
    with pytest.raises(PluginError) as caught:
        Other().activate()
    assert str(caught.value).count(__file__) == 2


def test_a_plugin_without_get_says_so() -> None:
    SystemPlugin("empty", "Nothing.").activate()
    with pytest.raises(VariableError, match=r"_get\(\)"):
        sys_vars.get_vars(True)["empty"]


def test_plugins_of_a_config_folder_are_used(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "plugins" / "deep"
    folder.mkdir(parents=True)
    (folder / "rack.py").write_text(
        "from pavilion.sys_vars import SystemPlugin\n"
        "class Rack(SystemPlugin):\n"
        "    def __init__(self):\n"
        "        super().__init__('rack', 'The rack.', is_deferable=True)\n"
        "    def _get(self):\n"
        "        return 'r7'\n"
    )
    (folder / "rack.yapsy-plugin").write_text("[Core]\nName = rack\nModule = rack\n")
    report = load_plugins(load_config(working_dir=tmp_path, config_dirs=[tmp_path / "config"]))
    assert report.refused == []
    assert sys_vars.get_vars(True)["rack"] == DeferredVariable()
    assert sys_vars.get_vars(False)["rack"] == "r7"


def test_threads_that_ask_at_once_all_get_all_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The runner prepares the tests of a job in several threads."""
    entered, go = threading.Event(), threading.Event()

    class Slow(core.CorePlugin):
        """Takes its time to load."""

        NAME = "slow"

        def activate(self) -> None:
            entered.set()
            assert go.wait(10)
            super().activate()

    monkeypatch.setattr(core, "CORE_PLUGINS", [Slow, *core.CORE_PLUGINS])
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(lambda: sorted(sys_vars.get_vars(False)))
        assert entered.wait(10)
        others = [pool.submit(lambda: sorted(sys_vars.get_vars(False))) for _ in range(2)]
        # They must wait for the first.  Those that do not are done in no time.
        threading.Event().wait(0.05)
        assert not any(other.done() for other in others)
        go.set()
        assert [other.result() for other in others] == [first.result()] * 2
    assert len(first.result()) == 9
