"""An experiment is run by one process at a time, whatever happens to it."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_memento import locks
from pytest_memento.claims import (
    Claims,
    Hold,
    TakenError,
    claimed_if_free,
    forget,
    is_held,
    owner_of,
)
from pytest_memento.locks import Choice, Kind, choice_of
from pytest_memento.presence import Sign, signs
from pytest_memento.rights import PRIVATE, SHARED, Rights, make

HOLD = """
import sys, time
from pathlib import Path
from pytest_memento.claims import Claims
root, path = Path(sys.argv[1]), Path(sys.argv[2])
with Claims(root).hold(path, "x=1", lambda owner: None) as hold:
    print(hold.attempt, flush=True)
    time.sleep(float(sys.argv[3]))
"""
KINDS = pytest.mark.parametrize("kind", list(Kind))
LEASE = 2.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def path(root: Path) -> Path:
    return root / "claims/exp_a.f-1234/1-2-3.lock"


@pytest.fixture
def claims(root: Path) -> Claims:
    return Claims(root)


def choose(root: Path, kind: Kind) -> None:
    locks.choose(root / "claims", Choice(kind, LEASE))


def held_elsewhere(root: Path, path: Path, seconds: float) -> subprocess.Popen[str]:
    """Start a process that holds the claim, and wait until it does."""
    arguments = [str(root), str(path), str(seconds)]
    command = [sys.executable, "-c", HOLD, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip().isdecimal()
    return process


def killed(root: Path, path: Path) -> int:
    """Have a process die while it holds the claim."""
    with held_elsewhere(root, path, 60) as other:
        os.kill(other.pid, signal.SIGKILL)
    return other.pid


def nobody(owner: Sign | None) -> None:
    pytest.fail(f"the claim is held by {owner}")


def give_up(owner: Sign | None) -> None:
    raise TakenError


@KINDS
def test_a_claim_is_held_and_given_back(root: Path, path: Path, claims: Claims, kind: Kind) -> None:
    choose(root, kind)
    for _ in range(2):
        with claims.hold(path, "x=1", nobody) as hold:
            assert hold == Hold()
            owner = owner_of(path)
            assert owner is not None
            assert (owner.pid, owner.label, owner.attempt) == (os.getpid(), "x=1", 1)
        assert owner_of(path) is None
    claims.close()
    assert [*path.parent.iterdir(), *(root / "running").iterdir()] == []


@KINDS
def test_a_claim_is_given_back_when_the_body_raises(
    root: Path, path: Path, claims: Claims, kind: Kind
) -> None:
    choose(root, kind)
    with pytest.raises(KeyError), claims.hold(path, "x=1", nobody):
        raise KeyError
    with claims.hold(path, "x=1", nobody) as hold:
        assert hold == Hold()


@KINDS
def test_waiting_says_for_whom(root: Path, path: Path, claims: Claims, kind: Kind) -> None:
    choose(root, kind)
    waited: list[Sign | None] = []
    with (
        held_elsewhere(root, path, 0.5) as other,
        claims.hold(path, "x=1", waited.append) as hold,
    ):
        assert other.wait(5) == 0
        assert hold == Hold()  # it had ended in order
    (owner,) = waited
    assert owner is not None
    assert owner.pid == other.pid
    assert str(owner).startswith(f"pid {other.pid} on ")


def test_waiting_can_be_given_up(root: Path, path: Path, claims: Claims) -> None:
    def interrupt(owner: Sign | None) -> None:
        raise InterruptedError

    with held_elsewhere(root, path, 30) as other:
        with pytest.raises(InterruptedError), claims.hold(path, "x=1", interrupt):
            pytest.fail("the claim is held by another process")
        asked = iter([False, True])
        with (
            pytest.raises(TakenError),
            claims.hold(path, "x=1", lambda owner: None, gives_up=lambda: next(asked)),
        ):
            pytest.fail("the claim is held by another process")
        assert owner_of(path) is not None
        other.terminate()


@KINDS
def test_the_claim_of_a_killed_process_is_free_and_counts(
    root: Path, path: Path, claims: Claims, kind: Kind
) -> None:
    choose(root, kind)
    for attempt in (1, 2):
        pid = killed(root, path)
        found = owner_of(path)
        assert found is not None
        assert (found.pid, found.attempt) == (pid, attempt)
    with claims.hold(path, "x=1", lambda owner: None) as hold:
        assert hold.attempt == 3
        assert hold.died is not None
        assert hold.died.pid == pid
    assert list(signs(root)) == []  # what ends in order, begins anew
    with claims.hold(path, "x=1", nobody) as hold:
        assert hold == Hold()


def test_an_interrupt_is_no_death_and_forgets_none(root: Path, path: Path) -> None:
    killed(root, path)
    for _ in range(3):
        claims = Claims(root)
        with pytest.raises(KeyboardInterrupt), claims.hold(path, "x=1", nobody) as hold:
            raise KeyboardInterrupt
        assert hold.attempt == 2
        claims.close()


def test_who_got_further_begins_to_count_anew(root: Path, path: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    for number in range(5):
        killed(root, path)
        if number != 3:
            checkpoint.touch()
        with Claims(root).hold(path, "x=1", nobody, progress=checkpoint) as hold:
            assert hold.attempt == (2 if number == 3 else 1)


def test_a_death_that_is_on_record_is_forgotten(root: Path, path: Path) -> None:
    pid = killed(root, path)
    (sign,) = signs(root)
    forget(path, sign.host, pid + 1)
    assert owner_of(path) == sign
    forget(path, sign.host, pid)
    assert owner_of(path) is None


@KINDS
def test_one_after_the_other(root: Path, path: Path, kind: Kind) -> None:
    """Four processes on one claim, each of which would see another inside."""
    choose(root, kind)
    inside = root / "inside"
    body = f"""
