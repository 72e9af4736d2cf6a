"""Where results live: one file per result, published by rename.

    <store>/results/<experiment>/<parameters>-<settings>-<code>.result    or .failure
            artifacts/<experiment>/<key>/        what context.dir was given
            checkpoints/<experiment>/<key>       of experiments that have not ended
            claims/<experiment>/<key>.lock       of experiments that run now
            running/<host>-<pid>-<random>        what each process runs
            documents/<digest>                   code manifests and environments, by content
            values/<digest>                      parameters and settings that JSON cannot hold
            plans/<experiment>                   what the last session's matrix held, in order
            logs/<experiment>/<label>-<key>.log  output of experiments that run now
            digests/<path>                       of large data files, so that each is read once
            sessions/<options>                   whether the last session left something to run
            slurm/<time>-<random>/               what was submitted, and what its tasks tell
            cached/                              a store of what @cached functions returned
            aside/                               files that were found damaged

The names alone answer "is it there?"; headers answer every table; values are read on access.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import shutil
import stat
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pytest_memento import container
from pytest_memento.errors import (
    DamagedError,
    DistrustedError,
    MementoWarning,
    ResultNotLoadedError,
    StoreError,
    UnstorableError,
)
from pytest_memento.files import digest_content
from pytest_memento.fingerprint import Digest
from pytest_memento.pickling import Pickled, dump
from pytest_memento.record import STEM, Key, Outcome, Past, Record
from pytest_memento.rights import PRIVATE, SHARED, make

T = TypeVar("T")

_IGNORE = "# Made by pytest-memento.\n*\n"
_LARGE = 1 << 20
"""Bytes from which on the digest of a data file is remembered."""
_SETTLED = 2_000_000_000
"""Nanoseconds after which a file's time tells whether it has changed."""
_PRECIOUS = 0.1
"""Seconds from which on a run is worth that its directory is flushed, too: that takes as long as to
flush the file, and without it ext4 writes the name within 5 s."""
_KEPT = 600.0
"""Seconds for which a document that was put or touched is not looked for again."""
_SUFFIXES = {f".{outcome.value}": outcome for outcome in Outcome}


@dataclass(frozen=True, slots=True)
class Usage:
    """What a store holds: number of results, and bytes of all result files."""

    results: int
    size: int


