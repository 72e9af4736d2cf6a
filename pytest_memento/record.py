"""What is known of one run of one experiment, as plain data that JSON can hold."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, TypeGuard

from pytest_memento.config import Config
from pytest_memento.errors import DamagedError
from pytest_memento.fingerprint import Digest
from pytest_memento.labels import attribute, label

Plain = None | bool | int | float | str
STEM = 24
"""Hexadecimal digits (96 bits) of each digest in a file name."""
_LONGEST_TEXT = 200
_MOST_PARTS = 32
"""Entries of a dict up to which each is told by itself; more belong in the value."""
_DEEPEST = 4


@dataclass(frozen=True, slots=True)
class Key:
    """What makes a result the answer: which experiment, which configuration, which code.

    :param experiment: the function, as ``path/to/exp_file.py::Class::function``.
    :param parameters: fingerprint of the parameters.
    :param settings: fingerprint of the tracked settings.
    :param code: fingerprint of the code.
    """

    experiment: str
    parameters: Digest
    settings: Digest
    code: Digest
    stem: str = field(init=False, repr=False, compare=False)
    """The name of this key's files, without the experiment."""

    def __post_init__(self) -> None:
        stem = f"{self.parameters[:STEM]}-{self.settings[:STEM]}-{self.code[:STEM]}"
        object.__setattr__(self, "stem", stem)

    @property
    def seed(self) -> int:
        """A number below 2**32 made from the experiment and the configuration.

        The code is left out: an edit should not draw other random numbers.
        """
        text = "\0".join((self.experiment, self.parameters, self.settings)).encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big")

    def __str__(self) -> str:
        text = "\0".join((self.experiment, self.parameters, self.settings, self.code)).encode()
        return hashlib.blake2b(text, digest_size=16).hexdigest()


class Value(NamedTuple):
    """A parameter or setting, or a result, as far as plain data can tell.

    A tuple, since a listing makes several for each of many thousands of records.

    :param label: for people.
    :param digest: its fingerprint; empty where it has none.
    :param plain: the value itself if it is a number, a string, a boolean or ``None``.
    :param is_plain: whether it is.
    :param parts: of a dict: what is in it, see :func:`parts_of`; none in records of old.
    """

    label: str
    digest: str = ""
    plain: Plain = None
    is_plain: bool = False
    parts: Mapping[str, Plain] = {}

    @classmethod
    def of(cls, value: object, text: str, digest: str = "") -> Value:
        """Describe *value*, which people know as *text*."""
        is_plain, plain = _plain(value)
        parts = {name: each.shown for name, each in parts_of(value).items()}
        return cls(text, digest, plain, is_plain, parts)

    @property
    def shown(self) -> Plain:
        """The value where it is plain, else its label."""
        return self.plain if self.is_plain else self.label

    def to_json(self) -> list[Any]:
        """Return it as JSON data."""
        return [self.label, self.digest, *([self.plain] if self.is_plain else [])]

    @classmethod
    def from_json(cls, data: list[Any]) -> Value:
        """Take it from JSON data."""
        # Past the constructor: this is the most frequent call of a listing.
        if len(data) == 2:
            return _new(cls, (data[0], data[1], None, False, _NO_PARTS))
        return _new(cls, (data[0], data[1], data[2], True, _NO_PARTS))


_new = tuple.__new__
_NO_PARTS: Mapping[str, Plain] = {}


def find_value(find: Callable[[str], Value | None], name: str) -> Value | None:
    """Return a value by its name, or what is in one that is a dict, by ``name.part``.

    :param find: returns the value of a name.
    """
    if (value := find(name)) is not None:
        return value
    whole, _, part = name.partition(".")
    value = find(whole) if part else None
    if value is None or part not in value.parts:
        return None
    plain = value.parts[part]
    return Value(label(plain), "", plain, True)


class Outcome(enum.Enum):
    """How a run ended; the value is the suffix of its file."""

    PASSED = "result"
    FAILED = "failure"


_OUTCOMES = {outcome.value: outcome for outcome in Outcome}


