"""Who of the people enrolled is it, or nobody: closed set and open set, as the seed's experiment asks.

Faces that were not found count against us: a photo without one is a query that is answered wrongly.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oneshot.evaluation.pose import Measure
from oneshot.evaluation.verification import cosine
from oneshot.gallery.thresholds import threshold_at_far
from oneshot.types import AnyFloats

FARS = ("1e-2", "1e-3")


@dataclass(frozen=True, slots=True)
class Split:
    """Positions of photos. Person k has the photos enrolled[k]; query[j] shows person who[j]."""

    enrolled: list[list[int]]
    query: NDArray[np.int64]
    who: NDArray[np.int64]
    strangers: NDArray[np.int64]


def split(people: Sequence[str], enrol: int, least: int = 4, hold_out: int = 0) -> Split:
    """Of everyone with `least` photos or more the first `enrol` are enrolled, the rest are queries.

    people: who is in each photo, in the photos' order. People with a single photo are the strangers; where a
    set has none of these, all photos of each `hold_out`-th person are.
    """
    photos: dict[str, list[int]] = {}
    for i, name in enumerate(people):
        photos.setdefault(name, []).append(i)
    enough = [rows for _, rows in sorted(photos.items()) if len(rows) >= least]
    left_out = enough[hold_out - 1 :: hold_out] if hold_out else []
    known = [rows for rows in enough if rows not in left_out]
    queries = [(i, who) for who, rows in enumerate(known) for i in rows[enrol:]]
    index = np.array(queries, np.int64).reshape(-1, 2)
    singles = [rows for _, rows in sorted(photos.items()) if len(rows) == 1]
    strangers = [i for rows in (*singles, *left_out) for i in rows]
    return Split([rows[:enrol] for rows in known], index[:, 0], index[:, 1], np.array(strangers, np.int64))


def templates(embeddings: AnyFloats, enrolled: Iterable[Sequence[int]]) -> AnyFloats:
    """(people, D): means of the embeddings (N, D) that were found; NaN where none was."""
    rows = []
    for photos in enrolled:
        found = embeddings[list(photos)]
        found = found[~np.isnan(found).any(1)]
        rows.append(found.mean(0) if len(found) else np.full(embeddings.shape[1], np.nan))
    return np.array(rows, np.float32).reshape(-1, embeddings.shape[1])


def best_matches(
    templates: AnyFloats, queries: AnyFloats, measure: Measure = cosine
) -> tuple[NDArray[np.int64], AnyFloats]:
    """The most similar person (Q,) of each query (Q, D), and the similarity; −1 and NaN where no face was."""
    best, similarity = np.full(len(queries), -1), np.full(len(queries), np.nan)
    for i, query in enumerate(queries):
        scores = measure(templates, np.broadcast_to(query, templates.shape))
        if not np.isnan(scores).all():
            best[i] = int(np.nanargmax(scores))
            similarity[i] = scores[best[i]]
    return best, similarity


def identification_figures(
    embeddings: AnyFloats, people: Sequence[str], enrol: int, measure: Measure = cosine, hold_out: int = 0
) -> dict[str, Any]:
    """Closed set: queries answered rightly. Open set: DIR, rank 1, at FARs over the strangers.

    DIR counts queries whose best match is right and reaches the threshold; a stranger in whose photo no face
    was found is no trial, so that missing faces cannot loosen the threshold. Percent; NaN where there are too
    few strangers to show a FAR.
    """
    parts = split(people, enrol, hold_out=hold_out)
    known = templates(embeddings, parts.enrolled)
    best, similarity = best_matches(known, embeddings[parts.query], measure)
    _, strange = best_matches(known, embeddings[parts.strangers], measure)
    right = best == parts.who
    rates: dict[str, float] = {}
    for far in FARS:
        limit = threshold_at_far(strange, float(far))
        rates[far] = float("nan") if np.isnan(limit) else 100 * float(np.mean(right & (similarity >= limit)))
    missed: NDArray[np.bool_] = np.asarray(np.isnan(embeddings).any(1))
    return {
        "closed_set": 100 * float(np.mean(right)) if len(right) else float("nan"),
        "dir": rates,
        "people": len(parts.enrolled),
        "queries": len(parts.query),
        "strangers": len(parts.strangers),
        "missed_enrolled": int(missed[[i for photos in parts.enrolled for i in photos]].sum()),
        "missed_queries": int(missed[parts.query].sum()),
    }


def boxed_by_people(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """The scenes whose boxes people drew (`mask` and `ilc`): no detector that is compared made them."""
    images = [image for image in dataset["images"] if image.get("source") in ("mask", "ilc")]
    ids = {image["id"] for image in images}
    labels = [label for label in dataset["annotations"] if label["image_id"] in ids]
    return {**dataset, "images": images, "annotations": labels}
