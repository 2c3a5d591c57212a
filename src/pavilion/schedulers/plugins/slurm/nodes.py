"""What tests can have of a Slurm, and the section that they request it with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import yaml_config as yc
from pavilion.errors import SchedConfigError
from pavilion.types import NodeInfo, NodeList, NodeRange, Nodes

from ...advanced import UNKNOWN_CHUNKS, UNKNOWN_NODES, FilteredNodes
from ...batch.plugin import SchedulerPluginBatch
from ...config import calc_node_range, validate_list
from ...kickoff import KickoffScriptHeader
from ...placement.inventory import NodesUnknownError, name_list, node_needs
from .extra import PLACING, given_names, refuse_fewer_tasks, settled, value_of

if TYPE_CHECKING:
    from pavilion.test_run import TestRun

    from ...placement.planning import TestRequest
    from .client import SlurmClient
    from .inventory import Inventory
    from .known import Known

MPI_COMMANDS = ("srun", "mpirun")
_UP_STATES = ("ALLOCATED", "COMPLETING", "PLANNED", "MAINTENANCE", "IDLE", "MAINT", "MIXED")
_DEFAULT_STATES = frozenset((*_UP_STATES, "RESERVED"))
_STATE_LISTS = ("up_states", "avail_states", "reserved_states")


def _check_states(section: Mapping[str, Any]) -> None:
    """:raises SchedConfigError: For a state of nodes that Slurm does not have."""
    for key in _STATE_LISTS:
        if not _DEFAULT_STATES.issuperset(section[key]):
            # Not imported for the defaults: plugins are loaded quickly.
            from .states import unknown_state

            problem = next(filter(None, map(unknown_state, map(str, section[key]))), None)
            if problem:
                where = f"schedule.slurm.{key}"
                raise SchedConfigError(
                    f"Bad value {section[key]!r} for {where}: {problem}", data={"key": where}
                )


class SlurmNodes(SchedulerPluginBatch):
    """The part of the slurm plugin that is about nodes."""

    IS_PLUGIN_BASE = True

    LEFT_OUT_ADVICE = {
        **dict.fromkeys(
            (
                "powered down",
                "about to be powered down",
                "powering down",
                "powering up",
                "about to be powered up",
            ),
            "nodes that are powered down, or on the way, are used where schedule.slurm.up_states "
            "lists POWERED_DOWN, POWERING_DOWN and POWERING_UP; where Slurm picks the nodes (no "
            "chunking, no across_nodes) they are used anyway",
        ),
        "reserved": "schedule.reservation names the reservation to use",
        "in maintenance": "schedule.reservation names the maintenance reservation to use",
    }

    def __init__(self, name: str, description: str, priority: int) -> None:
        # While nodes are filtered: of several partitions, or reservations, the one that counts.
        self._one_of: dict[str, str] = {}
        # Last: it calls refresh().
        super().__init__(name, description, priority)

    def _make_client(self) -> SlurmClient:
        from .client import SlurmClient

        return SlurmClient()

    def _has_inventory(self) -> bool:
        return True

    def _get_config_elems(self) -> tuple[list[yc.ConfigElement], dict[str, Any], dict[str, Any]]:
        """The section ``schedule.slurm``."""
        text = yc.StrElem
        elems = [
            yc.ListElem(
                "up_states",
                sub_elem=text(),
                help_text=("States of nodes that can be used, now or later."),
            ),
            yc.ListElem(
                "avail_states",
                sub_elem=text(),
                help_text=("States of nodes that are free right now."),
            ),
            yc.ListElem(
                "reserved_states",
                sub_elem=text(),
                help_text=("States of nodes that can be used when a reservation is given."),
            ),
            yc.ListElem(
                "features",
                sub_elem=text(),
                help_text=(
                    "Features (constraints) that nodes must have; 'a|b' is either of the two."
                ),
            ),
            yc.ListElem(
                "srun_extra",
                sub_elem=text(),
                help_text=("More options for srun, as part of test_cmd."),
            ),
            yc.ListElem(
                "sbatch_extra",
                sub_elem=text(),
                help_text=(
                    "More options for sbatch, each a line of the kickoff script's header, without "
                    "'#SBATCH'."
                ),
            ),
            text("mpi_cmd", help_text="What starts a test's tasks: srun or mpirun."),
        ]
        validators: dict[str, Any] = {str(elem.name): validate_list for elem in elems}
        validators["mpi_cmd"] = MPI_COMMANDS
        defaults: dict[str, Any] = {
            "up_states": list(_UP_STATES),
            "avail_states": ["IDLE", "MAINT", "MAINTENANCE", "PLANNED"],
            "reserved_states": ["RESERVED"],
            "features": [],
            "srun_extra": [],
            "sbatch_extra": [],
            "mpi_cmd": "srun",
        }
        return elems, validators, defaults

    def _settled(self, sched_config: dict[str, Any]) -> dict[str, Any]:
        """A schedule section in which the options in sbatch_extra have their say.

        :raises SchedConfigError: For options that cannot be used, and unknown states of nodes.
        """
        _check_states(sched_config["slurm"])
        return settled(sched_config)

    def refresh(self) -> None:
        """Forget all that was learned from Slurm."""
        super().refresh()
        with self._client_lock:
            made = "client" in self._parts_made
            known: Known | None = self._parts_made.get("known")
        if made:
            self._client.forget_scripts()
        if known is not None:
            known.forget()

    @property
    def _known(self) -> Known:
        from .known import Known

        client = self._client
        return self._part("known", lambda: Known(client, self._listed_nodes))

    def _listed_nodes(self) -> list[Any] | None:
        """The nodes that Slurm lists; None when it does not."""
        answer = self._raw_answer({})
        return None if answer.failure is not None else answer.data

    def _section_problem(self, sched_config: dict[str, Any]) -> SchedConfigError | None:
        """A partition, reservation, feature, account or QOS that does not exist."""
        if self._other_cluster(sched_config):
            return None
        return self._known.problem(sched_config)

    def _missing_nodes(self, sched_config: dict[str, Any]) -> int:
        """How many nodes of the test's partition Slurm does not list here."""
        return self._known.hidden_nodes(sched_config["partition"] or "")

    def _get_raw_node_data(self, sched_config: dict[str, Any]) -> tuple[list[Any], Inventory]:
        """All nodes, and the reservations over them; two commands."""
        from .inventory import Inventory

        nodes, default_partition = self._client.nodes()
        known = self._known
        return nodes, Inventory(
            known.reservations(), default_partition, known.usable_reservations()
        )

    def _transform_raw_node_data(
        self, sched_config: dict[str, Any], node_data: Any, extra: Inventory
    ) -> NodeInfo:
        """A node as this configuration sees it."""
        return extra.node_info(node_data, sched_config)

    def filtered_nodes(self, sched_config: dict[str, Any]) -> FilteredNodes:
        """The nodes that can be used with this configuration.

        :raises NodesUnknownError: When Slurm does not list its nodes, or the jobs go to another
            cluster.
        """
        cluster = self._other_cluster(sched_config)
        if cluster:
            raise NodesUnknownError(
                "The nodes of the cluster that slurm.sbatch_extra sends jobs "
                f"to ({cluster}) are not known here"
            )
        return super().filtered_nodes(sched_config)

    def _other_cluster(self, sched_config: dict[str, Any]) -> str:
        """The cluster that a test's jobs go to; '' for this host's own."""
        named = value_of(sched_config["slurm"]["sbatch_extra"], "clusters")
        return "" if not named or named == self._client.local_cluster() else named

    def _request(self, number: int, test: TestRun) -> tuple[TestRequest, FilteredNodes]:
        """What a test requests from the planner; a share of the nodes is a number by then.

        :raises SchedConfigError: Also for fewer tasks than nodes.
        """
        request, filtered = super()._request(number, test)
        refuse_fewer_tasks(request.config["tasks"], request.min_nodes)
        return request, filtered

    def _nodes_for(self, config: dict[str, Any]) -> tuple[FilteredNodes, Any]:
        """What the user told sbatch itself about nodes is judged by sbatch, where it picks them."""
        if given_names(config) & PLACING and not node_needs(config):
            return UNKNOWN_NODES, UNKNOWN_CHUNKS
        return super()._nodes_for(config)

    def _placement_problem(
        self, sched_config: dict[str, Any], filtered: FilteredNodes
    ) -> str | None:
        """A job that requests several reservations, or partitions, runs in one of them."""
        inventory: Inventory | None = self._raw_answer({}).extra
        least, _ = calc_node_range(sched_config, len(filtered.names))
        in_reservation = (
            None
            if inventory is None
            else inventory.most_in_one(sched_config["reservation"], filtered.names)
        )
        for key, most in (
            ("reservation", in_reservation),
            ("partition", _most_in_one(sched_config["partition"], filtered)),
        ):
            if most is not None and least > most:
                return (
                    f"Insufficient nodes. Requested at least {least}, and the {key}s "
                    f"(schedule.{key}: {sched_config[key]}) have no more than {most} each. A "
                    "job runs in one of them."
                )
        return None

    def _filter(
        self, sched_config: dict[str, Any], nodes: Nodes, ordered: bool
    ) -> tuple[NodeList, dict[str, list[str]]]:
        """The nodes that can be used: where they are counted or chosen here, of several partitions
        or reservations those of the one that has the most.  A job runs in one of them."""
        with self._inventory_lock:
            self._one_of = {}
            for key, several in self._several(sched_config).items():
                names, _ = super()._filter(sched_config, nodes, ordered)
                counts = Counter(each for name in names for each in nodes[name][f"{key}s"])
                self._one_of[key] = max(several, key=lambda each: counts[each])
            try:
                return super()._filter(sched_config, nodes, ordered)
            finally:
                self._one_of = {}

    def _several(self, sched_config: dict[str, Any]) -> dict[str, list[str]]:
        """The partitions and reservations to choose one of, by their keys."""
        reservation = sched_config["reservation"] or ""
        found = {"partition": name_list(sched_config["partition"]), "reservation": []}
        if "," in reservation or reservation == "any":
            inventory: Inventory | None = self._raw_answer({}).extra
            found["reservation"] = [] if inventory is None else inventory.reachable(reservation)
        found = {key: names for key, names in found.items() if len(names) > 1}
        # Each key that is read makes a list of nodes of its own: no more than needed.
        needs = set(node_needs(sched_config)) if found else set()
        if not needs - {"schedule.reservation"}:
            found.pop("reservation", None)
        return found if needs else {}

    def _get_kickoff_script_header(
        self,
        job_name: str,
        sched_config: dict[str, Any],
        nodes: NodeList | None = None,
        node_range: NodeRange | None = None,
        shebang: str | None = None,
    ) -> KickoffScriptHeader:
        """The header object for a job's script; 'any' reservation has names there."""
        if sched_config["reservation"] == "any":
            inventory: Inventory | None = self._raw_answer({}).extra
            sched_config = dict(
                sched_config,
                reservation=None if inventory is None else (inventory.reservations_for(nodes)),
            )
        return super()._get_kickoff_script_header(
            job_name, sched_config, nodes, node_range, shebang
        )

    def _filter_custom(
        self, sched_config: dict[str, Any], node_name: str, node: NodeInfo
    ) -> str | None:
        """Leave out nodes without the requested features, and those that a job without a
        partition, or in these reservations, cannot get."""
        if "out_of_reach" in node:
            return str(node["out_of_reach"])
        for key, name in self._one_of.items():
            if name not in node[f"{key}s"]:
                return (
                    f'not in "{name}", the {key} of several that has the most usable nodes (a '
                    "job runs in one of them)"
                )
        if not sched_config["partition"] and "not_in_default" in node:
            return (
                f'not in the default partition "{node["not_in_default"]}" (schedule.partition '
                "names another)"
            )
        for feature in sched_config["slurm"]["features"]:
            if not {part.strip() for part in feature.split("|")}.intersection(node["features"]):
                return f"no feature {feature!r}"
        return None


def _most_in_one(partitions: str | None, filtered: FilteredNodes) -> int | None:
    """How many of these nodes are in one of several partitions at most; None for fewer than two
    partitions."""
    names = name_list(partitions)
    if len(names) < 2:
        return None
    counts = Counter(each for node in filtered.nodes.values() for each in node["partitions"])
    return max(counts[name] for name in names)
