"""A matrix as users of pytest write it, with ``pytest.param`` for values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pytest_memento.errors import MatrixError
from pytest_memento.fingerprint import StandIn
from pytest_memento.matrix import Choice, Expansion, expand
from pytest_memento.pause import without_gc


def expansion_of(matrix: object, *, stand_in: StandIn | None = None) -> Expansion:
    """Expand a matrix as the user wrote it.

    :param stand_in: the user's way to fingerprint values.
    :raises MatrixError: it cannot be expanded.
    """
    with without_gc():
        return expand(_translated(matrix), stand_in=stand_in)


def _translated(matrix: Any) -> Any:
    """Return a matrix with each ``pytest.param`` as a :class:`Choice`."""
    if isinstance(matrix, (list, tuple)):
        return [_translated(part) for part in matrix]
    if not isinstance(matrix, Mapping):
        return matrix
    new = dict(matrix)
    if isinstance(parameters := matrix.get("parameters"), Mapping):
        new["parameters"] = {
            name: _choices(values, str(name).count(",") + 1) for name, values in parameters.items()
        }
    if isinstance(matrix.get("include"), (list, tuple)):
        new["include"] = [_included(entry) for entry in matrix["include"]]
    return new


def _choices(values: Any, width: int) -> Any:
    if not isinstance(values, (list, tuple)):
        return values
    return [_choice(value, width) for value in values]


def _included(entry: Any) -> Any:
    if isinstance(entry, Mapping):
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
    text = value.id if isinstance(value.id, str) else None
    return Choice(values[0] if len(values) == 1 else tuple(values), text, tuple(value.marks))


_ParameterSet: type[Any] = type(pytest.param(0))
