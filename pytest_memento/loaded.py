"""The source of the user's modules as it was when they were loaded.

A notebook lives for days, and files are edited meanwhile. What runs is what was imported, so that
is what counts for a key, until the module is reloaded.
"""

from __future__ import annotations

import os
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path

from pytest_memento.errors import MementoError
from pytest_memento.fingerprint import Script, codes_in, line_of


def _started() -> float:
    """Return when this process was started: where that is not known, when it is at this line."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        ticks = os.sysconf("SC_CLK_TCK")
        up = time.clock_gettime(time.CLOCK_BOOTTIME)
        return time.time() - up + int(fields[19]) / ticks
    except (OSError, AttributeError, ValueError, IndexError):
        return time.time() - time.process_time()


_STARTED = _started()
_NOTHING = object()
_since: dict[str, int] = {}
"""Which line of a script has run experiments first."""


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
        module, source = _module_of(path), path.read_bytes()
        if module is None:
            return source
        loading = _loading_of(module)
        known, before = self._known.get(path, (_NOTHING, b""))
        if known is loading or known is None:  # of a script that had just begun
            if source == before or not _is_patched(module, path, before, source):
                self._known[path] = loading, before
                return before
        else:
            is_reloaded = path in self._refused and self._refused[path] is not loading
            if not is_reloaded and _is_changed(module, path, source):
                self._refused[path] = loading
                raise _changed(module.__name__, path)
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


def script_of(code: object) -> Script | None:
    """Return the script that runs, and where it is, if it is one from a file.

    :param code: a function or class that may be from it.
    """
    names = getattr(code, "__globals__", {})
    if names.get("__name__") != "__main__":  # it may be another one than sys.modules has
        names = vars(sys.modules["__main__"])
    file = names.get("__file__")
    if not isinstance(file, str) or not os.path.isfile(file):
        return None
    path = os.path.abspath(file)
    line = line_of(names)
    if line is not None:
        _since.setdefault(path, line)
    return Script(Path(path), names, line, _since.get(path))


def _changed(name: str, path: Path) -> MementoError:
    if name == "__main__":
        how, advice = "it was started", "start it again"
    else:
        how = "it was imported"
        advice = f"reload it, as by importlib.reload({name}), or start Python again"
    return MementoError(
        f"{os.path.relpath(path)} was changed after {how}, and its old code is what would run:"
        f" {advice}"
    )


def _module_of(path: Path) -> types.ModuleType | None:
    """Return the module that was loaded from a file."""
    text = str(path)
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) == text:
            return module
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)  # as it was typed
    return main if isinstance(file, str) and os.path.abspath(file) == text else None


def _loading_of(module: types.ModuleType) -> object:
    """Return something that is another one after a module was loaded anew."""
    spec = getattr(module, "__spec__", None)
    if spec is not None:
        return spec
    functions = (v for v in vars(module).values() if isinstance(v, types.FunctionType))
    return next((each for each in functions if each.__module__ == module.__name__), None)


def _is_changed(module: types.ModuleType, path: Path, source: bytes) -> bool:
    """Tell whether a file was written after it was compiled."""
    if path.stat().st_mtime < _STARTED:
        return False
    is_this = _is_made_of(module, path, source)
    if is_this is False:
        return True
    is_patched = is_this and "IPython.extensions.autoreload" in sys.modules
    return not is_patched and _is_newer(module, path)


def _is_patched(module: types.ModuleType, path: Path, before: bytes, source: bytes) -> bool:
    """Tell whether a module was given new code without being loaded: IPython's autoreload."""
    is_this = _is_made_of(module, path, source)
    return bool(is_this) and not _is_made_of(module, path, before)


def _is_made_of(module: types.ModuleType, path: Path, source: bytes) -> bool | None:
    """Tell whether the functions of a module are those of a source; ``None`` if it has none.

    Where in the source they stand does not matter.
    """
    if type(getattr(module, "__loader__", None)).__name__ == "AssertionRewritingHook":
        return None
    own = [each for each in _codes_of(module) if os.path.abspath(each.co_filename) == str(path)]
    if not own:
        return None
    try:
        whole = compile(source, str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    known = {_essence(each) for each in codes_in(whole)}
    return all(_essence(each) in known for each in own)


def _codes_of(module: types.ModuleType) -> Iterator[types.CodeType]:
    """Yield the code of the functions in a module, and of those in its classes."""
    for value in list(vars(module).values()):
        members = list(vars(value).values()) if isinstance(value, type) else [value]
        for each in members:
            function = getattr(each, "__func__", getattr(each, "fget", each))
            function = getattr(function, "__wrapped__", function)
            if isinstance(function, types.FunctionType):
                yield function.__code__


def _essence(code: types.CodeType) -> tuple[object, ...]:
    """Return what a code object does, wherever it stands."""
    constants = (
        _essence(each) if isinstance(each, types.CodeType) else (type(each), repr(each))
        for each in code.co_consts
    )
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    return code.co_name, code.co_code, names, *constants


def _is_newer(module: types.ModuleType, path: Path) -> bool:
    """Tell whether a file was written after its bytecode file."""
    now = path.stat()
    cached = getattr(getattr(module, "__spec__", None), "cached", None)
    if not isinstance(cached, str):
        return False
    try:
        header = Path(cached).read_bytes()[:16]
    except OSError:
        return False
    # PEP 552: magic number, flags, time of modification, size.
    flags, written, size = (int.from_bytes(header[at : at + 4], "little") for at in (4, 8, 12))
    return not flags and (written, size) != (int(now.st_mtime), now.st_size)
