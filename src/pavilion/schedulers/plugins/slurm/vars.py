"""The variables of the slurm scheduler."""

from __future__ import annotations

import os
import shlex
from typing import Any

from ...placement import hostlists
from ...vars import SchedulerVariables, dfr_var_method
from .extra import COUNTED_BY_SLURM, given_names, value_of


class SlurmVars(SchedulerVariables):
    """The variables of the slurm scheduler."""

    EXAMPLE = dict(SchedulerVariables.EXAMPLE, test_cmd="srun -N 2 -w 'node[01,04]' -n 8")

    @dfr_var_method
    def test_cmd(self) -> str:
        """The command that starts the test's tasks: srun, or mpirun where schedule.slurm.mpi_cmd
        says so, with the allocation's nodes and the number of tasks."""
        return self._with_wrapper(self._test_cmd())

    @dfr_var_method
    def tasks_total(self) -> str:
        """The number of tasks to start in all: as configured, or tasks_per_node on each node; what
        Slurm gave the job where options in sbatch_extra leave that to Slurm."""
        config = self._sched_config
        if not config["tasks"] and COUNTED_BY_SLURM & given_names(config):
            given = os.environ.get("SLURM_NTASKS", "")
            if given.isascii() and given.isdigit():
                return given
        return super().tasks_total()

    def _test_cmd(self) -> str:
        config: dict[str, Any] = self._sched_config["slurm"]
        names = self.test_node_list()
        if config["mpi_cmd"] == "mpirun":
            command = ["mpirun", *self.mpirun_opts()]
            if names:
                command += ["--host", ",".join(names)]
            return " ".join(command)
        command = ["srun", "-N", self.test_nodes()]
        if names:
            command += ["-w", shlex.quote(hostlists.fold(names))]
        command += ["-n", self.tasks_total()]
        cpus = value_of(config["sbatch_extra"], "cpus-per-task")
        if cpus and value_of(config["srun_extra"], "cpus-per-task") is None:
            # From 22.05 on, srun does not take it from the job.
            command += ["-c", shlex.quote(cpus)]
        return " ".join([*command, *config["srun_extra"]])

    def mpirun_opts(self) -> list[str]:
        """The options for mpirun: with a total number of tasks, that in place of those on a
        node."""
        options = super().mpirun_opts()
        tasks = self._sched_config["tasks"]
        return ["-n", str(tasks), *options[2:]] if tasks else options
