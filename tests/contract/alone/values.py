"""Inside: values that Pavilion and its own tests rely on.  Run: values.py NAME."""

from __future__ import annotations

import os
import subprocess

from endings import Told
from host import load_plugins, run_scenario, until
from scenarios import DummyHeader, add_dummy, refuses

from pavilion.deferred import DeferredVariable
from pavilion.errors import SchedConfigError, SchedulerPluginError
from pavilion.schedulers import (
    Raw,
    SchedulerPluginAdvanced,
    SchedulerPluginBasic,
    SchedulerVariables,
    get_plugin,
    validate_config,
    var_method,
)
from pavilion.schedulers.config import calc_node_range, parse_node_range
from pavilion.types import Nodes


def variables(section=None, nodes=None, cls=SchedulerVariables, deferred=True):
    """What core's 'show' command makes, and headers get."""
    return cls(validate_config(section or {}), Nodes(nodes or {}), deferred=deferred)


def read(values):
    """All of them, as a host reads them when a test is resolved."""
    return {key: values[key] for key in values.keys()}  # noqa: SIM118


def resolve(plugin, section):
    """What a host does with a section: it expects one kind of error, and from one call."""
    try:
        values = plugin.get_initial_vars(section)
    except SchedulerPluginError as exc:
        return exc
    return read(values)


def unset_keys(site):
    """No validator is called for a key that is not set and has no default."""
    calls = []
    for validator in (str, int, calls.append, lambda value: value.upper(), ("a", "b"), None):
        assert validate_config({}, {"queue": validator}, {"queue": None}) == {"queue": None}
        assert validate_config({"queue": None}, {"queue": validator}, {}) == {"queue": None}
        nested = validate_config({}, {"pbs": {"queue": validator}}, {"pbs": {"queue": None}})
        assert nested == {"pbs": {"queue": None}}
    assert calls == []
    assert validate_config({}, {"queue": str.upper}, {"queue": "a"}) == {"queue": "A"}
    assert validate_config({"queue": 5}, {"queue": str}, {"queue": None}) == {"queue": "5"}


def host_lists(site):
    """Bad ones are what code that expects a ValueError catches, and are bad sections as well."""
    assert not issubclass(SchedConfigError, ValueError)
    for bad in ("a[", "a[3-1]", ["a", "b[1-"], "a]"):
        error = refuses(ValueError, parse_node_range, bad)
        assert isinstance(error, SchedConfigError) and error.pformat(), bad
    assert parse_node_range("a[09-11],b") == ["a09", "a10", "a11", "b"]
    assert refuses(SchedConfigError, validate_config, {"include_nodes": "a["})


def unknown_schedulers(site):
    load_plugins(site.pav_cfg)
    for name in ("slrum", "", None, 5, "Raw"):
        assert get_plugin(name) is None
    assert isinstance(get_plugin("raw"), Raw)


def numbers_of_tasks(site):
    for given, least, expected in (
        ("5", "6", "6"),
        ("6", "5", "6"),
        ("5", None, "5"),
        ("all", "6", "8"),
        ("all", "9", "9"),
        ("50%", "3", "4"),
        ("min", "2", "2"),
        (None, "3", "3"),
    ):
        section = {"tasks_per_node": given, "min_tasks_per_node": least}
        values = variables(section, {"n1": {"cpus": 8}})
        assert values["tasks_per_node"] == expected, (given, least)


def large_chunks(site):
    """One chunk of all usable nodes; a job of it has them all."""
    plugin = add_dummy(site)
    values = plugin.get_initial_vars({"nodes": "all", "chunking": {"size": "1000"}})
    assert values["chunk_ids"] == ["0"] and values["chunk_size"] == "7"
    assert values["errors"] == []
    test = site.test({"nodes": "all", "chunking": {"size": "1000"}}, scheduler="dummy", chunk="0")
    assert plugin.schedule_tests(site.pav_cfg, [test]) == []
    until(lambda: test.complete, "it is over")
    assert len(site.final(test)["test_node_list"]) == 7


def without_chunks(site):
    load_plugins(site.pav_cfg)
    values = get_plugin("raw").get_initial_vars({})
    assert values["chunk_ids"] == [] and values["chunk_size"] == values["requested_nodes"] == ""
    # An advanced scheduler has one chunk of all nodes where none was asked for.
    assert add_dummy(site).get_initial_vars({})["chunk_ids"] == ["0"]


def without_nodes(site):
    """What is known then is what the configuration says of the cluster."""
    section = {
        "cluster_info": {"node_count": "7", "mem": "1234", "cpus": "3"},
        "account": "a",
        "partition": "p",
    }
    values = read(variables(section, deferred=False))
    assert values["test_nodes"] == "0" and values["test_node_list"] == []
    assert values["min_mem"] == values["test_min_mem"] == "1234"
    assert values["min_cpus"] == values["test_min_cpus"] == "3"
    assert values["nodes"] == "7"
    assert values["srun_args"] == '--account="a" --partition="p" --nodes="7"'
    values = variables(section, {"n1": {}, "n2": {}}, deferred=False)
    assert values["srun_args"] == '--account="a" --partition="p" --nodes="2"'


class OwnVars(SchedulerVariables):
    """With one that has no example."""

    @var_method
    def depth(self):
        """How deep it is."""
        return 12


