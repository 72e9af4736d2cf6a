"""Digests of arrays, frames, tensors and estimators: by what they hold, not how they hold it."""

from __future__ import annotations

import copy
import os
import pathlib
import pickle
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_memento.errors import FingerprintError
from pytest_memento.fingerprint import Digest, digest_value

# Typed as anything: what is tested is how these libraries behave, whatever their stubs say.
np: Any = pytest.importorskip("numpy")
pd: Any = pytest.importorskip("pandas")

ROOT = pathlib.Path(__file__).parents[2]
GRID = np.arange(12.0).reshape(3, 4)
FIELDS = [("a", "i1"), ("b", "f8")]


def masked(*mask: bool) -> Any:
    return np.ma.MaskedArray([1, 2, 3], mask=mask or False)


def aligned(padding: int) -> Any:
    """Return a structured array whose bytes between the fields are *padding*."""
    raw = np.full(2 * 16, padding, dtype="u1")
    array = raw.view(np.dtype(FIELDS, align=True))
    array["a"], array["b"] = 1, 2.5
    return array


def drawn(seed: int, count: int = 0) -> Any:
    generator = np.random.default_rng(seed)
    generator.random(count)
    return generator


def frame(**columns: Any) -> Any:
    return pd.DataFrame(columns)


def with_attrs(value: Any, **attrs: object) -> Any:
    value.attrs.update(attrs)
    return value


DIFFERENT: list[Any] = [
    *(1, 1.0, True, "1", [1], [1.0], None, b"1", "NaT"),
    *(np.int64(1), np.int32(1), np.uint64(1), np.float64(1), np.float32(1), np.bool_(True)),
    *(np.str_("1"), np.bytes_(b"1"), np.complex128(1), np.longdouble(1), np.float16(1)),
    *(np.datetime64("2020"), np.datetime64("2020", "ns"), np.timedelta64(1, "s")),
    *(np.datetime64("NaT", "s"), np.float64("nan"), np.float64(-0.0), np.float64(0.0)),
    *(np.array(1), np.array([1]), np.array([[1]]), np.array([1.0]), np.array([True])),
    *(
        np.array(["1"]),
        np.array([b"1"]),
        np.array([1], dtype=object),
        np.array(["1"], dtype=object),
    ),
    *(np.array([True], dtype=object), np.array([1.0], dtype=object), np.array([[1], [2]])),
    *(np.array([]), np.zeros((0, 3)), np.zeros((3, 0)), np.array([], dtype="i8"), np.array([""])),
    *(GRID, GRID.T, GRID.reshape(4, 3), GRID.ravel(), GRID + 1, GRID.astype("f4")),
    *(np.array([0.0]), np.array([-0.0]), np.array([np.nan]), np.array([np.inf])),
    *(np.array([complex(np.nan, 1)]), np.array([complex(1, np.nan)]), np.array([1 + 1j])),
    *(np.array(["2020"], "M8[D]"), np.array(["2020"], "M8[s]"), np.array(["NaT"], "M8[s]")),
    *(aligned(0), np.zeros(2, FIELDS), np.zeros(2, [("a", "i1"), ("c", "f8")])),
    *(np.zeros(1, "V8"), np.zeros(1, [("a", "i4", (2,))]), np.zeros(1, [("a", "i4", (3,))])),
    *(masked(), masked(True, False, False), masked(False, True, False), np.ma.masked),
    *(GRID.view(np.matrix), np.rec.array([(1, 2.0)], dtype=FIELDS)),
    *(np.dtype("f8"), np.dtype(">f8"), np.dtype("i8"), np.dtype(FIELDS), np.float64),
    *(np.dtype(FIELDS, align=True), np.dtype(("f8", (2,))), np.dtype(("f8", (3,)))),
    *(drawn(0), drawn(1), drawn(0, 1), drawn(0).bit_generator, np.random.MT19937(0)),
    *(np.random.RandomState(0), np.random.RandomState(1), np.random.SeedSequence(0)),
    *(np.add, np.subtract, np.mean, np.linalg.norm, np.random.default_rng),
    *(pd.Series([1, 2]), pd.Series([1.0, 2.0]), pd.Series([2, 1]), pd.Series([1, 2], name="a")),
    *(pd.Series([1, 2], index=[1, 2]), pd.Series([1, 2], index=["a", "b"]), pd.Index([1, 2])),
    *(pd.Index([1, 2], name="a"), pd.Index(["1", "2"]), pd.Index([1.0, 2.0])),
    *(pd.Series([1, None], dtype="Int64"), pd.Series([1, 0], dtype="Int64"), pd.Series([1, None])),
    *(pd.Series([True, None], dtype="boolean"), pd.Series([0.5, None], dtype="Float64")),
    *(pd.Series(["a", None], dtype=object), pd.Series(["a", None], dtype="string")),
    *(pd.Series(["a", "b"], dtype="category"), pd.Series(["a", "a"], dtype="category")),
    *(
        pd.Categorical(["a"], ordered=True),
        pd.Categorical(["a"]),
        pd.Categorical(["a"], ["a", "b"]),
    ),
    *(pd.Series(pd.date_range("2020", periods=2)), pd.Series(pd.date_range("2021", periods=2))),
    *(
        pd.date_range("2020", periods=2, tz="UTC"),
        pd.date_range("2020", periods=2, tz="Asia/Tokyo"),
    ),
    *(pd.period_range("2020", periods=2, freq="D"), pd.period_range("2020", periods=2, freq="M")),
    *(
        pd.interval_range(0, 2),
        pd.interval_range(0, 2, closed="both"),
        pd.arrays.SparseArray([0, 1]),
    ),
    *(frame(a=[1], b=[2]), frame(b=[2], a=[1]), frame(a=[1], b=[2.0]), frame(a=[1, 2]), frame()),
    *(frame(a=[1]), with_attrs(frame(a=[1]), source="x"), frame(a=[{"x": 1}]), frame(a=["x"])),
    pd.DataFrame([[1, 2]], columns=["a", "a"]),
    pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("a", 2)])),
    *(pd.MultiIndex.from_tuples([("a", 1)]), pd.MultiIndex.from_tuples([("a", 2)])),
    *(
        pd.Timestamp("2020"),
        pd.Timestamp("2020", tz="UTC"),
        pd.Timestamp("2020-01-01 00:00:00.000000001"),
    ),
    *(pd.Timedelta(1), pd.Timedelta(2), pd.NaT, pd.NA, pd.Period("2020"), pd.Interval(0, 1)),
    *(pd.Int64Dtype(), pd.CategoricalDtype(["a"]), pd.CategoricalDtype(["b"]), pd.StringDtype()),
    *(pd.DatetimeTZDtype("ns", "UTC"), pd.offsets.Day(1), pd.offsets.Day(2)),
]

