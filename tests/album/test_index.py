"""Indexing a collection of photos: nothing is looked at twice, nothing is lost."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT, nobody
from fake import EMBEDDINGS, photo, picture, write_model

from oneshot import OneShot, OneShotError
from oneshot.album import index as albums
from oneshot.album.album import load
from oneshot.album.on_ray import on_ray

pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four photos, one of them below in a folder with a blank in its name, one damaged, one nobody's."""
    folder = tmp_path / "photos"
    (folder / "summer 2026").mkdir(parents=True)
    (folder / ".trash").mkdir()
    cv2.imwrite(str(folder / "1.png"), photo("Rhea"))
    cv2.imwrite(str(folder / "10.png"), picture(Rhea=(0, 0, 50, 50), Gus=(100, 100, 160, 160)))
    cv2.imwrite(str(folder / "2.png"), picture())
    cv2.imwrite(str(folder / "summer 2026" / "é.png"), photo("Gus"))
    cv2.imwrite(str(folder / ".trash" / "gone.png"), photo("Bo"))
    (folder / "cut.jpg").write_bytes(b"\xff\xd8 cut")
    return folder


def visible(folder: Path) -> list[str]:
    """What is in a folder, but for the lock, which filelock leaves or removes as the system wants it."""
    return sorted(p.name for p in folder.iterdir() if not p.name.endswith(".lock"))


class Counting:
    """A model that counts its pictures, and may fail at one."""

    def __init__(self, model: OneShot, fail_at: int = -1):
        self.model, self.side, self.info, self.count, self.fail_at = model, model.side, model.info, 0, fail_at

    def side_for(self, image: np.ndarray) -> int:
        return self.side

    def __call__(self, image: np.ndarray) -> object:
        self.count += 1
        if self.count == self.fail_at:
            raise KeyboardInterrupt
        return self.model(image)


def test_every_face_of_every_photo(folder: Path, tmp_path: Path, model: OneShot) -> None:
    steps: list[int] = []
    done = albums.index(folder, tmp_path / "faces.parquet", model, lambda: steps.append(1))
    assert (done.new, done.known, done.faces, len(steps)) == (4, 0, 4, 5)
    assert list(done.damaged) == ["cut.jpg"] and "not a picture" in done.damaged["cut.jpg"]
    album = load(tmp_path / "faces.parquet", model)
    assert album.folder == folder and album.photos == ["1.png", "10.png", "10.png", "summer 2026/é.png"]
    np.testing.assert_allclose(album.embeddings, EMBEDDINGS[[0, 0, 1, 1]], atol=1e-6)
    np.testing.assert_array_equal(album.boxes[1], (0, 0, 50, 50))
    assert album.embeddings.dtype == np.float32 and 0.5 < album.qualities[0] <= 1
    assert visible(tmp_path) == ["faces.parquet", "photos"]


def test_a_second_run_looks_only_at_what_changed(folder: Path, tmp_path: Path, model: OneShot) -> None:
    out = tmp_path / "faces.parquet"
    albums.index(folder, out, model)
    again = Counting(model)
    assert albums.index(folder, out, again).known == 4 and again.count == 0  # type: ignore[arg-type]
    (folder / "10.png").unlink()
    cv2.imwrite(str(folder / "1.png"), photo("Bo"))
    cv2.imwrite(str(folder / "3.png"), photo("Rhea", seed=4))
    done = albums.index(folder, out, again)  # type: ignore[arg-type]
    assert (done.new, done.known, done.faces, again.count) == (2, 2, 3, 2)
    album = load(out, model)
    assert sorted(album.photos) == ["1.png", "3.png", "summer 2026/é.png"]
    np.testing.assert_allclose(album.embeddings[album.photos.index("1.png")], EMBEDDINGS[2], atol=1e-6)


