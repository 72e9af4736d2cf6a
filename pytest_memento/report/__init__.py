"""Reports of what came out, in files: a page for people, and tables for other programs.

model       what a report tells, whichever file it goes into
tabular     the flat columns of a report, with their types
causes      failures by what they say
origins     where results came from: what is common to all, and what differs
thinning    long series in fewer points
html, markdown, csv, json, parquet
            one module for each kind of file
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytest_memento.errors import MementoError
from pytest_memento.rights import is_writable

if TYPE_CHECKING:
    from pytest_memento.report.model import Report
    from pytest_memento.results import Results

SUFFIXES: Final = (".html", ".md", ".csv", ".json", ".parquet")
"""What a report can be called, which says what is written."""


def write_report(
    results: Results, path: str | os.PathLike[str], *, title: str | None = None
) -> None:
    """Write a report of stored results; nothing is run, imported or unpickled.

    >>> write_report(load_results("experiments/"), "report.html")  # doctest: +SKIP

    The file is written aside and renamed, so that it is never seen half-written.

    :param results: from ``load_results``, or a part of it.
    :param path: the file; its suffix says what is written: ``.html``, ``.md``, ``.csv``, ``.json``
        or ``.parquet`` (which needs ``pip install 'pytest-memento[parquet]'``).
    :param title: the heading; by default the names of the experiments.
    :raises MementoError: the suffix is none of these, or what is needed is not installed.
    :raises OSError: the file cannot be written.
    """
    from pytest_memento.report.model import Report

    check(Path(path))
    write(Report.of_results(results, title), Path(path))


def check(path: Path) -> None:
    """Say now what would keep a report from being written later.

    :raises MementoError: there is something.
    """
    if path.suffix.lower() not in SUFFIXES:
        *others, last = SUFFIXES
        raise MementoError(
            f"a report is called {', '.join(f'*{each}' for each in others)} or *{last},"
            f" not {path.name!r}"
        )
    if path.suffix.lower() == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise MementoError(f"{path.name} needs pyarrow: pip install 'pytest-memento[parquet]'")
    if path.is_dir():
        raise MementoError(f"the report cannot be {path}: it is a directory")
    above = next(each for each in path.absolute().parents if os.path.lexists(each))
    if not above.is_dir() or not is_writable(above / path.name):
        why = "it cannot be written" if above.is_dir() else "it is no directory"
        raise MementoError(f"the report cannot be below {above}: {why}")


def write(report: Report, path: Path) -> None:
    """Write a report whole or not at all.

    :param path: with one of :data:`SUFFIXES`.
    :raises OSError: it cannot be written.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    with _aside(path) as temporary:
        if path.suffix.lower() == ".parquet":
            from pytest_memento.report import parquet

            parquet.write(report, temporary)
        else:
            # Names of files may hold what UTF-8 cannot.
            with temporary.open(
                "w", encoding="utf-8", errors="backslashreplace", newline=""
            ) as file:
                file.writelines(_format(path.suffix.lower())(report))
        os.replace(temporary, path)


def _format(suffix: str) -> Callable[[Report], Iterator[str]]:
    """Return what yields the text of a file."""
    from pytest_memento.report import csv, html, json, markdown

    return {
        ".html": html.parts,
        ".md": markdown.parts,
        ".csv": csv.parts,
        ".json": json.parts,
    }[suffix]


@contextlib.contextmanager
def _aside(path: Path) -> Iterator[Path]:
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)
