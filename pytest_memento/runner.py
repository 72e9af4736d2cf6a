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
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
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
from pytest_memento.experiment import Experiment, Standing
from pytest_memento.labels import label, one_line
from pytest_memento.loaded import Loaded
from pytest_memento.pipeline import Stage, in_order, names_of, only, stage
from pytest_memento.processors import usable
from pytest_memento.providers import NotificationProvider
from pytest_memento.record import Outcome
from pytest_memento.results import Result, Results
from pytest_memento.summary import lacks

if TYPE_CHECKING:
    from pytest_memento.plugin.calling import Outcome as Ended
    from pytest_memento.plugin.given import Given

Notify = str | NotificationProvider | Sequence["str | NotificationProvider"] | None
"""Who is told: targets as of ``--memento-notify``, objects that want to be called, or several."""

_loaded = Loaded()
_MOST_FAILURES = 5
_LONGEST = 200
"""Characters of an error."""


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
        self._stages: list[Stage] = []
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
        :raises MementoError: the experiment cannot be run with this matrix, or not by workers; or
            this is a thread that an experiment of another run waits for.
        :raises KeyboardInterrupt: Ctrl-C, when what was running has ended and is stored; the second
            one ends that, too.
        """
        wanted = _Wanted(
            dry_run, force_run, force_cache, cache_path, notify_on_complete, workers, notify,
            verbose, raise_on_failure,
        )  # fmt: skip
        results = self._run([only(matrix)], wanted)
        return None if results is None else results[None]

    def add_matrix(self, matrix: Mapping[str, Any]) -> None:
        """Add a matrix to those that :meth:`run_all` runs.

        >>> memento = Memento(lambda config: config.get("small", 0) + config.x)
        >>> memento.add_matrix({"id": "small", "parameters": {"x": [1, 2]}})
        >>> large = {"id": "large", "parameters": {"x": [100]}, "dependencies": ["small"]}
        >>> memento.add_matrix(large)

        Beside the keys of any matrix it has an ``id``, and maybe ``dependencies``: a list of ids.
        For each of these there is a parameter of that name, whose values are the results of that
        matrix.

        :raises MatrixError: what is wrong with the id or the dependencies, in one line.
        """
        self._stages.append(stage(matrix))

    def run_all(  # noqa: PLR0913  # those of run
        self,
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
    ) -> dict[Any, Results] | None:
        """Run all matrices that were added, as one: an experiment runs when its inputs are there.

        If an input fails, the experiments that need it are not run; the others are.

        The arguments and errors are those of :meth:`run`.

        :return: id -> results, in the order in which the matrices were added.
        :raises CyclicDependency: matrices depend on each other.
        :raises MatrixError: an id is there twice, or one that is depended on is not there.
        """
        wanted = _Wanted(
            dry_run, force_run, force_cache, cache_path, notify_on_complete, workers, notify,
            verbose, raise_on_failure,
        )  # fmt: skip
        if not self._stages:
            raise MementoError("run_all has nothing to run: add matrices by add_matrix first")
        results = self._run(in_order(self._stages), wanted)
        return results and {each.id: results[each.id] for each in self._stages}

    def _run(self, stages: Sequence[Stage], wanted: _Wanted) -> dict[Any, Results] | None:
        workers = self._workers if wanted.workers is None else wanted.workers
        notify = self._notify if wanted.notify is None else wanted.notify
        wanted = replace(wanted, workers=workers, notify=notify)
        session = _Session(self.experiment, stages, wanted)
        if wanted.dry_run:
            session.preview()
            return None
        return session.run()


@dataclass(frozen=True)
class _Wanted:
    """How to run, see :meth:`Memento.run`."""

    dry_run: bool
    force_run: bool
    force_cache: bool
    cache_path: str | os.PathLike[str] | None
    notify_on_complete: bool
    workers: int | None
    notify: Notify
    verbose: bool
    raise_on_failure: bool

    def __post_init__(self) -> None:
        if self.force_run and self.force_cache:
            raise MementoError("force_run runs all and force_cache nothing: choose one")
        object.__setattr__(self, "workers", _checked(self.workers, "workers"))

    @property
    def mode(self) -> str:
        return "refresh" if self.force_run else "only" if self.force_cache else "use"

    @property
    def told(self) -> list[str | NotificationProvider | None]:
        """Who is told what goes on; ``None`` for nobody, whatever the ini file says."""
        return _told(self.notify) if self.notify_on_complete else [None]


class _Session:
    """One run: an experiment with its matrices, and where its results are.

    :param stages: the matrices, each behind those that it depends on.
    :param wanted: how to run.
    """

    def __init__(
        self, experiment: Callable[..., Any], stages: Sequence[Stage], wanted: _Wanted
    ) -> None:
        from pytest_memento import bundle  # which imports cloudpickle

        if bundle.is_loading():
            raise MementoError(
                "Memento(...).run is called while a worker imports the module of the experiment:"
                " put it under if __name__ == '__main__'"
            )
        self.stages = stages
        self.subject = subject_of(experiment, names_of([each.matrix for each in stages]))
        self.wanted = wanted
        self.told = wanted.told
        self._options: list[str] = []
        if wanted.cache_path is not None:
            store = os.path.expanduser(os.path.expandvars(wanted.cache_path))
            self._options = [f"--memento-dir={os.path.abspath(store)}"]

    # -- dry run -----------------------------------------------------------------------------------

    def preview(self) -> None:
        """Print each configuration, with what is known of it."""
        outcome, given = self._call(["--collect-only"], 0)
        for each in self.stages:
            of_which = "" if each.id is None else f" for matrix {each.id!r}"
            print(f"Running configurations{of_which}:")
            for place in given.places[each.id]:
                experiment, standing = outcome.experiments[place], outcome.standings[place]
                status = _standing(standing)
                if self.wanted.force_run and not standing.status.runs:
                    status += ", run again"
                print(f"  {_configuration(experiment)}  {status}")
        print("Exiting due to dry run")

    # -- running -----------------------------------------------------------------------------------

    def run(self) -> dict[Hashable, Results]:
        """Run the session, and return what came out of each stage."""
        began = time.monotonic()
        outcome, given = self._called([f"--memento-cache={self.wanted.mode}", *self._targets()])
        for remark in given.remarks:
            warnings.warn(MementoWarning(remark), stacklevel=4)
        found, failures = self._found(outcome), self._failures(outcome)
        is_missed = self.wanted.force_cache and bool(failures)  # of which the error tells all
        if not self.wanted.verbose and not is_missed:
            self._tell(outcome, time.monotonic() - began)
        self._pass_on(outcome)
        for provider in self._providers():
            _try(provider.all_tasks_completed)
        if is_missed:
            raise CacheMiss([*failures], _standing(outcome.standings[min(outcome.errors)]))
        if self.wanted.raise_on_failure and failures:
            everything = [*found.values()]
            raise ExperimentsFailed(
                failures, Results(everything, len(outcome.experiments) - len(everything))
            )
        return {name: _results(places, found) for name, places in given.places.items()}

    def _called(self, options: Sequence[str]) -> tuple[Ended, Given]:
        """Call for a session; where nobody asked for workers and there can be none, without."""
        workers = self.wanted.workers
        number = usable() if workers is None else workers
        outcome, given = self._call(options, number if number > 1 else 0)
        # What workers have died of is not to end this process, too.
        if workers is None and given.unpicklable and not given.has_begun:
            reason = f"{given.unpicklable}; so they run in this process, one after the other"
            warnings.warn(MementoWarning(reason), stacklevel=5)
            return self._call(options, 0)
        if given.unpicklable:
            raise given.unpicklable
        return outcome, given

    def _call(self, options: Sequence[str], workers: int) -> tuple[Ended, Given]:
        from pytest_memento.plugin.calling import Call, call
        from pytest_memento.plugin.given import Given

        place = self.subject.place
        given = Given(self.subject, self.stages, _loaded)
        given.has_asked = self.wanted.workers is not None
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
                is_verbose=self.wanted.verbose,
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

    def _found(self, outcome: Ended) -> dict[int, Result]:
        """Return place -> what came out of the experiment there."""
        store = outcome.store
        assert store is not None
        found = {}
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
                found[position] = Result(record, store, Path(outcome.root), was_cached=is_cached)
        return found

    def _failures(self, outcome: Ended) -> dict[str, str]:
        experiments = outcome.experiments
        errors = sorted(outcome.errors.items())
        return {experiments[n].case.label: one_line(text, _LONGEST) for n, text in errors}

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
        from pytest_memento.plugin import reports

        ends, total = Counter(outcome.ends.values()), len(outcome.experiments)
        counts = [(ends[each], each.value) for each in reports.Ended]
        counts.append((total - len(outcome.ends), "not run"))
        words = ", ".join(f"{number} {word}" for number, word in counts if number)
        plural = "" if total == 1 else "s"
        shown = display.line()
        for label_, error in [*self._failures(outcome).items()][:_MOST_FAILURES]:
            shown.say(f"memento: failed: {label_}: {error}")
        if len(outcome.errors) > _MOST_FAILURES:
            shown.say(f"memento: ... and {len(outcome.errors) - _MOST_FAILURES} more")
        for text in lacks(outcome.lacks.values()):
            shown.say(f"memento: {text}")
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
            # Where in the session it came up helps nobody.
            raise given.refused.with_traceback(None)
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


def _standing(standing: Standing) -> str:
    """Return what is known of a configuration, as ``stale: setting n: 5 -> 10``."""
    return f"{standing.status.word}: {standing.reason}".removesuffix(": ")


def _results(places: Sequence[int], found: Mapping[int, Result]) -> Results:
    there = [found[place] for place in places if place in found]
    return Results(there, len(places) - len(there))


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
