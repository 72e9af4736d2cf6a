"""What is told, as text and as JSON."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from pytest_memento.amounts import duration
from pytest_memento.labels import one_line

_SHOWN: Final = 10
"""Failures that a message has in full; of the others it has the number."""
_TAIL: Final = 8
_WIDTH: Final = 200
_MESSAGE: Final = 3_500
"""Bytes: ntfy makes an attachment of what is longer than 4,096."""
_CONTENT: Final = 1_900
"""Characters: Discord refuses more than 2,000."""
_TEXT: Final = 8_000
"""Bytes: with all else, what is sent stays below the 32 kB that ntfy reads."""
_MENTION: Final = re.compile(r"<(?=[!@#])|@(?=(?:all|channel|everyone|here)\b)", re.IGNORECASE)


class Event(enum.Enum):
    """What a notification is about; the value is the word in ``?on=``."""

    END = "end"
    FAILURE = "failure"
    FIRST_FAILURE = "first-failure"
    STALLED = "stalled"
    MILESTONE = "milestone"


@dataclass(frozen=True)
class Failure:
    """An experiment that failed.

    :param id: function and configuration, as the node id.
    :param error: why, in a line.
    :param traceback: its last lines.
    :param seconds: how long it ran, if it did.
    """

    id: str
    error: str
    traceback: str = ""
    seconds: float | None = None

    def lines(self) -> Iterator[str]:
        """Yield what people read of it."""
        after = "" if self.seconds is None else f" after {duration(self.seconds)}"
        yield one_line(self.id + after, _WIDTH)
        tail = [line for line in self.traceback.splitlines() if line.strip()][-_TAIL:]
        if self.error and not any(self.error in line for line in tail):
            tail.append(self.error)
        yield from (f"    {one_line(line, _WIDTH)}" for line in tail)


@dataclass(frozen=True)
class Notification:
    """One message about a session.

    :param event: what it is about.
    :param title: that in a line.
    :param counts: how many experiments there are (``total``), and how they ended: always
        ``cached``, ``passed``, ``failed``; others, and ``not run``, where there are any.
    :param failures: what failed: all of it at the end, what is new before.
    :param details: further lines.
    :param seconds: for how long the session has run.
    :param saved: seconds that results from the store have saved.
    :param host: where it runs.
    :param store: where its results are.
    :param command: what was typed, without secrets.
    """

    event: Event
    title: str
    counts: Mapping[str, int] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    details: tuple[str, ...] = ()
    seconds: float = 0.0
    saved: float = 0.0
    host: str = ""
    store: str = ""
    command: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """The title, fit for a line of its own, such as the subject of a mail."""
        return one_line(self.title, _WIDTH)

    @property
    def body(self) -> str:
        """What people read below the title."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        counts = dict(self.counts)
        total = counts.pop("total", 0)
        parts = [f"{number} {word}" for word, number in counts.items() if number]
        if total:
            plural = "" if total == 1 else "s"
            yield f"{total} experiment{plural}: {', '.join(parts) or 'none done'}"
        yield from (one_line(line, _WIDTH) for line in self.details)
        saved = f" (saved {duration(self.saved)})" if self.saved >= 1 else ""
        yield f"{duration(self.seconds)}{saved} on {self.host}, store {self.store}"
        if self.command:
            yield one_line(" ".join(self.command), _WIDTH)
        for failure in self.failures[:_SHOWN]:
            yield ""
            yield from failure.lines()
        if (more := len(self.failures) - _SHOWN) > 0:
            yield f"\n... and {more} more"

    def facts(self) -> dict[str, Any]:
        """Return it as JSON data, for programs."""
        return {
            "event": self.event.value,
            "title": self.subject,
            "counts": dict(self.counts),
            "failures": [
                {
                    "id": one_line(each.id, _WIDTH),
                    "error": one_line(each.error, _WIDTH),
                    "seconds": None if each.seconds is None else round(each.seconds, 3),
                }
                for each in self.failures[:_SHOWN]
            ],
            "details": [one_line(line, _WIDTH) for line in self.details],
            "seconds": round(self.seconds, 3),
            "saved": round(self.saved, 3),
            "host": self.host,
            "store": self.store,
            "command": list(self.command),
        }

    def payload(self) -> dict[str, Any]:
        """Return what webhooks get, under the names that chat services read.

        ``text`` is what Slack and Mattermost show, ``content`` Discord, ``title`` and ``message``
        ntfy; ``memento`` has the facts. Nothing that an error says rings for a whole channel.
        """
        text = _calm(f"{self.subject}\n{self.body}")
        return {
            "text": _cut(text, _TEXT),
            "content": text if len(text) <= _CONTENT else f"{text[:_CONTENT]}…",
            "title": self.subject,
            "message": _cut(self.body, _MESSAGE),
            "allowed_mentions": {"parse": []},
            "memento": self.facts(),
        }


def _calm(text: str) -> str:
    """Break mentions of everybody, as ``@here`` or ``<!channel>``, with a space of no width."""
    return _MENTION.sub("\\g<0>\u200b", text)


def _cut(text: str, most: int) -> str:
    """Cut *text* to a number of bytes in UTF-8."""
    data = text.encode(errors="replace")
    return text if len(data) <= most else data[:most].decode(errors="ignore") + "…"
