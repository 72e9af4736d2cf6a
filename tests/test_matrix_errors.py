"""Wrong matrices: each is a MatrixError of one line that says what, where and what to do."""

from __future__ import annotations

import itertools
import re
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest

from pytest_memento.errors import MatrixError
from pytest_memento.matrix import Choice, expand

GRID = {"model": ["svc", "tree"], "lr": [0.1, 0.2]}
KEYS = "there are: parameters, settings, untracked, exclude, include, sample, repeats"
SAMPLE = "{'n': 50, 'seed': 0}"


class Net:
    """What no fingerprint can be made of, because of one part."""

    def __init__(self) -> None:
        self.lock = threading.Lock()


NO_KEY = "has no stable fingerprint: cannot fingerprint '_thread.lock' object"
NET = f"a Net, {NO_KEY} (at .lock); give Net a __memento_key__ method"


def grid(**more: object) -> dict[str, object]:
    return {"parameters": GRID, **more}


def one(values: object) -> dict[str, object]:
    return {"parameters": {"a": values}}


def message(matrix: object) -> str:
    with pytest.raises(MatrixError) as caught:
        expand(matrix)
    return str(caught.value)


WHOLE: list[tuple[object, str]] = [
    (None, "the matrix is None, not a dict or a list of dicts (does the fixture return it?)"),
    (3, "the matrix is 3 (an int), not a dict or a list of dicts"),
    ("x", "the matrix is 'x' (a str), not a dict or a list of dicts"),
    (dict, "the matrix is dict (a class), not a dict or a list of dicts"),
    (iter([]), "the matrix is a list_iterator, not a dict or a list of dicts"),
    ((m for m in [GRID]), "the matrix is a generator, not a dict or a list of dicts"),
    ([], "the matrix is an empty list: give it at least one dict"),
    ([None], "matrix[0] is None, not a dict"),
    ([grid(), "x"], "matrix[1] is 'x' (a str), not a dict"),
    ({}, "the matrix has no 'parameters': name at least one, with its values"),
    ({"settings": {}}, "the matrix has no 'parameters': name at least one, with its values"),
    (GRID, f"unknown matrix key 'model' ({KEYS}); parameters go under 'parameters'"),
    ({"paramters": GRID}, "unknown matrix key 'paramters' (did you mean 'parameters'?)"),
    (grid(exlude=[]), "unknown matrix key 'exlude' (did you mean 'exclude'?)"),
    (grid(Settings={}), "unknown matrix key 'Settings' (did you mean 'settings'?)"),
    ({"parameters": GRID, 3: 1}, f"unknown matrix key 3 (an int) ({KEYS})"),
    ([grid(), grid(bogus=1)], f"matrix[1]: unknown matrix key 'bogus' ({KEYS})"),
]
PARAMETERS: list[tuple[object, str]] = [
    ({"parameters": {}}, "'parameters' is empty: name at least one, with its values"),
    ({"parameters": None}, "'parameters' is None, not a dict of name: values"),
    (
        {"parameters": [("a", [1])]},
        "'parameters' is [(a,[1])] (a list), not a dict of name: values",
    ),
    (
        one("mnist"),
        "parameter 'a' is 'mnist' (a str), not a list of values: write ['mnist']",
    ),
    (one(0.1), "parameter 'a' is 0.1 (a float), not a list of values: write [0.1]"),
    (one(None), "parameter 'a' is None, not a list of values: write [None]"),
    (one(dict), "parameter 'a' is dict (a class), not a list of values: write [dict]"),
    (one(Net()), "parameter 'a' is a Net, not a list of values: write [...] around it"),
    (
        one({1, 2}),
        "parameter 'a' is a set, not a list of values: write a list, which has an order",
    ),
    (
        one({"x": 1}),
        "parameter 'a' is {x:1} (a dict), not a list of values: write a list, which has an order",
    ),
    (
        one(str(i) for i in range(3)),
        "parameter 'a' is a generator, not a list of values: write list(...) around it",
    ),
    (
        one(map(str, [1])),
        "parameter 'a' is a map, not a list of values: write list(...) around it",
    ),
    (
        one(bytearray(b"ab")),
        "parameter 'a' is a bytearray, not a list of values: write list(...) around it",
    ),
    (
        one(np.array(3)),
        "parameter 'a' is 3 (a ndarray), not a list of values: write [...] around it",
    ),
    (
        one(pd.DataFrame({"q": [1]})),
        "parameter 'a' is DataFrame(1x1) (a DataFrame), not a list of values:"
        " write list(...) around it",
    ),
    (one([]), "parameter 'a' is empty: give it at least one value"),
    (one(range(0)), "parameter 'a' is empty: give it at least one value"),
    (one(np.array([])), "parameter 'a' is empty: give it at least one value"),
    (one(range(10**30)), "parameter 'a' has more values than a computer can count"),
    (
        one([1, 2, 1]),
        "parameter 'a' has the value 1 twice (at 0 and 2): remove one, or use 'repeats'",
    ),
    (
        one(["x\ny", "x\ny"]),
        r"parameter 'a' has the value 'x\ny' twice (at 0 and 1): remove one, or use 'repeats'",
    ),
    (
        {"parameters": {"a,b": [(1, "x"), (1, "x")]}},
        "parameter 'a,b' has the value 1, 'x' twice (at 0 and 1): remove one, or use 'repeats'",
    ),
    (
        {"parameters": {"a,b": [1]}},
        "parameter 'a,b', value 0 is 1 (an int), not a tuple of 2 values",
    ),
    (
        {"parameters": {"a,b": ["xy"]}},
        "parameter 'a,b', value 0 is 'xy' (a str), not a tuple of 2 values",
    ),
    (
        {"parameters": {"a,b": [(1, 2), (1, 2, 3)]}},
        "parameter 'a,b', value 1 has 3 parts for 2 names",
    ),
    (one([1, Net()]), f"parameter 'a', value 1, {NET}"),
    (
        one([threading.Lock()]),
        f"parameter 'a', value 0, a {type(threading.Lock()).__name__}, {NO_KEY};"
        " give what it is made from instead, such as a name",
    ),
    (
        one([(i for i in "ab")]),
        "parameter 'a', value 0, a generator, has no stable fingerprint:"
        " cannot fingerprint 'generator' object: it can be read only once;"
        " give what it is made from instead, such as a name",
    ),
]
NAMES: list[tuple[object, str]] = [
    ({"parameters": {1: [1]}}, "parameter 1 (an int) is not a name: use a string"),
    ({"parameters": {None: [1]}}, "parameter None is not a name: use a string"),
    (
        {"parameters": {"": [1]}},
        "parameter '' is not a name: use characters that can be seen",
    ),
    (
        {"parameters": {"a\nb": [1]}},
        r"parameter 'a\nb' is not a name: use characters that can be seen",
    ),
    ({"parameters": {"a,": [1]}}, "parameter 'a,' has an empty name: check its commas"),
    (
        {"parameters": {"a,a": [(1, 2)]}},
        "parameter 'a' is named twice: vary it in one place",
    ),
    (
        {"parameters": {"a": [1], "a,b": [(1, 2)]}},
        "parameter 'a' is named twice: vary it in one place",
    ),
    *(
        (
            {"parameters": {name: [1]}},
            f"parameter '{name}' has a reserved name: choose another",
        )
        for name in ("settings", "config", "context", "asdict", "keys", "items", "self", "_x")
    ),
    (grid(settings={"get": 1}), "setting 'get' has a reserved name: choose another"),
    (grid(settings={2: 1}), "setting 2 (an int) is not a name: use a string"),
    (grid(settings={"lr": 1}), "'lr' is both a parameter and a setting: rename one"),
]
SETTINGS: list[tuple[object, str]] = [
    (grid(settings=[1]), "'settings' is [1] (a list), not a dict"),
    (grid(settings=None), "'settings' is None, not a dict"),
    (grid(settings={"net": Net()}), f"setting 'net', {NET}"),
    (
        grid(untracked="n_jobs"),
        "'untracked' is 'n_jobs' (a str), not a list of settings: write ['n_jobs']",
    ),
    (grid(untracked=1), "'untracked' is 1 (an int), not a list of settings"),
    (
        grid(settings={"n_jobs": 1, "path": ""}, untracked=["n_job"]),
        "'untracked' names 'n_job', which is not a setting (n_jobs, path; did you mean 'n_jobs'?)",
    ),
    (
        grid(untracked=["lr"]),
        "'untracked' names 'lr', which is not a setting (there is none)",
    ),
    (
        grid(untracked=[["n"]]),
        "'untracked' names [n] (a list), which is not a setting (there is none)",
    ),
]
EXCLUDE: list[tuple[object, str]] = [
    (
        grid(exclude={"lr": 0.1}),
        "'exclude' is {lr:0.1} (a dict), not a list: write [...] around it",
    ),
    (
        grid(exclude=lambda config: False),
        "'exclude' is lambda (a function), not a list: write [...] around it",
    ),
    (grid(exclude="lr"), "'exclude' is 'lr' (a str), not a list of dicts or functions"),
    (
        grid(exclude=["lr"]),
        "exclude[0] is 'lr' (a str), not a dict or a function of the config",
    ),
    (
        grid(exclude=[dict]),
        "exclude[0] is dict (a class), not a dict or a function of the config",
    ),
    (grid(exclude=[{}]), "exclude[0] is an empty dict, which would exclude everything"),
    (
        grid(exclude=[{"lr": 0.1}, {"modle": 1}]),
        "exclude[1] names 'modle', which is not a parameter (model, lr; did you mean 'model'?)",
    ),
    (
        grid(exclude=[{"LR": 1}]),
        "exclude[0] names 'LR', which is not a parameter (model, lr; did you mean 'lr'?)",
    ),
    (
        grid(exclude=[{7: 1}]),
        "exclude[0] names 7 (an int), which is not a parameter (model, lr)",
    ),
    (grid(exclude=[{"lr": Net()}]), f"exclude[0]['lr'], {NET}"),
    (
        grid(exclude=[{"lr": range(10**7)}]),
        "exclude[0]['lr'] has 10,000,000 values: use a function of the config",
    ),
    (
        grid(exclude=[lambda config: config.modle == "svc"]),
        "exclude[0] raised AttributeError: no parameter 'modle' (did you mean 'model'?);"
        " there are: model, lr (for model=svc-lr=0.1)",
    ),
    (
        grid(exclude=[{"lr": 0.1}, lambda config: 1 / 0]),
        "exclude[1] raised ZeroDivisionError: division by zero (for model=svc-lr=0.1)",
    ),
    (
        [grid(), grid(exclude=[lambda config: 1 / 0])],
        "matrix[1]: exclude[0] raised ZeroDivisionError: division by zero (for model=svc-lr=0.1)",
    ),
    (
        grid(exclude=[{"model": ["svc", "tree"]}]),
        "'exclude' drops every configuration: nothing is left to run",
    ),
]
INCLUDE: list[tuple[object, str]] = [
    (
        grid(include={"lr": 1}),
        "'include' is {lr:1} (a dict), not a list: write [...] around it",
    ),
    (grid(include=7), "'include' is 7 (an int), not a list of dicts"),
    (grid(include=["x"]), "include[0] is 'x' (a str), not a dict of parameter: value"),
    (grid(include=[{}]), "include[0] is an empty dict: give it all parameters"),
    (
        grid(include=[{"lr": 1}]),
        "include[0] has no value for 'model': give it all parameters",
    ),
    (
        grid(include=[{"lr": 1, "modle": 2}]),
        "include[0] names 'modle', which is not a parameter (model, lr; did you mean 'model'?)",
    ),
    (
        grid(include=[{"lr": 0.1, "model": "svc"}]),
        "the configuration model=svc-lr=0.1 is there twice: remove one, or use 'repeats'",
    ),
    (grid(include=[{"model": 2, "lr": Net()}]), f"include[0]['lr'], {NET}"),
    (
        {"include": [{"lr": 1}, {"lr": 1}]},
        "the configuration lr=1 is there twice: remove one, or use 'repeats'",
    ),
    (
        {"include": [{"lr": 1}, {"x": 1}]},
        "include[1] names 'x', which is not a parameter (lr)",
    ),
    (
        {"include": [{3: 1}]},
        "parameter 3 (an int) is not a name: use a string",
    ),
]
NUMBERS: list[tuple[object, str]] = [
    (grid(sample=5), f"'sample' is 5 (an int), not a dict such as {SAMPLE}"),
    (grid(sample={}), f"'sample' has no 'n': say how many, as in {SAMPLE}"),
    (grid(sample={"N": 5}), "'sample': unknown key 'N' (did you mean 'n'?)"),
    (grid(sample={"n": 0}), "sample['n'] is 0: it must be at least 1"),
    (grid(sample={"n": "5"}), "sample['n'] is '5' (a str), not an int"),
    (grid(sample={"n": True}), "sample['n'] is True (a bool), not an int"),
    (grid(sample={"n": 2, "seed": None}), "sample['seed'] is None, not an int"),
    (
        {"parameters": {c: range(100) for c in "abcd"}, "sample": {"n": 10**7}},
        "'sample' makes 10,000,000 configurations: 1,000,000 at most",
    ),
    (grid(repeats=0), "'repeats' is 0: it must be at least 1"),
    (grid(repeats=1.5), "'repeats' is 1.5 (a float), not an int"),
    (grid(repeats=10**9), "'repeats' makes 4,000,000,000 configurations: 1,000,000 at most"),
    (
        grid(repeats=10**5000),
        "'repeats' makes more than 10^18 configurations: 1,000,000 at most",
    ),
    *(
        (matrix, "'repeat' is the parameter that 'repeats' makes: rename yours")
        for matrix in (
            {"parameters": {"repeat": [1]}, "repeats": 2},
            {"include": [{"repeat": 1}], "repeats": 2},
            grid(settings={"repeat": 1}, repeats=2),
        )
    ),
    (
        {"parameters": {c: range(100) for c in "abcd"}},
        f"the parameters span 100,000,000 combinations: draw a subset with 'sample', as in"
        f" {SAMPLE}",
    ),
    (
        {"parameters": {f"p{i}": range(100) for i in range(3000)}},
        f"the parameters span more than 10^18 combinations: draw a subset with 'sample', as in"
        f" {SAMPLE}",
    ),
    (
        [grid(), {"parameters": {"lr": [0.1], "model": ["svc"]}}],
        "the configuration lr=0.1-model=svc is there twice (in matrix[0] and matrix[1]):"
        " remove one, or use 'repeats'",
    ),
]


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [*WHOLE, *PARAMETERS, *NAMES, *SETTINGS, *EXCLUDE, *INCLUDE, *NUMBERS],
    ids=itertools.count(),
)
def test_a_wrong_matrix_is_explained_in_one_line(matrix: object, expected: str) -> None:
    assert message(matrix) == expected


