"""The shipped network gives the same faces from torch, from fp32 ONNX and from ONNX with fp16 weights."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from conftest import load_script

from oneshot import Faces, OneShot
from oneshot.convert.rewrites import store_half
from oneshot.convert.to_onnx import export_onnx
from oneshot.inference.backend import default_weights
from oneshot.models.weights import load_network
from oneshot.types import Image

PICTURES = ("landscape", "portrait", "tiny", "huge", "grey", "nobody", "fifty")
SIDES = {"tiny": 64, "huge": 1280}
"""Pixels of the longest side, where it is not 640."""

LEAST = 0.3
"""Score; low, so that doubtful faces are compared too."""


@pytest.fixture(scope="module")
def pictures() -> dict[str, Image]:
    """BGR pictures made of the demo's two photos."""
    collins, hopper = load_script("make_demo_video").photos().values()
    face = cv2.resize(collins[30:210, 130:310], (96, 96), interpolation=cv2.INTER_AREA)
    other = cv2.resize(hopper[80:370, 120:410], (96, 96), interpolation=cv2.INTER_AREA)
    rows = [np.hstack([(face, other)[(row + column) % 2] for column in range(10)]) for row in range(5)]
    grey = cv2.cvtColor(cv2.cvtColor(collins, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    made = {
        "landscape": np.hstack([collins, collins[:, ::-1]]),
        "portrait": hopper,
        "tiny": face[8:88, 8:88],
        "huge": cv2.resize(collins, (3000, 3000), interpolation=cv2.INTER_LINEAR),
        "grey": grey,
        "nobody": np.random.default_rng(0).integers(0, 256, (300, 500, 3)),
        "fifty": np.vstack(rows),
    }
    return {name: np.ascontiguousarray(image, np.uint8) for name, image in made.items()}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("parity")
    tensors = default_weights().with_suffix(".safetensors")
    files = {name: folder / f"{name}.onnx" for name in ("fp32", "fp16")}
    net, info = load_network(tensors)
    export_onnx(net, files["fp32"], info, half=False)
    graph = onnx.load(files["fp32"])
    store_half(graph)
    onnx.save(graph, files["fp16"])
    return {"torch": tensors, **files}


@pytest.fixture(scope="module")
def found(files: dict[str, Path], pictures: dict[str, Image]) -> dict[str, dict[str, Faces]]:
    """Faces by file and picture."""
    faces: dict[str, dict[str, Faces]] = {}
    for name, path in files.items():
        model = OneShot(path, threads=1, score_threshold=LEAST)
        faces[name] = {}
        for picture, image in pictures.items():
            model.side = SIDES.get(picture, 640)
            faces[name][picture] = model(image)
    return faces


def same_order(faces: Faces, as_in: Faces) -> Faces:
    """Scores that nearly tie may change places."""
    if not len(faces):
        return faces
    return faces[np.abs(faces.boxes[None] - as_in.boxes[:, None]).max(-1).argmin(1)]


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize(
    ("one", "other", "pixels", "score", "cosine"),
    # Pixels of the picture; one of the network's is 2.3 of the huge one's.
    [("torch", "fp32", 0.5, 0.002, 0.9999), ("fp32", "fp16", 1.5, 0.01, 0.999)],
)
def test_two_files_find_the_same_faces(
    found: dict[str, dict[str, Faces]],
    picture: str,
    one: str,
    other: str,
    pixels: float,
    score: float,
    cosine: float,
) -> None:
    expected, got = found[one][picture], found[other][picture]
    assert len(got) == len(expected)
    got = same_order(got, expected)
    np.testing.assert_allclose(got.boxes, expected.boxes, atol=pixels)
    np.testing.assert_allclose(got.scores, expected.scores, atol=score)
    # Where hardly a face is, rounded weights move the corrected landmarks by more.
    doubtful = (expected.scores < 0.5) & (other == "fp16")
    moved = np.abs(got.landmarks - expected.landmarks).max((1, 2))
    assert (moved <= np.where(doubtful, 2 * pixels, pixels)).all()
    similarity = (got.embeddings * expected.embeddings).sum(1)
    nobody = ~got.embeddings.any(1) & ~expected.embeddings.any(1)  # which way up they are cannot be told
    assert (nobody | (similarity >= np.where(doubtful, 0.99, cosine))).all()
    assert not nobody[expected.scores > 0.5].any()


@pytest.fixture(scope="module")
def batch(pictures: dict[str, Image]) -> list[Image]:
    """Pictures of one size with two, no, one and twelve faces, and one of another size in between."""
    collins, hopper = pictures["landscape"][:, :512], cv2.resize(pictures["portrait"], (512, 512))
    crowd = np.zeros((512, 512, 3), np.uint8)
    crowd[:288, :384] = pictures["fifty"][:288, :384]
    two = np.hstack([cv2.resize(collins, (256, 512)), cv2.resize(hopper, (256, 512))])
    return [two, np.zeros_like(two), pictures["tiny"], collins, crowd]


@pytest.mark.parametrize("name", ["torch", "fp32", "fp16"])
def test_pictures_together_have_the_faces_they_have_alone(
    files: dict[str, Path], batch: list[Image], name: str
) -> None:
    model = OneShot(files[name], threads=1)
    together = model(batch)
    counts = [len(faces) for faces in together]
    assert counts[1] == 0 and min(counts[0], *counts[2:4]) >= 1 and counts[4] >= 10
    for image, faces in zip(batch, together, strict=True):
        alone = model(image)
        np.testing.assert_allclose(faces.boxes, alone.boxes, atol=1e-2)
        np.testing.assert_allclose(faces.landmarks, alone.landmarks, atol=1e-2)
        np.testing.assert_allclose(faces.scores, alone.scores, atol=1e-4)
        np.testing.assert_allclose(faces.embeddings, alone.embeddings, atol=1e-4)


def test_pictures_of_one_size_share_a_run(files: dict[str, Path], batch: list[Image]) -> None:
    model = OneShot(files["fp32"], threads=1)
    ran: list[int] = []
    run = model.backend.run
    model.backend.run = lambda image, *rest: ran.append(len(image)) or run(image, *rest)  # type: ignore
    counts = [len(faces) for faces in model(batch)]
    assert sorted(ran) == [1, 4]
    model.max_faces = 2
    assert [len(faces) for faces in model(batch)] == [min(2, count) for count in counts]  # of each picture


def test_the_pictures_show_what_they_are_meant_to(found: dict[str, dict[str, Faces]]) -> None:
    counts = {picture: len(faces) for picture, faces in found["torch"].items()}
    assert counts["nobody"] == 0 and counts["fifty"] >= 50 and counts["landscape"] >= 2
    assert min(counts[name] for name in ("portrait", "tiny", "huge", "grey")) >= 1


def test_fp16_weights_halve_the_file(files: dict[str, Path]) -> None:
    assert files["fp16"].stat().st_size < 0.56 * files["fp32"].stat().st_size
    assert files["fp16"].stat().st_size <= 5e6
