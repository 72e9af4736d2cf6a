"""The selection language: which experiments, or which results, an expression holds for.

    model == 'SVC' and lr <= 0.01 and (status != 'cached' or runtime > '10m')

    text --ast.parse--> Python's syntax tree --whitelist--> Query --a Row--> holds or not

It has the syntax of Python and nothing of it is evaluated: names, numbers, strings, ``True``,
``False``, ``None``, lists of these; ``== != < <= > >=``, also chained; ``in``, ``not in``,
``is None``, ``is not None``; ``and``, ``or``, ``not``. Anything else is an error in one line.

===================  ===========================================================================
``lr``               a parameter; ``parameters.memory`` where the name is one of those below
``settings.n_fold``  a setting; ``settings.optimizer.lr`` what is in one that is a dict
``metrics.loss``     the last value of a metric; ``metrics['val/loss']`` where it has such a name
``result``           the result, if it is a plain value; ``result.score`` what is in a dict
``status``           of an experiment ``'cached'``, ``'stale'``, ``'failed'`` or ``'new'``,
                     of a result ``'passed'`` or ``'failed'``
``runtime``          on the clock, in seconds or as in ``'90s'``, ``'2m'``, ``'1h30m'``
``cpu_time``         of the processor, likewise
``age``              the time since it ended, likewise
``memory``           peak, in bytes or as in ``'2GB'``
``error``            the last line of the traceback of a failure
``id``               the label of the configuration, as in the test id
``experiment``       the function, as ``path/to/exp_file.py::function``
===================  ===========================================================================

*Values* are what a user sees: numbers are compared as numbers (``1 == 1.0``), strings as strings,
classes, functions and objects by their label (``model == 'SVC'``), lists by theirs
(``layers == [64, 32]``), and a value with an id of its own also by that. A string never equals a
number, nor does ``True``; ``<`` between different kinds is false. ``'CUDA' in error`` looks for a
part of a string. A name on its own holds if its value is true, as in Python.

*What is missing* (no run yet, no such parameter in this matrix) makes each comparison false, but
for ``is None`` and ``== None``, which hold. So ``lr != 1`` is false where there is no ``lr``, and
``not lr == 1`` is true. A name that *none* of the experiments at hand has is an error.
"""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pytest_memento.amounts import to_bytes, to_seconds
from pytest_memento.config import nearest
from pytest_memento.errors import QueryError
from pytest_memento.labels import label, one_line

Plain = None | bool | int | float | str
Sight = tuple[Plain, ...]
"""What a user may take a value for, first of all its first; empty if it is missing."""

PARAMETERS, SETTINGS, METRICS, RESULT = "parameters", "settings", "metrics", "result"
OWN = ""
OWN_NAMES = (
    "status", "result", "runtime", "cpu_time", "age", "memory", "error", "id", "experiment"
)  # fmt: skip
STATUSES = ("cached", "stale", "failed", "failed before", "new", "passed")

_ALLOWED = (
    "allowed are names, settings.x, metrics.x, metrics['x/y'], result.x, numbers, strings, True,"
    " False, None, lists, == != < <= > >= in is, and, or, not"
)
_LONGEST = 10_000
"""Characters of an expression: Python's parser stays well within its stack."""
_DEEPEST = 50
_SHOWN = 120
_LONGEST_LIST = 400
_BLANKS = str.maketrans("\n\r\f\t", "    ")
_READERS: Mapping[str, Callable[[str], float]] = {
    "runtime": to_seconds,
    "cpu_time": to_seconds,
    "age": to_seconds,
    "memory": to_bytes,
}


class Row(Protocol):
    """What an expression is asked about: an experiment, or a stored run."""

    def look(self, root: str, name: str, /) -> Sight:
        """Return what a name stands for.

        :param root: ``PARAMETERS``, ``SETTINGS``, ``METRICS``, ``RESULT`` or ``OWN``.
        """

    def names(self) -> Iterable[Name]:
        """Return all names but those of ``OWN_NAMES``, for messages."""


