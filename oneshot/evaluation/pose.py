"""Recognition across poses: templates of one or several images, compared within a pose and between poses.

After the protocol of SqueezeFacePoseNet's paper (templates of 1 and of 5 images, same pose and cross pose),
on videos: frames of one video look alike whoever recognises them, so a person's videos are split into two
halves, and a comparison always takes one template from each. It is fully determined by the records. The
paper's outlook (more images, mixed poses, one query against several enrolled images) is measured alike. Its
own protocol, on its own photos, is in `vggface2`.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oneshot.evaluation.verification import cosine, error_rates
from oneshot.types import AnyFloats

POSES = ("frontal", "three_quarter", "profile")
PAIRS = list(itertools.combinations_with_replacement(POSES, 2))
MIXED = "mixed"
"""The pose of a template that holds several."""

Index = NDArray[np.int64]
Records = Sequence[Mapping[str, Any]]
"""`person`, `video`, `pose` of each image."""

Measure = Callable[[AnyFloats, AnyFloats], AnyFloats]
"""Similarity of (K, D) and (K, D), row by row: `cosine`, `chi_square`."""


@dataclass(frozen=True, slots=True)
class Template:
    """Images of one person in one pose (or mixed), all from the same half of the person's videos."""

    person: str
    pose: str
    half: int
    images: tuple[int, ...]


