"""Code by what it is now, where source does not tell: of a notebook, a prompt, a closure.

    def make(factor):
        return lambda config: scale(config.x) * factor * LIMIT

    the lambda  ->  its own text    scale, LIMIT    of the module that it lives in
                                    factor          of its closure

A name that stands for code leads on to that, one that stands for data counts with its value.
"""

from __future__ import annotations

import ast
import dataclasses
import dis
import functools
import inspect
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path

from pytest_memento.errors import FingerprintError
from pytest_memento.fingerprint.effects import is_told
from pytest_memento.fingerprint.functions import Digest, digest_function, digest_text, find_node
from pytest_memento.fingerprint.modules import Module, is_own
from pytest_memento.fingerprint.names import NO_MEMBERS
from pytest_memento.fingerprint.scopes import CHANGING_METHODS, scan
from pytest_memento.fingerprint.values import digest_if_any, digest_value, made_anew

Code = types.FunctionType | type | types.ModuleType | types.BuiltinFunctionType
_GLOBAL = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})
_KEPT_BY_PYTHON = NO_MEMBERS | {"__annotations__"}


@dataclasses.dataclass(frozen=True)
class Finding:
    """A piece of code or data with a name of its own.

    :param name: as people read it: ``__main__.scale``.
    :param digest: of what it says.
    :param uses: the functions, classes and modules that it leads to; of modules with the
        attributes that are asked for.
    """

    name: str
    digest: Digest
    uses: tuple[tuple[Code, tuple[str, ...]], ...] = ()


def is_living(value: object) -> bool:
    """Tell whether a function or class stands in no file, neither the user's nor another one."""
    if isinstance(value, types.FunctionType):
        return not os.path.exists(value.__code__.co_filename) and not _is_installed(value)
    if not isinstance(value, type):
        return False
    module = sys.modules.get(_module(value))
    if module is None or _module(value) == "__main__":
        file = getattr(module, "__file__", None)
        return not isinstance(file, str) or not os.path.exists(file)  # "<stdin>", say
    return False


def _is_installed(value: types.FunctionType | type) -> bool:
    module = sys.modules.get(_module(value))
    if module is None or _module(value) in ("__main__", "builtins"):  # the latter after exec()
        return False
    file = getattr(module, "__file__", None)
    return not isinstance(file, str) or not is_own(Path(file))


def function_findings(function: types.FunctionType) -> Iterator[Finding]:
    """Yield a function that stands in no file, and the data that it uses."""
    owner = f"{_module(function)}"
    own = f"{owner}.{function.__qualname__}"
    found = _Found(own, digest_function(function))
    space = function.__globals__
    for name, attributes in sorted(_globals_of(function)):
        if name in space:
            yield from found.take(f"{owner}.{name}", name, space[name], attributes)
    yield from _around(function, found)
    yield found.finding()


def closure_findings(function: types.FunctionType) -> Iterator[Finding]:
    """Yield what a function takes from the functions around it, and its defaults."""
    own = f"{_module(function)}.{function.__qualname__}"
    found = _Found(own, digest_text(""))
    yield from _around(function, found)
    if found.uses:
        yield found.finding(" (closure)")


def _around(function: types.FunctionType, found: _Found) -> Iterator[Finding]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    for name, cell in cells:
        try:
            value = cell.cell_contents
        except ValueError:  # a variable that is assigned later, or never
            continue
        if value is not function:
            yield from found.take(f"{found.name}: {name}", name, value, ())
    defaults = (function.__defaults__, function.__kwdefaults__)
    if any(defaults):
        yield from found.take(f"{found.name}: defaults", "defaults", defaults, ())


def class_findings(cls: type) -> Iterator[Finding]:
    """Yield a class that stands in no file: its methods one by one, and the rest."""
    own = f"{_module(cls)}.{cls.__qualname__}"
    found = _Found(own, digest_text(""))
    rest: dict[str, object] = {}
    for name, member in vars(cls).items():
        functions = [*_functions_in(member)]
        for function in functions:
            if not _is_generated(cls, name, function):
                yield from function_findings(function)
        if not functions and name not in _KEPT_BY_PYTHON:
            rest[name] = member
    for base in cls.__bases__:
        found.use(base.__name__, base, ())
    fields = [*_annotations_of(cls), *made_anew(cls)]
    yield from found.take(f"{own}: members", "members", _stable(rest), ())
    yield from found.take(f"{own}: fields", "fields", fields, ())
    yield found.finding()


