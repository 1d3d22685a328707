"""The weights in weights/ on real photos: where the faces are, and who is who.

The positions are the mean of YuNet's and SCRFD-500M's, which agree within a few pixels.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT, load_script

from oneshot import Faces, Gallery, OneShot, TwoStage
from oneshot.inference.backend import default_weights
from oneshot.types import Image

COLLINS, HOPPER = "Eileen Collins", "Grace Hopper"
SHIPPED = [f"oneshot{size}{form}" for size in ("", "-large", "-nano") for form in ("", "-int8")]


def cases(*values: object) -> list[tuple[object, str]]:
    """Every value with both people."""
    return [(value, name) for value in values for name in (COLLINS, HOPPER)]


BOXES = {COLLINS: (179, 63, 269, 177), HOPPER: (181, 119, 352, 332)}
LANDMARKS = {
    COLLINS: ((202, 102), (247, 103), (221, 127), (200, 141), (242, 143)),
    HOPPER: ((226, 195), (307, 195), (267, 241), (232, 274), (301, 274)),
}


@pytest.fixture(scope="module", params=SHIPPED)
def shipped(request: pytest.FixtureRequest) -> OneShot:
    return OneShot(request.param, threads=1)


@pytest.fixture(scope="module")
def photos() -> dict[str, Image]:
    return load_script("make_demo_video").photos()


@pytest.fixture(scope="module")
def gallery(shipped: OneShot, photos: dict[str, Image]) -> Gallery:
    known = Gallery(shipped)
    for name, photo in photos.items():
        known.enroll(name, [photo])
    return known


@pytest.fixture(scope="module")
def gallery_small(shipped: OneShot, photos: dict[str, Image]) -> Gallery:
    """Enrolled from mirrored photos of half the size, so that no photo is compared with itself."""
    known = Gallery(shipped)
    for name, photo in photos.items():
        height, width = photo.shape[:2]
        size = (round(width * 300 / height), 300)
        known.enroll(
            name, [np.ascontiguousarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA)[:, ::-1])]
        )
    return known


def iou(a: np.ndarray, b: np.ndarray) -> float:
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    both = float(np.prod((high - low).clip(0)))
    return both / (float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - both)


def check_place(face: Faces, name: str, scale: float = 1.0) -> None:
    box, points = np.array(BOXES[name]) * scale, np.array(LANDMARKS[name]) * scale
    assert iou(face.boxes[0], box) > 0.7
    off = np.linalg.norm(face.landmarks[0] - points, axis=1) / np.linalg.norm(points[1] - points[0])
    assert off.mean() < 0.1 and off.max() < 0.2


def test_the_facts_that_the_weights_carry(shipped: OneShot) -> None:
    assert {"name", "version", "weights_sha256", "licence", "teacher", "data"} <= set(shipped.info)
    rates = sorted(shipped.thresholds, key=float)
    assert {"1e-2", "1e-3"} <= set(rates)
    values = [shipped.thresholds[rate] for rate in rates]
    assert values == sorted(values, reverse=True) and all(0 < v < 1 for v in values)
    assert default_weights().stat().st_size <= 6 * 2**20


@pytest.mark.parametrize(("scale", "name"), cases(1.0, 0.5, 1.7))
def test_the_face_is_found_in_its_place(
    shipped: OneShot, photos: dict[str, Image], name: str, scale: float
) -> None:
    photo = cv2.resize(photos[name], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    faces = shipped(np.asarray(photo, np.uint8))
    assert len(faces) == 1
    check_place(faces, name, scale)
    assert faces.embeddings.shape == (1, 1000)
    assert np.linalg.norm(faces.embeddings[0]) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("change", "name"), cases("half", "quarter", "mirror", "dark", "jpeg", "grey", "turned", "shifted")
)
def test_a_changed_photo_is_still_the_same_person(
    shipped: OneShot, gallery: Gallery, photos: dict[str, Image], name: str, change: str
) -> None:
    photo = photos[name]
    height, width = photo.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 12, 1)
    changed = {
        "half": lambda: cv2.resize(photo, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        "quarter": lambda: cv2.resize(photo, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA),
        "mirror": lambda: photo[:, ::-1].copy(),
        "dark": lambda: (photo * 0.5).astype(np.uint8),
        "jpeg": lambda: cv2.imdecode(
            cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_COLOR
        ),
        "grey": lambda: cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR),
        "turned": lambda: cv2.warpAffine(photo, turn, (width, height)),
        "shifted": lambda: photo[37:, 21:].copy(),
    }[change]()
    matches = gallery.identify(shipped(np.asarray(changed, np.uint8)).embeddings)
    assert matches and matches[0].name == name


def test_two_people_are_not_one(gallery: Gallery, shipped: OneShot) -> None:
    cosine = float(gallery.templates[0] @ gallery.templates[1])
    assert cosine < shipped.thresholds["1e-2"]


def test_both_in_one_picture(shipped: OneShot, gallery: Gallery, photos: dict[str, Image]) -> None:
    side_by_side = np.zeros((600, 1024, 3), np.uint8)
    side_by_side[:512, :512], side_by_side[:, 512:] = photos[COLLINS], photos[HOPPER]
    faces = shipped(side_by_side)
    assert len(faces) == 2
    for face, match in zip(faces, gallery.identify(faces.embeddings), strict=True):
        left = face.boxes[0, 0] < 512
        assert match.name == (COLLINS if left else HOPPER)


def test_no_face_on_a_wall_in_coffee_or_in_noise(shipped: OneShot) -> None:
    import skimage.data

    coffee = np.ascontiguousarray(skimage.data.coffee()[..., ::-1])
    brick = cv2.cvtColor(skimage.data.brick(), cv2.COLOR_GRAY2BGR)
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    empty = np.zeros((32, 32, 3), np.uint8)
    assert [len(f) for f in shipped([coffee, np.asarray(brick, np.uint8), noise, empty])] == [0, 0, 0, 0]


def test_the_demo_from_end_to_end(tmp_path: Path) -> None:
    """The video has both in view, each alone, nobody from 3.1 to 3.6 s, and both again."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    def script(name: str, *args: str) -> str:
        command = [sys.executable, str(ROOT / "scripts" / name), *args]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        ).stdout

    script("make_demo_video.py", "--out", "demo")
    outputs = "--out", "demo/out.mp4", "--json", "demo/out.jsonl", "--threads", "1"
    table = script("detect_verify.py", "--video", "demo/wall.mp4", "--gallery", "demo/people", *outputs)
    assert COLLINS in table and HOPPER in table
    assert (tmp_path / "demo" / "out.mp4").stat().st_size > 10_000
    seen = [json.loads(line) for line in (tmp_path / "demo" / "out.jsonl").read_text().splitlines()]

    def share(name: str | None, start: float, end: float) -> float:
        """Of the video's frames in [start, end) seconds, in how many someone was seen."""
        frames = {s["frame"] for s in seen if s["name"] == name and start <= s["time"] < end}
        return len(frames) / round(25 * (end - start))

    for name in (COLLINS, HOPPER):
        assert share(name, 0, 0.6) > 0.8 and share(name, 4.2, 4.6) > 0.8
    assert share(COLLINS, 1.2, 1.7) > 0.9 and share(HOPPER, 1.2, 1.7) < 0.1
    assert share(HOPPER, 2.3, 2.7) > 0.9 and share(COLLINS, 2.3, 2.7) < 0.1
    assert not [s for s in seen if 3.2 <= s["time"] < 3.6]


