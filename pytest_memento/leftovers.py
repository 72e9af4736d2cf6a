"""What sessions leave behind that no stored run needs.

    unfinished writes            of processes that died
    claims                       that nobody holds, likewise
    checkpoints, artifacts       of runs that can neither go on nor be looked up
    documents, values            that no record refers to
    logs                         of processes that were killed
    digests, sessions            that nobody asked for in 30 days
    aside/                       files that were found damaged

Each must have been of no use for :data:`GUARD` seconds, so that what a running session is just
writing, or has written and not referred to yet, is left alone.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

from pytest_memento.claims import is_held
from pytest_memento.presence import PLACE, is_dead
from pytest_memento.removal import Removal, bytes_of, stamp_of
from pytest_memento.store import Store

GUARD = 3600.0
"""Seconds since it was last written or put to use for which a leftover stays."""
_FORGOTTEN = 30 * 86_400.0
"""Likewise, for what only spares work: the digest of a data file, how a session ended."""
_UNFINISHED = re.compile(r"\.[0-9a-f]{32}\.tmp")
_OF_EXPERIMENTS = ("results", "checkpoints", "artifacts", "claims")
_SHARED = ("documents", "values", "digests", "plans", "sessions")


@dataclass(frozen=True, slots=True)
class Needs:
    """What must stay.

    :param experiments: directory name -> experiment, of those that may be cleaned up.
    :param gone: the experiments whose file is gone.
    :param runs: (experiment, stem) -> when its result was published, ``None`` if there is only a
        failure, or none yet: those of a record, and those of a plan.
    :param digests: of documents and values that records refer to, ``None`` if that is not known.
    :param all: whether what belongs to no experiment is asked for, too.
    """

    experiments: Mapping[str, str]
    gone: Set[str]
    runs: Mapping[tuple[str, str], float | None]
    digests: Set[str] | None
    all: bool = True


def find(store: Store, needs: Needs, now: float) -> Iterator[Removal]:
    """Yield what can go.

    :param now: seconds since the epoch.
    """
    for directory, experiment in sorted(needs.experiments.items()):
        found = [_unfinished(store.root / part / directory, experiment) for part in _OF_EXPERIMENTS]
        yield from _old(itertools.chain(*found), now)
        for part in ("checkpoints", "artifacts"):
            yield from _old(_unused(store, part, directory, experiment, needs), now)
        yield from _claims(store.root / "claims" / directory, experiment, now)
        yield from _old(_logs(store.root, directory, experiment), now)
    if needs.all:
        yield from _of_all(store.root, needs.digests, now)


def entries(directory: Path) -> list[os.DirEntry[str]]:
    """Return what a directory holds, by name; nothing of one that is a link or cannot be read."""
    try:
        if directory.is_symlink():
            return []
        with os.scandir(directory) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError:
        return []


def _old(removals: Iterable[Removal], now: float, guard: float = GUARD) -> Iterator[Removal]:
    return (removal for removal in removals if now - removal.since > guard)


def _unfinished(directory: Path, experiment: str) -> Iterator[Removal]:
    for entry in entries(directory):
        if _UNFINISHED.fullmatch(entry.name):
            yield _leftover(Path(entry.path), experiment, "unfinished write")


def _unused(
    store: Store, part: str, directory: str, experiment: str, needs: Needs
) -> Iterator[Removal]:
    """Yield the checkpoints or artifacts of runs that nothing can come back to."""
    noun = part.removesuffix("s")
    for entry in entries(store.root / part / directory):
        path, stem = Path(entry.path), entry.name
        if stem.startswith("."):
            continue
        if (experiment, stem) not in needs.runs:
            why = "its file is gone" if experiment in needs.gone else "of no present experiment"
        elif part == "checkpoints" and _is_older(path, needs.runs[experiment, stem]):
            why = "its run has ended"
        else:
            continue
        claim = store.root / "claims" / directory / f"{stem}.lock"
        if not is_held(claim):
            yield _leftover(path, experiment, f"{noun}: {why}", claim=claim)


def _is_older(path: Path, published: float | None) -> bool:
    return published is not None and _written(path) < published


def _claims(directory: Path, experiment: str, now: float) -> Iterator[Removal]:
    for entry in entries(directory):
        lock = Path(entry.path)
        since = _written(lock)
        if entry.name.endswith(".lock") and now - since > GUARD and not is_held(lock):
            # Without paths: a claim removes its own file when it is given back.
            why = "claim of a dead session"
            yield Removal(experiment, lock.name, "", why, (), bytes_of(lock), since, claim=lock)


def _logs(root: Path, directory: str, experiment: str) -> Iterator[Removal]:
    for entry in entries(root / "logs" / directory):
        stem = "-".join(entry.name.removesuffix(".log").rsplit("-", 3)[1:])
        claim = root / "claims" / directory / f"{stem}.lock"
        if not is_held(claim):
            why = "output of a dead session"
            yield _leftover(Path(entry.path), experiment, why, claim=claim)


def _of_all(root: Path, digests: Set[str] | None, now: float) -> Iterator[Removal]:
    for part in _SHARED:
        yield from _old(_unfinished(root / part, part), now)
    yield from _old(_each(root, "aside", "damaged file"), now)
    signs = [*_each(root, PLACE, "sign of a dead session")]
    yield from _old((sign for sign in signs if is_dead(sign.paths[0])), now)
    for part in ("digests", "sessions"):
        yield from _old(_each(root, part, "not of use for long"), now, _FORGOTTEN)
    for part in ("documents", "values") if digests is not None else ():
        found = _old(_each(root, part, "no result refers to it"), now)
        yield from (removal for removal in found if removal.name not in (digests or ()))


def _each(root: Path, part: str, why: str) -> Iterator[Removal]:
    for entry in entries(root / part):
        if not entry.name.startswith("."):
            yield _leftover(Path(entry.path), part, why)


def _leftover(path: Path, place: str, why: str, *, claim: Path | None = None) -> Removal:
    return Removal(
        place, path.name, "", why, (path,), bytes_of(path), _written(path), stamp_of(path), claim
    )


def _written(path: Path) -> float:
    """Return when a file was last written; 0 if it is not there."""
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0
