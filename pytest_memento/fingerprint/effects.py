"""What importing a module does beside binding its names.

np.random.seed(0)               unknown: it counts for all that is in the module
TABLE["x"] = 3                  counts where TABLE counts
@register("svc")                counts where REGISTRY counts, which `register` writes to
def make_svc(): ...
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from pytest_memento.fingerprint.definitions import Definitions, Part, without_methods
from pytest_memento.fingerprint.functions import digest_text
from pytest_memento.fingerprint.meaning import Definition, External, Target, Whole, mentions
from pytest_memento.fingerprint.modules import Module, Unit
from pytest_memento.fingerprint.scopes import (
    CHANGING_METHODS,
    Names,
    Read,
    chain_of,
    sets_something,
    start_of,
)
from pytest_memento.fingerprint.syntax import FUNCTIONS

_Place: TypeAlias = tuple[Module, str]
_Code: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

_SUBCLASSES = frozenset({"__subclasses__"})
_ANY_NAME = frozenset({"globals", "locals", "vars", "exec", "eval"})
"""Builtins that may bind any name of the module."""
_TOLD = frozenset(
    {"parse_args", "parse_known_args", "parse_intermixed_args", "argv", "environ", "getenv"}
)
"""Names by which a program is told something that its source does not say."""
_CONSTRUCTORS = frozenset({"__new__", "__init__", "__post_init__"})
_REPORTS = frozenset({"logging", "loguru", "time", "tqdm", "warnings"})
"""Packages of which calls tell people something."""
_FIXED = (
    ast.Constant, ast.Tuple, ast.UnaryOp, ast.BinOp, ast.JoinedStr, ast.FormattedValue,
    ast.expr_context, ast.operator, ast.unaryop,
)  # fmt: skip


@dataclass(slots=True, eq=False)
class Effects:
    """What importing a module does beside binding its names.

    :param on: what it changes -> by which code.
    :param told: what it changes to something that the program is told, as on the command line.
    :param unknown: code that changes what is not the user's, or nobody knows what.
    :param elsewhere: statements that set up what is not the user's: ``np.random.seed(0)``.
    :param derived: classes that do not know their subclasses -> these, for ``__subclasses__``.
    """

    on: dict[Definition, list[Part]] = field(default_factory=dict)
    told: set[Definition] = field(default_factory=set)
    unknown: list[Part] = field(default_factory=list)
    elsewhere: list[ast.stmt] = field(default_factory=list)
    derived: dict[Definition, list[Unit]] = field(default_factory=dict)


class Imports:
    """Finds what happens when modules are imported.

    :param definitions: reads their statements.
    """

    def __init__(self, definitions: Definitions) -> None:
        self.definitions = definitions
        self.meanings = definitions.meanings
        self._effects: dict[Module, Effects] = {}
        self._reached: dict[Module, frozenset[Module]] = {}
        self._of_all: dict[Module, Effects] = {}
        self._changed: dict[_Place, frozenset[Target]] = {}
        self._itself: dict[_Place, set[Definition]] = {}
        self._leads: dict[_Place, frozenset[_Place]] = {}
        self._others: dict[tuple[_Place, bool], bool] = {}
        self._bound: dict[_Place, frozenset[_Place]] = {}
        self._watching: dict[_Place, bool] = {}
        self._told: dict[_Place, bool] = {}
        self._apart: dict[Module, frozenset[Definition]] = {}

    def reached(self, module: Module) -> frozenset[Module]:
        """Return a module and all that importing it imports of the user's modules."""
        if module not in self._reached:
            found: dict[Module, None] = {module: None}
            waiting = [module]
            while waiting:
                for name in self._imported(waiting.pop()):
                    inner = self.meanings.modules.find(name)
                    if inner is not None and inner not in found:
                        found[inner] = None
                        waiting.append(inner)
            self._reached[module] = frozenset(found)
        return self._reached[module]

    @staticmethod
    def _imported(module: Module) -> Iterator[str]:
        for name in (module.name, *module.imported):
            parts = name.split(".")  # the packages on the way to it are imported too
            yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))

    def effects(self, module: Module) -> Effects:
        """Return what importing a module does, with all the modules that it imports."""
        if module not in self._of_all:
            self._of_all[module] = whole = Effects()
            for each in self.reached(module):
                part = self._own_effects(each)
                whole.unknown += part.unknown
                whole.told |= part.told
                for target, parts in part.on.items():
                    whole.on.setdefault(target, []).extend(parts)
            if any(each.has_subclasses for each in self.reached(module)):
                self._add_subclasses(module, whole)
        return self._of_all[module]

    def _add_subclasses(self, module: Module, whole: Effects) -> None:
        """Have the subclasses of all classes count: something asks one for ``__subclasses__()``."""
        for each in self.reached(module):
            for base, units in self._own_effects(each).derived.items():
                parts: list[Part] = []
                for unit in units:
                    self._add_effect(each, unit, parts)
                for place in self._ancestors(base):
                    whole.on.setdefault(Definition(*place), []).extend(parts)

    def _own_effects(self, module: Module) -> Effects:
        if module not in self._effects:
            self._effects[module] = effects = Effects()
            for unit in module.units:
                self._note_effects(module, unit, effects)
        return self._effects[module]

    def _note_effects(self, module: Module, unit: Unit, effects: Effects) -> None:
        statement = unit.statement
        names = self._executed_names(module, statement)
        called = list(self._called(module, names))
        changed = {t for read in names.changes for t in self._resolve(module, read)}
        changed |= {t for code in called for t in self.changed_by(code)}
        has_results = module.since is not None and (statement.end_lineno or 0) >= module.since
        is_bare = not changed and not has_results and self._is_bare_call(module, statement)
        is_unknown = is_bare or (
            not isinstance(statement, (*FUNCTIONS, ast.ClassDef))
            and self._sets_up_others(module, names, called, by_name=has_results)
        )
        changed |= {inner for t in changed for inner in self._behind(t)}
        is_call = isinstance(statement, ast.Expr)
        is_of_others = any(isinstance(t, (External, Whole)) for t in changed)
        is_unknown |= is_of_others and not (has_results and is_call)
        if (is_of_others and not is_call) or self._sets_up_others(
            module, names, called, by_name=True
        ):
            effects.elsewhere.append(statement)
        used = {*self._registers(module, statement)}
        used |= {*self._changed_by_methods(module, statement, names)}
        # What a decorator does to others is mostly done when the function is called.
        changed |= used | {inner for t in used for inner in self._behind(t)}
        others = _named(changed) - {Definition(module, name) for name in _defined_by(statement)}
        for target in others:
            self._add_effect(module, unit, effects.on.setdefault(target, []), target)
        if others and not isinstance(statement, FUNCTIONS) and self.is_told(module, statement):
            effects.told |= others
        for base in self._bases_of(module, statement):
            if not self._watches_subclasses(base):
                effects.derived.setdefault(base, []).append(unit)
        if is_unknown:
            self._add_effect(module, unit, effects.unknown)

    def elsewhere(self, module: Module) -> list[int]:
        """Return the lines in which a module itself sets up what is not the user's."""
        return [each.lineno for each in self._own_effects(module).elsewhere]

    def done_apart(self, module: Module) -> frozenset[Definition]:
        """Return what a script changes in what importing it would not do, also by what it calls."""
        if module not in self._apart:
            changed: set[Target] = set()
            for unit in module.apart:
                names = self.definitions.names(module, unit.statement)
                changed |= {t for read in names.changes for t in self._resolve(module, read)}
                for code in self._called(module, names):
                    changed |= self.changed_by(code)
            self._apart[module] = frozenset(_named(changed))
        return self._apart[module]

    def is_told(self, module: Module, statement: ast.stmt) -> bool:
        """Tell whether a statement, or what it calls, gets what the source does not say."""
        if is_told(statement):
            return True
        called = self._called(module, self._executed_names(module, statement))
        return any(self._gets_told(*code[:2]) for code in called)

    def _gets_told(self, module: Module, name: str) -> bool:
        if (module, name) not in self._told:
            places = self._reached_from((module, name), self._executed_in)
            self._told[module, name] = any(
                is_told(code) for place in places for code in self._code(*place)
            )
        return self._told[module, name]

    def _sets_up_others(
        self, module: Module, names: Names, called: list[Definition], *, by_name: bool
    ) -> bool:
        """Tell whether a statement changes what is not the user's, also by what it calls.

        :param by_name: whether only what is called ``seed``, ``set_...`` does: what shows results
            calls much for what that does.
        """
        if any(self._is_set_up(module, read, by_name=by_name) for read in names.done):
            return True
        return any(self._changes_others(function, by_name=by_name) for function in called)

    def _is_set_up(self, module: Module, read: Read, *, by_name: bool) -> bool:
        word = [str(getattr(read.root, "name", read.root)), *read.attributes][-1]
        if by_name and not sets_something(word):
            return False
        return any(map(_is_of_others, self._resolve(module, read)))

    def _executed_names(self, module: Module, statement: ast.stmt) -> Names:
        """Return the names in what is executed at import: not what is in functions."""
        if isinstance(statement, FUNCTIONS):
            return Names()
        if isinstance(statement, ast.ClassDef):
            statement = without_methods(statement)
        return self.definitions.names(module, statement)

    def _resolve(self, module: Module, read: Read) -> tuple[Target, ...]:
        """Return what is changed: the module as a whole for names that nothing binds in it."""
        found = self.meanings.resolve_read(module, read)
        if found:
            return found
        if read.root in _ANY_NAME:
            return (Whole(module),)
        for end in range(len(read.attributes) - 1, -1, -1):
            above = self.meanings.resolve_read(module, Read(read.root, read.attributes[:end]))
            if above:
                return above
        return ()

    # -- what functions change ---------------------------------------------------------------------

    def changed_by(self, function: Definition) -> frozenset[Target]:
        """Return the globals of the user that a function changes, itself or by what it calls."""
        if function[:2] not in self._changed:
            found: set[Target] = set()
            for place in self._reached_from(function[:2], self._called_in):
                found |= self._changed_itself(*place)
            self._changed[function[:2]] = frozenset(found)
        return self._changed[function[:2]]

    def _reached_from(
        self, start: _Place, step: Callable[[Module, str], Iterable[_Place]]
    ) -> set[_Place]:
        seen = {start}
        waiting = [start]
        while waiting:
            leads = {*step(*waiting.pop())}
            waiting += leads - seen
            seen |= leads
        return seen

    def _code(self, module: Module, name: str) -> Iterator[_Code]:
        """Yield the functions and classes that a name of a module is bound to."""
        for unit in module.bindings.get(name, ()):
            if isinstance(unit.statement, (*FUNCTIONS, ast.ClassDef)):
                yield unit.statement

    def _is_code(self, target: Definition) -> bool:
        return any(self._code(target.module, target.name))

    def _called_in(self, module: Module, name: str) -> frozenset[_Place]:
        if (module, name) not in self._leads:
            self._leads[module, name] = frozenset(
                target[:2]
                for each in self._code(module, name)
                for target in self.definitions.leads(module, self.definitions.names(module, each))
                if isinstance(target, Definition)
            )
        return self._leads[module, name]

    def _changed_itself(self, module: Module, name: str) -> set[Definition]:
        """Return the globals that a function or class changes by itself."""
        if (module, name) not in self._itself:
            changed = self._itself[module, name] = set[Definition]()
            for each in self._code(module, name):
                names = self.definitions.names(module, each)
                found = (t for read in names.changes for t in self._resolve(module, read))
                changed |= {Definition(*t[:2]) for t in found if isinstance(t, Definition)}
                if isinstance(each, ast.ClassDef) and _changes_own_attribute(each):
                    changed.add(Definition(module, name))
        return self._itself[module, name]

    def _changes_others(self, function: Definition, *, by_name: bool) -> bool:
        """Tell whether a function, if it is called, changes what is not the user's."""
        key = function[:2], by_name
        if key not in self._others:
            places = self._reached_from(function[:2], self._executed_in)
            self._others[key] = any(
                self._is_set_up(module, read, by_name=by_name)
                for module, name in places
                for names in self._names_called(module, name)
                for read in names.done
            )
        return self._others[key]

    def _executed_in(self, module: Module, name: str) -> frozenset[_Place]:
        return frozenset(
            target[:2]
            for names in self._names_called(module, name)
            for target in self.definitions.leads(module, names)
            if isinstance(target, Definition)
        )

    def _names_called(self, module: Module, name: str) -> Iterator[Names]:
        """Yield the names in what a call of a function executes, or of a class."""
        for each in self._code(module, name):
            if not isinstance(each, ast.ClassDef):
                yield self.definitions.names(module, each)
                continue
            for method in each.body:
                if isinstance(method, FUNCTIONS) and method.name in _CONSTRUCTORS:
                    yield self.definitions.names(module, method)

    # -- what names stand for ----------------------------------------------------------------------

    def _behind(self, target: Target) -> Iterator[Target]:
        """Yield what is changed through a name: what it was bound to, and what its methods change.

        ``register = HUB.register``, ``register = make_register(TABLE)``, ``table = other.TABLE``
        """
        if not isinstance(target, Definition):
            return
        for place in self._reached_from(target[:2], self._bound_to):
            if place != target[:2]:
                yield Definition(*place)
            yield from self._values_change(*place)

    def _bound_to(self, module: Module, name: str) -> frozenset[_Place]:
        """Return the tables and objects in what a name is bound to."""
        if (module, name) not in self._bound:
            self._bound[module, name] = frozenset(
                target[:2]
                for unit in module.bindings.get(name, ())
                for value in _values(unit.statement)
                for target in self._tables_in(module, value, all_names=_is_alias(unit, value))
            )
        return self._bound[module, name]

    def _tables_in(
        self, module: Module, value: ast.expr, *, all_names: bool
    ) -> Iterator[Definition]:
        """Yield what an expression names that can be changed, with what a called function uses."""
        for target in self._named_in(module, value):
            if not self._is_code(target):
                if not _is_fixed(target):
                    yield target
            elif all_names:
                yield target
            else:
                yield from self._tables_of(target)

    def _tables_of(self, function: Definition) -> Iterator[Definition]:
        """Yield the tables that a function may give: ``def table(name): return TABLES[name]``."""
        if any(isinstance(each, ast.ClassDef) for each in self._code(*function[:2])):
            return
        for place in self._called_in(*function[:2]):
            inner = Definition(*place)
            if not self._is_code(inner) and not _is_fixed(inner):
                yield inner

    def _named_in(self, module: Module, value: ast.expr) -> Iterator[Definition]:
        for read in self.definitions.names(module, value).reads:
            for target in self.meanings.resolve_read(module, read):
                if isinstance(target, Definition):
                    yield target

    def _values_change(self, module: Module, name: str) -> Iterator[Target]:
        """Yield what the functions and classes change that the value of a name is made with."""
        for unit in module.bindings.get(name, ()):
            for value in _values(unit.statement):
                for target in self._named_in(module, value):
                    if self._is_code(target):
                        yield from self.changed_by(target)
                yield from self._others_behind(module, value)

    def _others_behind(self, module: Module, value: ast.expr) -> Iterator[Target]:
        """Yield what is not the user's, or a whole module, that a name is another name for."""
        is_name = chain_of(value)[0] is not None
        for read in self.definitions.names(module, value).reads:
            for target in self.meanings.resolve_read(module, read):
                if isinstance(target, Whole) or (is_name and isinstance(target, External)):
                    yield target

    # -- calls, decorators, bases ------------------------------------------------------------------

    def _called(self, module: Module, names: Names) -> Iterator[Definition]:
        for read in names.calls:
            for target in self.meanings.resolve_read(module, read):
                if isinstance(target, Definition) and self._is_code(target):
                    yield target

    def _registers(self, module: Module, statement: ast.stmt) -> Iterator[Target]:
        """Yield what decorators and bases change: ``@registry.add``, ``@register("name")``."""
        inner = statement.body if isinstance(statement, ast.ClassDef) else []
        for each in (statement, *(part for part in inner if isinstance(part, FUNCTIONS))):
            for decorator in getattr(each, "decorator_list", ()):
                yield from self._changed_by_decorator(module, decorator)
        for base in self._bases_of(module, statement):
            if self._watches_subclasses(base):
                yield base
                yield from self._changed_for_subclasses(base)
        if isinstance(statement, ast.ClassDef):
            for keyword in statement.keywords:
                for target in self._named_in(module, keyword.value):
                    yield from self.changed_by(target)

    def _changed_by_decorator(self, module: Module, decorator: ast.expr) -> Iterator[Target]:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        name, attributes = chain_of(called)
        if name is not None:
            targets = self.meanings.resolve(module, name.id, attributes)
            own = [target for target in targets if isinstance(target, Definition)]
            if not own and External("functools") not in targets:
                return
            for target in own:
                yield from self.changed_by(target)
                if target.rest or not self._is_code(target):
                    yield target
        for target in self._named_in(module, decorator):
            if self._is_code(target):
                yield from self.changed_by(target)
        if name is None:
            yield from self._tables_in(module, called, all_names=False)
        for argument in _arguments(decorator):
            yield from self._tables_in(module, argument, all_names=False)

    def _changed_by_methods(
        self, module: Module, statement: ast.stmt, names: Names
    ) -> Iterator[Target]:
        """Yield objects of which methods are called that change them: ``t = TASKS.add(f)``."""
        if isinstance(statement, FUNCTIONS):
            return
        for read in names.calls:
            for target in self.meanings.resolve_read(module, read):
                if not isinstance(target, Definition) or self._is_code(target):
                    continue
                if self._method_changes(target):
                    yield target
                elif not target.rest:
                    yield from self._behind(target)
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            for argument in _arguments(statement.value):
                yield from self._tables_in(module, argument, all_names=False)

    def _method_changes(self, target: Definition) -> bool:
        """Tell whether a method changes its object, or anything, as far as its class is known."""
        module, name, rest = target
        made_by = [
            (inner, each)
            for unit in module.bindings[name]
            for value in _values(unit.statement)
            if isinstance(value, ast.Call)
            for inner in self._named_in(module, value.func)
            for each in self._code(*inner[:2])
        ]
        for inner, each in made_by:
            if not isinstance(each, ast.ClassDef):
                return bool(rest)
            methods = {m.name: m for m in each.body if isinstance(m, FUNCTIONS)}
            method = methods.get(rest[-1] if rest else "__call__")
            if method is None:
                return True
            if _changes_itself(method, methods):
                return True
            if self.definitions.names(inner.module, method).changes:
                return True
        return False

    def _bases_of(self, module: Module, statement: ast.stmt) -> Iterator[Definition]:
        for base in statement.bases if isinstance(statement, ast.ClassDef) else ():
            name, attributes = chain_of(base)
            for target in self.meanings.resolve(module, name.id, attributes) if name else ():
                if isinstance(target, Definition):
                    yield Definition(*target[:2])

    def _watches_subclasses(self, target: Definition) -> bool:
        key = target[:2]
        if key not in self._watching:
            self._watching[key] = any(
                _watches(each) for place in self._ancestors(target) for each in self._classes(place)
            )
        return self._watching[key]

    def _ancestors(self, target: Definition) -> set[_Place]:
        return self._reached_from(target[:2], self._places_of_bases)

    def _places_of_bases(self, module: Module, name: str) -> frozenset[_Place]:
        return frozenset(
            base[:2]
            for each in self._classes((module, name))
            for base in self._bases_of(module, each)
        )

    def _classes(self, place: _Place) -> Iterator[ast.ClassDef]:
        return (each for each in self._code(*place) if isinstance(each, ast.ClassDef))

    def _changed_for_subclasses(self, target: Definition) -> Iterator[Target]:
        """Yield what ``__init_subclass__`` and metaclasses change when a class is made."""
        for place in self._ancestors(target):
            module = place[0]
            for each in self._classes(place):
                for keyword in each.keywords:
                    for inner in self._named_in(module, keyword.value):
                        yield from self.changed_by(inner)
                hooks = [m for m in each.body if getattr(m, "name", "") == "__init_subclass__"]
                for names in (self.definitions.names(module, hook) for hook in hooks):
                    for read in names.changes:
                        yield from self._resolve(module, read)
                    for lead in self.definitions.leads(module, names):
                        if isinstance(lead, Definition):
                            yield from self.changed_by(lead)

    # -- statements --------------------------------------------------------------------------------

    def _is_bare_call(self, module: Module, statement: ast.stmt) -> bool:
        """Tell whether a statement calls something, not a builtin, for what that does."""
        if isinstance(statement, ast.Assign):
            if not all(getattr(target, "id", "") == "_" for target in statement.targets):
                return False
        elif not isinstance(statement, ast.Expr):
            return False
        if not isinstance(statement.value, ast.Call):
            return False
        name, attributes = chain_of(statement.value.func)
        return name is None or bool(self.meanings.resolve(module, name.id, attributes))

    def _add_effect(
        self, module: Module, unit: Unit, parts: list[Part], target: Definition | None = None
    ) -> None:
        """Add the code of a statement to what a module does, in the order in which it does it."""
        statement = unit.statement
        if isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
            pieces = self.definitions.pieces(module, unit, statement.name)
            parts += [_at(len(parts), piece) for piece in pieces] if parts else pieces
            return
        inside = target is not None and target.module is module
        name = f"{module.label}.{target.name if target and inside else '<module>'}"
        part = self.definitions.part(module, name, statement, unit.conditions)
        parts.append(_at(len(parts), part))


