"""What is private in pytest behaves as the plugin needs it: one test for each use of it.

When a new release of pytest or xdist breaks one of these, the name says which function of
``private.py`` to mend.
"""

from __future__ import annotations

import inspect
import io
import json
import sys
import warnings
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

import pytest

from pytest_memento.plugin import private

T = TypeVar("T")
Notes = Callable[[], list[str]]


class Asking(Generic[T]):
    """A plugin that asks something of each function while pytest makes its items."""

    def __init__(self, question: Callable[[pytest.Metafunc], T]) -> None:
        self.question = question
        self.answers: dict[str, T] = {}

    @pytest.hookimpl(trylast=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        self.answers[metafunc.function.__name__] = self.question(metafunc)


def ask(
    pytester: pytest.Pytester, question: Callable[[pytest.Metafunc], T], *arguments: str
) -> dict[str, T]:
    """Collect the project and return name of a test -> answer."""
    asking = Asking(question)
    run = pytester.inline_run("--collect-only", *arguments, plugins=[asking])
    assert run.ret == pytest.ExitCode.OK
    return asking.answers


def outcomes(pytester: pytest.Pytester, *plugins: object) -> tuple[int, int, int]:
    """Run the project with these plugins and return how many passed, were skipped and failed."""
    passed, skipped, failed = pytester.inline_run(plugins=plugins).listoutcomes()
    return len(passed), len(skipped), len(failed)


def test_each_function_has_its_test() -> None:
    """As the module promises."""
    own = (value for value in vars(private).values() if inspect.isroutine(value))
    names = {value.__name__ for value in own if value.__module__ == private.__name__}
    assert names
    for name in sorted(name for name in {*names, "Probe"} if not name.startswith("_")):
        assert any(test.startswith(f"test_{name.lower()}") for test in globals()), name


# -- fixtures --------------------------------------------------------------------------------------


def test_visible_fixtures_are_those_that_a_test_can_ask_for(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef above(): pass")
    outer, inner = pytester.getitems(
        """
        import pytest

        def test_outer(): pass

        class TestInner:
            @pytest.fixture
            def inside(self): pass
            def test_inner(self): pass
        """
    )
    assert inner.parent is not None
    assert outer.parent is not None
    for node in (inner, inner.parent):
        assert private.visible_fixtures(node, "above")
        assert private.visible_fixtures(node, "inside")
        assert not private.visible_fixtures(node, "nonsense")
    for node in (outer, outer.parent):
        assert private.visible_fixtures(node, "above")
        assert not private.visible_fixtures(node, "inside")


@pytest.mark.parametrize("order", [("ours", "theirs"), ("theirs", "ours")], ids=" ".join)
def test_give_way_lets_other_plugins_win_in_either_order(
    pytester: pytest.Pytester, order: tuple[str, str]
) -> None:
    class GivingWay:
        @pytest.hookimpl(trylast=True)
        def pytest_sessionstart(self, session: pytest.Session) -> None:
            private.give_way(session, "shared", "ours")

    for name in order:
        source = f"import pytest\n@pytest.fixture\ndef shared(): return {name!r}"
        pytester.makepyfile(**{name: source})
    pytester.makepyfile(
        test_plain="def test_plain(shared): assert shared == 'theirs'",
        test_override="""
            import pytest

            @pytest.fixture
            def shared(shared): return f"more than {shared}"

            def test_override(shared): assert shared == "more than theirs"
        """,
    )
    pytester.syspathinsert()
    arguments = [argument for name in order for argument in ("-p", name)]
    run = pytester.inline_run(*arguments, plugins=[GivingWay()])
    run.assertoutcome(passed=2)


CHAIN = """
    import pytest

    @pytest.fixture
    def argument(): pass

    @pytest.fixture(name="data", scope="session")
    def lowest(): pass

    @pytest.fixture(name="unseen")
    def only_asked_for_while_it_runs(): pass
"""
MIDDLE = """
    import pytest

    @pytest.fixture(name="data", scope="module")
    def middle(data): pass

    def test_middle(data): pass

    class TestTop:
        @pytest.fixture(name="data")
        def highest(self, data, argument): pass
        def test_top(self, data): pass

    class TestFresh:
        @pytest.fixture(name="data")
        def unlike(self): pass
        def test_fresh(self, data): pass
"""


@pytest.fixture
def chain(pytester: pytest.Pytester) -> None:
    """A project in which ``data`` is overridden on three levels."""
    pytester.makeconftest(CHAIN)
    pytester.makepyfile(MIDDLE)


def test_fixtures_of_a_function_come_with_scopes_and_arguments_nearest_last(
    pytester: pytest.Pytester, chain: None
) -> None:
    def question(metafunc: pytest.Metafunc) -> list[tuple[str, str, tuple[str, ...]]]:
        definitions = private.fixtures_of(metafunc)["data"]
        return [(d.func.__name__, d.scope, tuple(d.argnames)) for d in definitions]

    lowest, middle = ("lowest", "session", ()), ("middle", "module", ("data",))
    assert ask(pytester, question) == {
        "test_middle": [lowest, middle],
        "test_top": [lowest, middle, ("highest", "function", ("data", "argument"))],
        "test_fresh": [lowest, middle, ("unlike", "function", ())],
    }


def test_fixtures_of_a_function_lead_to_the_module_that_has_them(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        @pytest.fixture
        def own(): pass
        def test_a(own, tmp_path, nonsense): pass
        """
    )

    def question(metafunc: pytest.Metafunc) -> dict[str, str]:
        found = private.fixtures_of(metafunc)
        return {name: found[name][-1].func.__module__ for name in ("own", "tmp_path")} | {
            "nonsense": str("nonsense" in found)
        }

    (answer,) = ask(pytester, question).values()
    assert answer.pop("own").endswith(
        "test_fixtures_of_a_function_lead_to_the_module_that_has_them"
    )
    assert answer == {"tmp_path": "_pytest.tmpdir", "nonsense": "False"}


def test_fixture_definitions_are_those_that_count_nearest_first(
    pytester: pytest.Pytester, chain: None
) -> None:
    def question(metafunc: pytest.Metafunc) -> list[str]:
        return [each.func.__name__ for each in private.fixture_definitions(metafunc, "data")]

    assert ask(pytester, question) == {
        "test_middle": ["middle", "lowest"],
        "test_top": ["highest", "middle", "lowest"],
        "test_fresh": ["unlike"],
    }


def test_fixture_definitions_are_found_that_the_signature_does_not_name(
    pytester: pytest.Pytester, chain: None
) -> None:
    def question(metafunc: pytest.Metafunc) -> list[str]:
        names = ("unseen", "nonsense")
        found = [d for name in names for d in private.fixture_definitions(metafunc, name)]
        return [definition.func.__name__ for definition in found]

    assert ask(pytester, question)["test_middle"] == ["only_asked_for_while_it_runs"]


# -- collection ------------------------------------------------------------------------------------


def test_collect_directory_loads_its_conftest(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(**{
        "test_a": "def test_a(): pass",
        "sub/conftest": """
            import pytest
            @pytest.fixture
            def own(): pass
        """,
        "sub/test_b": "def test_b(own): pass",
    })  # fmt: skip
    pytester.makeconftest(
        """
        import pytest
        from pytest_memento.plugin import private

        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(items):
            (test,) = items
            root = test.getparent(pytest.Directory)
            inside = private.collect_directory(root).result
            (sub,) = [node for node in inside if isinstance(node, pytest.Directory)]
            modules = private.collect_directory(sub).result
            (module,) = [node for node in modules if isinstance(node, pytest.Module)]
            found = module.collect()
            print([node.nodeid for node in found], private.visible_fixtures(module, "own"))
        """
    )
    result = pytester.runpytest("test_a.py", "-s")
    result.stdout.fnmatch_lines(["*'sub/test_b.py::test_b'] True"])


def test_undo_deselection_counts_what_comes_back_as_selected(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_a="def test_one(): pass\ndef test_two(): pass\ndef test_three(): pass")
    pytester.makeconftest(
        """
        import pytest
        from pytest_memento.plugin import private

        @pytest.hookimpl(wrapper=True, tryfirst=True)
        def pytest_collection_modifyitems(config, items):
            before = list(items)
            yield
            private.undo_deselection(config, before[1:2])
            items.append(before[1])
        """
    )
    result = pytester.runpytest("-k", "one")
    result.stdout.fnmatch_lines(["collected 3 items / 1 deselected / 2 selected"])
    assert result.parseoutcomes() == {"passed": 2, "deselected": 1}


def test_holds_tests_tells_a_module_from_its_docstrings(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_a='"""\n>>> 1\n1\n"""\ndef test_a(): pass')
    pytester.makeconftest(
        """
        from pytest_memento.plugin import private

        def pytest_collection_modifyitems(items):
            print([(item.name, private.holds_tests(item.parent)) for item in items])
        """
    )
    result = pytester.runpytest("--doctest-modules", "-s")
    result.stdout.fnmatch_lines(["*[('test_a.test_a', False), ('test_a', True)]*"])


def test_collected_by_pytest_goes_by_pattern_and_command_line(pytester: pytest.Pytester) -> None:
    class Looking:
        def pytest_collection_finish(self, session: pytest.Session) -> None:
            self.found = {
                path.name
                for path in pytester.path.rglob("*.py")
                if private.collected_by_pytest(path, session)
            }

    pytester.makeini("[pytest]\npython_files = check_*.py deep/*.py")
    for name in ("check_a", "exp_named", "exp_other", "test_a"):
        pytester.makepyfile(**{name: "def test(): pass"})
    (pytester.mkdir("deep") / "any.py").touch()
    for named, more in (((), set()), (("exp_named.py",), {"exp_named.py"})):
        looking = Looking()
        pytester.inline_run(*named, plugins=[looking])
        assert looking.found == {"check_a.py", "any.py", *more}


PARAMETRIZED = """
    import pytest

    @pytest.fixture(params=["cpu", "gpu"])
    def device(request): pass

    def test_plain(): pass

    @pytest.mark.parametrize("a,b", [(1, 2)])
    @pytest.mark.parametrize("c", [3, 4])
    def test_by_mark(a, b, c): pass

    def test_by_fixture(device): pass
"""


def test_is_parametrized_knows_marks_and_fixtures(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PARAMETRIZED)
    assert ask(pytester, private.is_parametrized) == {
        "test_plain": False, "test_by_mark": True, "test_by_fixture": True}  # fmt: skip


def test_parametrized_names_are_those_of_marks_and_fixtures(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PARAMETRIZED)
    assert ask(pytester, private.parametrized_names) == {
        "test_plain": set(), "test_by_mark": {"a", "b", "c"}, "test_by_fixture": {"device"}}  # fmt: skip


def test_generate_makes_items_that_run_like_those_of_pytest(
    pytester: pytest.Pytester, notes: Notes
) -> None:
    class Generating:
        @pytest.hookimpl(wrapper=True)
        def pytest_pycollect_makeitem(
            self, collector: Any, name: str, obj: object
        ) -> Generator[None, Any, Any]:
            made = yield
            if not isinstance(made, list) or not made:
                return made
            again = private.generate(collector, name, obj)
            assert [item.nodeid for item in again] == [item.nodeid for item in made]
            assert not {*map(id, again)} & {*map(id, made)}
            return again

    pytester.makepyfile(
        """
        import pytest
        from notes import note

        @pytest.fixture
        def data(): return "data"

        @pytest.mark.parametrize("x", [1, 2])
        def test_function(x, data): note(f"{x} {data}")

        class Test:
            def test_method(self, data): note(type(self).__name__)
        """
    )
    assert outcomes(pytester, Generating()) == (3, 0, 0)
    assert notes() == ["1 data", "2 data", "Test"]


def test_parameter_marks_are_the_last_ones_of_an_item(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers =\n  module\n  own\n  slow\n  gpu")
    items = pytester.getitems(
        """
        import pytest
        pytestmark = pytest.mark.module

        @pytest.mark.own
        @pytest.mark.parametrize("x", [pytest.param(1, marks=[pytest.mark.slow, pytest.mark.gpu]), 2])
        def test_a(x): pass
        """
    )
    found = [private.parameter_marks(item) for item in items if isinstance(item, pytest.Function)]
    assert [[mark.name for mark in marks] for marks in found] == [["slow", "gpu"], []]
    # Hits take all marks of an item but these.
    assert [mark.name for mark in items[0].own_markers[-2:]] == ["slow", "gpu"]
    assert [mark.name for mark in items[0].own_markers[:-2]] == [
        mark.name for mark in items[1].own_markers
    ]


@pytest.mark.parametrize(
    ("ini", "is_ascii"),
    [("", True), ("disable_test_id_escaping_and_forfeit_all_rights_to_community_support = true", False)],
    ids=["escaped", "not escaped"],
)  # fmt: skip
def test_id_escape_makes_the_ids_that_parametrize_makes(
    pytester: pytest.Pytester, ini: str, is_ascii: bool
) -> None:
    pytester.makeini(f"[pytest]\n{ini}")
    texts = ["plain", "x=é", "数据", "a\nb", "tab\t", "nul\0", "back\\slash"]
    items = pytester.getitems(
        f"""
        import pytest
        @pytest.mark.parametrize("x", range({len(texts)}), ids={texts!r})
        def test_a(x): pass
        """
    )
    escape = private.id_escape(items[0].config)
    assert [item.name for item in items] == [f"test_a[{escape(text)}]" for text in texts]
    assert escape("é").isascii() == is_ascii


# -- parameters that outlive an item ---------------------------------------------------------------

TWO_TESTS = """
    import pytest
    from notes import note

    @pytest.fixture(scope="module")
    def data(x): note(repr(x))

    @pytest.mark.parametrize("x", {values}, scope={scope!r})
    def test_a({argument}): pass

    @pytest.mark.parametrize("x", {values}, scope={scope!r})
    def test_b({argument}): pass
"""


def test_place_parameter_decides_how_pytest_groups_items(
    pytester: pytest.Pytester, notes: Notes
) -> None:
    class Placing:
        def __init__(self, scope: str, numbers: dict[str, int]) -> None:
            self.scope, self.numbers = scope, numbers
            self.order: list[str] = []

        def pytest_itemcollected(self, item: pytest.Item) -> None:
            private.place_parameter(item, "x", self.scope, self.numbers[item.name[7]])

        def pytest_collection_finish(self, session: pytest.Session) -> None:
            self.order = [item.name for item in session.items]

    def order(scope: str, **numbers: int) -> list[str]:
        placing = Placing(scope, numbers)
        pytester.inline_run("--collect-only", plugins=[placing])
        return placing.order

    pytester.makepyfile(TWO_TESTS.format(values=["p", "q"], scope="function", argument="x"))
    by_test = ["test_a[p]", "test_a[q]", "test_b[p]", "test_b[q]"]
    by_value = ["test_a[p]", "test_b[p]", "test_a[q]", "test_b[q]"]
    assert order("function", p=0, q=1) == by_test
    assert order("module", p=0, q=1) == by_value

    # Since pytest 9.1 the number counts only for values without a hash; others go by themselves.
    lists = ", ".join(f"pytest.param([], id={name!r})" for name in "pqr")
    pytester.makepyfile(TWO_TESTS.format(values=f"[{lists}]", scope="function", argument="x"))
    found = order("module", p=0, q=1, r=0)
    assert {*found[:4]} == {"test_a[p]", "test_a[r]", "test_b[p]", "test_b[r]"}


def test_outlives_is_true_of_parameters_of_a_wider_scope(pytester: pytest.Pytester) -> None:
    items = pytester.getitems(
        """
        import pytest

        @pytest.mark.parametrize("x", [1], scope="session")
        def test_session(x): pass
        @pytest.mark.parametrize("x", [1], scope="module")
        def test_module(x): pass
        @pytest.mark.parametrize("x", [1])
        def test_function(x): pass
        """
    )
    assert [private.outlives(item, "x") for item in items] == [True, True, False]
    for item in items:
        private.place_parameter(item, "x", "class", 0)
        assert private.outlives(item, "x")
        private.place_parameter(item, "x", "function", 0)
        assert not private.outlives(item, "x")


def test_parameter_definition_is_shared_as_far_as_its_scope(pytester: pytest.Pytester) -> None:
    one, two, three = pytester.getitems(
        """
        import pytest

        @pytest.mark.parametrize("x", [1, 2], scope="session")
        def test_session(x): pass
        @pytest.mark.parametrize("x", [1], scope="module")
        def test_module(x): pass
        """
    )
    first, again, other = (private.parameter_definition(item, "x") for item in (one, two, three))
    assert first is again
    assert first is not other
    assert (first.argname, first.scope, other.scope) == ("x", "session", "module")


def test_renew_parameter_has_equal_values_set_up_anew(
    pytester: pytest.Pytester, notes: Notes
) -> None:
    class Renewing:
        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_setup(self, item: pytest.Item) -> None:
            if item.name.startswith("test_a"):
                private.renew_parameter(item, "x")

    pytester.makepyfile(
        TWO_TESTS.format(values="[1, True, 1.0]", scope="module", argument="data, x")
    )
    assert outcomes(pytester, Renewing()) == (6, 0, 0)
    assert sorted(notes()) == ["1", "1.0", "True"]


# -- running ---------------------------------------------------------------------------------------


def test_skip_reason_is_that_of_the_mark(pytester: pytest.Pytester) -> None:
    items = pytester.getitems(
        """
        import pytest

        def test_no_plain(): pass
        @pytest.mark.skip
        def test_yes_mark(): pass
        @pytest.mark.skipif(True, reason="so")
        def test_yes_condition(): pass
        @pytest.mark.skipif(False, reason="so")
        def test_no_condition(): pass
        @pytest.mark.skipif("config.rootpath is not None")
        def test_yes_text(): pass
        @pytest.mark.xfail
        def test_no_xfail(): pass
        def test_yes_later(): pass
        """
    )
    items[-1].add_marker(pytest.mark.skip(reason="added"))
    assert len(items) == 7
    for item in items:
        is_skipped = private.skip_reason(item) is not None
        assert is_skipped == item.name.startswith("test_yes"), item.name
    assert private.skip_reason(items[2]) == "so"
    assert private.skip_reason(items[-1]) == "added"


def test_never_runs_is_what_marks_say(pytester: pytest.Pytester) -> None:
    items = pytester.getitems(
        """
        import pytest

        def test_no_plain(): pass
        @pytest.mark.skip
        def test_yes_skip(): pass
        @pytest.mark.xfail
        def test_no_xfail(): pass
        @pytest.mark.xfail(run=False)
        def test_yes_xfail(): pass
        @pytest.mark.xfail(False, run=False, reason="so")
        def test_no_condition(): pass
        @pytest.mark.skipif(True)
        def test_no_reason(): pass
        """
    )
    for item in items:
        assert private.never_runs(item) == ("_yes_" in item.name), item.name
    (item,) = (each for each in items if each.name == "test_yes_xfail")
    item.config.option.runxfail = True
    assert not private.never_runs(item)


PROBED = """
    import pytest
    from notes import note

    @pytest.fixture(scope="module")
    def base():
        note("base up")
        print("in sight?")
        yield 1
        note("base down")

    @pytest.fixture(autouse=True)
    def always(): note("always")

    @pytest.fixture
    def wanted(base, tmp_path):
        note("up")
        yield base + 1
        note("down")

    def test_a(): pass

    class Test:
        @pytest.fixture
        def wanted(self, wanted):
            return type(self).__name__, wanted

        @pytest.mark.usefixtures("nonsense")
        def test_b(self): pass
"""


def probe(metafunc: pytest.Metafunc) -> private.Probe:
    collector = metafunc.definition.parent
    assert isinstance(collector, (pytest.Module, pytest.Class))
    return private.Probe(collector, "wanted")


@pytest.mark.parametrize("option", ["--collect-only", "--setup-only", "--setup-plan"])
def test_probe_sets_up_and_tears_down_what_one_fixture_needs(
    pytester: pytest.Pytester, notes: Notes, option: str
) -> None:
    pytester.makepyfile(PROBED)
    answers = ask(pytester, lambda metafunc: probe(metafunc).run(), option, "-k", "test_a")
    assert answers == {"test_a": (None, 2), "test_b": (None, ("Test", 2))}
    once = ["base up", "up", "down", "base down"]
    assert notes() == [*once, *once]


def test_probe_leaves_the_capturing_of_collection_as_it_was(
    pytester: pytest.Pytester, notes: Notes
) -> None:
    class Talking:
        @pytest.hookimpl(trylast=True)
        def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
            print("before the probe")
            probe(metafunc).run()
            print("after the probe")

    pytester.makepyfile(PROBED.partition("class Test")[0])
    for capture, shown in (("--capture=fd", False), ("--capture=sys", False), ("-s", True)):
        result = pytester.runpytest("--collect-only", capture, plugins=[Talking()])
        assert result.ret == 0
        for text in ("before the probe", "in sight?", "after the probe"):
            assert (text in str(result.stdout)) == shown, (capture, text)


def test_probe_reports_what_did_not_pass(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        class TestFail:
            @pytest.fixture
            def wanted(self):
                print("told on the way")
                raise ValueError("broken")
            def test_fail(self): pass

        class TestAfter:
            @pytest.fixture
            def wanted(self):
                yield 1
                raise ValueError("broken late")
            def test_after(self): pass

        class TestSkip:
            @pytest.fixture
            def wanted(self): pytest.skip("not here")
            def test_skip(self): pass
        """
    )
    answers = ask(pytester, lambda metafunc: probe(metafunc).run())
    reports = {name: report for name, (report, value) in answers.items() if value is None}
    fail, after, skip = (reports[name] for name in ("test_fail", "test_after", "test_skip"))
    assert fail is not None
    assert after is not None
    assert skip is not None
    assert [report.outcome for report in (fail, after, skip)] == ["failed", "failed", "skipped"]
    assert "ValueError: broken" in fail.longreprtext
    assert any("told on the way" in content for _, content in fail.sections)
    assert "ValueError: broken late" in after.longreprtext
    assert isinstance(skip.longrepr, tuple)
    assert skip.longrepr[2] == "Skipped: not here"


def test_probe_names_the_definitions_that_the_value_depends_on(
    pytester: pytest.Pytester, notes: Notes
) -> None:
    pytester.makepyfile(PROBED)

    def question(metafunc: pytest.Metafunc) -> list[str]:
        found = list(probe(metafunc).definitions())
        assert len({*map(id, found)}) == len(found)
        return [d.argname for d in found if d.func.__module__ == metafunc.module.__name__]

    answers = ask(pytester, question)
    assert sorted(answers["test_a"]) == ["base", "wanted"]
    assert sorted(answers["test_b"]) == ["base", "wanted", "wanted"]
    assert notes() == []


class Lightly:
    """A plugin that reports tests with ``light`` in their names without setting them up."""

    def __init__(self) -> None:
        self.failed: dict[str, pytest.TestReport | None] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> bool | None:
        if "light" not in item.name:
            return None
        self.failed[item.name] = private.tear_down_for(item, nextitem)
        return True


def test_tear_down_for_takes_down_what_the_next_item_does_not_need(
    pytester: pytest.Pytester, notes: Notes
) -> None:
    pytester.makeconftest(
        """
        import pytest
        from notes import note

        @pytest.fixture(scope="module")
        def data(request):
            note(f"{request.module.__name__} up")
            yield
            note(f"{request.module.__name__} down")
        """
    )
    pytester.makepyfile(
        test_a="def test_1(data): pass\ndef test_light_2(): pass\ndef test_3(data): pass\n"
        "def test_light_4(): pass",
        test_b="def test_light_5(): pass\ndef test_6(data): pass\ndef test_light_7(): pass",
    )
    lightly = Lightly()
    assert outcomes(pytester, lightly) == (3, 0, 0)
    assert lightly.failed == dict.fromkeys(f"test_light_{number}" for number in (2, 4, 5, 7))
    assert notes() == ["test_a up", "test_a down", "test_b up", "test_b down"]


def test_tear_down_for_reports_a_teardown_that_fails(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture(scope="module")
        def fragile():
            yield
            print("on the way down")
            raise ValueError("broken")

        def test_1(fragile): pass
        def test_light_2(): pass
        """
    )
    lightly = Lightly()
    assert outcomes(pytester, lightly) == (1, 0, 0)
    report = lightly.failed["test_light_2"]
    assert report is not None
    assert (report.when, report.outcome, report.nodeid[-12:]) == (
        "teardown", "failed", "test_light_2")  # fmt: skip
    assert "ValueError: broken" in report.longreprtext
    assert ("Captured stdout teardown", "on the way down\n") in report.sections


# -- the terminal ----------------------------------------------------------------------------------


class Kept:
    """A plugin that counts passing tests as ``kept``, and shows these as something good."""

    def __init__(self, note: str) -> None:
        self.note = note

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        reporter = session.config.pluginmanager.getplugin("terminalreporter")
        private.adjust_summary_line(reporter, "green", {"kept": lambda: self.note})

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        is_kept = report.when == "call" and "kept" in report.nodeid
        return ("kept", "k", "KEPT") if is_kept and report.passed else None


GREEN, YELLOW, RED, BOLD = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[1m"


@pytest.mark.parametrize(
    ("source", "colour", "text"),
    [
        ("def test_kept(): pass", GREEN, "1 kept (so) in"),
        ("def test_kept(): pass\ndef test_b(): pass", GREEN, "1 kept (so), 1 passed in"),
        ("def test_kept(): pass\ndef test_b(): assert 0", RED, "1 kept (so), 1 failed in"),
        ("def test_kept(): import warnings; warnings.warn('w')", YELLOW, "1 kept (so), 1 warning in"),
        ("def test_b(): pass", GREEN, "1 passed in"),
        ("import pytest\n@pytest.mark.skip\ndef test_b(): pass", YELLOW, "1 skipped in"),
    ],
    ids=["alone", "passed", "failed", "warning", "none passed", "none skipped"],
)  # fmt: skip
def test_adjust_summary_line_puts_a_good_category_first(
    pytester: pytest.Pytester, source: str, colour: str, text: str
) -> None:
    pytester.makepyfile(source)
    coloured = pytester.runpytest("--color=yes", plugins=[Kept("so")]).outlines[-1]
    assert coloured.startswith(f"{colour}=")
    plain = pytester.runpytest("--color=no", plugins=[Kept("so")]).outlines[-1]
    assert plain.strip("= ").startswith(text)
    if "kept" in text:
        bold = BOLD if colour == GREEN else ""
        assert f"{GREEN}{bold}1 kept (so)" in coloured


def test_adjust_summary_line_without_a_note_and_when_nothing_runs(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile("def test_kept(): pass")
    last = pytester.runpytest(plugins=[Kept("")]).outlines[-1]
    assert last.strip("= ").startswith("1 kept in")
    last = pytester.runpytest("--collect-only", plugins=[Kept("so")]).outlines[-1]
    assert last.strip("= ").startswith("1 test collected in")


def test_terminal_writer_writes_without_a_session(
    pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]
) -> None:
    config = pytester.parseconfig("--color=yes")
    private.terminal_writer(config).line("said", green=True)
    assert capsys.readouterr().out == f"{GREEN}said\x1b[0m\n"


def test_whole_terminal_gives_the_input_back(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
        import sys
        from pytest_memento.plugin import private

        def pytest_cmdline_main(config):
            with private.whole_terminal(config):
                print("read", sys.stdin.readline())
            return 0
        """
    )
    done = pytester.run(sys.executable, "-m", "pytest", stdin=b"typed\n")
    done.stdout.fnmatch_lines(["read typed"])


# -- xdist -----------------------------------------------------------------------------------------


def test_wide_fixtures(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_a="""
        import pytest

        @pytest.fixture(scope="session", params=["a", "b"])
        def data(request): pass

        @pytest.fixture(scope="module")
        def model(data): pass

        @pytest.fixture(scope="class")
        def kit(): pass

        @pytest.fixture
        def narrow(): pass

        def test_function(model, kit, narrow): pass

        class TestIt:
            def test_method(self, kit, narrow): pass

        def test_alone(narrow): pass
        """
    )
    items, _ = pytester.inline_genitems()
    found = {item.name: {*private.wide_fixtures(item)} for item in items}
    module = "test_a.py"
    wide = {(module, "model", None), (module, "kit", None)}
    assert found["test_function[a]"] == {("", "data", 0), *wide}
    assert found["test_function[b]"] == {("", "data", 1), *wide}
    assert found["test_method"] == {("test_a.py::TestIt", "kit", None)}
    assert found["test_alone"] == set()


def test_wide_fixtures_of_other_items(pytester: pytest.Pytester) -> None:
    item = pytester.getitem("def test_func(): pass")
    other: pytest.Item = Other.from_parent(item.session, name="other")
    assert list(private.wide_fixtures(other)) == []


class Other(pytest.Item):
    def runtest(self) -> None: ...


@pytest.fixture
def controller(pytester: pytest.Pytester, xdist: None) -> pytest.Config:
    return pytester.parseconfigure("-n2", "--dist=load", "--tx=2*popen")


def test_replace_scheduler(controller: pytest.Config) -> None:
    session = controller.pluginmanager.getplugin("dsession")
    assert session is not None
    assert session.sched is None
    scheduler = object()
    private.replace_scheduler(controller, scheduler)
    assert session.sched is scheduler


def test_show_no_status(controller: pytest.Config, capsys: pytest.CaptureFixture[str]) -> None:
    from xdist.dsession import WorkerStatus

    reporter = controller.pluginmanager.getplugin("terminaldistreporter")
    assert reporter is not None
    reporter._isatty = True
    lines: list[str] = []
    reporter.rewrite = lines.append
    spec = type("Spec", (), {"id": "gw0"})()
    reporter.setstatus(spec, WorkerStatus.Created, tests_collected=0)
    assert lines
    private.show_no_status(controller, "2 workers [3 items]")
    reporter.setstatus(spec, WorkerStatus.CollectionDone, tests_collected=1)
    assert len(lines) == 1
    assert reporter.getstatus() == "2 workers [3 items]"


def test_may_restart(controller: pytest.Config) -> None:
    session: Any = controller.pluginmanager.getplugin("dsession")
    assert session._max_worker_restart == 8
    for _ in range(20):
        assert private.may_restart(controller, counted=False)
        session._failed_nodes_count += 1  # as xdist does then
    for _ in range(8):
        assert private.may_restart(controller, counted=True)
        session._failed_nodes_count += 1
    assert not private.may_restart(controller, counted=True)


def test_may_restart_as_the_user_said(pytester: pytest.Pytester, xdist: None) -> None:
    config = pytester.parseconfigure("-n2", "--dist=load", "--tx=2*popen", "--max-worker-restart=0")
    assert not private.may_restart(config, counted=False)


def test_begin_distribution(controller: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    import xdist.dsession

    begun: list[object] = []
    monkeypatch.setattr(
        xdist.dsession.DSession, "pytest_sessionstart", lambda self, session: begun.append(session)
    )
    controller.pluginmanager.unregister(name="dsession")
    controller.pluginmanager.unregister(name="terminaldistreporter")
    session = pytest.Session.from_config(controller)
    private.begin_distribution(session)
    assert begun == [session]
    assert controller.pluginmanager.hasplugin("dsession")


def test_warning_as_data(xdist: None) -> None:
    with pytest.warns(UserWarning, match="take care") as found:
        warnings.warn("take care", UserWarning, stacklevel=1)
    data = private.warning_as_data(found[0])
    assert json.loads(json.dumps(data)) == data
    assert data["message_str"] == "take care"


def test_warning_of(xdist: None) -> None:
    with pytest.warns(UserWarning, match="take care") as found:
        warnings.warn("take care", UserWarning, stacklevel=1)
    again = private.warning_of(private.warning_as_data(found[0]))
    assert isinstance(again.message, UserWarning)
    assert str(again.message) == "take care"
    assert (again.filename, again.lineno) == (found[0].filename, found[0].lineno)


def test_is_seen_by_others(pytester: pytest.Pytester) -> None:
    hook = "pytest_runtest_logreport"
    config = pytester.parseconfigure()
    assert not private.is_seen_by_others(config, hook)
    assert private.is_seen_by_others(pytester.parseconfigure("--junitxml=out.xml"), hook)

    class Reporter:
        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            pass

    config.pluginmanager.register(Reporter())
    assert private.is_seen_by_others(config, hook)


@pytest.fixture
def reporter(pytester: pytest.Pytester) -> pytest.TerminalReporter:
    config = pytester.parseconfigure()
    found: pytest.TerminalReporter | None = config.pluginmanager.getplugin("terminalreporter")
    assert found is not None
    return found


def test_wrap_output(reporter: pytest.TerminalReporter) -> None:
    file = io.StringIO()
    private.wrap_output(reporter, lambda _: file)
    reporter.write_line("a line")
    assert file.getvalue() == "a line\n"


def test_writes_to(reporter: pytest.TerminalReporter) -> None:
    file = io.StringIO()
    private.wrap_output(reporter, lambda _: file)
    assert private.writes_to(reporter) is file


def test_column_of(reporter: pytest.TerminalReporter) -> None:
    private.wrap_output(reporter, lambda _: io.StringIO())
    reporter.write_line("a line")
    assert private.column_of(reporter) == 0
    reporter.write("four")
    assert private.column_of(reporter) == 4
