"""How messages speak of what a user wrote."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_memento.config import nearest
from pytest_memento.labels import one_line, quoted

_LONGEST_SAYING = 200


def what(value: object) -> str:
    """Return a value with its type, as in ``'mnist' (a str)``."""
    if value is None:
        return "None"
    text = quoted(value)
    kind = "class" if isinstance(value, type) else type(value).__name__
    kind = f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"
    return kind if text == type(value).__name__ else f"{text} ({kind})"


def named(value: object) -> str:
    """Return what stands where a name is expected: in quotes if it is one."""
    return quoted(value) if isinstance(value, str) else what(value)


def listed(names: Iterable[object]) -> str:
    """Return names in quotes."""
    return ", ".join(map(named, names))


def amount(number: int) -> str:
    """Return a number that may have thousands of digits."""
    return f"{number:,}" if number < 10**18 else "more than 10^18"


def said(error: BaseException) -> str:
    """Return what an exception says, on one line."""
    try:
        text = str(error)
    except Exception:  # of an exception whose arguments do not print
        text = ""
    kind = type(error).__name__
    return f"{kind}: {one_line(text, _LONGEST_SAYING)}" if text else kind


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """Say that a name is not one of the known ones, and which was probably meant."""
    known = list(known)
    near = _near(name, known)
    hint = f"did you mean {near!r}?" if near else f"there are: {_all(known)}"
    return f"unknown {kind} {named(name)} ({hint})"


def not_among(where: str, name: object, kind: str, names: Iterable[str]) -> str:
    """Say that an entry names something that is not, say, a parameter."""
    names = list(names)
    near = _near(name, names)
    hint = f"; did you mean {near!r}?" if near else ""
    return f"{where} names {named(name)}, which is not a {kind} ({_all(names)}{hint})"


def _near(name: object, known: Iterable[str]) -> str | None:
    return nearest(name, known) if isinstance(name, str) else None


def _all(names: Iterable[str]) -> str:
    return one_line(", ".join(names), _LONGEST_SAYING) or "there is none"
