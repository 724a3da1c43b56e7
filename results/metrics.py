"""What one number means: class-balanced accuracy, the attackers' accuracies, and the drops (design 5).

    python -m pytest tests/results/test_metrics.py

Accuracies are fractions in 0..1. A is before protection (the train cell), B after it (the protect cell).
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray


def confusion(labels: ArrayLike, predicted: ArrayLike, classes: int) -> NDArray[np.int64]:
    """Counts, (classes, classes): row = true class, column = predicted class.

    Raises ValueError where lengths differ or a label lies outside 0..classes-1.
    """
    true, answer = np.asarray(labels, dtype=np.int64), np.asarray(predicted, dtype=np.int64)
    if true.ndim != 1 or true.shape != answer.shape:
        raise ValueError(f"labels and predictions differ in shape: {true.shape}, {answer.shape}")
    for values in (true, answer):
        if values.size and (values.min() < 0 or values.max() >= classes):
            raise ValueError(f"labels lie in {values.min()}..{values.max()}, not in 0..{classes - 1}")
    return np.bincount(true * classes + answer, minlength=classes * classes).reshape(classes, classes)


def balanced(confusion: ArrayLike) -> float:
    """Class-balanced accuracy: the mean recall over the classes that occur. NaN without any image."""
    counts = np.asarray(confusion, dtype=np.float64)
    images = counts.sum(axis=1)
    present = images > 0
    return float((counts.diagonal()[present] / images[present]).mean()) if present.any() else float("nan")


def matched(
    fit_predicted: ArrayLike, fit_labels: ArrayLike, predicted: ArrayLike, labels: ArrayLike, classes: int
) -> float:
    """Balanced accuracy of an attacker who only renames answers: `target_matched`.

    The best one-to-one map answer -> class (Hungarian method on class-balanced counts) is fitted on the attacker's
    images and scored on others: fitted on the scored ones it would reward a random guesser with the luckiest map.
    """
    from scipy.optimize import linear_sum_assignment

    counts = confusion(fit_labels, fit_predicted, classes).astype(np.float64)
    recall = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # Among maps that explain the attacker's images equally well, the one that renames least.
    true, answer = linear_sum_assignment(recall + 1e-9 * np.eye(classes), maximize=True)
    rename = np.empty(classes, dtype=np.int64)
    rename[answer] = true
    return balanced(confusion(labels, rename[np.asarray(predicted, dtype=np.int64)], classes))


def decoded(fit_logits: ArrayLike, fit_labels: ArrayLike, logits: ArrayLike, labels: ArrayLike) -> float:
    """Balanced accuracy of an attacker who reads the logits: `target_decoded`.

    A logistic map (L2, C = 1) on logits standardised by the attacker's images, (n, K) -> K classes, fitted on those
    and scored on others. Deterministic. NaN or infinite logits are taken as 0 or a huge number: to the attacker they
    are one more signal.
    """
    from sklearn.linear_model import LogisticRegression

    true = np.asarray(labels, dtype=np.int64)
    known = np.asarray(fit_labels, dtype=np.int64)
    fit, scored = _tame(fit_logits), _tame(logits)
    mean, deviation = fit.mean(axis=0), fit.std(axis=0)
    deviation[deviation == 0] = 1.0
    if (known == known[0]).all():
        answer = np.full_like(true, known[0])
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # many classes for few images: so it is, with 65 of them
            probe = LogisticRegression(C=1.0, max_iter=1000).fit((fit - mean) / deviation, known)
        answer = probe.predict((scored - mean) / deviation)
    return balanced(confusion(true, answer, int(max(true.max(), known.max())) + 1))


def _tame(logits: ArrayLike) -> NDArray[np.float64]:
    return np.clip(np.nan_to_num(np.asarray(logits, dtype=np.float64), nan=0.0), -1e30, 1e30)


def source_drop(before: float, after: float) -> float | None:
    """(A_s - B_s) / A_s of plain accuracies; None where A_s is 0. Negative: the source got better."""
    return (before - after) / before if before > 0 else None


def target_drop(before: float, after: float) -> float | None:
    """(A_t - B_t) / A_t of plain accuracies; None where A_t is 0."""
    return source_drop(before, after)


def st_d(source: float | None, target: float | None) -> float | None:
    """source_drop / target_drop, as MAP prints it; None where a drop is undefined or target_drop <= 0."""
    return source / target if source is not None and target is not None and target > 0 else None


def target_removed(before: float | None, after: float | None, classes: int) -> float | None:
    """(A_t - max(B_t, 1/K)) / (A_t - 1/K) of balanced accuracies: the share of what could be removed that is gone.

    1: at chance or below (anti-prediction earns nothing more); 0: nothing gone; negative: the target got better.
    None where A_t <= 1/K: there was nothing to remove; and where one of them is not known.
    """
    chance = 1 / classes
    if before is None or after is None:
        return None
    return (before - max(after, chance)) / (before - chance) if before > chance else None
