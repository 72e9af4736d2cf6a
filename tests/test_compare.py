"""Where a result that was computed again differs from the stored one."""

from __future__ import annotations

import math
import pickle
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from pytest_memento.compare import Difference, first_difference
from pytest_memento.fingerprint import digest_value


@dataclass
class Score:
    mean: object
    folds: list[object] = field(default_factory=list)


class Point(NamedTuple):
    x: object
    y: object


class Node:
    def __init__(self, value: object, next: object = None) -> None:
        self.value = value
        self.next = next


class Timed:
    """Equal whatever it took."""

    def __init__(self, value: object, seconds: float) -> None:
        self.value = value
        self.seconds = seconds

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timed) and self.value == other.value

    __hash__ = None  # type: ignore[assignment]


class Raising:
    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        raise ValueError("no opinion")

    __hash__ = None  # type: ignore[assignment]


def ring(value: object) -> Node:
    node = Node(1, Node(value))
    node.next.next = node  # type: ignore[attr-defined]
    return node


def fitted(c: float) -> LogisticRegression:
    return LogisticRegression(C=c).fit([[0.0], [1.0], [2.0]], [0, 0, 1])


VALUES: list[Any] = [
    None, 1, 1.5, math.nan, -math.inf, True, "a", b"a", 2j, [1, [2.0, {"a": (3,)}]], {1, "a"},
    {"b": 1, "a": math.nan}, OrderedDict(a=1), Counter("aab"), Score(0.9, [1, 2]), Point(1, "a"),
    ring(2), Timed(1, 2.0), Raising(1), fitted(1.0), len, Score, np.float64(0.1), np.float32(0.1),
    np.arange(6.0).reshape(2, 3), np.array([1, 2]), np.array([]), np.array(["a", "b"]),
    np.array([math.nan, math.inf]), np.array(["2024-01-01", "NaT"], dtype="datetime64[s]"),
    np.array([1, "a", None], dtype=object), np.array([(1, 0.5)], dtype=[("n", int), ("x", float)]),
    np.ma.masked_array([1.0, 2.0], [True, False]), np.random.default_rng(1),
    pd.DataFrame({"a": [1, 2], "b": ["x", None]}), pd.Series([0.1, math.nan], name="s"),
    pd.Series([1, None], dtype="Int64"), pd.Timestamp("2024-01-01"), pd.Categorical(["a", "b"]),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_is_itself_after_a_round_trip(value: Any) -> None:
    assert first_difference(value, value) is None
    assert first_difference(value, pickle.loads(pickle.dumps(value))) is None


@pytest.mark.parametrize("place", range(len(VALUES)))
def test_no_value_is_another_one(place: int) -> None:
    for other in VALUES[:place]:
        assert first_difference(VALUES[place], other) is not None


FRAME = pd.DataFrame({"lr": [0.1, 0.2], "acc": [0.8, 0.9]})

DIFFERENCES: list[tuple[Any, Any, str]] = [
    (1, 2, "stored 1, computed 2"),
    ("1", 1, "stored '1', computed 1"),
    (1, True, "stored 1, computed True"),
    (1.0, np.float64(1), "stored 1.0 (builtins.float), computed 1.0 (numpy.float64)"),
    ("x" * 98 + "a", "x" * 98 + "b",
     f"stored '…{'x' * 12}a', computed '…{'x' * 12}b'"),
    ("ab", "abc", "stored 'ab', computed 'abc'"),
    ({"acc": [1, 2]}, {"acc": [1, 3]}, "stored 2, computed 3 at ['acc'][1]"),
    ({"acc": 1}, {}, "stored 1, computed nothing at ['acc']"),
    ({}, {"acc": 1}, "stored nothing, computed 1 at ['acc']"),
    ({1: "a"}, {1.0: "a"}, "stored 'a', computed nothing at [1]"),
    ([1, 2], [1], "stored 2, computed nothing at [1]"),
    ([1], (1,), "stored [1], computed (1)"),
    ({"a", "b"}, {"a"}, "stored 'b', computed nothing at {'b'}"),
    (Score(0.9), Score(0.8), "stored 0.9, computed 0.8 at .mean"),
    (Score(1), Score(True), "stored 1, computed True at .mean"),
    (Point(1, 2), Point(1, 3), "stored 2, computed 3 at .y"),
    (Counter("ab"), Counter("aa"), "stored 1, computed 2 at ['a']"),
    (ring(2), ring(3), "stored 2, computed 3 at .next.value"),
    (Timed(1, 0.5), Timed(2, 0.5), "stored 1, computed 2 at .value"),
    (Raising(1), Raising(2), "stored 1, computed 2 at .value"),
    (fitted(1.0), fitted(2.0), "stored 1.0, computed 2.0 at .C"),
    (len, max, "stored 'len', computed 'max'"),
    (np.float64(0.1), np.float64(0.2), "stored 0.1, computed 0.2"),
    (np.zeros((2, 3)), np.eye(2, 3),
     "stored 0.0, computed 1.0 at [0, 0] (2 of 6 elements differ)"),
    (np.zeros(2), np.zeros(3), "stored 2, computed 3 at .shape[0]"),
    (np.zeros(2), np.zeros(2, "f4"),
     "stored 'float64 <f8', computed 'float32 <f4' at .dtype"),
    (np.array([1, 2]), np.array([1, 3]),
     "stored 2, computed 3 at [1] (1 of 2 elements differ)"),
    (FRAME, FRAME.assign(acc=[0.8, 0.7]),
     "stored 0.9, computed 0.7 at .iloc[:, 1][1] (1 of 2 elements differ)"),
]  # fmt: skip


@pytest.mark.parametrize(("stored", "computed", "said"), DIFFERENCES)
def test_the_first_difference_is_named(stored: Any, computed: Any, said: str) -> None:
    assert str(first_difference(stored, computed)) == said


def test_the_names_of_columns_count() -> None:
    found = first_difference(FRAME, FRAME.rename(columns={"acc": "f1"}))
    assert found is not None
    assert (found.at[:9], found.stored, found.computed) == (".columns.", "'acc'", "'f1'")


def test_an_object_that_says_what_makes_it_equal_is_believed() -> None:
    assert first_difference([Timed(1, 0.5)], [Timed(1, 0.7)]) is None


def test_what_has_no_fingerprint_is_not_taken_for_equal() -> None:
    one, other = ([iter([1, 2])] for _ in range(2))
    found = first_difference(one, other)
    assert found == Difference(
        "[0]", "list_iterator", "list_iterator", "they cannot be taken apart"
    )


def test_nested_too_deeply_is_no_crash() -> None:
    def nested(inner: object) -> object:
        for _ in range(5_000):
            inner = [inner]
        return inner

    found = first_difference(nested(1), nested(2))
    assert found is not None
    assert found.more == "they cannot be taken apart"


# -- tolerance -------------------------------------------------------------------------------------


def test_plain_floats_are_compared_exactly() -> None:
    assert first_difference(0.1 + 0.2, 0.3) is not None
    assert first_difference(math.nan, math.nan) is None


@pytest.mark.parametrize(
    ("kind", "near", "far"),
    [("f2", 5e-4, 5e-2), ("f4", 1e-6, 1e-4), ("f8", 1e-8, 1e-5), ("c8", 1e-6, 1e-4),
     ("c16", 1e-8, 1e-5), ("longdouble", 1e-8, 1e-5)],
)  # fmt: skip
def test_floats_of_numpy_are_compared_as_far_as_their_type_goes(
    kind: str, near: float, far: float
) -> None:
    ones = np.ones(4, kind)
    assert first_difference(ones, (ones * (1 + near)).astype(kind)) is None
    assert first_difference(ones[0], (ones * (1 + near)).astype(kind)[0]) is None
    assert first_difference(ones, (ones * (1 + far)).astype(kind)) is not None
    assert first_difference(ones[0], (ones * (1 + far)).astype(kind)[0]) is not None


def test_rounding_of_large_elements_shows_in_small_ones() -> None:
    assert first_difference(np.array([1e3, 0.0]), np.array([1e3, 1e-13])) is None
    assert first_difference(np.array([1e3, 0.0]), np.array([1e3, 1e-9])) is not None
    assert first_difference(np.array([0.0]), np.array([5e-324])) is not None


def test_what_is_not_finite_is_equal_to_itself_alone() -> None:
    odd = np.array([math.nan, math.inf, -math.inf, 1.0])
    assert first_difference(odd, odd.copy()) is None
    for place in range(4):
        other = odd.copy()
        other[place] = 2.0
        found = first_difference(odd, other)
        assert found is not None
        assert found.at == f"[{place}]"


def test_tensors_of_torch() -> None:
    torch = pytest.importorskip("torch")
    for kind in (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.complex64):
        tensor = torch.ones(2, 2, dtype=kind)
        assert first_difference(tensor, pickle.loads(pickle.dumps(tensor))) is None
        other = tensor.clone()
        other[1, 0] = 2
        found = first_difference({"w": tensor}, {"w": other})
        assert found is not None
        assert found.at == "['w'][1, 0]"
        assert found.more == "1 of 4 elements differ"
    near = torch.ones(2) * (1 + 1e-6)
    assert first_difference(torch.ones(2), near) is None
    assert first_difference(torch.ones(2), torch.nn.Parameter(torch.ones(2))) is not None
    model = torch.nn.Linear(2, 1)
    other = pickle.loads(pickle.dumps(model))
    assert first_difference(model, other) is None
    with torch.no_grad():
        other.bias += 1
    found = first_difference(model, other)
    assert found is not None
    assert "['bias']" in found.at


# -- invariants ------------------------------------------------------------------------------------

scalars = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(width=16) | st.text("ab", max_size=2)
)
keys = st.integers(-3, 3) | st.text("ab", max_size=2)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(keys, inner, max_size=3)
    | st.sets(keys, max_size=3)
    | st.builds(Score, inner)
    | st.builds(Point, inner, inner),
    max_leaves=6,
)  # fmt: skip


@given(values, values)
def test_there_is_a_difference_where_the_digests_differ(one: object, other: object) -> None:
    same = digest_value(one) == digest_value(other)
    assert (first_difference(one, other) is None) == same
    assert (first_difference(other, one) is None) == same
