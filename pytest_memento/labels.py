"""Short names of values for people: in ids, tables and messages. Never an address, never a key."""

from __future__ import annotations

import datetime
import enum
import functools
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

LONGEST = 48
"""Characters of a label; what is longer is cut and marked with ``…``."""

_SIMPLE = (str, int, float, complex, type(None))


def label(value: object) -> str:
    """Return a short name for *value* that is the same in every process.

    >>> label(0.1), label(dict), label([64, 32]), label("mnist")
    ('0.1', 'dict', '[64,32]', 'mnist')
    """
    try:
        text = _label(value, depth=0)
    except Exception:
        # Whatever a foreign class raises when it is asked for its name or its parts.
        text = type(value).__name__
    return one_line(text, LONGEST)


def quoted(value: object) -> str:
    """Return the label of a value, in quotes if it is a string.

    >>> quoted("a"), quoted(1)
    ("'a'", '1')
    """
    return f"'{label(value)}'" if isinstance(value, str) else label(value)


def one_line(text: str, longest: int | None = None) -> str:
    r"""Return *text* with escapes for what does not print, such as newlines, and cut.

    >>> one_line("a\tb"), one_line("abcdef", 4)
    ('a\\tb', 'abc…')
    """
    if longest is not None and len(text) > longest:
        text = text[: longest - 1] + "…"
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode()


def _label(value: object, depth: int) -> str:
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, _SIMPLE):
        return str(value)
    if isinstance(value, functools.partial):
        return _label_partial(value, depth)
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if depth < 3 and isinstance(value, (list, tuple, Mapping)):
        return _label_container(value, depth)
    return _label_object(value)


def _label_partial(value: functools.partial[object], depth: int) -> str:
    given = [_label(argument, depth + 1) for argument in value.args]
    given += [f"{name}={_label(item, depth + 1)}" for name, item in value.keywords.items()]
    return f"{_label(value.func, depth + 1)}({','.join(given)})"


def _label_container(
    value: list[object] | tuple[object, ...] | Mapping[object, object], depth: int
) -> str:
    if isinstance(value, Mapping):
        pairs = sorted(
            f"{_label(key, depth + 1)}:{_label(item, depth + 1)}" for key, item in value.items()
        )
        return "{" + ",".join(pairs) + "}"
    inside = ",".join(_label(item, depth + 1) for item in value[: LONGEST + 1])
    return f"[{inside}]" if isinstance(value, list) else f"({inside})"


def _label_object(value: object) -> str:
    name = attribute(value, "__name__")
    if isinstance(name, str) and name != "<genexpr>":
        return "lambda" if name == "<lambda>" else name
    shape = attribute(value, "shape")
    if isinstance(shape, tuple) and not shape and callable(item := attribute(value, "item")):
        return str(item())
    if isinstance(shape, tuple):
        return f"{type(value).__name__}({'x'.join(map(str, shape))})"
    return type(value).__name__


def attribute(value: object, name: str) -> Any:
    """Return an attribute, or ``None`` if there is none or getting it fails, whatever it raises."""
    try:
        return getattr(value, name, None)
    except Exception:
        return None


def short(digest: str, length: int = 6) -> str:
    """Return the mark that tells values of one label apart, as in ``Scaler~3fa9c1``."""
    return f"~{digest[:length]}"
