"""Where the store of a project is, without starting pytest.

The order is that of the plugin: $MEMENTO_CACHE_PATH, ini ``memento_dir``, <cache_dir>/memento.
Files and sections are those that pytest reads (its documentation, "Configuration file formats").
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_memento.errors import StoreError

ENVIRONMENT = "MEMENTO_CACHE_PATH"
_INI_SECTIONS = {
    "pytest.ini": "pytest",
    ".pytest.ini": "pytest",
    "tox.ini": "pytest",
    "setup.cfg": "tool:pytest",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A store, and the project it belongs to if that is known."""

    store: Path
    project: Path | None = None


def locate(start: Path) -> Place:
    """Find the store for a file or directory of a project.

    :param start: an absolute path.
    :raises StoreError: there is none above it.
    """
    if chosen := os.environ.get(ENVIRONMENT):
        return Place(Path.cwd() / _expanded(chosen))
    for directory, settings in _above(start):
        place = directory / _store_of(settings or {})
        if place.is_dir():
            return Place(place, directory)
    raise StoreError(
        f"no store found in {start} or above: run pytest there first, or say where it is with"
        f" store=... or ${ENVIRONMENT}"
    )


def place_for(start: Path) -> Place:
    """Return the store for a file or directory of a project, as pytest would make it.

    :param start: an absolute path.
    """
    if os.environ.get(ENVIRONMENT):
        return locate(start)
    for directory, settings in _above(start):
        place = directory / _store_of(settings or {})
        if settings is not None or place.is_dir():
            return Place(place, directory)
    every = (start, *start.parents)
    root = next((each for each in every if (each / "setup.py").exists()), start)
    return Place(root / _store_of({}), root)


def _above(start: Path) -> Iterator[tuple[Path, Mapping[str, Any] | None]]:
    """Yield a directory and those above it, with pytest's settings in each.

    Where anybody may write, as in ``/tmp``, somebody else's store may lie, whose results are code:
    such a directory counts if it has settings only.
    """
    for directory in (start, *start.parents):
        settings = _settings(directory)
        if settings is not None or directory == start or not _is_anyones(directory):
            yield directory, settings


def _is_anyones(directory: Path) -> bool:
    try:
        mode = directory.stat().st_mode
    except OSError:
        return False
    return bool(mode & stat.S_ISVTX and mode & stat.S_IWOTH)


def _store_of(settings: Mapping[str, Any]) -> Path:
    if chosen := settings.get("memento_dir"):
        return _expanded(str(chosen))
    return _expanded(str(settings.get("cache_dir", ".pytest_cache"))) / "memento"


def _expanded(path: str) -> Path:
    return Path(os.path.expandvars(path)).expanduser()


def _settings(directory: Path) -> Mapping[str, Any] | None:
    """Return pytest's settings in a directory, ``None`` if there are none."""
    for name in ("pytest.toml", ".pytest.toml"):
        if (found := _toml(directory / name, "pytest")) is not None:
            return found
    for name in ("pytest.ini", ".pytest.ini"):
        if (found := _ini(directory / name, _INI_SECTIONS[name])) is not None:
            return found
    for keys in (("tool", "pytest", "ini_options"), ("tool", "pytest")):
        if (found := _toml(directory / "pyproject.toml", *keys)) is not None:
            return found
    for name in ("tox.ini", "setup.cfg"):
        if (found := _ini(directory / name, _INI_SECTIONS[name])) is not None:
            return found
    return None


def _ini(path: Path, section: str) -> Mapping[str, Any] | None:
    import configparser

    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return None
    return dict(parser[section]) if parser.has_section(section) else None


def _toml(path: Path, *keys: str) -> Mapping[str, Any] | None:
    if sys.version_info >= (3, 11):
        import tomllib
    else:  # pytest depends on it there
        import tomli as tomllib

    try:
        data: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else None