def test_a_sample_that_exclude_rejects_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_memento.matrix.drawing.MOST_REJECTED", 100)
    matrix = {
        "parameters": {c: range(1000) for c in "abcd"},
        "exclude": [lambda config: True],
        "sample": {"n": 3},
    }
    assert message(matrix) == (
        "'sample' found 0 of 3 configurations in 100 draws: 'exclude' drops almost everything"
    )


def test_the_own_exception_of_a_rule_is_kept_as_the_cause() -> None:
    with pytest.raises(MatrixError) as caught:
        expand(grid(exclude=[lambda config: 1 / 0]))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


# -- values of any kind, anywhere ------------------------------------------------------------------


def _raise(*_: object) -> NoReturn:
    raise RuntimeError("no")


def raising(*methods: str, base: type = object) -> Any:
    """Return an object whose *methods* raise."""
    body: dict[str, Any] = dict.fromkeys(methods, _raise)
    return type("Raising", (base,), {"__hash__": base.__hash__, **body})()


class Liar(Sequence[object]):
    def __getitem__(self, index: Any) -> Any:
        raise IndexError(index)

    def __len__(self) -> int:
        return 3


class EmptyPromise(Mapping[str, object]):
    def __getitem__(self, name: str) -> object:
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(["parameters"])

    def __len__(self) -> int:
        return 1


