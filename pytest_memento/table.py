"""A table of text that fits the terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

GAP = 2
"""Cells between two columns."""
_NARROWEST = 6


def lines(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Yield a table line by line; cells that do not fit are cut and marked with ``…``.

    :param columns: the headings.
    :param rows: as many cells each.
    :param width: of the terminal, in cells.
    """
    widths = _fit([max(map(cells_of, cells)) for cells in zip(columns, *rows, strict=True)], width)
    for row in (columns, *rows):
        cells = (_fitted(cell, size) for cell, size in zip(row, widths, strict=True))
        yield (" " * GAP).join(cells).rstrip()


def _fit(wanted: list[int], width: int) -> list[int]:
    """Take from the widest column until all fit, or none can be made narrower."""
    room = width - GAP * (len(wanted) - 1)
    while sum(wanted) > room and max(wanted) > _NARROWEST:
        wanted[wanted.index(max(wanted))] -= 1
    return wanted


def _fitted(text: str, size: int) -> str:
    text = cut(" ".join(text.split()), size)
    return text + " " * (size - cells_of(text))


def cut(text: str, width: int) -> str:
    """Return a line that fits into so many cells, marked with ``…`` where something is left out.

    >>> cut("abcdef", 4), cut("abc", 4)
    ('abc…', 'abc')
    """
    if cells_of(text) <= width:
        return text
    while text and cells_of(text) > width - 1:
        text = text[:-1]
    return f"{text}…"


def cells_of(text: str) -> int:
    """Return how many cells of a terminal a text takes: wide characters two, marks on others none.

    >>> cells_of("abc"), cells_of("数据"), cells_of("e\u0301")
    (3, 4, 1)
    """
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
