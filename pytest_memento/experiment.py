"""The algorithm: expand -> fingerprint -> look up -> claim -> look up again -> run -> publish.

An :class:`Experiment` is one configuration of one function with its key. :func:`judge` says what
the store knows of it, an :class:`Attempt` runs it once and publishes what came out. Who calls
these, and in what order, is the business of whoever drives: a pytest session or a script.
"""

from __future__ import annotations

import contextvars
import enum
import functools
import inspect
import os
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from pytest_memento import files, metrics, provenance
from pytest_memento.amounts import ago
from pytest_memento.config import Config, Later, value_in
from pytest_memento.context import Context
from pytest_memento.fingerprint import Digest, digest_value
from pytest_memento.inputs import OF_INPUT, OF_SETTING, Input, made_from, manifest_of, opened
from pytest_memento.matrix import Case
from pytest_memento.measure import Measured, measuring
from pytest_memento.pickling import dump
from pytest_memento.record import (
    Key,
    Outcome,
    Past,
    Record,
    Value,
    describe_config,
    describe_result,
)
from pytest_memento.store import Listing, Store

T = TypeVar("T")


class Status(enum.Enum):
    """What the store knows of an experiment: (word, whether it is to be run, colour)."""

    CACHED = ("cached", False, "green")
    STALE = ("stale", True, "yellow")
    FAILED = ("failed before", True, "red")
    NEW = ("new", True, "cyan")

    def __init__(self, word: str, runs: bool, colour: str) -> None:
        self.word = word
        self.runs = runs
        self.colour = colour