class Past(NamedTuple):
    """What a look-up needs to know of a run.

    :param runtime: seconds.
    :param ended: seconds since the epoch.
    :param files: data file -> digest, of those that the run said it depends on.
    """

    runtime: float
    ended: float
    files: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The header of a stored run.

    :param key: what was computed.
    :param id: the label of the configuration, as in the test id.
    :param parameters: name -> value.
    :param settings: name -> value, untracked ones included.
    :param untracked: the names of the settings that are not in the key.
    :param outcome: whether there is a result.
    :param started: seconds since the epoch.
    :param runtime: seconds on the clock.
    :param cpu_time: seconds of processor time.
    :param memory: peak resident memory in bytes, if known.
    :param result: the result as far as plain data can tell: one value, or several by name.
    :param metrics: the last value of each metric.
    :param progress: (done, total) as last told.
    :param error: the last line of the traceback of a failure.
    :param environment: the document that describes machine and packages.
    :param host: where it ran.
    :param pid: the process.
    :param files: data file -> digest, see :meth:`Context.depends_on`.
    :param seed: what the run was given as ``context.seed``; ``None`` in records of old.
    :param deaths: how many processes have died of it in turn, where it failed for that.
    :param accepted: who declared the result valid for this code, when, and from which code.
    :param inputs: parameter -> which result it was: experiment, stem, and the directory of the
        store if that is another one.
    """

    key: Key
    id: str
    parameters: Mapping[str, Value]
    settings: Mapping[str, Value]
    untracked: tuple[str, ...] = ()
    outcome: Outcome
    started: float
    runtime: float
    cpu_time: float
    memory: int | None
    result: Mapping[str, Value] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    progress: tuple[float, float] | None = None
    error: str = ""
    environment: str = ""
    host: str = ""
    pid: int = 0
    files: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None
    deaths: int = 0
    accepted: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def valid_since(self) -> float:
        """When it was begun, or declared valid for its code."""
        return float(self.accepted.get("at", self.started))

    @property
    def ended(self) -> float:
        """When it ended, in seconds since the epoch."""
        return self.started + self.runtime

    def to_json(self) -> dict[str, Any]:
        """Return the header as JSON data."""
        data = {name: getattr(self, name) for name in (*_COPIED, *_MADE, *_LATER)}
        key = self.key
        return {
            "key": [key.experiment, key.parameters, key.settings, key.code],
            "outcome": self.outcome.value,
            **data,
            **{name: _values_to_json(getattr(self, name)) for name in _VALUES},
            **self._parts_to_json(),
            **({"inputs": {**self.inputs}} if self.inputs else {}),
        }

    def _parts_to_json(self) -> dict[str, Any]:
        """Return what is in dicts, beside the values: earlier versions pass it by."""
        groups = {"parameters": self.parameters, "settings": self.settings}
        found = {
            group: {name: value.parts for name, value in values.items() if value.parts}
            for group, values in groups.items()
        }
        return {"parts": found} if any(found.values()) else {}

    @property
    def past(self) -> Past:
        """What a look-up needs to know of it."""
        return Past(self.runtime, self.ended, self.files)

    @staticmethod
    def past_of(data: Mapping[str, Any]) -> Past:
        """Return what a look-up needs out of a header.

        :raises DamagedError: it is not one.
        """
        try:
            runtime = data["runtime"]
            return Past(runtime, data["started"] + runtime, {**data["files"]})
        except (KeyError, TypeError) as error:
            raise DamagedError(f"the header is not a record: {error!r}") from None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Record:
        """Read a header.

        :raises DamagedError: it is not one.
        """
        try:
            described = {name: _values_from_json(data[name]) for name in _VALUES}
            for group, values in data.get("parts", {}).items():
                there = described[group]
                there |= {name: there[name]._replace(parts={**p}) for name, p in values.items()}
            return cls(
                key=Key(*data["key"]),
                outcome=_OUTCOMES[data["outcome"]],
                untracked=tuple(data["untracked"]),
                progress=data["progress"] and tuple(data["progress"]),
                parameters=described["parameters"],
                settings=described["settings"],
                result=described["result"],
                inputs={name: tuple(each) for name, each in data.get("inputs", {}).items()},
                **{name: data[name] for name in _COPIED},
                **{name: data[name] for name in _LATER if name in data},
            )
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise DamagedError(f"the header is not a record: {error!r}") from None


_VALUES = ("parameters", "settings", "result")
_COPIED = (
    "id", "started", "runtime", "cpu_time", "memory", "metrics", "error", "environment", "host",
    "pid", "files", "accepted",
)  # fmt: skip
_MADE = ("untracked", "progress")
"""What JSON has no type for."""
_LATER = ("seed", "deaths")
"""What records of earlier versions do not have."""


def describe_config(
    config: Config, labels: Mapping[str, str], digests: Mapping[str, str]
) -> tuple[dict[str, Value], dict[str, Value]]:
    """Return parameters and settings of a configuration as plain data.

    :param labels: parameter name -> label, where one is known.
    :param digests: name -> fingerprint, where one is known.
    """

    def describe(values: Mapping[str, object]) -> dict[str, Value]:
        return {
            name: Value.of(value, labels.get(name) or label(value), digests.get(name, ""))
            for name, value in values.items()
        }

    return describe(config), describe(config.settings)


def shown_labels(parameters: Mapping[str, Value], inputs: Collection[str]) -> dict[str, str]:
    """Return parameter name -> label, for tables; of a result, what it was computed with.

    :param inputs: the parameters that are results of other experiments.
    """
    shown: dict[str, str] = {}
    for name, value in parameters.items():
        if name in inputs and value.parts:
            shown |= {f"{name}.{part}": label(plain) for part, plain in value.parts.items()}
        else:
            shown[name] = value.label
    return shown


def describe_result(value: object) -> dict[str, Value]:
    """Return a result as plain data: ``{"": value}``, or a named value per entry of a dict.

    >>> [*describe_result({"test": {"accuracy": 0.9, "f1": 0.8}, "model": dict})]
    ['test.accuracy', 'test.f1', 'model']
    """
    if parts := parts_of(value):
        return parts
    return {"": _told(value)}


def parts_of(value: object) -> dict[str, Value]:
    """Return what is in a dict, dicts in it opened, too: dotted name -> value.

    Empty for what is no dict with string keys, has too many entries, or no plain value at all.
    What has ``__memento_parts__`` says itself.
    """
    if callable(own := attribute(type(value), "__memento_parts__")):
        value = own(value)
    try:
        leaves = list(islice(_leaves(value), _MOST_PARTS + 1)) if _opens(value) else []
    except Exception:
        # Whatever a foreign mapping raises.
        return {}
    parts = dict(leaves)
    is_told = len(parts) == len(leaves) <= _MOST_PARTS
    return parts if is_told and any(each.is_plain for each in parts.values()) else {}


def _opens(value: object) -> TypeGuard[Mapping[str, Any]]:
    return (
        isinstance(value, Mapping)
        and 0 < len(value) <= _MOST_PARTS
        and all(type(key) is str for key in value)
    )


def _leaves(
    value: Mapping[str, Any], start: str = "", depth: int = 1
) -> Iterator[tuple[str, Value]]:
    for key, item in value.items():
        if depth < _DEEPEST and _opens(item):
            yield from _leaves(item, f"{start}{key}.", depth + 1)
        else:
            yield f"{start}{key}", _told(item)


def _told(value: object) -> Value:
    is_plain, plain = _plain(value)
    return Value(_text(plain) if is_plain else label(value), "", plain, is_plain)


def _text(value: Plain) -> str:
    return f"{value:.6g}" if isinstance(value, float) else label(value)


def _plain(value: Any) -> tuple[bool, Plain]:
    if attribute(value, "shape") == () and callable(item := attribute(value, "item")):
        try:
            value = item()  # of a numpy scalar
        except Exception:  # whatever a foreign one raises, as a tensor without data does
            return False, None
    if value is None or type(value) in (bool, int, float):
        return True, value
    if type(value) is str and len(value) <= _LONGEST_TEXT:
        return True, value
    return False, None


def _values_to_json(values: Mapping[str, Value]) -> dict[str, list[Any]]:
    return {name: value.to_json() for name, value in values.items()}


def _values_from_json(data: Mapping[str, list[Any]]) -> dict[str, Value]:
    return {name: Value.from_json(value) for name, value in data.items()}
