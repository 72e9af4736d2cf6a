"""The code that an experiment uses: its own and, transitively, what that uses of the project.

From each definition the names lead on to other definitions, across modules::

    exp_a.experiment -> helpers.scale -> helpers.FACTOR
                     -> numpy.mean                          ends here: an installed package

What is found is the manifest: definition -> digest. It is found by reading, not by running: what
only shows when the code runs (``getattr`` with a computed name, say) is not seen.
"""

from __future__ import annotations

import ast
import os
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pytest_memento.errors import FingerprintError
from pytest_memento.fingerprint.definitions import Definitions, Part
from pytest_memento.fingerprint.effects import Imports, is_told
from pytest_memento.fingerprint.functions import (
    Digest,
    digest_function,
    digest_text,
    find_node,
    registered_in,
    unwrap_function,
)
from pytest_memento.fingerprint.living import (
    Finding,
    class_findings,
    closure_findings,
    data_of,
    function_findings,
    has_digest,
    imports_of,
    is_living,
    source_says,
    value_findings,
)
from pytest_memento.fingerprint.meaning import Definition, External, Meanings, Target, Whole
from pytest_memento.fingerprint.modules import Module, Modules, Read, Script
from pytest_memento.fingerprint.names import is_said
from pytest_memento.fingerprint.scopes import Import, scan
from pytest_memento.pause import without_gc


@dataclass(frozen=True, slots=True)
class Code:
    """What an experiment's code was found to be.

    :param manifest: ``module.qualname`` -> digest.
    :param packages: the top-level modules of others that it uses.
    :param fixtures: the fixtures that it asks for by name while it runs.
    :param names: of modules that it leads to, each with the modules whose import changes it.
    """

    manifest: dict[str, Digest]
    packages: frozenset[str]
    fixtures: frozenset[str]
    names: Mapping[Definition, frozenset[Module | None]]


