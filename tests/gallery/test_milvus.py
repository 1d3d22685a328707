"""What is Milvus' own: where it is, what it refuses, and two who change the same person at once."""

import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fake import DIM, EMBEDDINGS, MODEL, entry, picture, row

from oneshot import Gallery, OneShot, OneShotError, OneShotWarning
from oneshot.gallery import milvus, milvus_collection
from oneshot.gallery.milvus import MilvusStore

pytest.importorskip("pymilvus")
pytest.importorskip("milvus_lite")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "g.db")


@pytest.fixture
def store(path: str) -> Iterator[MilvusStore]:
    one = MilvusStore(path)
    yield one
    one.close()


@pytest.fixture
def rival(path: str) -> Iterator[MilvusStore]:
    one = MilvusStore(path)
    yield one
    one.close()


def mean(*rows: np.ndarray) -> np.ndarray:
    total = np.sum(rows, axis=0)
    return total / np.linalg.norm(total)


def after_the_next_write(
    monkeypatch: pytest.MonkeyPatch, store: MilvusStore, what: object, before: bool = False
) -> None:
    """`what()` happens once, between a write of the store and its second look (or just before the write)."""
    write, left = store._collection.write, [what]

    def writing(rows: object) -> None:
        if before and left:
            left.pop()()  # type: ignore[operator]
        write(rows)  # type: ignore[arg-type]
        if left:
            left.pop()()  # type: ignore[operator]

    monkeypatch.setattr(store._collection, "write", writing)


