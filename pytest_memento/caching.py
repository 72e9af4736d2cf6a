"""``cached``: what is slow to load or to prepare is computed once for a store.

    @pytest.fixture(scope="session")
    @cached
    def data(): ...                    once for all workers, sessions, machines on the store

    @cached
    def features(name, size=64): ...   once for each combination of arguments

The key is the code of the function, and what that uses of the project, with the arguments. The
store is that of the experiments, in a directory of its own: ``<store>/cached/``.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import os
import shutil
import sys
import threading
import time
import types
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    NamedTuple,
    ParamSpec,
    TypeVar,
    cast,
    overload,
)

from pytest_memento import provenance
from pytest_memento.claims import Claims
from pytest_memento.config import Config
from pytest_memento.errors import (
    FingerprintError,
    MementoError,
    MementoWarning,
    ResultNotLoadedError,
    StoreError,
    UnstorableError,
)
from pytest_memento.experiment import Manifest
from pytest_memento.fingerprint import (
    Codebase,
    Digest,
    Script,
    digest_named,
    digest_value,
    is_living,
    is_own,
)
from pytest_memento.labels import label
from pytest_memento.loaded import Loaded
from pytest_memento.locate import place_for
from pytest_memento.locks import Choice
from pytest_memento.pickling import dump
from pytest_memento.presence import Sign
from pytest_memento.rebound import Names, State, UnknownValueError, main_file
from pytest_memento.record import Key, Outcome, Record, describe_config, describe_result
from pytest_memento.store import Store, slug

if TYPE_CHECKING:
    from concurrent.futures import Future

P = ParamSpec("P")
R = TypeVar("R")

PLACE: Final = "cached"
_NOTHING: Final = digest_value({})
_PYTHON: Final = os.path.dirname(os.__file__) + os.sep


class Home(NamedTuple):
    """Where values are kept, by whom they are claimed, and where names of functions start from.

    :param store: of the experiments.
    :param root: the project.
    :param lock: what claims are held by, where the user has chosen.
    """

    store: Store
    root: Path
    lock: Choice | None = None

    @property
    def inner(self) -> Store:
        """The store of the values."""
        return Store(self.store.root / PLACE, shared=self.store.shared)


_session: Home | None = None
_loaded = Loaded()
_looked_at: set[str] = set()
"""The modules whose source was kept, if they are the user's."""
_RUNNING: ContextVar[frozenset[tuple[Path, Key]]] = ContextVar("running", default=frozenset())
"""What this thread or task computes now."""
_LOGGER = logging.getLogger(__name__)


def use(home: Home | None) -> Home | None:
    """Say where functions keep their values from now on, as a session of pytest does.

    :param home: ``None`` for the store of the project that a function is in.
    :return: what it was before.
    """
    global _session
    before, _session = _session, home
    return before


@overload
def cached(function: Callable[P, R], /) -> Cached[P, R]: ...
@overload
def cached(*, version: object = None) -> Callable[[Callable[P, R]], Cached[P, R]]: ...
def cached(function: Callable[P, R] | None = None, /, *, version: object = None) -> Any:
    """Keep what a function returns in the store, and compute it once.

    >>> @cached  # doctest: +SKIP
    ... def features(name, size=64):
    ...     return slow(name, size)

    Processes that want the same value at the same time wait for the first one. A value is computed
    again when the code changes, that of the function or what it uses of the project, or an
    argument does. What it raises is not kept. It works on coroutine functions, too.

    :param version: counts for the key; change it when data change that the code does not show.
    :raises MementoError: it is a generator, or no function.
    """
    if function is None:
        return functools.partial(_decorated, version=version)
    return _decorated(function, version=version)


def _decorated(function: Callable[P, R], *, version: object) -> Cached[P, R]:
    if not isinstance(function, types.FunctionType):
        raise MementoError(f"cached decorates functions, not {label(function)}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise MementoError(
            f"cached: {function.__qualname__} is a generator, whose values are gone once they are"
            " read: return a list"
        )
    if inspect.iscoroutinefunction(function):
        return _CachedCoroutine(function, version)
    return Cached(function, version)


