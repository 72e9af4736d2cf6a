"""The table of what came out, and what failures have in common."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from pytest_memento.summary import Row, causes, lacks, lines


def grid(**values: list[object]) -> list[dict[str, str]]:
    return [
        dict(zip(values, map(str, chosen), strict=True)) for chosen in product(*values.values())
    ]


def rows(
    labels: list[dict[str, str]], fails: str, error: str = "OutOfMemory: {batch} GB"
) -> list[Row]:
    """Return a row for each configuration; those fail for which an expression holds."""
    return [
        Row(each, "failed" if failed else "passed", error=error.format(**each) if failed else "")
        for each in labels
        for failed in [bool(eval(fails, {}, dict(each)))]
    ]


GRID = grid(model=["cnn", "mlp", "svm"], batch=[64, 128, 256, 512], lr=[0.1, 0.01])


@pytest.mark.parametrize(
    ("fails", "explained"),
    [
        ("batch == '512'", "6 of 6 with batch=512"),
        ("batch in ('256', '512')", "12 of 12 with batch>=256"),
        ("batch == '64' or batch == '128'", "12 of 12 with batch<=128"),
        ("model != 'svm'", "16 of 16 with model in (cnn, mlp)"),
        ("batch in ('64', '512')", "12 of 12 with batch in (64, 512)"),
        ("model == 'cnn' and lr == '0.1'", "4 of 4 with model=cnn, lr=0.1"),
        ("batch == '512' and model != 'svm'", "4 of 4 with model in (cnn, mlp), batch=512"),
        ("batch == '512' and (model, lr) != ('svm', '0.1')", "5 of 6 with batch=512"),
        ("True", "24 of 24 experiments"),
        ("model == 'cnn' and lr == '0.1' and batch == '64'",
         "1 of 1 with model=cnn, batch=64, lr=0.1"),
    ],
)  # fmt: skip
def test_failures_are_explained_by_the_values_they_share(fails: str, explained: str) -> None:
    (line,) = causes(rows(GRID, fails))
    assert line.endswith(f"GB ({explained})")


def test_causes_differ_in_words_and_not_in_numbers_names_or_paths() -> None:
    errors = [
        "OSError: no file '/data/a/1.csv' at 0x7f01",
        "OSError: no file '/data/b/2.csv' at 0x7f02",
        "ValueError: 3 is odd",
        "ValueError: 5 is odd",
        "ValueError: 5 is prime",
    ]
    found = list(causes([Row({"x": str(n)}, "failed", error=e) for n, e in enumerate(errors)]))
    assert [line.partition(" (")[0] for line in found] == [
        "2 x OSError: no file '/data/a/1.csv' at 0x7f01",
        "2 x ValueError: 3 is odd",
        "1 x ValueError: 5 is prime",
    ]


def test_many_causes_are_cut() -> None:
    letters = "abcdefghijklmn"
    found = list(causes([Row({"x": each}, "failed", error=f"Error {each}") for each in letters]))
    assert len(found) == 11
    assert found[-1] == "... and 4 more causes"


def test_nothing_failed() -> None:
    assert list(causes(rows(GRID, "False"))) == []


def test_experiments_whose_parameters_are_not_known() -> None:
    """As of a result that has been removed meanwhile."""
    found = rows(GRID, "batch == '512'")
    assert list(causes([*found, Row({}, "cached")])) == [
        "6 x OutOfMemory: 512 GB (6 of 6 with batch=512)"
    ]


def test_what_was_not_run_by_what_is_lacking() -> None:
    several = [(f"its input f[x={n}] failed: {n}", f"its input f failed: {n}") for n in range(12)]
    found = list(lacks([*several, *several, ("its input g has no result", "of all")]))
    assert found[0] == "not run: 2 x its input f[x=0] failed: 0"
    assert len(found) == 11
    assert found[-1] == "not run: 5 for 3 more causes"
    assert list(lacks([])) == []


def test_a_table_has_results_and_metrics_as_columns() -> None:
    found = [
        Row({"x": "1"}, "passed", {"a": "0.5"}, {"loss": 0.123456, "x": 1e9}, 2.5, 1200),
        Row({"x": "2"}, "failed", {}, {}, None, None, "ValueError"),
    ]
    assert list(lines(found, 80)) == [
        "x  status  a    loss    metrics.x  runtime  memory",
        "1  passed  0.5  0.1235  1e+09      2.50s    1.2 kB",
        "2  failed",
    ]


def test_settings_that_differ_are_beside_the_parameters() -> None:
    settings = [{"n": "5", "seed": "0"}, {"n": "10", "seed": "0"}, {"seed": "0"}]
    found = [Row({"x": "1"}, "passed", settings=each) for each in settings]
    assert list(lines(found, 80)) == [
        "x  settings.n  status  runtime  memory",
        "1  5           passed",
        "1  10          passed",
        "1              passed",
    ]
    found[1] = replace(found[1], error="Error: too many")
    assert list(causes(found)) == ["1 x Error: too many (1 of 1 with settings.n=10)"]


def test_what_does_not_fit_is_left_out_by_name() -> None:
    metrics = {f"metric_{n}": 0.1 for n in range(20)}
    found = [Row({"x": str(n), "seed": "0"}, "passed", {"": "1"}, metrics, 1, 1) for n in (1, 2)]
    *shown, last = lines(found, 60)
    assert shown[0] == "x  seed  status  result  metric_0  metric_1  runtime"
    assert last.startswith("... without metric_2, metric_3")
    assert last.endswith("…: a wider terminal, or load_results()")
    assert all(len(line) <= 60 for line in shown)
    *shown, last = lines(found, 32)
    assert shown[0] == "x  seed  status  result  runtime"
    *shown, last = lines(found, 31)
    assert shown[0] == "x  status  result  runtime"


def test_many_parameters_stay_and_share_the_room() -> None:
    found = [
        Row({f"parameter_{n}": f"value {m} of {n}" for n in range(8)}, "passed") for m in (1, 2)
    ]
    shown = list(lines(found, 80))
    assert shown[0].count("param") == 8
    assert shown[3:] == ["... without memory: a wider terminal, or load_results()"]
    assert all(len(line) <= 80 for line in shown)
