"""What is checked of plugins as sites write them, on our own host and on ``host26``.

Each check takes a site: ``load(name)`` gives an activated plugin of ``plugins/``, ``test(...)``
makes a test, ``pav_cfg`` are the settings.  Imports are those that both hosts have.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable

from pavilion.deferred import DeferredVariable
from pavilion.errors import SchedConfigError, SchedulerPluginError
from pavilion.schedulers import validate_config
from pavilion.schedulers.vars import SchedulerVariables
from pavilion.status_file import STATES

CHECKS: dict[str, Callable[[Any], None]] = {}


def check(func: Callable[[Any], None]) -> Callable[[Any], None]:
    """Mark a check."""
    CHECKS[func.__name__] = func
    return func


def start(site: Any, plugin: Any, *tests: Any) -> None:
    """Start tests; that must not fail."""
    errors = plugin.schedule_tests(site.pav_cfg, list(tests))
    assert errors == [], [error.pformat() for error in errors]


def script_of(test: Any) -> list[str]:
    """The lines of a test's kickoff script."""
    return test.job.kickoff_path.read_text().splitlines()


def raised_by(errors: Any, call: Callable[..., Any], *args: Any) -> Any:
    """The exception that a call raises."""
    try:
        call(*args)
    except errors as exc:
        return exc
    raise AssertionError("nothing was raised")


@check
def variables_with_an_init_of_their_own(site: Any) -> None:
    plugin = site.load("own_vars")
    first = plugin.get_initial_vars({"nodes": "3", "wrapper": "time"})
    assert first["queue_depth"] == "12"
    assert first["limits"] == [{"name": "nodes", "value": "5"}, {"name": "hours", "value": "1.5"}]
    assert isinstance(first["first_node"], DeferredVariable)
    assert isinstance(first["is_ready"], DeferredVariable)
    assert first["test_cmd"] == "mpiexec -n 3 time"
    assert first["nodes"] == "1"
    assert set(first.keys()) == set(SchedulerVariables.EXAMPLE) | {
        "queue_depth",
        "limits",
        "first_node",
        "is_ready",
    }
    assert first.info("queue_depth") == {
        "name": "queue_depth",
        "deferred": False,
        "help": "How many jobs wait.",
        "example": "12",
    }
    assert first.info("first_node")["example"] == SchedulerVariables.NO_EXAMPLE
    test = site.test(scheduler="own_vars")
    start(site, plugin, test)
    final = plugin.get_final_vars(test)
    assert (final["first_node"], final["is_ready"], final["test_nodes"]) == ("host1", "True", "2")
    assert final["errors"] == []


@check
def errors_added_to_the_variables(site: Any) -> None:
    plugin = site.load("adds_errors")
    values = plugin.get_initial_vars({"nodes": "40"})
    assert "An account is needed." in values["errors"]
    assert [text for text in values["errors"] if "40" in text], values["errors"]
    assert len(values["errors"]) == 2
    assert values["nodes"] == "4"
    assert plugin.get_initial_vars({"account": "a"})["errors"] == []
    plugin.get_initial_vars({})["nodes"]
    asked = plugin.asked
    plugin.get_initial_vars({"nodes": "2"})["node_list"]
    assert plugin.asked == asked
    plugin.refresh()
    assert plugin._limits is None
    plugin.get_initial_vars({})["nodes"]
    assert plugin.asked == asked + 1


@check
def kickoffs_that_raise(site: Any) -> None:
    plugin = site.load("kickoff_raises")
    expected = {
        "positional": "invalid literal for int",
        "called": "'false'",
        "keyword": "a key",
        "bug": "no_such_attribute",
        "nothing": "None",
    }
    tests = {name: site.test({"account": name}, scheduler="kickoff_raises") for name in expected}
    good = site.test(scheduler="kickoff_raises")
    errors = plugin.schedule_tests(site.pav_cfg, [*tests.values(), good])
    assert [error.tests for error in errors] == [[test] for test in tests.values()]
    for name, error in zip(expected, errors):
        assert isinstance(error, SchedulerPluginError)
        assert expected[name] in error.pformat(), error.pformat()
        assert tests[name].complete
        assert tests[name].status.current().state == STATES.SCHED_ERROR
        assert expected[name] in tests[name].status.current().note
    assert errors[2].data == {"rc": 1}
    assert isinstance(errors[0].prior_error, ValueError)
    assert not good.complete and good.job.info == {"id": "1"}


