"""Stored results are listed from headers, filtered, framed, and loaded on access."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_memento import (
    MementoError,
    QueryError,
    ResultNotLoadedError,
    StoreError,
    load_results,
)
from pytest_memento.experiment import Attempt, experiments_of
from pytest_memento.fingerprint import Codebase
from pytest_memento.matrix import expand
from pytest_memento.store import Store

NAME = "experiments/exp_train.py::experiment"


class Model:
    """A class that a result is made of."""

    def __init__(self, score: float) -> None:
        self.score = score


def train(config: Any) -> Any:
    if config.lr == 10:
        raise ValueError("diverged")
    return {"score": config.lr * 2, "kind": config.model.__name__}


GRID = {"model": [Model, dict], "lr": [0.1, 1.0, 10]}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEMENTO_CACHE_PATH", raising=False)
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments/exp_train.py").write_text("raise SystemExit('imported')")
    return tmp_path


def fill(
    project: Path,
    matrix: Any = None,
    *,
    name: str = NAME,
    function: Callable[..., Any] = train,
    leave_out: int = 0,
) -> Store:
    """Run a matrix and store what comes out, as the plugin does."""
    store = Store(project / ".pytest_cache/memento")
    matrix = matrix or {
        "parameters": GRID,
        "settings": {"n_fold": 5, "data": Path("data")},
    }
    experiments = experiments_of(
        name, expand(matrix).cases, lambda _: Codebase().describe(function).manifest
    )
    store.put_plan(name, [experiment.key.stem for experiment in experiments])
    for experiment in experiments[: len(experiments) - leave_out]:
        attempt = Attempt(experiment, store, project)
        attempt.context.record({"loss": 0.5})
        attempt.context.record({"loss": 0.25})
        try:
            attempt.capturing(function)(attempt.config)
        except ValueError as error:
            attempt.publish_failure(f"ValueError: {error}", "Traceback ...", "said before")
        else:
            attempt.describe()
            attempt.publish_result("printed", replace=False)
    return store


def test_results_come_in_matrix_order(project: Path) -> None:
    fill(project)
    results = load_results("experiments/exp_train.py")
    assert len(results) == 6
    assert [r.id for r in results][:2] == ["model=Model-lr=0.1", "model=Model-lr=1.0"]
    assert [r.id for r in results] == [f"model={m}-lr={lr}" for m in ("Model", "dict")
                                       for lr in ("0.1", "1.0", "10")]  # fmt: skip
    assert results[-1].id == "model=dict-lr=10"
    assert [r.id for r in results[1:3]] == ["model=Model-lr=1.0", "model=Model-lr=10"]


def test_a_result_tells_all_of_its_run(project: Path) -> None:
    fill(project)
    result = load_results()[0]
    assert result.experiment == NAME
    assert result.parameters == {"model": "Model", "lr": 0.1}
    assert result.settings == {"n_fold": 5, "data": "data"}
    assert result.value == result.inner == {"score": 0.2, "kind": "Model"}
    assert result.metrics == {"loss": [(0, 0.5), (1, 0.25)]}
    assert isinstance(result.runtime, datetime.timedelta)
    assert isinstance(result.cpu_time, datetime.timedelta)
    assert result.start_time.tzinfo is not None
    assert result.memory is None or result.memory > 1_000_000
    assert result.was_cached
    assert result.error is None
    assert result.traceback == ""
    assert result.log == result.output == "printed"
    assert result.environment["versions"]["pytest"]
    assert "model=Model-lr=0.1: score=0.2, kind=Model" in repr(result)


def test_the_configuration_comes_back_with_its_values(project: Path) -> None:
    fill(project)
    config = load_results()[0].config
    assert config.model is Model
    assert config.lr == 0.1
    assert config.settings.data == Path("data")


def test_a_failure_is_a_result_with_an_error(project: Path) -> None:
    fill(project)
    failed = [result for result in load_results() if result.error]
    assert [result.parameters["lr"] for result in failed] == [10, 10]
    assert failed[0].error == "ValueError: diverged"
    assert failed[0].traceback == "Traceback ..."
    assert failed[0].metrics == {"loss": [(0, 0.5), (1, 0.25)]}
    with pytest.raises(ResultNotLoadedError, match=r"lr=10\] failed: ValueError: diverged"):
        _ = failed[0].value


def test_what_has_not_run_is_counted(project: Path) -> None:
    fill(project, leave_out=2)
    results = load_results()
    assert (len(results), results.missing) == (4, 2)
    assert repr(results).startswith("4 results, 2 missing")


def test_other_code_and_removed_values_are_history(project: Path) -> None:
    fill(project)
    fill(project, {"parameters": {"lr": [0.1]}}, function=lambda config: 7)
    results = load_results()
    assert [result.value for result in results] == [7]
    assert len(load_results(history=True)) == 7


@pytest.mark.parametrize(
    ("condition", "count"),
    [
        ({"model": "Model"}, 3),
        ({"model": Model}, 3),
        ({"lr": 1}, 2),
        ({"lr": 1.0, "model": dict}, 1),
        ({"lr": [0.1, 10]}, 4),
        ({"n_fold": 5}, 6),
        ({"n_fold": 6}, 0),
        ({"data": Path("data")}, 6),
        ({"lr": "0.1"}, 2),
        ({"lr": True}, 0),
        ({"lr": np.float64(0.1), "n_fold": np.int64(5)}, 2),
        ({"verbose": True}, 6),
        ({"verbose": None}, 0),
        ({"verbose": 1}, 0),
    ],
)
def test_where(project: Path, condition: dict[str, Any], count: int) -> None:
    shared = {"n_fold": 5, "data": Path("data"), "verbose": True}
    matrix = {"parameters": GRID, "settings": shared, "untracked": ["verbose"]}
    fill(project, matrix)
    assert len(load_results().where(**condition)) == count


def test_where_knows_what_was_meant(project: Path) -> None:
    fill(project)
    with pytest.raises(MementoError, match=r"no parameter or setting 'modle'.*'model'"):
        load_results().where(modle="Model")


@pytest.mark.parametrize(
    ("expression", "conditions", "count"),
    [
        ("lr <= 1 and model == 'Model'", {}, 2),
        ("lr <= 1", {"model": Model}, 2),
        ("lr == '1.0' or model == 'model'", {}, 0),
        ("settings.n_fold == 5 and settings.data == 'data'", {}, 6),
        ("settings.verbose", {}, 6),
        ("settings.verbose == 1 or settings.verbose is None", {}, 0),
        ("status == 'passed' and error is None", {}, 4),
        ("status == 'failed' and 'diverged' in error", {"lr": 10}, 2),
        ("metrics.loss == 0.25", {}, 6),
        ("result.score > 1 and result.kind == 'Model'", {}, 1),
        ("result.score is None and result is None", {}, 2),
        ("settings.adam.lr == 0.1 and settings.adam.kind.name == 'a'", {}, 6),
        ("runtime < '1m' and cpu_time < '1m' and age < '1h'", {}, 6),
        ("runtime > '1h' or age > '1d'", {}, 0),
        ("id in ['model=Model-lr=10', 'model=dict-lr=10']", {}, 2),
        ("experiment == 'experiments/exp_train.py::experiment'", {}, 6),
        ("\n  lr < 10\n  and model != 'dict'\n", {}, 2),
    ],
)
def test_where_an_expression_holds(
    project: Path, expression: str, conditions: dict[str, Any], count: int
) -> None:
    adam = {"lr": 0.1, "kind": {"name": "a"}}
    shared = {"n_fold": 5, "data": Path("data"), "verbose": True, "adam": adam}
    fill(project, {"parameters": GRID, "settings": shared, "untracked": ["verbose"]})
    assert len(load_results().where(expression, **conditions)) == count


def test_where_refuses_what_it_does_not_know(project: Path) -> None:
    fill(project)
    results = load_results()
    with pytest.raises(QueryError, match=r"no experiment has 'modle' \(did you mean 'model'\?\)"):
        results.where("modle == 'Model'")
    with pytest.raises(QueryError, match=r"'f\(lr\)' \(column 1\) is a call"):
        results.where("f(lr)")
    assert len(results.where("lr > 99").where("modle == 'Model'")) == 0


def test_where_a_plain_result_is(project: Path) -> None:
    matrix = {"parameters": {"lr": [1, 2, 3]}, "settings": {"adam": {"lr": 1}}}
    fill(project, matrix, function=lambda config: config.lr / 2)
    results = load_results()
    assert [each.value for each in results.where("result >= 1 and result != 1.5")] == [1.0]
    with pytest.raises(QueryError, match=r"did you mean 'settings.adam.lr'\?"):
        results.where("settings.adm.lr == 1")


def test_where_an_expression_names_a_parameter_like_a_column(project: Path) -> None:
    fill(project, {"parameters": {"memory": [16, 32]}}, function=lambda config: 1)
    results = load_results()
    assert len(results.where("parameters.memory == 16 and memory != 16")) in (0, 1)
    assert len(results.where("memory == 16")) == 0


def test_to_frame(project: Path) -> None:
    fill(project)
    frame = load_results().to_frame()
    assert list(frame.columns) == [
        "model", "lr", "settings.n_fold", "settings.data", "result.score", "result.kind",
        "metrics.loss", "status", "runtime", "cpu_time", "memory", "start_time", "error",
    ]  # fmt: skip
    assert frame["lr"].tolist() == [0.1, 1.0, 10, 0.1, 1.0, 10]
    assert frame["result.score"].dtype == np.float64
    assert frame["runtime"].dtype.kind == "m"
    assert frame["status"].tolist() == ["passed", "passed", "failed"] * 2
    assert frame["metrics.loss"].tolist() == [0.25] * 6


def test_several_experiments_and_settings_are_told_apart(project: Path) -> None:
    matrix = {"parameters": {"lr": [0.1]}, "settings": {"n_fold": 5, "data": "a"}}
    fill(project, matrix, function=lambda config: 1)
    fill(project, {**matrix, "settings": {"n_fold": 5, "data": "b"}}, function=lambda config: 2)
    history = load_results(history=True)
    assert [line.split()[:5] for line in repr(history).splitlines()[1:]] == [
        ["lr", "settings.data", "status", "result", "runtime"],
        ["0.1", "a", "passed", "1", "0.00s"],
        ["0.1", "b", "passed", "2", "0.00s"],
    ]
    assert "experiment" not in history.to_frame()
    fill(project, {"parameters": {"lr": [10]}}, name=f"{NAME}_b", function=lambda config: 3)
    results = load_results()
    assert [line.split()[:2] for line in repr(results).splitlines()[1:]] == [
        ["experiment", "lr"],
        ["exp_train.py::experiment", "0.1"],
        ["exp_train.py::experiment_b", "10"],
    ]
    assert results.to_frame()["experiment"].tolist() == [NAME, f"{NAME}_b"]


def test_a_function_that_is_misspelt(project: Path) -> None:
    fill(project)
    with pytest.raises(StoreError, match=r"no experiment .*::other has run \(there are: "):
        load_results("experiments/exp_train.py::other")


@pytest.mark.parametrize("name", ["status", "runtime"])
def test_conditions_on_what_is_no_parameter(project: Path, name: str) -> None:
    fill(project)
    with pytest.raises(MementoError, match=rf"\(write where\(\"{name} == 'a'\"\)\)"):
        load_results().where(**{name: "a"})
    with pytest.raises(MementoError, match="where takes an expression"):
        load_results().where(3)  # type: ignore[arg-type]


def test_to_frame_without_pandas(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(project)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MementoError, match=r"pip install 'pytest-memento\[pandas\]'"):
        load_results().to_frame()


@pytest.mark.parametrize(
    ("path", "count"),
    [
        (None, 2),
        (".", 2),
        ("experiments", 2),
        ("experiments/exp_train.py", 1),
        ("experiments/exp_train.py::experiment", 1),
        ("experiments/exp_other.py", 1),
        ("elsewhere", 0),
    ],
)
def test_selection_by_path(project: Path, path: str | None, count: int) -> None:
    (project / "elsewhere").mkdir()
    (project / "experiments/exp_other.py").touch()
    one = {"parameters": {"lr": [0.1]}}
    fill(project, one, function=lambda config: 1)
    fill(project, one, function=lambda config: 1, name="experiments/exp_other.py::experiment")
    assert len(load_results(path)) == count


def test_a_path_may_lead_up_and_down(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(project)
    monkeypatch.chdir(project / "experiments")
    assert len(load_results("../experiments/exp_train.py")) == 6
    assert len(load_results("./exp_train.py::experiment")) == 6
    assert len(load_results("./exp_train.py::experiment[model=Model-lr=1.0]")) == 1
    assert len(load_results(project / "experiments")) == 6


def test_a_directory_does_not_stand_for_another_with_the_same_files(project: Path) -> None:
    fill(project, name="exp_a.py::experiment")
    for file in ("exp_a.py", "experiments/exp_a.py"):
        (project / file).touch()
    assert len(load_results("exp_a.py")) == 6
    assert len(load_results("experiments")) == 0


def test_a_parameter_may_have_the_name_of_a_column(project: Path) -> None:
    fill(project, {"parameters": {"memory": [16, 32]}}, function=lambda config: 1)
    frame = load_results().to_frame()
    assert frame["parameters.memory"].tolist() == [16, 32]
    assert (frame["memory"] > 10**6).all()


def test_listing_loads_no_value(project: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (project / "sprung",)

    fill(project, {"parameters": {"lr": [1]}}, function=lambda config: Trap())
    results = load_results()
    repr(results)
    results.to_frame()
    results.where(lr=1)
    assert not (project / "sprung").exists()
    _ = results[0].value
    assert (project / "sprung").exists()


def test_a_class_of_the_experiment_file_is_found(project: Path) -> None:
    """It is imported for its value, as pytest does, and sys.path is as before."""
    (project / "experiments/exp_own.py").write_text("class Own:\n    size = 3\n")
    sys.path.insert(0, str(project / "experiments"))
    try:
        import exp_own  # type: ignore[import-not-found]

        name = "experiments/exp_own.py::experiment"
        fill(project, {"parameters": {"lr": [1]}}, function=lambda c: exp_own.Own(), name=name)
    finally:
        sys.path.pop(0)
        del sys.modules["exp_own"]
    before = list(sys.path)
    assert load_results("experiments/exp_own.py")[0].value.size == 3
    assert sys.path == before
    del sys.modules["exp_own"]


def test_a_class_that_is_gone_is_a_clear_error(project: Path) -> None:
    module = project / "experiments/exp_gone.py"
    module.write_text("class Gone: pass\n")
    sys.path.insert(0, str(project / "experiments"))
    try:
        import exp_gone  # type: ignore[import-not-found]

        fill(project, {"parameters": {"lr": [1]}}, function=lambda c: exp_gone.Gone())
    finally:
        sys.path.pop(0)
        del sys.modules["exp_gone"]
    module.unlink()
    with pytest.raises(ResultNotLoadedError, match="exp_gone"):
        _ = load_results()[0].value


def test_no_store(project: Path) -> None:
    with pytest.raises(StoreError, match="no store found"):
        load_results("experiments/exp_train.py")
    with pytest.raises(StoreError, match=r"there is no store at .*elsewhere"):
        load_results(store="elsewhere")


def test_no_such_file(project: Path) -> None:
    fill(project)
    with pytest.raises(StoreError, match=r"there is no file or directory .*exp_trian\.py$"):
        load_results("experiments/exp_trian.py::experiment")


def test_a_given_store(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    store = fill(elsewhere)
    assert len(load_results(store=store.root)) == 6
