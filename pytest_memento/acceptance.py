"""Declare a stale result valid for the present code: on record, and only for that code."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from pytest_memento import files, provenance
from pytest_memento.experiment import Experiment
from pytest_memento.record import Outcome, Record
from pytest_memento.store import Store


def why_not(experiment: Experiment, before: Record) -> str:
    """Say why a stored run cannot stand for an experiment; empty if it can."""
    if before.outcome is not Outcome.PASSED:
        return "it failed"
    if before.key.settings != experiment.key.settings:
        return "its settings differ"
    return ""


def accept(experiment: Experiment, before: Record, store: Store, root: Path) -> None:
    """Take a stored result over for an experiment with other code, or other data files.

    The stored one stays as well. The new record says who took it over, when, and from which code;
    the files that the run depended on count as they are now.

    :param before: the result, for the same parameters and settings.
    :param root: the project, which names of data files start from.
    :raises StoreError: the result is damaged, or the store cannot be written.
    """
    now = {name: files.digest_now(root / name, store.file_digest) for name in before.files}
    record = replace(
        before,
        key=experiment.key,
        files=now,
        accepted={
            "by": f"{provenance.user()}@{provenance.host()}",
            "at": time.time(),
            "code": before.key.code,
            "before": dict(before.accepted),
        },
    )
    store.put_document(experiment.key.code, experiment.manifest)
    store.take_over(before, record)
