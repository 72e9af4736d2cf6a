"""What each process runs now, where others see it; and what it ran when it died.

    <store>/running/<host>-<pid>-<random>          one line, written over in place
                    <host>-<pid>-<random>.pulse    how far it is, see ``pulse``

A process that ends in order removes its files. Those of one that was killed stay, and name the
experiment that it died of, or with.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pytest_memento.amounts import about
from pytest_memento.provenance import host
from pytest_memento.rights import PRIVATE, Rights, make
from pytest_memento.slate import Slate

PLACE: Final = "running"
FORMAT: Final = 1
PULSE: Final = ".pulse"
_TRIES: Final = 3
_FORGOTTEN: Final = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class Sign:
    """What one process has written down of the experiment that it runs.

    :param path: the file.
    :param host: the machine.
    :param pid: the process.
    :param claim: which experiment, as named by :func:`name_of`.
    :param label: its configuration, for people.
    :param since: when it began, in seconds since the epoch by the clock of the machine.
    :param attempt: how many processes had it in turn, this one included.
    :param written: when it began, by the clock of the file system.
    """

    path: Path
    host: str
    pid: int
    claim: str
    label: str
    since: float
    attempt: int
    written: float

    def __str__(self) -> str:
        seconds = max(0.0, time.time() - self.since)
        return f"pid {self.pid} on {self.host} for {about(seconds).removeprefix('about ')}"

    def pulse(self) -> dict[str, Any]:
        """Return its last sign of life, empty if it gave none."""
        return _parsed(_beside(self.path))

    def got_further(self, progress: Path) -> bool:
        """Tell whether a file was written since: both by the clock of the same disk."""
        try:
            return progress.stat().st_mtime >= self.written
        except OSError:
            return False

    def discard(self) -> None:
        """Remove it, of a process that died."""
        for path in (self.path, _beside(self.path)):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


class Presence:
    """What this process shows.

    :param root: the store; nothing is made before there is something to show.
    :param rights: who may see it.
    """

    def __init__(self, root: Path, rights: Rights = PRIVATE) -> None:
        self._rights = rights
        readable = re.sub(r"[^A-Za-z0-9_.]+", "_", host())[:80].lstrip(".")
        name = f"{readable}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._slate = Slate(root / PLACE / name, rights)

    @property
    def pulse(self) -> Path:
        """The file in which the experiment that runs gives signs of life."""
        return _beside(self._slate.path)

    def enter(self, claim: str, label: str, attempt: int) -> None:
        """Show that an experiment runs.

        :raises OSError: the store cannot be written.
        """
        self._write({"claim": claim, "label": label, "since": time.time(), "attempt": attempt})

    def leave(self) -> None:
        """Show that it has ended."""
        if self._slate.is_used:
            with contextlib.suppress(OSError):
                self._write(None)

    def close(self) -> None:
        """Remove the files."""
        if self._slate.is_used:
            self._slate.remove()
            with contextlib.suppress(OSError):
                self.pulse.unlink(missing_ok=True)

    def _write(self, running: dict[str, Any] | None) -> None:
        if not self._slate.is_used:
            make(self._slate.path.parent, self._rights)
        said = {"format": FORMAT, "host": host(), "pid": os.getpid(), "running": running}
        self._slate.write(json.dumps(said))


def name_of(lock: Path) -> str:
    """Return the name by which signs speak of a claim.

    :param lock: ``<store>/claims/<experiment>/<key>.lock``

    >>> name_of(Path("store/claims/exp_a.f-1234/12-34-56.lock"))
    'exp_a.f-1234/12-34-56'
    """
    return f"{lock.parent.name}/{lock.name.removesuffix('.lock')}"


def signs(root: Path) -> Iterator[Sign]:
    """Yield what all processes run, or ran when they died.

    :param root: the store.
    """
    directory = root / PLACE
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return
    for name in names:
        path = directory / name
        if name.endswith(PULSE) or name.startswith("."):
            continue
        for _ in range(_TRIES):  # it may be half written
            said = _parsed(path)
            if said:
                break
        with contextlib.suppress(OSError, KeyError, TypeError, ValueError):
            if said["format"] <= FORMAT and said["running"] is not None:
                yield _sign(path, said, said["running"])


def is_dead(path: Path) -> bool:
    """Whether the process is gone that a file in ``running`` speaks of.

    That of another machine counts as gone when it has written nothing for a month.
    """
    said = _parsed(path.with_name(path.name.removesuffix(PULSE)))
    if said.get("host") == host() and isinstance(said.get("pid"), int):
        try:
            os.kill(said["pid"], 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return _is_zombie(said["pid"])
    try:
        return time.time() - path.stat().st_mtime > _FORGOTTEN
    except OSError:
        return False


def _is_zombie(pid: int) -> bool:
    """Whether a process has died and its parent has not asked yet; where /proc tells (Linux)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return False
    return bool(fields) and fields[0] in (b"Z", b"X")


def _sign(path: Path, said: dict[str, Any], running: dict[str, Any]) -> Sign:
    return Sign(
        path,
        str(said["host"]),
        int(said["pid"]),
        str(running["claim"]),
        str(running["label"]),
        float(running["since"]),
        int(running["attempt"]),
        path.stat().st_mtime,
    )


def _beside(path: Path) -> Path:
    return path.with_name(path.name + PULSE)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}
