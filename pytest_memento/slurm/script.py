"""The batch script of a job array, from what is asked for: pure text."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MARGIN: Final = 120
"""Seconds before the end of its time for which a task is told to make room."""
RESOURCES: Final[Mapping[str, str]] = {
    "partition": "--partition",
    "account": "--account",
    "qos": "--qos",
    "time": "--time",
    "cpus": "--cpus-per-task",
    "mem": "--mem",
    "gpus": "--gpus",
    "gres": "--gres",
    "constraint": "--constraint",
}
"""Names of resources -> options of sbatch(1) and salloc(1)."""
TASK: Final = "MEMENTO_SLURM_TASK"
"""The variable that makes a session a task: ``<group>:<directory of the submission>``."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What a task is to have; nothing is sent that was not asked for.

    :param named: (name, value), by the names in :data:`RESOURCES`, sorted.
    :param verbatim: options of sbatch as they are.
    """

    named: tuple[tuple[str, str], ...] = ()
    verbatim: tuple[str, ...] = ()

    @classmethod
    def of(cls, named: Mapping[str, object], verbatim: Sequence[str] = ()) -> Resources:
        """Take what has a value.

        :raises ValueError: a name is not one of :data:`RESOURCES`, or a value not in one line.
        """
        for name, value in named.items():
            if name not in RESOURCES:
                raise ValueError(f"{name!r}: the names are {', '.join(RESOURCES)}")
            if "\n" in str(value):
                raise ValueError(f"{name!r}: the value has more than one line")
        asked = {name: str(value) for name, value in named.items() if value not in (None, "")}
        return cls(tuple(sorted(asked.items())), tuple(verbatim))

    def but(self, named: Mapping[str, object]) -> Resources:
        """Return the same with some of them otherwise, ``None`` for those not to ask for.

        :raises ValueError: a name is not one of :data:`RESOURCES`.
        """
        return Resources.of({**dict(self.named), **named}, self.verbatim)

    @property
    def options(self) -> list[str]:
        """The options of sbatch and salloc."""
        return [*(f"{RESOURCES[name]}={value}" for name, value in self.named), *self.verbatim]


@dataclass(frozen=True, slots=True)
class Job:
    """What is submitted.

    :param directory: of the submission, in the store.
    :param group: its number in the submission.
    :param tasks: how many.
    :param resources: of each task.
    :param token: what the file ``token`` in *directory* holds.
    :param store: named if a node does not see it.
    :param project: where pytest is started.
    :param setup: lines of shell that come first, such as ``module load cuda``.
    :param python: a shell command that runs Python.
    :param arguments: of pytest.
    """

    directory: Path
    group: int
    tasks: int
    resources: Resources
    token: str
    store: Path
    project: Path
    setup: tuple[str, ...]
    python: str
    arguments: tuple[str, ...]

    @property
    def options(self) -> list[str]:
        """The options of sbatch."""
        return [
            "--job-name=memento",
            f"--array=0-{self.tasks - 1}",
            "--requeue",
            "--open-mode=append",
            f"--signal=B:USR2@{MARGIN}",
            f"--output={self.directory}/{self.group}-%a.log",
            *self.resources.options,
        ]

    @property
    def script(self) -> str:
        """The text of the batch script."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        quote = shlex.quote
        node = "node ${SLURMD_NODENAME:-$(hostname)}"
        token = f"{self.directory}/token"
        yield "#!/bin/bash"
        # sbatch reads these lines by itself, and takes blanks for the end of an option.
        yield from (f"#SBATCH {quote(option)}" for option in self.options)
        yield ""
        yield "# Each task claims experiments from the store until none is left."
        yield 'refuse() { echo "memento: $*"; exit 1; }'
        yield (
            f"grep -qsxF {self.token} {quote(token)} ||"
            f" refuse {_words('the store', self.store)} is not shared with {node}"
        )
        yield (
            f"cd {quote(str(self.project))} 2>/dev/null ||"
            f" refuse {_words('the project', self.project)} is not there on {node}"
        )
        yield from self.setup
        program = (shlex.split(self.python) or ["python"])[0]
        yield (
            f"command -v {quote(program)} >/dev/null ||"
            f" refuse {_words('there is no', program)} on {node}, see ini memento_slurm_python"
        )
        yield f"export {TASK}={quote(f'{self.group}:{self.directory}')}"
        yield f"exec {self.python} -m pytest {shlex.join(self.arguments)}"


def _words(text: str, place: object) -> str:
    return shlex.quote(f"{text} {place}")