def test_what_may_not_be_read_is_kept_as_it_was_and_the_rest_goes_on(model: OneShot) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name) / "photos", Path(name) / "out" / "faces.parquet"
        for place in (folder / "closed", out.parent):
            place.mkdir(parents=True)
        for path, who in ((folder / "1.png", "Rhea"), (folder / "closed" / "2.png", "Gus")):
            cv2.imwrite(str(path), photo(who))
        for place in (Path(name), out.parent):
            place.chmod(0o777)
        with nobody():
            assert albums.index(folder, out, model).faces == 2
        cv2.imwrite(str(folder / "3.png"), photo("Bo"))
        (folder / "closed").chmod(0)
        (folder / "1.png").chmod(0)
        with nobody():
            done = albums.index(folder, out, model)
        (folder / "closed").chmod(0o755)
        assert (done.new, done.known, done.faces, len(done.found.unreadable)) == (1, 2, 3, 2)
        assert load(out, model).photos == ["1.png", "closed/2.png", "3.png"]
        (folder / "closed").chmod(0)
        with nobody():
            assert albums.index(folder, out, model, exclude=["closed/2.png"]).faces == 2
        (folder / "closed").chmod(0o755)
        assert load(out, model).photos == ["1.png", "3.png"]
        assert albums.index(folder, out, model).faces == 3
        (folder / "closed" / "2.png").unlink()  # now it can be said
        assert albums.index(folder, out, model).faces == 2


def test_names_of_other_bytes_are_carried(tmp_path: Path, model: OneShot) -> None:
    folder, out = tmp_path / os.fsdecode(b"f\xfcr"), tmp_path / "faces.parquet"
    folder.mkdir()
    names = [os.fsdecode(b"m\xfcller.jfif"), r"m\xfcller.png"]
    for name, who in zip(names, ("Rhea", "Gus"), strict=True):
        (folder / name).write_bytes(cv2.imencode(".png", photo(who))[1].tobytes())
    assert albums.index(folder, out, model).new == 2
    album = load(out, model)
    assert album.folder == folder and sorted(album.photos) == sorted(names)
    assert albums.index(folder, out, model).new == 0
    (folder / names[0]).rename(folder / os.fsdecode(b"b\xf6.jfif"))
    again = albums.index(folder, out, model)
    assert (again.new, again.known, again.moved) == (0, 1, 1)
    moved = folder.rename(tmp_path / os.fsdecode(b"\xe9t\xe9"))
    again = albums.index(moved, out, model, rebase=True)
    assert (again.new, again.known, load(out, model).folder) == (0, 2, moved)


def test_ctrl_c_keeps_what_was_done(folder: Path, tmp_path: Path, model: OneShot) -> None:
    out = tmp_path / "faces.parquet"
    stopped = Counting(model, fail_at=3)
    with pytest.raises(KeyboardInterrupt):
        albums.index(folder, out, stopped)  # type: ignore[arg-type]
    assert len(load(out, model).photos) == 1  # of two photos, one has a face
    rest = Counting(model)
    done = albums.index(folder, out, rest)  # type: ignore[arg-type]
    assert (done.new, done.known, done.faces, rest.count) == (2, 2, 4, 2)


