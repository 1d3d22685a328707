"""One track a person, one name a track."""

from itertools import pairwise

import numpy as np
import pytest
from fake import FIVE

from oneshot import Faces, Gallery, Match, OneShot
from oneshot.gallery.entries import Entry
from oneshot.geometry import iou
from oneshot.watch.association import associate
from oneshot.watch.tracking import Tracker

IMAGE = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
BASE = np.linalg.qr(np.random.default_rng(1).normal(size=(1000, 3)))[0].T.astype(np.float32)
ADA, BO, STRANGER = BASE


def seen(*faces: tuple[float, np.ndarray], y: float = 50) -> Faces:
    """Faces of 40 pixels at these x, with these embeddings."""
    boxes = np.array([[x, y, x + 40, y + 40] for x, _ in faces], np.float32).reshape(-1, 4)
    rows = np.array([e / max(np.linalg.norm(e), 1e-12) for _, e in faces], np.float32).reshape(-1, 1000)
    points = boxes[:, None, :2] + 40 * FIVE[None]
    return Faces(boxes, np.full(len(faces), 0.9, np.float32), points.astype(np.float32), rows)


@pytest.fixture
def tracker(model: OneShot) -> Tracker:
    gallery = Gallery(model)
    entries = [Entry(name, "", "0" * 64, 1.0, "f" * 64) for name in ("Ada", "Bo")]
    gallery._store.add(entries, np.array([ADA, BO]))
    return Tracker(gallery, 0.4)


def test_iou_equals_the_obvious_one() -> None:
    boxes = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [20, 20, 21, 21]], np.float32)
    np.testing.assert_allclose(iou(boxes, boxes), [[1, 1 / 3, 0], [1 / 3, 1, 0], [0, 0, 1]], atol=1e-6)
    assert iou(boxes[:0], boxes).shape == (0, 3)


def test_two_people_who_cross_keep_their_tracks(tracker: Tracker) -> None:
    numbers = []
    for i in range(41):
        tracks = tracker.update(i / 10, IMAGE, seen((20 + 5 * i, ADA), (220 - 5 * i, BO)))
        numbers.append([(t.number, t.match.name) for t in tracks])
    assert set(map(tuple, numbers)) == {((1, "Ada"), (2, "Bo"))}
    assert [(t.start, t.end, t.frames) for t in tracker.tracks] == [(0, 4, 41)] * 2


def test_names_do_not_flicker_where_single_frames_do(tracker: Tracker) -> None:
    """Single frames fall under the threshold, or look like somebody else; the track keeps its name."""
    rng = np.random.default_rng(0)
    single, tracked = [], []
    for i in range(60):
        noise = rng.normal(size=1000) / np.sqrt(1000)
        look = ADA + rng.uniform(1, 3) * noise + (1.2 * BO if i % 7 == 6 else 0)
        faces = seen((100 + (i % 3), look))
        single.append(tracker.gallery.identify(faces.embeddings, 0.4)[0].name)
        tracked.append(tracker.update(i / 10, IMAGE, faces)[0].match.name)

    def changes(names: list[str | None]) -> int:
        return sum(a != b for a, b in pairwise(names))

    assert len(tracker.tracks) == 1
    assert changes(single) > 10
    assert changes(tracked[10:]) == 0 and tracked[-1] == "Ada"


def test_a_name_given_too_early_is_corrected(tracker: Tracker) -> None:
    names = []
    for i in range(20):
        look = BO + 0.7 * STRANGER if i == 0 else ADA + 0.2 * BO
        names.append(tracker.update(i / 10, IMAGE, seen((100, look)))[0].match.name)
    assert names[0] == "Bo" and names[-1] == "Ada" and len(tracker.tracks) == 1


def test_somebody_else_at_the_same_place_is_a_new_track(tracker: Tracker) -> None:
    tracker.update(0.0, IMAGE, seen((100, ADA)))
    (other,) = tracker.update(0.1, IMAGE, seen((100, STRANGER)))
    assert other.number == 2 and other.match.name is None


def test_who_comes_back_soon_goes_on_and_later_is_new(tracker: Tracker) -> None:
    tracker.update(0.0, IMAGE, seen((100, ADA)))
    assert tracker.update(0.5, IMAGE, Faces.empty()) == []
    assert tracker.update(1.9, IMAGE, seen((250, ADA)))[0].number == 1  # elsewhere, but who else
    assert tracker.update(4.0, IMAGE, seen((250, ADA)))[0].number == 2
    assert not tracker.tracks[0]._looks  # a finished track holds no embeddings


def test_a_name_goes_to_the_more_similar_of_two(tracker: Tracker) -> None:
    likeness = ADA + 1.1 * STRANGER  # cosine 0.67
    for i in range(5):
        (alone,) = tracker.update(i / 10, IMAGE, seen((20, likeness)))
        assert alone.match.name == "Ada"
    both = tracker.update(0.5, IMAGE, seen((20, likeness), (200, ADA)))
    assert [t.match.name for t in both] == [None, "Ada"]
    assert [round(t.match.similarity, 2) for t in both] == [0.67, 1.0]
    # While the better one is missed for a moment, nobody takes the name, and afterwards somebody may.
    assert tracker.update(0.6, IMAGE, seen((20, likeness)))[0].match.name is None
    both = tracker.update(0.7, IMAGE, seen((200, ADA), (20, likeness)))
    assert [t.match.name for t in both] == ["Ada", None]
    for i in range(8, 27):
        assert tracker.update(i / 10, IMAGE, seen((20, likeness)))[0].match.name is None
    (alone,) = tracker.update(2.8, IMAGE, seen((20, likeness)))
    assert alone.match.name == "Ada" and alone.number == 1


