"""Closed and open set on a few people whose answers can be counted by hand."""

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from oneshot.evaluation import accuracy
from oneshot.evaluation.identification import (
    best_matches,
    boxed_by_people,
    identification_figures,
    split,
    templates,
)
from oneshot.evaluation.people import Photo
from oneshot.evaluation.verification import euclidean
from oneshot.types import Faces

PEOPLE = ["Ann"] * 4 + ["Bob"] * 5 + ["Cem"] * 3 + ["Dee", "Eva"]
"""Two with enough photos, one between, two strangers."""


def embeddings() -> np.ndarray:
    """Ann points along x, Bob along y, the others along z."""
    axes = {"Ann": 0, "Bob": 1}
    return np.eye(3, dtype=np.float32)[[axes.get(name, 2) for name in PEOPLE]]


def test_split_enrols_the_first_photos_of_those_who_have_enough() -> None:
    parts = split(PEOPLE, enrol=3)
    assert parts.enrolled == [[0, 1, 2], [4, 5, 6]]
    assert parts.query.tolist() == [3, 7, 8] and parts.who.tolist() == [0, 1, 1]
    assert parts.strangers.tolist() == [12, 13]
    assert split(PEOPLE, enrol=1).query.tolist() == [1, 2, 3, 5, 6, 7, 8]
    held = split(PEOPLE[:9], enrol=1, hold_out=2)  # Bob, the second, is a stranger in all his photos
    assert held.enrolled == [[0]] and held.strangers.tolist() == [4, 5, 6, 7, 8]
    assert set(held.who.tolist()) == {0}


def test_templates_are_means_of_what_was_found() -> None:
    rows = np.array([[1, 0], [np.nan, np.nan], [0, 1], [np.nan, np.nan]])
    known = templates(rows, [[0, 1, 2], [3]])
    assert known[0].tolist() == [0.5, 0.5] and np.isnan(known[1]).all()
    best, similarity = best_matches(known, np.array([[1.0, 1], [np.nan, np.nan]]))
    assert best.tolist() == [0, -1] and similarity[0] == pytest.approx(1) and np.isnan(similarity[1])


def test_the_measure_decides_who_is_nearest() -> None:
    known, query = np.array([[10.0, 1], [1, 1]]), np.array([[1.0, 0.1]])
    assert best_matches(known, query)[0].tolist() == [0]
    assert best_matches(known, query, euclidean)[0].tolist() == [1]


def test_figures_of_a_perfect_network_and_of_one_with_an_error() -> None:
    people = PEOPLE + [f"S{i}" for i in range(100)]
    rows = np.concatenate((embeddings(), np.eye(3, dtype=np.float32)[[2] * 100]))
    result = identification_figures(rows, people, enrol=1)
    assert (result["closed_set"], result["dir"]["1e-2"]) == (100, 100)
    assert np.isnan(result["dir"]["1e-3"])  # 102 strangers cannot show one in a thousand
    assert [result[k] for k in ("people", "queries", "strangers")] == [2, 7, 102]
    rows[3] = [0, 1, 0]  # Ann taken for Bob
    rows[8] = np.nan  # Bob not found
    result = identification_figures(rows, people, enrol=1)
    assert result["closed_set"] == pytest.approx(100 * 5 / 7)
    assert result["dir"]["1e-2"] == pytest.approx(100 * 5 / 7)
    assert (result["missed_queries"], result["missed_enrolled"]) == (1, 0)


def test_a_stranger_who_looks_like_someone_raises_the_threshold() -> None:
    people = PEOPLE + [f"S{i}" for i in range(198)]
    rows = np.concatenate((embeddings(), np.eye(3, dtype=np.float32)[[2] * 198]))
    rows[1:4] = [0.8, 0, 0.6]  # Ann's queries are 0.8 alike
    rows[20:22] = [0.9, 0.1, 0]  # two of 200 strangers are allowed at 1 %, and a third is not
    assert identification_figures(rows, people, enrol=1)["dir"]["1e-2"] == 100
    rows[22] = [0.9, 0.1, 0]
    result = identification_figures(rows, people, enrol=1)
    assert result["closed_set"] == 100
    assert result["dir"]["1e-2"] == pytest.approx(100 * 4 / 7)  # Bob's only


