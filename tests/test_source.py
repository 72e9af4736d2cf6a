"""Files, directories and test ids stand for the experiments in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_memento.source import Source

ROOT = Path("/project")


@pytest.mark.parametrize(
    ("text", "experiment", "expected"),
    [
        (".", "exp_a.py::f", True),
        ("exp_a.py", "exp_a.py::f", True),
        ("exp_a.py", "exp_a.py.bak::f", False),
        ("sub", "sub/deep/exp_a.py::f", True),
        ("sub/", "subway/exp_a.py::f", False),
        ("sub/../exp_a.py", "exp_a.py::f", True),
        ("/project/exp_a.py", "exp_a.py::f", True),
        ("/elsewhere", "exp_a.py::f", False),
        ("exp_a.py::f", "exp_a.py::f", True),
        ("exp_a.py::f", "exp_a.py::f2", False),
        ("exp_a.py::Class", "exp_a.py::Class::f", True),
        ("exp_a.py::f[x=1]", "exp_a.py::f", True),
    ],
)
def test_covers(text: str, experiment: str, expected: bool) -> None:
    assert Source.of(text, ROOT).covers(experiment, [ROOT]) is expected


def test_labels() -> None:
    assert Source.of("exp_a.py::f", ROOT).labels("x=1")
    source = Source.of("exp_a.py::f[x=a::b[0]]", ROOT)
    assert source.id == "x=a::b[0]"
    assert source.labels("x=a::b[0]")
    assert not source.labels("x=a")