class Codebase:
    """The user's modules as far as they were looked at. Each definition is read once.

    Make a new one for each session: it does not notice edits.

    :param root: the project; below it, modules are told apart by where they are.
    :param script: the file that runs as a script, if experiments are taken from what is loaded.
    :param read: returns the source of a file.
    :param is_live: whether experiments are taken from what is loaded, and not found by import: then
        a name of a module may have become something else than its source says.
    """

    def __init__(
        self,
        root: Path | None = None,
        *,
        script: Script | None = None,
        read: Read = Path.read_bytes,
        is_live: bool = False,
    ) -> None:
        self.meanings = Meanings(Modules(root or Path.cwd(), script, read))
        self.live: dict[tuple[str, str], object] = {}
        """What others have made of the names of a module: (module, name) -> what it is now."""
        self._is_live = is_live
        self._readers = [_Reader.of(self.meanings, annotated=each) for each in (False, True)]

    def describe(  # noqa: PLR0913  # all that an experiment is made of
        self,
        function: Callable[..., object],
        *,
        path: tuple[str, ...] = (),
        is_named: bool = True,
        module: types.ModuleType | None = None,
        also: Iterable[object] = (),
        held: Iterable[object] = (),
        bound: Iterable[tuple[types.ModuleType, str]] = (),
        is_apart: Callable[[str], bool] = lambda _: False,
        values: Mapping[str, object] = MappingProxyType({}),
    ) -> Code:
        """Return the code that *function* uses.

        :param path: where it is found in *module*: its name, after that of its class.
        :param is_named: whether it is what its name stands for now, and not one that had it before.
        :param also: functions and classes whose code counts too.
        :param held: those in values, which their names may not lead to.
        :param bound: names of modules that count too, as they are bound there.
        :param is_apart: whether a method of that name is an experiment itself, which counts for
            others of its class only if they name it.
        :param values: what counts by its value, such as the arguments of a partial.
        :raises FingerprintError: a value that the code uses has no stable digest.
        """
        also, held, bound = list(also), list(held), list(bound)
        with without_gc():
            source = self._source(module) if module else None
            for reader in self._readers:
                walk = _Walk(reader, source)
                if not is_named and isinstance(function, types.FunctionType):
                    walk.outer = _outer_of(function)
                    self._start_apart(walk, function)
                elif not (source and self._start(walk, source, path, is_apart)):
                    self._start_at(walk, function, is_apart)
                for name, value in values.items():
                    self._take(walk, value_findings(name, value))
                for each in also:
                    self._start_at(walk, each, is_apart)
                for each in held:
                    self._start_held(walk, each, is_apart)
                for owner, name in bound:
                    self._start_by_name(walk, owner, name)
                walk.finish()
                while self._is_live and self._look_again(walk):
                    walk.finish()
                if not walk.reads_annotations:
                    break
            return walk.code()

    def set_up_elsewhere(self) -> tuple[int, ...]:
        """Return the lines in which the script sets up what is not the user's."""
        script = self.meanings.modules.script_read
        return tuple(self._readers[0].imports.elsewhere(script)) if script is not None else ()

    # -- where to start ----------------------------------------------------------------------------

    def _source(self, module: types.ModuleType) -> Module | None:
        return self._read(getattr(module, "__file__", None), module.__name__)

    def _module_of(self, function: types.FunctionType) -> Module | None:
        """Return the module that a function stands in, whatever `functools.wraps` says."""
        name = function.__globals__.get("__name__") or module_name(function)
        return self._read(function.__code__.co_filename, str(name))

    def _read(self, file: str | None, name: str) -> Module | None:
        return self.meanings.modules.read(Path(file), name) if file else None

    def _start(
        self,
        walk: _Walk,
        module: Module,
        path: tuple[str, ...],
        is_apart: Callable[[str], bool],
    ) -> bool:
        """Start at a name of a module; tell whether there is source for it."""
        targets = self.meanings.resolve(module, path[0], path[1:]) if path else []
        own = [target for target in targets if not isinstance(target, External)]
        for target in own:
            if isinstance(target, Definition) and target.rest:
                walk.touch(target.module)
                for part in walk.definitions.parts_of_method(target, is_apart):
                    walk.add(part)
            else:
                walk.reach(target)
        return bool(own)

    def _start_by_name(self, walk: _Walk, owner: types.ModuleType, name: str) -> None:
        module = self._source(owner)
        for target in self.meanings.resolve(module, name) if module else ():
            walk.reach(target)

    def _start_at(self, walk: _Walk, given: object, is_apart: Callable[[str], bool]) -> None:
        """Start at a function or class, by the name it says it has."""
        value = _code_of(given)
        if is_living(given) or is_living(value):
            self._start_living(walk, given if is_living(given) else value)
            self._use_registered(walk, given)
            return
        if isinstance(value, types.FunctionType) and walk.outer == _outer_of(value) is not None:
            self._start_apart(walk, value)  # the experiment is from there, and it counts by itself
            return
        name, file = module_name(value), _file_of(value)
        module = self._read(file, name)
        path = tuple(value.__qualname__.partition(".<locals>")[0].split("."))
        if isinstance(value, type):
            path = path[:1]
        started = module is not None and self._start(walk, module, path, is_apart)
        if isinstance(value, types.FunctionType) and ("<" in value.__qualname__ or not started):
            walk.add(_part_of_function(value, module, walk.definitions))
            if module is not None:
                self._take(walk, closure_findings(value))
        elif not started and module is None and name != "builtins":
            walk.reach(External(name))

    def _start_held(self, walk: _Walk, value: object, is_apart: Callable[[str], bool]) -> None:
        """Start at a function or class that is found in a value."""
        if not isinstance(value, types.FunctionType) or is_said(value):
            self._start_at(walk, value, is_apart)
        else:
            self._start_apart(walk, value)

    # -- code by what it is now --------------------------------------------------------------------

    def _start_apart(self, walk: _Walk, function: types.FunctionType) -> None:
        """Start at a function itself, whatever has its name now."""
        if is_living(function):
            self._start_living(walk, function)
            return
        module = self._module_of(function)
        if module is not None:
            walk.touch(module)
        walk.add(_part_of_function(function, module, walk.definitions))
        self._take(walk, closure_findings(function))

    def _start_living(self, walk: _Walk, value: object) -> None:
        if walk.is_met(value):
            return
        if isinstance(value, types.FunctionType):
            self._take(walk, function_findings(value))
            for name, inner, attributes in imports_of(value):
                for target in self.meanings.resolve_import(Import(name, inner), attributes):
                    walk.reach(target)
        elif isinstance(value, type):
            self._take(walk, class_findings(value))

    def _take(self, walk: _Walk, findings: Iterable[Finding]) -> None:
        """Take what was found of living code into the manifest, and follow it."""
        for finding in findings:
            walk.add(Part(finding.name, finding.digest, ()))
            for value, attributes in finding.uses:
                self._use(walk, value, attributes)

    def _use(self, walk: _Walk, value: object, attributes: tuple[str, ...]) -> None:
        if isinstance(value, types.ModuleType):
            for target in self.meanings.resolve_import(Import(value.__name__), attributes):
                walk.reach(target)
        elif not walk.is_met(value, "use"):
            if isinstance(value, types.FunctionType) and not is_living(value):
                self._use_function(walk, value)
            else:
                self._start_at(walk, value, lambda _: False)

    def _use_function(self, walk: _Walk, function: types.FunctionType) -> None:
        """Follow a function that stands in a file: of others, only what it was made around."""
        if self._module_of(function) is not None:
            self._start_held(walk, function, lambda _: False)
            self._take(walk, closure_findings(function))
            return
        walk.reach(External(module_name(function)))
        if (inner := getattr(function, "__wrapped__", None)) is not None:
            self._use(walk, inner, ())
        self._use_registered(walk, function)

    def _use_registered(self, walk: _Walk, function: object) -> None:
        """Follow what was registered with a function: of what is in files, their source says it."""
        for each in registered_in(function):
            if isinstance(each, types.FunctionType) and is_living(each):
                self._use(walk, each, ())

    def _look_again(self, walk: _Walk) -> bool:
        """Take in what has become of the names that were met; tell whether there was any."""
        found = False
        for target in walk.new_names():
            name, value = f"{target.module.label}.{target.name}", self._now(target)
            if value is _UNKNOWN:
                continue
            says = walk.says(target, value)
            if not says or walk.is_changed_by_others(target):
                self.live[target.module.name, target.name] = value
            if not says:
                found = True
                if isinstance(value, types.FunctionType):
                    self._start_apart(walk, value)
                elif isinstance(value, type) and walk.is_changed_by_script(target):
                    self._take(walk, value_findings(f"{name} (now)", data_of(value)))
                else:
                    self._take(walk, value_findings(f"{name} (now)", value))
        return found

    def _now(self, target: Definition) -> object:
        """Return what a name of a module stands for now, if the module is loaded."""
        script, path = self.meanings.modules.script, target.module.path
        if script is not None and path == script.path:
            return script.names.get(target.name, _UNKNOWN)
        loaded = sys.modules.get(target.module.name)
        file = getattr(loaded, "__file__", None)
        if loaded is None or not isinstance(file, str) or os.path.abspath(file) != str(path):
            return _UNKNOWN
        return vars(loaded).get(target.name, _UNKNOWN)