def value_findings(name: str, value: object) -> Iterator[Finding]:
    """Yield data, or what code that is not followed by its name says."""
    found = _Found(name, digest_text(""))
    yield from found.take(name, "", value, ())
    if found.uses:
        yield found.finding(" (code)")


def source_says(module: Module, name: str, value: object, *, is_main: bool) -> bool:
    """Tell whether the source of a module says what a name of it stands for now.

    :param is_main: whether it runs as a script, and may not have come to its end.
    """
    units = module.bindings.get(name, ())
    statements = [unit.statement for unit in units]
    if is_main and (len(units) > 1 or name in module.guarded):
        return False
    if len(statements) != 1:
        return True
    if isinstance(statements[0], (ast.For, ast.AsyncFor, ast.While)):
        return not is_main
    if isinstance(statements[0], ast.FunctionDef | ast.AsyncFunctionDef):
        return _is_made_by(statements[0], value, module.path)
    if isinstance(statements[0], ast.ClassDef) and not statements[0].decorator_list:
        return isinstance(value, type) and value.__qualname__ == statements[0].name
    return _is_written(module, name, statements[0], value)


def _is_made_by(node: ast.FunctionDef | ast.AsyncFunctionDef, value: object, path: Path) -> bool:
    if node.decorator_list:  # what a decorator has made is not looked into
        return True
    if not isinstance(value, types.FunctionType):
        return False
    code = value.__code__
    is_here = os.path.realpath(code.co_filename) == os.path.realpath(path)
    return is_here and (code.co_name, code.co_firstlineno) == (node.name, node.lineno)


