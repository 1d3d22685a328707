"""People who are enrolled: ids, names, photos, pictures kept, wherever they are; and galleries of old."""

import shutil
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import nobody
from fake import EMBEDDINGS, MODEL, photo, picture, write_model

from oneshot import Gallery, OneShot, OneShotError
from oneshot.gallery.names import cleaned
from oneshot.gallery.npz import read_npz
from oneshot.gallery.sqlite import Store

pytestmark = pytest.mark.filterwarnings("ignore:(?s).*Milvus does not overwrite")

DATA = Path(__file__).parent / "data"
SECRET = b"correct horse battery staple"
Again = Callable[[], Gallery]


@pytest.fixture(params=["file", "encrypted", "milvus"])
def again(request: pytest.FixtureRequest, model: OneShot, tmp_path: Path) -> Iterator[Again]:
    """Opens the same gallery once more."""
    key = None
    if request.param == "milvus":
        pytest.importorskip("pymilvus")
        pytest.importorskip("milvus_lite")
    if request.param == "encrypted":
        pytest.importorskip("cryptography")
        key = SECRET
    opened: list[Gallery] = []

    def open_one() -> Gallery:
        opened.append(
            Gallery(model, f"{'milvus:' * (request.param == 'milvus')}{tmp_path / 'g.db'}", key=key)
        )
        return opened[-1]

    yield open_one
    for gallery in opened:
        gallery.close()


@pytest.fixture
def rhea(tmp_path: Path) -> list[Path]:
    """Three photos of hers."""
    files = [tmp_path / f"rhea{i}.png" for i in range(3)]
    for i, file in enumerate(files):
        cv2.imwrite(str(file), photo("Rhea", seed=i))
    return files


def test_a_name_has_one_spelling_and_steers_no_terminal() -> None:
    assert cleaned("  Jose\u0301 \t\x1b[31m 李\u202e\n") == "José [31m 李"
    assert cleaned("Zoe\udcff") == r"Zoe\xff"  # a folder's name in another encoding
    assert cleaned("👩\u200d💻") == "👩\u200d💻"
    with pytest.raises(OneShotError, match="want a name as text, got int"):
        cleaned(3)


def test_who_is_renamed_keeps_id_and_place_for_everybody(again: Again, rhea: list[Path]) -> None:
    one, other = again(), again()
    one.enroll("Jose\u0301", rhea)
    one.enroll("Gus", [photo("Gus")], template="beard")
    one.update("José", external_id=" 4711", metadata={"team": ["red", 1]})
    before = other.people[0]
    assert (before.name, before.external_id, before.metadata) == ("José", "4711", {"team": ["red", 1]})
    assert len({p.id for p in other.people}) == 2 and all(len(p.id) == 32 for p in other.people)
    other.rename("Jose\u0301 ", "Rhea\x07")
    assert one.names == ["Rhea", "Gus"]  # at the same place
    assert one.people[0].id == before.id and one.people[0].metadata == before.metadata
    assert [m.name for m in one.identify(EMBEDDINGS)] == ["Rhea", "Gus", None]
    assert (
        one.verify(before.id, EMBEDDINGS[:1])[0].name == one.verify("4711", EMBEDDINGS[:1])[0].name == "Rhea"
    )
    with pytest.raises(OneShotError, match="Gus: is enrolled already; choose another name, or merge"):
        one.rename("Rhea", "Gus")
    with pytest.raises(OneShotError, match="José: is not enrolled; enrolled are Rhea, Gus"):
        one.rename("José", "Ada")
    with pytest.raises(OneShotError, match="a person needs a name"):
        one.rename("Gus", "\x1b")
    with pytest.raises(OneShotError, match="Gus: metadata is names and values that JSON holds"):
        one.update("Gus", metadata={"x": object()})
    one.enroll("José", [photo("Bo")])  # the name is free again, and is another person
    assert again().people[2].id != before.id


