"""Declare valid for the present code what other code computed: on record, for that code only."""

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


def has_other_checkpoint(experiment: Experiment, store: Store) -> bool:
    """Whether an experiment could go on from where it was left with other code, and has no other.

    :raises StoreError: a link leads out of the store.
    """
    if store.inside(store.checkpoint(experiment.key)).exists():
        return False
    return store.other_checkpoint(experiment.key) is not None


def accept_checkpoint(experiment: Experiment, store: Store) -> None:
    """Have an experiment go on from where it was left with other code.

    :raises StoreError: the checkpoint is damaged, or the store cannot be written.
    """
    before = store.other_checkpoint(experiment.key)
    if before is not None:
        store.take_over_checkpoint(before, experiment.key)


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
