"""Metrics: any real number, one point per call and name."""

from __future__ import annotations

import decimal
import fractions
import json
import math
import types
from typing import Any, NoReturn

import numpy as np
import pytest

from pytest_memento.errors import ContextError
from pytest_memento.metrics import Series, last, number, points


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 1),
        (True, 1),
        (0.5, 0.5),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.int8(3), 3),
        (np.bool_(True), 1),
        (np.array(2.5), 2.5),
        (decimal.Decimal("0.25"), 0.25),
        (fractions.Fraction(1, 4), 0.25),
        (math.inf, math.inf),
        (2**63 - 1, 2**63 - 1),
        (10**30, 1e30),
        (types.SimpleNamespace(shape=(), item=lambda: 1.5), 1.5),
    ],
)
def test_real_numbers_become_python_numbers(value: object, expected: float) -> None:
    made = number(value, "x")
    assert made == expected
    assert type(made) is type(expected)
    assert json.loads(json.dumps(made)) == made


def test_not_a_number_is_a_number() -> None:
    assert math.isnan(number(math.nan, "x"))
    assert math.isnan(number(decimal.Decimal("nan"), "x"))


def _raise() -> NoReturn:
    raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0.5", "x is '0.5' (str): give a real number"),
        (None, "x is None (NoneType): give a real number"),
        (1j, "x is 1j (complex): give a real number"),
        ([0.5], "x is [0.5] (list): give a real number"),
        (np.zeros(1000), "x is ndarray(1000) (ndarray): give a real number"),
        (np.array("a\nb"), r"x is 'a\nb' (str): give a real number"),
        (10**400, "x is too large for a float (int): give a real number"),
        (
            fractions.Fraction(10**400),
            "x is too large for a float (Fraction): give a real number",
        ),
        (decimal.Decimal("snan"), "x is Decimal (Decimal): give a real number"),
        (object(), "x is object (object): give a real number"),
        (
            types.SimpleNamespace(shape=(), item=_raise),
            "x is SimpleNamespace (SimpleNamespace): give a real number",
        ),
    ],
)
def test_anything_else_is_refused(value: object, expected: str) -> None:
    with pytest.raises(ContextError) as caught:
        number(value, "x")
    assert str(caught.value) == expected


def test_points_count_on_from_what_was_recorded() -> None:
    series: Series = {"loss": [(0, 0.9), (1, 0.5)]}
    assert points({"loss": 0.4, "accuracy": 0.7}, None, series) == {
        "loss": [(2, 0.4)],
        "accuracy": [(0, 0.7)],
    }
    assert series == {"loss": [(0, 0.9), (1, 0.5)]}


def test_a_step_is_taken_from_the_call_or_from_the_value() -> None:
    made = points({"loss": 0.4, "accuracy": (np.int64(7), 0.7)}, 3, {})
    assert made == {"loss": [(3, 0.4)], "accuracy": [(7, 0.7)]}
    assert points({"loss": (0.5, 1)}, None, {}) == {"loss": [(0.5, 1)]}


@pytest.mark.parametrize(
    ("values", "step", "expected"),
    [
        (0.5, None, "record takes a dict of name: value, not float"),
        ([("loss", 1)], None, "record takes a dict of name: value, not list"),
        ({1: 0.5}, None, "metric 1 is not a name: use a string"),
        ({"loss": "x"}, None, "metric 'loss' is 'x' (str): give a real number"),
        ({"loss": (1, 2, 3)}, None, "metric 'loss' is (1,2,3): give a value or (step, value)"),
        ({"loss": ("a", 2)}, None, "the step of metric 'loss' is 'a' (str): give a real number"),
        ({"loss": (1, "b")}, None, "metric 'loss' is 'b' (str): give a real number"),
        ({"loss": 1}, "a", "the step is 'a' (str): give a real number"),
    ],
)
def test_wrong_points_are_explained(values: Any, step: Any, expected: str) -> None:
    with pytest.raises(ContextError) as caught:
        points(values, step, {})
    assert str(caught.value) == expected


def test_the_last_value_of_each() -> None:
    assert last({"loss": [(0, 0.9), (1, 0.5)], "none": []}) == {"loss": 0.5}
