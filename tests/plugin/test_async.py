"""Coroutine functions are experiments like others, and need no plugin that runs coroutines."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_memento import load_results

Notes = Callable[[], list[str]]

STRICT = ("-W", "error", "-p", "no:asyncio", "-p", "no:anyio")
SLEEPING = """
    import asyncio
    from notes import note

    matrix = {"parameters": {"x": [1, 2, 3]}}

    async def square(x):
        await asyncio.sleep(0)
        return x * x

    async def experiment(x):
        note(f"x={x}")
        return sum(await asyncio.gather(square(x), square(10 * x)))
"""


def test_what_is_awaited_is_the_result_and_computed_once(
    pytester: pytest.Pytester, notes: Notes
) -> None:
    pytester.makepyfile(exp_a=SLEEPING)
    assert pytester.runpytest(*STRICT).parseoutcomes() == {"passed": 3}
    assert notes() == ["x=1", "x=2", "x=3"]
    assert pytester.runpytest(*STRICT).parseoutcomes() == {"cached": 3}
    assert notes() == []
    assert [result.value for result in load_results("exp_a.py")] == [101, 404, 909]


def test_in_workers(pytester: pytest.Pytester, notes: Notes, xdist: None) -> None:
    pytester.makepyfile(exp_a=SLEEPING)
    for outcome in ("passed", "cached"):
        result = pytester.runpytest_subprocess("-n2", *STRICT)
        assert result.parseoutcomes() == {outcome: 3}
    assert sorted(notes()) == ["x=1", "x=2", "x=3"]


def test_an_exception_after_an_await(pytester: pytest.Pytester) -> None:
    source = """
        import asyncio
        matrix = {"parameters": {"x": [1, 2]}}

        async def divide(x):
            await asyncio.sleep(0)
            return 1 / (x - 1)

        async def experiment(x):
            return await divide(x)
    """
    pytester.makepyfile(exp_a=source)
    first = pytester.runpytest(*STRICT)
    assert first.parseoutcomes() == {"passed": 1, "failed": 1}
    first.stdout.fnmatch_lines(["exp_a.py:6: ZeroDivisionError"])
    assert "coroutine" not in str(first.stdout)
    good, bad = load_results("exp_a.py").where(x=2)[0], load_results("exp_a.py").where(x=1)[0]
    assert (good.value, bad.error) == (1.0, "ZeroDivisionError: division by zero")
    assert pytester.runpytest(*STRICT).parseoutcomes() == {"cached": 1, "failed": 1}
    pytester.makepyfile(exp_a=source.replace("(x - 1)", "x"))
    assert pytester.runpytest(*STRICT).parseoutcomes() == {"passed": 2}


def test_skip_xfail_and_asserts_inside(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import asyncio, pytest
            matrix = {"parameters": {"what": ["skip", "xfail", "assert", "none"]}}

            async def experiment(what):
                await asyncio.sleep(0)
                if what == "skip": pytest.skip("not here")
                if what == "xfail": pytest.xfail("known")
                assert what != "assert"
        """
    )
    first = {"skipped": 1, "xfailed": 1, "failed": 1, "passed": 1}
    again = {"skipped": 1, "xfailed": 1, "failed": 1, "cached": 1}
    result = pytester.runpytest(*STRICT)
    assert result.parseoutcomes() == first
    result.stdout.fnmatch_lines(["E*assert 'assert' != 'assert'"])
    assert pytester.runpytest(*STRICT).parseoutcomes() == again