def templates(records: Records, size: int, mixed: bool = False) -> list[Template]:
    """Every person's images in each pose and half, in groups of at most `size`, as even as they can be.

    Few people have five profile images in one half, so a group of five may be smaller; `pose_figures` reports
    the mean. `mixed` groups images across poses, taking turns, and calls their pose "mixed".
    """
    videos: dict[str, set[int]] = {}
    for record in records:
        videos.setdefault(record["person"], set()).add(record["video"])
    # First, third, … video of a person: half 0; second, fourth, …: half 1.
    half = {(who, v): i % 2 for who, seen in videos.items() for i, v in enumerate(sorted(seen))}
    groups: dict[tuple[str, int], dict[str, list[int]]] = {}
    for i, record in enumerate(records):
        key = record["person"], half[record["person"], record["video"]]
        groups.setdefault(key, {}).setdefault(record["pose"], []).append(i)
    result = []
    for (who, side), poses in sorted(groups.items()):
        kinds = {MIXED: _in_turns(poses)} if mixed else poses
        for pose, images in sorted(kinds.items()):
            parts = np.array_split(np.array(images), -(-len(images) // size))
            result += [Template(who, pose, side, tuple(part.tolist())) for part in parts]
    return result


def _in_turns(poses: Mapping[str, Sequence[int]]) -> list[int]:
    rows = itertools.zip_longest(*(poses[pose] for pose in sorted(poses)))
    return [image for row in rows for image in row if image is not None]


def means(chosen: Sequence[Template], embeddings: AnyFloats) -> AnyFloats:
    """(T, D): mean of the embeddings (N, D) that were found; NaN if none of a template's was."""
    rows = np.full((len(chosen), embeddings.shape[1]), np.nan, np.float32)
    for row, template in zip(rows, chosen, strict=True):
        images = embeddings[list(template.images)]
        images = images[~np.isnan(images).any(1)]
        if len(images):
            row[:] = images.mean(0)
    return rows


def trials(
    enrolled: Sequence[Template], queries: Sequence[Template], first: str, second: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Indices (K,) into `enrolled`, (K,) into `queries`, and whether they are the same person.

    Genuine: every template of a person enrolled in pose `first` with every query in pose `second` from the
    other half of the videos; once only where the two lists and poses are the same. Impostors: a person's
    first template of half 0 in `first` with everyone else's first of half 1 in `second`.
    """
    left, right = _places(enrolled), _places(queries)
    people = sorted({template.person for template in (*enrolled, *queries)})
    halves = [(0, 1)] if first == second and enrolled is queries else [(0, 1), (1, 0)]
    genuine = [
        pair
        for who in people
        for a, b in halves
        for pair in itertools.product(left.get((who, first, a), []), right.get((who, second, b), []))
    ]
    ones = [left[who, first, 0][0] for who in people if (who, first, 0) in left]
    others = [right[who, second, 1][0] for who in people if (who, second, 1) in right]
    impostors = [(a, b) for a in ones for b in others if enrolled[a].person != queries[b].person]
    index = np.array(genuine + impostors, np.int64).reshape(-1, 2)
    return index[:, 0], index[:, 1], np.arange(len(index)) < len(genuine)


def _places(chosen: Sequence[Template]) -> dict[tuple[str, str, int], list[int]]:
    place: dict[tuple[str, str, int], list[int]] = {}
    for i, template in enumerate(chosen):
        place.setdefault((template.person, template.pose, template.half), []).append(i)
    return place


def compared(first: AnyFloats, second: AnyFloats, a: Index, b: Index, measure: Measure) -> AnyFloats:
    """(K,) similarities of rows first[a] and second[b], a part at a time: K can be 73,600 rows of 1000."""
    parts = np.array_split(np.arange(len(a)), max(1, len(a) // 4096))
    return np.concatenate([measure(first[a[part]], second[b[part]]) for part in parts])


def pose_figures(
    records: Records, embeddings: AnyFloats, sizes: Sequence[int] = (1, 5), measure: Measure = cosine
) -> dict[str, Any]:
    """Error rates in percent by template size and pair of poses ("frontal/profile"), and numbers of trials.

    embeddings: (N, D), row i of record i, NaN where no face was found: a same-person trial is then a reject.
    """
    result: dict[str, Any] = {"missed": int(np.isnan(embeddings).any(1).sum()), "images": len(records)}
    for size in sizes:
        chosen = templates(records, size)
        result[str(size)] = {"mean_images": len(records) / max(len(chosen), 1)}
        result[str(size)] |= _figures(chosen, chosen, embeddings, PAIRS, measure)
    return result


def pose_scores(
    records: Records, embeddings: AnyFloats, size: int, measure: Measure = cosine
) -> dict[str, tuple[AnyFloats, NDArray[np.bool_]]]:
    """By pair of poses: the scores (K,) behind `pose_figures`, and which are the same person's."""
    chosen = templates(records, size)
    return _scores(chosen, chosen, embeddings, PAIRS, measure)


def outlook_figures(
    records: Records, embeddings: AnyFloats, size: int = 5, measure: Measure = cosine
) -> dict[str, Any]:
    """What the paper leaves for later, as `pose_figures` gives it; templates of `size` images.

    mixed: templates of several poses, with their like and with those of one pose. one_query: one image of
    each pose against enrolled templates of each pose, and against mixed ones.
    """
    one_pose, mixed, single = (
        templates(records, n, several) for n, several in ((size, False), (size, True), (1, False))
    )
    crossed = [(MIXED, pose) for pose in POSES]
    return {
        "mixed": _figures(mixed, mixed, embeddings, [(MIXED, MIXED)], measure)
        | _figures(mixed, one_pose, embeddings, crossed, measure),
        "one_query": _figures(one_pose, single, embeddings, list(itertools.product(POSES, POSES)), measure)
        | _figures(mixed, single, embeddings, crossed, measure),
    }


def _figures(
    enrolled: Sequence[Template],
    queries: Sequence[Template],
    embeddings: AnyFloats,
    pairs: Sequence[tuple[str, str]],
    measure: Measure,
) -> dict[str, Any]:
    scored = _scores(enrolled, queries, embeddings, pairs, measure)
    return {pair: error_rates(scores, same) for pair, (scores, same) in scored.items()}


def _scores(
    enrolled: Sequence[Template],
    queries: Sequence[Template],
    embeddings: AnyFloats,
    pairs: Sequence[tuple[str, str]],
    measure: Measure,
) -> dict[str, tuple[AnyFloats, NDArray[np.bool_]]]:
    first, second = means(enrolled, embeddings), means(queries, embeddings)
    result = {}
    for pair in pairs:
        a, b, same = trials(enrolled, queries, *pair)
        result["/".join(pair)] = compared(first, second, a, b, measure), same
    return result
