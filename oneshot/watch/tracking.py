"""Faces followed from frame to frame, and one identity for each of them.

A face's embedding comes with its box in the same pass, so that both say who goes on as whom: where two people
cross, the boxes change places and the embeddings do not. And nobody is in a frame twice: a name goes to one
face. Of twins the more similar one has it and the other is unknown, and so is whoever stands before a mirror,
or below their portrait, once.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from oneshot.gallery.gallery import Gallery
from oneshot.gallery.quality import assess
from oneshot.geometry import described, normalised
from oneshot.types import Faces, Floats, Image, Match
from oneshot.watch.association import associate

BEST = 8
"""Frames whose embeddings make a track's template: its best looks."""

MARGIN = 0.05
"""A name is given up for one that is better by this cosine, or when it is this far below the threshold."""

THUMB = 96
"""Pixels."""

PICTURED = 100
"""Thumbs kept of unknown people who are gone, those who were seen longest; of known ones, one a name."""

LEAST_FRAMES = 5
LEAST_QUALITY = 0.05
"""Frames and best look (see Track.best) of somebody unknown worth telling of; noise has less."""

STEP = 0.5
"""Seconds between frames beyond which a box at the same place may be anybody's: as in a folder of photos."""

PATIENCE = 2.0
"""Seconds that a track outlives its face, for somebody who turns round or is hidden for a moment."""


@dataclass(eq=False)
class Track:
    """One face over time.

    Attributes:
        number: from 1, in the order of appearance.
        start, end: seconds of its first and its last frame.
        frames: in how many it was seen.
        match: who it is, by its best frames so far. None may be like somebody who is in view elsewhere.
        best: quality of its best look.
        thumb: that look, (H, W, 3) BGR of at most THUMB pixels a side; a pixel where it was let go.
        box: (4,) float32, x0 y0 x1 y1: where it was last.
    """

    number: int
    start: float
    end: float
    frames: int = 0
    match: Match = field(default_factory=lambda: Match(None, -1.0))
    best: float = -1.0
    thumb: Image = field(default_factory=lambda: np.zeros((1, 1, 3), np.uint8))
    box: Floats = field(default_factory=lambda: np.zeros(4, np.float32))
    _looks: list[tuple[float, Floats]] = field(default_factory=list)
    _claim: Match = field(default_factory=lambda: Match(None, -1.0))  # who it would be if it were alone
    _rival: "Track | None" = None  # who has that name instead

    @property
    def template(self) -> Floats:
        """(D,) float32: the mean of its best looks, weighted by their quality, L2-normalised; zeros where no
        look could be described.
        """
        looks = (quality * embedding for quality, embedding in self._looks if quality)
        total = sum(looks, start=np.zeros_like(self._looks[0][1]))
        return normalised(np.asarray(total, np.float32))

    @property
    def clear(self) -> bool:
        """Whether it is no noise: somebody known, or seen often and well enough."""
        often = self.frames >= LEAST_FRAMES and self.best >= LEAST_QUALITY
        return self.match.name is not None or often

    def settled(self, threshold: float) -> bool:
        """Whether as many looks as count say clearly who it is, or that it is nobody known."""
        if self.match.name is None:
            clearly = self.match.similarity < threshold - MARGIN
        else:
            clearly = self.match.similarity >= threshold + MARGIN
        return clearly and len(self._looks) == BEST and self._looks[-1][0] > 0

    def seen(self, seconds: float, box: Floats) -> None:
        """It is in one more frame."""
        self.end, self.frames = seconds, self.frames + 1
        self.box = box.copy()  # a row of an array would hold all of it


