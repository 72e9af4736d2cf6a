"""Two states of results side by side: which configurations are new, gone, changed, or the same.

Configurations are told by experiment, parameters and tracked settings, whatever the code was.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, overload

from pytest_memento import frames, table
from pytest_memento.compare import first_difference
from pytest_memento.frames import Column, Kind, Library
from pytest_memento.labels import one_line
from pytest_memento.record import STEM, Outcome, Record, Value

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from pytest_memento.results import Result, Results

Told = tuple[str, Any]
"""What a header tells of a result or metric: for people, and for comparing."""
CHANGES: Final = ("new", "gone", "changed", "same")
_SHOWN = 20


@dataclass(frozen=True, eq=False)
class Change:
    """A configuration in two states, in one of which it may be missing.

    :param before: its result or failure in the one state.
    :param after: the same in the other.
    :param kind: ``"new"``, ``"gone"``, ``"changed"`` or ``"same"``.
    :param details: what changed, as far as headers tell: name -> what it was and is, in words.
    """

    before: Result | None
    after: Result | None
    kind: str
    details: Mapping[str, tuple[str, str]]

    @property
    def result(self) -> Result:
        """The later of the two."""
        found = self.after or self.before
        assert found is not None
        return found

    def __repr__(self) -> str:
        words = ", ".join(f"{name} {old} -> {new}" for name, (old, new) in self.details.items())
        return f"<Change {self.result.id}: {self.kind}{words and f', {words}'}>"


@dataclass(frozen=True, repr=False, eq=False)
class Comparison:
    """What has become of configurations from one state to another.

    :param all: every configuration of either, in matrix order; those that are gone come last.
    :param new: results of those that are only in the later state.
    :param gone: results of those that are only in the earlier one.
    :param changed: those whose result, metrics, status or error are others.
    :param same: results, the later ones, of those that are the same as far as is known.
    :param unread: how many of the same have a value of which headers tell a label only.
    """

    all: Sequence[Change]
    new: Results
    gone: Results
    changed: Sequence[Change]
    same: Results
    unread: int

    @overload
    def to_frame(self, library: Literal["pandas"] = "pandas") -> pd.DataFrame: ...
    @overload
    def to_frame(self, library: Literal["polars"]) -> pl.DataFrame: ...
    def to_frame(self, library: Library = "pandas") -> Any:
        """Return a frame: a row per configuration.

        Columns: ``experiment`` where there are several, the parameters, the settings that differ,
        ``change``, then ``before.<name>`` and ``after.<name>`` for ``status``, results and metrics,
        by their names in :meth:`Results.to_frame`.

        :param library: ``"pandas"`` or ``"polars"``.
        :raises MementoError: the library is not installed.
        """
        records = [change.result._record for change in self.all]
        made = {
            **frames.experiments(records),
            **frames.parameters(records),
            **frames.differing_settings(records),
            "change": Column(Kind.TEXT, [change.kind for change in self.all]),
        }
        sides = {
            side: _told_columns([result._record if result else None for result in results])
            for side, results in (
                ("before", [change.before for change in self.all]),
                ("after", [change.after for change in self.all]),
            )
        }
        for name in dict.fromkeys([*sides["before"], *sides["after"]]):
            made |= {f"{side}.{name}": told[name] for side, told in sides.items() if name in told}
        return frames.make(made, library)

    def __repr__(self) -> str:
        differing = [change for change in self.all if change.kind != "same"]
        lines = [self._counts()]
        if differing:
            lines += _table(differing[:_SHOWN])
        if len(differing) > _SHOWN:
            lines.append(f"... and {len(differing) - _SHOWN} more")
        if self.unread:
            lines.append(f"{self.unread} the same by label: compare(..., values=True) looks closer")
        return "\n".join(lines)

    def _counts(self) -> str:
        counts = {kind: sum(change.kind == kind for change in self.all) for kind in CHANGES}
        plural = "" if len(self.all) == 1 else "s"
        parts = ", ".join(f"{number} {kind}" for kind, number in counts.items() if number)
        return f"{len(self.all)} configuration{plural}{parts and f': {parts}'}"


def compare(before: Results, after: Results, *, values: bool = False) -> Comparison:
    """Compare two states. Where one has several runs of a configuration, the newest counts.

    :param values: load results of which headers tell a label only, and compare these.
    :raises ResultNotLoadedError: one of these cannot be brought back.
    """
    old, new = _newest(before), _newest(after)
    changes, unread = [], 0
    for place in dict.fromkeys([*new, *old]):
        pair = old.get(place), new.get(place)
        details = dict(_details(*pair, values=values))
        changes.append(Change(*pair, _kind(*pair, details), details))
        unread += not (details or values) and _is_unread(*pair)
    found = {kind: [change for change in changes if change.kind == kind] for kind in CHANGES}
    results = {kind: type(after)(c.result for c in found[kind]) for kind in CHANGES}
    return Comparison(
        all=changes,
        new=results["new"],
        gone=results["gone"],
        changed=found["changed"],
        same=results["same"],
        unread=unread,
    )


def _newest(results: Results) -> dict[tuple[str, str], Result]:
    found: dict[tuple[str, str], Result] = {}
    for result in results:
        key = result._record.key
        place = key.experiment, key.stem[: 2 * STEM + 1]
        if place not in found or found[place]._record.started <= result._record.started:
            found[place] = result
    return found


def _kind(before: Result | None, after: Result | None, details: Mapping[str, Any]) -> str:
    if before is None or after is None:
        return "new" if before is None else "gone"
    return "changed" if details else "same"


def _details(
    before: Result | None, after: Result | None, *, values: bool
) -> Iterator[tuple[str, tuple[str, str]]]:
    if before is None or after is None:
        return
    old, new = _told(before._record), _told(after._record)
    names = dict.fromkeys([*old, *new])
    if before._record.outcome is not after._record.outcome:
        names = {"status": None}  # all else follows from that
    missing = ("none", None)
    is_same = True
    for name in names:
        (was, a), (now, b) = old.get(name, missing), new.get(name, missing)
        if not _equal(a, b):
            is_same = False
            yield name, (was, now)
    if values and is_same and _is_unread(before, after):
        difference = first_difference(before.value, after.value)
        if difference is not None:
            yield f"value{difference.at}", (difference.stored, difference.computed)


def _told(record: Record) -> dict[str, Told]:
    """Return what a header tells of what came out."""
    failed = record.outcome is Outcome.FAILED
    return {
        "status": (f"failed: {record.error}", record.error) if failed else ("passed", True),
        **{f"result.{n}" if n else "result": _seen(v) for n, v in record.result.items()},
        **{f"metrics.{n}": (f"{v:.6g}", v) for n, v in record.metrics.items()},
    }


def _seen(value: Value) -> Told:
    return value.label, value.plain if value.is_plain else (value.label,)


def _equal(one: Any, other: Any) -> bool:
    """Whether two are the same; ``nan`` is itself."""
    if isinstance(one, float) and isinstance(other, float) and math.isnan(one):
        return math.isnan(other)
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _is_unread(before: Result | None, after: Result | None) -> bool:
    """Whether a value is known by its label only, and was computed twice."""
    if before is None or after is None:
        return False
    one, other = before._record, after._record
    runs = {(each.started, each.host, each.pid) for each in (one, other)}
    return len(runs) > 1 and not all(value.is_plain for value in other.result.values())


def _told_columns(records: Sequence[Record | None]) -> dict[str, Column]:
    statuses = [record and record.outcome.name.lower() for record in records]
    return {
        "status": Column(Kind.STATUS, statuses),
        **frames.results(records),
        **frames.metrics(records),
    }


def _table(changes: Sequence[Change]) -> Iterator[str]:
    """Yield parameters, what became of each, and what differs in any of those that changed."""
    labels = _labels([change.result._record for change in changes])
    names = sorted({name for c in changes for name in c.details}, key=_rank) or ["result"]
    rows = [
        [
            *(column[position] for column in labels.values()),
            change.kind,
            *_cells(change, names),
        ]
        for position, change in enumerate(changes)
    ]
    yield from table.lines([*labels, "change", *names], rows, 100)


def _rank(name: str) -> tuple[int, str]:
    groups = ("status", "result", "value", "metrics.")
    return next(n for n, group in enumerate(groups) if name.startswith(group)), name


def _cells(change: Change, names: Sequence[str]) -> Iterator[str]:
    """Yield what is shown below each name."""
    record = change.result._record
    told = {name: text for name, (text, _) in _told(record).items()}
    if "status" not in names:
        told = {"result": described(record), **told}
    for name in names:
        yield " -> ".join(change.details[name]) if name in change.details else told.get(name, "")


def described(record: Record) -> str:
    """Return in a line what came out: the result as far as the header tells, or the error."""
    if record.outcome is Outcome.FAILED:
        return one_line(record.error)
    return ", ".join(f"{n}={v.label}" if n else v.label for n, v in record.result.items())


def _labels(records: Sequence[Record]) -> dict[str, list[str]]:
    """Return a column for each parameter, and for each setting that is not always the same."""
    made = {
        **_column("", [record.parameters for record in records]),
        **_column("settings.", [record.settings for record in records]),
    }
    return {n: c for n, c in made.items() if not n.startswith("settings.") or len({*c}) > 1}


def _column(start: str, rows: Sequence[Mapping[str, Value]]) -> dict[str, list[str]]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {f"{start}{n}": [row[n].label if n in row else "" for row in rows] for n in names}
