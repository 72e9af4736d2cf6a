"""The example of the Memento library: fit classifiers to data sets, keep the fitted ones."""

import pytest
from sklearn import datasets
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from pytest_memento import Config


@pytest.fixture
def matrix():
    return {
        "parameters": {
            "model": [SVC, Perceptron, LogisticRegression],
            "dataset": ["iris", "digits", "wine", "breast_cancer"],
        },
        "settings": {"regularization": 1e-1},
        "exclude": [{"model": SVC, "dataset": "breast_cancer"}],
    }


def fetch_dataset(name):
    return getattr(datasets, f"load_{name}")(return_X_y=True)


def experiment(config: Config):
    name = "alpha" if config.model is Perceptron else "C"
    classifier = config.model(**{name: config.settings.regularization})
    features, target = fetch_dataset(config.dataset)
    return make_pipeline(StandardScaler(), classifier).fit(features, target)
