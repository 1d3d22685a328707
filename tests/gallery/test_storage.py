"""What every place that keeps a gallery holds to: nothing saved is lost, nothing is saved by halves."""

import multiprocessing
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
from fake import DIM, MODEL, entry, row

from oneshot import Match, OneShotError
from oneshot.gallery.entries import Storage
from oneshot.gallery.milvus import MilvusStore
from oneshot.gallery.sqlite import Store

pytestmark = pytest.mark.filterwarnings("ignore:(?s).*Milvus does not overwrite")


def opened(kind: str, path: Path) -> Storage:
    return Store(path) if kind == "sqlite" else MilvusStore(str(path))


@pytest.fixture(params=["sqlite", "milvus"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param == "milvus":
        pytest.importorskip("pymilvus")
        pytest.importorskip("milvus_lite")
    return str(request.param)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "g.db"


@pytest.fixture
def another(kind: str, path: Path) -> Iterator[Callable[[], Storage]]:
    """Opens the same place once more."""
    stores: list[Storage] = []

    def open_one() -> Storage:
        stores.append(opened(kind, path))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def store(another: Callable[[], Storage]) -> Storage:
    return another()


def test_what_is_added_is_read_by_person_and_template(store: Storage, another: Callable[[], Storage]) -> None:
    assert store.read(MODEL)[0] == []
    added = [entry("Bo"), entry("Ada"), entry("Bo", "beard", 1), entry("Bo", "", 2)]
    for i, one in enumerate(added):
        store.add([one], row(i))
    store.close()
    again = another()
    entries, embeddings = again.read(MODEL)
    order = [0, 3, 2, 1]
    assert entries == again.entries(MODEL) == [added[i] for i in order]
    np.testing.assert_array_equal(embeddings, np.concatenate([row(i) for i in order]))
    assert embeddings.dtype == np.float32
    only, one = again.read(MODEL, "Ada")
    assert only == [added[1]] and one.shape == (1, DIM)
    assert again.read(MODEL, "nobody")[0] == []


def test_a_transaction_is_all_or_nothing(store: Storage) -> None:
    with pytest.raises(OneShotError, match="made with other weights"):
        store.add([entry("Ada"), entry("Bo", model="b" * 64)], np.concatenate((row(0), row(1))))
    assert store.read(MODEL)[0] == []
    store.add([entry("Ada")], row(0))
    with pytest.raises(OneShotError, match=r"g\.db: made with other weights \(aaaaaaaaaaaa\)"):
        store.add([entry("Bo", model="b" * 64)], row(1))
    for ask in (store.check, store.read, store.entries, lambda model: store.search(model, row(0))):
        with pytest.raises(OneShotError, match="other weights"):
            ask("b" * 64)
    assert store.read(MODEL)[0] == [entry("Ada")]


def test_a_template_is_the_mean_of_its_photos_whoever_adds_them(
    store: Storage, another: Callable[[], Storage]
) -> None:
    other = another()
    store.add([entry("Ada"), entry("Bo"), entry("Bo", "beard")], np.concatenate([row(i) for i in range(3)]))
    other.add([entry("Ada", "", 1), entry("Bo", "", 1)], np.concatenate([row(3), row(4)]))
    mean = [row(0) + row(3), row(1) + row(4), row(2)]
    expected = np.concatenate([m / np.linalg.norm(m) for m in mean])
    for one in (store, other):
        np.testing.assert_allclose(one.templates(MODEL), expected, atol=1e-6)
        found = one.search(MODEL, expected)
        assert [m.name for m in found] == ["Ada", "Bo", "Bo"]
        assert [m.similarity for m in found] == pytest.approx([1, 1, 1], abs=1e-5)


def test_the_search_is_exact(store: Storage) -> None:
    vectors = np.concatenate([row(i) for i in range(300)])
    store.add([entry(f"p{i:03}") for i in range(300)], vectors)
    probes = np.concatenate([row(1000 + i) for i in range(20)]) * 3  # of any length
    cosines = probes / 3 @ vectors.T
    for found, similar in zip(store.search(MODEL, probes), cosines, strict=True):
        assert found.name == f"p{similar.argmax():03}"
        assert found.similarity == pytest.approx(similar.max(), abs=1e-5)
    (only,) = store.search(MODEL, probes[:1], "p007")
    assert only.name == "p007" and only.similarity == pytest.approx(cosines[0, 7], abs=1e-5)
    with pytest.raises(OneShotError, match="embeddings of 7 numbers, but the gallery has 1000"):
        store.search(MODEL, np.ones((1, 7), np.float32))


def test_removed_is_gone_for_everybody(store: Storage, another: Callable[[], Storage]) -> None:
    store.add([entry("Ada"), entry("Ada", "old", 1), entry("Bo")], np.concatenate([row(i) for i in range(3)]))
    other = another()
    assert other.holds(MODEL, "Ada") and not other.holds(MODEL, "ada")
    seen = other.entries(MODEL)
    assert other.entries(MODEL) is seen  # nothing is read again as long as nothing changes
    assert store.remove("Ada") == 2 and store.remove("Ada") == 0
    assert not other.holds(MODEL, "Ada") and other.entries(MODEL) == [entry("Bo")]
    assert {m.name for m in other.search(MODEL, np.concatenate([row(0), row(1)]))} == {"Bo"}
    assert other.search(MODEL, row(0), "Ada") == [Match(None, -1.0)]
    store.add([entry("Ada", "", 2)], row(3))  # back again, they are new
    assert [e.name for e in other.entries(MODEL)] == ["Bo", "Ada"]
    np.testing.assert_allclose(other.templates(MODEL), np.concatenate([row(2), row(3)]), atol=1e-6)
    store.remove("Ada")
    store.remove("Bo")
    assert other.entries(MODEL) == [] and len(other.templates(MODEL)) == 0
    assert other.search(MODEL, row(2)) == [Match(None, -1.0)]
    store.add([entry("Cy", model="b" * 64)], row(4))  # nothing of the first weights is left
    assert other.search("b" * 64, row(4))[0].name == "Cy"


def test_names_of_any_signs(store: Storage) -> None:
    names = ["José 李", 'O\'Neil "the" \\ % {x} or 1 == 1', "a\nb", "é" * 500]
    store.add([entry(name) for name in names], np.concatenate([row(i) for i in range(len(names))]))
    assert [e.name for e in store.entries(MODEL)] == names
    for i, name in enumerate(names):
        assert store.holds(MODEL, name) and store.search(MODEL, row(i))[0].name == name
        assert store.read(MODEL, name)[0] == [entry(name)]
        assert store.remove(name) == 1
        assert [e.name for e in store.entries(MODEL)] == names[i + 1 :]


def test_a_missing_folder(kind: str, tmp_path: Path) -> None:
    with pytest.raises(OneShotError, match="does not exist; create it first"):
        opened(kind, tmp_path / "none" / "g.db")


def test_readers_see_whole_transactions_while_one_writes(
    kind: str, store: Storage, another: Callable[[], Storage]
) -> None:
    people = 30 if kind == "sqlite" else 10
    done, failures = threading.Event(), []

    def watch(reader: Storage) -> None:
        try:
            seen = 0
            while not done.is_set():
                names = [e.name for e in reader.read(MODEL)[0]]
                assert len(names) >= seen and len(names) % 2 == 0
                seen = len(names)
        except BaseException as error:  # a thread's failure is not seen by pytest otherwise
            failures.append(error)

    readers = [threading.Thread(target=watch, args=(another(),)) for _ in range(3)]
    for reader in readers:
        reader.start()
    for i in range(people):
        store.add([entry(f"p{i}"), entry(f"p{i}", "", 1)], np.concatenate((row(0), row(1))))
    done.set()
    for reader in readers:
        reader.join()
    assert not failures
    assert len(store.read(MODEL)[0]) == 2 * people


def write_on(kind: str, path: Path, pipe: Connection, start: int) -> None:
    """Adds two entries a person, and reports each person once the call has returned."""
    store = opened(kind, path)
    for i in range(start, start + 10**6):
        pair = [entry(f"person {i}", "", 0), entry(f"person {i}", "", 1)]
        store.add(pair, np.concatenate((row(i), row(i))))
        pipe.send_bytes(str(i).encode())


@pytest.fixture(scope="module")
def spawn() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["oneshot.gallery.sqlite"])  # NumPy is loaded once, not fifty times
    return context


@pytest.mark.skipif(os.name == "nt", reason="processes are killed the POSIX way")
def test_writers_killed_lose_nothing_that_was_reported(
    kind: str, path: Path, spawn: multiprocessing.context.ForkServerContext
) -> None:
    turns = 50 if kind == "sqlite" else 4  # milvus-lite takes seconds to start
    reported: set[str] = set()
    random = np.random.default_rng(0)
    for turn in range(turns):
        receive, send = spawn.Pipe(duplex=False)
        writer = spawn.Process(target=write_on, args=(kind, path, send, turn * 10**6))
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
    store = opened(kind, path)
    entries, embeddings = store.read(MODEL)
    templates = store.templates(MODEL)
    store.close()
    names = [e.name for e in entries]
    assert len(reported) >= turns and reported <= set(names)
    assert all(names.count(name) == 2 for name in set(names))  # a person is saved whole
    assert len(set(names)) <= len(reported) + turns  # at most one a turn was saved, but not yet reported
    for i in range(0, len(names), 10):
        np.testing.assert_array_equal(embeddings[i], row(int(names[i].split()[1]))[0])
    for name, template in zip(dict.fromkeys(names), templates, strict=True):
        np.testing.assert_allclose(template, row(int(name.split()[1]))[0], atol=1e-6)
    if kind == "sqlite":
        assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)
