"""When what runs and what is queued will have ended, by stored runtimes and by progress."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_memento.fingerprint import Digest
from pytest_memento.pickling import dump
from pytest_memento.presence import Presence, name_of
from pytest_memento.record import Key, Outcome, Record, Value
from pytest_memento.status import Survey
from pytest_memento.store import Store

NAME = "exp_a.py::experiment"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def here(store: Store) -> Iterator[list[Presence]]:
    """Whatever this process has said that it runs."""
    shown: list[Presence] = []
    yield shown
    for each in shown:
        each.close()


def key_of(x: int, *, code: str = "c", name: str = NAME) -> Key:
    return Key(name, *(Digest(text * 32) for text in (f"{x:x}", "b", code)))


def put(store: Store, key: Key, runtime: float, **more: Any) -> None:
    given: dict[str, Any] = {"outcome": Outcome.PASSED, "started": time.time() - 100}
    x = key.parameters[0]
    record = Record(
        key=key, id=f"x={x}", parameters={"x": Value(x)}, settings={}, runtime=runtime,
        cpu_time=0.0, memory=None, **given | more,
    )  # fmt: skip
    store.publish(record, {}, dump(1) if record.outcome is Outcome.PASSED else None)


def run(store: Store, here: list[Presence], key: Key, seconds: float, **pulse: Any) -> None:
    """Show that this process has run something for so many seconds."""
    presence = Presence(store.root)
    here.append(presence)
    presence.enter(name_of(store.claim(key)), f"x={key.parameters[0]}", 1)
    path = presence.pulse.with_name(presence.pulse.name.removesuffix(".pulse"))
    said = json.loads(path.read_text())
    said["running"]["since"] -= seconds
    path.write_text(json.dumps(said))
    beat = {"beat": time.time(), "since": time.time()}
    presence.pulse.write_text(json.dumps({**beat, **pulse}))


def plan(store: Store, *keys: Key) -> None:
    for name in {key.experiment for key in keys}:
        store.put_plan(name, [key.stem for key in keys if key.experiment == name])


def about(seconds: float) -> object:
    return pytest.approx(seconds, abs=5)


def test_by_what_others_took(store: Store, here: list[Presence]) -> None:
    """Two run for 40 s of 100 s each, three wait: 420 s of work for two processes."""
    plan(store, *map(key_of, range(7)))
    for x in (0, 1):
        put(store, key_of(x), 100.0)
    for x in (2, 3):
        run(store, here, key_of(x), 40.0)
    view = Survey(store).look()
    (progress,) = view.progress
    assert (progress.done, progress.running, progress.left, progress.is_queued) == (2, 2, 3, True)
    assert [each.left for each in view.running] == [about(60), about(60)]
    assert progress.remaining == about(210)
    assert view.remaining == about(210)


def test_by_what_it_took_with_other_code(store: Store, here: list[Presence]) -> None:
    plan(store, *map(key_of, range(3)))
    for x, runtime in enumerate((10.0, 1000.0, 30.0)):
        put(store, key_of(x, code="d"), runtime)
    run(store, here, key_of(0), 4.0)
    view = Survey(store).look()
    assert [each.left for each in view.running] == [about(6)]
    assert view.remaining == about(1036)


def test_by_its_own_progress(store: Store, here: list[Presence]) -> None:
    """A quarter in 50 s: 150 s are left, and the two that wait are taken to be like it."""
    plan(store, *map(key_of, range(3)))
    run(store, here, key_of(0), 50.0, progress=[1, 4])
    view = Survey(store).look()
    assert [each.left for each in view.running] == [about(150)]
    assert view.remaining == about(550)


def test_by_its_own_progress_where_it_takes_longer(store: Store, here: list[Presence]) -> None:
    plan(store, *map(key_of, range(2)))
    put(store, key_of(0), 10.0)
    run(store, here, key_of(1), 100.0, progress=[1, 2])
    assert Survey(store).look().remaining == about(100)


@pytest.mark.parametrize("progress", [None, [0, 4], [5, 4], [float("nan"), 4], [1, float("inf")]])
def test_what_is_not_known_is_not_shown(
    store: Store, here: list[Presence], progress: list[float] | None
) -> None:
    plan(store, *map(key_of, range(2)))
    run(store, here, key_of(0), 50.0, progress=progress)
    view = Survey(store).look()
    assert view.remaining is None
    assert "eta" not in "\n".join(view.lines(100))


def test_all_functions_that_somebody_is_at(store: Store, here: list[Presence]) -> None:
    names = ["exp_a.py::a", "exp_a.py::b", "exp_a.py::c"]
    keys = [key_of(x, name=name) for name in names for x in range(3)]
    plan(store, *keys)
    for name in names:
        put(store, key_of(0, name=name), 100.0)
    for name in names[:2]:
        run(store, here, key_of(1, name=name), 0.0)
    lines = list(Survey(store).look().lines(100))
    assert lines[0].startswith("exp_a.py::a: 1 of 3 done, 1 running, 1 queued, eta ")
    assert lines[2] == "exp_a.py::c: 1 of 3 done, 2 left"
    assert lines[3].startswith("all: 2 running, 2 queued, eta ")


def test_what_waits_in_a_queue(store: Store) -> None:
    plan(store, key_of(0))
    (progress,) = Survey(store).look({(NAME, key_of(0).stem)}).progress
    assert (progress.is_queued, progress.remaining) == (True, None)


def test_a_silent_process_counts_for_nothing(store: Store, here: list[Presence]) -> None:
    plan(store, *map(key_of, range(3)))
    put(store, key_of(0), 100.0)
    run(store, here, key_of(1), 300.0, beat=time.time() - 200)
    view = Survey(store).look()
    assert view.running[0].state.startswith("silent for 3m")
    assert view.remaining is None
    assert str(view.progress[0]) == f"{NAME}: 1 of 3 done, 1 running, 1 left"


def test_the_last_failures(store: Store) -> None:
    plan(store, *map(key_of, range(6)))
    for x in range(6):
        error = f"ValueError: \x1b[2J{x}\nmore"
        put(store, key_of(x), 1.0, outcome=Outcome.FAILED, error=error)
    view = Survey(store).look()
    assert len(view.failures) == 3
    assert view.failures[0].startswith("failed 1 minute ago: exp_a.py::experiment[x=5]: ")
    assert all(line.isprintable() for line in view.lines(100))


def test_a_damaged_file_is_left_alone(store: Store) -> None:
    plan(store, key_of(0), key_of(1))
    put(store, key_of(0), 1.0)
    path = store.path(key_of(0), Outcome.PASSED)
    path.write_bytes(b"nothing of ours")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Survey(store).look()
    assert path.exists()


def test_without_a_store(store: Store) -> None:
    assert list(Survey(store).look().lines(80)) == ["nothing runs"]


@pytest.mark.parametrize("height", [1, 4, 10, 30])
def test_lines_fit(store: Store, here: list[Presence], height: int) -> None:
    names = [f"exp_{n}.py::experiment_数据" for n in range(12)]
    plan(store, *(key_of(x, name=name) for name in names for x in range(3)))
    for name in names:
        put(store, key_of(0, name=name), 1.0, outcome=Outcome.FAILED, error="E" * 200)
        run(store, here, key_of(1, name=name), 1.0, series={"lo\x1bss": [[0, 0.5]]})
    lines = list(Survey(store).look().lines(60, height))
    assert len(lines) <= height
    assert all(line.isprintable() for line in lines)
    assert all(len(line) <= 60 for line in lines)