@pytest.mark.parametrize("name", [COLLINS, HOPPER])
def test_a_face_of_the_size_it_was_trained_on_is_the_best_found(
    shipped: OneShot, gallery_small: Gallery, photos: dict[str, Image], name: str
) -> None:
    height, width = photos[name].shape[:2]
    scale = 256 / max(height, width)
    small = cv2.resize(photos[name], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    faces = shipped(np.asarray(small, np.uint8))
    check_place(faces, name, scale)
    assert gallery_small.identify(faces.embeddings)[0].name == name


def agreement(got: Faces, expected: Faces, pixels: float = 0.5) -> float:
    """The cosine of the surest face; both found the same ones there, their landmarks within `pixels`."""
    assert len(got) == len(expected) >= 1
    np.testing.assert_allclose(got.boxes, expected.boxes, atol=0.5)
    np.testing.assert_allclose(got.landmarks, expected.landmarks, atol=pixels)
    return float((got.embeddings[0] * expected.embeddings[0]).sum())


@pytest.mark.parametrize(
    ("network", "name"),
    [(network, name) for network in ("oneshot", "oneshot-nano") for name in (COLLINS, HOPPER)],
)
def test_torch_and_onnx_agree(photos: dict[str, Image], network: str, name: str) -> None:
    # Above the medal's score, so that one face is all there is to agree on.
    sure = {"side": 256, "score_threshold": 0.8}
    torch_model = OneShot(default_weights(f"{network}.safetensors"), **sure)  # type: ignore[arg-type]
    onnx_model = OneShot(network, **sure)  # type: ignore[arg-type]
    assert torch_model.info["weights_sha256"] == onnx_model.info["weights_sha256"]
    assert agreement(onnx_model(photos[name]), torch_model(photos[name])) > 0.999


@pytest.mark.parametrize("network", ["oneshot", "oneshot-large", "oneshot-nano"])
@pytest.mark.parametrize("name", [COLLINS, HOPPER])
def test_the_file_in_8_bits_is_of_the_same_network(photos: dict[str, Image], network: str, name: str) -> None:
    exact, small = OneShot(network, threads=1), OneShot(f"{network}-int8", threads=1)
    assert small.info["weights_sha256"] == exact.info["weights_sha256"]
    assert small.thresholds == exact.thresholds
    expected, got = exact(photos[name]), small(photos[name])
    # The same person; and 8 bits indeed, the corrections too: 1 % of the distance between the eyes.
    assert 0.98 < agreement(got, expected, pixels=0.9) < 0.99999


@pytest.mark.parametrize("form", ["plain", "gdc", "dwc", "dwc+gdc"])
def test_squeezefaceposenet_tells_the_two_apart(form: str, photos: dict[str, Image]) -> None:
    # MTCNN is not needed for that, and not installed everywhere: our own network finds the faces.
    model = TwoStage(f"squeezefaceposenet-{form}", detector=OneShot(threads=1), threads=1)
    assert model.info["name"] == "SqueezeFacePoseNet" + {"plain": ""}.get(form, f"+{form.upper()}")
    assert default_weights(f"squeezefaceposenet-{form}.safetensors").stat().st_size <= 6 * 2**20
    smaller = {
        name: np.asarray(cv2.resize(photo, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
        for name, photo in photos.items()
    }
    whole, half = (
        np.stack([model(shown[name]).embeddings[0] for name in (COLLINS, HOPPER)])
        for shown in (photos, {name: photo[:, ::-1].copy() for name, photo in smaller.items()})
    )
    cosines = whole @ half.T
    threshold = model.thresholds["1e-3"]
    assert cosines.diagonal().min() > threshold > max(cosines[0, 1], cosines[1, 0])
