"""What there is to request: partitions, reservations, features, accounts.

A name that does not exist is reported before anything is started, with near matches and the names that
do.  Only a good answer without the name counts: where a site hides something, or Slurm does not
answer, nothing is known against a name, and sbatch decides.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pavilion.errors import SchedConfigError, SchedulerPluginError

from ...advanced import pause_after
from ...placement.inventory import name_list
from . import parsing, queries
from .client import SlurmClient
from .errors import classify_result
from .extra import given_names
from .parsing import Partition, parse_partitions
from .requested import begin_note

_T = TypeVar("_T")

# Seconds for what is nice to know.
_QUICK = 15.0
# And before what failed is tried again.
_RETRY = 15.0
_SHOWN_NAMES = 30


class Known:
    """What Slurm has, queried when it is needed, and kept until :meth:`forget`.

    :param nodes: Gives the nodes that Slurm lists; None where it does not list them.
    """

    def __init__(
        self, client: SlurmClient, nodes: Callable[[], Sequence[parsing.Node] | None]
    ) -> None:
        self._client = client
        self._nodes = nodes
        self._lock = threading.RLock()
        self._kept: dict[str, Any] = {}

    def forget(self) -> None:
        """Query everything again when it is needed next."""
        with self._lock:
            self._kept.clear()

    def _once(self, what: str, work_out: Callable[[], _T]) -> _T:
        with self._lock:
            if what not in self._kept:
                self._kept[what] = work_out()
            kept: _T = self._kept[what]
            return kept

    # ------------------------------------------------------------------------------ what there is

    def partitions(self) -> dict[str, Partition] | None:
        """All partitions, those included whose nodes are hidden; None where Slurm does not say."""

        def ask() -> dict[str, Partition] | None:
            result = self._client.querying.run(queries.partitions(), _QUICK)
            return parse_partitions(result.stdout) if classify_result(result) is None else None

        return self._once("partitions", ask)

    def reservations(self) -> list[parsing.Reservation]:
        """All reservations.

        :raises SchedulerPluginError: When Slurm does not say; the answer of a moment ago counts
            for that, too.
        """
        return self._reservations()[0]

    def usable_reservations(self) -> list[parsing.Reservation]:
        """The active reservations that this user's jobs may use, as far as is known.

        :raises SchedulerPluginError: As above.
        """
        reservations, allowed = self._reservations()
        return [each for each in reservations if each.is_active and each.name in allowed]

    def begin_note(self, script: str) -> str:
        """When the reservation of a waiting job begins; see :func:`requested.begin_note`."""
        try:
            return begin_note(script, self.reservations())
        except SchedulerPluginError:
            return ""

    def _reservations(self) -> tuple[list[parsing.Reservation], frozenset[str]]:
        with self._lock:
            failed: tuple[float, SchedulerPluginError] | None = self._kept.get("no reservations")
            began = time.monotonic()
            if failed and began < failed[0]:
                raise failed[1]
            try:
                return self._once("reservations", self._ask_for_reservations)
            except SchedulerPluginError as exc:
                now = time.monotonic()
                self._kept["no reservations"] = now + pause_after(_RETRY, now - began), exc
                raise

    def _ask_for_reservations(self) -> tuple[list[parsing.Reservation], frozenset[str]]:
        text = self._client.reservations_text()
        return self._client.reservations(text), open_reservations(text, own_name(), own_groups())

    def accounts(self) -> tuple[frozenset[str], frozenset[str]]:
        """The accounts and the QOS that this user's jobs may have; empty where nobody says, or
        Slurm takes any, as it does for the QOS where it enforces associations alone."""
        return self._once("accounts", self._ask_for_accounts)

    def _ask_for_accounts(self) -> tuple[frozenset[str], frozenset[str]]:
        nothing: tuple[frozenset[str], frozenset[str]] = frozenset(), frozenset()
        settings = self._client.settings()
        enforced = parsing.listed_setting(settings, "AccountingStorageEnforce")
        if "associations" not in enforced:
            return nothing
        user = own_name()
        if not user:
            return nothing
        listed = [
            line.split("|")
            for line in self._quick(
                queries.associations(user, parsing.cluster_name(settings))
            ).splitlines()
        ]
        rows = [row for row in listed if len(row) == len(queries.ASSOCIATION_FIELDS) and row[0]]
        return (
            frozenset(row[0] for row in rows),
            frozenset(name for row in rows for name in row[1].split(",") if name)
            if "qos" in enforced
            else frozenset(),
        )

    def _quick(self, argv: list[str]) -> str:
        """What a command prints; '' when it fails."""
        result = self._client.querying.run(argv, _QUICK)
        return result.stdout if classify_result(result) is None else ""

    # --------------------------------------------------------------------------------- what is not

    def problem(self, config: Mapping[str, Any]) -> SchedConfigError | None:
        """What a schedule section requests that does not exist; None when nothing is known against
        it.

        :param config: The validated section, with the user's own options settled.
        """
        # What the user told sbatch itself, sbatch judges.
        given = given_names(config)
        for option, key, find in (
            ("partition", "partition", self._partition_problem),
            ("reservation", "reservation", self._reservation_problem),
            ("constraint", "slurm.features", self._feature_problem),
            ("account", "account", self._account_problem),
            ("qos", "qos", self._qos_problem),
        ):
            problem = None if option in given else find(config)
            if problem:
                return SchedConfigError(problem, data={"key": f"schedule.{key}"})
        return None

    def _partition_problem(self, config: Mapping[str, Any]) -> str | None:
        wanted = _names(config["partition"])
        if not wanted:
            return None
        listed = self._counts("partitions").keys()
        if listed >= set(wanted):
            return None
        # Those without nodes, and those whose nodes are hidden.
        others = self.partitions()
        known = {*listed, *(others or ())}
        return _missing("partition", wanted, known) if known and others is not None else None

    def _reservation_problem(self, config: Mapping[str, Any]) -> str | None:
        wanted = reservation_names(config["reservation"])
        try:
            found = self.reservations() if wanted else []
        except SchedulerPluginError:
            return None
        names = {reservation.name for reservation in found}
        problem = next(
            (parsing.reservation_problem(name, found) for name in wanted if name not in names), None
        )
        if problem and self._client.hides("reservations"):
            # Those that this user's jobs cannot use.
            problem += " The site shows you those alone that you may use (PrivateData)."
        return problem

    def _feature_problem(self, config: Mapping[str, Any]) -> str | None:
        wanted = {
            part.strip() for feature in config["slurm"]["features"] for part in feature.split("|")
        }
        if not wanted or not self._nodes():
            return None
        known = self._counts("features").keys()
        if known >= wanted or self.partitions() is None or self.hidden_nodes(None):
            return None
        return _missing("feature", sorted(wanted), known)

    def _account_problem(self, config: Mapping[str, Any]) -> str | None:
        # Slurm keeps their names in lower case.
        wanted = [name.lower() for name in _names(config["account"])]
        known = self.accounts()[0] if wanted else frozenset()
        return _missing("account", wanted, known, " that you may use") if known else None

    def _qos_problem(self, config: Mapping[str, Any]) -> str | None:
        wanted = [name.lower() for name in _names(config["qos"])]
        known = self.accounts()[1] if wanted else frozenset()
        return _missing("QOS", wanted, known, " that you may use") if known else None

    def hidden_nodes(self, partition: str | None) -> int:
        """How many nodes there are that Slurm does not list here: those of sites that hide them,
        and (up to 22.05) nodes of a cloud that are powered down.

        :param partition: Of these partitions (a list as in a schedule section), of the default one
            (''), or of all (None).
        """
        known = self.partitions() or {}
        if partition is None:
            names = list(known)
        else:
            names = _names(partition) or [name for name, each in known.items() if each.is_default]
        listed = self._counts("partitions")
        return max(
            (
                max(0, (known[name].nodes or 0) - listed.get(name, 0))
                for name in names
                if name in known
            ),
            default=0,
        )

    def _counts(self, key: str) -> Mapping[str, int]:
        """How many of the nodes that are listed are in each partition, or have each feature."""
        nodes = self._nodes()
        if nodes is None:
            return {}
        # Thousands of tests may ask.
        return self._once(
            f"{key} of nodes",
            lambda: Counter(name for node in nodes for name in getattr(node, key)),
        )


# --- Reservations that a user may use ---

_OF_WHOM = re.compile(r" (Users|Groups|Accounts)=(\S*)")


def open_reservations(text: str, user: str, groups: Iterable[str]) -> frozenset[str]:
    """The names of the reservations that a user's jobs may use, as far as is known.

    Whether a user's jobs may use an account is not known here, so a reservation that is for
    accounts alone is left out: a job in it may be refused.

    :param text: The answer to ``queries.reservations``.
    """
    mine = set(groups)
    found = set()
    for line in text.splitlines():
        if not line.startswith("ReservationName="):
            continue
        whose = {key: _list(value) for key, value in reversed(_OF_WHOM.findall(line))}
        if (
            _admits(whose.get("Users", ()), {user}) or _admits(whose.get("Groups", ()), mine)
        ) and not whose.get("Accounts"):
            found.add(line[len("ReservationName=") :].partition(" ")[0])
    return frozenset(found)


def _list(text: str) -> list[str]:
    return [] if text in ("", "(null)") else text.split(",")


def _admits(names: Sequence[str], mine: set[str]) -> bool:
    if names and names[0].startswith("-"):
        # All but these.
        return mine.isdisjoint(name.lstrip("-") for name in names)
    return not mine.isdisjoint(names)


def own_name() -> str:
    """The name of this process's user, as Slurm knows it; '' for an id without a name.  Variables
    such as LOGNAME may tell of somebody else."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""


