"""Who may read and write what a store holds: its owner, or those whom the umask lets."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Rights:
    """Modes of what is made; the system takes away what the umask says.

    :param file: of files.
    :param directory: of directories.
    :param lock: of lock files, exactly.
    """

    file: int
    directory: int
    lock: int


PRIVATE: Final = Rights(0o600, 0o700, 0o600)
SHARED: Final = Rights(0o666, 0o777, 0o660)


def rights_in(directory: Path) -> Rights:
    """Return what a directory of a store was made with, or the one that it will be in."""
    try:
        mode = os.stat(directory).st_mode
    except FileNotFoundError:
        return rights_in(directory.parent)
    return SHARED if mode & 0o022 else PRIVATE


def append(path: Path, data: bytes, rights: Rights = PRIVATE) -> None:
    """Add to a file that others may be reading, in one go; a link is not followed.

    :raises OSError: it cannot be written.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(path, flags, rights.file)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def is_writable(path: Path) -> bool:
    """Whether a file can be written, as far as that can be tried without making it."""
    if path.exists():
        return os.access(path, os.W_OK)
    try:
        tempfile.TemporaryFile(dir=path.resolve().parent).close()
    except OSError:
        return False
    return True


def make(directory: Path, rights: Rights = PRIVATE) -> None:
    """Make a directory with all that it is in; ``Path.mkdir`` gives the mode to the last one only.

    :raises OSError: it cannot be made.
    """
    try:
        os.mkdir(directory, rights.directory)
    except FileNotFoundError:
        make(directory.parent, rights)
        make(directory, rights)
    except FileExistsError:
        if not directory.is_dir():
            raise
