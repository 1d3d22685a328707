"""VGGFace2-Pose, the protocol of SqueezeFacePoseNet's paper: 368 people, ten photos of each in three poses.

Templates hold one photo or five (the first and the second five of a pose), and are the mean of the photos'
descriptors. The trials are exactly those that Table 3 of arXiv:2007.08566 counts. The photos are those of
VGGFace2 (Cao et al. 2018), and its list: of each person ten frontal, ten three-quarter and ten profile ones.
"""

import csv
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from oneshot.errors import OneShotError
from oneshot.evaluation.data import require
from oneshot.evaluation.pose import PAIRS, POSES, Index, Measure, compared
from oneshot.evaluation.verification import chi_square, error_rates
from oneshot.types import AnyFloats

PHOTOS = 10
"""Of each person in each pose."""

IMPOSTORS = 100
"""How many of the people that follow each person is compared with."""


class PosePhotos(NamedTuple):
    """The photos, P people, in the list's order: frontal, three-quarter, profile, ten each."""

    paths: list[Path]  # 30 P
    boxes: NDArray[np.float32]  # (30 P, 4) x0 y0 x1 y1
    landmarks: NDArray[np.float32]  # (30 P, 5, 2)


def pose_photos(folder: Path) -> PosePhotos:
    """Read a VGGFace2 folder's lists: test_posetemp_imglist.txt, loose_bb_test.csv, loose_landmark_test.csv.

    They may lie in the folder, in its meta/ or in its bb_landmark/; the photos lie in its test/.

    Raises:
        OneShotError: a list is missing, or does not go with the others.
    """
    listed = _list(folder, "test_posetemp_imglist.txt")
    names = listed.read_text(encoding="utf-8").split()
    people = {names[i].split("/")[0] for i in range(0, len(names), 3 * PHOTOS)}
    if not names or len(names) != 3 * PHOTOS * len(people):
        raise OneShotError(f"{listed}: does not list 30 photos of each person; fetch it again")
    boxes = _rows(_list(folder, "loose_bb_test.csv"), names)
    boxes[:, 2:] += boxes[:, :2]
    landmarks = _rows(_list(folder, "loose_landmark_test.csv"), names).reshape(-1, 5, 2)
    return PosePhotos([folder / "test" / name for name in names], boxes, landmarks)


def _list(folder: Path, name: str) -> Path:
    places = [folder / part / name for part in ("", "meta", "bb_landmark")]
    return require(next((path for path in places if path.is_file()), places[0]))


def _rows(path: Path, names: Sequence[str]) -> NDArray[np.float32]:
    """The numbers behind each photo's name, in the order asked for."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = {row[0]: row[1:] for row in csv.reader(file) if row}
    try:
        return np.array([rows[name.removesuffix(".jpg")] for name in names], np.float32)
    except (KeyError, ValueError) as error:
        raise OneShotError(
            f"{path}: does not describe each photo of the list ({error}); fetch it again"
        ) from None


def templates(descriptors: AnyFloats, size: int) -> AnyFloats:
    """Means of `size` photos, those that were found: (P, 3, 10, D) to (P, 3, 10 / size, D)."""
    people, poses, photos, width = descriptors.shape
    groups = descriptors.reshape(people, poses, photos // size, size, width)
    there = ~np.isnan(groups).any(-1, keepdims=True)
    count = there.sum(-2)
    total = np.where(there, groups, 0).sum(-2)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def trials(people: int, each: int, first: int, second: int) -> tuple[Index, Index, NDArray[np.bool_]]:
    """The templates compared, as positions in (people, 3 poses, `each`) counted through, and who is the same.

    Genuine: within a pose every two templates of a person, once; between poses every template with every one.
    Impostors: each person's first template in pose `first` with the second template, in pose `second`, of the
    next 100 people, the first following the last.
    """
    ones = np.arange(each)
    within = np.array(list(itertools.combinations(ones, 2)), np.int64).reshape(-1, 2)
    across = np.array(list(itertools.product(ones, ones)), np.int64)
    a, b = (within if first == second else across).T
    who = np.arange(people)[:, None]
    genuine = [((who * 3 + pose) * each + t).ravel() for pose, t in ((first, a), (second, b))]
    after = (who + np.arange(1, IMPOSTORS + 1)) % people
    enrolled = np.repeat((who * 3 + first) * each, IMPOSTORS)
    query = ((after * 3 + second) * each + 1).ravel()
    left, right = np.concatenate((genuine[0], enrolled)), np.concatenate((genuine[1], query))
    return left, right, np.arange(len(left)) < len(genuine[0])


def figures(
    descriptors: AnyFloats, sizes: Sequence[int] = (1, 5), measure: Measure = chi_square
) -> dict[str, Any]:
    """Tables 3 and 4: error rates in percent and trials, by template size and pair of poses.

    descriptors: (30 P, D) in the order of `PosePhotos`; NaN where no face was found.
    """
    result: dict[str, Any] = {"missed": int(np.isnan(descriptors).any(1).sum()), "images": len(descriptors)}
    for size in sizes:
        scored = pose_scores(descriptors, size, measure)
        result[str(size)] = {pair: error_rates(scores, same) for pair, (scores, same) in scored.items()}
    return result


def pose_scores(
    descriptors: AnyFloats, size: int, measure: Measure = chi_square
) -> dict[str, tuple[AnyFloats, NDArray[np.bool_]]]:
    """By pair of poses: the scores (K,) behind `figures`, and which are the same person's.

    Raises:
        OneShotError: there are too few people for the protocol.
    """
    grid = descriptors.reshape(-1, len(POSES), PHOTOS, descriptors.shape[1])
    if len(grid) <= IMPOSTORS:
        raise OneShotError(
            f"{len(grid)} people: the protocol needs more than {IMPOSTORS}; give the whole list"
        )
    rows = templates(grid, size).reshape(-1, descriptors.shape[1])
    result = {}
    for pair in PAIRS:
        a, b, same = trials(len(grid), PHOTOS // size, *(POSES.index(pose) for pose in pair))
        result["/".join(pair)] = compared(rows, rows, a, b, measure), same
    return result
