"""The page that shows the groups, and the commands that use an index."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from fake import EMBEDDINGS, photo, picture

from oneshot import Gallery, OneShot, OneShotError
from oneshot.album.album import load
from oneshot.album.cluster import thumbnail, write_page
from oneshot.album.linkage import group
from oneshot.cli import main

pytest.importorskip("faiss")
pytest.importorskip("scipy")
pytest.importorskip("pyarrow")


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
    damaged, skipped = err.splitlines()
    assert damaged.startswith("damaged: a & b/cut.png: not a picture")
    assert skipped == "1 file skipped: 1 damaged"


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
    album = load(tmp_path / "faces.parquet", model)
    (tmp_path / "a & b" / "gus0.png").unlink()
    (failure,) = write_page(album, group(album.embeddings, 0.4), tmp_path / "page")
    assert "gus0.png: no such picture" in failure
    (tmp_path / "file").touch()
    with pytest.raises(OneShotError, match="file: cannot be made"):
        write_page(album, group(album.embeddings, 0.4), tmp_path / "file")


def test_cluster_without_an_index(indexed: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["cluster", "--index", "none.parquet", *indexed]) == 2
    assert "none.parquet: no such index; make one with oneshot index" in capfd.readouterr().err


def test_names_and_corrections_outlive_new_and_renamed_photos(
    indexed: list[str], capfd: pytest.CaptureFixture[str], tmp_path: Path, model: OneShot
) -> None:
    page, folder = tmp_path / "people-page" / "index.html", tmp_path / "a & b"
    assert main(["cluster", *indexed]) == 0
    assert main(["cluster", "--name", "1=Rhea <R>", "--name", "2=Gus", *indexed]) == 0
    text = page.read_text(encoding="utf-8")
    assert "Person 1, Rhea &lt;R&gt;: 3 faces" in text and "Person 2, Gus: 2 faces" in text
    (folder / "rhea <0>.png").rename(folder / "z.png")
    cv2.imwrite(str(folder / "new.png"), photo("Rhea", seed=7))
    assert main(["index", "a & b", *indexed]) == 0
    assert main(["cluster", "--not", "gus1.png#0=Gus", *indexed]) == 0
    text = page.read_text(encoding="utf-8")
    assert "Person 1, Rhea &lt;R&gt;: 4 faces in 4 photos" in text and "new.png#0" in text
    assert "Person 2, Gus: 1 face in 1 photo" in text and "Seen once: 2 faces" in text
    capfd.readouterr()
    options = ["cluster", "--gallery", "g.db", *indexed]
    assert main(options) == 0
    assert capfd.readouterr().out.splitlines()[1:] == ["Rhea <R>: 4 photos enrolled", "Gus: 1 photo enrolled"]
    assert main(options) == 0
    assert capfd.readouterr().out.splitlines()[1:] == [
        "Rhea <R>: 0 photos enrolled",
        "Gus: 0 photos enrolled",
    ]
    with Gallery(model, tmp_path / "g.db") as gallery:
        names = [match.name for match in gallery.identify(EMBEDDINGS)]
        assert names == ["Rhea <R>", "Gus", None]
        done = gallery.enroll("Gus", [folder / "gus0.png"])  # known by its contents, however it came there
        assert list(done.left_out.values()) == ["already enrolled"]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (["--name", "9=Ada"], "9: no such group on the last page"),
        (["--name", "0=Ada"], "0: no such group on the last page"),
        (["--not", "none.png#0=Ada"], "none.png#0: no such face in the index"),
        (["--name", "Ada"], "Ada: want WHICH=NAME"),
        (["--name", "1= "], "1= : want WHICH=NAME"),
    ],
)
def test_who_is_no_group_and_no_face_cannot_be_named(
    indexed: list[str], capfd: pytest.CaptureFixture[str], said: list[str], message: str
) -> None:
    assert main(["cluster", *indexed]) == 0
    capfd.readouterr()
    assert main(["cluster", *said, *indexed]) == 2
    err = capfd.readouterr().err
    assert message in err and len(err.splitlines()) == 1


def test_a_file_that_does_not_hold_names_is_refused_and_kept(
    indexed: list[str], capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "faces.people.parquet").write_text("mine")
    assert main(["cluster", *indexed]) == 2
    assert "faces.people.parquet: does not hold people's names" in capfd.readouterr().err
    assert (tmp_path / "faces.people.parquet").read_text() == "mine"