def is_told(tree: ast.AST) -> bool:
    """Tell whether code asks the command line, the environment or the prompt for something."""
    for node in ast.walk(tree):
        name = getattr(node, "attr", None) or getattr(node, "id", None)
        is_prompt = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "input"
        if is_prompt or name in _TOLD:
            return True
    return False


def _at(position: int, part: Part) -> Part:
    return replace(part, digest=digest_text(f"{position} {part.digest}"))


def _named(targets: Iterable[Target]) -> set[Definition]:
    return {Definition(*target[:2]) for target in targets if isinstance(target, Definition)}


def _is_of_others(target: Target) -> bool:
    """Tell whether something is not the user's, or all of a module; what only reports apart."""
    if isinstance(target, External):
        return target.name.partition(".")[0] not in _REPORTS
    return isinstance(target, Whole)


def _is_fixed(target: Definition) -> bool:
    """Tell whether a name is bound to what cannot be changed: numbers, texts, tuples of them."""
    values = [
        unit.statement.value
        for unit in target.module.bindings.get(target.name, ())
        if isinstance(unit.statement, (ast.Assign, ast.AnnAssign))
    ]
    return len(values) == len(target.module.bindings.get(target.name, ())) and all(
        isinstance(each, _FIXED) for value in values if value for each in ast.walk(value)
    )


