"""Names of modules that stand for something else now than their source says.

    helpers.LR = 5              from elsewhere            counts with its value
    K = int(sys.argv[1])        what a script is told     counts with its value
    global model; model = ...   in what is called         made on first use: its source says it

It is asked before each call of a function, so it remembers what each name stood for, and looks
closely only at those that have changed, or whose content may.
"""

from __future__ import annotations

import ast
import contextlib
import dis
import functools
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeAlias

from pytest_memento.fingerprint import (
    Code,
    Definition,
    Module,
    Unit,
    codes_in,
    digest_if_any,
    line_of,
    source_says,
)

Changers: TypeAlias = frozenset[Module | None]
"""The modules whose import changes what a name stands for."""
_NOTHING: Final = object()
_OTHER: Final = "what no name of a user's module stands for"
_LASTING = (
    int, float, complex, str, bytes, bool, type(None),
    type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType,
)  # fmt: skip
"""What is the same for as long as it is the same object, or counts by its source."""


class UnknownValueError(Exception):
    """A name stands for something else than its source says, which has no fingerprint."""


@dataclass(repr=False)
class State:
    """What names stood for, as far as a function uses them.

    :param values: what counts with its value, by a name for people.
    :param same: names that stand for the same as long as it is the same object.
    :param weighed: names whose content may change, with its digest.
    :param pending: lines that a script had not come to; then its source may say all.
    """

    values: dict[str, object] = field(default_factory=dict)
    same: list[tuple[dict[str, Any], str, object]] = field(default_factory=list)
    weighed: list[tuple[dict[str, Any], str, str]] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)

    def is_now(self) -> bool:
        """Whether all names stand for the same now."""
        return (
            all(space.get(name, _NOTHING) is value for space, name, value in self.same)
            and all(
                digest_if_any(space.get(name)) == digest for space, name, digest in self.weighed
            )
            and not any(map(_is_past, self.pending))
        )


class Names:
    """Looks at the names that a function uses; it remembers what they stood for at first."""

    def __init__(self) -> None:
        self._first: dict[tuple[int, str], tuple[object, object]] = {}

    def look(self, code: Code, function: types.FunctionType) -> State:
        """Return what the names stand for now that a function leads to.

        :raises UnknownValueError: a value counts and has no fingerprint.
        """
        state, files = State(), {str(each.module.path) for each in code.names}
        made = _made_by(function, files)
        for target, changers in code.names.items():
            space = _space(target.module)
            if target.name in space and (str(target.module.path), target.name) not in made:
                self._add(state, target, space, changers)
        return state

    def _add(
        self, state: State, target: Definition, space: dict[str, Any], changers: Changers
    ) -> None:
        name, value, module = target.name, space[target.name], _decided(target)
        line = _unsettled(target, space, changers)
        is_past = not line or _is_past(line)
        if not is_past:
            state.pending.append(line)
        # What importing a module does to it counts anyway.
        is_settled = bool(changers) and not isinstance(value, types.FunctionType)
        is_weighed = not source_says(module, name, _OTHER, is_main=False)
        if is_settled and not is_weighed and _is_literal(module, name):
            is_past = True  # a container that is filled by and by
        is_weighed = is_weighed and not is_settled
        is_said = is_settled or source_says(module, name, value, is_main=False)
        is_other = self._is_other(space, name, value) and not _is_defined(module, name, value)
        counts = not (is_past and is_said) or (is_other and not is_weighed)
        digest = digest_if_any(value) if is_weighed or counts else None
        if counts and not digest and not isinstance(value, _LASTING):
            if is_other or (is_weighed and _is_literal(module, name)):
                raise UnknownValueError(_unknown(target, value))
            counts = False  # nothing tells that it is not what it was when others used it
        if counts:
            state.values[f"{target.module.label}.{name} (now)"] = value
        if digest and not isinstance(value, _LASTING):
            state.weighed.append((space, name, digest))
        else:
            state.same.append((space, name, value))

    def _is_other(self, space: dict[str, Any], name: str, value: object) -> bool:
        """Tell whether a name stands for another object than at first, since it was loaded."""
        loading = space.get("__spec__")
        before, first = self._first.get((id(space), name), (_NOTHING, None))
        if before is not loading:
            self._first[id(space), name] = loading, value
            return False
        return first is not value


