"""Drawing."""

import numpy as np
import pytest

from oneshot import Faces, Match
from oneshot.media.draw import PALETTE, UNKNOWN, colour_of, draw


def face(x0: float, y0: float, x1: float, y1: float) -> Faces:
    points = np.linspace((x0 + 5, y0 + 5), (x1 - 5, y1 - 5), 5, dtype=np.float32)
    return Faces(np.array([[x0, y0, x1, y1]]), np.ones(1), points[None], np.ones((1, 4)))  # type: ignore[arg-type]


def changed(image: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    return (image != drawn).any(-1)


def test_draws_on_a_copy_along_the_box() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    drawn = draw(image, face(50, 60, 150, 160))
    assert image.max() == 0 and drawn.shape == image.shape
    mask = changed(image, drawn)
    assert mask[58:63, 100].any() and mask[110, 48:53].any() and mask[157:162, 100].any()
    assert not mask[:50].any() and not mask[:, 160:].any()


def test_nothing_to_draw() -> None:
    image = np.full((20, 30, 3), 9, np.uint8)
    assert (draw(image, Faces.empty()) == image).all()
    assert (draw(image, Faces.empty(), []) == image).all()


@pytest.mark.parametrize("size", [(1, 1), (16, 24), (64, 64), (360, 640), (2160, 3840)])
@pytest.mark.parametrize(
    "where", [(0, 0, 1, 1), (-0.2, -0.2, 0.4, 0.4), (0.7, 0.7, 1.3, 1.3), (0.5, 0.5, 0.5, 0.5)]
)
def test_any_size_and_place(size: tuple[int, int], where: tuple[float, ...]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    x0, y0, x1, y1 = np.array(where) * (size[1], size[0], size[1], size[0])
    drawn = draw(image, face(x0, y0, x1, y1), [Match("Somebody with a long name", 0.5)])
    assert drawn.shape == image.shape and changed(image, drawn).any()


@pytest.mark.parametrize("size", [(90, 160), (360, 640), (2160, 3840)])
def test_letters_are_readable_and_stay_in_the_picture(size: tuple[int, int]) -> None:
    image = np.zeros((*size, 3), np.uint8)
    name = "Ada"
    drawn = draw(image, face(size[1] - 20, 0, size[1], 30), [Match(name, 0.5)])
    tag = (drawn == colour_of(name)).all(-1)
    height = tag.any(1).sum()
    assert height >= 14 and height >= size[0] / 40
    columns = np.flatnonzero(tag.any(0))
    assert columns[-1] >= size[1] - 2  # pushed back from beyond the right edge
    letters = (drawn[tag.any(1)][:, columns[0] :] < 80).all(-1)
    assert letters.any()


def test_names_change_what_is_drawn_and_scripts_other_than_ours_do_not_fail() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    one = face(50, 60, 150, 160)
    pictures = [draw(image, one, [Match(name, 0.5)]) for name in ("Ada", "Bob", "José", "李", None)]
    assert all(changed(a, b).any() for i, a in enumerate(pictures) for b in pictures[:i])


def test_colours_are_by_name_only() -> None:
    assert colour_of("Ada") == colour_of("Ada") and colour_of("Ada") in PALETTE
    assert colour_of(None) == UNKNOWN and UNKNOWN not in PALETTE
    assert len({colour_of(str(i)) for i in range(100)}) == len(PALETTE)


def test_matches_must_be_as_many_as_faces() -> None:
    with pytest.raises(ValueError, match="1 faces, but 0 matches"):
        draw(np.zeros((9, 9, 3), np.uint8), face(0, 0, 5, 5), [])