_UNKNOWN = object()


def _outer_of(function: types.FunctionType) -> tuple[str, str] | None:
    """Return the module and the name of the function that one was made in, if it was in one."""
    outer, _, inner = function.__qualname__.partition(".<locals>")
    return (module_name(function), outer) if inner else None


def _part_of_function(
    function: types.FunctionType, module: Module | None, definitions: Definitions
) -> Part:
    """Describe a function that has no name in its module: a lambda, or one made by another."""
    label = module.label if module else function.__module__
    name = f"{label}.{function.__qualname__}"
    digest = digest_function(function)
    node = find_node(function.__code__, function.__code__.co_filename)
    if module is None or node is None:
        return Part(name, digest, (), module=module)
    names = scan(node, package=module.package, free=function.__code__.co_freevars)
    return Part(
        name,
        digest,
        definitions.leads(module, names),
        frozenset(names.imports),
        frozenset(names.fixtures),
        frozenset(names.asked),
        names.reads_annotations,
        module,
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads definitions, and what imports do, with all annotations or those that surely count."""

    definitions: Definitions
    imports: Imports

    @classmethod
    def of(cls, meanings: Meanings, *, annotated: bool) -> _Reader:
        definitions = Definitions(meanings, annotated=annotated)
        return cls(definitions, Imports(definitions))


class _Walk:
    """One walk from where an experiment starts to all that it uses.

    :param home: the module of the experiment.

    ``outer`` is the function that the experiment was made in, if it was in one.
    """

    def __init__(self, reader: _Reader, home: Module | None) -> None:
        self.definitions = reader.definitions
        self.reads_annotations = False
        self.outer: tuple[str, str] | None = None
        self._meanings = reader.definitions.meanings
        script = self._meanings.modules.script
        self._main = script.path if script is not None else None
        self._imports = reader.imports
        self._home = home
        self._packages: set[str] = set()
        self._fixtures: set[str] = set()
        self._waiting: list[Target] = []
        self._seen: set[Target] = set()
        self._added: set[Part] = set()
        self._touched: set[Module] = set()
        self._effects: dict[Definition, list[Part]] = {}
        self._told: set[Definition] = set()
        self._met: dict[tuple[int, str], object] = {}
        self._looked_at: set[Target] = set()

    def is_met(self, value: object, why: str = "") -> bool:
        """Tell whether living code was met before; from now on it was."""
        is_met = (id(value), why) in self._met
        self._met[id(value), why] = value
        return is_met

    def new_names(self) -> list[Definition]:
        """Return the names of modules that were reached since this was asked last."""
        new = [each for each in self._seen - self._looked_at if isinstance(each, Definition)]
        self._looked_at |= self._seen
        return sorted(new, key=lambda each: (each.module.place, each.name))

    def says(self, target: Definition, value: object) -> bool:
        """Tell whether the source of a name says all of what it stands for now."""
        is_main = target.module.path == self._main
        if target in self._effects:
            if target in self._told and has_digest(value):
                return False
            if not is_main and not isinstance(value, types.FunctionType):
                return True  # what importing the modules does to it counts anyway
        elif self.is_changed_by_script(target) and has_digest(value):
            return False
        statements = [unit.statement for unit in target.module.bindings.get(target.name, ())]
        made = [each for each in statements if isinstance(each, ast.Assign | ast.AnnAssign)]
        if any(self._imports.is_told(target.module, each) for each in made):
            return not any(map(is_told, made)) and not has_digest(value)
        return source_says(target.module, target.name, value, is_main=is_main)

    def is_changed_by_script(self, target: Definition) -> bool:
        """Tell whether a script has changed something, and not the experiment that uses it."""
        module = self._meanings.modules.script_read
        if module is None or target not in self._imports.done_apart(module):
            return False
        used = (each for each in self._seen if isinstance(each, Definition))
        return not any(target in self._imports.changed_by(each) for each in used)

    def is_changed_by_others(self, target: Definition) -> bool:
        """Tell whether modules do something to a name that its own one does not import."""
        parts = self._effects.get(target, ())
        return any(part.module not in self._imports.reached(target.module) for part in parts)

    def reach(self, target: Target) -> None:
        """Come to something that is used."""
        if isinstance(target, Definition) and target.rest:
            target = Definition(target.module, target.name)
        if target not in self._seen:
            self._seen.add(target)
            self._waiting.append(target)

    def add(self, part: Part) -> None:
        """Take a part into the manifest, and follow it."""
        if part in self._added:
            return
        self._added.add(part)
        self._fixtures |= part.fixtures
        self.reads_annotations |= part.reads_annotations
        for name in part.asked:
            self._ask_for(name)
        for target in part.leads:
            self.reach(target)
        for name in part.imports:
            if (module := self._meanings.modules.find(name)) is not None:
                self.touch(module)

    def _ask_for(self, name: str) -> None:
        """Come to a name of the experiment's module, or to all of it."""
        if self._home is not None:
            found = self._meanings.resolve(self._home, name) if name else [Whole(self._home)]
            for target in found:
                self.reach(target)

    def touch(self, module: Module) -> None:
        """Count what importing a module does."""
        if module in self._touched:
            return
        self._touched |= self._imports.reached(module)
        effects = self._imports.effects(module)
        self._add_all(effects.unknown)
        self._told |= effects.told
        for target, parts in effects.on.items():
            self._effects.setdefault(target, []).extend(parts)
            if target in self._seen:
                self._add_all(parts)

    def finish(self) -> None:
        """Follow all that is waiting."""
        while self._waiting:
            self._follow(self._waiting.pop())

    def code(self) -> Code:
        """Return what was found."""
        names = (each for each in self._seen if isinstance(each, Definition))
        return Code(
            _manifest(self._added),
            frozenset(self._packages),
            frozenset(self._fixtures),
            {each: frozenset(p.module for p in self._effects.get(each, ())) for each in names},
        )

    def _follow(self, target: Target) -> None:
        if isinstance(target, External):
            self._packages.add(target.name.partition(".")[0])
            return
        self.touch(target.module)
        if isinstance(target, Whole):
            below = f"{target.module.name}."
            for inner in self._meanings.all_of(target.module):
                # Not on into other modules as a whole: those it would only pass on.
                if not isinstance(inner, Whole) or inner.module.name.startswith(below):
                    self.reach(inner)
            return
        self._add_all(self.definitions.parts(target.module, target.name))
        self._add_all(self._effects.get(target, ()))

    def _add_all(self, parts: Iterable[Part]) -> None:
        for part in parts:
            self.add(part)


def _manifest(parts: Iterable[Part]) -> dict[str, Digest]:
    """Return name -> digest; modules with the same last name are told apart by their places."""
    by_name: dict[str, list[Part]] = {}
    for part in parts:
        by_name.setdefault(part.name, []).append(part)
    digests: dict[str, list[Digest]] = {}
    for name, same in by_name.items():
        is_clear = len({part.module for part in same}) == 1
        for part in same:
            digests.setdefault(name if is_clear else part.full_name, []).append(part.digest)
    return {name: _one(found) for name, found in sorted(digests.items())}


def _one(digests: Iterable[Digest]) -> Digest:
    first, *others = sorted(digests)
    return digest_text(",".join([first, *others])) if others else first


def _code_of(value: object) -> type | types.FunctionType:
    """Return what has the code of a callable: a class, a function, or the class of an object."""
    if isinstance(value, type):
        return value
    try:
        return unwrap_function(value)
    except FingerprintError:
        return type(value)


def module_name(value: type | types.FunctionType) -> str:
    """Return the module that a class or function says it is from."""
    name: object = value.__module__  # in classes of Cython, a descriptor
    return name if isinstance(name, str) else "builtins"


def _file_of(value: type | types.FunctionType) -> str | None:
    if isinstance(value, types.FunctionType):
        return value.__code__.co_filename
    file = getattr(sys.modules.get(value.__module__), "__file__", None)
    return file if isinstance(file, str) else None
