"""How many processes one store carries: tasks of a job array at work on tiny experiments.

    python benchmarks/bench_sessions.py [--processes 1,8,64] [--experiments 2000]
        [--locks kernel,lease]

The tasks are those that Slurm would start, started here all at once: what they do to each other
shows on a machine with fewer processors than tasks, and on its disk. Each is a process (``-n 0``).
README.md beside this file tells how to read it.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

EXPERIMENTS = """\
import os
from pathlib import Path

matrix = {{"parameters": {{"x": list(range({number}))}}}}
RAN = Path(__file__).with_name("ran")

def experiment(x):
    descriptor = os.open(RAN, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{{x}}\\n".encode())
    os.close(descriptor)
    return x
"""


@dataclass(frozen=True)
class Cost:
    """What all tasks took together.

    :param wall: seconds from the first start to the last end.
    :param cpu: seconds of processor time.
    """

    wall: float
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--processes", type=numbers, default="1,8,64")
    parser.add_argument("--experiments", type=int, default=2000, metavar="N")
    parser.add_argument("--locks", type=lambda text: text.split(","), default="kernel,lease")
    options = parser.parse_args()
    print(f"{options.experiments:,} experiments that do nothing, {os.cpu_count()} processors:\n")
    print("| locks | processes | wall, s | CPU, s | of it start-up, s | an experiment, ms of CPU |"
          " times one process | computed twice |")  # fmt: skip
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for lock in options.locks:
        alone = None
        for processes in options.processes:
            with tempfile.TemporaryDirectory(prefix="memento-bench-") as name:
                script = prepare(Path(name), options.experiments, processes, lock)
                cost = run(script, processes)
                twice = count_twice(Path(name) / "ran", options.experiments)
                start_up = run(script, processes)  # all is there by now
            each = 1000 * (cost.cpu - start_up.cpu) / options.experiments
            alone = alone or each
            seconds = f"{cost.wall:.1f} | {cost.cpu:.1f} | {start_up.cpu:.1f}"
            row = (
                f"| {lock} | {processes} | {seconds} | {each:.2f} | {each / alone:.2f} | {twice} |"
            )
            print(row, flush=True)


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def prepare(directory: Path, experiments: int, processes: int, lock: str) -> Path:
    """Have an array submitted, to an ``sbatch`` that only answers, and return its script."""
    (directory / "exp_a.py").write_text(EXPERIMENTS.format(number=experiments))
    (directory / "pytest.ini").write_text(f"[pytest]\nmemento_lock = {lock}\n")
    (directory / "sbatch").write_text("#!/bin/sh\necho 1\n")
    (directory / "sbatch").chmod(0o755)
    command = [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider"]
    command += [f"--memento-slurm={processes}", "--memento-slurm-detach"]
    environment = {**clean(), "PATH": f"{directory}:{os.environ['PATH']}"}
    subprocess.run(command, cwd=directory, env=environment, check=True, stdout=subprocess.DEVNULL)
    (script,) = directory.glob(".pytest_cache/memento/slurm/*/0.sh")
    return script


def run(script: Path, processes: int) -> Cost:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    tasks = [
        subprocess.Popen(["bash", script], env=clean(), stdout=subprocess.DEVNULL)
        for _ in range(processes)
    ]
    for task in tasks:
        task.wait()
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def count_twice(ran: Path, experiments: int) -> int:
    """Return how many were computed more than once; each must have been once."""
    lines = ran.read_text().split()
    if len(set(lines)) != experiments:
        raise SystemExit(f"{experiments - len(set(lines))} experiments were not computed")
    return len(lines) - experiments


def clean() -> dict[str, str]:
    ours = ("PYTEST_", "MEMENTO_", "SLURM_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


if __name__ == "__main__":
    main()
