"""``Memento(...).run`` in scripts and at prompts: real processes, as users start them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("MEMENTO_", "PYTEST_", "COV_"))
}


class Project:
    """A directory in which somebody types."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, source: str) -> None:
        (self.path / name).write_text(textwrap.dedent(source))

    def python(self, *arguments: str, text: str | None = None) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            check=False,
            input=None if text is None else textwrap.dedent(text),
            cwd=self.path,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=120,
        )
        return f"{done.stdout}{done.stderr}"

    def pytest(self, *arguments: str) -> str:
        return self.python("-m", "pytest", "-p", "no:randomly", *arguments)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


SCRIPT = """
import helpers
from pytest_memento import Memento

LIMIT = 100

class Model:
    def __init__(self, x):
        self.x = x

def scaled(x):
    return min(helpers.scale(x), LIMIT)

def experiment(context, config):
    print("computing", config.x)
    if config.x == 3:
        raise ValueError("three")
    return Model(scaled(config.x))

matrix = {"parameters": {"x": [1, 2, 3, 4]}}
results = Memento(experiment, num_workers=WORKERS).run(matrix)
for result in results:
    value = result.error or (result.value.x, type(result.value) is Model)
    print(result.id, result.was_cached, value)
"""
HELPERS = """
def scale(x):
    return 10 * x
"""


@pytest.mark.parametrize("workers", ["1", "2", "None"])
def test_a_script(workers: str, project: Project, xdist: None) -> None:
    project.write("helpers.py", HELPERS)
    project.write("run.py", SCRIPT.replace("WORKERS", workers))
    first = project.python("run.py")
    assert "x=1 False (10, True)" in first
    assert "x=3 False ValueError: three" in first
    assert "memento: 4 experiments: 3 passed, 1 failed in " in first
    assert "computing" not in first
    second = project.python("run.py")
    assert "x=1 True (10," in second
    assert "x=3 False ValueError: three" in second
    project.write("helpers.py", HELPERS.replace("10", "5"))
    assert "x=1 False (5, " in project.python("run.py")


SAME_NAMES = """
import enum, sys
from helpers import doubled
from pytest_memento import Memento
from pytest_memento.fingerprint import digest_value

def f(x): return x
class Model:
    def __call__(self, x): return 10 * x
old, Old = f, Model
def f(x): return 3 * x
class Model:
    def __call__(self, x): return super() and 20 * x
class Colour(enum.Enum):
    RED = 1
    def __call__(self, x): return 50 * x
class Deep:
    class Model(Model): pass
def make(factor):
    class Model:
        def __call__(self, x): return factor * x
    return Model()

functions = [f, doubled(f), old, doubled(old), Model(), Old(), Deep.Model(), Colour.RED]
functions += [make(7), make(8)]
matrix = {"parameters": {"x": [1], "function": functions[:int(sys.argv[1])]}}

def experiment(config):
    return config.function(config.x)

results = Memento(experiment).run(matrix, workers=int(sys.argv[2]))
print([result.value for result in results], [result.was_cached for result in results])
print([result.id for result in results])
digests = [result._record.parameters["function"].digest for result in results]
print([digest == digest_value(each) for digest, each in zip(digests, functions)])
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_has_one_name_shares_nothing(workers: str, project: Project, xdist: None) -> None:
    project.write(
        "helpers.py",
        """
        import functools

        def doubled(function):
            @functools.wraps(function)
            def wrapper(x):
                return 2 * function(x)
            return wrapper
        """,
    )
    project.write("run.py", SAME_NAMES)

    def lists(*arguments: str) -> list[str]:
        shown = project.python("run.py", *arguments).splitlines()
        return [line for line in shown if line.startswith("[")]

    values = [3, 6, 1, 2, 20, 10, 20, 50, 7, 8]
    first = lists("10", workers)
    assert first == [f"{values} {[False] * 10}", first[1], str([True] * 10)]
    for number in ("1", "2"):
        assert lists("10", number) == [f"{values} {[True] * 10}", *first[1:]]
    assert f"{values[:4]} {[True] * 4}" in lists("4", workers)


EXPERIMENTS = """
import pytest
from pytest_memento import Config, Context, Memento

