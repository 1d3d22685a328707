"""Rates against slow, obvious versions, and what too few pairs are called."""

import math

import numpy as np
import pytest

from oneshot.gallery.calibration import Rate, identification_rates, verification_rates


def crowd(people: int, photos: int, spread: float, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """`people` directions with `photos` noisy views each, (N, 16) of unit length."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(people, 1, 16))
    rows = (centres + spread * rng.normal(size=(people, photos, 16))).reshape(-1, 16).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows, [f"p{i}" for i in range(people) for _ in range(photos)]


def test_verification_equals_the_obvious_way() -> None:
    rows, names = crowd(40, 4, 0.6)
    rows[5] = np.nan  # no face in it
    with_zeros = np.nan_to_num(rows)  # a face in it that cannot be described
    genuine, impostors = [], []
    for i in range(len(rows)):
        for j in range(i + 1, len(rows)):
            score = float(rows[i] @ rows[j])
            if names[i] == names[j]:
                genuine.append(score)
            elif not math.isnan(score):
                impostors.append(score)
    assert verification_rates(with_zeros, names, [0.1, 0.01]) == verification_rates(rows, names, [0.1, 0.01])
    for rate in verification_rates(rows, names, [0.1, 0.01, 0.001]):
        accepted = sum(s >= rate.threshold for s in impostors)
        assert accepted == rate.accepts == int(rate.far * len(impostors)) > 0
        assert rate.trials == len(impostors)
        assert rate.true_rate == pytest.approx(sum(s >= rate.threshold for s in genuine) / len(genuine))
        low, high = rate.threshold_interval
        assert low <= rate.threshold <= high and high - low > 0.005
        assert 0 <= rate.true_interval[0] <= rate.true_rate <= rate.true_interval[1] <= 1


def test_identification_equals_the_obvious_way() -> None:
    rows, names = crowd(30, 3, 0.8, seed=1)
    names[-3:] = ["x", "y", "z"]  # three people with a single photo
    rows[4] = np.nan
    assert identification_rates(np.nan_to_num(rows), names, [0.1]) == identification_rates(rows, names, [0.1])

    def template(of: str, but: int) -> np.ndarray | None:
        mine = [rows[k] for k in range(len(rows)) if names[k] == of and k != but and not np.isnan(rows[k, 0])]
        return None if not mine else sum(mine) / np.linalg.norm(sum(mine))

    strangers, right = [], []
    for i, row in enumerate(rows):
        if names.count(names[i]) < 2:
            continue
        others = [float(row @ template(name, -1)) for name in set(names) - {names[i]}]
        if np.isnan(row[0]):
            right.append(-np.inf)
            continue
        own = template(names[i], i)
        strangers.append(max(others))
        right.append(float(row @ own) if own is not None and row @ own > max(others) else -np.inf)
    for rate in identification_rates(rows, names, [0.2, 0.05]):
        assert rate.trials == len(strangers)
        assert sum(s >= rate.threshold for s in strangers) == rate.accepts == int(rate.far * len(strangers))
        assert rate.true_rate == pytest.approx(np.mean(np.array(right) >= rate.threshold))
        assert 0 < rate.true_rate < 1
        assert rate.true_interval[0] <= rate.true_rate <= rate.true_interval[1]


def test_the_interval_holds_what_more_people_show() -> None:
    """Of 20 samples of 60 people, the interval contains the threshold of 1,000 people nearly always."""
    truth = verification_rates(*crowd(1000, 2, 0.5, seed=99), [0.01])[0].threshold
    inside = 0
    for seed in range(20):
        low, high = verification_rates(*crowd(60, 2, 0.5, seed=seed), [0.01])[0].threshold_interval
        inside += low <= truth <= high
    assert inside >= 16


def test_too_few_pairs_are_called_so() -> None:
    rows, names = crowd(5, 2, 0.3)  # 40 pairs of different people
    some, few, none = verification_rates(rows, names, [0.9, 0.1, 0.001])
    assert (some.accepts, some.note) == (36, "")
    assert (few.accepts, few.note) == (4, "uncertain with 40 impostor trials, better 300")
    assert (
        math.isnan(none.threshold) and math.isnan(none.true_rate) and math.isnan(none.threshold_interval[0])
    )
    assert none.note == "too few impostor trials: 40, it takes 1,000"
    (search,) = identification_rates(rows, names, [0.001])
    assert math.isnan(search.threshold) and search.note.startswith("too few impostor trials: 10")


def test_nobody_and_one_person() -> None:
    for count in (0, 1, 3):
        rows, names = np.ones((count, 4), np.float32) / 2, ["a"] * count
        for rate in (*verification_rates(rows, names, [0.1]), *identification_rates(rows, names, [0.1])):
            assert isinstance(rate, Rate) and math.isnan(rate.threshold) and rate.trials == 0
