"""What an experiment, and the fixtures it uses, can ask for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_memento import load_results

Notes = Callable[[], list[str]]


def test_config_context_parameters_and_settings(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            from pytest_memento import Config, Context

            matrix = {
                "parameters": {"model": [dict, list], "lr": [0.1]},
                "settings": {"n_fold": 5, "path": "/data"},
                "untracked": ["path"],
            }

            def experiment(config: Config, context: Context, model, n_fold, path, *, lr=None):
                assert isinstance(config, Config) and isinstance(context, Context)
                assert config.model is config["model"] is model
                assert config.settings.n_fold == config.settings["n_fold"] == n_fold == 5
                assert path == "/data" and config.lr == 0.1
                assert lr == 0.1  # pytest leaves an argument with a default alone
                assert context.config is config
                assert config.asdict() == {"model": model, "lr": 0.1}
                return context.seed
        """
    )
    # numpy can be imported only once in a process.
    assert pytester.runpytest_subprocess("-W", "error").parseoutcomes() == {"passed": 2}
    assert pytester.runpytest_subprocess("-W", "error").parseoutcomes() == {"cached": 2}


def test_fixtures_can_ask_too(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(
        exp_a="""
            import pytest
            from notes import note

            matrix = {"parameters": {"dataset": ["iris", "wine"], "lr": [1, 2]}, "settings": {"n": 5}}

            @pytest.fixture
            def rate(config, context, lr):
                assert config.lr == context.config.lr == lr
                return lr / 10

            @pytest.fixture(scope="module")
            def data(dataset):
                note(f"load {dataset}")
                yield dataset.upper()
                note(f"drop {dataset}")

            @pytest.fixture(scope="session")
            def size(n):
                note(f"size {n}")
                return n

            def experiment(rate, data, size, lr):
                return f"{data} {rate} {size}"
        """
    )
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"passed": 4}
    assert notes() == ["size 5", "load iris", "drop iris", "load wine", "drop wine"]
    values = {result.value for result in load_results("exp_a.py")}
    assert values == {"IRIS 0.1 5", "IRIS 0.2 5", "WINE 0.1 5", "WINE 0.2 5"}
    again = pytester.runpytest("-W", "error")
    assert again.parseoutcomes() == {"cached": 4}
    assert notes() == []


def test_a_wide_fixture_with_some_of_the_experiments_stored(
    pytester: pytest.Pytester, notes: Notes
) -> None:
    pytester.makepyfile(
        exp_a="""
            import pytest
            from notes import note

            matrix = {"parameters": {"dataset": ["iris", "wine"], "lr": [1, 2]}}

            @pytest.fixture(scope="session")
            def data(dataset):
                note(f"load {dataset}")
                return dataset

            def experiment(data, lr):
                note(f"{data} {lr}")
        """
    )
    pytester.runpytest("-k", "iris")
    notes()
    assert pytester.runpytest().parseoutcomes() == {"cached": 2, "passed": 2}
    assert notes() == ["load wine", "wine 1", "wine 2"]


def test_a_wide_fixture_cannot_ask_for_the_config(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import pytest

            matrix = {"parameters": {"x": [1]}}

            @pytest.fixture(scope="module")
            def data(config): pass

            def experiment(data): pass
        """
    )
    result = pytester.runpytest()
    assert result.parseoutcomes() == {"errors": 1}
    result.stdout.fnmatch_lines(["ScopeMismatch: *function scoped fixture config *"])


def test_autouse_fixtures_and_usefixtures(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(
        exp_a="""
            import pytest
            from notes import note

            matrix = {"parameters": {"x": [1]}}

            @pytest.fixture(autouse=True)
            def around(config):
                note(f"up {config.x}")
                yield
                note("down")

            @pytest.fixture
            def quiet(x): note(f"quiet {x}")

            @pytest.mark.usefixtures("quiet")
            def experiment(): note("run")
        """
    )
    assert pytester.runpytest().parseoutcomes() == {"passed": 1}
    assert notes() == ["up 1", "quiet 1", "run", "down"]
    assert pytester.runpytest().parseoutcomes() == {"cached": 1}
    assert notes() == []


def test_a_users_config_on_top_of_ours(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture
        def config(config): return {**config, "extra": 1}
        """
    )
    pytester.makepyfile(
        exp_a="""
            import pytest
            matrix = {"parameters": {"x": [1]}}
            def experiment(config): assert config == {"x": 1, "extra": 1}
            class Experiment:
                @pytest.fixture
                def config(self, config): return {**config, "more": 2}
                def experiment(self, config): assert config == {"x": 1, "extra": 1, "more": 2}
        """,
        test_b="""
            matrix = {"parameters": {"x": [1]}}
            def test_b(config): assert config == {"x": 1, "extra": 1}
        """,
    )
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"passed": 3}
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"cached": 3}


def test_a_plugins_config_on_top_of_ours(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        their_plugin="""
            import pytest

            @pytest.fixture
            def config(config): return {**config, "extra": 1}
        """,
        exp_a="""
            matrix = {"parameters": {"x": [1]}}
            def experiment(config): assert config == {"x": 1, "extra": 1}
        """,
    )
    pytester.syspathinsert()
    assert pytester.runpytest("-p", "their_plugin").parseoutcomes() == {"passed": 1}


