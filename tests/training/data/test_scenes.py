"""Composed scenes: pixels and labels move together, by a seed, and what cannot be known is marked so."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from oneshot.training.data import compose as scene_compose
from oneshot.training.data.compose import Scene, SceneConfig, compose, whole_photo
from oneshot.training.data.cover import covered
from oneshot.training.data.paste import scrambled
from oneshot.training.data.pool import FaceCrops, Photo, ScenePool, load_pool, split
from oneshot.training.data.scenes import SceneBatches, collate, scene_loader
from oneshot.training.data.warp import (
    MIRRORED,
    Array,
    Labels,
    boxes_from_landmarks,
    similarity,
    warp_image,
    warp_labels,
)

# the five points in a 128-pixel crop: the ArcFace template at 88/112 about the centre
CROP_POINTS = (
    np.array([[38.29, 51.70], [73.53, 51.50], [56.03, 71.74], [41.55, 92.37], [70.73, 92.20]], np.float32)
    - 56
) * 88 / 112 + 64
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255))
NO_REGION = np.zeros((0, 4), np.float32)


def _labels(boxes: Sequence[Sequence[float]], regions: Array = NO_REGION) -> Labels:
    """Faces with landmarks at the same places of each box."""
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    inner = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]], np.float32)
    landmarks = xyxy[:, None, :2] + inner * (xyxy[:, 2:] - xyxy[:, :2])[:, None]
    return Labels(xyxy, landmarks, np.ones((len(xyxy), 5), bool), np.ones(len(xyxy), np.float32), regions)


def _picture(labels: Labels, width: int = 200, height: int = 150) -> Array:
    """Grey, with every landmark a disc of its own colour, RGB."""
    image = np.full((height, width, 3), 90, np.uint8)
    for points in labels.landmarks:
        radius = max(1, round(float(points[1, 0] - points[0, 0]) / 6))
        for point, colour in zip(points, COLOURS, strict=True):
            cv2.circle(image, (int(point[0]), int(point[1])), radius, colour, -1)
    return image


def _encode(image: Array) -> bytes:
    return bytes(cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes())


def _photo(name: str, boxes: Sequence[Sequence[float]]) -> Photo:
    labels = _labels(boxes, np.array([[150, 100, 190, 140]], np.float32))
    return Photo(name, _encode(_picture(labels)), labels)


def _crops(count: int = 3) -> FaceCrops:
    labels = replace(_labels([[0, 0, 1, 1]]), landmarks=CROP_POINTS[None])
    encoded = _encode(_picture(labels, 128, 128))
    length = np.full(count, len(encoded))
    return FaceCrops(
        [encoded * count],
        np.zeros(count, np.uint8),
        np.arange(count) * len(encoded),
        length,
        np.repeat(CROP_POINTS[None], count, 0),
        np.ones(count, np.float32),
    )


@pytest.fixture(scope="module")
def pool() -> ScenePool:
    boxes = [[[30, 20, 80, 90], [120, 40, 140, 64]], [[60, 30, 130, 120]], [[10, 10, 22, 26]]]
    photos = [_photo(f"{i}.png", faces) for i, faces in enumerate(boxes)]
    background = np.random.default_rng(0).integers(0, 80, (100, 160, 3), np.uint8)
    return ScenePool(photos, [Photo("plain.png", _encode(background), Labels.none())], _crops())


def _only(kind: str, **changes: Any) -> SceneConfig:
    shares = {name: float(name == kind) for name in ("photo", "mosaic", "paste", "plain")}
    upright = {"tilted": 0.0, "any_way": 0.0, "cover": 0.0}
    return replace(SceneConfig(batch=4, sides=(128,), augment=False), **(shares | upright | changes))


def _colours_match(scene: Scene) -> tuple[int, int]:
    """(landmarks whose pixel has their colour, landmarks looked at): known ones of faces large enough.

    In a mirrored face what is now left has the colour of what was right, for all its points.
    """
    right = seen = 0
    for box, points, known in zip(
        scene.labels.boxes, scene.labels.landmarks, scene.labels.known > 0, strict=True
    ):
        if np.sqrt((box[2:] - box[:2]).prod()) > 30 and known.any():
            x, y = points[known].astype(int).T
            pixels = scene.image[y, x].astype(int)
            plain, mirrored = np.array(COLOURS)[known], np.array(COLOURS)[list(MIRRORED)][known]
            off = min((np.abs(pixels - colours).max(1) > 110).sum() for colours in (plain, mirrored))
            right, seen = right + int(known.sum() - off), seen + int(known.sum())
    return right, seen


@pytest.mark.parametrize("kind", ["photo", "mosaic", "paste"])
def test_landmarks_stay_on_their_pixels(pool: ScenePool, kind: str) -> None:
    right = seen = 0
    for number in range(60):
        scene = compose(pool.photos[number % 3], pool, _only(kind), 128, np.random.default_rng(number))
        eyes = scene.labels.landmarks[scene.labels.known.all(1)][:, :2, 0]
        assert (eyes[:, 0] < eyes[:, 1]).all()  # the left eye is on the left, mirrored or not
        matched, looked_at = _colours_match(scene)
        right, seen = right + matched, seen + looked_at
    assert seen > 50
    assert right / seen > 0.97


def test_left_and_right_are_the_upright_faces_own_however_it_is_turned(pool: ScenePool) -> None:
    right = seen = 0
    ways = set()
    for number in range(80):
        config = _only("photo", any_way=1.0)
        scene = compose(pool.photos[number % 3], pool, config, 128, np.random.default_rng(number))
        points = scene.labels.landmarks[scene.labels.known.all(1)]
        across, down = points[:, 1] - points[:, 0], points[:, 3:].mean(1) - points[:, :2].mean(1)
        assert (across[:, 0] * down[:, 1] > across[:, 1] * down[:, 0]).all()  # a mirrored face has not
        ways |= {round(float(np.degrees(np.arctan2(y, x))) / 90) % 4 for x, y in across}
        matched, looked_at = _colours_match(scene)
        right, seen = right + matched, seen + looked_at
    assert ways == {0, 1, 2, 3}
    assert seen > 50
    assert right / seen > 0.97


def test_a_cover_hides_pixels_and_leaves_other_faces_alone() -> None:
    image = np.full((200, 200, 3), 120, np.uint8)
    face = CROP_POINTS[None] + 30
    background = np.zeros((50, 50, 3), np.uint8)
    for seed in range(10):
        hidden = covered(image.copy(), face, np.ones((1, 5)), background, 1.0, np.random.default_rng(seed))
        changed = (hidden != image).any(2)
        assert 0.01 < changed.mean() < 0.5
        y, x = np.nonzero(changed)
        low, high = face[0].min(0) - 60, face[0].max(0) + 60
        assert (x > low[0]).all() and (y > low[1]).all() and (x < high[0]).all() and (y < high[1]).all()
    partly = covered(
        image.copy(), face, np.array([[1, 1, 1, 1, 0]]), background, 1.0, np.random.default_rng(0)
    )
    assert (partly == image).all()


def test_scenes_are_well_formed(pool: ScenePool) -> None:
    config = replace(SceneConfig(), augment=True)
    for number in range(40):
        scene = compose(pool.photos[number % 3], pool, config, 96, np.random.default_rng(number))
        labels = scene.labels
        assert scene.image.shape == (96, 96, 3) and scene.image.dtype == np.uint8
        for boxes in (labels.boxes, labels.ignore):
            assert boxes.dtype == np.float32 and (boxes >= 0).all() and (boxes <= 96).all()
            assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert (labels.landmarks[labels.known == 0] == 0).all()
        assert (labels.enlarged > 0).all()
        assert len(labels.boxes) == len(labels.landmarks) == len(labels.known) == len(scene.identity_ok)


def test_plain_scenes_hold_no_face(pool: ScenePool) -> None:
    scene = compose(pool.photos[0], pool, _only("plain"), 96, np.random.default_rng(0))
    assert len(scene.labels.boxes) == len(scene.labels.ignore) == 0


def test_decoys_look_pasted_but_are_no_faces(pool: ScenePool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a bright photo stand out where those of a dark one do not, and neither adds a label."""
    monkeypatch.setattr(scene_compose, "SCRAMBLED_FROM", np.inf)
    bright = Photo("bright.png", _encode(np.full((100, 160, 3), 230, np.uint8)), Labels.none())
    bright_pool = replace(pool, negatives=[bright])
    config = _only("paste", decoys=1.0, paste_on_photo=1.0)
    brighter = []
    for number in range(20):
        scenes = [
            compose(pool.photos[0], some, config, 128, np.random.default_rng(number))
            for some in (pool, bright_pool)
        ]
        for scene in scenes:
            assert len(scene.labels.boxes) <= len(pool.photos[0].labels.boxes)
        brighter.append(scenes[1].image.mean() - scenes[0].image.mean())
    # Where there is room for none beside the faces, both are the same.
    assert min(brighter) >= 0 and sum(more > 0 for more in brighter) >= 12