KILLED = """
import os, signal, sys
from pathlib import Path
from oneshot import OneShot
from oneshot.album import index as album
album.PART = 2
seen = []
def step():
    seen.append(1)
    if len(seen) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
album.index(Path("photos"), Path("faces.parquet"), OneShot(sys.argv[1], threads=1), step)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="processes are killed the POSIX way")
def test_killed_it_goes_on_from_its_parts(
    folder: Path, tmp_path: Path, model: OneShot, fake_weights: Path
) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", KILLED, str(fake_weights)]
    assert subprocess.run(command, cwd=tmp_path, env=environment).returncode == -signal.SIGKILL
    assert not (tmp_path / "faces.parquet").exists()
    rest = Counting(model)
    done = albums.index(folder, tmp_path / "faces.parquet", rest)  # type: ignore[arg-type]
    assert (done.new, done.known, done.faces, rest.count) == (2, 2, 4, 2)
    assert visible(tmp_path) == ["faces.parquet", "photos"]


def test_killed_while_joining_nothing_is_there_twice(folder: Path, tmp_path: Path, model: OneShot) -> None:
    out, parts = tmp_path / "faces.parquet", tmp_path / ".faces.parquet.parts"
    albums.index(folder, out, model)
    parts.mkdir()
    (parts / "000000.parquet").write_bytes(
        out.read_bytes()
    )  # the new file was written, the parts not removed
    assert albums.index(folder, out, model).faces == 4
    assert len(load(out, model).photos) == 4 and not parts.exists()


def test_without_ray_the_extra_is_named_and_nothing_is_written(
    folder: Path, tmp_path: Path, model: OneShot, fake_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(OneShotError, match=r"pip install 'oneshot-face\[ray\]'"):
        there = partial(on_ray, "local", model, fake_weights, None)
        albums.index(folder, tmp_path / "faces.parquet", model, describe=there)
    assert visible(tmp_path) == ["photos"]


def test_photos_are_turned_upright_by_their_exif(tmp_path: Path, model: OneShot) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    _, data = cv2.imencode(".jpg", picture(Rhea=(200, 20, 300, 120)), [cv2.IMWRITE_JPEG_QUALITY, 95])
    # Orientation 6: to be turned a quarter clockwise. One TIFF entry in an APP1 segment.
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (folder / "a.jpg").write_bytes(data.tobytes()[:2] + segment + data.tobytes()[2:])
    albums.index(folder, tmp_path / "f.parquet", model)
    np.testing.assert_allclose(load(tmp_path / "f.parquet", model).boxes, [(120, 200, 220, 300)], atol=6)


def test_an_album_without_faces(tmp_path: Path, model: OneShot) -> None:
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "wall.png"), picture())
    assert albums.index(tmp_path / "photos", tmp_path / "f.parquet", model).faces == 0
    album = load(tmp_path / "f.parquet", model)
    assert album.photos == [] and album.embeddings.shape[0] == 0


def test_what_is_no_index_or_anothers_is_refused_and_kept(
    folder: Path, tmp_path: Path, model: OneShot
) -> None:
    out = tmp_path / "faces.parquet"
    out.write_text("my thesis")
    for call in (lambda: albums.index(folder, out, model), lambda: load(out, model)):
        with pytest.raises(OneShotError, match=r"faces\.parquet: not an index of photos"):
            call()
    assert out.read_text() == "my thesis"
    out.unlink()
    albums.index(folder, out, model)
    before = out.read_bytes()
    with pytest.raises(OneShotError, match=r"is the index of .*photos; give another name"):
        albums.index(folder / "summer 2026", out, model)
    other = OneShot(write_model(tmp_path / "o.onnx", weights_sha256="0" * 64))
    for call in (lambda: albums.index(folder, out, other), lambda: load(out, other)):
        with pytest.raises(OneShotError, match=r"made with other weights \(ffffffffffff\)"):
            call()
    assert out.read_bytes() == before
    with pytest.raises(OneShotError, match="no such index"):
        load(tmp_path / "none.parquet", model)
    with pytest.raises(OneShotError, match="no such folder"):
        albums.index(tmp_path / "none", out, model)
    (tmp_path / "empty").mkdir()
    with pytest.raises(OneShotError, match="no pictures in it"):
        albums.index(tmp_path / "empty", out, model)


def test_photos_renamed_moved_copied_and_touched_are_not_looked_at_again(
    folder: Path, tmp_path: Path, model: OneShot
) -> None:
    out = tmp_path / "faces.parquet"
    albums.index(folder, out, model)
    before = load(out, model)
    (folder / "2.png").rename(folder / "nobody.png")
    (folder / "summer 2026" / "é.png").rename(folder / "gus.png")
    shutil.copy(folder / "10.png", folder / "copy.png")
    shutil.copy(folder / "10.png", folder / "summer 2026" / "copy.png")
    os.utime(folder / "1.png", (1, 1))
    again = Counting(model)
    done = albums.index(folder, out, again)  # type: ignore[arg-type]
    assert (done.new, done.known, done.moved, done.faces, again.count) == (0, 1, 5, 8, 0)
    album = load(out, model)
    names = ["1.png", *["10.png"] * 2, *["copy.png"] * 2, "gus.png", *["summer 2026/copy.png"] * 2]
    assert sorted(album.photos) == names
    now = {(p, n): e for p, n, e in zip(album.photos, album.numbers, album.embeddings, strict=True)}
    np.testing.assert_array_equal(now["copy.png", 1], before.embeddings[2])
    np.testing.assert_array_equal(now["gus.png", 0], before.embeddings[3])
    assert albums.index(folder, out, again).known == 6 and again.count == 0  # type: ignore[arg-type]


def test_two_photos_alike_that_change_names_are_there_once_each(tmp_path: Path, model: OneShot) -> None:
    folder, out = tmp_path / "photos", tmp_path / "f.parquet"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / name), photo("Rhea"))
    albums.index(folder, out, model)
    (folder / "a.png").rename(folder / "c.png")
    (folder / "b.png").rename(folder / "d.png")
    assert albums.index(folder, out, model).faces == 2
    assert sorted(load(out, model).photos) == ["c.png", "d.png"]


def test_a_moved_collection_is_rebased(folder: Path, tmp_path: Path, model: OneShot) -> None:
    out, place = tmp_path / "faces.parquet", tmp_path / "disk"
    albums.index(folder, out, model)
    folder.rename(place)
    with pytest.raises(
        OneShotError, match=r"is the index of .*photos; .*--rebase if that one was moved here"
    ):
        albums.index(place, out, model)
    again = Counting(model)
    assert albums.index(place, out, again, rebase=True).faces == 4 and again.count == 0  # type: ignore[arg-type]
    assert load(out, model).folder == place
    assert albums.index(place, out, again).known == 4  # type: ignore[arg-type]


HOLDING = """
import sys, time
from pathlib import Path
from oneshot import OneShot
from oneshot.album import index as album
def step():
    print("at it", flush=True)
    time.sleep(60)
