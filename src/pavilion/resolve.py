"""From a test in a suite to the test runs it stands for: schedulers, variables, permutations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pavilion import naming, schedulers
from pavilion.errors import ConfigError, PavilionError, quoted
from pavilion.problems import Problems
from pavilion.resolve_steps import (
    USED_UP,
    base_manager,
    check_chunk,
    check_concurrent,
    check_shebang,
    find_scheduler,
    initial_vars,
    split_permutations,
)
from pavilion.schedulers.finding.registry import require_plugin
from pavilion.static_checks import check_single_chunk, env_problems
from pavilion.suites import SuiteTest
from pavilion.test_run import parse_timeout
from pavilion.variables import MAX_PERMUTATIONS, VariableSetManager, permutations
from pavilion.variables.config import dotted, map_texts

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
