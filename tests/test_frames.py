"""Results become frames of pandas and polars: a row per result, or per recorded point."""

from __future__ import annotations

import datetime
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from pytest_memento import MementoError, load_results
from pytest_memento.frames import Column, Kind


class Adam:
    """A class among the parameters."""


def missing(value: Any) -> bool:
    return bool(pd.isna(value))


def test_the_types_of_columns(shelf: Any) -> None:
    shelf.put(
        {"model": Adam, "lr": 0.1, "depth": 3, "warm": True},
        {"score": 0.5, "kind": "a"},
        settings={"n_fold": 5},
        metrics={"loss": [(0, 1.0), (1, 0.5)], "epochs": [(0, 7)]},
    )
    shelf.put({"model": "SVC", "lr": 10}, error="ValueError: no", settings={"n_fold": 5})
    frame = load_results().to_frame()
    types = {name: str(dtype) for name, dtype in frame.dtypes.items()}
    text = types.pop("model")
    assert text in ("str", "string")
    assert types == {
        "lr": "float64", "depth": "Int64", "warm": "boolean", "settings.n_fold": "int64",
        "result.score": "float64", "result.kind": text, "metrics.loss": "float64",
        "metrics.epochs": "Int64", "status": "category", "runtime": "timedelta64[us]",
        "cpu_time": "timedelta64[us]", "memory": "Int64", "start_time": "datetime64[us, UTC]",
        "error": text,
    }  # fmt: skip
    first, second = frame.to_dict("records")
    assert (first["model"], first["lr"], first["depth"], first["warm"]) == ("Adam", 0.1, 3, True)
    assert (second["lr"], second["status"], second["error"]) == (10.0, "failed", "ValueError: no")
    assert first["runtime"] == pd.Timedelta(seconds=1.5)
    assert first["start_time"] == pd.Timestamp(1_800_000_060, unit="s", tz="UTC")
    assert all(missing(second[name]) for name in ("depth", "warm", "result.score", "metrics.loss"))
    assert missing(first["error"])


def test_the_same_in_polars(shelf: Any) -> None:
    shelf.put({"model": Adam, "lr": 0.1, "depth": 3, "warm": True, "mixed": 1}, {"score": 0.5})
    shelf.put({"model": "SVC", "lr": 10, "mixed": "auto"}, error="ValueError: no")
    frame = load_results().to_frame("polars")
    assert isinstance(frame, pl.DataFrame)
    assert frame.schema == {
        "model": pl.String, "lr": pl.Float64, "depth": pl.Int64, "warm": pl.Boolean,
        "mixed": pl.String, "result.score": pl.Float64, "status": pl.Enum(["passed", "failed"]),
        "runtime": pl.Duration("us"), "cpu_time": pl.Duration("us"), "memory": pl.Int64,
        "start_time": pl.Datetime("us", "UTC"), "error": pl.String,
    }  # fmt: skip
    assert frame["lr"].to_list() == [0.1, 10.0]
    assert frame["depth"].to_list() == [3, None]
    assert frame["mixed"].to_list() == ["1", "auto"]
    assert frame["runtime"][0] == datetime.timedelta(seconds=1.5)
    assert frame["start_time"][0].timestamp() == 1_800_000_060
    assert frame.filter(pl.col("status") == "failed")["error"].to_list() == ["ValueError: no"]


