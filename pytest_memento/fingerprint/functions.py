"""From a function to its source, and to a digest of its own code.

A function knows its file, its first line and its name; where two share these, as two lambdas on
one line, the one that compiles to the same bytecode is meant.
"""

from __future__ import annotations

import ast
import functools
import linecache
import types
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from inspect import unwrap
from typing import NewType

from pytest_memento.errors import FingerprintError
from pytest_memento.fingerprint.scopes import scan
from pytest_memento.fingerprint.syntax import Function, write, write_code

Digest = NewType("Digest", str)
"""A digest as people and file names see it: 32 lower-case hexadecimal characters."""


def digest_text(text: str) -> Digest:
    """Return the digest of a text."""
    return Digest(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest())


def unwrap_function(function: object) -> types.FunctionType:
    """Return the Python function that *function* ends in.

    :raises FingerprintError: if it ends in something else, such as a builtin or a class.
    """
    while not isinstance(function, types.FunctionType) or hasattr(function, "__wrapped__"):
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, types.MethodType | staticmethod | classmethod):
            function = function.__func__
        elif callable(function) and hasattr(function, "__wrapped__"):
            function = unwrap(function)
        else:
            raise FingerprintError(f"{function!r} is not a function with Python code")
    return function


def registered_in(function: object) -> Iterator[object]:
    """Yield what was registered with a function by :func:`functools.singledispatch`."""
    registry: object = getattr(function, "registry", None)
    if isinstance(function, types.FunctionType) and isinstance(registry, types.MappingProxyType):
        yield from registry.values()


def codes_in(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield a code object, and those of all functions and classes in it."""
    yield code
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield from codes_in(each)


def digest_function(function: types.FunctionType) -> Digest:
    """Return the digest of a function's own code, without what it calls.

    Where there is no source, as after :func:`exec`, the bytecode is digested, which is another on
    each version of Python.
    """
    # Equal code objects may come from different files, and there mean differently written code.
    return _digest_code(function.__code__, function.__code__.co_filename, function.__module__)


@functools.lru_cache(maxsize=4096)
def _digest_code(code: types.CodeType, filename: str, module: str) -> Digest:
    node = find_node(code, filename)
    if node is None:
        return digest_text("bytecode " + write_code(code))
    package = module.rpartition(".")[0] if module else ""
    names = scan(node, package=package, free=code.co_freevars)
    origins = sorted({f"{origin}" for each in names.origins.values() for origin in each})
    return digest_text(write(node, names=names.own, anonymous=True) + "".join(origins))


def find_node(code: types.CodeType, filename: str) -> Function | None:
    """Return the syntax tree of a function's code object, ``None`` without source."""
    linecache.checkcache(filename)
    nodes = _nodes_by_place("".join(linecache.getlines(filename)))
    found = nodes.get((code.co_name, code.co_firstlineno), [])
    if len(found) == 1 and not filename.startswith("<"):  # "<string>" may be of another exec()
        return found[0]
    return next((node for node in found if _compiles_to(node, code)), None)


@functools.lru_cache(maxsize=64)
def _nodes_by_place(source: str) -> dict[tuple[str, int], list[Function]]:
    """Index the functions of a module by what their code objects know: name and first line."""
    places: dict[tuple[str, int], list[Function]] = {}
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # the file has changed since it was imported
        return places
    for node in ast.walk(tree):
        if isinstance(node, Function):
            places.setdefault(_place(node), []).append(node)
    return places


def _place(node: Function) -> tuple[str, int]:
    if isinstance(node, ast.Lambda):
        return "<lambda>", node.lineno
    return node.name, min([node.lineno, *(each.lineno for each in node.decorator_list)])


def _compiles_to(node: Function, code: types.CodeType) -> bool:
    """Tell whether *node* is the source of *code*, where name and line leave that open."""
    compiled = _compile_alone(node, code.co_freevars)
    return any(
        isinstance(each, types.CodeType)
        and each.co_name == code.co_name
        and write_code(each) == write_code(code)
        for each in compiled.co_consts
    )


def _compile_alone(node: Function, free: Iterable[str]) -> types.CodeType:
    """Compile *node* inside a function that has the variables it takes from around it."""
    around = ast.parse(f"def around({', '.join(free)}): pass")
    outer = around.body[0]
    assert isinstance(outer, ast.FunctionDef)
    outer.body = [ast.Expr(node) if isinstance(node, ast.Lambda) else node]
    module = compile(ast.fix_missing_locations(around), "<around>", "exec", dont_inherit=True)
    return next(each for each in module.co_consts if isinstance(each, types.CodeType))