Manifest: TypeAlias = Mapping[str, str]
"""What the code digest is made from: definition -> digest; beside these ``version`` -> what the
user gave, ``package <name>`` -> version, ``file <path>`` -> digest; and what its inputs are made
from, see :func:`manifest_of`."""
Describe: TypeAlias = Callable[[Sequence[object]], Manifest]
"""Returns the manifest for a configuration that holds these functions and classes."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """One configuration of one function.

    :param key: what makes its result the answer.
    :param case: the configuration and its labels.
    :param manifest: the parts of the code digest, see :data:`Manifest`.
    :param inputs: the results of others that it is given.
    """

    key: Key
    case: Case
    manifest: Manifest
    inputs: tuple[Input, ...] = ()

    @classmethod
    def known(cls, key: Key, case: Case, manifest: Manifest) -> Experiment:
        """Return an experiment whose key another process has found out."""
        return cls(key, case, manifest, _inputs_in(case.code))

    @property
    def given(self) -> Mapping[str, Input]:
        """Parameter -> the input that is its value."""
        return inputs_of(self.case) if self.inputs else {}

    def as_input(self) -> Input:
        """Return what stands for its result among the values of others."""
        case = self.case
        config, digests = case.config, case.digests
        parameters, settings = describe_config(config, case.labels, digests)
        tracked = {name: digests[name] for name in settings if name in digests}
        return Input(
            self.key, case.label, config, made_from(self.manifest, tracked), opened(parameters)
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """What the store knows of an experiment, and why it is to be run.

    :param status: the verdict.
    :param reason: in words; empty for a hit.
    :param past: of the run that is the hit, or that came before.
    :param replaces: whether a new result takes the place of one with the same key.
    :param is_deadly: whether processes have died of it.
    """

    status: Status
    reason: str = ""
    past: Past | None = None
    replaces: bool = False
    is_deadly: bool = False


NEW = Standing(Status.NEW, "no result yet")


def experiments_of(name: str, cases: Sequence[Case], describe: Describe) -> list[Experiment]:
    """Give each case of a function its key.

    :param name: the function, as ``path/to/exp_file.py::function``.
    :param describe: tells its code; asked once for all cases with the same code in their values.
    """
    known: dict[tuple[object, ...], tuple[Manifest, Digest, tuple[Input, ...]]] = {}
    made = []
    for case in cases:
        held = case.code
        given = inputs_of(case)
        ids = (*map(id, held), *((name, id(each)) for name, each in given.items()))
        if ids not in known:
            known[ids] = _code_of(held, given, describe)
        manifest, code, inputs = known[ids]
        made.append(Experiment(Key(name, *case.fingerprint, code), case, manifest, inputs))
    return made


def _code_of(
    held: Sequence[object], given: Mapping[str, Input], describe: Describe
) -> tuple[Manifest, Digest, tuple[Input, ...]]:
    own = describe([each for each in held if not isinstance(each, Input)])
    manifest = {**own, **manifest_of(given)}
    return manifest, digest_value(manifest), _inputs_in(held)


def inputs_of(case: Case) -> dict[str, Input]:
    """Return parameter -> the input that is its value."""
    config = case.config if _inputs_in(case.code) else {}
    return {name: value for name, value in config.items() if isinstance(value, Input)}


def _inputs_in(held: Sequence[object]) -> tuple[Input, ...]:
    return tuple(each for each in held if isinstance(each, Input))


# -- looking up ------------------------------------------------------------------------------------


def judge(experiment: Experiment, listing: Listing, store: Store, root: Path) -> Standing:
    """Say what the store knows of an experiment.

    Only names are looked at, and the headers of what is found.

    :param root: the project, which names of data files start from.
    """
    key = experiment.key
    if (key, Outcome.PASSED) in listing and (hit := find_hit(key, store, root)):
        return hit
    nearest = find_before(key, listing, store)
    if nearest is None:
        return NEW
    if nearest.outcome is Outcome.FAILED:
        return _failed(nearest)
    return Standing(
        Status.STALE,
        "; ".join(_changes(experiment, nearest, store)),
        nearest.past,
    )


def find_before(key: Key, listing: Listing, store: Store) -> Record | None:
    """Return the run that a standing rests on, if there is one: of this key, or the nearest."""
    for outcome in Outcome:
        if (key, outcome) in listing and (record := store.find(key, outcome)):
            return record
    related = [store.read(key.experiment, stem, outcome) for stem, outcome in listing.related(key)]
    records = [record for record in related if record is not None]
    return max(records, key=functools.partial(_nearness, key), default=None)


def find_hit(key: Key, store: Store, root: Path) -> Standing | None:
    """Return the standing of an experiment whose result is there, or ``None``.

    The result may be stale all the same: where a data file that it read is not what it was.
    """
    past = store.past(key)
    if past is None:
        return None
    if past.files and (changed := list(files.changes(past.files, root, store.file_digest))):
        return Standing(Status.STALE, "; ".join(changed), past, replaces=True)
    return Standing(Status.CACHED, past=past)


def _nearness(key: Key, record: Record) -> tuple[bool, bool, bool, float]:
    same_settings = record.key.settings == key.settings
    passed = record.outcome is Outcome.PASSED
    return passed, same_settings, record.key.code == key.code, record.valid_since


def _failed(record: Record) -> Standing:
    reason = f"{record.error} ({ago(time.time() - record.ended)})"
    return Standing(Status.FAILED, reason, record.past, is_deadly=record.deaths > 0)


def _changes(experiment: Experiment, record: Record, store: Store) -> Iterator[str]:
    """Name what differs between an experiment and a stored run of the same parameters."""
    yield from _setting_changes(experiment.case, record)
    if record.key.code != experiment.key.code:
        yield from _code_changes(experiment.manifest, store.document(record.key.code))


def _setting_changes(case: Case, record: Record) -> Iterator[str]:
    _, now = describe_config(case.config, case.labels, case.digests)
    before = record.settings
    for name in dict.fromkeys(n for n in (*now, *before) if n not in case.config.untracked):
        if name not in before:
            yield f"setting {name}: added ({now[name].label})"
        elif name not in now:
            yield f"setting {name}: removed (was {before[name].label})"
        elif now[name].digest != before[name].digest:
            old, new = before[name].label, now[name].label
            yield f"setting {name}: {old} -> {new}" if old != new else f"setting {name} changed"


def _code_changes(now: Mapping[str, str], before: Mapping[str, Any]) -> Iterator[str]:
    if not before:
        yield "code: what it was is missing in the store"
        return
    for name in [*now, *(n for n in before if n not in now)]:
        if now.get(name) != before.get(name):
            yield _change(name, before.get(name), now.get(name))


def _change(name: str, before: str | None, now: str | None) -> str:
    """Say what became of an entry of the manifest."""
    if name.startswith(OF_INPUT):
        whose, _, rest = name.partition(": ")
        return f"{whose}: {_change(rest, before, now)}"
    verb = "added" if before is None else "removed" if now is None else "changed"
    if name.startswith("package ") and None in (before, now):
        return f"{name} counts now ({now})" if now else f"{name} counts no more (was {before})"
    if name == "version" or name.startswith("package "):
        return f"{name} {before or 'none'} -> {now or 'none'}"
    is_code = not name.startswith(("file ", OF_SETTING))
    return f"code: {name} {verb}" if is_code else f"{name} {verb}"


# -- running ---------------------------------------------------------------------------------------


class Attempt:
    """One try at one experiment: hands out the context, measures the call, publishes the end.

    :param experiment: what to run.
    :param store: where checkpoints and artifacts go.
    :param root: the user's project, for the commit.
    :param command: the command line to record, without secrets.
    :param inputs: parameter -> the stored result that it is given, which has a ``value``, and
        ``files`` that count for this one, too.
    """

    def __init__(
        self,
        experiment: Experiment,
        store: Store,
        root: Path,
        command: Sequence[str] = (),
        inputs: Mapping[str, Any] | None = None,
    ) -> None:
        self.experiment = experiment
        self.store = store
        self.root = root
        self.command = command
        self._inputs = dict(inputs or {})
        given = experiment.given
        self._files = files.merged(
            each.files
            for name, each in self._inputs.items()
            if not given[name].is_elsewhere(store.root)
        )
        self.config = self.fresh_config()
        self.context = Context(experiment.key, self.config, store, root, self._inputs)
        self.measured = Measured(started=time.time())
        self.returned: Any = None
        self.described: Mapping[str, Value] = {}
        self.is_running = False
        """Whether the function was called and has not returned."""
        self.has_returned = False
        """Whether there is a result: a debugger may pass by the call."""
        self.failed_parts = 0
        """How many parts of it (subtests) have failed."""

    def fresh_config(self) -> Config:
        """Return the configuration with values of its own.

        What one experiment does to an estimator must not reach the next one. Results of others are
        loaded when they are asked for.
        """
        given = {
            name: Later(functools.partial(getattr, result, "value"), f"({result.id})")
            for name, result in self._inputs.items()
        }
        return self.experiment.case.config.detached(given)

    def forget(self) -> None:
        """Let go of what may be large, when all is said and done."""
        self.returned = None
        self._inputs.clear()
        self.config = self.experiment.case.config
        self.context.forget(self.config)

    def capturing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap *function* so that its result is kept here and ``None`` is returned.

        pytest then sees a test that returns nothing, as tests should. Parameters and settings also
        go to arguments that have a default, which pytest leaves alone.
        """
        given = self._with_defaults(function)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def capture_async(*args: Any, **kwargs: Any) -> None:
                __tracebackhide__ = True
                with self._measuring():
                    self.returned = await function(*args, **{**given, **kwargs})
                    self.has_returned = True

            return capture_async

        @functools.wraps(function)
        def capture(*args: Any, **kwargs: Any) -> None:
            __tracebackhide__ = True
            with self._measuring():
                returned = function(*args, **{**given, **kwargs})
                # A decorator may hide that the function is a coroutine function.
                self.returned = run_async(returned) if inspect.iscoroutine(returned) else returned
                self.has_returned = True

        return capture

    def _with_defaults(self, function: Callable[..., Any]) -> dict[str, Any]:
        config = self.config
        return {
            name: value_in(config, name)
            for name, argument in inspect.signature(function).parameters.items()
            if (name in config or name in config.settings)
            and argument.default is not argument.empty
            and argument.kind is not argument.POSITIONAL_ONLY
        }

    @contextmanager
    def _measuring(self) -> Iterator[None]:
        __tracebackhide__ = True
        provenance.state(self.root)  # as it is now, not when the result is there
        self.is_running = True
        try:
            with measuring() as self.measured:
                yield
        finally:
            self.is_running = False

    def describe(self) -> None:
        """Put the result into plain data, for tables and the record's header."""
        self.described = describe_result(self.returned)

    def publish_result(self, output: str, *, replace: bool) -> Record:
        """Publish what the function returned, once it is described.

        :param output: what it printed and logged.
        :param replace: also over an earlier result.
        :raises UnstorableError: naming the part that does not pickle.
        :raises StoreError: the store cannot be written.
        """
        value = dump(self.returned)
        record = self._record(Outcome.PASSED, result=self.described)
        self.store.publish(record, self._details(output), value, replace=replace)
        self.store.forget_checkpoint(self.experiment.key)
        return record

    def publish_failure(self, error: str, traceback: str, output: str) -> Record:
        """Publish that it failed, with what is known up to there.

        :raises StoreError: the store cannot be written.
        """
        record = self.failure_record(error)
        self.store.publish(record, {**self._details(output), "traceback": traceback})
        return record

    def failure_record(self, error: str) -> Record:
        """Return what would be recorded if it failed now.

        :raises StoreError: the store cannot be written.
        """
        return self._record(Outcome.FAILED, error=error)

    def _details(self, output: str) -> dict[str, Any]:
        return {"metrics": self.context.series, "output": output}

    def _record(self, outcome: Outcome, **more: Any) -> Record:
        case, key = self.experiment.case, self.experiment.key
        parameters, settings = self._described_config
        self._keep_values(case.config, {**parameters, **settings})
        self.store.put_document(key.code, self.experiment.manifest)
        return Record(
            key=key,
            id=case.label,
            parameters=parameters,
            settings=settings,
            untracked=tuple(sorted(case.config.untracked)),
            outcome=outcome,
            started=self.measured.started,
            runtime=self.measured.runtime,
            cpu_time=self.measured.cpu_time,
            memory=self.measured.memory,
            metrics=metrics.last(self.context.series),
            progress=self.context.told_progress,
            environment=self._keep_environment(),
            host=provenance.host(),
            pid=os.getpid(),
            # One that has changed since an input was computed makes a mixture, which is no hit.
            files=files.merged((self._files, self.context.files)),
            seed=self.context.seed,
            inputs=_addresses(case.config, self.store) if self.experiment.inputs else {},
            **more,
        )

    @functools.cached_property
    def _described_config(self) -> tuple[dict[str, Value], dict[str, Value]]:
        case = self.experiment.case
        return describe_config(case.config, case.labels, case.digests)

    def _keep_environment(self) -> Digest:
        digest, environment = provenance.environment(self.root, self.command)
        self.store.put_document(digest, environment)
        return digest

    def _keep_values(self, config: Config, described: Mapping[str, Value]) -> None:
        """Keep what JSON cannot hold, so that ``result.config`` can be had back."""
        for name, value in (*config.items(), *config.settings.items()):
            is_input = isinstance(value, Input)
            if described[name].digest and not (described[name].is_plain or is_input):
                self.store.put_value(described[name].digest, value)


def _addresses(config: Config, own: Store) -> dict[str, tuple[str, ...]]:
    """Return parameter -> experiment, stem and store of the result that is its value."""
    return {
        name: (
            *(value.key.experiment, value.key.stem),
            *([value.store] if value.is_elsewhere(own.root) else []),
        )
        for name, value in config.items()
        if isinstance(value, Input)
    }


def run_async(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in an event loop of its own; in another thread where one runs in this."""
    import asyncio  # it takes as long to import as the rest of this package

    if not _has_loop():
        return asyncio.run(coroutine)
    from concurrent.futures import ThreadPoolExecutor

    context = contextvars.copy_context()
    with ThreadPoolExecutor(1, "memento-async") as threads:
        return threads.submit(context.run, asyncio.run, coroutine).result()


def _has_loop() -> bool:
    """Whether an event loop runs in this thread, as in a notebook."""
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
