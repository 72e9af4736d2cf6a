"""Where a function's matrix comes from, and what it expands to.

The order is: marker, nearest ``matrix`` fixture, module variable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from pytest_memento.config import nearest
from pytest_memento.errors import MatrixError
from pytest_memento.fingerprint import StandIn
from pytest_memento.inputs import Input, ResultsOf
from pytest_memento.labels import one_line
from pytest_memento.matrix import Expansion
from pytest_memento.matrix.words import what as what_is
from pytest_memento.plugin import private
from pytest_memento.plugin.choices import expansion_of, has_inputs
from pytest_memento.plugin.given import given_to
from pytest_memento.plugin.upstream import Upstream

MATRIX = "matrix"
MARK_WORDS = (MATRIX, "version", "depends", "slurm")
"""What the mark ``memento`` takes."""


def misspelt_mark(metafunc: pytest.Metafunc) -> str:
    """Say what a mark ``memento`` of a function was given that it does not take."""
    for mark in metafunc.definition.iter_markers("memento"):
        if mark.args:
            what = one_line(repr(mark.args[0]), 60)
            return f"@pytest.mark.memento does not know {what}: write memento(matrix=...)"
        for word in mark.kwargs:
            if word not in MARK_WORDS:
                near = nearest(word, MARK_WORDS)
                hint = f"did you mean {near!r}?" if near else f"it takes {', '.join(MARK_WORDS)}"
                return f"@pytest.mark.memento does not know {word!r} ({hint})"
    return ""


def why_no_matrix(metafunc: pytest.Metafunc) -> str:
    """Say what is missing where a function of an experiment file has no matrix."""
    if wrong := misspelt_mark(metafunc):
        return wrong
    if not hasattr(metafunc.module, MATRIX):
        return (
            "no matrix: define a fixture 'matrix', a module variable 'matrix', or use"
            " @pytest.mark.memento(matrix=...)"
        )
    found = getattr(metafunc.module, MATRIX)
    if callable(found):
        return "no matrix: 'matrix' is a function, not a fixture: decorate it with @pytest.fixture"
    return f"no matrix: the module variable 'matrix' is {what_is(found)}, not a dict or a list"


@dataclass(frozen=True, slots=True)
class Source:
    """A matrix as it was found: its expansion, or why there is none."""

    expansion: Expansion | None = None
    skipped: str = ""
    failed: str = ""


class Sources:
    """Finds matrices, and evaluates each only once.

    :param stand_in: the user's way to fingerprint values.
    :param upstream: finds the experiments whose results are among the values.
    """

    def __init__(self, stand_in: StandIn | None, upstream: Upstream) -> None:
        self._stand_in = stand_in
        self._upstream = upstream
        self._values: dict[tuple[object, ...], object] = {}
        self._known: dict[tuple[object, ...], Source] = {}

    def find(self, metafunc: pytest.Metafunc) -> Source | None:
        """Return the matrix of a function: marker, nearest fixture, module variable."""
        if (given := given_to(metafunc)) is not None:
            return Source(given.expansion)
        marks = metafunc.definition.iter_markers("memento")
        if marked := [mark.kwargs[MATRIX] for mark in marks if MATRIX in mark.kwargs]:
            return self._source((id(marked[0]),), lambda: marked[0], metafunc)
        collector = metafunc.definition.parent
        assert isinstance(collector, (pytest.Module, pytest.Class))
        if private.visible_fixtures(metafunc.definition, MATRIX):
            probe = private.Probe(collector, MATRIX)
            key = _identity(probe, collector)
            return self._source(key, lambda: self._evaluate(probe), metafunc)
        variable = getattr(metafunc.module, MATRIX, None)
        if isinstance(variable, (dict, list)):
            return self._source((id(variable),), lambda: variable, metafunc)
        return None

    def _source(
        self, key: tuple[object, ...], make: Callable[[], object], metafunc: pytest.Metafunc
    ) -> Source:
        """Evaluate a matrix once, however many functions use it."""
        if key not in self._values:
            self._values[key] = make()
        value = self._values[key]
        if isinstance(value, Source):
            return value
        if has_inputs(value):  # whose files are looked for beside the one that asks
            key = *key, metafunc.definition.path
        if key not in self._known:
            self._known[key] = self._expand(value, metafunc)
        return self._known[key]

    @staticmethod
    def _evaluate(probe: private.Probe) -> object:
        """Return a matrix, or a source that says why there is none."""
        report, value = probe.run()
        if report is None:
            return value
        if report.skipped:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
            return Source(skipped=str(reason))
        sections = "".join(f"\n{title}\n{text}" for title, text in report.sections)
        return Source(failed=f"the matrix fixture failed\n{report.longreprtext}{sections}")

    def _expand(self, matrix: object, metafunc: pytest.Metafunc) -> Source:
        def find(wanted: ResultsOf) -> Sequence[Input]:
            return self._upstream.find(wanted, metafunc.definition, self._stand_in)

        try:
            return Source(expansion_of(matrix, stand_in=self._stand_in, find=find))
        except (MatrixError, pytest.Collector.CollectError) as error:
            return Source(failed=str(error))
        except pytest.skip.Exception as error:  # of the file with the inputs
            return Source(skipped=str(error))


def _identity(probe: private.Probe, collector: pytest.Collector) -> tuple[object, ...]:
    """Return what a matrix fixture's value depends on: the fixtures behind it, all overrides."""
    definitions = tuple(probe.definitions())
    looks_around = any("request" in definition.argnames for definition in definitions)
    return (*definitions, collector) if looks_around else definitions
