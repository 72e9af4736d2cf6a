"""A configuration: read by attribute or name, immutable, equal by fingerprint."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_memento import Config, Settings
from pytest_memento.config import RESERVED, digest_values, nearest
from pytest_memento.errors import FingerprintError


class Net:
    def __init__(self) -> None:
        self.weights = [0.0]


class Uncopyable:
    def __deepcopy__(self, memo: object) -> object:
        raise RuntimeError("no")


@pytest.fixture
def config() -> Config:
    return Config({"model": dict, "lr": 0.1}, {"n_fold": 5, "n_jobs": 2}, ["n_jobs"])


def test_values_are_read_by_attribute_and_by_name(config: Config) -> None:
    assert config.model is config["model"] is dict
    assert config.settings.n_fold == config.settings["n_fold"] == 5
    assert config.asdict() == {"model": dict, "lr": 0.1}
    assert config.settings.asdict() == {"n_fold": 5, "n_jobs": 2}
    assert config.untracked == {"n_jobs"}


def test_the_mapping_protocol_is_over_the_parameters(config: Config) -> None:
    assert dict(config) == {**config} == {"model": dict, "lr": 0.1}
    assert list(config.items()) == [("model", dict), ("lr", 0.1)]
    assert len(config) == 2
    assert "lr" in config
    assert "n_fold" not in config
    assert config.get("n_fold", "?") == "?"
    match config:
        case {"lr": lr}:
            assert lr == 0.1
    with pytest.raises(KeyError):
        config["n_fold"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("modle", "no parameter 'modle' (did you mean 'model'?); there are: model, lr"),
        ("LR", "no parameter 'LR' (did you mean 'lr'?); there are: model, lr"),
        ("batch", "no parameter 'batch'; there are: model, lr"),
        ("n_fold", "'n_fold' is a setting, not a parameter: use config.settings.n_fold"),
    ],
)
def test_a_missing_parameter_is_explained(config: Config, name: str, expected: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(config, name)
    assert str(caught.value) == expected
    assert not hasattr(config, name)


def test_a_missing_setting_is_explained(config: Config) -> None:
    with pytest.raises(AttributeError) as caught:
        _ = config.settings.n_folds
    assert str(caught.value) == (
        "no setting 'n_folds' (did you mean 'n_fold'?); there are: n_fold, n_jobs"
    )
    with pytest.raises(AttributeError, match=r"^no setting 'x'; there are: none$"):
        _ = Settings().x


def test_it_is_immutable(config: Config) -> None:
    for target in (config, config.settings):
        with pytest.raises(AttributeError, match="is immutable: 'lr' cannot be set"):
            target.lr = 0.2
        with pytest.raises(AttributeError, match="is immutable: 'lr' cannot be deleted"):
            del target.lr
        with pytest.raises(TypeError):
            target["lr"] = 0.2
    config.asdict()["lr"] = 0.2
    config.settings.asdict()["n_fold"] = 6
    assert (config.lr, config.settings.n_fold) == (0.1, 5)


def test_it_does_not_share_the_dict_it_was_made_from() -> None:
    parameters, shared = {"a": 1}, {"s": 1}
    config = Config(parameters, shared)
    parameters["a"] = shared["s"] = 2
    assert (config.a, config.settings.s) == (1, 1)


def test_equality_is_that_of_fingerprints() -> None:
    assert len({Config({"a": value}) for value in (1, 1.0, True, 1)}) == 3
    assert Config({"a": np.arange(3)}) == Config({"a": np.arange(3)})
    assert Config({"a": 1, "b": 2}) == Config({"b": 2, "a": 1})
    assert Config({"a": 1}, {"s": 1}) != Config({"a": 1}, {"s": 2})
    assert Config({"a": 1}, {"s": 1, "n": 1}, ["n"]) == Config({"a": 1}, {"s": 1})
    assert Config({"a": 1}) != Settings({"a": 1})
    assert Settings({"a": 1}) == Settings({"a": 1})
    assert Config({"a": 1}) != {"a": 1}
    assert hash(Settings({"a": 1})) == hash(Settings({"a": 1}))


def test_a_known_fingerprint_is_taken_over() -> None:
    known = digest_values({"a": 1}), digest_values({})
    assert Config({"a": threading.Lock()}, fingerprint=known) == Config({"a": 1})
    with pytest.raises(FingerprintError, match="cannot fingerprint '_thread"):
        hash(Config({"a": threading.Lock()}))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickling_keeps_everything(config: Config, protocol: int) -> None:
    again = pickle.loads(pickle.dumps(config, protocol))
    assert type(again) is Config
    assert again == config
    assert hash(again) == hash(config)
    assert again.asdict() == config.asdict()
    assert again.settings == config.settings
    assert again.untracked == config.untracked
    assert pickle.loads(pickle.dumps(config.settings, protocol)) == config.settings


def test_copies_are_equal_and_deep_ones_apart() -> None:
    config = Config({"net": Net()}, {"shared": Net()}, ["shared"])
    assert copy.copy(config).net is config.net
    deep = copy.deepcopy(config)
    assert deep == config
    assert deep.net is not config.net
    assert deep.settings.shared is not config.settings.shared
    assert deep.untracked == config.untracked


def test_a_detached_one_does_not_share_what_can_be_changed() -> None:
    config = Config({"net": Net(), "odd": Uncopyable(), "lock": threading.Lock()}, {"s": [1]})
    detached = config.detached()
    detached.net.weights.append(1.0)
    detached.settings.s.append(2)
    assert config.net.weights == [0.0]
    assert config.settings.s == [1]
    assert detached.odd is config.odd
    assert detached.lock is config.lock


def test_a_detached_one_keeps_the_fingerprint_of_what_it_was() -> None:
    config = Config({"net": Net()}, {"s": 1}, ["s"])
    before = config.fingerprint
    detached = config.detached()
    detached.net.weights.append(1.0)
    assert detached.fingerprint == before
    assert detached.untracked == {"s"}


def test_it_shows_its_parameters_on_one_line(config: Config) -> None:
    assert repr(config) == "Config(model=dict, lr=0.1)"
    assert repr(config.settings) == "Settings(n_fold=5, n_jobs=2)"
    assert repr(Config({"net": Net(), "text": "a\nb"})) == r"Config(net=Net, text=a\nb)"
    assert {"model", "lr", "settings", "asdict"} <= set(dir(config))


def test_names_that_mean_something_else_are_reserved() -> None:
    taken = {name for name in dir(Config({})) if not name.startswith("_")}
    assert taken <= RESERVED
    assert {"config", "context", "request", "self", "cls", "matrix"} <= RESERVED


def test_private_names_are_never_values() -> None:
    config = Config({"_repr_html_": 1})
    with pytest.raises(AttributeError, match=r"^_repr_html_$"):
        _ = config._repr_html_
    with pytest.raises(AttributeError):
        _ = Config.__new__(Config).lr


@pytest.mark.parametrize(
    ("name", "expected"), [("modle", "model"), ("LEARNING_rate", "learning_rate"), ("x", None)]
)
def test_the_nearest_name(name: str, expected: str | None) -> None:
    assert nearest(name, ["model", "learning_rate", "depth"]) == expected


names = st.text(st.characters(categories=["Ll"]), min_size=1).filter(lambda n: n not in RESERVED)
mappings = st.dictionaries(names, st.integers() | st.text() | st.lists(st.floats()), max_size=4)


@given(mappings, mappings)
@settings(deadline=None)
def test_any_configuration_survives_pickling(
    values: dict[str, Any], shared: dict[str, Any]
) -> None:
    config = Config(values, shared)
    again = pickle.loads(pickle.dumps(config))
    assert again == config == copy.deepcopy(config) == config.detached()
    assert all(getattr(again, name) is again[name] for name in values)
    assert list(again) == list(values)
