"""The variables of a scheduler (the contract, section 5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fakes import FakeHost, FakeSched, active

from pavilion.deferred import DeferredVariable
from pavilion.schedulers import KickoffScriptHeader, Raw, SchedulerVariables, validate_config
from pavilion.schedulers.config import CONFIG_DEFAULTS
from pavilion.schedulers.plugins.raw.plugin import RawVars
from pavilion.schedulers.vars import dfr_var_method, var_method

GIB = 1024**3
NOT_DEFERRED = {
    "account",
    "chunk_ids",
    "chunk_size",
    "concurrent_default",
    "errors",
    "min_cpus",
    "min_mem",
    "node_list",
    "node_list_id",
    "nodes",
    "partition",
    "qos",
    "requested_nodes",
    "reservation",
    "tasks_per_node",
    "test_cmd",
}
DEFERRED = {
    "srun_args",
    "tasks_total",
    "test_min_cpus",
    "test_min_mem",
    "test_node_list",
    "test_nodes",
}
NODES: dict[str, Any] = {
    name: {"name": name, "up": True, "available": True, "cpus": cpus, "mem": mem * GIB}
    for name, cpus, mem in (("n10", 8, 64), ("n2", 16, 32), ("n1", 32, 128), ("n3", 16, 64))
}
CHUNKS = [["n1", "n2"], ["n3", "n10"]]


def make(
    cls: type[SchedulerVariables] = SchedulerVariables,
    *,
    nodes: Any = None,
    chunks: Any = None,
    node_list_id: int | None = None,
    deferred: bool = True,
    **schedule: Any,
) -> SchedulerVariables:
    return cls(
        validate_config(schedule),
        nodes=nodes,
        chunks=chunks,
        node_list_id=node_list_id,
        deferred=deferred,
    )


# ------------------------------------------------------------------------------------ the names


@pytest.mark.parametrize("cls", [SchedulerVariables, RawVars])
def test_there_are_exactly_these_variables(cls: type[SchedulerVariables]) -> None:
    sched_vars = make(cls)
    assert set(sched_vars) == set(sched_vars.keys()) == NOT_DEFERRED | DEFERRED
    assert len(sched_vars) == len(NOT_DEFERRED | DEFERRED)


def test_which_are_deferred() -> None:
    outside = make(nodes=NODES, chunks=CHUNKS)
    assert {key for key in outside if isinstance(outside[key], DeferredVariable)} == DEFERRED
    assert {key for key in outside if outside.info(key)["deferred"]} == DEFERRED
    inside = make(nodes=NODES, chunks=CHUNKS, deferred=False)
    assert {key for key in inside if isinstance(inside[key], DeferredVariable)} == set()


@pytest.mark.parametrize("cls", [SchedulerVariables, RawVars])
def test_everything_about_a_variable_can_be_shown(cls: type[SchedulerVariables]) -> None:
    sched_vars = make(cls)
    assert set(cls.EXAMPLE) == set(sched_vars)
    for key in sched_vars:
        info = sched_vars.info(key)
        assert info["name"] == key
        assert info["example"] == cls.EXAMPLE[key]
        assert info["help"].rstrip().endswith((".", ")"))
        # An example is of the kind that the variable is.
        actual = make(cls, nodes=NODES, chunks=CHUNKS, deferred=False)[key]
        assert type(info["example"]) is type(actual), key
    with pytest.raises(KeyError):
        sched_vars.info("no_such_variable")


def test_the_present_value_is_the_example_of_a_variable_without_one() -> None:
    class MyVars(SchedulerVariables):
        @var_method
        def queue(self) -> str:
            """Where it waits."""
            return "q"

        @dfr_var_method
        def later(self) -> str:
            """Known later."""
            return "l"

    assert make(MyVars).info("queue") == {
        "name": "queue",
        "deferred": False,
        "help": "Where it waits.",
        "example": "q",
    }
    assert make(MyVars).info("later")["example"] == SchedulerVariables.NO_EXAMPLE


# ----------------------------------------------------------------------------------- the values


def test_values_without_nodes_come_from_the_configuration() -> None:
    sched_vars = make(
        deferred=False, cluster_info={"node_count": "12", "cpus": "24", "mem": str(48 * GIB)}
    )
    assert {key: sched_vars[key] for key in sched_vars} == {
        "account": "",
        "partition": "",
        "qos": "",
        "reservation": "",
        "chunk_ids": [],
        "chunk_size": "",
        "requested_nodes": "",
        "concurrent_default": "1",
        "errors": [],
        "nodes": "12",
        "node_list": [],
        "node_list_id": "",
        "min_cpus": "24",
        "min_mem": str(48 * GIB),
        "tasks_per_node": "1",
        "test_cmd": "",
        "tasks_total": "0",
        "test_nodes": "0",
        "test_node_list": [],
        "test_min_cpus": "24",
        "test_min_mem": str(48 * GIB),
        "srun_args": '--nodes="12"',
    }


def test_values_with_nodes() -> None:
    # By position, as older plugins give them.
    sched_vars = SchedulerVariables(
        validate_config(
            {
                "nodes": "all",
                "tasks_per_node": "50%",
                "account": "sci",
                "partition": "main",
                "qos": "high",
                "reservation": "res",
            }
        ),
        NODES,
        CHUNKS,
        3,
        False,
    )
    assert {key: sched_vars[key] for key in sched_vars} == {
        "account": "sci",
        "partition": "main",
        "qos": "high",
        "reservation": "res",
        "chunk_ids": ["0", "1"],
        "chunk_size": "2",
        "requested_nodes": "2",
        "concurrent_default": "1",
        "errors": [],
        "nodes": "4",
        "node_list": ["n1", "n2", "n3", "n10"],
        "node_list_id": "3",
        "min_cpus": "8",
        "min_mem": str(32 * GIB),
        "tasks_per_node": "4",
        "test_cmd": "",
        "tasks_total": "16",
        "test_nodes": "4",
        "test_node_list": ["n1", "n2", "n3", "n10"],
        "test_min_cpus": "8",
        "test_min_mem": str(32 * GIB),
        "srun_args": '--account="sci" --partition="main" --qos="high" --reservation="res" '
        '--nodes="4"',
    }


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({"nodes": "1"}, "1"),
        ({"nodes": "3"}, "3"),
        ({"nodes": "4", "min_nodes": "2"}, "2-4"),
        ({"nodes": "all"}, "8"),
        ({"nodes": "25%"}, "2"),
        ({"nodes": "100", "min_nodes": "2"}, "2-8"),
        ({}, "1"),
        ({"tasks": "5"}, "1-8"),
    ],
)
def test_requested_nodes_is_a_number_or_a_range(schedule: dict[str, Any], expected: str) -> None:
    chunk = [f"n{number}" for number in range(8)]
    sched_vars = SchedulerVariables(validate_config(schedule), chunks=[chunk])
    assert sched_vars["requested_nodes"] == expected


@pytest.mark.parametrize(
    ("tasks_per_node", "at_least", "expected"),
    [
        ("3", None, "3"),
        ("all", None, "8"),
        ("min", None, "1"),
        ("50%", None, "4"),
        ("1%", None, "1"),
        ("1%", "3", "3"),
        ("99%", None, "7"),
    ],
)
def test_tasks_per_node_counts_on_the_smallest_node(
    tasks_per_node: str, at_least: str | None, expected: str
) -> None:
    sched_vars = make(nodes=NODES, tasks_per_node=tasks_per_node, min_tasks_per_node=at_least)
    assert sched_vars["tasks_per_node"] == expected


def test_tasks_total_is_what_was_asked_for_or_follows_from_the_nodes() -> None:
    assert make(nodes=NODES, deferred=False, tasks="7")["tasks_total"] == "7"
    assert make(nodes=NODES, deferred=False, tasks_per_node="2")["tasks_total"] == "8"


def test_nodes_of_which_nothing_but_the_name_is_known() -> None:
    sched_vars = make(nodes={"a": {"name": "a"}, "b": {"name": "b", "cpus": 6}}, deferred=False)
    assert sched_vars["test_min_cpus"] == "6"
    assert sched_vars["test_min_mem"] == "1000"
    assert sched_vars["errors"] == []


@pytest.mark.parametrize(
    ("command", "wrapper", "expected"),
    [
        ("mpirun -n 4", None, "mpirun -n 4"),
        ("mpirun", "gdb -ex run", "mpirun gdb -ex run"),
        ("", "nice", "nice"),
        (None, "nice", "nice"),
        (None, None, ""),
    ],
)
def test_test_cmd_is_the_plugins_command_and_the_wrapper(
    command: str | None, wrapper: str | None, expected: str
) -> None:
    class MyVars(SchedulerVariables):
        def _test_cmd(self) -> str:
            return command  # type: ignore[return-value]

    assert make(MyVars, wrapper=wrapper)["test_cmd"] == expected


def test_test_cmd_may_be_deferred() -> None:
    class MyVars(SchedulerVariables):
        @dfr_var_method
        def test_cmd(self) -> str:
            """Starts it."""
            return self._with_wrapper(f"launch -N {self.test_nodes()}")

    assert isinstance(make(MyVars, wrapper="nice")["test_cmd"], DeferredVariable)
    assert (
        make(MyVars, nodes=NODES, wrapper="nice", deferred=False)["test_cmd"] == "launch -N 4 nice"
    )


def test_mpirun_opts() -> None:
    sched_vars = make(
        mpirun_opts={
            "bind_to": "core",
            "rank_by": "slot",
            "mca": ["btl tcp,self", "x 1"],
            "extra": ["--quiet"],
        }
    )
    assert sched_vars.mpirun_opts() == [
        "-N",
        "1",
        "--rank-by",
        "slot",
        "--bind-to",
        "core",
        "--mca",
        "btl tcp,self",
        "--mca",
        "x 1",
        "--quiet",
    ]
    assert make(tasks_per_node="4").mpirun_opts() == ["-N", "4"]


def test_variables_may_be_called_as_methods() -> None:
    # Header classes do that.
    sched_vars = make(nodes=NODES, account="sci")
    assert sched_vars.account() == "sci"
    assert sched_vars.partition() == ""
    assert sched_vars.node_list() == ["n1", "n2", "n3", "n10"]
    assert isinstance(sched_vars.test_nodes(), DeferredVariable)


@pytest.mark.parametrize(("concurrent", "expected"), [(None, "100"), ("3", "3")])
def test_concurrent_default_of_raw(concurrent: str | None, expected: str) -> None:
    with active(Raw()):
        assert CONFIG_DEFAULTS["raw"] == {"concurrent": None}
        assert make(RawVars, raw={"concurrent": concurrent})["concurrent_default"] == expected
    # A header may be made in a process where raw's section is not there.
    assert make(RawVars)["concurrent_default"] == "100"


# ----------------------------------------------------------------------------------- the errors


class FailingVars(SchedulerVariables):
    """One that fails, one that is nonsense, one that is unset."""

    calls = 0

    @var_method
    def broken(self) -> str:
        """Fails."""
        type(self).calls += 1
        raise ValueError("the queue is on fire")

    @var_method
    def missing_key(self) -> str:
        """Fails with a KeyError, as a missing variable does."""
        return {}["nothing"]  # type: ignore[no-any-return]

    @var_method
    def nonsense(self) -> Any:
        """Gives what no variable may be."""
        return object()

    @var_method
    def unset(self) -> Any:
        """Gives None."""
        type(self).calls += 1

    @var_method
    def blank(self) -> str:
        """Gives nothing, on purpose."""
        return ""

    @dfr_var_method
    def unset_later(self) -> Any:
        """Gives None in the allocation."""


@pytest.mark.parametrize(
    ("key", "reason"),
    [("broken", "the queue is on fire"), ("missing_key", "nothing"), ("nonsense", "object")],
)
def test_a_variable_that_fails_is_a_note_and_an_error(key: str, reason: str) -> None:
    sched_vars = make(FailingVars)
    value = sched_vars[key]
    assert value.startswith("<")
    assert value.endswith(">")
    assert reason in value
    errors = sched_vars["errors"]
    assert len(errors) == 1
    assert f"'{key}'" in errors[0]
    assert reason in errors[0]
    # However often it is asked for.
    assert sched_vars[key] == value
    assert sched_vars.get(key) == value
    assert sched_vars["errors"] == errors


def test_a_variable_that_fails_stops_no_other() -> None:
    sched_vars = make(FailingVars, account="sci")
    values = {key: sched_vars[key] for key in sched_vars}
    assert values["account"] == "sci"
    assert values["blank"] == ""
    assert len(sched_vars["errors"]) == 4


def test_errors_are_raised_where_they_are_not_to_be_put_off() -> None:
    class Strict(FailingVars):
        DEFER_ERRORS = False

    sched_vars = make(Strict)
    with pytest.raises(Exception, match="the queue is on fire"):
        sched_vars["broken"]
    assert sched_vars["unset"] == ""
    assert sched_vars["blank"] == ""


def test_an_unset_variable_is_blank_and_reported() -> None:
    FailingVars.calls = 0
    sched_vars = make(FailingVars)
    assert sched_vars["unset"] == ""
    assert sched_vars["unset"] == ""
    assert sched_vars.unset() == ""
    assert sched_vars["errors"] == ["Scheduler variable 'unset' has no value (None)."]
    assert FailingVars.calls <= 2
    assert isinstance(sched_vars["unset_later"], DeferredVariable)
    assert sched_vars["blank"] == ""
    assert len(sched_vars["errors"]) == 1


def test_a_deferred_variable_that_is_unset_is_blank_and_reported() -> None:
    sched_vars = make(FailingVars, deferred=False)
    assert sched_vars["unset_later"] == ""
    assert sched_vars["errors"] == ["Scheduler variable 'unset_later' has no value (None)."]


def test_an_unset_variable_in_a_header_never_stops_a_kickoff(tmp_path: Path) -> None:
    class Header(KickoffScriptHeader):
        def _kickoff_lines(self) -> list[str]:
            return [f"#X {self._sched_vars.unset()!r}"]

    class Sched(FakeSched):
        VAR_CLASS = FailingVars
        KICKOFF_SCRIPT_HEADER_CLASS = Header

    with active(Sched()) as plugin:
        host = FakeHost(tmp_path)
        test = host.test()
        assert plugin.schedule_tests(host.pav_cfg, [test]) == []
        assert "#X ''" in test.job.kickoff_path.read_text()  # type: ignore[union-attr]


def test_add_errors_lists_each_once_and_at_any_time() -> None:
    sched_vars = make()
    assert sched_vars["errors"] == []
    sched_vars.add_errors(["one"])
    assert sched_vars["errors"] == ["one"]
    sched_vars.add_errors(["two", "one"])
    assert sched_vars["errors"] == ["one", "two"]
    # What is given out is not the list itself.
    sched_vars["errors"].append("spoiled")
    assert sched_vars["errors"] == ["one", "two"]


def test_unknown_variables() -> None:
    sched_vars = make()
    with pytest.raises(KeyError):
        sched_vars["no_such_variable"]
    assert sched_vars.get("no_such_variable", "x") == "x"
    assert "no_such_variable" not in sched_vars
    assert sched_vars["errors"] == []


# -------------------------------------------------------------------------------- the subclasses


class PatternVars(SchedulerVariables):
    """The way plugins in the field are written."""

    EXAMPLE = SchedulerVariables.EXAMPLE.copy()
    EXAMPLE.update({"queue_depth": "4", "node_table": [{"name": "a", "cpus": "4"}]})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._queue_depth = 12
        self.table = [("a", 4), ("b", 8)]
        super().__init__(*args, **kwargs)
        self.later = self._sched_config["nodes"]

    @var_method
    def queue_depth(self) -> Any:
        """How many wait."""
        return self._queue_depth

    @var_method()
    def node_table(self) -> Any:
        """What the nodes are."""
        return [{"name": name, "cpus": cpus} for name, cpus in self.table]

    @dfr_var_method()
    def first(self) -> str:
        """The first node."""
        return self.test_node_list()[0]

    def concurrent_default(self) -> Any:
        return 17

    def helper(self) -> int:
        """No variable."""
        return 1


def test_a_subclass_adds_and_overrides_variables() -> None:
    outside = make(PatternVars, nodes=NODES)
    assert set(outside) == NOT_DEFERRED | DEFERRED | {"queue_depth", "node_table", "first"}
    assert outside["queue_depth"] == "12"
    assert outside["node_table"] == [{"name": "a", "cpus": "4"}, {"name": "b", "cpus": "8"}]
    assert outside["concurrent_default"] == "17"
    assert isinstance(outside["first"], DeferredVariable)
    assert outside.info("first")["deferred"]
    assert outside.info("queue_depth")["example"] == "4"
    # The help of what it overrides stays.
    assert outside.info("concurrent_default")["help"] == make().info("concurrent_default")["help"]
    assert make(PatternVars, nodes=NODES, deferred=False)["first"] == "n1"
    assert outside["errors"] == []


def test_a_subclass_takes_its_arguments_by_position_too() -> None:
    sched_vars = PatternVars(validate_config({"nodes": "2"}), NODES, CHUNKS, 5, False)
    assert sched_vars["node_list_id"] == "5"
    assert sched_vars["chunk_ids"] == ["0", "1"]
    assert sched_vars.later == 2


def test_a_subclass_does_not_change_its_base() -> None:
    make(PatternVars)["queue_depth"]
    assert "queue_depth" not in make()
    assert "queue_depth" not in SchedulerVariables.EXAMPLE
