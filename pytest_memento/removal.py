"""What can go from a store: shown first, then removed, each piece for itself.

Nothing is followed out of the store: of a symbolic link only the link goes, and what is reached
through a linked directory stays.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_memento import table
from pytest_memento.amounts import ago, size
from pytest_memento.claims import claimed_if_free

_MOST_ROWS = 50
_COLUMNS = ("status", "why", "size", "age")

Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Removal:
    """A stored run with what belongs to it, or a leftover.

    :param experiment: the function; the part of the store for what belongs to no experiment.
    :param name: the label of the configuration, or the name of a file.
    :param status: ``passed`` or ``failed``; empty for a leftover.
    :param why: in a few words.
    :param paths: the files and directories, the one that makes it what it is first.
    :param size: bytes in these.
    :param since: when it ended or was last of use, in seconds since the epoch.
    :param stamp: what the first of the paths was when it was looked at.
    :param claim: who removes it holds this claim.
    """

    experiment: str
    name: str
    status: str
    why: str
    paths: tuple[Path, ...]
    size: int
    since: float
    stamp: Stamp | None = None
    claim: Path | None = None


def bytes_of(path: Path) -> int:
    """Count the bytes of a file, or of all files below a directory; links count for themselves."""
    try:
        found = path.lstat()
    except OSError:
        return 0
    if not stat.S_ISDIR(found.st_mode):
        return found.st_size
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        return sum(bytes_of(Path(entry.path)) for entry in entries)
    return 0


def stamp_of(path: Path) -> Stamp | None:
    """Return what changes when something else takes the place of a file; ``None`` if it is gone."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


# -- showing ---------------------------------------------------------------------------------------


def lines(removals: Sequence[Removal], now: float, width: int) -> Iterator[str]:
    """Yield tables: of each removal, or of kinds of them where there are very many."""
    if len(removals) > _MOST_ROWS:
        yield from _by_kind(removals, now, width)
        return
    for experiment, alike in _grouped(removals, lambda removal: removal.experiment).items():
        yield f"{experiment}:"
        rows = [[each.name, *_more(each, each.size, now - each.since)] for each in alike]
        yield from table.lines(("id", *_COLUMNS), rows, width)


def _by_kind(removals: Sequence[Removal], now: float, width: int) -> Iterator[str]:
    kinds = _grouped(removals, lambda each: (each.experiment, each.status, each.why)).values()
    largest = sorted(kinds, key=lambda alike: -sum(each.size for each in alike))
    shown, rest = largest[:_MOST_ROWS], [each for alike in largest[_MOST_ROWS:] for each in alike]
    yield f"more than {_MOST_ROWS}, so by kind, with the age of the oldest:"
    columns = ("experiment", "number", *_COLUMNS)
    yield from table.lines(columns, [_kind_row(alike, now) for alike in shown], width)
    if rest:
        yield f"... and {amount(rest)} of {len(largest) - len(shown)} more kinds"


def _grouped(
    removals: Iterable[Removal], kind_of: Callable[[Removal], Hashable]
) -> dict[Hashable, list[Removal]]:
    groups: dict[Hashable, list[Removal]] = {}
    for removal in removals:
        groups.setdefault(kind_of(removal), []).append(removal)
    return groups


def amount(removals: Sequence[Removal]) -> str:
    """Say how much it is.

    >>> amount([Removal("exp.py::f", "x=1", "passed", "matches", (), 1200, 0)])
    '1 result (1.2 kB)'
    """
    counts = {
        noun: sum(removal.status == status for removal in removals)
        for noun, status in (("result", "passed"), ("failure", "failed"), ("leftover", ""))
    }
    parts = [f"{n} {noun}{'' if n == 1 else 's'}" for noun, n in counts.items() if n]
    first, last = parts[:-1], parts[-1:]
    text = " and ".join([", ".join(first), *last] if first else last) or "nothing"
    return f"{text} ({size(sum(removal.size for removal in removals))})"


def _kind_row(alike: Sequence[Removal], now: float) -> list[str]:
    oldest = now - min(removal.since for removal in alike)
    first, total = alike[0], sum(removal.size for removal in alike)
    return [first.experiment, str(len(alike)), *_more(first, total, oldest)]


def _more(removal: Removal, total: int, age: float) -> list[str]:
    return [removal.status, removal.why, size(total), ago(age)]


# -- removing --------------------------------------------------------------------------------------


def remove(removals: Iterable[Removal], root: Path) -> Iterator[tuple[Removal, str]]:
    """Remove one after the other, and say of each why it stays; nothing where it is gone.

    :param root: the store.
    """
    for removal in removals:
        try:
            yield removal, _removed(removal, root.resolve())
        except OSError as error:
            yield removal, error.strerror or str(error)


def _removed(removal: Removal, root: Path) -> str:
    with contextlib.ExitStack() as claim:
        if removal.claim is not None:
            if not _is_inside(removal.claim, root):
                return f"{removal.claim} is behind a link out of the store"
            if not claim.enter_context(claimed_if_free(removal.claim)):
                return "it runs now"
        # While somebody thought it over, a running session may have made it of use again.
        if removal.stamp is not None and stamp_of(removal.paths[0]) != removal.stamp:
            return "it changed meanwhile"
        for path in removal.paths:
            if not _is_inside(path, root):
                return f"{path} is behind a link out of the store"
            _remove(path)
    return ""


def _is_inside(path: Path, root: Path) -> bool:
    return path.parent.resolve().is_relative_to(root)


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
