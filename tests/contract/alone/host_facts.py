"""What can be seen of a host from outside: names, signatures, relations of classes, and what comes
of a number of calls.  Prints a JSON object.  It is run on ``host26`` and on a real checkout, where
nothing of this project is; it imports the host's modules and no scheduler.

Usage: host_facts.py LIB, the directory that ``pavilion`` is in.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pickle
import sys
import tempfile
from pathlib import Path

LIB = Path(sys.argv[1]).resolve()
sys.path[:] = [str(LIB), *(entry for entry in sys.path[1:] if entry != str(LIB))]

from pavilion.test_ids import TestID  # noqa: E402

from pavilion import sys_vars  # noqa: E402
from pavilion.config import PavConfig  # noqa: E402
from pavilion.deferred import DeferredVariable  # noqa: E402
from pavilion.errors import (  # noqa: E402
    PavilionError,
    SchedConfigError,
    SchedulerPluginError,
    VariableError,
)
from pavilion.jobs import Job, JobError, JobInfo  # noqa: E402
from pavilion.scriptcomposer import ScriptComposer, ScriptHeader  # noqa: E402
from pavilion.status_file import STATES, TestStatusFile, TestStatusInfo  # noqa: E402
from pavilion.test_run import TestRun  # noqa: E402
from pavilion.types import NodeInfo, NodeList, Nodes  # noqa: E402
from pavilion.var_dict import VarDict, dfr_var_method, normalize_value, var_method  # noqa: E402

MODULES = (
    "errors",
    "types",
    "status_file",
    "jobs",
    "deferred",
    "var_dict",
    "scriptcomposer",
    "sys_vars",
    "test_run",
    "config",
    "test_ids",
)
CLASSES = (
    PavilionError,
    SchedulerPluginError,
    SchedConfigError,
    VariableError,
    Job,
    JobError,
    DeferredVariable,
    VarDict,
    ScriptHeader,
    ScriptComposer,
    TestStatusInfo,
    TestStatusFile,
    TestRun,
    TestID,
    PavConfig,
    type(STATES),
)
FUNCTIONS = (var_method, dfr_var_method, normalize_value, sys_vars.get_vars)
PROBES = {}


def probe(func):
    """What comes of a call, in a directory of its own."""
    PROBES[func.__name__] = func
    return func


def told(value):
    """A value as JSON; of other objects the class."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, (list, tuple)):
        return [told(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    if isinstance(value, dict):
        return {str(key): told(item) for key, item in sorted(value.items(), key=str)}
    return f"a {type(value).__name__}"


def outcome(call):
    """What a call gives, or the class of what it raises."""
    try:
        return told(call())
    except BaseException as exc:
        return f"raises {type(exc).__name__}"


# --------------------------------------------------------------------------- names and signatures


def parameters(func):
    """Names, kinds and defaults."""
    return [
        [param.name, param.kind.name, "" if param.default is param.empty else repr(param.default)]
        for param in inspect.signature(func).parameters.values()
    ]


def names_of(module):
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith(("_", "host_"))
        and getattr(value, "__module__", "").startswith(module.__name__)
    )


def member(cls, name):
    """What an attribute of a class is."""
    value = inspect.getattr_static(cls, name)
    if isinstance(value, property):
        return ["property", value.fset is not None]
    if isinstance(value, (classmethod, staticmethod)):
        return [type(value).__name__, parameters(value.__func__)]
    if inspect.isfunction(value):
        return ["method", parameters(value)]
    if name.isupper():
        return ["value", told(value)]
    return ["attribute"]


def assigned(cls):
    """The attributes that its methods, and those of its bases, give to an object."""
    found = set()
    for base in cls.__mro__:
        if not base.__module__.startswith("pavilion"):
            continue
        tree = ast.parse(Path(inspect.getfile(base)).read_text())
        found |= {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id in ("self", "test")
        }
    return sorted(found)


def describe(cls):
    own = {
        name
        for base in cls.__mro__
        if base.__module__.startswith("pavilion")
        for name in vars(base)
    }
    slots = {name for base in cls.__mro__ for name in vars(base).get("__slots__", ())}
    return {
        "bases": [
            base.__name__
            for base in cls.__mro__
            if not base.__module__.startswith("pavilion") and base.__name__ != "ABC"
        ],
        "is_error_of": sorted(
            base.__name__
            for base in (PavilionError, ValueError, RuntimeError)
            if issubclass(cls, base)
        ),
        "hashable": cls.__hash__ is not None,
        "compared": cls.__eq__ is not object.__eq__,
        "members": {
            name: member(cls, name)
            for name in sorted(own - slots)
            if not name.startswith(("_", "host_")) or name == "__init__"
        },
        "assigned": assigned(cls),
    }


# ------------------------------------------------------------------------------------------ calls


class Vars(VarDict):
    """Variables of all kinds."""

    read_by_making = 0

    @property
    def looked_at(self):
        type(self).read_by_making += 1

    @var_method
    def text(self):
        """One."""
        return "a"

    @var_method
    def nothing(self):
        return None

    @var_method
    def listed(self):
        return ["a", 1, 2.5, True, None]

    @var_method
    def path(self):
        return Path("/a")

    @var_method
    def wrong(self):
        raise OSError("x")

    @var_method
    def not_known(self):
        return DeferredVariable()

    @dfr_var_method
    def later(self):
        """Later."""
        return 5

    @dfr_var_method("a", "b")
    def later_too(self):
        return {"a": 1}


class Putting(Vars):
    DEFER_ERRORS = True


class Test:
    """As much of a test as a job asks for."""

    def __init__(self, folder, name):
        self.id = TestID(name)
        self.path = folder / "test_runs" / name
        self.path.mkdir(parents=True)


def new_job(folder, kickoff_fn=None):
    (folder / "jobs").mkdir(exist_ok=True)
    tests = [Test(folder, f"s1.{number}") for number in (1, 2)]
    return Job.new({"working_dir": folder}, tests, kickoff_fn)


def new_test(folder, text="s1.1"):
    test = TestRun.__new__(TestRun)
    values = {
        "_attrs": {"warnings": []},
        "path": folder / text,
        "saved": True,
        "_complete": False,
        "_job": None,
        "id": TestID(text),
    }
    (folder / text).mkdir()
    for name, value in values.items():
        # A real one keeps its attributes in there.
        if name != "_attrs" or hasattr(test, "__dict__"):
            setattr(test, name, value)
    test.status = TestStatusFile(folder / text / "status")
    return test


@probe
def errors(folder):
    cause = ValueError("why")
    by_position = SchedulerPluginError("m", cause)
    return [
        outcome(lambda: by_position.tests),
        outcome(lambda: by_position.prior_error),
        outcome(lambda: str(PavilionError("m", cause))),
        outcome(lambda: setattr(PavilionError("m"), "msg", "n")),
        outcome(lambda: {PavilionError("m"): 1}),
        outcome(lambda: PavilionError("m") == PavilionError("m")),
        outcome(lambda: SchedulerPluginError("m").tests),
        outcome(lambda: PavilionError("m", PavilionError("n", cause)).pformat().split()),
        outcome(
            lambda: vars(
                pickle.loads(  # noqa: S301
                    pickle.dumps(SchedulerPluginError("m", [], None, 5))
                )
            )
        ),
    ]


@probe
def deferred(folder):
    value = DeferredVariable()
    return [
        outcome(call)
        for call in (
            lambda: bool(value),
            lambda: len(value),
            lambda: value.get(0, None),
            lambda: value == DeferredVariable(),
            lambda: len({value}),
            lambda: DeferredVariable.was_deferred("!deferred!x"),
        )
    ]


@probe
def types(folder):
    return [
        outcome(call)
        for call in (
            lambda: NodeInfo({"a": 1}),
            lambda: Nodes({}),
            lambda: NodeList(["a"]),
            lambda: isinstance({}, NodeInfo),
            lambda: issubclass(dict, Nodes),
            lambda: NodeInfo(a=1),
            lambda: JobInfo({"a": 1}),
            lambda: JobInfo(a=1),
            lambda: JobInfo(5),
            lambda: isinstance({}, JobInfo),
        )
    ]


@probe
def normal_values(folder):
    return [
        outcome(lambda value=value: normalize_value(value))
        for value in (
            "a",
            1,
            2.5,
            True,
            b"x",
            None,
            Path("/a"),
            {"a"},
            ["a", None],
            [["a"]],
            {"a": {"b": "c"}},
            {"a": None},
            [{"a": 1}],
            (1, 2),
            DeferredVariable(),
        )
    ]


@probe
def variables(folder):
    made = Vars("v")
    now = Vars("v", deferred=False)
    keys = sorted(made.keys())
    found = [keys, list(made), len(made), bool(made), "text" in made]
    found += [outcome(lambda key=key: made[key]) for key in [*keys, "no"]]
    found += [outcome(lambda key=key: now[key]) for key in [*keys, "no"]]
    found += [
        sorted(made),
        len(made),
        "text" in made,
        outcome(lambda: made.get("no", 7)),
        outcome(lambda: made.info("later")),
        outcome(lambda: made.info("no")),
        outcome(lambda: made.text()),
        outcome(lambda: made.nothing()),
        outcome(lambda: made["errors"]),
    ]
    return found


@probe
def what_making_variables_reads(folder):
    before = Vars.read_by_making
    Vars("v")
    return Vars.read_by_making - before


@probe
def errors_that_are_put_off(folder):
    made = Putting("v", deferred=False)
    values = [outcome(lambda key=key: made[key]) for key in ("nothing", "wrong", "path")]
    made.add_errors(["more"])
    return [
        [str(value)[0] + str(value)[-1] for value in values],
        [text.partition("\n")[0][:9] for text in made["errors"]],
        ["Traceback" in text for text in made["errors"]],
    ]


@probe
def marks(folder):
    return [
        outcome(lambda: var_method()),
        outcome(lambda: callable(dfr_var_method())),
        outcome(
            lambda: sorted(
                name
                for name in vars(var_method(lambda self: 1))
                if "var_method" in name or "deferable" in name
            )
        ),
    ]


@probe
def scripts(folder):
    script = ScriptComposer(header=ScriptHeader("/bin/sh"))
    script.comment("a comment")
    script.newline()
    script.command(["one", "two"])
    script.command("three; four 'five")
    script.command(6)
    script.command(("seven",))
    script.env_change({"A": "b c", "D": "e", "F": None, "G": "'h i'", "J": 5})
    script.write(folder / "script")
    return [
        (folder / "script").read_text(),
        (folder / "script").stat().st_mode & 0o110,
        outcome(lambda: ScriptHeader(None).get_lines()),
        outcome(lambda: ScriptHeader("#!/bin/bash").get_lines()),
        outcome(lambda: ScriptComposer().write(folder / "no" / "script")),
    ]


@probe
def states(folder):
    return {
        "all": sorted(STATES.list()),
        "list": type(STATES.list()).__name__,
        "fatal": sorted(name for name in STATES.list() if STATES.is_fatal(name)),
        "own names": all(getattr(STATES, name) == name for name in STATES.list()),
        "unknown": [
            outcome(lambda: STATES.NO_SUCH),
            outcome(lambda: STATES.validate("NO")),
            outcome(lambda: STATES.is_fatal("NO")),
            outcome(lambda: STATES.help("NO")),
            outcome(lambda: STATES.get("NO")),
        ],
        "known": outcome(lambda: STATES.validate("RUNNING")),
    }


@probe
def status_files(folder):
    file = TestStatusFile(folder / "status")
    found = [[info.state for info in file.history()]]
    for state, note in (
        ("RUNNING", "  a note\nof two lines "),
        ("NO_SUCH", "x"),
        ("INFO", "n" * 5000),
        ("COMPLETE", ""),
    ):
        given = file.set(state, note)
        read = file.current()
        found.append(
            [given.state, read.state, read.note, given.when > 0, abs(read.when - given.when) < 0.01]
        )
    found += [
        outcome(lambda: file.set("RUNNING", None)),
        outcome(lambda: file.set("RUNNING", 5)),
        outcome(lambda: TestStatusInfo("X", "y", when=3).when),
        outcome(lambda: sorted(TestStatusInfo("X", "y").as_dict())),
    ]
    (folder / "status").unlink()
    found += [
        file.current().state,
        [info.state for info in file.history()],
        file.current().when > 0,
    ]
    (folder / "status").touch()
    found += [file.current().state, file.history()]
    (folder / "status").unlink()
    (folder / "status").mkdir()
    found += [file.current().state, file.set("RUNNING", "x").state]
    return found


@probe
def jobs(folder):
    found = []
    for name in (None, "kickoff.own"):
        place = folder / str(name)
        place.mkdir()
        job = new_job(place, name)
        found += [
            sorted(vars(job)),
            sorted(path.name for path in job.path.iterdir()),
            job.kickoff_path.name,
            job.kickoff_path.is_symlink(),
            job.name == job.path.name,
            len(job.name),
            str(job),
            outcome(lambda job=job: job.info),
        ]
        if job.kickoff_path.is_symlink():
            found.append(job.kickoff_path.readlink().name)
        found += sorted(
            [str(test_id), type(test_id).__name__, path == place]
            for path, test_id in job.get_test_id_pairs()
        )
        link = place / "link"
        link.symlink_to(job.path)
        again = Job(link)
        found += [again == job, again.path == job.path, again.name == job.name]
        found += [
            str(getattr(again, attr)).startswith(str(link))
            for attr in ("path", "kickoff_path", "kickoff_log", "sched_log", "tests_path")
        ]
        found += [outcome(lambda job=job: {job: 1}), outcome(lambda job=job: job == 5)]
    (folder / "jobs").mkdir()
    found.append(outcome(lambda: Job.new({"working_dir": folder}, [], None).tests_path.name))
    found.append(outcome(lambda: Job.new({"working_dir": folder / "no"}, [], None)))
    test = Test(folder, "s1.3")
    found.append(outcome(lambda: Job.new({"working_dir": folder}, [test, test], None)))
    return found


@probe
def records(folder):
    job = new_job(folder)
    job.info = {"id": "7", "sys_name": "x", "a": 5}
    found = [
        str(Job(job.path)),
        outcome(lambda: Job(job.path).info),
        type(Job(job.path).info).__name__,
    ]
    kept = Job(job.path)
    kept.info = {"id": "8"}
    # What was read is kept.
    found += [
        outcome(lambda: job.info),
        outcome(lambda: Job(job.path).info),
        outcome(lambda: setattr(kept, "info", {"id": {1}})),
    ]
    record = job.path / Job.INFO_FN
    for text in ("{", "", "[1]", "null"):
        record.write_text(text)
        found.append(outcome(lambda: Job(job.path).info))
    record.unlink()
    record.mkdir()
    for call in (
        lambda: Job(job.path).info,
        lambda: setattr(job, "info", {"id": "1"}),
        lambda: job.load_sched_data(),
    ):
        try:
            call()
        except JobError as exc:
            found.append(
                [
                    type(exc).__name__,
                    type(exc.args[1]).__name__,
                    len(exc.args),
                    hasattr(exc, "prior_error"),
                    hasattr(exc, "pformat"),
                ]
            )
    nodes = {"n1": {"name": "n1", "when": (1, 2)}}
    job.save_node_data(nodes)
    data = (job.path / Job.NODE_INFO_FN).read_bytes()
    found += [outcome(lambda: pickle.loads(data)), outcome(lambda: job.load_sched_data())]  # noqa: S301
    return found


@probe
def test_runs(folder):
    test = new_test(folder)
    other = new_test(folder, "s1.2")
    found = [
        test.cancelled,
        test.complete,
        str(test.series),
        type(test.series).__name__,
        type(test.id).__name__,
        outcome(lambda: test.job),
        len(test) > 0,
        test == other,
        outcome(lambda: len({test, other})),
        isinstance(test.id, str),
    ]
    test.cancel("why")
    found += [
        test.cancelled,
        test.complete,
        test.status.current().state,
        test.status.current().note,
        sorted(path.name for path in test.path.iterdir()),
    ]
    test.cancel("again")
    found += [[info.state for info in test.status.history()]]
    (folder / "jobs").mkdir()
    job = Job.new({"working_dir": folder}, [test], None)
    test.job = job
    found += [
        (test.path / "job").is_symlink(),
        (test.path / "job").resolve() == job.path,
        test.job is job,
        outcome(lambda: setattr(test, "job", job)),
    ]
    test._job = None
    found += [test.job.path == job.path, str(test.job.kickoff_log).startswith(str(test.path))]
    test.set_run_complete()
    found += [
        test.complete,
        (test.path / "RUN_COMPLETE").is_file(),
        outcome(lambda: test.set_run_complete()),
    ]
    other.saved = False
    found += [outcome(lambda: other.set_run_complete()), other.complete]
    alone = new_test(folder, "0" * 31 + "a")
    found += [outcome(lambda: alone.series)]
    (alone.path / "status").unlink()
    alone.path.rmdir()
    found += [outcome(lambda: alone.complete)]
    return found


@probe
def ids(folder):
    one = TestID("s1.2")
    return [
        str(one),
        repr(one),
        one == TestID("s1.2"),
        one == "s1.2",
        outcome(lambda: {one}),
        f"{one}",
        str(one.series),
        [
            outcome(lambda text=text: str(TestID(text).series))
            for text in ("S1.2", "s0.1", "s1", "1", "x", "0" * 32, "", "s1.x", "s1.-1", "a" * 31)
        ],
    ]


@probe
def settings(folder):
    config = PavConfig({"working_dir": folder, "env_setup": ["a"]})
    return [
        outcome(call)
        for call in (
            lambda: config["working_dir"] == config.working_dir == folder,
            lambda: config["env_setup"],
            lambda: config["no_such"],
            lambda: config["get"],
            lambda: config[5],
            lambda: config.no_such,
            lambda: config.get("no_such", 7),
            lambda: PavConfig({"no": 1}),
            lambda: PavConfig().disable_plugins,
            lambda: PavConfig().configs,
            lambda: type(PavConfig().pav_cfg_file).__name__.replace("Posix", ""),
            lambda: PavConfig(folder, folder),
        )
    ]


@probe
def system_variables(folder):
    return [
        outcome(lambda: sys_vars.get_vars(True)["sys_name"]),
        outcome(lambda: sys_vars.get_vars()),
    ]


@probe
def imports(folder):
    """Which module of the host is imported first, and who imports whom."""

    def imported(name):
        tree = ast.parse((LIB / "pavilion" / name).read_text())
        return [
            f"{'.' * node.level}{node.module or ''}"
            for node in tree.body
            if isinstance(node, ast.ImportFrom)
        ]

    return [
        imported("__init__.py")[0],
        any(name.endswith("result_parsers") for name in imported("result/__init__.py")),
        ".base_classes" in imported("result_parsers/__init__.py"),
        any(
            name.startswith("pavilion.result.")
            for name in imported("result_parsers/base_classes.py")
        ),
        "pavilion.result" in sys.modules,
    ]


def main():
    modules = {name: importlib.import_module(f"pavilion.{name}") for name in MODULES}
    facts = {
        "file": str(Path(modules["errors"].__file__)),
        "names": {name: names_of(module) for name, module in modules.items()},
        "functions": {func.__name__: parameters(func) for func in FUNCTIONS},
        "classes": {cls.__name__.lstrip("_"): describe(cls) for cls in CLASSES[:-1]},
        "probes": {},
    }
    for name, func in PROBES.items():
        with tempfile.TemporaryDirectory() as folder:
            facts["probes"][name] = json.loads(
                json.dumps(
                    outcome(lambda func=func, folder=folder: func(Path(folder).resolve()))
                ).replace(str(Path(folder).resolve()), "HERE")
            )
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
