"""The selection language: what it reads, what it refuses, and what it says of rows."""

from __future__ import annotations

import operator
import pickle
import re
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_memento import MementoError, QueryError
from pytest_memento.amounts import duration, size, to_bytes, to_seconds
from pytest_memento.query import OWN_NAMES, PARAMETERS, Name, Query, Sight, parse


class Known:
    """A row out of a mapping from names, as they are written, to values."""

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self._values = {
            name: value if isinstance(value, tuple) else (value,)
            for name, value in (values or {}).items()
        }

    def look(self, root: str, name: str) -> Sight:
        return self._values.get(Name(root, name).text, ())

    def names(self) -> Iterable[Name]:
        for text in self._values:
            root, dot, name = text.rpartition(".")
            if dot or text not in OWN_NAMES:
                yield Name(root or PARAMETERS, name)


ROW = Known(
    {
        "model": "SVC",
        "lr": 0.01,
        "depth": 3,
        "penalty": None,
        "warm": True,
        "layers": "[64,32]",
        "data": (0.5, "half"),
        "parameters.memory": 16,
        "settings.n_fold": 5,
        "settings.debug": False,
        "metrics.loss": 0.25,
        "status": ("failed", "failed before"),
        "runtime": 90.0,
        "memory": 2_000_000_000,
        "id": "model=SVC-lr=0.01",
    }
)


@pytest.mark.parametrize(
    "text",
    [
        "model == 'SVC'",
        "model == 'SVC' and lr <= 0.01",
        "model != 'Perceptron'",
        "model in ['SVC', 'Perceptron'] and model not in ('dict',) and model in {'SVC'}",
        "'SV' in model and 'X' not in model",
        "lr == 0.01 and depth == 3.0 and lr < depth",
        "0 < lr < depth <= 3",
        "depth > -1 and not depth == -3",
        "penalty is None and penalty == None and not penalty",
        "penalty != 'l2' and penalty in [None, 'l1']",
        "model is not None and model != None",
        "warm and warm == True and warm != 1",
        "not settings.debug and settings.debug == False",
        "layers == [64, 32] and layers in [[64, 32], 'none']",
        "data == 0.5 and data == 'half' and data < 1",
        "parameters.memory == 16 and parameters.lr == 0.01",
        "settings.n_fold >= 5 and metrics.loss < 0.3",
        "status == 'failed' and status == 'failed before' and status not in ['new', 'stale']",
        "runtime > '1m' and runtime < '1h30m' and runtime == 90 and '1m' < runtime < '2m'",
        "runtime in ['90s', '2m']",
        "memory > '1.5GB' and memory <= 2e9",
        "'lr=0.01' in id",
        "model == 'X' or lr == 1 or depth == 3",
        "not (model == 'X' or lr == 1)",
        "True and not False",
        "\n  model == 'SVC'\n  and\tdepth == 3\n",
    ],
)
def test_what_holds(text: str) -> None:
    query = parse(text)
    assert query.holds(ROW)
    assert not parse(f"not ({text.strip()})").holds(ROW)
    query.check([ROW])


@pytest.mark.parametrize(
    "text",
    [
        "model == 'svc'",
        "model == 1",
        "lr == '0.01'",
        "depth == True",
        "warm == 1",
        "model < 1 or model >= 1 or lr < 'a' or penalty < 1 or penalty < None",
        "layers == (64, 32)",
        "lr in ['0.01', 1]",
        "3 in model",
        "penalty is not None",
        "data < 'z'",
    ],
)
def test_what_does_not_hold(text: str) -> None:
    assert not parse(text).holds(ROW)


@pytest.mark.parametrize(
    "text",
    ["x == 1", "x != 1", "x < 1", "x >= 1", "x in [1]", "x not in [1]", "'a' in x", "'a' not in x",
     "x", "x == x", "x != x", "x is not None", "x != None", "x not in [None]", "x not in 'abc'",
     "settings.x != 1", "metrics.x < 1", "runtime < '2m'", "error != 'x'"],
)  # fmt: skip
def test_what_is_missing_makes_comparisons_false(text: str) -> None:
    assert not parse(text).holds(Known())


