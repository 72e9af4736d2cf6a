"""The processors that a process may use, by affinity, control groups and Slurm."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_memento.processors import usable

ALL = 64


@pytest.fixture(autouse=True)
def _a_large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(ALL)), raising=False)


def system(root: Path, cgroup: str, mountinfo: str, **files: str) -> Path:
    """Write what Linux shows of control groups: files by their path with ``__`` for ``/``."""
    for name, text in {"proc/self/cgroup": cgroup, "proc/self/mountinfo": mountinfo}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("cpu_", "cpu.")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "33 32 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "34 32 0:31 {inside} /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
)


def test_nothing_limits_it(tmp_path: Path) -> None:
    assert usable(tmp_path, {}) == ALL
    system(tmp_path, "0::/\n", V2, sys__fs__cgroup__cpu_max="max 100000\n")
    assert usable(tmp_path, {}) == ALL


@pytest.mark.parametrize(
    ("limit", "number"),
    [("200000 100000", 2), ("150000 100000", 2), ("5000 100000", 1), ("max 100000", ALL),
     ("9900000 100000", ALL), ("", ALL), ("a b", ALL), ("1 0", ALL)],
)  # fmt: skip
def test_version_2(tmp_path: Path, limit: str, number: int) -> None:
    system(tmp_path, "0::/user.slice/job\n", V2, sys__fs__cgroup__user_slice__cpu_max="max 1")
    path = tmp_path / "sys/fs/cgroup/user.slice/job/cpu.max"
    path.parent.mkdir(parents=True)
    path.write_text(limit)
    assert usable(tmp_path, {}) == number


def test_the_groups_around_it_limit_it_too(tmp_path: Path) -> None:
    system(
        tmp_path,
        "0::/outer/inner\n",
        V2,
        sys__fs__cgroup__outer__cpu_max="300000 100000",
        sys__fs__cgroup__outer__inner__cpu_max="800000 100000",
    )
    assert usable(tmp_path, {}) == 3


@pytest.mark.parametrize(
    ("group", "inside"), [("/docker/a", "/docker/a"), ("/", "/"), ("/other", "/docker/a")]
)
def test_version_1_in_a_container(tmp_path: Path, group: str, inside: str) -> None:
    system(
        tmp_path,
        f"12:memory:{group}\n5:cpuacct,cpu:{group}\n0::/\n",
        V1.format(inside=inside),
        **{
            "sys__fs__cgroup__cpu,cpuacct__cpu_cfs_quota_us": "400000\n",
            "sys__fs__cgroup__cpu,cpuacct__cpu_cfs_period_us": "100000\n",
        },
    )
    assert usable(tmp_path, {}) == 4


def test_version_1_without_a_limit(tmp_path: Path) -> None:
    files = {
        "sys__fs__cgroup__cpu,cpuacct__cpu_cfs_quota_us": "-1\n",
        "sys__fs__cgroup__cpu,cpuacct__cpu_cfs_period_us": "100000\n",
    }
    system(tmp_path, "5:cpu,cpuacct:/\n", V1.format(inside="/"), **files)
    assert usable(tmp_path, {}) == ALL


@pytest.mark.parametrize(
    ("environment", "number"),
    [
        ({"SLURM_CPUS_ON_NODE": "8"}, ALL),
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "8"}, 8),
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "8", "SLURM_CPUS_PER_TASK": "2"}, 8),
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "8", "SLURM_CPUS_PER_TASK": "2",
          "SLURM_STEP_ID": "0", "SLURM_PROCID": "3"}, 2),
        ({"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "0", "SLURM_PROCID": "3"}, ALL),
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "many"}, ALL),
        ({"SLURM_JOB_ID": "7", "SLURM_CPUS_ON_NODE": "0"}, 1),
    ],
)  # fmt: skip
def test_an_allocation_of_slurm(tmp_path: Path, environment: dict[str, str], number: int) -> None:
    assert usable(tmp_path, environment) == number


def test_it_is_never_more_than_the_affinity() -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("needs an operating system with affinities")
    code = "import os\nos.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
    code += "from pytest_memento.processors import usable\nprint(usable())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
