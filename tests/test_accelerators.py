"""Which GPUs there are, and who gets which."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_memento.accelerators import shares, visible


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("0,1", ["0", "1"]),
        ("3, 5", ["3", "5"]),
        ("GPU-8932f937,GPU-1a", ["GPU-8932f937", "GPU-1a"]),
        ("MIG-GPU-1/1/0", ["MIG-GPU-1/1/0"]),
        ("", []),
        ("-1", []),
        ("0,-1,2", ["0"]),
        ("NoDevFiles", ["NoDevFiles"]),
    ],
)
def test_by_the_environment(text: str, devices: list[str]) -> None:
    assert visible(environment={"CUDA_VISIBLE_DEVICES": text}) == devices


def test_by_the_driver(tmp_path: Path) -> None:
    for name in ("0000:00:04.0", "0000:00:05.0"):
        (tmp_path / "proc/driver/nvidia/gpus" / name).mkdir(parents=True)
    assert visible(tmp_path, environment={}) == ["0", "1"]


def test_none(tmp_path: Path) -> None:
    assert visible(tmp_path, environment={}) == []


@pytest.mark.parametrize(
    ("number", "each", "expected"),
    [
        (2, 1, ["0", "1"]),
        (5, 2, ["0,1", "2,3"]),
        (1, 2, []),
        (1, 0.25, ["0"] * 4),
        (2, 0.5, ["0", "1", "0", "1"]),
        (0, 1, []),
    ],
)
def test_shares(number: int, each: float, expected: list[str]) -> None:
    assert shares([str(n) for n in range(number)], each) == expected
