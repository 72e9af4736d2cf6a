"""What is checked, and how: ``nox --list`` names the sessions, CONTRIBUTING.md says when."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import nox
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

PROJECT = nox.project.load_toml("pyproject.toml")["project"]
TORCH = "torch==2.13.0"
NOTEBOOK = ("nbclient==0.11.0", "ipykernel==7.4.0", "matplotlib==3.11.2")
NEIGHBOURS = ("pytest-randomly==5.1.0", "pytest-rerunfailures==16.7", "pytest-sugar==1.1.1")
TRACKING = ("mlflow-skinny==3.17.2", "tensorboard==2.21.0", "tensorboardX==2.6.5")
PLAYWRIGHT = "playwright==1.65.2"
PARALLEL = ("-n", "auto")
PYTHONS = nox.project.python_versions({"project": PROJECT})

nox.options.sessions = ["lint", "types", "tests"]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests with the newest dependencies."""
    session.install(".[test]")
    session.run("pytest", *PARALLEL, *session.posargs)


@nox.session(python=PYTHONS[0])
def oldest(session: nox.Session) -> None:
    """Run the tests with the oldest dependencies that pyproject.toml allows."""
    session.install(".", *at_lower_bounds(PROJECT["dependencies"], extra="test"))
    session.run("pytest", *PARALLEL, *session.posargs)


@nox.session
def no_xdist(session: nox.Session) -> None:
    """Run the tests with xdist switched off; those that need it say so and are skipped."""
    session.install(".[test]")
    session.run("pytest", "-p", "no:xdist", *session.posargs)


@nox.session
def torch(session: nox.Session) -> None:
    """Run the tests that are about torch, which is too large for the others."""
    session.install(".[test]", TORCH)
    session.run("python", "-c", "import torch")  # or the tests would skip
    session.run("pytest", "-k", "torch", *session.posargs)


@nox.session
def notebook(session: nox.Session) -> None:
    """Run the notebooks among the examples, which need Jupyter's libraries."""
    session.install(".[test]", *NOTEBOOK)
    session.run("python", "-c", "import nbclient, ipykernel, matplotlib")  # or the tests would skip
    session.run("pytest", "tests/test_notebook.py", "tests/test_interactive.py", *session.posargs)


@nox.session
def neighbours(session: nox.Session) -> None:
    """Run the tests that are about other plugins, which would change all others."""
    session.install(".[test]", *NEIGHBOURS)
    for name in NEIGHBOURS:  # or the tests would skip
        module = name.partition("==")[0].replace("-", "_")
        session.run("python", "-c", f"import {module}")
    off = [part for name in ("randomly", "sugar", "rerunfailures") for part in ("-p", f"no:{name}")]
    session.run("pytest", *off, "-k", "neighbour or randomly", *session.posargs)


@nox.session
def tracking(session: nox.Session) -> None:
    """Run the tests that pass results on to MLflow and TensorBoard, which are large, too."""
    session.install(".[test]", *TRACKING)
    session.run("python", "-c", "import mlflow, tensorboard, tensorboardX")  # or the tests skip
    session.run("pytest", "-k", "tracking", *session.posargs)


@nox.session
def slurm(session: nox.Session) -> None:
    """Run the tests that need a Slurm cluster, on the one that SLURM_CONF names."""
    configuration = session.env.get("SLURM_CONF") or os.environ.get("SLURM_CONF")
    if not configuration:
        session.error('start a cluster first: see "Slurm" in CONTRIBUTING.md')
    session.install(".[test]")
    # Where all its nodes see it: each may have a /tmp of its own.
    directory = Path(configuration).parents[1] / "pytest"
    session.run("pytest", "tests/slurm", f"--basetemp={directory}", *session.posargs)


@nox.session
def browser(session: nox.Session) -> None:
    """Run the tests of the HTML report in the Chromium of this machine."""
    if not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))):
        session.error("install Chromium first: apt-get install chromium")
    session.install(".[test]", PLAYWRIGHT)
    session.run("python", "-c", "import playwright")  # or the tests would skip
    session.run("pytest", "tests/browser", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting, and who imports whom."""
    session.install(".[dev]")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports", "--no-cache")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types."""
    session.install(".[dev]")
    session.run("mypy", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Run the examples in docstrings, and show the changelog of the next release."""
    session.install(".[dev]")
    session.run("pytest", "--doctest-modules", "--pyargs", "pytest_memento", *session.posargs)
    session.run("towncrier", "build", "--draft", "--version", "next")


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure which lines and branches the tests reach, in every process."""
    session.install(".[dev]")
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *session.posargs)
    session.run("coverage", "combine", "--quiet")
    session.run("coverage", "report")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Run the benchmarks: each is a script that prints its numbers."""
    session.install(".[test]", PLAYWRIGHT)
    for script in sorted(Path("benchmarks").glob("bench_*.py")):
        session.run("python", str(script), *session.posargs)


def at_lower_bounds(requirements: list[str], *, extra: str) -> Iterator[str]:
    """Yield *requirements*, and those of *extra*, with each ``>=`` made ``==``.

    An extra may name other extras of the project itself.
    """
    for requirement in map(Requirement, requirements + PROJECT["optional-dependencies"][extra]):
        if requirement.name == PROJECT["name"]:
            for name in sorted(requirement.extras):
                yield from at_lower_bounds([], extra=name)
        else:
            bounds = [bound.version for bound in requirement.specifier if bound.operator == ">="]
            requirement.specifier = SpecifierSet(f"=={max(bounds)}")
            yield str(requirement)
