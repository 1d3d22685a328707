"""From a picture to Faces and back to its pixels, with the fake network."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake import EMBEDDINGS, FIVE, INFO, SCORES, picture, write_model

from oneshot import Gallery, OneShot, OneShotError
from oneshot.convert.quantize import PAYS
from oneshot.inference.backend import default_weights, weights_file
from oneshot.inference.predictor import TOGETHER


@pytest.mark.parametrize("size", [(320, 240), (1280, 960), (777, 1913), (40, 40)])
def test_boxes_and_landmarks_come_back_in_the_pictures_pixels(model: OneShot, size: tuple[int, int]) -> None:
    box = np.array([size[0] // 4, size[1] // 4, size[0] * 3 // 4, size[1] * 3 // 4])
    faces = model(picture(*size, Rhea=tuple(box.tolist())))
    step = max(1, max(size) / 640)  # one pixel of the network's input
    np.testing.assert_allclose(faces.boxes, [box], atol=step)
    np.testing.assert_allclose(faces.landmarks[0], box[:2] + FIVE * (box[2:] - box[:2]), atol=step)
    np.testing.assert_allclose(faces.embeddings, EMBEDDINGS[:1], atol=1e-6)


class Stub:
    """A backend that answers what it is told, and remembers what it was asked."""

    info = INFO

    def __init__(self, boxes: list[list[float]]):
        self.boxes = np.array(boxes, np.float32).reshape(-1, 4)

    def run(self, image: np.ndarray, *settings: float) -> tuple[np.ndarray, ...]:
        self.image, self.settings = image, settings
        n = len(self.boxes)
        points = np.repeat(self.boxes[:, None, :2], 5, 1)
        which = np.zeros(n, np.int64)
        return self.boxes, np.ones(n, np.float32), points, np.ones((n, 3), np.float32), which


def with_backend(model: OneShot, stub: Stub, **settings: Any) -> OneShot:
    other = object.__new__(OneShot)
    other.__dict__.update(vars(model) | {"backend": stub} | settings)
    return other


def test_the_inverse_is_exact_on_each_axis(model: OneShot) -> None:
    # 1000x333 becomes 640x213: the axes' scales differ, 0.64 and 0.63964.
    stub = Stub([[64, 21.3, 320, 106.5]])
    faces = with_backend(model, stub)(np.zeros((333, 1000, 3), np.uint8))
    np.testing.assert_allclose(faces.boxes, [[100, 33.3, 500, 166.5]], rtol=1e-6)
    np.testing.assert_allclose(faces.landmarks[0, 0], [100, 33.3], rtol=1e-6)


def test_boxes_are_clipped_landmarks_are_not_and_nothing_is_dropped(model: OneShot) -> None:
    stub = Stub([[-5, -6, 50, 40], [90, 90, 100, 100]])
    faces = with_backend(model, stub, min_side=0)(np.zeros((30, 40, 3), np.uint8))
    assert faces.boxes.tolist() == [[0, 0, 40, 30], [40, 30, 40, 30]]
    assert faces.landmarks[0, 0].tolist() == [-5, -6]


def test_the_network_gets_rgb_and_the_settings(model: OneShot) -> None:
    stub = Stub([])
    image = np.zeros((32, 64, 3), np.uint8)
    image[..., 0] = 7  # blue
    assert len(with_backend(model, stub, min_side=0, max_faces=3)(image)) == 0
    assert stub.image.shape == (1, 32, 64, 3) and stub.image.flags.c_contiguous
    assert stub.image[0, 0, 0].tolist() == [0, 0, 7]
    assert stub.settings == (0.5, 0.4, 3, True)


def test_several_pictures_of_several_sizes(model: OneShot) -> None:
    one, two = picture(Rhea=(10, 20, 50, 70)), picture(500, 300, Gus=(30, 30, 90, 90), Bo=(200, 9, 300, 99))
    both = model([one, two, picture()])
    assert [len(f) for f in both] == [1, 2, 0]
    np.testing.assert_array_equal(both[1].boxes, model(two).boxes)
    assert both[2].embeddings.shape == (0, 1000)
    assert model([]) == []


def test_only_so_many_pictures_share_a_run_and_keep_their_order(model: OneShot) -> None:
    class Counting(Stub):
        """Picture i of a run has as many faces as its first pixel's red says."""

        def run(self, image: np.ndarray, *settings: float) -> tuple[np.ndarray, ...]:
            counts = image[:, 0, 0, 0].astype(int)
            runs.append(len(image))
            self.boxes = np.tile(np.array([[0, 0, 9, 9]], np.float32), (counts.sum(), 1))
            return *super().run(image)[:4], np.repeat(np.arange(len(counts)), counts)

    runs: list[int] = []
    images = [np.zeros((32 + 32 * (i % 3 == 0), 32, 3), np.uint8) for i in range(20)]
    for i, image in enumerate(images):
        image[..., 2] = i % 4
    found = with_backend(model, Counting([]))(images)
    assert [len(faces) for faces in found] == [i % 4 for i in range(20)]
    assert sorted(runs) == [5, 7, TOGETHER]


