"""What a script or notebook shows: a line that says how far a run is, and tables of results."""

from __future__ import annotations

import contextvars
import html
import os
import shutil
import sys
import threading
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TextIO


class Line(Protocol):
    """A line that is written over as things go on."""

    is_in_place: bool
    """Whether it is; else each one is written below the last."""
    width: int | None
    """How long it may be."""

    def show(self, text: str) -> None:
        """Show a text in place of the last one."""

    def say(self, text: str) -> None:
        """Write a line that stays."""

    def close(self) -> None:
        """Take the line away."""


def line() -> Line:
    """Return a line for where this process is looked at: a notebook, a terminal, a log."""
    if (shell := notebook_shell()) is not None:
        return _NotebookLine(shell)
    # As it is now: pytest puts others in its place while experiments run.
    return _StreamLine(sys.stderr)


def notebook_shell() -> Any:
    """Return the shell of the notebook that runs in this process, ``None`` where there is none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell if hasattr(shell, "kernel") else None


class _StreamLine:
    """A line of a terminal; where there is none, lines one below another."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self._lock = threading.RLock()
        self._is_shown = False
        is_terminal = stream is not None and stream.isatty()
        self.is_in_place = is_terminal and os.environ.get("TERM") != "dumb"
        self.width = shutil.get_terminal_size().columns - 1 if self.is_in_place else None

    def show(self, text: str) -> None:
        with self._lock:
            if self.is_in_place:
                self._write(f"\r{text}\x1b[K")
                self._is_shown = True
            else:
                self._write(f"{text}\n")

    def say(self, text: str) -> None:
        with self._lock:
            self.close()
            self._write(f"{text}\n")

    def close(self) -> None:
        with self._lock:
            if self._is_shown:
                self._write("\r\x1b[K")
                self._is_shown = False

    def _write(self, text: str) -> None:
        if self._stream is not None:
            encoding = getattr(self._stream, "encoding", None) or "utf-8"
            self._stream.write(text.encode(encoding, "replace").decode(encoding))
            self._stream.flush()


class _NotebookLine:
    """An output of the cell that runs."""

    is_in_place = True
    width: int | None = 120

    def __init__(self, shell: Any) -> None:
        self._publisher = shell.display_pub
        self._id = os.urandom(8).hex()
        self._said: list[str] = []
        self._is_there = False
        # Output from other threads is that of the cell in whose context it is written.
        self._context = contextvars.copy_context()
        self._lock = threading.RLock()

    def show(self, text: str) -> None:
        with self._lock:
            self._publish([*self._said, text])

    def say(self, text: str) -> None:
        with self._lock:
            self._said.append(text)
            self._publish(self._said)

    def close(self) -> None:
        with self._lock:
            if self._is_there:
                self._publish(self._said)

    def _publish(self, lines: Iterable[str]) -> None:
        data = {"text/plain": "\n".join(lines)}
        more = {"transient": {"display_id": self._id}, "update": self._is_there}
        context = self._context.copy()
        context.run(lambda: self._publisher.publish(data=data, metadata={}, **more))
        self._is_there = True


# -- tables ----------------------------------------------------------------------------------------

MOST_ROWS = 100
"""Of a table in a notebook."""
_STYLE = "text-align:left;white-space:pre;max-width:40em;overflow:hidden;text-overflow:ellipsis"


def html_table(
    title: str, headings: Sequence[str], rows: Iterable[Sequence[str]], total: int
) -> str:
    """Return a table for a notebook, all text escaped.

    :param rows: of which there are *total* when those that are left out are counted.
    """
    head = f"<thead>{_row('th', headings)}</thead>"
    body = [_row("td", row) for row in rows]
    table = f"<table>{head}<tbody>{''.join(body)}</tbody></table>" if headings else ""
    more = f"<p>... and {total - len(body)} more</p>" if total > len(body) else ""
    return f"<div><p>{_escaped(title)}</p>{table}{more}</div>"


def _row(kind: str, cells: Iterable[str]) -> str:
    inside = (f'<{kind} style="{_STYLE}">{_escaped(each)}</{kind}>' for each in cells)
    return f"<tr>{''.join(inside)}</tr>"


def _escaped(text: str) -> str:
    return html.escape(text.encode(errors="backslashreplace").decode())
