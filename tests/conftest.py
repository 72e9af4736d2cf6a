"""What the end-to-end tests share: a quiet environment, and a project as a user writes it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from pytest_memento.config import Config
from pytest_memento.fingerprint import digest_value
from pytest_memento.metrics import Series, last
from pytest_memento.pickling import dump
from pytest_memento.record import Key, Outcome, Record, describe_config, describe_result
from pytest_memento.store import Store

# A busy machine takes its time.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

pytest_plugins = ["pytester"]
collect_ignore = ["data"]

NOTES = """
from pathlib import Path

def note(text):
    with (Path(__file__).parent / "notes.txt").open("a") as file:
        file.write(f"{text}\\n")
    return text
"""
CLOCK = """
import time
import pytest

@pytest.fixture
def take(monkeypatch):
    "Let the clock go on by so many seconds, without waiting for them."
    def take(seconds):
        then = time.perf_counter() + seconds
        monkeypatch.setattr(time, "perf_counter", lambda: then)
    return take
"""
SQUARES = """
from notes import note

matrix = {"parameters": {"x": [1, 2, 3]}}

def experiment(x):
    note(f"x={x}")
    return x * x
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--fault-rounds", type=int, default=5, help="rounds of random faults (default: 5)"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have sessions in this process warn as in a user's, though warnings are errors here."""
    for item in items:
        if "pytester" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture(autouse=True)
def _as_on_a_fresh_machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep this machine's settings and this session's bytecode out of the projects."""
    if "pytester" not in request.fixturenames:
        return
    request.getfixturevalue("pytester")  # which clears PYTEST_ADDOPTS
    ours = [name for name in os.environ if name.startswith(("MEMENTO_", "PYTEST_XDIST_"))]
    for name in (*ours, "PYTHONHASHSEED"):
        monkeypatch.delenv(name, raising=False)
    # Bytecode is told from its source by second and size: too coarse for a test's edits.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    if not request.config.pluginmanager.hasplugin("xdist"):
        monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:xdist")


@pytest.fixture
def xdist(request: pytest.FixtureRequest) -> None:
    """Skip where the plugin is switched off."""
    if not request.config.pluginmanager.hasplugin("xdist"):
        pytest.skip("needs pytest-xdist")


@pytest.fixture
def notes(pytester: pytest.Pytester) -> Callable[[], list[str]]:
    """What the project said with ``from notes import note``, since it was last asked."""
    pytester.makepyfile(notes=NOTES)
    path = pytester.path / "notes.txt"
    seen = 0

    def read() -> list[str]:
        nonlocal seen
        if not path.exists():
            return []
        # What is being written meanwhile is for the next time.
        whole = path.read_text(encoding="utf-8").split("\n")[:-1]
        lines, seen = whole[seen:], len(whole)
        return lines

    return read


@pytest.fixture
def squares(pytester: pytest.Pytester, notes: Callable[[], list[str]]) -> Path:
    """A file of three experiments, which note that they run: ``x=1``, ``x=2``, ``x=3``."""
    return pytester.makepyfile(exp_squares=SQUARES)


@pytest.fixture
def clock(pytester: pytest.Pytester) -> None:
    """A project whose experiments can have the fixture ``take(seconds)``, and so take no time."""
    pytester.makeconftest(CLOCK)


NAME = "experiments/exp_train.py::experiment"


class Shelf:
    """A store in a project of its own, filled by hand."""

    def __init__(self, project: Path) -> None:
        self.store = Store(project / ".pytest_cache/memento")
        self.clock = 1_800_000_000.0
        self.planned: dict[str, dict[tuple[str, str], str]] = {}
        (project / "experiments").mkdir()
        (project / "experiments/exp_train.py").write_text("raise SystemExit('imported')")

    def put(
        self,
        parameters: Mapping[str, Any],
        result: object = None,
        *,
        settings: Mapping[str, Any] | None = None,
        metrics: Series | None = None,
        error: str = "",
        code: str = "code",
        commit: str = "",
        name: str = NAME,
        **more: Any,
    ) -> Record:
        """Keep what a run would have left; each one is a minute later than the one before."""
        config = Config(parameters, settings)
        digests = {n: digest_value(v) for n, v in (*config.items(), *config.settings.items())}
        key = Key(name, *config.fingerprint, digest_value(code))
        described, shared = describe_config(config, {}, digests)
        environment = digest_value({"commit": commit})
        self.clock += 60
        record = Record(
            **{
                "key": key,
                "id": "-".join(f"{n}={v.label}" for n, v in described.items()),
                "parameters": described,
                "settings": shared,
                "outcome": Outcome.FAILED if error else Outcome.PASSED,
                "started": self.clock,
                "runtime": 1.5,
                "cpu_time": 1.25,
                "memory": 100_000_000,
                "result": {} if error else describe_result(result),
                "metrics": last(metrics or {}),
                "error": error,
                "environment": environment,
                **more,
            }
        )
        self.store.put_document(environment, {"commit": commit or None})
        self.store.publish(record, {"metrics": metrics or {}}, None if error else dump(result))
        plan = self.planned.setdefault(name, {})
        plan[key.parameters, key.settings] = key.stem
        self.store.put_plan(name, [*plan.values()])
        return record


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """A store that is filled by hand, and found from the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEMENTO_CACHE_PATH", raising=False)
    return Shelf(tmp_path)
