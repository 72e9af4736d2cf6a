"""What tasks and those who watch them know of each other: files in the store.

    <store>/slurm/<time>-<random>/submission     what was submitted, as JSON
                                  token          shows a node that it sees the store
                                  <n>.sh         the script of each array
                                  <n>-<i>.log    what its task i has printed
                                  notes/         a file for each process, one JSON line per event
                                  halt           why nothing more is to be begun
                                  seen           somebody has watched it to its end

A process only appends to a file of its own, so that no file needs a lock, on whatever disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from pytest_memento.provenance import host
from pytest_memento.rights import Rights, append, make
from pytest_memento.slurm import PLACE
from pytest_memento.slurm.script import Resources

FORMAT: Final = 1
_KEPT: Final = 7 * 86_400.0
"""Seconds after which a submission that was seen to its end is removed."""
_IN_HAND: Final = 120.0
"""Seconds in which sbatch has answered, or will not."""


@dataclass(frozen=True, slots=True)
class Item:
    """An experiment that tasks are to run.

    :param nodeid: its name in pytest.
    :param experiment: its function.
    :param stem: its key, as in the store.
    :param before: when its last run had ended, in seconds since the epoch, ``None`` without one:
        what ended at another time has ended since.
    """

    nodeid: str
    experiment: str
    stem: str
    before: float | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Experiments that want the same of Slurm, and so are of one job array.

    :param items: what its tasks run.
    :param tasks: how many there are.
    :param resources: of each task.
    :param job: the number of the array; empty until sbatch has answered.
    """

    items: tuple[Item, ...]
    tasks: int
    resources: Resources
    job: str = ""


