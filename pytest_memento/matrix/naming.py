"""From rows to cases: ids that are unique, readable and the same in every process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pytest_memento.config import Config
from pytest_memento.fingerprint import Digest, StandIn, digest_named, digest_value
from pytest_memento.labels import label, one_line, short
from pytest_memento.matrix.plan import Option, Row, distinct

_MARKS = (6, 12, 32)
"""Digits of the marks: more where ten thousand rows share one id."""


class Case:
    """One configuration of a matrix, ready to run.

    Thousands of them are kept while few are run, so what can be made on demand is.
    """

    __slots__ = ("_names", "_row", "label")

    def __init__(self, row: Row, names: Names, text: str) -> None:
        self._row = row
        self._names = names
        self.label = text
        """Its id, unique in the matrix and the same in every process."""

    @property
    def config(self) -> Config:
        """The configuration."""
        return self._row.config()

    @property
    def fingerprint(self) -> tuple[Digest, Digest]:
        """The digests of the parameters and of the tracked settings."""
        return self._row.fingerprint

    @property
    def code(self) -> tuple[Any, ...]:
        """The functions and classes in its values, whose code counts too."""
        return self._row.code

    @property
    def labels(self) -> dict[str, str]:
        """Parameter name -> short name of its value, for tables."""
        return {n: t for option in self._row.options for n, t in self._names.texts(option).items()}

    @property
    def digests(self) -> dict[str, Digest]:
        """Name of a parameter or tracked setting -> fingerprint of its value."""
        return {**self._row.digests, **self._row.plan.settings_digests}

    @property
    def row(self) -> Row:
        """The combination that it is."""
        return self._row

    @property
    def tags(self) -> tuple[Any, ...]:
        """The tags of the choices it was made from."""
        return tuple(tag for option in self._row.options for tag in option.tags)

    def value(self, name: str) -> Any:
        """Return the value of a parameter or setting.

        :raises KeyError: there is none of that name.
        """
        for option in self._row.options:
            if name in option.names:
                return option.values[option.names.index(name)]
        return self._row.plan.settings[name]

    def extended(
        self, more: Mapping[str, Any], text: str, *, stand_in: StandIn | None = None
    ) -> Case:
        """Return the same case with parameters that came from elsewhere.

        :param more: name -> value.
        :param text: the label of the new case.
        :raises FingerprintError: a value has no stable fingerprint.
        """
        met: list[object] = []
        digests = tuple(digest_value(v, stand_in=stand_in, met=met) for v in more.values())
        option = Option(tuple(more), tuple(more.values()), digests, code=distinct(met))
        row = Row.of(self._row.plan, (*self._row.options, option))
        return Case(row, self._names, text)


def cases(rows: Sequence[Row]) -> Iterator[Case]:
    """Give each row an id of its own."""
    options = {id(option): option for row in rows for option in row.options}
    names = Names(options.values())
    parts = {key: names.id_part(option) for key, option in options.items()}
    ids = ["-".join([parts[id(option)] for option in row.options]) for row in rows]
    for row, text in zip(rows, _told_apart(ids, rows), strict=True):
        yield Case(row, names, text)


def _told_apart(ids: list[str], rows: Sequence[Row]) -> list[str]:
    """Mark ids that several rows share, with as much of their digests as it takes."""
    for length in _MARKS:
        shared = {text for text, number in Counter(ids).items() if number > 1}
        if not shared:
            break
        ids = [
            text + short(_digest(row), length) if text in shared else text
            for text, row in zip(ids, rows, strict=True)
        ]
    return ids


def _digest(row: Row) -> Digest:
    # Matrices of one list may differ in nothing but their settings.
    return digest_named(dict(zip(("parameters", "settings"), row.fingerprint, strict=True)))


class Names:
    """The labels of options, with a mark where two values of a name share one."""

    def __init__(self, options: Iterable[Option]) -> None:
        first: dict[tuple[str, str], Digest] = {}
        self._shared: set[tuple[str, str]] = set()
        for option in options:
            for name, text, digest in _labelled(option):
                if first.setdefault((name, text), digest) != digest:
                    self._shared.add((name, text))

    def texts(self, option: Option) -> Mapping[str, str]:
        """Return name -> label for the values of an option."""
        return {
            name: text + short(digest) if (name, text) in self._shared else text
            for name, text, digest in _labelled(option)
        }

    def id_part(self, option: Option) -> str:
        """Return what an option adds to an id, which another one may share."""
        if option.label is not None and len(option.names) > 1:
            return f"{','.join(option.names)}={one_line(option.label)}"
        return "-".join([f"{name}={text}" for name, text in self.texts(option).items()])


def _labelled(option: Option) -> Iterator[tuple[str, str, Digest]]:
    own = None
    if option.label is not None and len(option.names) == 1:
        own = one_line(option.label)
    for name, value, digest in zip(option.names, option.values, option.digests, strict=True):
        yield name, label(value) if own is None else own, digest
