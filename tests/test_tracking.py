"""The example of the hook ``pytest_memento_result``: MLflow and TensorBoard have what came out."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parent.parent / "examples/tracking"
FAILS = """
matrix = {"parameters": {"x": [1, 2]}}

def experiment(context, x):
    context.record({"loss": 0.5})
    context.record({"loss": 0.25})
    assert x != 2, "two is too much"
    return float(x)
"""


def needs(module: str) -> None:
    pytest.importorskip(module, reason=f"needs {module}")


@pytest.fixture(params=["-n0", "-n2"])
def workers(request: pytest.FixtureRequest) -> tuple[str, ...]:
    if not request.config.pluginmanager.hasplugin("xdist"):
        pytest.skip("needs pytest-xdist")
    return (str(request.param),)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__", ".pytest_cache")
    shutil.copytree(EXAMPLE, tmp_path / "tracking", ignore=ignored)
    return tmp_path


def run(project: Path, *arguments: str) -> str:
    """Run the example, tracking into the project; return the last line."""
    # MLflow wants to be told that files will do.
    tracking = {"MLFLOW_TRACKING_URI": f"file:{project}/mlruns", "MLFLOW_ALLOW_FILE_STORE": "true"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-W", "error", *arguments],
        cwd=project, capture_output=True, text=True, check=False, env={**os.environ, **tracking},
    )  # fmt: skip
    assert "MementoWarning" not in done.stdout, done.stdout
    return done.stdout.strip().splitlines()[-1]


def tracked(project: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return MLflow's client, and its runs by name."""
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = MlflowClient(f"file:{project}/mlruns")
    experiments = [each.experiment_id for each in client.search_experiments()]
    runs = client.search_runs(experiments)
    found = {run.info.run_name: run for run in runs}
    assert len(found) == len(runs)
    return {"client": client, **found}


def curves(project: Path) -> dict[str, Any]:
    """Return what TensorBoard reads, by directory."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = {}
    for directory in (project / "runs").iterdir():
        found[directory.name] = accumulator = EventAccumulator(str(directory))
        accumulator.Reload()
    return found


def test_tracking_of_curves(
    project: Path, workers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("mlflow", "tensorboardX", "tensorboard"):
        needs(module)
    assert re.search("= 4 passed in", run(project, "tracking", *workers))
    assert re.search("= 4 cached", run(project, "tracking", *workers))  # and not tracked again

    runs = tracked(project, monkeypatch)
    client, one = runs.pop("client"), runs["alpha=0.0001-penalty=l1"]
    assert len(runs) == 4
    assert one.info.status == "FINISHED"
    assert one.data.params == {"alpha": "0.0001", "penalty": "l1", "settings.epochs": "8"}
    loss = client.get_metric_history(one.info.run_id, "loss")
    assert sorted(each.step for each in loss) == list(range(8))
    accuracy = client.get_metric_history(one.info.run_id, "accuracy")
    last = max(accuracy, key=lambda each: each.step)
    assert one.data.metrics["result"] == last.value > 0.8

    events = curves(project)
    assert len(events) == 4
    drawn = events["tracking_exp_curves.py_experiment-alpha=0.0001-penalty=l1"]
    assert set(drawn.Tags()["scalars"]) == {"loss", "accuracy"}
    assert [(each.step, each.value) for each in drawn.Scalars("loss")] == [
        (each.step, pytest.approx(each.value)) for each in sorted(loss, key=lambda one: one.step)
    ]


def test_tracking_of_a_failure(
    project: Path, workers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("mlflow", "tensorboardX", "tensorboard"):
        needs(module)
    (project / "tracking/exp_fails.py").write_text(FAILS)
    assert re.search("= 1 failed, 1 passed", run(project, "tracking", "-kfails", *workers))
    runs = tracked(project, monkeypatch)
    assert (runs["x=1"].info.status, runs["x=1"].data.metrics["result"]) == ("FINISHED", 1.0)
    failed = runs["x=2"]
    assert failed.info.status == "FAILED"
    assert failed.data.tags["error"].startswith("AssertionError: two is too much")
    assert failed.data.metrics == {"loss": 0.25}
    drawn = curves(project)["tracking_exp_fails.py_experiment-x=2"]
    assert [each.value for each in drawn.Scalars("loss")] == [0.5, 0.25]
