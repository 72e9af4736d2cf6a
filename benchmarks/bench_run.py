"""``Memento(...).run`` on cached experiments that do nothing, beside Memento's own and exca's.

Each side runs in a process of its own: once to fill its store, then warm, timed around the call
after all is imported. Rounds are interleaved; peers that are not installed are named and left out.
Memento needs old versions of pandas and cloudpickle, so the peers may have a Python of their own.

    python benchmarks/bench_run.py [--size 1000] [--rounds 3] [--peers PYTHON]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TIMED = """
import time
began = time.perf_counter()
run()
print("first", time.perf_counter() - began)
began = time.perf_counter()
run()
print("again", time.perf_counter() - began)
"""
OURS = """
import sys
from pytest_memento import Memento

def nothing(context, config):
    return config.x

def run():
    return Memento(nothing, num_workers=1).run({"parameters": {"x": list(range(SIZE))}})
"""
MEMENTO = """
from memento import Memento

def nothing(context, config):
    return config.x

def run():
    return Memento(nothing, num_workers=1).run({"parameters": {"x": list(range(SIZE))}})
"""
EXCA = """
import exca
import pydantic

class Nothing(pydantic.BaseModel):
    x: int = 0
    infra: exca.TaskInfra = exca.TaskInfra(folder="exca", version="1")

    @infra.apply
    def process(self):
        return self.x

def run():
    return [Nothing(x=x).process() for x in range(SIZE)]
"""
SIDES = {"pytest-memento": OURS, "memento-ml": MEMENTO, "exca": EXCA}
MODULES = {"pytest-memento": "pytest_memento", "memento-ml": "memento", "exca": "exca"}


def measured(python: str, source: str, directory: Path) -> dict[str, float]:
    """Return how long the first and the second run of a new process take, in seconds."""
    script = directory / "bench_side.py"
    script.write_text(f"{source}\nif __name__ == '__main__':\n" + _indented(TIMED))
    command = [python, str(script)]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines()]
    return {line[0]: float(line[1]) for line in lines if len(line) == 2}


def is_installed(python: str, module: str) -> bool:
    tried = subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False)
    return tried.returncode == 0


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.strip().splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON")
    arguments = parser.parse_args()
    pythons = dict.fromkeys(SIDES, arguments.peers) | {"pytest-memento": sys.executable}
    there = [side for side in SIDES if is_installed(pythons[side], MODULES[side])]
    for side in SIDES.keys() - there:
        print(f"{side} is not installed and left out")
    times: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as parent:
        for number in range(arguments.rounds + 1):
            for side in there:
                directory = Path(parent) / side
                directory.mkdir(exist_ok=True)
                source = SIDES[side].replace("SIZE", str(arguments.size))
                for which, seconds in measured(pythons[side], source, directory).items():
                    if number:  # the first one fills the store
                        times.setdefault((side, which), []).append(seconds)
    print(f"\n{arguments.size:,} cached experiments, median of {arguments.rounds} rounds:\n")
    print("| | first call of a process, s | second call, s | times ours |\n|---|--:|--:|--:|")
    medians = {key: statistics.median(each) for key, each in times.items()}
    for side in there:
        first, again = medians[side, "first"], medians[side, "again"]
        ratio = first / medians["pytest-memento", "first"]
        print(f"| {side} | {first:.2f} | {again:.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
