"""The configuration matrix: from what a user writes to the list of configurations.

    matrix --reading--> Plan (axes, rules, settings) --drawing--> Row --naming--> Case

An axis is one entry of ``parameters``: one name, or names that vary together. A row takes one
option from each axis. Everything is compared by fingerprint, never by ``==``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pytest_memento.errors import MatrixError
from pytest_memento.fingerprint import StandIn
from pytest_memento.matrix.drawing import draw, matches, refuse_duplicates
from pytest_memento.matrix.naming import Case, cases
from pytest_memento.matrix.plan import Choice
from pytest_memento.matrix.reading import parts, read, read_where
from pytest_memento.matrix.words import said

__all__ = ["Case", "Choice", "Expansion", "expand", "matching"]


@dataclass(frozen=True, slots=True)
class Expansion:
    """What a matrix expands to.

    :param cases: in matrix order, the first parameter slowest.
    :param excluded: how many combinations ``exclude`` dropped.
    :param remarks: what is allowed and yet probably not meant.
    :param names: of all parameters and settings.
    """

    cases: tuple[Case, ...]
    excluded: int = 0
    remarks: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()


def expand(matrix: object, *, stand_in: StandIn | None = None) -> Expansion:
    """Expand a matrix, or a list of matrices, into its configurations.

    >>> [case.label for case in expand({"parameters": {"lr": [0.1, 0.2], "net": ["a"]}}).cases]
    ['lr=0.1-net=a', 'lr=0.2-net=a']

    :param matrix: a mapping with the keys of the README's table, or a list of such mappings.
    :param stand_in: a user's way to fingerprint values, see :func:`digest_value`.
    :raises MatrixError: in one line that says what is wrong, where, and what to do.
    """
    try:
        return _expand(matrix, stand_in)
    except MatrixError:
        raise
    except Exception as error:
        # What foreign classes raise where they are counted, compared or asked for their parts.
        raise MatrixError(f"the matrix cannot be read: {said(error)}") from error


def _expand(matrix: object, stand_in: StandIn | None) -> Expansion:
    plans = [read(part, place, stand_in) for part, place in parts(matrix)]
    drawn = [draw(plan) for plan in plans]
    rows = [row for rows, _, _ in drawn for row in rows]
    refuse_duplicates(rows)
    if not rows:
        raise MatrixError("'exclude' drops every configuration: nothing is left to run")
    return Expansion(
        cases=tuple(cases(rows)),
        excluded=sum(excluded for _, excluded, _ in drawn),
        remarks=tuple(remark for _, _, remarks in drawn for remark in remarks),
        names=frozenset(name for plan in plans for name in plan.all_names),
    )


def matching(
    cases: Sequence[Case], where: object, *, stand_in: StandIn | None = None
) -> list[Case]:
    """Return the configurations that are meant, in the manner of an entry of ``exclude``.

    :param where: a mapping of parameter to value or list of values, or a function of the
        configuration.
    :raises MatrixError: a name is no parameter, or the function raises.
    """
    names = dict.fromkeys(name for case in cases for name in case.row.digests)
    settings = {name for case in cases for name in case.row.plan.settings}
    for name in where if isinstance(where, Mapping) else ():
        if name in settings:
            raise MatrixError(
                f"where: {name!r} is a setting: use lambda config: config.settings.{name}"
            )
    rule = read_where(where, [*names], stand_in)
    return [case for case in cases if matches(rule, case.row, case.row.digests)]
