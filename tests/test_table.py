"""Tables of text."""

from __future__ import annotations

from pytest_memento import table


def test_columns_are_aligned_also_where_characters_are_wide() -> None:
    rows = [["a", "1"], ["中文数据集", "2"], ["e\u0301\u0301", "3"]]
    found = list(table.lines(["name", "n"], rows, 80))
    assert found == ["name        n", "a           1", "中文数据集  2", "e\u0301\u0301           3"]


def test_the_widest_column_is_cut() -> None:
    rows = [["x" * 30, "0.123456", "中" * 20]]
    (_, row) = table.lines(["a", "b", "c"], rows, 40)
    assert table.cells_of(row) <= 40
    assert "0.123456" in row
    assert row.count("…") == 2
