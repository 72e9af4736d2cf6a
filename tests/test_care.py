"""What a store can do without is found, shown and removed; all else stays."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_memento import QueryError, container, provenance
from pytest_memento.care import Choice, Proposal, clear, prune, survey
from pytest_memento.claims import claimed_if_free
from pytest_memento.fingerprint import Digest
from pytest_memento.pickling import dump
from pytest_memento.query import parse
from pytest_memento.record import Key, Outcome, Record, Value
from pytest_memento.removal import Removal, amount, bytes_of, lines, remove
from pytest_memento.source import Source
from pytest_memento.store import Store, slug

NAME = "experiments/exp_a.py::experiment"
HOUR = 3600.0
NOBODY = 65534
WAIT = """
import sys, time
from pathlib import Path
from pytest_memento.claims import claimed_if_free
with claimed_if_free(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    path = tmp_path / "project"
    (path / "experiments").mkdir(parents=True)
    (path / "experiments/exp_a.py").touch()
    return path


@pytest.fixture
def store(project: Path) -> Store:
    return Store(project / ".pytest_cache/memento")


def key_of(x: int, *, code: str = "c", settings: str = "b", name: str = NAME) -> Key:
    digests = (Digest(f"{x:x}" * 32), Digest(settings * 32), Digest(code * 32))
    return Key(name, *digests)


def put(
    store: Store, key: Key, *, outcome: Outcome = Outcome.PASSED, belongings: int = 0, **more: Any
) -> Record:
    """Publish a run with its documents, and a checkpoint and artifacts of so many bytes."""
    x = int(key.parameters[0], 16)
    given: dict[str, Any] = {
        "id": f"x={x}",
        "parameters": {"x": Value.of(x, str(x), "")},
        "settings": {},
        "started": 1000.0 + x,
        "runtime": 2.0,
        "cpu_time": 1.0,
        "memory": None,
        "environment": "e" * 32,
    }
    record = Record(key=key, outcome=outcome, **given | more)
    store.put_document(key.code, {"exp_a.experiment": "1"})
    store.put_document("e" * 32, {"host": "here"})
    store.publish(record, {}, dump(x))
    if belongings:
        artifacts = store.artifacts(key)
        artifacts.mkdir(parents=True)
        (artifacts / "weights").write_bytes(b"w" * belongings)
        store.save_checkpoint(key, dump(b"c" * belongings))
    return record


def later() -> float:
    return time.time() + 2 * HOUR


def cleared(store: Store, project: Path, expression: str, *sources: str) -> Proposal:
    choice = Choice(project, [Source.of(text, project) for text in sources])
    return clear(survey(store), parse(expression), choice, time.time())


def pruned(
    store: Store, project: Path, *sources: str, now: float | None = None, root: Path | None = None
) -> Proposal:
    choice = Choice(root or project, [Source.of(text, project) for text in sources])
    return prune(survey(store), choice, later() if now is None else now)


def reasons(proposal: Proposal) -> list[tuple[str, str]]:
    return sorted((removal.name, removal.why) for removal in proposal.removals)


def carry_out(proposal: Proposal, store: Store) -> list[str]:
    """Remove it, and return what could not be."""
    return [trouble for _, trouble in remove(proposal.removals, store.root) if trouble]


def all_files(directory: Path) -> set[str]:
    found = directory.rglob("*")
    return {str(path.relative_to(directory)) for path in found if not path.is_dir()}


# -- clear -----------------------------------------------------------------------------------------


def test_clear_takes_what_matches_with_what_belongs_to_it(store: Store, project: Path) -> None:
    one, two = key_of(1), key_of(2)
    put(store, one, belongings=1000)
    put(store, two, belongings=1000)
    proposal = cleared(store, project, "x == 1")
    (removal,) = proposal.removals
    assert (removal.name, removal.status, removal.why) == ("x=1", "passed", "matches")
    assert removal.size == sum(
        map(
            bytes_of, [store.path(one, Outcome.PASSED), store.artifacts(one), store.checkpoint(one)]
        )
    )
    assert removal.size > 2000
    assert carry_out(proposal, store) == []
    assert not any(map(os.path.lexists, removal.paths))
    assert store.find(two) is not None
    assert store.checkpoint(two).exists()
    assert store.artifacts(two).exists()
    assert all_files(store.root / "claims") == set()


def test_clear_is_about_all_code_and_about_failures(store: Store, project: Path) -> None:
    put(store, key_of(1))
    put(store, key_of(1, code="d"))
    put(store, key_of(1, code="f"), outcome=Outcome.FAILED, error="ValueError: no")
    assert len(cleared(store, project, "True").removals) == 3
    (failure,) = cleared(store, project, "'ValueError' in error").removals
    assert failure.status == "failed"
    assert amount(cleared(store, project, "True").removals).startswith("2 results and 1 failure (")


def test_a_result_keeps_what_its_failure_shares_with_it(store: Store, project: Path) -> None:
    put(store, key_of(1), belongings=10)
    put(store, key_of(1), outcome=Outcome.FAILED)  # of a later --memento-cache=refresh
    (failure,) = cleared(store, project, "status == 'failed'").removals
    assert failure.paths == (store.path(key_of(1), Outcome.FAILED),)
    both = cleared(store, project, "True").removals
    assert sum(len(removal.paths) for removal in both) == 4


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (["experiments"], 3),
        (["experiments/exp_a.py"], 2),
        (["experiments/exp_a.py::experiment[x=2]"], 1),
        (["experiments/exp_a.py::other"], 0),
        (["experiments/exp_b.py", f"{NAME}[x=1]"], 2),
    ],
)
def test_clear_of_some_files(
    store: Store, project: Path, sources: list[str], expected: int
) -> None:
    for key in (key_of(1), key_of(2), key_of(3, name="experiments/exp_b.py::experiment")):
        put(store, key)
    assert len(cleared(store, project, "True", *sources).removals) == expected