@dataclass(frozen=True)
class Submission:
    """What was submitted at a time.

    :param directory: its files.
    :param groups: one for each job array.
    :param refreshes: whether results that were there before are not to count.
    :param created: when, in seconds since the epoch.
    """

    directory: Path
    groups: tuple[Group, ...]
    refreshes: bool = False
    created: float = field(default_factory=time.time)

    @classmethod
    def new(
        cls, root: Path, groups: Sequence[Group], rights: Rights, *, refreshes: bool
    ) -> Submission:
        """Make the directory of a submission.

        :param root: the store.
        :raises OSError: it cannot be written.
        """
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:6]}"
        made = cls(root / PLACE / name, tuple(groups), refreshes)
        make(made.directory / "notes", rights)
        (made.directory / "token").write_text(f"{made.token}\n", encoding="ascii")
        made.write()
        return made

    @property
    def token(self) -> str:
        """What shows that a directory is the same one."""
        return uuid.uuid5(uuid.NAMESPACE_OID, self.directory.name).hex

    @property
    def jobs(self) -> list[str]:
        """The numbers of its job arrays."""
        return [group.job for group in self.groups if group.job]

    @property
    def notes(self) -> Path:
        """Where processes leave notes."""
        return self.directory / "notes"

    def write(self) -> None:
        """Write it down anew.

        :raises OSError: it cannot be written.
        """
        groups = [asdict(group) for group in self.groups]
        said = {"format": FORMAT, "created": self.created, "refreshes": self.refreshes}
        aside = self.directory / f".submission.{os.getpid()}"
        aside.write_text(json.dumps({**said, "groups": groups}), encoding="utf-8")
        os.replace(aside, self.directory / "submission")

    def submitted(self, jobs: Sequence[str]) -> Submission:
        """Return it with the numbers of its job arrays, and write that down.

        :raises OSError: it cannot be written.
        """
        rest = [""] * (len(self.groups) - len(jobs))
        named = zip(self.groups, [*jobs, *rest], strict=True)
        made = replace(self, groups=tuple(replace(group, job=job) for group, job in named))
        made.write()
        return made

    @classmethod
    def read(cls, directory: Path) -> Submission | None:
        """Read what was submitted; ``None`` where that is not told, or by a newer version."""
        try:
            said = json.loads((directory / "submission").read_text(encoding="utf-8"))
            if said["format"] > FORMAT:
                return None
            groups = tuple(map(_group, said["groups"]))
            return cls(directory, groups, bool(said["refreshes"]), float(said["created"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    # -- between tasks and those who watch ---------------------------------------------------------

    @property
    def halted(self) -> str:
        """Why nothing more is to be begun; empty as long as something is."""
        try:
            return (self.directory / "halt").read_text(encoding="utf-8")
        except OSError:
            return ""

    def halt(self, why: str) -> None:
        """Have its tasks begin nothing more."""
        with contextlib.suppress(OSError):
            (self.directory / "halt").write_text(why, encoding="utf-8")

    @property
    def is_seen(self) -> bool:
        """Whether somebody has watched it to its end."""
        return (self.directory / "seen").exists()

    def see(self) -> None:
        """Note that somebody has watched it to its end."""
        with contextlib.suppress(OSError):
            (self.directory / "seen").touch()

    def log(self, element: str) -> Path | None:
        """Return where a task prints; ``None`` for one of another submission.

        :param element: ``<job>_<index>``
        """
        job, _, index = element.partition("_")
        numbers = [number for number, group in enumerate(self.groups) if group.job == job]
        return self.directory / f"{numbers[0]}-{index}.log" if numbers else None

    def last_lines(self, element: str, most: int = 5) -> list[str]:
        """Return the end of what a task has printed.

        :param element: ``<job>_<index>``
        """
        path = self.log(element)
        with contextlib.suppress(OSError):
            text = path.read_text(encoding="utf-8", errors="replace") if path else ""
            return [line for line in text.splitlines() if line.strip()][-most:]
        return []


def submissions(root: Path) -> list[Submission]:
    """Return what was submitted and not yet watched to its end, the newest last.

    :param root: the store.
    """
    try:
        names = sorted(os.listdir(root / PLACE))
    except OSError:
        return []
    found = [Submission.read(root / PLACE / name) for name in names]
    return [
        each
        for each in found
        if each is not None
        and not each.is_seen
        and (each.jobs or time.time() - each.created < _IN_HAND)
    ]


def outdated(root: Path) -> Iterator[Path]:
    """Yield the directories of submissions that are long over, and were seen to be.

    :param root: the store.
    """
    for entry in (root / PLACE).glob("*/seen"):
        with contextlib.suppress(OSError):
            if time.time() - entry.stat().st_mtime > _KEPT:
                yield entry.parent


def _group(said: Mapping[str, Any]) -> Group:
    items = tuple(Item(**item) for item in said["items"])
    named = tuple((str(name), str(value)) for name, value in said["resources"]["named"])
    resources = Resources(named, tuple(said["resources"]["verbatim"]))
    return Group(items, int(said["tasks"]), resources, str(said["job"]))


class Notes:
    """What one process says of what it does.

    :param submission: to whom.
    """

    def __init__(self, submission: Submission, rights: Rights) -> None:
        name = f"{host()[:80]}-{os.getpid()}-{uuid.uuid4().hex[:8]}".replace("/", "_")
        self._path = submission.notes / name
        self._rights = rights

    def add(self, **said: Any) -> None:
        """Append a note, whole or not at all to those who read."""
        data = json.dumps(said).encode() + b"\n"
        with contextlib.suppress(OSError):  # the results are in the store
            append(self._path, data, self._rights)


class Tail:
    """Reads the notes of all processes, each once.

    :param submission: whose.
    """

    def __init__(self, submission: Submission) -> None:
        self._directory = submission.notes
        self._read: dict[str, int] = {}

    def new(self) -> Iterator[Mapping[str, Any]]:
        """Yield what was not yet read; what is still being written is for the next time."""
        try:
            entries = sorted(os.scandir(self._directory), key=lambda entry: entry.name)
        except OSError:
            return
        for entry in entries:
            start = self._read.get(entry.name, 0)
            with contextlib.suppress(OSError):
                if entry.stat(follow_symlinks=False).st_size <= start:
                    continue
                with open(entry.path, "rb") as file:
                    file.seek(start)
                    data = file.read()
                whole = data[: data.rfind(b"\n") + 1]
                self._read[entry.name] = start + len(whole)
                yield from _parsed(whole)


def _parsed(data: bytes) -> Iterator[Mapping[str, Any]]:
    for line in data.splitlines():
        with contextlib.suppress(ValueError):
            said = json.loads(line)
            if isinstance(said, dict):
                yield said