def test_who_has_a_name_keeps_it_unless_clearly_beaten(tracker: Tracker) -> None:
    one, little, much = (ADA + share * STRANGER for share in (0.48, 0.42, 0.2))  # cosines 0.90, 0.92, 0.98
    tracker.update(0.0, IMAGE, seen((20, one)))
    both = tracker.update(0.1, IMAGE, seen((20, one), (120, little)))
    assert [t.match.name for t in both] == ["Ada", None]
    three = tracker.update(0.2, IMAGE, seen((20, one), (120, little), (220, much)))
    assert [t.match.name for t in three] == [None, None, "Ada"]


def test_people_who_are_gone_do_not_fill_the_memory(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oneshot.watch.tracking.PICTURED", 3)
    rng, time, stays = np.random.default_rng(0), 0.0, [1, 4, 2, 5, 3, 1]
    for stay in stays:
        look = rng.normal(size=1000)
        for _ in range(stay):
            tracker.update(time, IMAGE, seen((100, look), (200, ADA)))
            time += 0.1
        time += 3
    tracker.update(time, IMAGE, Faces.empty())
    unknown = [t for t in tracker.tracks if t.match.name is None]
    assert [t.frames for t in unknown] == stays
    assert [t.frames for t in unknown if t.thumb.size > 3] == [4, 5, 3]
    known = [t for t in tracker.tracks if t.match.name == "Ada"]
    assert len(known) == 6 and sum(t.thumb.size > 3 for t in known) == 1
    assert not any(t._looks for t in tracker.tracks)


def test_each_track_is_one_face_at_most() -> None:
    track = [np.array([100, 50, 140, 90], np.float32)], [ADA], 0.4
    assert associate(seen((100, ADA), (102, ADA)), *track) == [0, None]
    assert associate(seen((180, ADA), (104, ADA)), *track) == [None, 0]
    assert associate(Faces.empty(), *track) == []
    assert associate(seen((100, ADA)), [], [], 0.4) == [None]
    assert associate(seen((100, np.full(1000, np.nan))), *track) == [None]


def test_in_frames_far_apart_a_place_says_nothing(tracker: Tracker) -> None:
    """As of a folder of photos: who is at the same place is somebody else, if a little alike."""
    cousin = 0.3 * ADA + np.sqrt(1 - 0.3**2) * STRANGER
    for seconds, look, number, name in ((0, ADA, 1, "Ada"), (1, cousin, 2, None), (2, ADA, 1, "Ada")):
        (track,) = tracker.update(seconds, IMAGE, seen((100, look)))
        assert (track.number, track.match.name) == (number, name)
    place = np.array([100, 50, 140, 90], np.float32)
    assert associate(seen((100, cousin)), [place], [ADA], 0.4, near=True) == [0]


def test_a_face_that_cannot_be_described_for_a_moment_is_followed_by_its_place(tracker: Tracker) -> None:
    nothing = np.zeros(1000, np.float32)
    for i, look in enumerate((nothing, nothing, ADA, nothing)):
        (track,) = tracker.update(i / 10, IMAGE, seen((100, look)))
        assert track.number == 1 and track.match.name == (None if i < 2 else "Ada")
    np.testing.assert_allclose(track.template, ADA, atol=1e-6)
    (other,) = tracker.update(0.5, IMAGE, seen((250, nothing)))  # elsewhere it is somebody
    assert other.number == 2 and other.match == Match(None, -1.0) and not other.template.any()
    for i in range(10):
        tracker.update(0.6 + i / 10, IMAGE, seen((250, nothing)))
    assert not other.settled(0.4)  # nobody has said that it is nobody known


def test_the_template_is_of_the_best_looks(tracker: Tracker) -> None:
    small = seen((100, STRANGER))
    tiny = Faces(small.boxes, np.full(1, 1e-6, np.float32), small.landmarks, small.embeddings)
    tracker.update(0.0, IMAGE, seen((100, ADA)))
    for i in range(30):
        tracker.update(0.1 + i / 30, IMAGE, seen((100, ADA)) if i % 2 else tiny)
    (track, *_) = tracker.tracks
    assert track.match.name == "Ada" and track.template @ ADA > 0.99
    assert max(track.thumb.shape[:2]) <= 96 and track.thumb.std() > 0


def test_tracks_are_told_when_they_end_and_noise_is_told_apart(tracker: Tracker) -> None:
    script = {0.0: [(20, BO), (100, STRANGER)], 0.1: [(20, BO)], 3.0: [(200, STRANGER)]}
    for i in range(6):
        script[4 + i / 10] = [(200, STRANGER)]
    told = []
    for time, faces in script.items():
        tracker.update(time, IMAGE, seen(*faces))
        told.append([track.number for track in tracker.ended()])
    assert told == [[], [], [2, 1], *[[]] * 6]
    tracker.finish()
    assert [track.number for track in tracker.ended()] == [3] and tracker.ended() == []
    assert [(t.frames, t.clear) for t in tracker.tracks] == [(2, True), (1, False), (7, True)]
