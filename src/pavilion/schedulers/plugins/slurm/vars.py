"""The variables of the slurm scheduler."""

from __future__ import annotations

import shlex
from typing import Any

from ... import hostlists
from ...vars import SchedulerVariables, dfr_var_method


class SlurmVars(SchedulerVariables):
    """The variables of the slurm scheduler."""

    EXAMPLE = dict(SchedulerVariables.EXAMPLE,
                   test_cmd="srun -N 2 -w 'node[01,04]' -n 8")

    @dfr_var_method
    def test_cmd(self) -> str:
        """The command that starts the test's tasks: srun, or mpirun where schedule.slurm.mpi_cmd
        says so, with the allocation's nodes and the number of tasks."""
        return self._with_wrapper(self._test_cmd())

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
        return " ".join([*command, "-n", self.tasks_total(), *config["srun_extra"]])
