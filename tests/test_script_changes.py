"""What of a script counts for its experiments: run, changed, run again, as people do."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

ENVIRONMENT = {
    k: v for k, v in os.environ.items() if not k.startswith(("MEMENTO_", "PYTEST_", "COV_"))
}
HEAD = """
import argparse, functools, sys
from types import SimpleNamespace
import numpy as np
import helpers
from pytest_memento import Memento

def run(experiment):
    for result in Memento(experiment).run({"parameters": {"x": [1]}}, workers=1):
        print(result.error or result.value, result.was_cached)
"""
HELPERS = """
import argparse, sys

K = 0
CFG = type("Cfg", (), {})()

def get_args():
    parser = argparse.ArgumentParser()
    parser.add_argument("k", type=int)
    return parser.parse_args()

def init(k):
    global K
    K = k

def scale(x):
    return x * K

def f(x):
    return 0

class Model:
    k = 0
"""


def python(path: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        check=False,
        cwd=path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return f"{done.stdout}{done.stderr}"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "helpers.py").write_text(HELPERS)
    return tmp_path


def write(project: Path, source: str) -> None:
    (project / "script.py").write_text(HEAD + textwrap.dedent(source))


TOLD = {
    "a function that parses": """
        def get_args():
            parser = argparse.ArgumentParser()
            parser.add_argument("k", type=int)
            return parser.parse_args()
        args = get_args()
        def experiment(x): return x * args.k
        run(experiment)
        """,
    "a function elsewhere that parses": """
        args = helpers.get_args()
        def experiment(x): return x * args.k
        run(experiment)
        """,
    "a constant elsewhere": """
        helpers.K = int(sys.argv[1])
        def experiment(x): return helpers.scale(x)
        run(experiment)
        """,
    "a function that sets a constant elsewhere": """
        helpers.init(int(sys.argv[1]))
        def experiment(x): return helpers.scale(x)
        run(experiment)
        """,
    "an attribute": """
        cfg = SimpleNamespace(k=0)
        cfg.k = int(sys.argv[1])
        def experiment(x): return x * cfg.k
        run(experiment)
        """,
    "an attribute, in main": """
        cfg = SimpleNamespace(k=0)
        def experiment(x): return x * cfg.k
        def main():
            cfg.k = int(sys.argv[1])
            run(experiment)
        main()
        """,
    "an attribute, in what is called under the guard": """
        cfg = SimpleNamespace(k=0)
        def experiment(x): return x * cfg.k
        def main(k):
            cfg.k = k
            run(experiment)
        if __name__ == "__main__":
            main(int(sys.argv[1]))
        """,
    "an attribute, under the guard": """
        cfg = SimpleNamespace(k=0)
        def experiment(x): return x * cfg.k
        if __name__ == "__main__":
            cfg.k = int(sys.argv[1])
            run(experiment)
        """,
    "an array": """
        W = np.zeros(1)
        def experiment(x): return int(x * W[0])
        def main():
            W[0] = int(sys.argv[1])
            run(experiment)
        main()
        """,
    "an entry": """
        CFG = dict(k=0)
        def experiment(x): return x * CFG["k"]
        if __name__ == "__main__":
            CFG["k"] = int(sys.argv[1])
            run(experiment)
        """,
    "an attribute of a class": """
        class Net:
            k = 0
        def experiment(x): return x * Net.k
        def main():
            Net.k = int(sys.argv[1])
            run(experiment)
        main()
        """,
    "a partial in place of a function elsewhere": """
        def times(x, k): return x * k
        def experiment(x): return helpers.f(x)
        def main():
            helpers.f = functools.partial(times, k=int(sys.argv[1]))
            run(experiment)
        main()
        """,
    "a class in place of one elsewhere": """
        class One: k = 1
        class Five: k = 5
        def experiment(x): return x * helpers.Model.k
        def main():
            helpers.Model = {1: One, 5: Five}[int(sys.argv[1])]
            run(experiment)
        main()
        """,
}


@pytest.mark.parametrize("source", TOLD.values(), ids=TOLD)
def test_what_a_script_is_told_counts(project: Path, source: str) -> None:
    write(project, source)
    assert "1 False" in python(project, "script.py", "1")
    assert "5 False" in python(project, "script.py", "5")
    assert "5 True" in python(project, "script.py", "5")
    assert "1 True" in python(project, "script.py", "1")


@pytest.mark.parametrize("how", [["../here/script.py"], ["run.py"], ["./script.py"]])
def test_however_it_is_started(project: Path, how: list[str]) -> None:
    here = project / "here"
    here.mkdir()
    (project / "helpers.py").rename(here / "helpers.py")
    write(here, TOLD["an attribute, in what is called under the guard"])
    (here / "run.py").write_text("import runpy; runpy.run_path('script.py', run_name='__main__')")
    assert "1 False" in python(here, *how, "1")
    assert "5 False" in python(here, *how, "5")
    assert "1 True" in python(here, *how, "1")


UNRELATED = {
    "what shows results": """
        def plot(value): print("first" + f"{value}"[:0])
        def experiment(x): return x
        run(experiment)
        plot(experiment)
        """,
    "a call around the run": """
        def plot(value): print("first" + f"{value}"[:0])
        def experiment(x): return x
        plot(run(experiment))
        """,
    "main at the end": """
        def experiment(x): return x
        def main():
            run(experiment)
            print("first")
        main()
        """,
    "around an inner helper": """
        def main():
            def double(x): return x * 1
            def experiment(x): return double(x)
            run(experiment)
            print("first")
        main()
        """,
    "between two runs": """
        def plot(value): print("first" + f"{value}"[:0])
        def experiment(x): return x
        def other(x): return experiment(x)
        run(other)
        plot(other)
        Memento(other).run({"parameters": {"x": [1]}}, workers=1)
        run(experiment)
        """,
}


@pytest.mark.parametrize("source", UNRELATED.values(), ids=UNRELATED)
def test_what_is_done_with_results_does_not_count(project: Path, source: str) -> None:
    write(project, source)
    said = python(project, "script.py")
    assert "1 False" in said
    assert "first" in said
    write(project, source.replace("first", "second"))
    said = python(project, "script.py")
    assert "False" not in said
    assert "1 True" in said
    assert "second" in said


def test_what_others_are_told_between_two_runs_counts(project: Path) -> None:
    source = """
        def experiment(x): return x
        run(experiment)
        np.random.seed(0)
        run(experiment)
        """
    write(project, source)
    assert python(project, "script.py").count("1 False") == 2
    assert python(project, "script.py").count("1 True") == 2
    write(project, source.replace("seed(0)", "seed(1)"))
    assert python(project, "script.py").splitlines()[0] == "1 True"
    assert python(project, "script.py").count("1 True") == 2


@pytest.mark.parametrize("where", ["script.py", "helpers.py"])
@pytest.mark.parametrize("bytecode", [True, False])
def test_an_edit_between_the_start_and_the_run(
    project: Path, where: str, bytecode: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not bytecode:
        monkeypatch.setitem(ENVIRONMENT, "PYTHONDONTWRITEBYTECODE", "1")
    write(
        project,
        f"""
        from pathlib import Path
        def experiment(x): return helpers.scale(x) + 1
        path = Path("{where}")
        text = path.read_text()
        path.write_text(text.replace("+ 1", "+ 2").replace("x * K", "x * K + 3"))
        run(experiment)
        """,
    )
    # Bytecode is told from its source by second and size.
    old = time.time() - 10
    for name in ("script.py", "helpers.py"):
        os.utime(project / name, (old, old))
    said = python(project, "script.py").splitlines()[-1]
    assert f"{where} was changed after it was" in said
    assert "its old code is what would run" in said