import sys, time
from pathlib import Path
from pytest_memento.claims import Claims
inside, claims = Path({str(inside)!r}), Claims(Path({str(root)!r}))
for _ in range(10):
    with claims.hold(Path({str(path)!r}), "x=1", lambda owner: None):
        inside.touch(exist_ok=False)
        time.sleep(0.002)
        inside.unlink()
"""
    processes = [subprocess.Popen([sys.executable, "-c", body]) for _ in range(4)]
    assert [process.wait(120) for process in processes] == [0] * 4


def test_a_lease_whose_machine_has_gone_ends(
    root: Path, path: Path, claims: Claims, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(root, Kind.LEASE)
    killed(root, path)
    # Where it says that it was on another machine, nobody here can tell that it has died.
    lines = path.read_bytes().replace(os.uname().nodename.encode(), b"elsewhere")
    assert b"elsewhere" in lines
    path.write_bytes(lines)
    start = time.monotonic()
    with claims.hold(path, "x=1", lambda owner: None) as hold:
        assert hold.attempt == 2
    assert LEASE <= time.monotonic() - start < 10 * LEASE


@pytest.mark.parametrize("slices", [False, True])
def test_a_lease_whose_owner_was_killed_before_it_wrote_anything(
    root: Path, path: Path, claims: Claims, monkeypatch: pytest.MonkeyPatch, slices: bool
) -> None:
    monkeypatch.setattr(locks, "_UNWRITTEN", 0.5)
    choose(root, Kind.LEASE)
    path.parent.mkdir(parents=True)
    path.touch()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with claims.hold(path, "x=1", give_up if slices else lambda owner: None) as hold:
                assert hold.attempt == 1
                break
        except TakenError:
            time.sleep(0.1)
    assert time.monotonic() < deadline
    assert list(path.parent.iterdir()) == []


def test_a_lease_is_seen_to_end_over_several_tries(root: Path, path: Path, claims: Claims) -> None:
    choose(root, Kind.LEASE)
    killed(root, path)
    path.write_bytes(path.read_bytes().replace(os.uname().nodename.encode(), b"elsewhere"))
    deadline = time.monotonic() + 10 * LEASE
    while time.monotonic() < deadline:
        try:
            with claims.hold(path, "x=1", give_up):
                return
        except TakenError:
            time.sleep(0.1)
    pytest.fail("the lease never ended")


def test_a_frozen_owner_of_a_lease_thaws_after_another_has_taken_it(
    root: Path, path: Path, claims: Claims
) -> None:
    choose(root, Kind.LEASE)
    with held_elsewhere(root, path, 1.5 * LEASE) as other:
        os.kill(other.pid, signal.SIGSTOP)
        path_text = path.read_bytes().replace(os.uname().nodename.encode(), b"elsewhere")
        path.write_bytes(path_text)
        with claims.hold(path, "x=1", lambda owner: None):
            os.kill(other.pid, signal.SIGCONT)
            assert other.wait(30) == 0
            assert is_held(path)  # it has not taken ours with it
    with claims.hold(path, "x=1", nobody):
        pass


@pytest.mark.parametrize("text", ["", "not json", "{}", "[1]", '["host", "x", 1]', '{"format": 9}'])
def test_a_sign_that_cannot_be_read(root: Path, path: Path, text: str) -> None:
    (root / "running").mkdir(parents=True)
    (root / "running/node07-1-abcd").write_text(text)
    assert owner_of(path) is None


def test_the_text_of_a_sign() -> None:
    sign = Sign(Path("x"), "node07", 4121, "a/1-2-3", "x=1", time.time() - 720, 1, 0.0)
    assert str(sign) == "pid 4121 on node07 for 12 min"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "file/claims/exp/1-2-3.lock"
    with pytest.raises(OSError, match="file"), Claims(tmp_path).hold(path, "x=1", nobody):
        pytest.fail("there is no such directory")


@KINDS
def test_a_claim_is_tried_without_waiting(
    root: Path, path: Path, claims: Claims, kind: Kind
) -> None:
    choose(root, kind)
    assert not is_held(path)
    assert not path.parent.exists()
    with claimed_if_free(path) as is_ours:
        assert is_ours
        assert is_held(path)
    with claims.hold(path, "x=1", nobody):
        with claimed_if_free(path) as is_ours:
            assert not is_ours
        assert path.exists()
    with held_elsewhere(root, path, 60) as process:
        assert is_held(path)
        with claimed_if_free(path) as is_ours:
            assert not is_ours
        process.kill()
    with claimed_if_free(path) as is_ours:
        assert is_ours
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("rights", [PRIVATE, SHARED])
def test_those_who_try_a_claim_leave_it_to_whom_the_store_is_for(
    root: Path, path: Path, rights: Rights
) -> None:
    before = os.umask(0o007)
    try:
        make(root, rights)
        with claimed_if_free(path):
            assert stat.S_IMODE(path.stat().st_mode) == rights.lock
            mode = stat.S_IMODE(path.parent.stat().st_mode)
            assert mode == rights.directory & ~0o007
        path.touch(rights.lock)  # of a process that was killed
        path.chmod(rights.lock)
        assert not is_held(path)
        assert stat.S_IMODE(path.stat().st_mode) == rights.lock
    finally:
        os.umask(before)


def test_a_lock_file_that_was_left_behind(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.touch()
    os.utime(path, (1000, 1000))
    assert not is_held(path)
    assert path.stat().st_mtime == 1000


def test_lock_files_stay_until_the_end(root: Path, claims: Claims) -> None:
    paths = [root / f"claims/exp_a.f-1234/{n}-2-3.lock" for n in range(3)]
    for path in paths:
        with claims.hold(path, "", nobody):
            pass
    assert all(path.exists() and not is_held(path) for path in paths)
    with claimed_if_free(paths[1]):  # another session
        claims.close()
        assert [path.exists() for path in paths] == [False, True, False]
        assert is_held(paths[1])
    assert list(paths[0].parent.iterdir()) == []


def test_a_store_says_which_locks_it_uses(root: Path) -> None:
    directory = root / "claims"
    assert choice_of(directory) == Choice(Kind.KERNEL)
    assert not directory.exists()
    for kind in (Kind.LEASE, Kind.KERNEL):
        locks.choose(directory, Choice(kind))
        assert choice_of(directory) == Choice(kind)
    (directory / "locks").write_text(json.dumps({"format": 1, "locks": "nonsense"}))
    choice_of.cache_clear()
    assert choice_of(directory) == Choice(Kind.KERNEL)


def test_a_directory_on_the_network(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "is_on_network", lambda directory: True)
    assert choice_of(root / "claims").kind is Kind.LEASE
    # The machine that holds the disk does likewise.
    monkeypatch.undo()
    choice_of.cache_clear()
    assert choice_of(root / "claims").kind is Kind.LEASE


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/", "ext4"),
        ("/home/ann/store", "nfs4"),
        ("/homework", "ext4"),
        ("/scratch/my data/x", "lustre"),
        ("/home/ann/mnt/x", "fuse.sshfs"),
        ("/over/x", "tmpfs"),
    ],
)
def test_the_file_system_of_a_path(path: str, expected: str) -> None:
    mounts = """\
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
40 22 0:3 / /home rw shared:1 - nfs4 srv:/home rw,vers=4.2
41 22 0:4 / /scratch/my\\040data rw - lustre mgs@tcp:/fs rw
42 40 0:5 / /home/ann/mnt rw - fuse.sshfs ann@x: rw
43 22 0:6 / /over rw - nfs srv:/over rw
44 43 0:7 / /over rw - tmpfs tmpfs rw
not a line
"""
    assert locks.file_system(path, mounts) == expected
