"""The arguments of an experiment's function: which of them the matrix fills."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_memento.config import nearest
from pytest_memento.experiment import Experiment
from pytest_memento.matrix import Case, Expansion
from pytest_memento.plugin import private

SCOPES = ("session", "package", "module", "class", "function")


def asked_for(metafunc: pytest.Metafunc, expansion: Expansion) -> list[str]:
    """Return the parameters and settings that the function, or a fixture of it, asks for."""
    return [name for name in metafunc.fixturenames if name in expansion.names]


def value_of(case: Case, name: str, where: str) -> object:
    """Return what the matrix gives to an argument.

    :raises pytest.Collector.CollectError: this configuration has none of that name.
    """
    try:
        return case.value(name)
    except KeyError:
        raise pytest.Collector.CollectError(
            f"{where}: the function asks for {name!r}, which the configuration {case.label} does"
            f" not have: give every matrix of the list a {name!r}, or take it from 'config'"
        ) from None


def identity_of(experiment: Experiment, name: str) -> tuple[str, object]:
    """Return what is equal for the same value of an argument, and for no other.

    The digest of an input does not tell how it is computed: that belongs to the code.
    """
    given = experiment.given.get(name) if experiment.inputs else None
    return name, given if given is not None else experiment.case.digests.get(name)


def scope_of(metafunc: pytest.Metafunc, name: str) -> Any:
    """Return how long the value of an argument lives: as long as the widest fixture that asks."""
    scopes = {
        definition.scope
        for chain in private.fixtures_of(metafunc).values()
        for definition in chain
        if name in definition.argnames
    }
    return next(scope for scope in SCOPES if scope in {*scopes, "function"})


def without_fixture(metafunc: pytest.Metafunc) -> list[str]:
    """Return the arguments that are no fixtures: they may be parameters or settings."""
    known = private.fixtures_of(metafunc)
    return [name for name in metafunc.fixturenames if name not in known and name != "request"]


def refuse_unknown(metafunc: pytest.Metafunc, expansion: Expansion, where: str) -> None:
    """Refuse an argument that nothing gives a value to, before all configurations fail for it.

    :raises pytest.Collector.CollectError: in one line.
    """
    given = expansion.names | private.parametrized_names(metafunc)
    for name in without_fixture(metafunc):
        if name in given:
            continue
        near = nearest(name, [*expansion.names, *private.fixtures_of(metafunc)])
        known = ", ".join(sorted(expansion.names))
        hint = f"did you mean {near!r}?" if near else f"parameters and settings: {known}"
        raise pytest.Collector.CollectError(
            f"{where}: the argument {name!r} is no parameter, setting or fixture ({hint})"
        )
