"""Which functions are experiments, and the items they become.

exp_*.py -> ExperimentModule -> function -> matrix (fixture, marker, variable)
         -> expansion -> metafunc.parametrize -> items, each Bound to its Experiment
"""

from __future__ import annotations

import contextlib
import gc
import warnings
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from pytest_memento.errors import FingerprintError, MementoWarning, StoreError
from pytest_memento.experiment import (
    Describe,
    Experiment,
    Standing,
    Status,
    experiments_of,
    judge,
)
from pytest_memento.fingerprint import StandIn
from pytest_memento.matrix import Case, Expansion
from pytest_memento.pause import without_gc
from pytest_memento.plugin import arguments, fixtures, private
from pytest_memento.plugin.bound import BOUND, Bound, has_skip_mark
from pytest_memento.plugin.code import Codes
from pytest_memento.plugin.files import (
    ExperimentClass,
    ExperimentModule,
    in_experiment_file,
    is_experiment_name,
)
from pytest_memento.plugin.given import GIVEN, given_to
from pytest_memento.plugin.hits import make_hits
from pytest_memento.plugin.options import Options
from pytest_memento.plugin.sources import MATRIX, Sources, misspelt_mark, why_no_matrix
from pytest_memento.plugin.upstream import Upstream

Collected = pytest.Item | pytest.Collector
CASE = "memento_case"
"""The parameter under which an item carries its case."""
_WORDS = ("config", "context")
_MANY = 1000


@dataclass(frozen=True, slots=True)
class _Group:
    """The experiments of one function, on their way to become items.

    :param describe: tells the code of an experiment.
    :param experiments: in matrix order.
    :param made: the cases that become test functions; the others are hits.
    :param scopes: argument that the matrix fills -> how long its value lives.
    :param bounds: what the store knows of each, if it was asked already.
    """

    describe: Describe
    experiments: Sequence[Experiment]
    made: Sequence[Case]
    scopes: Mapping[str, str]
    bounds: Sequence[Bound] | None = None


