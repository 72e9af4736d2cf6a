"""An experiment on its way to other processes: pickled, by value where they cannot import it.

Workers never import the script that runs, nor what stands in no file: functions and classes of
these travel with what they use. The source of a notebook goes along, so that tracebacks show it.
"""

from __future__ import annotations

import functools
import importlib
import io
import linecache
import marshal
import os
import pickle
import runpy
import sys
import types
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import cloudpickle

from pytest_memento.callables import Subject
from pytest_memento.errors import MementoError
from pytest_memento.fingerprint import Names, digest_if_any, digest_value, is_own, spec_of
from pytest_memento.labels import one_line
from pytest_memento.pickling import REDUCERS, explain
from pytest_memento.pipeline import Stage
from pytest_memento.record import Key

Live: TypeAlias = Mapping[tuple[str, str], object]

_loading: list[Path] = []


@dataclass(frozen=True)
class Bundle:
    """What workers run.

    :param subject: the experiment.
    :param stages: the matrices that it is run with.
    :param keys: of all its configurations, with what their code was made from.
    :param names: what the names of this process say of what is in the matrices.
    :param live: what others have made of the names of a module: (module, name) -> what it is now.
    :param sources: of modules that its code is from: file -> digest of what was loaded.
    :param script: the file that runs as a script, if it is to be imported, for what that does.
    """

    subject: Subject
    stages: Sequence[Stage]
    keys: Sequence[tuple[Key, Mapping[str, str]]]
    names: Names
    live: Live = field(default_factory=dict)
    sources: Mapping[Path, str] = field(default_factory=dict)
    script: Path | None = None


def dump(bundle: Bundle) -> bytes:
    """Pickle a bundle.

    :raises MementoError: naming the part that does not pickle.
    """
    bundle = replace(bundle, live=dict(_sent(bundle.live)))
    try:
        stream, met = _dump(bundle)
        if out_of_reach := [*_not_importable(met.modules)]:
            names = [each.__name__ for each in out_of_reach]
            live = {at: value for at, value in bundle.live.items() if at[0] not in names}
            with _by_value(out_of_reach):
                stream, met = _dump(replace(bundle, live=live))
    except Exception as error:
        parts = {
            bundle.subject.name: bundle.subject.function,
            "matrix": [stage.matrix for stage in bundle.stages],
            **{".".join(at): value for at, value in bundle.live.items()},
        }
        raise MementoError(_why(parts, error)) from error
    before = sys.path, sys.argv, bundle.script, met.sources(), dict(bundle.sources)
    return pickle.dumps((before, stream))


def load(path: Path) -> Bundle:
    """Bring a bundle back in a worker.

    :raises MementoError: a module that it needs cannot be imported, or not without ado, or was
        changed meanwhile.
    """
    before, stream = pickle.loads(path.read_bytes())
    sys.path[:], arguments, script, cells, sources = before
    _refuse_changes(sources)
    for file, lines in cells.items():
        linecache.cache[file] = (sum(map(len, lines)), None, lines, file)
    _loading.append(path)
    try:
        if script is not None:
            _import_script(script, arguments)
        bundle: Bundle = pickle.loads(stream)
        _set(bundle.live)
    except (Exception, SystemExit) as error:
        text = one_line(f"{type(error).__name__}: {error}", 300)
        raise MementoError(
            f"a worker cannot load the experiment: {text}; run with workers=1"
        ) from error
    finally:
        _loading.remove(path)
    _refuse_changes(sources)  # which may have been made before they were imported
    return bundle


def _import_script(path: Path, arguments: Sequence[str]) -> None:
    """Do what a script does when it is imported, as workers of :mod:`multiprocessing` do."""
    own, sys.argv = sys.argv, [*arguments]
    try:
        runpy.run_path(str(path), run_name="__mp_main__")
    finally:
        sys.argv = own


def _refuse_changes(sources: Mapping[Path, str]) -> None:
    """Refuse that a worker imports another module than the keys were made from."""
    for path, digest in sources.items():
        if path.is_file() and digest_value(path.read_bytes()) != digest:
            raise MementoError(
                f"{os.path.relpath(path)} was changed since this run has begun, and a worker that"
                " starts now would import it so: run again when it has ended"
            )


def _sent(live: Live) -> Iterator[tuple[tuple[str, str], object]]:
    """Yield what workers are to have, too: not what has no digest, as a pool."""
    for (place, name), value in live.items():
        module = sys.modules.get(place)
        if module is None or vars(module).get(name) is not value:  # it is of the script
            continue
        if isinstance(value, type) and (value.__module__, value.__qualname__) == (place, name):
            yield from (((place, f"{name}.{at}"), part) for at, part in _set_in(value, module))
        elif _can_be_set(value):
            yield (place, name), value


