"""Videos of a collection: one row a face that is followed, found and grouped beside the photos'."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from fake import EMBEDDINGS, photo, picture

from oneshot import OneShot
from oneshot.album import index as albums
from oneshot.album.album import load
from oneshot.album.videos import frame_at
from oneshot.cli import main
from oneshot.media.sink import VideoSink

pytest.importorskip("faiss")
pytest.importorskip("pyarrow")
pytest.importorskip("scipy")

FPS = 10


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A photo of Rhea, and a film: Rhea for 3 s, nearest at 1.6 s; Gus; Rhea again; Bo in passing."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "photos"
    folder.mkdir()
    cv2.imwrite(str(folder / "rhea.png"), photo("Rhea"))
    scenes = {"Rhea": (0, 3), "Gus": (5, 8), "Bo": (9, 9.4), "Rhea ": (11, 13)}
    with VideoSink(folder / "film.mp4", FPS) as sink:
        for i in range(14 * FPS):
            who = next((who.strip() for who, (start, end) in scenes.items() if start <= i / FPS < end), None)
            sink.write(photo(who, 120 if i == 16 else 90) if who else picture())
    return folder


def test_a_face_that_is_followed_is_one_row_at_its_best_look(
    folder: Path, tmp_path: Path, model: OneShot
) -> None:
    out = tmp_path / "faces.parquet"
    done = albums.index(folder, out, model, videos=True)
    assert (done.new, done.faces, done.damaged, done.found.skipped) == (2, 4, {}, {})
    album = load(out, model)
    film = [i for i, name in enumerate(album.photos) if name == "film.mp4"]
    assert album.numbers[film].tolist() == [0, 1, 2]  # Bo is in too few frames
    assert album.seconds[film[0]] == pytest.approx(1.6)
    assert 5 <= album.seconds[film[1]] < 8 <= 11 <= album.seconds[film[2]] < 13
    np.testing.assert_allclose(album.embeddings[film] @ EMBEDDINGS.T, np.eye(3)[[0, 1, 0]], atol=0.2)
    photos = [i for i, name in enumerate(album.photos) if name == "rhea.png"]
    assert np.isnan(album.seconds[photos]).all()
    for i in film:  # what stands at that time, where the box is
        image = frame_at(folder / "film.mp4", album.seconds[i])
        x0, y0, x1, y1 = album.boxes[i].round().astype(int)
        assert image[y0 + 5 : y1 - 5, x0 + 5 : x1 - 5].reshape(-1, 3).max(1).min() > 100


def test_without_the_option_videos_are_skipped_with_the_remedy_and_those_known_stay(
    folder: Path, tmp_path: Path, model: OneShot, fake_weights: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ["--weights", str(fake_weights), "--threads", "1"]
    assert main(["index", "photos", *options]) == 0
    out, err = capfd.readouterr()
    assert out == "faces.parquet: 1 face in 1 photo (1 new)\n"
    assert err == "1 file skipped: 1 .mp4 (a video: --videos)\n"
    assert main(["index", "photos", "--videos", *options]) == 0
    assert capfd.readouterr() == ("faces.parquet: 4 faces in 2 files (1 new)\n", "")
    again = albums.index(folder, tmp_path / "faces.parquet", model)
    assert (again.new, again.known, again.faces) == (0, 2, 4)
    (folder / "film.mp4").unlink()
    assert albums.index(folder, tmp_path / "faces.parquet", model).faces == 1


def test_damaged_videos_are_told_and_the_rest_goes_on(folder: Path, tmp_path: Path, model: OneShot) -> None:
    (folder / "a.mp4").write_bytes((folder / "film.mp4").read_bytes()[:500])
    done = albums.index(folder, tmp_path / "faces.parquet", model, videos=True)
    assert done.faces == 4 and [*done.damaged] == ["a.mp4"]


def test_find_tells_the_time_and_cluster_joins_one_person_of_a_video(
    folder: Path, fake_weights: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ["--weights", str(fake_weights), "--threads", "1"]
    assert main(["index", "photos", "--videos", *options]) == 0
    cv2.imwrite("gus.png", photo("Gus", seed=3))
    capfd.readouterr()
    assert main(["find", "gus.png", *options]) == 0
    out, _ = capfd.readouterr()
    (line,) = [line for line in out.splitlines() if "film.mp4" in line]
    assert "0:05" <= line.split("│")[3].strip() < "0:08"
    assert main(["cluster", *options]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("people-page/index.html: 1 person, 1 face seen once") and err == ""
    page = (tmp_path / "people-page" / "index.html").read_text(encoding="utf-8")
    assert "Person 1: 3 faces in 2 files" in page and "film.mp4#t=" in page
    thumbs = [cv2.imread(str(path)) for path in (tmp_path / "people-page" / "faces").iterdir()]
    assert len(thumbs) == 4 and all(thumb[64, 64].max() > 100 for thumb in thumbs)