matrix = {"parameters": {"x": [1, 2, 3]}, "settings": {"n": 5}}

def scale(x, factor=2):
    return factor * x

def experiment(context: Context, config: Config):
    return scale(config.x) + config.settings.n

class ExperimentOfClass:
    def experiment(self, config):
        return config.x

@pytest.mark.memento(version=3)
def experiment_async(x):
    return x

if __name__ == "__main__":
    results = Memento(experiment).run(matrix)
    print("cached", sum(result.was_cached for result in results))
    results = Memento(experiment_async).run(matrix)
    print("cached", sum(result.was_cached for result in results))
"""

OWN_CLASSES = """
import enum, functools
from dataclasses import dataclass
from pytest_memento import Memento

class Model:
    def fit(self, x): return x
class Colour(enum.Enum):
    RED = 1
@dataclass
class Options:
    size: int = 1
def doubled(x): return 2 * x
@functools.lru_cache
def kept(x): return x

models = [Model, Model(), Model().fit, Colour.RED, Colour, Options(), doubled, kept]
matrix = {"parameters": {"m": models}, "settings": {"colour": Colour.RED}}

def experiment(config):
    return str(config.m)

if __name__ == "__main__":
    results = Memento(experiment, num_workers=1).run(matrix)
    print("cached", sum(result.was_cached for result in results))
"""


def test_scripts_and_pytest_serve_each_other(project: Project, xdist: None) -> None:
    project.write("exp_both.py", EXPERIMENTS)
    assert project.python("exp_both.py").count("cached 0\n") == 2
    assert "3 passed, 6 cached" in project.pytest("exp_both.py").replace(
        "6 cached, 3 passed", "3 passed, 6 cached"
    )
    assert project.python("exp_both.py").count("cached 3\n") == 2


@pytest.mark.parametrize("first", ["script", "pytest"])
def test_they_do_with_what_is_from_the_script(first: str, project: Project) -> None:
    (project.path / "pytest.ini").write_text("[pytest]\n")
    (project.path / "source" / "package").mkdir(parents=True)
    (project.path / "source" / "package" / "__init__.py").touch()
    project.write("source/package/exp_own.py", OWN_CLASSES)
    if first == "pytest":
        assert "8 passed" in project.pytest("source")
        assert "cached 8\n" in project.python("source/package/exp_own.py")
    else:
        assert "cached 0\n" in project.python("source/package/exp_own.py")
        assert "8 cached" in project.pytest("source")


def test_pytest_first_and_from_another_directory(project: Project) -> None:
    (project.path / "pytest.ini").write_text("[pytest]\n")
    (project.path / "deep").mkdir()
    project.write("deep/exp_both.py", EXPERIMENTS)
    assert "9 passed" in project.pytest("deep")
    project.write(
        "run.py",
        """
        import sys
        sys.path.append("deep")
        from exp_both import experiment, matrix
        from pytest_memento import Memento
        print([r.was_cached for r in Memento(experiment).run(matrix)])
        """,
    )
    assert "[True, True, True]" in project.python("run.py")


PROMPT = """
from pytest_memento import Memento
import numbers

FACTOR = 2

class Model:
    bias = 0
    def of(self, x):
        return helper(x) + self.bias

def helper(x):
    return FACTOR * x

def experiment(context, config):
    assert isinstance(config.x, numbers.Integral)
    return Model().of(config.x)

def show():
    matrix = {"parameters": {"x": [1, 2]}}
    Memento(experiment).run(matrix, dry_run=True)
    results = Memento(experiment, num_workers=WORKERS).run(matrix)
    print("values", [result.value for result in results], [r.was_cached for r in results])
    print(results[0].experiment)

