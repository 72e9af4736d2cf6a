"""To whom: targets as users write them, with secrets that come from the environment only.

    console                               the terminal
    file:PATH                             appended; JSON lines where the name ends in .jsonl
    command:CMD                           a command of the shell
    https://...                           JSON
    mailto://..., slack://..., ...        whatever Apprise knows

``?on=end,failure`` at the end says which events are wanted.
"""

from __future__ import annotations

import re
import subprocess
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pytest_memento.command import MASK
from pytest_memento.config import nearest
from pytest_memento.errors import MementoError
from pytest_memento.notify.notification import Event, Notification
from pytest_memento.notify.senders import Append, Post, Run, Sender, Service, service
from pytest_memento.rights import is_writable

DEFAULT: Final = frozenset({Event.END, Event.FIRST_FAILURE})
_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")
_SHORTEST_SECRET: Final = 4
"""Characters: what is shorter would hide half of a message."""
_OWN: Final = ("console", "file", "command", "http", "https")


class TargetError(MementoError, ValueError):
    """A target that nothing can be sent to."""


@dataclass(frozen=True)
class Target:
    """Somebody who is told.

    :param shown: what people call it: without secrets.
    :param sender: how it is told.
    :param events: what it wants to know.
    :param named: what of that it has asked for by name.
    :param secrets: what must never be shown.
    :param is_here: whether it is told at once, in no thread: the terminal.
    """

    shown: str
    sender: Sender
    events: frozenset[Event] = DEFAULT
    named: frozenset[Event] = frozenset()
    secrets: frozenset[str] = frozenset()
    is_here: bool = False

    def wants(self, event: Event) -> bool:
        """Whether it is to be told."""
        return event in self.events

    def has_named(self, event: Event) -> bool:
        """Whether it has asked for such an event by name."""
        return event in self.named

    def send(self, notification: Notification, timeout: float) -> None:
        """Send something.

        :raises Exception: it did not arrive.
        """
        self.sender(notification, timeout)

    def hide(self, text: str) -> str:
        """Return *text* without its secrets."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, MASK)
        return text


def parse(
    text: str, environment: Mapping[str, str], directory: Path, console: Sender | None = None
) -> Target:
    """Read a target, and find out whether something can be sent to it as far as that shows.

    >>> target = parse("https://example.org/${TOKEN}?on=failure", {"TOKEN": "s3cret"}, Path("."))
    >>> target.shown, target.hide("no s3cret here"), [event.value for event in target.events]
    ('https://example.org/***', 'no *** here', ['failure'])

    :param environment: what ``${NAME}`` is looked up in.
    :param directory: what a path starts from, and where commands run.
    :param console: what ``console`` stands for.
    :raises TargetError: it is none.
    """
    bare, named = _events_of(text.strip())
    used = {name: _look_up(name, environment, bare) for name in _VARIABLE.findall(bare)}
    sender = _sender(bare, used, directory, console)
    secrets = frozenset(_secrets(bare, used))
    return Target(_shown(bare), sender, named or DEFAULT, named, secrets, sender is console)


def _events_of(text: str) -> tuple[str, frozenset[Event]]:
    """Take ``on=`` out of what follows the last question mark."""
    start, mark, query = text.rpartition("?")
    pieces = query.split("&") if mark else []
    chosen = [piece[3:] for piece in pieces if piece.startswith("on=")]
    if not chosen:
        return text, frozenset()
    rest = "&".join(piece for piece in pieces if not piece.startswith("on="))
    words = [word.strip() for word in ",".join(chosen).split(",")]
    named = frozenset(map(_event, words))
    if Event.FAILURE in named:  # which comes at once for the first one, too, and tells the same
        named -= {Event.FIRST_FAILURE}
    return start + (mark + rest if rest else ""), named


def _event(word: str) -> Event:
    known = [event.value for event in Event]
    if word in known:
        return Event(word)
    near = nearest(word, known)
    hint = f"did you mean {near!r}?" if near else f"there are: {', '.join(known)}"
    raise TargetError(f"?on= does not know {word!r} ({hint})")


def _look_up(name: str, environment: Mapping[str, str], text: str) -> str:
    if not environment.get(name):
        raise TargetError(f"{_shown(text)} needs the environment variable {name}, which is not set")
    return environment[name]


def _sender(text: str, used: Mapping[str, str], directory: Path, console: Sender | None) -> Sender:
    full = _filled(text, used)
    scheme, colon, rest = full.partition(":")
    if full == "console" and console is not None:
        return console
    if colon and scheme == "file":
        return _file(rest, directory)
    if colon and scheme == "command":  # the shell has the environment, and needs no secret of ours
        return _command(text.partition(":")[2] or rest, directory)
    if scheme in ("http", "https"):
        return _webhook(full, _shown(text))
    if not re.match(r"[A-Za-z][\w+.-]*://", full):
        near = nearest(scheme, _OWN)
        hint = (
            f"did you mean {near!r}?" if near else "write console, file:PATH, command:CMD or a URL"
        )
        raise TargetError(f"{_shown(text)} is no target ({hint})")
    return _service(full, _shown(text))


def _file(text: str, directory: Path) -> Append:
    if text.startswith("//"):
        text = urllib.parse.unquote(urllib.parse.urlsplit(f"file:{text}").path)
    if not text:
        raise TargetError("file: names no file")
    path = directory / Path(text).expanduser()
    if path.is_dir() or not is_writable(path):
        why = "is a directory" if path.is_dir() else "cannot be written"
        raise TargetError(f"file:{text}: {path} {why}")
    return Append(path)


def _command(text: str, directory: Path) -> Run:
    if not text.strip():
        raise TargetError("command: names no command")
    # Whether it can be read; and whether its first word is something that can be run.
    checked = subprocess.run(
        ["/bin/sh", "-n", "-c", text], capture_output=True, text=True, check=False
    )
    first = text.split(maxsplit=1)[0]
    if checked.returncode:
        said = checked.stderr.strip().rpartition("\n")[2]
        raise TargetError(f"command:{first}: the shell cannot read it: {said}")
    found = subprocess.run(
        ["/bin/sh", "-c", 'command -v -- "$1"', "sh", first],
        capture_output=True, check=False, cwd=directory,
    )  # fmt: skip
    if found.returncode and re.fullmatch(r"[\w./+-]+", first):
        raise TargetError(f"command:{first}: there is no such command")
    return Run(text, directory)


def _webhook(url: str, shown: str) -> Post:
    try:
        parts = urllib.parse.urlsplit(url)
        good = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        good = False
    if not good or re.search(r"[\s\x00-\x1f]", url):
        raise TargetError(f"{shown} is no address of a web page: write https://host/path")
    return Post(url)


def _service(url: str, shown: str) -> Service:
    try:
        found = service(url)
    except ImportError:
        near = nearest(shown.partition(":")[0], _OWN)
        hint = f", or did you mean {near!r}?" if near else ""
        raise TargetError(
            f"{shown} needs Apprise: pip install 'pytest-memento[notify]'{hint}"
        ) from None
    if found is None:
        raise TargetError(f"{shown} is nothing that Apprise knows, or lacks a part")
    return Service(found)


def _filled(text: str, used: Mapping[str, str]) -> str:
    """Put in what the environment says; quoted where a URL has user and password."""
    scheme, mark, rest = text.partition("://")
    authority = rest.partition("/")[0]
    user, at, _ = authority.rpartition("@")

    def quoted(found: re.Match[str]) -> str:
        return urllib.parse.quote(used[found[1]], safe="")

    def plain(found: re.Match[str]) -> str:
        return used[found[1]]

    if mark and at:
        end = len(scheme) + len(mark) + len(user)
        return _VARIABLE.sub(quoted, text[:end]) + _VARIABLE.sub(plain, text[end:])
    return _VARIABLE.sub(plain, text)


def _shown(text: str) -> str:
    """Name a target by what cannot be secret: scheme and host, path of a file, first word."""
    scheme, colon, rest = text.partition(":")
    if scheme in ("console", "file") or not colon:
        return text
    if scheme == "command":
        words = rest.split()
        return f"command:{words[0]}" + (" ..." if len(words) > 1 else "") if words else "command:"
    authority, *more = re.split(r"[/?#]", rest.removeprefix("//"), maxsplit=1)
    host = authority.rpartition("@")[2] if scheme in ("http", "https") else ""
    return f"{scheme}://{host}/{MASK}" if host and any(more) else f"{scheme}://{host or MASK}"


def _secrets(text: str, used: Mapping[str, str]) -> Iterable[str]:
    """Yield what must not be shown: values of the environment, and the parts of an address."""
    values = list(used.values())
    if "://" in text and not text.startswith("file:"):
        full = _filled(text, used)
        parts = full.partition("://")[2]
        authority, _, path = parts.partition("/")
        values += [full, authority.rpartition("@")[0], *authority.rpartition("@")[0].split(":")]
        values += [path, *re.split(r"[/?&=]", path)]
    for value in values:
        if len(value) >= _SHORTEST_SECRET:
            yield value
            yield urllib.parse.unquote(value)
            yield urllib.parse.quote(value, safe="")
