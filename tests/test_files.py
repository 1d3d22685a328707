"""Outputs appear when they are whole."""

from pathlib import Path

import pytest

from oneshot import OneShotError
from oneshot.files import check_writable, make_folder, replacing


def test_the_file_appears_at_the_end_and_replaces_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("older")
    with replacing(path) as partial:
        assert partial.suffix == ".txt" and partial.parent == tmp_path
        partial.write_text("new")
        assert path.read_text() == "older"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("written", "kept"), [(None, "older"), ("", "older"), ("half", "half")])
def test_on_an_error_what_was_written_counts(tmp_path: Path, written: str | None, kept: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text("older")
    with pytest.raises(KeyboardInterrupt), replacing(path) as partial:
        if written is not None:
            partial.write_text(written)
        raise KeyboardInterrupt
    assert path.read_text() == kept and list(tmp_path.iterdir()) == [path]


def test_an_empty_result_is_a_result(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("older")
    with replacing(path) as partial:
        partial.touch()
    assert path.read_text() == ""


def test_what_cannot_be_written_is_said_before(tmp_path: Path) -> None:
    for path, message in ((tmp_path, "is a folder"), (tmp_path / "no" / "a", "does not exist")):
        with pytest.raises(OneShotError, match=message):
            check_writable(path)
        with pytest.raises(OneShotError, match=message), replacing(path):
            pass
    check_writable(tmp_path / "a")


def test_a_folder_is_made_unless_a_file_is_there(tmp_path: Path) -> None:
    for _ in range(2):
        make_folder(tmp_path / "a" / "b")
        assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OneShotError, match="cannot be made a folder"):
            make_folder(place)
