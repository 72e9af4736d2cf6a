"""Reports of stored results: what each kind of file holds, and that it gives the values back."""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_memento import MementoError, Results, load_results, report, write_report
from pytest_memento.fingerprint import Digest
from pytest_memento.labels import label
from pytest_memento.record import Key, Outcome, Record, describe_result
from pytest_memento.record import Value as Described
from pytest_memento.report import check
from pytest_memento.report.causes import causes
from pytest_memento.report.html import UPLOT
from pytest_memento.report.model import Report
from pytest_memento.report.tabular import Kind, columns
from pytest_memento.report.thinning import thinned
from pytest_memento.store import Store

NAME = "experiments/exp_train.py::experiment"
EVIL = "</script><script>alert(1)</script>\n\"'|`*&amp;"
HERE = {"host": "node01", "user": "me", "python": "3.11.7", "commit": "abc123", "dirty": True,
        "command": ["pytest", "-k", "a or b"], "versions": {"numpy": "2.0"}}  # fmt: skip


class Filled:
    """A store to which runs are added as they would have been stored."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)
        self._stems: dict[str, list[str]] = {}

    def add(
        self,
        parameters: Mapping[str, Any],
        result: Any = None,
        *,
        name: str = NAME,
        metrics: Mapping[str, Sequence[tuple[Any, Any]]] | None = None,
        error: str = "",
        details: Mapping[str, Any] | None = None,
        environment: Mapping[str, Any] | None = None,
        n_fold: Any = 5,
    ) -> None:
        stems = self._stems.setdefault(name, [])
        digest = Digest(f"{len(stems):08x}".ljust(32, "0"))
        where = hashlib.blake2b(repr(environment).encode(), digest_size=16).hexdigest()
        series = dict(metrics or {})
        record = Record(
            key=Key(name, digest, digest, digest),
            id="-".join(f"{name}={label(value)}" for name, value in parameters.items()),
            parameters={n: Described.of(v, label(v)) for n, v in parameters.items()},
            settings={"n_fold": Described.of(n_fold, label(n_fold))},
            outcome=Outcome.FAILED if error else Outcome.PASSED,
            started=1.79e9 + len(stems) + 0.125,
            runtime=1.5,
            cpu_time=1.25,
            memory=1_000_000,
            result={} if error else describe_result(result),
            metrics={name: path[-1][1] for name, path in series.items()},
            error=error,
            environment=where if environment else "",
            seed=7,
        )
        self.store.publish(record, {"metrics": series, **(details or {})}, replace=True)
        if environment:
            self.store.put_document(where, environment)
        stems.append(record.key.stem)
        self.store.put_plan(name, stems)

    def results(self) -> Results:
        return load_results(store=self.store.root)


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    return Filled(tmp_path / "store")


@pytest.fixture
def trained(filled: Filled) -> Filled:
    """Six runs, of which one failed."""
    for model in ("SVC", "Perceptron"):
        for lr in (0.1, 0.01, 0.001):
            has_failed = model == "Perceptron" and lr == 0.1
            filled.add(
                {"model": model, "lr": lr},
                {"acc": 1 - lr, "n": 3},
                metrics={"loss": [(0, 1.0), (1, 0.5 + lr)]},
                error="MemoryError: CUDA out of memory" if has_failed else "",
                details={"traceback": "Traceback: here", "output": "said"} if has_failed else {},
                environment=HERE,
            )
    return filled


def written(results: Results, path: Path) -> str:
    write_report(results, path)
    return path.read_text(encoding="utf-8")


def data_of(page: str) -> dict[str, Any]:
    match = re.search(r"<script type='application/json' id='data'>(.*?)</script>", page, re.DOTALL)
    assert match
    found: dict[str, Any] = json.loads(match[1], parse_constant=pytest.fail)
    return found


# -- the files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["report.txt", "report", "report.html.gz", ".html"])
def test_the_suffix_says_what_is_written(trained: Filled, tmp_path: Path, name: str) -> None:
    with pytest.raises(MementoError, match=r"\*\.html, \*\.md, \*\.csv, \*\.json or \*\.parquet"):
        write_report(trained.results(), tmp_path / name)


def test_what_cannot_be_written_is_told_beforehand(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory.html").mkdir()
    with pytest.raises(MementoError, match=r"below .*file: it is no directory"):
        check(tmp_path / "file/report.html")
    with pytest.raises(MementoError, match="it is a directory"):
        check(tmp_path / "directory.html")
    check(tmp_path / "not/yet/there.HTML")


def test_pyarrow_may_be_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        MementoError, match=r"needs pyarrow: pip install 'pytest-memento\[parquet\]"
    ):
        check(tmp_path / "report.parquet")


def test_directories_are_made_and_the_old_file_stays_until_the_new_one_is_whole(
    trained: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a/b/report.md"
    before = written(trained.results(), path)
    trained.add({"model": "SVC", "lr": 1.0}, 1)
    monkeypatch.setattr("os.replace", _fail)
    with pytest.raises(OSError, match="no room"):
        write_report(trained.results(), path)
    assert path.read_text() == before
    assert os.listdir(path.parent) == ["report.md"]


def _fail(*_: object) -> None:
    raise OSError("no room")


def test_a_link_is_followed(trained: Filled, tmp_path: Path) -> None:
    (tmp_path / "latest.csv").symlink_to("report-1.csv")
    write_report(trained.results(), tmp_path / "latest.csv")
    assert (tmp_path / "latest.csv").is_symlink()
    assert (tmp_path / "report-1.csv").read_text().count("\n") == 7


@pytest.mark.parametrize("suffix", ["html", "md", "csv", "json", "parquet"])
def test_a_report_of_nothing(filled: Filled, tmp_path: Path, suffix: str) -> None:
    filled.store.make_root()
    write_report(filled.results(), tmp_path / f"report.{suffix}")
    assert (tmp_path / f"report.{suffix}").stat().st_size


# -- tables ----------------------------------------------------------------------------------------


def test_columns_are_those_of_a_frame(trained: Filled) -> None:
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = trained.results().to_frame()
    found = columns(Report.of_results(trained.results()))
    assert [column.name for column in found] == list(frame.columns)
    for column in found:
        if column.kind in (Kind.INT, Kind.FLOAT, Kind.TEXT):
            expected = [None if pd.isna(value) else value for value in frame[column.name]]
            assert list(column.values) == expected


def test_what_is_in_dicts_has_columns_as_in_a_frame(filled: Filled) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    for lr in (0.1, 0.2):
        filled.add({"net": {"depth": 3, "lr": lr}}, {"test": {"f1": lr}}, n_fold={"name": "k"})
    results = filled.results()
    names = [column.name for column in columns(Report.of_results(results))]
    assert names == list(results.to_frame().columns)
    assert names[:4] == ["net.depth", "net.lr", "settings.n_fold.name", "result.test.f1"]


def test_columns_of_several_experiments_and_awkward_names(filled: Filled) -> None:
    filled.add({"status": "x", "lr": 1}, 1)
    filled.add({"lr": 2}, 2, name="exp_b.py::experiment", n_fold=7)
    found = columns(Report.of_results(filled.results()))
    names = [column.name for column in found]
    assert set(names) == set(filled.results().to_frame().columns)
    assert names[0] == "experiment"
    assert "parameters.status" in names


def test_csv_gives_the_values_back(trained: Filled, tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    write_report(trained.results(), tmp_path / "report.csv")
    frame, expected = pd.read_csv(tmp_path / "report.csv"), trained.results().to_frame()
    assert list(frame.columns) == list(expected.columns)
    for name in ("model", "lr", "result.acc", "metrics.loss", "status", "memory"):
        pd.testing.assert_series_equal(
            frame[name], expected[name], check_dtype=False, check_categorical=False
        )
    assert list(frame["runtime"]) == [1.5] * 6
    times = pd.to_datetime(frame["start_time"], utc=True)
    assert list(times) == list(pd.to_datetime(expected["start_time"], utc=True))


def test_csv_keeps_texts_as_they_are(filled: Filled, tmp_path: Path) -> None:
    texts = ["=1+1", 'a,"b"', "two\nlines", " x ", "\udc80"]
    for text in texts:
        filled.add({"text": text}, text)
    write_report(filled.results(), tmp_path / "report.csv")
    with (tmp_path / "report.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    # A lone surrogate has no place in UTF-8.
    assert [row["text"] for row in rows] == [*texts[:-1], "\\udc80"]
    assert [row["result"] for row in rows] == [*texts[:-1], "\\udc80"]


def test_parquet_gives_the_values_back_with_their_types(trained: Filled, tmp_path: Path) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    write_report(trained.results(), tmp_path / "report.parquet")
    table = pq.read_table(tmp_path / "report.parquet")
    types = {name: str(table.schema.field(name).type) for name in table.column_names}
    assert types["lr"] == types["result.acc"] == "double"
    assert types["result.n"] == types["memory"] == "int64"
    assert types["model"] == "string"
    assert types["runtime"] == "duration[us]"
    assert types["start_time"] == "timestamp[us, tz=UTC]"
    expected = trained.results()
    for name in ("model", "lr"):
        assert table[name].to_pylist() == [result.parameters[name] for result in expected]
    assert table["start_time"].to_pylist() == [result.start_time for result in expected]
    assert table["runtime"].to_pylist() == [result.runtime for result in expected]
    assert table["error"].to_pylist() == [result.error for result in expected]
    assert table["result.n"].to_pylist() == [None if r.error else 3 for r in expected]


MIXED = [0, 1.5, True, None, "text", 2**63, 2**53 + 1, math.nan, -math.inf, "\udc80", -1]


@pytest.mark.parametrize("suffix", ["html", "md", "csv", "json", "parquet"])
def test_values_of_all_kinds(filled: Filled, tmp_path: Path, suffix: str) -> None:
    if suffix == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    for value in MIXED:
        filled.add({"x": value}, {"y": value, EVIL: 1}, metrics={EVIL: [(0, 1), (1, math.nan)]})
    write_report(filled.results(), tmp_path / f"report.{suffix}")


def test_kinds_of_columns(filled: Filled) -> None:
    def kind(*values: Any) -> Kind:
        store = Filled(filled.store.root.with_name(f"{len(os.listdir(filled.store.root.parent))}"))
        for n, value in enumerate(values):
            store.add({"n": n}, value)
        (column,) = (c for c in columns(Report.of_results(store.results())) if c.name == "result")
        return column.kind

    filled.store.make_root()
    assert kind(1, None, 2) is Kind.INT
    assert kind(1, 2.5) is Kind.FLOAT
    assert kind(True, False) is Kind.BOOL
    assert kind(True, 1) is Kind.TEXT
    assert kind(2**53 + 1, 0.5) is Kind.TEXT
    assert kind(2**63) is Kind.TEXT
    assert kind(None) is Kind.TEXT


# -- JSON ------------------------------------------------------------------------------------------


def test_json_gives_all_of_it_back(trained: Filled, tmp_path: Path) -> None:
    read = json.loads(written(trained.results(), tmp_path / "report.json"))
    assert (read["format"], read["version"]) == ("pytest-memento report", 1)
    assert read["counts"] == {"failed": 1, "passed": 5}
    assert read["session"] is None
    assert len(read["experiments"]) == 6
    for got, result in zip(read["experiments"], trained.results(), strict=True):
        assert got["experiment"], got["id"] == (result.experiment, result.id)
        assert got["parameters"] == result.parameters
        assert got["settings"] == result.settings
        assert {n: [tuple(p) for p in s] for n, s in got["metrics"].items()} == result.metrics
        assert got["runtime"] == result.runtime.total_seconds()
        assert got["error"] == result.error
        assert got["traceback"] == result.traceback
        assert got["output"] == result.output
        assert read["environments"][got["environment"]] == result.environment
    assert read["experiments"][0]["result"] == {"acc": 0.9, "n": 3}


def test_json_is_strict(filled: Filled, tmp_path: Path) -> None:
    values = [math.nan, math.inf, -math.inf, 10**30, EVIL, None, "\udc80"]
    for value in values:
        filled.add({"x": value}, value, metrics={"loss": [(0, math.nan), (math.inf, 1)]})
    text = written(filled.results(), tmp_path / "report.json")
    read = json.loads(text, parse_constant=pytest.fail)
    expected = ["NaN", "Infinity", "-Infinity", *values[3:]]
    assert [each["result"] for each in read["experiments"]] == expected
    assert [each["parameters"]["x"] for each in read["experiments"]] == expected
    assert read["experiments"][0]["metrics"] == {"loss": [[0, "NaN"], ["Infinity", 1]]}


# -- Markdown --------------------------------------------------------------------------------------


def test_markdown(trained: Filled, tmp_path: Path) -> None:
    lines = written(trained.results(), tmp_path / "report.md").splitlines()
    assert lines[0] == f"# {NAME}"
    assert lines[2].startswith("6 experiments: 1 failed, 5 passed. They took 9.00s to compute")
    assert "The same for all: n_fold = 5." in lines[2]
    table = [line for line in lines if line.startswith("|")]
    assert table[0].startswith("| model | lr | result.acc | result.n | metrics.loss | status |")
    assert table[2] == "| SVC | 0.1 | 0.9 | 3 | 0.6 | passed | 1.50s | 1.0 MB |  |"
    assert "**1 x MemoryError: CUDA out of memory**" in lines
    assert "Traceback: here" in lines
    assert "* commit: abc123 with changes" in lines
    assert "* command: pytest -k 'a or b'" in lines


def test_markdown_is_not_broken_by_texts(filled: Filled, tmp_path: Path) -> None:
    filled.add({EVIL: EVIL}, EVIL)
    filled.add({EVIL: 1}, error=EVIL, details={"traceback": "````\n</details>\n", "output": ""})
    text = written(filled.results(), tmp_path / "report.md")
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 4
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) == 1
    assert "<script>" not in text
    assert "`````text\n````\n</details>\n`````\n" in text


# -- HTML ------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a browser would find in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [v or "" for name, v in attrs if name in ("src", "href", "action", "srcset")]
        assert not any(name.startswith("on") or name == "style" for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_holds_the_table_and_the_curves(trained: Filled, tmp_path: Path) -> None:
    data = data_of(written(trained.results(), tmp_path / "report.html"))
    found = {column["name"]: column for column in data["columns"]}
    assert list(found) == ["model", "lr", "status", "result.acc", "result.n", "metrics.loss",
                           "runtime", "memory", "error"]  # fmt: skip
    assert found["lr"]["values"] == [0.1, 0.01, 0.001] * 2
    assert [found["model"]["words"][n] for n in found["model"]["at"]][3:] == ["Perceptron"] * 3
    assert data["metrics"] == ["loss"]
    assert data["steps"] == [[0, 1]]
    assert data["curves"][1] == [1, 0, 0, [1.0, 0.51]]


def test_a_page_tells_failures_and_origins_without_scripts(trained: Filled, tmp_path: Path) -> None:
    page = Page(written(trained.results(), tmp_path / "report.html"))
    for text in ("6 experiments: 1 failed, 5 passed", "MemoryError: CUDA out of memory", "said",
                 "1 of 1 with model=Perceptron, lr=0.1", "Traceback: here",
                 "abc123 with changes", "node01", "pytest -k 'a or b'", "numpy"):  # fmt: skip
        assert text in page.text


def test_a_page_needs_nothing_else(trained: Filled, tmp_path: Path) -> None:
    text = written(trained.results(), tmp_path / "report.html")
    assert set(Page(text).links) == {"data:,", "#failures"}
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]


def test_texts_are_inert_in_a_page(filled: Filled, tmp_path: Path) -> None:
    filled.add({EVIL: EVIL}, {EVIL: EVIL}, metrics={EVIL: [(0, 1), (1, 2)]}, n_fold=EVIL)
    filled.add(
        {EVIL: 1},
        name=f"exp_{EVIL}.py::experiment",
        error=EVIL,
        details={"traceback": EVIL, "output": EVIL},
        environment={"host": EVIL, "command": [EVIL], "versions": {EVIL: EVIL}},
    )
    write_report(filled.results(), tmp_path / "report.html", title=EVIL)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert text.count("<script") == text.count("</script>") == 3
    assert Page(text).tags.count("script") == 3
    assert EVIL in data_of(text)["metrics"]


@settings(max_examples=50)
@given(st.text(st.characters(exclude_categories=())))
def test_any_text_comes_back_from_a_page(text: str) -> None:
    from pytest_memento.report.html import _embedded

    embedded = _embedded({"a": text})
    assert json.loads(embedded) == {"a": text}
    assert not set(embedded) & set("<>&\u2028\u2029")


def test_texts_of_many_failures_are_cut_and_that_is_said(filled: Filled, tmp_path: Path) -> None:
    long = "line of a traceback\n" * 5000
    for n in range(25):
        filled.add({"n": n}, error="ValueError: same", details={"traceback": long, "output": ""})
    text = written(filled.results(), tmp_path / "report.html")
    assert text.count("<details><summary>n=") == 20
    assert "of 100000 characters are left out here" in text
    assert "The texts of 5 more are left out here." in text
    assert "25 of 25 experiments" in text
    assert len(text) < 1_500_000


def test_many_causes(filled: Filled, tmp_path: Path) -> None:
    for n in range(103):
        filled.add({"n": n}, error=f"ValueError: {'no' * (n + 1)}")
    text = written(filled.results(), tmp_path / "report.html")
    assert "3 experiments failed for 3 other reasons" in text


def test_long_series_are_thinned_and_that_is_said(filled: Filled, tmp_path: Path) -> None:
    path = [(n, 0.123456789 if n != 70_000 else 99.0) for n in range(100_000)]
    filled.add({"n": 0}, metrics={"loss": path})
    text = written(filled.results(), tmp_path / "report.html")
    ((_, _, at, values),) = data_of(text)["curves"]
    assert len(values) == len(data_of(text)["steps"][at]) <= 400
    assert 99.0 in values
    assert 0.123457 in values
    assert "1 of 1 curves are drawn with at most 400 of their points" in text


def test_of_very_many_experiments_some_curves_are_drawn(
    filled: Filled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_memento.report.curves.MOST_CURVES", 4)
    for n in range(10):
        filled.add({"n": n}, metrics={"loss": [(0, 1), (1, n)]})
    text = written(filled.results(), tmp_path / "report.html")
    assert [row for row, *_ in data_of(text)["curves"]] == [0, 3, 6, 9]
    assert "Curves are drawn of one experiment in 3." in text


# -- parts -----------------------------------------------------------------------------------------

numbers = st.floats(allow_nan=True) | st.integers(-(10**6), 10**6)


@given(st.lists(numbers), st.integers(4, 30))
def test_thinning_keeps_ends_highs_and_lows(values: list[float], most: int) -> None:
    path = list(enumerate(values))
    kept = thinned(path, most)
    assert len(kept) <= max(most, min(most, len(path)))
    assert [step for step, _ in kept] == sorted({step for step, _ in kept})
    assert all(point in path for point in kept if not math.isnan(point[1]))
    finite = [value for value in values if math.isfinite(value)]
    if path:
        assert (kept[0][0], kept[-1][0]) == (0, len(path) - 1)
    if finite:
        left = [value for _, value in kept if math.isfinite(value)]
        assert (min(left), max(left)) == (min(finite), max(finite))


def test_causes_say_what_their_experiments_have_in_common(filled: Filled) -> None:
    for batch in (32, 512):
        for lr in (0.1, 0.01):
            error = "MemoryError: full" if batch == 512 else ""
            filled.add({"batch": batch, "lr": lr, "same": 1}, 1, error=error)
    filled.add({"batch": 32, "lr": 1.0, "same": 1}, error="ValueError: diverged")
    filled.add({"batch": 512, "lr": 0.1, "same": 1}, 1, name="exp_b.py::experiment")
    made = Report.of_results(filled.results())
    found = [(cause.error, cause.where(made.rows)) for cause in causes(made.failures)]
    assert found == [
        ("MemoryError: full", "2 of 2 with batch=512"),
        ("ValueError: diverged", "1 of 1 with lr=1.0"),
    ]


def test_origins_that_differ_are_counted(filled: Filled, tmp_path: Path) -> None:
    for host in ("node01", "node01", "node02"):
        filled.add({"host": host}, 1, environment={**HERE, "host": host})
    text = written(filled.results(), tmp_path / "report.md")
    assert "* host: node01 (2); node02 (1)" in text
    assert "* user: me\n" in text


def test_a_record_that_vanishes_meanwhile(trained: Filled, tmp_path: Path) -> None:
    results = trained.results()
    for path in (trained.store.root / "results").glob("*/*"):
        path.unlink()
    read = json.loads(written(results, tmp_path / "report.json"))
    assert [each["parameters"]["lr"] for each in read["experiments"]] == [0.1, 0.01, 0.001] * 2
    assert read["experiments"][0]["metrics"] == {"loss": [[None, 0.6]]}


def test_what_is_vendored_is_what_is_on_record() -> None:
    directory = Path(report.__file__).parent / UPLOT
    known = json.loads((directory / "vendored.json").read_text())
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.iterdir()
        if path.name != "vendored.json"
    }
    assert digests == known["sha256"]
    assert f"(v{known['version']})" in (directory / "uPlot.iife.min.js").read_text()[:100]
