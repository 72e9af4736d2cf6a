"""What the names in a module mean: definitions of the user, whole modules, things of others.

scale          Definition(helpers, "scale")     through imports, re-exports and stars
helpers        Whole(helpers)
np.mean        External("numpy")                ends here
"""

from __future__ import annotations

import ast
import builtins
import functools
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from pytest_memento.fingerprint.modules import STAR, Module, Modules
from pytest_memento.fingerprint.scopes import READS_ANNOTATIONS, Import, Read, chain_of
from pytest_memento.fingerprint.syntax import FUNCTIONS, is_special


class Definition(NamedTuple):
    """A name of a module of the user, with attributes of it that were asked for."""

    module: Module
    name: str
    rest: tuple[str, ...] = ()


class Whole(NamedTuple):
    """A module of the user, of which anything may be used."""

    module: Module


class External(NamedTuple):
    """Something that is not the user's, by its dotted name."""

    name: str


Target: TypeAlias = Definition | Whole | External


_HARMLESS = frozenset(
    {"abc", "contextlib", "functools", "jax", "joblib", "numba", "numpy", "pytest", "tenacity"}
    | {"torch"}
    | {"typing", "typing_extensions"}
)
"""Packages whose decorators do not look at annotations, functools.singledispatch apart."""
_MOST_STEPS = 32


class Meanings:
    """Looks up names in the user's modules."""

    def __init__(self, modules: Modules) -> None:
        self.modules = modules
        self._resolved: dict[tuple[Module, str, tuple[str, ...]], tuple[Target, ...]] = {}
        self._resolved_imports: dict[tuple[Import, tuple[str, ...]], tuple[Target, ...]] = {}

    def resolve(
        self, module: Module, name: str, attributes: tuple[str, ...] = ()
    ) -> tuple[Target, ...]:
        """Return what a name of a module means; several things if that depends."""
        key = module, name, attributes
        if key not in self._resolved:
            found = _Search(self.modules).name(module, name, attributes)
            self._resolved[key] = tuple(dict.fromkeys(found))
        return self._resolved[key]

    def resolve_import(self, origin: Import, attributes: tuple[str, ...]) -> tuple[Target, ...]:
        """Return what is imported from somewhere, with attributes of it."""
        key = origin, attributes
        if key not in self._resolved_imports:
            found = _Search(self.modules).imported(origin, attributes)
            self._resolved_imports[key] = tuple(dict.fromkeys(found))
        return self._resolved_imports[key]

    def resolve_read(self, module: Module, read: Read) -> tuple[Target, ...]:
        """Return what a definition in *module* reads."""
        if isinstance(read.root, Import):
            return self.resolve_import(read.root, read.attributes)
        return self.resolve(module, read.root, read.attributes)

    def all_of(self, module: Module) -> Iterator[Target]:
        """Yield what all names of a module mean, those that stars bring in among them."""
        for name in dict.fromkeys(self._names_of(module, set())):
            yield from self.resolve(module, name)
        for star in module.stars:
            if self.modules.find(star.module) is None:
                yield External(star.module)

    def _names_of(self, module: Module, seen: set[Module]) -> Iterator[str]:
        seen.add(module)
        yield from (*module.bindings, *module.imports)
        for star in module.stars:
            other = self.modules.find(star.module)
            if other is not None and other not in seen:
                yield from (n for n in self._names_of(other, seen) if passes_on(other, n))

    def last_name(self, module: Module, name: str) -> str:
        """Return what a name of others is called where it is imported from."""
        found = self.resolve(module, name) if name in module.imports else ()
        others = (target.name for target in found if isinstance(target, External))
        return next(others, name).rpartition(".")[2]

    def inherits_annotations(self, module: Module, statement: ast.AST) -> bool:
        """Tell whether a class mixes in the annotations of one that is a plain class of its own."""
        return (
            isinstance(statement, ast.ClassDef)
            and len(statement.bases) > 1
            and any(_has_annotations(each) for each in self._classes_above(module, statement))
        )

    def _classes_above(self, module: Module, statement: ast.ClassDef) -> Iterator[ast.ClassDef]:
        waiting, seen = [(module, statement)], {statement}
        while waiting:
            module, statement = waiting.pop()
            for name, attributes in map(chain_of, statement.bases):
                for target in self.resolve(module, name.id, attributes) if name else ():
                    if not isinstance(target, Definition):
                        continue
                    for unit in target.module.bindings[target.name]:
                        above = unit.statement
                        if isinstance(above, ast.ClassDef) and above not in seen:
                            seen.add(above)
                            waiting.append((target.module, above))
                            yield above

    def label(self, module: Module, name: str) -> str:
        """Return what stands for a name in the text: what was imported, under whatever name."""
        found = self.resolve(module, name)
        return f"<{'|'.join(name_of(target, module) for target in found)}>" if found else name

    def meaning(self, module: Module, read: Read) -> str:
        """Say what a name and its attributes lead to; nothing for what is in the text anyway."""
        found = self.resolve_read(module, read)
        if not found:
            return ""
        root = read.root if isinstance(read.root, Import) else self.label(module, read.root)
        text = ".".join([str(root), *read.attributes])
        return f"{text}={'|'.join(name_of(target, module) for target in found)}"

    # -- decorators --------------------------------------------------------------------------------

    def is_mark(self, module: Module, decorator: ast.expr) -> bool:
        """Tell whether a decorator is ``pytest.mark.*``: it says what to run with, not what."""
        return any(
            name.startswith("pytest.mark")
            for name in self._external_names(module, decorator, _MOST_STEPS)
        )

    def _external_names(self, module: Module, expression: ast.expr, steps: int) -> Iterator[str]:
        """Yield the dotted names of others that an expression stands for, also by an alias."""
        called = expression.func if isinstance(expression, ast.Call) else expression
        name, attributes = chain_of(called)
        if name is None or not steps:
            return
        for target in self.resolve(module, name.id, attributes):
            if isinstance(target, External):
                full = ".".join([target.name, *attributes])
                yield full
            elif isinstance(target, Definition):
                for unit in target.module.bindings[target.name]:
                    if isinstance(unit.statement, ast.Assign):
                        yield from self._external_names(
                            target.module, unit.statement.value, steps - 1
                        )

    def keeps_annotations(self, module: Module, function: ast.AST) -> bool:
        """Tell whether a decorator may look at the annotations of a function."""
        return isinstance(function, FUNCTIONS) and any(
            self._looks_at_annotations(module, each) for each in function.decorator_list
        )

    def _looks_at_annotations(self, module: Module, decorator: ast.expr) -> bool:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        name, attributes = chain_of(called)
        if name is None or attributes[-1:] == ("register",):
            return True
        for target in self.resolve(module, name.id, attributes):
            if isinstance(target, External):
                if target.name.partition(".")[0] not in _HARMLESS:
                    return True
            elif isinstance(target, Definition):
                statements = [unit.statement for unit in target.module.bindings[target.name]]
                if any(mentions(each, READS_ANNOTATIONS) for each in statements):
                    return True
        return False


