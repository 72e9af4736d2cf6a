"""Choose among records: by conditions, by a number that is to be large or small, in groups."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Literal

from pytest_memento.config import nearest
from pytest_memento.errors import FingerprintError, MementoError
from pytest_memento.fingerprint import digest_value
from pytest_memento.labels import one_line, quoted, short
from pytest_memento.metrics import Number
from pytest_memento.query import OWN_NAMES
from pytest_memento.record import Record, Value, find_value

Mode = Literal["max", "min"]
At = Literal["last", "best"]
Figure = Callable[[Record], Any]
_LONGEST_LIST = 400
_MEASURED: Mapping[str, Figure] = {
    "runtime": lambda record: record.runtime,
    "cpu_time": lambda record: record.cpu_time,
    "memory": lambda record: record.memory,
}


# -- conditions ------------------------------------------------------------------------------------


class Condition:
    """Whether a stored value is the one asked for: by fingerprint, by label, or as a number.

    :param value: what is asked for, or a list of options.
    """

    def __init__(self, value: Any) -> None:
        options = [value, *(value if isinstance(value, (list, tuple, set, frozenset)) else ())]
        self._labels = {option for option in options if isinstance(option, str)}
        self._numbers = [o for o in options if _is_real(o)]
        self._digests = {digest for option in options if (digest := _digest(option))}

    def holds(self, value: Value | None) -> bool:
        """Return the answer for a parameter or setting, ``None`` if it is missing."""
        if value is None:
            return False
        if value.label in self._labels or value.digest in self._digests:
            return True
        if value.is_plain and not value.digest:  # an untracked setting
            return _digest(value.plain) in self._digests
        return _is_real(value.plain) and value.plain in self._numbers


def conditions(records: Sequence[Record], wanted: Mapping[str, Any]) -> Callable[[Record], bool]:
    """Return what tells whether all conditions hold for a record.

    :param wanted: name of a parameter or setting -> value, or list of options.
    :raises MementoError: none of the records has a parameter or setting of that name.
    """
    known = _configured(records)
    for name, value in wanted.items():
        if records and not any(_find(record, name) for record in records):
            hint = f'write where("{name} == {quoted(value)}")' if name in OWN_NAMES else None
            raise MementoError(_unknown("parameter or setting", name, known, hint))
    asked = {name: Condition(value) for name, value in wanted.items()}
    return lambda record: all(c.holds(_find(record, name)) for name, c in asked.items())


def _is_real(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _digest(value: object) -> str:
    try:
        return digest_value(value)
    except FingerprintError:
        return ""


def _configured(records: Iterable[Record]) -> dict[str, None]:
    return dict.fromkeys(name for r in records for name in (*r.parameters, *r.settings))


def _find(record: Record, name: str) -> Value | None:
    """Return a parameter or setting, or what is in one that is a dict, by the name of a column."""
    root, bare = _sorter(name)
    groups = {"parameters": record.parameters, "settings": record.settings}
    chosen = [groups[root]] if root else groups.values()
    found = (find_value(values.get, bare) for values in chosen)
    return next((value for value in found if value is not None), None)


# -- the best --------------------------------------------------------------------------------------


def best(figures: Iterable[Any], mode: str) -> int | None:
    """Return the position of the best number, the first of equal ones; ``None`` without any.

    >>> best([0.5, float("nan"), None, 0.9, 0.9], "max")
    3

    What is no number, and ``nan``, never wins.

    :param mode: ``"max"`` or ``"min"``.
    """
    there = [(n, figure) for n, figure in enumerate(figures) if _counts(figure)]
    choose = max if mode == "max" else min
    return choose(there, key=lambda each: each[1])[0] if there else None


def _counts(figure: object) -> bool:
    return type(figure) is int or (type(figure) is float and not math.isnan(figure))


def figure(records: Sequence[Record], name: str) -> tuple[str, Figure]:
    """Return what a name means, in full, and what gets it out of a record.

    A name on its own is a part of the result, else a metric.

    :param name: as the column of a frame is called.
    :raises MementoError: none of the records has it.
    """
    known = {**_MEASURED, **_results(records), **_metrics(records)}
    for full in (name, f"result.{name}", f"metrics.{name}"):
        if full in known:
            return full, known[full]
    raise MementoError(_unknown("result or metric", name, known))


def number_of(points: Sequence[tuple[Number, Number]], mode: str) -> Number:
    """Return the best value of a metric over its steps, ``nan`` if there is none."""
    values = [value for _, value in points]
    position = best(values, mode)
    return math.nan if position is None else values[position]


def _results(records: Sequence[Record]) -> dict[str, Figure]:
    names = dict.fromkeys(name for record in records for name in record.result)
    return {f"result.{name}" if name else "result": _result(name) for name in names}


def _result(name: str) -> Figure:
    return lambda record: record.result[name].plain if name in record.result else None


def _metrics(records: Sequence[Record]) -> dict[str, Figure]:
    names = dict.fromkeys(name for record in records for name in record.metrics)
    return {f"metrics.{name}": _metric(name) for name in names}


def _metric(name: str) -> Figure:
    return lambda record: record.metrics.get(name)


# -- groups ----------------------------------------------------------------------------------------


def groups(records: Sequence[Record], names: Sequence[str]) -> dict[Any, list[int]]:
    """Return value -> positions of the records that have it, in the order of appearance.

    Values that Python holds for equal, such as ``1`` and ``True``, are kept apart: the later one
    goes by its label.

    :param names: of parameters or settings, ``experiment`` or ``status``; for several, the value
        is a tuple.
    :raises MementoError: none of the records has one of these.
    """
    known = [*_configured(records), *_SORTED]
    for name in names:
        if records and not any(_value(record, name) for record in records):
            raise MementoError(_unknown("parameter or setting", name, known))
    found: dict[Hashable, list[int]] = {}
    for position, record in enumerate(records):
        found.setdefault(tuple(_identity(_value(record, n)) for n in names), []).append(position)
    shown = [_apart([_value(records[p[0]], n) for p in found.values()]) for n in names]
    keys = zip(*shown, strict=True)
    one = len(names) == 1
    return {(k[0] if one else k): p for k, p in zip(keys, found.values(), strict=True)}


_SORTED: Mapping[str, Callable[[Record], str]] = {
    "experiment": lambda record: record.key.experiment,
    "status": lambda record: record.outcome.name.lower(),
}


def _sorter(name: str) -> tuple[str, str]:
    """Split ``settings.x`` and ``parameters.x``."""
    start, dot, rest = name.partition(".")
    return (start, rest) if dot and start in ("settings", "parameters") else ("", name)


def _value(record: Record, name: str) -> Value | None:
    if (value := _find(record, name)) is not None or name not in _SORTED:
        return value
    text = _SORTED[name](record)
    return Value(text, "", text, True)


def _identity(value: Value | None) -> Hashable:
    return value and (value.digest or (value.label, type(value.plain).__name__))


def _apart(values: Sequence[Value | None]) -> list[Any]:
    """Return what each value is called in a key, unequal ones differently."""
    names: dict[Hashable, Any] = {}
    taken: set[Any] = set()
    for value in values:
        identity = _identity(value)
        if identity in names:
            continue
        options = [None] if value is None else [value.shown, value.label]
        names[identity] = next((o for o in options if o not in taken), _last_resort(value))
        taken.add(names[identity])
    return [names[_identity(value)] for value in values]


def _last_resort(value: Value | None) -> str:
    return "" if value is None else f"{value.label}{short(value.digest)}"


def _unknown(kind: str, name: str, known: Iterable[str], hint: str | None = None) -> str:
    known = list(known)
    parts = {each.rpartition(".")[2]: each for each in reversed(known)}
    near = nearest(name, known) or parts.get(nearest(name, parts) or "")
    there = one_line(", ".join(known), _LONGEST_LIST) or "none"
    hint = hint or (f"did you mean {near!r}?" if near else f"there are: {there}")
    return f"no {kind} {name!r} ({hint})"
