"""What goes on in a store, from its files alone: beside running sessions, on any machine."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_memento import metrics, table
from pytest_memento.amounts import duration, size
from pytest_memento.presence import Sign, is_dead, signs
from pytest_memento.record import Outcome
from pytest_memento.store import Store, slug

STALLED: Final = 60.0
"""Seconds without a sign of life, which is given each second, after which that is said."""


@dataclass(frozen=True)
class Running:
    """An experiment that a process runs, or ran when it died.

    :param id: function and configuration.
    :param sign: what the process has written down.
    :param pulse: its last sign of life, empty if it gave none.
    :param state: whether it goes on, in words.
    """

    id: str
    sign: Sign
    pulse: Mapping[str, Any]
    state: str

    @property
    def cells(self) -> list[str]:
        """The row of the table."""
        progress, memory = self.pulse.get("progress"), self.pulse.get("memory")
        last = metrics.last(self.pulse.get("series", {}))
        return [
            self.id,
            self.state,
            duration(max(0.0, time.time() - self.sign.since)),
            f"{progress[0]:g}/{progress[1]:g}" if progress else "",
            " ".join(f"{name}={value:.4g}" for name, value in last.items()),
            size(memory) if memory else "",
            f"pid {self.sign.pid} on {self.sign.host}",
        ]


COLUMNS: Final = ("experiment", "state", "for", "progress", "metrics", "memory", "where")


def running(store: Store) -> list[Running]:
    """Return what runs on a store, what has run for longest first."""
    names = {slug(name): name for name in store.plans()}
    found = [_running(sign, names) for sign in signs(store.root)]
    return sorted(found, key=lambda each: each.sign.since)


def _running(sign: Sign, names: Mapping[str, str]) -> Running:
    place = sign.claim.partition("/")[0]
    pulse = sign.pulse()
    if pulse.get("since", math.inf) < sign.since:  # of what the process ran before
        pulse = {}
    return Running(f"{names.get(place, place)}[{sign.label}]", sign, pulse, _state(sign, pulse))


def _state(sign: Sign, pulse: Mapping[str, Any]) -> str:
    if is_dead(sign.path):
        return "its process is gone"
    silent = time.time() - float(pulse.get("beat", sign.since))
    return "running" if silent < STALLED else f"silent for {duration(silent)}"


def progress(store: Store) -> Iterator[tuple[str, int, int, int]]:
    """Yield experiment, and how many configurations there are, are stored, and have failed.

    By the matrix and the code of the last session that ran.
    """
    for name in store.plans():
        stems = store.plan(name) or []
        known = store.listing(name).stems
        ends = [known.get(stem) for stem in stems]
        yield name, len(stems), ends.count(Outcome.PASSED), ends.count(Outcome.FAILED)


def lines(store: Store, found: Sequence[Running], width: int) -> Iterator[str]:
    """Yield what people read: how far each experiment is, then what runs.

    :param found: what runs.
    :param width: of the terminal, in cells.
    """
    for name, total, done, failed in progress(store):
        text = f"{done} of {total} done" + (f", {failed} failed" if failed else "")
        left = total - done - failed
        yield f"{name}: {text}" + (f", {left} left" if left else "")
    if not found:
        yield "nothing runs"
        return
    rows = [each.cells for each in found]
    used = [n for n in range(len(COLUMNS)) if any(row[n] for row in rows)]
    columns = [COLUMNS[n] for n in used]
    yield from table.lines(columns, [[row[n] for n in used] for row in rows], width)
