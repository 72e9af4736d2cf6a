"""The state of a repository tells apart what may compute something else, and leaves git alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_memento import checkout as module
from pytest_memento.checkout import Checkout, checkout

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
Git = Callable[..., str]


def git_in(directory: Path) -> Git:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", *arguments],
            cwd=directory, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout.strip()

    return git


@pytest.fixture(autouse=True)
def _own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep those of this machine out, and tests out of the repository they are in."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """A repository ``project`` with one commit: a file, a directory, and what is ignored."""
    project = tmp_path / "project"
    (project / "sub").mkdir(parents=True)
    (project / "exp_a.py").write_text("a = 1\n")
    (project / "sub" / "b.py").write_text("b = 1\n")
    (project / ".gitignore").write_text("*.log\n")
    git = git_in(project)
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "-m", "one")
    return git


@pytest.fixture
def project(tmp_path: Path, git: Git) -> Path:
    return tmp_path / "project"


def test_a_clean_tree(project: Path, git: Git) -> None:
    (project / "run.log").write_text("ignored")
    (project / "__pycache__").mkdir()
    (project / "__pycache__" / "exp_a.pyc").write_bytes(b"compiled")
    assert checkout(project) == Checkout(git("rev-parse", "HEAD"), False, None)
    os.utime(project / "exp_a.py", (1, 1))
    assert checkout(project).dirty is False


def test_each_state_has_its_digest(project: Path, git: Git) -> None:
    file, new = project / "exp_a.py", project / "new.py"

    def states() -> list[Checkout]:
        seen = []
        file.write_text("a = 2\n")
        seen.append(checkout(project))
        file.write_text("a = 3\n")
        seen.append(checkout(project))
        git("add", "exp_a.py")
        assert checkout(project) == seen[-1]
        file.chmod(0o755)
        seen.append(checkout(project))
        file.unlink()
        seen.append(checkout(project))
        file.symlink_to("sub/b.py")
        seen.append(checkout(project))
        git("reset", "--quiet", "--hard")
        for name, text in (("new.py", "a"), ("new.py", "b"), ("other.py", "b")):
            (project / name).write_text(text)
            seen.append(checkout(project))
            (project / name).unlink()
        new.symlink_to("/nonexistent")
        seen.append(checkout(project))
        new.unlink()
        os.mkfifo(file.with_name("pipe"))
        file.unlink()
        os.rename(file.with_name("pipe"), file)
        seen.append(checkout(project))
        git("reset", "--quiet", "--hard")
        return seen

    first = states()
    assert all(state.dirty for state in first)
    assert len({state.diff for state in first}) == len(first) == 10
    assert states() == first
    assert checkout(project).dirty is False


def test_the_same_digest_whatever_the_user_has_set(project: Path, git: Git) -> None:
    (project / "exp_a.py").write_text("a = 2\n")
    git("mv", "sub/b.py", "sub/c.py")
    before = checkout(project)
    for name, value in {"diff.noprefix": "true", "status.relativePaths": "true",
                        "status.showUntrackedFiles": "no", "status.renames": "copies",
                        "color.ui": "always", "core.quotePath": "true"}.items():  # fmt: skip
        git("config", name, value)
    (project / "nötig.py").write_text("1")
    after = checkout(project)
    assert after != before
    (project / "nötig.py").unlink()
    assert checkout(project) == before


def test_places(project: Path, git: Git, tmp_path: Path) -> None:
    (project / "exp_a.py").write_text("a = 2\n")
    (project / "--weird").write_text("1")
    (project / "two\nlines.py").write_text("1")
    state = checkout(project)
    assert state.dirty
    assert checkout(project / "sub") == state
    git("stash", "--quiet")
    git("worktree", "add", "--quiet", str(tmp_path / "tree"))
    assert checkout(tmp_path / "tree") == Checkout(state.commit, False, None)
    assert checkout(tmp_path / "nonexistent") == Checkout()
    assert checkout(tmp_path) == Checkout()


def test_no_commit_yet(tmp_path: Path) -> None:
    git_in(tmp_path)("init", "--quiet")
    assert checkout(tmp_path) == Checkout(None, False, None)
    (tmp_path / "a.py").write_text("1")
    state = checkout(tmp_path)
    assert (state.commit, state.dirty) == (None, True)


def test_a_repository_in_the_repository(project: Path, git: Git) -> None:
    (project / "inner").mkdir()
    inner = git_in(project / "inner")
    inner("init", "--quiet")
    (project / "inner" / "a.py").write_text("1")
    first = checkout(project)
    (project / "inner" / "a.py").write_text("2")
    second = checkout(project)
    inner("add", ".")
    inner("commit", "--quiet", "-m", "inner")
    assert len({first.diff, second.diff, checkout(project).diff}) == 3


def test_a_file_that_became_a_directory(project: Path) -> None:
    (project / "exp_a.py").unlink()
    (project / "exp_a.py").mkdir()
    (project / "exp_a.py" / "x").write_text("1")
    assert checkout(project).dirty


def test_large_files_count_by_size_and_time(project: Path) -> None:
    large = project / "zz_large.bin"
    large.write_bytes(b"1" * 10_000)
    os.utime(large, (1, 1))
    first = checkout(project, longest=9_000)
    large.write_bytes(b"2" * 10_000)
    os.utime(large, (1, 1))
    assert checkout(project, longest=9_000) == first
    assert checkout(project) != first
    os.utime(large, (2, 2))
    assert checkout(project, longest=9_000) != first
    # What comes before it in the alphabet is still read.
    (project / "exp_a.py").write_text("a = 2\n")
    second = checkout(project, longest=9_000)
    (project / "exp_a.py").write_text("a = 3\n")
    assert checkout(project, longest=9_000) != second


def test_no_program_of_the_user_is_run(project: Path, git: Git, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/was_run\nexit 1\n")
    program.chmod(0o755)
    for name in ("diff.external", "core.fsmonitor", "diff.x.command", "diff.x.textconv"):
        git("config", name, str(program))
    (project / ".gitattributes").write_text("*.py diff=x\n")
    (project / "exp_a.py").write_text("a = 2\n")
    assert checkout(project).dirty
    assert not (tmp_path / "was_run").exists()


def test_no_lock_is_taken_and_the_index_stays(project: Path) -> None:
    os.utime(project / "exp_a.py", (1, 1))  # which git would like to note in the index
    (project / ".git" / "index.lock").touch()
    index = (project / ".git" / "index").read_bytes()
    assert checkout(project).dirty is False
    (project / ".git" / "index.lock").unlink()
    assert checkout(project).dirty is False
    assert (project / ".git" / "index").read_bytes() == index


def test_inside_a_hook_of_another_repository(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = checkout(project)
    git_in(tmp_path)("init", "--quiet", "other")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other" / ".git" / "index"))
    assert checkout(project) == expected


def test_no_git_is_installed(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert checkout(project) == Checkout()


def test_git_hangs(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.which("git")
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    # What it starts keeps its output open.
    fake.write_text(
        f'#!/bin/sh\ncase "$*" in *porcelain*) sleep 3 & wait;; *) exec {real} "$@";; esac\n'
    )
    fake.chmod(0o755)
    expected = checkout(project)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(module, "SECONDS", 0.5)
    assert checkout(project) == Checkout(expected.commit)
