"""What is told, when, and to whom, without a session."""

from __future__ import annotations

import json
import os
import threading
import time
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from pytest_memento.notify import Event, Failure, Notification
from pytest_memento.notify.delivery import Delivery
from pytest_memento.notify.occasions import BATCH, Occasions
from pytest_memento.notify.targets import Target, TargetError, parse

SECRET = "hunter2-&?/s3cret"
ENVIRONMENT = {"TOKEN": SECRET, "HOOK": "https://hooks.example.org/services/T0/B0/XyZ"}


def failure(number: int, error: str = "ValueError: no") -> Failure:
    return Failure(f"exp_a.py::experiment[x={number}]", error, f"> raise\nE   {error}", 1.5)


def events(occasions: object) -> list[str]:
    assert hasattr(occasions, "__iter__")
    return [each.event.value for each in occasions]


# -- when ------------------------------------------------------------------------------------------


def test_the_first_failure_is_told_at_once_and_others_once_a_minute() -> None:
    occasions = Occasions()
    assert events(occasions.failed(failure(1), 0)) == ["first-failure", "failure"]
    assert events(occasions.failed(failure(2), 1)) == []
    assert events(occasions.failed(failure(3), 2)) == []
    assert events(occasions.passes(BATCH - 1)) == []
    (told,) = occasions.passes(BATCH)
    assert told.failures == (failure(2), failure(3))
    assert events(occasions.passes(3 * BATCH)) == []
    assert events(occasions.failed(failure(4), 3 * BATCH)) == ["failure"]
    assert occasions.failures == [failure(n) for n in (1, 2, 3, 4)]


def test_what_waits_is_told_at_the_end() -> None:
    occasions = Occasions()
    assert events(occasions.failed(failure(1), 0)) == ["first-failure", "failure"]
    assert events(occasions.failed(failure(2), 1)) == []
    assert events(occasions.rest()) == ["failure"]
    assert events(occasions.rest()) == []


def test_milestones_are_told_once_and_the_end_is_none() -> None:
    occasions = Occasions()
    told = [each.title for done in range(9) for each in occasions.came_to(done, 8)]
    assert told == ["25 % done", "50 % done", "75 % done"]
    assert events(occasions.came_to(0, 0)) == []


def test_several_milestones_at_once_are_one() -> None:
    assert [each.title for each in Occasions().came_to(2, 3)] == ["50 % done"]


def test_what_does_not_change_is_stalled_once_until_it_moves() -> None:
    occasions = Occasions(patience=10)
    assert events(occasions.saw({"a": 1, "b": 1}, 0)) == []
    assert events(occasions.saw({"a": 1, "b": 2}, 9)) == []
    (told,) = occasions.saw({"a": 1, "b": 2}, 10)
    assert told.title == "stalled: a"
    assert events(occasions.saw({"a": 1, "b": 2}, 12)) == []
    (told,) = occasions.saw({"a": 1, "b": 2}, 19)
    assert told.title == "stalled: b"
    assert events(occasions.saw({"a": 2, "b": 2}, 20)) == []  # it has moved
    assert events(occasions.saw({"a": 2, "b": 2}, 30)) == ["stalled"]


# -- what ------------------------------------------------------------------------------------------


def test_a_title_is_one_line_whatever_an_error_says() -> None:
    told = Notification(Event.FIRST_FAILURE, "memento: first failure: a\r\nBcc: all@example.org")
    assert "\n" not in told.subject
    assert "\r" not in told.subject


def test_a_message_names_what_failed_and_where() -> None:
    told = Notification(
        Event.END,
        "memento: done",
        {"total": 3, "cached": 1, "failed": 2},
        (failure(1), failure(2)),
        seconds=750,
        saved=6720,
        host="node07",
        store="/data/store",
        command=("pytest", "experiments"),
    )
    assert told.body.splitlines() == [
        "3 experiments: 1 cached, 2 failed",
        "12m30s (saved 1h52m) on node07, store /data/store",
        "pytest experiments",
        "",
        "exp_a.py::experiment[x=1] after 1.50s",
        "    > raise",
        "    E   ValueError: no",
        "",
        "exp_a.py::experiment[x=2] after 1.50s",
        "    > raise",
        "    E   ValueError: no",
    ]


