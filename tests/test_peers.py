"""The wrappers around other people's networks, with stand-ins for their files."""

from pathlib import Path

import numpy as np
import pytest

from oneshot.align import ARCFACE_TEMPLATE
from oneshot.errors import OneShotError
from oneshot.evaluation import peers, pipelines
from oneshot.evaluation.peers import EdgeFace, Found, Scrfd, SFace, Yunet, aligned_crops


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
    monkeypatch.setattr(peers, "session", lambda path, threads: fake)
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


def test_edgeface_is_exported_with_a_free_batch(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    torch.manual_seed(0)
    net = timm.create_model("edgenext_xx_small", num_classes=512).eval()
    save_file(net.state_dict(), tmp_path / "edgeface_xxs.safetensors")
    crops = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), np.uint8)
    rgb = torch.from_numpy(np.ascontiguousarray(crops[..., ::-1])).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        expected = torch.nn.functional.normalize(net((rgb - 127.5) / 127.5)).numpy()
    edgeface = EdgeFace(tmp_path, threads=1)
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
    run = pipelines.TwoStage(lambda image: found(5), embed, keep=3)(image)
    assert (run.found, batches) == (3, [3])
    assert list(run.stages) == ["detect", "crop", "embed"]
    assert pipelines.TwoStage(lambda image: found(5), embed, keep=None)(image).found == 5
    assert pipelines.TwoStage(lambda image: found(0), embed, keep=None)(image).found == 0


def test_pipelines_that_cannot_be_built_are_listed_with_the_reason(tmp_path: Path) -> None:
    settings = pipelines.Settings(320, weights=tmp_path / "none.onnx", peers=tmp_path, models=tmp_path)
    built, absent = pipelines.build(list(pipelines.PIPELINES), settings)
    assert built == {}
    assert list(absent) == list(pipelines.PIPELINES)
    assert "face_detection_yunet" in absent["yunet+sface"]
