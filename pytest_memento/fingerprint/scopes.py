"""Which names a definition takes from its module, and which are its own.

    def experiment(config):               reads  helpers.scale   a name of the module, and on
        import numpy as np                       numpy.mean      imported here
        parts = helpers.scale(config)     own    np -> $0, parts -> $1
        return np.mean(parts)

The rules are those of the language reference, "Naming and binding".
"""

from __future__ import annotations

import ast
import builtins
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from pytest_memento.fingerprint.syntax import Function, children, does_nothing, is_special

Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp

_SEES_NAMES = frozenset({"locals", "vars", "eval", "exec", "dir"})
"""Builtins to which the names of local variables are data."""
_CHANGE_OBJECT = frozenset({"setattr", "delattr"})
_SHOW_OBJECT = frozenset({"vars", "getattr", "type"})
"""Builtins whose result, if it is changed, changes their first argument."""
_RUNS_TEXT = frozenset({"exec", "eval"})
CHANGING_METHODS = frozenset(
    {"add", "append", "appendleft", "clear", "discard", "extend", "extendleft", "insert", "pop"}
    | {"popitem", "popleft", "remove", "reverse", "setdefault", "sort", "update", "__setitem__"}
)
"""Methods that change their object also where the value of the call is used."""
_SETTING_WORDS = frozenset(
    {"configure", "disable", "enable", "init", "install", "manual", "patch", "register", "reset"}
    | {"seed", "setup", "use"}
)
"""How names of functions start that are called for what they do, even if they return something."""
READS_ANNOTATIONS = frozenset(
    {"__annotations__", "get_annotations", "get_type_hints", "getfullargspec", "signature"}
)
_ANNOTATED = frozenset(
    {"TypeAdapter", "beartype", "dataclass", "define", "frozen", "mutable", "typechecked"}
    | {"validate_arguments", "validate_call"}
)
"""Decorators that read the annotations of what they are called with."""
_IMPORTING = {"import_module": "name", "__import__": "name", "run_module": "mod_name"}
"""What imports a module by its name, with the name of that argument."""
_SCOPES = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef,
    ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp,
)  # fmt: skip
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Import(NamedTuple):
    """What an import binds a name to: a module, or something in a module."""

    module: str
    name: str | None = None


class Read(NamedTuple):
    """A name that is read, with the attributes that are read of it.

    :param root: a name of the module, or what it was imported from in the definition itself.
    :param attributes: as many as follow directly: ``a.b.c`` has two.
    """

    root: str | Import
    attributes: tuple[str, ...] = ()


@dataclass(slots=True)
class Names:
    """The names in a definition.

    :param reads: what is taken from outside.
    :param changes: the ones of these that are written to: ``A[0] = 1``, ``A.append(1)`` as a
        statement, ``global A; A = 1``.
    :param calls: what is called where the definition itself is executed.
    :param at_once: the names of *reads* that are read there.
    :param done: what a function calls or changes for what that does, functions in it left out.
    :param imports: modules that are imported inside.
    :param fixtures: what is asked for by ``request.getfixturevalue("name")``.
    :param asked: names of the experiment's module, by ``request.module.NAME``; "" for all.
    :param reads_annotations: whether annotations are data to something in it.
    :param own: node -> what stands for the local variable it names.
    :param origins: node -> what the local variable it names was imported from.
    :param ignored: decorators that do not count.
    :param annotated: functions and classes whose annotations count.
    :param outer: nodes that name something of the module, with that name.
    """

    reads: set[Read] = field(default_factory=set)
    changes: set[Read] = field(default_factory=set)
    calls: set[Read] = field(default_factory=set)
    at_once: set[str] = field(default_factory=set)
    done: set[Read] = field(default_factory=set)
    imports: set[str] = field(default_factory=set)
    fixtures: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)
    reads_annotations: bool = False
    own: dict[ast.AST, str] = field(default_factory=dict)
    origins: dict[ast.AST, tuple[Import, ...]] = field(default_factory=dict)
    ignored: set[ast.AST] = field(default_factory=set)
    annotated: set[ast.AST] = field(default_factory=set)
    outer: dict[ast.AST, str] = field(default_factory=dict)


