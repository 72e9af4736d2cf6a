"""Data files that a result depends on: found by pattern, compared by content."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path

from pytest_memento.errors import FileError
from pytest_memento.fingerprint import Digest, digest_text

Read = Callable[[Path], Digest]
"""How the digest of one file's content is got."""

MISSING = Digest("missing")
DIFFERED = Digest("differed")
"""What is known of a file that was not the same each time it was read: it equals no digest."""
_CHUNK = 1 << 20


def find(patterns: Iterable[str | os.PathLike[str]], places: Sequence[Path]) -> Iterator[Path]:
    """Yield the files that patterns match, those of a directory one by one.

    :param patterns: paths, directories, or patterns of :mod:`glob` (``**`` for any depth).
    :param places: the directories that relative ones may start from; the first with a match counts.
    :raises FileError: a pattern matches nothing.
    """
    for pattern in patterns:
        found = next(filter(None, (_match(place, os.fspath(pattern)) for place in places)), None)
        if not found:
            where = " or ".join(dict.fromkeys(map(str, places)))
            raise FileError(f"depends: {os.fspath(pattern)!r} matches no file in {where}")
        yield from found


def _match(place: Path, pattern: str) -> list[Path]:
    literal = place / Path(pattern).expanduser()
    names = [str(literal)] if literal.exists() else glob.glob(str(literal), recursive=True)
    return [each for name in sorted(names) for each in _files(Path(name))]


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(each for each in path.rglob("*") if each.is_file())


def digest_all(path: Path, read: Read) -> Digest:
    """Return the digest of a file, or of all files in a directory with their names."""
    if not path.is_dir():
        return read(path)
    lines = [f"{each.relative_to(path).as_posix()}={read(each)}" for each in _files(path)]
    return digest_text("\n".join(lines))


def digest_content(path: Path) -> Digest:
    """Return the digest of a file's content.

    :raises OSError: it cannot be read.
    """
    hashed = blake2b(digest_size=16)
    with path.open("rb", buffering=0) as file:
        buffer = memoryview(bytearray(_CHUNK))
        while length := file.readinto(buffer):
            hashed.update(buffer[:length])
    return Digest(hashed.hexdigest())


def name_of(path: Path, root: Path) -> str:
    """Return how a file is known in records: from the project's root if it is below it."""
    path, root = Path(os.path.abspath(path)), Path(os.path.abspath(root))
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def merged(several: Iterable[Mapping[str, Digest]]) -> dict[str, Digest]:
    """Return what is known of files by several who have read them.

    :param several: name -> digest, each.
    """
    known: dict[str, Digest] = {}
    for each in several:
        for name, digest in each.items():
            known[name] = digest if known.get(name, digest) == digest else DIFFERED
    return known


def changes(known: Mapping[str, str], root: Path, read: Read) -> Iterator[str]:
    """Say which files differ from what is known of them.

    :param known: name -> digest.
    """
    for name, digest in known.items():
        now = digest_now(root / name, read)
        if now != digest:
            yield f"file {name} {'is gone' if now == MISSING else 'changed'}"


def digest_now(path: Path, read: Read) -> Digest:
    """Return the digest of a file or directory as it is, :data:`MISSING` if it is gone."""
    try:
        return digest_all(path, read)
    except OSError:
        return MISSING
