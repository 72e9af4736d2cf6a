"""What is said of wrong options, and what needs no Slurm."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def _no_slurm(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLURM_JOB_ID", "SLURM_CONF"):
        monkeypatch.delenv(name, raising=False)
    (pytester.path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(pytester.path / "bin"))


pytestmark = pytest.mark.usefixtures("_no_slurm")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--memento-slurm=0"], "takes a number of tasks from 1 on, not 0"),
        (["--memento-slurm-detach"], "--memento-slurm-detach is for --memento-slurm N: how many"),
        (["--memento-slurm-time=1:00"], "--memento-slurm-time is for --memento-slurm N: how many"),
        (["--memento-slurm=2", "--pdb"], "--memento-slurm does not go with --pdb"),
        (["--memento-slurm=2", "--memento-cache=off"], "does not go with --memento-cache=off"),
        (["--memento-slurm=2", "--memento-verify=1"], "does not go with --memento-verify"),
        (["--memento-slurm=2", '--memento-slurm-args="'], "--memento-slurm-args or a resource: No"),
        (
            ["--memento-slurm=2", "--memento-slurm-mode=srun", "--memento-slurm-detach"],
            "--memento-slurm-detach is for --memento-slurm-mode=array",
        ),
        (["--memento-slurm=2"], "memento: there is no Slurm here (sbatch is not found)"),
        (
            ["--memento-slurm=2", "--memento-slurm-mode=srun"],
            "memento: there is no Slurm here (salloc is not found)",
        ),
    ],
)
def test_wrong_options(
    pytester: pytest.Pytester, squares: Path, arguments: list[str], message: str
) -> None:
    result = pytester.runpytest_subprocess(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in result.stderr.str()
    assert not (pytester.path / ".pytest_cache/memento/slurm").exists() or not list(
        (pytester.path / ".pytest_cache/memento/slurm").iterdir()
    )


def test_a_dry_run_shows_the_script(
    pytester: pytest.Pytester, squares: Path, notes: object
) -> None:
    pytester.makeini(
        "[pytest]\nmemento_slurm_time = 1:00\nmemento_slurm_setup =\n    module load x\n"
    )
    result = pytester.runpytest_subprocess(
        "--memento-slurm", "8", "--memento-slurm-dry-run", "--memento-slurm-args=--nice=5 --mail=x",
        "--memento-slurm-gpus=2", "--memento-select", "x <= 2",
    )  # fmt: skip
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "memento: would submit 2 experiments as this array:",
            "[#]!/bin/bash",
            "[#]SBATCH --array=0-1",
            "[#]SBATCH --gpus=2",
            "[#]SBATCH --time=1:00",
            "[#]SBATCH --nice=5",
            "[#]SBATCH --mail=x",
            "module load x",
            "exec * -m pytest *--memento-select 'x <= 2' --memento-dir=*",
            "memento: 2 of 2 experiments were not run: --memento-slurm-dry-run",
        ]
    )
    assert "memento-slurm" not in result.stdout.str().partition("exec ")[2].splitlines()[0]
    assert pytester.runpytest_subprocess("--memento-slurm=2", "--collect-only").ret == 0


def test_what_is_stored_needs_no_slurm(pytester: pytest.Pytester, squares: Path) -> None:
    pytester.runpytest_subprocess()
    result = pytester.runpytest_subprocess("--memento-slurm=2")
    assert result.parseoutcomes() == {"cached": 3}


def test_an_order_that_cannot_be_read(
    pytester: pytest.Pytester, squares: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMENTO_SLURM_TASK", "0:/no/submission")
    # Other settings of ours are cleared for each test, so it comes after that.
    result = pytester.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: the submission /no/submission cannot be read"])
