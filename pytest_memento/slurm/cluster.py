"""The commands of Slurm: sbatch(1), squeue(1), scancel(1), scontrol(1)."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_memento.errors import MementoError

_PATIENCE: Final = 60.0
"""Seconds for which a command may keep us waiting: a busy controller answers late."""
_ENDED: Final = {
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "TIMEOUT",
}
_WAITING: Final = {"PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT"}


class SlurmError(MementoError):
    """Slurm is not here, or refuses."""


@dataclass(frozen=True, slots=True)
class Element:
    """A task of a job array, as Slurm has it.

    :param name: ``<job>_<index>``
    :param state: as squeue(1) names it.
    :param reason: why it waits, or what it died of.
    :param node: where it runs or ran.
    """

    name: str
    state: str
    reason: str = ""
    node: str = ""

    @property
    def is_over(self) -> bool:
        """Whether it has ended and will not come back."""
        return self.state in _ENDED

    @property
    def is_waiting(self) -> bool:
        """Whether it is in the queue."""
        return self.state in _WAITING

    @property
    def is_running(self) -> bool:
        """Whether it is on a node, or about to leave it."""
        return not (self.is_over or self.is_waiting)


def nodes_of(elements: Iterable[Element]) -> str:
    """Return where tasks run."""
    return ", ".join(sorted({each.node for each in elements if each.is_running and each.node}))


def reasons_of(elements: Iterable[Element]) -> str:
    """Return what tasks wait for."""
    return ", ".join(sorted({each.reason for each in elements if each.is_waiting and each.reason}))


def not_here(command: str) -> SlurmError:
    """Return what to say where a command of Slurm is missing."""
    return SlurmError(
        f"there is no Slurm here ({command} is not found): run this where jobs are submitted, or"
        " without --memento-slurm"
    )


def is_here() -> bool:
    """Whether jobs can be submitted from this machine."""
    return shutil.which("sbatch") is not None


def allocation(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the job that this process is a part of, if it is one."""
    return environment.get("SLURM_JOB_ID") or None


def submit(script: Path, options: Iterable[str]) -> str:
    """Submit a batch script, and return the number of the job.

    :param options: also given on the command line, as variables such as ``SBATCH_PARTITION`` come
        before what a script says.
    :raises SlurmError: sbatch refuses, in its own words.
    """
    done = _run("sbatch", "--parsable", *options, os.fspath(script))
    if done.returncode == 0 and (job := done.stdout.strip().splitlines()[-1:]):
        return job[0].partition(";")[0]
    words = refusal(done.stderr)
    if "array specification" in words and (most := _largest_array()):
        words += f" (MaxArraySize allows {most} tasks)"
    raise SlurmError(f"sbatch refuses: {words}")


def refusal(text: str) -> str:
    r"""Return in a line what a command of Slurm has to say.

    >>> refusal("sbatch: error: invalid partition: x\nsbatch: error: Batch job submission failed")
    'invalid partition: x; Batch job submission failed'
    """
    lines = [re.sub(r"^\w+: (error|fatal): ", "", line.strip()) for line in text.splitlines()]
    return "; ".join(dict.fromkeys(line for line in lines if line)) or "without a word"


def elements(jobs: Sequence[str]) -> list[Element] | None:
    """Return the tasks of job arrays, also those that ended a while ago, as far as Slurm knows.

    :return: ``None`` if it does not answer now; empty where it has forgotten them all.
    """
    if not jobs:
        return []
    arguments = ["--noheader", "--array", "--states=all", f"--jobs={','.join(jobs)}"]
    try:
        done = _run("squeue", *arguments, "--format=%i|%T|%r|%N")
    except SlurmError:
        return None
    if done.returncode:
        if "Invalid job id" not in done.stderr:
            return None
        if len(jobs) == 1:
            return []
        each = [elements([job]) for job in jobs]  # one that is forgotten hides the others
        return [e for some in each if some is not None for e in some] if None not in each else None
    return [_element(line) for line in done.stdout.splitlines() if line.count("|") >= 3]


def _element(line: str) -> Element:
    name, state, reason, node = line.strip().split("|", 3)
    return Element(name, state, "" if reason == "None" else reason, node)


def cancel(jobs: Sequence[str], *, only_waiting: bool) -> None:
    """Cancel job arrays, or those of their tasks that still wait; a job that is gone is fine."""
    if jobs:
        states = ["--state=PENDING"] if only_waiting else []
        with contextlib.suppress(SlurmError):
            _run("scancel", "--quiet", *states, *jobs)


def requeue(name: str) -> bool:
    """Put one task of an array back into the queue, which ends the process that asks for it.

    :param name: ``<job>_<index>``: by the number of the job alone, the last task of an array would
        take all others with it.
    """
    with contextlib.suppress(SlurmError):
        return _run("scontrol", "requeue", name).returncode == 0
    return False


def _largest_array() -> int | None:
    with contextlib.suppress(SlurmError):
        found = re.search(r"MaxArraySize\s*=\s*(\d+)", _run("scontrol", "show", "config").stdout)
        return int(found[1]) - 1 if found else None
    return None


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE, check=False,
            stdin=subprocess.DEVNULL, errors="replace",
        )  # fmt: skip
    except FileNotFoundError:
        raise not_here(command[0]) from None
    except (OSError, subprocess.SubprocessError) as error:
        raise SlurmError(f"{command[0]} cannot be run: {error}") from None