def test_scrambled_parts_change_places_and_nothing_else() -> None:
    crop = np.arange(128 * 128 * 3).reshape(128, 128, 3)
    moved = scrambled(crop, np.random.default_rng(0))
    assert moved.shape == crop.shape and (np.sort(moved.ravel()) == crop.ravel()).all()
    corners = [(y, x) for y in range(0, 128, 32) for x in range(0, 128, 32)]
    before, after = ({image[y : y + 32, x : x + 32].tobytes() for y, x in corners} for image in (crop, moved))
    assert before == after
    assert (moved != crop).any()


def test_mirror_swaps_left_and_right() -> None:
    labels = _labels([[30, 20, 80, 90]])
    mirror = np.array([[-1.0, 0, 200], [0, 1, 0]])
    flipped = warp_labels(labels, mirror, (0, 0, 200, 150))
    np.testing.assert_allclose(flipped.boxes, [[120, 20, 170, 90]])
    assert flipped.landmarks[0, 0, 0] < flipped.landmarks[0, 1, 0]
    assert flipped.landmarks[0, 3, 0] < flipped.landmarks[0, 4, 0]
    np.testing.assert_allclose(flipped.landmarks[0, 0], [200, 0] + labels.landmarks[0, 1] * (-1, 1))
    again = warp_labels(flipped, mirror, (0, 0, 200, 150))
    np.testing.assert_allclose(again.landmarks, labels.landmarks, atol=1e-4)


