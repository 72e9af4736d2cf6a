"""What the plugin costs beside plain pytest: experiments that do nothing, against empty tests.

    python benchmarks/bench_overhead.py [--sizes 1000,10000] [--rounds 3] [--old-python PATH]

Each run is a whole process, start-up included. memento-ml is measured where a Python that has it is
named (it wants an older cloudpickle). README.md beside this file tells how to read it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from importlib.metadata import version
from pathlib import Path

TEST = """\
import pytest

@pytest.mark.parametrize("number", range({size}))
def test_nothing(number):
    pass
"""
EXPERIMENT = """\
matrix = {{"parameters": {{"number": range({size})}}}}

def experiment(config):
    pass
"""
OLD_MEMENTO = """\
from memento import Memento

def run(context, config):
    pass

if __name__ == "__main__":
    Memento(run, num_workers=2).run({{"parameters": {{"number": list(range({size}))}}}})
    print("{size} done")
"""
STORE = "store"
OLD_STORE = "memento.sqlite"
SAMPLED_EVERY = 0.02
"""Seconds between two looks at the memory."""
COMMON = ("-q", "-p", "no:cacheprovider")
PLAIN = (*COMMON, "-p", "no:memento", "test_nothing.py")
MEMENTO = (*COMMON, f"--memento-dir={STORE}", "exp_nothing.py")
TWO = ("-n", "2")
COLLECT = ("--collect-only",)


@dataclass(frozen=True)
class Case:
    """One way to run pytest.

    :param name: what the table calls it.
    :param arguments: what pytest is given.
    :param says: what it says when all went well, with the number of tests for ``{}``.
    :param forgets: whether the store is emptied before.
    :param is_old: whether it is memento-ml, which needs a Python of its own.
    """

    name: str
    arguments: tuple[str, ...]
    says: str
    forgets: bool = False
    is_old: bool = False


# Those with a plain run in common; the plain one comes first. The order within one is of use: a
# warm run finds what the cold one before it has stored.
GROUPS = (
    (
        Case("plain pytest", PLAIN, "{} passed"),
        Case("cold", MEMENTO, "{} passed", forgets=True),
        Case("warm", MEMENTO, "{} cached"),
        Case("cold, --memento-cache=off", (*MEMENTO, "--memento-cache=off"), "{} passed"),
    ),
    (
        Case("plain pytest -n 2", (*PLAIN, *TWO), "{} passed"),
        Case("cold -n 2", (*MEMENTO, *TWO), "{} passed", forgets=True),
        Case("warm -n 2", (*MEMENTO, *TWO), "{} cached"),
        Case("Memento, cold, two workers", ("old.py",), "{} done", forgets=True, is_old=True),
        Case("Memento, warm", ("old.py",), "{} done", is_old=True),
    ),
    (
        Case("plain pytest --collect-only", (*PLAIN, *COLLECT), "{} tests collected"),
        Case("warm --collect-only", (*MEMENTO, *COLLECT), "{} tests collected"),
        Case("cold --collect-only", (*MEMENTO, *COLLECT), "{} tests collected", forgets=True),
    ),
)


@dataclass(frozen=True)
class Cost:
    """What one run needed: seconds, and at most so many bytes (of workers, the largest)."""

    wall: float
    cpu: float
    main: int
    worker: int


def main() -> None:
    options = read_options()
    print(describe_machine())
    with tempfile.TemporaryDirectory(prefix="memento-bytecode-") as bytecode:
        environment = clean_environment(bytecode)
        cases = [
            case for group in GROUPS for case in group if options.old_python or not case.is_old
        ]
        pythons = {True: options.old_python, False: sys.executable}
        measure(cases, pythons, environment, size=10, rounds=1)  # writes the bytecode
        for size in options.sizes:
            costs = measure(cases, pythons, environment, size, options.rounds)
            print(f"\n{size:,} experiments, median of {options.rounds}:\n")
            print("\n".join(table(costs)), flush=True)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", type=numbers, default="1000,10000", metavar="N,N,...")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--old-python", metavar="PATH", help="one that has memento-ml")
    return parser.parse_args()


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def describe_machine() -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("pytest", "pytest-xdist"))
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {python}, {packages}"


# -- measuring -------------------------------------------------------------------------------------


def clean_environment(bytecode: str) -> dict[str, str]:
    """Return an environment where nothing is set for pytest, and bytecode is kept."""
    ours = ("PYTEST_", "MEMENTO_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, "PYTHONPYCACHEPREFIX": bytecode}


def measure(
    cases: Sequence[Case],
    pythons: Mapping[bool, str],
    environment: Mapping[str, str],
    size: int,
    rounds: int,
) -> Mapping[Case, Sequence[Cost]]:
    """Run every case once per round, so that a slow minute of the machine meets all of them."""
    costs: dict[Case, list[Cost]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="memento-bench-") as name:
        directory = Path(name)
        (directory / "pytest.ini").write_text("[pytest]\n")
        (directory / "test_nothing.py").write_text(TEST.format(size=size))
        (directory / "exp_nothing.py").write_text(EXPERIMENT.format(size=size))
        (directory / "old.py").write_text(OLD_MEMENTO.format(size=size))
        for _ in range(rounds):
            for case in cases:
                if case.forgets:
                    shutil.rmtree(directory / STORE, ignore_errors=True)
                    (directory / OLD_STORE).unlink(missing_ok=True)
                costs[case].append(run(case, pythons[case.is_old], directory, environment, size))
    return costs


def run(
    case: Case, python: str, directory: Path, environment: Mapping[str, str], size: int
) -> Cost:
    """Run pytest once; end the benchmark if it does not say what it should."""
    command = [python, *(() if case.is_old else ("-m", "pytest")), *case.arguments]
    cpu, clock = cpu_of_children(), time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=directory, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        with watching(process.pid) as peaks:
            process.wait()
            wall = time.perf_counter() - clock
        output.seek(0)
        said = output.read().decode(errors="replace")
    if process.returncode or case.says.format(size) not in said[-300:]:
        sys.exit(f"{case.name}: exit code {process.returncode}\n{said[-3000:]}")
    worker = max((peak for pid, peak in peaks.items() if pid != process.pid), default=0)
    return Cost(wall, cpu_of_children() - cpu, peaks[process.pid], worker)


def cpu_of_children() -> float:
    """Return seconds of processor time of the processes that have ended, theirs included."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


