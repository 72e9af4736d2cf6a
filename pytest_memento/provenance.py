"""Where a result came from: machine, Python, installed packages, commit, command line."""

from __future__ import annotations

import dataclasses
import functools
import getpass
import platform
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_memento import packages
from pytest_memento.checkout import Checkout, checkout
from pytest_memento.fingerprint import Digest, digest_value


@functools.cache
def host() -> str:
    """Return the name of this machine."""
    return socket.gethostname()


def environment(root: Path, command: Sequence[str] = ()) -> tuple[Digest, dict[str, Any]]:
    """Describe what a run depends on beside its own code.

    :param root: the user's project, for the commit.
    :param command: the command line, without secrets.
    :return: its digest, and JSON data: host, user, Python, platform, commit, whether files differ
        from it (``dirty``) with a digest of these (``diff``), command, and the versions of the
        distributions whose modules are imported.
    """
    return _environment(root, tuple(command), len(sys.modules))


@functools.cache
def state(root: Path) -> Checkout:
    """Return the state of the project's repository, as it was when this process first asked.

    That is before its first experiment. What is edited while a session runs is not in it, and
    neither in the experiments: Python has imported them.
    """
    return checkout(root)


@functools.lru_cache(maxsize=8)
def _environment(
    root: Path, command: tuple[str, ...], _modules: int
) -> tuple[Digest, dict[str, Any]]:
    """Describe it anew only when the number of imported modules has changed."""
    described = {
        "host": host(),
        "user": user(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        **dataclasses.asdict(state(root)),
        "command": list(command),
        "versions": _versions(frozenset(name.partition(".")[0] for name in list(sys.modules))),
    }
    return digest_value(described), described


@functools.cache
def user() -> str:
    """Return who runs this."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container without a passwd entry
        return "unknown"


@functools.lru_cache(maxsize=8)
def _versions(modules: frozenset[str]) -> dict[str, str]:
    return {name: packages.version(name) for name in packages.holders(modules)}
