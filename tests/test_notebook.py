"""The notebook that looks at results runs where a user would open it, and shows what it says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_memento import load_results

EXAMPLES = Path(__file__).parent.parent / "examples"
# In a process of its own: what Jupyter warns of is not ours.
EXECUTE = """
import nbclient, nbformat

notebook = nbformat.read("results.ipynb", as_version=4)
nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
nbformat.write(notebook, "done.ipynb")
"""


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """A copy of the examples, in a repository where they are committed."""
    for name in ("nbclient", "ipykernel", "matplotlib"):
        pytest.importorskip(name, reason="needs nbclient, ipykernel and matplotlib")
    if shutil.which("git") is None:
        pytest.skip("needs git")
    ignored = shutil.ignore_patterns("__pycache__", ".pytest_cache", ".ipynb_checkpoints")
    shutil.copytree(EXAMPLES, tmp_path / "examples", ignore=ignored)
    call(tmp_path, "git", "init", "--quiet")
    commit(tmp_path)
    return tmp_path / "examples"


def call(directory: Path, *command: str) -> str:
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=directory, env=one_thread, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def commit(project: Path) -> None:
    call(project, "git", "add", "--all")
    names = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    call(project, "git", *names, "commit", "--quiet", "--message=As it is")


def shown(notebook: Path) -> list[str]:
    """Return what each cell of code has shown, as text."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return [
        "".join(
            line
            for output in cell["outputs"]
            for line in output.get("text") or output.get("data", {}).get("text/plain", "")
        )
        for cell in cells
        if cell["cell_type"] == "code"
    ]


def test_the_notebook_loads_plots_and_compares(
    examples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest_in_project = (sys.executable, "-m", "pytest", "-q")
    files = ("examples/exp_digits.py", "examples/exp_shared_data.py")
    call(examples.parent, *pytest_in_project, *files)
    module = examples / "exp_digits.py"
    module.write_text(module.read_text().replace("scores.mean()", "scores.max()"))
    commit(examples.parent)
    call(examples.parent, *pytest_in_project, files[0])
    call(examples, sys.executable, "-c", EXECUTE)

    listing, head, heat_map, best, chosen, curves, network, compared, counts = shown(
        examples / "done.ipynb"
    )
    assert listing.startswith("16 results")
    assert "preprocessing" in head
    assert "<Figure" in heat_map
    assert "<Figure" in curves
    monkeypatch.chdir(examples)
    results = load_results("exp_digits.py")
    for dataset in ("load_digits", "load_wine"):
        winner = results.where(dataset=dataset).best("result")
        assert f"{dataset}: {winner.value:.3f} with {winner.id}" in best
    assert re.match(r"\d+ results\n", chosen)
    assert "'accuracy'" in network
    assert compared.startswith("16 configurations: ")
    assert " changed  0." in compared
    changed, same = map(int, re.findall(r"\d+", counts))
    assert changed + same == 16
    assert changed > 10


@pytest.mark.parametrize("notebook", [path.name for path in sorted(EXAMPLES.glob("*.ipynb"))])
def test_notebooks_are_kept_without_what_they_show(notebook: str) -> None:
    cells = json.loads((EXAMPLES / notebook).read_text(encoding="utf-8"))["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)
