"""How long something took and how much memory it needed."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]


@dataclass(slots=True)
class Measured:
    """What a run cost.

    :param started: when, in seconds since the epoch.
    :param runtime: seconds on the clock.
    :param cpu_time: seconds of processor time, all threads and ended child processes together.
    :param memory: peak resident memory of the process in bytes, or ``None`` where the system
        does not tell.
    """

    started: float = 0.0
    runtime: float = 0.0
    cpu_time: float = 0.0
    memory: int | None = None


@contextlib.contextmanager
def measuring() -> Iterator[Measured]:
    """Measure the body, also when it raises."""
    measured = Measured(started=time.time())
    _reset_peak()
    cpu, clock = _cpu_time(), time.perf_counter()
    try:
        yield measured
    finally:
        measured.runtime = time.perf_counter() - clock
        measured.cpu_time = _cpu_time() - cpu
        measured.memory = peak_memory()


def _cpu_time() -> float:
    if resource is None:
        return time.process_time()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def _reset_peak() -> None:
    """Forget the peak of what ran before in this process (Linux: proc(5), clear_refs)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_bytes(b"5")


def peak_memory() -> int | None:
    """Return the peak resident memory of this process in bytes.

    Where it cannot be reset (not on Linux), this is the peak since the process started.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_bytes().splitlines():
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) * 1024
    if resource is not None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return None