show()
"""


@pytest.mark.parametrize("how", ["stdin", "-c"])
def test_what_stands_in_no_file(how: str, project: Project, xdist: None) -> None:
    def typed(text: str) -> str:
        return project.python("-", text=text) if how == "stdin" else project.python("-c", text)

    parallel, serial = (PROMPT.replace("WORKERS", number) for number in ("2", "1"))
    assert "values [2, 4] [False, False]" in typed(parallel)
    again = typed(serial)
    assert "values [2, 4] [True, True]" in again
    assert f"\n{'<stdin>' if how == 'stdin' else '<string>'}::experiment\n" in again
    for before, after, why, values in [
        ("FACTOR = 2", "FACTOR = 3", "code: __main__.FACTOR changed", "[3, 6]"),
        ("bias = 0", "bias = 1", "code: __main__.Model: members changed", "[3, 5]"),
        ("FACTOR * x", "-x", "code: __main__.helper changed", "[-1, -2]"),
        ("Model().of(config.x)", "0", "code: __main__.experiment changed", "[0, 0]"),
    ]:
        shown = typed(serial.replace(before, after))
        assert why in shown
        assert f"values {values} [False, False]" in shown


REGISTERED = """
import functools
from pytest_memento import Memento

@functools.singledispatch
def size(x):
    return 0

@size.register
def _(x: int):
    return x

def experiment(config):
    return size(config.x)

def given(config):
    return config.size(config.x)

def show():
    matrix = {"parameters": {"x": [1, 2]}}
    found = [*Memento(experiment).run(matrix, workers=1)]
    matrix["parameters"]["size"] = [size]
    found += Memento(given).run(matrix, workers=1)
    print("values", [each.value for each in found], [each.was_cached for each in found])

show()
show()
@size.register
def _(x: int):
    return 5 * x

show()
"""


def test_functions_that_are_registered_at_a_prompt_count(project: Project) -> None:
    shown = [line for line in project.python("-", text=REGISTERED).splitlines() if "values" in line]
    assert shown == [
        f"values [1, 2, 1, 2] {[False] * 4}",
        f"values [1, 2, 1, 2] {[True] * 4}",
        f"values [5, 10, 5, 10] {[False] * 4}",
    ]


def test_a_script_that_changes_while_it_runs(project: Project) -> None:
    project.write(
        "run.py",
        """
        from pytest_memento import Memento

        matrix = {"parameters": {"x": [1, 2]}}

        def show():
            print([result.value for result in Memento(experiment, num_workers=1).run(matrix)])

        def experiment(x):
            return FACTOR * x

        for FACTOR in (1, 2):
            show()

        FACTOR = 3
        show()
        first = experiment

        def experiment(x):
            return -x

        show()
        if __name__ == "__main__":
            LIMIT = 1

            def experiment(x):
                return min(x, LIMIT)

            show()
            LIMIT = 2
            show()
        print([result.value for result in Memento(first, num_workers=1).run(matrix)])
        """,
    )
    expected = ["[1, 2]", "[2, 4]", "[3, 6]", "[-1, -2]", "[1, 1]", "[1, 2]", "[3, 6]"]
    for _ in range(2):
        shown = project.python("run.py").splitlines()
        assert [line for line in shown if line.startswith("[")] == expected


def test_workers_use_the_store_of_the_project(project: Project, xdist: None) -> None:
    (project.path / "pytest.ini").write_text("[pytest]\ncache_dir = elsewhere\n")
    project.write("exp_both.py", EXPERIMENTS)
    assert project.python("exp_both.py").count("cached 0\n") == 2
    assert project.python("exp_both.py").count("cached 3\n") == 2
    assert (project.path / "elsewhere" / "memento" / "results").is_dir()
    assert not (project.path / ".pytest_cache").exists()


def test_what_cannot_be_pickled(project: Project, xdist: None) -> None:
    script = """
        import threading
        from pytest_memento import Memento
        class Pool:
            def __init__(self):
                self.lock = threading.Lock()
            def __memento_key__(self):
                return "pool"
        pool = Pool()
        def experiment(x):
            return bool(pool) and x
        results = Memento(experiment, num_workers=WORKERS).run({"parameters": {"x": [1, 2]}})
        print("values", [result.value for result in results])
    """
    project.write("run.py", script.replace("WORKERS", "2"))
    last = project.python("run.py").splitlines()[-1]
    assert last.startswith("pytest_memento.errors.MementoError: experiment")
    assert "cannot pickle '_thread.lock' object" in last
    assert "workers=1" in last
    project.write("run.py", script.replace("WORKERS", "None"))
    shown = project.python("run.py")
    assert "values [1, 2]" in shown
    if os.cpu_count() != 1:
        assert "MementoWarning: experiment" in shown


def test_what_workers_cannot_store(project: Project, xdist: None) -> None:
    project.write(
        "run.py",
        """
        import threading
        from pytest_memento import Memento
        matrix = {"parameters": {"x": [1]}}
        Memento(lambda x: threading.Lock(), num_workers=2).run(matrix)
        """,
    )
    shown = project.python("run.py")
    assert "memento: failed: x=1: the result cannot be stored: cannot pickle" in shown


def test_a_breakpoint_in_a_worker(project: Project, xdist: None) -> None:
    project.write(
        "run.py",
        """
        from pytest_memento import Memento
        def experiment(x):
            breakpoint()
        Memento(experiment, num_workers=2).run({"parameters": {"x": [1]}})
        """,
    )
    shown = project.python("run.py")
    assert "failed: x=1: RuntimeError: breakpoint() has no terminal in a worker: run with" in shown


def test_a_module_that_runs_while_it_is_imported(project: Project, xdist: None) -> None:
    project.write(
        "exp_eager.py",
        """
        from pytest_memento import Memento
        def experiment(x):
            return x
        Memento(experiment, num_workers=2).run({"parameters": {"x": [1, 2]}})
        """,
    )
    shown = project.python("-c", "import exp_eager")
    assert "put it under if __name__ == '__main__'" in shown.splitlines()[-1]


SET_UP = """
    import argparse, decimal
    from pytest_memento import Memento

    parser = argparse.ArgumentParser()
    parser.add_argument("--n", type=int, default=1)
    args = parser.parse_args()
    decimal.getcontext().prec = 3
    matrix = {"parameters": {"x": [1, 2]}}

    def experiment(x):
        return float(decimal.Decimal(x) / 3 * args.n)
