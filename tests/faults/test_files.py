"""Whatever becomes of a file of the store: it counts as a miss, or the session says what to do."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_memento import load_results

pytestmark = pytest.mark.faults

Notes = Callable[[], list[str]]

ALL_KINDS = """
import os
from pathlib import Path
from notes import note

class Model:
    pass

matrix = {"parameters": {"x": [1, 2], "model": [Model]}, "settings": {"data": [1.5]}}

def experiment(context, config):
    note(f"x={config.x}")
    context.restore()
    context.depends_on("large.bin")
    (context.dir / "artifact").write_text("text")
    context.record({"loss": 0.5})
    if config.x == 2 and not os.path.exists("well"):
        context.checkpoint([1, 2])
        raise ValueError("unwell")
    return config.x
"""


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: max(1, path.stat().st_size // 2)])


def garbled(path: Path) -> None:
    path.write_bytes(bytes(255 - byte for byte in path.read_bytes()) or b"\xff")


def foreign(path: Path) -> None:
    path.write_text('{"hello": "world"}\n')


def zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def replaced_by_a_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replaced_by_a_dead_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/nonexistent/file")


def removed(path: Path) -> None:
    path.unlink()


DAMAGES = (
    emptied,
    cut,
    garbled,
    foreign,
    zeroed,
    replaced_by_a_directory,
    replaced_by_a_dead_link,
    removed,
)
PARTS = ("results", "documents", "values", "plans", "checkpoints", "digests", "running")


@pytest.fixture
def store(pytester: pytest.Pytester, notes: Notes) -> Path:
    """A store with something in every part of it."""
    (pytester.path / "large.bin").write_bytes(bytes(2_000_000))
    os.utime(pytester.path / "large.bin", (1e9, 1e9))
    pytester.makepyfile(exp_a=ALL_KINDS)
    assert pytester.runpytest().parseoutcomes() == {"passed": 1, "failed": 1}
    root = pytester.path / ".pytest_cache/memento"
    (root / "running").mkdir(exist_ok=True)
    sign = {"claim": "a/b", "label": "", "since": 1, "attempt": 1}
    text = json.dumps({"format": 1, "host": "node07", "pid": 1, "running": sign})
    (root / "running/node07-1-abcdef01").write_text(text)
    notes()
    return root


@pytest.mark.filterwarnings("ignore::pytest.PytestWarning")
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: str(damage.__name__))
def test_damage(
    pytester: pytest.Pytester,
    store: Path,
    notes: Notes,
    damage: Callable[[Path], None],
    part: str,
) -> None:
    paths = [path for path in (store / part).rglob("*") if path.is_file()]
    assert paths, f"nothing in {part}"
    for path in paths:
        damage(path)
    (pytester.path / "well").touch()
    result = pytester.runpytest()
    counts = result.parseoutcomes()
    counts.pop("warnings", None)
    assert "INTERNALERROR" not in str(result.stdout)
    assert "Traceback" not in str(result.stdout)
    if damage is replaced_by_a_directory and part == "checkpoints":
        assert counts == {"cached": 1, "failed": 1}
        assert "the checkpoint cannot be read (Is a directory): mend or remove" in str(
            result.stdout
        )
    else:
        assert result.ret == pytest.ExitCode.OK, str(result.stdout)
        assert counts.get("cached", 0) + counts.get("passed", 0) == 2
        # Only what was damaged is computed again.
        assert counts.get("cached", 0) == (0 if part == "results" else 1)
        assert pytester.runpytest().parseoutcomes()["cached"] == 2


def test_a_result_under_the_name_of_another(
    pytester: pytest.Pytester, squares: Path, notes: Notes
) -> None:
    pytester.runpytest()
    first, second, _ = sorted((pytester.path / ".pytest_cache/memento").rglob("*.result"))
    second.write_bytes(first.read_bytes())
    result = pytester.runpytest()
    assert result.parseoutcomes() == {"passed": 1, "cached": 2, "warnings": 1}
    result.stdout.fnmatch_lines(["*holds another run: set aside*"])
    assert [each.value for each in load_results("exp_squares.py")] == [1, 4, 9]


def test_a_store_of_a_newer_version_is_refused_untouched(
    pytester: pytest.Pytester, store: Path
) -> None:
    for path in [each for each in store.rglob("*") if each.is_file()]:
        path.write_bytes(path.read_bytes().replace(b'{"format":1,', b'{"format":9,', 1))
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    result = pytester.runpytest()
    assert result.ret != pytest.ExitCode.OK
    assert "upgrade pytest-memento, or use another store (--memento-dir)" in str(result.stdout)
    assert "INTERNALERROR" not in str(result.stdout)
    assert "Traceback" not in str(result.stdout)
    after = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    assert {path: after.get(path) for path in before} == before