def test_scenes_boxed_by_people() -> None:
    images = [{"id": i, "source": source} for i, source in enumerate(("web", "mask", "ilc"))]
    labels = [{"id": i, "image_id": i} for i in range(3)]
    kept = boxed_by_people({"images": images, "annotations": labels, "info": "x"})
    assert [image["id"] for image in kept["images"]] == [label["image_id"] for label in kept["annotations"]]
    assert [image["id"] for image in kept["images"]] == [1, 2] and kept["info"] == "x"


class Colours:
    """Finds a face in the middle of a picture; who it is stands in its brightness, and black is nobody."""

    def __call__(self, image: np.ndarray) -> Faces:
        value = int(image[20, 20, 0]) // 40
        if value == 0:
            return Faces.empty(4)
        box, points = np.array([[10, 10, 30, 30]]), np.full((1, 5, 2), 20)
        return Faces(box, np.array([-0.5]), points, np.eye(4)[[value - 1]])  # type: ignore[arg-type]


def write_tar(path: Path, images: dict[str, int]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, value in images.items():
            pixels = np.full((40, 40, 3), value, np.uint8)
            data = cv2.imencode(".webp", pixels, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def quietly(photos: Iterable[Any], count: int) -> Iterable[Any]:
    assert count > 0
    return photos


def test_identification_reads_lfws_folders(tmp_path: Path) -> None:
    shown = {"Ann": (40, 40, 40, 40), "Bob": (80, 80, 0, 80), "Cem": (120,)}
    photos = {f"{who}/{who}_{i}.webp": v for who, values in shown.items() for i, v in enumerate(values)}
    write_tar(tmp_path / "lfw.tar", photos)
    people, images = accuracy.lfw_people(tmp_path, 1)
    assert people == ["Ann"] * 4 + ["Bob"] * 4 + ["Cem"]
    result = accuracy.identification(Colours(), people, images, quietly)
    assert result["enrolled"]["1"]["closed_set"] == pytest.approx(100 * 5 / 6)  # of Bob's three one is missed
    assert result["enrolled"]["3"]["closed_set"] == 100
    assert result["enrolled"]["3"]["missed_enrolled"] == 1
    assert (result["photos"], result["enrolled"]["1"]["strangers"]) == (9, 1)
    assert result["fps"] == pytest.approx(1000 / result["ms"])


def test_a_sets_own_boxes_are_judged(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    for name, value in (("a", 40), ("b", 0), ("c", 80)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((40, 40, 3), value, np.uint8))
    photos = [Photo("a.png", "a", (10, 10, 30, 35)), Photo("b.png", "b", (1, 2, 9, 9)), Photo("c.png", "c")]
    result = accuracy.set_boxes(Colours(), tmp_path, photos, 640, quietly)
    assert result == {"recall": 0.5, "mean_iou": pytest.approx(0.8), "scenes": 2}
    assert accuracy.set_boxes(Colours(), tmp_path, photos[2:], 640, quietly) == {}


def test_boxes_are_judged_on_what_people_boxed(tmp_path: Path) -> None:
    pytest.importorskip("pycocotools")
    import json

    write_tar(tmp_path / "scenes_eval.tar", {"a.webp": 40, "b.webp": 0, "c.webp": 0})
    size = {"width": 40, "height": 40}
    images = [
        {"id": i, "file_name": f"{name}.webp", "source": source, **size}
        for i, (name, source) in enumerate((("a", "mask"), ("b", "ilc"), ("c", "web")))
    ]
    labels = [{"id": i, "image_id": i, "bbox": [10, 10, 20, 25], "iscrowd": 0} for i in range(3)]
    (tmp_path / "scenes_eval.json").write_text(json.dumps({"images": images, "annotations": labels}))
    result = accuracy.boxes(Colours(), tmp_path, 640, 1, quietly)
    assert result == {"recall": 0.5, "mean_iou": pytest.approx(0.8), "scenes": 2}
