"""Everything of pytest and xdist that is not public, in one place: a new release breaks here.

Each function names what it touches; tests/plugin/test_private.py calls each of them.
"""

from __future__ import annotations

import contextlib
import functools
import json
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from _pytest._io import TerminalWriter
from _pytest.config import create_terminal_writer
from _pytest.doctest import DoctestModule
from _pytest.python import _ascii_escaped_by_config, path_matches_patterns
from _pytest.runner import collect_one_node, runtestprotocol
from _pytest.scope import Scope
from _pytest.skipping import evaluate_skip_marks, evaluate_xfail_marks
from _pytest.terminal import KNOWN_TYPES, TerminalReporter

FixtureDefs = Mapping[str, Sequence[pytest.FixtureDef[Any]]]


def visible_fixtures(node: pytest.Item | pytest.Collector, name: str) -> bool:
    """Whether a fixture of that name can be had at *node*: ``FixtureManager.getfixturedefs``."""
    manager = node.session._fixturemanager  # touched: Session._fixturemanager
    return bool(manager.getfixturedefs(name, node))


def give_way(session: pytest.Session, name: str, module: str) -> None:
    """Put the fixture of *module* below those that other plugins have under the same name.

    (``FixtureManager._arg2node2fixturedefs``; before pytest 9.1 ``._arg2fixturedefs``)
    """

    def is_there(definition: pytest.FixtureDef[Any]) -> bool:
        return bool(definition.func.__module__ == module)

    manager: Any = session._fixturemanager
    if hasattr(manager, "_arg2node2fixturedefs"):
        nearest_first = manager._arg2node2fixturedefs[name][session]
        nearest_first.sort(key=is_there)
    else:
        nearest_last = manager._arg2fixturedefs[name]
        nearest_last.sort(key=is_there, reverse=True)


def fixtures_of(metafunc: pytest.Metafunc) -> FixtureDefs:
    """Return name -> definitions, the nearest one last: ``Metafunc._arg2fixturedefs``."""
    return metafunc._arg2fixturedefs


def fixture_definitions(metafunc: pytest.Metafunc, name: str) -> Iterator[pytest.FixtureDef[Any]]:
    """Yield the definitions of a fixture, the nearest first: those that it overrides and uses.

    (``Metafunc._arg2fixturedefs``, ``FixtureManager.getfixturedefs``)
    """
    node = metafunc.definition
    manager = node.session._fixturemanager
    chain = metafunc._arg2fixturedefs.get(name) or manager.getfixturedefs(name, node) or ()
    for definition in reversed(chain):
        yield definition
        if name not in definition.argnames:
            return


def collect_directory(node: pytest.Directory) -> pytest.CollectReport:
    """Return what is in a directory, its conftest.py loaded: ``collect_one_node``."""
    return collect_one_node(node)


