"""From a matrix to its configurations: which ones, in what order, under what ids."""

from __future__ import annotations

import functools
import itertools
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pytest_memento.errors import MatrixError
from pytest_memento.fingerprint import digest_value
from pytest_memento.matrix import Case, Choice, expand

GRID = {"model": ["svc", "tree"], "lr": [0.1, 0.2]}
HUGE = {f"p{number}": range(10) for number in range(12)}


def rows(matrix: object) -> list[dict[str, Any]]:
    return [case.config.asdict() for case in expand(matrix).cases]


def ids(matrix: object) -> list[str]:
    return [case.label for case in expand(matrix).cases]


def numbers(matrix: object) -> list[str]:
    """Return what a sample of HUGE drew: one digit per parameter."""
    return ["".join(map(str, row.values())) for row in rows(matrix)]


# -- the product -----------------------------------------------------------------------------------


def test_the_first_parameter_is_the_slowest() -> None:
    assert ids({"parameters": GRID}) == [
        "model=svc-lr=0.1",
        "model=svc-lr=0.2",
        "model=tree-lr=0.1",
        "model=tree-lr=0.2",
    ]


def test_names_that_vary_together_make_one_axis() -> None:
    matrix = {"parameters": {"lr, batch": [(0.1, 32), (0.01, 64)], "net": ["a", "b"]}}
    assert rows(matrix) == [
        {"lr": 0.1, "batch": 32, "net": "a"},
        {"lr": 0.1, "batch": 32, "net": "b"},
        {"lr": 0.01, "batch": 64, "net": "a"},
        {"lr": 0.01, "batch": 64, "net": "b"},
    ]
    assert ids(matrix)[0] == "lr=0.1-batch=32-net=a"


@pytest.mark.parametrize("pair", [[1, 2], (1, 2), np.array([1, 2]), range(1, 3)])
def test_names_that_vary_together_take_any_sequence(pair: object) -> None:
    assert rows({"parameters": {"a,b": [pair]}}) == [{"a": 1, "b": 2}]
    assert rows({"parameters": {"a,b": np.array([[1, 2], [3, 4]])}})[1] == {"a": 3, "b": 4}


def test_an_array_gives_python_numbers() -> None:
    values = [row["lr"] for row in rows({"parameters": {"lr": np.array([0.001, 0.01, 0.1])}})]
    assert values == [0.001, 0.01, 0.1]
    assert [type(value) for value in values] == [float] * 3
    assert ids({"parameters": {"lr": np.array([0.001, 0.01, 0.1])}}) == [
        "lr=0.001",
        "lr=0.01",
        "lr=0.1",
    ]


def test_rows_of_a_larger_array_are_values() -> None:
    found = [row["w"] for row in rows({"parameters": {"w": np.arange(4).reshape(2, 2)}})]
    assert [row.tolist() for row in found] == [[0, 1], [2, 3]]


def test_values_are_told_apart_by_fingerprint_not_by_equality() -> None:
    values = [1, 1.0, True, "1", np.array([1, 2]), np.array([1, 2], dtype=np.int8), [1, 2], (1, 2)]
    cases = expand({"parameters": {"a": values}}).cases
    assert [type(case.config.a) for case in cases] == [type(value) for value in values]
    assert len({case.fingerprint for case in cases}) == len(values)
    assert len({case.label for case in cases}) == len(values)


def test_settings_are_shared_and_part_of_the_fingerprint() -> None:
    five, ten = (
        expand({"parameters": {"a": [1]}, "settings": {"n_fold": n}}).cases[0] for n in (5, 10)
    )
    assert five.config.settings.n_fold == 5
    assert five.value("n_fold") == 5
    assert five.fingerprint[0] == ten.fingerprint[0]
    assert five.fingerprint[1] != ten.fingerprint[1]
    with pytest.raises(KeyError):
        five.value("n_folds")


def test_untracked_settings_are_not_in_the_fingerprint() -> None:
    def case(n_jobs: object) -> Case:
        shared = {"n_fold": 5, "n_jobs": n_jobs}
        matrix = {"parameters": {"a": [1]}, "settings": shared, "untracked": ["n_jobs"]}
        return expand(matrix).cases[0]

    assert case(1).fingerprint == case(8).fingerprint == case(iter([])).fingerprint
    assert case(1).config == case(8).config
    assert case(8).config.settings.n_jobs == 8
    assert case(8).config.untracked == {"n_jobs"}
    assert case(8).digests == {"a": digest_value(1), "n_fold": digest_value(5)}


