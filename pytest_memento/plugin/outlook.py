"""What a session is going to do, in numbers: the header and the end of a dry run."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from pytest_memento.amounts import about, size
from pytest_memento.experiment import Status
from pytest_memento.plugin.bound import BOUND, Bound
from pytest_memento.plugin.options import Cache
from pytest_memento.runtimes import Runtimes
from pytest_memento.store import Usage

REMARKS = pytest.StashKey[list[str]]()
"""Lines that others add to the header."""


@dataclass(frozen=True)
class Outlook:
    """What is known before the first experiment starts.

    :param counts: status word -> number of experiments.
    :param excluded: combinations that ``exclude`` dropped.
    :param expected: seconds that each experiment with a known or similar runtime will take.
    :param removed: stored results whose configuration is not in the matrix any more.
    :param remarks: further lines for the header.
    """

    counts: Mapping[str, int]
    excluded: int
    expected: Sequence[float]
    removed: int = 0
    remarks: Sequence[str] = ()

    @classmethod
    def of(
        cls,
        items: Iterable[pytest.Item],
        cache: Cache,
        *,
        excluded: int = 0,
        removed: int = 0,
        remarks: Sequence[str] = (),
    ) -> Outlook:
        """Look at the items of a session."""
        bounds = [bound for item in items if (bound := item.stash.get(BOUND, None)) is not None]
        counts = Counter(bound.standing.status.word for bound in bounds)
        return cls(counts, excluded, list(_expected(bounds, cache)), removed, remarks)

    @property
    def total(self) -> int:
        """How many experiments there are."""
        return sum(self.counts.values())

    def to_run(self, cache: Cache) -> int:
        """How many of them will run."""
        if cache is Cache.ONLY:
            return 0
        if cache is not Cache.USE:
            return self.total
        return sum(self.counts.get(status.word, 0) for status in Status if status.runs)

    def time_text(self, workers: int) -> str:
        """Return how long it will take, or nothing if that is not known."""
        if not self.expected:
            return ""
        seconds = max(sum(self.expected) / workers, *self.expected)
        if seconds < 1:
            return ""
        return about(seconds) + (f" on {workers} workers" if workers > 1 else "")

    def lines(self, cache: Cache, place: str, usage: Usage, workers: int) -> Iterator[str]:
        """Yield the header."""
        if not self.total:
            return
        parts = [
            f"{self.counts[status.word]} {status.word}"
            for status in Status
            if self.counts.get(status.word)
        ]
        if self.removed:
            parts.append(f"{self.removed} removed")
        excluded = f" ({self.excluded} excluded)" if self.excluded else ""
        plural = "" if self.total == 1 else "s"
        results = f"{usage.results} result{'' if usage.results == 1 else 's'}"
        store = f"; store {place} ({results}, {size(usage.size)})"
        if cache is Cache.OFF:
            parts, store = ["all run"], "; no store (--memento-cache=off)"
        mode = " (--memento-cache=refresh: all run again)" if cache is Cache.REFRESH else ""
        yield f"memento: {self.total} experiment{plural}{excluded}: {', '.join(parts)}{mode}{store}"
        if time := self.time_text(workers):
            yield f"memento: {time}"
        yield from self.remarks

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {**asdict(self), "counts": dict(self.counts)}


def expectations(bounds: Iterable[Bound]) -> dict[Bound, float]:
    """Return the seconds each experiment is expected to take, where there is a way to know.

    That is what it took before, with other code or settings too; else what similar configurations
    of the same function let expect. What failed before would have taken that long at least.
    """
    bounds = list(bounds)
    runs: dict[str, list[tuple[Mapping[str, str], float]]] = defaultdict(list)
    for bound in bounds:
        if (past := bound.standing.past) is not None and _has_passed(bound):
            runs[bound.experiment.key.experiment].append((_values(bound), past.runtime))
    models = {name: Runtimes(known) for name, known in runs.items()}
    found = {bound: _expectation(bound, models) for bound in bounds}
    return {bound: seconds for bound, seconds in found.items() if seconds is not None}


def _expectation(bound: Bound, models: Mapping[str, Runtimes]) -> float | None:
    past, model = bound.standing.past, models.get(bound.experiment.key.experiment)
    if past is not None and _has_passed(bound):
        return past.runtime
    similar = model.expected(_values(bound)) if model else None
    return similar if past is None or similar is None else max(similar, past.runtime)


def _has_passed(bound: Bound) -> bool:
    return bound.standing.status is not Status.FAILED


def _values(bound: Bound) -> dict[str, str]:
    """Return what tells the values of the parameters apart, those without a digest left out."""
    case = bound.experiment.case
    return {name: case.digests[name] for name in case.config if name in case.digests}


def _expected(bounds: Sequence[Bound], cache: Cache) -> Iterator[float]:
    for bound, seconds in expectations(bounds).items():
        if cache is Cache.ONLY and not bound.beside:
            continue
        if bound.standing.status.runs or bound.beside or cache is not Cache.USE:
            yield seconds
