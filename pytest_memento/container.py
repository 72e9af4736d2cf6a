"""One file of the store: a JSON line that can be read alone, then the bytes it speaks of.

    {"format": 1, ..., "sections": [n, n, ...], "checksum": "..."}   padded to 64 bytes
    details                                                        JSON: what only some ask for
    pickle                                                         the value, if there is one
    buffers ...                                                    its large arrays, 64-byte aligned

A file is written under a temporary name, flushed to disk and renamed, so a torn one is never seen.
Reading the line runs no code of the file; only :func:`load_value` unpickles, checksum first.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import mmap
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeGuard

from pytest_memento.errors import DamagedError, DistrustedError, StoreError
from pytest_memento.pickling import Pickled, load
from pytest_memento.rights import PRIVATE, Rights, make

FORMAT: Final = 1
_READ: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)
_ALIGN: Final = 64
_CHUNK: Final = 4096
_decode: Final = json.JSONDecoder().raw_decode


def write(
    path: Path,
    header: Mapping[str, Any],
    details: Mapping[str, Any],
    value: Pickled | None = None,
    *,
    replace: bool = True,
    rights: Rights = PRIVATE,
    durable: bool = False,
) -> bool:
    """Write a file whole or not at all.

    :param header: JSON data; ``format``, ``sections`` and ``checksum`` are added.
    :param details: JSON data that a listing does not read.
    :param replace: where false, a file that is there already stays.
    :param rights: who may read it.
    :param durable: whether its name, too, is to survive a loss of power that comes at once.
    :return: whether the file at *path* is now this one.
    :raises OSError: the disk is full, read-only or not ours.
    """
    sections: list[bytes | memoryview] = [_json(details)]
    if value is not None:
        sections += [value.stream, *(buffer.cast("B") for buffer in value.buffers)]
    done = _write(path, header, sections, replace=replace, rights=rights)
    if durable:
        _flush_directory(path.parent)
    return done


def copy(
    path: Path,
    target: Path,
    header: Mapping[str, Any],
    *,
    replace: bool = True,
    rights: Rights = PRIVATE,
) -> bool:
    """Write a file with another header and the sections of the one at *path*.

    :param header: as for :func:`write`.
    :return: whether the file at *target* is now this one.
    :raises DamagedError: the sections do not match their checksum.
    :raises OSError: the disk is full, read-only or not ours.
    """
    sections, _ = _sections(path)
    return _write(target, header, sections, replace=replace, rights=rights)


def _write(
    path: Path,
    header: Mapping[str, Any],
    sections: Sequence[bytes | memoryview],
    *,
    replace: bool,
    rights: Rights,
) -> bool:
    line = _json({"format": FORMAT, **header, "sections": [len(s) for s in sections],
                  "checksum": _checksum(sections)})  # fmt: skip
    with _aside(path, rights) as (temporary, descriptor):
        with open(descriptor, "wb", closefd=False) as file:
            file.write(line.ljust(_padded(len(line) + 1) - 1) + b"\n")
            for section in sections:
                file.write(section)
                file.write(bytes(_padded(len(section)) - len(section)))
            file.flush()
            os.fsync(descriptor)
        return _publish(temporary, path, replace=replace)


def read_header(path: str | Path) -> dict[str, Any]:
    """Return the JSON line of a file, having checked that the file is whole.

    :raises FileNotFoundError: there is none.
    :raises DamagedError: it is truncated or foreign, or no file.
    :raises StoreError: it is of a newer format.
    """
    # By descriptor: this is asked for each of many thousands, and file objects are slow to make.
    descriptor = _open(path)
    try:
        return _read_line(descriptor, path)[0]
    finally:
        os.close(descriptor)


def read_details(path: str | Path) -> dict[str, Any]:
    """Return the details of a file: metrics, traceback, output.

    :raises DamagedError: the file is damaged.
    """
    with open(_open(path), "rb", buffering=0) as file:
        header, start = _read_line(file.fileno(), path)
        file.seek(start)
        return _parse(file.read(header["sections"][0]), path)


def load_value(path: Path, *, trusted: bool = False) -> Any:
    """Unpickle the value of a file, its large arrays mapped into memory copy-on-write.

    :param trusted: load also what another user wrote.
    :raises DamagedError: the file is damaged, or of another user and not *trusted*.
    """
    sections, owner = _sections(path)
    _check_owner(owner, path, trusted=trusted)
    if len(sections) < 2:
        raise DamagedError(f"{_name(path)} holds no value")
    return load(sections[1], sections[2:])


def _sections(path: Path) -> tuple[list[memoryview], int]:
    """Return what a file holds, mapped into memory copy-on-write, and who owns the file.

    :raises DamagedError: the file is damaged.
    """
    with open(_open(path), "rb", buffering=0) as file:
        header, start = _read_line(file.fileno(), path)
        owner = os.fstat(file.fileno()).st_uid
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    sections = list(_slices(memoryview(mapped), start, header["sections"]))
    if _checksum(sections) != header["checksum"]:
        raise DamagedError(f"{_name(path)} does not match its checksum")
    return sections, owner


def _open(path: str | Path) -> int:
    """Open a file of the store, which is never a link: one that was planted leads elsewhere."""
    try:
        return os.open(path, _READ)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise DamagedError(f"{_name(path)} is a symbolic link") from None
        raise


def _name(path: str | Path) -> str:
    return os.path.basename(path)


def _checksum(sections: Iterable[bytes | memoryview]) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for section in sections:
        digest.update(section)
    return digest.hexdigest()


def _slices(view: memoryview, start: int, lengths: list[int]) -> Iterator[memoryview]:
    for length in lengths:
        yield view[start : start + length]
        start += _padded(length)


def _read_line(descriptor: int, path: str | Path) -> tuple[dict[str, Any], int]:
    try:
        data = os.read(descriptor, _CHUNK)
    except IsADirectoryError:
        raise DamagedError(f"{_name(path)} is a directory") from None
    while b"\n" not in data:
        # Twice as much each time. What crashed may have left gigabytes of zeros.
        more = os.read(descriptor, len(data)) if data.startswith(b"{") else b""
        if not more:
            raise DamagedError(f"{_name(path)} has no header")
        data += more
    line, _, _ = data.partition(b"\n")
    header = _parse(line, path)
    if type(header.get("format")) is not int:
        raise DamagedError(f"{_name(path)} is not a file of pytest-memento")
    if header["format"] > FORMAT:
        # Not damaged: it must stay as it is for the version that wrote it.
        raise StoreError(
            f"{_name(path)} has format {header['format']} and this version reads {FORMAT}:"
            " upgrade pytest-memento, or use another store (--memento-dir)"
        )
    sections, start = header.get("sections"), len(line) + 1
    if not _are_lengths(sections) or not isinstance(header.get("checksum"), str):
        raise DamagedError(f"{_name(path)} is not a file of pytest-memento")
    if os.fstat(descriptor).st_size != start + sum(map(_padded, sections)):
        raise DamagedError(f"{_name(path)} is truncated")
    return header, start


def _are_lengths(sections: object) -> TypeGuard[list[int]]:
    return (
        isinstance(sections, list)
        and bool(sections)
        and all(type(length) is int and length >= 0 for length in sections)
    )


def _parse(data: bytes, path: str | Path) -> dict[str, Any]:
    try:
        text = data.decode()
        # json.loads looks for the encoding and for blanks first, which takes a third of the time.
        parsed, end = _decode(text)
        if text[end:].strip():
            raise ValueError("more follows")
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{_name(path)} is not readable: {error}") from None
    if not isinstance(parsed, dict):
        raise DamagedError(f"{_name(path)} is not a file of pytest-memento")
    return parsed


def _check_owner(owner: int, path: Path, *, trusted: bool) -> None:
    # A pickle runs code when it is loaded, so one of another user is loaded only on request.
    if not trusted and hasattr(os, "geteuid") and owner != os.geteuid():
        raise DistrustedError(
            f"{path.name} belongs to user {owner}: it is not loaded unless memento_shared is true"
        )


@contextlib.contextmanager
def _aside(path: Path, rights: Rights) -> Iterator[tuple[Path, int]]:
    """Open a new temporary file beside *path*; remove it if it was not published."""
    temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    try:
        descriptor = os.open(temporary, flags, rights.file)
    except FileNotFoundError:
        make(path.parent, rights)
        descriptor = os.open(temporary, flags, rights.file)
    try:
        yield temporary, descriptor
    finally:
        os.close(descriptor)
        temporary.unlink(missing_ok=True)


def _flush_directory(path: Path) -> None:
    with contextlib.suppress(OSError):  # not all file systems can
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _publish(temporary: Path, path: Path, *, replace: bool) -> bool:
    if replace:
        os.replace(temporary, path)
        return True
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        if path.exists():
            return False
        os.replace(temporary, path)
    return True


def _padded(length: int) -> int:
    return -(-length // _ALIGN) * _ALIGN


def _json(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()