def test_a_payload_stays_within_the_limits_of_chat_services() -> None:
    many = tuple(failure(n, "数" * 5000) for n in range(500))
    payload = Notification(Event.END, "memento: 数" * 100, {"total": 500}, many).payload()
    assert len(payload["content"]) <= 2000
    assert len(payload["message"].encode()) <= 4096
    assert len(json.dumps(payload, ensure_ascii=False).encode()) < 32_768
    assert payload["text"].startswith("memento: 数")


def test_an_error_rings_for_nobody() -> None:
    told = Notification(Event.FAILURE, "memento: @here <!channel> @everyone and me@all.org")
    payload = told.payload()
    for text in (payload["text"], payload["content"]):
        assert "@here" not in text
        assert "<!channel>" not in text
        assert "@everyone" not in text
    assert payload["allowed_mentions"] == {"parse": []}


def test_lone_surrogates_and_escapes_do_not_end_it(tmp_path: Path) -> None:
    told = Notification(Event.FAILURE, "memento: \udc80 \x1b[31m", failures=(failure(1, "\udc80"),))
    parse(f"file:{tmp_path}/out.txt", {}, tmp_path).send(told, 1)
    parse(f"file:{tmp_path}/out.jsonl", {}, tmp_path).send(told, 1)
    assert "\x1b" not in (tmp_path / "out.txt").read_text()
    assert json.loads((tmp_path / "out.jsonl").read_text())["event"] == "failure"


# -- to whom ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://${TOKEN}@example.org/topic", "https://example.org/***"),
        ("https://example.org?token=${TOKEN}", "https://example.org/***"),
        ("https://example.org", "https://example.org"),
        ("${HOOK}", "${HOOK}"),
        ("https://example.org/a-literal-secret?on=failure", "https://example.org/***"),
        ("command:cat > out", "command:cat ..."),
        ("file:out.txt", "file:out.txt"),
    ],
)
def test_what_is_shown_of_a_target(text: str, shown: str, tmp_path: Path) -> None:
    target = parse(text, ENVIRONMENT, tmp_path)
    assert target.shown == shown
    hidden = target.hide(f"cannot reach {SECRET} {ENVIRONMENT['HOOK']} a-literal-secret")
    if "TOKEN" in text:
        assert SECRET not in hidden
    if "HOOK" in text:
        assert "services" not in hidden
    if "literal" in text:
        assert "literal" not in hidden


def test_events_are_taken_out_of_an_address_and_the_rest_stays(tmp_path: Path) -> None:
    target = parse("https://example.org/x?a=1&on=end,stalled&b=2", {}, tmp_path)
    assert target.events == {Event.END, Event.STALLED}
    assert target.sender == parse("https://example.org/x?a=1&b=2", {}, tmp_path).sender
    assert parse("https://example.org/x", {}, tmp_path).events == {Event.END, Event.FIRST_FAILURE}