def test_faces_cut_by_the_frame() -> None:
    labels = _labels([[0, 0, 100, 100], [60, 0, 100, 100], [150, 0, 190, 40]])
    cut = warp_labels(labels, np.eye(2, 3), (0, 0, 70, 120))
    np.testing.assert_allclose(cut.boxes, [[0, 0, 70, 100]])  # clipped
    np.testing.assert_allclose(cut.ignore, [[60, 0, 70, 100]])  # a quarter is left: ignored
    assert cut.known[0].tolist() == [True, False, True, True, True]  # an eye at x = 70 is outside


@pytest.mark.parametrize("scale", [0.15, 0.4, 1.0, 2.5])
def test_pixels_go_where_the_matrix_says(scale: float) -> None:
    image = np.zeros((120, 160), np.uint8)
    image[40:60, 100:120] = 255  # centre (110, 50) in continuous pixels
    matrix = similarity(scale, 20, True, np.array([110.0, 50.0]), np.array([64.0, 70.0]))
    warped = warp_image(image, matrix, (16, 16, 112, 112)).astype(float)
    y, x = np.mgrid[:96, :96] + 0.5
    centre = np.array([(warped * x).sum(), (warped * y).sum()]) / warped.sum()
    np.testing.assert_allclose(centre, [48, 54], atol=0.15)
    assert warped.sum() / 255 == pytest.approx(400 * scale**2, rel=0.1)


def test_box_rule_contains_the_landmarks_and_turns_with_the_head() -> None:
    frontal = boxes_from_landmarks(CROP_POINTS[None])[0]
    assert (frontal[:2] < CROP_POINTS.min(0)).all() and (frontal[2:] > CROP_POINTS.max(0)).all()
    assert frontal[0] > 0 and frontal[2] < 128
    turned = CROP_POINTS.copy()
    turned[2, 0] += 8
    assert boxes_from_landmarks(turned[None])[0][0] < frontal[0]  # nose to the right: more cheek on the left


def test_identity_needs_pixels_and_points() -> None:
    labels = _labels([[10, 10, 60, 70]] * 3 + [[10, 10, 18, 20]])
    labels.known[1, 2] = False
    labels.enlarged[2] = 5
    assert Scene(_picture(labels), labels).identity_ok.tolist() == [True, False, False, False]


def test_batches_repeat_by_seed_and_step(pool: ScenePool) -> None:
    config = SceneConfig(batch=3, sides=(64, 96))
    first, again = SceneBatches(pool, config, seed=1)[5], SceneBatches(pool, config, seed=1)[5]
    assert torch.equal(first.images, again.images)
    for field in fields(first.targets):
        assert torch.equal(getattr(first.targets, field.name), getattr(again.targets, field.name))
    other = SceneBatches(pool, config, seed=2)[5]
    assert first.images.shape != other.images.shape or not torch.equal(first.images, other.images)


