"""Short names of values: readable, on one line, without addresses."""

from __future__ import annotations

import datetime
import enum
import functools
import itertools
import math
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_memento.labels import LONGEST, attribute, label, one_line, short


class Colour(enum.Enum):
    RED = "#f00"


class Level(enum.IntEnum):
    LOW = 1


class Model:
    def fit(self) -> None: ...


class Unnamed:
    """An object whose every attribute raises."""

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        raise RuntimeError("repr")


class Unspeakable(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("str")


def train(model: object) -> None: ...


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("mnist", "mnist"),
        ("", ""),
        (0.1, "0.1"),
        (1e-05, "1e-05"),
        (True, "True"),
        (None, "None"),
        (2j, "2j"),
        (Colour.RED, "RED"),
        (Level.LOW, "LOW"),
        (Model, "Model"),
        (Model(), "Model"),
        (Model.fit, "fit"),
        (Model().fit, "fit"),
        (math.sin, "sin"),
        (math, "math"),
        (train, "train"),
        (lambda: None, "lambda"),
        ((i for i in "ab"), "generator"),
        (functools.partial(dict, [Model], lr=0.1), "dict([Model],lr=0.1)"),
        (functools.partial(train), "train()"),
        (PurePosixPath("a/b"), "a/b"),
        (PureWindowsPath(r"a\b"), "a/b"),
        (datetime.date(2024, 1, 31), "2024-01-31"),
        (datetime.datetime(2024, 1, 31, tzinfo=datetime.timezone.utc), "2024-01-31T00:00:00+00:00"),
        ([64, 32], "[64,32]"),
        ((1, "a"), "(1,a)"),
        ({"b": 1, "a": [2]}, "{a:[2],b:1}"),
        ([], "[]"),
        ([[[[1]]]], "[[[list]]]"),
        (set("abc"), "set"),
        (b"raw", "bytes"),
        (range(3), "range"),
        (np.float64(0.5), "0.5"),
        (np.int64(3), "3"),
        (np.array(7), "7"),
        (np.zeros((2, 3)), "ndarray(2x3)"),
        (np.array([1]), "ndarray(1)"),
        (pd.DataFrame({"a": [1, 2]}), "DataFrame(2x1)"),
        (pd.Timestamp("2020-01-01"), "2020-01-01T00:00:00"),
        (Unnamed(), "Unnamed"),
        (Unspeakable("x"), "Unspeakable"),
        ([Unspeakable("x")], "list"),
        (10**5000, "int"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\ud800", r"\ud800"),
        ("\0", r"\x00"),
        ("naïve é 中", "naïve é 中"),
    ],
    ids=itertools.count(),
)
def test_labels(value: object, expected: str) -> None:
    assert label(value) == expected


def test_labels_do_not_depend_on_identity() -> None:
    assert label(Model()) == label(Model())
    assert "0x" not in label([Model(), object(), Model().fit, print, iter([])])


def test_long_values_are_cut() -> None:
    assert label("x" * 49) == "x" * 47 + "…"
    assert label("x" * 48) == "x" * 48
    assert len(label(list(range(10**6)))) == LONGEST
    assert len(label([[["x" * 60] * 60] * 60])) == LONGEST


def test_what_contains_itself_has_a_label() -> None:
    value: dict[str, Any] = {}
    value["self"] = [value]
    assert label(value) == "{self:[{self:list}]}"


@given(st.text(), st.integers(1, 60))
def test_one_line_prints(text: str, longest: int) -> None:
    assert one_line(text, longest).isprintable()
    assert len(text) > longest or one_line(text, longest) == one_line(text)


@given(st.text())
def test_text_that_prints_stays_as_it_is(text: str) -> None:
    assert (one_line(text) == text) == text.isprintable()


def test_an_attribute_that_raises_is_none() -> None:
    assert attribute(Unnamed(), "shape") is None
    assert attribute(Model(), "shape") is None
    assert attribute(np.zeros(2), "shape") == (2,)


def test_marks_are_the_start_of_a_digest() -> None:
    assert short("3fa9c1d2e4b5") == "~3fa9c1"
    assert short("3fa9c1d2e4b5", 8) == "~3fa9c1d2"