# -- the tree --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Name:
    """What has a value in each row.

    :param root: as in :meth:`Row.look`.
    """

    root: str
    name: str

    @property
    def text(self) -> str:
        """The name as it is written."""
        is_bare = self.root == OWN or (self.root == PARAMETERS and self.name not in OWN_NAMES)
        return self.name if is_bare else f"{self.root}.{self.name}"

    def look(self, row: Row) -> Sight:
        """Return the value in a row."""
        return row.look(self.root, self.name)


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that is written out."""

    value: Plain

    def look(self, _: Row) -> Sight:
        """Return the value."""
        return (self.value,)


@dataclass(frozen=True, slots=True)
class Listed:
    """A list, tuple or set of literals.

    :param text: what a parameter of this value would be called.
    """

    items: tuple[Literal | Listed, ...]
    text: str

    def look(self, _: Row) -> Sight:
        """Return what is compared where it stands for itself."""
        return (self.text,)


Operand = Name | Literal | Listed


@dataclass(frozen=True, slots=True)
class Truth:
    """Whether a value is true."""

    operand: Name | Literal

    def holds(self, row: Row) -> bool:
        """Return the answer for a row."""
        return any(self.operand.look(row)[:1])


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether two values relate.

    :param sign: a key of the table of relations.
    :param is_negated: for ``!=`` and ``not in``, which need both values to be there, too.
    """

    left: Operand
    sign: str
    right: Operand
    is_negated: bool = False

    def holds(self, row: Row) -> bool:
        """Return the answer for a row."""
        left, right = self.left.look(row), self.right.look(row)
        found = _RELATIONS[self.sign](left, right)
        return bool(left and right) and not found if self.is_negated else found


@dataclass(frozen=True, slots=True)
class Membership:
    """Whether a value is one of a list."""

    left: Operand
    right: Listed
    is_negated: bool = False

    def holds(self, row: Row) -> bool:
        """Return the answer for a row."""
        left = self.left.look(row)
        found = any(_equal(left, item.look(row)) for item in self.right.items)
        return bool(left) and not found if self.is_negated else found


@dataclass(frozen=True, slots=True)
class Negation:
    """``not``."""

    part: Condition

    def holds(self, row: Row) -> bool:
        """Return the answer for a row."""
        return not self.part.holds(row)


@dataclass(frozen=True, slots=True)
class Junction:
    """``and``, or else ``or``."""

    is_and: bool
    parts: tuple[Condition, ...]

    def holds(self, row: Row) -> bool:
        """Return the answer for a row."""
        answers = (part.holds(row) for part in self.parts)
        return all(answers) if self.is_and else any(answers)


Condition = Truth | Comparison | Membership | Negation | Junction


@dataclass(frozen=True, slots=True)
class Query:
    """An expression that was read. It pickles, and knows no experiment.

    >>> parse("lr <= 0.01 and settings.n_fold == 5").names
    (Name(root='parameters', name='lr'), Name(root='settings', name='n_fold'))

    :param text: what the user wrote, on one line.
    :param names: what it asks for, each once.
    """

    text: str
    names: tuple[Name, ...]
    condition: Condition

    def holds(self, row: Row) -> bool:
        """Whether the expression holds for a row; that never fails."""
        return self.condition.holds(row)

    def check(self, rows: Sequence[Row]) -> None:
        """Make sure that each name means something in one of *rows*.

        Without rows there is nothing to be wrong about, nor has a metric or a part of the result a
        wrong name before the first one was recorded.

        :raises QueryError: saying which one does not, and what there is.
        """
        for name in self.names:
            if name.root == OWN or not rows or any(map(name.look, rows)):
                continue
            known = list(dict.fromkeys(each for row in rows for each in row.names()))
            if name.root not in (METRICS, RESULT) or any(each.root == name.root for each in known):
                raise QueryError(_shown(self.text), _unknown(name, known))


