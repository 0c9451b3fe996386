"""Accuracy, intervals, recall and confusion against hand-counted and published numbers."""

import numpy as np
import pytest
from scipy.stats import binomtest

from kwslib import evaluation
from kwslib.evaluation import EvaluationError

LABELS = ("yes", "no", "unknown")
TRUE = ["yes", "yes", "yes", "no", "no", "unknown"]
PREDICTED = ["yes", "yes", "no", "no", "unknown", "unknown"]


@pytest.mark.parametrize("correct, n", [(0, 1), (1, 1), (0, 30), (15, 30), (29, 30), (870, 1000), (1000, 1000)])
def test_wilson_interval_equals_scipy(correct, n):
    expected = binomtest(correct, n).proportion_ci(0.95, method="wilson")
    assert evaluation.wilson_interval(correct, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_interval_known_value_and_bounds():
    # Wilson's own formula by hand: 45 of 50 at z = 1.959964.
    assert evaluation.wilson_interval(45, 50) == pytest.approx((0.7864, 0.9565), abs=5e-5)
    assert evaluation.wilson_interval(0, 50)[0] == 0.0
    assert evaluation.wilson_interval(50, 50)[1] == 1.0


@pytest.mark.parametrize("correct, n", [(0, 0), (3, 2), (-1, 5)])
def test_wilson_interval_refuses_impossible_counts(correct, n):
    with pytest.raises(EvaluationError, match=f"{correct} correct of {n}"):
        evaluation.wilson_interval(correct, n)


def test_accuracy():
    scores = evaluation.accuracy(TRUE, PREDICTED)
    assert (scores["correct"], scores["n"], scores["accuracy"]) == (4, 6, 4 / 6)
    assert (scores["ci_low"], scores["ci_high"]) == evaluation.wilson_interval(4, 6)


def test_confusion_table_rows_are_true():
    table = evaluation.confusion_table(LABELS, TRUE, PREDICTED)
    assert table.to_numpy().tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert table.loc["no", "unknown"] == 1 and table.index.name == "true" and table.columns.name == "predicted"


def test_confusion_table_refuses_a_stranger():
    with pytest.raises(EvaluationError, match="'maybe' is not one of the model's"):
        evaluation.confusion_table(LABELS, TRUE, ["maybe", *PREDICTED[1:]])


def test_recall_table():
    table = evaluation.recall_table((*LABELS, "silence"), TRUE, PREDICTED).set_index("label")
    assert table.loc["yes", "recall"] == 2 / 3 and table.loc["yes", "n"] == 3
    assert tuple(table.loc["no", ["ci_low", "ci_high"]]) == evaluation.wilson_interval(1, 2)
    assert table.loc["silence", "n"] == 0 and np.isnan(table.loc["silence", "recall"])


@pytest.mark.parametrize("predicted", [PREDICTED[:-1], []])
def test_labels_must_pair_up(predicted):
    with pytest.raises(EvaluationError, match="equally long"):
        evaluation.accuracy(TRUE, predicted)
