"""What fingerprints cost: of the code of a large project, and of large arrays.

    python benchmarks/bench_fingerprint.py [--modules 200] [--experiments 1000] [--rounds 3]

Each round of the first table is a new process, so nothing is remembered. README.md beside this file
tells how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import blake2b
from pathlib import Path

import numpy as np

from pytest_memento.fingerprint import digest_value

FUNCTIONS = 10
HELPER = '''
def helper_{number}(values, factor=SCALE):
    """Return something of the values."""
    total = 0
    for position, value in enumerate(values):
        if value > factor:
            total += value * {others}
        elif position % 2:
            total -= Scaler(factor).apply(value)
        else:
            total += sum(x ** 2 for x in values if x is not None)
    return total
'''
MODULE = '''
"""Module {number}."""
import math
from dataclasses import dataclass
{imports}

SCALE = {number}
TABLE = {{"a": 1, "b": [1, 2, 3]}}

@dataclass
class Scaler:
    by: float = SCALE
    def apply(self, value):
        return math.sqrt(abs(value * self.by)) + TABLE["a"]
    def unused(self, value):
        return value
'''
EXPERIMENT = """
def experiment_{number}(context, config):
    data = [config.x, {number}]
    return m{module}.helper_{helper}(data)
"""
MEASURE = """
import json, sys, time
start = time.perf_counter()
import exp_all
imported = time.perf_counter()
from pathlib import Path
from pytest_memento.fingerprint import Codebase
from pytest_memento.pause import without_gc
ready = time.perf_counter()
codebase = Codebase(Path.cwd())
names = [name for name in vars(exp_all) if name.startswith("experiment_")]
with without_gc():  # as while pytest collects
    sizes = [
        len(codebase.describe(getattr(exp_all, name), path=(name,), module=exp_all).manifest)
        for name in names
    ]
described = time.perf_counter()
print(json.dumps([imported - start, described - ready, len(names), sum(sizes) / len(sizes)]))
"""


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--modules", type=int, default=200)
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    measure_code(chosen.modules, chosen.experiments, chosen.rounds)
    measure_arrays(chosen.rounds)


def measure_code(modules: int, experiments: int, rounds: int) -> None:
    """Print the time to fingerprint the code of experiments, beside that to import it."""
    with tempfile.TemporaryDirectory() as directory:
        lines = write_project(Path(directory), modules, experiments)
        compiled = [run(directory, cold=False) for _ in range(rounds + 1)][1:]
        fresh = [run(directory, cold=True) for _ in range(rounds)]
    print(f"code: {experiments} experiments over {modules} modules, {lines} lines")
    _, _, number, parts = compiled[0]
    print(f"      {number:.0f} experiments described, {parts:.0f} definitions each on average")
    importing = statistics.median(each[0] for each in fresh)
    cached = statistics.median(each[0] for each in compiled)
    describing = statistics.median(each[1] for each in [*fresh, *compiled])
    print(f"{'import, without bytecode':32}{importing:8.3f} s")
    print(f"{'import, with bytecode':32}{cached:8.3f} s")
    print(f"{'fingerprint of all':32}{describing:8.3f} s", end="")
    print(f"   {describing / importing:.2f} x and {describing / cached:.2f} x\n")


def write_project(directory: Path, modules: int, experiments: int) -> int:
    """Write modules that use each other, and a file of experiments; return the lines of code."""
    sources = {f"m{number}.py": "".join(module(number)) for number in range(modules)}
    imports = "".join(f"import m{number}\n" for number in range(modules))
    sources["exp_all.py"] = imports + "".join(
        EXPERIMENT.format(number=n, module=n % modules, helper=n // modules % FUNCTIONS)
        for n in range(experiments)
    )
    for name, source in sources.items():
        (directory / name).write_text(source)
    return sum(source.count("\n") for source in sources.values())


def module(number: int) -> Iterator[str]:
    """Yield the source of a module, whose functions call those of a few others."""
    used = [each for each in (number // 2, number // 3) if each != number]
    yield MODULE.format(number=number, imports="".join(f"import m{each}\n" for each in used))
    for function in range(FUNCTIONS):
        calls = [f"m{each}.helper_{function}([value])" for each in used] or ["1"]
        yield HELPER.format(number=function, others=" * ".join(calls))


def run(directory: str, *, cold: bool) -> list[float]:
    """Import and fingerprint in a process of its own; *cold* leaves no bytecode to it."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1" if cold else ""}
    if cold:
        environment["PYTHONPYCACHEPREFIX"] = str(Path(directory) / "none")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE],
        cwd=directory, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: list[float] = json.loads(done.stdout)
    return found


def measure_arrays(rounds: int) -> None:
    """Print the time to fingerprint arrays, beside that of the hash alone."""
    rows = np.random.default_rng(0).random((12_500, 1_000))
    print("arrays of 100 MB             hash alone   fingerprint")
    for name, array in {
        "C order": rows,
        "Fortran order": np.asfortranarray(rows),
        "every second column of 200 MB": np.repeat(rows, 2, axis=1)[:, ::2],
    }.items():
        content = rows.tobytes()
        alone = best(rounds, partial(blake2b, content, digest_size=16))
        own = best(rounds, partial(digest_value, array))
        print(f"{name:32}{alone:6.3f} s     {own:6.3f} s   {own / alone:.2f} x")


def best(rounds: int, call: Callable[[], object]) -> float:
    """Return the shortest of several times, in seconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
