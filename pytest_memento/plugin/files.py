"""Experiment files and their classes: what is collected in them beside pytest's own."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import pytest

from pytest_memento.plugin import hints, private

Collected = pytest.Item | pytest.Collector


def is_experiment_name(name: str) -> bool:
    """Whether a function of that name is an experiment, in a file of experiments."""
    return name == "experiment" or name.startswith("experiment_")


class ExperimentClass(pytest.Class):
    """A class in an experiment file."""

    def funcnamefilter(self, name: str) -> bool:
        """Whether a method of that name is collected."""
        return is_experiment_name(name) or super().funcnamefilter(name)

    def classnamefilter(self, name: str) -> bool:
        """Whether a nested class of that name is collected."""
        return name.startswith("Experiment") or super().classnamefilter(name)


class ExperimentModule(pytest.Module):
    """A file whose name is that of an experiment file.

    It may turn out to be none: then it is what it would be without the plugin.
    """

    is_ours = False

    def __repr__(self) -> str:
        return super().__repr__() if self.is_ours else f"<Module {self.name}>"

    def collect(self) -> Iterable[Collected]:
        """Collect experiments beside tests, if there are any."""
        visible = private.visible_fixtures(self, "matrix")
        self.is_ours = hints.read(self.path).speak_of_experiments(matrix_visible=visible)
        if not self.is_ours and not private.collected_by_pytest(self.path, self.session):
            return []
        if self.is_ours:
            self._rewrite_asserts()
        return super().collect()

    def funcnamefilter(self, name: str) -> bool:
        """Whether a function of that name is collected."""
        return (self.is_ours and is_experiment_name(name)) or super().funcnamefilter(name)

    def classnamefilter(self, name: str) -> bool:
        """Whether a class of that name is collected."""
        return (self.is_ours and name.startswith("Experiment")) or super().classnamefilter(name)

    def _rewrite_asserts(self) -> None:
        """Have pytest explain failing asserts, as it does in its own test files."""
        parts = [self.path.stem]
        for parent in self.path.parents:
            if (name := ".".join(parts)) not in sys.modules:
                pytest.register_assert_rewrite(name)
            if parent == self.config.rootpath:
                break
            parts.insert(0, parent.name)


def in_experiment_file(collector: pytest.Collector) -> bool:
    """Whether *collector* is, or is in, a file of experiments."""
    module = collector.getparent(ExperimentModule)
    return module is not None and module.is_ours
