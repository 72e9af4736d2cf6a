"""Installed distributions: which ones hold a module, and in which version they are here."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from importlib import metadata

UNKNOWN = "not installed"


def normal(name: str) -> str:
    """Return the normal form of a distribution's name (packaging.python.org, PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def distributions(modules: Iterable[str]) -> list[str]:
    """Return the distributions that hold top-level modules, in normal form."""
    owners = _owners()
    return sorted({normal(name) for module in modules for name in owners.get(module, ())})


@functools.cache
def version(name: str) -> str:
    """Return the version of a distribution."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return UNKNOWN


@functools.cache
def _owners() -> dict[str, list[str]]:
    """Top-level module -> the distributions that hold it."""
    return dict(metadata.packages_distributions())
