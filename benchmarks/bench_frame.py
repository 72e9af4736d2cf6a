"""What a frame of many results costs, beside unpickling as many results of Memento.

    python benchmarks/bench_frame.py [--sizes 10000,50000,100000] [--points 10,0] [--rounds 3]

Both sides hold the same: three parameters, two settings, two numbers as the result, and a metric of
ten points, or none. Ours is written through the store, Memento's by its file-system provider if
--old-python names a Python that has it, else by a copy of what that does: a pickle per result,
named in a SQLite table. Times are those of the processor: nothing is waited for, as what was just
written is still in memory. README.md beside this file tells how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from pytest_memento.config import Config
from pytest_memento.fingerprint import digest_value
from pytest_memento.metrics import Number, Series, last
from pytest_memento.pickling import dump
from pytest_memento.record import Key, Outcome, Record, describe_config, describe_result
from pytest_memento.store import Store

Points = list[tuple[Number, Number]]
NAME = "exp_bench.py::experiment"
SETTINGS = {"n_fold": 5, "optimizer": "adam"}
MEASURE = """\
import json, os, resource, sys, time
import pandas
{imports}

def memory():
    if os.path.exists("/proc/self/status"):  # what getrusage says includes who started this
        line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

before, start = memory(), time.process_time()
{body}
took = time.process_time() - start
assert found == int(sys.argv[1]), found
print(json.dumps([took, memory() - before]))
"""
OURS = """\
results = load_results(store="store")
frame = results.to_frame()
found = len(frame)
"""
UNPICKLED = """\
results = []
for path in sorted(os.listdir("memento_cache"))[: int(sys.argv[1])]:
    with open("memento_cache/" + path, "rb") as file:
        results.append(cloudpickle.load(file))
found = len(results)
"""
GOT = """\
provider = peer.FileSystemCacheProvider(filepath="memento.sqlite")
with provider as database:
    rows = database.execute("SELECT key FROM cache LIMIT ?", (int(sys.argv[1]),)).fetchall()
results = [provider.get(key) for key, in rows]
found = len(results)
"""
PEER = """\
try:
    from memento.caching import FileSystemCacheProvider
    from memento.configurations import Config
    from memento.task_interface import Metric, Result
except ImportError:
    import collections, hashlib, os, sqlite3
    import cloudpickle

    Metric = collections.namedtuple("Metric", "x y")

    class Config:
        def __new__(cls, *args, **kwargs):
            self = super().__new__(cls)
            self._dict = {}
            return self

        def __init__(self, **kwargs):
            self._dict = kwargs

        def __getattr__(self, name):
            try:
                return self._dict[name]
            except KeyError:
                raise AttributeError(name) from None

    class Result:
        def __init__(self, *values):
            names = "config inner metrics start_time runtime cpu_time memory was_cached".split()
            self.__dict__.update(zip(names, values))

    class FileSystemCacheProvider:
        def __init__(self, filepath):
            self.filepath = os.path.abspath(filepath)
            os.makedirs("memento_cache", exist_ok=True)
            with self as database:
                database.execute(
                    "CREATE TABLE IF NOT EXISTS cache (key BINARY PRIMARY KEY, ts REAL NOT NULL"
                    " DEFAULT ((julianday('now') - 2440587.5)*86400.0), value BLOB NOT NULL)"
                    " WITHOUT ROWID"
                )

        def __enter__(self):
            return sqlite3.Connection(self.filepath, isolation_level="DEFERRED", timeout=10)

        def __exit__(self, *_):
            pass

        def get(self, key):
            with self as database:
                rows = database.execute("SELECT value FROM cache WHERE key = ?", (key,)).fetchall()
                with open(rows[0][0], "rb") as file:
                    return cloudpickle.load(file)

        def set(self, key, item):
            name = hashlib.sha256(bytes(str(key), "utf-8")).hexdigest()
            path = f"memento_cache/{name}.pkl"
            with open(path, "wb") as file:
                cloudpickle.dump(item, file)
            with self as database:
                database.execute("INSERT OR REPLACE INTO cache(key,value) VALUES(?,?)", (key, path))
                database.commit()
"""
FILL_PEER = """\
import datetime, json, sys
import cloudpickle, pandas
import peer

provider = peer.FileSystemCacheProvider(filepath="memento.sqlite")
for line in sys.stdin:
    parameters, settings, inner, series = json.loads(line)
    config = peer.Config(**parameters)
    config.settings = settings
    metrics = {
        name: pandas.DataFrame([peer.Metric(x, y) for x, y in points])
        for name, points in series.items()
    }
    took = datetime.timedelta(seconds=1.5)
    result = peer.Result(config, inner, metrics, datetime.datetime.now(), took, None, None, True)
    provider.set(cloudpickle.dumps({"function": "experiment", "args": [config]}), result)
