"""A matrix after reading: axes with their options, rules, and the rows they make."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from pytest_memento.config import Config, Settings
from pytest_memento.fingerprint import Digest, digest_named
from pytest_memento.labels import attribute, label, one_line

SMALL = 10_000
"""Options up to which an axis is checked as a whole."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A value of a parameter with a label or tags of its own (what ``pytest.param`` says).

    :param value: the value; a tuple of values where names vary together.
    :param label: stands for the value in ids.
    :param tags: travel to the cases that use the choice; not looked at here.
    """

    value: object
    label: str | None = None
    tags: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Option:
    """One choice of an axis.

    There may be many thousands, hence the tuples.

    :param names: the names that it gives values to.
    :param values: as many values.
    :param digests: their fingerprints.
    :param label: stands for the value, or for all of them, in ids.
    :param tags: see :class:`Choice`.
    :param code: the functions and classes in the values.
    """

    names: tuple[str, ...]
    values: tuple[Any, ...]
    digests: tuple[Digest, ...]
    label: str | None = None
    tags: tuple[Any, ...] = ()
    code: tuple[Any, ...] = ()

    def items(self) -> Iterator[tuple[str, Any]]:
        """Yield each name with its value."""
        return zip(self.names, self.values, strict=True)


class Options(Sequence[Option]):
    """The options of an axis, each read when it is first asked for.

    A sample looks at few of them, and there may be 10^12.

    :param length: how many there are.
    :param read: position -> option.
    """

    def __init__(self, length: int, read: Callable[[int], Option]) -> None:
        self._length = length
        self._read = read
        self._known: dict[int, Option] = {}

    @overload
    def __getitem__(self, index: int) -> Option: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Option]: ...
    def __getitem__(self, index: int | slice) -> Option | Sequence[Option]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(self._length))]
        if not 0 <= index < self._length:
            raise IndexError(index)
        if index not in self._known:
            self._known[index] = self._read(index)
        return self._known[index]

    def __iter__(self) -> Iterator[Option]:
        # That of Sequence would take an IndexError of a foreign class for the end.
        return map(self.__getitem__, range(self._length))

    def __len__(self) -> int:
        return self._length


@dataclass(frozen=True, slots=True)
class Axis:
    """One entry of ``parameters``."""

    names: tuple[str, ...]
    options: Options

    @property
    def is_small(self) -> bool:
        """Whether all options may be looked at, also where only a sample is drawn."""
        return len(self.options) <= SMALL


@dataclass(frozen=True, slots=True)
class Rule:
    """An entry of ``exclude``: the digests it allows per name, or a function to ask."""

    place: str
    allowed: Mapping[str, frozenset[Digest]] = field(default_factory=dict)
    ask: Callable[[Config], object] | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """One matrix, checked.

    :param place: where it stands in a list of matrices, for messages.
    """

    place: str
    axes: tuple[Axis, ...]
    included: tuple[Option, ...]
    rules: tuple[Rule, ...]
    settings: Settings
    untracked: frozenset[str]
    settings_digests: Mapping[str, Digest]
    settings_digest: Digest
    settings_code: tuple[Any, ...]
    sample: tuple[int, int] | None
    repeats: int | None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the axes."""
        return tuple(name for axis in self.axes for name in axis.names)

    @property
    def all_names(self) -> Iterator[str]:
        """The names of all parameters and settings."""
        yield from self.names
        yield from self.settings
        yield from (name for option in self.included for name in option.names)
        yield from ("repeat",) if self.repeats else ()

    @property
    def combinations(self) -> int:
        """How large the product is."""
        return combinations(self.axes)


@dataclass(frozen=True, slots=True)
class Row:
    """One combination, in the order of its names."""

    plan: Plan
    options: tuple[Option, ...]
    digest: Digest

    @classmethod
    def of(cls, plan: Plan, options: tuple[Option, ...]) -> Row:
        """Make a row and fingerprint it."""
        return cls(plan, options, digest_named(_digests(options)))

    @property
    def digests(self) -> dict[str, Digest]:
        """Parameter name -> fingerprint of its value."""
        return _digests(self.options)

    @property
    def code(self) -> tuple[Any, ...]:
        """The functions and classes in its values and in the tracked settings."""
        return sum((option.code for option in self.options), self.plan.settings_code)

    @property
    def fingerprint(self) -> tuple[Digest, Digest]:
        """The digests of the parameters and of the tracked settings."""
        return self.digest, self.plan.settings_digest

    def config(self) -> Config:
        """Return the configuration."""
        return self._config(lambda value: value)

    def seen(self) -> Config:
        """Return the configuration as functions of the user see it when the matrix is expanded."""
        return self._config(_seen)

    def _config(self, view: Callable[[Any], Any]) -> Config:
        return Config(
            {name: view(value) for option in self.options for name, value in option.items()},
            self.plan.settings,
            self.plan.untracked,
            fingerprint=self.fingerprint,
        )

    def text(self) -> str:
        """Return the row in words, for messages."""
        words = "-".join(f"{n}={label(v)}" for o in self.options for n, v in o.items())
        return one_line(words, 200)


def _seen(value: Any) -> Any:
    """Return what stands for a value, if that is only a reference to what is not there yet."""
    own = attribute(type(value), "__memento_seen__")
    return own(value) if callable(own) else value


def _digests(options: Iterable[Option]) -> dict[str, Digest]:
    return {
        name: digest
        for option in options
        for name, digest in zip(option.names, option.digests, strict=True)
    }


def distinct(code: Iterable[object]) -> tuple[object, ...]:
    """Return functions and classes once each; not all of them can be hashed."""
    return tuple({id(each): each for each in code}.values())


def combinations(axes: Sequence[Axis]) -> int:
    """Return how large the product of axes is."""
    return math.prod(len(axis.options) for axis in axes) if axes else 0
