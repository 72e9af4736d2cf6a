"""``add_matrix`` and ``run_all``: matrices that are given each other's results."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from pytest_memento import (
    Config,
    CyclicDependency,
    ExperimentsFailed,
    MatrixError,
    Memento,
    MementoError,
    MementoWarning,
    load_results,
    results_of,
)

DATA = {"id": "data", "parameters": {"x": [1, 2]}}
MODEL = {"id": "model", "parameters": {"lr": [10, 20]}, "dependencies": ["data"]}
SCORE = {"id": "score", "parameters": {"metric": ["f1", "auc"]}, "dependencies": ["model"]}
ran: list[str] = []


@pytest.fixture(autouse=True)
def _in_a_fresh_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMENTO_CACHE_PATH", str(tmp_path / "store"))
    ran.clear()


def work(config: Config) -> Any:
    if "data" in config:
        ran.append("model")
        if (config.data, config.lr) == (200, 20):
            raise ValueError("diverged")
        return config.data + config.lr
    if "model" in config:
        ran.append("score")
        return f"{config.metric} {config.model}"
    ran.append("data")
    return config.x * 100


def made(*matrices: dict[str, Any], **more: Any) -> Memento:
    memento = Memento(work, **{"num_workers": 1, **more})
    for matrix in matrices:
        memento.add_matrix(matrix)
    return memento


@pytest.mark.parametrize("workers", [1, 2])
def test_results_by_id(workers: int, request: pytest.FixtureRequest) -> None:
    if workers > 1:
        request.getfixturevalue("xdist")
    matrices = [SCORE, DATA, MODEL]
    before = copy.deepcopy(matrices)
    results = made(*matrices, num_workers=workers).run_all()
    assert matrices == before
    assert results is not None
    assert [*results] == ["score", "data", "model"]
    assert [r.value for r in results["data"]] == [100, 200]
    assert [r.error or r.value for r in results["model"]] == [110, 210, 120, "ValueError: diverged"]
    assert [r.value for r in results["score"]] == [
        f"{metric} {model}" for metric in ("f1", "auc") for model in (110, 210, 120)
    ]
    assert results["score"].missing == 2
    assert results["score"][0].inputs["model"].inputs["data"].config.x == 1
    again = made(*matrices, num_workers=workers).run_all()
    assert again is not None
    assert all(r.was_cached for r in again["score"])
    assert [r.was_cached for r in again["model"]] == [True, True, True, False]


def test_in_the_order_of_what_is_needed() -> None:
    made(SCORE, MODEL, DATA).run_all()
    assert ran == ["data"] * 2 + ["model"] * 4 + ["score"] * 6


def test_a_dry_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert made(MODEL, DATA).run_all(dry_run=True) is None
    assert capsys.readouterr().out.splitlines() == [
        "Running configurations for matrix 'data':",
        "  {'x': 1}  new: no result yet",
        "  {'x': 2}  new: no result yet",
        "Running configurations for matrix 'model':",
        "  {'lr': 10, 'data': (x=1)}  new: no result yet",
        "  {'lr': 10, 'data': (x=2)}  new: no result yet",
        "  {'lr': 20, 'data': (x=1)}  new: no result yet",
        "  {'lr': 20, 'data': (x=2)}  new: no result yet",
        "Exiting due to dry run",
    ]
    assert ran == []


def test_failures_can_be_raised(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ExperimentsFailed, match="diverged") as caught:
        made(DATA, MODEL, SCORE).run_all(raise_on_failure=True)
    assert len(caught.value.results) == 12
    said = capsys.readouterr().err
    assert "memento: not run: 2 x its input" in said
    assert "memento: 14 experiments: 11 passed, 1 failed, 2 not run" in said


def test_a_configuration_that_two_matrices_have_is_run_once() -> None:
    more = {"id": "more", "parameters": {"x": [2, 3]}}
    results = made(DATA, more).run_all()
    assert results is not None
    assert [[r.value for r in results[name]] for name in results] == [[100, 200], [200, 300]]
    assert ran == ["data"] * 3
    assert len(load_results()) == 3


def test_of_one_configuration_by_another_setting() -> None:
    def scaled(config: Config) -> Any:
        return config.x * config.settings.by

    memento = Memento(scaled, num_workers=1)
    for by in (2, 3):
        memento.add_matrix({"id": by, "parameters": {"x": [1]}, "settings": {"by": by}})
    results = memento.run_all()
    assert results is not None
    assert {name: results[name][0].value for name in results} == {2: 2, 3: 3}


def test_two_matrices_with_settings_of_their_own() -> None:
    def either(config: Config) -> Any:
        return (config.a, config.b) if "a" in config else config.settings.n

    def report(**settings: int) -> Any:
        memento = Memento(either, num_workers=1)
        for name, n in settings.items():
            memento.add_matrix({"id": name, "parameters": {"x": [name]}, "settings": {"n": n}})
        memento.add_matrix({"id": "report", "dependencies": [*settings]})
        results = memento.run_all()
        assert results is not None
        return results["report"][0].value

    assert report(a=1, b=9) == (1, 9)
    assert report(a=2, b=9) == (2, 9)
    assert report(a=2, b=8) == (2, 8)


def test_dependencies_alone() -> None:
    def either(config: Config) -> Any:
        return config["1"] + 1 if "1" in config else config.x

    memento = Memento(either, num_workers=1)
    memento.add_matrix({"id": 1, "parameters": {"x": [5]}, "dependencies": []})
    memento.add_matrix({"id": "end", "dependencies": [1]})
    results = memento.run_all()
    assert results is not None
    assert results["end"][0].value == 6


def test_pairs_of_what_belongs_together() -> None:
    score = {
        "id": "score",
        "dependencies": ["data", "model"],
        "exclude": [lambda config: config.model.data.x != config.data.x],
    }

    def paired(config: Config) -> Any:
        if "model" in config:
            return config.data, config.model
        return config.data + config.lr if "data" in config else config.x * 100

    memento = Memento(paired, num_workers=1)
    for matrix in (DATA, MODEL, score):
        memento.add_matrix(matrix)
    results = memento.run_all()
    assert results is not None
    assert [r.value for r in results["score"]] == [(100, 110), (100, 120), (200, 210), (200, 220)]


def test_remarks_are_warnings() -> None:
    matrix = {**DATA, "exclude": [{"x": 1}, {"x": 1}, lambda config: config.x == 9]}
    with pytest.warns(MementoWarning, match="matches no configuration"):
        made(matrix).run_all()


@pytest.mark.parametrize(
    ("matrices", "text"),
    [
        ([{"parameters": {"x": [1]}}], "the matrix has no 'id'"),
        ([[DATA]], "add_matrix takes a dict with an 'id', not"),
        ([{"id": [1]}], "'id' is [1] (a list): use a name or a number"),
        ([{"id": "a,b"}], "'id' is 'a,b' (a str): use a name or a number, without commas"),
        ([{"id": "a", "dependencies": "data"}], "matrix 'a': 'dependencies' is 'data' (a str)"),
        ([{"id": "a", "dependencies": ["dat"]}, DATA], "'dat', which was not added (did you mean"),
        (
            [DATA, {**MODEL, "parameters": {"x": results_of("exp_a.py::experiment")}}],
            "matrix 'model': results_of('exp_a.py::experiment') is of a file, which only pytest",
        ),
        ([DATA, DATA], "there are two matrices with the id 'data': rename one"),
        ([DATA, {**MODEL, "parameters": {"data": [1]}}], "both a parameter and a dependency"),
        ([{"id": "a", "parameters": {"x": []}}], "matrix 'a': parameter 'x' is empty"),
        ([{"id": "a", "dependencies": ["b"]}, {"id": "b", "dependencies": ["a"]}], "a -> b -> a"),
        ([{"id": "a", "dependencies": ["a"]}], "matrices depend on each other: a -> a"),
    ],
)
def test_wrong_matrices(matrices: list[Any], text: str) -> None:
    with pytest.raises(MatrixError) as caught:
        made(*matrices).run_all()
    assert text in str(caught.value)


def test_a_cycle_by_its_name() -> None:
    with pytest.raises(CyclicDependency) as caught:
        made({"id": "a", "dependencies": ["a"]}).run_all()
    assert caught.value.ids == ["a", "a"]


def test_nothing_to_run() -> None:
    with pytest.raises(MementoError, match="add matrices by add_matrix first"):
        made().run_all()


def test_a_matrix_of_a_pipeline_by_itself() -> None:
    results = made().run({**DATA, "dependencies": []})
    assert results is not None
    assert [r.value for r in results] == [100, 200]
    with pytest.raises(MatrixError, match="use add_matrix and run_all"):
        made().run(MODEL)


# -- results of another run ------------------------------------------------------------------------


def test_results_of_another_run(tmp_path: Path) -> None:
    def doubled(y: int) -> int:
        return 2 * y

    first = made().run(DATA, cache_path=tmp_path / "first")
    assert first is not None
    memento = Memento(doubled, num_workers=1)
    results = memento.run({"parameters": {"y": results_of(first)}})
    assert results is not None
    assert [(r.value, r.config.y, r.id) for r in results] == [
        (200, 100, "y=(x=1)"),
        (400, 200, "y=(x=2)"),
    ]
    assert results[1].inputs["y"].config.x == 2
    some = memento.run({"parameters": {"y": results_of(first, where=lambda c: c.x == 2)}})
    assert some is not None
    assert [r.was_cached for r in some] == [True]


def test_results_of_other_runs_that_differ_in_settings() -> None:
    def scaled(config: Config) -> Any:
        return config.x * config.settings.by

    def given(y: int) -> int:
        return y

    memento = Memento(given, num_workers=1)
    for by in (2, 3, 4):
        scales = {"parameters": {"x": [1]}, "settings": {"by": by}}
        values = results_of(Memento(scaled, num_workers=1).run(scales) or [])
        memento.add_matrix({"id": by, "parameters": {"y": values}})
    for was_cached in (False, True):
        results = memento.run_all()
        assert results is not None
        assert {name: results[name][0].value for name in results} == {2: 2, 3: 3, 4: 4}
        assert [results[name][0].was_cached for name in results] == [was_cached] * 3
        assert len({results[name][0].id for name in results}) == 3


def test_a_name_is_nothing_that_a_script_can_collect() -> None:
    with pytest.raises(MatrixError, match="of a file, which only pytest collects"):
        made().run({"parameters": {"x": results_of("exp_a.py::experiment")}})