@contextlib.contextmanager
def watching(pid: int) -> Iterator[Mapping[int, int]]:
    """Sample the resident memory of a process and its children: pid -> peak in bytes.

    What the system keeps as the peak will not do: the plugin resets it for each experiment.
    """
    peaks: dict[int, int] = defaultdict(int)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(SAMPLED_EVERY):
            for one in (pid, *children_of(pid)):
                peaks[one] = max(peaks[one], resident(one))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peaks
    finally:
        over.set()
        thread.join()


def children_of(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for path in Path(f"/proc/{pid}/task").glob("*/children"):
            found += map(int, path.read_text().split())
    return found


def resident(pid: int) -> int:
    """Return the resident memory of a process in bytes, 0 if it is gone or not on Linux."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


# -- telling ---------------------------------------------------------------------------------------


def table(costs: Mapping[Case, Sequence[Cost]]) -> Iterator[str]:
    yield "| | wall, s | CPU, s | times plain | main process, MB | a worker, MB |"
    yield "|---|--:|--:|--:|--:|--:|"
    for group in GROUPS:
        plain = median(costs[group[0]])
        for case in group:
            if case in costs:
                yield row(case.name, median(costs[case]), plain)


def row(name: str, cost: Cost, plain: Cost) -> str:
    cells = (
        name,
        f"{cost.wall:.2f}",
        f"{cost.cpu:.2f}",
        f"{cost.wall / plain.wall:.2f}",
        megabytes(cost.main),
        megabytes(cost.worker) if TWO[0] in name else "",
    )
    return f"| {' | '.join(cells)} |"


def median(costs: Sequence[Cost]) -> Cost:
    walls, cpus, mains, workers = zip(*map(astuple, costs), strict=True)
    middle = statistics.median
    return Cost(middle(walls), middle(cpus), max(mains), max(workers))


def megabytes(size: int) -> str:
    return f"{size / 1e6:.0f}" if size else "?"


if __name__ == "__main__":
    main()
