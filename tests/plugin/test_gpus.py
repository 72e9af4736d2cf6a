"""``memento_gpus``: each worker sees GPUs of its own; none are needed to see that."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytestmark = pytest.mark.usefixtures("xdist")
Notes = Callable[[], list[str]]

SEEN = """
    import os, time
    from notes import note

    matrix = {"parameters": {"x": list(range(6))}}

    def experiment(x):
        worker = os.environ.get("PYTEST_XDIST_WORKER", "serial")
        note(f"{worker} {os.environ.get('CUDA_VISIBLE_DEVICES')}")
        time.sleep(0.3)
"""


def masks(notes: Notes) -> dict[str, str]:
    lines = set(notes())
    found = dict(line.split() for line in lines)
    assert len(found) == len(lines), "a worker has seen two masks"
    return found


@pytest.fixture(autouse=True)
def _project(pytester: pytest.Pytester, notes: Notes) -> None:
    pytester.makepyfile(exp_a=SEEN)


@pytest.mark.parametrize(
    ("ini", "outer", "inner"),
    [
        ("1", "3,7", {"gw0": "3", "gw1": "7"}),
        ("2", "0,1,2,3", {"gw0": "0,1", "gw1": "2,3"}),
        ("0.5", "4", {"gw0": "4", "gw1": "4"}),
        ("", "3,7", {"gw0": "3,7", "gw1": "3,7"}),
    ],
)
def test_each_worker_has_its_own(
    pytester: pytest.Pytester,
    notes: Notes,
    monkeypatch: pytest.MonkeyPatch,
    ini: str,
    outer: str,
    inner: dict[str, str],
) -> None:
    pytester.makeini(f"[pytest]\nmemento_gpus = {ini}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", outer)
    assert pytester.runpytest_subprocess("-n2").parseoutcomes() == {"passed": 6}
    assert masks(notes) == inner


def test_a_new_worker_has_what_the_dead_one_had(
    pytester: pytest.Pytester, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]\nmemento_gpus = 1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    pytester.makepyfile(exp_a=SEEN + "\n        if worker == 'gw0': os._exit(1)\n")
    assert pytester.runpytest_subprocess("-n1").parseoutcomes() == {"passed": 6}
    assert set(masks(notes).values()) == {"5"}


def test_n_auto_counts_them(
    pytester: pytest.Pytester, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]\nmemento_gpus = 1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "9")
    assert pytester.runpytest_subprocess("-nauto").parseoutcomes() == {"passed": 6}
    assert masks(notes) == {"gw0": "9"}


def test_too_many_workers(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makeini("[pytest]\nmemento_gpus = 1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    result = pytester.runpytest_subprocess("-n3")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: memento_gpus = 1: there are 3 workers, and GPUs for 2 (0, 1): use -n 2, *"]
    )


def test_none_is_visible(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makeini("[pytest]\nmemento_gpus = 1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    result = pytester.runpytest_subprocess("-n2")
    assert result.parseoutcomes() == {"passed": 6}
    result.stdout.fnmatch_lines(["memento_gpus = 1, but no GPU is visible"])


@pytest.mark.parametrize("text", ["one", "-1", "1.5"])
def test_no_number(pytester: pytest.Pytester, text: str) -> None:
    pytester.makeini(f"[pytest]\nmemento_gpus = {text}")
    result = pytester.runpytest_subprocess("-n2")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*memento_gpus takes the number of GPUs *, not '{text}'"])
