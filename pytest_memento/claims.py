"""Who runs what: a claim per experiment, so that sessions on one store share the work.

A claim makes work unique, never results correct: two owners of one claim would compute twice and
publish once. That of a process that died is free: the kernel sees to that, or the end of a lease
(see ``locks``); and what the process had written down tells that it died (see ``presence``).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_memento.locks import Choice, Unwritten, choose, lock_for, stays
from pytest_memento.presence import Presence, Sign, name_of, signs
from pytest_memento.rights import PRIVATE, Rights, make, rights_in

if TYPE_CHECKING:
    import filelock

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 1.0


class TakenError(Exception):
    """Somebody else holds the claim."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A claim that is held.

    :param attempt: how many processes had the experiment in turn, this one included, counted from
        where one of them got further than those before.
    :param died: the process that had it last, if it died.
    """

    attempt: int = 1
    died: Sign | None = None


class Claims:
    """The claims of this process on a store.

    :param root: the store.
    :param choice: the locks that it is to use from now on, by default those that it uses.
    :param rights: who may take part.
    """

    def __init__(self, root: Path, choice: Choice | None = None, rights: Rights = PRIVATE) -> None:
        self.presence = Presence(root, rights)
        self._rights = rights
        self._choice = choice
        self._kept: list[Path] = []
        # A lease is over when the one who wants it has seen it untouched for long enough.
        self._wanted: dict[Path, filelock.BaseFileLock] = {}
        self._unwritten = Unwritten()

    @contextlib.contextmanager
    def hold(
        self,
        path: Path,
        label: str,
        waiting: Callable[[Sign | None], None],
        *,
        gives_up: Callable[[], bool] = lambda: False,
        rest: Callable[[float], object] = time.sleep,
        progress: Path | None = None,
    ) -> Iterator[Hold]:
        """Hold the claim at *path* while the body runs, waiting until its owner gives it up.

        :param path: the lock file. It stays until :meth:`close`: where files are made and removed
            in turn, ext4 looks longer and longer for a free inode, as it avoids for some seconds
            those that were in use (``recently_deleted`` in fs/ext4/ialloc.c).
        :param label: what is run, for those who look.
        :param waiting: called once if somebody else holds the claim, with whom, if that is known.
        :param gives_up: tells, while it waits, whether to wait no longer.
        :param rest: waits for some seconds, or until it is to wait no longer.
        :param progress: a file that is newer than an attempt if that got further than those before.
        :raises TakenError: it was to wait no longer.
        :raises OSError: the store cannot be written.
        """
        make(path.parent, self._rights)
        if self._choice is not None:
            choose(path.parent.parent, self._choice)
            self._choice = None
        was_there = os.path.lexists(path)
        lock = self._wanted.pop(path, None) or lock_for(path)
        self._wanted[path] = lock
        look = (lambda: None) if stays(path) else (lambda: self._unwritten.look(path))
        _acquire(lock, waiting, gives_up, rest, lambda: owner_of(path), look)
        del self._wanted[path]
        dead: list[Sign] = []
        try:
            dead += _signs_of(path) if was_there else ()
            hold = _hold(dead, progress)
            self.presence.enter(name_of(path), label, hold.attempt)
            yield hold
            while dead:
                dead.pop().discard()
        finally:
            self.presence.leave()
            # What was interrupted keeps the count, and the file that has the next one look for it.
            if not dead and stays(path):
                self._kept.append(path)
            lock.release()

    def close(self) -> None:
        """Remove the lock files, but for those that others hold now."""
        for directory in {path.parent for path in self._kept}:
            _sweep(directory)
        self._kept.clear()
        self._wanted.clear()
        self.presence.close()


def _hold(dead: Iterable[Sign], progress: Path | None) -> Hold:
    last = max(dead, key=lambda sign: sign.attempt, default=None)
    if last is None:
        return Hold()
    got_further = progress is not None and last.got_further(progress)
    return Hold(1 if got_further else last.attempt + 1, last)


@contextlib.contextmanager
def claimed_if_free(path: Path) -> Iterator[bool]:
    """Hold the claim at *path* while the body runs, unless somebody else does; remove its file.

    :return: whether it is held here.
    :raises OSError: the store cannot be written.
    """
    make(path.parent, rights_in(path.parent))
    lock = lock_for(path)
    if not _is_acquired(lock, path):
        yield False
        return
    try:
        yield True
    finally:
        if stays(path):
            # Removed while it is held: whoever waits finds the result when it looks again.
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        lock.release()


def is_held(path: Path) -> bool:
    """Whether somebody holds the claim at *path*, or might: a lock of others cannot be tried."""
    try:
        before = os.lstat(path)
    except OSError:
        return False
    lock = lock_for(path)
    try:
        is_free = _is_acquired(lock, path)
    except OSError:
        return os.path.lexists(path)
    if is_free:
        # By its time it is told how long ago it was left behind; older versions of filelock write.
        with contextlib.suppress(OSError):
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        lock.release()
    return not is_free and os.path.lexists(path)


def _is_acquired(lock: filelock.BaseFileLock, path: Path) -> bool:
    """Try a lock without waiting."""
    # The first try at the lease of a process that died may only take it away.
    for _ in range(1 if stays(path) else 2):
        with contextlib.suppress(TimeoutError):  # filelock.Timeout is one
            lock.acquire(timeout=0)
            return True
    return False


def owner_of(path: Path) -> Sign | None:
    """Return who holds the claim at *path*, as far as that was written down."""
    # Of several, all but the last have died.
    return max(_signs_of(path), key=lambda sign: sign.attempt, default=None)


def forget(path: Path, host: str, pid: int) -> None:
    """Remove what is left of a process that died while it held the claim at *path*.

    And of those before it: that they died is on record.
    """
    found = _signs_of(path)
    last = max((s.attempt for s in found if (s.host, s.pid) == (host, pid)), default=0)
    for sign in found:
        if sign.attempt <= last:
            sign.discard()
    _sweep(path.parent)


def _sweep(directory: Path) -> None:
    """Remove lock files that nobody holds, with those of processes that were killed."""
    # But for those that have somebody look for the signs of such.
    named = {sign.claim for sign in signs(directory.parents[1])}
    for path in sorted(directory.glob("*.lock")):
        if name_of(path) not in named:
            with contextlib.suppress(OSError), claimed_if_free(path):
                pass


def _signs_of(path: Path) -> list[Sign]:
    name = name_of(path)
    return [sign for sign in signs(path.parents[2]) if sign.claim == name]


def _acquire(
    lock: filelock.BaseFileLock,
    waiting: Callable[[Sign | None], None],
    gives_up: Callable[[], bool],
    rest: Callable[[float], object],
    owner: Callable[[], Sign | None],
    look: Callable[[], None],
) -> None:
    pause = 0.0
    is_said = False
    while True:
        try:
            lock.acquire(timeout=0)
        except TimeoutError:  # filelock.Timeout is one
            look()
            if not is_said:
                is_said = True
                waiting(owner())
            if gives_up():
                raise TakenError from None
            pause = min(max(2 * pause, _FIRST_PAUSE), _LONGEST_PAUSE)
            rest(pause)
        else:
            return
