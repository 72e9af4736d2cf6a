"""What functions and classes are called, and whether that name leads to them now.

    def f(x): ...             f         by its name
    g = doubled(f)            is called f by functools.wraps, and f is another
    old = f; def f(x): ...    old       is called f, and f is another

What is found under its name goes by that; what is not, by what it does.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import os
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from pytest_memento.fingerprint.modules import is_own
from pytest_memento.fingerprint.syntax import write_code

NO_MEMBERS = frozenset(
    {"__dict__", "__weakref__", "__module__", "__qualname__", "__doc__", "__annotations__"}
    | {"__firstlineno__", "__static_attributes__", "__annotate__", "__annotate_func__"}
    | {"__annotations_cache__", "__dataclass_fields__", "__dataclass_params__", "__slotnames__"}
    | {"_abc_impl"}
)
"""What Python keeps in a class for itself, and what it makes out of what is there anyway."""

_NOTHING = object()
_PLAIN = (type(None), bool, int, float, complex, str, bytes)


class Name(NamedTuple):
    """What a function or class is called in the process that it comes from.

    :param value: the function or class.
    :param text: its full name, which a class loses when it is pickled by value.
    :param is_found: whether that leads to it.
    """

    value: Any
    text: str
    is_found: bool


@dataclass(frozen=True)
class Names:
    """What another process cannot tell of functions and classes that it unpickles.

    :param main: the script that runs, as a module.
    :param known: what the user's are called.
    """

    main: str
    known: list[Name]


_taken = Names("", [])


def names_of(values: Iterable[object]) -> Names:
    """Return what another process has to know of functions and classes that are sent to it."""
    known = {id(value): value for value in values if isinstance(value, types.FunctionType | type)}
    own = (value for value in known.values() if _is_of_user(value))
    return Names(_main(), [Name(each, full_name(each), is_found(each)) for each in own])


def take(names: Names) -> Names:
    """Go by the names of the process that values came from.

    :return: what it went by before.
    """
    global _taken
    before, _taken = _taken, names
    return before


def module_name(value: Any) -> str | None:
    """Return the module that a class or function says it is from.

    That of a script is the name under which pytest would import its file.
    """
    module = value.__module__
    if module == "pathlib._local":  # where Python 3.13 has moved the classes of pathlib
        return "pathlib"
    if module == "__main__":
        return _main()
    return module if isinstance(module, str) else None  # in classes of Cython, a descriptor


def full_name(value: Any) -> str:
    """Return the name of a function or class in its module."""
    name = _known(value)
    return name.text if name else str(value.__qualname__)


def _known(value: object) -> Name | None:
    return next((each for each in _taken.known if each.value is value), None)


def import_name(source: Path) -> str:
    """Return the name under which pytest would import a file: with the packages it is in."""
    parts, directory = [source.stem], source.parent
    while (directory / "__init__.py").is_file():
        parts.insert(0, directory.name)
        directory = directory.parent
    return ".".join(parts)


def _main() -> str:
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return _taken.main or (_script_name(file) if isinstance(file, str) else "__main__")


@functools.cache
def _script_name(file: str) -> str:
    path = Path(os.path.abspath(file))
    # That of what is read from standard input is called <stdin>.
    return import_name(path) if path.is_file() and is_own(path) else "__main__"


# ---------------------------------------------------------------------- what a name leads to


def is_found(value: types.FunctionType | type) -> bool:
    """Tell whether the name of a function or class leads to it, or to an object made around it.

    What says the same counts as the same: a cell of a notebook may have run twice. Where a name of
    installed code leads nowhere, there is no other that it could be taken for. A function around a
    function is not that: both may be values, and look the same.
    """
    if (name := _known(value)) is not None:
        return name.is_found
    if "<" in value.__qualname__ or (isinstance(value, type) and _is_nowhere(value)):
        return False
    there = _there(value)
    if there:
        return any(
            _is_made_of(each, value, (type, types.FunctionType)) or _is_same(each, value, set())
            for each in there
        )
    if isinstance(value, type):
        return not (_taken.main and _is_of_user(value))
    return not _is_of_user(value) and "__wrapped__" not in vars(value)


def _is_nowhere(value: type) -> bool:
    """Tell whether a module of the user has no class of that name, as after ``type("A", ...)``."""
    module = sys.modules.get(str(value.__module__))
    file = getattr(module, "__file__", None)
    top = value.__qualname__.partition(".")[0]
    if type(value) is not type or not isinstance(file, str) or hasattr(module, top):
        return False
    return not (issubclass(value, tuple) and hasattr(value, "_fields")) and is_own(Path(file))


def is_said(function: types.FunctionType) -> bool:
    """Tell whether what stands in the source under the name of a function says its code.

    So it is for one that is found, for one that a decorator has put another function around, and
    for one that a function makes, by the source of that.
    """
    if "<" in function.__qualname__ or is_found(function):
        return True
    return any(_is_made_of(each, function, (type,)) for each in _there(function))


def _there(value: types.FunctionType | type) -> list[object]:
    """Return all that a name leads to."""
    there = (_look_up(space, value) for space in _spaces(value))
    return [found for found in there if found is not _NOTHING]


def _is_of_user(value: types.FunctionType | type) -> bool:
    """Tell whether it is from a script, a notebook or a file of the user."""
    if value.__module__ == "__main__":
        return True
    if isinstance(value, types.FunctionType):
        return is_own(Path(value.__code__.co_filename))
    file = getattr(sys.modules.get(str(value.__module__)), "__file__", None)
    return isinstance(file, str) and is_own(Path(file))


def _spaces(value: types.FunctionType | type) -> Iterator[Mapping[str, object]]:
    """Yield the names of the module that it is from.

    A module may not be the one that is loaded under its name: pytest loads each ``conftest.py`` as
    ``conftest``.
    """
    loaded = sys.modules.get(str(value.__module__))
    if isinstance(loaded, types.ModuleType):
        yield vars(loaded)
    inside = [value] if isinstance(value, types.FunctionType) else vars(value).values()
    own = (each.__globals__ for each in inside if isinstance(each, types.FunctionType))
    its = (space for space in own if space.get("__name__") == value.__module__)
    yield from itertools.islice(its, 1)


def _look_up(space: Mapping[str, object], value: types.FunctionType | type) -> object:
    """Return what the name leads to, without running code of the user."""
    first, *rest = value.__qualname__.split(".")
    found, owner = space.get(first, _NOTHING), first
    for name in rest:
        is_private = name.startswith("__") and not name.endswith("__")
        mangled = f"_{owner.lstrip('_')}{name}" if is_private else name
        found, owner = inspect.getattr_static(found, mangled, _NOTHING), name
    return found


def _is_made_of(found: object, value: object, ends: tuple[type, ...], depth: int = 2) -> bool:
    """Tell whether something is a value, or was made around it.

    :param ends: kinds of things that are not looked into.
    """
    if found is value:
        return True
    if isinstance(found, (*ends, types.ModuleType)) or depth == 0:
        return False
    return any(_is_made_of(each, value, ends, depth - 1) for each in _inside(found))


def _inside(found: object) -> Iterator[object]:
    if isinstance(found, staticmethod | classmethod | types.MethodType):
        yield found.__func__
    elif isinstance(found, property):
        yield from (found.fget, found.fset, found.fdel)
    elif isinstance(found, functools.partial):
        yield found.func
    else:
        with contextlib.suppress(Exception):  # a proxy may have a mind of its own
            own: object = getattr(found, "__dict__", None)
            yield from [*own.values()] if isinstance(own, dict) else ()


# ---------------------------------------------------------------- what says the same


def _is_same(one: Any, other: Any, assumed: set[tuple[int, int]]) -> bool:
    """Tell whether two definitions surely say the same, which are not the same object."""
    if one is other or (id(one), id(other)) in assumed:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, _PLAIN):
        return repr(one) == repr(other)
    parts, others = _parts_of(one), _parts_of(other)
    if parts is None or others is None or len(parts) != len(others):
        return False
    assumed.add((id(one), id(other)))
    return all(_is_same(mine, yours, assumed) for mine, yours in zip(parts, others, strict=True))


def _parts_of(value: Any) -> list[object] | None:
    """Return all that a value says, if that can be told without asking it."""
    if isinstance(value, types.FunctionType):
        cells, kwdefaults = value.__closure__ or (), value.__kwdefaults__ or {}
        texts = [value.__qualname__, write_code(value.__code__)]
        return [value.__globals__, *texts, cells, value.__defaults__, *kwdefaults.items()]
    if isinstance(value, types.CellType):
        return [_contents(value)]
    if isinstance(value, type):
        members = {n: each for n, each in vars(value).items() if n not in NO_MEMBERS}
        return [value.__bases__, *members.items()]
    if isinstance(value, property | staticmethod | classmethod):
        return [*_inside(value)]
    return list(value) if type(value) in (tuple, list) else None


def _contents(cell: types.CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # a variable that is assigned later, or never
        return _NOTHING
