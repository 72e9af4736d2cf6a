"""Whether a result that was computed again is the stored one, and where the two first differ.

Values are taken apart as for their fingerprints, so that what counts for a key counts here, and
nothing else: not the order of a dict, nor the layout of an array. Plain numbers are compared
exactly, those of numpy, pandas and torch within a tolerance.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from types import FunctionType
from typing import Any, NamedTuple, TypeAlias

from pytest_memento.errors import FingerprintError
from pytest_memento.fingerprint import Parts, digest_value, parts_of
from pytest_memento.labels import LONGEST, label, quoted

Pair: TypeAlias = tuple[str, object, object]
"""A step, and the parts of the stored and of the computed value that it leads to."""

RELATIVE = {"float16": 1e-3, "bfloat16": 1.6e-2, "float32": 1.3e-6, "float64": 1e-7}
"""Relative tolerance by type of element: the defaults of ``torch.testing.assert_close``.

Complex numbers have that of their parts, longer floats that of ``float64``.
"""
ROUNDINGS = 16
"""How often the largest element may be rounded: the absolute tolerance, in units of its last place.

What is the small difference of large numbers has no relative accuracy.
"""
_COMPARABLE = "biufcmMUST"
_NOTHING = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where two values differ.

    :param at: the way to it, as in ``['scores'][3]``; empty for the values themselves.
    :param stored: what is stored there, in words.
    :param computed: what was computed.
    :param more: what else there is to say, such as how many elements differ.
    """

    at: str
    stored: str
    computed: str
    more: str = ""

    def __str__(self) -> str:
        place = f" at {self.at}" if self.at else ""
        more = f" ({self.more})" if self.more else ""
        return f"stored {self.stored}, computed {self.computed}{place}{more}"


def first_difference(
    stored: object, computed: object, *, moved: tuple[str, str] | None = None
) -> Difference | None:
    """Return where a result that was computed again first differs from the stored one.

    >>> first_difference({"acc": [0.9, 0.8]}, {"acc": [0.9, 0.7]})
    Difference(at="['acc'][1]", stored='0.8', computed='0.7', more='')

    Arrays may differ by :data:`RELATIVE` times the stored element, and by :data:`ROUNDINGS` units
    in the last place of the largest one; two NaNs are equal. Both values should have gone through
    a pickle, or neither.

    :param moved: a directory that the computed value may name, and the one it stands for.
    """
    return _Comparison(moved).difference("", stored, computed)


class _Comparison:
    """One walk through two values; a pair of parts that is met again was judged before."""

    def __init__(self, moved: tuple[str, str] | None) -> None:
        self._moved = moved
        self._met: dict[tuple[int, int], tuple[object, object]] = {}

    def difference(self, at: str, stored: object, computed: object) -> Difference | None:
        if self._moved:
            computed = _moved(computed, *self._moved)
        if stored is _NOTHING or computed is _NOTHING or _kind(stored) != _kind(computed):
            return _differ(at, stored, computed)
        met = id(stored), id(computed)
        if met in self._met:
            return None
        self._met[met] = stored, computed  # alive, or another value might get its id
        if (arrays := _arrays(stored, computed)) is not None:
            return _array_difference(at, *arrays)
        try:
            found = self._inside(at, stored, computed)
        except (FingerprintError, RecursionError):
            found = Difference(at, label(stored), label(computed), "they cannot be taken apart")
        return None if found and _say_they_are_equal(stored, computed) else found

    def _inside(self, at: str, stored: object, computed: object) -> Difference | None:
        pairs = _pairs(stored, computed)
        if pairs is None:
            same = digest_value(stored) == digest_value(computed)
            return None if same else _differ(at, stored, computed)
        for step, one, other in pairs:
            place = at + step if step[:1] in (".", "[", "{") else at
            if found := self.difference(place, one, other):
                return found
        return None


def _moved(value: Any, here: str, there: str) -> Any:
    """Return a path, or the text of one, as it would be below another directory."""
    if not isinstance(value, (str, PurePath)) or not str(value).startswith(here):
        return value
    text = there + str(value)[len(here) :]
    return text if isinstance(value, str) else type(value)(text)


def _pairs(stored: Any, computed: Any) -> Iterator[Pair] | None:
    """Return the parts of two values of one kind, ``None`` if they have none."""
    if isinstance(stored, (set, frozenset)):
        return _paired(_by_digest(stored, "{{{}}}"), _by_digest(computed, "{{{}}}"))
    if type(stored) is dict:
        return _paired(_items_by_digest(stored), _items_by_digest(computed))
    if type(stored) in (list, tuple):
        return _paired(*({f"[{n}]": (f"[{n}]", e) for n, e in enumerate(v)}
                         for v in (stored, computed)))  # fmt: skip
    one, other = parts_of(stored), parts_of(computed)
    if one is None or other is None:
        return None
    if one.tag != other.tag:
        return iter([("", one.tag, other.tag)])
    return _paired(*({name: (name, part) for name, part in parts.named.items()}
                     for parts in (one, other)))  # fmt: skip


Named: TypeAlias = Mapping[str, tuple[str, object]]
"""Something that tells parts apart -> the step to the part, and the part."""


