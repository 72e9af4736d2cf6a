"""What the selection language sees: of a stored run, and of an experiment that is at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

from pytest_memento.config import Config
from pytest_memento.experiment import Experiment, Standing, Status
from pytest_memento.labels import label
from pytest_memento.query import METRICS, OWN, PARAMETERS, RESULT, SETTINGS, Name, Plain, Sight
from pytest_memento.record import Outcome, Record, Value, describe_config, find_value


class RecordRow:
    """A stored run, by its header.

    :param record: the header.
    :param now: what ages are measured from, in seconds since the epoch.
    """

    def __init__(self, record: Record, now: float) -> None:
        self._record = record
        self._now = now

    def look(self, root: str, name: str) -> Sight:
        """Return what a name stands for."""
        record = self._record
        if root == METRICS:
            return (record.metrics[name],) if name in record.metrics else ()
        if root in _DESCRIBED:
            return _look(_DESCRIBED[root](record).get, name)
        value = _OWN[name](record, self._now)
        return () if value is None else (value,)

    def names(self) -> Iterator[Name]:
        """Yield the names of parameters, settings, metrics and parts of the result."""
        for root, values in _DESCRIBED.items():
            yield from _named(root, values(self._record))
        yield from (Name(METRICS, name) for name in self._record.metrics)


_DESCRIBED: Mapping[str, Callable[[Record], Mapping[str, Value]]] = {
    PARAMETERS: lambda record: record.parameters,
    SETTINGS: lambda record: record.settings,
    RESULT: lambda record: record.result,
}
_OWN: Mapping[str, Callable[[Record, float], Plain]] = {
    "status": lambda record, _: record.outcome.name.lower(),
    "result": lambda record, _: record.result[""].shown if "" in record.result else None,
    "runtime": lambda record, _: record.runtime,
    "cpu_time": lambda record, _: record.cpu_time,
    "age": lambda record, now: now - record.ended,
    "memory": lambda record, _: record.memory,
    "error": lambda record, _: record.error if record.outcome is Outcome.FAILED else None,
    "id": lambda record, _: record.id,
    "experiment": lambda record, _: record.key.experiment,
}
_STATUSES: Mapping[Status, Sight] = {
    Status.CACHED: ("cached",),
    Status.STALE: ("stale",),
    Status.FAILED: ("failed", Status.FAILED.word),
    Status.NEW: ("new",),
}


class ExperimentRow:
    """An experiment that is at hand, with what the store knows of it.

    There may be many thousands, so that the header of the run before is read only if a name is
    asked for that the standing does not hold: a metric, say.

    :param experiment: the experiment.
    :param standing: see :func:`pytest_memento.experiment.judge`.
    :param find: reads the header of the run that the standing rests on.
    :param now: what ages are measured from, in seconds since the epoch.
    """

    def __init__(
        self,
        experiment: Experiment,
        standing: Standing,
        find: Callable[[Experiment], Record | None],
        now: float,
    ) -> None:
        self._experiment = experiment
        self._standing = standing
        self._find = find
        self._now = now

    def look(self, root: str, name: str) -> Sight:
        """Return what a name stands for."""
        if root == PARAMETERS:
            return _look(self._parameter, name)
        if root == SETTINGS:
            return _look(self._setting, name)
        if root == OWN and name in self._known:
            return self._known[name]
        return self._before.look(root, name) if self._before else ()

    def names(self) -> Iterator[Name]:
        """Yield the names of parameters and settings, and of the metrics of the run before."""
        case = self._experiment.case
        parameters, settings = describe_config(case.config, case.labels, {})
        yield from _named(PARAMETERS, parameters)
        yield from _named(SETTINGS, settings)
        if self._before:
            yield from (name for name in self._before.names() if name.root in (METRICS, RESULT))

    def _parameter(self, name: str) -> Value | None:
        if name not in self._config:
            return None
        return Value.of(self._config[name], self._experiment.case.labels[name])

    def _setting(self, name: str) -> Value | None:
        settings = self._config.settings
        return Value.of(settings[name], label(settings[name])) if name in settings else None

    @cached_property
    def _config(self) -> Config:
        return self._experiment.case.config

    @cached_property
    def _known(self) -> Mapping[str, Sight]:
        """What can be told without reading anything."""
        past = self._standing.past
        return {
            "status": _STATUSES[self._standing.status],
            "runtime": (past.runtime,) if past else (),
            "age": (self._now - past.ended,) if past else (),
            "id": (self._experiment.case.label,),
            "experiment": (self._experiment.key.experiment,),
        }

    @cached_property
    def _before(self) -> RecordRow | None:
        """The run that the standing rests on."""
        record = self._find(self._experiment) if self._standing.past else None
        return RecordRow(record, self._now) if record else None


def _named(root: str, values: Mapping[str, Value]) -> Iterator[Name]:
    for name, value in values.items():
        if name:  # or it is the whole result
            yield Name(root, name)
        yield from (Name(root, f"{name}.{part}") for part in value.parts)


def _look(find: Callable[[str], Value | None], name: str) -> Sight:
    """Return what is seen of a value, or of what is in a dict."""
    value = find_value(find, name)
    return () if value is None else _sight(value)


def _sight(value: Value) -> Sight:
    """Return what a value is taken for: itself, its label, or both if it has one of its own."""
    if not value.is_plain:
        return (value.label,)
    return (value.plain,) if value.label == label(value.plain) else (value.plain, value.label)