ONE_BLOCK = pd.DataFrame(np.arange(6).reshape(2, 3), columns=list("abc"))
CONSOLIDATED = pd.concat([ONE_BLOCK[["a", "b"]], ONE_BLOCK[["c"]]], axis=1)

EQUAL: dict[str, tuple[Any, Any]] = {
    "F order": (GRID, np.asfortranarray(GRID)),
    "strided": (GRID[::2, 1:3], GRID[::2, 1:3].copy()),
    "strided, flat": (np.arange(10)[::3], np.array([0, 3, 6, 9])),
    "reversed": (GRID[::-1], GRID[::-1].copy()),
    "broadcast": (np.broadcast_to(1.0, (2, 3)), np.ones((2, 3))),
    "byte order": (GRID, GRID.astype(">f8")),
    "byte order of datetimes": (np.array(["2020"], "<M8[s]"), np.array(["2020"], ">M8[s]")),
    "byte order of text": (np.array(["ab"], "<U2"), np.array(["ab"], ">U2")),
    "byte order of fields": (np.zeros(1, [("a", "<i4")]), np.zeros(1, [("a", ">i4")])),
    "byte order of a scalar": (np.float64(1.5), np.array(1.5, ">f8")[()]),
    "padding": (aligned(0), aligned(255)),
    "read only": (np.frombuffer(b"ab", "u1"), np.array([97, 98], "u1")),
    "NaN": (np.array([np.nan, 1]), np.array([-np.nan, 1])),
    "complex NaN": (np.array([complex(np.nan, 1)]), np.array([complex(-np.nan, 1)])),
    "NaN of a scalar": (np.float32("nan"), -np.float32("nan")),
    "objects": (np.array([{"a": 1, "b": 2}]), np.array([{"b": 2, "a": 1}])),
    "objects in F order": (GRID.astype(object), np.asfortranarray(GRID.astype(object))),
    "no mask": (masked(), masked(False, False, False)),
    "long double": (np.ones(3, "g"), (np.ones(6, "g") * np.array([1, 2] * 3))[::2]),
    "native dtype": (np.dtype("f8"), np.dtype("=f8")),
    "generator": (drawn(0, 3), drawn(0, 3)),
    "blocks": (ONE_BLOCK, CONSOLIDATED),
    "columns added": (ONE_BLOCK, frame(a=[0, 3], b=[1, 4], c=[2, 5])),
    "frame in F order": (pd.DataFrame(GRID), pd.DataFrame(np.asfortranarray(GRID))),
    "sliced frame": (pd.DataFrame(GRID).iloc[::2], pd.DataFrame(GRID[::2], index=[0, 2])),
    "range index": (pd.Series([1, 2]), pd.Series([1, 2], index=pd.Index([0, 1]))),
    "frequency": (
        pd.date_range("2020", periods=2),
        pd.DatetimeIndex(list(pd.date_range("2020", periods=2))),
    ),
    "levels": (
        pd.MultiIndex.from_product([["a", "b"], [1, 2]])[:1],
        pd.MultiIndex.from_tuples([("a", 1)]),
    ),
    "masked integers": (
        pd.array([1, None], dtype="Int64"),
        pd.arrays.IntegerArray(np.array([1, 7]), np.array([False, True])),
    ),
    "timestamp": (pd.Timestamp("2020"), pd.Timestamp(2020, 1, 1)),
}