def test_clear_by_a_name_that_nothing_has(store: Store, project: Path) -> None:
    put(store, key_of(1), metrics={"loss": 1.0})
    with pytest.raises(QueryError, match=r"'xx'.*did you mean 'x'"):
        cleared(store, project, "xx == 1")
    assert len(cleared(store, project, "metrics.loss > 0 and age > '1h'").removals) == 1


def test_what_runs_now_stays(store: Store, project: Path) -> None:
    for x in (1, 2):
        put(store, key_of(x))
    command = [sys.executable, "-c", WAIT, str(store.claim(key_of(1)))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            proposal = cleared(store, project, "True")
            assert reasons(proposal) == [("x=2", "matches")]
            assert proposal.remarks == (f"{NAME}[x=1] runs now and stays",)
        finally:
            process.kill()
    assert len(cleared(store, project, "True").removals) == 2


def test_what_began_to_run_meanwhile_stays(store: Store, project: Path) -> None:
    put(store, key_of(1), belongings=1)
    proposal = cleared(store, project, "True")
    with claimed_if_free(store.claim(key_of(1))):
        assert carry_out(proposal, store) == ["it runs now"]
    assert store.find(key_of(1)) is not None
    assert store.artifacts(key_of(1)).exists()


def test_what_was_replaced_meanwhile_stays(store: Store, project: Path) -> None:
    record = put(store, key_of(1))
    proposal = cleared(store, project, "True")
    store.publish(record, {"output": "again"}, dump(1), replace=True)
    assert carry_out(proposal, store) == ["it changed meanwhile"]
    assert store.load(key_of(1)) == 1


# -- superseded and orphaned -----------------------------------------------------------------------


def plan(store: Store, keys: Iterable[Key]) -> None:
    by_name: dict[str, list[str]] = {}
    for key in keys:
        by_name.setdefault(key.experiment, []).append(key.stem)
    for name, stems in by_name.items():
        store.put_plan(name, stems)


def test_prune_takes_what_is_superseded(store: Store, project: Path) -> None:
    put(store, key_of(1, code="1"))
    put(store, key_of(1, code="1", settings="1"))
    put(store, key_of(1, code="2"), outcome=Outcome.FAILED)
    put(store, key_of(1))
    plan(store, [key_of(1)])
    proposal = pruned(store, project)
    assert sorted(r.why for r in proposal.removals if r.status) == [
        "superseded: other code",
        "superseded: other code",
        "superseded: other settings",
    ]
    assert carry_out(proposal, store) == []
    assert len(list(store.records())) == 1
    assert pruned(store, project).removals == ()


def test_a_stale_result_stays_until_there_is_a_new_one(store: Store, project: Path) -> None:
    """The last session may have run a part of the matrix, or --memento-accept may come."""
    put(store, key_of(1, code="1"))
    put(store, key_of(2, code="1"))
    put(store, key_of(3, code="1"))
    put(store, key_of(2))
    put(store, key_of(3), outcome=Outcome.FAILED)
    plan(store, [key_of(1), key_of(2), key_of(3)])
    assert reasons(pruned(store, project, now=time.time())) == [("x=2", "superseded: other code")]


def test_prune_takes_what_left_the_matrix(store: Store, project: Path) -> None:
    for x in (1, 2):
        put(store, key_of(x), belongings=10)
    put(store, key_of(2, code="d"), outcome=Outcome.FAILED)
    plan(store, [key_of(1)])
    proposal = pruned(store, project, now=time.time())
    assert reasons(proposal) == [("x=2", "orphaned: not in the matrix")] * 2
    carry_out(proposal, store)
    assert not store.artifacts(key_of(2)).exists()
    assert store.artifacts(key_of(1)).exists()


def test_without_a_plan_nothing_is_orphaned(store: Store, project: Path) -> None:
    put(store, key_of(1), belongings=1)
    put(store, key_of(1, code="d"))
    assert pruned(store, project).removals == ()
    plan(store, [key_of(2)])
    path = store.root / "plans" / slug(NAME)
    path.write_bytes(path.read_bytes()[:-10])
    assert pruned(store, project).removals == ()


def test_prune_takes_all_of_a_file_that_is_gone(store: Store, project: Path) -> None:
    put(store, key_of(1), belongings=10)
    plan(store, [key_of(1)])
    assert pruned(store, project).removals == ()
    (project / "experiments/exp_a.py").unlink()
    assert pruned(store, project, "experiments/exp_b.py").removals == ()
    assert len(pruned(store, project, "experiments").removals) == 2
    proposal = pruned(store, project)
    assert [(r.name, r.why) for r in proposal.removals] == [
        ("x=1", "orphaned: experiments/exp_a.py is gone"),
        ("c" * 32, "no result refers to it"),
        ("e" * 32, "no result refers to it"),
        ("", "plan: its file is gone"),
    ]
    carry_out(proposal, store)
    assert all_files(store.root) == {".gitignore"}


def test_a_store_outside_the_project_may_serve_others(tmp_path: Path, project: Path) -> None:
    store = Store(tmp_path / "shared")
    put(store, key_of(1, name="theirs/exp_x.py::experiment"))
    plan(store, [key_of(1, name="theirs/exp_x.py::experiment")])
    proposal = pruned(store, project)
    assert proposal.removals == ()
    (remark,) = proposal.remarks
    assert remark.startswith(f"1 of theirs/exp_x.py stay: no such file in {project}, but the store")


# -- leftovers -------------------------------------------------------------------------------------


def test_a_checkpoint_of_the_plan_is_precious(store: Store, project: Path) -> None:
    for key in (key_of(1), key_of(1, code="d"), key_of(2)):
        store.save_checkpoint(key, dump(1))
        store.artifacts(key).mkdir(parents=True)
    plan(store, [key_of(1)])
    proposal = pruned(store, project)
    assert {path.parent.parent.name for r in proposal.removals for path in r.paths} == {
        "checkpoints",
        "artifacts",
    }
    assert {removal.name for removal in proposal.removals} == {
        key_of(1, code="d").stem,
        key_of(2).stem,
    }
    assert {removal.why for removal in proposal.removals} == {
        "checkpoint: of no present experiment",
        "artifact: of no present experiment",
    }
    carry_out(proposal, store)
    assert store.checkpoint(key_of(1)).exists()
    assert store.artifacts(key_of(1)).exists()
    assert not store.artifacts(key_of(2)).exists()


def test_a_checkpoint_older_than_the_result_is_none(store: Store, project: Path) -> None:
    store.save_checkpoint(key_of(1), dump(1))
    os.utime(store.checkpoint(key_of(1)), (1000, 1000))
    plan(store, [key_of(1)])
    assert pruned(store, project).removals == ()
    put(store, key_of(1))
    assert reasons(pruned(store, project)) == [(key_of(1).stem, "checkpoint: its run has ended")]


def test_unfinished_writes_and_claims_of_the_dead(store: Store, project: Path) -> None:
    put(store, key_of(1))
    plan(store, [key_of(1)])
    temporary = f".{'0' * 32}.tmp"
    for part in (f"results/{slug(NAME)}", f"checkpoints/{slug(NAME)}", "documents", "plans"):
        (store.root / part).mkdir(parents=True, exist_ok=True)
        (store.root / part / temporary).write_bytes(b"half")
    claim = store.claim(key_of(1))
    claim.parent.mkdir(parents=True, exist_ok=True)
    claim.touch()
    presence = store.root / "running/here-1-abcd"
    presence.parent.mkdir()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    said = {"format": 1, "host": provenance.host(), "pid": gone.pid, "running": None}
    presence.write_text(json.dumps(said))
    alive = presence.with_name("here-2-abcd")
    alive.write_text(json.dumps({**said, "pid": os.getpid()}))
    (store.root / "aside").mkdir()
    (store.root / "aside/damaged").write_text("x")
    log = store.log(key_of(1), "model=SVC")
    log.parent.mkdir(parents=True)
    log.write_text("epoch 1\n")
    assert pruned(store, project, now=time.time()).removals == ()  # they may be in use
    proposal = pruned(store, project)
    assert reasons(proposal) == sorted(
        [
            *[(temporary, "unfinished write")] * 4,
            (claim.name, "claim of a dead session"),
            (presence.name, "sign of a dead session"),
            (log.name, "output of a dead session"),
            ("damaged", "damaged file"),
        ]
    )
    assert carry_out(proposal, store) == []
    assert pruned(store, project).removals == ()
    assert store.find(key_of(1)) is not None
    assert not presence.exists()
    assert alive.exists()


def test_the_output_of_what_runs_stays(store: Store, project: Path) -> None:
    put(store, key_of(1))
    plan(store, [key_of(1)])
    log = store.log(key_of(1), "x-1-2")
    log.parent.mkdir(parents=True)
    log.write_text("nothing new for hours\n")
    with claimed_if_free(store.claim(key_of(1))):
        assert pruned(store, project).removals == ()


def test_documents_and_values_that_nothing_refers_to(store: Store, project: Path) -> None:
    accepted = {"code": "a" * 32, "before": {"code": "b" * 32, "before": {}}}
    held = {"model": Value("SVC", "f" * 32)}
    put(store, key_of(1), accepted=accepted, parameters=held)
    plan(store, [key_of(1)])
    for digest in ("a" * 32, "b" * 32, "0" * 32):
        store.put_document(digest, {})
    for digest in ("f" * 32, "1" * 32):
        store.put_value(digest, object)
    proposal = pruned(store, project)
    assert reasons(proposal) == [
        ("0" * 32, "no result refers to it"),
        ("1" * 32, "no result refers to it"),
    ]
    assert pruned(store, project, "experiments").removals == ()
    os.utime(store.root / "documents" / ("0" * 32))  # a running session puts it again
    assert carry_out(proposal, store) == ["it changed meanwhile"]


def test_documents_stay_while_something_runs_or_is_not_understood(
    store: Store, project: Path
) -> None:
    store.put_document("0" * 32, {})
    with claimed_if_free(store.claim(key_of(1))):
        assert pruned(store, project).removals == ()
    path = store.path(key_of(1), Outcome.PASSED)
    container.write(path, {"format": 9}, {})
    path.write_bytes(path.read_bytes().replace(b'"format":1', b'"format":9', 1))
    (path.parent / ("9" * 24 + "-x-y.result")).write_bytes(b"garbage")
    proposal = pruned(store, project)
    assert proposal.removals == ()
    assert proposal.remarks[0].startswith("2 that cannot be read stay, such as ")
    assert path.exists()


def test_digests_of_data_files_nobody_asks_for(
    store: Store, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = project / "data"
    data.write_bytes(b"1" * (1 << 20))
    os.utime(data, (1000, 1000))
    store.make_root()
    store.file_digest(data)
    (memo,) = (store.root / "digests").iterdir()
    month = 31 * 86_400
    os.utime(memo, (time.time() - month, time.time() - month))
    assert reasons(pruned(store, project)) == [(memo.name, "not of use for long")]
    store.file_digest(data)
    assert pruned(store, project).removals == ()


# -- removing --------------------------------------------------------------------------------------


def test_links_are_not_followed(store: Store, project: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "dir").mkdir(parents=True)
    (outside / "dir/file").write_bytes(b"x" * 10_000)
    put(store, key_of(1), belongings=1)
    (store.artifacts(key_of(1)) / "link").symlink_to(outside / "dir")
    put(store, key_of(2))
    store.artifacts(key_of(2)).symlink_to(outside / "dir")
    proposal = cleared(store, project, "True")
    assert sum(removal.size for removal in proposal.removals) < 5000
    assert carry_out(proposal, store) == []
    assert all_files(outside) == {"dir/file"}
    assert not store.artifacts(key_of(2)).is_symlink()


def test_what_is_behind_a_linked_directory_stays(
    store: Store, project: Path, tmp_path: Path
) -> None:
    put(store, key_of(1), belongings=1)
    artifacts = store.root / "artifacts"
    artifacts.rename(tmp_path / "large_disk")
    artifacts.symlink_to(tmp_path / "large_disk")
    (trouble,) = carry_out(cleared(store, project, "True"), store)
    assert trouble.endswith("is behind a link out of the store")
    assert (tmp_path / "large_disk" / slug(NAME) / key_of(1).stem / "weights").exists()


@pytest.mark.parametrize("linked", ["results", f"results/{slug(NAME)}"])
def test_linked_results_are_not_looked_at(
    store: Store, project: Path, tmp_path: Path, linked: str
) -> None:
    put(store, key_of(1))
    results = store.root / linked
    results.rename(tmp_path / "elsewhere")
    results.symlink_to(tmp_path / "elsewhere")
    assert cleared(store, project, "True").removals == ()
    assert pruned(store, project).removals == ()  # what they refer to is not known


def test_a_store_that_is_reached_by_a_link(store: Store, project: Path, tmp_path: Path) -> None:
    put(store, key_of(1), belongings=1)
    (tmp_path / "link").symlink_to(store.root)
    linked = Store(tmp_path / "link")
    assert carry_out(cleared(linked, project, "True"), linked) == []
    assert list(store.records()) == []


@contextlib.contextmanager
def not_root(directory: Path) -> Iterator[None]:
    """Act as a user to whom something can be forbidden, who owns a directory."""
    import filelock  # noqa: F401  # which that user may not be able to read

    if os.geteuid() != 0:
        yield
        return
    for path in (directory, *directory.rglob("*")):
        os.chown(path, NOBODY, -1)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_may_not_be_removed_does_not_stop_the_rest() -> None:
    other = "experiments/exp_b.py::experiment"
    # Not in tmp_path, which nobody else can enter.
    with tempfile.TemporaryDirectory() as place:
        store = Store(Path(place, "store"))
        put(store, key_of(1))
        put(store, key_of(1, name=other))
        proposal = cleared(store, Path(place), "True")
        directory = store.path(key_of(1), Outcome.PASSED).parent
        directory.chmod(0o500)
        try:
            with not_root(Path(place)):
                assert carry_out(proposal, store) == ["Permission denied"]
        finally:
            directory.chmod(0o700)
        assert [record.key.experiment for record in store.records()] == [NAME]


def test_a_store_that_is_not_there(store: Store, project: Path) -> None:
    assert cleared(store, project, "anything == 1") == Proposal()
    assert pruned(store, project) == Proposal()
    assert not store.root.exists()


# -- showing ---------------------------------------------------------------------------------------


def removal_of(number: int, experiment: str = NAME, why: str = "matches") -> Removal:
    return Removal(experiment, f"x={number}", "passed", why, (), 1000, 0.0)


def test_a_few_are_shown_one_by_one() -> None:
    other = removal_of(20, "exp_b.py::experiment")
    assert list(lines([removal_of(1), other, removal_of(2)], 7200.0, 100)) == [
        f"{NAME}:",
        "id   status  why      size    age",
        "x=1  passed  matches  1.0 kB  2 hours ago",
        "x=2  passed  matches  1.0 kB  2 hours ago",
        "exp_b.py::experiment:",
        "id    status  why      size    age",
        "x=20  passed  matches  1.0 kB  2 hours ago",
    ]


def test_many_are_shown_by_kind() -> None:
    many = [removal_of(n, why="superseded: other code") for n in range(60)]
    shown = list(lines([removal_of(1), *many], 7200.0, 120))
    assert shown[0] == "more than 50, so by kind, with the age of the oldest:"
    assert [line.split()[:3] for line in shown[2:]] == [
        [NAME, "60", "passed"],
        [NAME, "1", "passed"],
    ]
    assert "60.0 kB" in shown[2]
    kinds = [removal_of(n, f"exp_{n}.py::experiment") for n in range(70)]
    *_, last = lines(kinds, 7200.0, 120)
    assert last == "... and 20 results (20.0 kB) of 20 more kinds"
