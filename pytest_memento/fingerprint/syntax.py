"""Write a syntax tree out as text that says what the code does, not how it is written.

Left out is what cannot change a result; the text is the same on every version of Python::

    def half(x: float) -> float:          FunctionDef( args=arguments( args=[,arg( arg=str:'x')])
        '''Return the half.'''      ->      body=[,Assign( targets=[,Name( id=str:'$0')] value=...)
        y = x / 2  # not x // 2                   ,Return( value=Name( id=str:'$0'))])
        return y
"""

from __future__ import annotations

import ast
import functools
import types
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
"""Functions with a name."""

# Where an expression stands tells what its `ctx` says; `type_params` are annotations, and are
# not known before Python 3.12.
_SILENT_FIELDS = frozenset({"ctx", "kind", "type_comment", "type_params"})
# What they do shows in the names that they bind, see `scopes`.
_SILENT_STATEMENTS = (ast.Pass, ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal)
_NAMING_FIELDS = frozenset({"id", "name", "rest"})
_BODIES = frozenset({"body", "orelse", "finalbody"})


def write(
    node: ast.AST,
    *,
    names: Mapping[ast.AST, str] | None = None,
    dropped: Collection[ast.AST] = (),
    annotated: Collection[ast.AST] = (),
    anonymous: bool = False,
) -> str:
    """Return the text of a node.

    :param names: what is written instead of the name that a node reads or binds.
    :param dropped: decorators, and statements of bodies, that do not count.
    :param annotated: functions and classes whose annotations count.
    :param anonymous: leave out the name of the function or class itself.
    """
    writer = _Writer(names or {}, dropped, annotated)
    node = _bare(node) or ast.Pass()
    fields = [(n, part) for n, part in writer.fields(node) if not (anonymous and n == "name")]
    return type(node).__name__ + writer.write(_opened(fields))


class _Mark(str):
    """Text that is written as it is, unlike a string of the source."""


_OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST, _COMMA = map(_Mark, "()[],")


@functools.cache
def _field_mark(name: str) -> _Mark:
    return _Mark(f" {name}=")


class _Writer:
    def __init__(
        self,
        names: Mapping[ast.AST, str],
        dropped: Collection[ast.AST],
        annotated: Collection[ast.AST],
    ) -> None:
        self.names = names
        self.dropped = dropped
        self.annotated = annotated

    def write(self, parts: list[object]) -> str:
        """Write out nodes, lists of nodes and constants; *parts* are taken from their end.

        Not recursive: a chain of two hundred ``elif`` or ``+`` is a tree of that depth.
        """
        written: list[str] = []
        while parts:
            part = parts.pop()
            kind = type(part)
            if kind is _Mark:
                written.append(part)  # type: ignore[arg-type]
            elif isinstance(part, ast.AST):
                written.append(kind.__name__)
                parts += _opened(self.fields(part))
            elif isinstance(part, list):
                parts += _listed(part)
            else:
                written.append(write_constant(part))
        return "".join(written)

    def fields(self, node: ast.AST) -> list[tuple[str, object]]:
        """Return the fields of a node that can change what it does.

        Empty ones are left out, so that a field that only newer versions have does not show.
        """
        found: list[tuple[str, object]] = []
        kind: Any = type(node)
        for name in _telling_fields(kind):
            part = getattr(node, name, None)
            if type(part) is list:
                part = self._list(node, name, part)
                if not part:
                    continue
            elif part is None:
                continue
            elif name in _NAMING_FIELDS:
                part = self.names.get(node, part)
            found.append((name, part))
        return self._function_fields(node, found) if kind in FUNCTIONS else found

    def _function_fields(
        self, node: ast.AST, fields: list[tuple[str, object]]
    ) -> list[tuple[str, object]]:
        if node in self.annotated:
            return fields
        return [
            (name, _without_annotations(part) if isinstance(part, ast.arguments) else part)
            for name, part in fields
            if name != "returns"
        ]

    def _list(self, node: ast.AST, name: str, parts: list[ast.AST]) -> list[ast.AST]:
        if name in _BODIES:
            return list(self._statements(node, parts))
        if name == "decorator_list":
            return [part for part in parts if part not in self.dropped]
        if isinstance(node, ast.JoinedStr):
            return list(_joined_texts(parts))
        return parts

    def _statements(self, node: ast.AST, body: Iterable[ast.AST]) -> Iterator[ast.AST]:
        has_fields = isinstance(node, ast.ClassDef) and (node in self.annotated or is_special(node))
        for statement in body:
            bare = statement if has_fields else _bare(statement)
            if bare is not None and not does_nothing(bare) and bare not in self.dropped:
                yield bare


