"""The pytest side: options, and one plugin object per concern.

options         what the user asked for, read once
collection      which functions are experiments; their items
choices         pytest.param and results_of in a matrix
upstream        the experiments whose results others are given; collected if need be
feeding         what an experiment is given of others: whether it is there, and bringing it in
joining         those of them that are needed, whatever was asked for
fixtures        config, context
code            what counts as the code of an experiment
selection       the experiments that --memento-select keeps
acceptance      the stale results that --memento-accept takes over
given           an experiment that is given to the session, and not found in a file
calling         the session that Memento(...).run starts, seen from there
verification    the stored results that --memento-verify computes again
care            what --memento-clear and --memento-prune remove, in place of a session
status          what --memento-status shows, in place of a session
execution       hits are replayed, misses run and are published
seeding         the global random generators while an experiment runs
reporting       what the terminal shows
properties      what reporters such as junitxml are told
telling         who is told what has come out, beside the terminal
export          the files that --memento-report asks for
progress        the line that says what is going on
notifying       who is told what the session does
stopping        beginning nothing more
distribution    what crosses between xdist's workers and their controller
scheduling      the schedule in xdist's controller
gpus            each worker has its own
shortcut        no workers where all is stored
slurm           arrays of tasks, or workers in an allocation
idle            the item that a worker runs while it waits to be told the next one
private         everything of pytest or xdist that is not public
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from pytest_memento import caching
from pytest_memento.caching import Home
from pytest_memento.errors import MementoError
from pytest_memento.plugin import care, fixtures, gpus, hookspecs, options, slurm
from pytest_memento.plugin.acceptance import Acceptance
from pytest_memento.plugin.collection import Collection
from pytest_memento.plugin.distribution import Controller, Worker, is_scheduled_here
from pytest_memento.plugin.execution import Execution
from pytest_memento.plugin.given import GIVEN, INPUT, Given, Nothing
from pytest_memento.plugin.gpus import Gpus
from pytest_memento.plugin.idle import Idling
from pytest_memento.plugin.joining import Joining
from pytest_memento.plugin.options import OPTIONS, Options
from pytest_memento.plugin.progress import Progress
from pytest_memento.plugin.reporting import Reporting
from pytest_memento.plugin.scheduling import is_chosen_by_user
from pytest_memento.plugin.seeding import Seeding
from pytest_memento.plugin.selection import Selection
from pytest_memento.plugin.shortcut import Shortcut
from pytest_memento.plugin.slurm.asking import ASKED, Mode
from pytest_memento.plugin.slurm.room import Room
from pytest_memento.plugin.stopping import Interrupts, PatientWorker, allowance_of
from pytest_memento.plugin.telling import Telling
from pytest_memento.plugin.upstream import Upstream
from pytest_memento.plugin.verification import Verification
from pytest_memento.processors import usable
from pytest_memento.schedule import Allowance

if TYPE_CHECKING:
    from pytest_memento.plugin.slurm.watching import Watching

_BEFORE = pytest.StashKey["Home | None"]()
"""Where ``cached`` kept its values before this session, which may be one within another."""

pytest_addoption = options.pytest_addoption


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Do what is asked for in place of a session, or decide what this one is for."""
    done = care.pytest_cmdline_main(config)
    wanted = config.getoption("memento_status") or config.getoption("memento_watch")
    if done is None and wanted and not hasattr(config, "workerinput"):
        from pytest_memento.plugin import status  # as all that few sessions need

        done = status.show(config)
    return done if done is not None else slurm.prepare(config)


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    parser: pytest.Parser, args: list[str]
) -> Generator[None, None, None]:
    """Take ``--watch`` for ``--memento-watch`` where it can mean nothing else.

    It is no option of ours, since users have their own by that name.
    """
    yield
    if "--memento-status" in args and "--watch" in args:
        _, unknown = parser.parse_known_and_unknown_args(args)
        if "--watch" in unknown:
            args[args.index("--watch")] = "--memento-watch"


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Announce the hooks that users can implement."""
    pluginmanager.add_hookspecs(hookspecs)


def pytest_configure(config: pytest.Config) -> None:
    """Register what this process needs: workers report nothing, controllers run nothing."""
    config.addinivalue_line(
        "markers",
        "memento(matrix=..., version=..., depends=[...], slurm={...}): run the function once per"
        " configuration of the matrix; version and depends say what its results depend on beside"
        " its code, slurm which resources its tasks ask for (as gpus, time)",
    )
    config.stash[OPTIONS] = chosen = options.read(config)
    config.stash[_BEFORE] = caching.use(Home(chosen.store, chosen.root, chosen.lock))
    if (left := getattr(config, "workerinput", {}).get(INPUT)) is not None:
        _take(config, Path(left))
    is_worker, is_distributed = hasattr(config, "workerinput"), _is_distributed(config)
    is_scheduled = is_scheduled_here(config) if is_worker else not is_chosen_by_user(config)
    asked = config.stash.get(ASKED, None)
    is_watching = asked is not None and asked.mode is Mode.ARRAY
    allowance = (
        Allowance(budget=chosen.budget)
        if is_watching
        else allowance_of(
            chosen, is_worker=is_worker, is_scheduled=is_scheduled, is_distributed=is_distributed
        )
    )
    upstream = Upstream(chosen)
    execution = Execution(chosen, allowance, upstream)
    plugins = [*_of_all(chosen, config, upstream, execution)]
    if not is_worker:
        plugins += _of_those_who_export(chosen, config, allowance)
    else:
        plugins += _of_workers(chosen, config, execution, is_scheduled=is_scheduled)
    if chosen.verify is not None:  # after these, so that it comes before them
        plugins.append(("verification", Verification(chosen, chosen.verify)))
    if not is_worker:
        reporting = Reporting(chosen, config, allowance)
        plugins.append(("reporting", reporting))
        if chosen.order is None:  # else where its reports arrive
            plugins.append(("telling", Telling(chosen, config)))
        runs: Controller | Execution | Watching = execution
        shortcut = Shortcut(
            chosen,
            config,
            is_distributed=is_distributed and is_scheduled,
            given=config.stash.get(GIVEN, None),
        )
        plugins.append(("shortcut", shortcut))
        if is_distributed:
            runs = Controller(chosen, config, allowance, shortcut, is_scheduled=is_scheduled)
            plugins.append(("controller", runs))
            if each := gpus.wanted(config):
                plugins.append(("gpus", Gpus(each)))
        if asked is not None and is_watching:
            from pytest_memento.plugin.slurm.watching import Watching

            runs = Watching(chosen, config, asked, allowance)
        plugins += _of_those_who_watch(chosen, config, reporting, runs)
    for name, plugin in plugins:
        config.pluginmanager.register(plugin, f"memento-{name}")


def _take(config: pytest.Config, left: Path) -> None:
    """Take what the controller has left for its workers to run."""
    try:
        config.stash[GIVEN] = Given.load(left)
    except MementoError as error:
        config.pluginmanager.register(Nothing(config, str(error)), "memento-nothing")
    if not os.environ.get("PYTHONBREAKPOINT"):
        sys.breakpointhook = _without_debugger


def _without_debugger(*args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG001
    """Say what to do, where the debugger would have ended with ``BdbQuit``."""
    raise RuntimeError("breakpoint() has no terminal in a worker: run with workers=1 to debug")


Named = tuple[str, object]


def _of_all(
    options: Options, config: pytest.Config, upstream: Upstream, execution: Execution
) -> Iterator[Named]:
    """Yield what every process has."""
    yield "fixtures", fixtures
    if (given := config.stash.get(GIVEN, None)) is not None:
        yield "given", given
    yield "upstream", upstream
    yield "collection", Collection(options, config, upstream)
    if options.select is not None:
        yield "selection", Selection(options, options.select)
    if options.accepts:
        yield "acceptance", Acceptance(options, options.accept)
    yield "joining", Joining(options, upstream)  # around these: what they leave is what needs it
    if options.order is not None:
        from pytest_memento.plugin.slurm.task import Ordered

        yield "ordered", Ordered(options, options.order)
    yield "execution", execution
    if options.seeds:
        yield "seeding", Seeding(options)


def _of_those_who_export(
    options: Options, config: pytest.Config, allowance: Allowance
) -> Iterator[Named]:
    """Yield what writes the reports that were asked for, before the others are registered."""
    if options.order is None and config.getoption("memento_report"):
        from pytest_memento.plugin.export import Export, targets

        yield "export", Export(options, config, allowance, targets(config))


def _of_workers(
    options: Options, config: pytest.Config, execution: Execution, *, is_scheduled: bool
) -> Iterator[Named]:
    """Yield what the workers of xdist have."""
    worker = Worker(config, is_scheduled=is_scheduled)
    execution.notes += worker.notes
    yield "worker", worker
    if is_scheduled:
        yield "idling", Idling()
        want = None
        if options.order is not None:
            room = Room(worker.ready)
            want = room.want
            yield "room", room
        yield "patience", PatientWorker(execution.leave, worker.is_over, want)


def _of_those_who_watch(
    options: Options,
    config: pytest.Config,
    reporting: Reporting,
    runs: Controller | Execution | Watching,
) -> Iterator[Named]:
    """Yield what the process has that the user looks at."""
    yield "progress", Progress(config, lambda: reporting.state(runs.now), options.progress)
    if not isinstance(runs, (Controller, Execution)):
        yield "watching", runs  # after the progress, which is to go on around it
    elif options.order is None:
        yield "interrupts", Interrupts(runs.allowance, runs)
    else:
        from pytest_memento.plugin.slurm.task import Task

        task = Task(options, config, options.order, runs)
        if isinstance(runs, Execution):
            yield "room", runs.room
        yield "interrupts", Interrupts(runs.allowance, runs, task.returns)
        yield "task", task
    asks = options.notify or config.hook.pytest_memento_notify.get_hookimpls()
    if asks and not options.collect_only:
        yield "notifying", _notifying(options, config, reporting, runs)


def _notifying(
    options: Options,
    config: pytest.Config,
    reporting: Reporting,
    runs: Controller | Execution | Watching,
) -> object:
    """Return what tells others, which few sessions need."""
    from pytest_memento.plugin.notifying import Notifying, targets

    chosen = targets(options.notify, config, os.environ)
    return Notifying(options, config, chosen, reporting, runs)


def _is_distributed(config: pytest.Config) -> bool:
    """Whether this is the controller of xdist's workers."""
    option = config.option
    distributes = getattr(option, "dist", "no") != "no" and bool(getattr(option, "tx", None))
    return distributes and not option.collectonly


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> Generator[None, int, int]:
    """Have ``-n auto`` start no more workers than there are processors to use, and GPUs."""
    number = yield
    if not os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
        number = min(number, usable())
    return min(number, gpus.most_workers(config) or number)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the throw-away store of ``--memento-cache=off``."""
    if chosen := config.stash.get(OPTIONS, None):
        caching.use(config.stash[_BEFORE])
        chosen.close()