@check
def prior_errors_by_position(site: Any) -> None:
    """What led to it is told, wherever it is raised."""
    plugin = site.load("kickoff_raises")
    test = site.test(scheduler="kickoff_raises")
    start(site, plugin, test)
    status = plugin.job_status(site.pav_cfg, test)
    assert status.state == STATES.SCHED_WARNING
    assert "Could not ask." in status.note and "no answer" in status.note, status.note
    assert not test.complete
    (message,) = plugin.cancel_jobs([test.job.info])
    assert "Could not cancel." in message and "no answer" in message
    plugin.closed = True
    plugin.refresh()
    other = site.test(scheduler="kickoff_raises")
    (error,) = plugin.schedule_tests(site.pav_cfg, [other])
    assert error.tests == [other]
    assert "the door is closed" in error.pformat()
    assert "the door is closed" in other.status.current().note


@check
def next_to_nothing(site: Any) -> None:
    plugin = site.load("only_available")
    assert plugin.available() is True
    assert plugin.get_conf() == (None, {}, {})
    assert plugin.priority == plugin.PRIO_CORE == 0
    plugin.refresh()
    tests = [site.test(scheduler="only_available") for _ in range(3)]
    assert plugin.job_status(site.pav_cfg, tests[0]).state == STATES.SCHED_ERROR
    errors = plugin.schedule_tests(site.pav_cfg, tests)
    assert sorted(str(test.id) for error in errors for test in error.tests) == [
        "s1.1",
        "s1.2",
        "s1.3",
    ]
    assert all(test.complete for test in tests)


def check_header(site: Any, plugin: Any, cls: Any) -> None:
    plugin.KICKOFF_SCRIPT_HEADER_CLASS = cls
    picker = site.test(
        {"nodes": "2", "account": "science", "partition": "main"}, scheduler="headers"
    )
    picked = site.test(
        {"nodes": "2", "account": "science", "chunking": {"size": "2"}},
        scheduler="headers",
        chunk="1",
    )
    start(site, plugin, picker, picked)
    one, two = script_of(picker), script_of(picked)
    assert one[0] == two[0] == picker.shebang
    if cls.__name__.startswith("Old"):
        assert one[1] == f"#OLD pav_{picker.name} science 2-2 "
        assert two[1] == f"#OLD pav_{picked.name} science 2-2 n3,n4"
        return
    assert one[1:5] == [
        f"#NEW -N pav_{picker.name}",
        "#NEW -A science",
        "#NEW -q main",
        "#NEW -t 1",
    ]
    assert two[1:4] == [f"#NEW -N pav_{picked.name}", "#NEW -A science", "#NEW -t 1"]
    assert ("#NEW extra" in one) == (cls.__name__ == "NewHeaderWithInit")


@check
def headers_of_all_ages(site: Any) -> None:
    plugin = site.load("headers")
    assert len(plugin.HEADERS) == 5
    for cls in plugin.HEADERS:
        check_header(site, plugin, cls)


@check
def more_in_the_share_key(site: Any) -> None:
    plugin = site.load("share_keys")
    sections: list[dict[str, Any]] = [
        {"share_keys": {"image": "a"}},
        {"share_keys": {"image": "b"}},
        {"share_keys": {"image": "a", "mounts": ["/x"]}},
        {"wrapper": "time"},
    ]
    for schedule in sections:
        schedule["share_allocation"] = "max"
    tests = [site.test(schedule, scheduler="share_keys") for schedule in sections for _ in range(2)]
    start(site, plugin, *tests)
    jobs = [test.job.name for test in tests]
    assert jobs[::2] == jobs[1::2]
    assert len(set(jobs)) == 4
    section = validate_config({"share_keys": {"image": "a"}})
    assert section["share_keys"] == {"image": "a", "mounts": None}
    key = plugin.gen_job_share_key(section, 1, None)
    assert isinstance(key, tuple) and key[:2] == (1, None)


