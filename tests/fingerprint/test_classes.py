"""Digests of classes that a function makes, and of objects of libraries that make classes."""

from __future__ import annotations

import abc
import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import attrs
import pydantic
import pytest

from pytest_memento.fingerprint import digest_value


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
