"""The conversation with Slurm: queries, and what their failures mean.

Every command runs through a :class:`CommandRunner`, with an environment that cannot change what
is queried.  Queries are repeated after transient failures; nothing else is.
"""

from __future__ import annotations

import math
import os
import re
import threading
import time
from collections.abc import Callable, Sequence

from pavilion.errors import SchedulerPluginError

from ...batch.client import BatchClient
from ...batch.dialect import by_identity
from ...lifecycle.job_table import JobRecord, QueryFailed
from ...placement.inventory import NodesUnknownError
from ...talk.commands import CommandResult, Failure
from . import parsing, queries
from .accounting import Accounting
from .dialect import SlurmDialect
from .errors import classify_result, summary
from .requested import RequestedNodes

# Seconds between two queries for the scripts of jobs.
SCRIPTS_PAUSE = 5.0
# Messages of commands that reach no controller: sbatch would not reach it, either.
_NOTHING_GOES = re.compile(
    "Unable to contact slurm controller|Munge encode failed|"
    "Failed to connect to authentication agent",
    re.IGNORECASE,
)
# Seconds before nodes are queried again while the controller does not know them yet.
STARTING_PAUSES = (1.0, 2.0, 4.0, 8.0)


class SlurmClient(BatchClient):
    """Queries Slurm.  May be used from several threads."""

    def __init__(self, sleep: Callable[[float], object] = time.sleep) -> None:
        super().__init__(SlurmDialect(), sleep)
        self._config_text = ""
        self._ask_config_at = -math.inf
        self._scripts: dict[tuple[str | None, str], dict[str, str]] = {}
        self._scripts_lock = threading.Lock()
        self._scripts_again = 0.0
        # What ended jobs that the controller has forgotten.
        self.accounting = Accounting(lambda argv, timeout: self.querying.run(argv, timeout))
        # What waiting jobs request and cannot have.
        self.requested = RequestedNodes(lambda cluster: self.drained("", cluster))

    def problem(self) -> str | None:
        """Why the controller cannot be used; None when it answers."""
        result = self.querying.run(queries.ping())
        if classify_result(result) is None:
            return None
        return f"Slurm's controller does not answer. {result.describe()}"

    def ask(self, argv: Sequence[str]) -> str:
        """Run a query, again after transient failures.

        :returns: What it printed.
        :raises SchedulerPluginError: With the command and what it said.
        """
        result = self.querying.run_retrying(argv, classify_result, attempts=3)
        kind = classify_result(result)
        if kind is None:
            return result.stdout
        # Formats of fields hold control characters, and say nothing to a user.
        shown = [word if word.isprintable() else "..." for word in argv]
        command, result = " ".join(shown), result._replace(argv=tuple(shown))
        if _NOTHING_GOES.search(result.stderr):
            raise self.failed("Slurm could not be queried", result)
        if kind is Failure.DENIED:
            raise NodesUnknownError(
                f"'{command}' was refused: {summary(result.stderr)}. The site hides what it would "
                "show (PrivateData in slurm.conf)"
            )
        problem = self.failed("Slurm could not be queried", result).msg
        raise NodesUnknownError(
            problem if command in problem else f"{problem.rstrip('.')} ('{command}')."
        )

    def inventory(self) -> tuple[list[parsing.Node], list[parsing.Reservation], str]:
        """All nodes, all reservations, and the name of the default partition ('' for none).

        :raises SchedulerPluginError: When Slurm cannot be queried, or its answer is incomplete.
        """
        nodes, default = self.nodes()
        return nodes, self.reservations(self.reservations_text()), default

    def nodes(self) -> tuple[list[parsing.Node], str]:
        """All nodes, and the name of the default partition ('' for none).

        :raises NodesUnknownError: When Slurm does not list them, or its answer is not whole.
        :raises SchedulerPluginError: When its controller cannot be reached, so that it takes no
            jobs either.
        """
        try:
            nodes, refused, default = self._nodes()
            for pause in STARTING_PAUSES:
                if not _is_starting(nodes):
                    break
                self._sleep(pause)
                nodes, refused, default = self._nodes()
        except parsing.UnreadableAnswer as exc:
            raise NodesUnknownError(
                "Slurm's answer about its nodes cannot be used", prior_error=exc
            ) from exc
        for row in refused:
            # A node that is not understood is a node that tests do not get; no more than that.
            raise_if_nothing_left(row, nodes)
        return nodes, default

    @staticmethod
    def reservations(text: str) -> list[parsing.Reservation]:
        """All reservations.

        :param text: What Slurm printed about them.
        :raises NodesUnknownError: When that cannot be read.
        """
        try:
            reservations, refused = parsing.parse_reservations(text)
        except parsing.UnreadableAnswer as exc:
            raise NodesUnknownError(
                "Slurm's answer about its reservations cannot be used", prior_error=exc
            ) from exc
        for row in refused:
            raise_if_nothing_left(row, reservations)
        return reservations

    def reservations_text(self) -> str:
        """What Slurm prints about reservations.

        :raises NodesUnknownError, SchedulerPluginError: As for nodes.
        """
        return self.ask(queries.reservations())

    def _nodes(self) -> tuple[list[parsing.Node], list[parsing.RefusedRow], str]:
        """The nodes, rows about them that cannot be read, and the default partition."""
        try:
            text = self.ask(queries.inventory())
        except SchedulerPluginError as exc:
            if "format specification" not in str(exc):
                raise
            # A sinfo that lacks a field, of a release before 21.08.
            return (
                *parsing.parse_scontrol_nodes(self.ask(queries.inventory_in_full())),
                parsing.default_of_partitions(self.ask(queries.partitions())),
            )
        return (*parsing.parse_nodes(text), parsing.default_partition(text))

    def local_cluster(self) -> str:
        """The name of this host's cluster; '' when Slurm does not say."""
        return parsing.cluster_name(self.settings())

    def hides_jobs_of(self, user: str | None) -> bool:
        """Whether Slurm shows the jobs of this user only to that user, who is not us.  If so, it
        means nothing that one of them is not listed.

        :param user: A user id; None when it is not known whose job it is.
        """
        return user is not None and user != str(os.getuid()) and self.hides("jobs")

    def hides(self, what: str) -> bool:
        """Whether Slurm keeps something from common users, of which we are one.

        :param what: As in PrivateData of slurm.conf: 'jobs'.
        """
        return os.geteuid() != 0 and what in parsing.listed_setting(self.settings(), "PrivateData")

    def settings(self) -> str:
        """The controller's settings, queried once; '' when Slurm does not say, and then it is not
        queried again for a minute."""
        if time.monotonic() >= self._ask_config_at:
            result = self.querying.run(queries.config())
            known = classify_result(result) is None
            self._config_text = result.stdout if known else ""
            self._ask_config_at = (
                math.inf if known else time.monotonic() + self.dialect.QUERY_TIMEOUT
            )
        return self._config_text

    def jobs(self, user: str | None, cluster: str = "") -> dict[str, JobRecord]:
        """All jobs of a user (of everybody, for None) by token, or by id where they have none
        (see by_identity).  No retries: the table queries again.

        :param cluster: Another cluster than that of this host.
        :raises QueryFailed: When Slurm cannot be queried, or its answer is incomplete.
        """
        result = self.querying.run(queries.jobs(queries.named_user(user), cluster))
        if classify_result(result) is not None:
            raise QueryFailed(result.describe())
        try:
            rows, refused = parsing.parse_jobs(result.stdout)
        except parsing.UnreadableAnswer as exc:
            raise QueryFailed(str(exc)) from exc
        if any(not row.job_id for row in refused):
            # It may be about any job, so no job is known to be absent.
            raise QueryFailed(
                f"squeue printed a row that cannot be read: {refused[0].text} "
                f"({refused[0].problem})."
            )
        for row in refused:
            rows.setdefault(row.job_id, JobRecord(row.job_id, "UNREADABLE", {}))
        return by_identity(rows.values(), self.dialect.token_of, self.dialect.is_over)

    def script_of(self, job_id: str, user: str | None, cluster: str = "") -> str | None:
        """The path of a listed job's script; None when Slurm does not say.

        One query tells of all jobs, and a job's script does not change, so this costs a query
        when it meets a job that is not known yet, and no more than one in some seconds.
        """
        with self._scripts_lock:
            known = self._scripts.setdefault((user, cluster), {})
            if job_id not in known and time.monotonic() >= self._scripts_again:
                self._scripts_again = time.monotonic() + SCRIPTS_PAUSE
                result = self.querying.run(queries.scripts(queries.named_user(user), cluster))
                if classify_result(result) is None:
                    try:
                        known.update(parsing.parse_scripts(result.stdout))
                    except parsing.UnreadableAnswer:
                        pass
            return known.get(job_id)

    def drained(self, nodes: str, cluster: str = "") -> dict[str, str]:
        """Those of some nodes that are drained, and why; none when Slurm does not say.

        :param nodes: A host list; '' for all nodes.
        """
        result = self.querying.run(queries.node_reasons(nodes, cluster))
        if classify_result(result) is not None:
            return {}
        try:
            return parsing.parse_drained(result.stdout)
        except (parsing.UnreadableAnswer, ValueError):
            return {}

    def forget_scripts(self) -> None:
        """Forget which job came from which script: ids may be given out again."""
        with self._scripts_lock:
            self._scripts.clear()
            self._scripts_again = 0.0

    def cancel(self, job_ids: Sequence[str], cluster: str = "") -> list[CommandResult]:
        """Tell Slurm to cancel jobs; the results of the commands that took.

        :raises ValueError: For a string that is not a job id.
        """
        return [self.querying.run(argv) for argv in queries.cancel(job_ids, cluster)]


def _is_starting(nodes: list[parsing.Node]) -> bool:
    """Whether most nodes are in no known state: a controller that was started a moment ago has
    not heard from them."""
    unknown = sum(node.state.upper().startswith("UNK") for node in nodes)
    return unknown > len(nodes) / 2


def raise_if_nothing_left(row: parsing.RefusedRow, nodes: Sequence[object]) -> None:
    """One row that cannot be read is passed over; when it is all there is, nothing is known."""
    if not nodes:
        raise NodesUnknownError(
            f"Slurm's answer about its nodes cannot be read: {row.text} ({row.problem})."
        )