class Listing:
    """The names of one experiment's files: what is there, without opening any."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)

    def __contains__(self, entry: tuple[Key, Outcome]) -> bool:
        key, outcome = entry
        return f"{key.stem}.{outcome.value}" in self._names

    @property
    def stems(self) -> dict[str, Outcome]:
        """Stem -> outcome; a result wins over a failure."""
        found: dict[str, Outcome] = {}
        for name in sorted(self._names):  # ".failure" sorts before ".result"
            stem, dot, suffix = name.rpartition(".")
            found[stem] = _SUFFIXES[dot + suffix]
        return found

    def outside(self, keys: Iterable[Key]) -> list[str]:
        """Return stems of results whose parameters are not those of any of *keys*, one for each."""
        inside = {key.parameters[:STEM] for key in keys}
        found = {
            name.partition("-")[0]: name.removesuffix(".result")
            for name in self._names
            if name.endswith(".result")
        }
        return sorted(stem for start, stem in found.items() if start not in inside)

    def related(self, key: Key) -> list[tuple[str, Outcome]]:
        """Return the files of the same parameters with other settings or other code."""
        start = key.stem.partition("-")[0]
        return self._by_parameters.get(start, [])

    @cached_property
    def _by_parameters(self) -> dict[str, list[tuple[str, Outcome]]]:
        found: dict[str, list[tuple[str, Outcome]]] = {}
        for stem, outcome in self.stems.items():
            found.setdefault(stem.partition("-")[0], []).append((stem, outcome))
        return found


class Store:
    """A directory of results. Making one touches nothing; directories are made on first write.

    :param root: the directory.
    :param shared: trust values that other users wrote, and let them have what is written here, as
        far as the umask does.
    """

    def __init__(self, root: Path, *, shared: bool = False) -> None:
        self.root = root
        self.shared = shared
        self.rights = SHARED if shared else PRIVATE
        self._results = os.fspath(root / "results")
        self._kept: dict[Path, float] = {}
        self._inside: set[str] = set()

    # -- asking ------------------------------------------------------------------------------------

    def listing(self, experiment: str) -> Listing:
        """Return what is there of an experiment: one pass over one directory.

        :raises StoreError: a link leads out of the store.
        """
        directory = self.root / "results" / slug(experiment)
        return Listing(_names(self.inside(directory / "_").parent))

    def usage(self) -> Usage:
        """Count results and bytes, without opening a file."""
        results = size = 0
        for directory in self._directories():
            for entry in _entries(directory):
                if entry.name.endswith(".result"):
                    results += 1
                    with contextlib.suppress(OSError):
                        size += entry.stat().st_size
        return Usage(results, size)

    def read(self, experiment: str, stem: str, outcome: Outcome) -> Record | None:
        """Return a record, or ``None`` if there is none.

        A damaged file is set aside with a warning: it counts as a miss.
        """
        return self._header(experiment, stem, outcome, Record.from_json)

    def peek(self, experiment: str, stem: str, outcome: Outcome) -> Record | None:
        """Return a record, or ``None`` if there is none; what is damaged is left where it is."""
        try:
            return Record.from_json(container.read_header(self._path(experiment, stem, outcome)))
        except (OSError, DamagedError):
            return None

    def written(self, experiment: str, stem: str, outcome: Outcome) -> float:
        """Return when a record was written, by the clock of the disk; 0 if there is none."""
        try:
            return os.stat(self._path(experiment, stem, outcome)).st_mtime
        except OSError:
            return 0.0

    def past(self, key: Key) -> Past | None:
        """Return what a look-up needs of a result, if it is there.

        This is all that a hit needs, for many thousands of them.
        """
        return self._header(key.experiment, key.stem, Outcome.PASSED, Record.past_of)

    def find(self, key: Key, outcome: Outcome = Outcome.PASSED) -> Record | None:
        """Return the record of *key*, or ``None``."""
        return self.read(key.experiment, key.stem, outcome)

    def records(self) -> Iterator[Record]:
        """Yield all records, newest code or not, reading headers only."""
        for directory in self._directories():
            for stem, outcome in Listing(_names(directory)).stems.items():
                path = f"{directory}/{stem}.{outcome.value}"
                try:
                    yield Record.from_json(container.read_header(path))
                except FileNotFoundError:  # replaced while we look
                    continue
                except DamagedError as error:
                    warnings.warn(MementoWarning(f"{path} is skipped: {error}"), stacklevel=2)

    def details(self, record: Record) -> dict[str, Any]:
        """Return what a header leaves out: metric series, traceback, output."""
        key = record.key
        return container.read_details(self._path(key.experiment, key.stem, record.outcome))

    def load(self, key: Key) -> Any:
        """Load the value of a result.

        :raises ResultNotLoadedError: it is damaged, not trusted, or its classes are gone.
        """
        path = self.path(key, Outcome.PASSED)
        return self._load(path, f"the result of {key.experiment}")

    # -- publishing --------------------------------------------------------------------------------

    def publish(
        self,
        record: Record,
        details: Mapping[str, Any],
        value: Pickled | None = None,
        *,
        replace: bool = False,
    ) -> bool:
        """Publish a record; the first one of a key stays unless *replace*.

        :return: whether this one is now the stored one.
        :raises StoreError: the disk is full, read-only or not ours.
        """
        path = self.path(record.key, record.outcome)
        failed = record.outcome is Outcome.FAILED
        with self._writing(path):
            self.make_root()
            header, replace = record.to_json(), replace or failed
            durable = record.runtime >= _PRECIOUS
            done = self._write(path, header, details, value, replace=replace, durable=durable)
            if not done and self.find(record.key, record.outcome) is None:
                # What is there was damaged, and is set aside.
                done = self._write(path, header, details, value, replace=True)
            if not failed:
                self.path(record.key, Outcome.FAILED).unlink(missing_ok=True)
        return done

    def take_over(self, before: Record, record: Record) -> bool:
        """Publish the result of *before* under the key of *record*, with what belongs to it.

        :return: whether this one is now the stored one.
        :raises StoreError: the result is damaged, or the disk is full, read-only or not ours.
        """
        source, path = (self.path(each.key, Outcome.PASSED) for each in (before, record))
        with self._writing(path):
            artifacts = self.artifacts(before.key)
            if artifacts.is_dir() and source != path:
                target = self.inside(self.artifacts(record.key))
                shutil.copytree(artifacts, target, dirs_exist_ok=True, symlinks=True)
            done = container.copy(
                source, path, record.to_json(), replace=source == path, rights=self.rights
            )
            self.path(record.key, Outcome.FAILED).unlink(missing_ok=True)
        return done

    def put_document(self, digest: str, document: Mapping[str, Any]) -> None:
        """Keep JSON data under its fingerprint, once.

        :raises StoreError: the disk is full, read-only or not ours.
        """
        self._put_once(self.root / "documents" / digest, document, lambda: None)

    def document(self, digest: str) -> dict[str, Any]:
        """Return a document, empty if it is not there."""
        try:
            path = self.inside(self.root / "documents" / digest)
            return container.read_details(path)
        except DamagedError as error:
            self._set_aside(path)
            message = f"{error}: set aside; what it said of results is lost"
            warnings.warn(MementoWarning(message), stacklevel=2)
            return {}
        except (OSError, StoreError):
            return {}

    def put_value(self, digest: str, value: object) -> None:
        """Keep a parameter or setting under its fingerprint, once, if it can be pickled.

        :raises StoreError: the disk is full, read-only or not ours.
        """
        with contextlib.suppress(UnstorableError):
            self._put_once(self.root / "values" / digest, {}, lambda: dump(value))

    def value(self, digest: str) -> Any:
        """Load a parameter or setting.

        :raises ResultNotLoadedError: it is not there, or cannot be brought back.
        """
        return self._load(self.root / "values" / digest, "the value")

    def put_plan(self, experiment: str, stems: Sequence[str]) -> None:
        """Remember which configurations the matrix of an experiment holds, in order."""
        if self.plan(experiment) != list(stems):
            path = self.root / "plans" / slug(experiment)
            with self._writing(path):
                self.make_root()
                self._write(path, {"experiment": experiment}, {"stems": list(stems)})

    def plans(self) -> list[str]:
        """Return the experiments that were ever collected for a run, by name."""
        names = []
        for entry in _entries(self.root / "plans"):
            if entry.name.startswith("."):  # left behind by a process that was killed
                continue
            with contextlib.suppress(OSError, DamagedError, KeyError):
                names.append(str(container.read_header(Path(entry.path))["experiment"]))
        return sorted(names)

    def plan(self, experiment: str) -> list[str] | None:
        """Return the stems of the last session's configurations, ``None`` if there was none."""
        try:
            path = self.inside(self.root / "plans" / slug(experiment))
            stems = container.read_details(path)["stems"]
        except (OSError, StoreError, KeyError):
            return None
        return [str(stem) for stem in stems]

    def make_root(self) -> None:
        """Make the directory, private unless it is shared, and ignored by git.

        :raises OSError: it cannot be made.
        """
        ignore = self.root / ".gitignore"
        if not ignore.exists():
            self.root.mkdir(mode=self.rights.directory, parents=True, exist_ok=True)
            ignore.write_text(_IGNORE, encoding="utf-8")

    def file_digest(self, path: Path) -> Digest:
        """Return the digest of a data file's content; a large one is read only after a change.

        :raises OSError: it cannot be read.
        """
        found = path.stat()
        signature = [found.st_size, found.st_mtime_ns, found.st_ino]
        name = hashlib.blake2b(os.fsencode(path.resolve()), digest_size=16).hexdigest()
        memo = self.root / "digests" / name
        with contextlib.suppress(OSError, DamagedError):
            known = container.read_details(memo)
            if known.get("signature") == signature:
                _touched(memo)
                return Digest(known["digest"])
        digest = digest_content(path)
        # Right after a change, another one might leave the same time on the file.
        settled = time.time_ns() - found.st_mtime_ns > _SETTLED
        if found.st_size >= _LARGE and settled and self.root.is_dir():
            with contextlib.suppress(OSError):
                self._write(memo, {}, {"signature": signature, "digest": digest})
        return digest

    # -- working space -----------------------------------------------------------------------------

    def artifacts(self, key: Key) -> Path:
        """Return the directory of the files that belong to a result; it may not be there."""
        return self.root / "artifacts" / slug(key.experiment) / key.stem

    def checkpoint(self, key: Key) -> Path:
        """Return the file of an experiment's checkpoint; it may not be there."""
        return self.root / "checkpoints" / slug(key.experiment) / key.stem

    def claim(self, key: Key) -> Path:
        """Return the file that marks an experiment as running; it may not be there."""
        return self.root / "claims" / slug(key.experiment) / f"{key.stem}.lock"

    def log(self, key: Key, label: str) -> Path:
        """Return the file that shows the output of an experiment while it runs.

        :param label: for people who look for it.
        """
        readable = re.sub(r"[^A-Za-z0-9_.=]+", "_", label)[:80]
        return self.root / "logs" / slug(key.experiment) / f"{readable}-{key.stem}.log"

    def path(self, key: Key, outcome: Outcome) -> Path:
        """Return the file of a record; it may not be there."""
        return Path(self._path(key.experiment, key.stem, outcome))

    def start_clean(self, key: Key) -> None:
        """Remove what an earlier attempt left behind, unless it left a checkpoint to go on from.

        :raises StoreError: a link leads out of the store.
        """
        if not self.inside(self.checkpoint(key)).exists():
            shutil.rmtree(self.inside(self.artifacts(key)), ignore_errors=True)

    def save_checkpoint(
        self, key: Key, value: Pickled, details: Mapping[str, Any] | None = None
    ) -> None:
        """Save a checkpoint; the one before stays until this one is whole.

        :param details: what is known of the run up to there: JSON data.
        :raises StoreError: the disk is full, read-only or not ours.
        """
        path = self.checkpoint(key)
        with self._writing(path):
            self.make_root()
            self._write(path, {}, details or {}, value, durable=True)

    def checkpoint_details(self, key: Key) -> dict[str, Any]:
        """Return what was known of a run when it saved its checkpoint, empty if that is lost."""
        try:
            return container.read_details(self.checkpoint(key))
        except (OSError, DamagedError):
            return {}

    def other_checkpoint(self, key: Key) -> Path | None:
        """Return the newest checkpoint of the same configuration with other code, if there is one.

        :raises StoreError: a link leads out of the store.
        """
        mine = self.inside(self.checkpoint(key))
        same = mine.name.rpartition("-")[0] + "-"
        found = [
            (entry.stat().st_mtime, Path(entry.path))
            for entry in _entries(mine.parent)
            if entry.name.startswith(same) and entry.name != mine.name
        ]
        return max(found)[1] if found else None

    def take_over_checkpoint(self, before: Path, key: Key) -> None:
        """Use the checkpoint at *before*, with the files that belong to it, for *key*.

        :raises StoreError: it is damaged, or the disk is full, read-only or not ours.
        """
        path, target = self.checkpoint(key), self.artifacts(key)
        with self._writing(path):
            artifacts = self.inside(target.with_name(before.name))
            if artifacts.is_dir():
                shutil.copytree(artifacts, target, dirs_exist_ok=True, symlinks=True)
            container.copy(before, path, {}, rights=self.rights)

    def forget_checkpoint(self, key: Key) -> None:
        """Remove a checkpoint that is not needed any more.

        :raises StoreError: a link leads out of the store.
        """
        self.inside(self.checkpoint(key)).unlink(missing_ok=True)

    def inside(self, path: Path) -> Path:
        """Return *path*, having checked that no link among its directories leads elsewhere.

        The store itself may be a link: its owner has made it one.

        :raises StoreError: there is such a link.
        """
        directory = os.fspath(path.parent)
        if directory not in self._inside:
            parents = path.relative_to(self.root).parents
            for each in reversed(parents[:-1]):  # without the store itself
                if os.path.islink(self.root / each):
                    raise StoreError(
                        f"{self.root / each} is a symbolic link, which is not followed: put the"
                        " whole store elsewhere instead (--memento-dir)"
                    )
            if os.path.isdir(directory):
                self._inside.add(directory)
        return path

    # -- inside ------------------------------------------------------------------------------------

    def _write(
        self,
        path: Path,
        header: Mapping[str, Any],
        details: Mapping[str, Any],
        value: Pickled | None = None,
        *,
        replace: bool = True,
        durable: bool = False,
    ) -> bool:
        return container.write(
            path, header, details, value, replace=replace, rights=self.rights, durable=durable
        )

    @contextlib.contextmanager
    def _writing(self, path: Path) -> Iterator[None]:
        try:
            self.inside(path)
            yield
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror or error}") from error

    def _path(self, experiment: str, stem: str, outcome: Outcome) -> str:
        # A string: this is asked for each of many thousands, and paths are slow to build.
        return f"{self._results}/{slug(experiment)}/{stem}.{outcome.value}"

    def _directories(self) -> list[Path]:
        """Return where the results of each experiment are."""
        directory = self.root / "results"
        entries = [] if directory.is_symlink() else _entries(directory)
        return sorted(Path(each.path) for each in entries if each.is_dir(follow_symlinks=False))

    def _header(
        self, experiment: str, stem: str, outcome: Outcome, read: Callable[[Mapping[str, Any]], T]
    ) -> T | None:
        path = self._path(experiment, stem, outcome)
        try:
            header = container.read_header(path)
            if not _is_of(header, experiment, stem):
                raise DamagedError(f"{os.path.basename(path)} holds another run")
            return read(header)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except DamagedError as error:
            place = self._set_aside(Path(path))
            message = f"{error}: set aside as {place.name}, its experiment counts as new"
            warnings.warn(MementoWarning(message), stacklevel=3)
        except OSError as error:
            warnings.warn(MementoWarning(f"cannot read {path}: {error}"), stacklevel=3)
        return None

    def _put_once(
        self, path: Path, details: Mapping[str, Any], value: Callable[[], Pickled | None]
    ) -> None:
        # Touched while it is in use: what is old and not referred to may be removed, see care.
        now = time.monotonic()
        if path in self._kept and now - self._kept[path] < _KEPT:
            return
        if not _touched(self.inside(path)):
            with self._writing(path):
                self.make_root()
                self._write(path, {}, details, value(), replace=False)
        self._kept[path] = now

    def _load(self, path: Path, what: str) -> Any:
        try:
            return container.load_value(self.inside(path), trusted=self.shared)
        except FileNotFoundError:
            raise ResultNotLoadedError(f"{what} is not in the store") from None
        except DistrustedError as error:
            raise ResultNotLoadedError(f"{what} cannot be loaded: {error}") from None
        except DamagedError as error:
            # Or it would go on to count as there, and never be made again.
            self._set_aside(path)
            raise ResultNotLoadedError(
                f"{what} cannot be loaded: {error}; it is set aside, run the experiment again"
            ) from None
        except StoreError as error:
            raise ResultNotLoadedError(f"{what} cannot be loaded: {error}") from None
        except Exception as error:
            # Unpickling runs the user's code, which may raise whatever it likes.
            raise ResultNotLoadedError(
                f"{what} cannot be loaded: {type(error).__name__}: {error}"
            ) from error

    def _set_aside(self, path: Path) -> Path:
        place = self.root / "aside" / f"{path.parent.name}-{path.name}"
        with contextlib.suppress(OSError):
            make(place.parent, self.rights)
            os.replace(path, place)
        return place


