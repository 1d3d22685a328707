"""Small faces in large pictures: the side that is chosen, and tiles."""

import numpy as np
import pytest
from fake import EMBEDDINGS, picture

from oneshot import Faces, OneShot, OneShotError
from oneshot.geometry import iou
from oneshot.inference.tiles import OVERLAP, SIDE, TILE, auto_side, joined, tiles


@pytest.mark.parametrize(
    ("size", "min_face", "side"),
    [((6000, 4000), 80, 1500), ((3000, 4000), 80, 1000), ((1000, 800), 80, SIDE), ((4000, 3000), 20, 4000)],
)
def test_the_side_follows_from_the_picture_and_the_smallest_face(
    size: tuple[int, int], min_face: int, side: int
) -> None:
    assert auto_side(*size, min_face) == side


@pytest.mark.parametrize("size", [(20_000, 1000), (9000, 9000), (2049, 100)])
def test_tiles_cover_the_picture_and_cores_share_nothing(size: tuple[int, int]) -> None:
    cut = tiles(*size, max(size))
    points = np.stack(np.meshgrid(*(np.linspace(0, n - 1, 50) for n in size)), -1).reshape(-1, 2)
    owners = sum(((points >= t.core[:2]) & (points < t.core[2:])).all(1).astype(int) for t in cut)
    assert (owners == 1).all()
    for tile in cut:
        assert (tile.box[:2] >= 0).all() and (tile.box[2:] <= size).all()
        assert (tile.box[2:] - tile.box[:2] <= TILE + 1).all()
        inner = np.isfinite(tile.core)
        reach = np.abs(tile.core - tile.box)[inner]
        assert (reach >= OVERLAP / 2 - 1).all()  # a face on a core's edge is whole
    assert tiles(2048, 2000, 2048) == []


def test_a_panorama_is_looked_at_tile_by_tile_and_a_face_counts_once(fake_weights: object) -> None:
    auto = OneShot(fake_weights, threads=1, side="auto", min_face=20)  # type: ignore[arg-type]
    seam = int(tiles(6000, 700, 6000)[0].core[2])
    image = picture(6000, 700, Rhea=(seam - 20, 300, seam + 20, 340), Gus=(4000, 100, 4030, 130))
    # In two tiles, and larger than their overlap.
    image[50:650, 3000:3600] = picture(600, 600, Bo=(0, 0, 600, 600))
    faces = auto(image)
    found = dict(zip((faces.embeddings @ EMBEDDINGS.T).argmax(1).tolist(), faces.boxes, strict=True))
    assert len(faces) == 3 and (np.diff(faces.scores) <= 0).all()
    np.testing.assert_allclose(found[0], [seam - 20, 300, seam + 20, 340], atol=1)
    np.testing.assert_allclose(found[1], [4000, 100, 4030, 130], atol=1)
    np.testing.assert_allclose(found[2], [3000, 50, 3600, 650], atol=10)  # seen in the whole only
    assert len(auto(image, embed=False)) == 3
    assert [len(f) for f in auto([image, picture(Rhea=(9, 9, 40, 40))])] == [3, 1]


def test_the_whole_adds_only_what_no_tile_has() -> None:
    tile = tiles(4000, 100, 4000)[0]

    def face(box: list[float]) -> Faces:
        return Faces([box], [0.9], np.zeros((1, 5, 2)), np.zeros((1, 3)))  # type: ignore[arg-type]

    same, other = face([10, 10, 42, 41]), face([500, 10, 530, 40])
    result = joined(same, [(tile, face([10, 10, 40, 40]))], (4000, 100), 9)
    assert result.boxes.tolist() == [[10, 10, 40, 40]]
    assert len(joined(other, [(tile, face([10, 10, 40, 40]))], (4000, 100), 9)) == 2
    assert len(joined(other, [(tile, face([10, 10, 40, 40]))], (4000, 100), 1)) == 1
    assert iou(same.boxes, other.boxes).tolist() == [[0]]


def test_auto_is_a_side_and_other_words_are_none(fake_weights: object) -> None:
    for settings in ({"side": "large"}, {"side": "auto", "min_face": 5}):
        with pytest.raises(OneShotError, match="out of range"):
            OneShot(fake_weights, **settings)  # type: ignore[arg-type]