class Cached(Generic[P, R]):
    """A function whose values are kept; made by :func:`cached`."""

    __name__: str
    __qualname__: str

    def __init__(self, function: Callable[P, R], version: object) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._version = version
        self._signature = inspect.signature(function)
        self._source = _source_now(function)
        self._names = Names()
        self._codes: dict[tuple[Path, tuple[int, ...]], _Described] = {}

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the value, computed or loaded."""
        call = self._call(args, kwargs)
        if call is None:
            return self._function(*args, **kwargs)
        if (there := call.find()) is not None:
            return cast("R", there.value)
        with call.entered(), call.held() as found:
            if found is not None:
                return cast("R", found.value)
            started, clock = time.time(), time.perf_counter()
            value = self._function(*args, **kwargs)
            call.keep(value, started, time.perf_counter() - clock)
            return value

    def __get__(self, owner: object, cls: type | None = None) -> Any:
        """Return it as a method: of what it is an attribute of, that is its first argument."""
        return self if owner is None else types.MethodType(self, owner)

    def clear(self) -> int:
        """Remove all values of this function, of whatever code and arguments.

        :return: how many there were.
        """
        home = self._home()
        name = _name(self._function, home.root)
        store = home.inner
        directory = store.inside(store.root / "results" / slug(name) / "_").parent
        number = len(store.listing(name).stems)
        shutil.rmtree(directory, ignore_errors=True)
        return number

    def __getstate__(self) -> dict[str, Any]:
        """Return what goes to another process, which finds out by itself what its code is there."""
        return {**vars(self), "_names": Names(), "_codes": {}}

    def __memento_key__(self) -> object:
        """Return what counts of it as a part of a value."""
        return self._function, self._version

    def __repr__(self) -> str:
        return f"<cached {self._function.__qualname__}>"

    def _home(self) -> Home:
        if _session is not None:
            return _session
        file = Path(self._function.__code__.co_filename)
        start = file.resolve().parent if file.is_file() else Path.cwd()
        place = place_for(start)
        return Home(Store(place.store), place.project or start)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Call | None:
        """Find out what a call is the key of; ``None`` if its code is not known."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        home, digests, met = self._home(), {}, list[object]()
        for name, value in bound.arguments.items():
            try:
                digests[name] = digest_value(value, met=met)
            except FingerprintError as error:
                raise FingerprintError(
                    f"cached: the argument {name!r} of {self._function.__qualname__}: {error}"
                ) from None
        try:
            code = self._described(home.root, met)
        except (_UnknownError, UnknownValueError) as error:
            message = f"cached: what {self._function.__qualname__} returns is not kept: {error}"
            warnings.warn(MementoWarning(message), stacklevel=3)
            return None
        name = _name(self._function, home.root)
        key = Key(name, digest_named(digests), _NOTHING, code.digest)
        config = Config(bound.arguments, {})
        return _Call(key, home.inner, home.lock, config, digests, code.manifest)

    def _described(self, root: Path, met: list[object]) -> _Described:
        """Return what the code is now: looked up, or found out if something has changed."""
        function: Any = self._function
        if any(is_living(each) for each in (function, *met)):
            return self._describe(root, met, {})  # what these use may be another one each time
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        closure = {f"closure {name}": digest_value(cell) for name, cell in cells}
        which = root, tuple(map(id, met))
        known = self._codes.get(which)
        if known is None or known.closure != closure or not known.state.is_now():
            known = self._codes[which] = self._describe(root, met, closure)
        return known

    def _describe(self, root: Path, met: list[object], closure: Mapping[str, str]) -> _Described:
        function: Any = self._function
        if "<" in function.__qualname__:
            self._source.refuse_edits()
        is_live, read = is_living(function), self._source.read
        main = main_file()
        script = Script(main, vars(sys.modules["__main__"])) if main is not None else None
        codebase = Codebase(root, script=script, read=read, is_live=is_live)
        code, state = codebase.describe(function, held=met), State()
        while not is_live:
            now = self._names.look(code, function)
            is_new = now.values.keys() > state.values.keys()
            state = now
            if not is_new:
                break
            code = codebase.describe(function, held=met, values=state.values)
        inside = {} if is_live else closure
        manifest = {**code.manifest, **inside, "version": repr(self._version)}
        return _Described(manifest, digest_value(manifest), met, closure, state)


