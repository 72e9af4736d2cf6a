"""How long a set of uneven experiments takes on two workers, beside other ways to run it.

    python benchmarks/bench_makespan.py [--rounds 3] [--sets uneven,late,even] [--ways memento,load]
        [--old-python PATH]

Each run is a whole process, start-up included; the ways take turns. What is not installed is left
out: ``pip install joblib labtech`` for these. memento-ml wants an older cloudpickle and so a
virtual environment of its own, whose Python is to be named. README.md beside this file tells how to
read it.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SETS = {
    "uneven": [6, 6, 0.2, 0.2],
    "late": [*[0.1] * 20, 2],
    "even": [0.1] * 40,
}
EXPERIMENT = """\
import time

matrix = {{"parameters": {{"n,seconds": list(enumerate({seconds}))}}}}

def experiment(n, seconds):
    time.sleep(seconds)
    return n
"""
TEST = """\
import time
import pytest

@pytest.mark.parametrize("n,seconds", list(enumerate({seconds})))
def test_it(n, seconds):
    time.sleep(seconds)
"""
JOBLIB = """\
import time
from joblib import Parallel, delayed

def run(n, seconds):
    time.sleep(seconds)
    return n

if __name__ == "__main__":
    Parallel(n_jobs=2)(delayed(run)(n, s) for n, s in enumerate({seconds}))
"""
OLD_MEMENTO = """\
import time
from memento import Memento

def run(context, config):
    time.sleep(config.each[1])
    return config.each[0]

if __name__ == "__main__":
    Memento(run, num_workers=2).run({{"parameters": {{"each": list(enumerate({seconds}))}}}})
"""
LABTECH = """\
import time
import labtech

@labtech.task(cache=None)
class Run:
    n: int
    seconds: float

    def run(self):
        time.sleep(self.seconds)
        return self.n

if __name__ == "__main__":
    labtech.Lab(storage=None, max_workers=2).run_tasks(
        [Run(n=n, seconds=s) for n, s in enumerate({seconds})], disable_progress=True
    )
"""
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2")
STORE = "store"


@dataclass(frozen=True)
class Way:
    """One way to run a set.

    :param name: what the table calls it.
    :param file: what is written, and its text.
    :param command: what Python is given.
    :param needs: the module it needs.
    :param has_history: whether an earlier run of the same set is in the store.
    :param is_old: whether it needs a Python of its own.
    """

    name: str
    file: tuple[str, str]
    command: tuple[str, ...]
    needs: str = ""
    has_history: bool = False
    is_old: bool = False


OURS = ("exp_a.py", EXPERIMENT)
MEMENTO = (*PYTEST, f"--memento-dir={STORE}", "exp_a.py")
PLAIN = (*PYTEST, "-p", "no:memento", "test_a.py")
WAYS = {
    "memento": Way("pytest-memento, no history", OURS, MEMENTO),
    "history": Way(
        "pytest-memento, with history",
        OURS,
        (*MEMENTO, "--memento-cache=refresh"),
        has_history=True,
    ),
    "load": Way("xdist --dist load", ("test_a.py", TEST), PLAIN),
    "worksteal": Way("xdist --dist worksteal", ("test_a.py", TEST), (*PLAIN, "--dist=worksteal")),
    "joblib": Way("joblib", ("run.py", JOBLIB), ("run.py",), "joblib"),
    "old": Way("Memento", ("run.py", OLD_MEMENTO), ("run.py",), is_old=True),
    "labtech": Way("labtech", ("run.py", LABTECH), ("run.py",), "labtech"),
}


def main() -> None:
    options = read_options()
    ways = [WAYS[name] for name in options.ways if is_here(WAYS[name], options.old_python)]
    pythons = {True: options.old_python, False: sys.executable}
    measure(ways, [0.0] * 2, 1, pythons)  # writes the bytecode
    for name in options.sets:
        seconds = SETS[name]
        took = measure(ways, seconds, options.rounds, pythons)
        nothing = measure(ways, [0.0] * len(seconds), options.rounds, pythons)
        print(f"\n{name}: {len(seconds)} experiments, ideal {ideal(seconds):.1f} s, median of"
              f" {options.rounds}:\n")  # fmt: skip
        print("\n".join(table(took, nothing, ideal(seconds))), flush=True)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--sets", type=words, default=",".join(SETS))
    parser.add_argument("--ways", type=words, default=",".join(WAYS))
    parser.add_argument("--old-python", metavar="PATH", help="one that has memento-ml")
    return parser.parse_args()


def words(text: str) -> list[str]:
    return text.split(",")


def is_here(way: Way, old_python: str | None) -> bool:
    if way.is_old:
        return old_python is not None
    return not way.needs or importlib.util.find_spec(way.needs) is not None


def ideal(seconds: Sequence[float]) -> float:
    """Return the makespan on two workers of the longest first, which is the best for these sets."""
    ends = [0.0, 0.0]
    for each in sorted(seconds, reverse=True):
        ends.sort()
        ends[0] += each
    return max(ends)


def measure(
    ways: Sequence[Way], seconds: Sequence[float], rounds: int, pythons: Mapping[bool, str]
) -> dict[Way, list[float]]:
    """Run every way once per round, so that a slow minute of the machine meets all of them."""
    took: dict[Way, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for way in ways:
            with tempfile.TemporaryDirectory(prefix="memento-bench-") as name:
                took[way].append(run(way, Path(name), seconds, pythons[way.is_old]))
    return took


def run(way: Way, directory: Path, seconds: Sequence[float], python: str) -> float:
    name, text = way.file
    (directory / "pytest.ini").write_text("[pytest]\n")
    (directory / name).write_text(text.format(seconds=list(seconds)))
    if way.has_history:
        call(way, directory, python)
    else:
        shutil.rmtree(directory / STORE, ignore_errors=True)
    return call(way, directory, python)


def call(way: Way, directory: Path, python: str) -> float:
    ours = ("PYTEST_", "MEMENTO_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    start = time.perf_counter()
    subprocess.run(
        [python, *way.command],
        cwd=directory,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - start


def table(took: dict[Way, list[float]], nothing: dict[Way, list[float]], ideal: float) -> list[str]:
    """Return the lines of a table; *nothing* is what as many experiments of no length take."""
    lines = [
        "| | wall, s | of it with nothing to do, s | the rest, times ideal |",
        "|---|--:|--:|--:|",
    ]
    for way, times in took.items():
        wall, start_up = statistics.median(times), statistics.median(nothing[way])
        rest = (wall - start_up) / ideal
        lines.append(f"| {way.name} | {wall:.2f} | {start_up:.2f} | {rest:.2f} |")
    return lines


if __name__ == "__main__":
    main()
