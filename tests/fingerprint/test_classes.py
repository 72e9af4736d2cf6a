"""Digests of functions and classes whose name does not tell them apart, or does after all."""

from __future__ import annotations

import abc
import enum
import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import attrs
import pydantic
import pytest

from pytest_memento.fingerprint import Names, digest_value, names_of, parts_of, take


@attrs.define
class Attrs:
    x: int = 1
    y: Any = None


@attrs.frozen
class Frozen:
    x: int = 1
    made: int = attrs.field(init=False, default=3)


class Model(pydantic.BaseModel):
    x: int = 1
    y: list[int] = [1]


def test_attrs_and_pydantic_objects_go_by_their_fields() -> None:
    different = [Attrs(), Attrs(2), Attrs(1, [1]), Frozen(), Frozen(2), Model(), Model(x=2)]
    assert len({digest_value(each) for each in different}) == len(different)
    for one, same in [(Attrs(), Attrs(1)), (Frozen(), Frozen(1)), (Model(), Model(x=1, y=[1]))]:
        assert one == same
        assert digest_value(one) == digest_value(same)
    assert digest_value(Model().model_copy()) == digest_value(Model())


def make_plain(n: int) -> type:
    class Local:
        value = n

        @property
        def doubled(self) -> int:
            return 2 * self.value

    return Local


def make_closure(n: int) -> type:
    class Local:
        def method(self) -> object:
            return n, Local

        @classmethod
        def made(cls) -> object:
            return cls(), super()

    return Local


def make_abstract(n: int) -> type:
    class Local(abc.ABC):
        __slots__ = ("a",)

        @abc.abstractmethod
        def method(self) -> int:
            return n

    return Local


def make_enum(n: int) -> type:
    class Local(enum.Enum):
        A = n

    return Local


def make_tuple(n: int) -> type:
    class Local(NamedTuple):
        a: int = n

    return Local


def make_attrs(n: int) -> type:
    @attrs.define
    class Local:
        a: int = n

    return Local


def make_dataclass(n: int) -> type:
    @dataclass
    class Local:
        a: int = n
        b: list[int] = field(default_factory=lambda: [n])

    return Local


def make_base(n: int) -> type:
    class Local(make_plain(n)):  # type: ignore[misc]
        pass

    return Local


@pytest.mark.parametrize(
    "make",
    [
        *(make_plain, make_closure, make_abstract, make_enum),
        *(make_tuple, make_attrs, make_dataclass, make_base),
    ],
)
def test_classes_that_a_function_makes_are_told_apart(make: Callable[[int], type]) -> None:
    assert digest_value(make(1)) == digest_value(make(1)) != digest_value(make(2))


def test_so_are_their_objects() -> None:
    assert digest_value(make_plain(1)()) != digest_value(make_plain(2)())
    assert digest_value(make_dataclass(1)()) == digest_value(make_dataclass(1)(1))


# ----------------------------------------------------------------------- several of one name

SAME_NAMES = """
import abc, enum, functools

def doubled(function):
    @functools.wraps(function)
    def wrapper(x): return 2 * function(x)
    return wrapper

def added(function, more):
    @functools.wraps(function)
    def wrapper(x): return function(x) + more
    return wrapper

class Around:
    def __init__(self, function): self.function = function

def f(x): return x
first = f
def f(x): return -x
g = added(f, 1)

@doubled
def decorated(x): return x
@functools.lru_cache
def cached(x): return x
@functools.cache
@doubled
def cached_twice(x): return x
@Around
def around(x): return x
@functools.singledispatch
def single(x): return x

class Model(abc.ABC):
    def method(self): return 1
Old = Model
class Model(abc.ABC):
    def method(self): return 2, super()
    @doubled
    def decorated(self): return 1
    @staticmethod
    def static(): return 1
    @classmethod
    def made(cls): return cls()
    @property
    def shown(self): return 1
    def __private(self): return 1
    class Inner:
        def method(self): return 1
class Plain:
    size = 1
OldPlain = Plain
class Plain:
    size = 2
class Colour(enum.Enum):
    RED = 1
OldColour = Colour
class Colour(enum.Enum):
    RED = 2
def same(x, more=(1, "a")): return x
class Same:
    def method(self): return super()
    @property
    def shown(self): return 1
old_same, OldSame = same, Same
def same(x, more=(1, "a")): return x
class Same:
    def method(self): return super()
    @property
    def shown(self): return 1
"""


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The names of a module in which several things have one name."""
    (tmp_path / "same_names.py").write_text(SAME_NAMES)
    monkeypatch.syspath_prepend(tmp_path)
    yield vars(importlib.import_module("same_names"))
    del sys.modules["same_names"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("f", "first"),
        ("f", "g"),
        ("g", "added(f, 2)"),
        ("g", "added(first, 1)"),
        ("doubled(len)", "added(len, 1)"),
        ("decorated", "decorated.__wrapped__"),
        ("functools.cache(f)", "functools.cache(first)"),
        ("functools.cache(f)", "functools.cache(g)"),
        ("functools.partial(f)", "functools.partial(g)"),
        ("Model", "Old"),
        ("Model()", "Old()"),
        ("Model().method", "Old().method"),
        ("Model.method", "Old.method"),
        ("Plain()", "OldPlain()"),
        ("Colour.RED", "OldColour.RED"),
    ],
)
def test_what_has_one_name_is_told_apart(one: str, other: str, names: dict[str, Any]) -> None:
    assert digest_value(eval(one, names)) != digest_value(eval(other, names))
    for text in (one, other):
        assert digest_value(eval(text, names)) == digest_value(eval(text, names))


@pytest.mark.parametrize(
    ("value", "tag"),
    [
        *((name, "function") for name in ("f", "doubled", "decorated", "single")),
        *((name, "global") for name in ("cached", "cached_twice")),
        *((f"{name}.__wrapped__", "function") for name in ("cached", "cached_twice")),
        *((f"Model.{name}", "function") for name in ("method", "decorated", "static")),
        ("around.function", "function"),
        ("Model.made.__func__", "function"),
        ("Model.shown.fget", "function"),
        ("Model._Model__private", "function"),
        ("Model.Inner.method", "function"),
        *((name, "class") for name in ("Model", "Model.Inner", "Plain", "Colour")),
        *(("old_same", "function"), ("OldSame", "class"), ("OldSame.method", "function")),
    ],
)
def test_what_is_found_under_its_name_goes_by_it(
    value: str, tag: str, names: dict[str, Any]
) -> None:
    parts = parts_of(eval(value, names))
    assert parts is not None
    assert parts.tag == tag
    assert {*parts.named} <= {"__module__", "__qualname__", ".__class__"}


def test_a_module_need_not_be_the_one_that_is_loaded(
    load: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = load("def f(x): return x"), load("def f(x): return -x")
    before = digest_value(one.f)
    monkeypatch.setitem(sys.modules, one.__name__, other)  # as with several conftest.py
    assert digest_value(one.f) == before


def test_a_process_goes_by_the_names_of_the_one_that_values_come_from(
    names: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [names[name] for name in ("f", "first", "g", "Model", "Old", "Plain", "cached")]
    expected = [*map(digest_value, values)]
    sent = names_of(values)
    found = [each.value for each in sent.known if each.is_found]
    assert found == [names["f"], names["Model"], names["Plain"]]
    for name in ("f", "Model", "Plain"):
        monkeypatch.delitem(names, name)
    before = take(Names("elsewhere", sent.known))
    try:
        assert [*map(digest_value, values)] == expected
    finally:
        assert take(before).main == "elsewhere"