"""
RUN = "print([r.value for r in Memento(experiment).run(matrix, workers=%s)])"


def test_what_a_script_sets_up_elsewhere_is_so_in_workers(project: Project, xdist: None) -> None:
    guarded = f"if __name__ == '__main__':\n    {RUN % 2}"
    (project.path / "exp_set.py").write_text(textwrap.dedent(SET_UP) + guarded)
    assert "[0.666, 1.33]" in project.python("exp_set.py", "--n", "2")


@pytest.mark.skipif(os.cpu_count() == 1, reason="needs two processors")
@pytest.mark.parametrize("workers", [None, 2])
def test_what_a_script_sets_up_elsewhere_without_the_guard(
    project: Project, xdist: None, workers: int | None
) -> None:
    (project.path / "exp_set.py").write_text(textwrap.dedent(SET_UP) + RUN % workers)
    shown = project.python("exp_set.py", "--n", "2")
    assert "MementoWarning: exp_set.py, line 8: what this sets up would not be so in work" in shown
    assert ("so they run in this process" in shown) == (workers is None)
    assert ("[0.666, 1.33]" in shown) == (workers is None)


def test_a_path_that_was_added_late(project: Project, xdist: None) -> None:
    (project.path / "lib").mkdir()
    project.write("lib/late.py", "def experiment(x):\n    return x\n")
    project.write(
        "run.py",
        """
        import sys
        from pytest_memento import Memento
        matrix = {"parameters": {"x": [1, 2]}}
        Memento(lambda x: x, num_workers=2).run(matrix)
        sys.path.append("lib")
        import late
        print([result.value for result in Memento(late.experiment, num_workers=2).run(matrix)])
        """,
    )
    assert "[1, 2]" in project.python("run.py")


SLOW = """
import sys
import time
from pathlib import Path
from pytest_memento import Memento

