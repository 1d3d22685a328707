"""The gallery's file: nothing saved is lost, nothing deleted stays, nobody waits in vain."""

import hashlib
import multiprocessing
import os
import sqlite3
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from oneshot import OneShotError, OneShotWarning
from oneshot.cipher import secret_from
from oneshot.store import Entry, Store

MODEL = "a" * 64
DIM = 1000
SECRET = b"correct horse battery staple"


def entry(name: str, template: str = "", number: int = 0, model: str = MODEL) -> Entry:
    return Entry(name, template, hashlib.sha256(f"{name}{number}".encode()).hexdigest(), 0.5, model)


def row(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=(1, DIM)).astype(np.float32)
    return vector / np.linalg.norm(vector)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "g.db"


def test_what_is_added_is_read_by_person_and_template(path: Path) -> None:
    store = Store(path)
    added = [entry("Bo"), entry("Ada"), entry("Bo", "beard", 1), entry("Bo", "", 2)]
    for i, one in enumerate(added):
        store.add([one], row(i))
    store.close()
    assert list(path.parent.iterdir()) == [path]  # at rest it is a single file
    entries, embeddings = Store(path).read(MODEL)
    order = [0, 3, 2, 1]
    assert entries == [added[i] for i in order]
    np.testing.assert_array_equal(embeddings, np.concatenate([row(i) for i in order]))
    assert embeddings.dtype == np.float32
    only, one = Store(path).read(MODEL, "Ada")
    assert only == [added[1]] and one.shape == (1, DIM)
    assert Store(path).read(MODEL, "nobody")[0] == []


def test_a_transaction_is_all_or_nothing(path: Path) -> None:
    store = Store(path)
    with pytest.raises(OneShotError, match="made with other weights"):
        store.add([entry("Ada"), entry("Bo", model="b" * 64)], np.concatenate((row(0), row(1))))
    assert store.read(MODEL)[0] == []
    store.add([entry("Ada")], row(0))
    with pytest.raises(OneShotError, match=r"g\.db: made with other weights \(aaaaaaaaaaaa\)"):
        store.add([entry("Bo", model="b" * 64)], row(1))
    with pytest.raises(OneShotError, match="other weights"):
        store.read("b" * 64)
    assert store.read(MODEL)[0] == [entry("Ada")]


def write_on(path: Path, pipe: Connection, start: int) -> None:
    """Adds two entries a person, and reports each person once the call has returned."""
    store = Store(path)
    for i in range(start, start + 10**6):
        pair = [entry(f"person {i}", "", 0), entry(f"person {i}", "", 1)]
        store.add(pair, np.concatenate((row(i), row(i))))
        pipe.send_bytes(str(i).encode())


@pytest.fixture(scope="module")
def spawn() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["oneshot.store"])  # NumPy is loaded once, not fifty times
    return context


@pytest.mark.skipif(os.name == "nt", reason="processes are killed the POSIX way")
def test_fifty_writers_killed_lose_nothing_that_was_reported(
    path: Path, spawn: multiprocessing.context.ForkServerContext
) -> None:
    reported: set[str] = set()
    random = np.random.default_rng(0)
    for turn in range(50):
        receive, send = spawn.Pipe(duplex=False)
        writer = spawn.Process(target=write_on, args=(path, send, turn * 10**6))
        writer.start()
        send.close()
        for _ in range(int(random.integers(1, 4))):  # it writes on while we read, and dies anywhere
            assert receive.poll(60)
            reported.add(f"person {receive.recv_bytes().decode()}")
        time.sleep(float(random.uniform(0, 0.01)))
        writer.kill()
        writer.join()
        try:
            while True:
                reported.add(f"person {receive.recv_bytes().decode()}")
        except EOFError:
            receive.close()
    entries, embeddings = Store(path).read(MODEL)
    names = [e.name for e in entries]
    assert len(reported) >= 50 and reported <= set(names)
    assert all(names.count(name) == 2 for name in set(names))  # a person is saved whole
    assert len(set(names)) <= len(reported) + 50  # at most one a turn was saved, but not yet reported
    for i in range(0, len(names), 10):
        np.testing.assert_array_equal(embeddings[i], row(int(names[i].split()[1]))[0])
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_readers_see_whole_transactions_while_one_writes(path: Path) -> None:
    Store(path).close()
    done, failures = threading.Event(), []

    def watch() -> None:
        try:
            store, seen = Store(path), 0
            while not done.is_set():
                names = [e.name for e in store.read(MODEL)[0]]
                assert len(names) >= seen and len(names) % 2 == 0
                seen = len(names)
            store.close()
        except BaseException as error:  # a thread's failure is not seen by pytest otherwise
            failures.append(error)

    readers = [threading.Thread(target=watch) for _ in range(3)]
    for reader in readers:
        reader.start()
    writer = Store(path)
    for i in range(30):
        writer.add([entry(f"p{i}"), entry(f"p{i}", "", 1)], np.concatenate((row(0), row(1))))
    done.set()
    for reader in readers:
        reader.join()
    assert not failures
    assert len(writer.read(MODEL)[0]) == 60


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
    monkeypatch.setattr("oneshot.store.PATIENCE", 0.05)
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
    monkeypatch.setattr("oneshot.store.PATIENCE", 0.05)
    store = Store(path)
    store.add([entry("Ada")], row(0))
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OneShotError, match=r"g\.db: another program is writing to it"):
        store.add([entry("Bo")], row(1))
    assert [e.name for e in store.read(MODEL)[0]] == ["Ada"]  # reading goes on
    other.execute("ROLLBACK")
    store._db.execute("PRAGMA max_page_count = 10")  # SQLite says the same where a disk has no room
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
