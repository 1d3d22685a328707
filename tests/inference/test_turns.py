"""Pictures looked at from all four sides: each face is taken from the view where it is upright."""

from pathlib import Path

import numpy as np
import pytest

from oneshot import OneShot, read_image
from oneshot.geometry import iou
from oneshot.inference.turns import of_all_sides, turned_back
from oneshot.types import Faces

PHOTO = Path(__file__).parents[2] / "docs" / "demo.png"
UP = np.array([[30, 40], [50, 40], [40, 50], [32, 60], [48, 60]], np.float32)


def _faces(score: float, points: np.ndarray = UP, embedding: float = 1.0) -> Faces:
    box = np.concatenate([points.min(0) - 10, points.max(0) + 10])
    return Faces(
        box[None].astype(np.float32), np.float32([score]), points[None], np.float32([[embedding, 0.0]])
    )


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_places_come_back_from_every_side(turns: int) -> None:
    picture = np.zeros((70, 90), np.uint8)
    picture[20:30, 55:75] = 1
    y, x = np.nonzero(np.rot90(picture, turns))
    found = np.float32([[x.min(), y.min(), x.max() + 1, y.max() + 1]])
    centre = found.reshape(1, 2, 2).mean(1, keepdims=True).repeat(5, 1)
    back = turned_back(
        Faces(found, np.ones(1, np.float32), centre, np.ones((1, 2), np.float32)), turns, (90, 70)
    )
    assert back.boxes.tolist() == [[55, 20, 75, 30]]
    assert back.landmarks[0, 0].tolist() == [65, 25]


def test_a_face_is_taken_from_the_view_where_it_is_upright_and_described() -> None:
    size = (100, 100)
    flipped = turned_back(_faces(0.9), 2, size)  # upside down, as the picture itself shows it
    none = _faces(0.5)[np.zeros(0, int)]
    (face,) = of_all_sides([flipped, none, _faces(0.6), none], size, 0.45, 10).scores
    assert face == np.float32(0.6)
    doubted = _faces(0.6, embedding=0.0)
    kept = of_all_sides([flipped, none, doubted, none], size, 0.45, 10)
    assert kept.scores.tolist() == [np.float32(0.9)]
    apart = of_all_sides([_faces(0.7), none, _faces(0.6), none], size, 0.45, 10)
    assert len(apart.scores) == 2 and len(of_all_sides([_faces(0.7), none, _faces(0.6), none], size, 0.45, 1))


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_photo_on_its_side_shows_the_same_people(turns: int) -> None:
    upright, every = OneShot(side=640, threads=1), OneShot(side=640, threads=1, any_roll=True)
    photo = read_image(PHOTO)
    expected, lying = upright(photo), np.rot90(photo, turns)
    found = every(lying)
    assert len(expected.scores) >= 2
    back = turned_back(found, turns, photo.shape[1::-1])
    places = iou(expected.boxes, back.boxes)
    assert (places.max(1) > 0.8).all()
    same = (expected.embeddings * found.embeddings[places.argmax(1)]).sum(1)
    assert (same > 0.95).all()