def experiment(x):
    Path(f"began-{x}").touch()
    time.sleep(1.5)
    return x

try:
    Memento(experiment, num_workers=WORKERS).run({"parameters": {"x": [1, 2, 3, 4, 5, 6]}})
except KeyboardInterrupt:
    print("interrupted")
    results = Memento(experiment).run({"parameters": {"x": [1, 2, 3, 4, 5, 6]}}, dry_run=True)
"""


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_lets_end_what_runs(workers: str, project: Project, xdist: None) -> None:
    project.write("run.py", SLOW.replace("WORKERS", workers))
    process = subprocess.Popen(
        [sys.executable, "run.py"],
        cwd=project.path,
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    _wait_for(project.path / "began-1")
    os.killpg(process.pid, signal.SIGINT)
    shown, _ = process.communicate(timeout=120)
    assert "interrupted" in shown
    assert "not run in" in shown
    assert "{'x': 1}  cached" in shown
    assert "{'x': 6}  new" in shown


def test_sigterm_ends_the_process(project: Project) -> None:
    project.write("run.py", SLOW.replace("WORKERS", "1"))
    process = subprocess.Popen([sys.executable, "run.py"], cwd=project.path, env=ENVIRONMENT)
    _wait_for(project.path / "began-1")
    process.terminate()
    assert process.wait(timeout=60) == -signal.SIGTERM


def _wait_for(path: Path) -> None:
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.02)


CLASSIFIERS = """
from sklearn.datasets import load_digits, load_wine
from sklearn.linear_model import Perceptron
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC
from pytest_memento import Config, Context, Memento

matrix = {
    "parameters": {"model": [SVC, Perceptron], "dataset": [load_digits, load_wine]},
    "settings": {"n_fold": 5},
    "exclude": [{"model": SVC, "dataset": load_digits}],
}

def experiment(context: Context, config: Config):
    data = config.dataset()
    scores = cross_val_score(
        config.model(), data.data, data.target, cv=config.settings.n_fold
    )
    return scores.mean()

if __name__ == "__main__":
    print([result.was_cached for result in Memento(experiment).run(matrix)])
"""


FITTED = """
from sklearn import datasets
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.svm import SVC
from pytest_memento import Config, Context, Memento

matrix = {
    "parameters": {"model": [SVC, LogisticRegression], "dataset": ["iris", "wine"]},
    "settings": {"regularization": 1e-1},
    "exclude": [{"model": LogisticRegression, "dataset": "wine"}],
}

def fetch_dataset(name):
    return getattr(datasets, f"load_{name}")(return_X_y=True)

def experiment(context: Context, config: Config):
    classifier = config.model(C=config.settings.regularization)
    features, target = fetch_dataset(config.dataset)
    context.record({"samples": len(target)})
    return classifier.fit(features, target)

if __name__ == "__main__":
    results = Memento(experiment).run(matrix)
    assert all(result.inner.predict([[1.0] * result.inner.n_features_in_]) >= 0
               for result in results)
    print([result.was_cached for result in results])
"""


@pytest.mark.parametrize("source", [CLASSIFIERS, FITTED], ids=["classifiers", "readme"])
def test_one_store_for_both_in_either_order(source: str, project: Project, xdist: None) -> None:
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    project.write("exp_classifiers.py", source)
    assert "3 passed" in project.pytest("exp_classifiers.py")
    assert "[True, True, True]" in project.python("exp_classifiers.py")
    (project.path / ".pytest_cache").rename(project.path / "before")
    assert "[False, False, False]" in project.python("exp_classifiers.py")
    assert "3 cached" in project.pytest("exp_classifiers.py")


TOLD = """
import argparse, os, sys
from pytest_memento import Memento

parser = argparse.ArgumentParser()
parser.add_argument("--n", type=int, default=1)
parser.add_argument("--unused", default="")
ARGS, _ = parser.parse_known_args()
FACTOR = int(os.environ.get("FACTOR", 1))
ROOT = os.path.dirname(__file__)