class Collection:
    """Turns functions with a matrix into experiments.

    :param upstream: is told of them, and finds those whose results others are given.
    """

    def __init__(self, options: Options, config: pytest.Config, upstream: Upstream) -> None:
        self.options = options
        self._upstream = upstream
        self._given = config.stash.get(GIVEN, None)
        self.excluded = 0
        self.removed: dict[str, list[str]] = {}
        """Experiment -> stems of stored results whose configuration is not in its matrix."""
        self._hook = config.hook.pytest_memento_fingerprint
        self._sources = Sources(self.stand_in, upstream)
        self._codes = Codes(options, self._given)
        self._group: _Group | None = None
        self._use_hits = True
        self._warned_of_store = False
        self._pause = contextlib.ExitStack()

    @property
    def stand_in(self) -> StandIn | None:
        """The user's way to fingerprint values, if there is one."""
        if not self._hook.get_hookimpls():
            return None
        return lambda value: self._hook(value=value)

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Generator[None, Any, Any]:
        """Let the garbage collector run again after the first experiment has stopped it."""
        with self._pause:
            return (yield)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Spare the garbage collector the items of a large matrix: they all stay."""
        if len(session.items) >= _MANY:
            gc.freeze()

    # -- files and classes -------------------------------------------------------------------------

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Let the fixtures of other plugins win where they have the same names as ours."""
        for name in _WORDS:
            private.give_way(session, name, fixtures.__name__)

    def pytest_collect_file(
        self, file_path: Path, parent: pytest.Collector
    ) -> pytest.Collector | None:
        """Collect experiment files that pytest itself would not."""
        if not self.options.is_experiment_file(file_path):
            return None
        if private.collected_by_pytest(file_path, parent.session):
            return None
        return self.pytest_pycollect_makemodule(file_path, parent)

    def pytest_pycollect_makemodule(
        self, module_path: Path, parent: pytest.Collector
    ) -> pytest.Module | None:
        """Collect files with the name of an experiment file in our way."""
        if not self.options.is_experiment_file(module_path):
            return None
        module: ExperimentModule = ExperimentModule.from_parent(parent, path=module_path)
        return module

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_pycollect_makeitem(
        self, collector: pytest.Module | pytest.Class, name: str, obj: object
    ) -> Generator[None, Any, Any]:
        """Bind the items of an experiment; collect its classes in our way."""
        __tracebackhide__ = True
        # One function may have another one collected before it.
        around, self._group = self._group, None
        try:
            made = yield
            if in_experiment_file(collector) and _is_class(made):
                return ExperimentClass.from_parent(collector, name=name, obj=obj)
            if self._group is None or not isinstance(made, list):
                return made
            return self._finish(collector, name, obj, made, self._group)
        finally:
            self._group = around

    def _finish(
        self,
        collector: pytest.Module | pytest.Class,
        name: str,
        obj: object,
        made: list[Any],
        group: _Group,
    ) -> Sequence[pytest.Item]:
        """Bind the items of a function."""
        if group.bounds is not None and len(made) != len(group.made):
            # A plugin multiplied the function after us: then all are made in full.
            self._use_hits = False
            made = private.generate(collector, name, obj)
            self._use_hits = True
            group = self._group or group
        with without_gc():
            items = self._bind_all(made, group) if group.bounds is None else _merged(made, group)
        if self.options.writes and not self.options.collect_only:
            own = [item.stash[BOUND].experiment for item in items]
            self._keep_plan([*self._of_earlier_stages, *own])
        self._upstream.note(items)
        return items

    # -- functions ---------------------------------------------------------------------------------

    @pytest.hookimpl(trylast=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Parametrize a function over the configurations of its matrix."""
        if not _may_be_experiment(metafunc):
            return
        source = self._sources.find(metafunc)
        where = _name_of(metafunc)
        if source is None:
            if _in_our_file(metafunc) and is_experiment_name(metafunc.function.__name__):
                raise pytest.Collector.CollectError(f"{where}: {why_no_matrix(metafunc)}")
            return
        if source.failed:
            raise pytest.Collector.CollectError(f"{where}: {source.failed}")
        if source.expansion is None:
            self._upstream.note_skipped(where, source.skipped)
            skip = pytest.param(None, marks=pytest.mark.skip(reason=source.skipped))
            metafunc.fixturenames.append(CASE + "_skipped")
            metafunc.parametrize(CASE + "_skipped", [skip], ids=["matrix"])
            return
        self._parametrize(metafunc, where, source.expansion)

    def _parametrize(self, metafunc: pytest.Metafunc, where: str, expansion: Expansion) -> None:
        names = arguments.asked_for(metafunc, expansion)
        if not names and not _is_certain(metafunc):
            return
        if wrong := misspelt_mark(metafunc):
            raise pytest.Collector.CollectError(f"{where}: {wrong}")
        arguments.refuse_unknown(metafunc, expansion, where)
        for remark in expansion.remarks:
            metafunc.definition.warn(MementoWarning(f"{where}: {remark}"))
        self.excluded += expansion.excluded
        scopes = {name: arguments.scope_of(metafunc, name) for name in (CASE, *names)}
        self._group = group = self._look_up(metafunc, expansion, scopes)
        metafunc.fixturenames.append(CASE)
        metafunc.parametrize(
            [CASE, *names],
            [
                pytest.param(
                    case,
                    *(arguments.value_of(case, name, where) for name in names),
                    marks=case.tags,
                )
                for case in group.made
            ],
            ids=[case.label for case in group.made],
            scope=min(scopes.values(), key=arguments.SCOPES.index),
        )

    def _look_up(
        self, metafunc: pytest.Metafunc, expansion: Expansion, scopes: Mapping[str, str]
    ) -> _Group:
        """Make the experiments of a function; know its hits before any item is made."""
        self._pause.enter_context(without_gc())  # until all is collected
        describe = self._codes.describe(metafunc, expansion.names)
        experiments = self._experiments(_name_of(metafunc), expansion.cases, describe)
        skips = has_skip_mark(metafunc.definition.iter_markers())
        simple = set(scopes.values()) == {"function"} and not private.is_parametrized(metafunc)
        if skips or self.options.verify or not (simple and self._use_hits and self.options.reads):
            return _Group(describe, experiments, expansion.cases, scopes)
        bounds = self._looked_up(experiments)
        made = [bound.experiment.case for bound in bounds if not bound.is_light]
        # At least one is made in full: the others take after it.
        return _Group(describe, experiments, made or expansion.cases[:1], scopes, bounds)

    def _experiments(
        self, name: str, cases: Sequence[Case], describe: Describe
    ) -> list[Experiment]:
        known = self._given.known(cases) if self._given is not None else None
        return known if known is not None else experiments_of(name, cases, describe)

    @property
    def _of_earlier_stages(self) -> Sequence[Experiment]:
        """The experiments of the same function that a pipeline has before these."""
        return self._given.experiments if self._given is not None else ()

    def _looked_up(self, experiments: Sequence[Experiment]) -> list[Bound]:
        if not experiments:
            return []
        before = self._of_earlier_stages
        if not (self.options.reads or self.options.writes):
            off = Standing(Status.NEW, "the store is off")
            return [Bound(e, off, place) for place, e in enumerate(experiments, len(before))]
        store = self.options.store
        name = experiments[0].key.experiment
        listing = store.listing(name)
        self.removed[name] = listing.outside(e.key for e in chain(before, experiments))
        try:
            with without_gc():
                judged = [judge(each, listing, store, self.options.root) for each in experiments]
        except StoreError as error:
            raise pytest.Collector.CollectError(f"the store cannot be used: {error}") from None
        return [
            Bound(experiment, standing, place)
            for place, (experiment, standing) in enumerate(
                zip(experiments, judged, strict=True), len(before)
            )
        ]

    # -- items -------------------------------------------------------------------------------------

    def _bind_all(self, items: Sequence[pytest.Item], group: _Group) -> Sequence[pytest.Item]:
        """Give each item its experiment, and look all of them up in one go."""
        cases = [self._case(item) for item in items]
        name = group.experiments[0].key.experiment
        experiments = self._experiments(name, cases, group.describe)
        for item, bound in zip(items, self._looked_up(experiments), strict=True):
            item.stash[BOUND] = bound
        _group_by_value(items, group.scopes)
        return items

    def _case(self, item: pytest.Item) -> Case:
        """Return the case of an item, with what other parametrizations add to it."""
        params = _params(item)
        case: Case = params[CASE]
        config = case.config
        known = {CASE, *config, *config.settings}
        more = {name: value for name, value in params.items() if name not in known}
        if not more:
            return case
        try:
            return case.extended(more, _params_id(item), stand_in=self.stand_in)
        except FingerprintError as error:
            raise pytest.Collector.CollectError(
                f"{item.nodeid}: a parameter beside the matrix has no stable fingerprint: {error}"
            ) from None

    def _keep_plan(self, experiments: Sequence[Experiment]) -> None:
        if not experiments:
            return
        name = experiments[0].key.experiment
        try:
            self.options.store.put_plan(name, [e.key.stem for e in experiments])
        except StoreError as error:
            if not self._warned_of_store:
                self._warned_of_store = True
                warnings.warn(MementoWarning(str(error)), stacklevel=2)


# -- which functions -------------------------------------------------------------------------------


def _may_be_experiment(metafunc: pytest.Metafunc) -> bool:
    return _is_certain(metafunc) or (
        _in_our_file(metafunc) and bool(arguments.without_fixture(metafunc))
    )


def _is_certain(metafunc: pytest.Metafunc) -> bool:
    """Whether a function is an experiment if there is a matrix, whatever the matrix holds."""
    if given_to(metafunc) is not None:
        return True
    if _in_our_file(metafunc) and is_experiment_name(metafunc.function.__name__):
        return True
    marks = metafunc.definition.iter_markers("memento")
    return any(MATRIX in mark.kwargs for mark in marks) or _asks_for_ours(metafunc)


def _asks_for_ours(metafunc: pytest.Metafunc) -> bool:
    """Whether ``config`` or ``context`` is asked for and is ours, not the user's own fixture."""
    definitions = private.fixtures_of(metafunc)
    return any(
        _leads_to_ours(name, definitions.get(name, ()))
        for name in _WORDS
        if name in metafunc.fixturenames
    )


def _leads_to_ours(name: str, chain: Sequence[pytest.FixtureDef[Any]]) -> bool:
    for definition in reversed(chain):
        if definition.func.__module__ == fixtures.__name__:
            return True
        if name not in definition.argnames:
            return False
    return False


def _in_our_file(metafunc: pytest.Metafunc) -> bool:
    return in_experiment_file(metafunc.definition.parent)  # type: ignore[arg-type]


# -- items -----------------------------------------------------------------------------------------


def _group_by_value(items: Sequence[pytest.Item], scopes: Mapping[str, str]) -> None:
    """Have pytest keep those together that share the value of an argument that lives longer."""
    numbers: dict[tuple[str, object], int] = {}
    for item in items:
        experiment = item.stash[BOUND].experiment
        for name, scope in scopes.items():
            number = numbers.setdefault(arguments.identity_of(experiment, name), len(numbers))
            private.place_parameter(item, name, scope, number)


def _name_of(metafunc: pytest.Metafunc) -> str:
    return metafunc.definition.nodeid


def _is_class(made: object) -> bool:
    """Whether pytest has made a class; some plugins put all that is made into a list."""
    if isinstance(made, list) and len(made) == 1:
        made = made[0]
    return type(made) is pytest.Class


def _params(item: Collected) -> dict[str, Any]:
    callspec = getattr(item, "callspec", None)
    return callspec.params if callspec is not None else {}


def _params_id(item: pytest.Item) -> str:
    return str(item.callspec.id)  # type: ignore[attr-defined]


def _merged(items: Sequence[pytest.Item], group: _Group) -> list[pytest.Item]:
    """Return the items of a function in matrix order, with light ones for its hits."""
    assert group.bounds is not None
    full = {id(_params(item)[CASE]): item for item in items}
    light = [bound for bound in group.bounds if id(bound.experiment.case) not in full]
    template = items[0]
    assert isinstance(template, pytest.Function)
    hits = make_hits(template, light)
    merged: list[pytest.Item] = []
    for bound in group.bounds:
        item = full.get(id(bound.experiment.case)) or next(hits)
        item.stash[BOUND] = bound
        merged.append(item)
    return merged
