"""The scheduler plugin for Slurm."""
