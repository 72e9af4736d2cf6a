"""What a running experiment is handed beside its configuration."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from pathlib import Path
from typing import Any, TypeVar

from pytest_memento import container, files, metrics
from pytest_memento.config import Config
from pytest_memento.errors import (
    ContextError,
    DamagedError,
    MementoWarning,
    StoreError,
    UnstorableError,
)
from pytest_memento.fingerprint import Digest
from pytest_memento.metrics import Number, Series
from pytest_memento.pickling import dump
from pytest_memento.record import Key
from pytest_memento.rights import make
from pytest_memento.store import Store

T = TypeVar("T")

_SHOWN = 500
"""How many values of a metric those see who watch an experiment that runs."""


class Context:
    """Checkpoints, metrics, progress, a directory and a seed for one run of one experiment.

    An experiment gets it as its argument ``context``; making one is the plugin's business.

    :param key: what is computed.
    :param config: the configuration.
    :param store: where checkpoint and artifacts go.
    :param root: the project, which names of data files start from.
    :param inputs: parameter -> the stored result that is its value.
    """

    def __init__(
        self,
        key: Key,
        config: Config,
        store: Store,
        root: Path | None = None,
        inputs: Mapping[str, Any] | None = None,
    ) -> None:
        self._key = key
        self._config = config
        self._store = store
        self._root = root or Path.cwd()
        self._inputs = {} if inputs is None else inputs
        self._files: dict[str, Digest] = {}
        self._series: Series = {}
        self._progress: tuple[Number, Number] | None = None
        self.on_checkpoint: Callable[[], None] | None = None
        """Called when a checkpoint is whole."""

    @property
    def config(self) -> Config:
        """The configuration of this experiment."""
        return self._config

    def forget(self, config: Config) -> None:
        """Let go of values that may be large, when the experiment has ended."""
        self._config = config
        self._inputs = {}

    @property
    def inputs(self) -> Mapping[str, Any]:
        """Parameter -> the stored result of another experiment that is its value.

        Each is a :class:`pytest_memento.Result`: its configuration, its metrics, the directory of
        its files. Empty where the matrix has no :func:`pytest_memento.results_of`.
        """
        return dict(self._inputs)

    @property
    def key(self) -> str:
        """32 hexadecimal digits that stand for experiment, configuration and code."""
        return str(self._key)

    @property
    def seed(self) -> int:
        """A number below 2**32, always the same for this experiment and configuration.

        It does not depend on the code, so that an edit does not draw other random numbers; each
        repeat of ``repeats`` has its own.
        """
        return self._key.seed

    @property
    def dir(self) -> Path:
        """A directory for files that belong to the result; it is made on first use.

        It stays with the result. After a failure it is emptied, unless a checkpoint is there
        to go on from.
        """
        directory = self._store.inside(self._store.artifacts(self._key))
        make(directory, self._store.rights)
        return directory

    def checkpoint(self, value: object) -> None:
        """Save where the experiment stands, in place of what was saved before.

        The metrics so far are saved with it, and come back when it is restored. The earlier
        checkpoint stays until this one is whole. It is removed once there is a result.

        :raises UnstorableError: *value* cannot be pickled.
        :raises StoreError: the disk is full or read-only.
        """
        __tracebackhide__ = True
        try:
            self._store.save_checkpoint(self._key, dump(value), {"metrics": self._series})
        except (StoreError, UnstorableError) as error:
            # Where in the store it came up helps nobody.
            raise error.with_traceback(None) from None
        if self.on_checkpoint is not None:
            self.on_checkpoint()

    def restore(self, default: Any = None) -> Any:
        """Return what an earlier, unfinished run of this very experiment saved last.

        Other code or another configuration has other checkpoints. One that is damaged is not used,
        with a warning.

        :param default: returned if there is none.
        :raises ContextError: it cannot be read: it may be whole, and is not begun anew over it.
        """
        __tracebackhide__ = True
        path = self._store.inside(self._store.checkpoint(self._key))
        try:
            value = container.load_value(path, trusted=self._store.shared)
        except FileNotFoundError:
            return default
        except DamagedError as error:
            warnings.warn(
                MementoWarning(f"the checkpoint is not used: {error}; starting anew"), stacklevel=2
            )
            return default
        except OSError as error:
            raise ContextError(
                f"the checkpoint cannot be read ({error.strerror}): mend or remove {path}"
            ) from None
        known = self._store.checkpoint_details(self._key).get("metrics", {})
        self._series.update(
            {name: [(step, number) for step, number in points] for name, points in known.items()}
        )
        return value

    def checkpoint_exist(self) -> bool:
        """Tell whether :meth:`restore` has something to return."""
        return self._store.checkpoint(self._key).exists()

    def record(self, values: Mapping[str, Any], step: Number | None = None) -> None:
        """Record metrics.

        >>> context.record({"loss": 0.1, "accuracy": (epoch, 0.9)})  # doctest: +SKIP

        :param values: metric name -> real number of any kind, or -> (step, number).
        :param step: for values without a step of their own; by default 0, 1, 2, ...
        :raises ContextError: a value is not a real number; then none is recorded.
        """
        __tracebackhide__ = True
        for name, points in metrics.points(values, step, self._series).items():
            self._series.setdefault(name, []).extend(points)

    def depends_on(self, path: str | os.PathLike[str]) -> Path:
        """Say that the result depends on a data file: when that changes, the result is stale.

        >>> rows = context.depends_on("data/train.csv").read_text()  # doctest: +SKIP

        :param path: a file, or a directory with all that is in it. A relative one may start from
            the directory of the experiment's file, from the root directory, or from the current
            one: the first where it is there counts.
        :return: the path, absolute.
        :raises ContextError: there is no such file.
        """
        __tracebackhide__ = True
        place = self._find(path)
        digest = files.digest_now(place, self._store.file_digest)
        if digest == files.MISSING:
            raise ContextError(f"depends_on: there is no file or directory {place}")
        self._files = files.merged((self._files, {files.name_of(place, self._root): digest}))
        return place

    def _find(self, path: str | os.PathLike[str]) -> Path:
        own = self._root / self._key.experiment.partition("::")[0]
        given = os.path.expanduser(path)
        places = [Path(os.path.normpath(each / given)) for each in (own.parent, self._root)]
        here = Path(os.path.abspath(given))
        return next((place for place in places if place.exists()), here)

    def progress(self, done: Number, total: Number) -> None:
        """Tell how far the experiment is.

        :param done: steps that are done, of any unit.
        :param total: all steps.
        :raises ContextError: one of them is not a real number.
        """
        __tracebackhide__ = True
        self._progress = metrics.number(done, "done"), metrics.number(total, "total")

    def track(self, items: Iterable[T], total: int | None = None) -> Iterator[T]:
        """Yield *items* and tell the progress after each.

        :param items: for instance ``range(epochs)``.
        :param total: how many there are, if they have no length.
        :raises ContextError: the length is not known.
        """
        __tracebackhide__ = True
        if total is None:
            if not isinstance(items, Sized):
                raise ContextError("track does not know the length: give it total=...")
            total = len(items)
        self.progress(0, total)
        for done, item in enumerate(items, start=1):
            yield item
            self.progress(done, total)

    @property
    def series(self) -> Series:
        """What was recorded so far: metric name -> list of (step, value)."""
        return self._series

    @property
    def files(self) -> Mapping[str, Digest]:
        """The data files that it depends on, with the digests they had."""
        return self._files

    def sign_of_life(self) -> dict[str, Any]:
        """Return how far it is, for those who watch: JSON data."""
        series = {name: points[-_SHOWN:] for name, points in list(self._series.items())}
        return {"progress": self._progress, "series": series}

    @property
    def told_progress(self) -> tuple[Number, Number] | None:
        """(done, total) as told last."""
        return self._progress