def experiment(config):
    return config.x * ARGS.n * FACTOR

if "--dry" in sys.argv:
    Memento(experiment, num_workers=1).run({"parameters": {"x": [10]}}, dry_run=True)
else:
    (result,) = Memento(experiment, num_workers=1).run({"parameters": {"x": [10]}})
    print(result.value, result.was_cached)
"""


def test_what_a_script_is_told_counts(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write("told.py", TOLD)
    assert "10 False" in project.python("told.py")
    assert "10 True" in project.python("told.py")
    dry = project.python("told.py", "--n", "3", "--dry")
    assert "stale: code: told.ARGS (now) changed" in dry.replace("__main__", "told")
    assert "30 False" in project.python("told.py", "--n", "3")
    assert "30 True" in project.python("told.py", "--n", "3")
    monkeypatch.setitem(ENVIRONMENT, "FACTOR", "2")
    assert "60 False" in project.python("told.py", "--n", "3")


REMEMBERED = """
import functools
from pytest_memento import Memento

@functools.lru_cache(maxsize=7)
def steps(n):
    return 1 if n < 2 else 1 + steps(n - 1)

steps.unit = "steps"

class Model:
    @functools.cache
    def size(self):
        return 10

    @functools.cached_property
    def more(self):
        return 100

def main():
    @functools.cache
    def plus(x):
        return x + 1

    def experiment(config):
        known = steps.cache_parameters()["maxsize"], steps.__name__, steps.unit
        model = Model()
        return (plus(steps(config.x)) + model.size() + model.more, *known)

    matrix = {"parameters": {"x": [1, 2]}}
    results = Memento(experiment, num_workers=WORKERS).run(matrix)
    print([result.value for result in results])

main()
"""


@pytest.mark.parametrize(("how", "workers"), [("file", "2"), ("stdin", "None")])
def test_what_functools_caches_in_a_script(
    how: str, workers: str, project: Project, xdist: None
) -> None:
    script = REMEMBERED.replace("WORKERS", workers)
    project.write("run.py", script)
    shown = project.python("run.py") if how == "file" else project.python("-", text=script)
    assert "[(112, 7, 'steps', 'steps'), (113, 7, 'steps', 'steps')]" in shown
    assert "Warning" not in shown


NOT_LOADED = """
from pytest_memento import Memento

HERE = 10

import helpers

def experiment(config):
    return helpers.plus(config.x)

results = Memento(experiment, num_workers=WORKERS).run({"parameters": {"x": [1, 2]}})
print("values", [result.value for result in results])
"""


def test_what_workers_cannot_load(project: Project, xdist: None) -> None:
    project.write("helpers.py", "from __main__ import HERE\ndef plus(x):\n    return HERE + x\n")
    project.write("run.py", NOT_LOADED.replace("WORKERS", "2"))
    line = "a worker cannot load the experiment: ImportError: cannot import name 'HERE' from"
    last = project.python("run.py").splitlines()[-1]
    assert last.startswith(f"pytest_memento.errors.MementoError: {line}")
    assert last.endswith("run with workers=1")
    project.write("run.py", NOT_LOADED.replace("WORKERS", "None"))
    shown = project.python("run.py")
    assert "values [11, 12]" in shown
    if os.cpu_count() != 1:
        assert f"/run.py:11: MementoWarning: {line}" in shown
        assert "so they run in this process, one after the other" in shown


STATEFUL = """
LR = 1
LIMIT = 1
TABLE = {}

class Defaults:
    size = 1

    def shape(self):
        return self.size

    def is_own(self):
        return Defaults.is_own.__globals__ is globals()

class Settings:
    depth = 1

settings = Settings()

def scale(x):
    return x

def wrapped(x):
    return x

def set_limit(limit):
    global LIMIT
    LIMIT = limit

def register(function):
    TABLE[function.__name__] = function
    return function

def seen(x):
    model, models = Defaults(), {name: each(x) for name, each in TABLE.items()}
    of_model = [model.size, model.shape(), model.is_own()]
    return [x * LR, LIMIT, *of_model, settings.depth, scale(x), wrapped(x), models]