def test_all_names_are_told() -> None:
    matrices = [
        {"parameters": {"a,b": [(1, 2)]}, "settings": {"s": 1}, "repeats": 1},
        {"include": [{"c": 1}]},
    ]
    assert expand(matrices).names == {"a", "b", "s", "c", "repeat"}


def test_a_choice_has_a_label_and_tags_of_its_own() -> None:
    matrix = {
        "parameters": {
            "a": [Choice(1, "one", ("slow",)), Choice(2)],
            "b,c": [Choice((3, 4), "both", ("gpu",)), (5, 6)],
        }
    }
    cases = expand(matrix).cases
    assert [case.label for case in cases] == [
        "a=one-b,c=both",
        "a=one-b=5-c=6",
        "a=2-b,c=both",
        "a=2-b=5-c=6",
    ]
    assert cases[0].tags == ("slow", "gpu")
    assert cases[0].labels == {"a": "one", "b": "3", "c": "4"}
    assert cases[0].config.asdict() == {"a": 1, "b": 3, "c": 4}


def test_a_stand_in_gives_values_a_fingerprint() -> None:
    values = [iter("ab"), iter("cd")]
    with pytest.raises(MatrixError):
        expand({"parameters": {"a": values}})
    places = {id(value): place for place, value in enumerate(values)}
    made = expand({"parameters": {"a": values}}, stand_in=lambda value: places[id(value)])
    assert len({case.fingerprint for case in made.cases}) == 2
    assert hash(made.cases[0].config) != hash(made.cases[1].config)


# -- several matrices ------------------------------------------------------------------------------


def test_a_list_of_matrices_is_their_concatenation() -> None:
    matrices = [{"parameters": {"a": [1, 2]}}, {"parameters": {"b": [1], "a": [1]}}]
    assert rows(matrices) == [{"a": 1}, {"a": 2}, {"b": 1, "a": 1}]
    assert rows(tuple(matrices)) == rows(matrices)


def test_matrices_that_differ_in_settings_alone_have_ids_of_their_own() -> None:
    matrices = [{"parameters": {"a": [1, 2]}, "settings": {"n_fold": n}} for n in (5, 10)]
    labels = ids(matrices)
    assert len(set(labels)) == 4
    assert [label.partition("~")[0] for label in labels] == ["a=1", "a=2"] * 2


# -- include, exclude, repeats ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "rule",
    [
        {"model": "svc", "lr": 0.1},
        {"model": ["svc", "knn"], "lr": [0.1]},
        {"model": {"svc"}, "lr": np.array([0.1, 7.0])},
        lambda config: config.model == "svc" and config.lr < 0.15,
        functools.partial(lambda model, config: (config.model, config.lr) == (model, 0.1), "svc"),
    ],
)
def test_exclude_drops_what_matches(rule: object) -> None:
    expansion = expand({"parameters": GRID, "exclude": [rule]})
    assert [case.label for case in expansion.cases] == [
        "model=svc-lr=0.2",
        "model=tree-lr=0.1",
        "model=tree-lr=0.2",
    ]
    assert (expansion.excluded, expansion.remarks) == (1, ())


def test_a_configuration_that_two_rules_drop_counts_once() -> None:
    rules = [{"model": "svc"}, {"lr": 0.1}]
    expansion = expand({"parameters": GRID, "exclude": rules})
    assert (len(expansion.cases), expansion.excluded, expansion.remarks) == (1, 3, ())


def test_exclude_compares_by_fingerprint() -> None:
    expansion = expand({"parameters": {"a": [1, 1.0, True]}, "exclude": [{"a": 1}]})
    assert [type(case.config.a) for case in expansion.cases] == [float, bool]


def test_exclude_matches_arrays_and_functions() -> None:
    values = [np.array([1, 2]), np.array([3, 4]), math.sin]
    matrix = {"parameters": {"a": values}, "exclude": [{"a": np.array([3, 4])}, {"a": math.sin}]}
    assert [row["a"].tolist() for row in rows(matrix)] == [[1, 2]]


