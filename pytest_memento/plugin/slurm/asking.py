"""What the user asked of Slurm, and what this process is for it."""

from __future__ import annotations

import enum
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_memento.slurm.script import RESOURCES, Resources

if TYPE_CHECKING:
    from pytest_memento.slurm.submission import Item, Submission

INPUT = "memento_slurm"
"""The order of a task, in what its workers are given."""
REMOTE = "memento_remote"
"""Whether srun has started it, in what a worker is given."""
_FLAGS = ("detach", "dry_run", "mode", "args", *RESOURCES)
_OWN = ("--memento-slurm", "--memento-notify", "--memento-report")
"""Options that are not for tasks: these never submit, watch, notify or report."""
_BARE = ("--memento-slurm-detach", "--memento-slurm-dry-run")
_NOT_WITH = {
    "usepdb": "--pdb",
    "trace": "--trace",
    "memento_verify": "--memento-verify",
    "distload": "-d",
}


class Mode(enum.Enum):
    """How experiments come to nodes; the values are those of ``--memento-slurm-mode``."""

    ARRAY = "array"
    SRUN = "srun"


@dataclass(frozen=True)
class Asked:
    """What the user asked for.

    :param tasks: how many tasks or workers, at most.
    :param mode: how.
    :param detaches: whether to submit and leave.
    :param shows_only: whether to show the script and submit nothing.
    :param resources: of each task.
    :param setup: lines of shell that come before Python.
    :param python: a shell command that runs Python.
    """

    tasks: int
    mode: Mode
    detaches: bool
    shows_only: bool
    resources: Resources
    setup: tuple[str, ...]
    python: str


@dataclass(frozen=True)
class Order:
    """What this session is to do as a task.

    :param submission: what it is a part of.
    :param group: which of its groups.
    """

    submission: Submission
    group: int

    @cached_property
    def items(self) -> Mapping[str, Item]:
        """Node id -> what to run."""
        return {item.nodeid: item for item in self.submission.groups[self.group].items}

    @cached_property
    def before(self) -> Mapping[tuple[str, str], float | None]:
        """(experiment, stem) -> when its last run had ended, when all was submitted."""
        return {(item.experiment, item.stem): item.before for item in self.items.values()}

    @property
    def text(self) -> str:
        """What tells another process of it."""
        return f"{self.group}:{self.submission.directory}"


ASKED = pytest.StashKey[Asked]()
ORDER = pytest.StashKey[Order]()


def add_options(parser: pytest.Parser, group: pytest.OptionGroup) -> None:
    """Add the options."""
    group.addoption(
        "--memento-slurm",
        type=int,
        metavar="N",
        help="run what is missing in a Slurm job array of at most N tasks, and watch; Ctrl-C"
        " detaches, the same command attaches. Inside an allocation: on N workers in it",
    )
    group.addoption(
        "--memento-slurm-detach", action="store_true", help="submit to Slurm and return at once"
    )
    group.addoption(
        "--memento-slurm-mode",
        choices=[mode.value for mode in Mode],
        help="array: tasks that come and go as the queue lets them (default). srun: workers of one"
        " allocation, the present one or a new one (default inside an allocation)",
    )
    group.addoption(
        "--memento-slurm-dry-run",
        action="store_true",
        help="print the batch script, and submit nothing",
    )
    group.addoption(
        "--memento-slurm-args",
        action="append",
        default=[],
        metavar='"--any=thing"',
        help="options of sbatch or salloc, as they are",
    )
    for name, option in RESOURCES.items():
        each = {"cpus": "CPUs", "gpus": "GPUs"}.get(name, name)
        group.addoption(
            f"--memento-slurm-{name}", metavar="X", help=f"{each} of each task: {option}"
        )
        parser.addini(f"memento_slurm_{name}", f"default of --memento-slurm-{name}", default="")
    parser.addini("memento_slurm_args", "further options of sbatch and salloc", "args", default=[])
    parser.addini(
        "memento_slurm_setup",
        "lines of shell that run on the node first, such as module load cuda",
        "linelist",
        default=[],
    )
    parser.addini(
        "memento_slurm_python",
        "shell command that runs Python on the node, such as apptainer exec image.sif python;"
        " default: the Python of the session that submits",
        default="",
    )