def _by_digest(values: Any, step: str) -> Named:
    return {digest_value(each): (step.format(quoted(each)), each) for each in values}


def _items_by_digest(values: dict[object, object]) -> Named:
    return {digest_value(key): (f"[{quoted(key)}]", part) for key, part in values.items()}


def _paired(stored: Named, computed: Named) -> Iterator[Pair]:
    for name in [*stored, *(name for name in computed if name not in stored)]:
        step, one = stored.get(name, ("", _NOTHING))
        step, other = computed.get(name, (step, _NOTHING))
        yield step, one, other


def _kind(value: object) -> tuple[object, ...]:
    """Return the type of a value; one that was pickled by value is made anew by each load."""
    if isinstance(value, Parts):
        return ("parts", value.tag)
    return type(value).__module__, type(value).__qualname__


def _say_they_are_equal(stored: object, computed: object) -> bool:
    """Whether objects whose class was written with an ``__eq__`` say that they are equal."""
    means = type(stored).__eq__
    # Those that are generated, as by dataclasses, compare the parts, with 1 equal to True.
    if not isinstance(means, FunctionType) or means.__code__.co_filename.startswith("<"):
        return False
    try:
        return (stored == computed) is True
    except Exception:  # whatever a foreign class raises
        return False


def _differ(at: str, stored: object, computed: object, more: str = "") -> Difference:
    if isinstance(stored, str) and isinstance(computed, str):
        stored, computed = _from_the_difference(stored, computed)
    one, other = _said(stored), _said(computed)
    if one == other:
        one, other = (f"{_said(v)} ({'.'.join(map(str, _kind(v)))})" for v in (stored, computed))
    return Difference(at, one, other, more)


def _from_the_difference(stored: str, computed: str) -> tuple[str, str]:
    """Return two long texts from shortly before where they differ."""
    both = zip(stored, computed, strict=False)
    same = next((n for n, (one, other) in enumerate(both) if one != other), 0)
    if same < LONGEST // 2:
        return stored, computed
    start = same - LONGEST // 4
    return f"…{stored[start:]}", f"…{computed[start:]}"


def _said(value: object) -> str:
    return "nothing" if value is _NOTHING else quoted(value)


# -- arrays ----------------------------------------------------------------------------------------


class _Elements(NamedTuple):
    """The elements of an array or tensor as an array of numpy.

    :param type: of the elements, which numpy may not have.
    """

    array: Any
    type: str


def _arrays(stored: object, computed: object) -> tuple[_Elements, _Elements] | None:
    """Return two values by element, if they are arrays and alike but for these."""
    one, other = _elements(stored), _elements(computed)
    if one is None or other is None or one.type != other.type:
        return None
    return (one, other) if one.array.shape == other.array.shape else None


def _elements(value: Any) -> _Elements | None:
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return _elements_of_tensor(torch, value)
    if numpy is None or not isinstance(value, (numpy.ndarray, numpy.generic)):
        return None
    if isinstance(value, numpy.ndarray) and type(value) not in (numpy.ndarray, numpy.memmap):
        return None
    array = numpy.asarray(value)
    return _Elements(array, array.dtype.name) if array.dtype.kind in _COMPARABLE else None


def _elements_of_tensor(torch: Any, tensor: Any) -> _Elements | None:
    if tensor.layout is not torch.strided or tensor.is_quantized:
        return None
    plain = tensor.detach().cpu().resolve_conj().resolve_neg()
    # numpy has no such type, and its numbers are those of float32 as well
    array = plain.float() if plain.dtype is torch.bfloat16 else plain
    return _Elements(array.numpy(), str(plain.dtype).removeprefix("torch."))


def _array_difference(at: str, stored: _Elements, computed: _Elements) -> Difference | None:
    numpy = sys.modules["numpy"]
    same = numpy.asarray(_are_close(numpy, stored.array, computed.array, stored.type))
    wrong = int(same.size - numpy.count_nonzero(same))
    if not wrong:
        return None
    place = tuple(int(index) for index in numpy.unravel_index(int(numpy.argmin(same)), same.shape))
    step = f"[{', '.join(map(str, place))}]" if place else ""
    more = f"{wrong} of {same.size} elements differ" if same.size > 1 else ""
    return _differ(at + step, stored.array[place], computed.array[place], more)


def _are_close(numpy: Any, stored: Any, computed: Any, kind: str) -> Any:
    """Return, by element, whether it is the same as far as its type goes."""
    if stored.dtype.kind in "mM":
        return (stored == computed) | (numpy.isnat(stored) & numpy.isnat(computed))
    if stored.dtype.kind not in "fc":
        return stored == computed
    parts = numpy.finfo(stored.dtype)
    sizes = numpy.abs(stored[numpy.isfinite(stored)])
    rounding = 2.0**-7 if kind == "bfloat16" else float(parts.eps)
    name = kind if kind == "bfloat16" else parts.dtype.name
    return numpy.isclose(
        computed,
        stored,
        rtol=RELATIVE.get(name, RELATIVE["float64"]),
        atol=ROUNDINGS * rounding * float(sizes.max(initial=0)),
        equal_nan=True,
    )