"""
SET_STATE = """
import functools
import helpers
from pytest_memento import Memento

helpers.set_limit(7)
helpers.Defaults.size = 3
helpers.settings.depth = 4

@helpers.register
def model(x):
    return x * helpers.LR

def twice(function):
    @functools.wraps(function)
    def wrapper(x):
        return 2 * function(x)
    return wrapper

def experiment(config):
    return helpers.seen(config.x)

if __name__ == "__main__":
    helpers.LR = 5
    helpers.scale = lambda x: -x
    helpers.wrapped = twice(helpers.wrapped)
    helpers.Defaults.shape = lambda self: "square"
    for workers in (WORKERS):
        (result,) = Memento(experiment, num_workers=workers).run({"parameters": {"x": [1]}})
        print(workers, result.was_cached, result.value)
"""


def test_workers_have_what_a_script_has_set(project: Project, xdist: None) -> None:
    project.write("helpers.py", STATEFUL)
    project.write("run.py", SET_STATE.replace("WORKERS", "2, 1"))
    shown = project.python("run.py").splitlines()
    value = "[5, 7, 3, 'square', True, 4, -1, 2, {'model': 5}]"
    assert f"2 False {value}" in shown
    assert f"1 True {value}" in shown


def test_workers_have_what_was_set_at_a_prompt(project: Project, xdist: None) -> None:
    project.write("helpers.py", "LR = 1\ndef scale(x):\n    return x * LR\n")
    shown = project.python("-c", """if True:
        import helpers
        from pytest_memento import Memento
        def experiment(x):
            import helpers  # here: in a worker, nothing else imports it
            return helpers.scale(x)
        for LR in (1, 5):
            helpers.LR = LR
            results = Memento(experiment, num_workers=2).run({"parameters": {"x": [1, 2]}})
            print([result.value for result in results])
    """)  # fmt: skip
    assert "[1, 2]\n" in shown
    assert "[5, 10]\n" in shown


def test_what_was_set_and_cannot_be_pickled(project: Project, xdist: None) -> None:
    project.write("helpers.py", "POOL = None\ndef size():\n    return POOL.size\n")
    script = """
        import threading
        import helpers
        from pytest_memento import Memento
        class Pool:
            def __init__(self):
                self.lock, self.size = threading.Lock(), 3
            def __memento_key__(self):
                return self.size
        def experiment(x):
            return x * helpers.size()
        if __name__ == "__main__":
            helpers.POOL = Pool()
            results = Memento(experiment, num_workers=WORKERS).run({"parameters": {"x": [1, 2]}})
            print("values", [result.value for result in results])
    """
    line = "helpers.POOL.lock: cannot pickle '_thread.lock' object, which workers need"
    project.write("run.py", script.replace("WORKERS", "2"))
    last = project.python("run.py").splitlines()[-1]
    assert last.startswith(f"pytest_memento.errors.MementoError: {line}")
    project.write("run.py", script.replace("WORKERS", "None"))
    shown = project.python("run.py")
    assert "values [3, 6]" in shown
    if os.cpu_count() != 1:
        assert f"MementoWarning: {line}" in shown


EDITED = """
import os
import time
from pathlib import Path
import helpers
from pytest_memento import Memento

def wait_for(path):
    until = time.monotonic() + 4
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.02)

def experiment(x):
    other, began, again = Path("other"), Path("began"), Path("again")
    if x == 1 and began.exists():
        again.touch()
    elif x == 1:
        wait_for(other)
        Path("helpers.py").write_text("def scale(x):\\n    return -x  # edited\\n")
        began.touch()
        os._exit(1)
    elif x == 2:
        other.touch()
        wait_for(again)  # or until a new worker has had the time to come up
    return helpers.scale(x)

