"""Enrolment, templates, identification, and where they are kept: in memory, in a file, in Milvus."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from fake import EMBEDDINGS, photo, picture, write_model

from oneshot import Faces, Gallery, Match, OneShot, OneShotError, OneShotWarning
from oneshot.gallery.quality import Limits, Quality
from oneshot.gallery.thresholds import threshold_at, threshold_for_search

pytestmark = pytest.mark.filterwarnings("ignore:.*Milvus does not overwrite")

RHEA, GUS, BO = picture(Rhea=(10, 10, 60, 60)), picture(Gus=(70, 10, 120, 60)), picture(Bo=(10, 70, 60, 120))


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def needs_milvus() -> None:
    pytest.importorskip("pymilvus")
    pytest.importorskip("milvus_lite")


@pytest.fixture(params=["memory", "milvus"])
def empty(
    request: pytest.FixtureRequest, model: OneShot, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gallery]:
    """A gallery without anybody."""
    if request.param == "milvus":
        needs_milvus()
        path = f"milvus:{tmp_path_factory.mktemp('milvus') / 'lite.db'}"
    with Gallery(model, path if request.param == "milvus" else None) as nobody:
        yield nobody


@pytest.fixture
def gallery(empty: Gallery) -> Gallery:
    empty.enroll("Rhea", [RHEA])
    empty.enroll("Gus", [GUS])
    return empty


@pytest.fixture(params=["file", "milvus"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The name of a gallery that is not there yet, and of nothing else in its folder."""
    if request.param == "milvus":
        needs_milvus()
    return f"{'milvus:' * (request.param == 'milvus')}{tmp_path / 'g.db'}"


def test_knows_people_and_leaves_strangers_unknown(gallery: Gallery, model: OneShot) -> None:
    faces = model(picture(Rhea=(10, 10, 60, 60), Gus=(70, 10, 120, 60), Bo=(150, 70, 210, 120)))
    matches = gallery.identify(faces.embeddings)
    assert [m.name for m in matches] == ["Rhea", "Gus", None]
    assert matches[0].similarity == pytest.approx(1, abs=1e-5)
    assert matches[2].similarity == pytest.approx(float((EMBEDDINGS[:2] @ EMBEDDINGS[2]).max()), abs=1e-5)


def test_the_threshold_decides_and_is_inclusive(gallery: Gallery) -> None:
    half_way = unit(EMBEDDINGS[0] * 0.45 + unit(EMBEDDINGS[2]) * 0.9)[None]
    similarity = gallery.identify(half_way)[0].similarity
    assert 0.35 < similarity < 0.6
    assert gallery.identify(half_way, similarity)[0].name == "Rhea"
    assert gallery.identify(half_way, similarity + 1e-4)[0].name is None


def test_the_default_threshold_is_the_models_at_one_in_a_thousand(tmp_path: Path) -> None:
    strict = OneShot(write_model(tmp_path / "s.onnx", thresholds={"1e-2": 0.1, "1e-3": 0.9}))
    gallery = Gallery(strict)
    gallery.enroll("Rhea", [RHEA])
    near = unit(EMBEDDINGS[0] + 0.8 * EMBEDDINGS[2])[None]
    assert gallery.identify(near)[0].name is None
    assert gallery.identify(near, 0.1)[0].name == "Rhea"


def test_no_face_is_never_a_match(gallery: Gallery, model: OneShot) -> None:
    assert gallery.identify(model(picture()).embeddings) == []
    nothing = np.stack([np.zeros(1000), np.full(1000, np.nan), np.full(1000, np.inf), EMBEDDINGS[1]])
    found = gallery.identify(nothing.astype(np.float32))
    assert [m.name for m in found] == [None, None, None, "Gus"]
    assert [m.similarity for m in found[:3]] == [-1, -1, -1]
    assert [m.name for m in gallery.verify("Gus", nothing.astype(np.float32))] == [None, None, None, "Gus"]