def _set_in(cls: type, module: types.ModuleType) -> Iterator[tuple[str, object]]:
    """Yield what may have been set in a class: all but the methods that it was made with."""
    for name, part in vars(cls).items():
        if name.startswith("__") or not _can_be_set(part):
            continue
        code = getattr(part, "__code__", None)
        if code is None or (code.co_filename, code.co_name) != (module.__file__, name):
            yield name, part


def _can_be_set(value: object) -> bool:
    return isinstance(value, types.FunctionType) or digest_if_any(value) is not None


def _set(live: Live) -> None:
    """Have names stand for what they do where the key was made.

    What importing the modules has made is kept if it is the same: others may hold it, too.
    """
    for (module, path), value in live.items():
        *outer, name = path.split(".")
        owner = functools.reduce(getattr, outer, importlib.import_module(module))
        is_code = isinstance(value, types.FunctionType | type)
        if (
            is_code
            or name not in vars(owner)
            or digest_if_any(vars(owner)[name]) != digest_if_any(value)
        ):
            setattr(owner, name, value)


def is_loading() -> bool:
    """Whether a worker is just bringing a bundle back, and imports modules for it."""
    return bool(_loading)


_NAMED = (types.FunctionType, type, functools._lru_cache_wrapper)
"""What may be pickled by its name in a module."""


class _Met:
    """What a pickle holds: functions by value, and modules of the user by name."""

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.modules: set[str] = set()

    def sources(self) -> dict[str, list[str]]:
        """Return the source of the files that are none, as the cells of a notebook."""
        found = {}
        for file in self.files:
            _, _, lines, _ = (*linecache.cache.get(file, ()), None, None, None, None)[:4]
            if isinstance(lines, list) and not Path(file).exists():
                found[file] = lines
        return found


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Notes what is pickled.

    :param live: see :class:`Bundle`.
    """

    dispatch_table: ClassVar[Any] = ChainMap(REDUCERS, cloudpickle.Pickler.dispatch_table)

    def __init__(self, file: io.BytesIO, met: _Met, live: Live) -> None:
        super().__init__(file, protocol=5)
        self._met = met
        self._live = live

    def reducer_override(self, obj: Any) -> Any:
        """Note a function, class or module, and go on as cloudpickle does."""
        if isinstance(obj, types.CodeType):  # cloudpickle would forget which file it is from
            return marshal.loads, (marshal.dumps(obj),)
        if isinstance(obj, types.FunctionType):
            self._met.files.add(obj.__code__.co_filename)
        if isinstance(obj, _NAMED) and isinstance(obj.__module__, str):
            self._met.modules.add(obj.__module__)
        elif isinstance(obj, types.ModuleType):
            self._met.modules.add(obj.__name__)
        return super().reducer_override(_twin(obj) if self._is_live(obj) else obj)

    def _is_live(self, obj: Any) -> bool:
        """Tell whether workers would find another function under the name of this one."""
        if not isinstance(obj, types.FunctionType):
            return False
        return self._live.get((str(obj.__module__), obj.__qualname__)) is obj


def _twin(function: types.FunctionType) -> types.FunctionType:
    """Return the same function as one that has no name in its module, which goes by value."""
    code, space = function.__code__, function.__globals__
    twin = types.FunctionType(code, space, None, function.__defaults__, function.__closure__)
    for name in ("__kwdefaults__", *functools.WRAPPER_ASSIGNMENTS):
        if hasattr(function, name):
            setattr(twin, name, getattr(function, name))
    vars(twin).update(vars(function))
    return twin


def _dump(bundle: Bundle) -> tuple[bytes, _Met]:
    file, met = io.BytesIO(), _Met()
    met.modules |= {module for module, _ in bundle.live}
    _Pickler(file, met, bundle.live).dump(bundle)
    return file.getvalue(), met


def _not_importable(names: set[str]) -> Iterator[types.ModuleType]:
    """Yield the user's modules that another process would not find under their names."""
    for name in sorted(names - {"__main__"}):
        module = sys.modules.get(name)
        file = getattr(module, "__file__", None)
        if module is None or not isinstance(file, str) or not is_own(Path(file)):
            continue
        spec = spec_of(name)
        if spec is None or spec.origin is None or Path(spec.origin) != Path(file):
            yield module


@contextmanager
def _by_value(modules: Sequence[types.ModuleType]) -> Iterator[None]:
    registered = cloudpickle.list_registry_pickle_by_value()
    new = [each for each in modules if each.__name__ not in registered]
    for module in new:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in new:
            cloudpickle.unregister_pickle_by_value(module)


def _why(parts: Mapping[str, object], error: Exception) -> str:
    """Say which part does not pickle, and what to do."""
    for name, part in parts.items():
        try:
            _Pickler(io.BytesIO(), _Met(), {}).dump(part)
        except Exception as cause:
            found = explain(part, cause)
            at = f"{name}{found.at}"
            return (
                f"{at}: {found.reason}, which workers need: make it in the experiment, or run with"
                " workers=1"
            )
    return f"the experiment cannot be sent to workers: {error}; run with workers=1"
