"""Runs take turns: one at a time, but for those that one of them makes itself.

    run                 the turn of thread 1         run               waits in thread 2
      experiment
        run             inside of that turn
        run             waits, if it is in another thread, for the one before

What is inside is told by the context that goes along with the calls, or else by the thread.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import types
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Final

from pytest_memento.errors import MementoError

_LOOKS_EACH: Final = 0.5
"""Seconds."""


class Turn:
    """A run, with the one that is inside of it now, and the one that it is inside of."""

    def __init__(self, outer: Turn | None = None) -> None:
        self.outer = outer
        self.inner: Turn | None = None
        self.is_on = True
        self.free = threading.Lock()
        self.thread = threading.current_thread()

    def end(self) -> None:
        """Let nobody inside any more, and wait for who is: a thread that was left behind, say."""
        with self.free:
            self.is_on = False


_all = Turn()
_own: ContextVar[Turn] = ContextVar("turn", default=_all)


@contextlib.contextmanager
def turn() -> Iterator[Turn]:
    """Have the turn while the body runs, waiting until others have ended theirs.

    :raises MementoError: they wait themselves for this thread to end.
    """
    outer = _begin()
    outer.inner = mine = Turn(outer)
    token = _own.set(mine)
    try:
        yield mine
    finally:
        mine.end()
        _own.reset(token)
        outer.inner = None
        outer.free.release()


def _begin() -> Turn:
    """Wait for the turn inside of the one that this is in, and return that."""
    while True:
        outer = _around()
        while not outer.free.acquire(timeout=_LOOKS_EACH):
            if _is_waited_for([*_threads_in(outer)]):
                raise MementoError(
                    "Memento(...).run is called in a thread that an experiment of another run has"
                    " started and waits for: give that thread its context, as in"
                    " Thread(target=contextvars.copy_context().run, args=[work])"
                )
        if outer.is_on:
            return outer
        outer.free.release()


def _around() -> Turn:
    """Return the turn that this is inside of."""
    own: Turn | None = _own.get()
    while own is not None and not own.is_on:
        own = own.outer
    found = own or _all
    inner = found.inner
    while inner is not None:
        if inner.thread is threading.current_thread():  # in a context of its own
            found = inner
        inner = inner.inner
    return found


def _threads_in(outer: Turn) -> Iterator[int | None]:
    inner = outer.inner
    while inner is not None:
        yield inner.thread.ident
        inner = inner.inner


# -- who waits for whom ----------------------------------------------------------------------------


def _is_waited_for(by: list[int | None]) -> bool:
    """Tell whether one of some threads waits for this one, maybe by way of others."""
    stacks = {thread: [*_frames(top)] for thread, top in sys._current_frames().items()}
    awaited = {thread: {*map(id, _awaited(stack))} for thread, stack in stacks.items()}
    threads = {each.ident: each for each in threading.enumerate()}
    waiting, met = [threading.get_ident()], set[int]()
    while waiting:
        thread = waiting.pop()
        met.add(thread)
        ends = {id(threads.get(thread)), *map(id, _worked_at(stacks.get(thread, [])))}
        waiting += [each for each, what in awaited.items() if what & ends and each not in met]
    return not met.isdisjoint(by)


def _frames(top: types.FrameType | None) -> Iterator[types.FrameType]:
    while top is not None:
        yield top
        top = top.f_back


def _awaited(stack: list[types.FrameType]) -> Iterator[object]:
    """Yield the threads and futures that a thread waits for."""
    from concurrent.futures import Future

    waits = (threading.Thread.join.__code__, Future.result.__code__, Future.exception.__code__)
    yield from (frame.f_locals["self"] for frame in stack if frame.f_code in waits)


def _worked_at(stack: list[types.FrameType]) -> Iterator[object]:
    """Yield the futures that a thread of a pool computes the results of."""
    for frame in stack:
        if frame.f_globals.get("__name__") == "concurrent.futures.thread":
            yield getattr(frame.f_locals.get("self"), "future", None)
