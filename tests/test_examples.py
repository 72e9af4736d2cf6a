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
    assert re.search(r"= 59 passed in ", run(project, "examples", *workers))
    assert re.search(r"= 59 cached .*in ", run(project, "examples"))


def test_fitted_estimators_are_loaded(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert " 11 passed" in run(project, "examples/exp_fit.py").replace("=", " ")
    monkeypatch.chdir(project)
    results = load_results("examples/exp_fit.py")
    assert len(results) == 11
    wine = results.where(model="SVC", dataset="wine")[0]
    assert wine.value.predict([[13.0] * 13]).shape == (1,)
    assert wine.config.model.__name__ == "SVC"


def test_a_stage_of_the_pipeline_is_edited(project: Path) -> None:
    assert "= 20 passed in " in run(project, "examples/exp_pipeline.py")
    module = project / "examples/exp_pipeline.py"
    module.write_text(module.read_text().replace(".predict(inputs)", ".predict(1.0 * inputs)"))
    assert re.search(r"= 8 cached.*, 12 passed in ", run(project, "examples/exp_pipeline.py"))
    module.write_text(module.read_text().replace(".fit(inputs", ".fit(1.0 * inputs"))
    assert re.search(r"= 2 cached.*, 18 passed in ", run(project, "examples/exp_pipeline.py"))
    assert re.search(r"= 20 cached.* in ", run(project, "examples/exp_pipeline.py"))


def test_data_of_a_session_fixture_are_made_once(project: Path) -> None:
    assert " 12 passed" in run(project, "examples/exp_shared_data.py")
    store = project / ".pytest_cache/memento"
    assert len([*(store / "cached").rglob("*.result")]) == 1
