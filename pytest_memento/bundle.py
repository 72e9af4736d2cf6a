"""An experiment on its way to other processes: pickled, by value where they cannot import it.

Workers never import the script that runs, nor what stands in no file: functions and classes of
these travel with what they use. The source of a notebook goes along, so that tracebacks show it.
"""

from __future__ import annotations

import io
import linecache
import marshal
import pickle
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle

from pytest_memento.callables import Subject
from pytest_memento.errors import MementoError
from pytest_memento.fingerprint import Names, is_own, spec_of
from pytest_memento.labels import one_line
from pytest_memento.pickling import explain
from pytest_memento.pipeline import Stage
from pytest_memento.record import Key

_loading: list[Path] = []


@dataclass(frozen=True)
class Bundle:
    """What workers run.

    :param subject: the experiment.
    :param stages: the matrices that it is run with.
    :param keys: of all its configurations, with what their code was made from.
    :param names: what the names of this process say of what is in the matrices.
    """

    subject: Subject
    stages: Sequence[Stage]
    keys: Sequence[tuple[Key, Mapping[str, str]]]
    names: Names


def dump(bundle: Bundle) -> bytes:
    """Pickle a bundle.

    :raises MementoError: naming the part that does not pickle.
    """
    try:
        stream, met = _dump(bundle)
        if out_of_reach := [*_not_importable(met.modules)]:
            with _by_value(out_of_reach):
                stream, met = _dump(bundle)
    except Exception as error:
        parts = {
            bundle.subject.name: bundle.subject.function,
            "matrix": [stage.matrix for stage in bundle.stages],
        }
        raise MementoError(_why(parts, error)) from error
    return pickle.dumps((sys.path, met.sources(), stream))


def load(path: Path) -> Bundle:
    """Bring a bundle back in a worker.

    :raises MementoError: a module that it needs cannot be imported, or not without ado.
    """
    sys.path[:], sources, stream = pickle.loads(path.read_bytes())
    for file, lines in sources.items():
        linecache.cache[file] = (sum(map(len, lines)), None, lines, file)
    _loading.append(path)
    try:
        bundle: Bundle = pickle.loads(stream)
    except Exception as error:
        text = one_line(f"{type(error).__name__}: {error}", 300)
        raise MementoError(f"a worker cannot load the experiment: {text}") from error
    finally:
        _loading.remove(path)
    return bundle


def is_loading() -> bool:
    """Whether a worker is just bringing a bundle back, and imports modules for it."""
    return bool(_loading)


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
    """Notes what is pickled."""

    def __init__(self, file: io.BytesIO, met: _Met) -> None:
        super().__init__(file, protocol=5)
        self._met = met

    def reducer_override(self, obj: Any) -> Any:
        """Note a function, class or module, and go on as cloudpickle does."""
        if isinstance(obj, types.CodeType):  # cloudpickle would forget which file it is from
            return marshal.loads, (marshal.dumps(obj),)
        if isinstance(obj, types.FunctionType):
            self._met.files.add(obj.__code__.co_filename)
        if isinstance(obj, (types.FunctionType, type)) and isinstance(obj.__module__, str):
            self._met.modules.add(obj.__module__)
        elif isinstance(obj, types.ModuleType):
            self._met.modules.add(obj.__name__)
        return super().reducer_override(obj)


def _dump(bundle: Bundle) -> tuple[bytes, _Met]:
    file, met = io.BytesIO(), _Met()
    _Pickler(file, met).dump(bundle)
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
            cloudpickle.dumps(part)
        except Exception as cause:
            found = explain(part, cause)
            at = f"{name}{found.at}"
            return (
                f"{at}: {found.reason}, which workers need: make it in the experiment, or run with"
                " workers=1"
            )
    return f"the experiment cannot be sent to workers: {error}; run with workers=1"