class Classless:
    @property
    def __class__(self) -> Any:
        raise RuntimeError("no")

    @__class__.setter
    def __class__(self, value: Any) -> None: ...


def _deep() -> list[object]:
    value: list[object] = []
    for _ in range(5000):
        value = [value]
    return value


def _recursive() -> list[object]:
    value: list[object] = []
    value.append(value)
    return value


def weird() -> list[Any]:
    hostile = [
        raising("__eq__"),
        raising("__repr__"),
        raising("__str__"),
        raising("__hash__"),
        raising("__bool__"),
        raising("__getattr__"),
        raising("__str__", "__repr__", base=str),
        raising("__str__", "__repr__", base=int),
        raising("__iter__", base=list),
        raising("__len__", base=list),
        raising("__iter__", "__getitem__", "get", "items", base=dict),
        Liar(),
        EmptyPromise(),
        Classless(),
        types.SimpleNamespace(ndim=1, tolist=_raise),
        types.SimpleNamespace(shape=(), item=_raise),
        types.SimpleNamespace(shape=3, ndim="x", __name__=3),
    ]
    plain: list[Any] = [
        *(None, 0, -1, True, 1.5, float("nan"), 10**5000, 1j, "", "x", "a\nb", "x" * 3000),
        *("\ud800", b"x", [], (), [1], {}, {"a": 1}, {"a": [1]}, {1: 2}, {"a\nb": [1]}, set()),
        *(range(3), range(10**30), iter([1]), object(), object, type, len, lambda c: c),
        *(sys, ..., NotImplemented, Exception("a\nb"), memoryview(b"ab"), slice(1), property()),
        *(_deep(), _recursive(), Choice(1), Choice([1]), Choice({"a": 1}, "\ud800\n")),
        *(np.array(3), np.array([1, 2]), np.array([[1], [2]]), np.array([object()]), np.bool_(1)),
        *(np.ma.array([1, 2], mask=[False, True]), pd.Series([1, 2]), pd.DataFrame({"a": [1]})),
        *(pd.NA, pd.NaT, pd.Timestamp("2020-01-01"), pd.Categorical(["a"]), pd.Index([1, 2])),
    ]
    nested = [part for value in hostile for part in ([value], {"a": value}, {"a": [value, 1]})]
    return [*plain, *hostile, *nested]


