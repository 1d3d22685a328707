"""Which cosine similarity is enough, for a false accept rate."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from oneshot.errors import OneShotError

FAR = "1e-3"
"""The false accept rate whose threshold is used where none is given."""


def threshold_at(far: str | float, thresholds: Mapping[str, float]) -> float:
    """The cosine threshold for a false accept rate ("1e-3", "0.001" and 0.001 are the same one).

    Raises:
        OneShotError: it is not one of the rates measured; the message lists these.
    """
    for known, threshold in thresholds.items():
        try:
            if np.isclose(float(known), float(far), rtol=1e-6, atol=0):
                return float(threshold)
        except ValueError:
            break
    rates = ", ".join(sorted(thresholds, key=float, reverse=True)) or "none"
    raise OneShotError(
        f"far={far}: no threshold was measured for it; choose from {rates}, or give a threshold"
    )


def threshold_for_search(far: str | float, thresholds: Mapping[str, float], templates: int) -> float:
    """The cosine threshold at which a search of so many templates names a stranger at a rate of `far`.

    A stranger is compared with all of them, so that each comparison may err at far / templates only. Between
    the rates measured the threshold is interpolated over the rate's logarithm; below the least it goes on as
    it rose between the last two. docs/thresholds.md says how well that holds.

    Raises:
        OneShotError: as `threshold_at`.
    """
    one = threshold_at(far, thresholds)
    known = sorted((-np.log10(float(rate)), float(value)) for rate, value in thresholds.items())
    rate = -np.log10(float(far)) + np.log10(max(templates, 1))
    if len(known) < 2 or templates <= 1:
        return one
    (x0, y0), (x1, y1) = known[-2:]
    if rate <= x1:
        return float(np.interp(rate, [x for x, _ in known], [y for _, y in known]))
    return float(y1 + (rate - x1) * max(y1 - y0, 0.0) / (x1 - x0))


def threshold_at_far(impostors: NDArray[np.floating], far: float) -> float:
    """The lowest threshold that accepts at most the fraction `far` of the impostor scores; NaN = not a trial.

    NaN where there are too few impostors to see even one accept at that rate. `far` 0: above all of them.
    """
    scores = np.sort(impostors[~np.isnan(impostors)])[::-1]
    # The epsilon keeps 1e-3 x 3,000 = 3 from being floored to 2.
    allowed = int(np.floor(far * len(scores) + 1e-9))
    if len(scores) == 0 or (far > 0 and allowed == 0):
        return float("nan")
    if allowed >= len(scores):
        return float(scores[-1])
    return float(np.nextafter(scores[allowed], np.inf, dtype=scores.dtype))
