"""``Memento(experiment).run(matrix)``: experiments from a script, a notebook, a test.

It starts a session of pytest in this process, so keys, store, claims, schedule and reports are
those of ``pytest experiments/``.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_memento import display
from pytest_memento.amounts import duration
from pytest_memento.callables import subject_of
from pytest_memento.errors import (
    CacheMiss,
    ExperimentsFailed,
    MementoError,
    MementoWarning,
    StoreError,
)
from pytest_memento.experiment import Experiment
from pytest_memento.labels import label, one_line
from pytest_memento.loaded import Loaded
from pytest_memento.matrix import Expansion
from pytest_memento.processors import usable
from pytest_memento.providers import NotificationProvider
from pytest_memento.record import Outcome
from pytest_memento.results import Result, Results

if TYPE_CHECKING:
    from pytest_memento.plugin.calling import Outcome as Ended
    from pytest_memento.plugin.given import Given

Notify = str | NotificationProvider | Sequence["str | NotificationProvider"] | None
"""Who is told: targets as of ``--memento-notify``, objects that want to be called, or several."""

_loaded = Loaded()
_MOST_FAILURES = 5


class Memento:
    """Runs a function for each configuration of a matrix; what is stored is not run again.

    >>> def experiment(context, config):
    ...     return config.x**2
    >>> results = Memento(experiment).run({"parameters": {"x": [1, 2, 3]}})  # doctest: +SKIP
    >>> [result.value for result in results]  # doctest: +SKIP
    [1, 4, 9]

    :param experiment: a function, method, class, partial or any other callable, also one that is
        ``async``. It takes ``context`` and ``config``, one of these, or parameters and settings by
        their names. Two arguments of other names get the context and the configuration.
    :param notify: who is told what goes on: targets as of ``--memento-notify``, or objects with
        the methods of :class:`NotificationProvider`.
    :param num_workers: how many processes run experiments; by default as many as there are
        processors to use. With 1 they run in this process, one after the other.
    :param notification_provider: the same as *notify*, by its name in Memento.
    """

    def __init__(
        self,
        experiment: Callable[..., Any],
        notify: Notify = None,
        num_workers: int | None = None,
        *,
        notification_provider: Notify = None,
    ) -> None:
        self.experiment = experiment
        self._notify = notify if notify is not None else notification_provider
        self._workers = _checked(num_workers, "num_workers")
        subject_of(experiment, ())

    def run(  # noqa: PLR0913  # Memento's own, in its order, and ours behind these
        self,
        matrix: Any,
        dry_run: bool = False,
        force_run: bool = False,
        force_cache: bool = False,
        cache_path: str | os.PathLike[str] | None = None,
        notify_on_complete: bool = True,
        *,
        workers: int | None = None,
        notify: Notify = None,
        verbose: bool = False,
        raise_on_failure: bool = False,
    ) -> Results | None:
        """Run what is not stored, and return all results in the order of the matrix.

        A failure is a result with ``error`` and ``traceback``; the others are run all the same.
        What a mark skips or nothing has begun is not among them, and counted in ``missing``.

        :param matrix: a dict, or a list of dicts, as the matrix of an experiment file.
        :param dry_run: print what would be run, and why; run nothing and return ``None``.
        :param force_run: run all again, and replace what is stored when that has passed.
        :param force_cache: run nothing.
        :param cache_path: the directory of the store; by default where pytest would have it.
        :param notify_on_complete: whether anybody is told.
        :param workers: as *num_workers* of :class:`Memento`, for this run.
        :param notify: as that of :class:`Memento`, for this run.
        :param verbose: show what pytest shows, in place of a line about the progress.
        :param raise_on_failure: raise in the end if an experiment has failed.
        :raises MatrixError: the matrix cannot be expanded.
        :raises ExperimentsFailed: as asked for; it has the results.
        :raises CacheMiss: *force_cache*, and a result is not there.
        :raises MementoError: the experiment cannot be run with this matrix, or not by workers.
        :raises KeyboardInterrupt: Ctrl-C, when what was running has ended and is stored; the second
            one ends that, too.
        """
        from pytest_memento import bundle  # which imports cloudpickle

        if bundle.is_loading():
            raise MementoError(
                "Memento(...).run is called while a worker imports the module of the experiment:"
                " put it under if __name__ == '__main__'"
            )
        if force_run and force_cache:
            raise MementoError("force_run runs all and force_cache nothing: choose one")
        chosen = notify if notify is not None else self._notify
        session = _Session(
            self.experiment,
            matrix,
            store=cache_path,
            told=_told(chosen) if notify_on_complete else [None],
            is_verbose=verbose,
        )
        if dry_run:
            session.preview(force_run=force_run)
            return None
        mode = "refresh" if force_run else "only" if force_cache else "use"
        given = _checked(workers, "workers") or self._workers
        return session.run(mode, given, raise_on_failure=raise_on_failure)


class _Session:
    """One run: an experiment with its matrix, and where its results are.

    :param told: who is told what goes on; ``None`` for nobody, whatever the ini file says.
    """

    def __init__(
        self,
        experiment: Callable[..., Any],
        matrix: Any,
        *,
        store: str | os.PathLike[str] | None,
        told: Sequence[str | NotificationProvider | None],
        is_verbose: bool,
    ) -> None:
        from pytest_memento.plugin.choices import expansion_of

        self.matrix = matrix
        self.expansion = expansion_of(matrix)
        self.subject = subject_of(experiment, self.expansion.names)
        self.is_verbose = is_verbose
        self.told = told
        self._options = [f"--memento-dir={os.path.abspath(store)}"] if store is not None else []

    # -- dry run -----------------------------------------------------------------------------------

    def preview(self, *, force_run: bool) -> None:
        """Print each configuration, with what is known of it."""
        outcome, _ = self._call(["--collect-only"], 0)
        print("Running configurations:")
        for experiment, standing in zip(outcome.experiments, outcome.standings, strict=True):
            status = f"{standing.status.word}: {standing.reason}".removesuffix(": ")
            if force_run and not standing.status.runs:
                status += ", run again"
            print(f"  {_configuration(experiment)}  {status}")
        print("Exiting due to dry run")

    # -- running -----------------------------------------------------------------------------------

    def run(self, mode: str, workers: int | None, *, raise_on_failure: bool) -> Results:
        """Run the session, and return what came out."""
        for remark in self.expansion.remarks:
            warnings.warn(MementoWarning(remark), stacklevel=4)
        began = time.monotonic()
        outcome = self._called([f"--memento-cache={mode}", *self._targets()], workers)
        results = self._results(outcome)
        if not self.is_verbose:
            self._tell(outcome, time.monotonic() - began)
        self._pass_on(outcome)
        for provider in self._providers():
            _try(provider.all_tasks_completed)
        failures = self._failures(outcome)
        if mode == "only" and failures:
            raise CacheMiss([*failures])
        if raise_on_failure and failures:
            raise ExperimentsFailed(failures, results)
        return results

    def _called(self, options: Sequence[str], workers: int | None) -> Ended:
        """Call for a session; where nobody asked for workers and there can be none, without."""
        number = usable() if workers is None else workers
        outcome, given = self._call(options, number if number > 1 else 0)
        if workers is None and given.unpicklable:
            reason = f"{given.unpicklable}; so they run in this process, one after the other"
            warnings.warn(MementoWarning(reason), stacklevel=5)
            outcome, _ = self._call(options, 0)
        elif given.unpicklable:
            raise given.unpicklable
        return outcome

    def _call(self, options: Sequence[str], workers: int) -> tuple[Ended, Given]:
        from pytest_memento.plugin.calling import Call, call
        from pytest_memento.plugin.given import Given

        place = self.subject.place
        given = Given(self.subject, self.matrix, _without_remarks(self.expansion), _loaded)
        providers = self._providers()

        def on_end(has_failed: bool) -> None:
            for provider in providers:
                _try(provider.task_failure if has_failed else provider.task_completed)

        outcome = call(
            Call(
                given,
                [*self._options, *options],
                near=os.getcwd() if place.startswith("<") else place,
                workers=workers,
                typed=sys.orig_argv,
                is_verbose=self.is_verbose,
                on_end=on_end if providers else None,
            )
        )
        _refuse(outcome, given)
        return outcome, given

    def _targets(self) -> list[str]:
        """Return the options that say who is told."""
        texts = ["none" if each is None else each for each in self.told]
        return [f"--memento-notify={each}" for each in texts if isinstance(each, str)]

    def _providers(self) -> list[NotificationProvider]:
        return [each for each in self.told if each is not None and not isinstance(each, str)]

    # -- what came out -----------------------------------------------------------------------------

    def _results(self, outcome: Ended) -> Results:
        store = outcome.store
        assert store is not None
        found = []
        for position, experiment in enumerate(outcome.experiments):
            ended = outcome.ends.get(position)
            word = ended.value if ended is not None else ""
            failed = word == "failed"
            if word not in ("cached", "passed", "failed"):
                continue
            which = Outcome.FAILED if failed else Outcome.PASSED
            record = store.find(experiment.key, which)
            if record is not None:
                is_cached = word == "cached"
                found.append(Result(record, store, Path(outcome.root), was_cached=is_cached))
        return Results(found, len(outcome.experiments) - len(found))

    def _failures(self, outcome: Ended) -> dict[str, str]:
        experiments = outcome.experiments
        return {experiments[n].case.label: text for n, text in sorted(outcome.errors.items())}

    def _pass_on(self, outcome: Ended) -> None:
        """Pass on what has ended the session, but for experiments that failed.

        :raises KeyboardInterrupt: Ctrl-C.
        """
        if outcome.signal:  # which would have ended this process without us
            signal.raise_signal(outcome.signal)
        if outcome.interrupted is not None:
            if isinstance(outcome.interrupted, KeyboardInterrupt):
                raise KeyboardInterrupt(*outcome.interrupted.args)
            raise MementoError(f"the run was stopped: {outcome.interrupted}")

    def _tell(self, outcome: Ended, seconds: float) -> None:
        """Say what came out, in a line or two."""
        counts: dict[str, int] = {}
        for ended in outcome.ends.values():
            counts[ended.value] = counts.get(ended.value, 0) + 1
        total = len(outcome.experiments)
        if missing := total - len(outcome.ends):
            counts["not run"] = missing
        words = ", ".join(f"{number} {word}" for word, number in counts.items())
        plural = "" if total == 1 else "s"
        shown = display.line()
        for label_, error in [*self._failures(outcome).items()][:_MOST_FAILURES]:
            shown.say(f"memento: failed: {label_}: {error}")
        if len(outcome.errors) > _MOST_FAILURES:
            shown.say(f"memento: ... and {len(outcome.errors) - _MOST_FAILURES} more")
        shown.say(f"memento: {total} experiment{plural}: {words} in {duration(seconds)}")
        shown.close()


def _refuse(outcome: Ended, given: Given) -> None:
    """Raise what has kept the session from running.

    :raises MementoError: in one line.
    """
    if given.unpicklable:
        return
    if given.refused is not None:
        if isinstance(given.refused, MementoError):
            raise given.refused
        raise MementoError(str(given.refused)) from None
    if outcome.usage:
        is_store = "the store" in outcome.usage
        raise (StoreError if is_store else MementoError)(outcome.usage)
    if outcome.internal:
        raise MementoError(f"pytest has failed:\n{outcome.internal}")
    if not outcome.experiments:
        raise MementoError("pytest could not be started; what it has printed says why")


def _checked(number: int | None, name: str) -> int | None:
    if number is None:
        return None
    if type(number) is not int or number < 0:
        raise MementoError(f"{name} takes a number of processes such as 4, not {number!r}")
    return max(number, 1)


def _told(notify: Notify) -> list[str | NotificationProvider | None]:
    """Return who is told, each checked for being somebody who can be."""
    if notify is None:
        return []
    several = notify if isinstance(notify, (list, tuple)) else [notify]
    for each in several:
        if not isinstance(each, (str, NotificationProvider)):
            raise MementoError(
                "notify takes targets as of --memento-notify, or objects with the methods"
                f" task_completed, task_failure and all_tasks_completed, not {each!r}"
            )
    return [*several]


def _try(tell: Callable[[], object]) -> None:
    """Tell somebody; what goes wrong with that is a warning, and no failure."""
    try:
        tell()
    except Exception as error:
        text = one_line(f"notification failed: {type(error).__name__}: {error}", 200)
        warnings.warn(MementoWarning(text), stacklevel=2)


def _without_remarks(expansion: Expansion) -> Expansion:
    return Expansion(expansion.cases, expansion.excluded, (), expansion.names)


def _configuration(experiment: Experiment) -> str:
    """Return a configuration in words, as ``{'model': sklearn.svm.SVC, 'lr': 0.1}``."""
    values = experiment.case.config.items()
    return "{" + ", ".join(f"{name!r}: {_word(value)}" for name, value in values) + "}"


def _word(value: object) -> str:
    name = getattr(value, "__qualname__", None)
    if isinstance(name, str) and callable(value):
        return _public_name(value, name)
    if isinstance(value, (str, int, float, bool, type(None))):
        return one_line(repr(value), 60)
    return label(value)


def _public_name(value: object, name: str) -> str:
    """Return where something is found from outside: ``sklearn.svm.SVC``."""
    module = str(getattr(value, "__module__", ""))
    if module in ("", "None", "builtins", "__main__"):
        return name
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        shorter = ".".join(parts[:end])
        if getattr(sys.modules.get(shorter), name, None) is value:
            return f"{shorter}.{name}"
    return f"{module}.{name}"
