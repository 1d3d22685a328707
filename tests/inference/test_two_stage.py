"""The two-stage path behind the one pass's call: stand-ins first, then MTCNN itself."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from conftest import ROOT
from fake import picture

from oneshot import Faces, Gallery, OneShot, OneShotError, TwoStage
from oneshot.inference.crop import aligned_crop, box_crop
from oneshot.models.weights import load_squeezefaceposenet

PHOTO = picture(Rhea=(30, 40, 130, 160), Gus=(200, 50, 260, 110))


@pytest.fixture(scope="module")
def weights(recogniser_weights: Path) -> Path:
    return recogniser_weights


@pytest.fixture(scope="module")
def two_stage(weights: Path, model: OneShot) -> TwoStage:
    """The fake network's boxes, described anew."""
    return TwoStage(weights, detector=model, threads=1)


def test_faces_are_the_detectors_with_the_recognisers_embeddings(
    two_stage: TwoStage, model: OneShot, weights: Path
) -> None:
    faces, found = two_stage(PHOTO), model(PHOTO)
    for name in ("boxes", "scores", "landmarks"):
        np.testing.assert_array_equal(getattr(faces, name), getattr(found, name))
    assert faces.embeddings.shape == (2, 1000)
    assert np.linalg.norm(faces.embeddings, axis=1) == pytest.approx([1, 1])
    crops = np.stack([aligned_crop(PHOTO, points) for points in found.landmarks])
    rgb = torch.from_numpy(crops[..., ::-1].copy()).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        expected = torch.nn.functional.normalize(load_squeezefaceposenet(weights)[0](rgb)).numpy()
    np.testing.assert_allclose(faces.embeddings, expected, atol=1e-4)
    assert float(expected[0] @ expected[1]) < 0.999  # else the test would not tell them apart


def test_the_papers_crop_is_another_description_and_another_fingerprint(
    weights: Path, model: OneShot, two_stage: TwoStage
) -> None:
    other = TwoStage(weights, detector=model, crop="box", threads=1)
    crops = np.stack([box_crop(PHOTO, box) for box in model(PHOTO).boxes])
    rows = other.recognise(crops)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(other(PHOTO).embeddings, rows, atol=1e-5)
    assert other.info["weights_sha256"] != two_stage.info["weights_sha256"]


def test_lists_limits_and_pictures_without_a_face(weights: Path, model: OneShot, two_stage: TwoStage) -> None:
    several = two_stage([PHOTO, picture()])
    assert [len(faces) for faces in several] == [2, 0]
    assert several[1].embeddings.shape == (0, 1000)
    found = two_stage(PHOTO, embed=False)
    np.testing.assert_array_equal(found.boxes, several[0].boxes)
    assert found.embeddings.shape == (2, 0)
    one = TwoStage(weights, detector=model, max_faces=1, threads=1)(PHOTO)
    np.testing.assert_array_equal(one.boxes, model(PHOTO).boxes[:1])
    over = Faces(np.array([[-9, -9, 500, 90]]), np.ones(1), model(PHOTO).landmarks[:1], np.empty((1, 0)))  # type: ignore[arg-type]
    clipped = TwoStage(weights, detector=lambda image: over, threads=1)(PHOTO)
    np.testing.assert_array_equal(clipped.boxes, [[0, 0, 320, 90]])


def test_galleries_work_as_with_the_one_pass(two_stage: TwoStage, model: OneShot, tmp_path: Path) -> None:
    gallery = Gallery(two_stage)
    gallery.enroll("Rhea", [picture(Rhea=(30, 40, 130, 160))])
    matches = gallery.identify(two_stage(PHOTO).embeddings)
    assert [match.name for match in matches] == ["Rhea", None]
    gallery.save(tmp_path / "g.npz")
    assert Gallery.load(tmp_path / "g.npz", two_stage).names == ["Rhea"]
    with pytest.raises(OneShotError, match="other weights"):
        Gallery.load(tmp_path / "g.npz", model)


