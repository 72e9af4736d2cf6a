"""Stores that earlier versions wrote are read for ever after.

``data/format-N`` was written by the first version that wrote this format, with the file beside it,
and is not to be changed: what no longer passes here, no longer passes for those who have results.
"""

from __future__ import annotations

import datetime
import shutil
from pathlib import Path

import pytest

from pytest_memento import load_results

DATA = Path(__file__).parent / "data"
WHEN = datetime.date(2026, 11, 27)


@pytest.fixture(params=sorted(path.name for path in DATA.glob("format-*")))
def kept(pytester: pytest.Pytester, request: pytest.FixtureRequest) -> Path:
    """The project with its store, as it is found after an upgrade."""
    shutil.copytree(DATA / request.param, pytester.path, dirs_exist_ok=True)
    pytester.makeini("[pytest]\nmemento_dir = store\n")
    return pytester.path


def test_results_are_hits(pytester: pytest.Pytester, kept: Path) -> None:
    result = pytester.runpytest("-k", "not unfinished", "-W", "error")
    assert result.parseoutcomes() == {"cached": 2, "deselected": 2}


def test_results_are_loaded(kept: Path) -> None:
    results = load_results("exp_kept.py").where("experiment == 'exp_kept.py::experiment'")
    assert [each.config["size"] for each in results] == [1, 70_000]
    assert all(each.config["when"] == WHEN for each in results)
    assert results[0].config.settings.asdict() == {"place": Path("data/train.csv"), "decay": 0.5}
    for each in results:
        size = each.config["size"]
        assert each.value["sizes"] == [2 * size]
        assert bytes(each.value["buffer"]) == bytes(size)
        assert each.metrics == {"loss": [(0, 0.5)], "accuracy": [(3, 0.75)]}


def test_failures_are_told_and_their_checkpoints_used(
    pytester: pytest.Pytester, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = load_results("exp_kept.py").where("status == 'failed'")
    assert [each.error for each in failed] == ["RuntimeError: ran out of luck"] * 2
    dry_run = pytester.runpytest("--collect-only")
    dry_run.stdout.fnmatch_lines(["*unfinished*  failed before: RuntimeError: ran out of luck *"])
    monkeypatch.setenv("KEPT", "go on")
    assert pytester.runpytest().parseoutcomes() == {"cached": 2, "passed": 2}
    results = load_results("exp_kept.py").where(
        "status == 'passed' and experiment == 'exp_kept.py::experiment_unfinished'"
    )
    assert [each.value for each in results] == [{"epoch": 7}] * 2
    notes = sorted((kept / "store/artifacts").rglob("note.txt"))
    assert [path.read_text() for path in notes] == ["kept"] * 2


def test_they_can_be_removed(pytester: pytest.Pytester, kept: Path) -> None:
    result = pytester.runpytest("--memento-clear=True", "--memento-yes")
    result.stdout.fnmatch_lines(["memento: removed 2 results and 2 failures (*)"])