def undo_deselection(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """Have the terminal not count items as deselected: ``TerminalReporter.stats``."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None and (known := reporter.stats.get("deselected")):
        gone = {id(item) for item in items}
        known[:] = [item for item in known if id(item) not in gone]


def holds_tests(node: object) -> bool:
    """Whether a node is a module with its functions, not with its docstrings: ``DoctestModule``."""
    return isinstance(node, pytest.Module) and not isinstance(node, DoctestModule)


def collected_by_pytest(path: Path, session: pytest.Session) -> bool:
    """Whether pytest itself collects *path*: ``path_matches_patterns``."""
    patterns = session.config.getini("python_files")
    return session.isinitpath(path) or path_matches_patterns(path, patterns)


def is_parametrized(metafunc: pytest.Metafunc) -> bool:
    """Whether something else has parametrized the function already: ``Metafunc._calls``."""
    return bool(metafunc._calls)


def parametrized_names(metafunc: pytest.Metafunc) -> set[str]:
    """Return the arguments that something else has parametrized already: ``Metafunc._calls``."""
    return {name for call in metafunc._calls for name in call.params}


def generate(
    collector: pytest.Module | pytest.Class, name: str, function: object
) -> list[pytest.Function]:
    """Make the items of a function anew: ``PyCollector._genfunctions``."""
    return list(collector._genfunctions(name, function))


def parameter_marks(item: pytest.Function) -> list[pytest.Mark]:
    """Return the marks that came with the parameters of an item: ``Function.callspec``."""
    return list(item.callspec.marks)


def place_parameter(item: pytest.Item, name: str, scope: str, number: int) -> None:
    """Say how long a parameter lives and which of its values it is: ``Function.callspec``.

    ``parametrize`` takes one scope for all, and takes each set of values for another one.
    """
    callspec: Any = item.callspec  # type: ignore[attr-defined]
    callspec.indices[name] = number
    callspec._arg2scope[name] = Scope(scope)


def outlives(item: pytest.Item, name: str) -> bool:
    """Whether the value of a parameter lives longer than *item*: ``Function.callspec``."""
    callspec: Any = item.callspec  # type: ignore[attr-defined]
    return bool(callspec._arg2scope[name] is not Scope.Function)


def parameter_definition(item: pytest.Item, name: str) -> pytest.FixtureDef[Any]:
    """Return what pytest has made of a parameter: ``Function._fixtureinfo``."""
    function: Any = item
    definition: pytest.FixtureDef[Any] = function._fixtureinfo.name2fixturedefs[name][-1]
    return definition


def renew_parameter(item: pytest.Item, name: str) -> None:
    """Tear down a parameter, and what depends on it, that pytest may take for its next value.

    pytest compares with ``==``. (``Function._fixtureinfo``, ``Function._request``)
    """
    function: Any = item
    for definition in function._fixtureinfo.name2fixturedefs.get(name, ()):
        definition.finish(function._request)


def id_escape(config: pytest.Config) -> Callable[[str], str]:
    """Return what makes an id of a text, as parametrize does: ``_ascii_escaped_by_config``."""
    return functools.partial(_ascii_escaped_by_config, config=config)


def skip_reason(item: pytest.Item) -> str | None:
    """Return for what a mark skips an item, if one does: ``evaluate_skip_marks``."""
    skipped = evaluate_skip_marks(item)
    return skipped.reason if skipped is not None else None


def never_runs(item: pytest.Item) -> bool:
    """Whether marks leave an item out: ``evaluate_skip_marks``, ``evaluate_xfail_marks``.

    One that cannot be evaluated fails when it is the item's turn.
    """
    try:
        if evaluate_skip_marks(item):
            return True
        expected = None if item.config.option.runxfail else evaluate_xfail_marks(item)
    except pytest.fail.Exception:
        return False
    return expected is not None and not expected.run


class Probe:
    """Evaluates one fixture as pytest would for a test at *collector*, and nothing else.

    (``Function(callobj=)``, ``Function._fixtureinfo``, ``runtestprotocol``, ``CaptureManager``)
    """

    def __init__(self, collector: pytest.Module | pytest.Class, fixture: str) -> None:
        self._value: list[Any] = []
        self._fixture = fixture

        def take() -> None:
            self._value.append(self._item.funcargs[fixture])

        call: Any = take
        if isinstance(collector, pytest.Class):
            # A bound method, so that fixtures that are methods get an instance.
            made: Any = collector
            call = types.MethodType(lambda _: take(), made.newinstance())
        self._item: pytest.Function = pytest.Function.from_parent(
            collector, name=fixture, callobj=call
        )
        # Autouse fixtures and those of usefixtures marks are not wanted at collection.
        self._item.fixturenames = [fixture]

    def definitions(self) -> Iterator[pytest.FixtureDef[Any]]:
        """Yield the definitions that the value depends on, each once."""
        manager = self._item.session._fixturemanager
        waiting, seen = [self._fixture], set()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            for definition in manager.getfixturedefs(name, self._item) or ():
                yield definition
                waiting.extend(definition.argnames)

    def run(self) -> tuple[pytest.TestReport | None, Any]:
        """Return the report that is not a pass, or else the value."""
        option = self._item.config.option
        captures = self._captures()
        planned = {name: getattr(option, name, False) for name in ("setuponly", "setupplan")}
        for name in planned:
            setattr(option, name, False)
        try:
            reports = runtestprotocol(self._item, log=False, nextitem=None)
        finally:
            for name, value in planned.items():
                setattr(option, name, value)
            if captures:
                self._resume_capture()
        bad = next((report for report in reports if not report.passed), None)
        return bad, None if bad else self._value[0]

    def _captures(self) -> bool:
        """Whether output is captured now: of what is collected, that of modules is, and no other.

        (``CaptureManager._global_capturing``)
        """
        manager: Any = self._item.config.pluginmanager.getplugin("capturemanager")
        capturing = manager and manager._global_capturing
        return bool(capturing and capturing.is_started())

    def _resume_capture(self) -> None:
        """Go on capturing the collection, which running an item has ended."""
        self._item.config.pluginmanager.getplugin("capturemanager").resume_global_capture()


def wide_fixtures(item: pytest.Item) -> Iterator[tuple[str, str, int | None]]:
    """Yield the fixtures of an item that live longer than it: where, name, number of the value.

    (``Function._fixtureinfo``, ``Function.callspec``)
    """
    info = getattr(item, "_fixtureinfo", None)
    if info is None:
        return
    callspec = getattr(item, "callspec", None)
    indices: Mapping[str, int] = callspec.indices if callspec is not None else {}
    for name, definitions in info.name2fixturedefs.items():
        scope = definitions[-1].scope
        if scope != "function":
            yield _place_of(item, scope), name, indices.get(name)


def _place_of(item: pytest.Item, scope: str) -> str:
    """Return the node that a fixture of that scope belongs to."""
    kinds: dict[str, Any] = {"class": pytest.Class, "module": pytest.Module}
    kind = kinds.get(scope)
    node = item.getparent(kind) if kind else None
    if scope == "class" and node is None:  # then it lives as long as the module
        node = item.getparent(pytest.Module)
    return node.nodeid if node is not None else ""


def tear_down_for(item: pytest.Item, nextitem: pytest.Item | None) -> pytest.TestReport | None:
    """Tear down what *nextitem* does not need, where *item* was reported without being set up.

    pytest's own protocol does it after each item. Its teardown hook cannot be called here: plugins
    expect to have seen the set-up. (``Session._setupstate``, ``CaptureManager.item_capture``)

    :return: the report to send, if a teardown failed.
    """
    needed = set(nextitem.listchain()) if nextitem is not None else set()
    state = item.session._setupstate
    if all(node in needed for node in state.stack):
        return None
    capture = item.config.pluginmanager.getplugin("capturemanager")
    with capture.item_capture("teardown", item) if capture else contextlib.nullcontext():
        call = pytest.CallInfo.from_call(
            lambda: state.teardown_exact(nextitem),
            when="teardown",
            reraise=(pytest.exit.Exception, KeyboardInterrupt),
        )
    return pytest.TestReport.from_item_and_call(item, call) if call.excinfo else None


def replace_scheduler(config: pytest.Config, scheduler: object) -> None:
    """Have xdist go on with another scheduler than the one it asked for: ``DSession.sched``."""
    config.pluginmanager.getplugin("dsession").sched = scheduler


def begin_distribution(session: pytest.Session) -> None:
    """Have xdist start its workers as its ``pytest_configure`` and ``pytest_sessionstart`` would.

    (``xdist.dsession.DSession``, ``TerminalReporter.showfspath``)
    """
    from xdist.dsession import DSession

    distribution = DSession(session.config)
    session.config.pluginmanager.register(distribution, "dsession")
    reporter = session.config.pluginmanager.getplugin("terminalreporter")
    if reporter is not None:
        reporter.showfspath = False
    distribution.pytest_sessionstart(session)


def show_no_status(config: pytest.Config, last: str) -> None:
    """Have xdist show no more of how workers come up, over what is there by then.

    (``DSession.trdist``, ``TerminalDistReporter._isatty``)

    :param last: what it is to show in the end.
    """
    reporter = getattr(config.pluginmanager.getplugin("dsession"), "trdist", None)
    if reporter is not None:
        reporter.getstatus = lambda: last
        reporter._isatty = False


def may_restart(config: pytest.Config, *, counted: bool) -> bool:
    """Whether xdist will replace a worker that dies now; where not *counted*, it always will.

    Its limit, if the user gave none, is there for workers that die while they collect.
    (``DSession._max_worker_restart``, ``DSession._failed_nodes_count``)
    """
    session: Any = config.pluginmanager.getplugin("dsession")
    most = session._max_worker_restart
    if config.option.maxworkerrestart is None and not counted:
        session._failed_nodes_count -= 1
        return True
    return most is None or session._failed_nodes_count < most


def warning_as_data(message: warnings.WarningMessage) -> dict[str, Any]:
    """Return a warning as JSON holds it, nothing without xdist: ``serialize_warning_message``."""
    try:
        from xdist.remote import serialize_warning_message
    except ImportError:
        return {}
    data: dict[str, Any] = json.loads(json.dumps(serialize_warning_message(message), default=str))
    return data


def warning_of(data: Mapping[str, Any]) -> warnings.WarningMessage:
    """Return the warning that :func:`warning_as_data` has read: ``unserialize_warning_message``."""
    from xdist.workermanage import unserialize_warning_message

    message: warnings.WarningMessage = unserialize_warning_message(dict(data))
    return message


def is_seen_by_others(config: pytest.Config, hook: str) -> bool:
    """Whether a hook has an implementation that is neither pytest's, xdist's nor ours.

    That of junitxml (``LogXML``) counts as one of others.
    """
    for found in getattr(config.hook, hook).get_hookimpls():
        module: str = getattr(found.function, "__module__", None) or ""
        is_known = module.partition(".")[0] in ("_pytest", "xdist", "pytest_memento")
        if not is_known or module == "_pytest.junitxml":
            return True
    return False


def terminal_writer(config: pytest.Config) -> TerminalWriter:
    """Return what writes to the terminal where no session is made: ``create_terminal_writer``."""
    return create_terminal_writer(config)


@contextlib.contextmanager
def whole_terminal(config: pytest.Config) -> Iterator[None]:
    """Read from the terminal, too, while the body runs: ``CaptureManager.suspend_global_capture``.

    pytest keeps its capture of the input from when conftest files are loaded.
    """
    manager: Any = config.pluginmanager.getplugin("capturemanager")
    if manager is not None:
        manager.suspend_global_capture(in_=True)
    yield


def wrap_output(reporter: TerminalReporter, wrap: Callable[[Any], Any]) -> None:
    """Put something between the reporter and what it writes to: ``TerminalWriter._file``."""
    writer: Any = reporter._tw
    writer._file = wrap(writer._file)


def column_of(reporter: TerminalReporter) -> int:
    """Return how many columns of the present line are written on: ``TerminalReporter._tw``."""
    return reporter._tw.width_of_current_line


def writes_to(reporter: TerminalReporter) -> Any:
    """Return what the reporter writes to: ``TerminalWriter._file``."""
    writer: Any = reporter._tw
    return writer._file


def adjust_summary_line(
    reporter: TerminalReporter, colour: str, notes: Mapping[str, Callable[[], str]]
) -> None:
    """Show categories first in pytest's last line, in *colour*, each with a note in brackets.

    pytest takes a category that it does not know for a warning. (``build_summary_stats_line``)
    """
    original = reporter.build_summary_stats_line

    def build() -> tuple[list[tuple[str, dict[str, bool]]], str]:
        parts, main = original()
        counts = {name: len(reporter.stats.get(name, ())) for name in notes}
        shown = {name: f"{count} {name}" for name, count in counts.items() if count}
        if not shown or reporter.config.option.collectonly:
            return parts, main
        rest = [part for part in parts if part[0] not in shown.values()]
        if main == "yellow" and _only_good(reporter, set(notes)):
            main = colour
        markup = {colour: True, "bold": main == colour}
        own = [(f"{text}{_in_brackets(notes[name]())}", markup) for name, text in shown.items()]
        return [*own, *rest], main

    reporter.build_summary_stats_line = build  # type: ignore[method-assign]


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


def _only_good(reporter: TerminalReporter, more: set[str]) -> bool:
    kinds = {kind for kind, reports in reporter.stats.items() if kind and reports}
    good = {"passed", "skipped", "deselected", "xfailed"}
    return kinds <= good | more and set(KNOWN_TYPES) >= good
