"""What an experiment draws depends on its name and configuration, and on nothing else."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pytest_memento import load_results

Notes = Callable[[], list[str]]

# pytester forgets what a session has imported, and numpy cannot be imported twice.
assert np.random is sys.modules["numpy.random"]

# Fixtures of all scopes that draw, and one that is asked for while the experiment runs.
DRAWING = """
    import random
    import numpy as np
    import pytest

    matrix = {"parameters": {"x": [1, 2, 3]}}

    def draw():
        return [random.random(), random.gauss(0, 1), float(np.random.rand())]

    @pytest.fixture(scope="session")
    def data(): return draw()

    @pytest.fixture(scope="module", params=["a", "b"])
    def split(request, data): return draw()

    @pytest.fixture(scope="module")
    def late(): return draw()

    @pytest.fixture
    def start(): return draw()

    @pytest.fixture
    def end(start):
        yield draw()
        draw()

    def experiment(x, end, start, split, data, request):
        first = draw()
        return first, request.getfixturevalue("late"), draw(), start, end, split, data

    def experiment_b(x, late): return draw(), late

    @pytest.fixture(scope="class")
    def wide(): return draw()

    class ExperimentC:
        def setup_method(self): self.start = draw()

        def experiment(self, x, wide): return draw(), wide, self.start
"""
REVERSED = "def pytest_collection_modifyitems(items): items.reverse()"


def drawn() -> dict[str, Any]:
    return {f"{result.experiment}[{result.id}]": result.value for result in load_results()}


def test_results_do_not_depend_on_what_else_runs(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a=DRAWING)
    pytester.makepyfile(reverse=REVERSED)
    pytester.syspathinsert()
    assert pytester.runpytest().parseoutcomes() == {"passed": 12}
    first = drawn()
    values = [part for value in first.values() for part in (value[0], value[-1])]
    assert len({*map(tuple, values)}) > 12
    pytester.makepyfile(exp_0=DRAWING, test_0=DRAWING.replace("matrix =", "other =") + """
    def test_0(start, late): draw()
    """)  # fmt: skip
    for more in (("exp_a.py",), (), ("-p", "reverse"), ("-k", "x=2"), ("-k", "b and x=3")):
        pytester.runpytest("--memento-cache=refresh", *more)
        assert first.items() <= drawn().items()


def test_results_do_not_depend_on_workers(pytester: pytest.Pytester, xdist: None) -> None:
    pytester.makepyfile(exp_a=DRAWING)
    seen = []
    for more in ((), ("-n2",), ("-n1", "--dist=loadfile")):
        result = pytester.runpytest_subprocess("--memento-cache=refresh", *more)
        assert result.parseoutcomes() == {"passed": 12}
        seen.append(drawn())
    assert seen[0] == seen[1] == seen[2]


def test_each_configuration_draws_its_own_numbers(pytester: pytest.Pytester) -> None:
    source = """
        import random
        matrix = {{"parameters": {{"x": [1, 2]}}, "repeats": 3}}
        def experiment(x, context):
            {}
            return random.random(), context.seed
    """
    pytester.makepyfile(exp_a=source.format("pass"))
    pytester.runpytest()
    before = drawn()
    assert len({*before.values()}) == 6
    assert all(random.Random(seed).random() == value for value, seed in before.values())
    pytester.makepyfile(exp_a=source.format("print('another code')"))
    assert pytester.runpytest().parseoutcomes() == {"passed": 6}
    assert drawn() == before


def test_a_seed_of_the_users_rules(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import random
            matrix = {"parameters": {"x": [1]}}
            def experiment(x):
                random.seed(0)
                return random.random()
        """
    )
    pytester.runpytest()
    assert [*drawn().values()] == [random.Random(0).random()]


