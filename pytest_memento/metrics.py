"""What an experiment measures while it runs: named series of (step, value)."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

from pytest_memento.errors import ContextError
from pytest_memento.labels import attribute, label, quoted

Number = int | float
_BITS = 64
"""Whole numbers of more bits become floats, as in every file format for tables."""
Series = dict[str, list[tuple[Number, Number]]]
"""Metric name -> its points (step, value), in the order of recording."""


def number(value: Any, what: str) -> Number:
    """Return a real number of any kind, numpy scalars included, as an int or float.

    :raises ContextError: *value* is not a real number.
    """
    __tracebackhide__ = True
    try:
        if type(attribute(value, "shape")) is tuple and not value.shape:
            value = value.item()
        if isinstance(value, numbers.Integral) and int(value).bit_length() < _BITS:
            return int(value)
        if isinstance(value, numbers.Real) or type(value).__name__ == "Decimal":
            return float(value)
        text = quoted(value)
    except OverflowError:
        text = "too large for a float"
    except Exception:
        # Whatever a foreign scalar raises: then it is not a number.
        text = quoted(value)
    raise ContextError(f"{what} is {text} ({type(value).__name__}): give a real number")


def points(values: Mapping[str, Any], step: Number | None, series: Series) -> Series:
    """Return the points that one call of ``context.record`` adds.

    :param values: metric name -> value, or -> (step, value).
    :param step: for values without one of their own; by default the number of points so far.
    :param series: what was recorded before.
    :raises ContextError: a name is not a string or a value not a real number.
    """
    __tracebackhide__ = True
    if not isinstance(values, Mapping):
        raise ContextError(f"record takes a dict of name: value, not {type(values).__name__}")
    found = {}
    for name, value in values.items():  # a comprehension would show in a user's traceback
        found[name] = [_point(name, value, step, series)]
    return found


def last(series: Series) -> dict[str, Number]:
    """Return the last value of each metric.

    >>> last({"loss": [(0, 0.9), (1, 0.5)]})
    {'loss': 0.5}
    """
    return {name: path[-1][1] for name, path in series.items() if path}


def _point(
    name: object, value: object, step: Number | None, series: Series
) -> tuple[Number, Number]:
    __tracebackhide__ = True
    if not isinstance(name, str):
        raise ContextError(f"metric {label(name)} is not a name: use a string")
    if isinstance(value, tuple):
        if len(value) != 2:
            raise ContextError(f"metric {name!r} is {label(value)}: give a value or (step, value)")
        own_step, value = value
        return number(own_step, f"the step of metric {name!r}"), number(value, f"metric {name!r}")
    if step is None:
        step = len(series.get(name, ()))
    return number(step, "the step"), number(value, f"metric {name!r}")
