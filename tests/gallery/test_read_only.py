"""Galleries where nothing can be written: on read-only disks, or somebody else's."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import nobody
from fake import MODEL, entry, row

from oneshot import OneShotError, OneShotWarning
from oneshot.gallery.sqlite import Store


@pytest.fixture
def closed() -> Iterator[Path]:
    """A gallery with Ada in a folder that nobody else may write to."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = Store(folder / "g.db")
        store.add([entry("Ada")], row(1))
        shutil.copy(folder / "g.db-wal", folder / "log")
        store.close()
        for path in folder.iterdir():
            path.chmod(0o444)
        folder.chmod(0o555)
        yield folder / "g.db"
        folder.chmod(0o755)


def test_a_gallery_that_cannot_be_written_is_read(closed: Path) -> None:
    with nobody():
        store = Store(closed)
        assert [e.name for e in store.read(MODEL)[0]] == ["Ada"]
        assert [match.name for match in store.search(MODEL, row(1))] == ["Ada"]
        with pytest.raises(OneShotError, match=r"g\.db: cannot be opened for writing"):
            store.add([entry("Bo")], row(2))
        store.close()
        with pytest.raises(OneShotError, match=r"none\.db: cannot be opened for writing"):
            Store(closed.with_name("none.db"))
    assert sorted(path.name for path in closed.parent.iterdir()) == ["g.db", "log"]


def test_changes_in_the_log_that_cannot_be_read_are_told(closed: Path) -> None:
    closed.parent.chmod(0o755)
    closed.with_name("log").rename(closed.with_name("g.db-wal"))
    closed.parent.chmod(0o555)
    with nobody(), pytest.warns(OneShotWarning, match="its newest changes, in g.db-wal, not be read"):
        Store(closed).close()
