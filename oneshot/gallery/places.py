"""What names a gallery: a .db file, or an address in Milvus; and the storage that is opened there."""

from pathlib import Path

from oneshot.errors import OneShotError
from oneshot.gallery.entries import Storage
from oneshot.gallery.milvus import MilvusStore, exists
from oneshot.gallery.sqlite import Store

MILVUS = "milvus:"
"""What the name of a gallery in Milvus begins with."""


def in_milvus(path: Path | str) -> bool:
    """Whether this names a gallery in Milvus."""
    return str(path).startswith(MILVUS)


def is_kept(path: Path | str) -> bool:
    """Whether this names a gallery that changes stay in: a .db file, or one in Milvus."""
    return in_milvus(path) or Path(path).suffix == ".db"


def is_there(path: Path | str) -> bool:
    """Whether there is such a gallery, of those that changes stay in."""
    if not in_milvus(path):
        return Path(path).suffix == ".db" and Path(path).is_file()
    return exists(_place(path))


def absolute(path: Path | str) -> str:
    """The same place for whoever works in another folder."""
    if not in_milvus(path):
        return str(Path(path).absolute())
    place = _place(path)
    return str(path) if "://" in place else MILVUS + str(Path(place).absolute())


def no_gallery(path: Path | str) -> OneShotError:
    """What to raise where there is none."""
    return OneShotError(f"{path}: no such gallery; make one with oneshot enroll, or check the name")


def open_storage(path: Path | str | None, key: bytes | None) -> Storage:
    """The storage of a gallery's name, made if there is none; None is memory.

    Raises:
        OneShotError: it is no gallery's name, or cannot be opened.
    """
    if path is not None and in_milvus(path):
        return MilvusStore(_place(path), key)
    file = None if path is None else Path(path)
    if file is not None and file.suffix != ".db":
        raise OneShotError(f"{file}: a gallery's name ends in .db; rename it")
    return Store(file, key)


def _place(path: Path | str) -> str:
    return str(path).removeprefix(MILVUS)
