"""``--memento-status``: what goes on in the store, in place of a session."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator

import pytest

from pytest_memento.amounts import size
from pytest_memento.plugin import private
from pytest_memento.plugin.options import directory
from pytest_memento.slurm import Submission, cluster
from pytest_memento.slurm.submission import submissions
from pytest_memento.status import lines, running
from pytest_memento.store import Store

_WIDE = 160
"""Cells of a line that goes to no terminal."""


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Show it if that is what the user asked for; nothing is collected, imported or written."""
    if not config.getoption("memento_status") or hasattr(config, "workerinput"):
        return None
    store = Store(directory(config), shared=config.getini("memento_shared"))
    writer = private.terminal_writer(config)
    width = shutil.get_terminal_size((_WIDE, 24)).columns if writer.hasmarkup else _WIDE
    for line in _all(store, config, width):
        writer.line(line)
    return pytest.ExitCode.OK


def _all(store: Store, config: pytest.Config, width: int) -> Iterator[str]:
    shown = os.path.relpath(store.root, config.invocation_params.dir)
    place = str(store.root) if shown.startswith("..") else shown
    if not store.root.is_dir():
        yield f"memento: there is no store {place}"
        return
    usage = store.usage()
    yield f"memento: store {place} ({usage.results} results, {size(usage.size)})"
    for submission in submissions(store.root):
        yield _of_slurm(submission)
    yield from lines(store, running(store), width)


def _of_slurm(submission: Submission) -> str:
    which = f"Slurm job array {', '.join(submission.jobs)}"
    found = cluster.elements(submission.jobs)
    if found is None:
        return f"{which}: squeue does not answer here"
    nodes = sorted({e.node for e in found if e.node and not e.is_over and not e.is_waiting})
    reasons = sorted({e.reason for e in found if e.is_waiting and e.reason})
    counts = Counter(
        "queued" if e.is_waiting else "ended" if e.is_over else "running" for e in found
    )
    where = {"running": f" on {', '.join(nodes)}", "queued": f" ({', '.join(reasons)})"}
    parts = [
        f"{counts[word]} {word}{where.get(word, '')}"
        for word in ("running", "queued", "ended")
        if counts[word]
    ]
    return f"{which}: {', '.join(parts) or 'over, and not yet watched to its end'}"
