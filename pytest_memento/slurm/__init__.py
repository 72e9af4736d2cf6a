"""Slurm, without pytest: what is asked of it, what is submitted, what came of it.

cluster       its commands: sbatch, squeue, scancel, scontrol
script        the batch script of an array whose tasks claim experiments
relay         between xdist and srun
submission    the files in the store by which tasks and those who watch know of each other
"""

from typing import Final

PLACE: Final = "slurm"
"""Where the files are, below the store."""