def own_groups() -> list[str]:
    """The names of this process's groups."""
    import grp

    found = []
    for number in {os.getgid(), *os.getgroups()}:
        try:
            found.append(grp.getgrgid(number).gr_name)
        except KeyError:
            continue
    return found


# --- Names ---

_NAME = re.compile(r"[\w.:@+%~=/-]+")


def _names(text: str | None) -> list[str]:
    """The names in a comma list; [] where one is not a name at all, which the header refuses."""
    names = name_list(text)
    return names if all(_NAME.fullmatch(name) for name in names) else []


def reservation_names(text: str | None) -> list[str]:
    """The reservations that ``schedule.reservation`` names; 'any' names none."""
    return [] if text == "any" else _names(text)


def _missing(kind: str, wanted: Iterable[str], known: Iterable[str], which: str = "") -> str | None:
    """The message about the first name that does not exist; None when all do."""
    there = sorted(known)
    name = next((name for name in wanted if name not in set(there)), None)
    if name is None:
        return None
    near = parsing.near_names(name, there)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    more = f" and {len(there) - _SHOWN_NAMES} more" if len(there) > _SHOWN_NAMES else ""
    listed = f"There are: {', '.join(there[:_SHOWN_NAMES])}{more}." if there else "There are none."
    return f"There is no {kind} {name!r}{which}.{hint} {listed}"
