"""Command line, ini file and environment, read once."""

from __future__ import annotations

import enum
import math
import os
import random
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal, TypeVar

import pytest

from pytest_memento import locks, packages
from pytest_memento.amounts import to_seconds
from pytest_memento.command import masked
from pytest_memento.errors import QueryError
from pytest_memento.locate import ENVIRONMENT
from pytest_memento.plugin.slurm import asking
from pytest_memento.plugin.slurm.asking import Order
from pytest_memento.query import Query, parse
from pytest_memento.store import Store

T = TypeVar("T")

NOTIFY = "MEMENTO_NOTIFY"
"""The environment variable that says who is told."""
TYPED = pytest.StashKey[Sequence[str]]()
"""The command line of a session that was not started by one of pytest."""
STORE = "memento_store"
"""The store, in what a worker of xdist is given where its own look would not tell."""
COMMAND = "memento_command"
"""The command line, in what a worker of xdist is given."""
FILES = ["exp_*.py", "experiment_*.py"]


class Cache(enum.Enum):
    """What ``--memento-cache`` can be."""

    USE = "use"
    REFRESH = "refresh"
    ONLY = "only"
    OFF = "off"


@dataclass(frozen=True)
class Sample:
    """How many of something: a number, or a share of them.

    :param number: how many, or how many of a hundred.
    :param is_share: whether *number* is a percentage.
    """

    number: float
    is_share: bool

    @classmethod
    def parse(cls, text: str) -> Sample:
        """Read ``5%`` or ``20``.

        :raises ValueError: it is neither.
        """
        bare = text.strip().removesuffix("%")
        is_share = bare != text.strip()
        number = float(bare) if is_share else int(bare)
        if not 0 < number <= (100 if is_share else math.inf):
            raise ValueError(text)
        return cls(number, is_share)

    def draw(self, population: Sequence[T]) -> list[T]:
        """Choose at random, whatever the seed of the session is; of a share, at least one."""
        wanted = math.ceil(len(population) * self.number / 100) if self.is_share else self.number
        return random.SystemRandom().sample(population, min(int(wanted), len(population)))

    def __str__(self) -> str:
        return f"{self.number:g}%" if self.is_share else f"{self.number}"


@dataclass(frozen=True)
class Options:
    """What the user asked for.

    :param cache: how stored results are used.
    :param store: where results are; for ``Cache.OFF`` a throw-away directory.
    :param files: patterns of experiment files.
    :param key_packages: distributions whose version is part of the key, and patterns of such.
    :param root: the project, which names of experiments start from.
    :param collect_only: whether nothing is run.
    :param select: what must hold for the experiments to keep.
    :param accepts: whether stale results are declared valid.
    :param accept: what must hold for these; ``None`` for all.
    :param verify: how many of the cached experiments to compute again; ``None`` for none.
    :param limit: how many experiments are begun at most; ``None`` for all.
    :param budget: for how many seconds experiments are begun; ``None`` for ever.
    :param progress: seconds between two lines about the progress, off a terminal; 0 for none.
    :param lock: what claims are held by, where the user has chosen.
    :param seeds: whether the global random generators are seeded for each experiment.
    :param command: what was typed, without secrets.
    :param order: what this session is to do as a task of Slurm.
    :param notify: who is told what the session does, as the user wrote it: (where, text).
    :param stalled: seconds without progress after which that is told.
    """

    cache: Cache
    store: Store
    files: tuple[str, ...]
    key_packages: tuple[str, ...]
    root: Path
    collect_only: bool
    select: Query | None = None
    accepts: bool = False
    accept: Query | None = None
    verify: Sample | None = None
    limit: int | None = None
    budget: float | None = None
    progress: float = 60.0
    lock: locks.Choice | None = None
    seeds: bool = True
    command: tuple[str, ...] = ()
    order: Order | None = None
    notify: tuple[tuple[str, str], ...] = ()
    stalled: float = 1800.0

    @property
    def reads(self) -> bool:
        """Whether a stored result stands for a run."""
        return self.cache in (Cache.USE, Cache.ONLY)

    @property
    def writes(self) -> bool:
        """Whether results are stored."""
        return self.cache in (Cache.USE, Cache.REFRESH)

    def is_experiment_file(self, path: Path) -> bool:
        """Whether the name is that of an experiment file."""
        return any(fnmatch(path.name, pattern) for pattern in self.files)

    def close(self) -> None:
        """Remove the throw-away store."""
        if self.cache is Cache.OFF:
            shutil.rmtree(self.store.root, ignore_errors=True)


