"""The experiments of a store that was written once, and is read for ever after."""

import datetime
import os
import pickle
from pathlib import Path

import pytest

matrix = {
    "parameters": {"size": [1, 70_000], "when": [datetime.date(2026, 11, 27)]},
    "settings": {"place": Path("data/train.csv"), "decay": 0.5},
}


@pytest.fixture
def scale():
    return 2


def experiment(context, config, scale):
    context.record({"loss": 0.5, "accuracy": (3, 0.75)})
    (context.dir / "note.txt").write_text("kept")
    buffer = pickle.PickleBuffer(bytes(config.size))
    return {"sizes": [scale * config.size], "buffer": buffer, "when": config.when}


def experiment_unfinished(context, size):
    found = context.restore(default="nothing")
    context.checkpoint({"epoch": 7})
    if os.environ.get("KEPT") != "go on":
        print("as far as epoch 7")
        raise RuntimeError("ran out of luck")
    return found