results = Memento(experiment, num_workers=2).run({"parameters": {"x": [XS]}})
print("values", [result.value for result in results])
"""


def test_a_worker_that_is_replaced_after_an_edit(project: Project, xdist: None) -> None:
    project.write("helpers.py", HELPERS)
    project.write("run.py", EDITED.replace("XS", "1, 2"))
    assert "values [10, 20]" in project.python("run.py")


def test_the_only_worker_is_replaced_after_an_edit(project: Project, xdist: None) -> None:
    project.write("helpers.py", HELPERS)
    project.write("other", "")
    project.write("run.py", EDITED.replace("XS", "1"))
    last = project.python("run.py").splitlines()[-1]
    assert last.startswith("pytest_memento.errors.MementoError: helpers.py was changed since")
    project.write("run.py", EDITED.replace("XS", "1").replace("num_workers=2", ""))
    assert "values [-1]" in project.python("run.py")


INSIDE = """
import asyncio, threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from pytest_memento import Memento

def run(experiment, *xs):
    results = Memento(experiment, num_workers=1).run({"parameters": {"x": list(xs)}})
    return [result.error or result.value for result in results]

running = []

def inner(x):
    running.append(x)
    assert len(running) == 1, "two run at the same time"
    running.remove(x)
    return x

def in_thread(work):
    found = []
    def run_it():
        try:
            found.append(work())
        except Exception as error:
            found.append(error)
    thread = threading.Thread(target=run_it)
    thread.start()
    thread.join()
    return found[0]
"""
FROM_INSIDE = {
    "a coroutine": (
        """
        async def inner_async(x):
            return inner(x)
        async def experiment(x):
            return run(inner_async, x)
        """,
        "[1]",
    ),
    "threads of a coroutine": (
        """
        async def experiment(x):
            both = [asyncio.to_thread(run, inner, x + each, x) for each in (1, 2)]
            return [*run(inner, 7), *await asyncio.gather(*both)]
        """,
        "[7, [2, 1], [3, 1]]",
    ),
    "a thread with the context": (
        """
        def experiment(x):
            return in_thread(lambda c=copy_context(): c.run(run, inner, x))
        """,
        "[1]",
    ),
    "a context of its own": (
        """
        def experiment(x):
            return Context().run(run, inner, x)
        """,
        "[1]",
    ),
    "a thread": (
        """
        def experiment(x):
            return str(in_thread(lambda: run(inner, x)))
        """,
        "in a thread that an experiment of another run has started and waits for: give",
    ),
    "a thread of a thread of a coroutine": (
        """
        async def experiment(x):
            return str(in_thread(lambda: in_thread(lambda: run(inner, x))))
        """,
        "in a thread that an experiment of another run has started and waits for: give",
    ),
    "a pool": (
        """
        def experiment(x):
            with ThreadPoolExecutor(2) as pool:
                return list(pool.map(lambda y: run(inner, y), [x, 2]))
        """,
        "in a thread that an experiment of another run has started and waits for: give",
    ),
}


@pytest.mark.parametrize("is_in_a_loop", [False, True])
@pytest.mark.parametrize("where", FROM_INSIDE)
def test_runs_from_inside_of_an_experiment(
    where: str, is_in_a_loop: bool, project: Project
) -> None:
    source, expected = FROM_INSIDE[where]
    call = "async def main():\n    print(run(experiment, 1))\nasyncio.run(main())\n"
    text = textwrap.dedent(source) + (call if is_in_a_loop else "print(run(experiment, 1))\n")
    project.write("run.py", f"{INSIDE}\n{text}")
    assert expected in project.python("run.py")


def test_a_thread_that_is_left_behind_keeps_its_turn(project: Project) -> None:
    project.write(
        "run.py",
        f"""{INSIDE}
import time

def slow(x):
    running.append(x)
    begun.set()
    time.sleep(0.5)
    running.remove(x)
    return x

def experiment(x):
    threading.Thread(target=copy_context().run, args=[run, slow, x]).start()
    begun.wait()

begun = threading.Event()
threads = [threading.Thread(target=run, args=[experiment, 1])]
threads[0].start()
begun.wait()
print(run(inner, 5), running)
threads[0].join()
""",
    )
    assert "[5] []" in project.python("run.py")
