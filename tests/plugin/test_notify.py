"""``--memento-notify``: real receivers on this machine are told what a session does."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

SECRET = "hunter2-very-secret"
ONE_FAILS = """
matrix = {"parameters": {"x": [1, 2, 3, 4, 5, 6]}}

def experiment(x):
    if x == 3:
        raise MemoryError("cannot have 3 GB")
    return x
"""


class Webhook(http.server.ThreadingHTTPServer):
    """Keeps what is posted.

    :param status: what it answers.
    :param hangs: whether it answers only when it is told to.
    """

    daemon_threads = True

    def __init__(self, status: int = 200, *, hangs: bool = False) -> None:
        self.posted: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.release = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # the name is that of http.server
                outer.paths.append(self.path)
                outer.headers.append(dict(self.headers))
                length = int(self.headers["Content-Length"])
                outer.posted.append(json.loads(self.rfile.read(length)))
                if hangs:
                    outer.release.wait(60)
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def events(self) -> list[str]:
        return [each["memento"]["event"] for each in self.posted]


@pytest.fixture
def webhook() -> Iterator[Callable[..., Webhook]]:
    """Start receivers of JSON."""
    servers: list[Webhook] = []

    def start(status: int = 200, *, hangs: bool = False) -> Webhook:
        server = Webhook(status, hangs=hangs)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.release.set()
        server.shutdown()
        server.server_close()


@pytest.fixture
def mails(tmp_path: Path) -> Iterator[tuple[str, Callable[[], list[EmailMessage]]]]:
    """A mail server, a process of its own: its address, and what it has got."""
    pytest.importorskip("apprise")
    pytest.importorskip("aiosmtpd")
    address, box = f"127.0.0.1:{free_port()}", tmp_path / "mails"
    handler = ["-c", "aiosmtpd.handlers.Mailbox", os.fspath(box)]
    server = subprocess.Popen([sys.executable, "-m", "aiosmtpd", "-n", "-l", address, *handler])
    until = time.monotonic() + 30
    while not answers(address):
        assert time.monotonic() < until, "the mail server does not come up"
        time.sleep(0.1)

    def got() -> list[EmailMessage]:
        files = sorted(box.glob("new/*"), key=lambda path: path.stat().st_mtime_ns)
        return [message_from_bytes(each.read_bytes(), policy=policy.default) for each in files]

    yield address, got
    server.terminate()
    server.wait(30)


def answers(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def told(path: Path) -> list[dict[str, Any]]:
    """Read what was told to a file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def events(path: Path) -> list[str]:
    return [each["event"] for each in told(path)]


@pytest.mark.parametrize("workers", [0, 2])
def test_one_failing_configuration_is_told_everywhere(
    pytester: pytest.Pytester,
    request: pytest.FixtureRequest,
    webhook: Callable[..., Webhook],
    mails: tuple[str, Callable[[], list[EmailMessage]]],
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
) -> None:
    if workers:
        request.getfixturevalue("xdist")
    monkeypatch.setenv("MEMENTO_TEST_TOKEN", SECRET)
    server = webhook()
    address, got = mails
    pytester.makepyfile(exp_a=ONE_FAILS)
    result = pytester.runpytest_subprocess(
        *(["-n", str(workers)] if workers else []),
        f"--memento-notify={server.url}/${{MEMENTO_TEST_TOKEN}}",
        f"--memento-notify=mailto://{address}/?from=me@example.org&to=you@example.org&mode=insecure",
        "--memento-notify=file:told.jsonl",
        "--memento-notify=command:cat >> command.txt",
        "--memento-notify=console",
    )
    result.assert_outcomes(passed=5, failed=1)
    named = "exp_a.py::experiment[[]x=3[]]: MemoryError: cannot have 3 GB"
    result.stdout.fnmatch_lines(
        [f"memento: first failure: {named}", "memento: done: 5 passed, 1 failed in *"]
    )
    named = named.replace("[[]", "[").replace("[]]", "]")
    for all_of in (
        server.posted,
        [{"memento": each} for each in told(pytester.path / "told.jsonl")],
    ):
        first, end = (each["memento"] for each in all_of)
        assert (first["event"], end["event"]) == ("first-failure", "end")
        assert named in first["title"]
        assert end["counts"] == {"total": 6, "cached": 0, "passed": 5, "failed": 1}
        assert end["failures"][0]["id"] == "exp_a.py::experiment[x=3]"
        assert end["failures"][0]["error"] == "MemoryError: cannot have 3 GB"
    assert server.paths == [f"/{SECRET}"] * 2
    parsed = got()
    assert [str(each["Subject"]).partition(":")[2][:14] for each in parsed] == [
        " first failure", " done: 5 passe",
    ]  # fmt: skip
    plain = parsed[1].get_body(("plain",))
    assert plain is not None
    text = (pytester.path / "command.txt").read_text()
    for body in (
        plain.get_content(),
        text,
        server.posted[1]["text"],
        server.posted[1]["content"],
    ):
        assert "exp_a.py::experiment[x=3]" in body
        assert 'raise MemoryError("cannot have 3 GB")' in body
    assert SECRET not in result.stdout.str() + result.stderr.str()
    for path in pytester.path.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