@dataclass(frozen=True)
class _Described:
    """What the code of a function was, and how to tell whether it still is.

    :param digest: of the manifest.
    :param met: functions and classes among the arguments; they stay for as long as they are known
        by their ids.
    :param closure: digests of what it takes from the functions around it.
    :param state: of the names that it uses.
    """

    manifest: Manifest
    digest: Digest
    met: list[object]
    closure: Mapping[str, str]
    state: State


class _UnknownError(Exception):
    """It cannot be told what code would run."""


@dataclass(frozen=True)
class _Source:
    """The source of a function, and of what it uses, as it was when that was loaded.

    :param path: the file of the function.
    :param text: what it said when the function was made; empty if there is no such file.
    """

    path: Path
    text: bytes

    def read(self, path: Path) -> bytes:
        """Return the source of a file.

        :raises OSError: it cannot be read.
        :raises _UnknownError: it was changed after it was loaded, and its old text is not known.
        """
        if self.text and path == self.path:
            return self.text
        try:
            return _loaded.read(path)
        except MementoError as error:
            raise _UnknownError(str(error)) from None

    def refuse_edits(self) -> None:
        """Refuse that the text of a function is looked up in a file that has been changed.

        :raises _UnknownError: it has.
        """
        with contextlib.suppress(OSError):
            if self.text and self.path.read_bytes() != self.text:
                place = os.path.relpath(self.path)
                raise _UnknownError(f"{place} was changed after the function was made")


def _source_now(function: Any) -> _Source:
    """Keep the source of a function that is being loaded, and of what was loaded before it.

    When it is called, maybe hours later, the files may say something else.
    """
    _keep_sources()
    path = Path(function.__code__.co_filename)
    try:
        return _Source(path, _loaded.read(path))
    except (OSError, MementoError):
        return _Source(path, b"")


def _keep_sources() -> None:
    """Keep the source of all modules of the user that were loaded since this was called last."""
    new = [each for each in sys.modules if each not in _looked_at]
    _looked_at.update(new)
    for name in new:
        file = getattr(sys.modules.get(name), "__file__", None)
        # Most are not the user's, which is sooner seen by their names than it is known for sure.
        if not isinstance(file, str) or file.startswith(_PYTHON) or "-packages" in file:
            continue
        if is_own(Path(file)):
            with contextlib.suppress(OSError, MementoError):  # that is told when it is needed
                _loaded.read(Path(file))