def test_exclude_matches_a_value_that_is_a_list() -> None:
    layers = [[64], [64, 32], [128]]
    assert rows({"parameters": {"layers": layers}, "exclude": [{"layers": [64, 32]}]}) == [
        {"layers": [64]},
        {"layers": [128]},
    ]
    assert rows({"parameters": {"layers": layers}, "exclude": [{"layers": [[64], [128]]}]}) == [
        {"layers": [64, 32]}
    ]


def test_exclude_sees_settings() -> None:
    matrix = {
        "parameters": {"a": [1, 2]},
        "settings": {"most": 1},
        "exclude": [lambda config: config.a > config.settings.most],
    }
    assert rows(matrix) == [{"a": 1}]


@pytest.mark.parametrize("rule", [{"lr": 5}, {"lr": "0.1"}, {"lr": []}, lambda config: False])
def test_a_rule_that_matches_nothing_is_remarked_on(rule: object) -> None:
    expansion = expand([{"parameters": GRID, "exclude": [{"lr": 0.1}, rule]}])
    assert expansion.remarks == ("matrix[0]: exclude[1] matches no configuration",)


def test_include_adds_whole_configurations_after_the_product() -> None:
    matrix = {"parameters": GRID, "include": [{"lr": 5, "model": "knn"}], "exclude": [{"lr": 0.1}]}
    assert ids(matrix) == ["model=svc-lr=0.2", "model=tree-lr=0.2", "model=knn-lr=5"]


def test_include_is_not_excluded() -> None:
    matrix = {
        "parameters": {"a": [1, 2]},
        "include": [{"a": 3}],
        "exclude": [lambda config: config.a > 1],
    }
    assert ids(matrix) == ["a=1", "a=3"]


def test_include_may_stand_alone_and_have_labels() -> None:
    entries = [Choice({"a": 1, "b": 2}, "first", ("slow",)), {"b": Choice(4, "four"), "a": 3}]
    cases = expand({"include": entries}).cases
    assert [case.config.asdict() for case in cases] == [{"a": 1, "b": 2}, {"a": 3, "b": 4}]
    assert cases[0].label == "a,b=first"
    assert cases[0].tags == ("slow",)


def test_repeats_are_a_parameter() -> None:
    cases = expand({"parameters": {"a": ["x", "y"]}, "repeats": 2}).cases
    assert [case.label for case in cases] == [
        "a=x-repeat=0",
        "a=x-repeat=1",
        "a=y-repeat=0",
        "a=y-repeat=1",
    ]
    assert [case.config.repeat for case in cases] == [0, 1, 0, 1]
    assert len({case.fingerprint for case in cases}) == 4
    assert cases[3].labels == {"a": "y", "repeat": "1"}


def test_repeats_of_included_and_excluded() -> None:
    matrix = {
        "parameters": {"a": [1, 2]},
        "include": [{"a": 3}],
        "exclude": [{"a": 1}],
        "repeats": np.int64(2),
    }
    assert ids(matrix) == ["a=2-repeat=0", "a=2-repeat=1", "a=3-repeat=0", "a=3-repeat=1"]


# -- samples ---------------------------------------------------------------------------------------


def test_a_sample_is_frozen() -> None:
    """Every Python draws these, or people would lose their results with an upgrade."""
    assert numbers({"parameters": HUGE, "sample": {"n": 4, "seed": 0}}) == [
        "044756014167",
        "424533559245",
        "534771852901",
        "978212965549",
    ]
    assert numbers({"parameters": HUGE, "sample": {"n": 3, "seed": 7}}) == [
        "054335349841",
        "434439589175",
        "902254243637",
    ]
    drawn = ids({"parameters": GRID, "sample": {"n": 2}})
    assert drawn == ["model=tree-lr=0.1", "model=tree-lr=0.2"]


def test_a_sample_does_not_build_the_product() -> None:
    huge = {**HUGE, "p0": range(10**12), "p1": range(10**15)}
    drawn = expand({"parameters": huge, "sample": {"n": 50}}).cases
    assert len({case.fingerprint for case in drawn}) == 50


def test_a_sample_is_in_matrix_order() -> None:
    drawn = numbers({"parameters": HUGE, "sample": {"n": 100}})
    assert drawn == sorted(drawn)


def test_a_larger_sample_keeps_what_a_smaller_one_drew() -> None:
    drawn = [set(numbers({"parameters": HUGE, "sample": {"n": n, "seed": 3}})) for n in (5, 9, 99)]
    assert drawn[0] < drawn[1] < drawn[2]


