"""Who runs what: a lock per experiment, so that sessions on one store share the work.

A claim makes work unique, never results correct: two owners of one claim would compute twice and
publish once. The kernel frees the lock of a process that died.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_memento.provenance import host

if TYPE_CHECKING:
    import filelock

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0
_MODE = 0o600
"""Of lock files. Where others may write to them, filelock makes a file more for each claim."""


class TakenError(Exception):
    """Somebody else holds the claim."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a claim.

    :param host: the machine.
    :param pid: the process.
    :param since: seconds since the epoch.
    """

    host: str
    pid: int
    since: float

    def __str__(self) -> str:
        seconds = max(0, time.time() - self.since)
        time_text = f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.0f} min"
        return f"pid {self.pid} on {self.host} for {time_text}"


@contextlib.contextmanager
def claimed(
    path: Path,
    waiting: Callable[[Owner | None], None],
    *,
    patience: float = 0.0,
    is_told: bool = False,
    kept: list[Path] | None = None,
    gives_up: Callable[[], bool] = lambda: False,
) -> Iterator[Owner]:
    """Hold the claim at *path* while the body runs, waiting until its owner gives it up.

    :param path: the lock file; it is removed at the end, unless it is *kept*.
    :param waiting: called once if somebody else holds the claim, with whom, if that is known.
    :param patience: for how many seconds it is not called, as long as that is not known.
    :param is_told: whether the caller writes down who holds it, if it takes long enough for
        somebody to ask.
    :param kept: where the lock file is noted instead of being removed, for :func:`clean_up`: where
        files are made and removed in turn, ext4 looks longer and longer for a free inode, as it
        avoids for some seconds those that were in use (``recently_deleted`` in fs/ext4/ialloc.c).
    :param gives_up: tells, while it waits, whether to wait no longer.
    :return: the owner, as written to the file that :func:`note_of` names.
    :raises TakenError: it was to wait no longer.
    :raises OSError: the store cannot be written.
    """
    import filelock  # only where something runs: it is slow to import

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = filelock.FileLock(path, mode=_MODE)
    _acquire(lock, path, waiting, patience, gives_up)
    owner, note = Owner(host(), os.getpid(), time.time()), note_of(path)
    try:
        if is_told:
            note.unlink(missing_ok=True)  # that of one who died
        else:
            note.write_text(json.dumps(asdict(owner)), encoding="utf-8")
        yield owner
    finally:
        # Removed while it is held: whoever waits finds the result when it looks again.
        for file in (note, path) if kept is None else (note,):
            with contextlib.suppress(OSError):
                file.unlink(missing_ok=True)
        if kept is not None:
            kept.append(path)
        lock.release()


def clean_up(kept: Iterable[Path]) -> None:
    """Remove the lock files that :func:`claimed` has left, but for those that others hold now."""
    for path in filter(os.path.lexists, kept):  # versions 3.21 to 3.29 of filelock remove them
        with contextlib.suppress(OSError, TakenError), claimed(path, _give_up, is_told=True):
            pass


@contextlib.contextmanager
def claimed_if_free(path: Path) -> Iterator[bool]:
    """Hold the claim at *path* while the body runs, unless somebody else does.

    :return: whether it is held here.
    :raises OSError: the store cannot be written.
    """
    with contextlib.ExitStack() as claim:
        try:
            claim.enter_context(claimed(path, _give_up))
            is_ours = True
        except TakenError:
            is_ours = False
        yield is_ours


def is_held(path: Path) -> bool:
    """Whether somebody holds the claim at *path*, or might: a lock of others cannot be tried."""
    import filelock

    if not os.path.lexists(path):
        return False
    lock = filelock.FileLock(path, mode=_MODE)
    try:
        before = os.stat(path)
        lock.acquire(timeout=0)
    except OSError:  # TimeoutError is one
        return os.path.lexists(path)
    lock.release()
    with contextlib.suppress(OSError):  # old versions of filelock empty the file
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    return False


def owner_of(path: Path) -> Owner | None:
    """Return who holds the claim at *path*, as far as that was written down."""
    try:
        said = json.loads(note_of(path).read_text(encoding="utf-8"))
        return Owner(str(said["host"]), int(said["pid"]), float(said["since"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _give_up(_: Owner | None) -> None:
    raise TakenError


def note_of(path: Path) -> Path:
    """Return the file in which the owner of the claim at *path* says who it is."""
    return path.with_suffix(".owner")


def _acquire(
    lock: filelock.BaseFileLock,
    path: Path,
    waiting: Callable[[Owner | None], None],
    patience: float,
    gives_up: Callable[[], bool],
) -> None:
    pause = 0.0
    is_said = False
    start = time.monotonic()
    while True:
        try:
            lock.acquire(timeout=0)
        except TimeoutError:  # filelock.Timeout is one
            owner = None if is_said else owner_of(path)
            if not is_said and (owner or time.monotonic() - start >= patience):
                is_said = True
                waiting(owner)
            if gives_up():
                raise TakenError from None
            pause = min(max(2 * pause, _FIRST_PAUSE), _LONGEST_PAUSE)
            time.sleep(pause)
        else:
            return