@functools.lru_cache(maxsize=1024)
def slug(experiment: str) -> str:
    """Return a directory name for an experiment: readable, safe, and its own on any file system."""
    path, _, name = experiment.partition("::")
    readable = re.sub(r"[^A-Za-z0-9_.]+", "_", f"{Path(path).stem}.{name.replace('::', '.')}")
    digest = hashlib.blake2b(experiment.encode(), digest_size=4).hexdigest()
    return f"{readable[:80]}-{digest}"


def _is_of(header: Mapping[str, Any], experiment: str, stem: str) -> bool:
    """Whether a header is of the run that the name of its file says: it may have been copied."""
    try:
        name, *parts = header["key"]
        return bool(name == experiment and "-".join([part[:STEM] for part in parts]) == stem)
    except (KeyError, TypeError, ValueError):
        return False


def _touched(path: Path) -> bool:
    """Say when a file was last of use, if it is there."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            _remove(path)
            return False
        os.utime(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    except OSError:  # of another user, or the disk is read-only
        return path.exists()
    return True


def _remove(path: Path) -> None:
    """Remove what stands in the place of a file."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path)


def _entries(directory: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            yield from entries
    except OSError:
        return


def _names(directory: Path) -> list[str]:
    return [e.name for e in _entries(directory) if e.name.endswith(tuple(_SUFFIXES))]