def test_loader_in_another_process_gives_the_same(pool: ScenePool) -> None:
    batches = SceneBatches(pool, SceneConfig(batch=2, sides=(64,)), seed=3)
    for step, batch in zip(range(4, 7), scene_loader(batches, range(4, 7), workers=1), strict=True):
        assert torch.equal(batch.images, batches[step].images)


def test_collate_pads() -> None:
    labels = [
        Labels.none(),
        _labels([[10, 10, 60, 70], [70, 10, 90, 30]], np.array([[0, 0, 5, 5]], np.float32)),
    ]
    batch = collate([Scene(np.zeros((96, 96, 3), np.uint8), label) for label in labels])
    assert batch.images.shape == (2, 3, 96, 96) and batch.images.is_contiguous(
        memory_format=torch.channels_last
    )
    targets = batch.targets
    assert targets.boxes.shape == (2, 2, 4) and targets.landmarks.shape == (2, 2, 5, 2)
    assert targets.valid.tolist() == [[False, False], [True, True]]
    assert targets.ignore.shape == (2, 1, 4) and targets.ignore_valid.tolist() == [[False], [True]]
    assert collate([Scene(np.zeros((96, 96, 3), np.uint8), Labels.none())]).targets.boxes.shape == (1, 0, 4)


def test_whole_photo_shrinks_but_never_enlarges(pool: ScenePool) -> None:
    small = whole_photo(pool.photos[0], 320)
    np.testing.assert_allclose(small.labels.boxes, pool.photos[0].labels.boxes)
    assert (small.image[150:] == 0).all() and (small.image[:, 200:] == 0).all()
    half = whole_photo(pool.photos[0], 100)
    np.testing.assert_allclose(half.labels.boxes, pool.photos[0].labels.boxes / 2)


def test_split_depends_on_names_alone() -> None:
    photos = [Photo(f"{i}.webp", b"", Labels.none()) for i in range(2000)]
    training, validation = split(photos)
    assert 60 < len(validation) < 140 and len(training) + len(validation) == 2000
    fewer = split(photos[:500])[1]
    assert fewer == [photo for photo in validation if photo in photos[:500]]


def test_load_pool(tmp_path: Path) -> None:
    """The files of the data folder, in small."""
    labels = _labels([[30, 20, 80, 90]])
    encoded = _encode(_picture(labels))
    names = [f"{i}.png" for i in range(30)]
    for tar_name, members in (("scenes_train.tar", names), ("negatives.tar", names[:2])):
        with tarfile.open(tmp_path / tar_name, "w") as tar:
            for name in members:
                info = tarfile.TarInfo(name)
                info.size = len(encoded)
                tar.addfile(info, io.BytesIO(encoded))
    points = [v for x, y in labels.landmarks[0].tolist() for v in (x, y, 2.0)]
    rows = [{"bbox": [30, 20, 50, 70], "iscrowd": 0, "keypoints": points}]
    rows += [{"bbox": [1, 2, 3, 4], "iscrowd": 1, "keypoints": [0.0] * 15}]
    rows += [{"bbox": [100, 20, 10, 10], "iscrowd": 0, "keypoints": [0.0] * 15}]
    images = [{"id": i, "file_name": name, "width": 200, "height": 150} for i, name in enumerate(names)]
    annotations = [row | {"image_id": i} for i in range(len(names)) for row in rows]
    (tmp_path / "scenes_train.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    crops = _crops(4)
    (tmp_path / "faces-0.webps").write_bytes(crops.files[0])
    np.savez(
        tmp_path / "faces.npz",
        kps=crops.landmarks.astype(np.float16),
        native=crops.native.astype(np.float16),
        source=np.array([0, 1, 0, 0], np.uint8),
        source_names=np.array(["celeb", "ilc"]),
        part=crops.part,
        offset=crops.offset,
        length=crops.length,
    )
    loaded, validation = load_pool(tmp_path)
    assert len(loaded.photos) + len(validation) == 30 and len(loaded.negatives) == 2
    assert len(loaded.crops) == 3  # the one from a scene photo is left out
    face = loaded.photos[0].labels
    assert face.boxes.tolist() == [[30, 20, 80, 90], [100, 20, 110, 30]]
    assert face.known.tolist() == [[True] * 5, [False] * 5]
    assert face.ignore.tolist() == [[1, 2, 4, 6]]
    image, crop = loaded.crops.get(2)
    assert image.shape == (128, 128, 3) and crop.boxes.shape == (1, 4)
