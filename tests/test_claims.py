"""An experiment is run by one process at a time, whatever happens to it."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_memento.claims import (
    Owner,
    claimed,
    claimed_if_free,
    clean_up,
    is_held,
    note_of,
    owner_of,
)

HOLD = """
import sys, time
from pathlib import Path
from pytest_memento.claims import claimed
with claimed(Path(sys.argv[1]), lambda owner: None):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def hold(path: Path, seconds: float) -> subprocess.Popen[str]:
    """Start a process that holds the claim, and wait until it does."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def nobody(owner: Owner | None) -> None:
    pytest.fail(f"the claim is held by {owner}")


def test_a_claim_is_held_and_given_back(tmp_path: Path) -> None:
    path = tmp_path / "claims/key.lock"
    with claimed(path, nobody):
        owner = owner_of(path)
        assert owner is not None
        assert owner.pid == os.getpid()
    assert owner_of(path) is None
    assert list(path.parent.iterdir()) == []
    with claimed(path, nobody):
        pass


def test_a_claim_is_given_back_when_the_body_raises(tmp_path: Path) -> None:
    path = tmp_path / "key.lock"
    with pytest.raises(KeyError), claimed(path, nobody):
        raise KeyError
    with claimed(path, nobody):
        pass


def test_waiting_says_for_whom(tmp_path: Path) -> None:
    path = tmp_path / "key.lock"
    waited: list[Owner | None] = []
    with hold(path, 0.5) as other, claimed(path, waited.append):
        assert other.wait(5) == 0
    assert len(waited) == 1
    assert waited[0] is not None
    assert waited[0].pid == other.pid
    assert str(waited[0]).startswith(f"pid {other.pid} on ")


def test_waiting_can_be_given_up(tmp_path: Path) -> None:
    path = tmp_path / "key.lock"

    def give_up(owner: Owner | None) -> None:
        raise InterruptedError

    with hold(path, 30) as other:
        with pytest.raises(InterruptedError), claimed(path, give_up):
            pytest.fail("the claim is held by another process")
        assert owner_of(path) is not None
        other.terminate()


def test_the_claim_of_a_killed_process_is_free(tmp_path: Path) -> None:
    path = tmp_path / "key.lock"
    with hold(path, 30) as other:
        os.kill(other.pid, signal.SIGKILL)
        other.wait(5)
    with claimed(path, nobody):
        owner = owner_of(path)
        assert owner is not None
        assert owner.pid == os.getpid()


def test_one_after_the_other(tmp_path: Path) -> None:
    """Four processes on one claim, each of which would see another inside."""
    path, inside = tmp_path / "key.lock", tmp_path / "inside"
    body = f"""
import sys, time
from pathlib import Path
from pytest_memento.claims import claimed
inside = Path({str(inside)!r})
for _ in range(10):
    with claimed(Path({str(path)!r}), lambda owner: None):
        inside.touch(exist_ok=False)
        time.sleep(0.002)
        inside.unlink()
"""
    processes = [subprocess.Popen([sys.executable, "-c", body]) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4


@pytest.mark.parametrize("text", ["", "not json", "{}", "[1]", '["host", "x", 1]'])
def test_an_owner_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "key.owner").write_text(text)
    assert owner_of(tmp_path / "key.lock") is None


def test_owner_text() -> None:
    assert str(Owner("node07", 4121, time.time() - 720)) == "pid 4121 on node07 for 12 min"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), claimed(tmp_path / "file/key.lock", nobody):
        pytest.fail("there is no such directory")


def test_a_claim_is_tried_without_waiting(tmp_path: Path) -> None:
    path = tmp_path / "key.lock"
    assert not is_held(path)
    assert list(tmp_path.iterdir()) == []
    path.touch()
    assert not is_held(path)  # left behind
    with claimed_if_free(path) as is_ours:
        assert is_ours
        assert is_held(path)
    with claimed(path, nobody):
        with claimed_if_free(path) as is_ours:
            assert not is_ours
        assert path.exists()
    with hold(path, 60) as process:
        assert is_held(path)
        with claimed_if_free(path) as is_ours:
            assert not is_ours
        process.kill()
    with claimed_if_free(path) as is_ours:
        assert is_ours
    assert list(tmp_path.iterdir()) == []


def test_who_it_is_may_come_late(tmp_path: Path) -> None:
    path = tmp_path / "key.lock"
    with claimed(path, lambda _: None, is_told=True) as owner:
        assert owner_of(path) is None
        seen: list[Owner | None] = []

        def ask(patience: float) -> None:
            def waiting(found: Owner | None) -> None:
                seen.append(found)
                raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt), claimed(path, waiting, patience=patience):
                pass

        ask(0)
        ask(0.2)
        assert seen == [None, None]
        note_of(path).write_text(json.dumps(dataclasses.asdict(owner)))
        ask(60)
        assert seen[-1] == owner
    assert not note_of(path).exists()


def test_lock_files_that_are_kept(tmp_path: Path) -> None:
    kept: list[Path] = []
    paths = [tmp_path / f"{n}.lock" for n in range(3)]
    for path in paths:
        with claimed(path, lambda _: None, kept=kept):
            pass
    assert kept == paths
    assert all(path.exists() and not is_held(path) for path in paths)
    with claimed(paths[1], lambda _: None):  # another session
        clean_up(kept)
        assert [path.exists() for path in paths] == [False, True, False]
        assert is_held(paths[1])
    assert list(tmp_path.iterdir()) == []
