"""What is on record of where a result came from."""

from __future__ import annotations

import getpass
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_memento import provenance


def test_the_document(tmp_path: Path) -> None:
    digest, environment = provenance.environment(tmp_path, ["pytest", "-x"])
    assert json.loads(json.dumps(environment)) == environment
    assert environment["host"] == socket.gethostname()
    assert environment["python"] == sys.version.split(maxsplit=1)[0]
    assert environment["command"] == ["pytest", "-x"]
    assert environment["versions"]["pytest"] == pytest.__version__
    assert {"user", "platform", "commit", "dirty", "diff"} < {*environment}
    assert provenance.environment(tmp_path, ["pytest", "-x"]) == (digest, environment)
    assert provenance.environment(tmp_path, ["pytest"])[0] != digest


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise KeyError("uid")

    monkeypatch.setattr(getpass, "getuser", fail)
    assert provenance.user.__wrapped__() == "unknown"


def test_the_repository_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    provenance.state(tmp_path)

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(subprocess, "run", fail)
    provenance.state(tmp_path)
    provenance.environment(tmp_path)
