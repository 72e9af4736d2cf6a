"""A short text that one process writes over and over, and others read."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from pytest_memento.rights import PRIVATE, Rights


class Slate:
    """A file that is written over in place: making a new one each time takes longer.

    Nor is it emptied in between: ext4 then writes it to the disk each time.

    :param path: the file; it is made when there is something to write.
    :param rights: who may read it.
    """

    def __init__(self, path: Path, rights: Rights = PRIVATE) -> None:
        self.path = path
        self._rights = rights
        self._descriptor = -1
        self._size = 0

    @property
    def is_used(self) -> bool:
        """Whether something was written, and the file not removed."""
        return self._descriptor >= 0

    def write(self, text: str) -> None:
        """Replace what is written there, with blanks behind it where it was longer.

        :raises OSError: it cannot be written.
        """
        if not self.is_used:
            flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            self._descriptor = os.open(self.path, flags, self._rights.file)
        data = text.encode()
        self._size = max(self._size, len(data))
        os.pwrite(self._descriptor, data.ljust(self._size), 0)

    def remove(self) -> None:
        """Remove the file, if there is one."""
        if self.is_used:
            os.close(self._descriptor)
            self._descriptor = -1
            self._size = 0
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
