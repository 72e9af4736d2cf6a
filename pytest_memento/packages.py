"""Installed distributions: which ones hold a module, and in which version they are here."""

from __future__ import annotations

import functools
import inspect
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from importlib import metadata

UNKNOWN = "not installed"


def normal(name: str) -> str:
    """Return the normal form of a distribution's name (packaging.python.org, PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def holders(modules: Iterable[str]) -> list[str]:
    """Return the distributions that hold top-level modules, by the names they give themselves."""
    found = _distributions()
    return sorted(
        {each.metadata["Name"] for module in modules for each in found.get(module, ())},
        key=str.lower,
    )


def distributions(modules: Iterable[str]) -> list[str]:
    """Return the distributions that hold top-level modules, in normal form."""
    return sorted({normal(name) for name in holders(modules)})


@functools.cache
def version(name: str) -> str:
    """Return the version of a distribution."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return UNKNOWN


@functools.cache
def _distributions() -> dict[str, list[metadata.Distribution]]:
    """Top-level module -> the distributions that hold it.

    ``importlib.metadata.packages_distributions`` tells the same, but in Python 3.10 only of those
    with a ``top_level.txt``, and it parses all that is installed.
    """
    found: dict[str, list[metadata.Distribution]] = defaultdict(list)
    for distribution in metadata.distributions():
        for name in _top_level(distribution):
            found[name].append(distribution)
    return dict(found)


def _top_level(distribution: metadata.Distribution) -> Iterable[str]:
    declared = (distribution.read_text("top_level.txt") or "").split()
    return declared or set(_modules(distribution.read_text("RECORD") or ""))


def _modules(record: str) -> Iterator[str]:
    """Yield the top-level modules of the files in a ``RECORD`` (PEP 376)."""
    for line in record.splitlines():
        path = line.partition(",")[0].lstrip('"')
        top, slash, rest = path.partition("/")
        if slash and rest.endswith(".py") and top.isidentifier():
            yield top
        elif not slash and (name := inspect.getmodulename(top)) is not None:
            yield name
