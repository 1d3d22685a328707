"""The gallery's file: nothing saved is lost, nothing deleted stays, nobody waits in vain."""

import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest
from fake import DIM, MODEL, entry, row

from oneshot import OneShotError, OneShotWarning
from oneshot.gallery.cipher import secret_from
from oneshot.gallery.sqlite import Store

SECRET = b"correct horse battery staple"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "g.db"


def test_at_rest_it_is_a_single_file(path: Path) -> None:
    store, other = Store(path), Store(path)
    store.add([entry("Ada")], row(0))
    assert other.read(MODEL)[0] == [entry("Ada")]
    store.close()
    other.close()
    assert list(path.parent.iterdir()) == [path]


def traces(folder: Path, *needles: bytes) -> list[str]:
    """Which files of a folder still hold any of the bytes."""
    return [f.name for f in folder.iterdir() if any(n in f.read_bytes() for n in needles)]


def test_what_is_deleted_is_gone_from_the_bytes(path: Path) -> None:
    store = Store(path)
    for i in range(20):
        store.add([entry(f"person number {i}")], row(i))
    embedding = row(7).tobytes()
    # A long embedding goes over several pages of the file, so that pieces are looked for.
    pieces = [embedding[i : i + 64] for i in range(0, len(embedding), 500)]
    marks = (*pieces, b"person number 7", entry("person number 7").photo.encode())
    assert traces(path.parent, *marks)
    other = Store(path)  # somebody else has the file open
    assert other.read(MODEL)[0]
    assert store.remove("person number 7") == 1
    assert traces(path.parent, *marks) == []
    assert store.remove("person number 7") == 0
    assert [e.name for e in other.read(MODEL)[0]] == [f"person number {i}" for i in range(20) if i != 7]
    np.testing.assert_array_equal(other.read(MODEL, "person number 8")[1], row(8))


def test_a_deletion_that_others_hold_up_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oneshot.gallery.sqlite_file.PATIENCE", 0.05)
    store = Store(path)
    store.add([entry("Ada")], row(0))
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM people").fetchall()
    with pytest.warns(OneShotWarning, match="traces of Ada stay in its log until they end"):
        store.remove("Ada")
    assert store.read(MODEL)[0] == []
    reader.close()
    store.close()
    assert traces(path.parent, row(0).tobytes()[:64]) == []


def test_encrypted_embeddings_are_not_in_the_bytes(path: Path) -> None:
    pytest.importorskip("cryptography")
    store = Store(path, SECRET)
    store.add([entry("Ada"), entry("Bo")], np.concatenate((row(0), row(1))))
    assert traces(path.parent, *(row(0).tobytes()[i : i + 16] for i in range(0, 4000, 500))) == []
    store.close()
    np.testing.assert_array_equal(
        Store(path, SECRET + b"\n").read(MODEL)[1], np.concatenate((row(0), row(1)))
    )
    with pytest.raises(OneShotError, match=r"g\.db: is encrypted; give its key"):
        Store(path)
    with pytest.raises(OneShotError, match="encrypted with another key"):
        Store(path, b"another long secret")
    with pytest.raises(OneShotError, match="key is too short"):
        Store(path, b"short")


def test_an_encrypted_embedding_cannot_be_given_to_another_person(path: Path) -> None:
    pytest.importorskip("cryptography")
    store = Store(path, SECRET)
    store.add([entry("Ada"), entry("Bo")], np.concatenate((row(0), row(1))))
    store.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE entries SET embedding = (SELECT embedding FROM entries WHERE id = 2) WHERE id = 1")
    with pytest.raises(OneShotError, match="a damaged one"):
        Store(path, SECRET).read(MODEL)


def test_a_key_where_none_is_wanted(path: Path) -> None:
    Store(path).close()
    with pytest.raises(OneShotError, match=r"g\.db: is not encrypted; leave the key out"):
        Store(path, SECRET)


def test_the_secret_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ONESHOT_KEY", raising=False)
    assert secret_from() is None
    monkeypatch.setenv("ONESHOT_KEY", "from outside")
    assert secret_from() == b"from outside"
    (tmp_path / "key").write_bytes(b"from a file\n")
    assert secret_from(tmp_path / "key") == b"from a file\n"
    (tmp_path / "key").write_bytes(b" \n")
    with pytest.raises(OneShotError, match="key: the key file is empty"):
        secret_from(tmp_path / "key")
    with pytest.raises(OneShotError, match="none: the key cannot be read"):
        secret_from(tmp_path / "none")


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE people (id)")


def newer(path: Path) -> None:
    Store(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")


def cut(path: Path) -> None:
    store = Store(path)
    for i in range(20):
        store.add([entry(f"p{i}")], row(i))
    store.close()
    path.write_bytes(path.read_bytes()[:30000])


def scribbled(path: Path) -> None:
    cut(path)
    data = bytearray(path.read_bytes())
    data[4096:] = np.random.default_rng(0).bytes(len(data) - 4096)
    path.write_bytes(data)


def short_row(path: Path) -> None:
    Store(path).add([entry("Ada"), entry("Bo")], np.concatenate((row(0), row(1))))
    with sqlite3.connect(path) as db:
        db.execute("UPDATE entries SET embedding = x'00000000' WHERE id = 2")


def not_finite(path: Path) -> None:
    Store(path).add([entry("Ada")], np.full((1, DIM), np.nan, np.float32))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p.write_bytes(b"just words" * 500), "not a gallery, or a damaged one"),
        (lambda p: p.mkdir(), "is a folder, not a gallery"),
        (foreign, "not a gallery; give a file that"),
        (newer, "of a newer oneshot"),
        (cut, "a damaged one"),
        (scribbled, "a damaged one"),
        (short_row, "a damaged one"),
        (not_finite, "a damaged one"),
    ],
)
def test_files_that_are_no_gallery(path: Path, make: object, message: str) -> None:
    make(path)  # type: ignore[operator]
    with pytest.raises(OneShotError, match=message) as caught:
        Store(path).read(MODEL)
    assert str(path) in str(caught.value)


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(OneShotError, match="does not exist; create it first"):
        Store(tmp_path / "none" / "g.db")


def test_a_locked_file_and_a_full_disk_are_told_and_nothing_is_lost(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oneshot.gallery.sqlite_file.PATIENCE", 0.05)
    store = Store(path)
    store.add([entry("Ada")], row(0))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OneShotError, match=r"g\.db: another program is writing to it"):
        store.add([entry("Bo")], row(1))
    assert [e.name for e in store.read(MODEL)[0]] == ["Ada"]  # reading goes on
    other.execute("ROLLBACK")
    store._file.db.execute("PRAGMA max_page_count = 10")  # SQLite says the same where a disk has no room
    with pytest.raises(OneShotError, match=r"g\.db: the disk is full, and nothing was changed"):
        store.add([entry(f"p{i}") for i in range(20)], np.concatenate([row(i) for i in range(20)]))
    assert [e.name for e in store.read(MODEL)[0]] == ["Ada"]


def test_many_open_a_new_file_at_once(path: Path) -> None:
    failures = []

    def work(i: int) -> None:
        try:
            Store(path).add([entry(f"p{i}")], row(i))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and len(Store(path).read(MODEL)[0]) == 8
