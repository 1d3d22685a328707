"""Grouping by person, and the page that shows it."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from fake import photo, picture

from oneshot import OneShot, OneShotError
from oneshot.album import index as albums
from oneshot.album.cluster import group, thumbnail, write_page
from oneshot.cli import main

pytest.importorskip("scipy")
pytest.importorskip("pyarrow")


def crowd(sizes: list[int], spread: float = 0.35) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    whose = np.repeat(np.arange(len(sizes)), sizes)
    rows = rng.normal(size=(len(sizes), 64))[whose] + spread * rng.normal(size=(len(whose), 64))
    order = rng.permutation(len(whose))
    rows = rows[order].astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), whose[order]


def test_groups_are_people_by_falling_size_and_loners_are_alone() -> None:
    rows, whose = crowd([3, 9, 1, 5, 1])
    groups = group(rows, 0.5)
    assert {int(w): set(groups[whose == w].tolist()) for w in range(5)} == {
        0: {2},
        1: {0},
        2: {-1},
        3: {1},
        4: {-1},
    }
    assert (group(rows, -1.0) == 0).all()  # everybody is like everybody
    assert (group(rows, 0.9999) == -1).all()


@pytest.mark.parametrize(("count", "groups"), [(0, []), (1, [-1]), (6, [0] * 6)])
def test_nobody_one_face_and_one_person(count: int, groups: list[int]) -> None:
    rows, _ = crowd([6])
    assert group(rows[:count], 0.5).tolist() == groups


def test_too_many_faces_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oneshot.album.cluster.MOST", 5)
    with pytest.raises(OneShotError, match="6 faces, but 5 can be grouped at most"):
        group(crowd([6])[0], 0.5)


def test_a_thumbnail_shows_the_face_in_its_middle() -> None:
    image = picture(Rhea=(0, 100, 80, 180))
    thumb = thumbnail(image, np.array([0, 100, 80, 180], np.float32))
    assert thumb.shape == (128, 128, 3)
    inside = np.abs(thumb.astype(int) - image[140, 40]).max(2) < 30
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    edges = (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1)
    np.testing.assert_allclose(edges, (24, 104, 24, 104), atol=1)
    assert thumb[:, :20].max() == 0  # outside the picture


@pytest.fixture
def indexed(tmp_path: Path, fake_weights: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Rhea in three photos, Gus in two, Bo in one, indexed; the options of commands that use it."""
    folder = tmp_path / "a & b"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    for i in range(2):
        cv2.imwrite(str(folder / f"rhea <{i}>.png"), photo("Rhea", seed=i))
        cv2.imwrite(str(folder / f"gus{i}.png"), photo("Gus", seed=i))
    cv2.imwrite(str(folder / "both.png"), picture(Rhea=(20, 20, 100, 100), Bo=(150, 50, 230, 130)))
    (folder / "cut.png").write_bytes(b"no picture")
    options = ["--weights", str(fake_weights), "--threads", "1"]
    assert main(["index", "a & b", *options]) == 0
    return options


def test_index_lists_damaged_files(indexed: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    assert main(["index", "a & b", *indexed]) == 0
    out, err = capfd.readouterr()
    assert out == "faces.parquet: 6 faces in 5 photos (0 new, 1 damaged)\n"
    assert err.startswith("damaged: a & b/cut.png: not a picture") and len(err.splitlines()) == 1


def test_find_lists_the_photos_of_a_person(indexed: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    cv2.imwrite("gus.png", photo("Gus", seed=9))
    cv2.imwrite("wall.png", picture())
    capfd.readouterr()
    assert main(["find", "gus.png", *indexed]) == 0
    out = capfd.readouterr().out
    assert "gus0.png" in out and "gus1.png" in out and "rhea" not in out and "both" not in out
    assert main(["find", "gus.png", "--most", "1", *indexed]) == 0
    out = capfd.readouterr().out
    assert "2 photos in" in out and "gus1.png" not in out
    assert main(["find", "wall.png", "--threshold", "-1", *indexed]) == 1
    assert "no face found" in capfd.readouterr().out
    assert main(["find", "gus.png", "--threshold", "1", *indexed]) in (0, 1)
    capfd.readouterr()
    assert main(["find", "a & b/both.png", *indexed]) == 2
    assert "2 faces found where one is wanted" in capfd.readouterr().err


def test_cluster_writes_a_page(indexed: list[str], capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    capfd.readouterr()
    assert main(["cluster", *indexed]) == 0
    assert capfd.readouterr().out == "people-page/index.html: 2 people, 1 face seen once\n"
    page = (tmp_path / "people-page" / "index.html").read_text(encoding="utf-8")
    titles = (
        "Person 1: 3 faces in 3 photos",
        "Person 2: 2 faces in 2 photos",
        "Seen once: 1 face in 1 photo",
    )
    places = [page.index(title) for title in titles]
    assert places == sorted(places)
    assert "rhea &lt;0&gt;.png" in page and "<0>" not in page and "a%20%26%20b" in page
    assert len(list((tmp_path / "people-page" / "faces").glob("*.jpg"))) == 6


def test_photos_that_are_gone_are_told(indexed: list[str], model: OneShot, tmp_path: Path) -> None:
    album = albums.load(tmp_path / "faces.parquet", model)
    (tmp_path / "a & b" / "gus0.png").unlink()
    (failure,) = write_page(album, group(album.embeddings, 0.4), tmp_path / "page")
    assert "gus0.png: no such picture" in failure
    (tmp_path / "file").touch()
    with pytest.raises(OneShotError, match="file: cannot be made"):
        write_page(album, group(album.embeddings, 0.4), tmp_path / "file")


def test_cluster_without_an_index(indexed: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["cluster", "--index", "none.parquet", *indexed]) == 2
    assert "none.parquet: no such index; make one with oneshot index" in capfd.readouterr().err
