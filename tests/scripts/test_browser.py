"""The demo page in a headless Chromium finds and names the faces that the Python runtime finds and names.

ONESHOT_SCREENSHOT=/tmp/page pytest tests/scripts/test_browser.py also keeps pictures: /tmp/page-dark.png …
"""

import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from browsing import Drive
from conftest import load_script

from oneshot import Faces, Gallery, OneShot, OneShotError
from oneshot.media.images import least_side, letterbox, read_image

SIDES = (640, 320)
PEOPLE = ("Eileen Collins", "Grace Hopper")
PHOTOS = [
    (name, side)
    for name in (*(f"{p}.png" for p in PEOPLE), "hopper.jpg", "both.png", "small.png")
    for side in SIDES
]
GRIDS = [((61, 47), 32), ((300, 200), 96), ((128, 64), 64), ((33, 500), 250), ((20, 40), 40), ((1, 700), 64)]
GRIDS += [((20, 40), 64), ((90, 121), 640), ((1, 1), 640), ((256, 200), 640)]
"""Sizes (height, width) of noise, and the side to fit it to: odd, whole and half steps, none, up."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    serve_demo = load_script("serve_demo")
    try:
        demo = serve_demo.server(0)
    except OneShotError as error:
        pytest.skip(str(error))
    thread = threading.Thread(target=demo.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{demo.server_port}"
    demo.shutdown()
    demo.server_close()


@pytest.fixture(scope="module")
def noise() -> list[np.ndarray]:
    random = np.random.default_rng(5)
    return [random.integers(0, 256, (*size, 3), np.uint8) for size, _ in GRIDS]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The demo's two photos as they come, both in one picture, nobody, and a short video."""
    from matplotlib import cbook

    folder = tmp_path_factory.mktemp("photos")
    demo = load_script("make_demo_video")
    for name, photo in demo.photos().items():
        cv2.imwrite(str(folder / f"{name}.png"), photo)
    hopper = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    shutil.copy(hopper, folder / "hopper.jpg")
    small = cv2.resize(demo.photos()[PEOPLE[0]], None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(folder / "small.png"), small)
    still = demo.view(demo.hang(demo.photos()), demo.BOTH)
    cv2.imwrite(str(folder / "both.png"), still)
    cv2.imwrite(str(folder / "nobody.png"), np.zeros((200, 300, 3), np.uint8))
    writer = cv2.VideoWriter(str(folder / "both.webm"), cv2.VideoWriter.fourcc(*"VP80"), 10, (640, 360))
    for _ in range(20):
        writer.write(cv2.resize(still, (640, 360), interpolation=cv2.INTER_AREA))
    writer.release()
    return {path.name: path for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def result(drive: Drive, address: str, files: dict[str, Path], noise: list[np.ndarray]) -> dict[str, Any]:
    """What came of the job in the browser; see drive.mjs."""
    opaque = [np.dstack((image, np.full(image.shape[:2], 255, np.uint8))) for image in noise]
    job = {
        "grids": [
            {"data": a.ravel().tolist(), "width": a.shape[1], "height": a.shape[0], "side": side}
            for a, (_, side) in zip(opaque, GRIDS, strict=True)
        ],
        "photos": [{"path": str(files[name]), "side": side} for name, side in PHOTOS],
        "people": [str(files[f"{name}.png"]) for name in PEOPLE],
        "looks": [str(files[name]) for name in ("nobody.png", "both.png")],
        "video": str(files["both.webm"]),
        "screenshot": os.environ.get("ONESHOT_SCREENSHOT"),
    }
    return drive("drive.mjs", address, job)


@pytest.fixture(scope="module")
def expected(files: dict[str, Path]) -> dict[tuple[str, int], Faces]:
    models = {side: OneShot(side=side, threads=1) for side in SIDES}
    return {(name, side): models[side](read_image(files[name])) for name, side in PHOTOS}


def test_the_letterbox_gives_the_same_pixels(result: dict[str, Any], noise: list[np.ndarray]) -> None:
    for image, (_, side), got in zip(noise, GRIDS, result["letterboxed"], strict=True):
        padded, scale = letterbox(image, side, least_side(None, side))
        assert (got["height"], got["width"]) == padded.shape[:2]
        np.testing.assert_array_equal(got["scale"], scale)
        # One grey value where a mean lies so close to halfway that the order of the sum decides.
        off = np.abs(np.array(got["pixels"], int).reshape(padded.shape) - padded)
        assert off.max() <= 1 and off.mean() < 0.01


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda p: f"{p[0]}-{p[1]}")
def test_the_faces_are_those_of_the_python_runtime(
    result: dict[str, Any], expected: dict[tuple[str, int], Faces], photo: tuple[str, int]
) -> None:
    got, faces = result["faces"][PHOTOS.index(photo)], expected[photo]
    assert len(got) == len(faces) > 0
    # Of a PNG both see the same pixels; decoders of JPEG may differ by a grey value.
    pixels, cosine = (1, 0.99) if photo[0].endswith(".jpg") else (0.1, 0.9999)
    np.testing.assert_allclose([f["box"] for f in got], faces.boxes, atol=pixels)
    np.testing.assert_allclose([f["landmarks"] for f in got], faces.landmarks, atol=pixels)
    np.testing.assert_allclose([f["score"] for f in got], faces.scores, atol=0.01)
    cosines = (np.array([f["embedding"] for f in got]) * faces.embeddings).sum(1)
    assert cosines.min() >= cosine


