"""Slurm, without pytest: what is asked of it, what is submitted, what came of it.

cluster       its commands: sbatch, squeue, scancel, scontrol
script        the batch script of an array whose tasks claim experiments
relay         between xdist and srun
submission    the files in the store by which tasks and those who watch know of each other
"""

from pytest_memento.slurm.cluster import Element, SlurmError
from pytest_memento.slurm.script import RESOURCES, Job, Resources
from pytest_memento.slurm.submission import Group, Item, Notes, Submission, Tail

__all__ = [
    "RESOURCES",
    "Element",
    "Group",
    "Item",
    "Job",
    "Notes",
    "Resources",
    "SlurmError",
    "Submission",
    "Tail",
]
