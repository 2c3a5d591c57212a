"""The commands of the fake Slurm, held to captured output of the real one."""
