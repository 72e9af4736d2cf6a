"""The examples run, in parallel and without a warning, and are cached the second time."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_memento import load_results

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__", ".pytest_cache")
    shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=ignored)
    return tmp_path


def run(project: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-W", "error", *arguments],
        cwd=project, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip().splitlines()[-1]


def test_examples_run_once(project: Path, request: pytest.FixtureRequest) -> None:
    workers = ("-n", "2") if request.config.pluginmanager.hasplugin("xdist") else ()
    assert re.search(r"= 39 passed in ", run(project, "examples", *workers))
    assert re.search(r"= 39 cached .*in ", run(project, "examples"))


def test_fitted_estimators_are_loaded(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert " 11 passed" in run(project, "examples/exp_fit.py").replace("=", " ")
    monkeypatch.chdir(project)
    results = load_results("examples/exp_fit.py")
    assert len(results) == 11
    wine = results.where(model="SVC", dataset="wine")[0]
    assert wine.value.predict([[13.0] * 13]).shape == (1,)
    assert wine.config.model.__name__ == "SVC"