def places(value: Any) -> Iterator[object]:
    """Yield matrices with *value* at every place where something is expected."""
    yield from (value, [value], [one([1]), value])
    for key in ("parameters", "settings", "untracked", "exclude", "include", "sample", "repeats"):
        yield from ({key: value}, {**one([1, 2]), key: value})
    yield from (one(value), one([value]), one([value, value]), one([1, value]))
    yield from ({"parameters": {"a,b": each}} for each in (value, [value], [(value, value)]))
    yield {**one([1]), "settings": {"s": value}}
    yield {**one([1]), "settings": {"s": 1}, "untracked": [value]}
    for entry in (value, {"a": value}, {"a": [value]}, lambda config: value):
        yield {**one([1, 2]), "exclude": [entry]}
        yield {**one([value, 2]), "exclude": [entry]}
    yield {**one([1]), "exclude": [lambda config: _raise_with(value)]}
    yield {**one([1]), "include": [value]}
    yield {**one([1]), "include": [{"a": value}]}
    yield from ({"include": [each]} for each in (value, {"a": value}))
    yield {**one([1]), "sample": {"n": value}}
    yield {**one([1]), "sample": {"n": 1, "seed": value}}
    try:
        hash(value)
    except Exception:
        return
    yield from ({value: 1}, {**one([1]), value: 1}, {"parameters": {value: [1]}})
    yield {**one([1]), "settings": {value: 1}}
    yield from ({**one([1]), key: [{value: 1}]} for key in ("include", "exclude"))


def _raise_with(value: object) -> NoReturn:
    raise ValueError(value)


def test_expand_raises_nothing_but_matrix_errors_of_one_short_line() -> None:
    rows = 0
    for value in weird():
        for matrix in places(value):
            try:
                expansion = expand(matrix)
            except MatrixError as error:
                _check_line(str(error))
            else:
                rows += len(expansion.cases)
                for case in expansion.cases:
                    _check_line(case.label, longest=4000)
                    assert case.labels
                    hash(case.config)
    assert rows > 500


def _check_line(text: str, longest: int = 420) -> None:
    assert text.isprintable()
    assert len(text) <= longest
    # An exception of the user's own may say what it likes.
    assert " raised ValueError: " in text or not re.search("0x[0-9a-f]{6}", text)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: {"parameters": {"a": Liar()}}, "IndexError: 0"),
        (lambda: {"parameters": EmptyPromise()}, "KeyError: 'parameters'"),
        (lambda: {raising("__eq__"): 1}, "RuntimeError: no"),
        (Classless, "RuntimeError: no"),
    ],
)
def test_what_a_foreign_class_raises_is_told(make: Callable[[], object], expected: str) -> None:
    assert message(make()) == f"the matrix cannot be read: {expected}"