def test_a_seed_of_the_users_fixture_rules(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import random, pytest
            import numpy as np
            matrix = {"parameters": {"seed": [5, 6]}}

            @pytest.fixture(autouse=True)
            def seeded(seed):
                random.seed(seed)
                np.random.seed(seed)

            def experiment(seed):
                return random.random(), float(np.random.rand())
        """
    )
    pytester.runpytest()
    expected = [(random.Random(n).random(), np.random.RandomState(n).rand()) for n in (5, 6)]
    assert [*drawn().values()] == expected


def test_what_is_verified_draws_the_same(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import random
            matrix = {"parameters": {"x": [1, 2, 3]}}
            def experiment(x): return random.random()
        """
    )
    pytester.runpytest()
    assert pytester.runpytest("--memento-verify=2").parseoutcomes() == {"verified": 2, "cached": 1}


def test_async_experiments(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import asyncio, random
            matrix = {"parameters": {"x": [1, 2]}}
            async def experiment(context):
                await asyncio.sleep(0)
                return random.random(), context.seed
        """
    )
    assert pytester.runpytest().parseoutcomes() == {"passed": 2}
    assert all(random.Random(seed).random() == value for value, seed in drawn().values())


def test_a_retry_draws_the_same(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makeconftest(
        """
        import pytest
        from _pytest.runner import runtestprotocol

        @pytest.hookimpl
        def pytest_runtest_protocol(item, nextitem):
            "As pytest-rerunfailures does."
            runtestprotocol(item, nextitem=nextitem, log=False)
            runtestprotocol(item, nextitem=nextitem)
            return True
        """
    )
    pytester.makepyfile(
        exp_a="""
            import pytest, random
            from notes import note
            matrix = {"parameters": {"x": [1]}}

            @pytest.fixture
            def start(): return random.random()

            def experiment(x, start): note([start, random.random()])
        """
    )
    pytester.runpytest("--memento-cache=refresh")
    first, second = notes()
    assert first == second


def test_a_library_that_a_fixture_imports(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import sys, pytest
            matrix = {"parameters": {"x": [1]}}
            assert "numpy" not in sys.modules

            @pytest.fixture
            def numpy():
                import numpy
                return numpy

            def experiment(x, numpy): return float(numpy.random.rand())
        """
    )
    seen = []
    for _ in range(2):
        result = pytester.runpytest_subprocess(
            "--memento-cache=refresh", "-p", "no:hypothesispytest"
        )
        assert result.parseoutcomes() == {"passed": 1}
        seen.append(drawn())
    assert seen[0] == seen[1]


# -- everything else is left alone -----------------------------------------------------------------

ORDINARY = """
    import random
    import numpy as np
    import pytest
    from notes import note

    @pytest.fixture(scope="module")
    def wide(): return random.random()

    @pytest.mark.parametrize("n", [1, 2])
    def test_draws(wide, n): note([wide, random.random(), random.gauss(0, 1), np.random.rand()])
"""
SEEDED = """
    import random
    import numpy as np

    def pytest_sessionstart():
        random.seed(0)
        np.random.seed(0)
"""
ENDS = """
    import random, numpy, pytest
    matrix = {"parameters": {"what": ["passes", "fails", "skips", "seeds"]}}

    @pytest.fixture(scope="module")
    def wide(): return numpy.random.rand()

    @pytest.fixture
    def breaks(what):
        random.random()
        assert what != "fails"

    def experiment(what, wide):
        numpy.random.rand(), random.gauss(0, 1)
        if what == "fails": raise ValueError
        if what == "skips": pytest.skip("not now")
        if what == "seeds": random.seed(9), numpy.random.seed(9)

    def experiment_b(what, breaks): pass
"""


@pytest.mark.parametrize("seed", ["true", "false"])
def test_ordinary_tests_draw_as_without_the_plugin(
    pytester: pytest.Pytester, notes: Notes, seed: str
) -> None:
    pytester.makeconftest(SEEDED)
    pytester.makepyfile(test_a=ORDINARY, exp_b=ENDS, test_c=ORDINARY)
    pytester.makeini(f"[pytest]\nmemento_seed = {seed}")
    files = ("test_a.py", "exp_b.py", "test_c.py")
    having = pytester.runpytest(*files)
    assert having.parseoutcomes() == {"passed": 9, "failed": 1, "errors": 1, "skipped": 1}
    mine = notes()
    assert len(mine) == 4
    pytester.makeini("[pytest]")
    assert pytester.runpytest(*files, "-p", "no:memento").parseoutcomes() == {"passed": 4}
    assert (mine == notes()) == (seed == "true")


