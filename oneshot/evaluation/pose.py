"""Recognition across poses: templates of one or several images, compared within a pose and between poses.

After the protocol of SqueezeFacePoseNet's paper (templates of 1 and of 5 images, same pose and cross pose),
on videos: frames of one video look alike whoever recognises them, so a person's videos are split into two
halves, and a comparison always takes one template from each. It is fully determined by the records.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oneshot.evaluation.verification import cosine, equal_error_rate

POSES = ("frontal", "three_quarter", "profile")
Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Template:
    """Images of one person in one pose, all from the same half of the person's videos."""

    person: str
    pose: str
    half: int
    images: tuple[int, ...]


def templates(records: Sequence[Mapping[str, Any]], size: int) -> list[Template]:
    """Every person's images in each pose and half, in groups of at most `size`, as even as they can be.

    records: `person`, `video`, `pose` of each image. Few people have five profile images in one half, so a
    group of five may be smaller; `pose_figures` reports the mean.
    """
    videos: dict[str, set[int]] = {}
    for record in records:
        videos.setdefault(record["person"], set()).add(record["video"])
    # First, third, … video of a person: half 0; second, fourth, …: half 1.
    half = {(who, v): i % 2 for who, seen in videos.items() for i, v in enumerate(sorted(seen))}
    groups: dict[tuple[str, str, int], list[int]] = {}
    for i, record in enumerate(records):
        who = record["person"]
        groups.setdefault((who, record["pose"], half[who, record["video"]]), []).append(i)
    return [
        Template(*key, tuple(part.tolist()))
        for key, images in sorted(groups.items())
        for part in np.array_split(np.array(images), -(-len(images) // size))
    ]


def means(chosen: Sequence[Template], embeddings: Floats) -> Floats:
    """(T, D): mean of the embeddings (N, D) that were found, normalised; NaN if none of a template's was."""
    rows = np.full((len(chosen), embeddings.shape[1]), np.nan, np.float32)
    for row, template in zip(rows, chosen, strict=True):
        images = embeddings[list(template.images)]
        images = images[~np.isnan(images).any(1)]
        if len(images):
            mean = images.mean(0)
            row[:] = mean / np.linalg.norm(mean)
    return rows


def trials(
    chosen: Sequence[Template], first: str, second: str
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Indices (K,), (K,) of the templates compared, and whether they are the same person.

    Genuine: every template of a person in pose `first` with every one in pose `second` from the other half
    of the videos. Impostors: a person's first template of half 0 in `first` with everyone else's first of
    half 1 in `second`.
    """
    place: dict[tuple[str, str, int], list[int]] = {}
    for i, template in enumerate(chosen):
        place.setdefault((template.person, template.pose, template.half), []).append(i)
    people = sorted({template.person for template in chosen})
    halves = [(0, 1)] if first == second else [(0, 1), (1, 0)]
    genuine = [
        pair
        for who in people
        for a, b in halves
        for pair in itertools.product(place.get((who, first, a), []), place.get((who, second, b), []))
    ]
    ones = [place[who, first, 0][0] for who in people if (who, first, 0) in place]
    others = [place[who, second, 1][0] for who in people if (who, second, 1) in place]
    impostors = [(a, b) for a in ones for b in others if chosen[a].person != chosen[b].person]
    index = np.array(genuine + impostors, np.int64).reshape(-1, 2)
    return index[:, 0], index[:, 1], np.arange(len(index)) < len(genuine)


def pose_figures(
    records: Sequence[Mapping[str, Any]], embeddings: Floats, sizes: Sequence[int] = (1, 5)
) -> dict[str, Any]:
    """EER in percent by template size and pair of poses ("frontal/profile"), with the number of trials.

    embeddings: (N, D), row i of record i, NaN where no face was found: a same-person trial is then a reject.
    """
    result: dict[str, Any] = {"missed": int(np.isnan(embeddings).any(1).sum()), "images": len(records)}
    for size in sizes:
        chosen = templates(records, size)
        rows = means(chosen, embeddings)
        result[str(size)] = {"mean_images": len(records) / max(len(chosen), 1)}
        for first, second in itertools.combinations_with_replacement(POSES, 2):
            a, b, same = trials(chosen, first, second)
            result[str(size)][f"{first}/{second}"] = {
                "eer": 100 * equal_error_rate(cosine(rows[a], rows[b]), same),
                "genuine": int(same.sum()),
                "impostor": int((~same).sum()),
            }
    return result
