"""Care of a store: which of its runs a user may want to remove, and what belongs to them.

    survey    what is there: a Run for each file, read once
    clear     the runs for which an expression holds
    prune     superseded    other code or settings computed it, and the present ones have a result
              orphaned      its parameters left the matrix, or its file is gone
              leftovers     what no run needs, see :mod:`pytest_memento.leftovers`

What the matrix holds is known from the plans: the last session wrote down all of it, also if it ran
only a part. Nothing is removed here: see :mod:`pytest_memento.removal`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_memento import container, leftovers
from pytest_memento.claims import is_held
from pytest_memento.errors import StoreError
from pytest_memento.query import Query
from pytest_memento.record import Outcome, Record
from pytest_memento.removal import Removal, Stamp, bytes_of, stamp_of
from pytest_memento.rows import RecordRow
from pytest_memento.source import Source, is_from_no_file
from pytest_memento.store import Store, slug

_SUFFIXES = tuple(f".{outcome.value}" for outcome in Outcome)


@dataclass(frozen=True, slots=True)
class Run:
    """A stored run.

    :param path: its file.
    :param published: when that was written, in seconds since the epoch.
    """

    record: Record
    path: Path
    published: float
    stamp: Stamp | None

    @property
    def place(self) -> tuple[str, str]:
        """What its result, its failure, its checkpoint and its artifacts have in common."""
        return self.record.key.experiment, self.record.key.stem

    @property
    def is_result(self) -> bool:
        """Whether it has a result."""
        return self.record.outcome is Outcome.PASSED


@dataclass(frozen=True, slots=True)
class Survey:
    """What a store holds.

    :param runs: all of them.
    :param plans: experiment -> stems of what its matrix held in the last session.
    :param held: the (experiment, stem) that run now.
    :param unread: files that could not be read: what they refer to is not known.
    """

    store: Store
    runs: Sequence[Run]
    plans: Mapping[str, Set[str]] = field(default_factory=dict)
    held: Set[tuple[str, str]] = frozenset()
    unread: Sequence[Path] = ()

    def without(self, removals: Iterable[Removal]) -> Survey:
        """Return what it will be when these are gone."""
        gone = {path for removal in removals for path in removal.paths}
        rest = [run for run in self.runs if run.path not in gone]
        return Survey(self.store, rest, self.plans, self.held, self.unread)


@dataclass(frozen=True, slots=True)
class Choice:
    """What the user asked for by naming files.

    :param root: the project, which names of experiments start from.
    :param sources: the files, directories and test ids; none for the whole store.
    """

    root: Path
    sources: Sequence[Source] = ()

    def covers(self, experiment: str) -> bool:
        """Whether an experiment is among it, at least in part."""
        return not self.sources or any(s.covers(experiment, [self.root]) for s in self.sources)

    def holds(self, run: Run) -> bool:
        """Whether a run is among it."""
        name, label = run.record.key.experiment, run.record.id
        return not self.sources or any(
            source.covers(name, [self.root]) and source.labels(label) for source in self.sources
        )

    def holds_all_of(self, experiment: str) -> bool:
        """Whether an experiment is among it with all its configurations."""
        return not self.sources or any(
            source.covers(experiment, [self.root]) and not source.id for source in self.sources
        )


@dataclass(frozen=True, slots=True)
class Proposal:
    """What would be removed, and what is said about what stays. A sum holds no path twice."""

    removals: tuple[Removal, ...] = ()
    remarks: tuple[str, ...] = ()

    def __add__(self, other: Proposal) -> Proposal:
        paths = {path for removal in self.removals for path in removal.paths}
        more = (removal for removal in other.removals if paths.isdisjoint(removal.paths))
        remarks = dict.fromkeys((*self.remarks, *other.remarks))
        return Proposal((*self.removals, *more), tuple(remarks))


# -- looking ---------------------------------------------------------------------------------------


def survey(store: Store) -> Survey:
    """Look at all of a store, reading headers only. Nothing is changed, nor set aside."""
    runs: list[Run] = []
    unread: list[Path] = []
    for path in _run_files(store, unread):
        try:
            record = Record.from_json(container.read_header(path))
            runs.append(Run(record, path, path.lstat().st_mtime, stamp_of(path)))
        except FileNotFoundError:  # replaced while we look
            continue
        except (OSError, StoreError):
            unread.append(path)
    runs.sort(key=lambda run: (run.place[0], run.record.started))
    # A plan that cannot be read is none: nothing is orphaned by it.
    found = {name: store.plan(name) for name in store.plans()}
    plans = {name: frozenset(stems) for name, stems in found.items() if stems is not None}
    known = {slug(name): name for name in (*plans, *(run.place[0] for run in runs))}
    return Survey(store, runs, plans, frozenset(_held(store, known)), unread)


def _run_files(store: Store, unread: list[Path]) -> Iterator[Path]:
    results = store.root / "results"
    for directory in (results, *(Path(entry.path) for entry in leftovers.entries(results))):
        if _is_hidden(directory):
            unread.append(directory)
        for entry in leftovers.entries(directory):
            if entry.name.endswith(_SUFFIXES):
                yield Path(entry.path)


def _is_hidden(directory: Path) -> bool:
    """Whether there may be runs in a directory that are not looked at."""
    if directory.is_symlink():
        return True
    return directory.is_dir() and not os.access(directory, os.R_OK | os.X_OK)


def _held(store: Store, known: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for directory in leftovers.entries(store.root / "claims"):
        for entry in leftovers.entries(Path(directory.path)):
            if entry.name.endswith(".lock") and is_held(Path(entry.path)):
                yield known.get(directory.name, directory.name), entry.name.removesuffix(".lock")


# -- choosing --------------------------------------------------------------------------------------


def clear(found: Survey, query: Query, choice: Choice, now: float) -> Proposal:
    """Choose the runs for which an expression holds.

    :param now: what ages are measured from, in seconds since the epoch.
    :raises QueryError: none of the runs has a name in it.
    """
    runs = [run for run in found.runs if choice.holds(run)]
    rows = [RecordRow(run.record, now) for run in runs]
    query.check(rows)
    chosen = [(run, "matches") for run, row in zip(runs, rows, strict=True) if query.holds(row)]
    return _proposal(found, chosen)


def prune(found: Survey, choice: Choice, now: float) -> Proposal:
    """Choose what is superseded and orphaned, and the leftovers.

    :param now: as for :func:`clear`.
    """
    gone, elsewhere = _gone(found, choice)
    present = _Present(found, gone)
    chosen = [
        (run, why) for run in found.runs if choice.holds(run) and (why := present.why_not(run))
    ]
    chosen, kept = _but_inputs(found, chosen)
    proposal = _proposal(found, chosen)
    needs = _needs(found.without(proposal.removals), choice, gone)
    rest = (*leftovers.find(found.store, needs, now), *_plans(found, choice, gone))
    remarks = [*_remarks(found, choice, elsewhere)]
    if kept:
        plural = "" if kept == 1 else "s"
        remarks.append(f"kept {kept} result{plural} that others were computed from")
    return proposal + Proposal(rest, tuple(remarks))


def _but_inputs(
    found: Survey, chosen: Sequence[tuple[Run, str]]
) -> tuple[list[tuple[Run, str]], int]:
    """Return what is left of a choice without the inputs of results that stay, and how many."""
    left = {run.place for run, _ in chosen if run.is_result}
    known = {run.place: run for run in found.runs if run.is_result}
    waiting = [run for place, run in known.items() if place not in left]
    kept = 0
    while waiting:
        for experiment, stem, *elsewhere in waiting.pop().record.inputs.values():
            place = experiment, stem
            if not elsewhere and place in left:
                left.remove(place)
                kept += 1
                waiting.append(known[place])
    rest = [(run, why) for run, why in chosen if not run.is_result or run.place in left]
    return rest, kept


class _Present:
    """What the matrices hold now, as far as plans tell, and what there is of it."""

    def __init__(self, found: Survey, gone: Set[str]) -> None:
        self._plans = found.plans
        self._gone = gone
        current = [run for run in found.runs if run.place[1] in found.plans.get(run.place[0], ())]
        places = [(name, stem) for name, stems in found.plans.items() for stem in stems]
        self._planned = {(name, _start(stem)) for name, stem in places}
        self._configurations = {_but_code(*place) for place in places}
        self._tried = {_parameters(run) for run in current}
        self._computed = {_parameters(run) for run in current if run.is_result}

    def why_not(self, run: Run) -> str:
        """Say why nobody will ask for a run again; empty where somebody may."""
        name, stem = run.place
        if name in self._gone:
            return f"orphaned: {name.partition('::')[0]} is gone"
        if name not in self._plans or stem in self._plans[name]:
            return ""
        if _parameters(run) not in self._planned:
            return "orphaned: not in the matrix"
        # A stale result stays until there is a new one: it may yet be accepted.
        if _parameters(run) not in (self._computed if run.is_result else self._tried):
            return ""
        is_known = _but_code(name, stem) in self._configurations
        return f"superseded: other {'code' if is_known else 'settings'}"


def _parameters(run: Run) -> tuple[str, str]:
    return run.place[0], _start(run.place[1])


def _but_code(name: str, stem: str) -> tuple[str, str]:
    return name, stem.rpartition("-")[0]


def _start(stem: str) -> str:
    return stem.partition("-")[0]


def _gone(found: Survey, choice: Choice) -> tuple[Set[str], Set[str]]:
    """Return the experiments whose file is gone, and those that may be of another project.

    Those of a prompt or a notebook were never in a file.

    A store outside the project may serve other projects, or another clone of this one.
    """
    names = {*found.plans, *(run.place[0] for run in found.runs)}
    files = {
        name: choice.root / name.partition("::")[0]
        for name in names
        if choice.covers(name) and not is_from_no_file(name)
    }
    missing = {name for name, file in files.items() if not os.path.lexists(file)}
    own = found.store.root.resolve().is_relative_to(choice.root.resolve())
    return (missing, frozenset()) if own else (frozenset(), missing)


def _proposal(found: Survey, chosen: Sequence[tuple[Run, str]]) -> Proposal:
    """Add to each run what belongs to it; leave out what runs now."""
    number = Counter(run.place for run in found.runs)
    removals: list[Removal] = []
    running = []
    for run, why in chosen:
        if run.place in found.held:
            running.append(f"{run.place[0]}[{run.record.id}]")
            continue
        number[run.place] -= 1
        removals.append(_removal(found.store, run, why, is_last=not number[run.place]))
    return Proposal(tuple(removals), tuple(_kept_running(running)))


def _removal(store: Store, run: Run, why: str, *, is_last: bool) -> Removal:
    """Describe a run. Checkpoint and artifacts go with the last of a result and a failure."""
    record, key = run.record, run.record.key
    belongings = (store.checkpoint(key), store.artifacts(key)) if is_last else ()
    paths = (run.path, *(path for path in belongings if os.path.lexists(path)))
    return Removal(
        key.experiment,
        record.id,
        record.outcome.name.lower(),
        why,
        paths,
        sum(map(bytes_of, paths)),
        record.ended,
        run.stamp,
        store.claim(key),
    )


def _kept_running(names: Sequence[str]) -> Iterator[str]:
    names = list(dict.fromkeys(names))
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        verb = "runs now and stays" if len(names) == 1 else "run now and stay"
        yield f"{', '.join(names[:3])}{more} {verb}"


# -- leftovers -------------------------------------------------------------------------------------


def _needs(rest: Survey, choice: Choice, gone: Set[str]) -> leftovers.Needs:
    """Say what must stay beside the runs that are left."""
    runs: dict[tuple[str, str], float | None] = {
        (name, stem): None for name, stems in rest.plans.items() if name not in gone
        for stem in stems
    }  # fmt: skip
    runs |= {run.place: None for run in rest.runs}
    runs |= {run.place: run.published for run in rest.runs if run.is_result}
    names = {*rest.plans, *gone}
    # What a file that cannot be read refers to is not known, nor what an experiment that runs now
    # may have put for its record hours ago.
    known = not (rest.unread or rest.held)
    return leftovers.Needs(
        experiments={slug(name): name for name in names if choice.holds_all_of(name)},
        gone=gone,
        runs=runs,
        digests=frozenset(_digests(rest.runs)) if known else None,
        all=not choice.sources,
    )


def _digests(runs: Iterable[Run]) -> Iterator[str]:
    """Yield the names of documents and values that records refer to."""
    for run in runs:
        record = run.record
        yield from (record.key.code, record.environment)
        yield from _accepted(record.accepted)
        for value in (*record.parameters.values(), *record.settings.values()):
            yield value.digest


def _accepted(accepted: Mapping[str, Any]) -> Iterator[str]:
    while accepted:
        yield str(accepted.get("code", ""))
        accepted = accepted.get("before") or {}


def _plans(found: Survey, choice: Choice, gone: Set[str]) -> Iterator[Removal]:
    """Yield the plans of experiments whose file is gone, after all that they are needed for."""
    for name in sorted(gone & set(found.plans)):
        path = found.store.root / "plans" / slug(name)
        if choice.holds_all_of(name) and not any(held == name for held, _ in found.held):
            written = path.lstat().st_mtime
            yield Removal(name, "", "", "plan: its file is gone", (path,), bytes_of(path), written,
                          stamp_of(path))  # fmt: skip


def _remarks(found: Survey, choice: Choice, elsewhere: Set[str]) -> Iterator[str]:
    runs = [run for run in found.runs if run.place[0] in elsewhere and choice.holds(run)]
    if runs:
        files = sorted({run.place[0].partition("::")[0] for run in runs})
        more = f" and {len(files) - 3} more" if len(files) > 3 else ""
        yield (
            f"{len(runs)} of {', '.join(files[:3])}{more} stay: no such file in {choice.root}, but"
            " the store is outside of it and may serve other projects; --memento-clear removes them"
        )
    if found.unread:
        yield f"{len(found.unread)} that cannot be read stay, such as {found.unread[0]}"
