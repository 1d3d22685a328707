"""The faces of a video, frame by frame, and the work that is spared where it is clear who is in view."""

from collections.abc import Sequence

import numpy as np

from oneshot.geometry import iou
from oneshot.types import Faces, Floats, Image, Model
from oneshot.watch.tracking import STEP, Track, Tracker

RELOOK = 1.0
"""Seconds after which faces are described again, whoever they are taken to be."""

SURE = 0.5
"""Least intersection over union of a box with its place in the frame before, where nothing else is asked."""

NEARER = 1.5
"""Times as large as when it was last described, a stranger's box may show somebody known."""


class Follower:
    """Runs a model over a video's frames, given in order, and tells who each face goes on as.

    With `skip_known`, faces are only found, not described, where each face of the frame before is clearly
    somebody known, or clearly nobody known, RELOOK has not passed since faces were last described, and the
    boxes leave no doubt who is who. Where they do (a newcomer, somebody gone, two who cross, a stranger who
    comes nearer) the same frame is run again in full.

    Args:
        model: the network.
        tracker: keeps the tracks.
        skip_known: spare the identity head where it would tell nothing new.

    Attributes:
        described: frames that were run in full.
    """

    def __init__(self, model: Model, tracker: Tracker, skip_known: bool = False):
        self.model, self.tracker, self.skip_known = model, tracker, skip_known
        self.described = 0
        self._described_at = -np.inf
        self._tracks: list[Track] = []
        self._areas: dict[Track, float] = {}  # of the boxes, when faces were last described

    def __call__(self, seconds: float, image: Image) -> tuple[Faces, list[Track]]:
        """A frame's faces and, row by row, their tracks; the embeddings are (N, 0) where they were spared.

        Args:
            seconds: the frame's time, later than the one's before.
            image: (H, W, 3) BGR uint8.
        """
        found = self._found(seconds, image) if self._may_skip(seconds) else None
        if found is None:
            faces = self.model(image)
            found = faces, self.tracker.update(seconds, image, faces, self.model.side_for(image))
            self.described += 1
            self._described_at = seconds
            self._areas = {track: _area(track.box) for track in found[1]}
        self.tracker.at, self._tracks = seconds, found[1]
        return found

    def _may_skip(self, seconds: float) -> bool:
        recent = seconds - self.tracker.at <= STEP and seconds - self._described_at < RELOOK
        settled = all(track.settled(self.tracker.threshold) for track in self._tracks)
        return self.skip_known and recent and settled

    def _found(self, seconds: float, image: Image) -> tuple[Faces, list[Track]] | None:
        faces = self.model(image, embed=False)
        tracks = continued(faces.boxes, self._tracks)
        if tracks is None:
            return None
        pairs = list(zip(tracks, faces.boxes, strict=True))
        if any(t.match.name is None and _area(box) > NEARER * self._areas[t] for t, box in pairs):
            return None
        for track, box in pairs:
            track.seen(seconds, box)
        return faces, tracks


def continued(boxes: Floats, tracks: Sequence[Track]) -> list[Track] | None:
    """The track that each box (N, 4) continues by its place alone; None where that leaves a doubt.

    There is none where every box overlaps the last box of one track well, and touches nothing else, and no
    track is left over.
    """
    if len(boxes) != len(tracks):
        return None
    if not tracks:
        return []
    overlap = iou(boxes, np.array([track.box for track in tracks]))
    touching = overlap > 0
    one_each = (touching.sum(0) == 1).all() and (touching.sum(1) == 1).all()
    apart = (iou(boxes, boxes) > 0).sum() == len(boxes)
    if not (one_each and apart and (overlap[touching] >= SURE).all()):
        return None
    return [tracks[j] for j in touching.argmax(1)]


def _area(box: Floats) -> float:
    return float((box[2:] - box[:2]).prod())