def test_one_failure_is_not_told_twice(tmp_path: Path) -> None:
    target = parse("file:x?on=first-failure,failure", {}, tmp_path)
    assert target.wants(Event.FAILURE)
    assert not target.wants(Event.FIRST_FAILURE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", " is no target (write console, file:PATH, command:CMD or a URL)"),
        ("consol", "consol is no target (did you mean 'console'?)"),
        ("file:", "file: names no file"),
        ("file:nowhere/out.txt", "file:nowhere/out.txt: */nowhere/out.txt cannot be written"),
        ("file:.", "file:.: * is a directory"),
        ("command:", "command: names no command"),
        ("command:no-such-program now", "command:no-such-program: there is no such command"),
        ("command:echo 'a", "command:echo: the shell cannot read it: *"),
        ("https://", "https://*** is no address of a web page: write https://host/path"),
        ("https://example.org:port", "https://example.org:port is no address*"),
        ("https://example.org/a b", "https://example.org/*** is no address*"),
        ("https://x/${NOWHERE}", "https://x/*** needs the environment variable NOWHERE, which*"),
        ("file:x?on=ends", "?on= does not know 'ends' (did you mean 'end'?)"),
        ("file:x?on=later", "?on= does not know 'later' (there are: end, failure, first-failure,*"),
        ("htps://example.org/x", "htps://*** is nothing that Apprise knows, or lacks a part"),
        ("mailto://", "mailto://*** is nothing that Apprise knows, or lacks a part"),
    ],
)
def test_what_is_no_target(text: str, message: str, tmp_path: Path) -> None:
    pytest.importorskip("apprise")
    with pytest.raises(TargetError) as error:
        parse(text, {}, tmp_path)
    assert fnmatchcase(str(error.value), message)


def test_a_password_goes_into_an_address_quoted(tmp_path: Path) -> None:
    pytest.importorskip("apprise")
    target = parse("mailto://me:${TOKEN}@example.org", ENVIRONMENT, tmp_path)
    service = getattr(target.sender, "service")  # noqa: B009
    assert service.password == SECRET


def test_a_command_gets_text_and_json_and_no_secret_on_its_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", SECRET)
    command = (
        'cat > text; printf %s "$MEMENTO_JSON" > json; printf %s "$MEMENTO_EVENT" > event;'
        ' printf %s "${TOKEN}" > token; tr "\\0" " " < /proc/$$/cmdline > line'
    )
    target = parse(f"command:{command}", os.environ, tmp_path)
    target.send(Notification(Event.END, "memento: done", {"total": 1}), 10)
    assert (tmp_path / "text").read_text().startswith("memento: done\n1 experiment")
    assert json.loads((tmp_path / "json").read_text())["title"] == "memento: done"
    assert (tmp_path / "event").read_text() == "end"
    assert (tmp_path / "token").read_text() == SECRET
    assert SECRET not in (tmp_path / "line").read_text()


# -- delivery --------------------------------------------------------------------------------------


def test_a_receiver_that_hangs_keeps_nobody_else_waiting() -> None:
    release, came = threading.Event(), threading.Event()

    def hang(notification: Notification, timeout: float) -> None:
        release.wait()

    hanging = Target("hanging", hang, frozenset(Event))
    other = Target("other", lambda *_: came.set(), frozenset(Event))
    delivery = Delivery([hanging, other], timeout=0.5)
    began = time.monotonic()
    for _ in range(3):
        delivery.send(Notification(Event.END, "memento: done"))
    assert came.wait(10)
    assert delivery.close() == ["notifier hanging failed: no answer within 0.5 s"]
    assert time.monotonic() - began < 10
    release.set()


def test_it_is_waited_for_once() -> None:
    """A session closes at its summary, and again where there may have been none."""
    release = threading.Event()

    def hang(notification: Notification, timeout: float) -> None:
        release.wait()

    delivery = Delivery([Target("hanging", hang, frozenset(Event))], timeout=0.5)
    delivery.send(Notification(Event.END, "memento: done"))
    first = delivery.close()
    assert first == ["notifier hanging failed: no answer within 0.5 s"]
    assert delivery.close() is first
    release.set()


def test_an_error_is_told_in_a_line_without_secrets() -> None:
    def send(notification: Notification, timeout: float) -> None:
        raise RuntimeError(f"cannot reach\n{SECRET}")

    target = Target("somebody", send, frozenset(Event), secrets=frozenset({SECRET}))
    delivery = Delivery([target])
    delivery.send(Notification(Event.END, "memento: done"))
    delivery.send(Notification(Event.END, "memento: done"))
    assert delivery.close() == [r"notifier somebody failed (2 times): cannot reach\n***"]
    assert not [each for each in threading.enumerate() if each.name == "memento-notify"]
