"""Which cosine similarity is enough, for a false accept rate."""

from collections.abc import Mapping

import numpy as np

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