@check
def every_kind_of_validator(site: Any) -> None:
    site.load("validators")
    empty = validate_config({})["validators"]
    assert empty == {
        "upper": None,
        "count": None,
        "choice": "yes",
        "listed": None,
        "as_is": None,
        "at_least": None,
        "picky": None,
        "states": ["A"],
        "nested": {"depth": 1, "mode": "fast", "free": None},
    }, empty
    full = {
        "upper": "abc",
        "count": "7",
        "choice": "no",
        "listed": "two",
        "as_is": "x",
        "at_least": "2",
        "picky": "good",
        "states": "B",
        "nested": {"depth": "3", "mode": "slow", "free": "y"},
    }
    checked = validate_config({"validators": full})["validators"]
    assert checked == {
        "upper": "ABC",
        "count": 7,
        "choice": "no",
        "listed": "two",
        "as_is": "x",
        "at_least": 2,
        "picky": "good",
        "states": ["B"],
        "nested": {"depth": 3, "mode": "slow", "free": "y"},
    }
    for bad, told in [
        ({"count": "x"}, "count"),
        ({"choice": "maybe"}, "yes"),
        ({"listed": "three"}, "two"),
        ({"at_least": "1"}, "at_least"),
        ({"picky": "bad"}, "It is bad."),
        ({"nested": {"depth": "x"}}, "depth"),
        ({"nested": {"mode": "x"}}, "slow"),
        ({"cuont": "1"}, "count"),
    ]:
        error = raised_by(SchedConfigError, validate_config, {"validators": bad})
        assert told in str(error), (bad, str(error))


@check
def what_a_scheduler_may_say(site: Any) -> None:
    plugin = site.load("statuses")
    test = site.test(scheduler="statuses")
    start(site, plugin, test)
    before = test.status.current()
    for says, state in [
        (None, "SCHED_WARNING"),
        ("SCHED_RUNNING", "SCHED_STARTUP"),
        ("SCHED_WARNING", "SCHED_WARNING"),
        ("SCHEDULED", "SCHEDULED"),
    ]:
        plugin.says = says
        status = plugin.job_status(site.pav_cfg, test)
        assert status.state == state
        assert says is None or status.note == "Job x is so."
        assert not test.complete
        assert test.status.current().when == before.when
    plugin.says = "SCHED_CANCELLED"
    assert plugin.job_status(site.pav_cfg, test).state == "SCHED_CANCELLED"
    assert test.complete and test.status.current().state == "SCHED_CANCELLED"


@check
def variables_without_a_value(site: Any) -> None:
    plugin = site.load("unset_vars")
    values = plugin.get_initial_vars({})
    assert (values["nothing"], values["account"]) == ("", "")
    assert values.nothing() == "" and values.account() == ""
    assert plugin.get_initial_vars({"account": "a"}).account() == "a"
    assert isinstance(values["nothing_later"], DeferredVariable)
    # Those of a hidden failure are not.
    assert [
        name
        for name in ("nothing", "account")
        if not any(f"'{name}'" in text for text in values["errors"])
    ] == []
    plain = site.test(scheduler="unset_vars")
    paid = site.test({"account": "science", "share_allocation": "false"}, scheduler="unset_vars")
    start(site, plugin, plain, paid)
    assert script_of(plain)[1] == "#UNSET <>"
    assert not [line for line in script_of(plain)[2:] if line.startswith("#UNSET")]
    assert script_of(paid)[1:3] == ["#UNSET <>", "#UNSET -A science"]
    final = plugin.get_final_vars(plain)
    assert final["nothing_later"] == final.nothing_later() == ""
    assert [text for text in final["errors"] if "nothing_later" in text]
    assert final["test_node_list"] == ["n1", "n2"]


@check
def numbers_in_a_job_info(site: Any) -> None:
    plugin = site.load("int_info")
    test = site.test(scheduler="int_info")
    start(site, plugin, test)
    # Strings, as the specification says; a number would not be found in a list of ids.
    assert test.job.info == {"pid": "4711", "start": "2.5", "shared": "False"}
    status = plugin.job_status(site.pav_cfg, test)
    assert (status.state, status.note) == ("SCHED_STARTUP", "Process 4712 runs.")
    assert plugin.cancel(test.job.info) is None
    assert plugin.cancelled == ["4711"]


def plugin_files(folder: Path, name: str) -> list[Path]:
    """The files of one of the plugins."""
    return [folder / f"{name}.py", folder / f"{name}.yapsy-plugin"]
