"""Pass each result on to MLflow and TensorBoard: pip install mlflow tensorboardX.

MLflow takes what $MLFLOW_TRACKING_URI names, TensorBoard the directory `runs`. With xdist, name
this directory on the command line: the process that is told has collected nothing.
"""

import importlib.util
import re

import pytest_memento

MOST = 1000
"""Metrics that MLflow takes at a time."""
NEEDED = ("mlflow", "tensorboardX")
collect_ignore_glob = [] if all(map(importlib.util.find_spec, NEEDED)) else ["exp_*.py"]


def pytest_memento_result(result: pytest_memento.Result):
    if not result.was_cached:  # else the session that ran it has passed it on
        to_mlflow(result)
        to_tensorboard(result)


def to_mlflow(result):
    from mlflow import MlflowClient  # not before there is a result: it takes seconds
    from mlflow.entities import Metric, Param, RunTag

    client = MlflowClient()
    start = round(result.start_time.timestamp() * 1000)
    end = start + round(result.runtime.total_seconds() * 1000)
    found = client.get_experiment_by_name(result.experiment)
    experiment = found.experiment_id if found else client.create_experiment(result.experiment)
    run = client.create_run(experiment, start_time=start, run_name=result.id).info.run_id

    settings = {f"settings.{name}": value for name, value in result.settings.items()}
    given = {**result.parameters, **settings}
    client.log_batch(
        run,
        params=[Param(name, str(value)) for name, value in given.items()],
        tags=[RunTag("error", result.error)] if result.error else [],
    )
    metrics = [
        Metric(name, value, end, int(step))
        for name, points in result.metrics.items()
        for step, value in points
    ]
    if result.error is None and isinstance(result.value, float):
        metrics.append(Metric("result", result.value, end, 0))
    for first in range(0, len(metrics), MOST):
        client.log_batch(run, metrics=metrics[first : first + MOST])
    client.set_terminated(run, "FAILED" if result.error else "FINISHED", end_time=end)


def to_tensorboard(result):
    from tensorboardX import SummaryWriter

    place = re.sub(r"[^\w.=-]+", "_", f"{result.experiment}-{result.id}")
    with SummaryWriter(f"runs/{place}") as writer:
        for name, points in result.metrics.items():
            for step, value in points:
                writer.add_scalar(name, value, int(step))
