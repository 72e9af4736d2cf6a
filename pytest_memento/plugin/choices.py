"""A matrix as users of pytest write it, with ``pytest.param`` and ``results_of`` for values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

import pytest

from pytest_memento.errors import MatrixError
from pytest_memento.fingerprint import StandIn
from pytest_memento.inputs import Input, ResultsOf, is_result, told_apart, words_for
from pytest_memento.labels import one_line
from pytest_memento.matrix import Choice, Expansion, expand
from pytest_memento.pause import without_gc

_LONGEST = 120
"""Characters of what stands for a result in ids; what is longer is cut."""
Find: TypeAlias = Callable[[ResultsOf], Sequence[Input]]
"""Finds the results that a ``results_of`` stands for."""
Found: TypeAlias = Mapping[tuple[str, int], Sequence[Choice]]
"""Parameter and id of a ``results_of`` -> the results that it stands for."""


def expansion_of(
    matrix: object, *, stand_in: StandIn | None = None, find: Find | None = None
) -> Expansion:
    """Expand a matrix as the user wrote it.

    :param stand_in: the user's way to fingerprint values.
    :param find: finds what each ``results_of`` stands for; by default only results that are there.
    :raises MatrixError: it cannot be expanded.
    """
    with without_gc():
        found = _found(matrix, find or known_inputs)
        return expand(_translated(matrix, found), stand_in=stand_in)


def has_inputs(matrix: Any) -> bool:
    """Tell whether there is a ``results_of`` among the parameters."""
    return any(_wanted(matrix))


def _wanted(matrix: Any) -> Iterator[tuple[str, ResultsOf]]:
    """Yield each ``results_of`` with its parameter."""
    if isinstance(matrix, (list, tuple)):
        for part in matrix:
            yield from _wanted(part)
        return
    parameters = matrix.get("parameters") if isinstance(matrix, Mapping) else None
    for name, values in parameters.items() if isinstance(parameters, Mapping) else ():
        several = values if isinstance(values, (list, tuple)) else [values]
        yield from ((str(name), each) for each in several if isinstance(each, ResultsOf))


def _found(matrix: Any, find: Find) -> Found:
    """Find the results that are meant, and tell apart all that are of one parameter."""
    groups: dict[str, dict[int, Sequence[Input]]] = {}
    for name, wanted in _wanted(matrix):
        if "," in name:
            raise MatrixError(
                f"parameter {name!r} varies names together: give {wanted!r} its own name"
            )
        groups.setdefault(name, {})[id(wanted)] = find(wanted)
    found: dict[tuple[str, int], list[Choice]] = {}
    for name, group in groups.items():
        choices = _of_inputs([each for inputs in group.values() for each in inputs])
        for place, inputs in group.items():
            found[name, place] = [*islice(choices, len(inputs))]
    return found


def _of_inputs(inputs: Sequence[Input]) -> Iterator[Choice]:
    words = words_for(each.key.experiment for each in inputs)
    for each in told_apart(inputs):
        word = words[each.key.experiment]
        if len(words) == 1:
            yield Choice(each, one_line(f"({each.label})", _LONGEST))
        else:
            yield Choice(each.of(word), one_line(f"({word} {each.label})", _LONGEST))


def known_inputs(wanted: ResultsOf) -> Sequence[Input]:
    """Return results that are there.

    :raises MatrixError: they are still to be found in a file.
    """
    if wanted.known is None:
        raise MatrixError(
            f"{wanted!r} is of a file, which only pytest collects: give results_of the results that"
            " an earlier run has returned"
        )
    return wanted.known


def _translated(matrix: Any, found: Found) -> Any:
    """Return a matrix with :class:`Choice` for what is meant by ``param`` and ``results_of``."""
    if isinstance(matrix, (list, tuple)):
        return [_translated(part, found) for part in matrix]
    if not isinstance(matrix, Mapping):
        return matrix
    new = dict(matrix)
    if isinstance(parameters := matrix.get("parameters"), Mapping):
        new["parameters"] = {
            name: _choices(values, str(name), found) for name, values in parameters.items()
        }
    if isinstance(settings := matrix.get("settings"), Mapping):
        _refuse_inputs("setting", settings)
    if isinstance(matrix.get("include"), (list, tuple)):
        new["include"] = [_included(entry) for entry in matrix["include"]]
    return new


def _refuse_inputs(kind: str, values: Mapping[Any, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, ResultsOf):
            raise MatrixError(
                f"{kind} {name!r} is {value!r}, which stands for several values: put it under"
                " 'parameters'"
            )


def _choices(values: Any, name: str, found: Found) -> Any:
    if isinstance(values, ResultsOf):
        values = [values]
    if is_result(values) or (isinstance(values, (list, tuple)) and any(map(is_result, values))):
        raise MatrixError(f"parameter {name!r} is results: write results_of(...) around them")
    if not isinstance(values, (list, tuple)):
        return values
    width = name.count(",") + 1
    chosen: list[Any] = []
    for value in values:
        if isinstance(value, ResultsOf):
            chosen += found[name, id(value)]
        else:
            chosen.append(_choice(value, width))
    return chosen


def _included(entry: Any) -> Any:
    if isinstance(entry, Mapping):
        _refuse_inputs("include:", entry)
        return {name: _choice(value, 1) for name, value in entry.items()}
    choice = _choice(entry, 1)
    if isinstance(choice, Choice):
        return Choice(_included(choice.value), choice.label, choice.tags)
    return entry


def _choice(value: Any, width: int) -> Any:
    if not isinstance(value, _ParameterSet):
        return value
    values = value.values
    if width == 1 and len(values) != 1:
        raise MatrixError(f"pytest.param has {len(values)} values where one is needed: {values!r}")
    if isinstance(values[0] if values else None, ResultsOf):
        raise MatrixError(f"{values[0]!r} stands for several values: write it without pytest.param")
    text = value.id if isinstance(value.id, str) else None
    return Choice(values[0] if len(values) == 1 else tuple(values), text, tuple(value.marks))


_ParameterSet: type[Any] = type(pytest.param(0))
