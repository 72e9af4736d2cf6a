"""What a report tells of an experiment: plain data, since reports cross process borders."""

from __future__ import annotations

import copy
import enum
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import pytest

from pytest_memento import metrics
from pytest_memento.config import Config
from pytest_memento.experiment import Experiment
from pytest_memento.labels import label
from pytest_memento.plugin.bound import Bound
from pytest_memento.record import Outcome, describe_config, shown_labels

_NAME = "memento"
_ALONE = "alone"
_MOST_METRICS = 32


class Ended(enum.Enum):
    """How an experiment ended in this session; the value is the word in the summary."""

    CACHED = "cached"
    VERIFIED = "verified"
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    XFAILED = "xfailed"

    @classmethod
    def of(cls, report: pytest.TestReport) -> Ended:
        """Return how the run that *report* tells of ended."""
        if report.skipped:
            return cls.XFAILED if hasattr(report, "wasxfail") else cls.SKIPPED
        return cls.PASSED if report.passed else cls.FAILED


def why_no_outcome(report: pytest.TestReport) -> str:
    """Say how an experiment ended that neither passed nor failed; empty for others."""
    if not report.skipped:
        return ""
    if Ended.of(report) is Ended.XFAILED:
        return f"xfailed: {report.wasxfail}".removesuffix(": ")
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
    return f"was skipped: {reason.removeprefix('Skipped: ')}".removesuffix(": ")


def what_to_tell(bound: Bound, ended: Ended) -> dict[str, Any]:
    """Return what the controller shows of an experiment."""
    told: dict[str, Any] = {
        "ended": ended.value,
        "experiment": bound.experiment.key.experiment,
        "position": bound.position,
    }
    if ended is Ended.CACHED and (past := bound.standing.past) is not None:
        # The rest is in the store; there may be 100,000 of these.
        told |= {"stem": bound.experiment.key.stem, "runtime": past.runtime, "at": past.ended}
        if bound.where:
            told["where"] = bound.where
    else:
        told["labels"] = _encodable(_labels(bound.experiment))
        told["settings"] = _encodable(_settings(bound.experiment.case.config))
        if bound.on_record is not None:
            told["record"] = [bound.experiment.key.stem, bound.on_record.value]
    if bound.lacks[0]:
        told["lacks"] = [*map(_escaped, bound.lacks)]
    if bound.where and ended is Ended.FAILED:
        told["where"] = bound.where
    if bound.record is not None and ended is Ended.FAILED:
        told |= {"runtime": bound.record.runtime, "memory": bound.record.memory}
    if bound.started and ended not in (Ended.CACHED, Ended.SKIPPED):
        attempt = bound.attempt
        told |= {"runtime": attempt.measured.runtime, "memory": attempt.measured.memory}
        if ended in (Ended.PASSED, Ended.VERIFIED):
            result = {name: value.label for name, value in attempt.described.items()}
            told["result"] = _encodable(result)
        last = islice(metrics.last(attempt.context.series).items(), _MOST_METRICS)
        told["metrics"] = {_escaped(name): value for name, value in last}
    return told


def report_in_one(
    hook: Any,
    nodeid: str,
    location: tuple[str, int | None, str],
    told: Mapping[str, Any],
    message: str = "",
    properties: Sequence[tuple[str, object]] = (),
    *,
    skips: bool = False,
) -> None:
    """Send one report that stands for set-up, call and tear-down of an experiment.

    :param hook: where to.
    :param told: from :func:`what_to_tell`.
    :param message: why it failed, if it did.
    :param properties: see ``properties``.
    :param skips: whether it was not run for what *message* says.
    """
    path, line, _ = location
    why = (path, (line or 0) + 1, f"Skipped: {message}") if skips else message
    report = pytest.TestReport(
        nodeid=nodeid,
        location=location,
        keywords={},
        outcome="skipped" if skips else "failed" if message else "passed",
        longrepr=why or None,
        when="call",
        user_properties=properties,
    )
    attach(report, told, is_alone=True)
    hook.pytest_runtest_logstart(nodeid=nodeid, location=location)
    hook.pytest_runtest_logreport(report=report)
    hook.pytest_runtest_logfinish(nodeid=nodeid, location=location)


def attach(report: pytest.TestReport, told: Mapping[str, Any], *, is_alone: bool = False) -> None:
    """Write on a report what the controller shows of its experiment.

    :param is_alone: whether the report stands for set-up, call and tear-down.
    """
    setattr(report, _NAME, {**told, _ALONE: True} if is_alone else told)


def error_of(report: pytest.TestReport) -> str:
    """Return why a test failed, in a line."""
    crash = getattr(report.longrepr, "reprcrash", None)
    # Not `longreprtext`: that says first which worker it was.
    text = str(crash.message if crash is not None else report.longrepr)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [line[2:].strip() for line in lines if line.startswith("E ")]
    return next(iter(marked or lines), "failed").removeprefix(f"{report.nodeid}: ")


def told(report: object) -> Mapping[str, Any] | None:
    """Return what :func:`attach` wrote on a report, if it is one of an experiment."""
    return getattr(report, _NAME, None)


def stands_alone(told: Mapping[str, Any]) -> bool:
    """Whether the report stands for set-up, call and tear-down of the experiment."""
    return _ALONE in told


def record_told(told: Mapping[str, Any]) -> tuple[str, str, Outcome] | None:
    """Return experiment, stem and outcome of the record in the store, if there is one."""
    if "stem" in told:
        return told["experiment"], told["stem"], Outcome.PASSED
    if "record" not in told:
        return None
    stem, outcome = told["record"]
    return told["experiment"], stem, Outcome(outcome)


def end_of(report: pytest.TestReport) -> pytest.TestReport:
    """Return the report of a tear-down that goes with one that stands for all."""
    end = copy.copy(report)
    vars(end).update(when="teardown", outcome="passed", longrepr=None, sections=[], duration=0)
    delattr(end, _NAME)
    return end


def _labels(experiment: Experiment) -> Mapping[str, str]:
    case = experiment.case
    if not experiment.inputs:
        return case.labels
    parameters, _ = describe_config(case.config, case.labels, {})
    return shown_labels(parameters, experiment.given)


def _settings(config: Config) -> Mapping[str, str]:
    counting = (name for name in config.settings if name not in config.untracked)
    return {name: label(config.settings[name]) for name in counting}


def _encodable(texts: Mapping[str, str]) -> dict[str, str]:
    """Escape lone surrogates, as in names of files: one of them would end xdist's session."""
    return {_escaped(name): _escaped(text) for name, text in texts.items()}


def _escaped(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
