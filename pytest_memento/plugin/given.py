"""An experiment that is given to a session, by ``Memento(...).run``, and not found in a file.

The session collects it in place of files, with the matrices that came with it. All that follows is
as for any other: arguments, keys, store, claims, schedule, reports.
"""

from __future__ import annotations

import functools
import shutil
import tempfile
import types
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_memento.errors import FingerprintError, MatrixError, MementoError
from pytest_memento.experiment import Experiment, inputs_of
from pytest_memento.fingerprint import Codebase, Script, digest_value, names_of, take
from pytest_memento.inputs import Input, ResultsOf, told_apart
from pytest_memento.labels import quoted, short
from pytest_memento.loaded import Loaded, script_of
from pytest_memento.matrix import Case, Expansion
from pytest_memento.pipeline import Stage
from pytest_memento.plugin.bound import BOUND
from pytest_memento.plugin.choices import expansion_of, known_inputs
from pytest_memento.plugin.options import OPTIONS, STORE
from pytest_memento.record import Key

if TYPE_CHECKING:
    from pytest_memento.callables import Subject

INPUT = "memento_given"
"""The file with the experiment, in what a worker of xdist is given."""
_OUTPUT = "memento_not_loaded"
"""Why it could not bring that back, in what it returns."""


@dataclass(eq=False)  # pytest 8.2 wants plugins to have a hash
class Given:
    """An experiment with its matrix, or with several that are given each other's results.

    :param subject: the function, and what is known of it.
    :param stages: the matrices, each behind those that it depends on.
    :param loaded: knows the source of modules as it was when they were loaded.
    :param keys: of the configurations, where another process has found them out.
    """

    subject: Subject
    stages: Sequence[Stage]
    loaded: Loaded = field(default_factory=Loaded)
    keys: Sequence[tuple[Key, Mapping[str, str]]] = ()
    experiments: list[Experiment] = field(default_factory=list)
    """Those of all stages, each once."""
    expansion: Expansion = field(default_factory=lambda: Expansion(()))
    """What is left of the present stage: a configuration may be in several."""
    places: dict[Hashable, list[int]] = field(default_factory=dict)
    """Which of the experiments are those of a stage, in the order of its matrix."""
    remarks: list[str] = field(default_factory=list)
    refused: BaseException | None = None
    """Why there are no experiments."""
    unpicklable: MementoError | None = None
    """Why workers cannot run them."""
    has_asked: bool = False
    """Whether the user has asked for workers."""
    has_begun: bool = False
    """Whether a worker was ready to run them."""
    codebase: Codebase | None = None
    """What it was described with."""
    _sources: dict[Path, str] = field(default_factory=dict)
    """The files that the keys are made from, with their digests."""
    _left: Path | None = None
    _ready: set[Any] = field(default_factory=set)
    """The workers that are there."""

    @classmethod
    def load(cls, path: Path) -> Given:
        """Read what the controller has left for its workers."""
        from pytest_memento import bundle  # which imports cloudpickle

        held = bundle.load(path)
        take(held.names)
        return cls(held.subject, held.stages, keys=held.keys)

    def read(self, path: Path) -> bytes:
        """Return the source of a file, as it was when this process has loaded it.

        :raises OSError: it cannot be read.
        :raises MementoError: it was changed between then and the first time that this was asked.
        """
        source = self.loaded.read(path)
        if self.script is None or path != self.script.path:  # which workers do not read
            self._sources[path] = digest_value(source)
        return source

    def dump(self) -> bytes:
        """Return what workers need.

        :raises MementoError: it cannot be pickled.
        """
        from pytest_memento import bundle  # which imports cloudpickle

        keys = [(each.key, each.manifest) for each in self.experiments]
        names = names_of(each for experiment in self.experiments for each in experiment.case.code)
        live = self.codebase.live if self.codebase is not None else {}
        script, sources = self._imported_script(), dict(self._sources)
        if script is not None:
            sources[script] = digest_value(self.loaded.read(script))
        return bundle.dump(
            bundle.Bundle(self.subject, self.stages, keys, names, live, sources, script)
        )

    def _imported_script(self) -> Path | None:
        """Return the script if workers are to import it, for what it sets up in other packages.

        :raises MementoError: they cannot, and nobody has asked for workers.
        """
        script = self.script
        lines = self.codebase.set_up_elsewhere() if self.codebase is not None else ()
        if not lines or script is None or script.path != self.subject.source:
            return None
        if script.is_guarded(self.loaded.read(script.path)):
            return script.path
        line = (
            f"{script.path.name}, line {lines[0]}: what this sets up would not be so in workers,"
            " unless experiments are run under if __name__ == '__main__'"
        )
        if not self.has_asked:
            raise MementoError(line)
        self.remarks.append(line)
        return None

    @functools.cached_property
    def script(self) -> Script | None:
        """The script that runs, and where it is."""
        return script_of(self.subject.code)

    def known(self, cases: Sequence[Case]) -> list[Experiment] | None:
        """Return the experiments of cases of the present stage, if their keys are known."""
        start = len(self.experiments)
        keys = self.keys[start : start + len(cases)]
        if len(keys) != len(cases):
            return None
        return [
            Experiment.known(key, case, manifest)
            for case, (key, manifest) in zip(cases, keys, strict=True)
        ]

    def begin(self, stage: Stage) -> None:
        """Expand the matrix of a stage.

        :raises MatrixError: it cannot be expanded.
        """
        try:
            whole = expansion_of(stage.matrix, find=self._find if stage.dependencies else None)
        except MatrixError as error:
            if stage.id is None:
                raise
            raise MatrixError(f"matrix {quoted(stage.id)}: {error}") from None
        self.remarks += whole.remarks
        known = {_identity(each.case): place for place, each in enumerate(self.experiments)}
        labels = {each.case.label for each in self.experiments}
        new: list[Case] = []
        places = self.places[stage.id] = []
        for case in whole.cases:
            identity = _identity(case)
            place = known.get(identity)
            if place is None:
                place = len(self.experiments) + len(new)
                new.append(case)
                if case.label in labels:
                    case.label += short(digest_value([*identity]))
            places.append(place)
        self.expansion = Expansion(tuple(new), whole.excluded, names=whole.names)

    def _find(self, wanted: ResultsOf) -> Sequence[Input]:
        """Return the results of a stage."""
        known = {str(name): places for name, places in self.places.items()}
        if wanted.known is not None or wanted.target not in known:
            return known_inputs(wanted)
        return told_apart([self.experiments[place].as_input() for place in known[wanted.target]])

    def leave_for_workers(self, config: pytest.Config, missing: int) -> None:
        """Write down what workers need; have no more of them than there is to do.

        :raises pytest.UsageError: it cannot be pickled.
        """
        try:
            self.loaded.refuse_changes()
            content = self.dump()
        except MementoError as error:
            self.unpicklable = error
            raise pytest.UsageError(str(error)) from error
        config.option.tx = config.option.tx[:missing]
        # In a directory of our own: who can write there runs code in the workers.
        directory = tempfile.mkdtemp(prefix="memento-given-")
        config.add_cleanup(lambda: shutil.rmtree(directory, ignore_errors=True))
        self._left = Path(directory) / "experiment.pickle"
        self._left.write_bytes(content)

    # -- hooks -------------------------------------------------------------------------------------

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> bool:
        """Collect it in place of what the command line names."""
        place = self.subject.place
        path = Path(place) if not place.startswith("<") else Path.cwd() / place
        module: GivenModule = GivenModule.from_parent(session, path=path, given=self)
        session.collect = lambda: iter([module])  # type: ignore[method-assign]
        session.perform_collect([])
        return True

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker of xdist where the experiment is, and the store."""
        node.workerinput[INPUT] = str(self._left)
        node.workerinput[STORE] = str(node.config.stash[OPTIONS].store.root)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        """Note that a worker is ready."""
        if ids:
            self.has_begun = True
            self._ready.add(node)

    @pytest.hookimpl(optionalhook=True, trylast=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Go on without a worker that could not load the experiment, if there are others."""
        self._ready.discard(node)
        line = getattr(node, "workeroutput", {}).get(_OUTPUT)
        if line is None:
            return
        if self._ready:
            self.remarks.append(f"the session went on without a worker: {line}")
            return
        self.unpicklable = MementoError(line)
        raise pytest.UsageError(line)


