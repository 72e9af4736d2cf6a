"""Whether a file holds experiments, told from its source alone, without importing it.

A user's suite may have files with our names that are no experiments. They must not be imported.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

_NAMES = ("experiment", "Experiment", "test")


@dataclass(frozen=True, slots=True)
class Hints:
    """What the source of a file says.

    :param memento: it mentions this package, or marks with ``memento``.
    :param matrix: it defines or imports something called ``matrix``.
    :param experiments: it defines or imports something with the name of an experiment or test.
    """

    memento: bool
    matrix: bool
    experiments: bool

    def speak_of_experiments(self, *, matrix_visible: bool) -> bool:
        """Whether the file is ours, given that a ``matrix`` fixture is visible from outside."""
        return self.memento or (self.experiments and (self.matrix or matrix_visible))


def read(path: Path) -> Hints:
    """Read the hints of a file; one that cannot be parsed gives what its text says."""
    try:
        text = path.read_bytes()
        names = set(_names(ast.parse(text)))
    except (SyntaxError, ValueError):
        return Hints(memento=b"memento" in text, matrix=b"matrix" in text, experiments=True)
    except OSError:
        return Hints(memento=False, matrix=False, experiments=False)
    return Hints(
        memento=bool({"memento", "pytest_memento"} & names),
        matrix=bool({"matrix", "*"} & names),
        experiments="*" in names or any(name.startswith(_NAMES) for name in names),
    )


def _names(tree: ast.AST) -> list[str]:
    """Return what a file defines, imports or decorates with."""
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.append(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.append(node.id)
        elif isinstance(node, ast.Import):
            names += [alias.name.partition(".")[0] for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [(node.module or "").partition(".")[0]]
            names += [alias.asname or alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute) and node.attr == "memento":
            names.append("memento")
        elif isinstance(node, ast.keyword) and node.arg == "name":
            names += _text(node.value)
    return names


def _text(node: ast.expr) -> list[str]:
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
    return [str(ast.literal_eval(node))] if is_text else []