class _CachedCoroutine(Cached[P, Any]):
    """A coroutine function whose values are kept."""

    def __init__(self, function: Callable[P, Any], version: object) -> None:
        super().__init__(function, version)
        if sys.version_info >= (3, 12):
            inspect.markcoroutinefunction(self)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Return the value, computed or loaded; others of the event loop go on meanwhile."""
        call = self._call(args, kwargs)
        if call is None:
            return await self._function(*args, **kwargs)
        if (there := call.find()) is not None:
            return there.value
        with call.entered():
            async with _held_aside(call) as found:
                if found is not None:
                    return found.value
                started, clock = time.time(), time.perf_counter()
                value = await self._function(*args, **kwargs)
                call.keep(value, started, time.perf_counter() - clock)
                return value


@contextlib.asynccontextmanager
async def _held_aside(call: _Call) -> AsyncIterator[_Found | None]:
    """Hold the claim of a call as :meth:`_Call.held` does, while the event loop goes on.

    A task that is cancelled while it waits for the claim waits no longer, nor does its thread.
    """
    import asyncio

    holder = _Holder(call)
    holder.start()
    try:
        yield await asyncio.wrap_future(holder.found)
    except GeneratorExit:  # there may be no loop any more that could wait
        holder.is_over.set()
        raise
    except BaseException:
        holder.is_over.set()
        with contextlib.suppress(StoreError):  # what came first tells more
            await asyncio.wrap_future(holder.end)
        raise
    holder.is_over.set()
    await asyncio.wrap_future(holder.end)


class _Holder(threading.Thread):
    """Takes the claim of a call and gives it back: a lock belongs to the thread that took it."""

    def __init__(self, call: _Call) -> None:
        from concurrent.futures import Future  # only here: it is slow to import

        # Where a loop is left with tasks in it, nobody says that it is over.
        super().__init__(name="memento-claim", daemon=True)
        self._call = call
        self.is_over = threading.Event()
        self.found: Future[_Found | None] = Future()
        self.end: Future[None] = Future()
        for each in (self.found, self.end):
            each.set_running_or_notify_cancel()  # a task that is cancelled does not cancel these

    def run(self) -> None:
        """Hold the claim until it is over."""
        try:
            with self._call.held(self.is_over) as found:
                self.found.set_result(found)
                self.is_over.wait()
        except Exception as error:
            (self.end if self.found.done() else self.found).set_exception(error)
        if not self.end.done():
            self.end.set_result(None)


class _Found(NamedTuple):
    """A value that was there."""

    value: Any


@dataclass(frozen=True)
class _Call:
    """One call: what it is the key of, and where its value is kept."""

    key: Key
    store: Store
    lock: Choice | None
    config: Config
    digests: dict[str, Any]
    manifest: Manifest

    @contextlib.contextmanager
    def held(self, is_over: threading.Event | None = None) -> Iterator[_Found | None]:
        """Hold the claim on the value while the body runs; yield it if others have computed it.

        :param is_over: set when nobody wants it any more.
        :raises TakenError: it was over while somebody else held the claim.
        :raises StoreError: the store cannot be written.
        """
        is_over = is_over or threading.Event()
        claims = Claims(self.store.root, self.lock, self.store.rights)
        path = self.store.inside(self.store.claim(self.key))
        try:
            self.store.make_root()
            with claims.hold(
                path, self._label, self._waits, gives_up=is_over.is_set, rest=is_over.wait
            ):
                yield self.find()
        except OSError as error:
            raise StoreError(f"cached: {self.key.experiment}: {error}") from error
        finally:
            claims.close()

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Note that the function runs, while the body does.

        :raises RecursionError: it does already, and would wait for itself.
        """
        mine, running = (self.store.root, self.key), _RUNNING.get()
        if mine in running:
            raise RecursionError(f"{self.key.experiment} has called itself with the same arguments")
        token = _RUNNING.set(running | {mine})
        try:
            yield
        finally:
            _RUNNING.reset(token)

    def keep(self, value: Any, started: float, runtime: float) -> None:
        """Store a value; what cannot be stored is a warning, since nobody would have it else."""
        try:
            self.store.put_document(self.key.code, self.manifest)
            # What was there could not be loaded.
            self.store.publish(self._record(value, started, runtime), {}, dump(value), replace=True)
        except (UnstorableError, StoreError) as error:
            message = f"cached: what {self.key.experiment} returned is not kept: {error}"
            warnings.warn(MementoWarning(message), stacklevel=3)

    def _waits(self, owner: Sign | None) -> None:
        who = f", claimed by {owner}" if owner else ""
        _LOGGER.info("waiting for %s[%s]%s", self.key.experiment, self._label, who)

    def find(self) -> _Found | None:
        """Return the value if it is there."""
        if self.store.past(self.key) is None:
            return None
        try:
            return _Found(self.store.load(self.key))
        except ResultNotLoadedError as error:
            message = f"cached: {error}; it is computed again"
            warnings.warn(MementoWarning(message), stacklevel=4)
            return None

    @property
    def _label(self) -> str:
        return ", ".join(f"{name}={label(value)}" for name, value in self.config.items())

    def _record(self, value: Any, started: float, runtime: float) -> Record:
        parameters, settings = describe_config(self.config, {}, self.digests)
        return Record(
            key=self.key,
            id=self._label,
            parameters=parameters,
            settings=settings,
            outcome=Outcome.PASSED,
            started=started,
            runtime=runtime,
            # These are of an experiment that may run around it, and must not be reset.
            cpu_time=0.0,
            memory=None,
            result=describe_result(value),
            host=provenance.host(),
            pid=os.getpid(),
        )


def _name(function: Any, root: Path) -> str:
    """Name a function as experiments are named: by its file, from the project on."""
    file = Path(function.__code__.co_filename)
    if is_living(function):  # of a notebook, say, whose cells have files for names that are none
        from pytest_memento.callables import place_of  # which most have no need of

        return f"{place_of(function)}::{function.__qualname__}"
    place = os.path.relpath(file.resolve(), root.resolve()) if file.is_file() else str(file)
    return f"{Path(place).as_posix()}::{function.__qualname__}"