class Blank:
    """A model that finds every face, but cannot tell which way up any of them is."""

    def __init__(self, model: OneShot):
        self.model, self.info, self.thresholds, self.side = model, model.info, model.thresholds, model.side

    def side_for(self, image: np.ndarray) -> int:
        return self.side

    def __call__(self, image: np.ndarray, *, embed: bool = True) -> Faces:
        found = self.model(image)
        return replace(found, embeddings=np.zeros_like(found.embeddings))


@pytest.mark.parametrize("limits", [None, Limits()])
def test_a_face_that_cannot_be_described_is_nobody_and_not_enrolled(
    model: OneShot, limits: Limits | None
) -> None:
    blank = Blank(model)
    with Gallery(blank) as gallery:  # type: ignore[arg-type]
        with pytest.raises(OneShotError, match=r"Rhea's photo 1.*: a face is found, but not which way up"):
            gallery.enroll("Rhea", [photo("Rhea")], limits=limits)
        assert gallery.names == []
    with Gallery(model) as gallery:
        gallery.enroll("Rhea", [photo("Rhea")])
        nothing = blank(photo("Rhea")).embeddings
        assert gallery.identify(nothing, -1.0) == gallery.verify("Rhea", nothing, -1.0) == [Match(None, -1.0)]


def test_an_empty_gallery_knows_nobody(empty: Gallery) -> None:
    assert empty.identify(EMBEDDINGS) == [Match(None, -1.0)] * 3
    assert empty.names == empty.people == [] and len(empty) == len(empty.templates) == 0


def test_a_template_is_the_normalised_mean(empty: Gallery) -> None:
    gallery = empty
    gallery.enroll("both", [RHEA, GUS])
    np.testing.assert_allclose(gallery.templates[0], unit(EMBEDDINGS[0] + EMBEDDINGS[1]), atol=1e-6)
    assert gallery.enroll("both", [GUS]).used == []  # the same one again does not count
    gallery.enroll(
        "both", [picture(Gus=(70, 10, 110, 50))]
    )  # a third photo later counts as much as the first two
    np.testing.assert_allclose(gallery.templates[0], unit(EMBEDDINGS[0] + 2 * EMBEDDINGS[1]), atol=1e-6)
    assert gallery.names == ["both"] and len(gallery) == 1


def test_the_largest_face_is_enrolled_and_that_is_said(empty: Gallery) -> None:
    gallery = empty
    with pytest.warns(OneShotWarning, match="photo 1: 2 faces found, the largest is enrolled"):
        gallery.enroll("Gus", [picture(Rhea=(0, 0, 20, 20), Gus=(50, 50, 120, 120))])
    assert gallery.identify(EMBEDDINGS[1:2])[0].name == "Gus"


def test_a_photo_without_a_face_is_named_and_nothing_is_enrolled(empty: Gallery, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "wall.png"), picture())
    gallery = empty
    with pytest.raises(OneShotError, match=r"wall\.png: no face found"):
        gallery.enroll("Rhea", [RHEA, tmp_path / "wall.png"])
    assert gallery.names == []


@pytest.mark.parametrize(("name", "photos"), [(" ", [RHEA]), ("Rhea", []), ("Rhea", "a.jpg"), ("Rhea", RHEA)])
def test_enrolment_that_makes_no_sense(model: OneShot, name: str, photos: object) -> None:
    with pytest.raises(OneShotError):
        Gallery(model).enroll(name, photos)  # type: ignore[arg-type]


def people(folder: Path) -> Path:
    """Rhea as one photo, Gus as a folder of two, and things that are nobody."""
    (folder / "Gus").mkdir(parents=True)
    (folder / ".cache").mkdir()
    (folder / "notes.txt").write_text("who is who")
    cv2.imwrite(str(folder / "Rhea.png"), photo("Rhea"))
    cv2.imwrite(str(folder / "Gus" / "1.png"), photo("Gus"))
    cv2.imwrite(str(folder / "Gus" / "2.png"), photo("Gus", seed=1))
    return folder


