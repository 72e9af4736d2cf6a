"""The source of the user's modules as it was when they were loaded.

A notebook lives for days, and files are edited meanwhile. What runs is what was imported, so that
is what counts for a key, until the module is reloaded.
"""

from __future__ import annotations

import os
import sys
import time
import types
from pathlib import Path

from pytest_memento.errors import MementoError

_STARTED = time.time()
_NOTHING = object()


class Loaded:
    """Reads the source of modules, and remembers it for as long as they are not loaded anew."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[object, bytes]] = {}
        self._refused: dict[Path, object] = {}

    def read(self, path: Path) -> bytes:
        """Return the source of a file, as it was when this process has loaded it.

        :raises OSError: it cannot be read.
        :raises MementoError: it was changed between then and the first time that this was asked.
        """
        module = _module_of(path)
        if module is None:
            return path.read_bytes()
        loading = _loading_of(module)
        known, source = self._known.get(path, (_NOTHING, b""))
        if known is loading or known is None:  # of a script that had just begun
            self._known[path] = loading, source
            return source
        is_reloaded = path in self._refused and self._refused[path] is not loading
        if not is_reloaded and _is_changed(module, path):
            self._refused[path] = loading
            raise _changed(module.__name__, path)
        source = path.read_bytes()
        self._known[path] = loading, source
        return source

    def refuse_changes(self) -> None:
        """Refuse that workers import what this process has not.

        :raises MementoError: a module is not any more what was loaded here.
        """
        for path, (loading, source) in self._known.items():
            module = _module_of(path)
            is_imported = module is not None and module.__name__ != "__main__"
            if not is_imported or module is None or _loading_of(module) is not loading:
                continue
            if path.is_file() and path.read_bytes() != source:
                raise _changed(module.__name__, path)


def _changed(name: str, path: Path) -> MementoError:
    return MementoError(
        f"{os.path.relpath(path)} was changed after it was imported, and its old code is what"
        f" would run: reload it, as by importlib.reload({name}), or start Python again"
    )


def _module_of(path: Path) -> types.ModuleType | None:
    """Return the module that was loaded from a file."""
    text = str(path)
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) == text:
            return module
    return None


def _loading_of(module: types.ModuleType) -> object:
    """Return something that is another one after a module was loaded anew."""
    spec = getattr(module, "__spec__", None)
    if spec is not None:
        return spec
    functions = (v for v in vars(module).values() if isinstance(v, types.FunctionType))
    return next((each for each in functions if each.__module__ == module.__name__), None)


def _is_changed(module: types.ModuleType, path: Path) -> bool:
    """Tell whether a file was written after it was compiled, by what its bytecode file says."""
    now = path.stat()
    cached = getattr(getattr(module, "__spec__", None), "cached", None)
    if now.st_mtime < _STARTED or not isinstance(cached, str):
        return False
    try:
        header = Path(cached).read_bytes()[:16]
    except OSError:
        return False
    # PEP 552: magic number, flags, time of modification, size.
    flags, written, size = (int.from_bytes(header[at : at + 4], "little") for at in (4, 8, 12))
    return not flags and (written, size) != (int(now.st_mtime), now.st_size)