def test_memento_seed_is_off(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmemento_seed = false")
    pytester.makeconftest(SEEDED)
    pytester.makepyfile(
        exp_a="""
            import random
            matrix = {"parameters": {"x": [1, 2, 3]}}
            def experiment(x): return random.random()
        """
    )
    pytester.runpytest()
    untouched = random.Random(0)
    assert [*drawn().values()] == [untouched.random() for _ in range(3)]
    assert load_results()[0].seed is not None


def test_no_hook_where_nothing_runs(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        def pytest_sessionfinish(session):
            print("SEEDS", session.config.pluginmanager.hasplugin("memento-seeds"))
        """
    )
    pytester.makepyfile(
        exp_a="""
            matrix = {"parameters": {"x": [1]}}
            def experiment(x): pass
        """,
        test_a="def test_a(): pass",
    )
    pytester.runpytest("test_a.py", "-s").stdout.fnmatch_lines(["*SEEDS False"])
    pytester.runpytest("-s").stdout.fnmatch_lines(["*SEEDS True"])
    pytester.runpytest("-s").stdout.fnmatch_lines(["*SEEDS False"])


def test_tracebacks_show_nothing_of_it(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="session")
        def broken(): 1 / 0

        @pytest.fixture
        def breaks(): 1 / 0
        """
    )
    pytester.makepyfile(
        exp_a="""
            matrix = {"parameters": {"x": [1]}}
            def experiment(x, broken): pass
            def experiment_b(x, breaks): pass
            def experiment_c(x): 1 / 0
        """
    )
    result = pytester.runpytest()
    assert result.parseoutcomes() == {"failed": 1, "errors": 2}
    result.stdout.no_fnmatch_line("*seeding.py*")


# -- others that seed ------------------------------------------------------------------------------


def test_torch_in_an_experiment(pytester: pytest.Pytester) -> None:
    pytest.importorskip("torch")
    pytester.makepyfile(
        exp_a="""
            import pytest, torch
            matrix = {"parameters": {"x": [1, 2]}}

            @pytest.fixture(scope="module")
            def data(): return torch.rand(3)

            def experiment(x, data): return torch.nn.Linear(2, 1).weight.tolist(), data.tolist()
        """
    )
    seen = []
    for more in ((), ("-k", "x=2")):
        pytester.runpytest("--memento-cache=refresh", *more)
        seen.append(drawn())
    assert seen[0] == seen[1]
    weights = [str(value[0]) for value in seen[0].values()]
    assert weights[0] != weights[1]


@pytest.fixture
def randomly() -> None:
    """Skip where the plugin is not installed: as ``nox -s randomly`` does it."""
    if importlib.util.find_spec("pytest_randomly") is None:
        pytest.skip("needs pytest-randomly")


def test_randomly_changes_no_result(
    pytester: pytest.Pytester, randomly: None, request: pytest.FixtureRequest
) -> None:
    pytester.makepyfile(exp_a=DRAWING)
    run = pytester.runpytest_subprocess
    assert run("-p", "no:randomly").parseoutcomes() == {"passed": 12}
    first = drawn()
    has_xdist = request.config.pluginmanager.hasplugin("xdist")
    for more in ((), ("-p", "randomly", "--randomly-seed=5"), *([("-n2",)] if has_xdist else [])):
        result = run("--memento-cache=refresh", *more)
        assert result.parseoutcomes() == {"passed": 12}
        result.stdout.fnmatch_lines(["*--randomly-seed=*"])
        assert drawn() == first


def test_randomly_seeds_ordinary_tests_as_ever(
    pytester: pytest.Pytester, randomly: None, notes: Notes
) -> None:
    pytester.makepyfile(test_a=ORDINARY, exp_b=ENDS, test_c=ORDINARY)
    seen = []
    for more in ((), ("-p", "no:memento")):
        pytester.runpytest_subprocess("--randomly-seed=3", *more)
        seen.append(sorted(notes()))
    assert len(seen[0]) == 4
    assert seen[0] == seen[1]
