"""Running tests of earlier series again.

A test is looked up by its name in its suite file as that file is now.  It gets the overrides that
it was started with, followed by any new ones.  A test whose nodes were picked here, because of
chunks or ``across_nodes``, runs on the same nodes again: see :mod:`pavilion.schedulers.lifecycle.pinning`.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pavilion import schedulers
from pavilion.errors import ConfigError, PavilionError, quoted
from pavilion.files import is_mine, read_user_file
from pavilion.near import did_you_mean
from pavilion.problems import Problems, name_list
from pavilion.resolve import ResolvedTest, resolve_test
from pavilion.schedulers.config import validate_config
from pavilion.schedulers.finding.registry import require_plugin
from pavilion.schedulers.lifecycle import pinning
from pavilion.suites import SuiteTest, load_suite, short_list
from pavilion.test_run import TestRun

# Keys that choose the nodes of a test.  Whoever sets one of them wants other nodes.
CHOOSE_NODES = ("scheduler", "chunk", "schedule.across_nodes", "schedule.chunking")
# Keys that say how many nodes a test gets.
CHOOSE_SIZE = ("schedule.nodes", "schedule.min_nodes")
CHUNK_IDS = "chunk_ids"


class Source(NamedTuple):
    """Where a test run comes from, according to its record."""

    file: str
    # Of the file's content.
    digest: str
    # The test of the suite.
    test: str
    overrides: tuple[str, ...] = ()
    seed: int | None = None

    @classmethod
    def of_record(cls, record: Any) -> Source | None:
        """What a record says; None when it says nothing, or is of another form."""
        try:
            found = cls(**record)._replace(overrides=tuple(record.get("overrides") or ()))
        except (TypeError, AttributeError):
            return None
        texts = (found.file, found.digest, found.test, *found.overrides)
        seed_ok = found.seed is None or type(found.seed) is int
        return found if seed_ok and all(isinstance(text, str) for text in texts) else None


class Digests:
    """The digests of suite files, each computed once."""

    def __init__(self) -> None:
        self._known: dict[Path, str] = {}

    def of(self, file: Path) -> str:
        """That of a file; '' when it cannot be read."""
        if file not in self._known:
            try:
                self._known[file] = hashlib.sha256(read_user_file(file)).hexdigest()[:32]
            except OSError:
                self._known[file] = ""
        return self._known[file]


def source_record(test: ResolvedTest, digests: Digests, seed: Any) -> dict[str, Any]:
    """The part of a test run's record that says where it comes from.

    :param seed: The seed that its chunks were drawn with.
    """
    source = test.source
    return Source(
        str(source.file),
        digests.of(source.file),
        source.name,
        source.overrides,
        seed if type(seed) is int else None,
    )._asdict()


@dataclass(frozen=True)
class Options:
    """How tests are to run again.

    :param overrides: 'key=value' strings that take precedence over those that they had.
    :param any_nodes: No test has to run on the nodes that it had before.
    :param same_nodes: All tests have to, even where the scheduler picked the nodes.
    """

    overrides: tuple[str, ...] = ()
    any_nodes: bool = False
    same_nodes: bool = False

    def sets(self, keys: Sequence[str]) -> bool:
        """Whether one of these keys, or a part of it, is among the overrides."""
        set_here = [text.partition("=")[0].strip().rstrip("+") for text in self.overrides]
        return any(name == key or name.startswith(f"{key}.") for name in set_here for key in keys)


@dataclass
class Again:
    """Test runs that are to be made, and what there is to say about them.

    - ``notes``: sentences, for the user
    """

    tests: list[ResolvedTest] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def run_again(runs: Sequence[TestRun], options: Options, problems: Problems) -> Again:
    """Resolve tests of earlier series again.

    :param problems: Collects what is wrong in their suites.
    :raises ConfigError: For tests that cannot be found again: all of them, each with the reason.
    """
    again = Again()
    finder = _Finder(options, problems)
    errors: dict[str, list[str]] = {}
    changed: dict[str, list[str]] = {}
    for run in runs:
        try:
            source = _source_of(run)
            found = finder.find(run, source)
            if found is None:
                # The problems say what is wrong.
                continue
            again.tests.append(_as_before(run, found, options, again.notes))
        except PavilionError as exc:
            errors.setdefault(exc.pformat(), []).append(run.id)
            continue
        if finder.digests.of(Path(source.file)) != source.digest:
            changed.setdefault(source.file, []).append(run.id)
    if errors:
        lines = [f"{name_list(ids)}: {text}" for text, ids in errors.items()]
        raise ConfigError("These tests cannot be run again:\n" + "\n".join(lines))
    again.notes[:0] = [
        f"The suite file {file} has changed since {name_list(ids)} ran; it is used as it is now."
        for file, ids in changed.items()
    ]
    return again


def _source_of(run: TestRun) -> Source:
    """Where a test run comes from.  :raises ConfigError: When that is not known, or not trusted."""
    if not is_mine(run.path):
        raise ConfigError(
            "It belongs to another user, whose record could name any suite to run as you. Name the "
            "suite instead."
        )
    source = Source.of_record(run.source)
    if source is None:
        raise ConfigError(
            "Its record does not say which suite file it comes from (it was started by an earlier "
            "version). Name the suite instead."
        )
    if not Path(source.file).is_file():
        raise ConfigError(f"Its suite file {source.file} does not exist any more.")
    return source


class _Finder:
    """Finds test runs by their names in suites as they are now; everything is read once."""

    def __init__(self, options: Options, problems: Problems) -> None:
        self._options = options
        self._problems = problems
        self._suites: dict[tuple[str, tuple[str, ...]], dict[str, SuiteTest]] = {}
        # By what they are made from, and the chunk of the permutation.
        self._runs: dict[tuple[str, tuple[str, ...], str, str | None], dict[str, ResolvedTest]] = {}
        self.digests = Digests()

    def find(self, run: TestRun, source: Source) -> ResolvedTest | None:
        """The test run of the same name; None when there are problems with the suite.

        :raises ConfigError: When there is none.
        """
        overrides = (*source.overrides, *self._options.overrides)
        tests = self._suite(source.file, overrides)
        if source.test not in tests:
            if self._problems:
                return None
            raise _not_there("test", source.test, source.file, list(tests))
        chunk = self._chunk_of(run)
        key = (source.file, overrides, source.test, chunk)
        if key not in self._runs:
            resolved = resolve_test(tests[source.test], self._problems, chunk)
            self._runs[key] = {found.name: found for found in resolved}
        found = self._runs[key].get(run.name)
        if found is None and not self._problems:
            error = _not_there("permutation", run.name, source.file, list(self._runs[key]))
            if CHUNK_IDS in run.permutation:
                error = ConfigError(
                    f"{error.msg} The number of chunks depends on the nodes that can be used now."
                )
            raise error
        return found

    def _suite(self, file: str, overrides: tuple[str, ...]) -> dict[str, SuiteTest]:
        key = (file, overrides)
        if key not in self._suites:
            self._suites[key] = load_suite(Path(file), overrides, self._problems)
        return self._suites[key]

    def _chunk_of(self, run: TestRun) -> str | None:
        """The chunk that its permutation chose, if it is to run on the nodes that it had: in that
        case it makes no difference whether there is such a chunk now."""
        chunk = run.permutation.get(CHUNK_IDS)
        if not isinstance(chunk, str) or self._options.any_nodes or not nodes_of(run):
            return None
        return None if self._options.sets(CHOOSE_NODES) else chunk


def _not_there(what: str, name: str, file: str, names: Sequence[str]) -> ConfigError:
    hint = did_you_mean(name, names)
    return ConfigError(
        f"There is no {what} {quoted(name)} in {file} any more.{hint} There are: "
        f"{short_list(names) or 'none'}."
    )


def nodes_of(run: TestRun) -> list[str]:
    """The nodes that a test ran on, or was meant to run on; [] where they are not known."""
    if run.nodes:
        return run.nodes
    if not pinning.is_pinned(run.config):
        return []
    # It was meant to run again, and could not.
    try:
        return pinning.pinned_nodes(run.config, {"exclude_nodes": ()})
    except (KeyError, TypeError, ValueError):
        return []


def _as_before(
    run: TestRun, found: ResolvedTest, options: Options, notes: list[str]
) -> ResolvedTest:
    """The test run with what it takes over from the earlier one.

    :param notes: Collects what there is to say about it.
    """
    found = dataclasses.replace(found, repeats=run.id)
    if options.any_nodes or not _is_placed_here(found, options, notes):
        return found
    nodes = nodes_of(run)
    if not nodes:
        if options.same_nodes:
            notes.append(f"{run.id} has no nodes to run on again: it never had any.")
        return found
    try:
        pinned = pinning.pin(nodes, run.id, whole=not options.sets(CHOOSE_SIZE))
    except ValueError as exc:
        raise ConfigError("Its nodes cannot be used again", prior_error=exc) from exc
    config: dict[str, Any] = {**found.config, pinning.PINNED: pinned}
    if config["chunk"] == "any" and run.chunk is not None:
        config["chunk"] = str(run.chunk)
    return dataclasses.replace(found, config=config)


def _is_placed_here(found: ResolvedTest, options: Options, notes: list[str]) -> bool:
    """Whether a test runs on the nodes that it had, and not on those that its scheduler picks."""
    if options.sets(CHOOSE_NODES):
        return False
    plugin = require_plugin(found.config["scheduler"])
    if not isinstance(plugin, schedulers.SchedulerPluginAdvanced):
        note = f"The scheduler {plugin.name!r} cannot be given nodes to run on."
        if options.same_nodes and note not in notes:
            notes.append(note)
        return False
    if options.same_nodes:
        return True
    config: Mapping[str, Any] = validate_config(found.config["schedule"])
    return not config["flex_scheduled"]


def seed_of(runs: Iterable[TestRun]) -> int | None:
    """The seed of the first of these tests that has one."""
    sources = (Source.of_record(run.source) for run in runs)
    return next((source.seed for source in sources if source and source.seed is not None), None)


def without_repeats(runs: Iterable[TestRun]) -> list[TestRun]:
    """Tests without those that would do the same as one before them: the same test, from the same
    file with the same overrides, on the same nodes."""
    found: dict[Any, TestRun] = {}
    for run in runs:
        source = Source.of_record(run.source)
        if source is None:
            found[run.id] = run
            continue
        found.setdefault((source.file, source.overrides, run.name, tuple(nodes_of(run))), run)
    return list(found.values())