def test_a_users_own_config_in_an_experiment(pytester: pytest.Pytester) -> None:
    """It hides ours; the function is an experiment by its name."""
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="session")
        def config(): return "mine"
        """
    )
    pytester.makepyfile(
        exp_a="""
            matrix = {"parameters": {"x": [1]}}
            def experiment(config, context, x):
                assert config == "mine" and context.config.x == x == 1
            def test_ordinary(config): assert config == "mine"
        """
    )
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"passed": 2}
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"cached": 1, "passed": 1}


def test_values_are_copies(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            class Model:
                def __init__(self): self.fitted = []
                def fit(self, x):
                    assert not self.fitted, "somebody else's work is in here"
                    self.fitted.append(x)
                    return self

            shared = [1]
            matrix = {
                "parameters": {"model": [Model()], "x": [1, 2, 3]},
                "settings": {"sizes": shared},
            }

            def experiment(model, x, sizes, config):
                assert config.model is model and config.settings.sizes is sizes == [1]
                sizes.append(x)
                return model.fit(x)

            def experiment_b(config):
                config.settings.sizes.append(config.x)
                return config.model.fit(config.x).fitted
        """
    )
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"passed": 6}
    # What was done to the values reached neither the others nor the keys.
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"cached": 6}


def test_a_value_that_cannot_be_copied_is_shared(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            class Stubborn:
                def __deepcopy__(self, memo): raise RuntimeError("no")
                def __memento_key__(self): return "stubborn"

            matrix = {"parameters": {"x": [Stubborn()]}}

            def experiment(x): assert isinstance(x, Stubborn)
        """
    )
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"passed": 1}
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"cached": 1}


def test_the_config_cannot_be_changed(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            matrix = {"parameters": {"x": [1]}}
            def experiment(config): config.x = 2
        """
    )
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(["E*AttributeError: Config is immutable: 'x' cannot be set"])


def test_a_parameter_that_some_configurations_lack(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            matrix = [{"parameters": {"x": [1], "y": [2]}}, {"parameters": {"x": [3]}}]
            def experiment(x, y): pass
        """,
        exp_b="""
            matrix = [{"parameters": {"x": [1], "y": [2]}}, {"parameters": {"x": [3]}}]
            def experiment(x, config): return config.get("y")
        """,
    )
    result = pytester.runpytest("exp_a.py")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        ["exp_a.py::*asks for 'y', which the configuration x=3 does not have: give *"]
    )
    assert pytester.runpytest("exp_b.py").parseoutcomes() == {"passed": 2}


def test_a_parameter_with_the_name_of_a_fixture(pytester: pytest.Pytester) -> None:
    """As in parametrize, the parameter wins."""
    pytester.makepyfile(
        exp_a="""
            import pytest

            @pytest.fixture
            def data(): return "fixture"

            matrix = {"parameters": {"data": ["parameter"]}}
            def experiment(data, config): assert data == config.data == "parameter"
        """
    )
    assert pytester.runpytest().parseoutcomes() == {"passed": 1}


def test_the_context_works(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            matrix = {"parameters": {"x": [1, 2]}}

            def experiment(context, x):
                done = context.restore(default=0)
                context.checkpoint(done + 1)
                context.record({"loss": 0.5})
                for _ in context.track(range(3)): pass
                (context.dir / "file.txt").write_text("kept")
                assert done or x == 1, "first time"
                return context.key, context.seed
        """
    )
    assert pytester.runpytest().parseoutcomes() == {"passed": 1, "failed": 1}
    # The second attempt goes on from the checkpoint of the first.
    assert pytester.runpytest().parseoutcomes() == {"cached": 1, "passed": 1}
    results = load_results("exp_a.py")
    keys, seeds = zip(*(result.value for result in results), strict=True)
    assert len(set(keys)) == len(set(seeds)) == 2
    assert [value for _, value in results[0].metrics["loss"]] == [0.5]