def _unknown(name: Name, known: Sequence[Name]) -> str:
    texts = [each.text for each in known] + list(OWN_NAMES)
    elsewhere = [text for text in texts if text.rpartition(".")[2] == name.name]
    near = next(iter(elsewhere), None) or nearest(name.text, texts)
    quotes = " (a string needs quotes)" if name.root == PARAMETERS else ""
    hint = f" (did you mean {near!r}?)" if near else quotes
    there = one_line(", ".join(texts), _LONGEST_LIST)
    return f"no experiment has {name.text!r}{hint}; there are: {there}"


# -- relations -------------------------------------------------------------------------------------


def _equal(left: Sight, right: Sight) -> bool:
    if not left or not right:
        return None in left or None in right
    return any(_kind(a) == _kind(b) and a == b for a in left for b in right)


def _within(left: Sight, right: Sight) -> bool:
    parts = [part for part in left if isinstance(part, str)]
    return any(part in whole for whole in right if isinstance(whole, str) for part in parts)


def _ordering(compare: Callable[[float | str, float | str], bool]) -> Callable[..., bool]:
    def holds(left: Sight, right: Sight) -> bool:
        return any(
            compare(a, b)
            for a, b in zip(left[:1], right[:1], strict=False)
            if _kind(a) == _kind(b) and a is not None and b is not None
        )

    return holds


def _kind(value: object) -> type:
    """Return what a value can be compared with; a truth value is no number."""
    return float if type(value) is int else type(value)


_RELATIONS: Mapping[str, Callable[[Sight, Sight], bool]] = {
    "==": _equal,
    "in": _within,
    "<": _ordering(operator.lt),
    "<=": _ordering(operator.le),
    ">": _ordering(operator.gt),
    ">=": _ordering(operator.ge),
}


# -- reading ---------------------------------------------------------------------------------------


def parse(text: str) -> Query:
    """Read an expression.

    :raises QueryError: in one line that says what is wrong, where, and what is allowed.
    """
    line = text.translate(_BLANKS).strip()
    tree = _syntax_tree(line)
    reader = _Reader(line)
    condition = reader.condition(tree.body)
    return Query(line, tuple(reader.names), condition)


