"""Which records of a store make up a state: that of the last session, or that of a commit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from pytest_memento.errors import StoreError
from pytest_memento.labels import one_line
from pytest_memento.record import STEM, Record
from pytest_memento.store import Store

Wanted = Callable[[str], bool]
"""Whether an experiment, by its name, is asked for."""
Found = Iterator[tuple[str, Record | None]]
"""Experiment and record, ``None`` for a configuration that has neither result nor failure."""
_MOST_COMMITS = 10


def planned(store: Store, wanted: Wanted) -> Found:
    """Yield what the matrices held when pytest last ran them, in their order."""
    for experiment in filter(wanted, store.plans()):
        there = store.listing(experiment).stems
        for stem in store.plan(experiment) or ():
            record = store.read(experiment, stem, there[stem]) if stem in there else None
            yield experiment, record


def history(store: Store, wanted: Wanted) -> Found:
    """Yield everything that is stored, newest last."""
    for record in sorted(_all(store, wanted), key=lambda record: record.started):
        yield record.key.experiment, record


def of_commit(store: Store, wanted: Wanted, start: str) -> Found:
    """Yield the newest run of each configuration at a commit, in the order of the matrices.

    Configurations that no matrix holds any more come last, the oldest first.

    :param start: of the hash of the commit.
    :raises StoreError: nothing is stored of such a commit, or several begin like this.
    """
    records = sorted(_all(store, wanted), key=lambda record: record.started)
    commits = {each: _commit(store, each) for each in {r.environment for r in records}}
    commit = _meant(start, [(commits[record.environment], record.started) for record in records])
    newest = {_place(r.key.experiment, r.key.stem): r for r in records
              if commits[r.environment] == commit}  # fmt: skip
    order = [_place(e, stem) for e in store.plans() for stem in store.plan(e) or ()]
    for place in dict.fromkeys([*order, *newest]):
        if place in newest:
            yield newest[place].key.experiment, newest[place]


def _all(store: Store, wanted: Wanted) -> Iterator[Record]:
    return (record for record in store.records() if wanted(record.key.experiment))


def _commit(store: Store, environment: str) -> str:
    return str(store.document(environment).get("commit") or "")


def _place(experiment: str, stem: str) -> tuple[str, str]:
    """Return what tells a configuration from others, whatever the code."""
    return experiment, stem[: 2 * STEM + 1]


def _meant(start: str, runs: Iterable[tuple[str, float]]) -> str:
    """Return the commit that begins so.

    :param runs: commit and time of each run, in the order of time.
    """
    last = dict(runs)
    found = [commit for commit in last if commit and commit.startswith(start.lower())]
    if len(found) == 1:
        return found[0]
    name = f"commit {one_line(start, 40)!r}"
    if found:
        raise StoreError(f"{name} may be {' or '.join(c[:12] for c in sorted(found))}: give more")
    there = sorted((when, commit) for commit, when in last.items() if commit)[::-1]
    texts = [f"{commit[:10]} ({_day(when)})" for when, commit in there]
    more = f", and {len(texts) - _MOST_COMMITS} more" if len(texts) > _MOST_COMMITS else ""
    known = f"there are: {', '.join(texts[:_MOST_COMMITS])}{more}" if texts else "none knows one"
    raise StoreError(f"no result is of {name} ({known})")


def _day(when: float) -> str:
    return f"{datetime.fromtimestamp(when).astimezone():%Y-%m-%d}"