@pytest.mark.parametrize(
    "text", ["x is None", "x == None", "None == x", "x in [None, 1]", "not x", "not x == 1"]
)
def test_what_is_missing_is_none(text: str) -> None:
    assert parse(text).holds(Known())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty"),
        ("   ", "it is empty"),
        ("len(model) > 3", "'len(model)' (column 1) is a call"),
        ("lr < 1 and model[0] == 'S'", "'model[0]' (column 12) is a subscript"),
        ("lr + 1 > 2", "'lr + 1' (column 1) is arithmetic"),
        ("(lr < 1) & (lr > 0)", "is arithmetic: write 'and', 'or'"),
        ("lambda: 1", "'lambda: 1' (column 1) is a lambda"),
        ("lr == f'{lr}'", "is an f-string"),
        ("(lr := 1)", "'lr := 1' (column 2) is an assignment"),
        ("lr if lr else lr", "is a conditional"),
        ("lr == {}", "is a dict"),
        ("lr == {1}", "'{1}' (column 7) is a set, which stands after 'in' only"),
        ("lr == (lr < 1)", "is a condition, which is no value"),
        ("[*lr] == 1", "is not understood"),
        ("lr == 1j", "'1j' (column 7) is not understood"),
        ("lr == b'x'", "is not understood"),
        ("lr == ...", "is not understood"),
        ("lr == - - 1", "is not understood"),
        ("lr == -True", "is not understood"),
        ("runtime.name == 'x'", "only settings, metrics, result, parameters have x.y"),
        ("status.a.b == 1", "only settings, metrics, result, parameters have x.y"),
        ("().__class__", "only settings, metrics, result, parameters have x.y"),
        ("model in [SVC]", "'SVC' (column 11) is a name: write it in quotes"),
        ("model in 3", "'3' (column 10) stands after 'in', which needs a list or a string"),
        ("model in None", "needs a list or a string"),
        ("lr is 1", "'1' (column 7) stands after 'is', which is for None"),
        ("lr is not model", "which is for None"),
        ("model == 'SVC' or 'Perceptron'", "(column 19) is the same for all"),
        ("1", "is the same for all"),
        ("None", "is the same for all"),
        ("status == 'cahced'", "is no status (did you mean 'cached'?)"),
        ("status in ['new', 'xyz']", "is no status (cached, stale, failed, failed before, new, "),
        ("runtime > '2 parsecs'", "'2 parsecs' is no duration: write '90s', '2m', '1h30m'"),
        ("runtime > 'long'", "'long' is no duration"),
        ("memory > '2'", "'2' is no size: write '500MB' or '2GB'"),
        ("lr = 1", "write '==' to compare"),
        ("lr == 1 && depth == 2", "invalid syntax, at '&"),
        ("!lr", "write 'not'"),
        ("lr <> 1", "write '!='"),
        ("lr == 1 AND depth == 2", "write 'and', 'or', 'not'"),
        ("lr ==", "invalid syntax"),
        ("(lr == 1", "'(' was never closed"),
        ("model == 'SVC", "unterminated string literal"),
        ("lr == 1; depth == 2", "invalid syntax, at '; depth == 2' (column 8)"),
        ("lr == 1 # and depth == 2", "'# and depth == 2' is a comment"),
        ("lr == 1 # a\n and depth == 2", "'# a  and depth == 2' is a comment"),
        ("a" * 20_000, "it has 20000 characters, 10000 are allowed"),
        ("a == '\udc80'", "it holds a character that is no text"),
        ("not " * 2000 + "a", "it is nested too deeply"),
        ("a" + ".a" * 4000, 'expression "a.a.a.a'),
        ("a" + "()" * 4000, 'expression "a()()()'),
        ("1" + "+1" * 4000, 'expression "1+1+1+1'),
        ("-" * 9000 + "1", "it is nested too deeply"),
        ("a in " + "[" * 150 + "]" * 150, "it is nested too deeply"),
        ("[" * 4000, "too many nested parentheses"),
        ("a == " + "9" * 9000, "Exceeds the limit"),
    ],
)  # fmt: skip
def test_what_is_refused(text: str, reason: str) -> None:
    with pytest.raises(QueryError, match=re.escape(reason)) as caught:
        parse(text)
    message = str(caught.value)
    assert message.startswith('expression "')
    assert message.isprintable(), "it is one line"
    assert len(message) < 600
    assert isinstance(caught.value, MementoError)
    assert isinstance(caught.value, ValueError)