def test_a_collection_is_opened_once_however_many_ask(
    store: MilvusStore, rival: MilvusStore, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import milvus_lite.db

    opened, failures = [], []
    real = milvus_lite.db.Collection

    def slow(name: str, *rest: object, **more: object) -> object:
        opened.append(name)
        time.sleep(0.2)  # long enough for the others to ask, too
        return real(name, *rest, **more)

    monkeypatch.setattr(milvus_lite.db, "Collection", slow)
    third = MilvusStore(path)

    def attempt(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:  # a thread's failure is not seen by pytest otherwise
            failures.append(error)

    def look() -> None:
        while not third.read(MODEL)[0]:
            pass

    works = [lambda: store.add([entry("Ada")], row(0)), lambda: rival.add([entry("Bo")], row(1)), look]
    threads = [threading.Thread(target=attempt, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures and len(opened) == 1
    assert [e.name for e in sorted(third.read(MODEL)[0], key=lambda e: e.name)] == ["Ada", "Bo"]
    third.close()


def test_a_collection_that_was_left_half_made_is_finished(store: MilvusStore, rival: MilvusStore) -> None:
    make = store._collection._client.create_index
    store._collection._client.create_index = stopped
    with pytest.raises(KeyboardInterrupt):
        store.add([entry("Ada")], row(0))
    assert rival.read(MODEL)[0] == [] and rival.search(MODEL, row(0))[0].name is None
    store._collection._client.create_index = make
    rival.add([entry("Ada")], row(0))
    assert store.search(MODEL, row(0))[0].name == "Ada"


def stopped(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("before", [False, True])
def test_two_who_enroll_the_same_person_end_with_the_mean_of_both(
    store: MilvusStore, rival: MilvusStore, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    store.add([entry("Ada")], row(0))
    after_the_next_write(monkeypatch, store, lambda: rival.add([entry("Ada", "", 1)], row(1)), before)
    store.add([entry("Ada", "", 2)], row(2))
    assert len(store.read(MODEL)[0]) == 3
    np.testing.assert_allclose(rival.templates(MODEL), mean(row(0), row(1), row(2)), atol=1e-6)


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.filterwarnings("ignore:.*does not overwrite")
def test_who_is_removed_meanwhile_is_in_no_template(
    store: MilvusStore, rival: MilvusStore, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    store.add([entry("Ada"), entry("Ada", "old", 1)], np.concatenate((row(0), row(1))))
    after_the_next_write(monkeypatch, store, lambda: rival.remove("Ada"), before)
    store.add([entry("Ada", "", 2)], row(2))
    kept = store.templates(MODEL)
    rows = store._collection.rows(milvus.TEMPLATES, "name")
    if before:  # the photo came after the removal
        np.testing.assert_allclose(kept, row(2), atol=1e-6)
        assert len(rows) == 1
    else:
        assert len(kept) == len(rows) == 0 and store.entries(MODEL) == []


def test_many_go_in_several_requests_a_person_in_one(
    store: MilvusStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(milvus, "PAGE", 4)
    monkeypatch.setattr(milvus_collection, "PAGE", 4)
    sizes = []
    write = store._collection.write
    monkeypatch.setattr(store._collection, "write", lambda rows: (sizes.append(len(rows)), write(rows)))
    people = [f"p{i // 3}" for i in range(9)] + ["many"] * 5
    added = [entry(name, "", i) for i, name in enumerate(people)]
    store.add(added, np.concatenate([row(i) for i in range(14)]))
    assert sizes == [3 + 3] * 3 + [5 + 3]  # photos; a template, the person, the mark of a change
    assert store.read(MODEL)[0] == store.entries(MODEL) == added
    assert len(store.templates(MODEL)) == 4


def test_no_encryption_and_that_is_said(path: str) -> None:
    with pytest.raises(OneShotError, match=r"g\.db: Milvus cannot search what is encrypted; leave the key"):
        MilvusStore(path, b"correct horse battery staple")
    assert not Path(path).exists()


def test_a_removal_says_what_it_leaves(store: MilvusStore) -> None:
    store.add([entry("Ada")], row(0))
    with pytest.warns(OneShotWarning, match=r"g\.db: Ada is deleted, but Milvus does not overwrite"):
        assert store.remove("Ada") == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert store.remove("Ada") == 0


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("ftp://host", "milvus:ftp://host: not a server's address; write milvus:http://HOST:19530"),
        ("http://", "not a server's address"),
        ("http://host:port", "not a server's address"),
        ("gallery", "milvus:gallery: a gallery's name ends in .db"),
    ],
)
def test_no_such_address(where: str, message: str) -> None:
    with pytest.raises(OneShotError, match=message):
        MilvusStore(where)


def test_a_server_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(milvus_collection, "PATIENCE", 1.0)
    with socket.socket() as silent:  # it takes the call, and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        for address in (f"http://ada:secret@127.0.0.1:{port}/people", "http://127.0.0.1:1"):
            with pytest.raises(OneShotError, match="the server does not answer; check the address") as caught:
                MilvusStore(address)
            assert "secret" not in str(caught.value) and "127.0.0.1" in str(caught.value)
    assert capfd.readouterr() == ("", "")  # it is said once, by us


def test_a_server_by_its_address(
    tmp_path: Path, model: OneShot, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    server, database, port = start_server_in_thread(str(tmp_path / "server"))
    where = f"milvus:http://ada:secret@127.0.0.1:{port}"
    try:
        with Gallery(model, where) as one, Gallery.load(where, model) as other:
            one.enroll("Rhea", [picture(Rhea=(10, 10, 60, 60))])
            assert other.names == ["Rhea"]
            assert [m.name for m in other.identify(EMBEDDINGS)] == ["Rhea", None, None]
            with pytest.raises(OneShotError, match="the server has no such database; create it first"):
                Gallery(model, f"{where}/people")
            monkeypatch.setattr(milvus_collection, "PATIENCE", 0.5)
            server.stop(grace=0).wait()
            with pytest.raises(OneShotError, match="the server does not answer"):
                other.identify(EMBEDDINGS)
    finally:
        server.stop(grace=0).wait()
        database.close()
    assert capfd.readouterr() == ("", "")


def test_a_file_or_a_folder_that_is_no_gallery(tmp_path: Path) -> None:
    (tmp_path / "sqlite.db").write_bytes(b"SQLite format 3\0")
    with pytest.raises(OneShotError, match=r"sqlite\.db: a file, not milvus-lite's"):
        MilvusStore(str(tmp_path / "sqlite.db"))


def test_a_folder_that_another_program_has_open(path: str) -> None:
    fcntl = pytest.importorskip("fcntl")
    Path(path).mkdir()
    with (Path(path) / "LOCK").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(OneShotError, match=r"g\.db: another program has it open"):
            MilvusStore(path)
    MilvusStore(path).close()


def test_a_collection_of_another_form(path: str) -> None:
    from pymilvus import MilvusClient

    client = MilvusClient(path)
    client.create_collection(milvus_collection.NAME, dimension=DIM)
    client.close()
    store = MilvusStore(path)
    with pytest.raises(OneShotError, match="collection oneshot_gallery is not a gallery of this oneshot"):
        store.check(MODEL)
    store.close()


def test_what_milvus_refuses_is_said_in_a_sentence(store: MilvusStore) -> None:
    with pytest.raises(OneShotError, match=r"g\.db: Milvus refuses \(.*\); see its log"):
        store.add([entry("A" * 70_000)], row(0))
    assert store.read(MODEL)[0] == []


def test_without_the_package_the_extra_is_named(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(OneShotError, match=r"pip install 'oneshot-face\[milvus\]'"):
        MilvusStore(path)


def test_closed_by_all_the_folder_is_free(path: str) -> None:
    fcntl = pytest.importorskip("fcntl")
    one, other = MilvusStore(path), MilvusStore(path)
    one.add([entry("Ada")], row(0))
    one.close()
    one.close()  # twice does no harm
    assert other.search(MODEL, row(0))[0].name == "Ada"
    other.close()
    with (Path(path) / "LOCK").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
