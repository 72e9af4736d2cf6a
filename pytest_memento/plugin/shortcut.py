"""No workers where all is stored: the controller of xdist then collects and reports by itself.

Whether all is stored shows only after collecting, which takes as long as it takes to import the
user's code; so it is tried only where it will be: the last session with these files and options
ended with every experiment stored and no other test, and none of the project's modules has been
written since. If it is not so after all, the workers are started then, and nothing is lost but the
time. Serial sessions remember how they ended, too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_memento import container
from pytest_memento.errors import DamagedError
from pytest_memento.plugin import private
from pytest_memento.plugin.bound import BOUND
from pytest_memento.plugin.given import Given
from pytest_memento.plugin.hits import is_hit
from pytest_memento.plugin.options import Cache, Options
from pytest_memento.plugin.reports import Ended, told

Sources = Mapping[str, int]
"""Module files of the project -> when they were written, in nanoseconds since the epoch."""
_CHOOSING = ("keyword", "markexpr", "deselect", "ignore", "ignore_glob", "lf", "memento_select")
"""Options that decide what is collected; another that does costs a needless collection."""


class Shortcut:
    """Has the controller collect where no worker will be needed.

    :param given: the experiment, if it is at hand: then collecting costs nothing.
    """

    def __init__(
        self,
        options: Options,
        config: pytest.Config,
        *,
        is_distributed: bool,
        given: Given | None = None,
    ) -> None:
        self.options = options
        self._given = given
        self._is_distributed = is_distributed
        self.config = config
        self.sources: Sources = {}
        """What the first worker said."""
        self._path = options.store.root / "sessions" / _digest(config)
        self._distribution = ""
        self._is_complete = True
        self._has_ended = False

    def pytest_configure(self) -> None:
        """Put xdist off before it sets itself up, if all will be stored."""
        option = self.config.option
        wanted = self.options.reads and self.options.verify is None
        is_tried = self._given is not None or (wanted and self._was_complete())
        if self._is_distributed and is_tried:
            self._distribution, option.dist = option.dist, "no"

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        """Let the options be again what the user said."""
        if self._distribution:
            self.config.option.dist = self._distribution

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self, session: pytest.Session) -> Generator[None, Any, Any]:
        """Look at what was collected; if something has to run, have xdist do it."""
        result = yield
        if not self._distribution or session.testsfailed:
            return result
        missing = sum(not self._is_done(item) for item in session.items)
        if not missing:
            return result
        if self._given is not None:
            self._given.leave_for_workers(self.config, missing)
        self._path.unlink(missing_ok=True)
        session.items = []
        session.testscollected = 0
        private.begin_distribution(session)
        return result

    def _is_done(self, item: pytest.Item) -> bool:
        """Tell whether an item needs no worker."""
        if self._given is not None and self.options.cache is Cache.ONLY:
            return True
        bound = item.stash.get(BOUND, None)
        return bound is not None and self.options.reads and is_hit(item, bound)

    # -- remembering -------------------------------------------------------------------------------

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note whether something is left to run."""
        known = told(report)
        if report.failed or (report.when == "call" and known is None):
            self._is_complete = False
        if known is not None:
            self._has_ended = True
            ended = Ended(known["ended"])
            self._is_complete &= ended in (Ended.PASSED, Ended.CACHED)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Remember whether the next session like this has anything to run."""
        if self._given is not None:  # what it is called with is not on the command line
            return
        is_complete = exitstatus == pytest.ExitCode.OK and self._is_complete and self._has_ended
        if not (is_complete and self.options.writes):
            return
        sources = dict(self.sources or sources_of(self.config.rootpath))
        if sources != self._remembered():
            with contextlib.suppress(OSError):
                rights = self.options.store.rights
                container.write(self._path, {}, {"sources": sources}, rights=rights)

    def _was_complete(self) -> bool:
        sources = self._remembered()
        return bool(sources) and all(_written(path) == when for path, when in sources.items())

    def _remembered(self) -> Sources:
        try:
            sources: Sources = container.read_details(self._path)["sources"]
        except (OSError, DamagedError, KeyError):
            return {}
        return sources


def sources_of(root: Path) -> Sources:
    """Return the files of the project's modules that are imported, as they are now.

    :param root: the project; what is installed below it is left out.
    """
    inside = f"{root}{os.sep}"
    installed = f"{os.sep}site-packages{os.sep}"
    files = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    return {
        path: when
        for path in files
        if path and path.startswith(inside) and installed not in path
        if (when := _written(path)) is not None
    }


def _written(path: str) -> int | None:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None


def _digest(config: pytest.Config) -> str:
    """Return what stands for all that decides what is collected."""
    places = [str(config.rootpath), str(config.invocation_params.dir), str(config.inipath)]
    chosen = {name: str(getattr(config.option, name, "")) for name in _CHOOSING}
    text = json.dumps([places, config.args, chosen])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
