"""Records survive JSON, and describe results as far as plain data can."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_memento import Config
from pytest_memento.errors import DamagedError
from pytest_memento.fingerprint import Digest
from pytest_memento.record import (
    Key,
    Outcome,
    Record,
    Value,
    describe_config,
    describe_result,
)

KEY = Key("exp.py::f", Digest("a" * 32), Digest("b" * 32), Digest("c" * 32))


def make(**more: Any) -> Record:
    given: dict[str, Any] = {
        "key": KEY,
        "id": "lr=1",
        "parameters": {"lr": Value("1", "d", 1, is_plain=True), "model": Value("SVC", "e")},
        "settings": {"none": Value("None", "f", None, is_plain=True)},
        "untracked": ("jobs",),
        "outcome": Outcome.PASSED,
        "started": 1.5,
        "runtime": 2.0,
        "cpu_time": 1.0,
        "memory": 1024,
        "result": {"": Value("0.5", "", 0.5, is_plain=True)},
        "metrics": {"loss": 0.25},
        "progress": (1, 10),
        "seed": 2**32 - 1,
        "deaths": 3,
    }
    return Record(**given | more)


def test_a_record_survives_json() -> None:
    for record in (make(), make(outcome=Outcome.FAILED, error="bad", progress=None, result={})):
        assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record


def test_inputs_survive_json_and_are_left_out_where_there_are_none() -> None:
    inputs = {"model": ("exp_a.py::f", "stem"), "data": ("exp_b.py::f", "stem", "/elsewhere")}
    record = make(inputs=inputs)
    assert Record.from_json(json.loads(json.dumps(record.to_json()))).inputs == inputs
    assert "inputs" not in make().to_json()


def test_nan_survives_json() -> None:
    record = Record.from_json(json.loads(json.dumps(make(metrics={"x": float("nan")}).to_json())))
    assert np.isnan(record.metrics["x"])


@pytest.mark.parametrize(
    "change",
    [
        {"key": []},
        {"key": None},
        {"outcome": "unknown"},
        {"parameters": None},
        {"parameters": {"lr": []}},
        {"untracked": None},
        {"progress": 3},
    ],
)
def test_what_is_no_record(change: dict[str, Any]) -> None:
    with pytest.raises(DamagedError, match="the header is not a record"):
        Record.from_json({**make().to_json(), **change})


def test_what_records_of_old_do_not_have() -> None:
    data = make().to_json()
    del data["seed"], data["deaths"]
    assert Record.from_json(data) == make(seed=None, deaths=0)


@pytest.mark.parametrize("missing", sorted({*make().to_json()} - {"seed", "deaths"}))
def test_a_field_that_is_missing(missing: str) -> None:
    data = make().to_json()
    del data[missing]
    with pytest.raises(DamagedError):
        Record.from_json(data)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.123456789, {"": ("0.123457", 0.123456789, True)}),
        (np.float32(0.5), {"": ("0.5", 0.5, True)}),
        (None, {"": ("None", None, True)}),
        ("text", {"": ("text", "text", True)}),
        ("x" * 1000, {"": ("x" * 47 + "…", None, False)}),
        ([1, 2], {"": ("[1,2]", None, False)}),
        ({"acc": 0.5, "n": 3}, {"acc": ("0.5", 0.5, True), "n": ("3", 3, True)}),
        ({"acc": [1]}, {"": ("{acc:[1]}", None, False)}),
        ({1: 2}, {"": ("{1:2}", None, False)}),
        (
            {"test": {"f1": 0.5, "deep": {"n": 1}}, "model": dict, "by": {1: 2}, "empty": {}},
            {
                "test.f1": ("0.5", 0.5, True),
                "test.deep.n": ("1", 1, True),
                "model": ("dict", None, False),
                "by": ("{1:2}", None, False),
                "empty": ("{}", None, False),
            },
        ),
        ({"a": {"b": 1}, "a.b": 2}, {"": ("{a.b:2,a:{b:1}}", None, False)}),
        (
            {"a": {"b": {"c": {"d": {"e": 1}}}}, "f": 1},
            {"a.b.c.d": ("{e:1}", None, False), "f": ("1", 1, True)},
        ),
        (
            dict.fromkeys("ab", dict.fromkeys(map(str, range(17)), 1)),
            {"": ("{a:{0:1,10:1,11:1,12:1,13:1,14:1,15:1,16:1,1:1,…", None, False)},
        ),
        ({}, {"": ("{}", None, False)}),
        (np.zeros((2, 3)), {"": ("ndarray(2x3)", None, False)}),
    ],
)
def test_results_in_plain_data(value: object, expected: dict[str, Any]) -> None:
    described = describe_result(value)
    assert {n: (v.label, v.plain, v.is_plain) for n, v in described.items()} == expected
    json.dumps({name: value.to_json() for name, value in described.items()})


def test_a_result_that_raises_wherever_it_is_touched() -> None:
    class Hostile:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError(name)

        def __repr__(self) -> str:
            raise RuntimeError("repr")

    assert describe_result(Hostile())[""].label == "Hostile"


def test_a_scalar_without_a_value() -> None:
    """Such as a tensor of torch on the device "meta"."""

    class Scalar:
        shape = ()

        def item(self) -> float:
            raise RuntimeError("no data")

    assert Value.of(Scalar(), "scalar") == Value("scalar")


def test_a_result_that_holds_itself() -> None:
    value: dict[str, Any] = {"n": 1}
    value["again"] = value
    assert describe_result(value)["n"].plain == 1


def test_a_mapping_that_raises() -> None:
    class Hostile(Mapping[str, int]):
        def __getitem__(self, name: str) -> int:
            raise RuntimeError(name)

        def __iter__(self) -> Iterator[str]:
            return iter(["a"])

        def __len__(self) -> int:
            return 1

    assert describe_result(Hostile())[""].label == "Hostile"


def test_what_is_in_dicts_of_a_configuration_is_on_record() -> None:
    config = Config({"net": {"depth": 3, "act": dict}, "lr": 1}, {"adam": {"lr": {"start": 0.1}}})
    parameters, settings = describe_config(config, {}, {})
    assert parameters["net"] == Value("{act:dict,depth:3}", parts={"depth": 3, "act": "dict"})
    record = make(parameters=parameters, settings=settings)
    data = json.loads(json.dumps(record.to_json()))
    assert Record.from_json(data) == record
    assert data["parts"]["settings"] == {"adam": {"lr.start": 0.1}}
    # A version that knows nothing of it reads the rest.
    del data["parts"]
    assert Record.from_json(data).settings["adam"] == Value("{lr:{start:0.1}}")


@pytest.mark.parametrize(
    "parts",
    [3, {"parameters": 3}, {"parameters": {"lr": 3}}, {"settings": {"gone": {}}}, {"other": {}}],
)
def test_parts_that_are_none(parts: object) -> None:
    with pytest.raises(DamagedError, match="the header is not a record"):
        Record.from_json({**make().to_json(), "parts": parts})


def test_configurations_in_plain_data() -> None:
    config = Config({"model": dict, "lr": 0.1}, {"data": Path("a/b")})
    parameters, settings = describe_config(config, {"model": "M"}, {"lr": "digest"})
    assert parameters == {
        "model": Value("M"),
        "lr": Value("0.1", "digest", 0.1, is_plain=True),
    }
    assert settings == {"data": Value("a/b")}
    assert parameters["model"].shown == "M"
    assert parameters["lr"].shown == 0.1


def test_keys() -> None:
    other = Key("exp.py::g", KEY.parameters, KEY.settings, KEY.code)
    assert Key(KEY.experiment, KEY.parameters, KEY.settings, KEY.code) == KEY
    assert KEY.stem == other.stem
    assert str(KEY) != str(other)
    assert KEY.seed != other.seed
    assert KEY.stem == "-".join(("a" * 24, "b" * 24, "c" * 24))
