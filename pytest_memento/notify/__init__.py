"""Telling people, and programs, what a session does while they are elsewhere.

notification   what is told
occasions      when
targets        to whom, as the user writes it
senders        how: files, commands, webhooks, the services that Apprise knows
delivery       in threads, with a time-out, and no error is one of the session
"""

from __future__ import annotations

from pytest_memento.notify.notification import Event, Failure, Notification

__all__ = ["Event", "Failure", "Notification"]