class _Scope:
    """A function, class or comprehension, and what it binds."""

    __slots__ = (
        "bound", "executed", "globals", "imports", "is_class", "nonlocals", "outer", "within",
    )  # fmt: skip

    def __init__(
        self,
        outer: _Scope | None,
        *,
        is_class: bool = False,
        executed: bool = False,
        is_function: bool = False,
    ):
        self.outer = outer
        self.within: int = (outer.within if outer else 0) + is_function
        """How many functions it stands in, or is."""
        self.is_class = is_class
        self.executed = executed
        self.bound: dict[str, str | None] = {}  # None: a local variable without a number yet
        self.imports: dict[str, tuple[Import, ...]] = {}
        self.globals: set[str] = set()
        self.nonlocals: set[str] = set()


def scan(
    node: ast.AST,
    *,
    package: str,
    free: Iterable[str] = (),
    walrus: bool = True,
    keeps_annotations: Callable[[ast.AST], bool] = lambda _: False,
    ignores: Callable[[ast.expr], bool] = lambda _: False,
    last_name: Callable[[str], str] = lambda name: name,
) -> Names:
    """Find the names in a statement of a module, or in a function that stands anywhere.

    :param package: what relative imports start from.
    :param free: names that a function takes from the functions around it.
    :param walrus: whether there may be a ``:=``.
    :param keeps_annotations: whether the annotations of a function are read by something.
    :param ignores: whether a decorator does not count.
    :param last_name: what a name of the module is called where it is imported from.
    """
    scanner = _Scanner(package, walrus, keeps_annotations, ignores, last_name)
    top = _Scope(None, executed=True)
    if free:
        top = _Scope(top, executed=True)
        top.bound = {name: name for name in free}
    scanner.walk(node, top)
    if scanner.sees_names:
        scanner.names.own.clear()
    return scanner.names


def imports_of(
    statement: ast.Import | ast.ImportFrom, package: str
) -> Iterator[tuple[str, Import]]:
    """Yield the names that an import statement binds, ``*`` for all, and what to."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            top = alias.name.partition(".")[0]
            yield (alias.asname, Import(alias.name)) if alias.asname else (top, Import(top))
        return
    module = absolute(statement, package)
    for alias in statement.names:
        yield alias.asname or alias.name, Import(module, alias.name)


def absolute(statement: ast.ImportFrom, package: str) -> str:
    """Return the module that ``from ... import`` names, also if it is named relatively."""
    if not statement.level:
        return statement.module or ""
    parts = package.split(".") if package else []
    start = parts[: len(parts) - statement.level + 1]
    return ".".join([*start, *([statement.module] if statement.module else [])])


def chain_of(node: ast.expr) -> tuple[ast.Name | None, tuple[str, ...]]:
    """Take ``a.b.c`` apart into the name and the attributes; no name if it starts otherwise."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    return (node if isinstance(node, ast.Name) else None), tuple(reversed(attributes))


def start_of(node: ast.expr) -> tuple[ast.Name | None, tuple[str, ...]]:
    """Return what is changed if an expression is: ``a.b`` for ``a.b[0].c(x).d``, ``vars(a.b)``."""
    while True:
        name, attributes = chain_of(node)
        if name is not None:
            return name, attributes
        while isinstance(node, ast.Attribute):
            node = node.value
        if isinstance(node, ast.Call):
            shows = isinstance(node.func, ast.Name) and node.func.id in _SHOW_OBJECT
            node = node.args[0] if shows and node.args else node.func
        elif isinstance(node, (ast.Subscript, ast.Await, ast.Starred)):
            node = node.value
        else:
            return None, ()


