"""What ties a pytest item to its experiment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from pytest_memento.errors import MementoError
from pytest_memento.experiment import Attempt, Experiment, Standing, Status
from pytest_memento.record import Outcome, Record
from pytest_memento.store import Store


def has_skip_mark(marks: Iterable[Any]) -> bool:
    """Whether one of *marks* may skip: then whether it does is left to pytest."""
    return any(mark.name in ("skip", "skipif") for mark in marks)


class Bound:
    """An item's experiment, what the store knows of it, and the present attempt.

    :param experiment: what the item computes.
    :param standing: what the store knows of it.
    :param position: among the configurations of its function.
    """

    __slots__ = (
        "_attempt",
        "beside",
        "experiment",
        "is_left",
        "lacks",
        "no_outcome",
        "on_record",
        "passed_over",
        "position",
        "put_off",
        "record",
        "refused",
        "standing",
        "where",
    )

    def __init__(self, experiment: Experiment, standing: Standing, position: int) -> None:
        self.experiment = experiment
        self.position = position
        self.standing = standing
        self.refused = ""  # why it is not run
        self.lacks = ("", "")  # which input is not there, for which it is not run; its experiment
        self.put_off = False  # whether its turn came once while another session ran it
        self.is_left = False  # whether this turn, too, is left for another one
        self.no_outcome = ""  # how it has ended without one, which the store does not tell
        self.record: Record | None = None  # of that failure, where it is not of this session
        self.on_record: Outcome | None = None  # what the store has of how it ended, if anything
        self.where = ""  # which other process has computed it meanwhile
        self.passed_over = False  # whether it is not begun, and has no outcome
        self.beside: Store | None = None
        """Where it runs if only to be compared with what is stored."""
        self._attempt: Attempt | None = None

    @property
    def attempt(self) -> Attempt:
        """The present attempt.

        :raises MementoError: none was started, as in a plugin that runs items its own way.
        """
        if self._attempt is None:
            raise MementoError("the experiment was not started by pytest's runtest protocol")
        return self._attempt

    @property
    def is_light(self) -> bool:
        """Whether an item can stand for it that never runs."""
        return self.standing.status is Status.CACHED and not has_skip_mark(
            self.experiment.case.tags
        )

    @property
    def progress(self) -> tuple[float, float] | None:
        """How far it said it is: (done, total)."""
        return self._attempt.context.told_progress if self._attempt else None

    def start(self, attempt: Attempt) -> None:
        """Begin a new attempt."""
        self._attempt = attempt
        self.on_record = None

    @property
    def started(self) -> bool:
        """Whether there is an attempt."""
        return self._attempt is not None


BOUND = pytest.StashKey[Bound]()