def test_methods(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            matrix = {"parameters": {"x": [1, 2]}}

            class ExperimentNet:
                factor = 3

                async def times(self, x): return self.factor * x
                async def experiment(self, x): return await self.times(x)
                @staticmethod
                async def experiment_static(x): return -x
        """
    )
    assert pytester.runpytest(*STRICT).parseoutcomes() == {"passed": 4}
    assert pytester.runpytest(*STRICT).parseoutcomes() == {"cached": 4}
    assert sorted(result.value for result in load_results("exp_a.py")) == [-2, -1, 3, 6]


def test_with_fixtures_config_and_context(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(
        exp_a="""
            import pytest
            from notes import note

            matrix = {"parameters": {"x": [1, 2]}, "settings": {"n_fold": 5}}

            @pytest.fixture(scope="module")
            def data():
                note("up")
                yield [10, 20]
                note("down")

            @pytest.fixture(autouse=True)
            def always(): note("always")

            async def train(config, context):
                context.record({"loss": 0.5 / config.x})
                context.checkpoint(config.x)
                return context.restore()

            async def experiment(data, config, n_fold, context, tmp_path):
                assert tmp_path.is_dir() and context.dir.is_dir()
                return await train(config, context) * n_fold + sum(data)
        """
    )
    assert pytester.runpytest(*STRICT).parseoutcomes() == {"passed": 2}
    assert notes() == ["up", "always", "always", "down"]
    results = load_results("exp_a.py")
    assert [result.value for result in results] == [35, 40]
    assert [result.metrics["loss"][-1][1] for result in results] == [0.5, 0.25]
    assert pytester.runpytest(*STRICT).parseoutcomes() == {"cached": 2}
    assert notes() == []


def test_a_decorator_that_hides_the_coroutine_function(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import functools
            matrix = {"parameters": {"x": [1, 2]}}

            def logged(function):
                @functools.wraps(function)
                def call(*args, **kwargs): return function(*args, **kwargs)
                return call

            @logged
            async def experiment(x): return x + 1
        """
    )
    assert pytester.runpytest(*STRICT).parseoutcomes() == {"passed": 2}
    assert [result.value for result in load_results("exp_a.py")] == [2, 3]


def test_each_has_an_event_loop_of_its_own(pytester: pytest.Pytester, notes: Notes) -> None:
    """A task that is left behind ends with its experiment, and does not run on in the next."""
    pytester.makepyfile(
        exp_a="""
            import asyncio
            from notes import note

            matrix = {"parameters": {"x": [1, 2]}}
            tasks = set()

            async def watch(x):
                try:
                    await asyncio.Event().wait()
                finally:
                    note(f"end {x}")

            async def experiment(x):
                assert len(asyncio.all_tasks()) == 1
                tasks.add(asyncio.create_task(watch(x)))
                await asyncio.sleep(0)
                note(f"run {x}")
        """
    )
    assert pytester.runpytest(*STRICT).parseoutcomes() == {"passed": 2}
    assert notes() == ["run 1", "end 1", "run 2", "end 2"]


def test_the_runtime_is_that_of_the_whole_coroutine(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import asyncio
            matrix = {"parameters": {"x": [1]}}
            async def experiment(x): await asyncio.sleep(0.1)
        """
    )
    pytester.runpytest(*STRICT)
    (result,) = load_results("exp_a.py")
    assert result.runtime is not None
    assert result.runtime.total_seconds() > 0.09


def test_a_plugin_that_runs_coroutines_goes_first(pytester: pytest.Pytester, notes: Notes) -> None:
    """As pytest-asyncio and anyio do: what their loop returns is the result all the same."""
    pytester.makeconftest(
        """
        import asyncio, inspect, pytest
        from notes import note

        @pytest.hookimpl(tryfirst=True)
        def pytest_pyfunc_call(pyfuncitem):
            assert inspect.iscoroutinefunction(pyfuncitem.obj)
            names = pyfuncitem._fixtureinfo.argnames
            given = {name: pyfuncitem.funcargs[name] for name in names}
            note("theirs")
            assert asyncio.run(pyfuncitem.obj(**given)) is None
            return True
        """
    )
    pytester.makepyfile(exp_a=SLEEPING)
    assert pytester.runpytest(*STRICT).parseoutcomes() == {"passed": 3}
    assert notes() == ["theirs", "x=1", "theirs", "x=2", "theirs", "x=3"]
    assert pytester.runpytest(*STRICT).parseoutcomes() == {"cached": 3}
    assert [result.value for result in load_results("exp_a.py")] == [101, 404, 909]


def test_other_coroutine_functions_are_left_to_pytest(pytester: pytest.Pytester) -> None:
    """Pytest skips or fails them: they are not awaited, here and without the plugin."""
    pytester.makepyfile(test_a="async def test_a(): raise SystemExit('it was run')")
    having = pytester.runpytest(*STRICT[2:])
    without = pytester.runpytest(*STRICT[2:], "-p", "no:memento")
    assert "it was run" not in str(having.stdout)
    assert having.parseoutcomes() == without.parseoutcomes()
    assert "passed" not in having.parseoutcomes()
