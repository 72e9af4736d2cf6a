"""A pipeline of three stages, each of which is given the results of the one before.

Data sets are prepared, models are fitted to them, and each model is looked at. An edit of one stage
runs it and those behind it again, and nothing else. Run with
``pytest examples/exp_pipeline.py -n auto``; ``--collect-only`` shows what would run, in order.
"""

import pytest
from sklearn import metrics
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

from pytest_memento import results_of

data_sets = {"parameters": {"features": [10, 40]}, "settings": {"rows": 400}}

models = {
    "parameters": {"data": results_of("::experiment_prepare"), "trees": [5, 20, 80]},
}

scores = {
    "parameters": {
        # Those of the large data set alone; all without `where`.
        "model": results_of("::experiment_train", where=lambda config: config.trees > 5),
        "metric": ["accuracy_score", "f1_score", "roc_auc_score"],
    },
}


@pytest.mark.memento(matrix=data_sets)
def experiment_prepare(context, features, rows):
    inputs, target = make_classification(rows, features, random_state=context.seed)
    return train_test_split(inputs, target, random_state=context.seed)


@pytest.mark.memento(matrix=models)
def experiment_train(context, data, trees):
    inputs, _, target, _ = data
    return RandomForestClassifier(trees, random_state=context.seed).fit(inputs, target)


@pytest.mark.memento(matrix=scores)
def experiment_evaluate(context, model, metric):
    # What the model was given itself: its data, of which it has not seen this part.
    _, inputs, _, target = context.inputs["model"].inputs["data"].value
    return getattr(metrics, metric)(target, model.predict(inputs))
