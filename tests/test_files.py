"""Outputs appear when they are whole."""

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from oneshot import OneShotError
from oneshot.files import (
    PARTIAL,
    STALE,
    check_writable,
    from_readable,
    make_folder,
    readable,
    replacing,
    writing,
)


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
    with pytest.raises(KeyboardInterrupt), replacing(path, unfinished=True) as partial:
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


def test_an_error_leaves_an_older_file_alone_where_half_a_file_is_useless(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_text("older")
    with pytest.raises(KeyboardInterrupt), replacing(path) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "older" and list(tmp_path.iterdir()) == [path]


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link, target = tmp_path / "link.txt", tmp_path / "there" / "target.txt"
    link.symlink_to(target)
    for text in ("made", "replaced"):
        with replacing(link) as partial:
            partial.write_text(text)
        assert link.is_symlink() and not target.is_symlink() and target.read_text() == text
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(OneShotError, match="loop: cannot be written"):
        check_writable(loop)


def test_a_pipe_gets_lines_as_they_are_written(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    heard: list[str] = []
    first = threading.Event()

    def listen() -> None:
        with pipe.open() as lines:
            for line in lines:
                heard.append(line)
                first.set()

    reader = threading.Thread(target=listen)
    reader.start()
    with writing(pipe) as file:
        file.write("one\n")
        assert first.wait(10)  # before the end
        file.write("two\n")
    reader.join()
    assert heard == ["one\n", "two\n"] and stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_pipe_gets_the_bytes_of_what_must_be_whole_first(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.bin"
    os.mkfifo(pipe)
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.append(pipe.read_bytes()))
    reader.start()
    with replacing(pipe) as partial:
        assert partial.suffix == ".bin"
        partial.write_bytes(b"whole")
    reader.join()
    assert heard == [b"whole"] and stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_stays_a_device() -> None:
    with writing("/dev/null") as file:
        file.write("gone\n")
    with replacing("/dev/null") as partial:
        partial.write_text("gone")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    with pytest.raises(OneShotError, match="/dev/null: is a pipe or a device"):
        check_writable("/dev/null", keep=True)


def test_a_full_disk_is_a_sentence() -> None:
    full = r"/dev/full: cannot be written \(No space left"
    with pytest.raises(OneShotError, match=full), writing("/dev/full") as file:
        file.write("too much\n")


def test_standard_output_and_numbered_files_are_written_in_their_place(tmp_path: Path) -> None:
    """What stands in a file that output is appended to stays."""
    script = """
import sys
from oneshot.files import replacing, writing
for name in ("-", "/dev/stdout", f"/dev/fd/{sys.stdout.fileno()}"):
    with writing(name) as file:
        file.write(name + chr(10))
with replacing("-") as partial:
    partial.write_bytes(b"whole")
"""
    path = tmp_path / "out.txt"
    path.write_text("before\n")
    with path.open("a") as out:
        subprocess.run([sys.executable, "-c", script], stdout=out, check=True)
    assert path.read_text() == "before\n-\n/dev/stdout\n/dev/fd/1\nwhole"
    assert list(tmp_path.iterdir()) == [path]


def test_names_may_be_as_long_as_the_system_takes(tmp_path: Path) -> None:
    for name in ("a" * 251 + ".txt", "b." + "c" * 253):
        with replacing(tmp_path / name) as partial:
            partial.write_text("x")
        assert (tmp_path / name).read_text() == "x"
    for name in ("a" * 256, "a\0b"):
        with pytest.raises(OneShotError):
            check_writable(tmp_path / name)


def test_what_cannot_be_made_there_is_a_sentence() -> None:
    for place in ("/proc/x", "/dev/fd/987", "/dev/null/x"):
        with pytest.raises(OneShotError, match=f"{place}: .*choose another|does not exist"):
            check_writable(place)


def test_the_older_permissions_stay(tmp_path: Path) -> None:
    path = tmp_path / "secret.txt"
    path.touch(0o600)
    with replacing(path) as partial:
        partial.write_text("x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_partial_files_of_killed_programs_are_swept(tmp_path: Path) -> None:
    old, new = tmp_path / f"{PARTIAL}0.mp4", tmp_path / f"{PARTIAL}1.mp4"
    for path, age in ((old, 2 * STALE), (new, 0.0)):
        path.touch()
        then = path.stat().st_mtime - age
        os.utime(path, (then, then))
    with replacing(tmp_path / "a"):
        pass
    assert not old.exists() and new.exists()


@pytest.mark.parametrize(
    "name", [b"plain.jpg", "Jos\u00e9.jpg".encode(), b"m\xfcller.jpg", rb"m\xfcller.jpg", b"\\"]
)
def test_names_that_are_no_text_become_text_and_back(name: bytes) -> None:
    text = readable(os.fsdecode(name))
    assert os.fsencode(from_readable(text)) == name
    text.encode()
    assert readable(os.fsdecode(b"m\xfcller.jpg")) == r"m\xfcller.jpg" != readable(r"m\xfcller.jpg")
