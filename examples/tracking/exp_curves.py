"""Train epoch by epoch; conftest.py passes the curves on to MLflow and TensorBoard."""

import numpy
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

matrix = {
    "parameters": {"alpha": [1e-4, 1e-1], "penalty": ["l1", "l2"]},
    "settings": {"epochs": 8},
}


def experiment(context, alpha, penalty, epochs):
    features, target = load_digits(return_X_y=True)
    train, test, train_target, test_target = train_test_split(features, target, random_state=0)
    model = SGDClassifier("log_loss", alpha=alpha, penalty=penalty, random_state=context.seed)
    for epoch in context.track(range(epochs)):
        model.partial_fit(train, train_target, numpy.unique(target))
        loss = log_loss(test_target, model.predict_proba(test))
        context.record({"loss": loss, "accuracy": model.score(test, test_target)}, step=epoch)
    return model.score(test, test_target)
