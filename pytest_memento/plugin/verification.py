"""``--memento-verify``: some stored results are computed again and compared, and stay as they are.

An experiment to verify is no hit: it runs like any other, but with a throw-away store, and its
report says whether the result is the one that is stored.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_memento import pickling, provenance
from pytest_memento.amounts import ago
from pytest_memento.compare import first_difference
from pytest_memento.errors import ResultNotLoadedError
from pytest_memento.experiment import Attempt
from pytest_memento.plugin.bound import BOUND, Bound
from pytest_memento.plugin.distribution import agree
from pytest_memento.plugin.hits import is_hit
from pytest_memento.plugin.options import Options, Sample
from pytest_memento.plugin.outlook import REMARKS
from pytest_memento.plugin.reports import Ended, attach, what_to_tell
from pytest_memento.record import Outcome
from pytest_memento.store import Store


class Verification:
    """Runs a sample of the cached experiments beside the store.

    :param sample: how many of them.
    """

    def __init__(self, options: Options, sample: Sample) -> None:
        self.options = options
        self.sample = sample
        self._beside = Store(Path(tempfile.mkdtemp(prefix="memento-verify-")))

    # First of all, so that the header knows; and late enough for --lf to have deselected.
    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Draw the sample."""
        config, cached = session.config, self._cached(session)
        drawn = agree(config, "verification", self.sample.draw(list(cached)))
        remarks = config.stash.setdefault(REMARKS, [])
        remarks.append(self._remark(len(drawn), len(cached)))
        if not self.options.collect_only:
            for nodeid in drawn:
                if nodeid in cached:
                    cached[nodeid].beside = self._beside

    def _cached(self, session: pytest.Session) -> dict[str, Bound]:
        return {
            item.nodeid: item.stash[BOUND]
            for item in session.items
            if BOUND in item.stash and is_hit(item, item.stash[BOUND])
        }

    def _remark(self, drawn: int, cached: int) -> str:
        if not cached:
            return "memento: nothing is cached, and so nothing to verify"
        verb = "would be" if self.options.collect_only else "are"
        return (
            f"memento: {drawn} of {cached} cached results {verb} computed again and compared"
            f" (--memento-verify={self.sample})"
        )

    # pytest looks for hooks only under names of its own kind.
    @pytest.hookimpl(wrapper=True, specname="pytest_runtest_protocol")
    def pytest_memento_clean_up(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Remove what the experiment left in the throw-away store."""
        try:
            return (yield)
        finally:
            if BOUND in item.stash and item.stash[BOUND].beside:
                self._remove()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Compare, when all other plugins agree that the test passed."""
        report = yield
        bound = item.stash.get(BOUND, None)
        if bound is None or not bound.beside or call.when != "call" or bound.attempt.is_running:
            return report
        if report.failed:
            report.sections.append(("memento", "run to verify the stored result, which stays"))
        elif report.passed and bound.attempt.has_returned:
            if wrong := self._what_is_wrong(item, bound.attempt):
                report.outcome = "failed"
                report.longrepr = wrong
            bound.on_record = None if wrong else Outcome.PASSED
            attach(report, what_to_tell(bound, Ended.FAILED if wrong else Ended.VERIFIED))
        return report

    def pytest_unconfigure(self) -> None:
        """Remove the throw-away store."""
        self._remove()

    def _remove(self) -> None:
        shutil.rmtree(self._beside.root, ignore_errors=True)

    # -- comparing ---------------------------------------------------------------------------------

    def _what_is_wrong(self, item: pytest.Item, attempt: Attempt) -> str:
        """Compare the result with the stored one; return nothing if they are the same."""
        try:
            stored = self.options.store.load(attempt.experiment.key)
        except ResultNotLoadedError as error:
            return f"not verified: {error}"
        try:
            difference = self._difference(item, attempt, stored)
        except Exception as error:  # of the user's hook, or of pickling what is the user's
            return f"not verified: comparing raised {type(error).__name__}: {error}"
        if not difference:
            return ""
        return "\n".join([difference, *self._since(attempt), "the stored result stays"])

    def _difference(self, item: pytest.Item, attempt: Attempt, stored: Any) -> str:
        pickled = pickling.dump(attempt.returned)
        computed = pickling.load(pickled.stream, pickled.buffers)
        said = item.ihook.pytest_memento_compare(
            stored=stored, computed=computed, config=attempt.config
        )
        if said is not None:
            return (
                said
                if isinstance(said, str)
                else ""
                if said
                else "differs from the stored result, says the project's hook"
            )
        here, there = (
            str(store.artifacts(attempt.experiment.key))
            for store in (self._beside, self.options.store)
        )
        found = first_difference(stored, computed, moved=(here, there))
        return str(found) if found else ""

    def _since(self, attempt: Attempt) -> Iterator[str]:
        """Yield what else is not as it was when the result was stored."""
        record = self.options.store.find(attempt.experiment.key)
        if record is None:
            return
        before = self.options.store.document(record.environment)
        when = ago(attempt.measured.started - record.ended)
        yield f"{attempt.experiment.case.label}: stored {when} on {before.get('host', '?')}"
        if record.accepted:
            when = ago(time.time() - record.accepted["at"])
            yield f"accepted for the present code {when} by {record.accepted['by']}"
        _, now = provenance.environment(self.options.root)
        if changes := list(_changes(before, now)):
            yield f"since then: {', '.join(changes)}"


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Name what differs between two descriptions of an environment."""
    for name in ("host", "python", "platform", "commit"):
        if before.get(name) and before[name] != now[name]:
            yield f"{name} {before[name]} -> {now[name]}"
    versions = before.get("versions", {})
    for name, version in now["versions"].items():
        if name in versions and versions[name] != version:
            yield f"package {name} {versions[name]} -> {version}"