class _Search:
    """One search for what a name means, through imports, re-exports and stars.

    Modules may import from each other in circles: what is come back to adds nothing, and what was
    found on one way is not searched for again on another.
    """

    def __init__(self, modules: Modules) -> None:
        self._modules = modules
        self._found: dict[tuple[Module, str, tuple[str, ...]], list[Target]] = {}

    def name(self, module: Module, name: str, attributes: tuple[str, ...]) -> list[Target]:
        key = module, name, attributes
        if key not in self._found:
            self._found[key] = []
            self._found[key] = self._search(module, name, attributes)
        return self._found[key]

    def _search(self, module: Module, name: str, attributes: tuple[str, ...]) -> list[Target]:
        found: list[Target] = []
        if name in module.bindings:
            found.append(Definition(module, name, attributes))
        for origin in module.imports.get(name, ()):
            found += self.imported(origin, attributes)
        for star in module.stars:
            if star.after > module.settled.get(name, -1):
                found += self._by_star(star.module, name, attributes)
        if not found and module.is_package:
            inner = self._modules.find(f"{module.name}.{name}")
            found += self._inside(inner, attributes) if inner else []
        return found

    def _by_star(self, star: str, name: str, attributes: tuple[str, ...]) -> list[Target]:
        module = self._modules.find(star)
        if module is not None:
            return self.name(module, name, attributes) if passes_on(module, name) else []
        return [] if hasattr(builtins, name) else [External(f"{star}.{name}")]

    def imported(self, origin: Import, attributes: tuple[str, ...]) -> list[Target]:
        module = self._modules.find(origin.module)
        names = (*((origin.name,) if origin.name else ()), *attributes)
        if module is not None:
            return self._inside(module, names)
        if self._modules.is_namespace(origin.module) and names:
            return self.imported(Import(f"{origin.module}.{names[0]}"), names[1:])
        return [External(".".join([origin.module, *([origin.name] if origin.name else [])]))]

    def _inside(self, module: Module, names: tuple[str, ...]) -> list[Target]:
        if not names:
            return [Whole(module)]
        found = self.name(module, names[0], names[1:])
        if not found and names[0] == "__dict__":
            return [Whole(module)]
        if not found and "__getattr__" in module.bindings:
            found = [Definition(module, "__getattr__")]
        return found


def passes_on(module: Module, name: str) -> bool:
    """Tell whether ``from module import *`` binds a name that the module has."""
    listed = _listed(module)
    return not name.startswith("_") if listed is None else name in listed or STAR in listed


@functools.lru_cache(maxsize=4096)
def _listed(module: Module) -> frozenset[str] | None:
    """Return what ``__all__`` lists, ``None`` without one, ``*`` if reading does not tell."""
    if "__all__" not in module.bindings and "__all__" not in module.imports:
        return None
    listed: set[str] = {STAR} if "__all__" in module.imports else set()
    for unit in module.units:
        if mentions(unit.statement, frozenset({"__all__"})):
            listed |= _texts_assigned(unit.statement)
    return frozenset(listed)


def _texts_assigned(statement: ast.stmt) -> set[str]:
    """Return the texts in ``name = ["a", "b"]`` or ``+=``, ``*`` for anything else."""
    if isinstance(statement, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        value = statement.value
        if isinstance(value, (ast.List, ast.Tuple)):
            texts = [getattr(each, "value", None) for each in value.elts]
            found = {each for each in texts if isinstance(each, str)}
            return found if len(found) == len(set(map(str, texts))) else {STAR}
    return {STAR}


def _has_annotations(statement: ast.ClassDef) -> bool:
    annotated = any(isinstance(each, ast.AnnAssign) for each in statement.body)
    return annotated and not is_special(statement)


def name_of(target: Target, module: Module) -> str:
    """Return what stands for a target in the text of code in *module*."""
    if isinstance(target, External):
        return target.name
    here = "" if target.module is module else target.module.place
    if isinstance(target, Whole):
        return f"module {here}"
    return f"{here}.{target.name}"


def mentions(node: ast.AST, words: frozenset[str]) -> bool:
    """Tell whether one of *words* is a name or an attribute somewhere in a node."""
    return any(
        getattr(each, "id", None) in words or getattr(each, "attr", None) in words
        for each in ast.walk(node)
    )
