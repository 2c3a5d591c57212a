"""The options of a job at the top of its script: a table from schedule keys to lines.

Values come from users.  What could end a line, or the quotes around a value, is refused, with the
key that it comes from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pavilion.errors import SchedulerPluginError

from ..kickoff import KickoffScriptHeader
from ..placement import hostlists

# Longer values are refused: schedulers have limits of their own, and do not name the key.
VALUE_LIMIT = 1024
# Longer names only fill the screen.
NAME_LIMIT = 200

_QUOTING = frozenset("\"'\\")
# As strings: this module is imported with every plugin, and not always needed.
_NAME_UNSAFE = r"[^A-Za-z0-9_.,:;+@=-]"
_TOKEN = r"[A-Za-z0-9_.:-]+"
_CHARACTERS = {"\n": "a line end", "\r": "a line end", "\t": "a tab", "\0": "a NUL character"}


class Request(NamedTuple):
    """What is requested: one job, as plain values.

    ``config`` is a validated schedule section; ``node_max`` None means no upper limit;
    ``tasks_per_node`` counts where the section has no number of tasks.
    """

    job_name: str
    config: Mapping[str, Any]
    node_min: int
    node_max: int | None
    include_nodes: tuple[str, ...] = ()
    exclude_nodes: tuple[str, ...] = ()
    tasks_per_node: int = 1

    @property
    def tasks(self) -> int:
        """The number of tasks in all: as configured, or tasks_per_node on each of the least number
        of nodes."""
        return int(self.config.get("tasks") or self.node_min * self.tasks_per_node)


class Directive(NamedTuple):
    """A line of options, the keys of the schedule section it comes from, and its value.

    ``value`` gives the option's value as it is written in the line; None leaves the line out, and ''
    writes the option alone; a list makes a line of each of its items.  The line is left out, too,
    where the user gave one of the options ``yields_to``.  An option that ends with '=' is written
    without a blank behind it.
    """

    option: str
    keys: tuple[str, ...]
    value: Callable[[Request], str | list[str] | None]
    yields_to: tuple[str, ...] = ()

    @classmethod
    def from_key(
        cls,
        option: str,
        key: str,
        check: Callable[[str, Any], str | None] | str,
        yields_to: tuple[str, ...] = (),
    ) -> Directive:
        """The line for the value of one key.

        :param key: A key of the schedule section; 'name.priority' is 'priority' in the plugin's own
            section.
        :param check: Makes the value, from key and value: :func:`word`, :func:`quoted`,
            :func:`number`, or a function of the plugin's.  Or a regular expression, for a word
            that looks like that.
        """

        def value(request: Request) -> str | list[str] | None:
            found = value_of(request.config, key)
            return word(key, found, check) if isinstance(check, str) else check(key, found)

        return cls(option, (key,), value, yields_to)

    @classmethod
    def own_lines(cls, key: str, refused: str = "(?!)") -> Directive:
        """Lines of the user's own options, from a key whose value is a list of them.

        :param refused: A regular expression for the beginning of words that cannot be given.
        """

        def value(request: Request) -> list[str]:
            import shlex

            lines = [str(line).strip() for line in value_of(request.config, key) or []]
            for line in lines:
                try:
                    words = shlex.split(line)
                except ValueError as exc:
                    raise refuse(key, line, f"it is not an option: {exc}") from exc
                for given in words:
                    if re.match(refused, given):
                        raise refuse(key, line, f"{given} cannot be used here")
            return lines

        return cls("", (key,), value)


# --- Values ---


def value_of(config: Mapping[str, Any], key: str) -> Any:
    """The value of a key of a schedule section, or of one in a sub-section ('name.priority'); None
    where there is none."""
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def refuse(key: str, value: Any, problem: str) -> SchedulerPluginError:
    """The error about a value of a schedule key that cannot be used."""
    where = key if key in ("token", "job name") else f"schedule.{key}"
    return SchedulerPluginError(f"Bad value {value!r} for {where}: {problem}.", data={"key": key})


def shown_character(char: str) -> str:
    """A character, for messages."""
    return _CHARACTERS.get(char, repr(char))


def checked(key: str, value: Any, title: str = "the scheduler") -> str | None:
    """A value without surrounding blanks; None for one that is not given or blank.

    :param key: The schedule key that it comes from.
    :param title: The scheduler, for messages.
    :raises SchedulerPluginError: For characters that no such value has, naming key and value.
    """
    if value is None or not str(value).strip():
        return None
    text = str(value).strip()
    if not text.isprintable() or not _QUOTING.isdisjoint(text):
        bad = next(char for char in text if char in _QUOTING or not char.isprintable())
        raise refuse(
            key,
            value,
            f"it contains {shown_character(bad)}, which cannot be passed to {title}. "
            "Quotes, backslashes, line ends and control characters are not allowed",
        )
    if len(text.encode("utf-8", "surrogatepass")) > VALUE_LIMIT:
        raise refuse(key, value, f"it is longer than {VALUE_LIMIT} bytes")
    return text


def quoted(key: str, value: Any, title: str = "the scheduler") -> str | None:
    """A value in double quotes; otherwise as :func:`checked`."""
    text = checked(key, value, title)
    return None if text is None else f'"{text}"'


def word(key: str, value: Any, pattern: str = r"[^\s\"'\\]+") -> str | None:
    """A value that is one word, without quotes, for schedulers that do not read these in a script;
    None for one that is not given or blank.

    :param pattern: What it must look like.
    :raises SchedulerPluginError: For anything else, naming key and value.
    """
    text = checked(key, value)
    if text is not None and re.fullmatch(pattern, text) is None:
        bad = next((char for char in text if re.fullmatch(pattern, char) is None), text)
        raise refuse(key, value, f"it must be one word, and contains {shown_character(bad)}")
    return text


def number(key: str, value: Any, of: str = "") -> str | None:
    """A value that is a whole number; None for one that is not given or blank.

    :param of: What it counts, for messages: ' of cores'.
    """
    if value is None or not str(value).strip():
        return None
    text = str(value).strip()
    if not re.fullmatch(r"[0-9]+", text):
        raise refuse(key, value, f"it must be a number{of}")
    return text


def safe_job_name(name: str, token: str = "") -> str:
    """A job name that is safe to show, to search for, and to use in file names.

    White space becomes '__', any other odd character '_'. Long names are cut. The token, which
    makes a name unique, comes last and is kept whole.

    :raises SchedulerPluginError: for a token that is not made of letters, digits and '_.:-'.
    """
    if token and not re.fullmatch(_TOKEN, token):
        raise refuse("token", token, "letters, digits and '_.:-' are allowed")
    safe = re.sub(_NAME_UNSAFE, "_", "__".join(str(name).split()))
    if safe.startswith("-"):
        safe = f"_{safe[1:]}"
    suffix = f"-{token}" if token else ""
    return (safe[: NAME_LIMIT - len(suffix)] or "pav") + suffix


def host_list(key: str, names: Iterable[str]) -> str | None:
    """Names of nodes as a host list; None for none.

    :raises SchedulerPluginError: For a name that no node can have.
    """
    try:
        return hostlists.fold(names) or None
    except ValueError as exc:
        raise SchedulerPluginError(f"Bad node names in schedule.{key}", prior_error=exc) from exc


def comma_list(key: str, names: Iterable[str]) -> str | None:
    """Names of nodes with commas between them; None for none.

    :raises SchedulerPluginError: As :func:`host_list`.
    """
    listed = list(names)
    host_list(key, listed)
    return ",".join(listed) or None


def refuse_too_many(request: Request) -> None:
    """:raises SchedulerPluginError: When a job must have more nodes than it may have."""
    if request.node_max is not None and len(request.include_nodes) > request.node_max:
        raise SchedulerPluginError(
            f"A job of at most {request.node_max} nodes cannot have all "
            f"{len(request.include_nodes)} of include_nodes "
            f"({hostlists.fold_short(request.include_nodes, count=False)})."
        )


def render(
    prefix: str,
    directives: Sequence[Directive],
    request: Request,
    given: Iterable[str] = (),
) -> list[str]:
    """The lines of a script for a job, in the order of the table.

    :param given: The options that the user gave, see ``Directive.yields_to``.
    :raises SchedulerPluginError: For a value that the scheduler must not get, naming its key.
    """
    refuse_too_many(request)
    names = frozenset(given)
    lines = []
    for directive in directives:
        value = None if names.intersection(directive.yields_to) else directive.value(request)
        values = value if isinstance(value, list) else [] if value is None else [value]
        option = directive.option
        joint = "" if option.endswith("=") or not option else " "
        for each in values:
            _check_printable(directive, each)
            lines.append(f"{prefix} {option}{joint}{each}".rstrip())
    return lines


def _check_printable(directive: Directive, value: object) -> None:
    """Refuse a value that would end its line, whatever function of an author made it."""
    text = str(value)
    if not text.isprintable():
        bad = next(char for char in text if not char.isprintable())
        key = next(iter(directive.keys), "job name")
        raise refuse(key, text, f"it contains {shown_character(bad)}")


class BatchHeader(KickoffScriptHeader):
    """The header of a script: the lines of the plugin's DIRECTIVES, and those of the user's options,
    which take precedence.

    The attributes are set by the plugin.
    """

    prefix: str = ""
    directives: Sequence[Directive] = ()
    given: Collection[str] = ()
    more_lines: Sequence[str] = ()

    def _kickoff_lines(self) -> list[str]:
        """The lines of options.  :raises SchedulerPluginError: See :func:`render`."""
        lines = render(self.prefix, self.directives, self.request(), self.given)
        return [*lines, *self.more_lines]

    def request(self) -> Request:
        """This job's request.

        :raises SchedulerPluginError: When the number of tasks per node cannot be worked out.
        """
        return Request(
            job_name=self._job_name,
            config=self._config,
            node_min=self._node_min,
            node_max=self._node_max,
            include_nodes=tuple(self._include_nodes),
            exclude_nodes=tuple(self._exclude_nodes),
            tasks_per_node=self._tasks_per_node(),
        )

    def _tasks_per_node(self) -> int:
        configured = self._config.get("tasks_per_node")
        if self._config.get("tasks") or isinstance(configured, int):
            return int(configured or 1)
        if self._sched_vars is None:
            return 1
        try:
            return int(self._sched_vars.tasks_per_node())
        except (TypeError, ValueError) as exc:
            raise SchedulerPluginError(
                f"The number of tasks per node is not known for tasks_per_node {configured!r}",
                prior_error=exc,
            ) from exc
