"""What stands for a result among the values of another experiment."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from pytest_memento import MatrixError, results_of
from pytest_memento.config import Config
from pytest_memento.experiment import Experiment, experiments_of
from pytest_memento.fingerprint import digest_value
from pytest_memento.inputs import manifest_of, told_apart, words_for
from pytest_memento.labels import label
from pytest_memento.matrix import Choice, expand
from pytest_memento.record import Value


def experiments(matrix: Any, **manifest: str) -> list[Experiment]:
    return experiments_of("exp_a.py::f", expand(matrix).cases, lambda _: manifest)


def following(before: list[Experiment], **more: Any) -> list[Experiment]:
    values = [Choice(each.as_input(), f"({each.case.label})") for each in before]
    matrix = {"parameters": {"model": values, "y": [1]}, **more}
    return experiments_of("exp_b.py::g", expand(matrix).cases, lambda _: {"g": "1"})


MATRIX = {"parameters": {"x": [1, 2]}, "settings": {"s": 1}}


def test_its_configuration_counts_as_a_parameter_and_how_it_is_made_as_code() -> None:
    keys = [each.key for each in following(experiments(MATRIX, f="1"))]
    assert len({key.parameters for key in keys}) == 2
    assert len({key.code for key in keys}) == 1
    for other in (experiments(MATRIX, f="2"), experiments({**MATRIX, "settings": {"s": 2}}, f="1")):
        changed = [each.key for each in following(other)]
        assert [key.parameters for key in changed] == [key.parameters for key in keys]
        assert {key.code for key in changed}.isdisjoint(key.code for key in keys)


def test_what_it_is_made_from_is_in_the_manifest() -> None:
    first = following(experiments(MATRIX, f="1"))[0]
    assert first.manifest["g"] == "1"
    assert first.manifest["input exp_a.py::f: f"] == "1"
    assert first.manifest["input exp_a.py::f: setting s"] == digest_value(1)
    last = following([first])[0]
    assert last.manifest["input exp_b.py::g: input exp_a.py::f: f"] == "1"


def pairs(*settings: int, **manifest: str) -> Experiment:
    """Return what is given two results of one experiment, as ``a`` and ``b``."""
    matrix = [{"parameters": {"x": [x]}, "settings": {"s": s}} for x, s in enumerate(settings)]
    a, b = (each.as_input() for each in experiments(matrix, **manifest))
    cases = expand({"parameters": {"a": [Choice(a)], "b": [Choice(b)]}}).cases
    return experiments_of("exp_b.py::g", cases, lambda _: {})[0]


def test_two_results_of_one_experiment_do_not_hide_each_other() -> None:
    keys = [pairs(*settings, f="1").key for settings in ((1, 9), (2, 9), (1, 8), (9, 1), (1, 1))]
    assert len({key.parameters for key in keys}) == 1
    assert len({key.code for key in keys}) == 5
    assert pairs(1, 9, f="1").manifest == {
        "input exp_a.py::f: f": "1",
        "input exp_a.py::f (a): setting s": digest_value(1),
        "input exp_a.py::f (b): setting s": digest_value(9),
    }
    assert pairs(1, 1, f="1").manifest == {
        "input exp_a.py::f: f": "1",
        "input exp_a.py::f: setting s": digest_value(1),
    }


def test_nor_does_one_that_lacks_what_the_other_has() -> None:
    first, second = (
        experiments({**MATRIX, "settings": settings}, f="1")[place].as_input()
        for place, settings in enumerate(({}, {"s": 1}))
    )
    assert manifest_of({"a": first, "b": second}) == {
        "input exp_a.py::f: f": "1",
        "input exp_a.py::f (b): setting s": digest_value(1),
    }


def test_the_same_results_under_other_names() -> None:
    matrix = [{"parameters": {"x": [x]}, "settings": {"s": x}} for x in (1, 2)]
    first, second = (Choice(each.as_input()) for each in experiments(matrix))
    both = [{"a": [first], "b": [second]}, {"b": [first], "a": [second]}]
    cases = expand([{"parameters": parameters} for parameters in both]).cases
    made = experiments_of("exp_b.py::g", cases, lambda _: {})
    assert [each.manifest for each in made] == [manifest_of(each.given) for each in made]
    assert made[0].key.code != made[1].key.code


def test_those_that_differ_in_settings_alone() -> None:
    both = experiments([{**MATRIX, "settings": {"s": s}} for s in (1, 2)])
    first, _, twin, _ = (each.as_input() for each in both)
    assert digest_value(first) == digest_value(twin)
    with_twin = told_apart([first, twin])
    assert digest_value(with_twin[0]) != digest_value(with_twin[1])
    assert [each.parts for each in with_twin] == [{"x": 1, "settings.s": s} for s in (1, 2)]


def test_the_first_is_what_it_is_without_the_others() -> None:
    several = experiments([{**MATRIX, "settings": {"s": s}} for s in (1, 2, 3)])
    first, _, second, _, third, _ = (each.as_input() for each in several)
    apart = [digest_value(each) for each in told_apart([first, second, third])]
    assert len({*apart}) == 3
    assert apart[0] == digest_value(first)
    assert apart[:2] == [digest_value(each) for each in told_apart([first, second])]
    again = told_apart(told_apart([first, second, third])[::-1])
    assert [digest_value(each) for each in again] == apart[::-1]


def test_settings_count_for_those_that_differ_in_them_only() -> None:
    settings = [{"s": 1, "same": 0}, {"s": 2, "same": 0}]
    several = [
        each.as_input() for each in experiments([{**MATRIX, "settings": s} for s in settings])
    ]
    assert told_apart(several[:2]) == several[:2]
    first, second, twin = told_apart(several[:3])
    assert second == several[1]
    assert (first.parts, twin.parts) == ({"x": 1, "settings.s": 1}, {"x": 1, "settings.s": 2})


@pytest.mark.parametrize(
    ("experiments", "words"),
    [
        (["a.py::f", "a.py::g", "b.py::h"], ["f", "g", "h"]),
        (["x/exp_a.py::f", "exp_b.py::f"], ["exp_a", "exp_b"]),
        (["a.py::A::f", "a.py::B::f"], ["A::f", "B::f"]),
        (["a.py::f", "b.py::f", "b.py::g"], ["a.py::f", "b.py::f", "b.py::g"]),
        (["a.py::f", "a.py::f"], ["f", "f"]),
        ([], []),
    ],
)
def test_a_word_for_each_experiment(experiments: list[str], words: list[str]) -> None:
    assert [words_for(experiments)[each] for each in experiments] == words


def test_what_it_is_told_apart_by() -> None:
    first = following(experiments(MATRIX))[0]
    assert first.case.label == "model=(x=1)-y=1"
    (given,) = first.inputs
    assert label(given) == "(x=1)"
    assert given.name == "exp_a.py::f[x=1]"
    assert Value.of(given, "(x=1)").parts == {"x": 1}
    assert following([first])[0].inputs[0].parts == {"model.x": 1, "y": 1}
    assert given.config == Config({"x": 1}, {"s": 1})


def seen_of(experiment: Experiment) -> Config:
    """Return what functions of the user see of what stands for a result."""
    return experiment.case.row.seen()


def test_what_functions_of_the_user_see_of_it() -> None:
    first, other = following(experiments(MATRIX))
    (last,) = following([first])
    model = seen_of(last).model
    assert (model.y, model.model.x, model["model"]["x"], model.config.model.x) == (1, 1, 1, 1)
    assert model.model.settings.s == model.model.config.settings.s == 1
    assert model.model == seen_of(first).model != seen_of(other).model
    assert hash(model.model) == hash(seen_of(first).model)
    assert pickle.loads(pickle.dumps(model)) == copy.deepcopy(model) == model
    assert model.fingerprint == (first.key.parameters, first.key.settings)
    assert model.model != {"x": 1}
    text = "what is known of it is its configuration .model, y., and .config.settings"
    with pytest.raises(AttributeError, match=text):
        _ = model.accuracy
    with pytest.raises(KeyError, match=text):
        _ = model["accuracy"]


def test_its_parameters_may_have_any_name() -> None:
    names = ("name", "key", "label", "made_from", "parts", "store", "is_twin", "id", "value")
    before = experiments({"parameters": {name: [f"its {name}"] for name in names}})
    (after,) = following(before)
    seen = seen_of(after).model
    assert [getattr(seen, name) for name in names] == [f"its {name}" for name in names]


def test_it_is_one_thing() -> None:
    given = experiments(MATRIX)[0].as_input()
    assert copy.deepcopy(given) is given
    assert pickle.loads(pickle.dumps(given)) == given
    assert digest_value(pickle.loads(pickle.dumps(given))) == digest_value(given)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((3,), "results_of takes an experiment such as 'exp_train.py::experiment', or results"),
        ((None,), "not None"),
        (("exp_a.py", 3), "'where' is 3 (an int), not a dict or a function"),
        (("exp_a.py", {}), "'where' is an empty dict: leave it out"),
    ],
)
def test_what_is_wrong(arguments: tuple[Any, ...], text: str) -> None:
    with pytest.raises(MatrixError) as caught:
        results_of(arguments[0], where=arguments[1] if arguments[1:] else None)
    assert text in str(caught.value)


def test_it_cannot_be_iterated() -> None:
    with pytest.raises(TypeError, match="write it in place of the list"):
        list(results_of("exp_a.py"))
