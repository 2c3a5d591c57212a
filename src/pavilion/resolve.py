"""From a test in a suite to the test runs it stands for: schedulers, variables, permutations."""

from __future__ import annotations

import getpass
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pavilion import naming, schedulers, sys_vars
from pavilion.errors import ConfigError, PavilionError, SchedulerPluginError, quoted
from pavilion.problems import Problems
from pavilion.schedulers.finding.registry import require_plugin
from pavilion.scriptcomposer import ScriptHeader
from pavilion.static_checks import check_single_chunk, env_problems
from pavilion.suites import SuiteTest
from pavilion.test_run import parse_timeout
from pavilion.variables import MAX_PERMUTATIONS, VariableSetManager, permutations
from pavilion.variables.config import dotted, map_texts

# More than any number in a test needs.
_MAX_DIGITS = 9
# Keys that are used here and are not part of a test run.
USED_UP = (
    "variables",
    "permute_on",
    "subtitle",
    "inherits_from",
    "summary",
    "doc",
    "scheduler",
    "schedule",
)
# Where strings may wait for the allocation.
DEFERRED_OK = ("run",)


@dataclass(frozen=True)
class ResolvedTest:
    """A test run to be made: everything is decided but what is known only on the allocation."""

    name: str
    # The test it is made from.
    source: SuiteTest
    # Strings that need the allocation, and only those, are not filled in yet;
    config: dict[str, Any]
    # and this is where they are.
    deferred_paths: list[list[str | int]]
    var_man: VariableSetManager
    sched_vars: schedulers.SchedulerVariables
    # What its permutation chose: variable -> value, a mapping for an item that is one.
    permutation: dict[str, Any] = field(default_factory=dict)
    # The id of the test run that it repeats.
    repeats: str | None = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the scheduler's variables complain about.  To find out, its scheduler may be
        queried.

        :raises SchedulerPluginError: When it does not answer.
        """
        return tuple(self.sched_vars["errors"])


def resolve_test(
    test: SuiteTest, problems: Problems | None = None, chunk: str | None = None
) -> list[ResolvedTest]:
    """The test runs that a test of a suite stands for, one for each permutation.

    :param problems: Collects what is wrong; if anything is, no test runs are returned.
    :param chunk: The only chunk to make permutations of, whether there is one of that number or
        not.
    :raises ConfigError: Without ``problems``: everything that is wrong with the test, each with
        file, line and key.  Nothing has been made by then.
    """
    cause: PavilionError | None = None
    if problems is None or not test.origin.refused:
        try:
            return _resolve(test, chunk)
        except PavilionError as exc:
            cause = exc
    # Most tests have no mistakes.
    from pavilion.diagnosis import Diagnosis

    found = Problems() if problems is None else problems
    Diagnosis(test, found).run(cause)
    if problems is None:
        try:
            found.raise_any(f"Test '{test.name}' in {test.file} cannot be used")
        except ConfigError as exc:
            raise exc from cause
    return []


def _resolve(test: SuiteTest, chunk: str | None = None) -> list[ResolvedTest]:
    base = base_manager(test)
    early, late = split_permutations(base, test.config["permute_on"])
    resolved: list[ResolvedTest] = []
    managers = permutations(base, early) if early else [base]
    for manager in managers:
        resolved += _resolve_late(test, manager, late, len(managers) if early else 0, chunk)
    return _named(test, resolved)


def _named(test: SuiteTest, resolved: Sequence[ResolvedTest]) -> list[ResolvedTest]:
    """The test runs with their names: suite, test, and what tells permutations apart.

    :raises ConfigError: When the test's subtitle does not.
    """
    given: str | None = test.config["subtitle"]
    if given is not None:
        ends = [run.var_man.resolve_text(given, "subtitle") for run in resolved]
        naming.check_subtitles(given, [".".join(filter(None, (test.name, end))) for end in ends])
    elif test.config["permute_on"]:
        ends = naming.automatic([_in_order(test, run.var_man.chosen()) for run in resolved])
    else:
        ends = [""] * len(resolved)
    return [
        replace(run, name=".".join(filter(None, (test.suite, test.name, end))))
        for run, end in zip(resolved, ends)
    ]


def _in_order(test: SuiteTest, choices: Sequence[naming.Choice]) -> list[naming.Choice]:
    """What a permutation chose, in the order of permute_on."""
    order = {name.rpartition(".")[2]: at for at, name in enumerate(test.config["permute_on"])}
    return sorted(choices, key=lambda choice: order.get(choice[1], len(order)))


def base_manager(test: SuiteTest) -> VariableSetManager:
    """The variables of a test that are known without its scheduler."""
    base = VariableSetManager()
    base.add_set("var", test.config["variables"] or {})
    base.add_set("pav", pav_vars(test))
    base.add_set("sys", sys_vars.get_vars(True))
    return base


def pav_vars(test: SuiteTest) -> dict[str, Any]:
    """The set 'pav'."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a user id without a name.
        user = "unknown"
    return {
        "user": user,
        "timestamp": str(int(time.time())),
        "suite": test.suite,
        "suite_dir": str(test.file.parent),
    }


def split_permutations(
    manager: VariableSetManager, names: Sequence[str]
) -> tuple[list[str], list[str]]:
    """The names that are known without the scheduler, and the others."""
    early: list[str] = []
    late: list[str] = []
    for name in names:
        try:
            manager.is_deferred(name)
        except PavilionError:
            late.append(name)
        else:
            early.append(name)
    return early, late