def _bare(statement: ast.AST) -> ast.AST | None:
    """Return a statement without the annotation of a variable, if anything is left of it."""
    if not isinstance(statement, ast.AnnAssign):
        return statement
    if statement.value is None:
        return None
    return ast.Assign(targets=[statement.target], value=statement.value)


@functools.cache
def _telling_fields(kind: Any) -> tuple[str, ...]:
    return tuple(name for name in kind._fields if name not in _SILENT_FIELDS)


def children(node: ast.AST) -> list[ast.AST]:
    """Return the nodes directly below a node, in order, without those that only mark it.

    :func:`ast.iter_child_nodes` takes twice as long.
    """
    found: list[ast.AST] = []
    kind: Any = type(node)
    for name in _fields_with_nodes(kind):
        part = getattr(node, name, None)
        if type(part) is list:
            found += [each for each in part if isinstance(each, ast.AST)]
        elif isinstance(part, ast.AST):
            found.append(part)
    return found


@functools.cache
def _fields_with_nodes(kind: Any) -> tuple[str, ...]:
    without = {"ctx", "op", "ops", "id", "attr", "arg", "lineno", "type_comment", "kind"}
    return () if kind is ast.Constant else tuple(n for n in kind._fields if n not in without)


def does_nothing(statement: ast.AST) -> bool:
    """Tell whether a statement has no effect of its own: docstrings, ``pass`` and the like."""
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, _SILENT_STATEMENTS)


def is_special(node: ast.ClassDef) -> bool:
    """Tell whether something may read the annotations in a class: they make a dataclass's fields.

    A class without bases and decorators is made by ``type``, which ignores them.
    """
    return bool(node.decorator_list or node.bases or node.keywords)


def _without_annotations(arguments: ast.arguments) -> ast.arguments:
    def bare(arg: ast.arg | None) -> ast.arg | None:
        return arg and ast.arg(arg=arg.arg)

    new = ast.arguments(**{name: getattr(arguments, name) for name in arguments._fields})
    for name in ("posonlyargs", "args", "kwonlyargs"):
        setattr(new, name, [bare(arg) for arg in getattr(arguments, name)])
    new.vararg, new.kwarg = bare(arguments.vararg), bare(arguments.kwarg)
    return new


def _opened(fields: list[tuple[str, object]]) -> list[object]:
    """Return what is to be written for the fields of a node, last first."""
    parts: list[object] = [_CLOSE]
    for name, part in reversed(fields):
        parts.append(part)
        parts.append(_field_mark(name))
    parts.append(_OPEN)
    return parts


def _listed(elements: list[object]) -> list[object]:
    parts: list[object] = [_CLOSE_LIST]
    for element in reversed(elements):
        parts.append(element)
        parts.append(_COMMA)
    parts.append(_OPEN_LIST)
    return parts


def _joined_texts(parts: Iterable[ast.AST]) -> list[ast.AST]:
    """Return the parts of an f-string in one form; some versions add or split empty texts."""
    joined: list[ast.AST] = []
    for part in parts:
        text = _text_of(part)
        before = _text_of(joined[-1]) if joined else None
        if text is not None and before is not None:
            joined[-1] = ast.Constant(before + text)
        elif text != "":
            joined.append(part)
    return joined


def _text_of(part: ast.AST) -> str | None:
    if isinstance(part, ast.Constant) and isinstance(part.value, str):
        return part.value
    return None


def write_code(code: types.CodeType) -> str:
    """Write out what a code object does, without where it stands."""
    constants = ",".join(write_constant(each) for each in code.co_consts)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return f"code({code.co_code.hex()},[{constants}],{counts},{names})"


def write_constant(value: object) -> str:
    """Write out a constant of the source or of a code object."""
    if isinstance(value, types.CodeType):
        return write_code(value)
    if isinstance(value, tuple):
        return f"({','.join(write_constant(each) for each in value)})"
    if isinstance(value, frozenset):
        return f"{{{','.join(sorted(write_constant(each) for each in value))}}}"
    # hex: the decimal form of a long integer is an error by default
    text = hex(value) if isinstance(value, int) else repr(value)
    return f"{type(value).__name__}:{text}"
