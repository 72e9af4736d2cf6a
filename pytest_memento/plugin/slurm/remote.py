"""Workers of xdist inside an allocation, started by srun(1)."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from pytest_memento.plugin.slurm.asking import REMOTE, Asked
from pytest_memento.slurm import relay
from pytest_memento.slurm.cluster import allocation, not_here

_SRUN = ("srun", "--ntasks=1", "--nodes=1", "--exact", "--unbuffered", "--quiet")
"""Without ``--unbuffered`` srun keeps what a worker says until there is more of it, and xdist waits
for ever."""


def in_allocation(config: pytest.Config, asked: Asked) -> int:
    """Run the session in an allocation of its own, which ends with it.

    :return: its exit code.
    :raises pytest.UsageError: there is no Slurm here.
    """
    typed = [str(text) for text in config.invocation_params.args]
    command = [
        "salloc", "--quiet", f"--ntasks={asked.tasks}", *asked.resources.options,
        sys.executable, "-m", "pytest", *typed,
    ]  # fmt: skip
    try:
        return subprocess.run(command, cwd=config.invocation_params.dir, check=False).returncode
    except FileNotFoundError:
        raise pytest.UsageError(f"memento: {not_here('salloc')}") from None


def use_allocation(config: pytest.Config, asked: Asked) -> None:
    """Have xdist start its workers through srun.

    :raises pytest.UsageError: xdist is switched off.
    """
    if not config.pluginmanager.hasplugin("xdist"):
        raise pytest.UsageError("--memento-slurm-mode=srun needs xdist: leave out -p no:xdist")
    cpus = dict(asked.resources.named).get("cpus", os.environ.get("SLURM_CPUS_PER_TASK", "1"))
    number = min(asked.tasks, places(os.environ, int(cpus)) or asked.tasks)
    each = [f"--cpus-per-task={cpus}", *_of_each(asked)]
    own = [sys.executable, "-u", relay.__file__, *_SRUN, *each, "--"]
    python = f"{shlex.join(own)} {asked.python}"
    os.environ[relay.SETUP] = "\n".join(asked.setup)
    option = config.option
    option.numprocesses, option.dist = None, "load"
    option.tx = [f"popen//python={python}"] * number
    config.pluginmanager.register(Remote(number, asked.tasks), "memento-remote")


def _of_each(asked: Asked) -> list[str]:
    """Return what a worker takes of the allocation: without it, a step would take all GPUs."""
    return [
        f"--gpus-per-task={value}" if name == "gpus" else f"--gres={value}"
        for name, value in asked.resources.named
        if name in ("gpus", "gres")
    ]


def places(environment: Mapping[str, str], cpus: int) -> int:
    """Return for how many workers there is room in an allocation, 0 if that is not told.

    :param environment: has the CPUs of each node in ``SLURM_JOB_CPUS_PER_NODE``, as ``2(x3),1``.
    :param cpus: of each worker.

    >>> places({"SLURM_JOB_CPUS_PER_NODE": "4(x2),3"}, 2)
    5
    """
    total = 0
    for part in environment.get("SLURM_JOB_CPUS_PER_NODE", "").split(","):
        count, _, times = part.partition("(x")
        if count.isdecimal():
            total += int(count) // cpus * int(times.rstrip(")") or 1)
    return total


class Remote:
    """Tells workers that they may be on another node.

    :param number: how many there are.
    :param asked: how many were asked for.
    """

    def __init__(self, number: int, asked: int) -> None:
        self._number = number
        self._asked = asked

    def pytest_report_header(self) -> str:
        """Say where the workers are, and where there are fewer than were asked for."""
        room = "" if self._number == self._asked else ", which has room for no more"
        plural = "" if self._number == 1 else "s"
        return f"memento: {self._number} worker{plural} in Slurm job {allocation()}{room}"

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker."""
        node.workerinput[REMOTE] = True
