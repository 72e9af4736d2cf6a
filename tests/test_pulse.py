"""A sign of life each second, and output that can be followed, from real processes."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_memento.pulse import Pulse


@pytest.fixture
def pulse() -> Iterator[Pulse]:
    made = Pulse(interval=0.02)
    yield made
    made.rest()


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_notes(pulse: Pulse, tmp_path: Path) -> None:
    state = {"progress": [1, 4]}
    notes = [tmp_path / "a.note", tmp_path / "b.note"]
    with pulse.of(lambda: state, notes, tmp_path / "log"):
        eventually(lambda: all(note.exists() for note in notes))
        state["progress"] = [2, 4]
        eventually(lambda: json.loads(notes[1].read_text())["progress"] == [2, 4])
        assert abs(json.loads(notes[0].read_text())["beat"] - time.time()) < 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.note", "b.note"]


def test_no_beat_after_the_end(pulse: Pulse, tmp_path: Path) -> None:
    note = tmp_path / "note"
    with pulse.of(dict, [note], tmp_path / "log"):
        eventually(note.exists)
    note.unlink()
    time.sleep(0.1)
    assert not note.exists()


def test_trouble_does_not_end_it(pulse: Pulse, tmp_path: Path) -> None:
    answers: list[object] = [ZeroDivisionError(), object()]

    def tell() -> dict[str, object]:
        answer = answers.pop(0) if answers else 1
        if isinstance(answer, Exception):
            raise answer
        return {"x": answer}

    note = tmp_path / "note"
    with pulse.of(tell, [note, tmp_path / "missing" / "note"], tmp_path / "missing" / "log"):
        eventually(note.exists)
    assert json.loads(note.read_text())["x"] == 1


FOLLOWED = """
import logging, os, subprocess, sys, tempfile, time
from pathlib import Path
from pytest_memento.pulse import Pulse

log = Path(sys.argv[1])
for descriptor in (1, 2):  # as pytest does
    with tempfile.TemporaryFile(buffering=0) as file:
        os.dup2(file.fileno(), descriptor)
print("before", flush=True)
with Pulse(interval=0.02).of(dict, [], log):
    print("printed", flush=True)
    subprocess.run(["sh", "-c", "echo by a child >&2"])
    logging.getLogger("train").warning("logged")
    while not log.exists() or log.read_text().count("\\n") < 3:
        time.sleep(0.01)
    os.ftruncate(1, 0)  # between set-up and call
    os.lseek(1, 0, 0)
    time.sleep(0.1)
    print("anew", flush=True)
    while "anew\\n" not in log.read_text():
        time.sleep(0.01)
    seen = log.read_text()
Path(sys.argv[2]).write_text(seen + str(log.exists()) + oct(log.stat().st_mode) if log.exists()
                             else seen + "removed")
"""


def test_output_can_be_followed(tmp_path: Path) -> None:
    log, seen = tmp_path / "logs" / "a.log", tmp_path / "seen"
    subprocess.run([sys.executable, "-c", FOLLOWED, str(log), str(seen)], check=True, timeout=60)
    lines = seen.read_text().splitlines()
    assert lines[:2] == ["printed", "by a child"]
    assert lines[2].endswith("WARNING  train: logged")
    assert lines[3:] == ["anew", "removed"]


def test_it_is_not_caught_by_links(pulse: Pulse, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("mine\n")
    (tmp_path / "log").symlink_to(target)
    note = tmp_path / "note"
    with pulse.of(dict, [note], tmp_path / "log"):
        logging.getLogger().warning("into the log")
        eventually(note.exists)
        time.sleep(0.1)
        assert target.read_text() == "mine\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_it_rests_while_the_process_forks(pulse: Pulse, tmp_path: Path) -> None:
    note = tmp_path / "note"
    with pulse.of(dict, [note], tmp_path / "log"):
        eventually(note.exists)
        child = os.fork()  # warns where there are threads, since Python 3.12
        if child == 0:
            os._exit(threading.active_count() - 1)
        _, status = os.waitpid(child, 0)
        assert status == 0
        note.unlink()
        eventually(note.exists)
