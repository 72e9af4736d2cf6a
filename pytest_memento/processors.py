"""How many processors this process may use, which on a shared machine are not all that it has."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath


def usable(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> int:
    """Return how many processors this process may use, at least one.

    It is the least of what allow: its affinity; the bandwidth limits of its control groups, as a
    container has them (``cpu.max`` in version 2, ``cpu.cfs_quota_us`` in version 1, see
    ``Documentation/admin-guide/cgroup-v2.rst`` of Linux), rounded up; and the Slurm allocation that
    it is in (``SLURM_CPUS_PER_TASK`` in a task of a step, else ``SLURM_CPUS_ON_NODE``).

    :param root: where ``proc`` and ``sys`` are mounted.
    :param environment: the environment variables.
    """
    limits = [_by_affinity(), *_by_control_groups(root), *_by_slurm(environment)]
    return max(1, min(limits))


def _by_affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# -- Slurm -----------------------------------------------------------------------------------------


def _by_slurm(environment: Mapping[str, str]) -> Iterator[int]:
    if "SLURM_JOB_ID" not in environment:
        return
    in_step = environment.get("SLURM_STEP_ID", "").isdigit() and "SLURM_PROCID" in environment
    names = ["SLURM_CPUS_PER_TASK"] if in_step else []
    for name in (*names, "SLURM_CPUS_ON_NODE"):
        with contextlib.suppress(KeyError, ValueError):
            yield int(environment[name])
            return


# -- control groups --------------------------------------------------------------------------------


def _by_control_groups(root: Path) -> Iterator[int]:
    """Yield the limits of the groups that the process is in, from the inside out."""
    mounts = dict(_mounts(root))
    for controllers, group in _groups(root):
        if controllers in mounts:
            inside, place = mounts[controllers]
            for directory in _up_from(group, inside, root / place.lstrip("/")):
                yield from _limit(directory)


def _groups(root: Path) -> Iterator[tuple[str, str]]:
    """Yield ``cpu``, or nothing for version 2, with the group: lines are ``5:cpu,cpuacct:/a/b``."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, group = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            yield ("cpu" if controllers else ""), group


def _mounts(root: Path) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield ``cpu``, or nothing for version 2, with the group that is mounted, and where."""
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        inside, place = before.split()[3:5]
        kind, _, options = after.split()[:3]
        if kind == "cgroup2":
            yield "", (inside, place)
        elif kind == "cgroup" and "cpu" in options.split(","):
            yield "cpu", (inside, place)


def _up_from(group: str, inside: str, place: Path) -> Iterator[Path]:
    """Yield the directories of a group and of those around it."""
    path = PurePosixPath(group)
    # In a container the mounted group may be none that the path starts from.
    below = path.relative_to(inside) if path.is_relative_to(inside) else PurePosixPath()
    for part in (below, *below.parents):
        yield place / part


def _limit(directory: Path) -> Iterator[int]:
    """Yield the number of processors whose time a group has."""
    both = next(_lines(directory / "cpu.max"), "").split()
    if len(both) != 2:
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        both = [next(_lines(directory / name), "") for name in names]
    with contextlib.suppress(ValueError, ZeroDivisionError):  # max: no limit
        quota, period = map(int, both)
        if quota > 0:
            yield math.ceil(quota / period)


def _lines(path: Path) -> Iterator[str]:
    try:
        yield from path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
