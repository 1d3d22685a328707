"""Work is spared where everybody is known, and nobody is missed or takes another's name by it."""

import numpy as np
import pytest
from test_tracking import ADA, BO, IMAGE, STRANGER, seen, tracker

from oneshot import Faces
from oneshot.types import Image
from oneshot.watch.following import Follower, continued
from oneshot.watch.tracking import Track, Tracker

__all__ = ["tracker"]  # the fixture

FPS = 16
"""A power of two, so that times are exact."""

Script = list[list[tuple[float, np.ndarray]]]


class Scripted:
    """A model that finds what is written for each frame, and notes which it was asked to describe."""

    info: dict[str, object] = {}  # noqa: RUF012
    thresholds: dict[str, float] = {}  # noqa: RUF012
    side = 640

    def __init__(self, script: Script):
        self.script, self.now = script, 0
        self.described: list[int] = []
        self.found: list[int] = []

    def side_for(self, image: Image) -> int:
        return self.side

    def __call__(self, image: Image, *, embed: bool = True) -> Faces:
        (self.described if embed else self.found).append(self.now)
        faces = seen(*self.script[self.now])
        return faces if embed else Faces(faces.boxes, faces.scores, faces.landmarks, faces.embeddings[:, :0])


def names(
    tracker: Tracker, script: Script, fps: float = FPS, skip: bool = True
) -> tuple[Scripted, list[list[str | None]]]:
    """The model after the script was played, and the names of each frame."""
    model = Scripted(script)
    follow = Follower(model, tracker, skip)
    out = []
    for model.now in range(len(script)):
        faces, tracks = follow(model.now / fps, IMAGE)
        assert len(faces) == len(tracks) == len(script[model.now])
        out.append([track.match.name for track in tracks])
    assert follow.described == len(model.described)
    return model, out


def test_somebody_known_is_described_once_a_second(tracker: Tracker) -> None:
    model, got = names(tracker, [[(100 + i % 3, ADA)] for i in range(96)])
    assert model.described == [*range(8), 23, 39, 55, 71, 87]
    assert model.found == [i for i in range(96) if i not in model.described]
    assert got == [["Ada"]] * 96
    assert [(t.start, t.end, t.frames) for t in tracker.tracks] == [(0, 95 / FPS, 96)]


def test_unless_it_is_asked_for_every_frame_is_described(tracker: Tracker) -> None:
    model, _ = names(tracker, [[(100, ADA)]] * 40, skip=False)
    assert model.described == [*range(40)] and not model.found


def test_a_stranger_is_described_once_a_second_too(tracker: Tracker) -> None:
    model, got = names(tracker, [[(100, ADA), (200, STRANGER)]] * 40)
    assert model.described == [*range(8), 23, 39] and got[-1] == ["Ada", None]


def test_who_is_only_just_unknown_is_looked_at_in_every_frame(tracker: Tracker) -> None:
    nearly = 0.38 * ADA + np.sqrt(1 - 0.38**2) * STRANGER  # the threshold is 0.4
    model, got = names(tracker, [[(100, nearly)]] * 40)
    assert model.described == [*range(40)] and got[-1] == [None]


def test_a_twin_whose_name_another_has_is_looked_at_in_every_frame(tracker: Tracker) -> None:
    twin = 0.6 * ADA + 0.8 * STRANGER
    model, got = names(tracker, [[(100, ADA), (200, twin)]] * 40)
    assert model.described == [*range(40)] and got[-1] == ["Ada", None]


def test_a_stranger_who_comes_nearer_is_looked_at_again(tracker: Tracker) -> None:
    """Its box is half as large again as when it was last described, well before a second has passed."""

    class Nearing(Scripted):
        def __call__(self, image: Image, *, embed: bool = True) -> Faces:
            faces = super().__call__(image, embed=embed)
            if self.now >= 10:  # 1.6 times the area about the same middle
                outward = np.array([-1, -1, 1, 1], np.float32) * (faces.boxes[:, 2:3] - faces.boxes[:, :1])
                faces.boxes[:] += outward * (1.6**0.5 - 1) / 2
            return faces

    for who, described in ((STRANGER, [*range(8), 10]), (ADA, [*range(8)])):
        model = Nearing([[(100, who)]] * 12)
        follow = Follower(model, Tracker(tracker.gallery, 0.4), skip_known=True)
        for model.now in range(12):
            follow(model.now / FPS, IMAGE)
        assert model.described == described


