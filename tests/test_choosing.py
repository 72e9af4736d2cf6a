"""The best result, and results in groups."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pytest_memento import MementoError, load_results


class Adam:
    """A class among the parameters."""


def test_the_best_by_a_part_of_the_result_or_a_metric(shelf: Any) -> None:
    for x, accuracy in enumerate((0.5, 0.9, 0.9, 0.1)):
        shelf.put(
            {"x": x},
            {"accuracy": accuracy, "kind": "a", "test": {"f1": -accuracy}},
            metrics={"loss": [(0, x), (1, 10 - x)], "accuracy": [(0, -accuracy)]},
            runtime=float(x),
            memory=100 - x,
        )
    results = load_results()

    def best(*arguments: Any, **more: Any) -> Any:
        return results.best(*arguments, **more).parameters["x"]

    assert best("accuracy") == best("result.accuracy") == 1  # the first of equal ones
    assert best("accuracy", "min") == best("metrics.accuracy") == 3
    assert best("test.f1", mode="min") == 1
    assert best("loss") == best("metrics.loss", mode="max") == 0
    assert best("loss", mode="min") == 3
    assert best("loss", mode="min", at="best") == 0
    assert best("runtime") == best("memory", mode="min") == 3
    assert best("cpu_time") == 0


def test_nan_failures_and_what_is_no_number_never_win(shelf: Any) -> None:
    shelf.put({"x": 0}, math.nan)
    shelf.put({"x": 1}, error="ValueError: no", metrics={"loss": [(0, -1)]})
    shelf.put({"x": 2}, True)
    shelf.put({"x": 3}, "9")
    shelf.put({"x": 4}, [9])
    shelf.put({"x": 5}, 0.5, metrics={"loss": [(0, math.nan), (1, 1.0), (2, math.nan)]})
    shelf.put({"x": 6}, -math.inf)
    results = load_results()
    assert results.best("result").parameters["x"] == 5
    assert results.best("result", mode="min").parameters["x"] == 6
    assert results.best("loss", at="best").parameters["x"] == 5
    with pytest.raises(MementoError, match=r"^metrics.loss is a number in none of 6 results that"):
        results.best("loss")


def test_whole_numbers_too_large_for_a_float(shelf: Any) -> None:
    shelf.put({"x": 0}, 10**400)
    shelf.put({"x": 1}, math.inf)
    assert load_results().best("result").parameters["x"] == 1
    assert load_results().best("result", mode="min").parameters["x"] == 0


def test_best_knows_what_was_meant(shelf: Any) -> None:
    shelf.put({"x": 0}, {"accuracy": 0.5}, metrics={"loss": [(0, 1)]})
    results = load_results()
    with pytest.raises(MementoError) as caught:
        results.best("acuracy")
    assert str(caught.value) == "no result or metric 'acuracy' (did you mean 'result.accuracy'?)"
    with pytest.raises(MementoError, match=r"'los' \(did you mean 'metrics.loss'\?\)"):
        results.best("los")
    with pytest.raises(MementoError) as caught:
        results.best("zzz")
    assert str(caught.value) == (
        "no result or metric 'zzz' (there are: runtime, cpu_time, memory, result.accuracy,"
        " metrics.loss)"
    )
    with pytest.raises(MementoError, match=r"^mode is 'largest': use 'max' or 'min'$"):
        results.best("loss", mode="largest")  # type: ignore[arg-type]
    with pytest.raises(MementoError, match=r"^at is 1: use 'last' or 'best'$"):
        results.best("loss", at=1)  # type: ignore[arg-type]
    with pytest.raises(MementoError, match=r"^there are no results that passed$"):
        results.where("x > 0").best("loss")


def test_groups_come_in_order_with_labels_for_classes(shelf: Any) -> None:
    for model in (dict, Adam, "SVC"):
        for fold in (5, 10):
            shelf.put({"model": model, "lr": 0.1}, fold, settings={"n_fold": fold})
    results = load_results()
    groups = results.group_by("model")
    assert list(groups) == ["dict", "Adam", "SVC"]
    assert [[each.value for each in group] for group in groups.values()] == [[5, 10]] * 3
    assert list(results.group_by("n_fold", "lr")) == [(5, 0.1), (10, 0.1)]
    assert list(results.group_by("settings.n_fold")) == [5, 10]
    assert list(results.group_by("parameters.lr")) == [0.1]
    assert {status: len(group) for status, group in results.group_by("status").items()} == {
        "passed": 6
    }
    assert list(results.group_by("experiment")) == ["experiments/exp_train.py::experiment"]


def test_groups_keep_apart_what_python_holds_for_equal(shelf: Any) -> None:
    for x, value in enumerate((1, True, 1.0, "1", None, math.nan)):
        shelf.put({"x": x, "value": value})
    shelf.put({"x": 9})
    groups = load_results().group_by("value")
    assert [len(group) for group in groups.values()] == [1] * 7
    keys = list(groups)
    assert keys[:2] == [1, "True"]
    assert keys[2] == "1.0"
    assert keys[3] == "1"
    assert keys[4] is None
    assert math.isnan(keys[5])


def test_wrong_groups(shelf: Any) -> None:
    shelf.put({"model": 1}, settings={"n_fold": 5})
    results = load_results()
    with pytest.raises(
        MementoError, match=r"^no parameter or setting 'modle' \(did you mean 'model'\?\)$"
    ):
        results.group_by("modle")
    with pytest.raises(MementoError, match="group_by takes names"):
        results.group_by()
    assert results.where("model > 1").group_by("whatever") == {}


def test_conditions_and_groups_by_the_names_of_columns(shelf: Any) -> None:
    for x, lr in enumerate((0.1, 0.2, 0.2)):
        optimizer = {"name": "adam", "lr": lr}
        shelf.put({"x": x, "net": {"depth": 3}}, settings={"optimizer": optimizer})
    results = load_results()
    assert len(results.where(**{"settings.optimizer.lr": 0.2, "net.depth": 3})) == 2
    assert len(results.where(**{"optimizer.lr": [0.1, 0.2], "parameters.x": 0})) == 1
    assert [*results.group_by("settings.optimizer.lr")] == [0.1, 0.2]
    assert [*results.group_by("optimizer.name", "x")] == [("adam", 0), ("adam", 1), ("adam", 2)]
    with pytest.raises(MementoError, match=r"no parameter or setting 'settings.optimizer.rl'"):
        results.where(**{"settings.optimizer.rl": 1})


def test_a_metric_whose_name_python_has_not(shelf: Any) -> None:
    for n in (0, 1):
        shelf.put({"x": n}, metrics={"val/acc": [(0, n)]})
    found = load_results().where("metrics['val/acc'] > 0.5")
    assert [each.parameters["x"] for each in found] == [1]
