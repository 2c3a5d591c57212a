"""What every scheduler plugin has: attributes, activation, sections, names, availability
(the contract, section 3)."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import ConcurrentSched, FakeHost, FakeSched, active

import yaml_config as yc
from pavilion.errors import SchedConfigError, SchedulerPluginError
from pavilion.schedulers import (
    KickoffScriptHeader,
    SchedulerPlugin,
    SchedulerPluginAdvanced,
    SchedulerPluginBasic,
    SchedulerVariables,
    get_plugin,
    list_plugins,
    validate_config,
)
from pavilion.schedulers.config import (
    CONFIG_DEFAULTS,
    CONFIG_VALIDATORS,
    ScheduleConfig,
    min_int,
)
from pavilion.schedulers.finding import registry
from pavilion.schedulers.finding.registry import require_plugin
from pavilion.schedulers.scheduler import _SCHEDULER_PLUGINS
from pavilion.status_file import STATES, TestStatusInfo


@pytest.fixture(autouse=True)
def _no_plugin_is_left() -> Iterator[None]:
    # Nor of what another file's tests loaded.
    registry.reset()
    keys = [elem.name for elem in ScheduleConfig.ELEMENTS]
    yield
    registry.reset()
    assert [elem.name for elem in ScheduleConfig.ELEMENTS] == keys
    assert set(CONFIG_VALIDATORS) == set(CONFIG_DEFAULTS) == set(keys)


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path)


# ---------------------------------------------------------------------------------- attributes


def test_class_attributes() -> None:
    cls = SchedulerPlugin
    assert (cls.PRIO_CORE, cls.PRIO_COMMON, cls.PRIO_USER) == (0, 10, 20)
    assert cls.KICKOFF_FN is None
    assert cls.KICKOFF_LOG_DEFAULT_FN == "kickoff.log"
    assert cls.ISOLATE_KICKOFF_SUFFIX == "_isolated"
    assert cls.SCHED_DATA_FN == "sched_data.txt"
    assert cls.VAR_CLASS is SchedulerVariables
    assert cls.KICKOFF_SCRIPT_HEADER_CLASS is KickoffScriptHeader
    assert set(cls.NODE_SELECTION) == {"contiguous", "random", "distributed", "rand_dist"}
    assert all(len(select(["a", "b", "c"], 2)) == 2 for select in cls.NODE_SELECTION.values())
    assert isinstance(cls.JOB_SHARE_KEY_ATTRS, list)
    assert cls.JOB_STATUS_TIMEOUT > 0
    assert SchedulerPluginBasic.IS_CONCURRENT is True


def test_instance_attributes() -> None:
    plugin = FakeSched("mine", 20)
    assert (plugin.name, plugin.description, plugin.priority) == ("mine", "A fake scheduler.", 20)
    assert Path(plugin.path) == Path(__file__).with_name("fakes.py")
    assert plugin._job_statuses == {}


def test_default_priorities_of_the_families() -> None:
    assert SchedulerPlugin("a", "A.").priority == 0
    assert SchedulerPluginBasic("a", "A.").priority == 10
    assert SchedulerPluginAdvanced("a", "A.").priority == 10
    assert SchedulerPluginAdvanced("a", "A.", priority=20).priority == 20


def test_a_class_made_by_hand_still_works() -> None:
    cls = type("Handmade", (SchedulerPlugin,), {"__module__": "no.such.module"})
    assert cls("handmade", "Made by hand.").name == "handmade"


# ---------------------------------------------------------------------------------- activation


class Sectioned(FakeSched):
    """With a section of its own."""

    def _get_config_elems(self) -> Any:
        return (
            [
                yc.StrElem("queue"),
                yc.StrElem("depth"),
                yc.StrElem("mode"),
                yc.ListElem("features", sub_elem=yc.StrElem()),
                yc.KeyedElem("limits", elements=[yc.StrElem("cpus")]),
            ],
            {
                "queue": None,
                "depth": int,
                "mode": ("fast", "slow"),
                "features": lambda value: [value] if isinstance(value, str) else list(value or []),
                "limits": {"cpus": min_int("limits.cpus", 1)},
            },
            {"mode": "slow", "limits": {"cpus": "4"}},
        )


def test_activation_makes_a_plugin_known() -> None:
    assert list_plugins() == []
    first, second = FakeSched("zeta"), FakeSched("alpha")
    first.activate()
    second.activate()
    assert first.is_activated
    assert list_plugins() == ["alpha", "zeta"]
    assert get_plugin("zeta") is first is _SCHEDULER_PLUGINS["zeta"]
    first.deactivate()
    assert not first.is_activated
    assert list_plugins() == ["alpha"]
    first.deactivate()
    second.activate()
    assert get_plugin("alpha") is second


def test_activation_adds_section_validators_and_defaults() -> None:
    with active(Sectioned()):
        assert "fake" in ScheduleConfig().config_elems
        assert validate_config({})["fake"] == {
            "queue": None,
            "depth": None,
            "mode": "slow",
            "features": None,
            "limits": {"cpus": 4},
        }
        section = {
            "queue": "q",
            "depth": "3",
            "mode": "FAST",
            "features": "a",
            "limits": {"cpus": "2"},
        }
        once = validate_config({"fake": section})
        assert once["fake"] == {
            "queue": "q",
            "depth": 3,
            "mode": "fast",
            "features": ["a"],
            "limits": {"cpus": 2},
        }
        assert validate_config(once) == once
        for wrong, message in (
            ({"depth": "x"}, r"'x' for schedule\.fake\.depth"),
            ({"mode": "medium"}, r"schedule\.fake\.mode.*fast, slow"),
            ({"limits": {"cpus": "0"}}, r"schedule\.fake\.limits\.cpus"),
            ({"quueue": "x"}, r"'quueue' in schedule\.fake\..*'queue'"),
        ):
            with pytest.raises(SchedConfigError, match=message):
                validate_config({"fake": wrong})
    assert "fake" not in ScheduleConfig().config_elems
    assert "fake" not in validate_config({})


def test_get_conf() -> None:
    assert FakeSched().get_conf() == (None, {}, {})
    elem, validators, defaults = Sectioned().get_conf()
    assert isinstance(elem, yc.KeyedElem)
    assert elem.name == "fake"
    assert set(elem.config_elems) == set(validators)
    assert defaults == {"mode": "slow", "limits": {"cpus": "4"}}


@pytest.mark.parametrize(
    ("conf", "message"),
    [
        (([yc.StrElem("queue")], {"quue": int}, {}), "a validator for 'quue', which is not one"),
        (([yc.StrElem("queue")], {}, {"quue": "1"}), "a default for 'quue', which is not one"),
        (
            ([yc.KeyedElem("limits", [yc.StrElem("cpus")])], {"limits": {"cpu": int}}, {}),
            "a validator for 'limits.cpu', which is not one of its keys (cpus)",
        ),
        (
            ([yc.KeyedElem("limits", [yc.StrElem("cpus")])], None, {"limits": {"cpu": "1"}}),
            "a default for 'limits.cpu', which is not one of its keys (cpus)",
        ),
        (([yc.IntElem("depth")], {"depth": int}, {}), "'depth' is a IntElem; only StrElem"),
        (([yc.StrElem("queue")], {"queue": None}), "_get_config_elems"),
        (None, "_get_config_elems"),
        ((["queue"], {"queue": None}, {}), "_get_config_elems"),
    ],
)
def test_a_section_that_is_put_together_wrong_is_refused(conf: Any, message: str) -> None:
    class Wrong(FakeSched):
        def _get_config_elems(self) -> Any:
            return conf

    with pytest.raises(SchedulerPluginError) as caught:
        Wrong().activate()
    assert "'fake'" in str(caught.value)
    assert __file__ in str(caught.value)
    assert message in caught.value.pformat()
    assert list_plugins() == []


@pytest.mark.parametrize("nothing", [None, {}])
def test_validators_and_defaults_are_optional(nothing: Any) -> None:
    class Short(FakeSched):
        def _get_config_elems(self) -> Any:
            return (
                [
                    yc.StrElem("queue"),
                    yc.ListElem("features", sub_elem=yc.StrElem()),
                    yc.CategoryElem("licenses", sub_elem=yc.StrElem()),
                    yc.KeyedElem("limits", [yc.StrElem("cpus"), yc.ListElem("ids")]),
                ],
                nothing,
                nothing,
            )

    with active(Short()):
        assert validate_config({})["fake"] == {
            "queue": None,
            "features": None,
            "licenses": None,
            "limits": {"cpus": None, "ids": None},
        }
        section = {
            "queue": "7",
            "features": "a",
            "licenses": {"abaqus": "2"},
            "limits": {"cpus": "4", "ids": ["1"]},
        }
        once = validate_config({"fake": section})
        assert once["fake"] == dict(section, features=["a"])
        assert validate_config(once) == once
        # Keys are checked all the same.
        for wrong in ({"quue": "7"}, {"limits": {"cpu": "4"}}):
            with pytest.raises(SchedConfigError, match=r"Unknown key '(quue|cpu)' in .*Did you"):
                validate_config({"fake": wrong})


def test_some_validators_may_be_left_out() -> None:
    class Some(FakeSched):
        def _get_config_elems(self) -> Any:
            limits = yc.KeyedElem("limits", [yc.StrElem("cpus"), yc.StrElem("note")])
            return (
                [yc.StrElem("queue"), yc.StrElem("depth"), limits],
                {"depth": int, "limits": {"cpus": int}},
                {"queue": "main", "limits": {"note": "none", "cpus": "2"}},
            )

    with active(Some()):
        assert validate_config({"fake": {"depth": "3"}})["fake"] == {
            "queue": "main",
            "depth": 3,
            "limits": {"cpus": 2, "note": "none"},
        }
        with pytest.raises(SchedConfigError, match=r"schedule\.fake\.limits\.cpus"):
            validate_config({"fake": {"limits": {"cpus": "many", "note": "x"}}})


def test_a_section_may_go_without_defaults() -> None:
    class Short(FakeSched):
        def _get_config_elems(self) -> Any:
            return [yc.StrElem("queue")], {"queue": None}, None

    with active(Short()):
        assert validate_config({})["fake"] == {"queue": None}


def test_a_section_cannot_take_the_name_of_a_key() -> None:
    class Thief(Sectioned):
        pass

    with pytest.raises(SchedulerPluginError, match="already has a key 'partition'"):
        Thief("partition").activate()
    assert list_plugins() == []


def test_a_plugin_without_section_may_be_called_like_a_key() -> None:
    plugin = FakeSched("partition")
    with active(plugin):
        assert get_plugin("partition") is plugin
    assert validate_config({"partition": "main"})["partition"] == "main"


# ------------------------------------------------------------------------------ names and clashes


def load_from(path: Path, base: str = "FakeSched") -> type[FakeSched]:
    """A plugin class from a file of its own."""
    path.write_text(f"from fakes import {base}\n\n\nclass Sched({base}):\n    pass\n")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module.Sched  # type: ignore[no-any-return]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[tuple[type[FakeSched], type[FakeSched]]]:
    yield load_from(tmp_path / "clash_one.py"), load_from(tmp_path / "clash_two.py")
    del sys.modules["clash_one"], sys.modules["clash_two"]


def test_two_plugins_of_one_name_and_priority_are_an_error_naming_both_files(
    two: tuple[type[FakeSched], type[FakeSched]], tmp_path: Path
) -> None:
    first, second = two[0]("same", 10), two[1]("same", 10)
    first.activate()
    with pytest.raises(SchedulerPluginError) as caught:
        second.activate()
    text = str(caught.value)
    assert str(tmp_path / "clash_one.py") in text
    assert str(tmp_path / "clash_two.py") in text
    assert "'same'" in text
    assert get_plugin("same") is first
    second.deactivate()
    assert get_plugin("same") is first


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_higher_priority_wins_in_any_order(
    two: tuple[type[FakeSched], type[FakeSched]], order: tuple[int, int]
) -> None:
    plugins = two[0]("same", 0), two[1]("same", 20)
    for number in order:
        plugins[number].activate()
    assert get_plugin("same") is plugins[1]
    assert plugins[1].is_activated
    assert not plugins[0].is_activated
    plugins[0].deactivate()
    assert get_plugin("same") is plugins[1]


def test_the_section_is_that_of_the_winner() -> None:
    class Other(FakeSched):
        def _get_config_elems(self) -> Any:
            return [yc.StrElem("other")], {"other": None}, {"other": "x"}

    Sectioned("same", 0).activate()
    Other("same", 20).activate()
    Sectioned("same", 10).activate()
    assert validate_config({})["same"] == {"other": "x"}
    get_plugin("same").deactivate()
    assert "same" not in validate_config({})


def test_a_winner_whose_section_is_wrong_leaves_the_other_in_place() -> None:
    class Plain(FakeSched):
        pass

    plain = Plain("account", 0)
    plain.activate()
    with pytest.raises(SchedulerPluginError):
        Sectioned("account", 20).activate()
    assert get_plugin("account") is plain
    assert plain.is_activated


def test_the_same_class_activated_again_takes_its_own_place() -> None:
    first, second = Sectioned(), Sectioned()
    first.activate()
    second.activate()
    assert get_plugin("fake") is second
    assert not first.is_activated
    assert validate_config({})["fake"]["mode"] == "slow"


def test_an_unknown_plugin_is_none_for_hosts_and_an_error_with_the_known_ones_for_us() -> None:
    assert get_plugin("slurm") is None
    with pytest.raises(SchedulerPluginError, match="no scheduler plugin was loaded"):
        require_plugin("slurm")
    with (
        active(FakeSched("slurm")),
        active(FakeSched("raw")),
        pytest.raises(SchedulerPluginError) as caught,
    ):
        assert get_plugin("slrum") is None
        require_plugin("slrum")
    assert "'slrum'" in str(caught.value)
    assert "Did you mean 'slurm'?" in str(caught.value)
    assert "raw, slurm" in str(caught.value)


def test_activation_from_several_threads_leaves_one_winner() -> None:
    plugins = [type("Sched", (FakeSched,), {})("same", priority) for priority in range(8)]
    threads = [threading.Thread(target=plugin.activate) for plugin in plugins]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [plugin.priority for plugin in plugins if plugin.is_activated] == [7]
    assert get_plugin("same") is plugins[7]


# --------------------------------------------------------------------------------- availability


@pytest.mark.parametrize("spelling", ["available", "_available"])
@pytest.mark.parametrize("answer", [True, False, 1, None, "/usr/bin/qsub"])
def test_availability_is_asked_once_in_both_spellings(spelling: str, answer: Any) -> None:
    calls = []

    def method(self: Any) -> Any:
        calls.append(1)
        return answer

    cls = type("Sched", (SchedulerPluginBasic,), {spelling: method, "__module__": __name__})
    plugin = cls("sched", "A scheduler.")
    plugin.activate()
    assert calls == []
    for _ in range(5):
        assert plugin.available() is bool(answer)
    assert len(calls) == 1
    assert (plugin.unavailable_reason is None) == bool(answer)
    plugin.refresh()
    assert plugin.available() is bool(answer)
    assert len(calls) == 2


@pytest.mark.parametrize("spelling", ["available", "_available"])
def test_a_failing_question_means_no_and_says_why(spelling: str) -> None:
    def method(self: Any) -> bool:
        raise OSError("no qsub here")

    method.__name__ = spelling
    cls = type("Sched", (SchedulerPluginBasic,), {spelling: method, "__module__": __name__})
    plugin = cls("sched", "A scheduler.")
    assert plugin.available() is False
    assert plugin.unavailable_reason == (
        f"{spelling}() of scheduler plugin 'sched' ({__file__}) failed with OSError: no qsub here"
    )


def test_availability_may_be_built_on_that_of_the_base_class() -> None:
    class First(FakeSched):
        def available(self) -> bool:
            return super().available()

    class Second(First):
        def available(self) -> bool:
            return super().available() and bool(self.second)

        second = True

    class Third(Second):
        def _available(self) -> bool:
            return False

    plugin = Second()
    assert plugin.available() is True
    plugin.second = False
    plugin.refresh()
    assert plugin.available() is False
    assert Third().available() is False


# ------------------------------------------------------------------------ what is not overridden


def test_a_bare_subclass_loads_and_activates() -> None:
    class Bare(SchedulerPlugin):
        def available(self) -> bool:
            return True

    with active(Bare("bare", "Next to nothing.")) as plugin:
        assert get_plugin("bare") is plugin
        assert plugin.available()
        assert plugin.get_conf() == (None, {}, {})
        plugin.refresh()


METHODS = {
    "_kickoff": (None, None, {}, "name"),
    "_job_status": (None, {}),
    "_get_alloc_nodes": (None,),
    "get_initial_vars": ({},),
    "get_final_vars": (SimpleNamespace(config={"schedule": {}}),),
}


@pytest.mark.parametrize("method", METHODS)
def test_missing_methods_are_named_with_plugin_and_file(method: str) -> None:
    class Bare(SchedulerPlugin):
        pass

    with pytest.raises((NotImplementedError, SchedulerPluginError)) as caught:
        getattr(Bare("bare", "Nothing."), method)(*METHODS[method])
    text = str(caught.value)
    assert f"{method}()" in text
    assert "'bare'" in text
    assert __file__ in text


def test_missing_methods_never_lose_a_test(host: FakeHost) -> None:
    class Bare(SchedulerPlugin):
        pass

    class Basic(SchedulerPluginBasic):
        pass

    for cls, method in ((Bare, "plan_tests"), (Basic, "_kickoff")):
        tests = host.tests(2)
        errors = cls("bare", "Nothing.").schedule_tests(host.pav_cfg, tests)
        assert sorted(test.name for error in errors for test in error.tests) == sorted(
            test.name for test in tests
        )
        assert all(method in str(error) for error in errors)
        assert all(test.fake_states[-1] == STATES.SCHED_ERROR and test.complete for test in tests)


def test_a_missing_available_means_no_and_says_so() -> None:
    plugin = SchedulerPluginBasic("bare", "Nothing.")
    assert plugin.available() is False
    assert "_available()" in str(plugin.unavailable_reason)


def test_a_missing_job_status_is_a_warning(host: FakeHost) -> None:
    class Half(FakeSched):
        _job_status = SchedulerPlugin._job_status

    plugin, test = Half(), host.test()
    assert plugin.schedule_tests(host.pav_cfg, [test]) == []
    status = plugin.job_status(host.pav_cfg, test)
    assert status.state == STATES.SCHED_WARNING
    assert "_job_status()" in status.note
    assert not test.complete


def test_job_status_may_be_spelled_as_in_the_guide(host: FakeHost) -> None:
    asked = []

    class Guide(FakeSched):
        def job_status(self, pav_cfg: Any, job_info: Any) -> Any:  # type: ignore[override]
            asked.append(dict(job_info))
            return TestStatusInfo(STATES.SCHED_RUNNING, "Runs.")

    plugin, test = Guide(), host.test()
    assert plugin.schedule_tests(host.pav_cfg, [test]) == []
    for _ in range(3):
        assert plugin.job_status(host.pav_cfg, test).state == STATES.SCHED_STARTUP
    assert asked == [{"id": "0"}]


def test_job_status_for_hosts_may_be_overridden_too(host: FakeHost) -> None:
    class Wrapped(FakeSched):
        def job_status(self, pav_cfg: Any, test: Any) -> Any:
            status = super().job_status(pav_cfg, test)
            return TestStatusInfo(status.state, status.note + " (wrapped)")

    plugin, test = Wrapped(), host.test()
    assert plugin.schedule_tests(host.pav_cfg, [test]) == []
    assert plugin.job_status(host.pav_cfg, test).note == "Waits. (wrapped)"


# ------------------------------------------------------------------------------------ final vars


def test_the_variables_of_the_basic_family(host: FakeHost) -> None:
    class Sched(FakeSched):
        def _get_alloc_node_info(self, node_name: str) -> Any:
            return {"cpus": 6, "mem": 5} if node_name == "host1" else None

    plugin = Sched()
    first = plugin.get_initial_vars({"cluster_info": {"node_count": "9"}, "account": "sci"})
    assert first["nodes"] == "9"
    assert first["account"] == "sci"
    final = plugin.get_final_vars(host.test({"account": "sci"}))
    assert final["test_node_list"] == ["host1", "host2"]
    assert (final["test_nodes"], final["test_min_cpus"], final["test_min_mem"]) == ("2", "6", "5")
    assert final["errors"] == []
    with pytest.raises(SchedulerPluginError, match="nodes must be") as caught:
        plugin.get_initial_vars({"nodes": "0"})
    assert isinstance(caught.value.prior_error, SchedConfigError)


@pytest.mark.parametrize("raised", [OSError("no nodefile"), KeyError("PBS_NODEFILE")])
def test_an_allocation_whose_nodes_cannot_be_found_out(host: FakeHost, raised: Exception) -> None:
    class Sched(FakeSched):
        def _get_alloc_nodes(self, job: Any) -> list[str]:
            raise raised

    test = host.test()
    with pytest.raises(SchedulerPluginError, match=r"allocation of test s1\.1") as caught:
        Sched().get_final_vars(test)
    assert caught.value.tests == [test]
    assert str(raised) in str(caught.value)


# ------------------------------------------------------------------------------ names of jobs, keys


def test_job_names(host: FakeHost) -> None:
    tests = host.tests(6)
    basic, advanced = FakeSched("basic"), SchedulerPluginAdvanced("adv", "Advanced.")
    assert basic._job_name(tests) == "pav-basic-s1-runs"
    assert basic._job_name(tests[0]) == "pav-basic-s1-runs"
    assert advanced._job_name(tests[:1]) == "pav_suite.test1"
    assert advanced._job_name(tests[0]) == "pav_suite.test1"
    assert advanced._job_name(tests[:4]) == ("pav_suite.test1,suite.test2,suite.test3,suite.test4")
    assert advanced._job_name(tests[:5]) == (
        "pav_suite.test1,suite.test2,suite.test3,suite.test4 ..."
    )


def key_of(plugin: SchedulerPlugin, low: int = 1, high: int | None = 2, **schedule: Any) -> Any:
    return plugin.gen_job_share_key(validate_config(schedule), low, high)


def test_the_share_key_begins_with_the_numbers_of_nodes() -> None:
    key = key_of(FakeSched(), 3, None)
    assert isinstance(key, tuple)
    assert key[:2] == (3, None)
    assert hash(key) == hash(key_of(FakeSched(), 3, None))
    assert key != key_of(FakeSched(), 3, 4)
    assert key != key_of(FakeSched(), 2, None)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"partition": "a"}, {"partition": "b"}),
        ({"partition": "a"}, {}),
        ({"account": "a"}, {"account": "b"}),
        ({"qos": "a"}, {"qos": "b"}),
        ({"reservation": "a"}, {"reservation": "b"}),
        ({"core_spec": "1"}, {"core_spec": "2"}),
        ({"node_state": "up"}, {"node_state": "available"}),
        ({"include_nodes": "a"}, {"include_nodes": "b"}),
        ({"exclude_nodes": "a"}, {"exclude_nodes": "b"}),
        ({"across_nodes": "a[1-2]"}, {"across_nodes": "a[1-3]"}),
        ({"chunking": {"size": "2"}}, {"chunking": {"size": "3"}}),
        ({"chunking": {"extra": "backfill"}}, {"chunking": {"extra": "discard"}}),
        ({"chunking": {"size": "1"}}, {"chunking": {"size": "all"}}),
        ({"share_allocation": "true"}, {"share_allocation": "max"}),
        ({"tasks": "1"}, {"tasks": "2"}),
        # One, and one for each CPU: equal as numbers, 1 and 1.0.
        ({"tasks_per_node": "1"}, {"tasks_per_node": "all"}),
    ],
)
def test_what_asks_for_another_allocation_has_another_key(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert key_of(FakeSched(), **one) != key_of(FakeSched(), **other)
    assert key_of(FakeSched(), **one) == key_of(FakeSched(), **one)


@pytest.mark.parametrize(
    "section",
    [
        {"time_limit": "5"},
        {"wrapper": "gdb"},
        {"cluster_info": {"mem": "5"}},
        {"mpirun_opts": {"extra": "-q"}},
    ],
)
def test_what_does_not_concern_the_allocation_is_not_in_the_key(section: dict[str, Any]) -> None:
    assert key_of(FakeSched(), **section) == key_of(FakeSched())


def test_subclasses_add_keys_of_their_own_section() -> None:
    class Mine(Sectioned):
        # As plugins write it.
        JOB_SHARE_KEY_ATTRS = SchedulerPluginAdvanced.JOB_SHARE_KEY_ATTRS + [  # noqa: RUF005
            "fake.features",
            "fake.limits",
        ]

    with active(Mine()) as plugin:
        assert key_of(plugin, fake={"features": ["a"]}) != key_of(plugin, fake={"features": "b"})
        assert key_of(plugin, fake={"limits": {"cpus": "1"}}) != key_of(plugin)
        assert key_of(plugin, fake={"queue": "a"}) == key_of(plugin, fake={"queue": "b"})


def test_a_key_that_does_not_exist_is_an_error_of_the_plugin_and_loses_no_test(
    host: FakeHost,
) -> None:
    class Wrong(ConcurrentSched):
        JOB_SHARE_KEY_ATTRS = [*SchedulerPluginBasic.JOB_SHARE_KEY_ATTRS, "fake.quueue"]

    with pytest.raises(SchedulerPluginError, match=r"'fake' names 'fake\.quueue'"):
        key_of(Wrong())
    test = host.test()
    errors = Wrong().schedule_tests(host.pav_cfg, [test])
    assert [error.tests for error in errors] == [[test]]
    assert test.complete
