"""Who each face is: the most similar person, if similar enough, of a good face, and once in a photo."""

import math
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real

import numpy as np

from oneshot.errors import OneShotError
from oneshot.gallery.enrolment import CANNOT_TELL
from oneshot.gallery.entries import Storage
from oneshot.gallery.quality import Quality, too_poor
from oneshot.geometry import described
from oneshot.types import Floats, Match


def search(
    storage: Storage, model: str, embeddings: Floats, threshold: float, name: str | None, top: int
) -> list[Match]:
    """`Storage.search` of whatever a caller may give; who is less alike than the threshold is nobody.

    Raises:
        OneShotError: embeddings of another shape or size, or no cosine for a threshold.
    """
    if not isinstance(threshold, Real) or math.isnan(threshold):
        raise OneShotError(f"threshold={threshold!r}: want a cosine from -1 to 1, such as 0.3")
    try:
        embeddings = np.asarray(embeddings, np.float32)
    except (TypeError, ValueError):
        what = type(embeddings).__name__
        raise OneShotError(f"want embeddings (N, D), got {what}; give Faces.embeddings") from None
    if embeddings.ndim != 2:
        raise OneShotError(f"want embeddings (N, D), got {embeddings.shape}; give Faces.embeddings")
    matches = [Match(None, -1.0)] * len(embeddings)
    if len(embeddings) and not embeddings.shape[1]:
        raise OneShotError("the faces are not described; call the model without embed=False")
    rows = np.flatnonzero(described(embeddings))  # the rest is like nobody
    if len(rows):
        found = storage.search(model, embeddings[rows], name, top)
        for i, match in zip(rows, found, strict=True):
            matches[i] = match if match.similarity >= threshold else replace(match, name=None)
    return matches


def told(matches: list[Match], embeddings: Floats, qualities: Sequence[Quality] | None) -> list[Match]:
    """Matches where nobody is named of whom one cannot tell."""
    if qualities is None:
        return matches
    if len(qualities) != len(matches):
        raise OneShotError(f"{len(qualities)} qualities for {len(matches)} faces; give one for each")
    known = described(np.asarray(embeddings, np.float32))
    reasons = [too_poor(q) if d else CANNOT_TELL for q, d in zip(qualities, known, strict=True)]
    return [
        replace(match, name=None, reason=why) if why else match
        for match, why in zip(matches, reasons, strict=True)
    ]


def one_each(matches: list[Match]) -> list[Match]:
    """Each name to the most similar of a photo's faces."""
    best: dict[str, int] = {}
    for i, match in enumerate(matches):
        if match.name is not None and match.similarity > matches[best.setdefault(match.name, i)].similarity:
            best[match.name] = i
    return [
        match
        if match.name is None or best[match.name] == i
        else replace(match, name=None, reason=f"another face in the photo is more like {match.name}")
        for i, match in enumerate(matches)
    ]
