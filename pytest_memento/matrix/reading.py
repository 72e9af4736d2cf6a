"""From what a user wrote to a :class:`Plan`, with a clear line for each mistake."""

from __future__ import annotations

import numbers
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set, Sized
from typing import Any, TypeGuard

from pytest_memento.config import RESERVED, Settings
from pytest_memento.errors import FingerprintError, MatrixError
from pytest_memento.fingerprint import Digest, StandIn, digest_named, digest_value
from pytest_memento.labels import attribute, one_line, quoted
from pytest_memento.matrix.plan import (
    Axis,
    Choice,
    Option,
    Options,
    Plan,
    Rule,
    combinations,
    distinct,
)
from pytest_memento.matrix.words import (
    amount,
    listed,
    not_among,
    said,
    unknown,
    what,
)

MOST_COMBINATIONS = 1_000_000
"""A product larger than this is not expanded: it would fill the memory. ``sample`` has no limit."""
KEYS = ("parameters", "settings", "untracked", "exclude", "include", "sample", "repeats")


def parts(matrix: object) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield each matrix of a list, or the only one, with its place for messages."""
    if isinstance(matrix, Mapping):
        yield matrix, ""
    elif isinstance(matrix, (list, tuple)) and matrix:
        for number, part in enumerate(matrix):
            if not isinstance(part, Mapping):
                raise MatrixError(f"matrix[{number}] is {what(part)}, not a dict")
            yield part, f"matrix[{number}]: "
    elif isinstance(matrix, (list, tuple)):
        raise MatrixError("the matrix is an empty list: give it at least one dict")
    else:
        hint = " (does the fixture return it?)" if matrix is None else ""
        if callable(matrix) and not isinstance(matrix, type):  # as the fixture itself
            hint = ": give what it returns"
        raise MatrixError(f"the matrix is {what(matrix)}, not a dict or a list of dicts{hint}")


def read(matrix: Mapping[str, Any], place: str, stand_in: StandIn | None) -> Plan:
    """Check a matrix, whose place goes before each message."""
    try:
        return _read_plan(matrix, place, stand_in)
    except MatrixError as error:
        raise MatrixError(f"{place}{error}") from error.__cause__
    except Exception as error:
        # What foreign classes raise where they are counted, compared or asked for their parts.
        raise MatrixError(f"{place}the matrix cannot be read: {said(error)}") from error


def _read_plan(matrix: Mapping[str, Any], place: str, stand_in: StandIn | None) -> Plan:
    for key in matrix:
        if key in ("id", "dependencies"):
            raise MatrixError(
                f"{key!r} is for add_matrix of Memento(...); here, give a parameter the results of"
                " another experiment: results_of('exp_file.py::experiment')"
            )
        if key not in KEYS:
            text = unknown("matrix key", key, KEYS)
            told = "parameters" in matrix or "did you mean" in text
            raise MatrixError(text if told else f"{text}; parameters go under 'parameters'")
    settings, untracked = _read_settings(matrix)
    repeats = _read_repeats(matrix)
    axes = _read_axes(matrix, stand_in)
    names = tuple(name for axis in axes for name in axis.names)
    _check_names(names, settings, repeats)
    sample = _read_sample(matrix)
    _check_axes(axes, sample)
    included = _read_include(matrix, names, stand_in)
    _check_number(combinations(axes), len(included), sample, repeats)
    if not axes and not included:
        raise MatrixError("the matrix has no 'parameters': name at least one, with its values")
    if repeats is not None and not axes:
        _check_names(included[0].names, settings, repeats)
    known = names or included[0].names
    met: list[object] = []
    settings_digests = {
        name: _digest(value, f"setting {name!r}", stand_in, met)
        for name, value in settings.items()
        if name not in untracked
    }
    return Plan(
        place=place,
        axes=tuple(axes),
        included=included,
        rules=tuple(_read_rules(matrix, known, stand_in)),
        settings=settings,
        untracked=untracked,
        settings_digests=settings_digests,
        settings_digest=digest_named(settings_digests),
        settings_code=distinct(met),
        sample=sample,
        repeats=repeats,
    )


def _read_settings(matrix: Mapping[str, Any]) -> tuple[Settings, frozenset[str]]:
    settings = matrix.get("settings", {})
    if not isinstance(settings, Mapping):
        raise MatrixError(f"'settings' is {what(settings)}, not a dict")
    for name in settings:
        _check_name("setting", name)
    untracked = matrix.get("untracked", [])
    if isinstance(untracked, str) or not isinstance(untracked, (Sequence, set, frozenset)):
        advice = f": write [{quoted(untracked)}]" if isinstance(untracked, str) else ""
        raise MatrixError(f"'untracked' is {what(untracked)}, not a list of settings{advice}")
    for name in untracked:
        if not isinstance(name, str) or name not in settings:
            raise MatrixError(not_among("'untracked'", name, "setting", settings))
    return Settings(settings), frozenset(untracked)


def _read_axes(matrix: Mapping[str, Any], stand_in: StandIn | None) -> list[Axis]:
    parameters = matrix.get("parameters", {})
    if not isinstance(parameters, Mapping):
        raise MatrixError(f"'parameters' is {what(parameters)}, not a dict of name: values")
    if "parameters" in matrix and not parameters:
        raise MatrixError("'parameters' is empty: name at least one, with its values")
    return [_read_axis(name, values, stand_in) for name, values in parameters.items()]


def _read_axis(key: object, values: object, stand_in: StandIn | None) -> Axis:
    if not isinstance(key, str):
        raise MatrixError(f"parameter {what(key)} is not a name: use a string")
    names = tuple(name.strip() for name in key.split(","))
    if "" in names and len(names) > 1:
        raise MatrixError(f"parameter {quoted(key)} has an empty name: check its commas")
    for name in names:
        _check_name("parameter", name)
    where = f"parameter {quoted(key)}"
    entries = _as_list(where, values)

    def read_option(position: int) -> Option:
        return _read_option(names, entries[position], f"{where}, value {position}", stand_in)

    return Axis(names, Options(_length(where, entries), read_option))


def _length(where: str, entries: Sized) -> int:
    try:
        return len(entries)
    except OverflowError:
        raise MatrixError(f"{where} has more values than a computer can count") from None


def _check_axes(axes: Sequence[Axis], sample: object) -> None:
    """Look at all options, unless there are so many that only a sample can be drawn."""
    total = combinations(axes)
    if sample is None and total > MOST_COMBINATIONS:
        raise MatrixError(
            f"the parameters span {amount(total)} combinations: draw a subset with 'sample',"
            " as in {'n': 50, 'seed': 0}"
        )
    for axis in axes:
        if sample is None or axis.is_small:
            _refuse_equal_options(",".join(axis.names), axis.options)


def _check_number(
    total: int, included: int, sample: tuple[int, int] | None, repeats: int | None
) -> None:
    drawn = total if sample is None else min(sample[0], total)
    number = (drawn + included) * (repeats or 1)
    if number > MOST_COMBINATIONS:
        origin = "'sample'" if repeats is None else "'repeats'"
        raise MatrixError(
            f"{origin} makes {amount(number)} configurations: {MOST_COMBINATIONS:,} at most"
        )


def _read_option(
    names: tuple[str, ...], entry: object, where: str, stand_in: StandIn | None
) -> Option:
    choice = entry if isinstance(entry, Choice) else Choice(entry)
    values: Sequence[object] = (choice.value,)
    if len(names) > 1:
        values = _as_group(names, choice.value, where)
    met: list[object] = []
    digests = [_digest(value, where, stand_in, met) for value in values]
    return Option(names, tuple(values), tuple(digests), choice.label, choice.tags, distinct(met))


def _as_group(names: tuple[str, ...], value: object, where: str) -> Sequence[object]:
    value = _without_array(value)
    if not _is_sequence(value):
        raise MatrixError(f"{where} is {what(value)}, not a tuple of {len(names)} values")
    if len(value) != len(names):
        raise MatrixError(f"{where} has {len(value)} parts for {len(names)} names")
    return value


def _as_list(where: str, values: object) -> Sequence[object]:
    """Return *values* as a sequence; arrays of one dimension give Python scalars."""
    values = _without_array(values)
    if not _is_sequence(values):
        raise MatrixError(f"{where} is {what(values)}, not a list of values: {_as_written(values)}")
    if _length(where, values) == 0:
        raise MatrixError(f"{where} is empty: give it at least one value")
    return values


def _as_written(values: object) -> str:
    if values is None or isinstance(values, (str, bytes, int, float, type)):
        return f"write [{quoted(values)}]"
    if isinstance(values, (Mapping, Set)):
        return "write a list, which has an order"
    if isinstance(values, Iterable) and attribute(values, "ndim") != 0:
        return "write list(...) around it"
    return "write [...] around it"


def _without_array(values: object) -> object:
    to_list = attribute(values, "tolist")
    return to_list() if callable(to_list) and attribute(values, "ndim") == 1 else values


def _is_sequence(values: object) -> TypeGuard[Sequence[object]]:
    if isinstance(values, (str, bytes, bytearray, memoryview)):
        return False
    # A data frame, which has no tolist, is a sequence of the names of its columns.
    is_array = callable(attribute(values, "tolist")) and (attribute(values, "ndim") or 0) > 0
    return isinstance(values, Sequence) or is_array


def _read_include(
    matrix: Mapping[str, Any], names: tuple[str, ...], stand_in: StandIn | None
) -> tuple[Option, ...]:
    entries = matrix.get("include", [])
    if not isinstance(entries, (list, tuple)):
        advice = ": write [...] around it" if isinstance(entries, Mapping) else " of dicts"
        raise MatrixError(f"'include' is {what(entries)}, not a list{advice}")
    options: list[Option] = []
    for number, entry in enumerate(entries):
        expected = names or (options[0].names if options else ())
        options.append(_read_included(entry, f"include[{number}]", expected, stand_in))
    return tuple(options)


def _read_included(
    entry: object, where: str, names: tuple[str, ...], stand_in: StandIn | None
) -> Option:
    whole = entry if isinstance(entry, Choice) else Choice(entry)
    if isinstance(whole.value, Mapping) and not whole.value:
        raise MatrixError(f"{where} is an empty dict: give it all parameters")
    if not isinstance(whole.value, Mapping):
        raise MatrixError(f"{where} is {what(whole.value)}, not a dict of parameter: value")
    for name in whole.value:
        _check_name("parameter", name)
        if names and name not in names:
            raise MatrixError(not_among(where, name, "parameter", names))
    if missing := [name for name in names if name not in whole.value]:
        raise MatrixError(f"{where} has no value for {listed(missing)}: give it all parameters")
    parts = [
        _read_option((name,), whole.value[name], f"{where}[{quoted(name)}]", stand_in)
        for name in names or whole.value
    ]
    return Option(
        tuple(name for part in parts for name in part.names),
        tuple(value for part in parts for value in part.values),
        tuple(digest for part in parts for digest in part.digests),
        whole.label,
        (*whole.tags, *(tag for part in parts for tag in part.tags)),
        distinct(each for part in parts for each in part.code),
    )


def read_where(where: object, names: Sequence[str], stand_in: StandIn | None) -> Rule:
    """Read which configurations of a matrix are meant, in the manner of an entry of ``exclude``.

    :raises MatrixError: a name is none of the parameters.
    """
    if isinstance(where, Mapping):
        return _read_rule(where, "where", tuple(names), stand_in)
    assert callable(where)
    return Rule("where", ask=where)


def _read_rules(
    matrix: Mapping[str, Any],
    names: tuple[str, ...],
    stand_in: StandIn | None,
) -> Iterator[Rule]:
    entries = matrix.get("exclude", [])
    if not isinstance(entries, (list, tuple)):
        advice = ": write [...] around it" if _is_rule(entries) else " of dicts or functions"
        raise MatrixError(f"'exclude' is {what(entries)}, not a list{advice}")
    for number, entry in enumerate(entries):
        where = f"exclude[{number}]"
        if isinstance(entry, Mapping):
            yield _read_rule(entry, where, names, stand_in)
        elif _is_rule(entry):
            yield Rule(where, ask=entry)
        else:
            raise MatrixError(f"{where} is {what(entry)}, not a dict or a function of the config")


def _is_rule(entry: object) -> bool:
    return isinstance(entry, Mapping) or (callable(entry) and not isinstance(entry, type))


def _read_rule(
    entry: Mapping[str, Any], where: str, names: tuple[str, ...], stand_in: StandIn | None
) -> Rule:
    if not entry:
        raise MatrixError(f"{where} is an empty dict, which would exclude everything")
    for name in entry:
        if name not in names:
            raise MatrixError(not_among(where, name, "parameter", names))
    return Rule(
        where,
        {n: _allowed(value, f"{where}[{quoted(n)}]", stand_in) for n, value in entry.items()},
    )


def _allowed(value: object, where: str, stand_in: StandIn | None) -> frozenset[Digest]:
    """Take a list for its elements, and for itself: a parameter's value may be a list."""
    found = {_digest(value, where, stand_in)}
    elements = _without_array(value)
    if isinstance(elements, (list, tuple, set, frozenset, range)):
        if _length(where, elements) > MOST_COMBINATIONS:
            raise MatrixError(f"{where} has {len(elements):,} values: use a function of the config")
        found |= {_digest(each, where, stand_in) for each in elements}
    return frozenset(found)