class _Scanner:
    def __init__(
        self,
        package: str,
        walrus: bool,
        keeps_annotations: Callable[[ast.AST], bool],
        ignores: Callable[[ast.expr], bool],
        last_name: Callable[[str], str],
    ) -> None:
        self.package = package
        self.walrus = walrus
        self.keeps_annotations = keeps_annotations
        self.ignores = ignores
        self.last_name = last_name
        self.names = Names()
        self.sees_names = False
        self._numbered = 0
        self._waiting: list[tuple[ast.AST, _Scope]] = []

    def walk(self, node: ast.AST, scope: _Scope) -> None:
        """Visit a node and all below it, in the order of the source."""
        self._waiting.append((node, scope))
        while self._waiting:
            node, scope = self._waiting.pop()
            below = self._visit(node, scope)
            if below is None:
                below = [(child, scope) for child in children(node)]
            self._waiting += reversed(below)

    def _visit(self, node: ast.AST, scope: _Scope) -> list[tuple[ast.AST, _Scope]] | None:
        """Note what a node says; return what to go on with, ``None`` for all its children."""
        if isinstance(node, ast.Name):
            self._name(node, scope)
            return []
        if isinstance(node, ast.Attribute):
            return self._attribute(node, scope)
        if isinstance(node, _SCOPES):
            return self._enter(node, scope)
        if isinstance(node, ast.Call):
            return self._call(node, scope)
        if isinstance(node, ast.AnnAssign):
            said = _said(node.annotation) if scope.is_class else []
            parts = (node.target, *said, node.value)
            return [(part, scope) for part in parts if part is not None]
        if isinstance(node, (ast.Expr, ast.Subscript)):
            self._change(node, scope)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            self._import(node)
            return []
        return None

    # -- scopes ------------------------------------------------------------------------------------

    def _enter(self, node: ast.AST, scope: _Scope) -> list[tuple[ast.AST, _Scope]]:
        if isinstance(node, _FUNCTIONS):
            return self._enter_function(node, scope)
        if isinstance(node, ast.ClassDef):
            return self._enter_class(node, scope)
        assert isinstance(node, COMPREHENSIONS)
        return self._enter_comprehension(node, scope)

    def _enter_function(self, node: Function, scope: _Scope) -> list[tuple[ast.AST, _Scope]]:
        arguments = node.args
        outside: list[ast.AST] = []
        body: Sequence[ast.AST]
        if isinstance(node, ast.Lambda):
            body = [node.body]
        else:
            body = [statement for statement in node.body if not does_nothing_here(statement)]
            outside += self._decorators(node, scope)
        outside += [*arguments.defaults, *(d for d in arguments.kw_defaults if d is not None)]
        every = _arguments(arguments)
        if not isinstance(node, ast.Lambda) and self.keeps_annotations(node):
            self.names.annotated.add(node)
            annotations = [*(arg.annotation for arg in every), node.returns]
            outside += [each for part in annotations if part is not None for each in _said(part)]
        inside = _Scope(scope, is_function=True)
        inside.bound = {arg.arg: arg.arg for arg in every}
        self._bind(inside, body)
        return [*((part, scope) for part in outside), *((part, inside) for part in body)]

    def _enter_class(self, node: ast.ClassDef, scope: _Scope) -> list[tuple[ast.AST, _Scope]]:
        inside = _Scope(scope, is_class=True, executed=scope.executed)
        self._bind(inside, node.body)
        outside = [*self._decorators(node, scope), *node.bases, *(k.value for k in node.keywords)]
        special = is_special(node) or self.keeps_annotations(node)
        if special:
            self.names.annotated.add(node)
        body: list[ast.AST] = []
        for statement in node.body:
            if isinstance(statement, ast.AnnAssign) and not special:
                body += [statement.target, *([statement.value] if statement.value else [])]
            else:
                body.append(statement)
        return [*((part, scope) for part in outside), *((part, inside) for part in body)]

    def _enter_comprehension(
        self, node: Comprehension, scope: _Scope
    ) -> list[tuple[ast.AST, _Scope]]:
        inside = _Scope(scope, executed=scope.executed)
        self._bind(inside, [generator.target for generator in node.generators])
        first, *others = node.generators
        parts: list[ast.AST] = [first.target, *first.ifs, *others]
        if isinstance(node, ast.DictComp):
            parts += [node.key, node.value]
        else:
            parts.append(node.elt)
        return [(first.iter, scope), *((part, inside) for part in parts)]

    def _decorators(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, scope: _Scope
    ) -> list[ast.expr]:
        found = []
        for decorator in node.decorator_list:
            if self.ignores(decorator):
                self.names.ignored.add(decorator)
            else:
                found.append(decorator)
        if scope.executed:
            self._note_calls(found, scope)
        return found

    def _bind(self, scope: _Scope, body: Iterable[ast.AST]) -> None:
        """Find what a scope binds, before anything in it is looked up."""
        nodes = list(_nodes_of_scope(body, walrus=self.walrus))
        for node in nodes:
            if isinstance(node, ast.Global):
                scope.globals.update(node.names)
            elif isinstance(node, ast.Nonlocal):
                scope.nonlocals.update(node.names)
        for node in nodes:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                for name, target in imports_of(node, self.package):
                    self._bind_name(scope, name, None)
                    scope.imports[name] = (*scope.imports.get(name, ()), target)
            elif bound := _bound_name(node):
                self._bind_name(scope, bound, node)

    def _bind_name(self, scope: _Scope, name: str, node: ast.AST | None) -> None:
        if name in scope.globals or name in scope.nonlocals:
            return
        keeps_name = scope.is_class or isinstance(
            node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        )
        if scope.bound.get(name) is None:
            scope.bound[name] = name if keeps_name else None
        if node is not None and not isinstance(node, (ast.Name, *_SCOPES)):
            self.names.own[node] = self._number(name, scope)

    def _number(self, name: str, holder: _Scope) -> str:
        """Return what is written for a local variable: numbers, in the order of first use."""
        known = holder.bound[name]
        if known is not None:
            return known
        number = holder.bound[name] = f"${self._numbered}"
        self._numbered += 1
        return number

    # -- names -------------------------------------------------------------------------------------

    def _name(self, node: ast.Name, scope: _Scope) -> None:
        if isinstance(node.ctx, ast.Load):
            self._read(node, (), scope)
            return
        holder = _holder(node.id, scope)
        if holder is not None:
            self.names.own[node] = self._number(node.id, holder)
        elif scope.outer is not None and not scope.is_class:  # declared global
            self.names.reads.add(Read(node.id))
            self._note_changes({Read(node.id)}, scope)

    def _attribute(self, node: ast.Attribute, scope: _Scope) -> list[tuple[ast.AST, _Scope]] | None:
        name, attributes = chain_of(node)
        if name is None:
            if not isinstance(node.ctx, ast.Load):
                self._change_object(node, scope)
            self.names.reads_annotations |= node.attr in READS_ANNOTATIONS
            return None
        found = self._read(name, attributes, scope)
        if not isinstance(node.ctx, ast.Load):
            self._note_changes(found, scope)
        return []

    def _call(self, node: ast.Call, scope: _Scope) -> list[tuple[ast.AST, _Scope]] | None:
        """See through ``getattr(x, "name")`` and ``import_module("name")``."""
        if scope.executed:
            self._note_calls([node.func], scope)
        called, attributes = chain_of(node.func)
        plain = (attributes or (called.id if called else "",))[-1]
        if isinstance(node.func, ast.Attribute) and node.func.attr in CHANGING_METHODS:
            self._change_object(node.func.value, scope)
        elif called and sets_something(plain):
            self._note_done(self._look_up(called, attributes, scope), scope)
        word = self._word(node.func, scope)
        text = _text(node.args[0]) if node.args else None
        if word in _IMPORTING:
            self._import_by_call(node, _IMPORTING[word])
        if word == "getfixturevalue" and text:
            self.names.fixtures.add(text)
        if node.args and self._word(getattr(node.func, "func", node.func), scope) in _ANNOTATED:
            self.names.reads_annotations = True
        if word == "getattr" and len(node.args) > 1:
            self.names.reads_annotations |= _text(node.args[1]) in READS_ANNOTATIONS
        if word == "getattr" and not attributes and len(node.args) > 1 and _text(node.args[1]):
            root, path = chain_of(node.args[0])
            if root is not None and called is not None:
                self._read(root, (*path, str(_text(node.args[1]))), scope)
                return [(part, scope) for part in node.args[1:]]
        return None

    def _word(self, called: ast.expr, scope: _Scope) -> str:
        """Return the last part of the name of what is called, where that is from."""
        name, attributes = chain_of(called)
        if name is None or attributes:
            return (attributes or ("",))[-1]
        holder = _holder(name.id, scope)
        if holder is None:
            return self.last_name(name.id)
        origins = holder.imports.get(name.id, ())
        return next((origin.name for origin in origins if origin.name), name.id)

    def _import_by_call(self, node: ast.Call, keyword: str) -> None:
        """Note what is imported by ``import_module(".name", __package__)`` and its like."""
        given = {each.arg: each.value for each in node.keywords}
        name = _text(node.args[0] if node.args else given.get(keyword))
        package = given.get("package", node.args[1] if len(node.args) == 2 else None)
        if not name:
            return
        if name.startswith("."):
            is_here = isinstance(package, ast.Name) and package.id in ("__name__", "__package__")
            try:
                name = importlib.util.resolve_name(
                    name, self.package if is_here else _text(package)
                )
            except ImportError:
                return
        self.names.imports.add(name)
        self.names.reads.add(Read(Import(name)))
        parts = given.get("fromlist", node.args[3] if len(node.args) > 3 else None)
        for each in parts.elts if isinstance(parts, (ast.List, ast.Tuple)) else ():
            if text := _text(each):
                self.names.reads.add(Read(Import(name, text)))
                self.names.imports.add(f"{name}.{text}")

    def _note_calls(self, called: Iterable[ast.expr], scope: _Scope) -> None:
        for each in called:
            name, attributes = chain_of(each.func if isinstance(each, ast.Call) else each)
            if name is not None:
                self.names.calls |= self._look_up(name, attributes, scope)

    def _change(self, node: ast.Expr | ast.Subscript, scope: _Scope) -> None:
        """Note ``a.append(x)`` as a statement, and ``a[0] = x``."""
        if isinstance(node, ast.Subscript):
            if not isinstance(node.ctx, ast.Load):
                self._change_object(node, scope)
            return
        call = node.value.value if isinstance(node.value, ast.Await) else node.value
        if not isinstance(call, ast.Call):
            return
        if isinstance(call.func, ast.Name):
            self._change_by_function(call, call.func, scope)
        elif isinstance(call.func, ast.Attribute):
            name, _ = chain_of(call.func)
            by_type = name is not None and isinstance(getattr(builtins, name.id, None), type)
            of = call.args[0] if by_type and call.args else call.func.value
            self._change_object(of, scope)

    def _change_by_function(self, call: ast.Call, function: ast.Name, scope: _Scope) -> None:
        """Note ``setattr(a, "name", x)``, ``exec(text)``, and any other call as a statement."""
        if function.id in _CHANGE_OBJECT and call.args:
            root, path = start_of(call.args[0])
            text = _text(call.args[1]) if len(call.args) > 1 else None
            if root is not None:
                changed = (*path, *([text] if text else []))
                self._note_changes(self._look_up(root, changed, scope), scope)
        elif function.id in _RUNS_TEXT:
            self._note_changes(self._look_up(function, (), scope), scope)
        else:
            self._note_done(self._look_up(function, (), scope), scope)

    def _change_object(self, node: ast.expr, scope: _Scope) -> None:
        name, attributes = start_of(node)
        if name is not None:
            self._note_changes(self._look_up(name, attributes, scope), scope)

    def _note_changes(self, found: set[Read], scope: _Scope) -> None:
        self.names.changes |= found
        self._note_done(found, scope)

    def _note_done(self, found: set[Read], scope: _Scope) -> None:
        if scope.within <= 1:
            self.names.done |= found

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for _, target in imports_of(node, self.package):
            self.names.imports.add(target.module)
        if isinstance(node, ast.Import):
            self.names.imports.update(alias.name for alias in node.names)

    def _read(self, node: ast.Name, attributes: tuple[str, ...], scope: _Scope) -> set[Read]:
        """Note that a name is read; return what that means outside of the definition."""
        found = self._look_up(node, attributes, scope)
        self.names.reads_annotations |= not READS_ANNOTATIONS.isdisjoint(attributes)
        if node.id == "request" and attributes[:1] == ("module",):
            self.names.asked.add((*attributes, "")[1])
        holder = _holder(node.id, scope)
        if holder is not None:
            self.names.own[node] = self._number(node.id, holder)
            if node.id in holder.imports:
                self.names.origins[node] = holder.imports[node.id]
        else:
            self.names.outer[node] = node.id
            if scope.executed:
                self.names.at_once.add(node.id)
            self.names.reads_annotations |= node.id in READS_ANNOTATIONS
            self.sees_names |= node.id in _SEES_NAMES
        self.names.reads |= found
        return found

    def _look_up(self, node: ast.Name, attributes: tuple[str, ...], scope: _Scope) -> set[Read]:
        holder = _holder(node.id, scope)
        found: set[Read] = set()
        # A name that a class body binds may be read before that, and is then the module's.
        if holder is None or holder.is_class:
            found.add(Read(node.id, attributes))
        if holder is not None:
            found |= {Read(origin, attributes) for origin in holder.imports.get(node.id, ())}
        return found