def test_from_folder(model: OneShot, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gallery = Gallery.from_folder(people(tmp_path / "people"), model)
    assert sorted(gallery.names) == ["Gus", "Rhea"]
    assert [m.name for m in gallery.identify(EMBEDDINGS)] == ["Rhea", "Gus", None]


def test_bad_folders(model: OneShot, tmp_path: Path) -> None:
    with pytest.raises(OneShotError, match="no such folder"):
        Gallery.from_folder(tmp_path / "none", model)
    with pytest.raises(OneShotError, match="no photos in it"):
        Gallery.from_folder(tmp_path, model)
    (tmp_path / "Bo").mkdir()
    with pytest.raises(OneShotError, match="no photos in it"):
        Gallery.from_folder(tmp_path, model)
    cv2.imwrite(str(tmp_path / "Bo" / "wall.png"), picture())
    with pytest.raises(OneShotError, match=r"nobody in it can be enrolled \(.*wall\.png: no face found"):
        Gallery.from_folder(tmp_path, model)


def test_a_folder_of_people_as_it_is_found(model: OneShot, tmp_path: Path) -> None:
    """Gus in nested folders, with a group photo, waste and thumbnails; a photo of nobody; an empty folder."""
    folder = people(tmp_path / "people")
    for place in ("Gus/2020/May", "Gus/@eaDir/1.png", "Gus/thumbs", "@eaDir", "#recycle/Bo", "Empty/deep"):
        (folder / place).mkdir(parents=True)
    group = picture(Rhea=(0, 0, 130, 130))
    group[140:220, 100:180] = photo("Gus", seed=5)[60:140, 60:140]  # the smaller face, and Gus'
    cv2.imwrite(str(folder / "Gus" / "0 party.png"), group)
    cv2.imwrite(str(folder / "Gus" / "2020" / "May" / "3.png"), photo("Gus", seed=3))
    for waste in ("Gus/@eaDir/1.png/x.png", "Gus/thumbs/x.png", "@eaDir/x.png", "#recycle/Bo/x.png"):
        cv2.imwrite(str(folder / waste), photo("Bo"))
    cv2.imwrite(str(folder / "Gus" / "wall.png"), picture())
    with pytest.warns(OneShotWarning) as told:
        loaded = Gallery.from_folder(folder, model)
    reasons = [str(warning.message) for warning in told]
    assert len(reasons) == 2 and any("wall.png: no face found" in reason for reason in reasons)
    assert any("Empty: no photo in this person's folder" in reason for reason in reasons)
    with Gallery(model) as enrolled:
        outcomes = dict(enrolled.enroll_folder(folder))
        assert isinstance(outcomes["Empty"], OneShotError)
        for gallery in (loaded, enrolled):
            assert {p.name: len(p.templates[""]) for p in gallery.people} == {"Rhea": 1, "Gus": 4}
        np.testing.assert_allclose(enrolled.templates, loaded.templates)
        np.testing.assert_allclose(enrolled.templates, EMBEDDINGS[:2], atol=1e-6)  # the party's face is Gus'
    with Gallery(model) as fewer:
        dict(fewer.enroll_folder(folder, exclude=["2020", "Rhea*"]))
        assert {p.name: len(p.templates[""]) for p in fewer.people} == {"Gus": 3}


def test_a_group_photo_with_nobody_like_the_person_is_left_out(model: OneShot) -> None:
    group = picture(Rhea=(0, 0, 80, 80), Bo=(100, 100, 180, 180))
    with Gallery(model) as gallery:
        outcome = gallery.enroll("Gus", [photo("Gus"), group], limits=Limits())
        said = "2 faces found, none like the person's other photos; crop it to the one meant"
        assert list(outcome.left_out.values()) == [said]
        with pytest.warns(OneShotWarning, match="2 faces found, the largest"):
            gallery.enroll("Bo", [group])
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # with other photos of hers, nothing is in doubt
            party = picture(Rhea=(0, 0, 50, 50), Gus=(100, 100, 180, 180))
            gallery.enroll("Rhea", [photo("Rhea"), party], force=True)  # the largest was Rhea, not Bo
        assert gallery.identify(EMBEDDINGS[:1])[0].similarity == pytest.approx(1, abs=1e-5)


def test_saved_and_loaded_it_is_the_same(gallery: Gallery, model: OneShot, tmp_path: Path) -> None:
    gallery.enroll("José 李", [RHEA, BO], force=True)
    gallery.save(tmp_path / "g.npz")
    again = Gallery.load(tmp_path / "g.npz", model)
    assert again.names == gallery.names == ["Rhea", "Gus", "José 李"]
    np.testing.assert_array_equal(again.templates, gallery.templates)
    again.enroll("José 李", [BO])
    assert [p.name for p in tmp_path.iterdir()] == ["g.npz"]  # no temporary file stays


def test_a_gallery_of_another_model_is_refused(gallery: Gallery, tmp_path: Path) -> None:
    gallery.save(tmp_path / "g.npz")
    other = OneShot(write_model(tmp_path / "o.onnx", weights_sha256="0" * 64))
    with pytest.raises(OneShotError, match=r"g\.npz: made with other weights \(ffffffffffff\)"):
        Gallery.load(tmp_path / "g.npz", other)
    with pytest.raises(OneShotError, match="embeddings of 7 numbers"):
        gallery.identify(np.ones((1, 7), np.float32))


def test_weights_without_a_fingerprint_cannot_be_saved_for(tmp_path: Path) -> None:
    gallery = Gallery(OneShot(write_model(tmp_path / "o.onnx", weights_sha256=None)))
    gallery.enroll("Rhea", [RHEA])
    with pytest.raises(OneShotError, match="weights_sha256"):
        gallery.save(tmp_path / "g.npz")
    assert not (tmp_path / "g.npz").exists()


def pickled(path: Path) -> None:
    np.savez(
        path, names=np.array(["a", None], object), people=[0], embeddings=np.ones((1, 3)), weights_sha256="f"
    )


def gap_in_people(path: Path) -> None:
    np.savez(
        path,
        names=np.array(["a", "b"]),
        people=[0],
        embeddings=np.ones((1, 3), "f4"),
        weights_sha256="f" * 64,
    )


@pytest.mark.parametrize(
    "write",
    [
        lambda p: p.write_bytes(b""),
        lambda p: p.write_bytes(b"PK\x03\x04 cut"),
        lambda p: p.write_text("{}"),
        lambda p: np.savez(p, names=np.array(["a"])),
        lambda p: np.save(p.open("wb"), np.ones(3)),
        pickled,
        gap_in_people,
    ],
)
def test_damaged_galleries(model: OneShot, tmp_path: Path, write: object) -> None:
    write(tmp_path / "g.npz")  # type: ignore[operator]
    with pytest.raises(OneShotError, match=r"g\.npz: not a gallery, or a damaged one"):
        Gallery.load(tmp_path / "g.npz", model)


def test_saving_needs_people_and_a_good_name(gallery: Gallery, model: OneShot, tmp_path: Path) -> None:
    with pytest.raises(OneShotError, match="no such gallery"):
        Gallery.load(tmp_path / "none.npz", model)
    with pytest.raises(OneShotError, match="nobody is enrolled"):
        Gallery(model).save(tmp_path / "g.npz")
    with pytest.raises(OneShotError, match=r"ends in \.npz"):
        gallery.save(tmp_path / "g.pickle")
    with pytest.raises(OneShotError, match="does not exist"):
        gallery.save(tmp_path / "none" / "g.npz")


def test_thresholds_by_rate() -> None:
    known = {"1e-2": 0.2, "1e-3": 0.3}
    assert [threshold_at(far, known) for far in ("1e-3", "0.001", 0.001, "1E-2")] == [0.3, 0.3, 0.3, 0.2]
    for far in ("1e-9", "often", "nan"):
        with pytest.raises(OneShotError, match="choose from 1e-2, 1e-3"):
            threshold_at(far, known)
    with pytest.raises(OneShotError, match="choose from none"):
        threshold_at("1e-3", {})


def test_a_person_may_have_several_templates_and_is_compared_with_each(empty: Gallery) -> None:
    gallery = empty
    gallery.enroll("Zoe", [RHEA])
    gallery.enroll("Gus", [GUS])
    gallery.enroll("Zoe", [BO, photo("Bo")], template="with a beard")
    assert gallery.names == ["Zoe", "Gus"] and len(gallery) == 2
    np.testing.assert_allclose(gallery.templates, EMBEDDINGS[[0, 2, 1]], atol=1e-6)
    assert [m.name for m in gallery.identify(EMBEDDINGS)] == ["Zoe", "Gus", "Zoe"]
    zoe, gus = gallery.people
    assert {label: len(q) for label, q in zoe.templates.items()} == {"": 1, "with a beard": 2}
    assert gus.name == "Gus" and all(0 <= q <= 1 for q in gus.templates[""])


def test_verify_compares_with_that_person_only(gallery: Gallery) -> None:
    assert [m.name for m in gallery.verify("Gus", EMBEDDINGS)] == [None, "Gus", None]
    assert gallery.verify("Gus", EMBEDDINGS[:0]) == []  # no face is no match
    with pytest.raises(OneShotError, match="Bo: is not enrolled; enrolled are Rhea, Gus"):
        gallery.verify("Bo", EMBEDDINGS)


def test_removed_is_forgotten(gallery: Gallery) -> None:
    assert gallery.remove("Rhea") == 1
    assert gallery.names == ["Gus"] and gallery.identify(EMBEDDINGS[:1])[0].name is None
    with pytest.raises(OneShotError, match="Rhea: is not enrolled; enrolled are Gus"):
        gallery.remove("Rhea")


def test_a_file_keeps_everything_and_others_see_it_at_once(
    model: OneShot, tmp_path: Path, place: str
) -> None:
    with Gallery(model, place) as one, Gallery.load(place, model) as other:
        assert other.identify(EMBEDDINGS) == [Match(None, -1.0)] * 3
        one.enroll("Rhea", [RHEA])
        assert [m.name for m in other.identify(EMBEDDINGS)] == ["Rhea", None, None]
        other.remove("Rhea")
        assert len(one) == 0
        one.enroll("Gus", [GUS, GUS])
    assert [file.name for file in tmp_path.iterdir()] == ["g.db"]
    with Gallery.load(place, model) as again:
        assert again.names == ["Gus"]


def test_a_file_of_another_model_is_refused(model: OneShot, tmp_path: Path, place: str) -> None:
    with Gallery(model, place) as gallery:
        gallery.enroll("Rhea", [RHEA])
    other = OneShot(write_model(tmp_path / "o.onnx", weights_sha256="0" * 64))
    with pytest.raises(OneShotError, match=r"g\.db: made with other weights \(ffffffffffff\)"):
        Gallery(other, place)
    nameless = OneShot(write_model(tmp_path / "n.onnx", weights_sha256=None))
    with pytest.raises(OneShotError, match="weights_sha256"):
        Gallery(nameless, tmp_path / "n.db")


def test_load_takes_files_and_folders_that_exist(model: OneShot, tmp_path: Path) -> None:
    for none in (tmp_path / "none.db", f"milvus:{tmp_path / 'none.db'}"):
        with pytest.raises(OneShotError, match=r"none\.db: no such gallery"):
            Gallery.load(none, model)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "empty.db").touch()
    with pytest.raises(OneShotError, match=r"empty\.db: the file is empty"):
        Gallery.load(tmp_path / "empty.db", model)
    with pytest.raises(OneShotError, match=r"ends in \.db"):
        Gallery(model, tmp_path / "g.sqlite")
    assert Gallery.load(people(tmp_path / "people"), model).names == ["Rhea", "Gus"]