def _read_sample(matrix: Mapping[str, Any]) -> tuple[int, int] | None:
    sample = matrix.get("sample")
    if sample is None:
        return None
    if not isinstance(sample, Mapping):
        raise MatrixError(f"'sample' is {what(sample)}, not a dict such as {{'n': 50, 'seed': 0}}")
    for name in sample:
        if name not in ("n", "seed"):
            raise MatrixError(f"'sample': {unknown('key', name, ('n', 'seed'))}")
    if "n" not in sample:
        raise MatrixError("'sample' has no 'n': say how many, as in {'n': 50, 'seed': 0}")
    seed = sample.get("seed", 0)
    if not _is_int(seed):
        raise MatrixError(f"sample['seed'] is {what(seed)}, not an int")
    return _count("sample['n']", sample["n"]), int(seed)


def _read_repeats(matrix: Mapping[str, Any]) -> int | None:
    repeats = matrix.get("repeats")
    return None if repeats is None else _count("'repeats'", repeats)


def _count(where: str, value: object) -> int:
    if not _is_int(value):
        raise MatrixError(f"{where} is {what(value)}, not an int")
    if value < 1:
        raise MatrixError(f"{where} is {quoted(value)}: it must be at least 1")
    return int(value)


def _is_int(value: object) -> TypeGuard[int]:
    """Tell whether it is an integer; those of numpy are registered as such."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _check_name(kind: str, name: object) -> None:
    if not isinstance(name, str):
        raise MatrixError(f"{kind} {what(name)} is not a name: use a string")
    if not name.strip() or not name.isprintable():
        raise MatrixError(f"{kind} {quoted(name)} is not a name: use characters that can be seen")
    if name in RESERVED or name.startswith("_"):
        raise MatrixError(f"{kind} {quoted(name)} has a reserved name: choose another")


def _check_names(names: Sequence[str], settings: Settings, repeats: int | None) -> None:
    for number, name in enumerate(names):
        if name in names[:number]:
            raise MatrixError(f"parameter {name!r} is named twice: vary it in one place")
        if name in settings:
            raise MatrixError(f"{name!r} is both a parameter and a setting: rename one")
    if repeats is not None and "repeat" in (*names, *settings):
        raise MatrixError("'repeat' is the parameter that 'repeats' makes: rename yours")


def _refuse_equal_options(key: str, options: Sequence[Option]) -> None:
    seen: dict[tuple[Digest, ...], int] = {}
    for number, option in enumerate(options):
        before = seen.setdefault(option.digests, number)
        if before != number:
            value = ", ".join(map(quoted, option.values))
            raise MatrixError(
                f"parameter {quoted(key)} has the value {value} twice (at {before} and {number}):"
                " remove one, or use 'repeats'"
            )


def _digest(
    value: object, where: str, stand_in: StandIn | None, met: list[object] | None = None
) -> Digest:
    try:
        return digest_value(value, stand_in=stand_in, met=met)
    except FingerprintError as error:
        if isinstance(error.__cause__, MatrixError):  # the value knows better what is wrong
            raise MatrixError(f"{where}: {error.__cause__}") from error
        raise MatrixError(
            f"{where}, {what(value)}, has no stable fingerprint:"
            f" {one_line(str(error), 200)}; {_advice(value)}"
        ) from error


def _advice(value: object) -> str:
    kind = type(value)
    if kind.__module__.partition(".")[0] in sys.stdlib_module_names:
        return "give what it is made from instead, such as a name"
    return f"give {kind.__name__} a __memento_key__ method"