arrays = st.builds(
    lambda shape, seed, dtype: np.random.default_rng(seed).integers(0, 3, shape).astype(dtype),
    st.lists(st.integers(0, 3), max_size=3).map(tuple),
    st.integers(0, 5),
    st.sampled_from(["i8", "f4", ">f8", "?", "U3", "S2", "O", "c16", "M8[s]", "m8[D]"]),
)
quick = settings(deadline=None, max_examples=100)


def test_each_of_many_kinds_differs_from_all_others() -> None:
    seen: dict[Digest, object] = {}
    for value in DIFFERENT:
        other = seen.setdefault(digest_value(value), value)
        assert other is value


@pytest.mark.parametrize("name", EQUAL)
def test_equal(name: str) -> None:
    one, other = EQUAL[name]
    assert digest_value(one) == digest_value(other)


def test_survives_a_pickle_round_trip() -> None:
    for value in DIFFERENT:
        assert digest_value(pickle.loads(pickle.dumps(value))) == digest_value(value)
        assert digest_value(copy.deepcopy(value)) == digest_value(value)


@quick
@given(arrays, st.sampled_from("CFKA"))
def test_layout_does_not_count(array: Any, order: str) -> None:
    assert digest_value(array.copy(order=order)) == digest_value(array)
    twice = np.repeat(array, 2, axis=0)[::2] if array.ndim else array
    assert digest_value(twice) == digest_value(array)
    assert digest_value(array.astype(array.dtype.newbyteorder())) == digest_value(array)


@quick
@given(arrays, arrays)
def test_equal_digests_mean_equal_arrays(one: Any, other: Any) -> None:
    native = [array.dtype.newbyteorder("<") for array in (one, other)]
    equal = native[0] == native[1] and one.shape == other.shape and bool((one == other).all())
    assert (digest_value(one) == digest_value(other)) == equal


def test_what_a_library_raises_is_said_with_the_type() -> None:
    def attrs(self: object) -> None:
        raise OSError("the disk is gone")

    broken: Any = type("Broken", (pd.Series,), {"attrs": property(attrs)})
    with pytest.raises(
        FingerprintError, match=r"Broken' object: reading it raised OSError: the disk"
    ):
        digest_value(broken([1]))


def test_a_memory_mapped_array_is_that_array(tmp_path: pathlib.Path) -> None:
    np.save(tmp_path / "grid.npy", GRID)
    mapped = np.load(tmp_path / "grid.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    assert digest_value(mapped) == digest_value(GRID)


def test_a_subclass_of_an_array_counts_with_its_attributes() -> None:
    quantity: Any = type("Quantity", (np.ndarray,), {"unit": "m"})
    metres, feet = GRID.view(quantity), GRID.view(quantity)
    assert digest_value(metres) != digest_value(GRID)
    assert digest_value(metres) == digest_value(feet)
    feet.unit = "ft"
    assert digest_value(metres) != digest_value(feet)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (np.array([1, iter([])], dtype=object), ".data[1]"),
        ({"x": frame(a=[1], b=[iter([])])}, "['x'].iloc[:, 1].data[0]"),
        (pd.Series([iter([])], name="a"), ".array.data[0]"),
    ],
)
def test_says_where(value: object, path: str) -> None:
    with pytest.raises(FingerprintError) as caught:
        digest_value(value)
    assert caught.value.at == path


def double(x: float) -> float:
    return 2 * x


def test_functions_of_numpy_go_by_the_name_under_which_they_are_found() -> None:
    assert digest_value(np.add) == digest_value(pickle.loads(pickle.dumps(np.add)))
    assert digest_value(np.add) != digest_value(np.subtract)
    with pytest.raises(FingerprintError, match="does not tell which function it was made from"):
        digest_value(np.frompyfunc(double, 1, 1))
    vectorized = np.vectorize(double, otypes=[float])
    before = digest_value(vectorized)
    assert vectorized([1]) == [2]
    assert digest_value(vectorized) == before != digest_value(np.vectorize(pow, otypes=[float]))


