"""The global random generators are seeded, and put back to the very number."""

from __future__ import annotations

import random
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_memento.seeding import Generators, seed_all, seed_of, seeded

Draw = Callable[[], list[float]]


def draw() -> list[float]:
    """Draw from every generator, with what each keeps for the next time."""
    normal = [random.gauss(0, 1), float(np.random.standard_normal())]
    return [random.random(), float(np.random.rand()), *normal]


@pytest.fixture(autouse=True)
def _states() -> Iterator[None]:
    before, numpy_before = random.getstate(), np.random.get_state()
    yield
    random.setstate(before)
    np.random.set_state(numpy_before)


@given(st.integers(0, 2**64 - 1))
def test_the_same_seed_gives_the_same_numbers(number: int) -> None:
    seed_all(number)
    first = draw()
    draw()
    seed_all(number)
    assert draw() == first
    seed_all((number + 1) % 2**64)
    assert draw() != first


def test_a_user_gets_the_same_numbers_by_hand() -> None:
    seed_all(7)
    first = draw()
    random.seed(7)
    np.random.seed(7)
    assert draw() == first


def test_the_states_are_put_back() -> None:
    seed_all(1)
    draw()
    expected = [draw() for _ in range(3)]
    seed_all(1)
    draw()
    for number, seen in enumerate(expected):
        with seeded(number):
            draw()
            with seeded(3):
                draw()
        with pytest.raises(ValueError, match="Seed must be"), seeded(4):
            np.random.seed(-1)
        assert draw() == seen


def test_the_inner_seed_leaves_no_trace() -> None:
    with seeded(1):
        first = draw(), draw()
    with seeded(1):
        one = draw()
        with seeded(2):
            draw()
        assert (one, draw()) == first


def test_generators_are_given_back_once() -> None:
    generators = Generators()
    generators.give_back()
    random.seed(1)
    expected = random.random()
    random.seed(1)
    generators.seed(2)
    generators.seed(3)
    generators.give_back()
    assert random.random() == expected
    state = random.getstate()
    generators.give_back()
    assert random.getstate() == state


def test_another_bit_generator_of_numpy() -> None:
    module: Any = np.random
    before = module.get_bit_generator()
    try:
        module.set_bit_generator(np.random.PCG64(0))
        with seeded(5):
            first = np.random.rand()
        with seeded(5):
            assert np.random.rand() == first
            module.set_bit_generator(np.random.Philox(0))
    finally:
        module.set_bit_generator(before)


@pytest.mark.parametrize("stand_in", [None, types.ModuleType("torch")])
def test_what_only_stands_in_for_a_library(
    monkeypatch: pytest.MonkeyPatch, stand_in: types.ModuleType | None
) -> None:
    monkeypatch.setitem(sys.modules, "torch", stand_in)
    monkeypatch.setitem(sys.modules, "numpy", stand_in)
    with seeded(5):
        random.random()


def test_no_library_is_loaded() -> None:
    code = """
import sys
from pytest_memento.seeding import Generators
generators = Generators()
generators.seed(1)
assert not {"numpy", "torch"} & {*sys.modules}
import numpy as np  # which loads its random on first use
generators.seed(1)
first = np.random.rand()
generators.seed(1)
assert np.random.rand() == first
generators.give_back()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_seeds_of_names() -> None:
    """A change here changes what fixtures of wider scope draw: it needs a reason and a note."""
    assert seed_of("exp_a.py", "data", "1") == 3686290407
    assert seed_of("a", "b") != seed_of("ab") != seed_of("a", "", "b")
    assert 0 <= seed_of("\udcff") < 2**32


# -- torch -----------------------------------------------------------------------------------------


def test_torch_is_seeded_and_put_back() -> None:
    torch: Any = pytest.importorskip("torch")

    def draw() -> list[float]:
        drawn: list[float] = torch.rand(2).tolist() + torch.randn(1).tolist()
        return drawn

    torch.manual_seed(3)
    expected = [draw(), draw()]
    torch.manual_seed(3)
    assert draw() == expected[0]
    with seeded(2**32 - 1):
        first = draw()
    with seeded(2**32 - 1):
        assert draw() == first
        torch.manual_seed(8)
    assert torch.initial_seed() == 3
    assert draw() == expected[1]
    assert not torch.cuda.is_initialized()
    torch.manual_seed(2**32 - 1)
    assert draw() == first


def test_torch_puts_back_what_is_queued_for_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    torch: Any = pytest.importorskip("torch")
    torch.manual_seed(3)
    told: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", told.append)
    with seeded(5):
        pass
    assert told == [5, 3]