def test_an_error_shows_the_text_and_what_is_allowed_and_pickles() -> None:
    with pytest.raises(QueryError) as caught:
        parse("größe == 'ä' and f(x)")
    assert str(caught.value) == (
        "expression \"größe == 'ä' and f(x)\": 'f(x)' (column 18) is a call; allowed are names,"
        " settings.x, metrics.x, metrics['x/y'], result.x, numbers, strings, True, False, None,"
        " lists, == != < <= > >= in is, and, or, not"
    )
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)
    assert again.reason == caught.value.reason


def test_deep_text_is_refused_in_a_thread_too() -> None:
    errors: list[BaseException] = []

    def read() -> None:
        for text in ("a" + ".a" * 4900, "not " * 2400 + "a", "lambda:" * 1400 + "1"):
            try:
                parse(text)
            except QueryError as error:
                errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert len(errors) == 3


def test_a_query_pickles_and_tells_its_names() -> None:
    query = parse("lr <= 0.01 and settings.n_fold in [5, [6]] and lr != 1 and runtime > '2m'")
    assert [name.text for name in query.names] == ["lr", "settings.n_fold", "runtime"]
    assert pickle.loads(pickle.dumps(query)) == query


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("modle == 'SVC'", "no experiment has 'modle' (did you mean 'model'?); there are: model, "),
        ("n_fold == 5", "no experiment has 'n_fold' (did you mean 'settings.n_fold'?)"),
        ("settings.lr == 5", "no experiment has 'settings.lr' (did you mean 'lr'?)"),
        ("settings.n_flod == 5", "(did you mean 'settings.n_fold'?)"),
        ("loss < 1", "(did you mean 'metrics.loss'?)"),
        ("metrics.los < 1", "(did you mean 'metrics.loss'?)"),
        ("parameters.runtime < 1", "has 'parameters.runtime' (did you mean 'runtime'?)"),
        ("runtme > 1", "(did you mean 'runtime'?)"),
        ("model == XYZ", "no experiment has 'XYZ' (a string needs quotes)"),
    ],
)  # fmt: skip
def test_a_name_that_none_has_is_an_error(text: str, reason: str) -> None:
    query = parse(text)
    query.check([])
    assert not query.holds(ROW)
    with pytest.raises(QueryError, match=re.escape(reason)) as caught:
        query.check([Known({"model": "SVC"}), ROW])
    assert str(caught.value).endswith("memory, error, id, experiment")
    assert "parameters.memory, settings.n_fold" in str(caught.value)


def test_a_name_that_some_have_is_missing_in_the_others() -> None:
    query, other = parse("gamma < 1"), Known({"gamma": 0.5})
    query.check([ROW, other])
    assert [query.holds(row) for row in (ROW, other)] == [False, True]


def test_a_metric_is_no_wrong_name_before_any_was_recorded() -> None:
    parse("metrics.loss < 1").check([Known({"lr": 1}), Known({"lr": 2})])


