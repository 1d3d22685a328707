"""How well scores tell pairs of the same person from pairs of different people.

A score is a similarity, (P,) float, the greater the more alike; a pair is accepted when its score is at or
above the threshold.
NaN stands for a pair in which a face was not found, and counts against us wherever that is not flattering:

- accuracy: always an error, whoever is in the pair;
- TAR (and EER's false rejects): a same-person pair with a missed face is a reject;
- FAR: a different-person pair with a missed face is no false accept, and no trial either, so that missing
  faces can never loosen a threshold.

An embedding of zeros stands for a face that was found and not described, "cannot tell": its cosine to
anything is 0, below every threshold in use, so it is never a match; it is not missed either.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from oneshot.gallery.thresholds import threshold_at_far
from oneshot.types import AnyFloats

FARS = ("1e-2", "1e-3", "0")
"""What LFW's 3,000 impostor pairs can measure: at 1e-3 three of them are accepted, at 0 none."""


def missed(embeddings: AnyFloats) -> NDArray[np.bool_]:
    """(P,): which of (P, D) stand for photos in which no face was found."""
    return np.asarray(np.isnan(embeddings).any(1))


def undecided(embeddings: AnyFloats) -> NDArray[np.bool_]:
    """(P,): which of (P, D) stand for faces that were found and not described."""
    return np.asarray((embeddings == 0).all(1))


def cosine(first: AnyFloats, second: AnyFloats) -> AnyFloats:
    """(P, D), (P, D) of any length → (P,); NaN where either row is NaN (no face), 0 where one is zeros."""
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return np.einsum("pd,pd->p", first, second) / np.maximum(lengths, 1e-12)


def chi_square(first: AnyFloats, second: AnyFloats) -> AnyFloats:
    """Minus the χ² distance, sum of (a - b)² / (a + b): (P, D), (P, D), none negative → (P,), at most 0.

    The measure of SqueezeFacePoseNet's paper. Numbers that are 0 in both add nothing; NaN rows give NaN.
    """
    total = first + second
    shares = np.divide((first - second) ** 2, total, out=np.zeros_like(total), where=total != 0)
    return -shares.sum(1)


def euclidean(first: AnyFloats, second: AnyFloats) -> AnyFloats:
    """Minus the distance: (P, D), (P, D) → (P,), at most 0; NaN where either row is NaN. dlib's measure."""
    return -np.linalg.norm(first - second, axis=1)


def tar_at(threshold: float, genuine: AnyFloats) -> float:
    """Fraction of the same-person scores accepted; a missed face is a reject."""
    if np.isnan(threshold) or len(genuine) == 0:
        return float("nan")
    return float(np.mean(np.nan_to_num(genuine, nan=-np.inf) >= threshold))


class Roc(NamedTuple):
    """Rates at each threshold, (T,), thresholds rising: `far` and `tar` fall from accept-all to none."""

    thresholds: AnyFloats
    far: AnyFloats
    tar: AnyFloats


def roc(scores: AnyFloats, same: NDArray[np.bool_]) -> Roc:
    """The curve through every distinct score, closed by a threshold that accepts nothing."""
    genuine = np.sort(np.nan_to_num(scores[same], nan=-np.inf))
    impostors = np.sort(scores[~same][~np.isnan(scores[~same])])
    thresholds = np.append(np.unique(scores[~np.isnan(scores)]), np.inf)
    far = 1 - np.searchsorted(impostors, thresholds) / max(len(impostors), 1)
    tar = 1 - np.searchsorted(genuine, thresholds) / max(len(genuine), 1)
    return Roc(thresholds, far, tar)


def equal_error_rate(scores: AnyFloats, same: NDArray[np.bool_]) -> float:
    """Where false accepts are as frequent as false rejects, interpolated between neighbouring thresholds."""
    if same.all() or not same.any() or np.isnan(scores).all():
        return float("nan")
    _, far, tar = roc(scores, same)
    gap = far - (1 - tar)  # falls from at most 1 to -1
    after = int(np.argmax(gap <= 0))
    if after == 0:
        return float(1 - tar[0])  # even accepting every score rejects more than that: missed faces
    before = after - 1
    part = gap[before] / (gap[before] - gap[after])
    return float(far[before] + part * (far[after] - far[before]))


