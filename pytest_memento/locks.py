"""Which lock excludes other processes from a file: the kernel's, or a lease.

The kernel frees its lock when a process dies, whatever it died of; but over a network each machine
has a kernel of its own. There a file stands for the lock, which its owner touches and others take
over once it was left untouched for a while, by their own clocks. A store says which of the two it
uses, so that a machine that holds its disk and one that mounts it over the network agree.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import json
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytest_memento.rights import make, rights_in

if TYPE_CHECKING:
    import filelock

LEASE: Final = 180.0
"""Seconds without a sign of life after which a lease is lost. A client of NFS may see the times of
files as they were 60 s ago (``acregmax`` in nfs(5)), and a sign is given every third of this."""
_UNWRITTEN: Final = 5.0
"""Seconds for which a lease that says nothing may be about to be written."""
_CHOICE: Final = "locks"
_FORMAT: Final = 1
_NETWORK: Final = re.compile(
    # By the names that the kernel gives them; some are made in user space.
    "(fuse[.])?(9p|acfs|afs|beegfs|ceph|cifs|gcsfuse|gfs2?|glusterfs|gpfs|juicefs|lizardfs|lustre|mfs"
    "|moosefs|ncpfs|nfs[34]?|ocfs2|orangefs|panfs|prl_fs|pvfs2|rclone|s3fs|smb[23]|smbfs|sshfs"
    "|vboxsf|virtiofs|vmhgfs|vmhgfs-fuse|wekafs)"
)


class Kind(enum.Enum):
    """How claims are held; the values are what the ini option ``memento_lock`` may say."""

    KERNEL = "kernel"
    LEASE = "lease"


@dataclass(frozen=True, slots=True)
class Choice:
    """What the claims of a store use.

    :param kind: of lock.
    :param lease: seconds after which a lease is lost: all who want a claim must agree.
    """

    kind: Kind
    lease: float = LEASE


def lock_for(path: Path) -> filelock.BaseFileLock:
    """Return the lock of a claim, not acquired, for all who may write where it is.

    :param path: ``<store>/claims/<experiment>/<key>.lock``; the directory is there.
    """
    import filelock  # only where something runs: it is slow to import

    choice, rights = choice_of(path.parent.parent), rights_in(path.parent)
    if choice.kind is Kind.LEASE:
        return filelock.SoftFileLease(path, mode=rights.lock, lease_duration=choice.lease)
    return filelock.FileLock(path, mode=rights.lock)


class Unwritten:
    """Removes leases whose owner was killed before it had written who it is.

    filelock takes a marker that is empty for that of an old version, which is held for ever.
    """

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[tuple[int, int], float]] = {}

    def look(self, path: Path) -> None:
        """Look at a lease that cannot be had, and remove it when it has stayed empty."""
        with contextlib.suppress(OSError):
            found = os.lstat(path)
            now, marker = time.monotonic(), (found.st_ino, found.st_mtime_ns)
            before, since = self._seen.get(path, (None, now))
            if found.st_size or before != marker:
                self._seen[path] = marker, now
            elif now - since > _UNWRITTEN:
                self._remove(path, found.st_ino)

    def _remove(self, path: Path, inode: int) -> None:
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        os.rename(path, aside)
        if os.lstat(aside).st_ino != inode:  # another one was faster, and has it now
            with contextlib.suppress(OSError):
                os.link(aside, path)
        os.unlink(aside)


def stays(path: Path) -> bool:
    """Whether the lock file of a claim is still there when the claim was given back."""
    return choice_of(path.parent.parent).kind is Kind.KERNEL


@functools.lru_cache(maxsize=64)
def choice_of(directory: Path) -> Choice:
    """Return what the claims in a directory use, as it says or by its disk."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        said = json.loads((directory / _CHOICE).read_text(encoding="utf-8"))
        if said["format"] <= _FORMAT and (lease := float(said["lease"])) >= 1:
            return Choice(Kind(said["locks"]), lease)
    if not is_on_network(directory):
        return Choice(Kind.KERNEL)
    choice = Choice(Kind.LEASE)
    with contextlib.suppress(OSError):  # it may only be looked at
        choose(directory, choice)
    return choice


def choose(directory: Path, choice: Choice) -> None:
    """Have all claims in a directory use the same locks, from the next session on.

    :raises OSError: it cannot be written.
    """
    text = json.dumps({"format": _FORMAT, "locks": choice.kind.value, "lease": choice.lease})
    path = directory / _CHOICE
    with contextlib.suppress(OSError):
        if path.read_text(encoding="utf-8") == text:
            return
    make(directory, rights_in(directory))
    aside = directory / f".{_CHOICE}.{os.getpid()}"
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)
    choice_of.cache_clear()


def is_on_network(directory: Path) -> bool:
    """Whether other machines may have a directory, as far as the system tells (Linux does)."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return False
    return bool(_NETWORK.fullmatch(file_system(os.path.realpath(directory), mounts)))


def file_system(path: str, mounts: str) -> str:
    r"""Return the type of the file system that holds a path, empty if that is not said.

    :param mounts: text of ``/proc/self/mountinfo``, see proc(5).

    >>> file_system("/home/ann/x", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
    ...                            "40 22 0:3 / /home rw shared:1 - nfs4 srv:/home rw\n")
    'nfs4'
    """
    best, found = "", ""
    for line in mounts.splitlines():
        place, separator, source = line.partition(" - ")
        fields = place.split(" ")
        if not separator or len(fields) < 5:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
        # The last one that is mounted on a place hides those before it.
        if _is_below(path, point) and len(point) >= len(best):
            best, found = point, source.split(" ")[0]
    return found


def _is_below(path: str, point: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")