def test_a_stand_in_is_asked_for_arrays() -> None:
    digest = digest_value(
        [GRID], stand_in=lambda value: 1 if isinstance(value, np.ndarray) else None
    )
    assert digest == digest_value(
        [GRID + 1], stand_in=lambda value: 1 if value is not np.ndarray else None
    )


IN_EACH_PROCESS = """
import numpy as np, pandas as pd
from pytest_memento.fingerprint import digest_value
words = ["a", "b", "c"]
objects = np.empty(2, dtype=object); objects[:] = [set(words), {w: 1 for w in words}]
print(digest_value([
    np.arange(12.0).reshape(3, 4), np.array(words), objects, np.float32(1),
    np.random.default_rng(0),
    np.random.RandomState(0), np.dtype("f8"), np.array(["2020"], "M8[s]"), np.add, np.float64,
    pd.DataFrame({"a": [1, 2], "b": [1.5, None]}), pd.Series(words, dtype="category"),
    pd.Timestamp("2020", tz="UTC"),
]))
"""


def test_is_the_same_in_every_process() -> None:
    digests = set()
    for seed in ("0", "random"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", IN_EACH_PROCESS]
        digests.add(
            subprocess.run(command, env=environment, check=True, capture_output=True).stdout
        )
    assert len(digests) == 1


def test_estimators_count_by_class_and_attributes() -> None:
    svm: Any = pytest.importorskip("sklearn.svm")
    linear: Any = pytest.importorskip("sklearn.linear_model")
    ensemble: Any = pytest.importorskip("sklearn.ensemble")
    fitted = svm.SVC().fit(GRID, [0, 1, 0])
    different = [
        *(svm.SVC(), svm.SVC(C=2), svm.SVC(C=1), svm.SVR(), svm.SVC, fitted),
        *(linear.LogisticRegression(), linear.LogisticRegression(C=2)),
        *(ensemble.BaggingClassifier(svm.SVC()), ensemble.BaggingClassifier(svm.SVC(C=2))),
        ensemble.RandomForestClassifier(2, random_state=0).fit(GRID, [0, 1, 0]),
        ensemble.RandomForestClassifier(2, random_state=1).fit(GRID, [0, 1, 0]),
    ]
    digests = [digest_value(value) for value in different]
    assert len({*digests}) == len(different)
    assert [digest_value(copy.deepcopy(value)) for value in different] == digests


def test_the_version_of_scikit_learn_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    base: Any = pytest.importorskip("sklearn.base")
    svm: Any = pytest.importorskip("sklearn.svm")
    before = digest_value(svm.SVC())
    monkeypatch.setattr(base, "__version__", "99.0")
    assert digest_value(svm.SVC()) == before


def test_sparse_matrices_count_without_what_they_found_out_about_themselves() -> None:
    sparse: Any = pytest.importorskip("scipy.sparse")
    for make in (sparse.csr_matrix, sparse.csc_array, sparse.coo_array):
        used, fresh = make(GRID), make(GRID)
        before = digest_value(used)
        used.sum(axis=0)
        used.tocsr().has_canonical_format  # noqa: B018
        assert digest_value(used) == before == digest_value(fresh)
        assert digest_value(make(GRID + 1)) != before
    assert digest_value(sparse.csr_matrix(GRID)) != digest_value(sparse.csr_array(GRID))


def test_torch_tensors() -> None:
    torch: Any = pytest.importorskip("torch")
    grid = torch.arange(12.0).reshape(3, 4)
    different = [
        *(grid, grid.T, grid + 1, grid.double(), grid.bfloat16(), grid.half(), grid.int()),
        *(grid.clone().requires_grad_(), torch.nn.Parameter(grid), grid.to_sparse(), grid.ravel()),
        *(
            torch.tensor(1.0),
            torch.tensor([1.0]),
            torch.tensor([]),
            torch.tensor([], dtype=torch.int),
        ),
        *(torch.tensor([True]), torch.tensor([1j]), torch.tensor([1j]).conj(), torch.float32),
        *(torch.tensor([float("nan")]), torch.device("cpu"), torch.nn.Linear(1, 1)),
    ]
    assert len({digest_value(value) for value in different}) == len(different)
    assert digest_value(grid.T.contiguous()) == digest_value(grid.T)
    assert digest_value(copy.deepcopy(grid)) == digest_value(grid)
    assert digest_value(-torch.tensor([float("nan")])) == digest_value(torch.tensor([float("nan")]))