def test_getfixturevalue(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            matrix = {"parameters": {"x": [1]}}
            def experiment(request): return request.getfixturevalue("config").x
        """
    )
    assert pytester.runpytest().parseoutcomes() == {"passed": 1}


# -- parameters from elsewhere ---------------------------------------------------------------------

EXTRA = """
    import pytest
    from notes import note

    matrix = {"parameters": {"x": [1, 2]}}

    @pytest.fixture(params=["cpu", "gpu"])
    def device(request): return request.param

    @pytest.mark.parametrize("seed", [10, 20])
    def experiment(x, seed, device):
        note(f"{x} {seed} {device}")
        return x * seed
"""


def test_more_parametrization_is_part_of_the_key(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(exp_a=EXTRA)
    first = pytester.runpytest("-W", "error", "-v")
    assert first.parseoutcomes() == {"passed": 8}
    assert len(set(notes())) == 8
    first.stdout.re_match_lines([r"x +.*status"])
    header = next(line.split() for line in first.outlines if "status" in line)
    assert {"x", "seed", "device"} <= set(header)
    assert {result.value for result in load_results("exp_a.py")} == {10, 20, 40}
    assert len(load_results("exp_a.py")) == 8

    assert pytester.runpytest("-W", "error").parseoutcomes() == {"cached": 8}
    assert notes() == []

    pytester.makepyfile(exp_a=EXTRA.replace("[10, 20]", "[20, 30, 10]"))
    more = pytester.runpytest("-W", "error")
    assert more.parseoutcomes() == {"cached": 8, "passed": 4}
    assert {note.split()[1] for note in notes()} == {"30"}


def test_parametrization_by_a_hook_of_the_user(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            matrix = {"parameters": {"x": [1, 2]}}

            def pytest_generate_tests(metafunc):
                if "fold" in metafunc.fixturenames:
                    metafunc.parametrize("fold", range(3))

            def experiment(x, fold): return x * fold
        """
    )
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"passed": 6}
    again = pytester.runpytest("-W", "error")
    assert again.parseoutcomes() == {"cached": 6}


def test_a_parameter_beside_the_matrix_without_fingerprint(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
            import pytest, threading
            matrix = {"parameters": {"x": [1]}}

            @pytest.mark.parametrize("lock", [threading.Lock()])
            def experiment(x, lock): pass
        """
    )
    result = pytester.runpytest()
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["exp_a.py::experiment*no stable fingerprint*"])
    assert "pytest_memento/" not in str(result.stdout)


def test_equal_but_different_values_of_a_wide_fixture(
    pytester: pytest.Pytester, notes: Notes
) -> None:
    """To pytest 1 == True is the same parameter, to us it is not."""
    pytester.makepyfile(
        exp_a="""
            import pytest
            from notes import note

            class Same:
                def __init__(self, n): self.n = n
                def __eq__(self, other): return True
                __hash__ = None

            matrix = {"parameters": {"kind": [1, True, 1.0, Same(1), Same(2)], "x": [0, False, 0.0]}}

            @pytest.fixture(scope="session")
            def data(kind):
                note(kind)
                return kind

            def experiment(data, x, config):
                assert type(data) is type(config.kind) and type(x) is type(config.x)
                assert not isinstance(data, Same) or data.n == config.kind.n
        """
    )
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"passed": 15}
    assert len(notes()) == 5


def test_objects_of_a_wide_fixture_are_shared_by_those_that_have_them(
    pytester: pytest.Pytester, notes: Notes
) -> None:
    pytester.makepyfile(
        exp_a="""
            import pytest
            from notes import note

            class Loader:
                def __init__(self, name): self.name, self.loaded = name, 0
                def load(self):
                    self.loaded += 1
                    return f"{self.name} {self.loaded}"

            matrix = {"parameters": {"loader": [Loader("a"), Loader("b")], "x": [1, 2]}}

            @pytest.fixture(scope="module")
            def data(loader): return loader.load()

            def experiment(data, x, config):
                assert config.loader.loaded == 0
                note(data)
        """
    )
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"passed": 4}
    assert notes() == ["a 1", "a 1", "b 1", "b 1"]
    assert pytester.runpytest("-W", "error").parseoutcomes() == {"cached": 4}


def test_a_value_with_the_shape_of_a_scalar(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        import numpy as np
        matrix = {
            "parameters": {"dtype": [np.dtype("float32"), np.dtype("int8")]},
            "settings": {"index": np.dtype("int64")},
        }
        def experiment(dtype): return dtype
        """
    )
    # numpy can be imported only once in a process.
    assert pytester.runpytest_subprocess("-W", "error").parseoutcomes() == {"passed": 2}
    assert pytester.runpytest_subprocess("-W", "error").parseoutcomes() == {"cached": 2}


def test_arguments_with_a_default_get_the_value_of_the_matrix(pytester: pytest.Pytester) -> None:
    """Pytest itself never fills them, and all configurations would run with the default."""
    pytester.makepyfile(
        exp_a="""
            matrix = {"parameters": {"lr": [0.1, 0.2]}, "settings": {"n": 5}}

            def experiment(context, config, lr=0.01, n=3, other=7): return lr, n, other
            def experiment_keyword(*, lr=5, n): return lr, n
            async def experiment_async(lr=5): return lr

            class Experiment:
                def experiment(self, lr=9): return lr
        """
    )
    assert pytester.runpytest().parseoutcomes() == {"passed": 8}
    values = {f"{r.experiment.partition('::')[2]} {r.id}": r.value for r in load_results()}
    assert values == {
        "experiment lr=0.1": (0.1, 5, 7),
        "experiment lr=0.2": (0.2, 5, 7),
        "experiment_keyword lr=0.1": (0.1, 5),
        "experiment_keyword lr=0.2": (0.2, 5),
        "experiment_async lr=0.1": 0.1,
        "experiment_async lr=0.2": 0.2,
        "Experiment::experiment lr=0.1": 0.1,
        "Experiment::experiment lr=0.2": 0.2,
    }
