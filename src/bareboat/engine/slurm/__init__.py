"""Slurm as a scheduler of unattended runs: what is sent to it, what it says, and a thin driver."""