def _is_written(module: Module, name: str, statement: ast.stmt, value: object) -> bool:
    """Tell whether a constant still has the value that is written in the source."""
    if not isinstance(statement, ast.Assign | ast.AnnAssign) or statement.value is None:
        return True
    if is_told(statement.value):
        return False
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    if not all(isinstance(each, ast.Name) for each in targets):
        return True
    try:
        written = ast.literal_eval(statement.value)
        if isinstance(written, list | dict | set) and _is_filled(module, name):
            return True
        return digest_value(written) == digest_value(value)
    except ValueError:  # it is no literal
        return True
    except (FingerprintError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False


def data_of(cls: type) -> dict[str, object]:
    """Return the attributes of a class that are data, as far as they can count."""
    return {
        name: member
        for name, member in _stable(dict(vars(cls))).items()
        if name not in _KEPT_BY_PYTHON
        and not [*_functions_in(member)]
        and not isinstance(member, type)
        and has_digest(member)
    }


def has_digest(value: object) -> bool:
    """Tell whether a value can count as it is now."""
    return digest_if_any(value) is not None


def _is_filled(module: Module, name: str) -> bool:
    """Tell whether code of a module changes a container of it, as one that collects things."""
    for unit in module.units:
        for node in ast.walk(unit.statement):
            part = getattr(node, "value", None)
            if not (isinstance(part, ast.Name) and part.id == name):
                continue
            if isinstance(node, ast.Attribute) and node.attr in CHANGING_METHODS:
                return True
            if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
                return True
    return False


class _Found:
    """What was found of a definition so far."""

    def __init__(self, name: str, digest: Digest) -> None:
        self.name = name
        self.uses: list[tuple[Code, tuple[str, ...]]] = []
        self._texts: list[str] = [digest]

    def finding(self, more: str = "") -> Finding:
        return Finding(f"{self.name}{more}", digest_text("\n".join(self._texts)), tuple(self.uses))

    def take(
        self, full: str, name: str, value: object, attributes: tuple[str, ...]
    ) -> Iterator[Finding]:
        """Take in what a name stands for; yield it if it is data."""
        if isinstance(value, types.FunctionType | type | types.ModuleType):
            self.use(name, value, attributes)
            return
        met: list[object] = []
        try:
            digest = digest_value(value, met=met)
        except FingerprintError as error:
            raise FingerprintError(f"{full}: {error.reason}", error.at) from error.__cause__
        uses = tuple((each, ()) for each in met if isinstance(each, types.FunctionType | type))
        wrapped = (getattr(each, "__wrapped__", None) for each in met)
        inner = tuple((each, ()) for each in wrapped if isinstance(each, types.FunctionType))
        yield Finding(full, digest, (*uses, *inner))

    def use(self, name: str, value: Code, attributes: tuple[str, ...]) -> None:
        """Note what a name means, and that its code counts."""
        meant = getattr(value, "__qualname__", "")
        place = value.__name__ if isinstance(value, types.ModuleType) else _module(value)
        self._texts.append(f"{name}={place}.{meant}" if meant else f"{name}=module {place}")
        self.uses.append((value, attributes))


def _globals_of(function: types.FunctionType) -> set[tuple[str, tuple[str, ...]]]:
    """Return the names of its module that a function reads, with the attributes it asks for.

    The bytecode says which; a function that was pickled has no others with it.
    """
    names = set(_read_by(function.__code__))
    node = find_node(function.__code__, function.__code__.co_filename)
    if node is None:
        return {(name, ()) for name in names}
    reads = scan(node, package="", free=function.__code__.co_freevars).reads
    known = {(r.root, r.attributes) for r in reads if isinstance(r.root, str) and r.root in names}
    return known | {(name, ()) for name in names - {root for root, _ in known}}


@functools.lru_cache(maxsize=4096)
def _read_by(code: types.CodeType) -> frozenset[str]:
    own = {each.argval for each in dis.get_instructions(code) if each.opname in _GLOBAL}
    inner = (each for each in code.co_consts if isinstance(each, types.CodeType))
    return frozenset(own.union(*map(_read_by, inner)))


def imports_of(function: types.FunctionType) -> Iterator[tuple[str, str | None, tuple[str, ...]]]:
    """Yield what a function that stands in no file imports: module, name in it, attributes."""
    node = find_node(function.__code__, function.__code__.co_filename)
    if node is None:
        yield from ((name, None, ()) for name in sorted(_imported_by(function.__code__)))
        return
    for read in scan(node, package="", free=function.__code__.co_freevars).reads:
        if not isinstance(read.root, str):
            yield read.root.module, read.root.name, read.attributes


@functools.lru_cache(maxsize=4096)
def _imported_by(code: types.CodeType) -> frozenset[str]:
    own = {each.argval for each in dis.get_instructions(code) if each.opname == "IMPORT_NAME"}
    inner = (each for each in code.co_consts if isinstance(each, types.CodeType))
    return frozenset(own.union(*map(_imported_by, inner)))


def _is_generated(cls: type, name: str, function: types.FunctionType) -> bool:
    """Tell whether a dataclass has made a method: its fields say what that does."""
    is_made = function.__code__.co_filename == "<string>" and name.startswith("__")
    return is_made and dataclasses.is_dataclass(cls)


def _annotations_of(cls: type) -> Iterator[tuple[str, str]]:
    """Yield the annotations of a class in words: they make the fields of a dataclass."""
    try:
        annotations = inspect.get_annotations(cls)
    except NameError:  # of something that is not there yet
        return
    yield from ((name, str(each)) for name, each in annotations.items())


def _functions_in(member: object) -> Iterator[types.FunctionType]:
    """Yield the functions that a member of a class is made of."""
    inside = [member]
    if isinstance(member, property):
        inside = [member.fget, member.fset, member.fdel]
    elif isinstance(member, staticmethod | classmethod):
        inside = [member.__func__]
    elif isinstance(member, functools.cached_property):
        inside = [member.func]
    yield from (each for each in inside if isinstance(each, types.FunctionType))


def _stable(members: dict[str, object]) -> dict[str, object]:
    """Leave out what a metaclass keeps in a class for itself, where it has no fingerprint."""
    found = {}
    for name, member in members.items():
        if name.startswith("_"):
            try:
                digest_value(member)
            except FingerprintError:
                continue
        found[name] = member
    return found


def _module(value: types.FunctionType | type | types.BuiltinFunctionType) -> str:
    name: object = value.__module__  # in classes of Cython, a descriptor
    return name if isinstance(name, str) else "builtins"
