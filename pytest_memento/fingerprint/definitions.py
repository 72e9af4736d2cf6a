"""Definitions of the user as parts of a manifest: each with a digest and what it leads to.

A function or a constant is one part; a class is one for each method and one for the rest. The
digest is made from the text of the code and from what the names in it mean.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pytest_memento.fingerprint.functions import Digest, digest_text
from pytest_memento.fingerprint.meaning import Definition, External, Meanings, Target
from pytest_memento.fingerprint.modules import Module, Unit
from pytest_memento.fingerprint.scopes import READS_ANNOTATIONS, Names, scan
from pytest_memento.fingerprint.syntax import FUNCTIONS, write


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A piece of code with a name of its own in the manifest.

    :param asked: names of the experiment's module that it asks for; "" for all.
    :param reads_annotations: whether annotations are data to something in it.
    :param module: where it stands, if that is a module of the user.
    """

    name: str
    digest: Digest
    leads: tuple[Target, ...]
    imports: frozenset[str] = frozenset()
    fixtures: frozenset[str] = frozenset()
    asked: frozenset[str] = frozenset()
    reads_annotations: bool = False
    module: Module | None = None

    @property
    def full_name(self) -> str:
        """The name with all of its place in the project, where the last part is not enough."""
        if self.module is None:
            return self.name
        place = self.module.place.removesuffix(".py").removesuffix("/__init__")
        return f"{place.replace('/', '.')}.{self.name.removeprefix(f'{self.module.label}.')}"


class Definitions:
    """Reads each definition once.

    :param meanings: looks up the names in it.
    :param annotated: whether all annotations count, as where something reads them as data.
    """

    def __init__(self, meanings: Meanings, *, annotated: bool = False) -> None:
        self.meanings = meanings
        self._annotated = annotated
        self._names: dict[ast.AST, Names] = {}
        self._pieces: dict[tuple[Unit, str], list[Part]] = {}
        self._parts: dict[tuple[Module, str], list[Part]] = {}

    def leads(self, module: Module, names: Names) -> tuple[Target, ...]:
        """Return what the names in a definition lead to."""
        return tuple(t for read in names.reads for t in self.meanings.resolve_read(module, read))

    def parts(self, module: Module, name: str) -> list[Part]:
        """Return the parts of all that a name of a module is bound by."""
        if (module, name) not in self._parts:
            pieces = [
                piece
                for unit in module.bindings.get(name, ())
                for piece in self.pieces(module, unit, name)
            ]
            self._parts[module, name] = _joined(pieces)
        return self._parts[module, name]

    def pieces(self, module: Module, unit: Unit, name: str) -> list[Part]:
        """Take a statement apart: a class gives one part per method and one for the rest."""
        if (unit, name) not in self._pieces:
            self._pieces[unit, name] = list(self._take_apart(module, unit, name))
        return self._pieces[unit, name]

    def _take_apart(self, module: Module, unit: Unit, name: str) -> Iterator[Part]:
        statement, own = unit.statement, f"{module.label}.{name}"
        if not isinstance(statement, ast.ClassDef):
            yield self.part(module, own, statement, unit.conditions)
            return
        yield self.part(module, own, without_methods(statement), unit.conditions)
        for method in statement.body:
            if isinstance(method, FUNCTIONS):
                yield self.part(module, f"{own}.{method.name}", method)

    def parts_of_method(self, target: Definition, is_apart: Callable[[str], bool]) -> list[Part]:
        """Return the parts of a class that one of its methods uses, other experiments left out."""
        module, name, rest = target
        mentioned = {rest[0]}
        classes = [
            unit.statement
            for unit in module.bindings[name]
            if isinstance(unit.statement, ast.ClassDef)
        ]
        methods = [each for c in classes for each in c.body if isinstance(each, FUNCTIONS)]
        waiting = [each for each in methods if not is_apart(each.name) or each.name == rest[0]]
        while waiting:
            named = {n.attr for n in ast.walk(waiting.pop()) if isinstance(n, ast.Attribute)}
            waiting += [m for m in methods if m.name in named - mentioned and is_apart(m.name)]
            mentioned |= named
        left_out = {
            f"{module.label}.{name}.{each.name}"
            for each in methods
            if is_apart(each.name) and each.name not in mentioned
        }
        return [part for part in self.parts(module, name) if part.name not in left_out]

    def part(
        self,
        module: Module,
        name: str,
        statement: ast.AST,
        conditions: Iterable[ast.AST] = (),
    ) -> Part:
        """Return a statement as a part, with the conditions that it stands under."""
        nodes = [statement, *conditions]
        scans = [self.names(module, node) for node in nodes]
        is_definition = isinstance(statement, (*FUNCTIONS, ast.ClassDef))
        text = "|".join(
            self._text(module, node, names, anonymous=is_definition and node is statement)
            for node, names in zip(nodes, scans, strict=True)
        )
        reads = {read for names in scans for read in names.reads}
        meanings = sorted(filter(None, (self.meanings.meaning(module, read) for read in reads)))
        meanings += _read_between(module, statement, {n for names in scans for n in names.at_once})
        leads = tuple(t for names in scans for t in self.leads(module, names))
        return Part(
            name,
            digest_text("\n".join([text, *meanings])),
            leads,
            frozenset(each for names in scans for each in names.imports),
            frozenset(each for names in scans for each in names.fixtures),
            frozenset(each for names in scans for each in names.asked),
            any(names.reads_annotations for names in scans)
            or any(isinstance(t, External) and _last(t.name) in READS_ANNOTATIONS for t in leads)
            or self.meanings.inherits_annotations(module, statement),
            module,
        )

    def names(self, module: Module, node: ast.AST) -> Names:
        """Return the names in a statement of a module."""
        if node not in self._names:
            self._names[node] = scan(
                node,
                package=module.package,
                walrus=module.has_walrus,
                keeps_annotations=lambda each: (
                    self._annotated or self.meanings.keeps_annotations(module, each)
                ),
                ignores=lambda each: self.meanings.is_mark(module, each),
                last_name=lambda name: self.meanings.last_name(module, name),
            )
        return self._names[node]

    def _text(self, module: Module, node: ast.AST, names: Names, *, anonymous: bool) -> str:
        labels = dict(names.own)
        for each, origins in names.origins.items():
            if each in labels:
                labels[each] += f"<{'|'.join(map(str, origins))}>"
        for each, name in names.outer.items():
            if name in module.imports or module.stars:
                labels[each] = self.meanings.label(module, name)
        return write(
            node,
            names=labels,
            dropped=names.ignored,
            annotated=names.annotated,
            anonymous=anonymous,
        )