def _syntax_tree(line: str) -> ast.Expression:
    if not line:
        raise QueryError("", f"it is empty; {_ALLOWED}")
    if len(line) > _LONGEST:
        raise QueryError(_shown(line), f"it has {len(line)} characters, {_LONGEST} are allowed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in strings, and the like
            tree = ast.parse(line, mode="eval")
    except SyntaxError as error:
        raise QueryError(_shown(line), _misspelt(line, error)) from None
    except (RecursionError, MemoryError):
        raise QueryError(_shown(line), "it is nested too deeply") from None
    except ValueError:
        raise QueryError(_shown(line), "it holds a character that is no text") from None
    _refuse_comment(line, tree.body)
    return tree


def _refuse_comment(line: str, body: ast.expr) -> None:
    """Refuse a comment: what comes after it on its line, once several, would silently not count."""
    _, mark, said = line.encode()[body.end_col_offset :].decode().partition("#")
    if mark:
        raise QueryError(_shown(line), f"{one_line(mark + said, 40)!r} is a comment; {_ALLOWED}")


class _Reader:
    """Turns the nodes of Python's syntax tree into ours, and refuses all others."""

    def __init__(self, line: str) -> None:
        self._line = line
        self.names: dict[Name, None] = {}

    def condition(self, node: ast.expr, depth: int = 0) -> Condition:
        """Read what holds or does not."""
        if depth > _DEEPEST:
            raise QueryError(_shown(self._line), "it is nested too deeply")
        if isinstance(node, ast.BoolOp):
            parts = tuple(self.condition(value, depth + 1) for value in node.values)
            return Junction(isinstance(node.op, ast.And), parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return Negation(self.condition(node.operand, depth + 1))
        if isinstance(node, ast.Compare):
            return self._comparison(node)
        operand = self._operand(node)
        if isinstance(operand, Name) or (
            isinstance(operand, Literal) and isinstance(operand.value, bool)
        ):
            return Truth(operand)
        raise self._refused(node, "is the same for all: compare it with something")

    def _comparison(self, node: ast.Compare) -> Condition:
        nodes = [node.left, *node.comparators]
        operands = [self._operand(each) for each in nodes]
        links = tuple(
            self._link(nodes[i : i + 2], operands[i], sign, operands[i + 1])
            for i, sign in enumerate(node.ops)
        )
        return links[0] if len(links) == 1 else Junction(True, links)

    def _link(
        self, nodes: Sequence[ast.expr], left: Operand, sign: ast.cmpop, right: Operand
    ) -> Condition:
        """Read one of the signs of a comparison, between its two operands."""
        word, is_negated = _SIGNS[type(sign)]
        if isinstance(sign, (ast.Is, ast.IsNot)) and right != Literal(None):
            raise self._refused(nodes[1], "stands after 'is', which is for None: use == or !=")
        right = self._fitted(nodes[1], right, left)
        if word != "in":
            for node in nodes:
                if isinstance(node, ast.Set):
                    raise self._refused(node, f"is {_what(node)}")
            return Comparison(self._fitted(nodes[0], left, right), word, right, is_negated)
        if isinstance(right, Listed):
            return Membership(left, right, is_negated)
        if isinstance(right, Literal) and not isinstance(right.value, str):
            raise self._refused(nodes[1], "stands after 'in', which needs a list or a string")
        return Comparison(left, word, right, is_negated)

    def _fitted(self, node: ast.expr, operand: Operand, other: Operand) -> Operand:
        """Read what stands beside one of our own names as what it means there."""
        if isinstance(operand, Name) or not isinstance(other, Name) or other.root != OWN:
            return operand
        return self._meant(node, operand, other.name)

    def _meant(self, node: ast.expr, written: Literal | Listed, name: str) -> Literal | Listed:
        """Read ``'2m'`` beside ``runtime``; refuse a status that there is not."""
        if isinstance(written, Listed):
            items = tuple(self._meant(node, item, name) for item in written.items)
            return Listed(items, written.text)
        if not isinstance(written.value, str):
            return written
        if name == "status" and written.value not in STATUSES:
            raise self._refused(node, f"is no status{_near(written.value, STATUSES)}")
        try:
            return Literal(_READERS[name](written.value)) if name in _READERS else written
        except ValueError as error:
            raise QueryError(_shown(self._line), f"{error}") from None

    def _operand(self, node: ast.expr) -> Operand:
        return self._name(node) or self._literal(node)

    def _name(self, node: ast.expr) -> Name | None:
        if isinstance(node, ast.Name):
            name = Name(OWN if node.id in OWN_NAMES else PARAMETERS, node.id)
        elif isinstance(node, ast.Attribute):
            root, rest = _path(node)
            if root in (PARAMETERS, SETTINGS, METRICS, RESULT):
                name = Name(root, rest)
            elif root and root not in OWN_NAMES and rest.count(".") < _DEEPEST:  # in a parameter
                name = Name(PARAMETERS, f"{root}.{rest}")
            else:
                raise self._refused(
                    node, "is no name: only settings, metrics, result, parameters have x.y"
                )
        elif (found := _subscript(node)) is not None:
            name = found
        else:
            return None
        self.names[name] = None
        return name

    def _literal(self, node: ast.expr) -> Literal | Listed:
        return _written(self._value(node))

    def _value(self, node: ast.expr, depth: int = 0) -> Any:
        if depth > _DEEPEST:
            raise QueryError(_shown(self._line), "it is nested too deeply")
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            values = [self._value(each, depth + 1) for each in node.elts]
            return values if isinstance(node, ast.List) else tuple(values)
        if isinstance(node, ast.Constant) and isinstance(node.value, _PLAIN):
            return node.value
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            number = node.operand.value if isinstance(node.operand, ast.Constant) else None
            if isinstance(number, (int, float)) and not isinstance(number, bool):
                return -number
        raise self._refused(node, f"is {_what(node)}")

    def _refused(self, node: ast.expr, why: str) -> QueryError:
        part = one_line(ast.get_source_segment(self._line, node) or "", 40)
        column = len(self._line.encode()[: node.col_offset].decode()) + 1
        return QueryError(_shown(self._line), f"{part!r} (column {column}) {why}; {_ALLOWED}")


_PLAIN = (type(None), bool, int, float, str)
_SIGNS: Mapping[type[ast.cmpop], tuple[str, bool]] = {
    ast.Eq: ("==", False),
    ast.NotEq: ("==", True),
    ast.Is: ("==", False),
    ast.IsNot: ("==", True),
    ast.In: ("in", False),
    ast.NotIn: ("in", True),
    ast.Lt: ("<", False),
    ast.LtE: ("<=", False),
    ast.Gt: (">", False),
    ast.GtE: (">=", False),
}
_WORDS: Mapping[type[ast.expr], str] = {
    ast.Attribute: "a name: write it in quotes",
    ast.BinOp: "arithmetic",
    ast.BoolOp: "a condition, which is no value",
    ast.Call: "a call",
    ast.Compare: "a condition, which is no value",
    ast.Dict: "a dict",
    ast.IfExp: "a conditional",
    ast.JoinedStr: "an f-string",
    ast.Lambda: "a lambda",
    ast.Name: "a name: write it in quotes",
    ast.NamedExpr: "an assignment",
    ast.Set: "a set, which stands after 'in' only",
    ast.Subscript: "a subscript",
}
_ADVICE = (
    (re.compile(r"(?<![=!<>])=(?!=)"), "write '==' to compare"),
    (re.compile(r"&&|\|\|"), "write 'and', 'or'"),
    (re.compile(r"!(?!=)"), "write 'not'"),
    (re.compile(r"<>"), "write '!='"),
    (re.compile(r"\b(AND|OR|NOT|IN|IS)\b"), "write 'and', 'or', 'not', 'in', 'is'"),
)


def _written(value: Any) -> Literal | Listed:
    if isinstance(value, (list, tuple)):
        return Listed(tuple(map(_written, value)), label(value))
    return Literal(value)


def _subscript(node: ast.expr) -> Name | None:
    """Return the name in ``metrics['val/acc']``, which is none that Python has."""
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        root, name = node.value.id, getattr(node.slice, "value", None)
        if root in (PARAMETERS, SETTINGS, METRICS, RESULT) and isinstance(name, str):
            return Name(root, name)
    return None


def _path(node: ast.expr) -> tuple[str, str]:
    """Return ``root``, ``a.b`` of ``root.a.b``; no root if it begins with something else."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return node.id if isinstance(node, ast.Name) else "", ".".join(reversed(names))


def _what(node: ast.expr) -> str:
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitAnd, ast.BitOr)):
        return "arithmetic: write 'and', 'or'"
    return _WORDS.get(type(node), "not understood")


def _misspelt(line: str, error: SyntaxError) -> str:
    column = min(max(error.offset or 1, 1), len(line))
    what = re.split(r"\. | \(", error.msg)[0]
    advice = next((text for pattern, text in _ADVICE if pattern.search(line)), _ALLOWED)
    part = one_line(line[column - 1 :], 20)
    return f"{what}, at {part!r} (column {column}); {advice}"


def _near(text: str, known: Sequence[str]) -> str:
    near = nearest(text, known)
    return f" (did you mean {near!r}?)" if near else f" ({', '.join(known)})"


def _shown(line: str) -> str:
    return one_line(line, _SHOWN)
