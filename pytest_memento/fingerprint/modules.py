"""The user's own modules, read from their source: what each name of a module is bound by.

    SCALE = 2                          "SCALE"      [SCALE = 2]
    from .tables import TABLE          "TABLE"      Import("pkg.tables", "TABLE")
    def normalize(x): ...              "normalize"  [def normalize]

Nothing is imported for it.
"""

from __future__ import annotations

import ast
import functools
import os
import site
import sys
import sysconfig
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import TypeAlias

from pytest_memento.fingerprint.scopes import COMPREHENSIONS, Import, absolute, imports_of
from pytest_memento.fingerprint.syntax import does_nothing

STAR = "*"
_OWN = Path(__file__).parents[1]

Read: TypeAlias = Callable[[Path], bytes]
"""Returns the source of a file, or raises :class:`OSError`."""


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """A statement of a module, with the conditions that it stands under.

    :param statement: a simple statement, a definition, or a whole loop.
    :param conditions: of the ``if``, ``try`` and ``with`` around it.
    """

    statement: ast.stmt
    conditions: tuple[ast.AST, ...] = ()


@dataclass(frozen=True, slots=True)
class Star:
    """An import of all that another module passes on.

    :param module: the other one.
    :param after: how many statements of the module stand before it.
    """

    module: str
    after: int


@dataclass(frozen=True, slots=True)
class Script:
    """A file that runs as a script, and is not imported.

    :param path: the file.
    :param names: what its names stand for now.
    :param line: which line it is at; ``None`` when it has come to its end.
    :param since: which line has run experiments first.
    """

    path: Path
    names: Mapping[str, object]
    line: int | None = None
    since: int | None = None

    def is_guarded(self, source: bytes) -> bool:
        """Whether importing the file would not do what it is at: it is under the guard."""
        return self.line is not None and any(
            isinstance(each, ast.If)
            and _is_for_script(each.test)
            and each.lineno <= self.line <= (each.end_lineno or each.lineno)
            for each in ast.parse(source).body
        )

    def is_ahead(self, statement: ast.stmt) -> bool:
        """Whether a statement was not done yet. Of a loop that is not known."""
        if self.line is None:
            return False
        is_simple = isinstance(statement, (ast.Expr, ast.Assign, ast.AnnAssign, ast.AugAssign))
        last = statement.end_lineno or statement.lineno
        return statement.lineno > self.line or (is_simple and last >= self.line)


def line_of(names: Mapping[str, object]) -> int | None:
    """Return the line that the top of a module is at; ``None`` where it does not run.

    :param names: of the module.
    """
    file = names.get("__file__")
    path = os.path.abspath(file) if isinstance(file, str) else None
    for start in sys._current_frames().values():
        frame: types.FrameType | None = start
        while frame is not None:
            code = frame.f_code
            is_top = code.co_name == "<module>" and frame.f_globals is names
            # Others are run by exec().
            if is_top and path in (None, os.path.abspath(code.co_filename)):
                return frame.f_lineno
            frame = frame.f_back
    return None


@dataclass(slots=True, eq=False)
class Module:
    """A module of the user.

    :param name: dotted, as it is imported.
    :param label: its last part, for people.
    :param place: tells it from all others, however it is imported.
    :param path: the file.
    :param package: what its relative imports start from.
    :param has_walrus: whether there may be a ``:=`` in it.
    :param has_subclasses: whether there may be a ``__subclasses__`` in it.
    :param bindings: name -> the statements that bind it; of imports, the conditions they are under.
    :param imports: name -> what it is imported from, more than one under ``try`` or ``if``.
    :param stars: each ``from ... import *``.
    :param settled: name -> how many statements stand before the last that binds it for sure.
    :param imported: all modules that it imports when it is imported.
    :param units: all statements but imports; of a script those that it has come to.
    :param guarded: what is bound where it runs as a script, by ``if __name__ == "__main__"``.
    :param apart: statements that importing it does not do: those, and the one a script is at.
    :param since: from which line on a script deals with results.
    """

    name: str
    label: str
    place: str
    path: Path
    package: str
    has_walrus: bool
    has_subclasses: bool
    bindings: dict[str, list[Unit]] = field(default_factory=dict)
    imports: dict[str, list[Import]] = field(default_factory=dict)
    stars: list[Star] = field(default_factory=list)
    settled: dict[str, int] = field(default_factory=dict)
    imported: dict[str, None] = field(default_factory=dict)
    units: list[Unit] = field(default_factory=list)
    guarded: set[str] = field(default_factory=set)
    apart: list[Unit] = field(default_factory=list)
    since: int | None = None

    @property
    def is_package(self) -> bool:
        """Whether it is the ``__init__`` of a package."""
        return self.package == self.name


