"""Outputs appear under their own name only once they are whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oneshot.errors import OneShotError


def check_writable(path: Path) -> None:
    """Raise OneShotError, before any work is done, where `path` could not be written at the end."""
    if path.is_dir():
        raise OneShotError(f"{path}: is a folder; give a file name")
    if not path.parent.is_dir():
        raise OneShotError(f"{path}: the folder {path.parent} does not exist; create it first")
    if not os.access(path.parent, os.W_OK):
        raise OneShotError(f"{path}: the folder {path.parent} cannot be written; choose another")


def make_folder(path: Path) -> None:
    """Create a folder for outputs, unless it is there; OneShotError where that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OneShotError(f"{path}: cannot be made a folder ({error.strerror}); choose another") from None


@contextmanager
def replacing(path: Path | str) -> Iterator[Path]:
    """A temporary name beside `path`, of the same suffix, moved into its place when the block is left.

    It is moved on an error too, since what was written until then is whole in itself (frames, lines), unless
    that is nothing: an older file at `path` is then left alone.

    Raises:
        OneShotError: the file cannot be written there.
    """
    path = Path(path)
    check_writable(path)
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
    except BaseException:
        if partial.exists() and not partial.stat().st_size:
            partial.unlink()
        raise
    finally:
        if partial.exists():
            partial.replace(path)
