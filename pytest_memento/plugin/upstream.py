"""The experiments whose results others are given (``results_of``): found, and collected if need be.

A matrix that holds such a value can be expanded when the other one is. If pytest has not come to
that by then, it is collected at once, in the nodes that pytest itself makes or will make.
"""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_memento.config import nearest
from pytest_memento.errors import MatrixError
from pytest_memento.experiment import Experiment
from pytest_memento.fingerprint import StandIn
from pytest_memento.inputs import Input, ResultsOf, told_apart
from pytest_memento.matrix import matching
from pytest_memento.plugin import private
from pytest_memento.plugin.bound import BOUND, Bound
from pytest_memento.plugin.options import Options, shown_path
from pytest_memento.record import Key

Python = pytest.Module | pytest.Class


class Upstream:
    """Knows what was collected, and collects what others need."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.has_inputs = False
        """Whether any experiment is given the result of another one."""
        self._by_key: dict[Key, pytest.Item] = {}
        self._skipped: dict[str, str] = {}
        self._items: dict[str, list[pytest.Item]] = {}
        self._asking: list[pytest.Function] = []
        self._nodes: dict[Path, pytest.Collector] = {}
        self._taken: dict[Path, pytest.Collector] = {}
        self._classes: dict[pytest.Collector, dict[str, pytest.Class]] = {}
        self._made: dict[pytest.Collector, Sequence[pytest.Item | pytest.Collector]] = {}

    def note(self, items: Sequence[pytest.Item]) -> None:
        """Note the items of a function: many, maybe, which nobody will ask for."""
        self._by_key.clear()
        self.has_inputs |= any(item.stash[BOUND].experiment.inputs for item in items)
        if items:
            first = items[0].stash[BOUND]
            known = self._items.setdefault(first.experiment.key.experiment, [])
            known[first.position :] = items  # a function may be made twice, or in parts

    def note_skipped(self, name: str, reason: str) -> None:
        """Note that the matrix of a function has skipped it."""
        self._skipped[name] = reason

    def item_of(self, key: Key) -> pytest.Item | None:
        """Return the item of an experiment, if it was collected."""
        if not self._by_key:
            self._by_key = {item.stash[BOUND].experiment.key: item for item in self.items()}
        return self._by_key.get(key)

    def bound_of(self, key: Key) -> Bound | None:
        """Return what is known of an experiment, if it was collected."""
        item = self.item_of(key)
        return item.stash[BOUND] if item is not None else None

    def find(
        self, wanted: ResultsOf, asking: pytest.Function, stand_in: StandIn | None
    ) -> Sequence[Input]:
        """Return the results that are meant in the matrix of a function.

        :raises MatrixError: there is no such experiment, or none of that configuration.
        """
        if wanted.known is not None:
            return wanted.known
        self._asking.append(asking)
        try:
            experiments = [i.stash[BOUND].experiment for i in self._items_of(wanted, asking)]
            return _inputs(experiments, wanted, stand_in)
        except MatrixError as error:
            raise MatrixError(f"{wanted!r}: {error}") from None
        finally:
            self._asking.pop()

    # -- finding -----------------------------------------------------------------------------------

    def _items_of(self, wanted: ResultsOf, asking: pytest.Function) -> list[pytest.Item]:
        file, _, inside = wanted.target.partition("::")
        if not file and not inside:
            raise MatrixError(
                "it names no experiment: write exp_train.py::experiment, or ::experiment for one of"
                " the same file"
            )
        path = self._path(file, asking)
        module = self._module(path, asking)
        if not inside:
            return self._only_items_of(module, file)
        name = f"{module.nodeid}::{inside}"
        if name not in self._items:
            self._refuse_cycle(name)
            self._make(module, inside.split("::"))
        if name not in self._items and name in self._skipped:
            pytest.skip(self._skipped[name])  # and so is who needs it
        if name not in self._items:
            known = self._known_in(module)
            near = nearest(inside, known)
            hint = f"did you mean {near!r}?" if near else f"there are: {', '.join(known) or 'none'}"
            raise MatrixError(f"{module.nodeid} has no experiment {inside!r} ({hint})")
        return self._items[name]

    def _only_items_of(self, module: pytest.Module, file: str) -> list[pytest.Item]:
        """Return the items of the one experiment that a file has."""
        if self._is_being_collected(module):
            raise MatrixError(
                f"{file} is still being collected: name one of its experiments, as"
                f" {file}::experiment"
            )
        self._go_down(module)
        names = self._names_in(module, self._items)
        if not names and (skipped := self._names_in(module, self._skipped)):
            pytest.skip(self._skipped[f"{module.nodeid}::{skipped[0]}"])
        if not names:
            raise MatrixError(f"{file} has no experiments")
        if len(names) > 1:
            raise MatrixError(f"{file} has {len(names)} experiments: name one ({', '.join(names)})")
        return self._items[f"{module.nodeid}::{names[0]}"]

    def _known_in(self, module: pytest.Module) -> list[str]:
        """Return the experiments of a file, as far as they can be known, for a hint."""
        with contextlib.suppress(pytest.Collector.CollectError):  # which is said in its turn
            self._go_down(module)
        return self._names_in(module, self._items)

    @staticmethod
    def _names_in(module: pytest.Module, names: Iterable[str]) -> list[str]:
        start = f"{module.nodeid}::"
        return [each.removeprefix(start) for each in names if each.startswith(start)]

    def _path(self, file: str, asking: pytest.Function) -> Path:
        if not file:
            return asking.path
        beside, root = asking.path.parent, self.options.root
        for place in (beside, root):
            if (path := Path(place / file)).is_file():
                return Path(os.path.normpath(path))
        near = nearest(file, {each.name for each in beside.glob("*.py")} - {asking.path.name})
        looked = f"looked for in {shown_path(beside, asking.config)} and in the root directory"
        raise MatrixError(
            f"there is no file {file} ({f'did you mean {near!r}?' if near else looked})"
        )

    def _refuse_cycle(self, name: str) -> None:
        names = [each.nodeid for each in self._asking]
        if name in names:
            circle = " -> ".join([*names[names.index(name) :], name])
            raise MatrixError(f"experiments need each other's results: {circle}")

    def _module(self, path: Path, asking: pytest.Function) -> pytest.Module:
        for each in self._asking:
            module = each.getparent(pytest.Module)
            if module is not None and module.path == path:
                return module
        node = self._taken.get(path) or self._nodes.get(path) or self._walk(path)
        if not isinstance(node, pytest.Module):
            raise MatrixError(
                f"{shown_path(path, asking.config)} is not collected: pytest or an option leaves it"
                " out"
            )
        return node

    def _walk(self, path: Path) -> pytest.Collector | None:
        """Go down to a file from the nearest directory that pytest has a node for."""
        known = {**self._nodes, **self._taken}
        node: Any = next((known[each] for each in path.parents if each in known), None)
        while isinstance(node, pytest.Directory):
            self._taken[node.path] = node
            report = private.collect_directory(node)
            if report.failed:
                raise MatrixError(f"{report.nodeid or 'a directory'}: {report.longreprtext}")
            node = next((each for each in report.result if _leads_to(each, path)), None)
        return node if isinstance(node, pytest.Collector) else None

    # -- collecting --------------------------------------------------------------------------------

    def _is_being_collected(self, node: pytest.Collector) -> bool:
        return any(node in each.listchain() for each in self._asking)

    def _collect(self, node: Python) -> Sequence[pytest.Item | pytest.Collector]:
        """Collect a module or class now; pytest is given the same when it comes to it."""
        if self._is_being_collected(node):
            return []
        if node in self._made:
            return self._made[node]
        if isinstance(node, pytest.Module):
            self._taken[node.path] = node
        made = list(node.collect())
        node.collect = lambda: made  # type: ignore[method-assign]
        return made

    def _go_down(self, node: Python) -> None:
        """Collect a module or class with all classes in it."""
        made = self._collect(node) or [*self._classes.get(node, {}).values()]
        for each in made:
            if isinstance(each, pytest.Class):
                self._go_down(each)

    def _make(self, collector: Python, names: Sequence[str]) -> None:
        """Have the items of a function made, which is found below a collector."""
        if self._is_being_collected(collector) and len(names) == 1:
            self._make_ahead(collector, names[0])
            return
        self._collect(collector)
        inner = self._classes.get(collector, {}).get(names[0])
        if inner is not None and len(names) > 1:
            self._make(inner, names[1:])
        elif len(names) > 1 and self._is_class_ahead(collector, names[0]):
            raise MatrixError(f"class {names[0]} is below this one in its file: move it above")

    def _is_class_ahead(self, collector: Python, name: str) -> bool:
        """Whether pytest will come to a class of that name."""
        is_class = inspect.isclass(getattr(collector.obj, name, None))
        return is_class and self._is_being_collected(collector) and collector.classnamefilter(name)

    def _make_ahead(self, collector: Python, name: str) -> None:
        """Make the items of a function that is below the one that asks, in the same file."""
        function = getattr(collector.obj, name, None)
        if function is not None and collector.funcnamefilter(name):
            collector.ihook.pytest_pycollect_makeitem(collector=collector, name=name, obj=function)

    # Around what makes our own classes of them.
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_pycollect_makeitem(
        self, collector: Python, name: str
    ) -> Generator[None, object, object]:
        """Note the classes in a file of which pytest has not collected all."""
        __tracebackhide__ = True
        made = yield
        several = made if isinstance(made, list) else [made]
        if len(several) == 1 and isinstance(several[0], pytest.Class):
            self._classes.setdefault(collector, {})[name] = several[0]
        return made

    # Within --lf, which leaves out some.
    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Note what pytest has collected, which must not be made twice."""
        __tracebackhide__ = True
        report = yield
        # With --lf, nothing may be what a file has that pytest has not looked into.
        if isinstance(collector, Python) and report.passed and report.result:
            self._made[collector] = [*report.result]
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_collect_directory(
        self, path: Path
    ) -> Generator[None, pytest.Collector | None, pytest.Collector | None]:
        """Give pytest the node of a directory that was collected already."""
        node = yield
        if node is not None:
            self._nodes[path] = node = self._taken.get(path, node)
        return node

    @pytest.hookimpl(wrapper=True)
    def pytest_collect_file(
        self, file_path: Path
    ) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
        """Give pytest the node of a file that was collected already."""
        nodes = yield
        for place, node in enumerate(nodes):
            if private.holds_tests(node):
                self._nodes[file_path] = nodes[place] = self._taken.get(file_path, node)
        return nodes

    # -- what is known -----------------------------------------------------------------------------

    def items(self) -> Iterator[pytest.Item]:
        """Yield the items of all experiments that were collected, asked for or not."""
        for all_of in self._items.values():
            yield from all_of

    def depth(self, experiment: Experiment) -> int:
        """Return how many experiments come before one, each with the result of the last."""
        known = (self.bound_of(each.key) for each in experiment.inputs)
        return max((1 + self.depth(bound.experiment) for bound in known if bound), default=0)


def _leads_to(node: pytest.Item | pytest.Collector, path: Path) -> bool:
    if node.path == path:
        return private.holds_tests(node)
    return isinstance(node, pytest.Directory) and node.path in path.parents


def _inputs(
    experiments: Sequence[Experiment], wanted: ResultsOf, stand_in: StandIn | None
) -> list[Input]:
    cases = [each.case for each in experiments]
    if wanted.where is not None:
        cases = matching(cases, wanted.where, stand_in=stand_in)
        if not cases:
            raise MatrixError(f"none of {len(experiments)} configurations is one of 'where'")
    chosen = {id(case) for case in cases}
    # What one is told apart from does not depend on which others are meant.
    needed = {each.key.parameters for each in experiments if id(each.case) in chosen}
    several = [each for each in experiments if each.key.parameters in needed]
    inputs = told_apart([each.as_input() for each in several])
    return [given for given, each in zip(inputs, several, strict=True) if id(each.case) in chosen]
