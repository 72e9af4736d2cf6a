"""What is said to Slurm, and what tasks and those who watch tell each other, without a cluster."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_memento.rights import PRIVATE
from pytest_memento.slurm import cluster, relay
from pytest_memento.slurm.cluster import SlurmError
from pytest_memento.slurm.script import Job, Resources
from pytest_memento.slurm.submission import (
    Group,
    Item,
    Notes,
    Submission,
    Tail,
    outdated,
    submissions,
)

ITEM = Item("exp_a.py::experiment[x=1]", "exp_a.py::experiment", "1-2-3", 12.5)


def group(*items: Item, gpus: int | None = None) -> Group:
    return Group(items or (ITEM,), 1, Resources.of({"gpus": gpus}))


def submission(root: Path, *groups: Group) -> Submission:
    return Submission.new(root, groups or (group(),), PRIVATE, refreshes=False)


def job(directory: Path, **changes: object) -> Job:
    known = {
        "directory": directory, "group": 0, "tasks": 3, "resources": Resources(), "token": "t0",
        "store": directory, "project": directory, "setup": (), "python": "python",
        "arguments": ("exp a.py", "-k", "x and not 'y'"),
    }  # fmt: skip
    return Job(**{**known, **changes})  # type: ignore[arg-type]


def commands(path: Path, **scripts: str) -> None:
    """Make commands of their own."""
    path.mkdir(exist_ok=True)
    for name, text in scripts.items():
        (path / name).write_text(f"#!/bin/sh\n{text}\n")
        (path / name).chmod(0o755)


# -- what is asked for -----------------------------------------------------------------------------


def test_nothing_is_sent_that_was_not_asked_for() -> None:
    asked = Resources.of({"time": "1:00", "cpus": 4, "mem": "", "gpus": None}, ["--any=thing"])
    assert asked.options == ["--cpus-per-task=4", "--time=1:00", "--any=thing"]
    assert asked.but({"time": None, "gpus": 1}).options == [
        "--cpus-per-task=4", "--gpus=1", "--any=thing",
    ]  # fmt: skip
    assert Resources.of({}).options == []


@pytest.mark.parametrize("named", [{"gpu": 1}, {"time": "1:00\nrm -r /"}])
def test_wrong_resources(named: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"the names are|more than one line"):
        Resources.of(named)


def test_a_script_runs_what_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is in the names of directories and in the arguments."""
    directory = tmp_path / "it's a dir; $(x) %"
    directory.mkdir()
    (directory / "token").write_text("t0\n")
    commands(tmp_path / "bin", python='printf "%s\\n" "$FROM" "$MEMENTO_SLURM_TASK" "$PWD" "$@"')
    script = tmp_path / "job.sh"
    script.write_text(job(directory, setup=("export FROM='the setup'",)).script)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    done = subprocess.run(["bash", str(script)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "the setup", f"0:{directory}", str(directory),
        "-m", "pytest", "exp a.py", "-k", "x and not 'y'",
    ]  # fmt: skip
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"token": "other"}, "memento: the store DIR is not shared with node n7"),
        (
            {"project": Path("/no/project")},
            "memento: the project /no/project is not there on node n7",
        ),
        ({"python": "/no/python"}, "memento: there is no /no/python on node n7, see ini *"),
    ],
)
def test_what_a_node_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], message: str
) -> None:
    (tmp_path / "token").write_text("t0\n")
    monkeypatch.setenv("SLURMD_NODENAME", "n7")
    script = job(tmp_path, **changes).script
    done = subprocess.run(["bash"], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout.startswith(message.replace("DIR", str(tmp_path)).rstrip("*"))


# -- the commands ----------------------------------------------------------------------------------


def test_without_slurm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not cluster.is_here()
    with pytest.raises(SlurmError, match=r"no Slurm here .sbatch is not found."):
        cluster.submit(tmp_path / "job.sh", [])
    assert cluster.elements(["1"]) is None
    assert not cluster.requeue("1_0")


def test_what_squeue_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said = "7_0|RUNNING|None|n1\n7_1|PENDING|Resources|\n7_2|COMPLETED|None|n2"
    commands(tmp_path, squeue=f"echo '{said}'")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    running, waiting, over = cluster.elements(["7"]) or []
    assert (running.node, running.is_waiting, running.is_over) == ("n1", False, False)
    assert (waiting.reason, waiting.is_waiting, waiting.is_over) == ("Resources", True, False)
    assert (over.name, over.is_waiting, over.is_over) == ("7_2", False, True)


@pytest.mark.parametrize(
    ("error", "found"),
    [
        ("slurm_load_jobs error: Invalid job id specified", []),
        ("slurm_load_jobs error: Unable to contact slurm controller", None),
    ],
)
def test_a_job_that_is_forgotten_and_a_controller_that_is_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: str, found: object
) -> None:
    commands(tmp_path, squeue=f"echo {shlex.quote(error)} >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert cluster.elements(["7"]) == found
    assert cluster.elements(["7", "8"]) == found


def test_the_relay_passes_on_what_the_worker_says(tmp_path: Path) -> None:
    commands(tmp_path, srun='echo "from a prolog"; while [ "$1" != sh ]; do shift; done; exec "$@"')
    done = subprocess.run(
        [sys.executable, relay.__file__, str(tmp_path / "srun"), "--ntasks=1", "--",
         sys.executable, "-c", "import sys; sys.stdout.write(sys.stdin.read() * 2); sys.exit(3)"],
        env={**os.environ, relay.SETUP: "echo from the setup"},
        input="x" * 100_000, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "x" * 200_000
    assert "from a prolog" in done.stderr
    assert "from the setup" in done.stderr
    assert done.returncode == 3


# -- files -----------------------------------------------------------------------------------------


def test_a_submission_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = submission(tmp_path, group(), group(gpus=1))
    assert Submission.read(made.directory) == made
    half = made.submitted(["7"])
    assert [each.job for each in half.groups] == ["7", ""]
    whole = half.submitted(["7", "8"])
    assert Submission.read(made.directory) == whole
    assert whole.jobs == ["7", "8"]


def test_submissions_that_somebody_is_to_watch(tmp_path: Path) -> None:
    assert submissions(tmp_path) == []
    seen, open_ = submission(tmp_path).submitted(["1"]), submission(tmp_path).submitted(["2"])
    newer = submission(tmp_path)
    (newer.directory / "submission").write_text('{"format": 99}')
    (tmp_path / "slurm/foreign").mkdir()
    seen.see()
    assert submissions(tmp_path) == [open_]
    assert list(outdated(tmp_path)) == []
    os.utime(seen.directory / "seen", (1000, 1000))
    assert list(outdated(tmp_path)) == [seen.directory]


def test_notes_are_read_once_and_whole(tmp_path: Path) -> None:
    made = submission(tmp_path)
    first, second, tail = Notes(made, PRIVATE), Notes(made, PRIVATE), Tail(made)
    first.add(begun="7_0", node="n1")
    second.add(begun="7_1", node="n2")
    assert {str(said["begun"]) for said in tail.new()} == {"7_0", "7_1"}
    assert list(tail.new()) == []
    first.add(ended="7_0")
    (path,) = (path for path in made.notes.iterdir() if "7_0" in path.read_text())
    with path.open("a") as file:
        file.write('{"half": ')
    assert list(tail.new()) == [{"ended": "7_0"}]
    with path.open("a") as file:
        file.write('1}\nno json\n[1]\n{"more": 2}\n')
    assert list(tail.new()) == [{"half": 1}, {"more": 2}]


def test_the_end_of_what_a_task_has_printed(tmp_path: Path) -> None:
    made = submission(tmp_path, group(), group(gpus=1)).submitted(["7", "8"])
    (made.directory / "1-4.log").write_text("a\n\nb\nc\n")
    assert made.last_lines("8_4", 2) == ["b", "c"]
    assert made.last_lines("7_4") == []
    assert made.last_lines("9_4") == []


def test_halting(tmp_path: Path) -> None:
    made = submission(tmp_path)
    assert made.halted == ""
    made.halt("1 failure")
    assert made.halted == "1 failure"
