"""Values to bytes and back: pickle first, cloudpickle for what pickle cannot name.

Large arrays travel beside the pickle (protocol 5, PEP 574), so that they are written and loaded
without a copy. What cannot be pickled is named by the path to the part that fails.
"""

from __future__ import annotations

import functools
import io
import pickle
import sys
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any, ClassVar

from pytest_memento.errors import UnstorableError
from pytest_memento.labels import label, one_line, quoted

PROTOCOL = 5
OUT_OF_BAND = 64 * 1024
"""Bytes from which on a buffer is kept outside the pickle."""
DEEPEST = 12
"""How many steps the search for what does not pickle goes down."""
_LONGEST_SAYING = 200
_OF_SCRIPTS = b"__main__"
_OF_LRU_CACHE = frozenset({"__wrapped__", "cache_parameters", "__annotate__"})
"""Attributes that it makes itself, or takes from the function."""


@dataclass(frozen=True, slots=True)
class Pickled:
    """A pickle and the buffers that travel beside it."""

    stream: bytes
    buffers: Sequence[memoryview] = ()


def dump(value: object) -> Pickled:
    """Pickle *value*.

    :raises UnstorableError: naming the part that does not pickle, as in ``.model.pool``.
    """
    try:
        return _dump(value)
    except Exception as error:
        raise explain(value, error) from error


def load(stream: bytes | memoryview, buffers: Iterable[memoryview] = ()) -> Any:
    """Bring a value back; *buffers* are used as they are, without a copy."""
    return pickle.loads(stream, buffers=buffers)


def _dump(value: object) -> Pickled:
    try:
        pickled = _dump_with(pickle.dumps, value)
        # What is of a script or a notebook is found by no other process under its name.
        if _OF_SCRIPTS not in pickled.stream:
            return pickled
    except Exception:  # lambdas, local classes and the like
        pass
    return _dump_with(_dumps_by_value, value)  # at some cost


def _dumps_by_value(value: object, **options: Any) -> bytes:
    file = io.BytesIO()
    _pickler()(file, **options).dump(value)
    return file.getvalue()


def _pickler() -> type[pickle.Pickler]:
    import cloudpickle  # maybe another copy than the last time, as in tests with pytester

    return _by_value(cloudpickle.Pickler)


@functools.cache
def _by_value(base: Any) -> type[pickle.Pickler]:
    class ByValue(base):  # type: ignore[misc]
        dispatch_table: ClassVar[Any] = ChainMap(REDUCERS, base.dispatch_table)

    return ByValue


def _dump_with(dumps: Any, value: object) -> Pickled:
    buffers: list[memoryview] = []

    def keep_inside(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < OUT_OF_BAND:
            return True
        buffers.append(raw)
        return False

    stream: bytes = dumps(value, protocol=PROTOCOL, buffer_callback=keep_inside)
    return Pickled(stream, buffers)


# -- what cloudpickle leaves behind ----------------------------------------------------------------


def _reduce_cache(function: functools._lru_cache_wrapper[Any]) -> Any:
    """Take a function that ``lru_cache`` was put around along, where nobody finds it by its name.

    The values that it holds stay here.
    """
    if _is_importable(function):
        return function.__reduce__()
    kept = {name: part for name, part in vars(function).items() if name not in _OF_LRU_CACHE}
    return cached_anew, (function.__wrapped__, function.cache_parameters()), kept


def cached_anew(function: Callable[..., Any], parameters: Mapping[str, Any]) -> Callable[..., Any]:
    """Put ``lru_cache`` around a function again; stored results name this."""
    cached: Callable[..., Any] = functools.lru_cache(**parameters)(function)
    return cached


def _is_importable(value: Any) -> bool:
    """Tell whether another process finds a function under its name."""
    import cloudpickle

    by_value = ("__main__", *cloudpickle.list_registry_pickle_by_value())
    if any(f"{value.__module__}.".startswith(f"{each}.") for each in by_value):
        return False
    found: Any = sys.modules.get(value.__module__)
    for part in value.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is value


def _reduce_property(cached: functools.cached_property[Any]) -> Any:
    """Leave out the lock that there was up to Python 3.11: who makes it anew has one."""
    kept = {name: part for name, part in vars(cached).items() if name not in ("func", "lock")}
    return functools.cached_property, (cached.func,), kept


REDUCERS: dict[type, Callable[[Any], Any]] = {
    functools._lru_cache_wrapper: _reduce_cache,
    functools.cached_property: _reduce_property,
}
"""What pickles otherwise than by cloudpickle."""


# -- what does not pickle --------------------------------------------------------------------------


def explain(value: object, error: Exception) -> UnstorableError:
    """Return an error that names the part of *value* that does not pickle."""
    if isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError):
        return UnstorableError("it is nested too deeply to pickle")
    at, cause = _locate(value, error, []) or ("", error)
    return UnstorableError(_said(cause), at)


def _locate(value: object, error: Exception, seen: list[object]) -> tuple[str, Exception] | None:
    """Follow the failing parts down to the smallest one.

    :param seen: what was looked at on the way.
    :return: the path to it and why it fails; ``None`` if *value* fails only for holding what was
        seen before.
    """
    seen.append(value)
    returns = False
    for step, part in _parts(value) if len(seen) <= DEEPEST else ():
        if any(part is other for other in seen):
            returns = True
        elif failure := _failure(part):
            found = _locate(part, failure, seen)
            if found is not None:
                return step + found[0], found[1]
            returns = True
    return None if returns else ("", error)


def _failure(part: object) -> Exception | None:
    try:
        _dump(part)
    except Exception as error:
        return error
    return None


def _parts(value: object) -> list[tuple[str, object]]:
    """Return what pickle goes on to from *value*, each with the step to it."""
    try:
        return [*_elements(value), *_attributes(value)]
    except Exception:
        # Whatever a foreign class raises when it is looked into: then it is named as a whole.
        return []


def _elements(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield f"[{quoted(key)}]", part
            yield f"{{{quoted(key)}}}", key
    elif isinstance(value, (list, tuple)):
        yield from ((f"[{number}]", part) for number, part in enumerate(value))
    elif isinstance(value, (set, frozenset)):
        yield from ((f"{{{label(part)}}}", part) for part in value)


def _attributes(value: Any) -> Iterator[tuple[str, object]]:
    if isinstance(value, type):
        return
    if isinstance(value, FunctionType):
        cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
        yield from ((f".{name}", cell.cell_contents) for name, cell in cells)
        return
    if isinstance(value, functools.partial):
        yield from ((f".{name}", getattr(value, name)) for name in ("func", "args", "keywords"))
        return
    # Not __dict__: that holds also what __getstate__ leaves out.
    reduced: tuple[Any, ...] = value.__reduce_ex__(PROTOCOL)
    arguments, state = (*reduced, None)[1:3]
    if isinstance(state, tuple) and len(state) == 2:  # the attributes, and those in slots
        state = {**(state[0] or {}), **(state[1] or {})}
    if isinstance(state, Mapping):
        yield from ((f".{name}", part) for name, part in state.items())
    elif state is not None:
        yield ".__getstate__()", state
    yield from ((f"(argument {number})", part) for number, part in enumerate(arguments))


def _said(error: Exception) -> str:
    try:
        text = str(error) or type(error).__name__
    except Exception:  # of an exception whose arguments do not print
        text = type(error).__name__
    # Python 3.14 names the object, older ones the type: both start like this.
    if not text.lower().startswith(("cannot pickle", "can't pickle")):
        text = f"cannot pickle it: {type(error).__name__}: {text}"
    return one_line(text.partition("\n")[0], _LONGEST_SAYING)
