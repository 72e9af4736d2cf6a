"""Scripts in the manner of the Memento library, with another import line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_memento import (
    ConsoleNotificationProvider,
    DefaultNotificationProvider,
    FileSystemNotificationProvider,
    Memento,
)

LINEAR = {
    "parameters": {"model": [str, int, float], "dataset": ["10", "20", "30", "40"]},
    "settings": {"regularization": 1e-1},
    "exclude": [{"model": int, "dataset": "30"}],
}


@pytest.fixture(autouse=True)
def _in_a_fresh_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMENTO_CACHE_PATH", str(tmp_path / "store"))


def classify(context: Any, config: Any) -> Any:
    fitted = config.model(config.dataset)
    context.record({"size": float(len(config.dataset)), "at": (1.0, 2.0)})
    return fitted, config.settings.regularization


def test_models_on_data_sets() -> None:
    results = Memento(classify, num_workers=1).run(LINEAR)
    assert results is not None
    assert len(results) == 11
    first = results[0]
    assert first.inner == ("10", 0.1)
    assert first.config.model is str
    assert first.config.asdict() == {"model": str, "dataset": "10"}
    assert first.metrics["at"] == [(1.0, 2.0)]
    assert not first.was_cached
    assert first.runtime.total_seconds() >= 0
    again = Memento(classify, num_workers=1).run(LINEAR)
    assert again is not None
    assert all(result.was_cached for result in again)


def test_a_dry_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert Memento(classify).run(LINEAR, dry_run=True) is None
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Running configurations:"
    assert lines[1].startswith("  {'model': str, 'dataset': '10'}")
    assert len(lines) == 13
    assert lines[-1] == "Exiting due to dry run"


def test_checkpoints() -> None:
    def experiment(context: Any, config: Any) -> Any:
        if not context.checkpoint_exist():
            context.checkpoint(config.x)
            raise RuntimeError("interrupted")
        return context.restore() + 1

    matrix = {"parameters": {"x": [1]}}
    first = Memento(experiment, num_workers=1).run(matrix)
    second = Memento(experiment, num_workers=1).run(matrix)
    assert first is not None
    assert second is not None
    assert first[0].error == "RuntimeError: interrupted"
    assert second[0].inner == 2


class Counting(DefaultNotificationProvider):
    def __init__(self) -> None:
        self.completed = 0

    def task_completed(self) -> None:
        self.completed += 1


def test_notification_providers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    matrix = {"parameters": {"model": [str], "dataset": ["1", "2"]}, "settings": {
        "regularization": 1}}  # fmt: skip
    counting = Counting()
    Memento(classify, counting, 1).run(matrix)
    assert counting.completed == 2
    path = tmp_path / "log.txt"
    Memento(
        classify, notification_provider=FileSystemNotificationProvider(path), num_workers=1
    ).run(matrix, force_run=True)
    words = ["Task completed", "Task completed", "All tasks completed"]
    assert path.read_text().splitlines() == words
    Memento(classify, notification_provider=ConsoleNotificationProvider()).run(matrix)
    assert capsys.readouterr().out == "All tasks completed\n"