def test_two_who_are_one_are_merged(again: Again, rhea: list[Path]) -> None:
    gallery = again()
    gallery.enroll("Ada", rhea[:1], keep=True)
    gallery.enroll("Rhea", rhea, keep=True, force=True)
    gallery.update("Ada", metadata={"a": 1, "b": 1})
    gallery.update("Rhea", external_id="7", metadata={"b": 2})
    ada = gallery.people[0].id
    assert gallery.merge("Rhea", into="Ada") == 2  # one photo is the same
    (only,) = again().people
    assert (only.id, only.external_id, only.metadata) == (ada, "7", {"a": 1, "b": 1})
    assert [p.file for p in gallery.photos("Ada")] == ["rhea0.png", "rhea1.png", "rhea2.png"]
    assert all(p.crop for p in gallery.photos("Ada"))
    np.testing.assert_allclose(gallery.templates, EMBEDDINGS[:1], atol=1e-6)
    with pytest.raises(OneShotError, match="Ada: cannot be merged with itself"):
        gallery.merge("Ada", ada)


def test_photos_tell_when_what_and_how_like_the_others_and_one_is_removed(
    again: Again, rhea: list[Path]
) -> None:
    gallery = again()
    gallery.enroll("Rhea", [*rhea[:2], photo("Gus")])
    first, second, odd = gallery.photos("Rhea")
    assert (first.file, second.file, odd.file) == ("rhea0.png", "rhea1.png", "")
    assert first.added and datetime.now(timezone.utc) - first.added < timedelta(minutes=1)
    expected = (EMBEDDINGS[0] + EMBEDDINGS[1]) / np.linalg.norm(EMBEDDINGS[0] + EMBEDDINGS[1])
    assert first.similarity == pytest.approx(float(expected @ EMBEDDINGS[0]), abs=1e-5)
    assert odd.similarity == pytest.approx(float(EMBEDDINGS[0] @ EMBEDDINGS[1]), abs=1e-5)
    assert not first.crop and not first.path  # nothing is kept unless that is asked for
    gallery.remove_photo("Rhea", odd.id[:8])
    np.testing.assert_allclose(again().templates, EMBEDDINGS[:1], atol=1e-6)
    with pytest.raises(OneShotError, match=r"Rhea: no photo is called none\.png; give an id"):
        gallery.remove_photo("Rhea", "none.png")
    gallery.remove_photo("Rhea", "rhea0.png")
    assert gallery.photos("Rhea")[0].similarity is None
    with pytest.raises(OneShotError, match=r"Rhea: rhea1\.png is the only photo; forget the person"):
        gallery.remove_photo("Rhea", "rhea1.png")


def test_export_and_import_keep_all_of_it(
    again: Again, model: OneShot, rhea: list[Path], tmp_path: Path
) -> None:
    gallery = again()
    gallery.enroll("Rhea", rhea, keep=True)
    gallery.enroll("Gus", [photo("Gus")])
    gallery.update("Rhea", external_id="7", metadata={"José": None})
    gallery.save(tmp_path / "g.npz")
    with Gallery(model, tmp_path / "copy.db") as copy:
        assert copy.import_from(tmp_path / "g.npz") == 4
        assert copy.import_from(tmp_path / "g.npz") == 0
        assert copy.people == gallery.people
        assert copy.photos("Rhea") == gallery.photos("Rhea")
    with Gallery(model) as third:
        third.import_from(tmp_path / "copy.db")
        assert third.people == gallery.people and third.photos("Rhea") == gallery.photos("Rhea")