OPTIONS = pytest.StashKey[Options]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the plugin."""
    group = parser.getgroup("memento", "experiments (pytest-memento)")
    group.addoption(
        "--memento-cache",
        choices=[mode.value for mode in Cache],
        default=Cache.USE.value,
        help="use: reuse stored results (default). refresh: run all, replace on success. only:"
        " run nothing, a missing result fails. off: neither read nor write results",
    )
    group.addoption(
        "--memento-select",
        metavar="EXPR",
        help="keep the experiments where EXPR holds, deselect all else: \"model == 'SVC' and"
        " lr <= 0.01\", \"status != 'cached' or runtime > '2m'\". Names: parameters, settings.x,"
        " metrics.x, result, result.x, status (cached, stale, failed, new), runtime, cpu_time, age,"
        " memory, error, id, experiment; with == != < <= > >= in, is None, and, or, not. What is"
        " missing makes a comparison false, 'is None' true",
    )
    group.addoption(
        "--memento-accept",
        nargs="?",
        const="",
        metavar="EXPR",
        help="declare stale results valid for the present code and data files, on record: all, or"
        " =EXPR where it holds. A later change makes them stale again",
    )
    group.addoption(
        "--memento-verify",
        metavar="SAMPLE",
        help="run a sample of the cached experiments again, 5%% of them or a number, and compare:"
        " what differs fails, the stored result stays",
    )
    group.addoption(
        "--memento-limit",
        type=int,
        metavar="N",
        help="begin at most N experiments",
    )
    group.addoption(
        "--memento-budget",
        metavar="TIME",
        help="begin no experiment when the session has lasted that long: 3h, 90m, 1h30m. Those that"
        " run then go on to their end",
    )
    group.addoption(
        "--memento-clear",
        metavar="EXPR",
        help="remove the stored results and failures where EXPR holds, with their artifacts and"
        " checkpoints, and run nothing; of the files that are named, or of all. They are listed"
        " first, then you are asked. Names as for --memento-select; status is 'passed' or 'failed'."
        " With --collect-only they are listed and nothing else",
    )
    group.addoption(
        "--memento-prune",
        action="store_true",
        help="likewise, remove results that are superseded (other code or settings, and the present"
        " ones have a result) or orphaned (not in the matrix of the last session, file gone), and"
        " what dead sessions left behind",
    )
    group.addoption(
        "--memento-yes",
        action="store_true",
        help="remove what --memento-clear and --memento-prune list without asking, as is needed"
        " where there is no terminal to ask at. An error without one of these",
    )
    group.addoption(
        "--memento-status",
        action="store_true",
        help="show what runs on the store, anywhere, how far it is and what failed last; nothing is"
        " collected",
    )
    group.addoption(
        "--memento-watch",
        action="store_true",
        help="the same again and again, in place on a terminal, until Ctrl-C. --watch behind"
        " --memento-status means this, unless a plugin or conftest.py of yours has that option",
    )
    group.addoption(
        "--memento-notify",
        action="append",
        default=[],
        metavar="TARGET",
        help="tell TARGET of the end and the first failure: console, file:PATH, command:CMD,"
        " https://... (JSON, as Slack, Discord, Mattermost and ntfy take it), or whatever Apprise"
        " knows, as mailto://... (extra 'notify'). Behind it ?on=end,failure,first-failure,stalled,"
        "milestone. Secrets by ${NAME} from the environment. none: not those of ini and"
        f" ${NOTIFY}. Repeatable",
    )
    group.addoption(
        "--memento-report",
        action="append",
        default=[],
        metavar="FILE",
        help="write what came out to FILE at the end: .html (one page that needs no network), .md,"
        " .csv, .json or .parquet; may be given several times. With --collect-only or"
        " --memento-status: of what is stored, and nothing runs",
    )
    group.addoption(
        "--memento-dir",
        metavar="DIR",
        help=f"where results are stored. Order: this option, ${ENVIRONMENT}, ini memento_dir,"
        " <cache_dir>/memento",
    )
    asking.add_options(parser, group)
    parser.addini("memento_dir", "where experiment results are stored, from the root directory")
    parser.addini("memento_files", "patterns of experiment files", type="args", default=FILES)
    parser.addini(
        "memento_key_packages",
        "distributions whose version is part of the key: names, or patterns such as * for those"
        " that the code of an experiment uses",
        type="args",
        default=[],
    )
    parser.addini(
        "memento_seed",
        "seed the global generators of random, numpy and torch for each experiment, from its name"
        " and configuration; afterwards they are as they were",
        type="bool",
        default=True,
    )
    parser.addini(
        "memento_gpus",
        "GPUs for each worker of xdist, by CUDA_VISIBLE_DEVICES: a number, or a fraction where"
        " workers share one; -n auto starts as many workers as there are GPUs for",
        default="",
    )
    parser.addini(
        "memento_progress",
        "time between two lines about the progress where there is no terminal to show it in place:"
        " 60, 5m; 0 for none",
        default="60",
    )
    parser.addini(
        "memento_notify",
        f"targets as for --memento-notify, one each line; ${NOTIFY} likewise",
        type="linelist",
        default=[],
    )
    parser.addini(
        "memento_stalled",
        "time without progress, or signs of life, after which an experiment is called stalled",
        default="30m",
    )
    parser.addini(
        "memento_lock",
        "how sessions on one store exclude each other from an experiment: kernel, for a local disk;"
        " lease, for one that several machines have over a network, or lease 5m where they are to"
        " wait another time for a machine that is gone; default: by the disk (Linux)",
        default="",
    )
    parser.addini(
        "memento_shared",
        "load stored values that other users wrote: they run code when loaded",
        type="bool",
        default=False,
    )


def read(config: pytest.Config) -> Options:
    """Return what the user asked for.

    :raises pytest.UsageError: an expression is wrong.
    """
    select, accept = expression(config, "select"), _accept(config)
    cache = Cache(config.getoption("memento_cache"))
    if cache is Cache.USE and config.getoption("cacheclear", default=False):
        cache = Cache.REFRESH
    if accept is not None and cache not in (Cache.USE, Cache.ONLY):
        raise pytest.UsageError(
            f"--memento-accept is for results to reuse, not with --memento-cache={cache.value}"
        )
    verify = _verify(config)
    if verify is not None and cache not in (Cache.USE, Cache.ONLY):
        raise pytest.UsageError(
            f"--memento-verify compares with stored results, not with --memento-cache={cache.value}"
        )
    root = Path(tempfile.mkdtemp(prefix="memento-")) if cache is Cache.OFF else directory(config)
    if root.exists() and not root.is_dir():
        raise pytest.UsageError(f"the store cannot be {root}: it is no directory")
    return Options(
        cache=cache,
        store=Store(root, shared=config.getini("memento_shared")),
        files=tuple(config.getini("memento_files")),
        key_packages=_key_packages(config),
        root=config.rootpath,
        collect_only=config.getoption("collectonly"),
        select=select,
        accepts=accept is not None,
        accept=accept or None,
        verify=verify,
        limit=_limit(config),
        budget=_budget(config),
        progress=_progress(config),
        lock=_lock(config),
        seeds=config.getini("memento_seed"),
        command=_command(config),
        order=config.stash.get(asking.ORDER, None),
        notify=_notify(config),
        stalled=_seconds("memento_stalled", config.getini("memento_stalled")),
    )


def _command(config: pytest.Config) -> tuple[str, ...]:
    """Return what was typed; a worker of xdist has it from its controller."""
    told = getattr(config, "workerinput", {}).get(COMMAND)
    typed = config.stash.get(TYPED, ["pytest", *config.invocation_params.args])
    return masked(typed) if told is None else tuple(told)


def _accept(config: pytest.Config) -> Query | Literal[""] | None:
    """Read ``--memento-accept``: an expression, nothing for all, ``None`` where it is not given."""
    text = config.getoption("memento_accept")
    if not text:
        return "" if text == "" else None
    # A name of a file may be an expression, too; one of a test never is.
    is_file = os.path.exists(config.invocation_params.dir / text)
    if is_file or ("::" in text and not _is_expression(text)):
        raise pytest.UsageError(
            f"--memento-accept takes {text!r} for its expression: write --memento-accept=EXPR, or"
            " put it behind the files"
        )
    return expression(config, "accept")


def _is_expression(text: str) -> bool:
    try:
        parse(text)
    except QueryError:
        return False
    return True


def _key_packages(config: pytest.Config) -> tuple[str, ...]:
    """Read names of distributions and patterns of such; a name must be that of one."""
    names: list[str] = config.getini("memento_key_packages")
    for name in names:
        if not set("*?[") & set(name) and packages.version(name) == packages.UNKNOWN:
            held = packages.distributions([name])
            hint = f"did you mean {held[0]!r}?" if held else f"if it may be missing, write {name}*"
            raise pytest.UsageError(
                f"memento_key_packages: no distribution {name!r} is installed ({hint})"
            )
    return tuple(names)


def _verify(config: pytest.Config) -> Sample | None:
    text = config.getoption("memento_verify")
    try:
        return None if text is None else Sample.parse(text)
    except ValueError:
        raise pytest.UsageError(
            f"--memento-verify takes a share such as 5% or a number such as 20, not {text!r}"
        ) from None


def _limit(config: pytest.Config) -> int | None:
    limit: int | None = config.getoption("memento_limit")
    if limit is not None and limit < 0:
        raise pytest.UsageError(f"--memento-limit takes a number such as 20, not {limit}")
    return limit


def _budget(config: pytest.Config) -> float | None:
    text = config.getoption("memento_budget")
    return None if text is None else _seconds("--memento-budget", text)


def _progress(config: pytest.Config) -> float:
    text = config.getini("memento_progress")
    return float(text) if text.strip().isdecimal() else _seconds("memento_progress", text)


def _notify(config: pytest.Config) -> tuple[tuple[str, str], ...]:
    """Read who is told; nobody by workers and tasks. ``none`` takes back what came before."""
    typed: list[str] = config.getoption("memento_notify")
    if hasattr(config, "workerinput") or asking.ORDER in config.stash:
        return ()
    found: list[tuple[str, str]] = []
    for where, texts in (
        ("memento_notify", config.getini("memento_notify")),
        (f"${NOTIFY}", os.environ.get(NOTIFY, "").splitlines()),
        ("--memento-notify", typed),
    ):
        for text in map(str.strip, texts):
            found = [] if text == "none" else [*found, (where, text)]
    return tuple((where, text) for where, text in found if text)


def _seconds(name: str, text: str) -> float:
    try:
        return to_seconds(text)
    except ValueError as error:
        raise pytest.UsageError(f"{name}: {error}") from None


_SHORTEST_LEASE = 10.0
"""Seconds: a busy machine may be late with its signs of life."""


def _lock(config: pytest.Config) -> locks.Choice | None:
    text = config.getini("memento_lock")
    kind, _, lease = text.partition(" ")
    try:
        choice = locks.Choice(locks.Kind(kind)) if kind else None
        if not lease:
            return choice
        if kind == locks.Kind.LEASE.value and (seconds := to_seconds(lease)) >= _SHORTEST_LEASE:
            return locks.Choice(locks.Kind.LEASE, seconds)
    except ValueError:
        pass
    raise pytest.UsageError(
        "memento_lock takes kernel, lease, or a lease of another time from 10 s on, as lease 5m,"
        f" not {text!r}"
    )


def expression(config: pytest.Config, name: str) -> Query | None:
    """Read an option that is an expression, if it is given.

    :param name: the option, without ``--memento-``.
    :raises pytest.UsageError: the expression is wrong.
    """
    text = config.getoption(f"memento_{name}")
    try:
        return None if text is None else parse(text)
    except QueryError as error:
        raise pytest.UsageError(f"--memento-{name}: {error}") from None


def directory(config: pytest.Config) -> Path:
    """Return where the store is."""
    here = config.invocation_params.dir
    if told := getattr(config, "workerinput", {}).get(STORE):
        return Path(told)
    if chosen := config.getoption("memento_dir") or os.environ.get(ENVIRONMENT):
        return _absolute(chosen, here)
    if chosen := config.getini("memento_dir"):
        base = config.inipath.parent if config.inipath else config.rootpath
        return _absolute(chosen, base)
    return _absolute(_cache_dir(config), config.rootpath) / "memento"


def shown_path(path: Path, config: pytest.Config) -> str:
    """Return a path as people read it: from where they are, if it is below."""
    text = os.path.relpath(path, config.invocation_params.dir)
    return str(path) if text.startswith("..") else text


def _cache_dir(config: pytest.Config) -> str:
    try:
        return str(config.getini("cache_dir"))
    except ValueError:  # -p no:cacheprovider takes the ini option away
        return ".pytest_cache"


def _absolute(path: str, base: Path) -> Path:
    return base / Path(os.path.expandvars(path)).expanduser()