album.index(Path("photos"), Path("faces.parquet"), OneShot(sys.argv[1], threads=1), step)
"""


def test_a_second_run_is_told_that_another_is_at_it(
    folder: Path, tmp_path: Path, model: OneShot, fake_weights: Path
) -> None:
    command = [sys.executable, "-c", HOLDING, str(fake_weights)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"at it\n"
        with pytest.raises(OneShotError, match=r"faces\.parquet: another oneshot index is writing it"):
            albums.index(folder, tmp_path / "faces.parquet", model)
        albums.index(folder, tmp_path / "other.parquet", model)  # another index is free
        other.kill()
    assert albums.index(folder, tmp_path / "faces.parquet", model).faces == 4  # nothing is left locked


def test_waste_thumbnails_and_what_is_excluded_are_left_out(
    folder: Path, tmp_path: Path, model: OneShot
) -> None:
    for place in ("@eaDir/1.png", "#recycle", "summer 2026/Thumbnails", "private/deep"):
        (folder / place).mkdir(parents=True)
        cv2.imwrite(str(folder / place / "x.png"), photo("Bo"))
    out = tmp_path / "faces.parquet"
    albums.index(folder, out, model, exclude=["private", "*é*"])
    assert sorted(set(load(out, model).photos)) == ["1.png", "10.png"]
    albums.index(folder, out, model, exclude=["summer*/"])
    assert sorted(set(load(out, model).photos)) == ["1.png", "10.png", "private/deep/x.png"]


def test_an_index_of_an_older_form_is_named(folder: Path, tmp_path: Path, model: OneShot) -> None:
    out = tmp_path / "faces.parquet"
    albums.index(folder, out, model)
    table = pq.read_table(out)
    pq.write_table(table.drop_columns(["content"]), out)
    with pytest.raises(OneShotError, match=r"faces\.parquet: of an older oneshot; index anew"):
        albums.index(folder, out, model)