def _values(statement: ast.stmt) -> list[ast.expr]:
    """Return what a statement binds names to."""
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        return [statement.value] if statement.value else []
    if isinstance(statement, (ast.For, ast.AsyncFor)):
        return [statement.iter]
    if isinstance(statement, (ast.With, ast.AsyncWith)):
        return [item.context_expr for item in statement.items]
    return []


def _is_alias(unit: Unit, value: ast.expr) -> bool:
    """Tell whether functions and classes are what a name is bound to, not what makes that."""
    return isinstance(unit.statement, (ast.For, ast.AsyncFor)) or chain_of(value)[0] is not None


def _arguments(call: ast.expr) -> list[ast.expr]:
    if not isinstance(call, ast.Call):
        return []
    return [*call.args, *(keyword.value for keyword in call.keywords)]


def _changes_own_attribute(statement: ast.ClassDef) -> bool:
    """Tell whether methods change something that their objects have from the class."""
    shared = {
        node.id
        for each in statement.body
        if not isinstance(each, FUNCTIONS)
        if not (isinstance(each, ast.AnnAssign) and _is_field(each.value))
        for node in ast.walk(each)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    changed: set[str] = set()
    bound: set[str] = set()
    for method in statement.body:
        if isinstance(method, FUNCTIONS):
            for attributes, is_binding in _changes_of_first(method):
                (bound if is_binding and not _is_of_class(method) else changed).update(
                    attributes[:1]
                )
    return bool(changed & shared or changed - bound)


def _is_field(value: ast.expr | None) -> bool:
    """Tell whether each object gets a value of its own: ``items: list = field(...)``."""
    name, attributes = chain_of(value.func) if isinstance(value, ast.Call) else (None, ())
    return value is None or (*([name.id] if name else []), *attributes)[-1:] == ("field",)


def _is_of_class(method: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(getattr(each, "id", "") == "classmethod" for each in method.decorator_list)


def _changes_itself(
    method: ast.FunctionDef | ast.AsyncFunctionDef,
    methods: dict[str, ast.FunctionDef | ast.AsyncFunctionDef],
) -> bool:
    """Tell whether a method changes its object, maybe by another method."""
    seen = {method.name}
    waiting = [method]
    while waiting:
        each = waiting.pop()
        if any(True for _ in _changes_of_first(each)):
            return True
        named = {n.attr for n in ast.walk(each) if isinstance(n, ast.Attribute)} & {*methods} - seen
        waiting += [methods[name] for name in named]
        seen |= named
    return False


def _changes_of_first(
    method: ast.FunctionDef | ast.AsyncFunctionDef,
) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Yield the attributes of ``self`` that a method changes, and whether it binds them."""
    arguments = [*method.args.posonlyargs, *method.args.args]
    first = arguments[0].arg if arguments else None
    for node in ast.walk(method):
        changed: ast.expr | None = None
        if isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load):
            changed = node
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            changed = node.func.value if node.func.attr in CHANGING_METHODS else None
        if changed is not None:
            name, attributes = start_of(changed)
            if name is not None and name.id == first:
                attributes = attributes[1:] if attributes[:1] == ("__class__",) else attributes
                yield attributes, isinstance(changed, ast.Attribute)


def _watches(statement: ast.ClassDef) -> bool:
    """Tell whether a class does something when a class is made from it."""
    names = {each.name for each in statement.body if isinstance(each, FUNCTIONS)}
    metaclass = any(keyword.arg == "metaclass" for keyword in statement.keywords)
    return "__init_subclass__" in names or metaclass or mentions(statement, _SUBCLASSES)


def _defined_by(statement: ast.stmt) -> list[str]:
    if isinstance(statement, (*FUNCTIONS, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return [each.id for each in targets if isinstance(each, ast.Name)]
    return []
