"""Verification figures on scores small enough to work out by hand."""

import numpy as np
import pytest

from oneshot.evaluation.verification import (
    all_pairs_thresholds,
    best_threshold,
    cosine,
    equal_error_rate,
    fold_accuracies,
    missed,
    roc,
    tar_at,
    undecided,
    verify,
)
from oneshot.gallery.thresholds import threshold_at_far

NAN = np.nan


def folds(
    genuine: list[float], impostors: list[float], count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same scores in each of `count` folds."""
    scores = np.tile(np.array(genuine + impostors), count)
    same = np.tile(np.arange(len(genuine) + len(impostors)) < len(genuine), count)
    return scores, same, np.repeat(np.arange(count), len(genuine) + len(impostors))


def test_cosine_is_row_by_row_and_nan_where_a_face_is_missing() -> None:
    first = np.array([[1, 0], [0.6, 0.8], [NAN, NAN]])
    second = np.array([[0, 1], [0.6, 0.8], [1, 0]])
    assert np.allclose(cosine(first, second), [0, 1, NAN], equal_nan=True)


def test_an_undecided_face_is_like_nobody_and_not_missed() -> None:
    rows = np.array([[0.0, 0], [NAN, NAN], [0.6, 0.8]])
    assert cosine(rows[[0, 0]], rows[[2, 0]]).tolist() == [0, 0]
    assert undecided(rows).tolist() == [True, False, False]
    assert missed(rows).tolist() == [False, True, False]


def test_threshold_at_far_accepts_exactly_the_allowed_number() -> None:
    impostors = np.arange(1000) / 1000
    for far, allowed in ((1e-2, 10), (1e-3, 1), (0.0, 0)):
        threshold = threshold_at_far(impostors, far)
        assert (impostors >= threshold).sum() == allowed
        assert (impostors >= threshold - 1e-9).sum() == allowed + 1  # and it is the lowest such


def test_threshold_at_far_of_3000_at_1e_3_is_three() -> None:
    impostors = np.random.default_rng(0).normal(size=3000)
    assert (impostors >= threshold_at_far(impostors, 1e-3)).sum() == 3
    # 0.29 x 100 is 28.999999999999996 in floating point.
    assert (impostors[:100] >= threshold_at_far(impostors[:100], 0.29)).sum() == 29


def test_threshold_at_far_never_accepts_more_where_scores_are_equal() -> None:
    impostors = np.array([0.5] * 10 + [0.1] * 90)
    assert (impostors >= threshold_at_far(impostors, 0.05)).sum() == 0
    assert (impostors >= threshold_at_far(impostors, 0.1)).sum() == 10


def test_threshold_is_unknown_where_impostors_are_too_few() -> None:
    assert np.isnan(threshold_at_far(np.arange(99) / 99, 1e-2))
    assert np.isnan(threshold_at_far(np.empty(0), 0.0))


def test_missed_impostors_do_not_loosen_the_threshold() -> None:
    impostors = np.arange(100) / 100
    missed = np.concatenate((impostors, np.full(100, NAN)))
    assert threshold_at_far(missed, 1e-2) == threshold_at_far(impostors, 1e-2)


def test_tar_counts_a_missed_face_as_a_reject() -> None:
    assert tar_at(0.5, np.array([0.9, 0.5, 0.4, NAN])) == 0.5
    assert np.isnan(tar_at(NAN, np.array([0.9])))


def test_roc_ends_at_accept_all_and_accept_none() -> None:
    curve = roc(np.array([0.1, 0.6, 0.4, 0.9]), np.array([False, False, True, True]))
    assert curve.thresholds.tolist() == [0.1, 0.4, 0.6, 0.9, np.inf]
    assert curve.far.tolist() == [1, 0.5, 0.5, 0, 0]
    assert curve.tar.tolist() == [1, 1, 0.5, 0.5, 0]


def test_equal_error_rate_of_known_cases() -> None:
    same = np.array([True] * 4 + [False] * 4)
    # One genuine below one impostor: at 0.5 a quarter of each is wrong.
    assert equal_error_rate(np.array([0.9, 0.8, 0.7, 0.3, 0.5, 0.2, 0.1, 0.0]), same) == pytest.approx(0.25)
    assert equal_error_rate(np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.2, 0.1, 0.0]), same) == 0
    assert equal_error_rate(np.array([0.0, 0.1, 0.2, 0.3, 0.9, 0.8, 0.7, 0.6]), same) == 1
    # Every genuine pair missed: nothing that is accepted is right.
    assert equal_error_rate(np.array([NAN] * 4 + [0.5, 0.2, 0.1, 0.0]), same) == 1


def test_equal_error_rate_is_interpolated_where_the_curves_cross_between_scores() -> None:
    # From 0.4 to 0.5 false accepts fall from 1/2 to 0, false rejects rise from 1/3: they meet at 1/3.
    scores = np.array([0.3, 0.5, 0.6, 0.4, 0.1])
    assert equal_error_rate(scores, np.array([True] * 3 + [False] * 2)) == pytest.approx(1 / 3)


def test_best_threshold_lies_midway_and_ignores_missed_faces() -> None:
    scores = np.array([0.9, 0.7, 0.3, 0.1, NAN])
    assert best_threshold(scores, np.array([True, True, False, False, True])) == pytest.approx(0.5)
    assert best_threshold(np.array([0.9, 0.7]), np.array([True, True])) < 0.7
    assert best_threshold(np.array([0.2, 0.1]), np.array([False, False])) > 0.2


def test_best_threshold_is_never_between_equal_scores() -> None:
    scores, same = np.array([0.5, 0.5, 0.5, 0.2]), np.array([False, True, True, False])
    assert 0.2 < best_threshold(scores, same) < 0.5


def test_perfect_scores_are_100_percent() -> None:
    result = verify(*folds([0.8] * 30, [0.1] * 30, 10))
    assert (result.accuracy, result.std, result.eer) == (100, 0, 0)
    assert result.tar == {"1e-2": 100, "1e-3": pytest.approx(NAN, nan_ok=True), "0": 100}
    assert (result.missed_pairs, result.pairs) == (0, 600)


def test_each_fold_is_judged_with_the_threshold_of_the_others() -> None:
    # Each fold's own scores part perfectly, but far from where the other's do: 0.85 rejects all of the
    # second, 0.25 accepts all of the first.
    scores = np.array([0.9, 0.9, 0.8, 0.8, 0.3, 0.3, 0.2, 0.2])
    same = np.tile([True, True, False, False], 2)
    assert fold_accuracies(scores, same, np.repeat([0, 1], 4)).tolist() == [0.5, 0.5]


def test_a_missed_face_is_always_an_error_but_no_false_accept() -> None:
    scores, same, fold = folds([0.8] * 5, [0.1] * 5, 10)
    scores[np.flatnonzero(same)[:5]] = NAN  # all of fold 0's genuine pairs
    scores[np.flatnonzero(~same)[5:10]] = NAN  # all of fold 1's impostors
    result = verify(scores, same, fold, ("1e-1",))
    assert result.accuracy == pytest.approx(90)
    assert result.std == pytest.approx(100 * np.std([0.5, 0.5] + [1] * 8))
    assert result.missed_pairs == 10
    assert result.tar["1e-1"] == pytest.approx(90)
    assert 0.1 < result.threshold["1e-1"] < 0.8


def test_all_pairs_thresholds_agree_with_the_plain_definition() -> None:
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(700, 8)).astype(np.float32)  # more rows than one chunk
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    people = [f"p{i % 90}" for i in range(700)]
    # Neither a missed face nor ten undecided ones, alike to nobody, make strangers look rarer.
    with_missed = np.concatenate((rows, np.full((1, 8), NAN, np.float32), np.zeros((10, 8), np.float32)))
    scores = [rows[i] @ rows[j] for i in range(700) for j in range(i + 1, 700) if people[i] != people[j]]
    result = all_pairs_thresholds(with_missed, [*people, "missed", *"abcdefghij"], ("1e-2", "1e-3"))
    for far in ("1e-2", "1e-3"):
        # A matrix product and a dot product round differently, hence a pair more or less.
        allowed = int(float(far) * len(scores))
        assert abs((np.array(scores) >= result[far]).sum() - allowed) <= 1
