"""Notification providers in the manner of the Memento library: objects that are called.

Most people want ``notify="console"`` or another target of ``--memento-notify``, which tell more.
"""

from __future__ import annotations

import os
from typing import Protocol, TextIO, runtime_checkable


@runtime_checkable
class NotificationProvider(Protocol):
    """What is called in the process of the script, as experiments end."""

    def task_completed(self) -> object:
        """Hear that an experiment has passed."""

    def task_failure(self) -> object:
        """Hear that an experiment has failed."""

    def all_tasks_completed(self) -> object:
        """Hear that the run is over."""


class DefaultNotificationProvider:
    """Does nothing; to derive from."""

    def task_completed(self) -> object:
        """Hear that an experiment has passed."""
        return None

    def task_failure(self) -> object:
        """Hear that an experiment has failed."""
        return None

    def all_tasks_completed(self) -> object:
        """Hear that the run is over."""
        return None


class _SayingProvider(DefaultNotificationProvider):
    """Says in a line what has happened."""

    def say(self, text: str) -> None:
        """Say it."""
        raise NotImplementedError

    def task_completed(self) -> None:
        """Say that an experiment has passed."""
        self.say("Task completed")

    def task_failure(self) -> None:
        """Say that an experiment has failed."""
        self.say("Task failed")

    def all_tasks_completed(self) -> None:
        """Say that the run is over."""
        self.say("All tasks completed")


class ConsoleNotificationProvider(_SayingProvider):
    """Prints."""

    def say(self, text: str) -> None:
        """Print it."""
        print(text)


class FileSystemNotificationProvider(_SayingProvider):
    """Appends to a file.

    :param filepath: its path, or what is open for writing.
    """

    def __init__(self, filepath: str | os.PathLike[str] | TextIO | None = None) -> None:
        self._file = "logs.txt" if filepath is None else filepath

    def say(self, text: str) -> None:
        """Append it."""
        if isinstance(self._file, (str, os.PathLike)):
            with open(self._file, "a", encoding="utf-8") as file:
                file.write(f"{text}\n")
        else:
            self._file.write(f"{text}\n")