def test_nothing_is_executed(tmp_path: Path) -> None:
    place = tmp_path / "sprung"
    for text in (
        f"__import__('pathlib').Path({str(place)!r}).touch()",
        f"[c for c in ().__class__.__base__.__subclasses__()] or open({str(place)!r}, 'w')",
        f"lr == open({str(place)!r}, 'w')",
        f"f'{{open({str(place)!r}, \"w\")}}' == ''",
    ):
        with pytest.raises(QueryError):
            parse(text)
    assert not place.exists()


# -- invariants ------------------------------------------------------------------------------------

WORDS = st.sampled_from(
    ["lr", "model", "settings.x", "metrics.y", "status", "runtime", "'2m'", "'new'", "1", "-2.5",
     "None", "True", "[1, 'a']", "(1,)", "{2}", "==", "!=", "<", "<=", ">", ">=", "in", "not", "is",
     "and", "or", "(", ")", "[", "]", ",", ".", "f(", "lambda", ":", ":=", "if", "else", "*", "-",
     "~", "#", "'", '"', "\\", "\n", "{", "}", "for", "await", "yield", "x", "0x1f", "b''", "f''"]
)  # fmt: skip


def read(text: str) -> tuple[Query | None, str]:
    try:
        return parse(text), ""
    except QueryError as error:
        return None, str(error)


@given(st.one_of(st.text(), st.lists(WORDS).map(" ".join), st.lists(WORDS).map("".join)))
def test_any_text_is_read_or_refused(text: str) -> None:
    query, message = read(text)
    if query is None:
        assert message.isprintable()
        return
    for row in (Known(), ROW):
        assert query.holds(row) in (True, False)
    assert pickle.loads(pickle.dumps(query)) == query


SIGNS = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt,
    "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
NUMBERS = st.one_of(st.integers(-5, 5), st.floats(-5, 5).map(lambda x: round(x, 1)))


@given(NUMBERS, NUMBERS, NUMBERS, st.sampled_from(list(SIGNS)), st.sampled_from(list(SIGNS)))
def test_numbers_compare_as_in_python(a: Any, b: Any, c: Any, first: str, second: str) -> None:
    row = Known({"a": a, "b": b, "c": c})
    expected = SIGNS[first](a, b) and SIGNS[second](b, c)
    assert parse(f"a {first} b {second} c").holds(row) is expected
    assert parse(f"a {first} {b} {second} c").holds(row) is expected


@given(st.text(), st.text())
def test_strings_compare_as_in_python(a: str, b: str) -> None:
    row = Known({"a": a, "b": b})
    for sign, compare in SIGNS.items():
        assert parse(f"a {sign} b").holds(row) is compare(a, b)
    assert parse("a in b").holds(row) is (a in b)
    assert parse("a not in b").holds(row) is (a not in b)


@given(st.lists(st.one_of(NUMBERS, st.sampled_from(["a", "b"]), st.none()), max_size=4), NUMBERS)
def test_a_list_means_any_of_it(items: list[Any], value: Any) -> None:
    for written in (repr(items), repr(tuple(items))):
        assert parse(f"x in {written}").holds(Known({"x": value})) is (value in items)
        assert parse(f"x not in {written}").holds(Known({"x": value})) is (value not in items)


# -- amounts ---------------------------------------------------------------------------------------


@given(st.floats(0, 1e7))
def test_a_duration_is_read_as_it_is_shown(seconds: float) -> None:
    shown = duration(seconds)
    assert duration(to_seconds(shown)) == shown


@given(st.floats(0, 1e15))
def test_a_size_is_read_as_it_is_shown(count: float) -> None:
    shown = size(count)
    assert size(to_bytes(shown)) == shown


@pytest.mark.parametrize(
    "text", ["", "2", "m", "2x", "1h 30", "-2m", "1h30m!", "1..2s", "nan s", "2m" * 9000 + "?"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration") as caught:
        to_seconds(text)
    assert len(str(caught.value)) < 200