def examples(site):
    """As core shows them: the present value where there is no other, of those that are known."""
    values = variables(cls=OwnVars)
    keys = sorted(values.keys())
    assert set(keys) == set(SchedulerVariables.EXAMPLE) | {"depth"}
    shown = {key: values.info(key) for key in keys}
    assert shown["depth"] == {
        "name": "depth",
        "deferred": False,
        "help": "How deep it is.",
        "example": "12",
    }
    assert all(
        info["example"] not in (None, "") or key in ("test_cmd",) for key, info in shown.items()
    )
    assert shown["test_nodes"]["deferred"] is True
    load_plugins(site.pav_cfg)
    for name in ("flux", "gridengine", "pbs", "raw", "slurm"):
        shown = variables(cls=get_plugin(name).VAR_CLASS)
        for key in sorted(shown.keys()):
            assert not isinstance(shown.info(key)["example"], DeferredVariable)


def isolated_scripts(site):
    """Programs of isolated tests need the site's environment, and nothing of Pavilion."""
    plugin = add_dummy(site)
    test = site.test(scheduler="dummy", cmds=["echo from: $FROM_ENV_SETUP"])
    path = site.folder / "away" / "isolated.sh"
    path.parent.mkdir()
    plugin.create_kickoff_script(site.pav_cfg, test, isolate=True).write(path)
    lines = path.read_text().splitlines()
    assert "export FROM_ENV_SETUP=yes" in lines
    assert not [line for line in lines if "PAV_CONFIG" in line or "pav _run" in line]
    assert subprocess.run(["bash", path], env={"PATH": os.environ["PATH"]}).returncode == 0
    assert (path.parent / "kickoff.log").read_text() == "from: yes\n"


def shared_by_default(site):
    """A basic plugin that says nothing lets tests share a job."""
    assert SchedulerPluginBasic.IS_CONCURRENT is True
    load_plugins(site.pav_cfg)

    class Plain(Told):
        IS_CONCURRENT = SchedulerPluginBasic.IS_CONCURRENT

    plugin = Plain()
    plugin.activate()
    tests = [site.test(scheduler="told") for _ in range(2)]
    assert plugin.schedule_tests(site.pav_cfg, tests) == []
    assert tests[0].job.path == tests[1].job.path
    # 'Uncancelled tests still running': the host counts the tests of a job.
    assert len(tests[0].job.get_test_id_pairs()) == 2


def initial_variables_of_their_own(site):
    """A plugin may override the method that makes them, and gets the validated section."""
    given = []

    class Basic(Told):
        def _get_initial_vars(self, sched_config):
            given.append(sched_config)
            return OwnVars(sched_config, {"n1": {"cpus": 3}})

    class Advanced(SchedulerPluginAdvanced):
        KICKOFF_SCRIPT_HEADER_CLASS = DummyHeader

        def __init__(self):
            super().__init__("told", "With variables of its own.")

        _get_initial_vars = Basic._get_initial_vars

    for cls in (Basic, Advanced):
        values = cls().get_initial_vars({"nodes": "2", "time_limit": "3"})
        assert type(values) is OwnVars and values["depth"] == "12" and values["min_cpus"] == "3"
    assert [section["nodes"] for section in given] == [2, 2]
    assert given[0]["time_limit"] == 3 and given[0]["flex_scheduled"] is True


def bad_sections(site):
    """The one kind of error that hosts catch, with what is wrong behind it."""
    load_plugins(site.pav_cfg)
    for plugin in (get_plugin("raw"), add_dummy(site)):
        for section in (
            {"nodes": "0"},
            {"nodse": "1"},
            {"time_limit": "x"},
            {"raw": {"concurrent": "x"}},
        ):
            error = resolve(plugin, section)
            assert isinstance(error, SchedulerPluginError)
            assert isinstance(error.prior_error, SchedConfigError), error.prior_error
            assert error.tests == [] and str(error.prior_error) in str(error)
            test = site.test(section, scheduler=plugin.name)
            error = refuses(SchedulerPluginError, plugin.create_kickoff_script, site.pav_cfg, test)
            assert isinstance(error.prior_error, SchedConfigError)
            error = refuses(SchedulerPluginError, plugin.get_final_vars, test)
            assert error.tests == [test]
    assert calc_node_range(validate_config({"nodes": "50%"}), 7) == (4, 4)


class Failing(SchedulerVariables):
    """With one that fails, one that uses it, and one that is unset."""

    @var_method
    def fails(self):
        raise OSError("gone; $(touch x) `touch y`")

    @var_method
    def unset(self):
        return None

    @var_method
    def fine(self):
        return "fine"


def failing_variables(site):
    """One that fails is a text that means nothing to a shell, and an entry without a traceback;
    one that is unset is blank, also where a header calls it before anybody read it."""
    values = variables(cls=Failing)
    assert values.unset() == ""
    assert values["unset"] == "" and values["fine"] == "fine"
    text = values["fails"]
    assert text.startswith("<no value for fails") and not set(text) & set("$`;()")
    assert values["fails"] == text
    errors = values["errors"]
    assert [error for error in errors if "Traceback" in error] == []
    assert [error for error in errors if "'fails'" in error and "OSError" in error]
    assert [error for error in errors if "'unset'" in error]
    assert len(errors) == 2, errors
    assert "fails" not in {key for key, value in read(values).items() if value == "fine"}


def a_scheduler_is_down(site):
    """A host reads all variables outside of what it guards: the error must come before that."""
    plugin = add_dummy(site)

    def down(sched_config):
        raise SchedulerPluginError("The scheduler does not answer.")

    plugin._get_raw_node_data = down
    error = resolve(plugin, {"nodes": "2"})
    assert isinstance(error, SchedulerPluginError) and "does not answer" in error.pformat()
    # A bad combination that shows only when the nodes are counted.
    del plugin._get_raw_node_data
    plugin.refresh()
    error = resolve(plugin, {"nodes": "2", "min_nodes": "3"})
    assert isinstance(error, SchedulerPluginError), error


if __name__ == "__main__":
    run_scenario(globals())
