"""Matrices that are given the results of others: what ``add_matrix`` takes and ``run_all`` runs.

    {"id": "data", "parameters": {"name": ["iris", "wine"]}}
    {"id": "model", "parameters": {"lr": [0.1, 0.2]}, "dependencies": ["data"]}

The second one has a parameter ``data``, whose values are the results of the first.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_memento.config import nearest
from pytest_memento.errors import CyclicDependency, MatrixError
from pytest_memento.inputs import ResultsOf
from pytest_memento.labels import quoted
from pytest_memento.matrix.words import what


@dataclass(frozen=True)
class Stage:
    """One matrix of a pipeline.

    :param id: its name; ``None`` where there is only one, without.
    :param matrix: what it expands to, the results of others among the values.
    :param dependencies: the stages it is given the results of.
    """

    id: Hashable
    matrix: Any
    dependencies: tuple[Hashable, ...] = ()


def only(matrix: Any) -> Stage:
    """Return the stage of a matrix that is run by itself, whatever its name is.

    :raises MatrixError: it depends on others, or there is none.
    """
    if matrix is None:
        raise MatrixError("the matrix is None, not a dict or a list of dicts")
    if not isinstance(matrix, Mapping) or not {"id", "dependencies"} & matrix.keys():
        return Stage(None, matrix)
    if matrix.get("dependencies"):
        raise MatrixError("the matrix has 'dependencies': use add_matrix and run_all")
    return Stage(None, _rest(matrix))


def stage(matrix: Any) -> Stage:
    """Read a matrix with ``id`` and ``dependencies``.

    :raises MatrixError: in one line.
    """
    if not isinstance(matrix, Mapping):
        raise MatrixError(f"add_matrix takes a dict with an 'id', not {what(matrix)}")
    if "id" not in matrix:
        raise MatrixError("the matrix has no 'id': name it, so that others can depend on it")
    name = _checked(matrix["id"], "'id'")
    needed = matrix.get("dependencies", ())
    if not isinstance(needed, (list, tuple)):
        raise MatrixError(
            f"matrix {quoted(name)}: 'dependencies' is {what(needed)}, not a list of ids"
        )
    several = tuple(dict.fromkeys(_checked(each, "a dependency") for each in needed))
    rest = _rest(matrix)
    parameters = rest.get("parameters", {})
    if several and isinstance(parameters, Mapping):
        for each in several:
            if str(each) in parameters:
                raise MatrixError(
                    f"matrix {quoted(name)}: {str(each)!r} is both a parameter and a dependency"
                )
        given = {str(each): ResultsOf(str(each)) for each in several}
        rest["parameters"] = {**parameters, **given}
    return Stage(name, rest, several)


def in_order(stages: Sequence[Stage]) -> list[Stage]:
    """Return the stages, each behind those that it depends on.

    :raises CyclicDependency: they depend on each other.
    :raises MatrixError: an id is there twice, or one is not there.
    """
    import graphlib  # of which every session would have to pay for the import

    known: dict[Hashable, Stage] = {}
    for each in stages:
        if known.setdefault(each.id, each) is not each:
            raise MatrixError(f"there are two matrices with the id {quoted(each.id)}: rename one")
    for each in stages:
        for name in each.dependencies:
            if name not in known:
                near = nearest(str(name), map(str, known))
                hint = f" (did you mean {near!r}?)" if near else ""
                raise MatrixError(
                    f"matrix {quoted(each.id)} depends on {quoted(name)}, which was not added{hint}"
                )
    graph = {each.id: each.dependencies for each in stages}
    try:
        return [known[name] for name in graphlib.TopologicalSorter(graph).static_order()]
    except graphlib.CycleError as error:
        raise CyclicDependency([*map(str, error.args[1][::-1])]) from None


def names_of(matrix: Any) -> frozenset[str]:
    """Return the names of all parameters and settings, of a matrix that may be wrong."""
    if isinstance(matrix, (list, tuple)):
        return frozenset().union(*map(names_of, matrix))
    if not isinstance(matrix, Mapping):
        return frozenset()
    parameters, settings = (_mapping(matrix, key) for key in ("parameters", "settings"))
    included = matrix.get("include", ())
    entries = included if isinstance(included, (list, tuple)) else ()
    names = [
        *(part.strip() for name in parameters for part in str(name).split(",")),
        *map(str, settings),
        *(str(name) for entry in entries if isinstance(entry, Mapping) for name in entry),
        *(["repeat"] if "repeats" in matrix else []),
    ]
    return frozenset(names)


def _mapping(matrix: Mapping[Any, Any], key: str) -> Mapping[Any, Any]:
    value = matrix.get(key)
    return value if isinstance(value, Mapping) else {}


def _rest(matrix: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key: value for key, value in matrix.items() if key not in ("id", "dependencies")}


def _checked(name: object, kind: str) -> Hashable:
    if type(name) not in (str, int) or not str(name).strip() or "," in str(name):
        raise MatrixError(f"{kind} is {what(name)}: use a name or a number, without commas")
    assert isinstance(name, (str, int))
    return name