def test_merge_brings_in_others_once(gallery: Gallery, model: OneShot, tmp_path: Path, place: str) -> None:
    gallery.enroll("Rhea", [BO], template="old")
    gallery.save(tmp_path / "g.npz")
    with Gallery(model, place) as mine:
        mine.enroll("Gus", [GUS])
        assert mine.import_from(tmp_path / "g.npz") == 2
        assert mine.import_from(tmp_path / "g.npz") == 0
        assert {p.name: list(p.templates) for p in mine.people} == {"Gus": [""], "Rhea": ["", "old"]}
    again = Gallery(model)
    assert again.import_from(place) == 3
    assert again.names == ["Gus", "Rhea"]
    np.testing.assert_allclose(again.templates, EMBEDDINGS[[1, 0, 2]], atol=1e-6)


def test_an_encrypted_gallery(model: OneShot, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    key = b"a secret of some length"
    with Gallery(model, tmp_path / "g.db", key=key) as gallery:
        gallery.enroll("Rhea", [RHEA])
    assert Gallery.load(tmp_path / "g.db", model, key=key).identify(EMBEDDINGS)[0].name == "Rhea"
    with pytest.raises(OneShotError, match="is encrypted"):
        Gallery.load(tmp_path / "g.db", model)


def test_with_limits_poor_photos_are_named_and_left_out(empty: Gallery, tmp_path: Path) -> None:
    gallery = empty
    both = photo("Rhea")
    both[10:40, 10:40] = picture(Gus=(0, 0, 30, 30))[:30, :30]
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8 cut")
    photos = [photo("Rhea"), RHEA, photo("Rhea", side=30), both, picture(), tmp_path / "cut.jpg"]
    photos += [photo("Rhea"), photo("Rhea", seed=1), photo("Rhea", seed=2), photo("Gus")]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome = gallery.enroll("Rhea", photos, limits=Limits())
    assert [photo.label for photo in outcome.used] == [f"Rhea's photo {i}" for i in (1, 8, 9, 4)]
    reasons = {
        "Rhea's photo 2": "the face is blurred; take a sharper one",
        "Rhea's photo 3": "the face is too small (30 pixels of 40); crop it closer",
        "Rhea's photo 5": "no face found in it; enroll a photo that shows the face clearly",
        str(
            tmp_path / "cut.jpg"
        ): "not a picture that can be read, or a damaged one; convert or fetch it again",
        "Rhea's photo 7": "already enrolled",
        "Rhea's photo 10": "does not look like the person's other photos; check who it shows",
    }
    assert outcome.left_out == reasons
    np.testing.assert_allclose(gallery.templates, EMBEDDINGS[:1], atol=1e-6)
    again = gallery.enroll("Rhea", photos[:1], limits=Limits())  # the same command twice does no harm
    assert (again.used, again.left_out) == ([], {"Rhea's photo 1": "already enrolled"})
    with pytest.raises(
        OneShotError, match=r"Rhea: none of the photos can be enrolled \(.*check who it shows"
    ):
        gallery.enroll("Rhea", [photo("Gus")], limits=Limits())
    with pytest.raises(OneShotError, match="Ada: none of the photos can be enrolled"):
        gallery.enroll("Ada", [photo("Rhea"), photo("Gus")], limits=Limits())  # nobody knows which is Ada
    assert [len(p.templates[""]) for p in gallery.people] == [4]


def test_candidates_and_the_margin_over_the_second_person(empty: Gallery) -> None:
    gallery = empty
    assert gallery.identify(EMBEDDINGS[:1], top=5) == [Match(None, -1.0)]
    gallery.enroll("Rhea", [RHEA])
    assert gallery.identify(EMBEDDINGS[:1])[0].margin is None  # nobody is second
    gallery.enroll("Gus", [GUS])
    gallery.enroll("Rhea", [photo("Rhea")], template="again")  # as like, but the same person
    gallery.enroll("Bo", [BO])
    (match,) = gallery.identify(EMBEDDINGS[:1], top=2)
    second = max(((float(EMBEDDINGS[0] @ EMBEDDINGS[i]), name) for i, name in ((1, "Gus"), (2, "Bo"))))
    assert [c.name for c in match.candidates] == ["Rhea", second[1]]
    assert match.margin == pytest.approx(1 - second[0], abs=1e-5)
    assert len(gallery.identify(EMBEDDINGS[:1], top=9)[0].candidates) == 3
    assert gallery.identify(EMBEDDINGS[:1])[0].candidates == ()
    (verified,) = gallery.verify("Gus", EMBEDDINGS[:1])
    assert verified.name is None and verified.margin == pytest.approx(
        float(EMBEDDINGS[0] @ EMBEDDINGS[1]) - 1, abs=1e-5
    )


def test_in_one_photo_a_name_goes_to_one_face(gallery: Gallery) -> None:
    near = unit(EMBEDDINGS[0] + 0.3 * EMBEDDINGS[2])[None]
    faces = np.concatenate([near, EMBEDDINGS[:2]])
    assert [m.name for m in gallery.identify(faces)] == ["Rhea", "Rhea", "Gus"]
    less, more, gus = gallery.identify(faces, one_photo=True)
    assert (less.name, more.name, gus.name) == (None, "Rhea", "Gus")
    assert less.reason == "another face in the photo is more like Rhea"


def test_a_poor_face_is_nobody_with_a_reason(gallery: Gallery) -> None:
    good, blurred, small = Quality(100, 0.05, 0), Quality(100, 0.001, 0), Quality(7, 0.05, 0)
    found = gallery.identify(np.repeat(EMBEDDINGS[:1], 3, 0), qualities=[good, blurred, small])
    assert [m.name for m in found] == ["Rhea", None, None]
    assert [m.reason for m in found] == ["", "the face is blurred", "the face is too small (7 pixels of 12)"]
    assert gallery.verify("Rhea", EMBEDDINGS[:1], qualities=[blurred])[0].name is None
    with pytest.raises(OneShotError, match="1 qualities for 3 faces"):
        gallery.identify(EMBEDDINGS, qualities=[good])


def test_the_threshold_of_a_search_grows_with_the_gallery() -> None:
    known = {"1e-2": 0.2, "1e-3": 0.28, "1e-4": 0.34}
    assert threshold_for_search("1e-2", known, 1) == 0.2
    assert threshold_for_search("1e-2", known, 10) == pytest.approx(0.28)
    assert threshold_for_search("1e-2", known, 50) == pytest.approx(0.28 + 0.06 * np.log10(5))
    assert threshold_for_search("1e-2", known, 1000) == pytest.approx(0.40)  # on beyond what was measured
    assert threshold_for_search("1e-4", known, 10**15) > 1  # too many to name anybody
    assert threshold_for_search("1e-3", {"1e-3": 0.3}, 100) == 0.3  # one rate tells no more


def test_a_search_names_as_many_strangers_as_its_rate_says() -> None:
    """Impostor cosines as of random vectors: those of single comparisons are exact, so must the search be."""
    random = np.random.default_rng(0)
    deviation = 1 / np.sqrt(64)
    known = {f"1e-{n}": deviation * z for n, z in ((1, 1.2816), (2, 2.3263), (3, 3.0902), (4, 3.7190))}
    for people in (10, 100):
        best = np.max(random.normal(0, deviation, (20_000, people)), axis=1)
        rate = float((best >= threshold_for_search("1e-2", known, people)).mean())
        assert 0.005 < rate < 0.015
