"""Why a test cannot be used: everything that is wrong with its values, and where that is.

:mod:`pavilion.resolve` stops at the first mistake.  This module looks for all others, in the
same order, and leaves out what only follows from a mistake that was reported.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pavilion import schedulers
from pavilion.errors import ConfigError, PavilionError, quoted
from pavilion.problems import Problem, Problems
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
from pavilion.schedulers.config import SchedConfigError, validate_config
from pavilion.schedulers.placement.inventory import frozen
from pavilion.static_checks import check_single_chunk, env_problems, section_problems
from pavilion.suite_file import SuiteTest, take_out
from pavilion.test_run import parse_timeout
from pavilion.variables import SET_ORDER, VariableSetManager, permutations
from pavilion.variables.config import dotted, map_texts
from pavilion.variables.template import is_template

if TYPE_CHECKING:
    from pavilion.resolve import ResolvedTest

# The most permutations of a test that are looked at.
_MOST = 1000
# A key in the message of a scheduler.
_KEY = re.compile(r"\b(?:schedule|run)(?:\.\w+)+|\b(?:scheduler|chunk|concurrent|permute_on)\b")

Path = Sequence["str | int"]


def check_sections(resolved: Sequence[ResolvedTest], problems: Problems) -> None:
    """Find requests of tests that no node can meet: numbers that contradict each other, and what
    their schedulers do not have, such as a partition or a reservation."""
    known: dict[Any, list[SchedConfigError]] = {}
    for test in resolved:
        name, section = test.config["scheduler"], test.config["schedule"]
        key = (name, test.config["chunk"], frozen(section))
        if key not in known:
            known[key] = _section_problems(find_scheduler(name), section, test.config["chunk"])
        for problem in known[key]:
            Diagnosis(test.source, problems).report(problem, test.var_man)


def _section_problems(
    plugin: schedulers.SchedulerPlugin, section: dict[str, Any], chunk: str | None = None
) -> list[SchedConfigError]:
    """What is wrong with a schedule section whose values are each valid on their own."""
    found = list(section_problems(plugin, section, chunk))
    asked = plugin.section_problem(section)
    return found if asked is None else [*found, asked]


class Diagnosis:
    """Finds what is wrong with the values of one test."""

    def __init__(self, test: SuiteTest, problems: Problems) -> None:
        self._test = test
        self._problems = problems
        # Whether there are no variables of a scheduler, or not those that the test would get.
        self._sched_unknown = False
        self._sched_doubtful = False
        self._reports = 0
        # The variable of permute_on because of which there are no permutations: '' where the error
        # names none, None where there are permutations.
        self._unpermuted: str | None = None

    def run(self, cause: PavilionError | None) -> None:
        """Report everything.

        :param cause: Why the test was refused, which is reported when nothing is found.
        """
        base = base_manager(self._test)
        early, late = split_permutations(base, self._test.config["permute_on"])
        for manager in self._permuted(base, early):
            self._check(manager, late)
        if not self._reports and cause is not None:
            self.report(cause, base)

    def report(self, error: PavilionError, manager: VariableSetManager) -> None:
        """Report an error about the value of a key, which it names.

        :param manager: Where the values of variables in it come from.
        """
        # A plugin may put anything there.
        data = error.data if isinstance(error.data, dict) else {}
        path = tuple(str(data.get("key", "")).split("."))
        if self._test.origin.place(path) is None:
            self._report_unplaced(error)
        else:
            self._report(path, error, manager)

    def _permuted(
        self, manager: VariableSetManager, names: Sequence[str]
    ) -> list[VariableSetManager]:
        if not names:
            return [manager]
        try:
            found = permutations(manager, names)
        except PavilionError as exc:
            if not self._follows(exc):
                self._report(("permute_on",), exc)
            self._unpermuted = _variable((exc.data or {}).get("reference", ""))
            return [manager]
        self._problems.all_found &= len(found) <= _MOST
        return found[:_MOST]

    def _check(self, manager: VariableSetManager, late: Sequence[str]) -> None:
        before = self._reports
        plugin = self._scheduler(manager)
        schedule = self._schedule(manager)
        self._sched_unknown = plugin is None
        self._sched_doubtful = self._reports > before or self._test.origin.was_refused("schedule")
        if plugin is not None:
            found = [] if self._sched_doubtful else _section_problems(plugin, schedule)
            for problem in found:
                self.report(problem, manager)
            try:
                manager.add_set("sched", initial_vars(plugin, schedule))
            except PavilionError as exc:
                self._sched_unknown = True
                # A problem of the section may be what it fails with.
                known = any(problem.msg in str(exc) for problem in found)
                if not self._sched_doubtful and not known:
                    self._report_unplaced(exc)
        for final in self._permuted(manager, late):
            self._check_values(final)

    def _scheduler(self, manager: VariableSetManager) -> schedulers.SchedulerPlugin | None:
        name = self._text(manager, self._test.config["scheduler"], ("scheduler",))
        if name is None or self._test.origin.was_refused("scheduler"):
            return None
        try:
            return find_scheduler(name)
        except PavilionError as exc:
            self._report(("scheduler",), exc, manager)
            return None

    def _schedule(self, manager: VariableSetManager) -> dict[str, Any]:
        """The schedule section without what is wrong in it."""

        def look(text: str, path: Path) -> Any:
            return self._text(manager, text, path)

        found: dict[str, Any] = _without_none(
            map_texts({"schedule": self._test.config["schedule"]}, look)
        )["schedule"]
        while True:
            try:
                validate_config(found)
                return found
            except SchedConfigError as exc:
                path = tuple((exc.data or {}).get("key", "").split("."))
                for place, error in _bad_items(path, found) or [(path, exc)]:
                    self._report(place, error, manager)
                if not take_out(found, path[1:]):
                    return found

    def _check_values(self, manager: VariableSetManager) -> None:
        def look(text: str, path: Path) -> Any:
            value = self._text(
                manager, text, path, may_wait=path[0] == "run" and path[1] != "shebang"
            )
            if value is not None and path[0] == "run" and "\0" in value:
                self._report(path, f"it contains a null character: {quoted(value)}.", manager)
            return value

        try:
            if self._unpermuted is None:
                check_single_chunk(manager, self._test.config["chunk"])
        except ConfigError as exc:
            self._report(("chunk",), exc)
        for name, wrong in env_problems(self._test.config["run"]):
            self._report(("run", "env", name), wrong)
        config = map_texts(
            {
                key: value
                for key, value in self._test.config.items()
                if key not in USED_UP or key == "subtitle"
            },
            look,
        )
        for check, path in (
            (check_chunk, ("chunk",)),
            (check_concurrent, ("concurrent",)),
            (check_shebang, ("run", "shebang")),
            (parse_timeout, ("run", "timeout")),
        ):
            value = config[path[0]] if len(path) == 1 else config["run"][path[1]]
            if value is None or is_template(value):
                continue
            try:
                check(value)
            except ConfigError as exc:
                self._report(path, exc, manager)

    def _text(
        self, manager: VariableSetManager, text: str, path: Path, may_wait: bool = False
    ) -> Any:
        """A string with its variables filled in; None where that cannot be done."""
        if not is_template(text):
            return text
        try:
            return manager.resolve_or_keep(text, dotted(path), may_wait)
        except PavilionError as exc:
            self._look_closer(manager, text, path, may_wait, exc)
            return None

    def _look_closer(
        self,
        manager: VariableSetManager,
        text: str,
        path: Path,
        may_wait: bool,
        error: PavilionError,
    ) -> None:
        """Report what is wrong in a string, and in the variables that it leads to."""
        before, missed = self._reports, False
        todo: list[tuple[Path, str, PavilionError]] = [(path, text, error)]
        seen: set[str] = set()
        while todo:
            where, text, error = todo.pop(0)
            for name, found in self._each(manager, text, _written(where), may_wait) or [
                (None, error)
            ]:
                if name is None:
                    missed |= self._follows(found)
                    if not self._follows(found):
                        self._report(where, found, used=None if where is path else path)
                elif name not in seen:
                    seen.add(name)
                    todo += self._wrong_texts(manager, name, may_wait)
        if self._reports == before and not missed:
            # Variables that refer to each other in a circle are not wrong in any one place.
            self._report(path, error)

    def _wrong_texts(
        self, manager: VariableSetManager, name: str, may_wait: bool
    ) -> list[tuple[Path, str, PavilionError]]:
        """The strings of a variable that cannot be resolved."""
        wrong: list[tuple[Path, str, PavilionError]] = []

        def look(text: str, path: Path) -> str:
            try:
                manager.resolve_or_keep(text, _written(path), may_wait)
            except PavilionError as exc:
                wrong.append((path, text, exc))
            return text

        map_texts(self._test.config["variables"].get(name), look, ("variables", name))
        return wrong

    @staticmethod
    def _each(
        manager: VariableSetManager, text: str, where: str, may_wait: bool
    ) -> list[tuple[str | None, PavilionError]]:
        """What is wrong with each of the references in a string.

        :returns: With the variable in which it is wrong, or leads to what is.
        """
        wrong: list[tuple[str | None, PavilionError]] = []
        try:
            references = sorted(manager.references(text))
        except PavilionError:
            # Its braces are wrong.
            return wrong
        for reference in references:
            try:
                manager.resolve_or_keep(f"{{{{{reference}}}}}", where, may_wait)
            except PavilionError as exc:
                here = (exc.data or {}).get("where", where) == where
                wrong.append((None if here else _variable(reference), exc))
        return wrong

    # ------------------------------------------------------------------------------ what to report

    def _follows(self, error: PavilionError) -> bool:
        """Whether a variable is wrong because of something that was reported already."""
        reference = (error.data or {}).get("reference", "").strip()
        if not reference:
            return False
        if _variable(reference) == self._unpermuted:
            return True
        if self._test.origin.was_refused("inherits_from", f"variables.{_variable(reference)}"):
            return True
        if reference.partition(".")[0] in ("var", "per", "pav", "sys"):
            return False
        return self._sched_unknown or (self._sched_doubtful and error.prior_error is not None)

    def _report(
        self,
        path: Path,
        what: PavilionError | str,
        manager: VariableSetManager | None = None,
        used: Path | None = None,
    ) -> None:
        """Report something.

        :param path: The key it is about.
        :param manager: Where the values of variables in the key's value come from.
        :param used: The key that leads to a variable.
        """
        text = str(what)
        where = (what.data or {}).get("where", "") if isinstance(what, PavilionError) else ""
        for known in (where, _written(path)):
            if known and text.startswith(f"{known}: "):
                text = text[len(known) + 2 :]
        if used is not None:
            text += f" (Used in {dotted(used)}.)"
        if manager is not None:
            text += self._origins(path, manager)
        self._add(path, text)

    def _report_unplaced(self, error: PavilionError) -> None:
        """Report an error that names its key only in its message."""
        text = str(error)
        for match in _KEY.finditer(text):
            path = match[0].split(".")
            if self._test.origin.place(path) is not None:
                self._add(path, text)
                return
        self._add((), text)

    def _add(self, path: Path, text: str) -> None:
        self._reports += 1
        test, origin = self._test, self._test.origin
        place = origin.place(path)
        if place is None:
            self._problems.add(
                Problem(
                    str(test.file), origin.lines.of(test.name), dotted((test.name, *path)), text
                ),
                test.name,
            )
        elif not place.line:
            self._problems.add(Problem(str(place.file), 0, dotted(path), text))
        else:
            owner = origin.owner(place, test.name)
            self._problems.add(
                Problem(place.file or str(test.file), place.line, dotted((owner, *path)), text),
                test.name,
            )

    def _origins(self, path: Path, manager: VariableSetManager) -> str:
        """Where the values of the variables in a string are written."""
        text: Any = self._test.config
        for part in path:
            text = text.get(part) if isinstance(text, dict) else text
            text = text[part] if isinstance(text, list) and isinstance(part, int) else text
        texts = [text] if isinstance(text, str) else text if isinstance(text, list) else []
        found = []
        for reference, where in (origin for text in texts for origin in manager.origins(text)):
            variable = ("variables", *where.split(".")[1:])
            place = self._test.origin.place(variable)
            if place is not None:
                file = f"{place.file}:{place.line}" if place.line else place.file
                found.append(f"{{{{{reference}}}}} is from {file} ({dotted(variable)})")
        return f" {'; '.join(found)}." if found else ""


def _written(path: Path) -> str:
    """A key as messages about variables have it."""
    return dotted(("var", *path[1:]) if path[0] == "variables" else path)


def _variable(reference: str) -> str:
    """The name of the variable that a reference means, without its set."""
    set_name, _, rest = reference.partition(".")
    return (rest if set_name in SET_ORDER and rest else reference).partition(".")[0]


def _bad_items(path: Path, schedule: dict[str, Any]) -> list[tuple[Path, SchedConfigError]]:
    """The items of a list in a schedule section that are refused on their own, and why."""
    value: Any = schedule
    for part in path[1:]:
        value = value.get(part) if isinstance(value, dict) else None
    if not isinstance(value, list) or len(value) < 2:
        return []
    bad: list[tuple[Path, SchedConfigError]] = []
    for index, item in enumerate(value):
        alone: Any = [item]
        for part in reversed(path[1:]):
            alone = {part: alone}
        try:
            validate_config(alone)
        except SchedConfigError as exc:
            bad.append(((*path, index), exc))
    return bad


def _without_none(value: Any) -> Any:
    """A config in which lists hold no None."""
    if isinstance(value, dict):
        return {key: _without_none(sub) for key, sub in value.items()}
    if isinstance(value, list):
        return [_without_none(item) for item in value if item is not None]
    return value