def does_nothing_here(statement: ast.stmt) -> bool:
    """Tell whether a statement of a function need not be looked at: imports must be."""
    return does_nothing(statement) and not isinstance(
        statement, (ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal)
    )


def sets_something(word: str) -> bool:
    """Tell whether a function of that name is called for what it does: ``seed``, ``setcontext``."""
    first = word.partition("_")[0]
    return first in _SETTING_WORDS or (first.startswith("set") and word != "setdefault")


def _holder(name: str, scope: _Scope) -> _Scope | None:
    """Return the scope that binds a name, ``None`` for the module."""
    start: _Scope | None = scope
    each: _Scope | None = scope
    while each is not None:
        if name in each.globals:
            return None
        # What a class binds is seen in its own body only.
        if name in each.bound and (not each.is_class or each is start):
            return each
        each = each.outer
    return None


def _nodes_of_scope(body: Iterable[ast.AST], *, walrus: bool) -> Iterator[ast.AST]:
    """Yield the nodes of one scope that may bind names; of inner scopes, what defines them.

    :param walrus: whether expressions may bind names, by ``:=``.
    """
    waiting = list(body)[::-1]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, COMPREHENSIONS):
            yield from _assigned_inside(node)
            waiting.append(node.generators[0].iter)
        elif not isinstance(node, _SCOPES) and (walrus or _may_bind(node)):
            waiting += children(node)[::-1]


def _may_bind(node: ast.AST) -> bool:
    """Tell whether a node without ``:=`` may bind names below it."""
    return not isinstance(node, ast.expr) or isinstance(node, (ast.Tuple, ast.List, ast.Starred))


def _assigned_inside(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what ``:=`` binds in a comprehension: it belongs to the function around it."""
    for each in ast.walk(node):
        if isinstance(each, ast.NamedExpr):
            yield each.target


def _bound_name(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return None if isinstance(node.ctx, ast.Load) else node.id
    if isinstance(node, ast.MatchMapping):
        return node.rest
    named = (
        ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef,
        ast.ExceptHandler, ast.MatchAs, ast.MatchStar,
    )  # fmt: skip
    return node.name if isinstance(node, named) else None


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    plain = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return [*plain, *(arg for arg in (arguments.vararg, arguments.kwarg) if arg is not None)]


def _said(annotation: ast.expr) -> list[ast.expr]:
    """Return an annotation, with what the texts in it say: ``list["Layer"]`` names Layer."""
    said = [annotation]
    for each in ast.walk(annotation):
        if isinstance(each, ast.expr) and (text := _text(each)):
            try:
                said.append(ast.parse(text.strip(), mode="eval").body)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
    return said


def _text(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