def test_thresholds_and_limits_reach_the_graph(fake_weights: Path) -> None:
    image = picture(Rhea=(10, 20, 50, 70), Gus=(60, 20, 90, 70), Bo=(100, 100, 180, 190))
    np.testing.assert_allclose(OneShot(fake_weights, threads=1)(image).scores, SCORES)
    assert len(OneShot(fake_weights, threads=1, score_threshold=0.6)(image)) == 2
    assert len(OneShot(fake_weights, threads=1, max_faces=1)(image)) == 1


def test_side_and_min_side(fake_weights: Path) -> None:
    image = picture(1280, 640, Rhea=(640, 320, 641, 321))  # gone when scaled to a tenth
    assert len(OneShot(fake_weights, threads=1, side=1280)(image)) == 1
    assert len(OneShot(fake_weights, threads=1, side=128)(image)) == 0


def test_small_pictures_are_enlarged_unless_told_otherwise(fake_weights: Path) -> None:
    seen: list[tuple[int, ...]] = []
    for settings in ({}, {"min_side": 0}, {"side": 128}, {"min_side": 320}):
        model = OneShot(fake_weights, threads=1, **settings)
        run = model.backend.run
        model.backend.run = lambda image, *rest, run=run: seen.append(image.shape[1:3]) or run(image, *rest)  # type: ignore
        (box,) = model(picture(96, 64, Rhea=(32, 16, 64, 48))).boxes
        np.testing.assert_allclose(box, (32, 16, 64, 48), atol=1)
    assert seen == [(192, 256), (64, 96), (96, 128), (224, 320)]


def test_faces_that_are_found_and_not_described_match_nobody(model: OneShot) -> None:
    image = picture(Rhea=(10, 20, 50, 70), Gus=(60, 20, 90, 70))
    faces, (found, nobody) = model(image), model([image, picture()], embed=False)
    for name in ("boxes", "scores", "landmarks"):
        np.testing.assert_array_equal(getattr(found, name), getattr(faces, name))
    assert found.embeddings.shape == (2, 0) and nobody.embeddings.shape == (0, 0)
    gallery = Gallery(model)
    gallery.enroll("Rhea", [picture(Rhea=(10, 20, 50, 70))])
    for call in (gallery.identify, lambda rows: gallery.verify("Rhea", rows)):
        with pytest.raises(OneShotError, match="not described; call the model without embed=False"):
            call(found.embeddings)
    assert gallery.identify(nobody.embeddings) == []


def test_the_weights_facts(model: OneShot, tmp_path: Path) -> None:
    assert model.info["weights_sha256"] == "f" * 64
    assert model.thresholds == INFO["thresholds"]
    assert model.score_threshold == 0.5 and model.iou_threshold == 0.4
    plain = OneShot(write_model(tmp_path / "plain.onnx", thresholds=None, score_threshold=None))
    assert plain.thresholds == {} and plain.score_threshold == 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"side": 0}, "side=0"),
        ({"min_side": -1}, "min_side=-1"),
        ({"side": 320, "min_side": 640}, "min_side=640"),
        ({"score_threshold": 1.5}, "score_threshold=1.5"),
        ({"iou_threshold": float("nan")}, "iou_threshold=nan"),
        ({"max_faces": 0}, "max_faces=0"),
        ({"threads": 0}, "threads=0"),
    ],
)
def test_settings_that_make_no_sense(fake_weights: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(OneShotError, match=message):
        OneShot(fake_weights, **settings)


@pytest.mark.parametrize("image", ["photo.jpg", np.zeros((4, 4), np.uint8), [np.zeros((4, 4), np.uint8)]])
def test_what_is_no_picture(model: OneShot, image: Any) -> None:
    with pytest.raises(OneShotError, match="want a"):
        model(image)


def test_weights_of_an_unknown_kind(tmp_path: Path) -> None:
    with pytest.raises(OneShotError, match=r"weights end in \.onnx, \.ort or \.safetensors"):
        OneShot(tmp_path / "model.pt")


def test_a_shipped_network_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert weights_file(None) == weights_file("oneshot") == default_weights()
    assert weights_file("oneshot-int8") == default_weights("oneshot-int8.onnx")
    assert OneShot("oneshot-int8").info["int8"] == sorted(PAYS)
    # A path stays one, whether there is such a file or not.
    for path in ("oneshot.onnx", "./oneshot.onnx", "runs/oneshot", "other", str(tmp_path / "oneshot")):
        assert weights_file(path) == Path(path)
    with pytest.raises(OneShotError, match=r"oneshot-tiny: weights end in .*, or a shipped network"):
        OneShot("oneshot-tiny")