def test_seeds_draw_differently_and_the_default_is_zero() -> None:
    drawn = [numbers({"parameters": HUGE, "sample": {"n": 9, "seed": seed}}) for seed in (0, 1, 2)]
    assert len(set(map(tuple, drawn))) == 3
    assert numbers({"parameters": HUGE, "sample": {"n": 9}}) == drawn[0]


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    n=st.integers(1, 700),
    seed=st.integers(),
)
@settings(deadline=None)
def test_a_sample_is_a_subset_without_repetition(sizes: list[int], n: int, seed: int) -> None:
    parameters = {f"p{number}": range(size) for number, size in enumerate(sizes)}
    everything = ids({"parameters": parameters})
    drawn = ids({"parameters": parameters, "sample": {"n": n, "seed": seed}})
    assert len(drawn) == min(n, len(everything))
    assert drawn == [label for label in everything if label in set(drawn)]


def test_each_configuration_is_drawn_equally_often() -> None:
    count = dict.fromkeys(range(12), 0)
    for seed in range(1200):
        matrix = {"parameters": {"a": range(12)}, "sample": {"n": 3, "seed": seed}}
        for row in rows(matrix):
            count[row["a"]] += 1
    assert all(240 <= number <= 360 for number in count.values()), count  # 300 +- 4 sigma


def test_a_sample_makes_up_for_what_is_excluded() -> None:
    matrix = {
        "parameters": HUGE,
        "sample": {"n": 30},
        "exclude": [{"p0": range(5)}, lambda config: config.p1 > 4],
    }
    expansion = expand(matrix)
    assert len(expansion.cases) == 30
    assert all(case.config.p0 >= 5 and case.config.p1 <= 4 for case in expansion.cases)
    assert expansion.excluded > 0
    assert expansion.remarks == ()


def test_a_sample_of_less_than_n_is_all_that_is_left() -> None:
    matrix = {"parameters": GRID, "sample": {"n": 100}, "exclude": [{"lr": 0.1}]}
    assert ids(matrix) == ["model=svc-lr=0.2", "model=tree-lr=0.2"]


def test_a_rule_is_remarked_on_only_if_it_cannot_match() -> None:
    matrix = {
        "parameters": HUGE,
        "sample": {"n": 1},
        "exclude": [{"p0": 11}, {"p0": 1, "p1": 1, "p2": 1}, lambda config: False],
    }
    assert expand(matrix).remarks == ("exclude[0] matches no configuration",)


def test_a_sample_includes_once_what_it_drew_by_chance() -> None:
    included = [{"a": 1}, {"a": 99}]
    matrix = {"parameters": {"a": range(4)}, "sample": {"n": 4}, "include": included}
    assert ids(matrix) == ["a=0", "a=1", "a=2", "a=3", "a=99"]


def test_a_sample_may_be_repeated() -> None:
    drawn = expand({"parameters": HUGE, "sample": {"n": 3}, "repeats": 2}).cases
    assert [case.config.repeat for case in drawn] == [0, 1] * 3


# -- ids -------------------------------------------------------------------------------------------


class Scaler:
    def __init__(self, size: int) -> None:
        self.size = size


def test_values_of_one_name_are_told_apart_by_their_digests() -> None:
    cases = expand({"parameters": {"s": [Scaler(1), Scaler(2)], "a": [1, 2]}}).cases
    marks = [digest_value(Scaler(size))[:6] for size in (1, 2)]
    assert [case.label for case in cases] == [
        f"s=Scaler~{mark}-a={a}" for mark in marks for a in (1, 2)
    ]
    assert cases[0].labels == {"s": f"Scaler~{marks[0]}", "a": "1"}


def test_long_values_are_cut() -> None:
    labels = ids({"parameters": {"a": ["x" * 500 + "1", "x" * 500 + "2", list(range(10**4))]}})
    assert len(set(labels)) == 3
    assert all(len(label) < 70 for label in labels)


def test_ids_print_on_one_line() -> None:
    values = ["a\nb", "a\\nb", "\0", "\ud800", "tab\t", "", " ", "é", "[x]", "a::b", "a/b", "a-b=c"]
    labels = ids({"parameters": {"a": [*values, Choice(1, "own\nlabel")]}})
    assert len(set(labels)) == len(values) + 1
    assert all(label.isprintable() for label in labels)
    assert labels[-1] == r"a=own\nlabel"


