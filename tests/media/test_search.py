"""What is below a folder: pictures by their first bytes, and a word on the rest."""

import base64
import os
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import nobody
from test_formats import HEIC, raw_photo

from oneshot import OneShotError, extras
from oneshot.media.search import search, summary

SMALL = np.zeros((8, 8, 3), np.uint8)
JPEG = cv2.imencode(".jpg", SMALL)[1].tobytes()


def test_first_bytes_tell_and_links_are_followed_once(tmp_path: Path) -> None:
    photos, elsewhere = tmp_path / "photos", tmp_path / "elsewhere"
    for place in (photos / "b", photos / ".hidden", elsewhere):
        place.mkdir(parents=True)
    names = ("2.jfif", "10.JPE", "without", "b/b.mpo", ".hidden/c.jpg", ".d.jpg")
    for name in names:
        (photos / name).write_bytes(JPEG)
    (photos / "e.heic").write_bytes(base64.b64decode(HEIC[1]))
    (photos / "f.nef").write_bytes(raw_photo(SMALL))
    (photos / "damaged.jpg").write_bytes(b"words")  # is looked at, and told
    (photos / "notes.txt").write_text("words")
    (photos / "v.mp4").write_bytes(b"\0\0\0\x20ftypisom")
    (elsewhere / "g.png").write_bytes(cv2.imencode(".png", SMALL)[1].tobytes())
    (photos / "link").symlink_to(elsewhere)
    (photos / "b" / "back").symlink_to(photos)
    (photos / "nowhere.jpg").symlink_to(tmp_path / "none")
    found = search(photos)
    told = [path.relative_to(photos).as_posix() for path in found.pictures]
    want = ["2.jfif", "10.JPE", "damaged.jpg", "e.heic", "f.nef", "without", "b/b.mpo", "link/g.png"]
    assert told == want and not found.unreadable
    assert summary(found, 1) == "3 files skipped: 1 .txt, 1 .mp4 (a video), 1 damaged"
    assert search(elsewhere).skipped == {} and summary(search(elsewhere)) == ""


def test_without_the_extra_photos_are_counted_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name, name=name)

    monkeypatch.setattr(extras.importlib, "import_module", missing)
    for i in range(2):
        (tmp_path / f"{i}.heic").write_bytes(base64.b64decode(HEIC[1]))
    found = search(tmp_path)
    assert not found.pictures
    assert summary(found) == "2 files skipped: 2 .heic (pip install 'oneshot-face[formats]')"


def test_what_may_not_be_read_is_told_and_the_rest_goes_on() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for place in ("closed", "open"):
            (folder / place).mkdir()
            (folder / place / "a.jpg").write_bytes(JPEG)
        (folder / "closed.jpg").write_bytes(JPEG)
        for closed in (folder / "closed", folder / "closed.jpg"):
            closed.chmod(0)
        try:
            with nobody():
                found = search(folder)
                with pytest.raises(OneShotError, match=r"closed: cannot be read \(Permission denied\)"):
                    search(folder / "closed")
        finally:
            (folder / "closed").chmod(0o755)
        assert found.pictures == [folder / "open" / "a.jpg"]
        assert set(found.unreadable) == {folder / "closed", folder / "closed.jpg"}
        assert found.kept(folder / "closed" / "a.jpg") and not found.kept(folder / "open" / "gone.jpg")
        assert summary(found) == "2 files skipped: 2 unreadable"


def test_names_of_other_bytes_are_found(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/m\xfcller.jpg"
    Path(os.fsdecode(path)).write_bytes(JPEG)
    assert [os.fsencode(p) for p in search(tmp_path).pictures] == [path]


def test_no_such_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OneShotError, match="no such folder"):
        search(tmp_path / "none")