def _identity(case: Case) -> tuple[str, ...]:
    """Return what tells the cases of all stages apart.

    Inputs may differ in code alone, or in settings, which count as code for what is given them.
    """
    given = sorted((name, str(each.key)) for name, each in inputs_of(case).items())
    return (*case.fingerprint, *(text for pair in given for text in pair))


GIVEN = pytest.StashKey[Given]()


class Nothing:
    """Collects nothing, where a worker has nothing to run, and tells the controller.

    A worker that just ended would be taken for one that has crashed.

    :param why: in one line.
    """

    def __init__(self, config: pytest.Config, why: str) -> None:
        config.workeroutput[_OUTPUT] = why  # type: ignore[attr-defined]  # of xdist

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection(self, session: pytest.Session) -> bool:
        """Collect nothing in place of what the command line names."""
        session.perform_collect([])
        return True


class GivenModule(pytest.Module):
    """Stands for the file of the experiment, which nobody imports."""

    def __init__(self, *, given: Given, **more: Any) -> None:
        super().__init__(**more)
        self.given = given
        module = types.ModuleType(given.subject.module)
        if given.subject.source is not None:
            module.__file__ = str(given.subject.source)
        setattr(module, given.subject.name, given.subject.function)  # where its items look for it
        self.obj = module

    def funcnamefilter(self, name: str) -> bool:  # noqa: ARG002
        """Whether a function is collected: there is only the one."""
        return True

    def collect(self) -> list[pytest.Item | pytest.Collector]:
        """Make the items of the experiment.

        :raises CollectError: it cannot be run with its matrix.
        """
        given, items = self.given, list[pytest.Item | pytest.Collector]()
        try:
            for stage in given.stages:
                given.begin(stage)
                made = self._items() if given.expansion.cases else []
                given.experiments += [item.stash[BOUND].experiment for item in made]
                items += made
        except self.CollectError as error:
            given.refused = error
            raise
        except (FingerprintError, MementoError) as error:
            given.refused = error
            raise self.CollectError(str(error)) from None
        return items

    def _items(self) -> list[pytest.Item]:
        subject = self.given.subject
        made: Any = self.ihook.pytest_pycollect_makeitem(
            collector=self, name=subject.name, obj=subject.function
        )
        return [item for item in made if BOUND in item.stash]


def given_to(metafunc: pytest.Metafunc) -> Given | None:
    """Return what a function was given with, if it was."""
    parent = metafunc.definition.parent
    return parent.given if isinstance(parent, GivenModule) else None
