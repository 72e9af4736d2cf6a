"""The state of a store at a commit, and of a store elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from pytest_memento import StoreError, load_results

FIRST, SECOND = "1a2b3c4d" * 5, "1a2b9999" * 5


@pytest.fixture
def kept(shelf: Any) -> Any:
    """Results of two commits; at the second one ``x=2`` was left out and ``x=3`` was added."""
    for x in (1, 2):
        shelf.put({"x": x}, x, commit=FIRST)
    shelf.put({"x": 1}, error="ValueError: no", commit=FIRST, code="tried")
    shelf.planned.clear()
    for x in (3, 1):
        shelf.put({"x": x}, -x, commit=SECOND, code="edited")
    return shelf


def test_the_newest_of_each_configuration_in_the_order_of_the_matrix(kept: Any) -> None:
    first = load_results(commit="1a2b3c")
    assert [(result.id, result.error) for result in first] == [
        ("x=1", "ValueError: no"), ("x=2", None)
    ]  # fmt: skip
    assert {result.commit for result in first} == {FIRST}
    assert [result.value for result in load_results(commit=SECOND)] == [-3, -1]
    assert len(load_results("experiments/exp_train.py", commit="1A2B9")) == 2
    found = load_results(commit="1a2b9").compare(load_results(commit="1a2b3"))
    assert (len(found.new), len(found.gone), len(found.changed)) == (1, 1, 1)


@pytest.mark.parametrize(
    ("commit", "message"),
    [
        ("1a2b", r"commit '1a2b' may be 1a2b3c4d1a2b or 1a2b99991a2b: give more"),
        (
            "ffff",
            r"no result is of commit 'ffff' \(there are: 1a2b99991a \(2027-01-..\), 1a2b3c4d1a"
            r" \(2027-01-..\)\)",
        ),
    ],
)
def test_a_commit_that_is_not_clear(kept: Any, commit: str, message: str) -> None:
    with pytest.raises(StoreError, match=f"^{message}$"):
        load_results(commit=commit)


def test_results_that_know_no_commit(shelf: Any) -> None:
    shelf.put({"x": 1})
    with pytest.raises(StoreError, match=r"no result is of commit 'abc' \(none knows one\)"):
        load_results(commit="abc")


def test_only_the_newest_commits_are_named(shelf: Any) -> None:
    for number in range(12):
        shelf.put({"x": 1}, code=str(number), commit=f"{number:02}" * 20)
    with pytest.raises(StoreError, match=r"there are: 1111111111 .*, 0202020202 .*, and 2 more\)"):
        load_results(commit="ffff")


def test_a_commit_and_all_of_the_history_do_not_go_together(kept: Any) -> None:
    with pytest.raises(StoreError, match="history=True or commit="):
        load_results(commit=FIRST, history=True)


def test_a_store_elsewhere(kept: Any, tmp_path: Path) -> None:
    shutil.copytree(kept.store.root, tmp_path / "elsewhere")
    kept.put({"x": 1}, 5, code="again")
    found = load_results().compare(load_results(store="elsewhere"))
    assert [change.details for change in found.changed] == [{"result": ("-1", "5")}]
