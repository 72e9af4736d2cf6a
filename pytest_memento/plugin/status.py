"""``--memento-status``: what goes on in the store, in place of a session."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from pytest_memento.amounts import size
from pytest_memento.plugin import export, private
from pytest_memento.plugin.options import directory, shown_path
from pytest_memento.slurm import cluster
from pytest_memento.slurm.submission import Submission, submissions
from pytest_memento.status import lines, running
from pytest_memento.store import Store

_WIDE = 160
"""Cells of a line that goes to no terminal."""


def show(config: pytest.Config) -> int:
    """Show it; nothing is collected, imported or written.

    :return: the exit code of pytest.
    """
    store = Store(directory(config), shared=config.getini("memento_shared"))
    paths = export.targets(config)
    writer = private.terminal_writer(config)
    width = shutil.get_terminal_size((_WIDE, 24)).columns if writer.hasmarkup else _WIDE
    for line in _all(store, config, width):
        writer.line(line)
    if paths and store.root.is_dir():
        for line, is_good in export.of_store(config, paths, store):
            writer.line(line, yellow=not is_good)
    return pytest.ExitCode.OK


def _all(store: Store, config: pytest.Config, width: int) -> Iterator[str]:
    place = shown_path(store.root, config)
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
    why = cluster.reasons_of(found)
    counts = {
        f"running on {cluster.nodes_of(found)}": sum(each.is_running for each in found),
        f"queued ({why})" if why else "queued": sum(each.is_waiting for each in found),
        "ended": sum(each.is_over for each in found),
    }
    parts = [f"{number} {what}" for what, number in counts.items() if number]
    return f"{which}: {', '.join(parts) or 'over, and not yet watched to its end'}"
