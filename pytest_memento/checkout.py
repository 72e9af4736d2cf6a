"""Which state of a git repository the files are in: the commit, and what differs from it.

Git is only asked which files differ; these are read here. So no diff driver, text conversion or
file system monitor of the user is run, and no setting of theirs changes the digest. No lock is
taken: a session may last days, and must not be in the way of a commit.
"""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECONDS = 10
"""How long git may take to answer."""
LONGEST = 64 << 20
"""Bytes of differing files that are read; each file counts for a block more."""
_BLOCK = 4096
_CHUNK = 1 << 20
_GIT = (
    "git", "-c", "core.fsmonitor=false", "-c", "status.renames=false", "-c", "diff.renames=false",
)  # fmt: skip
_ELSEWHERE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX",
              "GIT_NAMESPACE", "GIT_OBJECT_DIRECTORY")  # fmt: skip
"""What git sets for its hooks; a test run that a hook starts may be of another repository."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """The state of a working tree. What cannot be found out is ``None``.

    :param commit: its hash.
    :param dirty: whether files differ from it: changed, staged, or new and not ignored.
    :param diff: a digest of these files, if there are any.
    """

    commit: str | None = None
    dirty: bool | None = None
    diff: str | None = None


def checkout(directory: Path, *, longest: int = LONGEST) -> Checkout:
    """Return the state of the repository that a directory is in.

    Compiled bytecode counts never. Once *longest* bytes are read, the other files count by size
    and time of change, which still tells states of one machine apart.

    :param longest: bytes.
    """
    root = _root(directory)
    return _state(root, longest) if root else Checkout()


def _root(directory: Path) -> Path | None:
    top = _git(directory, "rev-parse", "--show-toplevel")
    return Path(os.fsdecode(top.removesuffix(b"\n"))) if top else None


def _state(root: Path, longest: int) -> Checkout:
    commit = (_git(root, "rev-parse", "--verify", "--quiet", "HEAD") or b"").decode().strip()
    status = _git(root, "status", "--porcelain", "-z", "--untracked-files=all")
    if status is None:
        return Checkout(commit or None)
    paths = sorted(_paths(status))
    digest = _Digest(longest).of(root, paths) if paths else None
    return Checkout(commit or None, bool(paths), digest)


def _paths(status: bytes) -> Iterator[str]:
    """Yield the paths in the answer of ``git status``: ``XY path``, without renames."""
    for line in filter(None, status.split(b"\0")):
        path = os.fsdecode(line[3:])
        if "__pycache__" not in path.split("/"):
            yield path


class _Digest:
    """Reads files up to a limit.

    :param left: bytes that may still be read.
    """

    def __init__(self, left: int) -> None:
        self._left = left
        self._hash = hashlib.blake2b(digest_size=16)

    def of(self, root: Path, paths: list[str]) -> str:
        """Return the digest of files by name, kind and content."""
        for path in paths:
            self._put(os.fsencode(path))
            try:
                self._file(root / path)
            except OSError:  # deleted, or not ours to read
                self._put(b"none")
        return self._hash.hexdigest()

    def _file(self, path: Path) -> None:
        """Add one file. What is no file is not opened: reading from a pipe would never end."""
        found = os.lstat(path)
        self._left -= _BLOCK
        if stat.S_ISLNK(found.st_mode):
            self._put(b"link", os.fsencode(os.readlink(path)))
        elif stat.S_ISDIR(found.st_mode):
            self._put(b"directory", repr(self._inner(path)).encode())
        elif not stat.S_ISREG(found.st_mode):
            self._put(b"special", str(stat.S_IFMT(found.st_mode)).encode())
        elif found.st_size > self._left:
            self._put(b"large", f"{found.st_size} {found.st_mtime_ns}".encode())
        else:
            self._put(b"file", bytes([bool(found.st_mode & stat.S_IXUSR)]))
            self._content(path)

    def _inner(self, path: Path) -> Checkout | None:
        """Return the state of a repository in the repository; other directories have none."""
        root = _root(path)
        return _state(root, self._left) if root and os.path.samefile(root, path) else None

    def _content(self, path: Path) -> None:
        with open(path, "rb") as file:
            # One that grows meanwhile is not followed beyond the limit.
            while self._left > 0 and (chunk := file.read(min(_CHUNK, self._left))):
                self._left -= len(chunk)
                self._put(chunk)
        self._put()

    def _put(self, *parts: bytes) -> None:
        """Add parts with their lengths, so that none can pass for another."""
        for part in (*parts, b""):
            self._hash.update(len(part).to_bytes(8, "big") + part)


def _git(directory: Path, *arguments: str) -> bytes | None:
    """Return what git prints, or ``None`` if it fails, is missing, or takes too long."""
    environment = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        # A file, not a pipe: what git itself has started may keep a pipe open beyond its end.
        with tempfile.TemporaryFile() as output:
            subprocess.run(
                [*_GIT, *arguments], cwd=directory, env=environment, timeout=SECONDS, check=True,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            output.seek(0)
            return output.read()
    except (OSError, subprocess.SubprocessError):
        return None
