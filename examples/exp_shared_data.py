"""Experiments on data that a session fixture prepares, with parameters as arguments."""

import pytest
from sklearn.neural_network import MLPClassifier


@pytest.fixture
def matrix():
    return {
        "parameters": {
            "layers": [(8,), (32,), (32, 32)],
            # These two vary together.
            "rate,batch": [(0.01, 32), pytest.param(0.003, 256, id="slow")],
        },
        "settings": {"epochs": 12},
        "repeats": 2,
    }


def experiment(context, moons, layers, rate, batch, epochs):
    train, test, train_target, test_target = moons
    network = MLPClassifier(
        layers, learning_rate_init=rate, batch_size=batch, random_state=context.seed
    )
    for epoch in context.track(range(epochs)):
        network.partial_fit(train, train_target, classes=[0, 1])
        context.record({"loss": network.loss_}, step=epoch)
    accuracy = network.score(test, test_target)
    assert accuracy > 0.5, "worse than guessing"
    return {"accuracy": accuracy, "loss": network.loss_}
