"""What a running experiment is handed."""

from __future__ import annotations

import fractions
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_memento import Config, Context, ContextError, MementoWarning, UnstorableError
from pytest_memento.files import digest_content
from pytest_memento.fingerprint import Digest
from pytest_memento.record import Key
from pytest_memento.store import Store


def key(parameters: str = "a", code: str = "c") -> Key:
    return Key("exp.py::f", Digest(parameters * 32), Digest("b" * 32), Digest(code * 32))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def context(store: Store) -> Context:
    return Context(key(), Config({"lr": 0.1}), store)


def again(context: Context, store: Store) -> Context:
    """Return the context that the next process has."""
    return Context(key(), context.config, Store(store.root))


def test_checkpoints(context: Context, store: Store) -> None:
    assert not context.checkpoint_exist()
    assert context.restore() is None
    assert context.restore(default=3) == 3
    context.checkpoint({"epoch": 1})
    context.checkpoint({"epoch": 2, "weights": np.arange(100_000)})
    assert context.checkpoint_exist()
    restored = again(context, store).restore()
    assert restored["epoch"] == 2
    np.testing.assert_array_equal(restored["weights"], np.arange(100_000))


def test_metrics_come_back_with_the_checkpoint(context: Context, store: Store) -> None:
    context.record({"loss": 0.5})
    context.record({"loss": 0.4})
    context.checkpoint(2)
    context.record({"loss": 0.3})  # this step is done again
    following = again(context, store)
    assert following.restore() == 2
    following.record({"loss": 0.31})
    assert following.series == {"loss": [(0, 0.5), (1, 0.4), (2, 0.31)]}


def test_a_restored_array_can_be_written(context: Context, store: Store) -> None:
    context.checkpoint(np.zeros(100_000))
    weights = again(context, store).restore()
    weights += 1
    context.checkpoint(weights)
    assert again(context, store).restore().sum() == 100_000


@pytest.mark.parametrize("other", [key(parameters="d"), key(code="d")])
def test_others_have_other_checkpoints(context: Context, store: Store, other: Key) -> None:
    context.checkpoint(1)
    assert Context(other, context.config, store).restore() is None


def test_what_does_not_pickle_leaves_the_checkpoint_before(context: Context) -> None:
    context.checkpoint(1)
    with pytest.raises(UnstorableError, match="cannot pickle"):
        context.checkpoint(iter_forever())
    assert context.restore() == 1


def iter_forever() -> Iterator[int]:
    while True:
        yield 1


def test_a_torn_checkpoint_is_not_used(context: Context, store: Store) -> None:
    context.checkpoint(list(range(1000)))
    path = store.checkpoint(key())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.warns(MementoWarning, match="the checkpoint is not used: .*; starting anew"):
        assert context.restore("anew") == "anew"


def test_dir(context: Context, store: Store) -> None:
    (context.dir / "plot.png").write_text("picture")
    assert context.dir.is_dir()
    assert context.dir == store.artifacts(key())


def test_a_data_file_that_is_read_twice(context: Context, tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    for text, equals in (("1", True), ("1", True), ("22", False), ("22", False)):
        path.write_text(text)
        context.depends_on(path)
        (digest,) = context.files.values()
        assert (digest == digest_content(path)) is equals


def test_a_failed_run_leaves_files_only_beside_a_checkpoint(context: Context, store: Store) -> None:
    (context.dir / "part").touch()
    context.checkpoint(1)
    store.start_clean(key())
    assert (context.dir / "part").exists()
    store.forget_checkpoint(key())
    store.start_clean(key())
    assert list(context.dir.iterdir()) == []


def test_seed_and_key(context: Context) -> None:
    assert 0 <= context.seed < 2**32
    assert context.seed == Context(key(code="x"), context.config, context._store).seed
    assert context.seed != Context(key(parameters="x"), context.config, context._store).seed
    assert len(context.key) == 32
    assert context.key != Context(key(code="x"), context.config, context._store).key


def test_record(context: Context) -> None:
    context.record({"loss": 0.5, "accuracy": (3, np.float32(0.5))})
    context.record({"loss": np.float64(0.25)})
    context.record({"loss": True, "third": fractions.Fraction(1, 4)}, step=10)
    context.record({"loss": np.array(2)})
    assert context.series == {
        "loss": [(0, 0.5), (1, 0.25), (10, 1), (3, 2)],
        "accuracy": [(3, 0.5)],
        "third": [(10, 0.25)],
    }
    assert all(type(v) in (int, float) for points in context.series.values() for _, v in points)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"loss": "low"}, "metric 'loss' is 'low' (str): give a real number"),
        ({"loss": None}, "metric 'loss' is None (NoneType): give a real number"),
        ({"loss": 1j}, "metric 'loss' is 1j (complex): give a real number"),
        ({"loss": (1, 2, 3)}, "metric 'loss' is (1,2,3): give a value or (step, value)"),
        ({"loss": ("a", 2)}, "the step of metric 'loss' is 'a' (str): give a real number"),
        ({3: 1.0}, "metric 3 is not a name: use a string"),
        ([1.0], "record takes a dict of name: value, not list"),
    ],
)
def test_what_cannot_be_recorded(context: Context, values: Any, message: str) -> None:
    with pytest.raises(ContextError) as raised:
        context.record(values)
    assert str(raised.value) == message


def test_nothing_is_recorded_by_halves(context: Context) -> None:
    with pytest.raises(ContextError):
        context.record({"good": 1, "bad": "x"})
    assert context.series == {}


def test_progress(context: Context) -> None:
    context.progress(3, 10)
    assert context.told_progress == (3, 10)
    with pytest.raises(ContextError, match="done is 'three'"):
        context.progress("three", 10)  # type: ignore[arg-type]


def test_track(context: Context) -> None:
    seen = [(item, context.told_progress) for item in context.track("abc")]
    assert seen == [("a", (0, 3)), ("b", (1, 3)), ("c", (2, 3))]
    assert context.told_progress == (3, 3)
    assert list(context.track(iter([1, 2]), total=2)) == [1, 2]
    with pytest.raises(ContextError, match="give it total="):
        list(context.track(iter([1, 2])))


def test_making_a_context_touches_nothing(context: Context, store: Store) -> None:
    _ = context.seed, context.key, context.config, context.restore(), context.checkpoint_exist()
    assert not store.root.exists()
