"""The attackers see what they should see and nothing more; the drops are those of design 5."""

from __future__ import annotations

import numpy as np
import pytest

from results import metrics

K = 10


def logits_for(labels: np.ndarray, accuracy: float, seed: int) -> np.ndarray:
    """Logits (n, K) of a classifier that is right on about `accuracy` of the images."""
    rng = np.random.default_rng(seed)
    said = np.where(rng.random(len(labels)) < accuracy, labels, rng.integers(0, K, len(labels)))
    return rng.normal(size=(len(labels), K)) + 6 * np.eye(K)[said]


@pytest.fixture
def labels() -> tuple[np.ndarray, np.ndarray]:
    """The attacker's 200 and the 1,000 scored ones."""
    rng = np.random.default_rng(0)
    return rng.permutation(np.repeat(np.arange(K), 20)), rng.permutation(np.repeat(np.arange(K), 100))


def test_confusion_has_true_classes_in_rows() -> None:
    assert metrics.confusion([0, 0, 1, 2], [0, 1, 1, 0], 3).tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize(("labels", "predicted"), [([0, 1], [0]), ([0, 3], [0, 0]), ([0, 1], [0, -1])])
def test_confusion_refuses_what_is_no_label(labels: list[int], predicted: list[int]) -> None:
    with pytest.raises(ValueError, match="labels"):
        metrics.confusion(labels, predicted, 3)


def test_balanced_accuracy_is_the_mean_recall_of_the_classes_that_occur() -> None:
    assert metrics.balanced([[90, 10, 0], [5, 5, 0], [0, 0, 0]]) == pytest.approx((0.9 + 0.5) / 2)
    assert np.isnan(metrics.balanced(np.zeros((3, 3))))


def test_constant_answers_are_worth_chance_however_uneven_the_classes() -> None:
    labels = [0] * 97 + [1, 2, 3]
    assert metrics.balanced(metrics.confusion(labels, [0] * 100, 4)) == 0.25


def test_permuted_labels_hide_nothing_from_matching(labels: tuple[np.ndarray, np.ndarray]) -> None:
    known, scored = labels
    rename = np.random.default_rng(1).permutation(K)
    fit, out = (logits_for(y, 0.8, seed).argmax(1) for seed, y in enumerate(labels))
    before = metrics.balanced(metrics.confusion(scored, out, K))
    assert metrics.balanced(metrics.confusion(scored, rename[out], K)) < 0.2
    assert metrics.matched(rename[fit], known, rename[out], scored, K) == pytest.approx(before, abs=1e-12)


def test_matching_does_not_reward_a_random_guesser(labels: tuple[np.ndarray, np.ndarray]) -> None:
    known, scored = labels
    rng = np.random.default_rng(2)
    worth, cheating = [], []
    for _ in range(200):
        fit, out = rng.integers(0, K, len(known)), rng.integers(0, K, len(scored))
        worth.append(metrics.matched(fit, known, out, scored, K))
        cheating.append(metrics.matched(out, scored, out, scored, K))
    assert np.mean(worth) == pytest.approx(1 / K, abs=3 * np.std(worth) / np.sqrt(200))
    assert np.mean(cheating) > 1.2 / K  # what it would be, fitted on the images it is scored on


def test_random_answers_of_a_gate_decode_to_chance(labels: tuple[np.ndarray, np.ndarray]) -> None:
    known, scored = labels
    worth = [
        metrics.decoded(logits_for(known, 0, s), known, logits_for(scored, 0, 1000 + s), scored) for s in range(20)
    ]
    assert np.mean(worth) == pytest.approx(1 / K, abs=0.01)


def test_knowledge_left_in_the_logits_is_decoded_whatever_argmax_says(labels: tuple[np.ndarray, np.ndarray]) -> None:
    known, scored = labels
    fit, out = (1e-3 * logits_for(y, 0.9, s) for s, y in enumerate(labels))
    fit[:, 4] += 100  # argmax is class 4 on every image
    out[:, 4] += 100
    assert metrics.matched(fit.argmax(1), known, out.argmax(1), scored, K) == pytest.approx(1 / K)
    assert metrics.decoded(fit, known, out, scored) > 0.8


def test_decoding_is_deterministic(labels: tuple[np.ndarray, np.ndarray]) -> None:
    known, scored = labels
    fit, out = (logits_for(y, 0.5, s) for s, y in enumerate(labels))
    first = metrics.decoded(fit, known, out, scored)
    assert all(metrics.decoded(fit, known, out, scored) == first for _ in range(3))


def test_decoding_survives_logits_that_are_no_numbers(labels: tuple[np.ndarray, np.ndarray]) -> None:
    known, scored = labels
    fit, out = (logits_for(y, 0.9, s) for s, y in enumerate(labels))
    for part in (fit, out):
        part[:, 0], part[:, 1] = np.nan, -np.inf
    assert 0.5 < metrics.decoded(fit, known, out, scored) < 1
    assert metrics.decoded(fit[:3], [2, 2, 2], out, scored) == pytest.approx(1 / K)


def test_drops() -> None:
    assert metrics.source_drop(0.9, 0.81) == pytest.approx(0.1)
    assert metrics.source_drop(0.5, 0.6) == pytest.approx(-0.2)
    assert metrics.source_drop(0.0, 0.1) is None
    assert metrics.target_drop(0.8, 0.2) == pytest.approx(0.75)
    assert metrics.st_d(0.01, 0.5) == pytest.approx(0.02)
    assert metrics.st_d(0.01, 0.0) is None
    assert metrics.st_d(0.01, -0.1) is None
    assert metrics.st_d(None, 0.5) is None


def test_target_removed_counts_from_chance_and_does_not_pay_for_anti_prediction() -> None:
    assert metrics.target_removed(0.7, 0.4, K) == pytest.approx(0.5)
    assert metrics.target_removed(0.7, 0.1, K) == pytest.approx(1.0)
    assert metrics.target_removed(0.7, 0.0, K) == pytest.approx(1.0)
    assert metrics.target_removed(0.7, 0.7, K) == pytest.approx(0.0)
    assert metrics.target_removed(0.7, 0.8, K) == pytest.approx(-1 / 6)
    assert metrics.target_removed(0.1, 0.0, K) is None