def test_chat_services_find_their_names(
    pytester: pytest.Pytester, squares: Path, webhook: Callable[..., Webhook]
) -> None:
    server = webhook()
    with_user = server.url.replace("//", "//me:p%40ss@")
    pytester.runpytest(f"--memento-notify={with_user}/x?a=1&on=end").assert_outcomes(passed=3)
    (posted,) = server.posted
    assert posted["text"].startswith("memento: done: 3 passed in ")  # Slack, Mattermost
    assert posted["content"] == posted["text"]  # Discord
    assert posted["title"].startswith("memento: done")  # ntfy, by the template in the headers
    assert posted["message"].startswith("3 experiments: 3 passed")
    (headers,) = server.headers
    assert headers["X-Message"] == "{{.message}}"
    assert headers["Authorization"] == "Basic bWU6cEBzcw=="
    assert server.paths == ["/x?a=1"]


def test_a_receiver_that_hangs_costs_its_time_out(
    pytester: pytest.Pytester, squares: Path, webhook: Callable[..., Webhook]
) -> None:
    pytester.makeconftest(
        """
        import pytest_memento.notify.delivery as delivery
        delivery.Delivery.__init__.__defaults__ = (1.0,)
        """
    )
    server, other = webhook(hangs=True), webhook()
    result = pytester.runpytest_subprocess(
        f"--memento-notify={server.url}/x", f"--memento-notify={other.url}/x"
    )
    result.assert_outcomes(passed=3)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [f"memento: notifier {server.url}/[*][*][*] failed: no answer within 1 s"]
    )
    assert other.events == ["end"]


@pytest.mark.parametrize(("status", "why"), [(500, "500 Internal*"), (302, "302 Found")])
def test_a_receiver_that_answers_otherwise_is_one_warning(
    pytester: pytest.Pytester, squares: Path, webhook: Callable[..., Webhook], status: int, why: str
) -> None:
    server = webhook(status)
    result = pytester.runpytest("-W", "error", f"--memento-notify={server.url}/x")
    result.assert_outcomes(passed=3)
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"memento: notifier {server.url}/* failed: it answered {why}"])


def test_a_receiver_that_refuses_is_one_warning(pytester: pytest.Pytester, squares: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    result = pytester.runpytest("-q", f"--memento-notify={url}/x")
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"memento: notifier {url}/* failed: connection refused"])


def test_a_mail_server_that_refuses_is_one_warning(
    pytester: pytest.Pytester, squares: Path
) -> None:
    pytest.importorskip("apprise")
    result = pytester.runpytest_subprocess(
        f"--memento-notify=mailto://me:{SECRET}@127.0.0.1:{free_port()}/?mode=insecure"
        "&from=me@example.org&to=you@example.org"
    )
    assert result.ret == 0
    result.stdout.fnmatch_lines(["memento: notifier mailto://[*][*][*] failed: *"])
    assert SECRET not in result.stdout.str() + result.stderr.str()