def read(config: pytest.Config) -> Asked | None:
    """Return what the user asked for, ``None`` if nothing.

    :raises pytest.UsageError: options do not go together.
    """
    tasks: int | None = config.getoption("memento_slurm")
    given = [name for name in _FLAGS if config.getoption(f"memento_slurm_{name}")]
    if tasks is None:
        if given:
            shown = given[0].replace("_", "-")
            raise pytest.UsageError(
                f"--memento-slurm-{shown} is for --memento-slurm N: how many tasks?"
            )
        return None
    if tasks < 1:
        raise pytest.UsageError(f"--memento-slurm takes a number of tasks from 1 on, not {tasks}")
    _refuse_others(config)
    from pytest_memento.slurm.cluster import allocation

    mode = Mode(config.getoption("memento_slurm_mode") or ("srun" if allocation() else "array"))
    asked = Asked(
        tasks,
        mode,
        detaches=config.getoption("memento_slurm_detach"),
        shows_only=config.getoption("memento_slurm_dry_run"),
        resources=_resources(config),
        setup=tuple(config.getini("memento_slurm_setup")),
        python=config.getini("memento_slurm_python") or shlex.quote(sys.executable),
    )
    if mode is Mode.SRUN and (asked.detaches or asked.shows_only):
        name = "detach" if asked.detaches else "dry-run"
        raise pytest.UsageError(f"--memento-slurm-{name} is for --memento-slurm-mode=array")
    return asked


def _refuse_others(config: pytest.Config) -> None:
    typed = config.known_args_namespace
    given = [shown for name, shown in _NOT_WITH.items() if getattr(typed, name, None)]
    if getattr(typed, "dist", "no") != "no":
        given.append("--dist")
    if config.getoption("memento_cache") == "off":
        given.append("--memento-cache=off")
    if given:
        raise pytest.UsageError(
            f"--memento-slurm does not go with {given[0]}: leave one of them out"
        )


def _resources(config: pytest.Config) -> Resources:
    named = {
        name: config.getoption(f"memento_slurm_{name}") or config.getini(f"memento_slurm_{name}")
        for name in RESOURCES
    }
    try:
        typed = [
            part for text in config.getoption("memento_slurm_args") for part in shlex.split(text)
        ]
        return Resources.of(named, [*config.getini("memento_slurm_args"), *typed])
    except ValueError as error:
        raise pytest.UsageError(f"--memento-slurm-args or a resource: {error}") from None


def resources_of(item: pytest.Item, default: Resources) -> Resources:
    """Return what an experiment wants, by its marks: the nearest comes first.

    :raises pytest.UsageError: a mark asks for what there is not.
    """
    named: dict[str, Any] = {}
    for mark in reversed(list(item.iter_markers("memento"))):
        wanted = mark.kwargs.get("slurm", {})
        if not isinstance(wanted, Mapping):
            raise pytest.UsageError(
                f"{item.nodeid}: memento(slurm=...) takes a dict, as {{'gpus': 1}}"
            )
        named |= wanted
    try:
        return default.but(named) if named else default
    except ValueError as error:
        raise pytest.UsageError(
            f"{item.nodeid}: memento(slurm=...) does not know {error}"
        ) from None


def is_remote(config: pytest.Config) -> bool:
    """Whether this is a worker that srun has started, on whatever node."""
    return bool(getattr(config, "workerinput", {}).get(REMOTE))


def order_of(config: pytest.Config, text: str) -> Order | None:
    """Return what this session is to do as a task, or as a worker of one.

    :param text: what the batch script says.
    :raises pytest.UsageError: what was submitted cannot be read.
    """
    if hasattr(config, "workerinput"):
        text = config.workerinput.get(INPUT, "")
    if not text:
        return None
    from pytest_memento.slurm.submission import Submission

    group, _, directory = text.partition(":")
    submission = Submission.read(Path(directory))
    if submission is None:
        raise pytest.UsageError(f"the submission {directory} cannot be read")
    return Order(submission, int(group))


def for_tasks(arguments: Iterator[str]) -> Iterator[str]:
    """Yield the arguments of pytest that are for tasks, too.

    >>> list(for_tasks(iter(["exp_a.py", "--memento-slurm", "4", "-x", "--memento-slurm-detach",
    ...                      "--memento-slurm-time=1:00", "--memento-notify=mailto://me",
    ...                      "--memento-report", "report.html", "-v"])))
    ['exp_a.py', '-x', '-v']
    """
    for text in arguments:
        name, equals, _ = text.partition("=")
        if name.startswith(_OWN):
            if not equals and name not in _BARE:
                next(arguments, None)
        else:
            yield text