def best_threshold(scores: AnyFloats, same: NDArray[np.bool_]) -> float:
    """The threshold with the fewest errors; among equals the middle one. NaNs are left out."""
    seen = ~np.isnan(scores)
    order = np.argsort(scores[seen], kind="stable")
    scores, same = scores[seen][order], same[seen][order]
    if len(scores) == 0:
        return 0.0
    # Cut before element k: the k lowest scores are rejected. A cut between equal scores does not exist.
    errors = np.concatenate(([0], np.cumsum(same))) + np.concatenate((np.cumsum(~same[::-1])[::-1], [0]))
    cuts = np.concatenate(([True], scores[1:] > scores[:-1], [True]))
    best = np.flatnonzero(cuts & (errors == errors[cuts].min()))
    k = int(best[len(best) // 2])
    below = scores[k - 1] if k > 0 else scores[0] - 1e-3
    above = scores[k] if k < len(scores) else scores[-1] + 1e-3
    return float((below + above) / 2)


def fold_accuracies(scores: AnyFloats, same: NDArray[np.bool_], fold: NDArray[np.integer]) -> AnyFloats:
    """LFW's protocol: each fold is judged with the best threshold of all the others; (folds,) in 0..1."""
    accuracies = []
    for k in np.unique(fold):
        test = fold == k
        threshold = best_threshold(scores[~test], same[~test])
        right = (scores[test] >= threshold) == same[test]
        accuracies.append(float(np.mean(right & ~np.isnan(scores[test]))))
    return np.array(accuracies)


def error_rates(scores: AnyFloats, same: NDArray[np.bool_]) -> dict[str, Any]:
    """EER, and FRR at a FAR of 1 % and 0.1 %, in percent; the numbers of trials. NaN: too few to measure it.

    The figures of SqueezeFacePoseNet's paper.
    """
    limits = {far: threshold_at_far(scores[~same], float(far)) for far in ("1e-2", "1e-3")}
    return {
        "eer": 100 * equal_error_rate(scores, same),
        "frr": {far: 100 * (1 - tar_at(limit, scores[same])) for far, limit in limits.items()},
        "genuine": int(same.sum()),
        "impostor": int((~same).sum()),
    }


@dataclass(frozen=True, slots=True)
class Verification:
    """LFW's figures; accuracy, std (over folds, not of their mean), eer and tar in percent."""

    accuracy: float
    std: float
    eer: float
    tar: dict[str, float]  # by FAR
    threshold: dict[str, float]  # cosine, by FAR
    missed_pairs: int
    pairs: int


def verify(
    scores: AnyFloats, same: NDArray[np.bool_], fold: NDArray[np.integer], fars: Sequence[str] = FARS
) -> Verification:
    """All of it. A FAR that so few impostors cannot show has threshold and TAR NaN."""
    thresholds = {far: threshold_at_far(scores[~same], float(far)) for far in fars}
    accuracies = fold_accuracies(scores, same, fold)
    return Verification(
        accuracy=100 * float(accuracies.mean()),
        std=100 * float(accuracies.std()),
        eer=100 * equal_error_rate(scores, same),
        tar={far: 100 * tar_at(threshold, scores[same]) for far, threshold in thresholds.items()},
        threshold=thresholds,
        missed_pairs=int(np.isnan(scores).sum()),
        pairs=len(scores),
    )


def all_pairs_thresholds(
    embeddings: AnyFloats, people: Sequence[str], fars: Sequence[str] = ("1e-2", "1e-3", "1e-4", "1e-5")
) -> dict[str, float]:
    """Thresholds by FAR over every pair of photos (N, D) of different people; rows of NaN and of zeros are
    left out.

    N photos make about N²/2 pairs: 29 million for the photos of LFW's pairs, so that 1e-5 still means 290
    of them.
    """
    found = ~missed(embeddings) & ~undecided(embeddings)
    rows = np.ascontiguousarray(embeddings[found], np.float32)
    _, person = np.unique(np.asarray(people)[found], return_inverse=True)
    parts = []
    for start in range(0, len(rows), 512):
        scores = rows[start : start + 512] @ rows[start:].T
        i, j = np.arange(start, start + len(scores))[:, None], np.arange(start, len(rows))
        parts.append(scores[(i < j) & (person[start : start + 512, None] != person[start:])])
    impostors = np.concatenate(parts) if parts else np.empty(0, np.float32)
    return {far: threshold_at_far(impostors, float(far)) for far in fars}
