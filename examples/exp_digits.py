"""Compare classifiers on two data sets, with and without preprocessing.

Classifiers are classes, preprocessing steps are objects, data sets are functions: any value can be
a parameter. Run with ``pytest examples/exp_digits.py -n auto``.
"""

import pytest
from sklearn.datasets import load_digits, load_wine
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler
from sklearn.svm import SVC

from pytest_memento import Config, Context


@pytest.fixture
def matrix():
    return {
        "parameters": {
            "model": [SVC, Perceptron, LogisticRegression],
            "preprocessing": [
                pytest.param(FunctionTransformer(), id="none"),
                StandardScaler(),
                MinMaxScaler(),
            ],
            "dataset": [load_digits, load_wine],
        },
        "settings": {"n_fold": 5},
        # Without scaling it does not converge.
        "exclude": [{"model": LogisticRegression, "preprocessing": FunctionTransformer()}],
    }


def experiment(context: Context, config: Config):
    data = config.dataset()
    pipeline = make_pipeline(config.preprocessing, config.model())
    scores = cross_val_score(pipeline, data.data, data.target, cv=config.settings.n_fold)
    for fold, score in enumerate(scores):
        context.record({"accuracy": (fold, score)})
    return scores.mean()
