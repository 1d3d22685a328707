"""One face enrolled under two names: found when the second is enrolled."""

import numpy as np

from oneshot.errors import OneShotError
from oneshot.gallery.enrolment import Enrolment
from oneshot.gallery.entries import Storage
from oneshot.types import Model

SAME_FACE = 0.9
"""A cosine that no two people have, for weights without measured thresholds."""


def without_doubles(
    storage: Storage, model: Model, sha: str, name: str, outcome: Enrolment, raising: bool
) -> Enrolment:
    """What is left of an enrolment without faces that others are enrolled with.

    Args:
        storage: where the others are.
        model: the network that described the faces; `sha` is its weights' sha256.
        raising: one such face is an error.

    Raises:
        OneShotError: nothing is; or there is one, and `raising`.
    """
    least = max(model.thresholds.values(), default=SAME_FACE)
    rows = np.array([photo.embedding for photo in outcome.used], np.float32)
    used, left_out = [], dict(outcome.left_out)
    for photo, match in zip(outcome.used, storage.search(sha, rows, top=2), strict=True):
        other = next((one for one in match.candidates if one.name != name), None)
        if other is None or other.similarity < least:
            used.append(photo)
            continue
        why = f"already enrolled as {other.name}, similarity {other.similarity:.2f}"
        if raising:
            raise OneShotError(f"{photo.label}: {why}")
        left_out[photo.label] = why
    if not used:
        reasons = "; ".join(f"{label}: {why}" for label, why in left_out.items())
        raise OneShotError(f"{name}: none of the photos can be enrolled ({reasons})")
    return Enrolment(used, left_out)
