"""``Memento(...).run`` in this process, which is one of pytest: also inside a running session."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_memento import (
    CacheMiss,
    Config,
    Context,
    ExperimentsFailed,
    FingerprintError,
    MatrixError,
    Memento,
    MementoError,
    MementoWarning,
    Results,
    StoreError,
)

XS = {"parameters": {"x": [1, 2, 3]}}
calls: list[object] = []


@pytest.fixture(autouse=True)
def _in_a_fresh_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEMENTO_CACHE_PATH", str(tmp_path / "store"))
    calls.clear()
    yield
    calls.clear()


def run(experiment: Callable[..., Any], matrix: Any = XS, **more: Any) -> Results:
    results = Memento(experiment, num_workers=1).run(matrix, **more)
    assert results is not None
    return results


def values(experiment: Callable[..., Any], matrix: Any = XS, **more: Any) -> list[Any]:
    return [result.value for result in run(experiment, matrix, **more)]


def squared(context: Context, config: Config) -> int:
    calls.append(config.x)
    return int(config.x**2)


async def slept(config: Config) -> int:
    await asyncio.sleep(0)
    return int(config.x)


@functools.lru_cache
def remembered(x: int) -> int:
    return x + 1


def doubled(function: Callable[..., int]) -> Callable[..., int]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> int:
        return 2 * function(*args, **kwargs)

    return wrapper


@doubled
def decorated(x: int) -> int:
    return x


class Trainer:
    def __init__(self, factor: int = 1) -> None:
        self.factor = factor

    def by_object(self, context: Context, config: Config) -> int:
        return int(self.factor * config.x)

    @classmethod
    def by_class(cls, config: Config) -> str:
        return f"{cls.__name__} {config.x}"

    @staticmethod
    def by_nobody(config: Config) -> int:
        return int(-config.x)

    def __call__(self, x: int) -> int:
        return self.factor + x


class Model:
    def __init__(self, context: Context, config: Config) -> None:
        self.x = config.x


def added(config: Config, more: int) -> int:
    return int(config.x + more)


def times(trainer: Trainer, config: Config) -> int:
    return int(trainer.factor * config.x)


def by_object(trainer: Trainer, config: Config) -> int:
    return int(trainer.factor * config.x + 1)


CALLABLES: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "function": (squared, [1, 4, 9]),
    "lambda": (lambda context, config: -config.x, [-1, -2, -3]),
    "config only": (lambda config: config.x, [1, 2, 3]),
    "context only": (lambda context: context.config.x, [1, 2, 3]),
    "nothing": (lambda: "same", ["same"] * 3),
    "by parameter": (lambda x: x * 10, [10, 20, 30]),
    "with a default": (lambda x=7: x, [1, 2, 3]),
    "other names": (lambda ctx, conf: (conf.x, ctx.config.x), [(1, 1), (2, 2), (3, 3)]),
    "by place only": (eval("lambda context, config, /: config.x"), [1, 2, 3]),
    "all by place": (lambda *both: both[1].x, [1, 2, 3]),
    "coroutine function": (slept, [1, 2, 3]),
    "bound method": (Trainer(3).by_object, [3, 6, 9]),
    "function put on an object": (types.MethodType(times, Trainer(4)), [4, 8, 12]),
    "class method": (Trainer.by_class, ["Trainer 1", "Trainer 2", "Trainer 3"]),
    "static method": (Trainer.by_nobody, [-1, -2, -3]),
    "callable object": (Trainer(5), [6, 7, 8]),
    "partial": (functools.partial(added, more=100), [101, 102, 103]),
    "partial of a method": (functools.partial(Trainer(2).by_object), [2, 4, 6]),
    "decorated": (decorated, [2, 4, 6]),
    "made by functools": (remembered, [2, 3, 4]),
}


@pytest.mark.parametrize("kind", CALLABLES)
def test_any_callable(kind: str) -> None:
    function, expected = CALLABLES[kind]
    assert values(function) == expected
    again = run(function)
    assert [result.value for result in again] == expected
    assert all(result.was_cached for result in again)


def test_functions_that_were_put_on_an_object_are_not_its_methods() -> None:
    trainer = Trainer(4)
    assert values(trainer.by_object) == [4, 8, 12]
    assert values(types.MethodType(by_object, trainer)) == [5, 9, 13]
    assert values(types.MethodType(times, trainer)) == [4, 8, 12]


def test_a_class_gives_its_objects() -> None:
    assert [result.value.x for result in run(Model)] == [1, 2, 3]


def test_results_are_in_matrix_order_and_failures_among_them() -> None:
    def experiment(x: int) -> int:
        if x == 2:
            raise ValueError(f"not {x}")
        return x

    results = run(experiment)
    assert [result.error for result in results] == [None, "ValueError: not 2", None]
    assert "raise ValueError" in results[1].traceback
    assert [result.was_cached for result in results] == [False] * 3
    again = run(experiment)
    assert [result.was_cached for result in again] == [True, False, True]


def test_errors_are_shown_without_what_does_not_print(capsys: pytest.CaptureFixture[str]) -> None:
    def experiment(x: int) -> None:
        raise ValueError("\x1b[31m\ud800" + "a" * 1000)

    results = run(experiment, {"parameters": {"x": [1]}})
    assert (results[0].error or "").startswith("ValueError: \x1b[31m\ud800aaa")
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith(r"memento: failed: x=1: ValueError: \x1b[31m\ud800aaa")
    assert len(first) < 250
    assert f"{results}{results[0]!r}".count(r"ValueError: \x1b[31m\ud800") == 2


def test_raise_on_failure() -> None:
    def experiment(x: int) -> float:
        return 1 / (x - 2)

    with pytest.raises(ExperimentsFailed) as caught:
        run(experiment, raise_on_failure=True)
    assert "1 of 3 experiments failed" in str(caught.value)
    assert "x=2: ZeroDivisionError" in str(caught.value)
    assert [result.error is None for result in caught.value.results] == [True, False, True]


def test_modes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CacheMiss, match=r"x=1 \(new: no result yet\) and 2 more"):
        run(squared, force_cache=True)
    assert calls == []
    assert capsys.readouterr() == ("", "")
    run(squared)
    assert all(result.was_cached for result in run(squared, force_cache=True))
    assert not any(result.was_cached for result in run(squared, force_run=True))
    assert sorted(map(str, calls)) == ["1", "1", "2", "2", "3", "3"]
    with pytest.raises(MementoError, match="choose one"):
        run(squared, force_run=True, force_cache=True)


def test_cache_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    run(squared, cache_path="~/mine")
    assert (tmp_path / "home" / "mine" / "results").is_dir()
    run(squared, cache_path=Path("$HOME") / "other")
    assert (tmp_path / "home" / "other" / "results").is_dir()
    run(squared, cache_path=tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "results").is_dir()
    assert not (tmp_path / "store").exists()
    (tmp_path / "memento.sqlite").write_text("of the other library")
    with pytest.raises(StoreError, match="it is no directory"):
        run(squared, cache_path=tmp_path / "memento.sqlite")


def test_a_dry_run_prints_and_runs_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    matrix = {"parameters": {"x": [1, 2], "model": [Trainer, dict]}}
    root = logging.getLogger()
    before = list(root.handlers), root.level
    assert Memento(squared).run(matrix, dry_run=True) is None
    assert capsys.readouterr().out.splitlines() == [
        "Running configurations:",
        f"  {{'x': 1, 'model': {__name__}.Trainer}}  new: no result yet",
        "  {'x': 1, 'model': dict}  new: no result yet",
        f"  {{'x': 2, 'model': {__name__}.Trainer}}  new: no result yet",
        "  {'x': 2, 'model': dict}  new: no result yet",
        "Exiting due to dry run",
    ]
    assert calls == []
    assert (list(root.handlers), root.level) == before
    assert not (tmp_path / "store").exists()
    run(squared, matrix)
    Memento(squared).run(matrix, dry_run=True)
    assert capsys.readouterr().out.count("}  cached\n") == 4


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        ({"parametres": {"x": [1]}}, "did you mean 'parameters'"),
        ({"parameters": {"x": 1}}, "x"),
        (7, "7"),
        (None, "the matrix is None, not a dict or a list of dicts$"),
        (pytest.fixture(lambda: XS), "not a dict or a list of dicts: give what it returns"),
    ],
)
def test_a_wrong_matrix_is_an_error_in_one_line(
    matrix: Any, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(MatrixError, match=message) as caught:
        run(squared, matrix)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_what_cannot_be_run(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MementoError, match="takes a function"):
        Memento(3)  # type: ignore[arg-type]
    with pytest.raises(MementoError, match="generator function"):
        Memento(lambda: (yield))
    with pytest.raises(MementoError, match=r"'y' is no parameter.*parameters and settings: x"):
        run(lambda y: y)
    with pytest.raises(MementoError, match=r"did you mean 'learning_rate'"):
        run(lambda learning_rte, x: x, {"parameters": {"learning_rate": [1], "x": [2]}})
    with pytest.raises(MementoError, match=r"num_workers takes a number"):
        Memento(squared, num_workers="two")  # type: ignore[arg-type]
    assert capfd.readouterr() == ("", "")


def test_remarks_are_warnings() -> None:
    with pytest.warns(MementoWarning, match=r"exclude\[0\] matches no"):
        run(squared, {**XS, "exclude": [{"x": 4}]})


# -- what makes a key ------------------------------------------------------------------------------


def test_two_lambdas_share_nothing() -> None:
    first, second = (lambda x: x + 1), (lambda x: x + 2)
    assert values(first) == [2, 3, 4]
    assert values(second) == [3, 4, 5]
    assert all(result.was_cached for result in run(first))


def test_functions_of_one_name_share_nothing() -> None:
    def made(factor: int) -> Callable[..., int]:
        def experiment(x: int) -> int:
            return factor * x

        return experiment

    assert values(made(1)) == [1, 2, 3]
    assert values(made(2)) == [2, 4, 6]
    assert all(result.was_cached for result in run(made(1)))


class Times:
    def __init__(self, function: Callable[..., int], factor: int) -> None:
        functools.update_wrapper(self, function)
        self.function, self.factor = function, factor

    def __call__(self, x: int) -> int:
        return self.factor * self.function(x)


def same(x: int) -> int:
    return x


@lambda function: Times(function, 5)
def five_times(x: int) -> int:
    return x


def test_what_is_made_around_a_function_shares_nothing_with_it() -> None:
    around: list[Callable[..., Any]] = [
        Times(same, 2),
        Times(same, 3),
        Times(doubled(same), 4),
        doubled(same),
    ]
    around += [functools.lru_cache(doubled(doubled(same))), five_times]
    assert values(same) == [1, 2, 3]
    assert [values(each)[0] for each in around] == [2, 3, 8, 2, 4, 5]
    assert all(result.was_cached for each in [same, *around] for result in run(each))
    assert all(result.was_cached for result in run(functools.lru_cache(same)))


def called(config: Config) -> int:
    return int(config.function(config.x))


def test_functions_of_one_name_in_a_matrix_share_nothing() -> None:
    functions: list[Callable[..., Any]] = [
        same,
        doubled(same),
        doubled(doubled(same)),
        Times(same, 3),
    ]
    functions += [functools.cache(same), functools.cache(doubled(same))]
    matrix = {"parameters": {"x": [1], "function": functions}}
    assert values(called, matrix) == [1, 2, 4, 3, 1, 2]
    assert all(result.was_cached for result in run(called, matrix))
    for function, result in zip(functions, run(called, matrix), strict=True):
        (alone,) = run(called, {"parameters": {"x": [1], "function": [function]}})
        assert (alone.value, alone.was_cached) == (result.value, True)


def test_builtin_functions_and_methods_go_by_what_they_are() -> None:
    letters = {"parameters": {"iterable": ["abc"]}}
    assert values("-".join, letters) == ["a-b-c"]
    assert values("+".join, letters) == ["a+b+c"]
    with pytest.raises(MementoError, match=r"<builtins>::str\.upper.*'self' is no parameter"):
        run(str.upper)


def test_what_is_bound_counts() -> None:
    assert values(Trainer(1).by_object) == [1, 2, 3]
    assert values(Trainer(2).by_object) == [2, 4, 6]
    assert values(functools.partial(added, more=1)) == [2, 3, 4]
    assert values(functools.partial(added, more=2)) == [3, 4, 5]


class Counter:
    def __init__(self) -> None:
        self.seen: list[int] = []

    def count(self, x: int, more: Any = ()) -> int:
        self.seen.append(x)
        return len(self.seen)

    __call__ = count


@pytest.mark.parametrize(
    "made",
    [
        lambda counter: counter.count,
        lambda counter: counter,
        lambda counter: functools.partial(counter.count, more=[counter]),
    ],
    ids=["method", "object", "partial"],
)
def test_what_one_experiment_does_to_an_object_does_not_reach_the_next(made: Any) -> None:
    counter = Counter()
    assert values(made(counter)) == [1, 1, 1]
    assert counter.seen == []
    assert all(result.was_cached for result in run(made(counter)))


def test_defaults_and_functions_in_closures_count() -> None:
    def made(inner: Callable[[int], int], last: int) -> Callable[..., int]:
        return lambda x, more=last: inner(x) + more

    assert values(made(lambda x: x, 0)) == [1, 2, 3]
    assert values(made(lambda x: -x, 0)) == [-1, -2, -3]
    assert values(made(lambda x: -x, 1)) == [0, -1, -2]


LIMIT = 1


def limited(x: int) -> int:
    return min(x, LIMIT)


def test_a_global_that_was_set_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert values(limited) == [1, 1, 1]
    monkeypatch.setattr(sys.modules[__name__], "LIMIT", 2)
    assert values(limited) == [1, 2, 2]
    monkeypatch.undo()
    assert values(decorated) == [2, 4, 6]


def helper(x: int) -> int:
    return x


def helped(x: int) -> int:
    return helper(x)


def test_a_function_that_was_replaced_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert values(helped) == [1, 2, 3]
    monkeypatch.setattr(sys.modules[__name__], "helper", lambda x: -x)
    assert values(helped) == [-1, -2, -3]


def test_a_closure_without_a_fingerprint_is_an_error() -> None:
    lock = threading.Lock()
    with pytest.raises(FingerprintError, match=r"lock: cannot fingerprint"):
        run(lambda x: (lock, x))


# -- inside of other things ------------------------------------------------------------------------


def test_in_a_running_event_loop() -> None:
    async def main() -> list[Any]:
        return values(slept)

    assert asyncio.run(main()) == [1, 2, 3]


def test_twice_and_from_two_threads() -> None:
    found: list[Any] = []

    def work(factor: int) -> None:
        found.append(values(functools.partial(added, more=factor)))

    for factor in (1, 2):
        thread = threading.Thread(target=work, args=[factor])
        thread.start()
        thread.join()
    threads = [threading.Thread(target=work, args=[factor]) for factor in (3, 4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[:2] == [[2, 3, 4], [3, 4, 5]]
    assert sorted(found[2:]) == [[4, 5, 6], [5, 6, 7]]


def test_an_experiment_may_run_others() -> None:
    def outer(x: int) -> int:
        return sum(values(lambda y: y * x, {"parameters": {"y": [1, 2]}}))

    assert values(outer) == [3, 6, 9]


def test_the_process_is_as_it_was(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only -x")
    monkeypatch.setenv("PYTEST_PLUGINS", "no_such_plugin")

    def state() -> list[object]:
        return [
            sys.stdin, sys.stdout, sys.stderr, list(sys.path), list(sys.meta_path), os.getcwd(),
            {n: v for n, v in os.environ.items() if n != "PYTEST_CURRENT_TEST"},
            "PYTEST_CURRENT_TEST" in os.environ, signal.getsignal(signal.SIGINT),
            signal.getsignal(signal.SIGTERM), list(logging.getLogger().handlers),
            sys.unraisablehook, threading.excepthook, sys.excepthook,
        ]  # fmt: skip

    def experiment(x: int) -> int:
        print("captured")
        os.chdir("/")
        assert "PYTEST_ADDOPTS" in os.environ
        return x

    before = state()
    results = run(experiment)
    assert state() == before
    assert "captured" in results[0].output
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("memento: 3 experiments: 3 passed in ")


def test_nothing_of_the_project_but_what_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEMENTO_CACHE_PATH")
    (tmp_path / "conftest.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\naddopts = -x --no-such-option\nusefixtures = nothing\n"
        "required_plugins = nobody\nfilterwarnings = error\nmemento_dir = kept\n"
        "unknown_option = 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "exp_here.py").write_text("def experiment(x):\n    return x\n")
    import exp_here  # type: ignore[import-not-found]

    assert values(exp_here.experiment) == [1, 2, 3]
    assert (tmp_path / "kept" / "results").is_dir()
    assert not (tmp_path / ".pytest_cache").exists()
    sys.modules.pop("exp_here")


def test_verbose_shows_what_pytest_shows(capsys: pytest.CaptureFixture[str]) -> None:
    run(squared, verbose=True)
    assert "memento summary" in capsys.readouterr().out


def test_source_that_was_changed_and_not_reloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib

    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "exp_edited.py"
    file.write_text("def experiment(x):\n    return x\n")
    import exp_edited  # type: ignore[import-not-found]

    assert values(exp_edited.experiment) == [1, 2, 3]
    file.write_text("def experiment(x):\n    return x + 1000\n")
    assert all(result.was_cached for result in run(exp_edited.experiment))  # it is what would run
    importlib.reload(exp_edited)
    assert values(exp_edited.experiment) == [1001, 1002, 1003]
    sys.modules.pop("exp_edited")


class Told:
    def __init__(self) -> None:
        self.words: list[str] = []

    def task_completed(self) -> None:
        self.words.append("completed")

    def task_failure(self) -> None:
        self.words.append("failed")

    def all_tasks_completed(self) -> None:
        self.words.append("all")
        raise OSError("nobody listens")


def test_providers_and_targets_are_told(tmp_path: Path) -> None:
    def experiment(x: int) -> float:
        return 1 / (x - 1)

    told = Told()
    with pytest.warns(MementoWarning, match="nobody listens"):
        run(experiment, notify=[told, f"file:{tmp_path / 'told.txt'}"])
    assert sorted(told.words) == ["all", "completed", "completed", "failed"]
    assert "ZeroDivisionError" in (tmp_path / "told.txt").read_text()
    run(experiment, notify=told, notify_on_complete=False)
    assert len(told.words) == 4
    with pytest.raises(MementoError, match="notify takes targets"):
        run(experiment, notify=3)


def test_the_console_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    def experiment(x: int) -> float:
        return 1 / (x - 1)

    run(experiment, notify="console")
    first, *told = [line.partition(" in ")[0] for line in capsys.readouterr().err.splitlines()]
    assert first.startswith("memento: first failure: ")
    assert first.endswith("experiment[x=1]: ZeroDivisionError: division by zero")
    assert told == [
        "memento: done: 2 passed, 1 failed",
        "memento: failed: x=1: ZeroDivisionError: division by zero",
        "memento: 3 experiments: 2 passed, 1 failed",
    ]


def test_a_table_for_notebooks() -> None:
    def experiment(word: str) -> str:
        return word.upper()

    results = run(experiment, {"parameters": {"word": ["<script>", "b"]}})
    table = results._repr_html_()
    assert "&lt;script&gt;" in table
    assert "<script>" not in table
    assert table.count("<tr>") == 3
