"""The global random generators: seeded for an experiment, and put back as they were.

These are the ones that ``random.random()``, ``numpy.random.rand()`` and ``torch.rand()`` draw
from. Generators that somebody makes, as by ``numpy.random.default_rng()``, are theirs to seed.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple


class _Library(NamedTuple):
    """How the global generator of a library is handled; each function is given its module.

    :param needs: what the module has, if it is the library and no stand-in.
    """

    needs: str
    seed: Callable[[Any, int], object]
    save: Callable[[Any], Any]
    restore: Callable[[Any, Any], object]


class Generators:
    """The global generators of the libraries that are imported, borrowed for a while.

    What is imported later is taken in by the next :meth:`seed`: no library is loaded for this.
    """

    def __init__(self) -> None:
        self._before: dict[str, tuple[Any, Any]] = {}
        self._kept: dict[str, Any] = {}

    def seed(self, number: int) -> None:
        """Seed them all.

        :param number: below 2**64; numpy takes it modulo 2**32.
        """
        for name, module in _imported():
            self._seed(name, module, number)

    def keep(self) -> None:
        """Remember how they are now, for :meth:`resume`."""
        self._kept = {
            name: _LIBRARIES[name].save(module) for name, (module, _) in self._before.items()
        }

    def resume(self, number: int) -> None:
        """Go on from where they were kept; seed those that were imported since the first seed."""
        for name, module in _imported():
            if name in self._kept:
                _LIBRARIES[name].restore(module, self._kept[name])
            else:
                self._seed(name, module, number)

    def _seed(self, name: str, module: Any, number: int) -> None:
        if name not in self._before:
            self._before[name] = module, _LIBRARIES[name].save(module)
        _LIBRARIES[name].seed(module, number)

    def give_back(self) -> None:
        """Put them back into the states they had when each was first seeded."""
        for name, (module, state) in self._before.items():
            _LIBRARIES[name].restore(module, state)
        self._before.clear()
        self._kept.clear()


@contextmanager
def seeded(number: int) -> Iterator[None]:
    """Seed the global generators for the body, and put them back as they were.

    >>> import random
    >>> with seeded(1):
    ...     first = random.random()
    >>> with seeded(1):
    ...     first == random.random()
    True
    """
    generators = Generators()
    generators.seed(number)
    try:
        yield
    finally:
        generators.give_back()


def seed_all(number: int) -> None:
    """Seed the global generators, for good."""
    Generators().seed(number)


def seed_of(*names: str) -> int:
    """Return a number below 2**32 for what is called by these names, the same in every process."""
    text = "\0".join(names).encode(errors="backslashreplace")
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big")


def _imported() -> Iterator[tuple[str, Any]]:
    for name, library in _LIBRARIES.items():
        module: Any = sys.modules.get(name)
        if name == "numpy" and module is not None:  # it imports its random when it is asked for it
            module = getattr(module, "random", None)
        if hasattr(module, library.needs):
            yield name, module


# -- numpy -----------------------------------------------------------------------------------------


def _seed_numpy(module: Any, number: int) -> None:
    """Seed the generator behind ``numpy.random.rand``, which takes 32 bits.

    Taken modulo, as pytest-randomly and most training loops do, so that a user gets the same
    numbers with ``numpy.random.seed(context.seed)``, which is below 2**32.
    """
    number %= 2**32
    try:
        module.seed(number)
    except TypeError:  # the user has put another kind of bit generator there
        current = module.get_bit_generator()
        current.state = type(current)(number).state


def _restore_numpy(module: Any, state: Any) -> None:
    # Where the experiment has put another kind of bit generator, it stays.
    with contextlib.suppress(ValueError):
        module.set_state(state)


# -- torch -----------------------------------------------------------------------------------------


def _save_torch(module: Any) -> tuple[Any, Any]:
    cuda = module.cuda.get_rng_state_all() if module.cuda.is_initialized() else None
    return module.get_rng_state(), cuda


def _restore_torch(module: Any, state: tuple[Any, Any]) -> None:
    """Restore the states on CPU and CUDA.

    Where CUDA was not in use, seeding it only left word for the day it is: the word is then
    replaced by the seed of the CPU, as ``torch.manual_seed`` had left it.
    """
    cpu, cuda = state
    module.set_rng_state(cpu)
    if cuda is not None:
        module.cuda.set_rng_state_all(cuda)
    else:
        module.cuda.manual_seed_all(module.initial_seed())


_LIBRARIES = {
    "random": _Library(
        "setstate",
        lambda _, number: random.seed(number),
        lambda _: random.getstate(),
        lambda _, state: random.setstate(state),
    ),
    "numpy": _Library(
        "set_state",
        _seed_numpy,
        lambda module: module.get_state(legacy=False),
        _restore_numpy,
    ),
    "torch": _Library(
        "manual_seed",
        # Of CUDA too, without initialising it.
        lambda module, number: module.manual_seed(number),
        _save_torch,
        _restore_torch,
    ),
}