class Modules:
    """Finds the user's modules by name or file, and reads each once.

    :param root: the project.
    :param script: the file that runs as a script, if that matters.
    :param read: returns the source of a file.
    """

    def __init__(
        self, root: Path, script: Script | None = None, read: Read = Path.read_bytes
    ) -> None:
        self._root = root
        self.script = script
        self._source_of = read
        self._by_path: dict[Path, Module | None] = {}
        self._by_name: dict[str, Module | None] = {}

    @property
    def script_read(self) -> Module | None:
        """The script as a module, if one runs that is the user's own."""
        return self.read(self.script.path, "__main__") if self.script is not None else None

    def find(self, name: str) -> Module | None:
        """Return a module by name, ``None`` if it is not the user's own."""
        if name not in self._by_name:
            path = _locate(name)
            self._by_name[name] = self.read(path, name) if path else None
        return self._by_name[name]

    def is_namespace(self, name: str) -> bool:
        """Tell whether a name is that of a package without a file of its own."""
        loaded = sys.modules.get(name)
        if loaded is not None:
            return getattr(loaded, "__file__", None) is None and hasattr(loaded, "__path__")
        spec = spec_of(name)
        return spec is not None and spec.origin is None

    def read(self, path: Path, name: str) -> Module | None:
        """Return a module by file, ``None`` if it is not the user's own or cannot be read.

        Several files may have one name, as ``conftest`` does.
        """
        if path not in self._by_path:
            place = self._place(path, name)
            self._by_path[path] = self._read(path, name, place) if is_own(path) else None
        return self._by_path[path]

    def _read(self, path: Path, name: str, place: str) -> Module | None:
        try:
            source = self._source_of(path)
            tree = ast.parse(source)
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            return None
        module = _module(source, tree, path, name, place)
        if self.script is not None and path == self.script.path:
            _bind_guarded(tree, module)
            _leave_out(self.script, module)
        return module

    def _place(self, path: Path, name: str) -> str:
        """Return where a file is in the project, elsewhere its name: not where the project is."""
        below = path.is_relative_to(self._root)
        return path.relative_to(self._root).as_posix() if below else name


def is_own(path: Path) -> bool:
    """Tell whether a file is the user's own source: not installed, not of Python, not ours."""
    if path.suffix != ".py" or {"site-packages", "dist-packages"} & {*path.parts}:
        return False
    if any(path.is_relative_to(place) for place in _installed()):
        return False
    return not any(
        path.relative_to(place).parts[0].removesuffix(".py") in _installed_in(place)
        for place in map(os.path.abspath, sys.path)
        if path.is_relative_to(place)
    )


@functools.cache
def _installed_in(directory: str) -> frozenset[str]:
    """Return the modules and packages of distributions that were installed into a directory.

    As by ``pip install --target``, maybe among the user's own.
    """
    if not any(Path(directory).glob("*.dist-info")):
        return frozenset()
    found = metadata.distributions(path=[directory])
    files = (file for distribution in found for file in distribution.files or ())
    return frozenset(file.parts[0].removesuffix(".py") for file in files if file.parts)


