"""What is known of an experiment whose process died while it ran."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_memento import metrics
from pytest_memento.amounts import size
from pytest_memento.record import Record

_LONGEST_OUTPUT = 10_000


@dataclass(frozen=True, slots=True)
class PostMortem:
    """The failure that is put on record.

    :param record: its header.
    :param series: metrics up to the last sign of life.
    :param output: the end of what it had printed and logged by then.
    """

    record: Record
    series: Mapping[str, Any]
    output: str

    @property
    def text(self) -> str:
        """What people read."""
        last = f"\n--- output until then ---\n{self.output}" if self.output else ""
        return f"{self.record.error}{last}"

    @property
    def details(self) -> dict[str, Any]:
        """What a header leaves out."""
        return {"metrics": self.series, "traceback": self.record.error, "output": self.output}


def post_mortem(
    record: Record, who: str, times: int, pulse: Mapping[str, Any], log: Path, ended: float = 0.0
) -> PostMortem:
    """Say what an experiment died of, as far as it has left a trace.

    :param record: of the failure, as if it had failed right after it began.
    :param who: what died: ``"its worker"`` or ``"its process"``.
    :param times: how often in turn.
    :param pulse: the last sign of life, empty if there was none.
    :param log: the file with its output; it may not be there.
    :param ended: seconds since the epoch; by default that of the last sign of life.
    """
    memory: int | None = pulse.get("memory")
    error = f"{who} died {times} times" if times > 1 else f"{who} died"
    if memory:
        error += f" (peak memory {size(memory)})"
    series = pulse.get("series", {})
    ended = ended or float(pulse.get("beat", record.started))
    known = dataclasses.replace(
        record,
        runtime=max(0.0, ended - record.started),
        memory=memory,
        error=error,
        deaths=times,
        metrics=metrics.last(series),
        progress=pulse.get("progress"),
    )
    return PostMortem(known, series, _end_of(log))


def _end_of(path: Path) -> str:
    """Return the end of a text file, nothing if it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LONGEST_OUTPUT))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