def test_polars_needs_no_pandas(shelf: Any) -> None:
    shelf.put({"lr": 0.1}, 1, metrics={"loss": [(0, 0.5)]})
    code = """
import sys
sys.modules["pandas"] = None
from pytest_memento import load_results
results = load_results()
print(results.to_frame("polars").shape, results.metrics_frame("polars").shape)
print(results.compare(results).to_frame("polars").shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["(1, 9) (1, 4)", "(1, 8)"]


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_library_that_is_not_there(
    shelf: Any, monkeypatch: pytest.MonkeyPatch, library: Any
) -> None:
    shelf.put({"lr": 1})
    results = load_results()
    monkeypatch.setitem(sys.modules, library, None)
    for make in (results.to_frame, results.metrics_frame, results.compare(results).to_frame):
        with pytest.raises(MementoError, match=rf"pip install 'pytest-memento\[{library}\]'$"):
            make(library)


def test_a_library_that_is_not_known(shelf: Any) -> None:
    shelf.put({"lr": 1})
    with pytest.raises(MementoError, match=r"no frames of 'polar' \(did you mean 'polars'\?\)"):
        load_results().to_frame("polar")  # type: ignore[call-overload]


def test_what_is_in_dicts_has_columns_of_its_own(shelf: Any) -> None:
    adam = {"name": "adam", "lr": 0.1, "schedule": {"kind": "cosine", "steps": 10}, "class": Adam}
    result = {"test": {"accuracy": 0.9, "f1": 0.8}, "model": Adam, "loss": 0.5}
    shelf.put({"net": {"depth": 3}, "seed": 1}, result, settings={"optimizer": adam})
    shelf.put({"net": {"depth": 5}, "seed": 1}, result, settings={"optimizer": {"name": "sgd"}})
    frame = load_results().to_frame()
    assert list(frame.columns)[:12] == [
        "net.depth", "seed", "settings.optimizer.name", "settings.optimizer.lr",
        "settings.optimizer.schedule.kind", "settings.optimizer.schedule.steps",
        "settings.optimizer.class", "result.test.accuracy", "result.test.f1", "result.model",
        "result.loss", "status",
    ]  # fmt: skip
    assert frame["net.depth"].tolist() == [3, 5]
    assert frame["settings.optimizer.name"].tolist() == ["adam", "sgd"]
    assert str(frame["settings.optimizer.schedule.steps"].dtype) == "Int64"
    assert frame["settings.optimizer.class"][0] == "Adam"
    assert frame["result.test.accuracy"].tolist() == [0.9, 0.9]


def test_a_setting_that_is_a_dict_in_some_results_only(shelf: Any) -> None:
    shelf.put({"x": 1}, settings={"optimizer": "sgd", "optimizer.lr": 7})
    shelf.put({"x": 2}, settings={"optimizer": {"lr": 0.1}, "optimizer.lr": 8})
    frame = load_results().to_frame()
    assert frame["settings.optimizer"][0] == "sgd"
    assert missing(frame["settings.optimizer"][1])
    assert frame["settings.optimizer.lr"][1] == 0.1
    assert frame["settings.optimizer.lr'"].tolist() == [7, 8]


def test_names_of_columns_that_parameters_have(shelf: Any) -> None:
    shelf.put({"status": "on", "metrics.loss": 1, "step": 2}, 0.5, metrics={"loss": [(0, 0.25)]})
    frame = load_results().to_frame()
    assert list(frame.columns)[:6] == [
        "parameters.status", "parameters.metrics.loss", "step", "result", "metrics.loss", "status"
    ]  # fmt: skip
    long = load_results().metrics_frame()
    assert list(long.columns) == [
        "status", "parameters.metrics.loss", "parameters.step", "metric", "step", "value"
    ]  # fmt: skip


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_awkward_values(shelf: Any, library: Any) -> None:
    values = [math.nan, math.inf, 10**30, "\ud800", "a|b<script>\n", -(2**63), True, None]
    for position, value in enumerate(values):
        shelf.put({"x": position, "value": value}, {"y": value}, error="\udfff" * (position == 3))
    frame = load_results().to_frame(library)
    assert len(frame) == len(values)
    assert list(frame["x"]) == list(range(len(values)))
    assert list(frame["error"])[3] == "\\udfff"


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ([1, None], Kind.WHOLE),
        ([1, 2**63], Kind.REAL),
        ([1, 10**400], Kind.MIXED),
        ([1, 0.5, None], Kind.REAL),
        ([True, None], Kind.TRUTH),
        ([True, 1], Kind.MIXED),
        (["a", None], Kind.TEXT),
        (["a", 1], Kind.MIXED),
        ([None], Kind.NOTHING),
        ([], Kind.NOTHING),
    ],
)
def test_kinds(cells: list[Any], kind: Kind) -> None:
    assert Column.of(cells).kind is kind


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_of_no_results(shelf: Any, library: Any) -> None:
    shelf.put({"lr": 1})
    none = load_results().where("lr > 1")
    frame = none.to_frame(library)
    assert list(frame.columns) == ["status", "runtime", "cpu_time", "memory", "start_time", "error"]
    assert len(frame) == 0
    assert list(none.metrics_frame(library).columns) == ["metric", "step", "value"]
    assert len(none.compare(none).to_frame(library)) == 0


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_metrics_frame(shelf: Any, library: Any) -> None:
    shelf.put({"model": "a"}, metrics={"loss": [(0, 1), (1, 0.5)], "acc": [(0.5, 0.9)]})
    shelf.put({"model": "b"}, error="ValueError: no", metrics={"loss": [(0, 2.0)]})
    shelf.put({"model": "c"})
    frame = load_results().metrics_frame(library)
    assert list(frame.columns) == ["model", "metric", "step", "value"]
    rows = zip(*(frame[name].to_list() for name in frame.columns), strict=True)
    assert list(rows) == [
        ("a", "loss", 0, 1), ("a", "loss", 1, 0.5), ("a", "acc", 0.5, 0.9), ("b", "loss", 0, 2)
    ]  # fmt: skip
    only = load_results().where(model="b").metrics_frame()
    assert only["step"].dtype == np.int64
    assert only["value"].dtype == np.float64


def test_metrics_frame_of_several_experiments_and_settings(shelf: Any) -> None:
    for fold, name in ((5, "exp_a.py::experiment"), (10, "exp_b.py::experiment")):
        shelf.put({"x": 1}, settings={"fold": fold, "same": 1}, metrics={"m": [(0, 1)]}, name=name)
    frame = load_results().metrics_frame()
    assert list(frame.columns) == ["experiment", "x", "settings.fold", "metric", "step", "value"]
    assert frame["experiment"].tolist() == ["exp_a.py::experiment", "exp_b.py::experiment"]


def test_metrics_of_a_result_that_was_replaced_meanwhile(shelf: Any) -> None:
    failure = shelf.put({"x": 1}, error="ValueError: no", metrics={"m": [(0, 1)]})
    results = load_results()
    shelf.store.path(failure.key, failure.outcome).unlink()
    assert len(results.metrics_frame()) == 0
