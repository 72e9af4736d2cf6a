"""Values to bytes and back, and which part is to blame where that does not work."""

from __future__ import annotations

import dataclasses
import functools
import pickle
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_memento.errors import UnstorableError
from pytest_memento.pickling import OUT_OF_BAND, Pickled, dump, load

LOCK = "cannot pickle '_thread.lock' object"


def round_trip(value: object) -> Any:
    pickled = dump(value)
    return load(pickled.stream, pickled.buffers)


def refusal(value: object) -> UnstorableError:
    with pytest.raises(UnstorableError) as caught:
        dump(value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
    return caught.value


class Holder:
    def __init__(self, **attributes: object) -> None:
        vars(self).update(attributes)


@dataclasses.dataclass(slots=True)
class Slotted:
    pool: object
    name: str = "x"


class Selective(Holder):
    """Leaves its pool out, as many classes with connections do."""

    def __getstate__(self) -> dict[str, object]:
        return {name: part for name, part in vars(self).items() if name != "pool"}


class Listing(Holder):
    def __getstate__(self) -> list[object]:
        return list(vars(self).values())


class Built:
    def __init__(self, pool: object) -> None:
        self.pool = pool

    def __reduce__(self) -> Any:
        return Built, (self.pool,)


class Furious:
    def __reduce__(self) -> NoReturn:
        raise RuntimeError("first line\nsecond line")


class Speechless:
    def __reduce__(self) -> NoReturn:
        raise ValueError(Unprintable())


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class Bag(dict[str, object]):
    """A dict that may have attributes."""


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(values)
@settings(deadline=None)
def test_values_come_back(value: object) -> None:
    assert round_trip(value) == value


def test_what_pickle_cannot_name_comes_back_too() -> None:
    class Local:
        def __init__(self, factor: int) -> None:
            self.times: Callable[[int], int] = lambda x: factor * x

    local = round_trip(Local(3))
    assert local.times(2) == 6
    assert round_trip([lambda: 7])[0]() == 7
    assert round_trip(functools.partial(lambda x, y: x - y, 5))(2) == 3


def test_what_contains_itself_comes_back() -> None:
    value: list[Any] = []
    value.append(value)
    again = round_trip(value)
    assert again[0] is again


def test_plain_values_are_plain_pickles() -> None:
    pickled = dump({"a": [1]})
    assert pickle.loads(pickled.stream) == {"a": [1]}
    assert pickled == Pickled(pickled.stream, [])
    assert b"cloudpickle" not in pickled.stream


@pytest.mark.parametrize("size", [OUT_OF_BAND - 1, OUT_OF_BAND, 10 * OUT_OF_BAND])
def test_large_arrays_travel_beside_the_pickle(size: int) -> None:
    array = np.arange(size, dtype=np.uint8)
    pickled = dump({"large": array, "small": np.arange(3)})
    beside = [buffer.nbytes for buffer in pickled.buffers]
    assert beside == ([size] if size >= OUT_OF_BAND else [])
    again = load(pickled.stream, pickled.buffers)
    assert np.array_equal(again["large"], array)
    assert np.shares_memory(again["large"], array) == bool(beside)


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_in_either_order_come_back(order: Any) -> None:
    array = np.asarray(np.random.default_rng(0).normal(size=(200, 300)), order=order)
    assert np.array_equal(round_trip(array), array)
    assert np.array_equal(round_trip(array[::2, ::3]), array[::2, ::3])


def test_buffers_are_taken_where_cloudpickle_is_needed() -> None:
    array = np.zeros(OUT_OF_BAND)
    assert len(dump([array, lambda: None]).buffers) == 1


def make_closure(pool: object) -> Callable[[], object]:
    return lambda: pool


@pytest.mark.parametrize(
    ("wrap", "at"),
    [
        (lambda lock: lock, ""),
        (lambda lock: Holder(fine=1, model=Holder(pool=lock)), ".model.pool"),
        (lambda lock: {"a": [lock]}, "['a'][0]"),
        (lambda lock: {1: {"b": (0, lock)}}, "[1]['b'][1]"),
        (lambda lock: {"x" * 1000: lock}, f"['{'x' * 47}…']"),
        (lambda lock: {"a\nb": lock}, r"['a\nb']"),
        (lambda lock: {Holder: lock}, "[Holder]"),
        (lambda lock: {lock: 1}, "{lock}"),
        (lambda lock: {lock}, "{lock}"),
        (Slotted, ".pool"),
        (lambda lock: Bag(fine=1, pool=lock), "['pool']"),
        (lambda lock: Selective(pool=threading.Lock(), other=lock), ".other"),
        (lambda lock: Listing(fine=1, other=lock), ".__getstate__()[1]"),
        (Built, "(argument 0)"),
        (lambda lock: functools.partial(print, 1, pool=lock), ".keywords['pool']"),
        (lambda lock: make_closure([lock]), ".pool[0]"),
        (lambda lock: [Holder(fine=1), make_closure(lock)], "[1].pool"),
    ],
)
def test_the_part_that_does_not_pickle_is_named(wrap: Callable[[object], object], at: str) -> None:
    lock = threading.Lock()
    error = refusal(wrap(lock))
    kind = f"{type(lock).__module__}.{type(lock).__name__}"
    assert error.reason == LOCK.replace("_thread.lock", kind)
    assert error.at == at.replace("{lock}", f"{{{type(lock).__name__}}}")
    assert str(error) == (f"{error.reason} (at {error.at})" if at else error.reason)


def test_the_attribute_of_a_container_is_found() -> None:
    bag = Bag(fine=1)
    bag.pool = threading.Lock()  # type: ignore[attr-defined]
    assert refusal(bag).at == ".pool"


def test_a_part_that_contains_itself_is_found() -> None:
    value: dict[str, object] = {}
    value["self"] = [value]
    value["pool"] = threading.Lock()
    assert refusal(value).at == "['pool']"
    node = Holder(pool=threading.Lock())
    node.parent = node  # type: ignore[attr-defined]
    assert refusal(node).at == ".pool"


def test_what_a_class_raises_is_told_in_one_line() -> None:
    error = refusal({"net": Furious()})
    assert str(error) == "cannot pickle it: RuntimeError: first line (at ['net'])"
    assert str(refusal([Speechless()])) == "cannot pickle it: ValueError: ValueError (at [0])"


def test_an_open_file_and_a_generator(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w", encoding="utf-8") as file:
        error = refusal({"log": file})
    assert error.reason.lower().startswith("cannot pickle")
    assert error.at == "['log']"
    assert refusal(["a", (character for character in "ab")]).at == "[1]"


def test_what_is_nested_too_deeply_is_told() -> None:
    value: list[object] = []
    for _ in range(200_000):
        value = [value]
    assert str(refusal(value)) == "it is nested too deeply to pickle"
    while value:  # or its deletion would be as deep
        value = value.pop()  # type: ignore[assignment]


def test_the_search_ends_in_a_deep_value() -> None:
    value: object = threading.Lock()
    for _ in range(30):
        value = [value]
    assert refusal(value).at == "[0]" * 12


def test_the_cause_is_kept() -> None:
    with pytest.raises(UnstorableError) as caught:
        dump(threading.Lock())
    assert isinstance(caught.value.__cause__, TypeError)


def test_local_classes_load_in_another_process(tmp_path: Path) -> None:
    class Local:
        answer = 42

    (tmp_path / "pickle").write_bytes(dump(Local()).stream)
    code = "import pathlib, pickle; print(pickle.loads(pathlib.Path('pickle').read_bytes()).answer)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "42\n"


def test_what_functools_caches_in_a_script(tmp_path: Path) -> None:
    script = """
        import functools, pathlib
        from pytest_memento.pickling import dump
        class Model:
            @functools.lru_cache(maxsize=7)
            def size(self):
                "Tell."
                return 10
            @functools.cached_property
            def more(self):
                "Tell more."
                return 100
        pathlib.Path("stored").write_bytes(dump(Model()).stream)
    """
    assert in_a_process(script, tmp_path) == ""
    script = """
        import pathlib
        from pytest_memento.pickling import load
        model = load(pathlib.Path("stored").read_bytes())
        size = type(model).size
        print(model.size(), size.cache_info(), size.cache_parameters(), size.__doc__)
        print(model.more, vars(model), type(model).more.__doc__)
    """
    info = "CacheInfo(hits=0, misses=1, maxsize=7, currsize=1) {'maxsize': 7, 'typed': False}"
    assert in_a_process(script, tmp_path) == f"10 {info} Tell.\n100 {{'more': 100}} Tell more.\n"


@functools.lru_cache
def remembered() -> int:
    return 1


def test_lru_cache_by_name() -> None:
    assert round_trip([remembered, lambda: 1])[0] is remembered


def in_a_process(script: str, path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


def test_another_copy_of_cloudpickle(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a session that is run by pytester, which forgets what it has imported."""
    assert round_trip(lambda: 3)() == 3
    for name in [each for each in sys.modules if each.partition(".")[0] == "cloudpickle"]:
        monkeypatch.delitem(sys.modules, name)
    assert round_trip(lambda: 3)() == 3
