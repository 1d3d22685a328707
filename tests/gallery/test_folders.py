"""People's folders of which something cannot be read."""

import tempfile
from pathlib import Path

import cv2
import pytest
from conftest import nobody
from fake import photo

from oneshot import OneShotError
from oneshot.gallery.folders import people_in

JPEG = cv2.imencode(".jpg", photo("Rhea"))[1].tobytes()


def test_what_cannot_be_read_keeps_nobody_else_out() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for place in ("Ada", "Bo", "Cy/closed", "Di"):
            (folder / place).mkdir(parents=True)
        for file in ("Ada/1.jfif", "Bo/1.jpg", "Cy/1.jpg", "Cy/closed/2.jpg", "Di/notes.txt", "Eve.jpe"):
            (folder / file).write_bytes(JPEG if "notes" not in file else b"words")
        for place in ("Bo", "Cy/closed"):
            (folder / place).chmod(0)
        with nobody():
            people = people_in(folder)
        for place in ("Bo", "Cy/closed"):
            (folder / place).chmod(0o755)
        assert {who: [p.name for p in photos] for who, photos in people.photos.items()} == {
            "Eve": ["Eve.jpe"],
            "Ada": ["1.jfif"],
            "Cy": ["1.jpg"],
        }
        assert set(people.left_out) == {"Bo", "Cy/closed", "Di"}
        assert "cannot be read (Permission denied)" in people.left_out["Bo"]
        assert "cannot be read (Permission denied)" in people.left_out["Cy/closed"]


def test_a_folder_that_cannot_be_read_is_an_error() -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0)
        with nobody(), pytest.raises(OneShotError, match="cannot be read"):
            people_in(name)
        Path(name).chmod(0o700)
