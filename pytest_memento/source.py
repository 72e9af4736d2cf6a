"""Which experiments a file, a directory or a test id stands for."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Source:
    """What a user names to mean the experiments in it.

    >>> Source.of("exp_a.py::experiment[x=1]", Path("/project"))
    Source(path=PosixPath('/project/exp_a.py'), function='experiment', id='x=1')

    :param path: a file or directory, absolute.
    :param function: a function or class of it; empty for all.
    :param id: the label of a configuration; empty for all.
    """

    path: Path
    function: str = ""
    id: str = ""

    @classmethod
    def of(cls, text: str, here: Path) -> Source:
        """Read what was typed in the directory *here*."""
        file, _, name = text.partition("::")
        function, _, rest = name.partition("[")
        return cls(Path(os.path.normpath(here / file)), function, rest.removesuffix("]"))

    def covers(self, experiment: str, roots: Iterable[Path]) -> bool:
        """Whether an experiment is in it.

        :param experiment: the function, as ``path/to/exp_file.py::function``.
        :param roots: where that path may start from.
        """
        file, _, name = experiment.partition("::")
        if self.function and name != self.function and not name.startswith(f"{self.function}::"):
            return False
        paths = (Path(os.path.normpath(root / file)) for root in roots)
        return any(self.path == path or self.path in path.parents for path in paths)

    def labels(self, configuration: str) -> bool:
        """Whether a configuration of that label is meant."""
        return self.id in ("", configuration)


def is_from_no_file(experiment: str) -> bool:
    """Tell whether an experiment is from a prompt or a notebook: ``<stdin>::experiment``."""
    return os.path.basename(experiment.partition("::")[0]).startswith("<")
