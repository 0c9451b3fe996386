"""How good a model is and how sure that is: accuracy, intervals, recall, confusion."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import ndtri


class EvaluationError(ValueError):
    """Labels, predictions or counts do not fit together; the message says what is needed."""


def wilson_interval(correct: int, n: int) -> tuple[float, float]:
    """Wilson score interval of a share, 95 %: `(low, high)` as fractions.

    `correct` out of `n` clips, `n` at least 1. Unlike the normal approximation it stays inside 0..1 and is honest
    near 0 and 1 (Wilson 1927, JASA 22; Brown, Cai and DasGupta 2001, Statistical Science 16).
    """
    if not (n >= 1 and 0 <= correct <= n):
        raise EvaluationError(f"{correct} correct of {n} clips: needed is 1 clip or more and 0 to n correct ones")
    z = ndtri(0.975)
    share = correct / n
    centre = share + z**2 / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low, high = (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)
    # At 0 and n correct the bound is exactly the share; rounding must not push it past.
    return (0.0 if correct == 0 else float(low)), (1.0 if correct == n else float(high))


def accuracy(true: Sequence[str], predicted: Sequence[str]) -> dict:
    """Share of equal labels with its 95 % Wilson interval: dict accuracy, ci_low, ci_high, correct, n."""
    true, predicted = _paired(true, predicted)
    correct, n = int((true == predicted).sum()), len(true)
    low, high = wilson_interval(correct, n)
    return {"accuracy": correct / n, "ci_low": low, "ci_high": high, "correct": correct, "n": n}


def confusion_table(labels: Sequence[str], true: Sequence[str], predicted: Sequence[str]) -> pd.DataFrame:
    """Counts of clips, a row a true label and a column a predicted one, both in the order of `labels`."""
    true, predicted = _paired(true, predicted)
    strangers = sorted((set(true) | set(predicted)) - set(labels))
    if strangers:
        raise EvaluationError(f"label {strangers[0]!r} is not one of the model's: {', '.join(labels)}")
    row, column = (pd.Categorical(values, categories=list(labels)).codes for values in (true, predicted))
    counts = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(counts, (row, column), 1)
    names = {"index": pd.Index(labels, name="true"), "columns": pd.Index(labels, name="predicted")}
    return pd.DataFrame(counts, **names)


def recall_table(labels: Sequence[str], true: Sequence[str], predicted: Sequence[str]) -> pd.DataFrame:
    """Recall of every label with its 95 % Wilson interval: columns label, n, recall, ci_low, ci_high.

    A label without clips has NaN in the last three columns.
    """
    counts = confusion_table(labels, true, predicted).to_numpy()
    rows = []
    for position, label in enumerate(labels):
        n, correct = int(counts[position].sum()), int(counts[position, position])
        numbers = (correct / n, *wilson_interval(correct, n)) if n else (np.nan,) * 3
        rows.append((label, n, *numbers))
    return pd.DataFrame(rows, columns=["label", "n", "recall", "ci_low", "ci_high"])


def _paired(true, predicted):
    true, predicted = np.asarray(true, object), np.asarray(predicted, object)
    if true.ndim != 1 or true.shape != predicted.shape or not len(true):
        raise EvaluationError(
            f"{true.shape} true and {predicted.shape} predicted labels: needed are two lists, equally long, not empty"
        )
    return true, predicted
