"""How a notification gets out: each sender is called in a thread, and raises what went wrong."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import re
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pytest_memento.notify.notification import Event, Notification

_KINDS = {Event.FAILURE: "failure", Event.FIRST_FAILURE: "failure", Event.STALLED: "warning"}
"""What Apprise calls them."""
_JSON_LINES = (".json", ".jsonl", ".ndjson")


class Sender(Protocol):
    """Gets notifications out."""

    def __call__(self, notification: Notification, timeout: float) -> None:
        """Send one.

        :param timeout: seconds that it may take.
        :raises Exception: it did not arrive.
        """


class SendingError(Exception):
    """A notification did not arrive; says why, in a line."""


@dataclass(frozen=True)
class Append:
    """Appends to a file: text, or a line of JSON each where the name ends in ``.jsonl``."""

    path: Path

    def __call__(self, notification: Notification, timeout: float) -> None:  # noqa: ARG002
        """Write it."""
        text = f"{notification.subject}\n{notification.body}\n\n"
        if self.path.suffix in _JSON_LINES:
            text = json.dumps(notification.facts()) + "\n"
        with self.path.open("a", encoding="utf-8", errors="replace") as file:
            file.write(text)


@dataclass(frozen=True)
class Run:
    """Runs a command of the shell: text on its standard input, the rest in its environment."""

    command: str
    directory: Path

    def __call__(self, notification: Notification, timeout: float) -> None:
        """Run it, and what it starts for no longer than the time-out."""
        described = {
            "MEMENTO_EVENT": notification.event.value,
            "MEMENTO_TITLE": notification.subject,
            "MEMENTO_JSON": json.dumps(notification.facts()),
        }
        process = subprocess.Popen(
            ["/bin/sh", "-c", self.command],
            cwd=self.directory,
            env={**os.environ, **described},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        text = f"{notification.subject}\n{notification.body}\n".encode(errors="replace")
        try:
            _, said = process.communicate(text, timeout)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise TimeoutError from None
        if process.returncode:
            last = said.decode(errors="replace").strip().rpartition("\n")[2]
            raise SendingError(f"exit code {process.returncode}" + (f": {last}" if last else ""))


@dataclass(frozen=True)
class Post:
    """Posts JSON, to a chat service or whatever takes it.

    :param url: where to; what stands before an ``@`` in it is for Basic authentication.
    """

    url: str

    def __call__(self, notification: Notification, timeout: float) -> None:
        """Post it."""
        parts = urllib.parse.urlsplit(self.url)
        user, at, host = parts.netloc.rpartition("@")
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "pytest-memento",
            # By these ntfy shows two texts of the JSON; others do not know them.
            "X-Template": "yes",
            "X-Title": "{{.title}}",
            "X-Message": "{{.message}}",
        }
        if at:
            token = base64.b64encode(urllib.parse.unquote(user).encode()).decode()
            headers["Authorization"] = f"Basic {token}"
        url = parts._replace(netloc=host, fragment="").geturl()
        data = json.dumps(notification.payload(), ensure_ascii=False).encode(errors="replace")
        request = urllib.request.Request(url, data, headers, method="POST")
        try:
            with _OPENER.open(request, timeout=timeout) as answer:
                answer.read(1)
        except urllib.error.HTTPError as error:
            with error:
                raise SendingError(f"it answered {error.code} {error.reason}") from None
        except urllib.error.URLError as error:
            if isinstance(error.reason, Exception):
                raise error.reason from None
            raise SendingError(str(error.reason)) from None


class _Straight(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: the text would stay behind, and only an empty request go on."""

    def redirect_request(self, *_: Any) -> None:
        """Decline."""


_OPENER = urllib.request.build_opener(_Straight)


@dataclass(frozen=True)
class Service:
    """Sends through Apprise, which knows mail and more than a hundred services.

    :param service: as made by :func:`service`.
    """

    service: Any

    def __call__(self, notification: Notification, timeout: float) -> None:  # noqa: ARG002
        """Send it; Apprise has time-outs of its own."""
        described = {
            "title": notification.subject,
            "body": notification.body,
            "body_format": "text",
            "notify_type": _KINDS.get(notification.event, "info"),
        }
        with _logged("apprise") as lines:
            if not self.service.notify(**described):
                raise SendingError("; ".join(lines) or "Apprise does not say why")


def service(url: str) -> Any:
    """Return what Apprise sends with to an address, ``None`` if it does not know how.

    :raises ImportError: it is not installed.
    """
    with warnings.catch_warnings():  # of its old-fashioned imports
        warnings.simplefilter("ignore")
        import apprise

        found: Any = apprise.Apprise.instantiate(url)
    if found is not None:
        # It would rest for seconds between two messages, at the end of a session; ours are few.
        found.request_rate_per_sec = 0
    return found


@contextlib.contextmanager
def _logged(name: str) -> Iterator[list[str]]:
    """Collect what a library logs from warnings on, in this thread or another one."""
    lines: list[str] = []

    class Collecting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(re.sub(r"\s+", " ", record.getMessage()))

    logger, handler = logging.getLogger(name), Collecting(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