"""


def main() -> None:
    options = read_options()
    sizes = sorted(int(size) for size in options.sizes.split(","))
    for steps in map(int, options.points.split(",")):
        with tempfile.TemporaryDirectory(prefix="memento-bench-") as directory:
            place = Path(directory)
            stems = fill(place, max(sizes), steps)
            fill_peer(place, max(sizes), steps, options.old_python)
            metric = f"A metric of {steps} points" if steps else "No metrics"
            print(f"{metric}, median of {options.rounds}:\n")
            report(measure(place, stems, sizes, options))


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sizes", default="10000,50000,100000", metavar="N,N,...")
    parser.add_argument("--points", default="10,0", metavar="N,N,...", help="of a metric")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--old-python", default=sys.executable, metavar="PATH")
    return parser.parse_args()


def experiment(number: int, steps: int) -> tuple[dict[str, object], dict[str, float], Series]:
    """Return parameters, result, and the points of a metric, if it has any."""
    model = ("SVC", "MLP", "Tree", "Forest")[number % 4]
    parameters = {"model": model, "lr": 10.0 ** -(number % 7), "seed": number // 28}
    result = {"accuracy": 1 / (1 + number), "loss": number / 7}
    points: Points = [(step, number / (7 + step)) for step in range(steps)]
    return parameters, result, {"loss": points} if points else {}


def fill(place: Path, size: int, steps: int) -> list[str]:
    """Store so many results, as the plugin does."""
    store, code, stems = Store(place / "store"), digest_value({"experiment": "code"}), []
    environment = digest_value({})
    store.put_document(environment, {"commit": None})
    for number in range(size):
        parameters, result, series = experiment(number, steps)
        config = Config(parameters, SETTINGS)
        values = {**config.settings, **config}
        described, settings = describe_config(
            config, {}, {name: digest_value(value) for name, value in values.items()}
        )
        key = Key(NAME, *config.fingerprint, code)
        record = Record(
            key=key,
            id="-".join(f"{name}={value.label}" for name, value in described.items()),
            parameters=described,
            settings=settings,
            outcome=Outcome.PASSED,
            started=1_800_000_000.0 + number,
            runtime=0.01,
            cpu_time=0.01,
            memory=180_000_000 + number,
            result=describe_result(result),
            metrics=last(series),
            environment=environment,
            host="node07",
            pid=4121,
            seed=key.seed,
        )
        details = {"metrics": series, "output": "--- Captured stdout call ---\ndone\n"}
        store.publish(record, details, dump(result))
        stems.append(key.stem)
    return stems


def fill_peer(place: Path, size: int, steps: int, python: str) -> None:
    """Have Memento, or its like, store the same."""
    (place / "peer.py").write_text(PEER)
    lines = []
    for number in range(size):
        parameters, result, series = experiment(number, steps)
        lines.append(json.dumps([parameters, SETTINGS, result, series]))
    command = [python, "-c", FILL_PEER]
    subprocess.run(command, cwd=place, input="\n".join(lines), text=True, check=True)


def measure(
    place: Path, stems: list[str], sizes: list[int], options: argparse.Namespace
) -> dict[tuple[str, int], tuple[float, float]]:
    """Return seconds and bytes for each case and size, median of the rounds."""
    peer = "import os\nimport cloudpickle\nimport peer"
    cases = {
        "frame": (sys.executable, "from pytest_memento import load_results", OURS),
        "Memento's results, unpickled": (options.old_python, peer, UNPICKLED),
        "Memento's results, by its provider": (options.old_python, peer, GOT),
    }
    took: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
    for size in sizes:
        Store(place / "store").put_plan(NAME, stems[:size])
        for _ in range(options.rounds):
            for name, (python, imports, body) in cases.items():
                code = MEASURE.format(imports=imports, body=body)
                done = subprocess.run(
                    [python, "-c", code, str(size)],
                    cwd=place, env=environment(), stdout=subprocess.PIPE, text=True, check=True,
                )  # fmt: skip
                took[name, size].append(json.loads(done.stdout))
    return {
        case: (statistics.median(each[0] for each in runs), max(each[1] for each in runs))
        for case, runs in took.items()
    }


def report(took: dict[tuple[str, int], tuple[float, float]]) -> None:
    print("| results | | CPU, s | μs each | times a frame | memory, MB | kB each |")
    print("|--:|---|--:|--:|--:|--:|--:|")
    for (name, size), (seconds, memory) in took.items():
        print(
            f"| {size:,} | {name} | {seconds:.2f} | {seconds / size * 1e6:.0f} |"
            f" {seconds / took['frame', size][0]:.1f} | {memory / 1e6:.0f} |"
            f" {memory / size / 1000:.1f} |"
        )
    print()


def environment() -> dict[str, str]:
    ours = ("PYTEST_", "MEMENTO_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


if __name__ == "__main__":
    main()
