"""The notebook that runs experiments in its cells, run by a real kernel."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[1] / "examples" / "interactive.ipynb"


@pytest.fixture
def executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, xdist: None) -> list[Any]:
    """The outputs of the cells, each as one text."""
    nbclient = pytest.importorskip("nbclient", reason="needs nbclient")
    pytest.importorskip("ipykernel", reason="needs ipykernel")
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    nbformat = pytest.importorskip("nbformat", reason="needs nbformat")
    for name in ("MEMENTO_CACHE_PATH", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST"):
        monkeypatch.delenv(name, raising=False)
    shutil.copy(NOTEBOOK, tmp_path)
    notebook = nbformat.read(tmp_path / NOTEBOOK.name, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _text(cell: Any) -> str:
    return "".join(str(output.get("text", output.get("data", ""))) for output in cell.outputs)


@pytest.mark.filterwarnings("default")
def test_it_runs_edits_runs_again_and_plots(executed: list[Any]) -> None:
    _, _, first, again, dry, edited, plot = executed
    assert "memento: 4 experiments: 4 passed" in _text(first)
    assert "<table>" in _text(first)
    assert len(first.outputs) == 2
    assert "[True, True, True, True]" in _text(again)
    assert _text(dry).count("stale: code: __main__.velocity changed") == 4
    assert "memento: 4 experiments: 4 passed" in _text(edited)
    pairs = re.findall(r"(\S+) -> (\S+)$", _text(edited), re.MULTILINE)
    assert len(pairs) == 4
    assert all(float(before) > 2 * float(after) for before, after in pairs)
    assert [*plot.outputs[0].data] == ["text/plain", "image/png"]
    assert all(output.get("name") != "stderr" for cell in executed for output in cell.outputs)
