"""Thresholds for one's own people: false accept rates measured on a folder of their photos, with intervals.

Pairs that share a person are not independent, so the intervals come from drawing the people anew, not the
pairs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oneshot.gallery.thresholds import threshold_at_far
from oneshot.geometry import described, normalised
from oneshot.types import Floats

DRAWS = 200
"""Bootstrap samples; the interval is from their 2.5 % to their 97.5 %."""

ENOUGH = 30
"""False accepts that must have been seen for a rate to be known within about a third."""

BLOCK = 512

Interval = tuple[float, float]
Ints = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Rate:
    """What one false accept rate means on these people; NaN where it cannot be measured.

    Attributes:
        far: the rate asked for: of comparisons of two people (verification), or of searches for somebody who
            is not enrolled (identification).
        threshold: least cosine similarity.
        true_rate: the right ones accepted: TAR of pairs, DIR with rank 1 of searches.
        accepts: how many of the trials the rate allows to be accepted; under 30 it is uncertain, at 0 it
            cannot be measured.
        trials: comparisons, or searches, that should fail.
    """

    far: float
    threshold: float
    threshold_interval: Interval
    true_rate: float
    true_interval: Interval
    accepts: int
    trials: int

    @property
    def note(self) -> str:
        """Whether there are too few trials, and how many it would take; "" if there are enough."""
        if not self.accepts:
            return f"too few impostor trials: {self.trials:,}, it takes {math.ceil(1 / self.far):,}"
        if self.accepts < ENOUGH:
            return f"uncertain with {self.trials:,} impostor trials, better {math.ceil(ENOUGH / self.far):,}"
        return ""


def verification_rates(
    embeddings: Floats, people: Sequence[str], fars: Sequence[float], seed: int = 0
) -> list[Rate]:
    """Every photo compared with every other.

    Args:
        embeddings: (N, D) of unit length; a row of NaN or zeros is a photo without a face that could be
            described: pairs of the same person with it count as rejected, other pairs with it as no trial.
        people: (N,) names.
        fars: rates, each over 0 and below 1.
    """
    person, found = _numbered(people), described(embeddings)
    embeddings = np.where(found[:, None], embeddings, np.float32(np.nan))
    counts = np.bincount(person[found], minlength=person.max(initial=-1) + 1).astype(float)
    genuine, whose = _genuine(embeddings, person)
    trials = int(_pairs(counts))
    scores, first, second = _highest_impostors(
        np.ascontiguousarray(embeddings[found], np.float32), person[found], math.ceil(3 * max(fars) * trials)
    )
    draws = _draws(len(counts), seed)
    rates = []
    for far in fars:
        allowed = math.floor(far * trials + 1e-9)
        threshold = _tail_threshold(scores, np.ones(len(scores)), far * trials) if allowed else math.nan
        thresholds, accepted = [], []
        for drawn in draws if allowed else []:
            total = _pairs(counts * drawn)
            level = _tail_threshold(scores, (drawn[first] * drawn[second]).astype(float), far * total)
            thresholds.append(level)
            accepted.append(_share(genuine >= level, drawn[whose]))
        true_rate = math.nan if math.isnan(threshold) else _share(genuine >= threshold, np.ones(len(whose)))
        rates.append(
            Rate(far, threshold, _interval(thresholds), true_rate, _interval(accepted), allowed, trials)
        )
    return rates


def identification_rates(
    embeddings: Floats, people: Sequence[str], fars: Sequence[float], seed: int = 0
) -> list[Rate]:
    """Every photo searched for among everybody, its person enrolled by their other photos, and not enrolled.

    The true rate is DIR: the person comes first and reaches the threshold. Photos without a face (NaN) are
    not identified; people with one photo are only in the way of others. Arguments as in `verification_rates`.
    """
    person, found = _numbered(people), described(embeddings)
    embeddings = np.where(found[:, None], embeddings, np.float32(np.nan))
    sums = np.zeros((person.max(initial=-1) + 1, embeddings.shape[1]), np.float32)
    np.add.at(sums, person[found], embeddings[found])
    counts = np.bincount(person[found], minlength=len(sums))
    templates = normalised(sums)
    probes = np.flatnonzero(np.bincount(person, minlength=len(sums))[person] > 1)
    own, others = np.full(len(probes), np.nan), np.full(len(probes), np.nan)
    for start in range(0, len(probes), BLOCK):
        rows = probes[start : start + BLOCK]
        similar = embeddings[rows] @ templates.T
        similar[:, counts == 0] = -np.inf
        similar[np.arange(len(rows)), person[rows]] = -np.inf
        others[start : start + BLOCK] = similar.max(1)
        rest = sums[person[rows]] - embeddings[rows]
        own[start : start + BLOCK] = (embeddings[rows] * rest).sum(1) / np.linalg.norm(rest, axis=1).clip(
            1e-6
        )
    others[~np.isfinite(others)] = np.nan
    mated = np.where(own > np.nan_to_num(others, nan=-np.inf), own, -np.inf)  # not first: never identified
    mated[~(counts[person[probes]] > 1)] = -np.inf  # nobody is enrolled to be found
    order = np.argsort(-np.nan_to_num(others, nan=-np.inf))
    draws = [drawn[person[probes]] for drawn in _draws(len(sums), seed)]
    rates = []
    trials = int(np.isfinite(others).sum())
    for far in fars:
        allowed = math.floor(far * trials + 1e-9)
        threshold = threshold_at_far(others, far)
        thresholds, identified = [], []
        for drawn in draws if allowed else []:
            weights = (drawn * np.isfinite(others)).astype(float)
            level = _tail_threshold(others[order], weights[order], far * weights.sum())
            thresholds.append(level)
            identified.append(_share(mated >= level, drawn))
        true_rate = math.nan if math.isnan(threshold) else _share(mated >= threshold, np.ones(len(probes)))
        rates.append(
            Rate(far, threshold, _interval(thresholds), true_rate, _interval(identified), allowed, trials)
        )
    return rates


def _draws(people: int, seed: int) -> list[Ints]:
    """How often each of the people was drawn, as many draws with replacement as there are people."""
    rng = np.random.default_rng(seed)
    return [rng.multinomial(people, np.full(people, 1 / people)) for _ in range(DRAWS if people else 0)]


def _numbered(people: Sequence[str]) -> Ints:
    return np.unique(np.asarray(people, str), return_inverse=True)[1].astype(np.intp)


def _pairs(counts: NDArray[np.float64]) -> float:
    """How many pairs of different people there are, of so many photos each."""
    return float((counts.sum() ** 2 - (counts**2).sum()) / 2)


def _genuine(embeddings: Floats, person: Ints) -> tuple[NDArray[np.float64], Ints]:
    """Scores of all pairs of the same person, -inf where a face is missing, and whose they are."""
    scores, whose = [np.empty(0)], [np.empty(0, np.intp)]
    for one in np.unique(person):
        rows = embeddings[person == one]
        i, j = np.triu_indices(len(rows), 1)
        scores.append(np.nan_to_num((rows @ rows.T)[i, j].astype(np.float64), nan=-np.inf))
        whose.append(np.full(len(i), one))
    return np.concatenate(scores), np.concatenate(whose)


def _highest_impostors(rows: Floats, person: Ints, keep: int) -> tuple[Floats, Ints, Ints]:
    """The `keep` highest scores of pairs of different people, falling, and who the two are."""
    scores, first, second = np.empty(0, np.float32), np.empty(0, np.intp), np.empty(0, np.intp)
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK] @ rows[start:].T
        i, j = np.nonzero(person[start : start + BLOCK, None] != person[None, start:])
        i, j = i[i < j], j[i < j]
        scores = np.concatenate((scores, block[i, j]))
        first = np.concatenate((first, person[start + i]))
        second = np.concatenate((second, person[start + j]))
        if len(scores) > keep:
            best = np.argpartition(-scores, keep - 1)[:keep] if keep else np.empty(0, np.intp)
            scores, first, second = scores[best], first[best], second[best]
    order = np.argsort(-scores, kind="stable")
    return scores[order], first[order], second[order]


def _tail_threshold(scores: Floats, weights: NDArray[np.float64], allowed: float) -> float:
    """The lowest threshold that accepts at most the weight `allowed`; NaN if there is no weight at all."""
    if not weights.any():
        return math.nan
    over = np.cumsum(weights) > allowed + 1e-9
    if not over.any():
        return float(scores[-1])
    return float(np.nextafter(scores[int(over.argmax())], np.inf, dtype=scores.dtype))


def _share(accepted: NDArray[np.bool_], weights: NDArray[np.number]) -> float:
    total = float(weights.sum())
    return float((accepted * weights).sum()) / total if total else math.nan


def _interval(values: Sequence[float]) -> Interval:
    known = [v for v in values if not math.isnan(v)]
    if not known:
        return math.nan, math.nan
    low, high = np.percentile(known, (2.5, 97.5))
    return float(low), float(high)
