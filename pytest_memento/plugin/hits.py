"""Items for experiments whose result is stored: light, since there may be 100,000 of them.

To ``-k``, ``-m``, ``--lf``, node ids and hooks a hit looks like the test function it stands for; it
has no fixtures and never runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from pytest_memento.experiment import Status
from pytest_memento.plugin import private
from pytest_memento.plugin.bound import Bound, has_skip_mark


class Hit(pytest.Item):
    """Stands for one configuration of a function that need not run."""

    template: pytest.Function
    """The test function that was made in full, which this one is like."""

    @property
    def function(self) -> Any:
        """The test function."""
        return self.template.function

    @property
    def cls(self) -> type | None:
        """The class of the test function, if it is a method."""
        cls: type | None = self.template.cls
        return cls

    @property
    def module(self) -> Any:
        """The module of the test function."""
        return self.template.module

    @property
    def originalname(self) -> str:
        """The name of the test function."""
        return self.template.originalname

    @property
    def fixturenames(self) -> list[str]:
        """No fixture is needed."""
        return []

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Return where the test function is."""
        path, line, _ = self.template.reportinfo()
        return path, line, self.location[2]

    def runtest(self) -> None:
        """Fail: a hit is reported, not run.

        :raises RuntimeError: always.
        """
        raise RuntimeError(f"{self.nodeid} is cached and cannot be run by another plugin")


def is_hit(item: pytest.Item, bound: Bound) -> bool:
    """Whether the stored result of an item stands for a run of it; a skip comes first."""
    if bound.standing.status is not Status.CACHED or bound.beside is not None:
        return False
    return not (has_skip_mark(item.iter_markers()) and private.skip_reason(item) is not None)


def make_hits(template: pytest.Function, bounds: Iterable[Bound]) -> Iterator[Hit]:
    """Yield a hit for each of *bounds*, like *template* in all that they share."""
    parent: Any = template.parent
    path, line, domain = template.location
    domain = domain.partition("[")[0]
    own = len(template.own_markers) - len(private.parameter_marks(template))
    marks = template.own_markers[:own]
    escape = private.id_escape(template.config)
    for bound in bounds:
        case = bound.experiment.case
        text = escape(case.label)
        hit: Hit = Hit.from_parent(parent, name=f"{template.originalname}[{text}]")
        hit.template = template
        hit.own_markers += [*marks, *(getattr(tag, "mark", tag) for tag in case.tags)]
        hit.keywords.update((mark.name, mark) for mark in hit.own_markers)
        # pytest works this out again for each item, and it is the same but for the parameters.
        hit.__dict__["location"] = (path, line, f"{domain}[{text}]")
        yield hit