@functools.cache
def _installed() -> tuple[Path, ...]:
    """Return the directories of Python and of what is installed, and our own."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    places = {path for name in names if (path := sysconfig.get_path(name))}
    places |= {*site.getsitepackages(), site.getusersitepackages()}
    return (_OWN, *(Path(place).resolve() for place in places), *map(Path, places))


def _locate(name: str) -> Path | None:
    """Return the file of a module without importing it, or a package on the way to it."""
    loaded = sys.modules.get(name)
    if loaded is not None:
        file = getattr(loaded, "__file__", None)
        return Path(file) if isinstance(file, str) else None
    spec = spec_of(name)
    return Path(spec.origin) if spec and spec.origin and spec.has_location else None


def spec_of(name: str) -> ModuleSpec | None:
    """Find a module along its packages; :func:`importlib.util.find_spec` would import these."""
    search: Sequence[str] | None = None
    spec = None
    for end in [at for at, character in enumerate(name) if character == "."] + [len(name)]:
        spec = _ask_finders(name[:end], search)
        search = _search_path(name[:end], spec)
        if end < len(name) and search is None:
            return None
    return spec


def _ask_finders(name: str, search: Sequence[str] | None) -> ModuleSpec | None:
    """Find a module as an import would; those of editable installs have finders of their own."""
    others = (finder for finder in sys.meta_path if finder is not PathFinder)
    for finder in (PathFinder, *others):
        find = getattr(finder, "find_spec", None)
        try:
            spec: ModuleSpec | None = find(name, search) if find else None
        except Exception:
            continue
        if spec is not None:
            return spec
    return None


def _search_path(name: str, spec: ModuleSpec | None) -> Sequence[str] | None:
    """Return where the modules of a package are; once it is loaded, it may have changed that."""
    loaded = getattr(sys.modules.get(name), "__path__", None)
    if loaded is not None:
        return list(loaded)
    return spec.submodule_search_locations if spec else None


def _module(source: bytes, tree: ast.Module, path: Path, name: str, place: str) -> Module:
    is_package = path.stem == "__init__"
    label = path.parent.name if is_package else path.stem
    package = name if is_package else name.rpartition(".")[0]
    module = Module(name, label, place, path, package, b":=" in source, b"__subclasses__" in source)
    if tree.body and does_nothing(tree.body[0]):
        module.bindings["__doc__"] = [Unit(tree.body[0])]
    for number, unit in enumerate(_units(tree.body, ())):
        _place(unit, module, number)
    return module


def _bind_guarded(tree: ast.Module, module: Module) -> None:
    """Note what is bound under ``if __name__ == "__main__"``: it counts for who uses it."""
    for test in tree.body:
        if not (isinstance(test, ast.If) and _is_for_script(test.test)):
            continue
        for unit in _units(test.body, (test.test,)):
            if isinstance(unit.statement, (ast.Import, ast.ImportFrom)):
                for name, target in imports_of(unit.statement, module.package):
                    module.imports.setdefault(name, []).append(target)
            elif not does_nothing(unit.statement):
                module.apart.append(unit)
                for name in dict.fromkeys(_bound(unit.statement)):
                    module.bindings.setdefault(name, []).append(unit)
                    module.guarded.add(name)


def _leave_out(script: Script, module: Module) -> None:
    """Leave out what a script does after the line that it is at: it had no effect so far."""
    module.apart += [
        unit
        for unit in module.units
        if script.is_ahead(unit.statement) and unit.statement.lineno <= (script.line or 0)
    ]
    module.units = [unit for unit in module.units if not script.is_ahead(unit.statement)]
    module.since = script.since


def _units(body: Iterable[ast.stmt], conditions: tuple[ast.AST, ...]) -> Iterator[Unit]:
    """Yield the statements of a module, those of ``if``, ``try`` and ``with`` one by one."""
    for statement in body:
        if isinstance(statement, ast.If):
            yield from _units_of_test(statement.test, conditions)
            if not _is_for_others(statement.test):
                inside = (*conditions, statement.test)
                yield from _units(statement.body, inside)
            opposite = ast.UnaryOp(ast.Not(), statement.test)
            yield from _units(statement.orelse, (*conditions, opposite))
        elif _is_try(statement):
            yield from _units_of_try(statement, conditions)
        elif isinstance(statement, (ast.With, ast.AsyncWith)):
            items = tuple(item.context_expr for item in statement.items)
            if any(item.optional_vars is not None for item in statement.items):
                binding = ast.With(items=statement.items, body=[ast.Pass()])
                yield Unit(ast.copy_location(binding, statement), conditions)
            yield from _units(statement.body, (*conditions, *items))
        else:
            yield Unit(statement, conditions)


def _units_of_test(test: ast.expr, conditions: tuple[ast.AST, ...]) -> Iterator[Unit]:
    """Yield the test of an ``if`` as a statement, if it may bind or do something."""
    if any(isinstance(each, (ast.Call, ast.NamedExpr)) for each in ast.walk(test)):
        yield Unit(ast.copy_location(ast.Assert(test=test), test), conditions)


def _is_try(statement: ast.stmt) -> bool:
    return type(statement).__name__ in ("Try", "TryStar")  # the latter since Python 3.11


def _units_of_try(statement: ast.stmt, conditions: tuple[ast.AST, ...]) -> Iterator[Unit]:
    handlers: list[ast.ExceptHandler] = getattr(statement, "handlers", [])
    caught = tuple(handler.type for handler in handlers if handler.type is not None)
    inside = (*conditions, *caught)
    for body in ("body", "orelse", "finalbody"):
        yield from _units(getattr(statement, body), inside)
    tried = ast.Module(body=getattr(statement, "body", []), type_ignores=[])
    for handler in handlers:
        # What is caught by name is made by what was tried.
        yield from _units(handler.body, (*inside, tried) if handler.name else inside)


def _is_for_others(test: ast.expr) -> bool:
    """Tell whether a block is for type checkers or for ``python file.py`` only."""
    if isinstance(test, ast.Compare):
        return _is_for_script(test)
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"


def _is_for_script(test: ast.expr) -> bool:
    """Tell whether a test is ``__name__ == "__main__"``."""
    if not isinstance(test, ast.Compare):
        return False
    names = [each.id for each in (test.left, *test.comparators) if isinstance(each, ast.Name)]
    return "__name__" in names and isinstance(test.ops[0], (ast.Eq, ast.Is))


def _place(unit: Unit, module: Module, number: int) -> None:
    """Note in the module what a statement of it binds and does."""
    statement = unit.statement
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        _place_import(statement, unit.conditions, module, number)
    elif not does_nothing(statement):
        for name in dict.fromkeys(_bound(statement)):
            module.bindings.setdefault(name, []).append(unit)
            _settle(name, unit.conditions, module, number)
        module.units.append(unit)


def _settle(name: str, conditions: tuple[ast.AST, ...], module: Module, number: int) -> None:
    if not conditions:
        module.settled[name] = number


def _place_import(
    statement: ast.Import | ast.ImportFrom,
    conditions: tuple[ast.AST, ...],
    module: Module,
    number: int,
) -> None:
    if isinstance(statement, ast.Import):
        module.imported |= dict.fromkeys(alias.name for alias in statement.names)
    else:
        origin = absolute(statement, module.package)
        # What is imported may be a module itself.
        names = [f"{origin}.{alias.name}" for alias in statement.names if alias.name != STAR]
        module.imported |= dict.fromkeys([origin, *names])
    for name, target in imports_of(statement, module.package):
        if name == STAR:
            module.stars.append(Star(target.module, number))
        else:
            module.imports.setdefault(name, []).append(target)
            _settle(name, conditions, module, number)
            if conditions:  # who uses the name depends on what they say
                chosen = Unit(ast.copy_location(ast.Pass(), statement), conditions)
                module.bindings.setdefault(name, []).append(chosen)


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement binds in its module."""
    if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield statement.name
        return
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name  # inside of a loop
        elif isinstance(node, ast.ExceptHandler):
            waiting += ast.iter_child_nodes(node)
            yield from [node.name] if node.name else []
        elif isinstance(node, (ast.MatchAs, ast.MatchStar, ast.MatchMapping)):
            waiting += ast.iter_child_nodes(node)
            captured = node.rest if isinstance(node, ast.MatchMapping) else node.name
            yield from [captured] if captured else []
        elif not isinstance(node, (ast.Lambda, *COMPREHENSIONS)):
            waiting += ast.iter_child_nodes(node)
