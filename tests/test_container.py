"""One file: whole or not at all, told apart from anything else, and read without running code."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_memento import StoreError, container
from pytest_memento.errors import DamagedError
from pytest_memento.pickling import dump

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep/down/file.result"


def write(path: Path, value: object = 7, **header: Any) -> Path:
    container.write(path, header, {"loss": [0.5]}, dump(value))
    return path


def damage(path: Path, data: bytes) -> None:
    path.write_bytes(data)


@given(value=plain)
@settings(deadline=None)
def test_what_is_written_is_loaded(value: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("store") / "file"
    write(path, value)
    assert container.load_value(path) == value


def test_header_and_details(path: Path) -> None:
    write(path, name="SVC", runtime=1.5)
    header = container.read_header(path)
    assert header["format"] == container.FORMAT
    assert (header["name"], header["runtime"]) == ("SVC", 1.5)
    assert container.read_details(path) == {"loss": [0.5]}


def test_a_long_header(path: Path) -> None:
    write(path, text="x" * 50_000)
    assert container.read_header(path)["text"] == "x" * 50_000
    assert container.load_value(path) == 7


def test_a_file_without_a_value(path: Path) -> None:
    container.write(path, {}, {"a": 1})
    assert container.read_details(path) == {"a": 1}
    with pytest.raises(DamagedError, match="holds no value"):
        container.load_value(path)


def test_arrays_are_mapped_not_copied(path: Path) -> None:
    value = {"a": np.arange(1_000_000.0), "b": np.ones((300, 300)), "small": np.arange(3)}
    write(path, value)
    loaded = container.load_value(path)
    for name, array in value.items():
        np.testing.assert_array_equal(loaded[name], array)
    big = loaded["a"]
    assert not big.flags.owndata
    assert big.flags.writeable
    assert big.ctypes.data % 64 == 0
    big[:] = 0  # a copy of its own: the file stays as it is
    assert container.load_value(path)["a"].sum() == value["a"].sum()


def test_the_first_stays_unless_replaced(path: Path) -> None:
    assert container.write(path, {}, {}, dump(1), replace=False)
    assert not container.write(path, {}, {}, dump(2), replace=False)
    assert container.load_value(path) == 1
    assert container.write(path, {}, {}, dump(3), replace=True)
    assert container.load_value(path) == 3
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_file_system_without_hard_links(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    assert container.write(path, {}, {}, dump(1), replace=False)
    assert not container.write(path, {}, {}, dump(2), replace=False)
    assert container.load_value(path) == 1
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_file_cut_at_any_length(path: Path) -> None:
    write(path, list(range(100)))
    data = path.read_bytes()
    for length in range(len(data)):
        damage(path, data[:length])
        with pytest.raises(DamagedError):
            container.read_header(path)
        with pytest.raises(DamagedError):
            container.load_value(path)


def test_a_changed_value_is_noticed_before_it_is_unpickled(path: Path) -> None:
    write(path, "abcdefgh" * 100)
    data = path.read_bytes()
    damage(path, data.replace(b"abcdefgh", b"abcdefgX", 1))
    container.read_header(path)
    with pytest.raises(DamagedError, match="does not match its checksum"):
        container.load_value(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"garbage without an end",
        b"\x80\x05K\x01.\n",
        b"[]\n",
        b"3\n",
        b"{}\n",
        b'{"format": 1}\n',
        b'{"format": "1", "sections": []}\n',
        b'{"format": 1, "sections": "ab"}\n',
        b'{"format": 1, "sections": ["a"]}\n',
        b'{"format": 1, "sections": [-64, 64]}\n',
        b'{"format": 1, "sections": []}\n',
        b"\xff\xfe\n",
        random.Random(0).randbytes(4096),
    ],
)
def test_foreign_files(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True)
    damage(path, data)
    for read in (container.read_details, container.load_value):
        with pytest.raises(DamagedError):
            read(path)


@pytest.mark.parametrize("start", [b"", b"{"])
def test_a_large_file_without_a_header_is_told_at_once(path: Path, start: bytes) -> None:
    """A crash may leave a file of zeros that is as long as the result was."""
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.write(start)
        file.truncate(50_000_000)
    with pytest.raises(DamagedError, match="has no header"):
        container.read_header(path)


def test_a_header_that_is_nested_too_deeply(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"a":' + b"[" * 100_000 + b"\n")
    with pytest.raises(DamagedError, match="is not readable"):
        container.read_header(path)


def test_a_newer_format_is_not_damage(path: Path) -> None:
    line = json.dumps({"format": container.FORMAT + 1, "sections": []}).encode() + b"\n"
    path.parent.mkdir(parents=True)
    damage(path, line)
    with pytest.raises(StoreError, match="upgrade pytest-memento") as raised:
        container.read_header(path)
    assert not isinstance(raised.value, DamagedError)


def test_reading_a_header_runs_nothing(path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (path.parent / "sprung",)

    write(path, Trap())
    container.read_header(path)
    container.read_details(path)
    assert not (path.parent / "sprung").exists()


def test_what_another_user_wrote_is_loaded_on_request_only(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(path)
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    container.read_header(path)
    with pytest.raises(DamagedError, match=f"belongs to user {owner}"):
        container.load_value(path)
    assert container.load_value(path, trusted=True) == 7


def test_nothing_is_left_when_writing_fails(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write(path)
    assert list(path.parent.iterdir()) == []


def test_a_real_full_disk(path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    # The nearest thing to a full disk that needs no rights: a size limit of the process.
    import resource
    import signal

    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write(path, np.zeros(1_000_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, before)
    assert list(path.parent.iterdir()) == []


def test_files_are_private(path: Path) -> None:
    write(path)
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