class Tracker:
    """Follows the faces of a video's frames, given in order.

    Args:
        gallery: who is known; an empty one leaves everybody unknown.
        threshold: least cosine similarity of a track's template to a person's.

    Attributes:
        tracks: all so far. Few of those that ended keep their thumb, and less than a kilobyte each is left
            of the others: a camera that runs for days sees many people.
        at: seconds of the last frame.
    """

    def __init__(self, gallery: Gallery, threshold: float):
        self.gallery, self.threshold, self.at = gallery, threshold, -math.inf
        self.tracks: list[Track] = []
        self._alive: list[Track] = []
        self._ended: list[Track] = []
        self._pictured: dict[str | None, list[Track]] = {}

    def update(self, seconds: float, image: Image, faces: Faces, side: int = 640) -> list[Track]:
        """Who each of the frame's faces goes on as; row by row as `faces`.

        Args:
            seconds: the frame's time, later than the one's before.
            image: (H, W, 3) BGR uint8.
            side: pixels that the model scaled it down to.
        """
        self._let_go(seconds - PATIENCE)
        tracks = []
        near, self.at = seconds - self.at <= STEP, seconds
        before = self._alive.copy()
        places, templates = [track.box for track in before], [track.template for track in before]
        for i, known in enumerate(associate(faces, places, templates, self.threshold, near)):
            track = Track(len(self.tracks) + 1, seconds, seconds) if known is None else before[known]
            if known is None:
                self.tracks.append(track)
                self._alive.append(track)
            self._look(track, seconds, image, faces, i, side)
            tracks.append(track)
        self._award(tracks)
        return tracks

    def ended(self) -> list[Track]:
        """The tracks that have ended since this was last asked, in the order of their ends."""
        ended, self._ended = self._ended, []
        return ended

    def finish(self) -> None:
        """No more frames come: all tracks end."""
        self._let_go(math.inf)

    def _let_go(self, before: float) -> None:
        over = [track for track in self._alive if track.end < before]
        self._alive = [track for track in self._alive if track.end >= before]
        over.sort(key=lambda track: track.end)
        for track in over:
            self._finish(track)
        self._ended += over

    def _look(self, track: Track, seconds: float, image: Image, faces: Faces, index: int, side: int) -> None:
        quality = assess(image, faces, index, side)
        # Never quite nothing: a track seen only from afar has a template, too.
        weight = max(quality.overall * float(faces.scores[index]), 1e-3)
        if not described(faces.embeddings[index]):
            weight = 0.0  # any other look is better
        track.seen(seconds, faces.boxes[index])
        if weight > track.best:
            track.best, track.thumb = weight, _cut(image, faces.boxes[index])
        if len(track._looks) == BEST and weight <= track._looks[-1][0]:
            return  # it changes nothing about who this is
        track._looks.append((weight, faces.embeddings[index].copy()))
        track._looks.sort(key=lambda look: -look[0])
        del track._looks[BEST:]
        track._claim = self._claim(track)

    def _claim(self, track: Track) -> Match:
        template = track.template[None]
        (now,) = self.gallery.identify(template, self.threshold)
        held = track._claim.name
        if held is None or now.name == held:
            return now
        (still,) = self.gallery.verify(held, template, -1.0)
        lost = still.similarity < self.threshold - MARGIN
        beaten = now.name is not None and now.similarity > still.similarity + MARGIN
        return now if lost or beaten else still

    def _award(self, tracks: Sequence[Track]) -> None:
        """Each name to the most similar of the frame's tracks, or to who had it, if not beaten by MARGIN.

        Who lost stays unknown while the other is missed for a moment, too.
        """
        absent = [t._rival for t in tracks if t._rival in self._alive and t._rival not in tracks]
        has: dict[str, Track] = {}

        def standing(track: Track) -> float:
            return track._claim.similarity + MARGIN * (track.match.name == track._claim.name)

        for track in sorted([*tracks, *filter(None, absent)], key=standing, reverse=True):
            claim = track._claim
            first = track if claim.name is None else has.setdefault(claim.name, track)
            track.match = claim if first is track else Match(None, claim.similarity)
            track._rival = None if first is track else first

    def _finish(self, track: Track) -> None:
        """Let go of what is no longer needed of a track, and of thumbs that no contact sheet would show."""
        track._looks.clear()
        track._rival = None
        name = track.match.name
        pictured = self._pictured.setdefault(name, [])
        pictured.append(track)
        if len(pictured) > (PICTURED if name is None else 1):
            least = min(pictured, key=lambda t: t.frames if name is None else t.best)
            pictured.remove(least)
            least.thumb = np.zeros((1, 1, 3), np.uint8)


def _cut(image: Image, box: Floats) -> Image:
    height, width = image.shape[:2]
    reach = 0.3 * max(float(box[2] - box[0]), float(box[3] - box[1]))
    x0, y0 = (max(0, int(v - reach)) for v in box[:2])
    x1, y1 = min(width, int(box[2] + reach) + 1), min(height, int(box[3] + reach) + 1)
    cut = image[y0:y1, x0:x1]
    scale = min(1.0, THUMB / max(1, *cut.shape[:2]))
    size = (max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale)))
    return np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA), np.uint8).copy()
