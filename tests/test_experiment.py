"""What the store knows of an experiment, in words; one attempt at it, and what is left of it."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_memento import UnstorableError
from pytest_memento.experiment import Attempt, Experiment, Standing, Status, experiments_of, judge
from pytest_memento.fingerprint import Digest
from pytest_memento.matrix import expand
from pytest_memento.record import Outcome
from pytest_memento.store import Store

NAME = "exp_train.py::experiment"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def make(
    *, lr: float = 0.1, settings: dict[str, Any] | None = None, code: str = "a", **more: Any
) -> Experiment:
    matrix = {"parameters": {"lr": [lr]}, "settings": settings or {}, **more}
    manifest = {"exp_train.experiment": Digest(code * 32)}
    return experiments_of(NAME, expand(matrix).cases, lambda _: manifest)[0]


def run(experiment: Experiment, store: Store, function: Callable[..., Any] = lambda: 7) -> Attempt:
    attempt = Attempt(experiment, store, Path.cwd())
    attempt.capturing(function)()
    attempt.describe()
    attempt.publish_result("", replace=False)
    return attempt


def standing(experiment: Experiment, store: Store) -> Standing:
    return judge(experiment, store.listing(NAME), store, Path.cwd())


def test_new(store: Store) -> None:
    assert standing(make(), store).status is Status.NEW


def test_cached(store: Store) -> None:
    run(make(), store)
    found = standing(make(), store)
    assert found.status is Status.CACHED
    assert found.reason == ""
    assert found.past is not None
    assert found.past.runtime >= 0


def test_other_parameters_are_new(store: Store) -> None:
    run(make(), store)
    assert standing(make(lr=0.2), store).status is Status.NEW


def test_other_code_is_stale(store: Store) -> None:
    run(make(), store)
    found = standing(make(code="b"), store)
    assert (found.status, found.reason) == (Status.STALE, "code: exp_train.experiment changed")


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ({"n": 5}, {"n": 10}, "setting n: 5 -> 10"),
        ({"n": 5}, {"n": 5, "k": 1}, "setting k: added (1)"),
        ({"n": 5, "k": 1}, {"n": 5}, "setting k: removed (was 1)"),
        ({"n": 5}, {"n": 5.0}, "setting n: 5 -> 5.0"),
        ({"n": [1] * 99}, {"n": [1] * 98 + [2]}, "setting n changed"),
        ({"n": 1, "k": 1}, {"n": 2, "k": 2}, "setting n: 1 -> 2; setting k: 1 -> 2"),
    ],
)
def test_other_settings_are_stale(
    store: Store, before: dict[str, Any], after: dict[str, Any], reason: str
) -> None:
    run(make(settings=before), store)
    found = standing(make(settings=after), store)
    assert (found.status, found.reason) == (Status.STALE, reason)


def test_untracked_settings_do_not_matter(store: Store) -> None:
    run(make(settings={"n": 5, "jobs": 1}, untracked=["jobs"]), store)
    same = make(settings={"n": 5, "jobs": 8}, untracked=["jobs"])
    assert standing(same, store).status is Status.CACHED
    other = make(settings={"n": 6, "jobs": 9}, untracked=["jobs"])
    assert standing(other, store).reason == "setting n: 5 -> 6"


def test_the_nearest_run_is_compared(store: Store) -> None:
    run(make(settings={"n": 1}, code="a"), store)
    run(make(settings={"n": 2}, code="b"), store)
    assert standing(make(settings={"n": 1}, code="c"), store).reason == (
        "code: exp_train.experiment changed"
    )
    assert standing(make(settings={"n": 3}, code="b"), store).reason == "setting n: 2 -> 3"


def test_failed_before(store: Store) -> None:
    attempt = Attempt(make(), store, Path.cwd())
    attempt.publish_failure("ValueError: bad", "Traceback", "")
    found = standing(make(), store)
    assert (found.status, found.reason) == (Status.FAILED, "ValueError: bad (just now)")
    assert standing(make(code="b"), store).status is Status.FAILED


def test_a_result_ends_a_failure(store: Store) -> None:
    experiment = make()
    Attempt(experiment, store, Path.cwd()).publish_failure("ValueError: bad", "", "")
    run(experiment, store)
    assert standing(experiment, store).status is Status.CACHED
    assert store.find(experiment.key, Outcome.FAILED) is None


def test_a_result_ends_its_checkpoint_but_not_its_files(store: Store) -> None:
    experiment = make()
    attempt = Attempt(experiment, store, Path.cwd())
    attempt.context.checkpoint(1)
    (attempt.context.dir / "model.bin").write_text("weights")
    run(experiment, store)
    assert not attempt.context.checkpoint_exist()
    assert (attempt.context.dir / "model.bin").read_text() == "weights"


def test_the_first_result_stays(store: Store) -> None:
    experiment = make()
    run(experiment, store, lambda: 1)
    run(experiment, store, lambda: 2)
    assert store.load(experiment.key) == 1


def test_an_attempt_has_copies_of_the_values(store: Store) -> None:
    experiment = make(settings={"layers": [64]})
    attempt = Attempt(experiment, store, Path.cwd())
    attempt.config.settings.layers.append(32)
    assert experiment.case.config.settings.layers == [64]
    assert Attempt(experiment, store, Path.cwd()).config.settings.layers == [64]


def test_the_function_returns_nothing_to_its_caller(store: Store) -> None:
    attempt = Attempt(make(), store, Path.cwd())

    def function(a: int, b: int = 2) -> int:
        """Say something."""
        return a + b

    wrapped = attempt.capturing(function)
    assert wrapped(1) is None
    assert attempt.returned == 3
    assert inspect.signature(wrapped) == inspect.signature(function)
    assert wrapped.__name__ == "function"


def test_async_functions(store: Store) -> None:
    attempt = Attempt(make(), store, Path.cwd())

    async def function() -> int:
        await asyncio.sleep(0)
        return 4

    def hidden() -> object:
        return function()

    wrapped = attempt.capturing(function)
    assert inspect.iscoroutinefunction(wrapped)
    asyncio.run(wrapped())
    assert attempt.returned == 4
    # A decorator that hides it: the coroutine is run all the same.
    attempt.capturing(hidden)()
    assert attempt.returned == 4


def test_what_cannot_be_stored(store: Store) -> None:
    attempt = Attempt(make(), store, Path.cwd())
    attempt.capturing(lambda: {"pool": [threading.Lock()]})()
    attempt.describe()
    with pytest.raises(UnstorableError, match=r"'_thread.lock' object \(at \['pool'\]\[0\]\)"):
        attempt.publish_result("", replace=False)
    assert standing(make(), store).status is Status.NEW


def test_values_that_json_cannot_hold_are_kept_once(store: Store) -> None:
    @dataclasses.dataclass
    class Optimizer:
        lr: float

    for lr in (0.1, 0.2):
        run(make(lr=lr, settings={"optimizer": Optimizer(0.5)}), store)
    assert len(list((store.root / "values").iterdir())) == 1


def test_keys_do_not_depend_on_what_does_not_matter() -> None:
    first = make(settings={"a": 1, "b": 2})
    second = make(settings={"b": 2, "a": 1})
    assert first.key == second.key
    assert str(first.key) == str(second.key)
    assert make(code="b").key.seed == make(code="a").key.seed
    assert make(lr=0.1).key.seed != make(lr=0.2).key.seed


def test_a_key_is_for_ever() -> None:
    """A change here makes every stored result unreachable: it needs a reason and a note."""
    key = make(settings={"n_fold": 5}).key
    assert key.stem == (
        "8b02a61d38e53e09c8c5fd4c-805e22160059d4eccf19fb64-0183b6df561581bb0a778de1"
    )
    assert key.seed == 3720921593
