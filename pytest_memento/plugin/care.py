"""``--memento-clear`` and ``--memento-prune``: remove results, in place of a session.

Nothing is collected, and no worker started. All is listed first; then comes a question where there
is a terminal, and elsewhere ``--memento-yes`` must have been given.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from pytest_memento.care import Choice, Proposal, clear, prune, survey
from pytest_memento.errors import QueryError, StoreError
from pytest_memento.plugin import private
from pytest_memento.plugin.options import Cache, directory, expression, shown_path
from pytest_memento.query import OWN, Query
from pytest_memento.removal import Removal, amount, lines, remove
from pytest_memento.source import Source
from pytest_memento.store import Store

_WIDE = 160
"""Cells of a line that goes to no terminal."""
_MOST_TROUBLES = 10
_OTHER_CHOICES = {
    "memento_select": "--memento-select",
    "memento_accept": "--memento-accept",
    "keyword": "-k",
    "deselect": "--deselect",
    "lf": "--lf",
    "memento_verify": "--memento-verify",
}


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    :param clear: what must hold for the runs to remove, if that is asked for.
    :param prunes: whether superseded and orphaned runs and leftovers are to go.
    :param says_yes: whether that was answered beforehand.
    :param lists_only: whether nothing is to be removed.
    :param choice: of which files.
    """

    clear: Query | None
    prunes: bool
    says_yes: bool
    lists_only: bool
    store: Store
    choice: Choice


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Remove results if that is what the user asked for."""
    if hasattr(config, "workerinput") or config.option.help or config.option.version:
        return None
    request = read(config)
    if request is None:
        return None
    with private.whole_terminal(config):
        return Care(request, config).run()


def read(config: pytest.Config) -> Request | None:
    """Return what the user asked for, ``None`` for a session.

    :raises pytest.UsageError: an expression is wrong, or options do not go together.
    """
    query, prunes = expression(config, "clear"), bool(config.getoption("memento_prune"))
    says_yes = bool(config.getoption("memento_yes"))
    if query is None and not prunes:
        if says_yes:
            raise pytest.UsageError("--memento-yes is for --memento-clear and --memento-prune")
        return None
    _refuse_others(config, "--memento-prune" if query is None else "--memento-clear")
    store = Store(directory(config))
    return Request(
        clear=query,
        prunes=prunes,
        says_yes=says_yes,
        lists_only=bool(config.getoption("collectonly")),
        store=store,
        choice=Choice(config.rootpath, _sources(config)),
    )


def _refuse_others(config: pytest.Config, option: str) -> None:
    """Refuse what would make more go than the user may think."""
    if config.getoption("memento_cache") == Cache.OFF.value:
        raise pytest.UsageError(f"{option} needs the store, not with --memento-cache=off")
    given = [shown for name, shown in _OTHER_CHOICES.items()
             if config.getoption(name, default=None) not in (None, False, "", [])]  # fmt: skip
    # Those of addopts say what to run.
    given += ["-m"] if any(text.startswith("-m") for text in config.invocation_params.args) else []
    if given:
        raise pytest.UsageError(
            f"{option} does not look at {given[0]}: choose with files and --memento-clear EXPR"
        )


def _sources(config: pytest.Config) -> tuple[Source, ...]:
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        return ()
    return tuple(Source.of(text, config.invocation_params.dir) for text in config.args)


class Care:
    """Lists, asks and removes."""

    def __init__(self, request: Request, config: pytest.Config) -> None:
        self.request = request
        self._writer = private.terminal_writer(config)
        self._place = shown_path(request.store.root, config)

    def run(self) -> int:
        """Do what was asked for.

        :return: the exit code of pytest.
        :raises pytest.UsageError: an expression names nothing, or a file is not there.
        """
        proposal = self._proposal()
        for remark in proposal.remarks:
            self._say(remark)
        if not proposal.removals:
            self._say(f"nothing to remove in {self._place}{self._hint()}")
            return pytest.ExitCode.OK
        self._list(proposal.removals)
        return self._settle(proposal.removals)

    def _proposal(self) -> Proposal:
        request, now = self.request, time.time()
        try:
            found, proposal = survey(request.store), Proposal()
            _check_sources(request.choice, {run.record.key.experiment for run in found.runs})
            if request.clear is not None:
                proposal = clear(found, request.clear, request.choice, now)
            if request.prunes:
                rest = found.without(proposal.removals)
                proposal += prune(rest, request.choice, now)
        except QueryError as error:
            raise pytest.UsageError(f"--memento-clear: {error}") from None
        except StoreError as error:
            raise pytest.UsageError(f"the store cannot be used: {error}") from None
        return proposal

    def _hint(self) -> str:
        query = self.request.clear
        if query is None or not any((n.root, n.name) == (OWN, "status") for n in query.names):
            return ""
        return " (the status of what is stored is 'passed' or 'failed')"

    def _list(self, removals: tuple[Removal, ...]) -> None:
        self._say(f"store {self._place}")
        for line in lines(removals, time.time(), _width()):
            self._writer.line(line)

    def _settle(self, removals: tuple[Removal, ...]) -> int:
        if self.request.lists_only:
            self._say(f"would remove {amount(removals)}")
            return pytest.ExitCode.OK
        if not (self.request.says_yes or _is_terminal()):
            self._say(
                f"nothing removed: there is no terminal to ask at; to remove {amount(removals)},"
                " add --memento-yes"
            )
            return pytest.ExitCode.USAGE_ERROR
        if not (self.request.says_yes or self._asks(f"remove {amount(removals)}? [y/N] ")):
            self._say("nothing removed")
            return pytest.ExitCode.INTERRUPTED
        return self._remove(removals)

    def _asks(self, question: str) -> bool:
        try:
            self._writer.write(f"memento: {question}", flush=True)
            answer = sys.stdin.readline()
        except (KeyboardInterrupt, OSError, ValueError):
            answer = ""
        if not answer.endswith("\n"):
            self._writer.line()
        return answer.strip().lower() in ("y", "yes")

    def _remove(self, removals: tuple[Removal, ...]) -> int:
        removed: list[Removal] = []
        troubles: list[str] = []
        is_whole = True
        try:
            for removal, trouble in remove(removals, self.request.store.root):
                if trouble:
                    troubles.append(f"{_named(removal)} stays: {trouble}")
                else:
                    removed.append(removal)
        except KeyboardInterrupt:
            is_whole = False
        for line in _cut(troubles):
            self._say(line)
        self._say(f"removed {amount(removed)}" + ("" if is_whole else ", then interrupted"))
        if not is_whole:
            return pytest.ExitCode.INTERRUPTED
        return pytest.ExitCode.TESTS_FAILED if troubles else pytest.ExitCode.OK

    def _say(self, text: str) -> None:
        self._writer.line(f"memento: {text}")


def _check_sources(choice: Choice, experiments: set[str]) -> None:
    """Take a file that is not there for a mistake, unless there are results of it."""
    for source in choice.sources:
        known = any(source.covers(name, [choice.root]) for name in experiments)
        if not known and not source.path.exists():
            raise pytest.UsageError(f"there is no {source.path}, nor a result of it")


def _named(removal: Removal) -> str:
    if removal.status:
        return f"{removal.experiment}[{removal.name}]"
    return f"{removal.experiment}: {removal.name}"


def _cut(texts: list[str]) -> Iterator[str]:
    yield from texts[:_MOST_TROUBLES]
    if len(texts) > _MOST_TROUBLES:
        yield f"... and {len(texts) - _MOST_TROUBLES} more stay"


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _width() -> int:
    return shutil.get_terminal_size((_WIDE, 24)).columns
