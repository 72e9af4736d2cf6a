"""A store stays inside its directory, survives damage, and lets the first result win."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_memento import MementoWarning, ResultNotLoadedError, StoreError
from pytest_memento.fingerprint import Digest
from pytest_memento.pickling import dump
from pytest_memento.record import Key, Outcome, Record
from pytest_memento.store import Store, slug


def make_key(experiment: str = "exp.py::f", parameters: str = "a", code: str = "c") -> Key:
    return Key(experiment, Digest(parameters * 32), Digest("b" * 32), Digest(code * 32))


def make_record(key: Key | None = None, outcome: Outcome = Outcome.PASSED, **more: Any) -> Record:
    given: dict[str, Any] = {
        "id": "lr=1",
        "parameters": {},
        "settings": {},
        "started": 1000.0,
        "runtime": 2.0,
        "cpu_time": 1.0,
        "memory": None,
    }
    return Record(key=key or make_key(), outcome=outcome, **given | more)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_making_and_asking_touches_nothing(store: Store) -> None:
    assert store.find(make_key()) is None
    assert store.listing("exp.py::f").stems == {}
    assert store.usage().results == 0
    assert store.plans() == []
    assert store.plan("exp.py::f") is None
    assert list(store.records()) == []
    assert not store.root.exists()


def test_a_result(store: Store) -> None:
    record = make_record()
    assert store.publish(record, {"output": "hello"}, dump({"a": 1}))
    assert store.find(record.key) == record
    assert store.load(record.key) == {"a": 1}
    assert store.details(record) == {"output": "hello"}
    assert store.past(record.key) == (2.0, 1002.0, {})
    assert store.usage().results == 1
    assert store.usage().size > 0
    assert [found.key for found in store.records()] == [record.key]


def test_git_ignores_it(store: Store) -> None:
    store.publish(make_record(), {}, dump(1))
    assert (store.root / ".gitignore").read_text().splitlines()[-1] == "*"


def test_listing(store: Store) -> None:
    first, second, other = make_key(), make_key(code="d"), make_key(parameters="e")
    store.publish(make_record(first), {}, dump(1))
    store.publish(make_record(second, Outcome.FAILED), {})
    store.publish(make_record(other), {}, dump(1))
    (store.path(first, Outcome.PASSED).parent / "notes.txt").touch()
    listing = store.listing("exp.py::f")
    assert (first, Outcome.PASSED) in listing
    assert (first, Outcome.FAILED) not in listing
    assert (second, Outcome.FAILED) in listing
    assert sorted(stem for stem, _ in listing.related(first)) == sorted([first.stem, second.stem])
    assert len(listing.stems) == 3


def test_the_first_result_wins(store: Store) -> None:
    record = make_record()
    assert store.publish(record, {}, dump(1))
    assert not store.publish(record, {}, dump(2))
    assert store.load(record.key) == 1
    assert store.publish(record, {}, dump(3), replace=True)
    assert store.load(record.key) == 3


def test_processes_that_publish_at_once(store: Store) -> None:
    """Whoever is first, the file is one of theirs, whole."""
    body = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_store import Store, make_record, dump
from pathlib import Path
store = Store(Path({str(store.root)!r}))
value = sys.argv[1] * 100_000
print(sum(store.publish(make_record(), {{}}, dump(value)) for _ in range(20)))
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", body, name], stdout=subprocess.PIPE, text=True)
        for name in "xyz"
    ]
    won = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert sum(won) == 1
    assert store.load(make_key()) == "xyz"[won.index(1)] * 100_000


def test_a_failure_is_replaced_and_ended_by_a_result(store: Store) -> None:
    store.publish(make_record(outcome=Outcome.FAILED, error="first"), {"traceback": "t"})
    store.publish(make_record(outcome=Outcome.FAILED, error="second"), {"traceback": "t"})
    failed = store.find(make_key(), Outcome.FAILED)
    assert failed is not None
    assert failed.error == "second"
    store.publish(make_record(), {}, dump(1))
    assert store.find(make_key(), Outcome.FAILED) is None


@pytest.mark.parametrize("data", [b"", b"garbage\n", b'{"format": 1, "sections": [0]}\n'])
def test_a_damaged_file_is_a_miss_and_set_aside(store: Store, data: bytes) -> None:
    key = make_key()
    store.publish(make_record(key), {}, dump(1))
    path = store.path(key, Outcome.PASSED)
    path.write_bytes(data)
    with pytest.warns(MementoWarning, match="set aside as .*, its experiment counts as new"):
        assert store.find(key) is None
    assert not path.exists()
    assert [entry.read_bytes() for entry in (store.root / "aside").iterdir()] == [data]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert store.find(key) is None
    assert store.publish(make_record(key), {}, dump(2))
    assert store.load(key) == 2


def test_a_value_that_changed_on_disk_is_set_aside_when_it_is_loaded(store: Store) -> None:
    """Its header is whole, so it would count as a hit for ever."""
    key = make_key()
    store.publish(make_record(key), {}, dump("a value of some length"))
    path = store.path(key, Outcome.PASSED)
    path.write_bytes(path.read_bytes().replace(b"some length", b"other width"))
    assert store.find(key) is not None
    with pytest.raises(ResultNotLoadedError) as caught:
        store.load(key)
    assert str(caught.value) == (
        f"the result of exp.py::f cannot be loaded: {path.name} does not match its checksum;"
        " it is set aside, run the experiment again"
    )
    assert store.find(key) is None
    assert store.publish(make_record(key), {}, dump(2))
    assert store.load(key) == 2


def test_a_kept_value_that_is_damaged_is_made_again(store: Store) -> None:
    store.put_value("v" * 32, Path("x"))
    (store.root / "values" / ("v" * 32)).write_bytes(b"garbage")
    with pytest.raises(ResultNotLoadedError, match=r"the value cannot be loaded: .*set aside"):
        store.value("v" * 32)
    again = Store(store.root)
    again.put_value("v" * 32, Path("x"))
    assert again.value("v" * 32) == Path("x")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="the system does not know owners")
def test_what_another_user_wrote_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    key = make_key()
    store.publish(make_record(key), {}, dump(1))
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    with pytest.raises(ResultNotLoadedError, match=f"belongs to user {owner}: it is not loaded"):
        store.load(key)
    assert store.find(key) is not None
    assert Store(store.root, shared=True).load(key) == 1


def test_files_of_others_among_the_results_do_no_harm(store: Store) -> None:
    key = make_key()
    store.publish(make_record(key), {}, dump(1))
    store.put_plan(key.experiment, [key.stem])
    directory = store.path(key, Outcome.PASSED).parent
    (directory / "copy.of.result").touch()
    (directory / "notes.txt").touch()
    (directory / f"{key.stem}.result~").touch()
    plan = next((store.root / "plans").iterdir())
    (plan.parent / ".0123.tmp").write_bytes(plan.read_bytes())
    assert (key, Outcome.PASSED) in store.listing(key.experiment)
    assert set(store.listing(key.experiment).stems) == {key.stem, "copy.of"}
    assert store.usage().results == 2
    assert store.plans() == [key.experiment]
    with pytest.warns(MementoWarning, match=r"copy\.of\.result is skipped: .* has no header"):
        assert [record.key for record in store.records()] == [key]


def test_a_file_of_a_newer_version_stays(store: Store) -> None:
    key = make_key()
    store.publish(make_record(key), {}, dump(1))
    path = store.path(key, Outcome.PASSED)
    data = path.read_bytes().replace(b'"format":1', b'"format":9', 1)
    path.write_bytes(data)
    with pytest.raises(StoreError, match="has format 9 and this version reads 1"):
        store.find(key)
    assert path.read_bytes() == data


def test_a_header_that_is_no_record(store: Store) -> None:
    from pytest_memento import container

    container.write(store.path(make_key(), Outcome.PASSED), {"some": "thing"}, {})
    with pytest.warns(MementoWarning, match="set aside"):
        assert store.find(make_key()) is None


def test_loading_says_what_is_wrong(store: Store) -> None:
    with pytest.raises(ResultNotLoadedError, match="is not in the store"):
        store.load(make_key())

    class Bomb:
        def __reduce__(self) -> Any:
            return int, ("boom",)

    store.publish(make_record(), {}, dump(Bomb()))
    with pytest.raises(ResultNotLoadedError, match="cannot be loaded: ValueError: invalid literal"):
        store.load(make_key())


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = Store(tmp_path / "file/store")
    for write in (
        lambda: store.publish(make_record(), {}, dump(1)),
        lambda: store.put_document("d" * 32, {}),
        lambda: store.put_value("d" * 32, object),
        lambda: store.put_plan("exp.py::f", ["a"]),
        lambda: store.save_checkpoint(make_key(), dump(1)),
    ):
        with pytest.raises(StoreError, match=r"cannot write .*: Not a directory"):
            write()
    assert store.find(make_key()) is None


def test_documents_values_and_plans(store: Store) -> None:
    store.put_document("d" * 32, {"exp.f": "a"})
    store.put_document("d" * 32, {"never": "written"})
    assert store.document("d" * 32) == {"exp.f": "a"}
    assert store.document("e" * 32) == {}
    store.put_value("v" * 32, Path("x"))
    assert store.value("v" * 32) == Path("x")
    store.put_plan("exp.py::f", ["b", "a"])
    store.put_plan("exp.py::g", [])
    assert store.plan("exp.py::f") == ["b", "a"]
    assert store.plans() == ["exp.py::f", "exp.py::g"]


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd::f",
        "/etc/passwd::f",
        "exp.py::../../f",
        "a" * 300 + ".py::" + "b" * 300,
        "exp\n.py::f\x00",
        "exp_ü.py::ß",
        "",
        "::",
        ".",
        "..",
    ],
)
def test_no_name_leads_out_of_the_store(store: Store, name: str) -> None:
    key = make_key(name)
    store.publish(make_record(key), {}, dump(1))
    path = store.path(key, Outcome.PASSED).resolve()
    assert path.parent.parent == (store.root / "results").resolve()
    assert len(path.parent.name) < 128
    assert store.load(key) == 1


@given(st.text(), st.text())
def test_different_names_have_different_directories(first: str, second: str) -> None:
    """Also where the file system does not tell upper from lower case."""
    same = slug(first).lower() == slug(second).lower()
    assert same == (first == second)


def test_documents_and_values_are_touched_while_they_are_in_use(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or they would look forgotten, and be removed, before the next record refers to them."""
    document, value = store.root / "documents" / ("d" * 32), store.root / "values" / ("v" * 32)

    def put() -> None:
        store.put_document("d" * 32, {"exp.f": "a"})
        store.put_value("v" * 32, Path("x"))

    put()
    for path in (document, value):
        os.utime(path, (1, 1))
    put()
    assert document.stat().st_mtime == 1  # too soon to look again
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 601)
    put()
    assert time.time() - min(path.stat().st_mtime for path in (document, value)) < 60
    document.unlink()
    monkeypatch.setattr(time, "monotonic", lambda: now + 1300)
    put()
    assert store.document("d" * 32) == {"exp.f": "a"}
