"""``--memento-status``, ``--memento-watch``: what goes on in the store, in place of a session."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence

import pytest

from pytest_memento import table
from pytest_memento.amounts import size
from pytest_memento.plugin import export, private
from pytest_memento.plugin.options import directory, shown_path
from pytest_memento.plugin.stopping import ending_by
from pytest_memento.slurm import cluster
from pytest_memento.slurm.cluster import Element
from pytest_memento.slurm.submission import Submission, submissions
from pytest_memento.status import Survey
from pytest_memento.store import Store

_WIDE = 160
"""Cells of a line that goes to no terminal."""
_DRAWN_EACH = 2.0
"""Seconds between two looks on a terminal."""
_PRINTED_EACH = 60.0
"""Seconds between two looks that are printed one below the other."""
_SHARE = 4
"""How many times as long as it takes to look there is rest: a store may be large, or far away."""
_ASKED_EACH = 15.0
"""Seconds between two questions to squeue."""
# ECMA-48, and the alternate screen of xterm.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


def show(config: pytest.Config) -> int:
    """Show it; nothing is collected, imported or written.

    :return: the exit code of pytest.
    """
    look, paths = _Look(config), export.targets(config)
    if not config.getoption("memento_watch"):
        writer = private.terminal_writer(config)
        width = shutil.get_terminal_size((_WIDE, 24)).columns if writer.hasmarkup else _WIDE
        for line in look.lines(width):
            writer.line(line)
        if paths and not look.store.root.is_dir():
            raise pytest.UsageError("--memento-report: there is no store to report of")
        if paths:
            for line, is_good in export.of_store(config, paths, look.store):
                writer.line(line, yellow=not is_good)
        return pytest.ExitCode.OK
    if paths:
        raise pytest.UsageError("--memento-report goes with --memento-status, not --memento-watch")
    # A reader that ends, as `head` does, and Ctrl-C are how this is meant to end.
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError), ending_by(_end):
        if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
            _draw(look)
        else:
            _print(look)
    return pytest.ExitCode.OK


def _end(number: int) -> None:
    """End in order, so that the terminal is as it was."""
    sys.exit(128 + number)


def _draw(look: _Look) -> None:
    """Show it in place, on a screen of its own; what was seen last stays when that is left."""
    lines: list[str] = []
    _write(_ENTER)
    try:
        while True:
            began = time.monotonic()
            width, height = shutil.get_terminal_size()
            lines = list(look.lines(width, height))
            # In one piece, over what stands there: nothing is empty in between.
            shown = "\n".join(f"{line}{_REST_OF_LINE}" for line in lines)
            _write(f"{_HOME}{shown}{_REST_OF_SCREEN}")
            _rest(began, _DRAWN_EACH)
    finally:
        _write(_LEAVE + "".join(f"{line}\n" for line in lines))


def _print(look: _Look) -> None:
    while True:
        began = time.monotonic()
        _write("".join(f"{line}\n" for line in [*look.lines(_WIDE), ""]))
        _rest(began, _PRINTED_EACH)


def _write(text: str) -> None:
    sys.stdout.write(text.encode(sys.stdout.encoding, "replace").decode(sys.stdout.encoding))
    sys.stdout.flush()


def _rest(began: float, pause: float) -> None:
    took = time.monotonic() - began
    time.sleep(max(pause - took, _SHARE * took))


class _Look:
    """Looks at the store, once or again and again."""

    def __init__(self, config: pytest.Config) -> None:
        self.store = Store(directory(config), shared=config.getini("memento_shared"))
        self._place = shown_path(self.store.root, config)
        self._survey = Survey(self.store)
        self._queues = _Queues()

    def lines(self, width: int, height: int | None = None) -> Iterator[str]:
        """Yield what goes on now.

        :param width: of the terminal, in cells.
        :param height: lines that there is room for; by default all are shown.
        """
        for line in [*self._lines(width, height)][:height]:
            yield table.cut(line, width)

    def _lines(self, width: int, height: int | None) -> Iterator[str]:
        store = self.store
        if not store.root.is_dir():
            yield f"memento: there is no store {self._place}"
            return
        usage = store.usage()
        found = submissions(store.root)
        results = f"{usage.results} result{'' if usage.results == 1 else 's'}"
        head = [f"memento: store {self._place} ({results}, {size(usage.size)})"]
        head += [_of_slurm(each, self._queues.elements(each)) for each in found]
        yield from head
        waiting = {
            (item.experiment, item.stem)
            for submission in found
            if any(each.is_waiting for each in self._queues.elements(submission) or ())
            for group in submission.groups
            for item in group.items
        }
        view = self._survey.look(waiting)
        yield from view.lines(width, None if height is None else max(0, height - len(head)))


class _Queues:
    """Asks Slurm now and then."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], tuple[float, list[Element] | None]] = {}

    def elements(self, submission: Submission) -> list[Element] | None:
        """Return the tasks of a submission, ``None`` where Slurm does not answer."""
        jobs, now = tuple(submission.jobs), time.monotonic()
        known = self._known.get(jobs)
        if known is None or now - known[0] >= _ASKED_EACH:
            self._known[jobs] = known = now, cluster.elements(jobs)
        return known[1]


def _of_slurm(submission: Submission, found: Sequence[Element] | None) -> str:
    which = f"Slurm job array {', '.join(submission.jobs)}"
    if found is None:
        return f"{which}: squeue does not answer here"
    why = cluster.reasons_of(found)
    counts = {
        f"running on {cluster.nodes_of(found)}": sum(each.is_running for each in found),
        f"queued ({why})" if why else "queued": sum(each.is_waiting for each in found),
        "ended": sum(each.is_over for each in found),
    }
    parts = [f"{number} {what}" for what, number in counts.items() if number]
    return f"{which}: {', '.join(parts) or 'over, and not yet watched to its end'}"