@pytest.mark.parametrize(
    ("target", "line"),
    [
        ("htp://example.org", "ERROR: --memento-notify: htp://* did you mean 'http'?*"),
        ("https://x/${NOT_SET}", "ERROR: --memento-notify: https://* variable NOT_SET, which is *"),
        ("console?on=stall", "ERROR: --memento-notify: ?on= does not know 'stall' (did you mean *"),
    ],
)
def test_a_target_that_is_none_is_told_before_anything_runs(
    pytester: pytest.Pytester,
    squares: Path,
    notes: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    line: str,
) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)  # as where it is not installed
    result = pytester.runpytest_inprocess(f"--memento-notify={target}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([line])
    assert notes() == []


def test_nothing_is_told_where_all_is_cached_unless_asked(
    pytester: pytest.Pytester, squares: Path
) -> None:
    pytester.runpytest("--memento-notify=file:a.jsonl").assert_outcomes(passed=3)
    assert events(pytester.path / "a.jsonl") == ["end"]
    pytester.runpytest("--memento-notify=file:b.jsonl")
    assert events(pytester.path / "b.jsonl") == []
    pytester.runpytest("--memento-notify=file:c.jsonl?on=end")
    (end,) = told(pytester.path / "c.jsonl")
    assert end["counts"] == {"total": 3, "cached": 3, "passed": 0, "failed": 0}
    pytester.runpytest("--collect-only", "--memento-notify=file:d.jsonl?on=end")
    assert events(pytester.path / "d.jsonl") == []


def test_the_end_is_told_after_maxfail(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a=ONE_FAILS)
    pytester.runpytest("-x", "--memento-notify=file:a.jsonl")
    (_, end) = told(pytester.path / "a.jsonl")
    assert end["title"].startswith(
        "memento: stopped (stopping after 1 failures): 2 passed, 1 failed"
    )
    assert end["counts"]["not run"] == 3


def test_the_end_is_told_after_an_error_at_collection(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a="matrix = {'parameters': {}")
    pytester.runpytest("--memento-notify=file:a.jsonl")
    (end,) = told(pytester.path / "a.jsonl")
    assert end["title"].startswith("memento: stopped (1 error during collection): no experiments")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_end_is_told_after_a_signal(
    pytester: pytest.Pytester, notes: Callable[[], list[str]], number: signal.Signals
) -> None:
    pytester.makepyfile(
        exp_a="""
        import time
        from notes import note
        matrix = {"parameters": {"x": [1, 2]}}
        def experiment(x):
            note("begun")
            time.sleep(1)
        """
    )
    run = "import signal, sys, pytest; signal.signal(2, signal.default_int_handler);"
    session = subprocess.Popen(
        [sys.executable, "-c", f"{run} sys.exit(pytest.main(sys.argv[1:]))",
         "--memento-notify=file:a.jsonl"],
        cwd=pytester.path, stdout=subprocess.PIPE,
    )  # fmt: skip
    until = time.monotonic() + 60
    while not notes():
        assert time.monotonic() < until
        time.sleep(0.05)
    os.kill(session.pid, number)
    session.communicate(timeout=60)
    (end,) = told(pytester.path / "a.jsonl")
    assert end["event"] == "end"
    why = "Ctrl-C" if number == signal.SIGINT else "memento: ended by SIGTERM"
    assert end["title"].startswith(f"memento: stopped ({why}")


def test_milestones(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a="def experiment(x): pass\nmatrix = {'parameters': {'x': range(8)}}")
    pytester.runpytest("--memento-notify=file:a.jsonl?on=milestone")
    titles = [each["title"] for each in told(pytester.path / "a.jsonl")]
    assert titles == ["memento: 25 % done", "memento: 50 % done", "memento: 75 % done"]


def test_an_experiment_without_progress_is_stalled(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        exp_a="""
        import time
        from pathlib import Path
        matrix = {"parameters": {"x": [1]}}
        def experiment(context, x):
            context.progress(1, 10)
            until = time.monotonic() + 60
            while not Path("a.jsonl").exists() and time.monotonic() < until:
                time.sleep(0.1)
        """
    )
    pytester.makeini("[pytest]\nmemento_stalled = 2s")
    result = pytester.runpytest_subprocess(
        "--memento-notify=file:a.jsonl?on=stalled", "--memento-notify=console?on=stalled"
    )
    result.assert_outcomes(passed=1)
    (stalled,) = told(pytester.path / "a.jsonl")
    assert stalled["title"].startswith("memento: stalled: exp_a.py::experiment[x=1] (pid ")
    assert any("1/10" in line for line in stalled["details"])
    result.stdout.fnmatch_lines(["memento: stalled: exp_a.py::experiment[[]x=1[]] (pid *"])


def test_lasting_choices(
    pytester: pytest.Pytester, squares: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]\nmemento_notify =\n    file:ini.jsonl\n    file:ini2.jsonl?on=end")
    monkeypatch.setenv("MEMENTO_NOTIFY", "file:environment.jsonl")
    pytester.runpytest("--memento-notify=file:typed.jsonl")
    names = ["environment.jsonl", "ini.jsonl", "ini2.jsonl", "typed.jsonl"]
    assert sorted(path.name for path in pytester.path.glob("*.jsonl")) == names
    for name in names:
        (pytester.path / name).unlink()
    pytester.runpytest("--memento-cache=refresh", "--memento-notify=none")
    assert not list(pytester.path.glob("*.jsonl"))


def test_none_takes_back_what_could_not_work(
    pytester: pytest.Pytester, squares: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMENTO_NOTIFY", "https://example.org/${NOT_SET}")
    result = pytester.runpytest()
    result.stderr.fnmatch_lines(["ERROR: $MEMENTO_NOTIFY: https://* variable NOT_SET, which is *"])
    pytester.runpytest("--memento-notify=none").assert_outcomes(passed=3)


def test_the_hook(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(exp_a=ONE_FAILS)
    pytester.makeconftest(
        """
        from pathlib import Path

        def pytest_memento_notify(event, config):
            with (Path(config.rootpath) / "hook.txt").open("a") as file:
                file.write(f"{event.event.value} {event.counts['failed']}\\n")
            if event.event.value == "end":
                raise RuntimeError("no")
        """
    )
    result = pytester.runpytest_subprocess()
    result.assert_outcomes(passed=5, failed=1)
    assert (pytester.path / "hook.txt").read_text().splitlines() == [
        "milestone 0", "first-failure 1", "failure 1", "milestone 1", "milestone 1", "end 1",
    ]  # fmt: skip
    result.stdout.fnmatch_lines(["memento: notifier pytest_memento_notify failed: no"])


def test_workers_tell_nobody_and_are_told_no_secret(
    pytester: pytest.Pytester, xdist: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMENTO_TEST_TOKEN", SECRET)
    monkeypatch.setenv("MEMENTO_NOTIFY", "file:environment.jsonl")
    pytester.makepyfile(exp_a=ONE_FAILS)
    pytester.makeconftest(
        """
        from pathlib import Path

        def pytest_configure(config):
            if hasattr(config, "workerinput"):
                text = repr((vars(config.option), config.workerinput, config.invocation_params))
                Path(f"{config.workerinput['workerid']}.txt").write_text(text)
        """
    )
    pytester.runpytest_subprocess(
        "-n2", "--memento-notify=http://127.0.0.1:9/${MEMENTO_TEST_TOKEN}"
    )
    workers = [path.read_text() for path in pytester.path.glob("gw*.txt")]
    assert len(workers) == 2
    assert not any(SECRET in text for text in workers)
    assert events(pytester.path / "environment.jsonl") == ["first-failure", "end"]


def test_a_suite_without_experiments_tells_nobody_that_it_is_well(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile("def test_it(): pass")
    pytester.runpytest("--memento-notify=file:a.jsonl").assert_outcomes(passed=1)
    assert events(pytester.path / "a.jsonl") == []
