"""What large results cost: 100 arrays of 8 MB, stored, found again without a look at them, loaded.

    python benchmarks/bench_large.py [--number 100] [--megabytes 8] [--rounds 3]

Small results of the same number run beside the large ones: a warm run should take the same for
both. Loading is compared with reading the same files from the disk's cache. README.md beside this
file tells how to read it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

EXPERIMENT = """\
import numpy

matrix = {{"parameters": {{"n": range({number})}}}}

def experiment(n):
    return numpy.full({size}, n, dtype="float64")
"""
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--memento-dir=store", "exp_large.py")
LOAD = """
import time
from pytest_memento import load_results

results = load_results("exp_large.py", store="store")
start = time.perf_counter()
for result in results:
    total = float(result.value.sum())  # every page is read
print(time.perf_counter() - start)
"""
READ = """
import time
from pathlib import Path
import numpy

start = time.perf_counter()
for path in Path("store/results").glob("*/*.result"):
    data = path.read_bytes()
    total = float(numpy.frombuffer(data, dtype="float64", count=len(data) // 8).sum())
print(time.perf_counter() - start)
"""


def main() -> None:
    options = read_options()
    took: dict[str, list[float]] = defaultdict(list)
    for _ in range(options.rounds):
        for name, size in (("large", options.megabytes * 125_000), ("small", 1)):
            with tempfile.TemporaryDirectory(prefix="memento-bench-") as directory:
                measure(Path(directory), name, options.number, size, took)
    print(f"{options.number} arrays of {options.megabytes} MB, median of {options.rounds}:\n")
    print("| | large, s | small, s |\n|---|--:|--:|")
    for step in ("cold", "warm", "loaded", "files read"):
        large, small = (statistics.median(took[f"{step} {name}"]) for name in ("large", "small"))
        print(f"| {step} | {large:.2f} | {small:.2f} |")


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--number", type=int, default=100)
    parser.add_argument("--megabytes", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    return parser.parse_args()


def measure(
    directory: Path, name: str, number: int, size: int, took: dict[str, list[float]]
) -> None:
    (directory / "pytest.ini").write_text("[pytest]\n")
    (directory / "exp_large.py").write_text(EXPERIMENT.format(number=number, size=size))
    for step in ("cold", "warm"):
        start = time.perf_counter()
        call(directory, *PYTEST)
        took[f"{step} {name}"].append(time.perf_counter() - start)
    took[f"files read {name}"].append(float(call(directory, "-c", READ)))
    took[f"loaded {name}"].append(float(call(directory, "-c", LOAD)))
    shutil.rmtree(directory / "store")


def call(directory: Path, *arguments: str) -> str:
    ours = ("PYTEST_", "MEMENTO_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return done.stdout


if __name__ == "__main__":
    main()