def test_a_doubtful_name_is_looked_at_in_every_frame(tracker: Tracker) -> None:
    doubtful = 0.42 * ADA + np.sqrt(1 - 0.42**2) * STRANGER  # the threshold is 0.4
    model, got = names(tracker, [[(100, doubtful)]] * 40)
    assert model.described == [*range(40)] and got[-1] == ["Ada"]


def test_a_newcomer_is_found_and_named_at_once(tracker: Tracker) -> None:
    script: Script = [[(100, ADA)] if i < 50 else [(100, ADA), (200, BO)] for i in range(80)]
    model, got = names(tracker, script)
    assert 49 in model.found and model.found.count(50) == 1
    assert [i for i in model.described if 49 <= i < 60] == [*range(50, 58)]  # until Bo is known, too
    assert got[49:51] == [["Ada"], ["Ada", "Bo"]] and model.described[-1] == 73


def test_somebody_who_goes_is_noticed_at_once(tracker: Tracker) -> None:
    """Whose face is left is not told by its place: one may have stepped before the other."""
    script: Script = [[(100, ADA), (200, BO)] if i < 20 else [(100, BO)] for i in range(30)]
    model, got = names(tracker, script)
    assert 19 not in model.described and 20 in model.described and got[20:] == [["Bo"]] * 10


@pytest.mark.parametrize("turn", [False, True], ids=["pass", "turn round"])
def test_people_who_meet_keep_their_names(tracker: Tracker, turn: bool) -> None:
    """They walk through each other, or meet and turn round: their boxes look alike, their faces do not."""
    script: Script = []
    for i in range(81):
        left, right = 20 + 2.5 * i, 220 - 2.5 * i
        if turn and left > right:
            left, right = right, left
        script.append([(left, ADA), (right, BO)])
    model, got = names(tracker, script)
    assert got == [["Ada", "Bo"]] * 81 and len(tracker.tracks) == 2
    touching = [i for i in range(81) if abs(200 - 5 * i) < 40]
    assert set(touching) <= set(model.described) and len(model.described) < 40


def test_somebody_at_anothers_place_has_the_name_for_a_second_at_most(tracker: Tracker) -> None:
    _, got = names(tracker, [[(100, ADA if i < 30 else STRANGER)] for i in range(60)])
    assert got[29] == ["Ada"] and got[30 + FPS :] == [[None]] * (30 - FPS)


def test_an_empty_room_needs_no_description(tracker: Tracker) -> None:
    model, _ = names(tracker, [[]] * 20)
    assert model.described == [0, 16]


def test_frames_far_apart_are_all_described(tracker: Tracker) -> None:
    model, _ = names(tracker, [[(100, ADA)]] * 20, fps=1)
    assert not model.found
    jumping: Script = [[(100 if i % 2 else 30, ADA)] for i in range(40)]
    assert names(Tracker(tracker.gallery, 0.4), jumping)[0].described == [*range(40)]


def test_boxes_continue_tracks_only_without_a_doubt() -> None:
    one, two = Track(1, 0, 0), Track(2, 0, 0)
    one.box, two.box = (seen((x, ADA)).boxes[0] for x in (100, 200))

    def at(*xs: float) -> list[Track] | None:
        return continued(seen(*((x, ADA) for x in xs)).boxes, [one, two])

    assert at(205, 98) == [two, one]
    assert at(100) is None and at(100, 200, 10) is None  # one fewer, one more
    assert at(100, 225) is None  # it overlaps, but not well
    assert at(100, 105) is None  # both at the place of one
    assert at(100, 300) is None
    two.box = seen((135, ADA)).boxes[0]
    assert at(100, 142) is None  # well apart now, but not a moment ago
    assert continued(seen().boxes, []) == []