def main_file() -> Path | None:
    """Return the file that runs as a script, if there is one."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(file) if isinstance(file, str) else None


def _space(module: Module) -> dict[str, Any]:
    """Return what the names of a module stand for; nothing if it is not loaded."""
    for name in dict.fromkeys([module.name, "__main__"]):
        loaded = sys.modules.get(name)
        file = getattr(loaded, "__file__", None)
        if isinstance(file, str) and Path(file) == module.path:
            return vars(loaded)
    return {}


def _decided(target: Definition) -> Module:
    """Return the module with no more than the last binding of a name, if that is for sure."""
    module, name = target.module, target.name
    units = module.bindings.get(name, [])
    if len(units) < 2 or units[-1].conditions:
        return module
    return replace(module, bindings={name: units[-1:]})


def _unsettled(target: Definition, space: dict[str, Any], changers: Changers) -> int:
    """Return the line behind which the source of a script says what a name stands for.

    What is bound by ``if __name__ == "__main__"`` is never what others find who import it.
    """
    main = main_file()
    ends = [_end(u) for each in changers if each and each.path == main for u in each.units]
    if space is vars(sys.modules["__main__"]):
        if target.name in target.module.guarded:
            return sys.maxsize
        units = target.module.bindings.get(target.name, [])
        if len(units) > 1 or any(map(_is_loop, units)):
            ends += map(_end, units)
    return max(ends, default=0)


def _end(unit: Unit) -> int:
    return unit.statement.end_lineno or 0


def _is_loop(unit: Unit) -> bool:
    return isinstance(unit.statement, (ast.For, ast.AsyncFor, ast.While))


def _is_past(line: int) -> bool:
    """Tell whether the script has come to what stands behind a line."""
    at = line_of(vars(sys.modules["__main__"]))
    return line < (sys.maxsize if at is None else at)


def _is_defined(module: Module, name: str, value: object) -> bool:
    """Tell whether a name stands for a function that a ``def`` of the module has made."""
    statements = [unit.statement for unit in module.bindings.get(name, ())]
    return (
        isinstance(value, types.FunctionType)
        and [type(each) for each in statements] in ([ast.FunctionDef], [ast.AsyncFunctionDef])
        and not getattr(statements[0], "decorator_list", [])
        and source_says(module, name, value, is_main=False)
    )


def _is_literal(module: Module, name: str) -> bool:
    """Tell whether a value is written in the source."""
    for unit in module.bindings.get(name, ()):
        try:
            ast.literal_eval(getattr(unit.statement, "value", None) or ast.Name("none"))
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return False
    return True


def _made_by(function: types.FunctionType, files: set[str]) -> set[tuple[str, str]]:
    """Return file and name of what a function binds itself, as on first use, or what it calls.

    It is told by what is loaded: reading leads on to all that importing the modules does, too.

    :param files: of the user, in which to look.
    """
    found, met, waiting = set[tuple[str, str]](), set[int](), [function]
    while waiting:
        each = waiting.pop()
        if id(each) in met or each.__code__.co_filename not in files:
            continue
        met.add(id(each))
        names = set[str]()
        for code in codes_in(each.__code__):
            names.update(code.co_names, code.co_freevars)
            found |= {(code.co_filename, name) for name in _stored_by(code)}
        for name in names & each.__globals__.keys():
            waiting += _functions_of(each.__globals__[name], names)
        for cell in each.__closure__ or ():
            with contextlib.suppress(ValueError):  # it is empty
                waiting += _functions_of(cell.cell_contents, names)
    return found


@functools.lru_cache(maxsize=4096)
def _stored_by(code: types.CodeType) -> frozenset[str]:
    names = (each.argval for each in dis.get_instructions(code) if each.opname == "STORE_GLOBAL")
    return frozenset(names)


def _functions_of(value: object, names: set[str]) -> Iterator[types.FunctionType]:
    """Yield the functions that a value is made of, or that are attributes of such names."""
    inside = [value]
    if isinstance(value, types.ModuleType):
        inside = [vars(value)[name] for name in names & vars(value).keys()]
    for each in inside:
        members = vars(each if isinstance(each, type) else type(each)).values()
        for one in (each, getattr(each, "__wrapped__", None), *members):
            function = getattr(one, "__func__", None) or getattr(one, "fget", None) or one
            if isinstance(function, types.FunctionType):
                yield function


def _unknown(target: Definition, value: object) -> str:
    return (
        f"{target.module.label}.{target.name} is not what its source says, and"
        f" {type(value).__name__} has no fingerprint: give it as an argument that has one"
    )