def _resolve_late(
    test: SuiteTest,
    manager: VariableSetManager,
    late: Sequence[str],
    combinations: int,
    chunk: str | None,
) -> list[ResolvedTest]:
    """Add the scheduler's variables, and permute over those.

    :param combinations: How many combinations there are so far; 0 if nothing was permuted on.
    :param chunk: As of resolve_test.
    """
    plugin = find_scheduler(manager.resolve_text(test.config["scheduler"], "scheduler"))
    schedule = manager.resolve_config({"schedule": test.config["schedule"]})["schedule"]
    sched_vars = initial_vars(plugin, schedule)
    manager.add_set("sched", sched_vars if chunk is None else _OneChunk(sched_vars, chunk))
    resolved = []
    limit = MAX_PERMUTATIONS // max(1, combinations)
    for final in permutations(manager, late, limit) if late else [manager]:
        raw = {key: value for key, value in test.config.items() if key not in USED_UP}
        check_single_chunk(final, raw["chunk"])
        paths = final.deferred_paths(raw)
        config = final.resolve_config(raw, deferred_ok=DEFERRED_OK)
        # Already resolved; what looks like a reference in it now came from a value.
        config.update(scheduler=plugin.name, schedule=schedule, chunk=check_chunk(config["chunk"]))
        config["concurrent"] = check_concurrent(
            config["concurrent"] or sched_vars["concurrent_default"]
        )
        _check_timeout(final, raw["run"]["timeout"])
        check_shebang(final.resolve_text(raw["run"]["shebang"], "run.shebang"))
        _check_commands(config)
        resolved.append(
            ResolvedTest(
                f"{test.suite}.{test.name}",
                test,
                config,
                paths,
                final,
                sched_vars,
                {name: value for _, name, value in _in_order(test, final.chosen())},
            )
        )
    return resolved


class _OneChunk(Mapping[str, Any]):
    """A scheduler's variables, with only one chunk."""

    def __init__(self, values: Mapping[str, Any], chunk: str) -> None:
        self._values = values
        self._chunk = chunk

    def __getitem__(self, key: str) -> Any:
        return [self._chunk] if key == "chunk_ids" else self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: object) -> bool:
        return key in self._values


def find_scheduler(name: str) -> schedulers.SchedulerPlugin:
    """The scheduler of a test.  :raises SchedulerPluginError: When it cannot be used here."""
    plugin = require_plugin(name)
    if not plugin.available():
        raise SchedulerPluginError(
            f"The scheduler {name!r} is not available on this host. {plugin.unavailable_reason}"
        )
    return plugin


def initial_vars(
    plugin: schedulers.SchedulerPlugin, schedule: Mapping[str, Any]
) -> schedulers.SchedulerVariables:
    """What a scheduler says about a test.  :raises PavilionError: When it cannot."""
    try:
        return plugin.get_initial_vars(schedule)
    except PavilionError:
        raise
    except Exception as exc:
        raise SchedulerPluginError(
            f"The scheduler plugin {plugin.name!r} ({plugin.path}) failed with "
            f"{type(exc).__name__} while it made the test's variables",
            prior_error=exc,
        ) from exc


def check_chunk(text: str) -> str:
    """The number of a chunk, or 'any'.  :raises ConfigError: for anything else."""
    if text != "any" and not _is_number(text):
        raise ConfigError(
            f"chunk must be 'any' or the number of a chunk (0, 1, ...), not {quoted(text)}."
        )
    return text


def check_concurrent(text: str) -> str:
    """A number of tests at the same time.  :raises ConfigError: for anything else."""
    if not (_is_number(text) and int(text) > 0):
        raise ConfigError(
            "concurrent must be a whole number of at least 1, and of "
            f"{_MAX_DIGITS} digits at most, not {quoted(text)}."
        )
    return text


def _is_number(text: str) -> bool:
    """Whether it is a whole number.  Python accepts other digits, and may refuse 4,000 of them."""
    return text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS


def _check_commands(config: Mapping[str, Any]) -> None:
    """Find null characters, which a shell silently leaves out of its commands, and
    environment variables that it does not set.

    :raises ConfigError: Naming the key.
    """

    def check(text: str, path: tuple[str | int, ...]) -> str:
        if "\0" in text:
            raise ConfigError(f"{dotted(path)} contains a null character: {quoted(text)}.")
        return text

    map_texts({"run": config["run"]}, check)
    for name, wrong in env_problems(config["run"]):
        raise ConfigError(f"run.env.{name}: {wrong}")


def check_shebang(text: str) -> None:
    """The first line of a script.  :raises ConfigError: When it cannot be one."""
    try:
        ScriptHeader(text)
    except ValueError as exc:
        raise ConfigError("run.shebang cannot be used", prior_error=exc) from exc


def _check_timeout(manager: VariableSetManager, text: str | None) -> None:
    """Find a bad time limit before the test runs, if it is already known."""
    try:
        timeout = None if text is None else manager.resolve_text(text, "run.timeout")
    except PavilionError:
        return
    parse_timeout(timeout)


def set_seed(seed: int) -> None:
    """Let every scheduler that draws something at random (chunks) draw the same next time."""
    for name in schedulers.list_plugins():
        plugin = require_plugin(name)
        if isinstance(plugin, schedulers.SchedulerPluginAdvanced):
            plugin.seed = seed


def group_by_scheduler(tests: Sequence[Any]) -> Mapping[str, list[Any]]:
    """Tests by the name of their scheduler, in order."""
    groups: dict[str, list[Any]] = {}
    for test in tests:
        groups.setdefault(test.scheduler, []).append(test)
    return groups
