"""Where the results of a report came from: what is common to all, and what differs."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pytest_memento.report.model import Report


@dataclass(frozen=True)
class Fact:
    """A thing that is known of where results came from.

    :param name: what it is.
    :param values: value -> how many results it holds for; one value if it is common to all.
    """

    name: str
    values: Mapping[str, int]

    @property
    def text(self) -> str:
        """The value, or the values with how many results each is of."""
        if len(self.values) == 1:
            return next(iter(self.values))
        return "; ".join(f"{value} ({number})" for value, number in self.values.items())


def facts(report: Report) -> list[Fact]:
    """Return commit, machine, Python and command, as far as they are on record."""
    counts = _counts(report)
    found = [
        _fact(name, get, report, counts)
        for name, get in (
            ("commit", _commit),
            ("host", lambda known: known.get("host")),
            ("user", lambda known: known.get("user")),
            ("Python", lambda known: known.get("python")),
            ("platform", lambda known: known.get("platform")),
            ("command", _command),
        )
    ]
    return [fact for fact in found if fact.values]


def packages(report: Report) -> list[Fact]:
    """Return the versions of the packages that were imported."""
    counts = _counts(report)
    documents = [report.environments[digest].get("versions") or {} for digest in counts]
    names = sorted({name for versions in documents for name in versions}, key=str.casefold)
    return [_fact(name, _version_of(name), report, counts) for name in names]


def _version_of(name: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda known: (known.get("versions") or {}).get(name)


def _counts(report: Report) -> Counter[str]:
    return Counter(row.environment for row in report.rows if row.environment in report.environments)


def _fact(
    name: str, get: Callable[[Mapping[str, Any]], Any], report: Report, counts: Counter[str]
) -> Fact:
    values: Counter[str] = Counter()
    for digest, number in counts.items():
        if (value := get(report.environments[digest])) is not None:
            values[str(value)] += number
    return Fact(name, dict(values.most_common()))


def _commit(known: Mapping[str, Any]) -> str | None:
    commit = known.get("commit")
    if commit is None:
        return None
    return f"{commit}{' with changes' if known.get('dirty') else ''}"


def _command(known: Mapping[str, Any]) -> str | None:
    command: Sequence[Any] = known.get("command") or ()
    return typed(command) or None


def typed(command: Sequence[Any]) -> str:
    """Return a command line as it could be typed.

    >>> typed(["pytest", "-k", "a or b"])
    "pytest -k 'a or b'"
    """
    return shlex.join(map(str, command))


def constants(report: Report) -> Iterator[tuple[str, Any]]:
    """Yield the settings that are the same for all experiments of a report."""
    known: dict[str, set[tuple[str, str]]] = {}
    values: dict[str, Any] = {}
    rows = [row for row in report.rows if row.settings]
    for row in rows:
        for name, value in row.settings.items():
            known.setdefault(name, set()).add((type(value).__name__, repr(value)))
            values[name] = value
    for name, seen in known.items():
        if len(seen) == 1 and all(name in row.settings for row in rows):
            yield name, values[name]