def test_wrong_settings_and_files_are_one_sentence(
    tmp_path: Path, weights: Path, fake_weights: Path, model: OneShot, two_stage: TwoStage
) -> None:
    for arguments, word in (
        ({"weights": tmp_path / "none.safetensors"}, "none.safetensors: no such"),
        ({"weights": fake_weights}, "end in .safetensors"),
        ({"weights": weights, "side": 8}, "side=8"),
        ({"weights": weights, "score_threshold": 2.0}, "score_threshold=2"),
        ({"weights": weights, "crop": "round"}, "crop='round'"),
        ({"weights": weights, "threads": 0}, "threads=0"),
    ):
        with pytest.raises(OneShotError, match=word):
            TwoStage(**{"detector": model, **arguments})  # type: ignore[arg-type]
    with pytest.raises(OneShotError, match="uint8"):
        two_stage(PHOTO.astype(np.float32))  # type: ignore[call-overload]


def test_a_machine_without_facenet_pytorch_is_told_so(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "facenet_pytorch", None)
    with pytest.raises(OneShotError, match="pip install --no-deps facenet-pytorch"):
        TwoStage(weights)


def test_importing_the_package_imports_no_torch() -> None:
    code = "import sys, oneshot; oneshot.TwoStage; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_detect_verify_names_people_with_it(
    weights: Path,
    model: OneShot,
    tmp_path: Path,
    detect_verify: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: dict[str, Any] = {}

    def detector(side: int, min_side: int, score: float, threads: int | None) -> Callable[..., Faces]:
        asked.update(side=side, threads=threads)
        return model

    monkeypatch.setattr("oneshot.inference.mtcnn.Mtcnn", detector)
    cv2.imwrite(str(tmp_path / "Rhea.png"), picture(Rhea=(30, 40, 130, 160)))
    cv2.imwrite(str(tmp_path / "photo.png"), PHOTO)
    out = tmp_path / "o.jsonl"
    options = [
        "--enroll",
        f"Rhea={tmp_path / 'Rhea.png'}",
        "--json",
        str(out),
        "--threads",
        "1",
        "--side",
        "96",
    ]
    video = ["--video", str(tmp_path / "photo.png"), "--pipeline", "two-stage"]
    assert detect_verify.main([*video, *options, "--weights", str(weights)]) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [line["name"] for line in lines] == ["Rhea", None]
    assert asked == {"side": 96, "threads": 1}
    monkeypatch.setattr("oneshot.inference.two_stage.WEIGHTS", "none.safetensors")
    assert detect_verify.main([*video, *options]) == 2
    assert "none.safetensors: no such weights file; leave --weights out" in capsys.readouterr().err


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    data = pytest.importorskip("skimage.data")
    return np.ascontiguousarray(data.astronaut()[..., ::-1])


def test_mtcnn_finds_a_face_in_the_pixels_of_the_picture(astronaut: np.ndarray) -> None:
    pytest.importorskip("facenet_pytorch")
    from oneshot.inference.mtcnn import Mtcnn

    found = Mtcnn(side=640)(astronaut)
    assert len(found) == 1 and found.embeddings.shape == (1, 0) and found.scores[0] > 0.9
    eyes, mouth = found.landmarks[0, :2], found.landmarks[0, 3:]
    np.testing.assert_allclose(eyes.mean(0), (222, 108), atol=8)
    assert eyes[0, 0] < eyes[1, 0] and mouth[:, 1].min() > eyes[:, 1].max()
    x0, y0, x1, y1 = found.boxes[0]
    assert x0 < eyes[0, 0] < eyes[1, 0] < x1 and y0 < eyes[0, 1] < mouth[0, 1] < y1
    wide = np.pad(astronaut[:350], ((0, 0), (0, 100), (0, 0)))  # 350 x 612: sides scale by other factors
    smaller = Mtcnn(side=301)(wide)
    np.testing.assert_allclose(smaller.landmarks[0], found.landmarks[0], atol=6)


def test_mtcnn_finds_nothing_in_nothing(astronaut: np.ndarray) -> None:
    pytest.importorskip("facenet_pytorch")
    from oneshot.inference.mtcnn import Mtcnn

    mtcnn = Mtcnn(side=320)
    for picture_ in (
        np.zeros((100, 300, 3), np.uint8),
        astronaut[:10, :10].copy(),
        astronaut[:300, :12].copy(),
    ):
        found = mtcnn(picture_)
        assert len(found) == 0 and found.landmarks.shape == (0, 5, 2)