def test_what_was_kept_is_described_by_other_weights(
    again: Again, model: OneShot, rhea: list[Path], tmp_path: Path
) -> None:
    gallery = again()
    group = picture(400, 300, Rhea=(20, 20, 120, 120), Gus=(200, 20, 260, 80))  # the largest is meant
    cv2.imwrite(str(tmp_path / "group.png"), group)
    with pytest.warns(match="2 faces"):
        gallery.enroll("Rhea", [tmp_path / "group.png"], keep=True)
    gallery.enroll("Gus", [photo("Gus"), picture(1500, 1200, Gus=(100, 100, 900, 900))], keep=True)
    where, key = gallery._path, SECRET if gallery._encrypted else None
    gallery.close()
    other = OneShot(write_model(tmp_path / "o.onnx", weights_sha256="0" * 64))
    with pytest.raises(OneShotError, match="made with other weights"):
        Gallery(other, where, key=key)
    assert Gallery.reenroll(where, other, key=key) == (3, {})  # type: ignore[arg-type]
    with Gallery(other, where, key=key) as new:
        assert [m.name for m in new.identify(EMBEDDINGS)] == ["Rhea", "Gus", None]
        assert len(new.photos("Gus")) == 2
        new.enroll("Bo", [photo("Bo")])  # of which nothing is kept
        new.enroll("Rhea", [photo("Rhea", seed=4)])
    (tmp_path / "group.png").unlink()  # the picture remains
    with pytest.raises(
        OneShotError, match=r"2 of 5 photos cannot be described anew, and nothing was changed"
    ):
        Gallery.reenroll(where, model, key=key)  # type: ignore[arg-type]
    count, failed = Gallery.reenroll(where, model, key=key, drop=True)  # type: ignore[arg-type]
    assert count == 3 and len(failed) == 2
    with Gallery(model, where, key=key) as back:
        assert back.names == ["Rhea", "Gus"] and len(back.photos("Rhea")) == 1


def check_migrated(store: Store) -> None:
    """What of the small gallery of form 1 must be there."""
    entries, embeddings = store.read(MODEL)
    assert [(e.name, e.template) for e in entries] == [
        ("Ada", ""),
        ("Ada", ""),
        ("Ada", "glasses"),
        ("José", ""),
        ("[31mBo", ""),
    ]
    for i, embedding in enumerate(embeddings):
        expected = np.random.default_rng(i).normal(size=8)
        np.testing.assert_allclose(embedding, expected / np.linalg.norm(expected), atol=1e-6)
    assert len({who.id for who in store.people(MODEL)}) == 3


@pytest.mark.parametrize("name", ["form1.db", "form1-encrypted.db"])
def test_a_gallery_of_old_is_brought_to_todays_form(name: str, tmp_path: Path) -> None:
    secret = None
    if "encrypted" in name:
        pytest.importorskip("cryptography")
        secret = SECRET
    shutil.copy(DATA / name, tmp_path / "g.db")
    store = Store(tmp_path / "g.db", secret)
    check_migrated(store)
    ids = [who.id for who in store.people(MODEL)]
    store.close()
    again = Store(tmp_path / "g.db", secret)
    check_migrated(again)
    assert [who.id for who in again.people(MODEL)] == ids
    again.rewrite(MODEL, ["José"], lambda state: ([], [], state[2][:0]))
    assert not again.holds(MODEL, "José") and again.holds(MODEL, "Ada")
    again.close()


def test_a_gallery_of_old_that_cannot_be_written_is_read_as_todays(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    shutil.copy(DATA / "form1.db", tmp_path / "disk" / "g.db")
    before = (tmp_path / "disk" / "g.db").read_bytes()
    for path, mode in ((tmp_path / "disk" / "g.db", 0o444), (tmp_path / "disk", 0o555)):
        path.chmod(mode)
    for folder in (tmp_path, *tmp_path.parents):  # pytest's are closed to others
        if folder.stat().st_mode & 0o055 != 0o055:
            folder.chmod(folder.stat().st_mode | 0o055)
    with nobody():
        store = Store(tmp_path / "disk" / "g.db")
        check_migrated(store)
        with pytest.raises(OneShotError, match="cannot be opened for writing"):
            store.remove("Ada")
        store.close()
    (tmp_path / "disk").chmod(0o755)
    assert (tmp_path / "disk" / "g.db").read_bytes() == before


def test_an_export_of_old_is_read() -> None:
    people, entries, embeddings = read_npz(DATA / "form1.npz", MODEL)
    assert people == [] and len(entries) == len(embeddings) == 5 and not entries[0].added