def _joined(parts: list[Part]) -> list[Part]:
    """Make one part of those with one name, in the order of the source."""
    by_name: dict[str, list[Part]] = {}
    for part in parts:
        by_name.setdefault(part.name, []).append(part)
    return [
        same[0]
        if len(same) == 1
        else Part(
            name,
            digest_text(",".join(part.digest for part in same)),
            tuple(target for part in same for target in part.leads),
            frozenset(each for part in same for each in part.imports),
            frozenset(each for part in same for each in part.fixtures),
            frozenset(each for part in same for each in part.asked),
            any(part.reads_annotations for part in same),
            same[0].module,
        )
        for name, same in by_name.items()
    ]


def _read_between(module: Module, statement: ast.AST, names: Iterable[str]) -> list[str]:
    """Say how often names were bound before a statement reads them, if they are bound again later.

    Where all bindings are before, their order in the source says it.
    """
    start = _start(statement)
    found = []
    for name in sorted(names):
        units = module.bindings.get(name, ())
        before = sum(_start(unit.statement) < start for unit in units)
        if 0 < before < len(units) and not any(unit.statement is statement for unit in units):
            found.append(f"{name} after {before}")
    return found


def _start(statement: ast.AST) -> tuple[int, int]:
    return getattr(statement, "lineno", 0), getattr(statement, "col_offset", 0)


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def without_methods(statement: ast.ClassDef) -> ast.ClassDef:
    """Return what a class executes when it is defined, its methods left out."""
    rest = ast.ClassDef(**{name: getattr(statement, name) for name in statement._fields})
    rest.body = [each for each in statement.body if not isinstance(each, FUNCTIONS)]
    return ast.copy_location(rest, statement)