@pytest.mark.filterwarnings("ignore:.*the largest is enrolled")
def test_the_page_names_whom_the_python_runtime_names(
    result: dict[str, Any], files: dict[str, Path], expected: dict[tuple[str, int], Faces]
) -> None:
    model = OneShot(threads=1)
    assert result["facts"] == model.info
    gallery = Gallery(model)
    for name in PEOPLE:
        gallery.enroll(name, [files[f"{name}.png"]])
    faces = expected["both.png", 640]
    matches = gallery.identify(faces.embeddings)
    assert {m.name for m in matches} >= set(PEOPLE)
    nobody, both = result["looks"]
    assert nobody == {"faces": [], "count": "0"} and both["count"] == str(len(faces))
    for (name, detail, _), match in zip(both["faces"], matches, strict=True):
        assert name == (match.name or "unknown")
        assert float(detail.removeprefix("similarity ")) == pytest.approx(match.similarity, abs=0.006)


def test_people_are_kept_forgotten_and_named_by_hand(result: dict[str, Any]) -> None:
    def names(rows: list[list[str]]) -> set[str]:
        return {row[0] for row in rows}

    assert [row[0] for row in result["people"]] == list(PEOPLE)
    assert [row[0] for row in result["left"]] == list(PEOPLE[1:])
    assert names(result["after"]["faces"]) >= {"unknown", PEOPLE[1]}
    assert PEOPLE[0] not in names(result["after"]["faces"])
    assert names(result["named"]) >= {"Ada", PEOPLE[1]}


def test_a_video_and_the_webcam_are_followed(result: dict[str, Any]) -> None:
    assert int(result["video"]["count"]) >= 2  # the video holds both people
    assert float(result["webcam"]["fps"].split()[0]) > 0  # Chromium's fake camera shows nobody


def test_nothing_is_asked_of_another_machine_and_nothing_goes_wrong(result: dict[str, Any]) -> None:
    assert result["elsewhere"] == [] and result["errors"] == []
    assert result["isolated"] is True  # or ONNX Runtime would use one thread


def test_npm_missing_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    serve_demo = load_script("serve_demo")
    monkeypatch.setattr(serve_demo, "VENDOR", tmp_path / "vendor")
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(OneShotError, match=r"npm is missing.*install Node\.js"):
        serve_demo.fetch_runtime()


def test_what_cannot_be_served_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve_demo = load_script("serve_demo")
    with pytest.raises(OneShotError, match=r"none\.onnx: no such weights file"):
        serve_demo.server(0, tmp_path / "none.onnx")
    monkeypatch.setattr(serve_demo, "fetch_runtime", lambda: None)
    with serve_demo.server(0) as first, pytest.raises(OneShotError, match=r"cannot be used.*--port"):
        serve_demo.server(first.server_port)
