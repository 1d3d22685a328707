"""The wrappers around other people's networks, with stand-ins for their files."""

import sys
from pathlib import Path

import numpy as np
import pytest
from fake import picture

from oneshot import OneShot, TwoStage
from oneshot.errors import OneShotError
from oneshot.evaluation import pipelines
from oneshot.evaluation.peers import detectors
from oneshot.evaluation.peers.detectors import Found, Scrfd, Yunet
from oneshot.evaluation.peers.recognisers import EdgeFaceOnCrops, SFace, aligned_crops
from oneshot.geometry import ARCFACE_TEMPLATE


class FakeScrfd:
    """SCRFD's nine outputs for a 64 × 96 input: given cells are sure of a face, all others of none."""

    def __init__(self, faces: dict[tuple[int, int, int], tuple[float, list[float], list[float]]]) -> None:
        self.faces = faces  # by stride, cell and anchor: score, distances and points in strides

    def run(self, names: None, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        assert inputs["input.1"].shape == (1, 3, 64, 96)
        self.seen = inputs["input.1"]
        outputs: list[list[np.ndarray]] = [[], [], []]
        for stride in (8, 16, 32):
            arrays = [np.zeros((64 // stride * (96 // stride) * 2, n), np.float32) for n in (1, 4, 10)]
            for (s, cell, anchor), values in self.faces.items():
                if s == stride:
                    for array, value in zip(arrays, values, strict=True):
                        array[2 * cell + anchor] = value
            for level, array in zip(outputs, arrays, strict=True):
                level.append(array)
        return [array for level in outputs for array in level]


def scrfd(monkeypatch: pytest.MonkeyPatch, fake: FakeScrfd, side: int = 640) -> Scrfd:
    monkeypatch.setattr(detectors, "session", lambda path, threads: fake)
    return Scrfd(Path("nowhere"), side)


POINTS = [0.0, 0, 1, 0, 0.5, 0.5, 0, 1, 1, 1]


def test_scrfd_decodes_cells_anchors_and_strides(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeScrfd(
        {
            (8, 13, 1): (0.8, [1, 1, 2, 2], POINTS),  # row 1, column 1 of 12
            (32, 4, 0): (0.9, [0.5, 1, 0.5, 0], POINTS),  # row 1, column 1 of 3
            (16, 0, 0): (0.4, [0, 0, 1, 1], POINTS),  # below the threshold
        }
    )
    found = scrfd(monkeypatch, fake)(np.zeros((60, 90, 3), np.uint8))
    assert found.scores == pytest.approx([0.9, 0.8])
    assert found.boxes == pytest.approx(np.array([[16, 0, 48, 32], [0, 0, 24, 24]]))
    assert found.landmarks[1] == pytest.approx(8 + 8 * np.array(POINTS).reshape(5, 2))


def test_scrfd_keeps_the_better_of_two_boxes_on_one_face(monkeypatch: pytest.MonkeyPatch) -> None:
    same = [1.0, 1, 2, 2]
    fake = FakeScrfd({(8, 13, 0): (0.7, same, POINTS), (8, 13, 1): (0.8, same, POINTS)})
    assert scrfd(monkeypatch, fake)(np.zeros((64, 96, 3), np.uint8)).scores == pytest.approx([0.8])


def test_scrfd_answers_in_the_pixels_of_a_larger_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeScrfd({(8, 13, 0): (0.9, [1, 1, 2, 2], POINTS)})
    found = scrfd(monkeypatch, fake, side=96)(np.zeros((128, 192, 3), np.uint8))
    assert found.boxes == pytest.approx(np.array([[0, 0, 48, 48]]))
    assert found.landmarks[0, 1] == pytest.approx([32, 16])


def test_scrfd_sees_rgb_and_nothing_is_found_in_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeScrfd({})
    blue = np.zeros((64, 96, 3), np.uint8)
    blue[..., 0] = 255
    found = scrfd(monkeypatch, fake)(blue)
    assert (found.boxes.shape, found.landmarks.shape) == ((0, 4), (0, 5, 2))
    assert fake.seen[0, 2] == pytest.approx(127.5 / 128)
    assert fake.seen[0, 0] == pytest.approx(-127.5 / 128)


def test_aligned_crops_put_the_points_on_the_template() -> None:
    image = np.zeros((200, 200, 3), np.uint8)
    points = (ARCFACE_TEMPLATE + 40).astype(np.float32)
    x, y = points[2].astype(int)
    image[y, x] = 255
    crops = aligned_crops(image, points[None])
    assert crops.shape == (1, 112, 112, 3)
    assert np.unravel_index(crops[0, ..., 0].argmax(), (112, 112)) == (y - 40, x - 40)
    assert aligned_crops(image, points[:0].reshape(0, 5, 2)).shape == (0, 112, 112, 3)


@pytest.mark.parametrize(
    ("recogniser", "architecture"), [("xxs", "edgenext_xx_small"), ("xs", "edgenext_x_small")]
)
def test_edgeface_is_exported_with_a_free_batch(tmp_path: Path, recogniser: str, architecture: str) -> None:
    timm = pytest.importorskip("timm")
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    torch.manual_seed(0)
    net = timm.create_model(architecture, num_classes=512).eval()
    save_file(net.state_dict(), tmp_path / f"edgeface_{recogniser}.safetensors")
    crops = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), np.uint8)
    rgb = torch.from_numpy(np.ascontiguousarray(crops[..., ::-1])).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        expected = torch.nn.functional.normalize(net((rgb - 127.5) / 127.5)).numpy()
    edgeface = EdgeFaceOnCrops(tmp_path, threads=1, recogniser=recogniser)
    assert edgeface(crops) == pytest.approx(expected, abs=1e-4)
    assert edgeface(crops[:1]) == pytest.approx(expected[:1], abs=1e-4)
    assert edgeface(crops[:0]).shape == (0, 512)


def test_missing_files_are_named(tmp_path: Path) -> None:
    for build, name in (
        (lambda: Yunet(tmp_path, 320), "face_detection_yunet"),
        (lambda: Scrfd(tmp_path, 320), "scrfd_500m"),
        (lambda: SFace(tmp_path), "face_recognition_sface"),
    ):
        with pytest.raises(OneShotError, match=name):
            build()


def found(count: int) -> Found:
    points = np.tile(ARCFACE_TEMPLATE, (count, 1, 1))
    return Found(np.zeros((count, 4), np.float32), np.linspace(1, 0.5, count, dtype=np.float32), points)


def test_two_stages_recognise_the_best_faces_in_one_batch() -> None:
    batches = []

    def embed(crops: np.ndarray) -> np.ndarray:
        batches.append(len(crops))
        return np.zeros((len(crops), 4), np.float32)

    image = np.zeros((120, 120, 3), np.uint8)
    run = pipelines.TimedTwoStage(lambda image: found(5), embed, keep=3)(image)
    assert (run.found, batches) == (3, [3])
    assert list(run.stages) == ["detect", "crop", "embed"]
    assert pipelines.TimedTwoStage(lambda image: found(5), embed, keep=None)(image).found == 5
    assert pipelines.TimedTwoStage(lambda image: found(0), embed, keep=None)(image).found == 0
    assert run.faces.scores.tolist() == [1, 0.875, 0.75]


def test_pipelines_that_cannot_be_built_are_listed_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dlib", None)
    settings = pipelines.Settings(
        320,
        weights=tmp_path / "none.onnx",
        squeezefaceposenet=tmp_path / "none.safetensors",
        peers=tmp_path,
        models=tmp_path,
    )
    built, absent = pipelines.build(list(pipelines.PIPELINES), settings)
    assert list(built) == [  # which bring their files
        "oneshot-int8",
        "oneshot-large",
        "oneshot-large-int8",
        "oneshot-nano",
        "oneshot-nano-int8",
    ]
    assert list(absent) == [name for name in pipelines.PIPELINES if name not in built]
    assert "face_detection_yunet" in absent["yunet+sface"]
    assert "none.safetensors" in absent["mtcnn+squeezefaceposenet"]
    assert "pip install" in absent["dlib"]
    with pytest.raises(OneShotError, match="yolo: no such pipeline"):
        pipelines.build(["oneshot", "yolo"], settings)


def test_the_two_stage_pipeline_is_two_stages(
    recogniser_weights: Path, model: OneShot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oneshot.inference.mtcnn.Mtcnn", lambda *args, **kwargs: model)
    settings = pipelines.Settings(320, squeezefaceposenet=recogniser_weights)
    built, absent = pipelines.build(["mtcnn+squeezefaceposenet"], settings)
    assert absent == {}
    image = picture(Rhea=(30, 40, 130, 160), Gus=(200, 50, 260, 110))
    run = built["mtcnn+squeezefaceposenet"](image)
    expected = TwoStage(recogniser_weights, detector=model, threads=1)(image)
    assert list(run.stages) == ["detect", "crop", "embed"]
    rows = run.faces.embeddings / np.linalg.norm(run.faces.embeddings, axis=1, keepdims=True)
    np.testing.assert_allclose(rows, expected.embeddings, atol=1e-5)
    np.testing.assert_array_equal(run.faces.boxes, expected.boxes)


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    data = pytest.importorskip("skimage.data")
    return np.ascontiguousarray(data.astronaut()[..., ::-1])


def test_dlib_finds_and_describes_a_face(astronaut: np.ndarray) -> None:
    pytest.importorskip("dlib")
    pytest.importorskip("face_recognition_models")
    from oneshot.evaluation.peers.dlib import Dlib

    dlib = Dlib(side=320)
    found = dlib.detect(astronaut)
    assert found.scores[0] > 1 and bool((np.diff(found.scores) < 0).all())  # best first
    x0, y0, x1, y1 = found.boxes[0]
    assert x0 < 222 < x1 and y0 < 108 < y1
    right, left = found.landmarks[0, :2].mean(0), found.landmarks[0, 2:4].mean(0)
    np.testing.assert_allclose((left + right) / 2, (222, 108), atol=8)
    assert left[0] < right[0]
    crops = dlib.cut(astronaut, found.landmarks[:1])
    assert crops.shape == (1, 150, 150, 3)
    assert crops[0, ..., 0].mean() > crops[0, ..., 2].mean()  # skin, in RGB
    assert dlib.embed(crops).shape == (1, 128)
    nothing = dlib.detect(np.zeros((100, 120, 3), np.uint8))
    assert (nothing.boxes.shape, nothing.landmarks.shape) == ((0, 4), (0, 5, 2))
    assert dlib.embed(dlib.cut(astronaut, nothing.landmarks)).shape == (0, 128)
