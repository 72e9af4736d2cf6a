"""Two states of results side by side: what is new, gone, changed, or the same."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pytest_memento import MementoError, load_results
from pytest_memento.results import Results


@pytest.fixture
def states(shelf: Any) -> tuple[Results, Results]:
    """Before and after: with other code, without ``gone``, and with ``new``."""
    for x, result in (("gone", 1), ("better", 0.5), ("same", 2), ("broken", 3), ("odd", math.nan)):
        shelf.put({"x": x}, result, metrics={"loss": [(0, 0.5)]}, settings={"n": 1})
    before = load_results()
    shelf.planned.clear()
    for x, result in (("new", 7), ("better", 0.75), ("same", 2), ("odd", math.nan)):
        loss = 0.5 if x != "odd" else 0.25
        shelf.put({"x": x}, result, metrics={"loss": [(0, loss)]}, code="edited", settings={"n": 1})
    shelf.put({"x": "broken"}, error="ValueError: no", code="edited", settings={"n": 1})
    return before, load_results()


def test_what_became_of_each(states: tuple[Results, Results]) -> None:
    before, after = states
    found = after.compare(before)
    assert [result.parameters["x"] for result in found.new] == ["new"]
    assert [result.parameters["x"] for result in found.gone] == ["gone"]
    assert [result.value for result in found.same] == [2]
    assert [(c.result.parameters["x"], c.details) for c in found.changed] == [
        ("better", {"result": ("0.5", "0.75")}),
        ("odd", {"metrics.loss": ("0.5", "0.25")}),
        ("broken", {"status": ("passed", "failed: ValueError: no")}),
    ]
    better = found.changed[0]
    assert better.before is not None
    assert better.after is not None
    assert (better.before.value, better.after.value) == (0.5, 0.75)
    assert repr(better) == "<Change x=better: changed, result 0.5 -> 0.75>"
    assert isinstance(found.new, Results)


def test_the_table(states: tuple[Results, Results]) -> None:
    before, after = states
    assert repr(after.compare(before)).splitlines() == [
        "6 configurations: 1 new, 1 gone, 3 changed, 1 same",
        "x       change   status                            result       metrics.loss",
        "new     new      passed                            7            0.5",
        "better  changed  passed                            0.5 -> 0.75  0.5",
        "odd     changed  passed                            nan          0.5 -> 0.25",
        "broken  changed  passed -> failed: ValueError: no",
        "gone    gone     passed                            1            0.5",
    ]
    assert repr(after.compare(after)) == "5 configurations: 5 same"


def test_the_frame(states: tuple[Results, Results]) -> None:
    before, after = states
    frame = after.compare(before).to_frame()
    assert list(frame.columns) == [
        "x", "change", "before.status", "after.status", "before.result", "after.result",
        "before.metrics.loss", "after.metrics.loss",
    ]  # fmt: skip
    assert frame["x"].tolist() == ["new", "better", "same", "odd", "broken", "gone"]
    assert frame["change"].tolist() == ["new", "changed", "same", "changed", "changed", "gone"]
    assert frame["after.result"].tolist()[:2] == [7.0, 0.75]
    assert frame["before.status"].isna().tolist() == [True] + [False] * 5
    both = frame.dropna(subset=["before.result", "after.result"])
    assert (both["after.result"] - both["before.result"]).tolist() == [0.25, 0.0]


def test_other_settings_make_other_configurations(shelf: Any) -> None:
    shelf.put({"x": 1}, 1, settings={"n_fold": 5})
    before = load_results()
    shelf.planned.clear()
    shelf.put({"x": 1}, 1, settings={"n_fold": 10})
    found = load_results().compare(before)
    assert (len(found.new), len(found.gone), len(found.changed)) == (1, 1, 0)
    assert found.to_frame()["settings.n_fold"].tolist() == [10, 5]
    assert "settings.n_fold" in repr(found)


def test_values_of_which_only_a_label_is_known(shelf: Any) -> None:
    for x in (1, 2):
        shelf.put({"x": x}, np.array([1.0, 2.0]))
    shelf.put({"x": 3}, 3)
    before = load_results()
    shelf.put({"x": 1}, np.array([1.0, 2.0]), code="edited")
    shelf.put({"x": 2}, np.array([1.0, 2.5]), code="edited")
    shelf.put({"x": 3}, 3, code="edited")
    after = load_results()
    by_label = after.compare(before)
    assert len(by_label.same) == 3
    assert repr(by_label).splitlines() == [
        "3 configurations: 3 same",
        "2 the same by label: compare(..., values=True) looks closer",
    ]
    looked = after.compare(before, values=True)
    assert [change.result.parameters["x"] for change in looked.changed] == [2]
    assert looked.changed[0].details == {"value[1]": ("2.0", "2.5")}
    assert "2.0 -> 2.5" in repr(looked)
    assert after.compare(after).unread == 0  # it is the same run


def test_the_newest_of_several_runs_counts(shelf: Any) -> None:
    for number in (1, 2, 3):
        shelf.put({"x": 1}, number, code=str(number))
    history = load_results(history=True)
    found = history.compare(history[:1])
    assert [change.details for change in found.changed] == [{"result": ("1", "3")}]


def test_long_tables_are_cut(shelf: Any) -> None:
    for x in range(25):
        shelf.put({"x": x}, x)
    results = load_results()
    lines = repr(results.compare(results[:0])).splitlines()
    assert lines[0] == "25 configurations: 25 new"
    assert len(lines) == 23
    assert lines[-1] == "... and 5 more"
    assert repr(results[:0].compare(results[:0])) == "0 configurations"


def test_what_is_no_state(shelf: Any) -> None:
    shelf.put({"x": 1})
    with pytest.raises(MementoError, match="compare takes results of load_results, not '1a2b3c'"):
        load_results().compare("1a2b3c")  # type: ignore[arg-type]
