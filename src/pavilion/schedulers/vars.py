"""The variables that a scheduler gives to tests: ``{{sched.nodes}}``, ``{{sched.test_cmd}}``, ...

To add one, write a method and mark it::

    class MyVars(SchedulerVariables):
        EXAMPLE = dict(SchedulerVariables.EXAMPLE, queue_depth="12")

        @var_method
        def queue_depth(self):
            '''How many jobs wait in the queue.'''
            return ask_the_queue()

        @dfr_var_method
        def first_node(self):
            '''The first node of the allocation. Known inside the allocation only.'''
            return self.test_node_list()[0]

The docstring is the variable's help text.  Values are strings, lists of strings, dictionaries of
strings, or lists of such dictionaries; numbers are converted to strings.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import Any, Callable

from pavilion.deferred import DeferredVariable
from pavilion.errors import PavilionError
from pavilion.types import NodeInfo, NodeList, Nodes
from pavilion.var_dict import VarDict, dfr_var_method, var_method

from .config_values import calc_node_range, node_range_text
from .placement import hostlists
from .placement.inventory import NodesUnknownError
from .placement.later_nodes import LaterNodes, NodeView

# The rest of a variable's docstring is not for its users.  Some hosts give it as one line.
_FOR_AUTHORS = re.compile(r"\s+For plugin authors: .*", re.DOTALL)
# Characters that may have a meaning in a shell.
_NOT_INERT = r"[^\w .,:/@%+=-]"

__all__ = ["SchedulerVariables", "var_method", "dfr_var_method"]

GIB = 1024**3


@functools.cache
def _placeholder() -> re.Pattern[str]:
    """Matches a variable that is not known yet in a string; in some hosts it contains an address."""
    address = "0x[0-9a-f]+"
    return re.compile(re.sub(address, address, re.escape(str(DeferredVariable()))))


class SchedulerVariables(VarDict):
    """The variables every scheduler has.

    Most of them follow from the node data and the test's configuration, so a plugin usually only
    defines how tasks are started: see :meth:`test_cmd`.  Every method may be called directly, for
    example by header classes: ``self._sched_vars.account()``.

    **Adding a variable**: derive a class, write a method that takes no arguments, mark it with one
    of two decorators, and set the class as ``VAR_CLASS`` of the plugin.  The name of the method is
    the name of the variable, and its docstring is the help text.  An example of its value, for
    listings, goes into EXAMPLE.

    ``@var_method``
        The value is known when the test is created, before it is scheduled.  Tests can use the
        variable anywhere.  ``self._nodes`` are the usable nodes of the system, name -> NodeInfo;
        it is empty for schedulers that cannot list them.

    ``@dfr_var_method``
        A deferred variable: its value is known only inside the allocation, when the test runs, and
        its method is called only there.  Tests can use it in their ``run`` section only.
        ``self._nodes`` are the nodes of the allocation.  A variable whose method calls a deferred
        one must be deferred, too.

    Both are in ``pavilion.schedulers``, and can be written with or without parentheses.  Methods
    without a decorator are not variables, so helpers need no special names.  A variable of a base
    class is replaced by a method of the same name, with either decorator.

    A method returns a string, a list of strings, a dictionary of strings, or a list of such
    dictionaries; numbers are converted to strings.  It has ``self._sched_config``, the test's
    validated schedule section.  If it raises an exception, the value is a string that says so; if it
    returns None, the value is ''.  Both add an entry to the variable ``errors``, and affect only
    tests that use the variable.

    :param sched_config: The test's validated ``schedule`` section.
    :param nodes: What is known about the usable nodes or, inside an allocation, about its nodes:
        name -> NodeInfo.
    :param chunks: The chunks of nodes, each a list of names.
    :param node_list_id: Identifies the node list in the plugin that created these variables.
    :param deferred: Whether this is outside the allocation, where deferred variables are not known
        yet.
    """

    # Example values of the variables, for 'show' commands: key -> value.
    EXAMPLE: dict[str, Any] = {
        "account": "science",
        "chunk_ids": ["0", "1", "2", "3"],
        "chunk_size": "32",
        "concurrent_default": "1",
        "errors": ["oops, I broke."],
        "min_cpus": "36",
        "min_mem": str(32 * GIB),
        "node_list": ["node01", "node03", "node04"],
        "node_list_id": "0",
        "nodes": "128",
        "partition": "standard",
        "qos": "high",
        "requested_nodes": "2-4",
        "reservation": "maint_week",
        "srun_args": '--account="science" --partition="standard" --nodes="2"',
        "tasks_per_node": "4",
        "tasks_total": "8",
        "test_cmd": "srun -N 2 -n 8",
        "test_min_cpus": "36",
        "test_min_mem": str(32 * GIB),
        "test_node_list": ["node01", "node04"],
        "test_nodes": "2",
    }
    NO_EXAMPLE = "<no example>"

    # Outside the allocation, a variable that fails must not affect tests that do not use it.
    DEFER_ERRORS = True

    # Subclasses set attributes before they call our __init__, '_nodes' among them.
    _known = NodeView({}, [], None, [])
    _later: LaterNodes | None = None
    _being_made = False
    _reads_all = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for key, attr in list(vars(cls).items()):
            if isinstance(attr, FunctionType) and hasattr(attr, "__wrapped__"):
                setattr(cls, key, _blank_if_unset(key, attr))

    def __init__(
        self,
        sched_config: Mapping[str, Any],
        nodes: Nodes | LaterNodes | None = None,
        chunks: Sequence[NodeList] | None = None,
        node_list_id: int | None = None,
        deferred: bool = True,
    ) -> None:
        self._sched_config = sched_config
        self._later = nodes if isinstance(nodes, LaterNodes) else None
        known = {} if nodes is None or isinstance(nodes, LaterNodes) else nodes
        self._known = NodeView(known, chunks or [], node_list_id, [])
        self._errors: list[str] = []
        # For the methods of empty variables: whether they return None, which means unset.
        self._unset: dict[Callable[..., Any], bool] = {}
        # The values of variables that failed.  These are not tried again.
        self._failed: dict[str, str] = {}
        # For the host's class: it would turn a failure into a string before it gets here.
        self.DEFER_ERRORS = False
        self._being_made = True
        super().__init__("sched", deferred=deferred)
        self._being_made = False

    @property
    def _view(self) -> NodeView:
        if self._later is None:
            return self._known
        try:
            return self._later.view
        except NodesUnknownError:
            # Some hosts access everything during construction, and then read all variables, whether
            # the test uses them or not.
            self._reads_all = self._reads_all or self._being_made
            if self._being_made and not self._later.needed:
                return self._known
            raise

    @property
    def _nodes(self) -> Mapping[str, NodeInfo]:
        """What is known about each node.  Accessing it may query the scheduler."""
        return self._view.nodes

    @_nodes.setter
    def _nodes(self, nodes: Mapping[str, NodeInfo]) -> None:
        self._known, self._later = self._view._replace(nodes=nodes), None

    @property
    def _chunks(self) -> Sequence[Sequence[str]]:
        """The chunks of nodes.  Accessing it may query the scheduler."""
        return self._view.chunks

    @_chunks.setter
    def _chunks(self, chunks: Sequence[Sequence[str]]) -> None:
        self._known, self._later = self._view._replace(chunks=chunks), None

    @property
    def _node_list_id(self) -> int | None:
        return self._view.list_id

    def __getitem__(self, key: str) -> Any:
        """The value of a variable; '<...>' with an entry in ``errors`` when it fails.

        :raises KeyError: For an unknown variable.
        :raises SchedulerPluginError: When the scheduler has to be queried for its nodes, and does
            not answer.
        """
        if key == "errors":
            # Others may be added after it was read once.
            return self._all_errors()
        if key in self._failed:
            return self._failed[key]
        try:
            value = super().__getitem__(key)
        except KeyError:
            if key not in self.keys():
                raise
            failure: BaseException = KeyError(key)
        except (Exception, SystemExit) as exc:
            failure = exc
        else:
            if value is None or value == "":
                return self._empty(key)
            if not self._uses_later(key, value):
                return value
            failure = ValueError(
                "it uses a variable that is only known inside the allocation; "
                "mark it with @dfr_var_method, too"
            )
        if self._is_unset(key):
            return self._empty(key)
        if self._later is not None and self._later.failure is not None and not self._reads_all:
            # Not the fault of this variable.
            raise self._later.failure
        if not type(self).DEFER_ERRORS:
            raise failure
        cause = getattr(failure, "prior_error", None) or failure
        self.add_errors(
            [
                f"Scheduler variable '{key}'{self._where(key)} failed: "
                f"{type(cause).__name__}: {cause}"
            ]
        )
        # The text may get into a script, and a scheduler's messages may contain what users wrote.
        text = re.sub(_NOT_INERT, "_", f"{failure}")
        self._failed[key] = f"<no value for {key}: {text}>"
        return self._failed[key]

    def _where(self, key: str) -> str:
        """Where a plugin's own variable is defined."""
        method: Any = getattr(type(self), key, None)
        if method is getattr(SchedulerVariables, key, None):
            return ""
        while hasattr(method, "__wrapped__"):
            method = method.__wrapped__
        code = getattr(method, "__code__", None)
        return "" if code is None else f" ({code.co_filename}, line {code.co_firstlineno})"

    def _uses_later(self, key: str, value: Any) -> bool:
        """Whether a plugin's own variable is a string made from one that is not known yet."""
        if (
            not self._deferred
            or isinstance(value, DeferredVariable)
            or (getattr(type(self), key) is getattr(SchedulerVariables, key, None))
        ):
            return False
        return _placeholder().search(str(value)) is not None

    def _empty(self, key: str) -> str:
        """The value of an empty variable, with an entry in ``errors`` when it is unset."""
        if self._is_unset(key):
            self.add_errors([f"Scheduler variable '{key}' has no value (None)."])
        return ""

    def _is_unset(self, key: str) -> bool:
        """Whether the variable's method returns None, which is neither a value nor a failure.

        Hosts turn None into '', or into an error, so the method itself has to be called.  This is
        done once.
        """
        return self._gives_none(getattr(getattr(type(self), key, None), "__wrapped__", None))

    def _gives_none(self, method: Callable[..., Any] | None) -> bool:
        if method is None:
            return False
        if method not in self._unset:
            try:
                self._unset[method] = method(self) is None
            except (Exception, SystemExit):
                self._unset[method] = False
        return self._unset[method]

    def _all_errors(self) -> list[str]:
        view = self._known if self._reads_all else self._view
        return list(dict.fromkeys([*view.errors, *self._errors]))

    def add_errors(self, errors: list[str]) -> None:
        """Add messages to the variable ``errors``, which lists each message once."""
        self._errors += [error for error in errors if error not in self._errors]

    def info(self, key: str) -> dict[str, Any]:
        """A description of a variable: 'name', 'deferred' (bool), 'help' and 'example'.

        The help is the docstring, up to a paragraph that begins with 'For plugin authors:'.
        The example is taken from EXAMPLE.  If there is none, it is the current value of a variable
        that is not deferred, and NO_EXAMPLE otherwise.

        :raises KeyError: For an unknown variable.
        """
        found: dict[str, Any] = dict(super().info(key))
        found["help"] = _FOR_AUTHORS.sub("", found.get("help") or "")
        example = self.EXAMPLE.get(key)
        if example is None and not found.get("deferred"):
            try:
                example = self[key]
            except PavilionError:
                # The scheduler does not answer: an example is not worth an error.
                pass
        found["example"] = self.NO_EXAMPLE if example is None else example
        return found

    # ------------------------------------------------------------------- before the allocation

    @var_method
    def errors(self) -> list[str]:
        """What went wrong while the scheduler variables were computed."""
        return self._all_errors()

    @var_method
    def nodes(self) -> str:
        """The number of nodes of the whole system that the test could use."""
        if self._nodes or self._later is not None:
            return str(len(self._nodes))
        return str(self._sched_config["cluster_info"]["node_count"])

    @var_method
    def node_list(self) -> list[str]:
        """The names of the nodes that the test could use. Empty when they are not known."""
        return sorted(self._nodes, key=hostlists.natural_key)

    @var_method
    def node_list_id(self) -> str:
        """Identifies the list of usable nodes within this process. For internal use."""
        return "" if self._node_list_id is None else str(self._node_list_id)

    @var_method
    def chunk_ids(self) -> list[str]:
        """The numbers of all chunks, for permuting over them. Empty when there are none, as with
        schedulers that cannot list their nodes."""
        return [str(number) for number in range(len(self._chunks))]

    @var_method
    def chunk_size(self) -> str:
        """The number of nodes in each chunk. Blank when the nodes are not known."""
        return str(len(self._chunks[0])) if self._chunks else ""

    @var_method
    def requested_nodes(self) -> str:
        """How many nodes the test requests: '3', or a range such as '2-4'. Blank when the nodes
        are not known."""
        if not self._chunks:
            return ""
        size = len(self._chunks[0])
        least, most = calc_node_range(self._sched_config, size)
        most = size if most is None else min(most, size)
        return node_range_text((least, max(least, most)))

    @var_method
    def min_cpus(self) -> str:
        """The number of CPUs of the node that has the fewest."""
        return str(self._least("cpus", self._sched_config["cluster_info"]["cpus"]))

    @var_method
    def min_mem(self) -> str:
        """The memory, in bytes, of the node that has the least; where the nodes are not known, the
        value of cluster_info.mem."""
        return str(self._least("mem", self._sched_config["cluster_info"]["mem"]))

    @var_method
    def tasks_per_node(self) -> str:
        """The number of tasks to start on each node."""
        wanted = self._sched_config["tasks_per_node"] or 1
        if isinstance(wanted, float):
            cpus = self._least("cpus", self._sched_config["cluster_info"]["cpus"])
            wanted = math.floor(round(wanted * cpus, 6))
        return str(max(wanted, self._sched_config["min_tasks_per_node"] or 1))

    @var_method
    def concurrent_default(self) -> str:
        """How many tests of a shared allocation to run at the same time by default."""
        return "1"

    @var_method
    def account(self) -> str:
        """The account to charge. Blank when none is set."""
        return self._sched_config["account"] or ""

    @var_method
    def partition(self) -> str:
        """The partition (queue) that is used. Blank when none is set."""
        return self._sched_config["partition"] or ""

    @var_method
    def qos(self) -> str:
        """The quality of service that is requested. Blank when none is set."""
        return self._sched_config["qos"] or ""

    @var_method
    def reservation(self) -> str:
        """The reservation that is used. Blank when none is set."""
        return self._sched_config["reservation"] or ""

    @var_method
    def test_cmd(self) -> str:
        """The command that starts the test's tasks, to be put before the test's own command.

        For plugin authors: a test writes ``{{test_cmd}} ./my_program --option``, and this runs
        ./my_program as many times, and on those nodes, as the test requests: 'mpirun -n 8',
        for example.  It is run by the test's script, on the first node of the allocation.
        There are two ways to write it:

        - If the command does not depend on the nodes that the job gets, override
          :meth:`_test_cmd`, without a decorator, and return it.  The configured ``wrapper`` is
          appended here.
        - If it does, override this method, and mark it with ``@dfr_var_method``: then it is called
          inside the allocation, where all variables are known.  Most commands need this::

            @dfr_var_method
            def test_cmd(self):
                '''The command that starts the test's tasks.'''
                return self._with_wrapper(f"mpirun -n {self.tasks_total()}")

        Use :meth:`tasks_total` for the number of tasks, :meth:`test_nodes` and
        :meth:`test_node_list` for the nodes, :meth:`tasks_per_node` for the tasks on each, and
        :meth:`mpirun_opts` for the options that follow from ``schedule.mpirun_opts``.  Pass the
        numbers on even where the launcher has defaults: these are often one task per CPU.  Always
        end with :meth:`_with_wrapper`, which appends ``schedule.wrapper`` (a debugger, say).  Quote
        what comes from users, with ``shlex.quote``.  If the command is '', the test's own command
        is started once, as it is.
        """
        return self._with_wrapper(self._test_cmd())

    # ------------------------------------------------------------------- inside the allocation

    @dfr_var_method
    def test_node_list(self) -> list[str]:
        """The names of the nodes of the test's allocation."""
        return sorted(self._nodes, key=hostlists.natural_key)

    @dfr_var_method
    def test_nodes(self) -> str:
        """The number of nodes of the test's allocation."""
        return str(len(self._nodes))

    @dfr_var_method
    def test_min_cpus(self) -> str:
        """The number of CPUs of the allocation's node that has the fewest."""
        return str(self._least("cpus", self._sched_config["cluster_info"]["cpus"]))

    @dfr_var_method
    def test_min_mem(self) -> str:
        """The memory, in bytes, of the allocation's node that has the least.
        With the raw scheduler it is in whole GiB, as in Pavilion 2.6."""
        return str(self._least("mem", self._sched_config["cluster_info"]["mem"]))

    @dfr_var_method
    def tasks_total(self) -> str:
        """The total number of tasks to start: as configured, or tasks_per_node on each node."""
        tasks = self._sched_config["tasks"]
        if tasks:
            return str(tasks)
        return str(int(self.tasks_per_node()) * int(self.test_nodes()))

    @dfr_var_method
    def srun_args(self) -> str:
        """The options of the allocation that are set, in the form that srun accepts."""
        options = [
            ("account", self.account()),
            ("partition", self.partition()),
            ("qos", self.qos()),
            ("reservation", self.reservation()),
            ("nodes", self.test_nodes() if self._nodes else self.nodes()),
        ]
        return " ".join(f'--{name}="{value}"' for name, value in options if value)

    # --------------------------------------------------------------------------- for subclasses

    def _test_cmd(self) -> str:
        """The launch command without the configured wrapper, such as 'mpirun -n 4'.

        This is what most plugins override.  If the command needs values that are only known inside
        the allocation, override :meth:`test_cmd` itself, marked with ``@dfr_var_method``, and pass
        the result through :meth:`_with_wrapper`.

        :returns: A command; '' to start the test's command as it is.
        """
        return ""

    def _with_wrapper(self, command: str | None) -> str:
        """The command, followed by the configured wrapper."""
        return " ".join(part for part in (command, self._sched_config["wrapper"]) if part)

    def mpirun_opts(self) -> list[str]:
        """The options for mpirun that follow from ``tasks_per_node`` and ``schedule.mpirun_opts``,
        in the same order as in Pavilion 2.6."""
        config = self._sched_config["mpirun_opts"]
        options = ["-N", self.tasks_per_node()]
        for key in ("rank_by", "bind_to"):
            if config[key]:
                options += [f"--{key.replace('_', '-')}", config[key]]
        for parameter in config["mca"]:
            options += ["--mca", parameter]
        return options + list(config["extra"])

    def _least(self, key: str, default: int) -> int:
        """The smallest value of a key over all nodes; the default when no node has it."""
        values = [info[key] for info in self._nodes.values() if info.get(key) is not None]
        return int(min(values)) if values else int(default)


def _blank_if_unset(key: str, method: Any) -> Callable[..., Any]:
    """Wrap a variable's method so that it returns '' instead of None, even if the host turns None
    into an error.

    Headers call variables as methods, and an unset variable must not stop a kickoff.
    """

    @functools.wraps(method)
    def variable(self: SchedulerVariables, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except Exception:
            if key in self.keys() and self._gives_none(method.__wrapped__):
                return ""
            raise

    # Hosts expect the marked method in __wrapped__.
    variable.__wrapped__ = method.__wrapped__
    return variable