def test_ids_are_told_apart_also_where_marks_would_meet() -> None:
    marked = f"Scaler~{digest_value(Scaler(1))[:6]}"
    labels = ids({"parameters": {"a": [Scaler(1), Scaler(2), marked]}})
    assert len(set(labels)) == 3
    labels = ids({"parameters": {"a,b": [("1-b=2", "3"), ("1", "2-b=3")]}})
    assert len(set(labels)) == 2


def test_thousands_of_values_that_share_a_label_have_ids_of_their_own() -> None:
    labels = ids({"parameters": {"a": [np.full(2, number) for number in range(20_000)]}})
    assert len(set(labels)) == 20_000


IDS = """
import json, math, sys
from pathlib import Path
from pytest_memento.matrix import expand

class Scaler:
    def __init__(self, size):
        self.size = size

values = [Scaler(1), Scaler(2), Scaler, {"b": 1, "a": {2, "x", "y"}}, frozenset("abc"), math.sin,
          lambda x: x, print, Path("a/b"), "x" * 99, 1, 1.0, True, None, b"raw", object]
cases = expand({"parameters": {"a": values, "b": [1]}, "settings": {"s": {"p", "q"}}}).cases
print(json.dumps([[case.label, *case.fingerprint, case.labels["a"]] for case in cases]))
"""


def test_ids_and_fingerprints_are_the_same_in_every_process() -> None:
    root = Path(__file__).parents[1]
    said = []
    for seed in ("0", "1", "4711"):
        done = subprocess.run(
            [sys.executable, "-c", IDS],
            env={**os.environ, "PYTHONHASHSEED": seed}, cwd=root,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        said.append(done.stdout)
    assert said[0] == said[1] == said[2]
    labels = [case[0] for case in json.loads(said[0])]
    assert len(set(labels)) == 16
    assert not any("0x" in label or " at " in label for label in labels)


def test_a_case_may_be_extended() -> None:
    case = expand({"parameters": {"a": [1]}}).cases[0]
    extended = case.extended({"b": 2}, "a=1-b=2")
    assert extended.config.asdict() == {"a": 1, "b": 2}
    assert extended.fingerprint == expand({"parameters": {"a": [1], "b": [2]}}).cases[0].fingerprint
    assert extended.labels == {"a": "1", "b": "2"}


# -- what holds for any matrix ---------------------------------------------------------------------

VALUES = st.one_of(
    st.integers(),
    st.floats(),
    st.text(),
    st.booleans(),
    st.none(),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.binary(max_size=3),
)
PARAMETERS = st.dictionaries(
    st.sampled_from(["a", "b", "model", "lr"]),
    st.lists(VALUES, min_size=1, max_size=4, unique_by=digest_value),
    min_size=1,
    max_size=3,
)


@given(PARAMETERS)
@settings(deadline=None)
def test_any_matrix_is_its_product_under_unique_ids(parameters: dict[str, list[Any]]) -> None:
    cases = expand({"parameters": parameters}).cases
    product = [
        dict(zip(parameters, row, strict=True)) for row in itertools.product(*parameters.values())
    ]
    assert [digest_value(case.config.asdict()) for case in cases] == list(
        map(digest_value, product)
    )
    assert [list(case.config) for case in cases] == [list(parameters)] * len(product)
    labels = [case.label for case in cases]
    assert len(set(labels)) == len(labels)
    assert all(label.isprintable() for label in labels)
    again = expand({"parameters": parameters}).cases
    assert [(case.label, case.fingerprint) for case in again] == [
        (case.label, case.fingerprint) for case in cases
    ]


@given(st.lists(VALUES, min_size=1, max_size=9, unique_by=digest_value), st.data())
@settings(deadline=None)
def test_any_value_may_be_excluded(values: list[Any], data: st.DataObject) -> None:
    dropped = data.draw(st.sampled_from(values))
    kept = [value for value in values if digest_value(value) != digest_value(dropped)]
    assume(kept and digest_value([dropped]) not in map(digest_value, values))
    cases = expand({"parameters": {"a": values}, "exclude": [{"a": [dropped]}]}).cases
    assert [digest_value(case.config.a) for case in cases] == list(map(digest_value, kept))
