"""The layers of the package: who may import whom, and what importing it may load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


def run_python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


def test_the_layer_contracts_are_kept() -> None:
    pytest.importorskip("importlinter", reason="import-linter is not installed")
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = run_python(code, "--no-cache", "--config", "pyproject.toml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_importing_the_package_loads_no_heavy_library() -> None:
    code = "import sys, pytest_memento; print(*{name.partition('.')[0] for name in sys.modules})"
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "pytest_memento" in loaded
    assert not loaded & {"_pytest", "numpy", "pandas", "pluggy", "pytest", "sklearn", "torch"}


def test_what_is_about_results_is_loaded_where_it_is_asked_for() -> None:
    code = """
import sys, pytest_memento
assert {*pytest_memento.__all__} <= {*dir(pytest_memento)}
print("pytest_memento.results" in sys.modules)
from pytest_memento import load_results, Results
print("pytest_memento.results" in sys.modules)
print(hasattr(pytest_memento, "load_result"))
"""
    done = run_python(code)
    assert done.stdout.split() == ["False", "True", "False"], done.stderr
